// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What processes used, read from proc(5). Must never be asserted on: it is for reports.

use std::{fs, ops::AddAssign};

use anyhow::Context;
use serde_json::{Value, json};

/// What a process used since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU seconds, user and system.
    pub cpu_s: f64,
    /// Most memory that was resident at once, bytes.
    pub peak_bytes: u64,
}

impl Usage {
    /// What was used since `earlier` of the same process; the peak is that of its whole life.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self { cpu_s: self.cpu_s - earlier.cpu_s, ..self }
    }
    /// For a report.
    pub fn json(self) -> Value {
        json!({ "cpu_s": (self.cpu_s * 100.0).round() / 100.0, "peak_mib": self.peak_bytes >> 20 })
    }
}

/// Of several lives of a program: the sum of the CPU, the larger of the peaks.
impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.cpu_s += other.cpu_s;
        self.peak_bytes = self.peak_bytes.max(other.peak_bytes);
    }
}

/// What the process used so far. Ticks of proc(5) are 10 ms on every Linux that Rust runs on.
///
/// # Errors
/// Where there is no such process.
pub fn usage(pid: u32) -> anyhow::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
    let fields: Vec<&str> = stat.rsplit_once(") ").context("/proc/PID/stat")?.1.split(' ').collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).context("/proc/PID/stat");
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(Usage { cpu_s: (ticks(11)? + ticks(12)?) / 100.0, peak_bytes: peak.unwrap_or_default() << 10 })
}

/// The processes that this one started, and that are still there.
///
/// # Errors
/// Where there is no such process.
pub fn children(pid: u32) -> anyhow::Result<Vec<u32>> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid}"))? {
        let text = fs::read_to_string(task?.path().join("children")).unwrap_or_default(); // that thread has ended
        found.extend(text.split_whitespace().filter_map(|p| p.parse::<u32>().ok()));
    }
    Ok(found)
}

/// How many files and sockets this process may have open.
///
/// # Errors
/// Where the system does not say.
pub fn descriptors_limit() -> anyhow::Result<u64> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|l| l.strip_prefix("Max open files")).context("/proc/self/limits")?;
    Ok(line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(u64::MAX))
}
