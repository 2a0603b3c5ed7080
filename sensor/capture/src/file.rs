// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Capture files: pcap (draft-ietf-opsawg-pcap) here, pcapng in [`crate::pcapng`], by one bounded buffer.
//!
//! Own reader, since libpcap's says neither where a file is damaged nor reads a pcapng file of several link types; it
//! also takes a third of the time. Must never allocate what a header asks for: the buffer's size is fixed by
//! [`crate::MAX_FRAME`]. A damaged record ends the file, since there is nothing to find the next one by.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use lagewarte_base::{reader::Reader, time::Timestamp};

use crate::{Damage, Error, Filter, Frame, MAX_FRAME, Next, Source, Stats, pcapng};

/// Room for the largest block.
const BUFFER: usize = 1 << 20;
/// Bytes read at once. Few enough that the same lines of the second-level cache are written again and again: reading a
/// mebibyte at once pushes out what the rules are found with.
const READ: usize = 64 << 10;
const _: () = assert!(BUFFER > MAX_FRAME as usize + 4096, "the largest frame fits with its headers");

/// A capture file being read.
pub struct CaptureFile {
    name: String,
    input: Input,
    format: Format,
    filter: Option<Filter>,
    stats: Stats,
    over: bool,
}

enum Format {
    Pcap { big_endian: bool, nanos: bool, linktype: u16 },
    Pcapng(pcapng::Section),
}

/// Where a frame lies in the buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) time: Timestamp,
    pub(crate) linktype: u16,
    pub(crate) wire_len: u32,
    /// Offset from the buffer's start, and length.
    pub(crate) at: usize,
    pub(crate) len: usize,
    /// Bytes to go on by, from the buffer's start.
    pub(crate) consumed: usize,
}

impl CaptureFile {
    /// Opens a file, to be read through `filter` where there is one.
    ///
    /// # Errors
    ///
    /// Where it cannot be opened or is no capture file.
    pub fn open(path: &Path, filter: Option<Filter>) -> Result<Self, Error> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|source| Error::Io { path: name.clone(), source })?;
        Self::from_reader(Box::new(file), name, filter)
    }

    /// Reads a capture from anything that gives bytes; `name` is for messages.
    ///
    /// # Errors
    ///
    /// Where it cannot be read or is no capture.
    pub fn from_reader(input: Box<dyn Read + Send>, name: String, filter: Option<Filter>) -> Result<Self, Error> {
        let mut input = Input { input, buffer: vec![0; BUFFER], start: 0, end: 0, offset: 0, read_error: None };
        input.want(24);
        if let Some(source) = input.read_error.take() {
            return Err(Error::Io { path: name, source });
        }
        let mut r = Reader::new(input.data());
        let format = match r.array::<4>() {
            Some([0x0a, 0x0d, 0x0d, 0x0a]) => Format::Pcapng(pcapng::Section::default()),
            Some(magic) => {
                let (big_endian, nanos) = match magic {
                    [0xa1, 0xb2, 0xc3, 0xd4] => (true, false),
                    [0xd4, 0xc3, 0xb2, 0xa1] => (false, false),
                    [0xa1, 0xb2, 0x3c, 0x4d] => (true, true),
                    [0x4d, 0x3c, 0xb2, 0xa1] => (false, true),
                    _ => return Err(Error::Format { path: name, begin: begin(input.data()) }),
                };
                let Some(network) = input.data().get(20..24).and_then(|b| Reader::new(b).array()) else {
                    return Err(Error::Format { path: name, begin: begin(input.data()) });
                };
                let network = if big_endian { u32::from_be_bytes(network) } else { u32::from_le_bytes(network) };
                input.skip(24);
                // The upper half says how long the frame check sequence is; the link type is the lower.
                Format::Pcap { big_endian, nanos, linktype: network as u16 }
            }
            None => return Err(Error::Format { path: name, begin: begin(input.data()) }),
        };
        Ok(Self { name, input, format, filter, stats: Stats::default(), over: false })
    }

    /// Name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn find(&mut self) -> Result<Option<Found>, &'static str> {
        match &mut self.format {
            Format::Pcap { big_endian, nanos, linktype } => {
                let (big_endian, nanos, linktype) = (*big_endian, *nanos, *linktype);
                match self.input.want(16) {
                    0 => return Ok(None),
                    n if n < 16 => return Err("truncated_record_header"),
                    _ => {}
                }
                let mut r = Reader::new(self.input.data());
                let mut word = || {
                    let bytes = r.array().unwrap_or_default(); // 16 bytes are there: want(16)
                    if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
                };
                let (secs, part, len, wire_len) = (word(), word(), word(), word());
                if len > MAX_FRAME {
                    return Err("record_too_long");
                }
                let consumed = 16 + len as usize;
                if self.input.want(consumed) < consumed {
                    return Err("truncated_packet");
                }
                let micros = i64::from(if nanos { part / 1000 } else { part });
                let time = Timestamp::from_parts(secs.into(), micros);
                Ok(Some(Found { time, linktype, wire_len: wire_len.max(len), at: 16, len: len as usize, consumed }))
            }
            Format::Pcapng(section) => section.find(&mut self.input),
        }
    }
}

impl Source for CaptureFile {
    fn next(&mut self) -> Result<Next<'_>, Error> {
        while !self.over {
            let found = match self.find() {
                Ok(Some(found)) => found,
                end => {
                    self.over = true;
                    let reason = match (end, self.input.read_error.take()) {
                        (_, Some(_)) => Some("read_error"),
                        (Err(reason), None) => Some(reason),
                        (Ok(_), None) => None,
                    };
                    self.stats.damage = reason.map(|reason| Damage { reason, offset: self.input.offset });
                    break;
                }
            };
            let begin = self.input.start + found.at;
            self.input.skip(found.consumed);
            self.stats.received += 1;
            let data = &self.input.buffer[begin..begin + found.len]; // the finder proved that they are there
            let passes = match &mut self.filter {
                Some(f) => f.passes(found.linktype, data)?,
                None => true,
            };
            if passes {
                let data = &self.input.buffer[begin..begin + found.len];
                let Found { time, linktype, wire_len, .. } = found;
                return Ok(Next::Frame(Frame { time, linktype, wire_len, data }));
            }
            self.stats.filtered += 1;
        }
        Ok(Next::End)
    }
    fn stats(&mut self) -> Stats {
        self.stats.clone()
    }
}

fn begin(data: &[u8]) -> String {
    match data {
        [] => "nothing: it is empty".into(),
        _ => data.iter().take(4).map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" "),
    }
}

/// A buffered input that can promise a number of bytes in one piece.
pub(crate) struct Input {
    input: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset of `start` in the file.
    offset: u64,
    read_error: Option<io::Error>,
}

impl Input {
    /// What lies ready.
    pub(crate) fn data(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }
    /// Reads until `n` bytes lie ready, or as many as there are; gives that number. `n` is at most [`BUFFER`].
    pub(crate) fn want(&mut self, n: usize) -> usize {
        debug_assert!(n <= BUFFER, "a block beyond the buffer is skipped, not wanted");
        while self.end - self.start < n {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0); // the part of a block that was read: seldom much
                (self.start, self.end) = (0, self.end - self.start);
            }
            let room = self.buffer.len().min(self.end + READ);
            match self.input.read(&mut self.buffer[self.end..room]) {
                Ok(0) => break,
                Ok(read) => self.end += read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.read_error = Some(e);
                    break;
                }
            }
        }
        self.end - self.start
    }
    /// Goes on by `n` bytes, which may lie beyond what is ready; false where the file ends before.
    pub(crate) fn skip(&mut self, n: usize) -> bool {
        let mut left = n;
        loop {
            let step = left.min(self.end - self.start);
            self.start += step;
            self.offset += step as u64;
            left -= step;
            if left == 0 {
                return true;
            }
            if self.want(1) == 0 {
                return false;
            }
        }
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
