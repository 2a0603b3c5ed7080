// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What frames and names have in common in all versions of SMB: the session message in front of each record (RFC 1002
//! 4.3.1, MS-SMB2 2.1), texts in UTF-16, and GUIDs as they are written.
//!
//! Must never search further than the bytes given.

/// Length of the header in front of a record.
pub const FRAME: usize = 4;
/// Bytes of a name that are kept. Threat: a path of 32,767 letters, for each of many files.
pub const MAX_NAME: usize = 4096;

/// What stands at the beginning of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A session message of so many bytes.
    Message(usize),
    /// Another packet of the session service, with so many bytes: it is passed over.
    Other(usize),
    /// Nothing of the kind.
    Bad,
}

/// Reads a header of [`FRAME`] bytes.
pub fn frame(head: [u8; FRAME]) -> Frame {
    let [kind, a, b, c] = head;
    let len = u32::from_be_bytes([0, a, b, c]) as usize;
    match kind {
        0 => Frame::Message(len),
        // Session request, its answers, keep alive.
        0x81..=0x85 => Frame::Other(len),
        _ => Frame::Bad,
    }
}

/// Where behind a gap a record begins: at a header with one of SMB's marks behind it.
pub fn resync(data: &[u8]) -> Option<usize> {
    data.windows(FRAME + 4).position(|w| matches!(w, [0, _, _, _, 0xfc..=0xff, b'S', b'M', b'B']))
}

/// A text of UTF-16 in UTF-8, cut at [`MAX_NAME`]; it ends before a zero.
pub fn utf16(bytes: &[u8]) -> Vec<u8> {
    let units = bytes.chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]])); // chunks of two
    let mut out = String::new();
    for c in char::decode_utf16(units.take_while(|u| *u != 0)) {
        if out.len() >= MAX_NAME {
            break;
        }
        out.push(c.unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    out.into_bytes()
}

/// A text in either form, without a zero at its end.
pub fn text(bytes: &[u8], unicode: bool) -> Vec<u8> {
    if unicode {
        return utf16(bytes);
    }
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    bytes.get(..end.min(MAX_NAME)).unwrap_or_default().to_vec()
}

/// The text at the beginning of bytes that ends with a zero (or with them), and what follows it.
pub fn ended(bytes: &[u8], unicode: bool) -> (Vec<u8>, &[u8]) {
    let (end, zero) = if unicode {
        (bytes.chunks_exact(2).position(|c| c == [0, 0]).map_or(bytes.len(), |n| 2 * n), 2)
    } else {
        (bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len()), 1)
    };
    (text(bytes.get(..end).unwrap_or_default(), unicode), bytes.get(end + zero..).unwrap_or_default())
}

/// Whether a share's name says that it is the one of named pipes.
pub fn is_ipc(share: &[u8]) -> bool {
    share.rsplit(|b| *b == b'\\').next().is_some_and(|n| n.eq_ignore_ascii_case(b"IPC$"))
}

/// Sixteen bytes as Suricata writes a GUID of SMB: numbers of four, two, two, two, two and four bytes.
pub fn guid(g: &[u8; 16]) -> String {
    let n = |from: usize, to: usize| g.get(from..to).unwrap_or_default().iter().rev().map(|b| format!("{b:02x}"));
    let part = |from, to| n(from, to).collect::<String>();
    format!("{}-{}-{}-{}-{}{}", part(0, 4), part(4, 6), part(6, 8), part(8, 10), part(10, 12), part(12, 16))
}

/// Seconds since 1970 of a time of Windows (100 ns since 1601; MS-DTYP 2.3.3); 0 where it is none.
pub const fn unix(time: u64) -> u64 {
    (time / 10_000_000).saturating_sub(11_644_473_600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_guids_are_written_as_the_peer_writes_them() {
        let id = [0x2a, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0];
        assert_eq!(guid(&id), "0000002a-0008-0000-0009-000000000008");
        assert_eq!(utf16(b"a\0\xe4\0\0\xd8x\0"), "aä\u{fffd}x".as_bytes());
        assert_eq!(utf16(&[b'a'; 40_000]).len(), MAX_NAME + 2, "a name is cut");
        assert_eq!(ended(b"ab\0cd\0", false), (b"ab".to_vec(), &b"cd\0"[..]));
        assert_eq!(ended(b"a\0\0\0b\0", true), (b"a".to_vec(), &b"b\0"[..]));
        // 2017-12-06 18:36:39 UTC, from a capture.
        assert_eq!((unix(131_570_589_990_000_000), unix(0)), (1_512_585_399, 0));
        assert_eq!(resync(b"xx\0\0\0\x40\xfeSMB"), Some(2));
        assert_eq!(resync(b"\0\0\0\x40\xfeSM"), None);
        assert_eq!(resync(b"x\0\0\0\x40\xfcSMB"), Some(1), "a compressed record is one, too");
        assert_eq!(
            (frame([0, 1, 0, 2]), frame([0x85, 0, 0, 0]), frame([b'G'; 4])),
            (Frame::Message(0x1_0002), Frame::Other(0), Frame::Bad)
        );
    }
}
