// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The folders of the days, and how long they are kept: the oldest go first.
//!
//! Must never remove anything but folders whose name is a day, and never today's.

use std::{fs, io, path::Path};

use lagewarte_base::time::Timestamp;

use super::{cut::PART, day};

/// Most entries of a folder looked at in one go. Threat: a folder of a million files. What is beyond waits for the next go.
const MAX_ENTRIES: usize = if cfg!(test) { 50 } else { 100_000 };
const DAY_US: i64 = 86_400_000_000;

/// Whether a name is one of a day: `YYYY-MM-DD`.
fn is_day(name: &str) -> bool {
    name.len() == 10
        && name.bytes().enumerate().all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() })
}

fn entries(dir: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
    Ok(fs::read_dir(dir)?.take(MAX_ENTRIES))
}

/// The days, oldest first.
fn days(dir: &Path) -> io::Result<Vec<String>> {
    let mut days = Vec::new();
    for entry in entries(dir)? {
        let entry = entry?;
        if let (true, Ok(name)) = (entry.file_type()?.is_dir(), entry.file_name().into_string()) {
            days.extend(Some(name).filter(|n| is_day(n)));
        }
    }
    days.sort();
    Ok(days)
}

/// Bytes of one day.
fn size(dir: &Path) -> io::Result<u64> {
    let mut all = 0;
    for entry in entries(dir)? {
        all += entry?.metadata()?.len();
    }
    Ok(all)
}

/// Removes days that are older than `keep_days`, and the oldest ones until all of them fit into `keep` bytes. Today stays.
///
/// # Errors
/// The system's.
pub fn prune(dir: &Path, now: Timestamp, keep_days: u32, keep: u64) -> io::Result<()> {
    let back = DAY_US.saturating_mul(i64::from(keep_days.saturating_sub(1)));
    let (today, oldest) = (day::of(now), day::of(Timestamp::from_micros(now.micros().saturating_sub(back))));
    let mut left = Vec::new();
    for day in days(dir)? {
        let path = dir.join(&day);
        if day < oldest {
            fs::remove_dir_all(&path)?;
        } else {
            left.push((size(&path)?, day));
        }
    }
    let mut all: u64 = left.iter().map(|(size, _)| size).sum();
    for (size, day) in left {
        if all <= keep || day >= today {
            break;
        }
        fs::remove_dir_all(dir.join(day))?;
        all -= size;
    }
    Ok(())
}

/// Removes files that an earlier process left unfinished.
///
/// # Errors
/// The system's.
pub fn tidy(dir: &Path) -> io::Result<()> {
    for day in days(dir)? {
        for entry in entries(&dir.join(day))? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == PART || e == "tmp") {
                fs::remove_file(path)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn old_days_go_first_and_nothing_else_goes() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for day in ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04", "ring", "2026-1-1", "notes-2020"] {
            fs::create_dir(dir.join(day)).unwrap();
            fs::write(dir.join(day).join("1-1.pcap"), [0; 1000]).unwrap();
        }
        fs::write(dir.join("2020-01-01"), "a file").unwrap();
        fs::write(dir.join("2026-01-04/1-2.part"), "half").unwrap();
        let now = Timestamp::parse_eve("2026-01-04T12:00:00.000000+0000").unwrap();
        tidy(dir).unwrap();
        assert_eq!(names(&dir.join("2026-01-04")), ["1-1.pcap"]);
        prune(dir, now, 3, 1 << 20).unwrap();
        let others = ["2020-01-01", "2026-1-1", "notes-2020", "ring"];
        let left = || -> Vec<String> { names(dir).into_iter().filter(|n| !others.contains(&n.as_str())).collect() };
        assert_eq!(left(), ["2026-01-02", "2026-01-03", "2026-01-04"], "three days");
        prune(dir, now, 3, 2500).unwrap();
        assert_eq!(left(), ["2026-01-03", "2026-01-04"], "two fit");
        prune(dir, now, 3, 10).unwrap();
        assert_eq!(left(), ["2026-01-04"], "today stays");
        assert_eq!(names(dir).len(), others.len() + 1);
    }

    #[test]
    fn no_more_entries_are_looked_at_in_one_go_than_the_cap() {
        let dir = tempfile::tempdir().unwrap();
        let day = dir.path().join("2026-01-04");
        fs::create_dir(&day).unwrap();
        for n in 0..MAX_ENTRIES + 7 {
            fs::write(day.join(format!("{n}.part")), [0; 10]).unwrap();
        }
        assert_eq!(size(&day).unwrap(), 10 * MAX_ENTRIES as u64);
        tidy(dir.path()).unwrap();
        assert_eq!(names(&day).len(), 7, "what is beyond stays");
        tidy(dir.path()).unwrap();
        assert!(names(&day).is_empty(), "until the next go");
    }
}
