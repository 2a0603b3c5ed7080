// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What a question may cost, by what it is asked for. The engine ends a question that goes beyond with an error: a cut
//! answer is never given.

/// Why a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A page or a feed: a person or a program waits, and many may ask at once.
    Page,
    /// A beat of the picture.
    Picture,
    /// Ingest finds out what is stored already.
    Ingest,
    /// Upkeep: comparing and rebuilding rollups, sizes, backup.
    Upkeep,
}

/// Most that one question may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Seconds. Threat: one wide question starving ingest.
    pub seconds: u32,
    /// Bytes of memory. Threat: a grouping by a value that an attacker chooses.
    pub memory: u64,
    /// Rows of the answer. Threat: a page or a beat that loads a whole table.
    pub rows: u32,
    /// Threads. Threat: pages taking every core from ingest.
    pub threads: u32,
}

/// Longest list that any question returns.
pub const MAX_ROWS: u32 = 100_000;

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 4] = [Self::Page, Self::Picture, Self::Ingest, Self::Upkeep];

    /// Its limits.
    pub const fn limits(self) -> Limits {
        match self {
            Self::Page => Limits { seconds: 10, memory: 1 << 30, rows: MAX_ROWS, threads: 4 },
            Self::Picture => Limits { seconds: 30, memory: 2 << 30, rows: MAX_ROWS, threads: 4 },
            Self::Ingest => Limits { seconds: 60, memory: 2 << 30, rows: MAX_ROWS, threads: 4 },
            Self::Upkeep => Limits { seconds: 3600, memory: 4 << 30, rows: MAX_ROWS, threads: 2 },
        }
    }

    /// As settings of the engine.
    pub(super) fn settings(self) -> [(&'static str, String); 8] {
        let l = self.limits();
        [
            ("max_execution_time", l.seconds.to_string()),
            ("timeout_overflow_mode", "throw".into()),
            ("max_memory_usage", l.memory.to_string()),
            // Larger groupings go to disk before they reach the limit.
            ("max_bytes_before_external_group_by", (l.memory / 2).to_string()),
            ("max_bytes_before_external_sort", (l.memory / 2).to_string()),
            ("max_result_rows", l.rows.to_string()),
            ("result_overflow_mode", "throw".into()),
            ("max_threads", l.threads.to_string()),
        ]
    }
}
