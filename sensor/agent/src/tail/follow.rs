// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A file that another program writes, followed line by line over rotation and truncation.
//!
//! Rotation by rename: the old file is read to its end, then the new one, and, after a pause, whatever was rotated
//! meanwhile. Truncation (`copytruncate`): reading begins anew. Must never move on past a line that was not taken.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use lagewarte_base::fs::{Fs as _, RealFs};

use super::{
    LINES_A_STEP,
    lines::{self, Line, Lines, Place},
};
use crate::station::Stop;

/// Pause where there is nothing to read.
pub const PAUSE: Duration = Duration::from_millis(50);
/// How long a renamed file is still read after its successor has content: a writer with several threads may be late.
const GRACE: Duration = Duration::from_millis(500);

/// Takes what is read.
pub trait Taker {
    /// A file is read from this place on.
    ///
    /// # Errors
    /// Where going on is useless; likewise below.
    fn begun(&mut self, place: &Place) -> anyhow::Result<()>;
    /// One line; false where it was not taken because the end was asked for.
    fn line(&mut self, line: &[u8]) -> bool;
    /// Something could not be read, and why.
    fn lost(&mut self, reason: &'static str);
    /// Everything up to this place was taken or counted; after [`LINES_A_STEP`] lines at the latest.
    fn reached(&mut self, place: &Place) -> anyhow::Result<()>;
    /// There is nothing more now.
    fn idle(&mut self) {}
}

/// The file being followed.
pub struct Follow<'s> {
    name: PathBuf,
    files: VecDeque<(PathBuf, u64)>,
    stop: &'s Stop,
}

impl<'s> Follow<'s> {
    /// Goes on at `kept`, or begins at the start or the end of the file. The second value is false where the file of the
    /// kept place is gone: what stood in it unread is lost.
    ///
    /// # Errors
    /// Where the file's directory cannot be read.
    pub fn new(name: &Path, kept: Option<&Place>, from_end: bool, stop: &'s Stop) -> anyhow::Result<(Self, bool)> {
        let (files, found) = match kept {
            Some(place) => lines::resume(name, place)
                .with_context(|| format!("cannot look for {} and its rotated files", name.display()))?,
            None => {
                let size = std::fs::metadata(name).map_or(0, |m| m.len());
                (vec![(name.to_owned(), if from_end { last_line_end(name, size)? } else { 0 })], true)
            }
        };
        Ok((Self { name: name.to_owned(), files: files.into(), stop }, found))
    }

    /// Reads until the end is asked for, or, with `once`, until the end of what stands there.
    ///
    /// # Errors
    /// Where a file cannot be read, or the taker fails.
    pub fn run(&mut self, taker: &mut dyn Taker, once: bool) -> anyhow::Result<()> {
        let name = self.name.clone();
        while !self.stop.asked() {
            let Some((path, offset)) = self.files.pop_front() else {
                match Lines::open(&name, 0) {
                    Ok(_) => self.files.push_back((name.clone(), 0)),
                    Err(e) if e.kind() == io::ErrorKind::NotFound && !once => {
                        taker.idle();
                        self.stop.wait(PAUSE);
                    }
                    Err(e) => return Err(cannot_read(&name, &e)),
                }
                continue;
            };
            let mut lines = match Lines::open(&path, offset) {
                Ok(lines) => lines,
                // Between rename and creation there is no file of this name.
                Err(e) if e.kind() == io::ErrorKind::NotFound && !once => {
                    self.stop.wait(PAUSE);
                    continue;
                }
                Err(e) => return Err(cannot_read(&path, &e)),
            };
            if self.file(&mut lines, offset, taker, once)? && once && self.files.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads one file to where its successor begins; true at the end of what stands there (with `once`).
    fn file(&mut self, lines: &mut Lines, offset: u64, taker: &mut dyn Taker, once: bool) -> anyhow::Result<bool> {
        let mut place = lines.place(offset).map_err(|e| cannot_read(&lines.path, &e))?;
        taker.begun(&place)?;
        let mut grace = GRACE;
        loop {
            let (mut end, mut refused) = (place.offset, false);
            for _ in 0..LINES_A_STEP {
                match lines.next_line().map_err(|e| cannot_read(&lines.path, &e))? {
                    Line::Whole(line, after) => {
                        if !taker.line(&line) {
                            refused = true;
                            break;
                        }
                        end = after;
                    }
                    Line::TooLong(after) => {
                        taker.lost("line-too-long");
                        end = after;
                    }
                    Line::Idle => break,
                }
            }
            if end > place.offset {
                place = lines.place(end).map_err(|e| cannot_read(&lines.path, &e))?;
                taker.reached(&place)?;
                grace = GRACE;
                if !refused {
                    continue;
                }
            }
            if refused || self.stop.asked() {
                return Ok(false);
            }
            if lines.truncated(&place).map_err(|e| cannot_read(&lines.path, &e))? {
                taker.lost("truncated");
                tracing::info!(file = %lines.path.display(), "the file was truncated; reading it from its start");
                self.files.push_front((lines.path.clone(), 0));
                return Ok(false);
            }
            let more = !self.files.is_empty();
            if more || lines.rotated(&self.name) {
                // Files that were rotated while nobody read are complete; the present one may still be written.
                if more || grace.is_zero() {
                    if lines.partial() {
                        taker.lost("partial-line");
                    }
                    if !more {
                        // Where reading had to wait, it may have been rotated more than once.
                        let (files, _) = lines::resume(&self.name, &place).map_err(|e| cannot_read(&self.name, &e))?;
                        self.files.extend(files.into_iter().skip(1));
                    }
                    return Ok(true);
                }
                grace = grace.saturating_sub(PAUSE);
            } else if once {
                return Ok(true);
            } else {
                taker.idle();
            }
            self.stop.wait(PAUSE);
        }
    }
}

fn cannot_read(path: &Path, e: &io::Error) -> anyhow::Error {
    anyhow!("cannot read {}: {e}. Name the eve.json that Suricata writes, and let this user read it", path.display())
}

/// Where the last whole line ends: the half line that stands there is not begun in its middle.
fn last_line_end(path: &Path, size: u64) -> anyhow::Result<u64> {
    let from = size.saturating_sub(lines::MAX_LINE as u64);
    let tail = match RealFs.read(path, from, lines::MAX_LINE) {
        Ok(tail) => tail,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(cannot_read(path, &e)),
    };
    Ok(tail.iter().rposition(|b| *b == b'\n').map_or(from, |at| from + at as u64 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has room for so many lines, then asks for the end; has room again when asked after that.
    struct Full<'s>(usize, Vec<Vec<u8>>, u64, &'s Stop);

    impl Taker for Full<'_> {
        fn begun(&mut self, place: &Place) -> anyhow::Result<()> {
            self.reached(place)
        }
        fn line(&mut self, line: &[u8]) -> bool {
            let room = self.1.len() < self.0;
            if room {
                self.1.push(line.to_owned());
            } else {
                self.0 = usize::MAX;
                self.3.ask();
            }
            room
        }
        fn lost(&mut self, _: &'static str) {}
        fn reached(&mut self, place: &Place) -> anyhow::Result<()> {
            self.2 = place.offset;
            Ok(())
        }
    }

    #[test]
    fn a_line_that_was_not_taken_is_not_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eve.json");
        std::fs::write(&path, "1\n2\n3\n4\n").unwrap();
        for room in 0..4 {
            let stop = Stop::default();
            let mut full = Full(room, Vec::new(), 0, &stop);
            Follow::new(&path, None, false, &stop).unwrap().0.run(&mut full, false).unwrap();
            assert_eq!((full.1.len(), full.2), (room, 2 * room as u64), "it stands where the next start begins");
        }
    }
}
