// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Reads a spool directory from outside: for conservation checks and for people, by code that shares nothing with the
//! spool's own reader, so that one mistake cannot hide in both.
//!
//! Must never write, lock, or be used to send. Limits: [`MAX_FILE`] a segment; the caller holds all records in memory. A
//! spool in use may change meanwhile; take a copy, or stop the sensor, where every record counts.

use std::{fs, io, path::Path};

use lagewarte_base::id::Epoch;

/// Largest segment file read. Threat: a foreign file of that name.
pub const MAX_FILE: u64 = 256 << 20;

/// One record lying in a spool directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Epoch of its segment.
    pub epoch: Epoch,
    /// Its number.
    pub seq: u64,
    /// Its bytes as appended.
    pub data: Vec<u8>,
}

/// All sound records of all segments in `dir`, in order. Gaps are what is missing.
///
/// # Errors
/// Where the directory or a segment cannot be read.
pub fn list(dir: &Path) -> io::Result<Vec<Held>> {
    let mut held = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "spool") {
            continue;
        }
        if fs::metadata(&path)?.len() > MAX_FILE {
            return Err(io::Error::other(format!("{} is larger than any segment", path.display())));
        }
        let bytes = fs::read(&path)?;
        let number = |at: usize| bytes.get(at..at + 8).map(|b| b.iter().fold(0u64, |n, b| n << 8 | u64::from(*b)));
        let (Some(b"LWSPOOL1"), Some(counter), Some(nonce)) = (bytes.get(..8), number(8), number(16)) else { continue };
        let epoch = Epoch { counter, nonce };
        let mut at = 36;
        while at + 27 <= bytes.len() {
            let len = number(at + 3).map_or(0, |n| usize::try_from(n >> 32).unwrap_or(usize::MAX));
            let sound = bytes[at..].starts_with(b"\xC5\x1A")
                && len <= bytes.len() - at - 27
                && crc32fast::hash(&[&bytes[at + 2..at + 23], &bytes[at + 27..at + 27 + len]].concat()).to_be_bytes()
                    == bytes[at + 23..at + 27];
            if !sound {
                at += 1;
                continue;
            }
            if let (1..=3, Some(seq)) = (bytes[at + 2], number(at + 7)) {
                held.push(Held { epoch, seq, data: bytes[at + 27..at + 27 + len].to_vec() });
            }
            at += 27 + len;
        }
    }
    held.sort_by_key(|h| (h.epoch, h.seq));
    held.dedup();
    Ok(held)
}
