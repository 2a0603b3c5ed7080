// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! DNP3's link layer (IEEE 1815, 9): frames, their checksums, and the user data between them.
//!
//! Must never hand on user data whose checksum is wrong.

use lagewarte_base::reader::Reader;

/// The first bytes of each frame.
pub const START: [u8; 2] = [0x05, 0x64];
/// Bytes of a frame's header, its checksum included.
pub const HEADER: usize = 10;
/// Bytes of user data before each checksum.
const BLOCK: usize = 16;

/// A frame's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Control, destination, source and user data, in bytes.
    pub len: u8,
    /// Direction, initiator, frame count and function.
    pub control: u8,
    /// Destination.
    pub dst: u16,
    /// Source.
    pub src: u16,
}

impl Header {
    /// Bytes of user data.
    pub const fn user(self) -> usize {
        (self.len as usize).saturating_sub(5)
    }
    /// Bytes of the whole frame, with all checksums.
    pub const fn whole(self) -> usize {
        HEADER + self.user() + self.user().div_ceil(BLOCK) * 2
    }
}

/// The header at the beginning, and whether its checksum holds; None where more is wanted.
pub fn header(data: &[u8]) -> Option<(Header, bool)> {
    let mut r = Reader::new(data.get(..HEADER)?);
    let [_, _, len, control] = r.array()?;
    let (dst, src, sum) = (r.u16_le()?, r.u16_le()?, r.u16_le()?);
    Some((Header { len, control, dst, src }, sum == crc(data.get(..HEADER - 2)?)))
}

/// The user data of a whole frame without checksums; None where one is wrong.
pub fn user_data(frame: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(frame.len());
    for block in frame.get(HEADER..)?.chunks(BLOCK + 2) {
        let (data, sum) = block.split_at_checked(block.len().checked_sub(2)?)?;
        if sum != crc(data).to_le_bytes() {
            return None;
        }
        out.extend_from_slice(data);
    }
    Some(out)
}

/// DNP3's CRC (IEEE 1815, annex E): polynomial 0x3d65, bits reversed, complemented.
pub const fn crc(data: &[u8]) -> u16 {
    let (mut sum, mut i) = (0u16, 0);
    while i < data.len() {
        sum = sum >> 8 ^ TABLE[((sum ^ data[i] as u16) & 0xff) as usize]; // below 256
        i += 1;
    }
    !sum
}

const TABLE: [u16; 256] = {
    let (mut table, mut i) = ([0u16; 256], 0);
    while i < 256 {
        let (mut sum, mut bit) = (i as u16, 0);
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xa6bc } else { sum >> 1 };
            bit += 1;
        }
        table[i] = sum;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // CRC catalogue: CRC-16/DNP of the digits.
        assert_eq!(crc(b"123456789"), 0xea82);
        // IEEE 1815, annex E: a reset of the link.
        assert_eq!(crc(&[0x05, 0x64, 0x05, 0xc0, 0x01, 0x00, 0x00, 0x04]).to_le_bytes(), [0xe9, 0x21]);
    }

    #[test]
    fn lengths_count_a_checksum_for_each_block() {
        for (len, user, whole) in [(5, 0, 10), (6, 1, 13), (21, 16, 28), (22, 17, 31), (255, 250, 292), (2, 0, 10)] {
            let h = Header { len, ..Header::default() };
            assert_eq!((h.user(), h.whole()), (user, whole), "{len}");
        }
    }
}
