// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Whole lines out of a file that another program writes, rotates and truncates.
//!
//! Must never give half a line, and never hold more than one line of at most [`MAX_LINE`] and one block in memory.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use ring::digest;
use serde::{Deserialize, Serialize};

/// Longest line taken, bytes; a longer one is skipped and counted. Threat: a file without line ends filling the memory.
pub const MAX_LINE: usize = 1 << 20;
/// Bytes read at a time.
const BLOCK: usize = 256 << 10;
/// Bytes at a file's begin by which it is recognised: inode numbers are used again.
const HEAD: u64 = 512;
/// Most rotated files looked at. Threat: a directory of a million files.
const MAX_ROTATED: usize = 10_000;

/// Which file, and how far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub inode: u64,
    /// Offset of the first byte not yet shipped.
    pub offset: u64,
    /// SHA-256 of the first bytes before the offset, at most [`HEAD`].
    pub head: String,
}

/// What a read gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line without its end; the offset behind it.
    Whole(Vec<u8>, u64),
    /// A line over [`MAX_LINE`] was skipped; the offset behind it.
    TooLong(u64),
    /// Nothing more now.
    Idle,
}

/// An open file being read.
#[derive(Debug)]
pub struct Lines {
    file: File,
    /// Its name when it was opened; it may have been renamed since.
    pub path: PathBuf,
    dev: u64,
    inode: u64,
    /// Offset of `buffer`'s first byte.
    offset: u64,
    buffer: Vec<u8>,
    /// Bytes of `buffer` known to hold no line end.
    searched: usize,
    skipping: bool,
}

impl Lines {
    /// Opens a file at an offset.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path, offset: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let meta = file.metadata()?;
        file.seek(SeekFrom::Start(offset))?;
        let (dev, inode) = (meta.dev(), meta.ino());
        Ok(Self { file, path: path.to_owned(), dev, inode, offset, buffer: Vec::new(), searched: 0, skipping: false })
    }

    /// The next whole line.
    ///
    /// # Errors
    /// The system's.
    pub fn next_line(&mut self) -> io::Result<Line> {
        loop {
            if let Some(end) = self.buffer[self.searched..].iter().position(|b| *b == b'\n').map(|n| n + self.searched)
            {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                self.offset += line.len() as u64;
                self.searched = 0;
                let skipped = std::mem::take(&mut self.skipping);
                if skipped || line.len() > MAX_LINE {
                    return Ok(Line::TooLong(self.offset));
                }
                let text = line.strip_suffix(b"\n").unwrap_or(&line);
                return Ok(Line::Whole(text.strip_suffix(b"\r").unwrap_or(text).to_vec(), self.offset));
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > MAX_LINE {
                self.offset += self.buffer.len() as u64;
                self.buffer.clear();
                self.searched = 0;
                self.skipping = true;
            }
            let mut block = Vec::new();
            if (&mut self.file).take(BLOCK as u64).read_to_end(&mut block)? == 0 {
                return Ok(Line::Idle);
            }
            self.buffer.append(&mut block);
        }
    }

    /// Whether a line has begun that has no end yet.
    pub fn partial(&self) -> bool {
        self.skipping || !self.buffer.is_empty()
    }

    /// Whether the file became shorter than what was read, or its begin another: it was truncated and written anew.
    ///
    /// # Errors
    /// The system's.
    pub fn truncated(&self, place: &Place) -> io::Result<bool> {
        let read_to = self.offset + self.buffer.len() as u64;
        Ok(self.file.metadata()?.len() < read_to || head(&self.path_by_descriptor()?, place.offset)? != place.head)
    }

    /// Whether the name now stands for another file, which already has content: the writer has moved on.
    pub fn rotated(&self, name: &Path) -> bool {
        fs::metadata(name).is_ok_and(|m| (m.dev(), m.ino()) != (self.dev, self.inode) && m.len() > 0)
    }

    /// The place behind `offset`, to be kept.
    ///
    /// # Errors
    /// The system's.
    pub fn place(&self, offset: u64) -> io::Result<Place> {
        Ok(Place { dev: self.dev, inode: self.inode, offset, head: head(&self.path_by_descriptor()?, offset)? })
    }

    /// Reads the same file whatever it is called now.
    fn path_by_descriptor(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

fn head(file: &File, offset: u64) -> io::Result<String> {
    use std::os::unix::fs::FileExt as _;
    let mut bytes = vec![0; offset.min(HEAD) as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    bytes.truncate(filled);
    Ok(hex::encode(digest::digest(&digest::SHA256, &bytes)))
}

/// The files to read, oldest first, when going on at `place`: the one that holds it, those rotated after it, and `name`.
/// The second value is false where the file of `place` is gone: what stood in it is lost.
///
/// # Errors
/// The system's, on the directory.
pub fn resume(name: &Path, place: &Place) -> io::Result<(Vec<(PathBuf, u64)>, bool)> {
    let holds = |path: &Path| -> bool {
        let check = || -> io::Result<bool> {
            let file = File::open(path)?;
            let meta = file.metadata()?;
            let same = (meta.dev(), meta.ino()) == (place.dev, place.inode) && meta.len() >= place.offset;
            Ok(same && head(&file, place.offset)? == place.head)
        };
        check().unwrap_or(false)
    };
    if holds(name) {
        return Ok((vec![(name.to_owned(), place.offset)], true));
    }
    let dir = name.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let base = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut rotated = Vec::new();
    for entry in fs::read_dir(dir)?.take(MAX_ROTATED) {
        let entry = entry?;
        let file_name = entry.file_name().to_string_lossy().into_owned();
        let compressed = [".gz", ".xz", ".zst", ".bz2"].iter().any(|e| file_name.ends_with(e));
        if file_name.len() > base.len() && file_name.starts_with(&base) && !compressed && entry.file_type()?.is_file() {
            let meta = entry.metadata()?;
            // Clocks of file systems tick coarsely: among equals a higher number is older, as logrotate counts.
            let number = file_name[base.len()..].trim_start_matches('.').parse::<u64>().unwrap_or(0);
            rotated.push((meta.mtime(), meta.mtime_nsec(), std::cmp::Reverse(number), entry.path()));
        }
    }
    rotated.sort();
    let at = rotated.iter().position(|(.., path)| holds(path));
    let mut files: Vec<(PathBuf, u64)> = match at {
        Some(at) => {
            let later = rotated[at + 1..].iter().map(|(.., p)| (p.clone(), 0));
            std::iter::once((rotated[at].3.clone(), place.offset)).chain(later).collect()
        }
        None => Vec::new(),
    };
    if name.exists() {
        files.push((name.to_owned(), 0));
    }
    Ok((files, at.is_some()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn all(lines: &mut Lines) -> Vec<String> {
        let mut got = Vec::new();
        loop {
            match lines.next_line().unwrap() {
                Line::Whole(line, _) => got.push(String::from_utf8(line).unwrap()),
                Line::TooLong(_) => got.push("TOO LONG".into()),
                Line::Idle => return got,
            }
        }
    }

    #[test]
    fn half_a_line_waits_for_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eve.json");
        let mut w = File::create(&path).unwrap();
        w.write_all(b"one\r\n\ntw").unwrap();
        let mut lines = Lines::open(&path, 0).unwrap();
        assert_eq!(all(&mut lines), ["one", ""]);
        assert!(lines.partial());
        w.write_all(b"o\nthree\n").unwrap();
        assert_eq!(all(&mut lines), ["two", "three"]);
        assert!(!lines.partial());
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eve.json");
        let mut w = File::create(&path).unwrap();
        w.write_all(&vec![b'x'; 3 * MAX_LINE]).unwrap();
        let mut lines = Lines::open(&path, 0).unwrap();
        assert_eq!(all(&mut lines), Vec::<String>::new());
        assert!(lines.buffer.len() <= MAX_LINE + BLOCK);
        w.write_all(b"x\nnext\n").unwrap();
        assert_eq!(all(&mut lines), ["TOO LONG", "next"]);
        assert_eq!(lines.offset, 3 * MAX_LINE as u64 + 7);
    }

    #[test]
    fn a_truncated_file_and_a_reused_inode_are_recognised() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eve.json");
        fs::write(&path, "one\ntwo\n").unwrap();
        let mut lines = Lines::open(&path, 0).unwrap();
        assert_eq!(all(&mut lines).len(), 2);
        let place = lines.place(8).unwrap();
        assert!(!lines.truncated(&place).unwrap());
        assert_eq!(resume(&path, &place).unwrap(), (vec![(path.clone(), 8)], true));
        let w = fs::OpenOptions::new().write(true).open(&path).unwrap();
        w.set_len(0).unwrap();
        assert!(lines.truncated(&place).unwrap(), "shorter");
        fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(b"three\nfour\nfive\n").unwrap();
        assert!(lines.truncated(&place).unwrap(), "longer again, and another begin");
        assert_eq!(resume(&path, &place).unwrap(), (vec![(path.clone(), 0)], false));
    }

    #[test]
    fn going_on_finds_what_was_rotated_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eve.json");
        fs::write(&path, "one\ntwo\n").unwrap();
        let place = Lines::open(&path, 0).unwrap().place(4).unwrap();
        let touch = |p: &Path, secs: u64| {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(secs);
            File::options().write(true).open(p).unwrap().set_modified(time).unwrap();
        };
        let old = dir.path().join("eve.json.2");
        fs::rename(&path, &old).unwrap();
        touch(&old, 1000);
        let newer = dir.path().join("eve.json.1");
        fs::write(&newer, "three\n").unwrap();
        touch(&newer, 2000);
        fs::write(dir.path().join("eve.json.3"), "older\n").unwrap();
        touch(&dir.path().join("eve.json.3"), 500);
        fs::write(dir.path().join("eve.json.4.gz"), "x").unwrap();
        fs::write(&path, "four\n").unwrap();
        let lines = Lines::open(&old, 4).unwrap();
        assert!(lines.rotated(&path));
        assert_eq!(
            resume(&path, &place).unwrap(),
            (vec![(old.clone(), 4), (newer.clone(), 0), (path.clone(), 0)], true)
        );
        fs::remove_file(&old).unwrap();
        assert_eq!(resume(&path, &place).unwrap(), (vec![(path.clone(), 0)], false), "the file of the place is gone");
    }
}
