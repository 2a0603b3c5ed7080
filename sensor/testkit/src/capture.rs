// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Captures in memory: read from pcap bytes, written as pcap bytes (microseconds, little endian).
//!
//! Must never guess: a capture that is not whole is an error here.

use lagewarte_base::{reader::Reader, time::Timestamp};

use crate::Error;

/// One packet of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Time of capture.
    pub time: Timestamp,
    /// Length on the wire.
    pub wire_len: u32,
    /// The bytes captured.
    pub data: Vec<u8>,
}

/// A capture of one link type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// tcpdump.org LINKTYPE number.
    pub linktype: u32,
    /// In the order of the file.
    pub packets: Vec<Packet>,
}

impl Capture {
    /// An empty Ethernet capture.
    pub const fn ethernet() -> Self {
        Self { linktype: 1, packets: Vec::new() }
    }

    /// Adds a whole frame.
    pub fn push(&mut self, time: Timestamp, data: Vec<u8>) -> &mut Self {
        self.packets.push(Packet { time, wire_len: data.len() as u32, data }); // a frame is shorter than 2^32
        self
    }

    /// Reads a pcap file's bytes, of either byte order, with micro- or nanoseconds.
    ///
    /// # Errors
    ///
    /// Where it is no pcap file or not whole.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let short = || Error("the capture ends in the middle of a record".into());
        let mut r = Reader::new(bytes);
        let (big, divide) = match r.array::<4>() {
            Some([0xa1, 0xb2, 0xc3, 0xd4]) => (true, 1),
            Some([0xd4, 0xc3, 0xb2, 0xa1]) => (false, 1),
            Some([0xa1, 0xb2, 0x3c, 0x4d]) => (true, 1000),
            Some([0x4d, 0x3c, 0xb2, 0xa1]) => (false, 1000),
            _ => return Err(Error("not a pcap file (pcapng is not read here)".into())),
        };
        let word = |r: &mut Reader<'_>| {
            r.array().map(|b| if big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) }).ok_or_else(short)
        };
        r.take(16).ok_or_else(short)?;
        let linktype = word(&mut r)? & 0xffff;
        let mut packets = Vec::new();
        while !r.is_empty() {
            let (secs, part, len, wire_len) = (word(&mut r)?, word(&mut r)?, word(&mut r)?, word(&mut r)?);
            let data = r.take(len as usize).ok_or_else(short)?.to_vec();
            packets.push(Packet { time: Timestamp::from_parts(secs.into(), (part / divide).into()), wire_len, data });
        }
        Ok(Self { linktype, packets })
    }

    /// The capture as a pcap file's bytes. Times before 1970 or after 2106 become 0.
    pub fn write(&self) -> Vec<u8> {
        let mut out = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 262_144, self.linktype].map(u32::to_le_bytes).concat();
        for p in &self.packets {
            let secs = u32::try_from(p.time.secs()).unwrap_or(0);
            let micros = u32::try_from(p.time.micros().rem_euclid(1_000_000)).unwrap_or(0);
            out.extend([secs, micros, p.data.len() as u32, p.wire_len].map(u32::to_le_bytes).concat());
            out.extend_from_slice(&p.data);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_comes_back_as_it_was_written() {
        let mut c = Capture::ethernet();
        c.push(Timestamp::from_parts(1_700_000_000, 7), vec![1, 2, 3])
            .push(Timestamp::from_parts(1_700_000_001, 0), vec![]);
        let bytes = c.write();
        assert_eq!(Capture::read(&bytes), Ok(c));
        for n in (0..24).chain(25..bytes.len() - 16).filter(|n| *n != 24 + 19) {
            assert!(Capture::read(&bytes[..n]).is_err(), "{n}");
        }
    }
}
