// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! pcapng files (draft-ietf-opsawg-pcapng): sections of either byte order, several interfaces, packet blocks of all
//! three kinds. Other blocks are skipped without being held.
//!
//! Must never trust a block's length before comparing it with its own content and with the bounds here.

use lagewarte_base::{reader::Reader, time::Timestamp};

use crate::{
    MAX_FRAME,
    file::{Found, Input},
};

/// Most interfaces of a section. Threat: a file of interface descriptions only.
const MAX_INTERFACES: usize = 4096;
/// Room for the fixed part and the options of a block whose content is held.
const MAX_OVERHEAD: u32 = 128 << 10;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// The section being read.
#[derive(Default)]
pub(crate) struct Section {
    big_endian: bool,
    begun: bool,
    interfaces: Vec<Interface>,
    /// Simple packets have no time of their own: they get that of the packet before.
    last: Timestamp,
}

#[derive(Clone, Copy)]
struct Interface {
    linktype: u16,
    snaplen: u32,
    resolution: u8,
    /// Seconds to add to each timestamp.
    offset: i64,
}

impl Interface {
    /// Microseconds of a timestamp in this interface's units.
    fn time(&self, units: u64) -> Timestamp {
        let units = i128::from(units);
        let exponent = u32::from(self.resolution & 0x7f);
        let micros = if self.resolution & 0x80 != 0 {
            if exponent < 64 { (units * 1_000_000) >> exponent } else { 0 }
        } else if exponent <= 6 {
            units * 10i128.pow(6 - exponent)
        } else {
            10i128.checked_pow(exponent - 6).map_or(0, |d| units / d)
        };
        let micros = micros + i128::from(self.offset) * 1_000_000;
        Timestamp::from_micros(micros.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }
}

impl Section {
    fn u16(&self, b: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) }
    }
    fn u32(&self, b: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) }
    }
    fn take32(&self, r: &mut Reader<'_>) -> Option<u32> {
        r.array().map(|b| self.u32(b))
    }

    /// The next packet; None at the end of the file.
    pub(crate) fn find(&mut self, input: &mut Input) -> Result<Option<Found>, &'static str> {
        loop {
            match input.want(12) {
                0 => return Ok(None),
                n if n < 12 => return Err("truncated_block_header"),
                _ => {}
            }
            let mut r = Reader::new(input.data());
            let (Some(kind), Some(len), Some(magic)) = (r.array::<4>(), r.array::<4>(), r.array::<4>()) else {
                return Err("truncated_block_header");
            };
            if kind == SECTION.to_be_bytes() {
                self.big_endian = match magic {
                    [0x1a, 0x2b, 0x3c, 0x4d] => true,
                    [0x4d, 0x3c, 0x2b, 0x1a] => false,
                    _ => return Err("byte_order_magic"),
                };
                self.interfaces.clear();
                self.begun = true;
            }
            if !self.begun {
                return Err("no_section_header");
            }
            let (kind, len) = (self.u32(kind), self.u32(len));
            if len < 12 || len % 4 != 0 {
                return Err("block_length");
            }
            if !matches!(kind, INTERFACE | OBSOLETE_PACKET | SIMPLE_PACKET | ENHANCED_PACKET) {
                if !input.skip(len as usize) {
                    return Err("truncated_block");
                }
                continue;
            }
            if len > MAX_FRAME + MAX_OVERHEAD {
                return Err("block_too_long");
            }
            let block = len as usize;
            if input.want(block) < block {
                return Err("truncated_block");
            }
            let data = &input.data()[..block]; // want() gave them
            if data.last_chunk::<4>().map(|b| self.u32(*b)) != Some(len) {
                return Err("block_length_differs");
            }
            let body = &data[8..block - 4]; // len >= 12
            match kind {
                INTERFACE => {
                    let interface = self.interface(body).ok_or("interface_description")?;
                    if self.interfaces.len() >= MAX_INTERFACES {
                        return Err("too_many_interfaces");
                    }
                    self.interfaces.push(interface);
                    input.skip(block);
                }
                _ => {
                    let mut found = self.packet(kind, body)?;
                    found.at += 8;
                    found.consumed = block;
                    self.last = found.time;
                    return Ok(Some(found));
                }
            }
        }
    }

    fn interface(&self, body: &[u8]) -> Option<Interface> {
        let mut r = Reader::new(body);
        let linktype = self.u16(r.array()?);
        r.take(2)?;
        let mut i = Interface { linktype, snaplen: self.take32(&mut r)?, resolution: 6, offset: 0 };
        while let (Some(code), Some(len)) = (r.array().map(|b| self.u16(b)), r.array().map(|b| self.u16(b))) {
            let len = usize::from(len);
            let Some(value) = r.take(len) else { break };
            r.take((4 - len % 4) % 4);
            match (code, value) {
                (0, _) => break,
                (9, &[resolution]) => i.resolution = resolution,
                (14, value) => {
                    if let Ok(b) = <[u8; 8]>::try_from(value) {
                        i.offset = if self.big_endian { i64::from_be_bytes(b) } else { i64::from_le_bytes(b) };
                    }
                }
                _ => {}
            }
        }
        Some(i)
    }

    /// A packet block's fields, `at` counted from the body's start.
    fn packet(&self, kind: u32, body: &[u8]) -> Result<Found, &'static str> {
        const SHORT: &str = "packet_block_too_short";
        let mut r = Reader::new(body);
        let interface = |n: usize| self.interfaces.get(n).copied().ok_or("unknown_interface");
        let (interface, time, len, wire_len) = if kind == SIMPLE_PACKET {
            let wire_len = self.take32(&mut r).ok_or(SHORT)?;
            let i = interface(0)?;
            let held = if i.snaplen == 0 { wire_len } else { wire_len.min(i.snaplen) };
            (i, self.last, held.min(r.rest().len() as u32), wire_len) // a body is shorter than 2^32
        } else {
            let number = if kind == ENHANCED_PACKET {
                self.take32(&mut r).ok_or(SHORT)? as usize
            } else {
                let n = r.array().map(|b| self.u16(b)).ok_or(SHORT)?;
                r.take(2).ok_or(SHORT)?; // count of drops
                usize::from(n)
            };
            let i = interface(number)?;
            let (high, low) = (self.take32(&mut r).ok_or(SHORT)?, self.take32(&mut r).ok_or(SHORT)?);
            let (len, wire_len) = (self.take32(&mut r).ok_or(SHORT)?, self.take32(&mut r).ok_or(SHORT)?);
            (i, i.time(u64::from(high) << 32 | u64::from(low)), len, wire_len)
        };
        if len > MAX_FRAME {
            return Err("record_too_long");
        }
        let at = body.len() - r.rest().len();
        r.take(len as usize).ok_or("packet_beyond_its_block")?;
        Ok(Found {
            time,
            linktype: interface.linktype,
            wire_len: wire_len.max(len),
            at,
            len: len as usize,
            consumed: 0,
        })
    }
}
