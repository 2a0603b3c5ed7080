// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Frames of HTTP/2 (RFC 9113): their heads and what stands before a payload.
//!
//! Pure: bytes to values. Must never read a payload of more than [`MAX_FRAME`] bytes at once; DATA passes in pieces.

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length of a frame's head.
pub const HEAD: usize = 9;
/// Payload of a frame that is read whole, at most. Threat: a length of 16 MiB announced.
pub const MAX_FRAME: usize = 64 * 1024;

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Bytes of payload.
    pub len: usize,
    /// What it is.
    pub kind: u8,
    /// Flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
}

/// Kinds of frames.
pub mod kind {
    #![expect(missing_docs, reason = "names of RFC 9113, section 6")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flag: nothing follows on this stream in this direction (DATA, HEADERS); an answer (SETTINGS, PING).
pub const END_STREAM: u8 = 1;
/// Flag: the header block is complete.
pub const END_HEADERS: u8 = 4;
/// Flag: padding stands behind.
pub const PADDED: u8 = 8;
/// Flag: a priority stands before the header block.
pub const PRIORITY: u8 = 0x20;

/// The head at the beginning of `data`; None where it is not complete.
pub fn frame(data: &[u8]) -> Option<Frame> {
    let [a, b, c, kind, flags, s @ ..] = data.first_chunk::<HEAD>()?;
    Some(Frame {
        len: usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c),
        kind: *kind,
        flags: *flags,
        stream: u32::from_be_bytes(*s) & 0x7fff_ffff,
    })
}

/// A payload without its padding; None where the padding is longer than the payload.
pub fn unpadded(payload: &[u8], flags: u8) -> Option<&[u8]> {
    if flags & PADDED == 0 {
        return Some(payload);
    }
    let (pad, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(*pad))?)
}

/// The header block of a HEADERS frame, and its weight where it states one.
pub fn headers(payload: &[u8], flags: u8) -> Option<(&[u8], Option<u8>)> {
    let rest = unpadded(payload, flags)?;
    if flags & PRIORITY == 0 {
        return Some((rest, None));
    }
    let (priority, block) = rest.split_first_chunk::<5>()?;
    Some((block, Some(priority[4]))) // an array of five
}

/// The promised stream and the header block of a PUSH_PROMISE frame.
pub fn push_promise(payload: &[u8], flags: u8) -> Option<(u32, &[u8])> {
    let (stream, block) = unpadded(payload, flags)?.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*stream) & 0x7fff_ffff, block))
}

/// The number that RST_STREAM and WINDOW_UPDATE hold, and GOAWAY behind the last stream's id.
pub fn number(payload: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*payload.get(at..)?.first_chunk::<4>()?))
}

/// Settings as (id, value).
pub fn settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    payload.chunks_exact(6).filter_map(|c| {
        let (id, value) = c.split_first_chunk::<2>()?;
        Some((u16::from_be_bytes(*id), u32::from_be_bytes(*value.first_chunk::<4>()?)))
    })
}

/// A setting's name as EVE writes it.
pub const fn setting_name(id: u16) -> Option<&'static str> {
    Some(match id {
        1 => "SETTINGSHEADERTABLESIZE",
        2 => "SETTINGSENABLEPUSH",
        3 => "SETTINGSMAXCONCURRENTSTREAMS",
        4 => "SETTINGSINITIALWINDOWSIZE",
        5 => "SETTINGSMAXFRAMESIZE",
        6 => "SETTINGSMAXHEADERLISTSIZE",
        _ => return None,
    })
}

/// An error's name as EVE writes it.
pub const fn error_name(code: u32) -> Option<&'static str> {
    Some(match code {
        0 => "NO_ERROR",
        1 => "PROTOCOL_ERROR",
        2 => "INTERNAL_ERROR",
        3 => "FLOW_CONTROL_ERROR",
        4 => "SETTINGS_TIMEOUT",
        5 => "STREAM_CLOSED",
        6 => "FRAME_SIZE_ERROR",
        7 => "REFUSED_STREAM",
        8 => "CANCEL",
        9 => "COMPRESSION_ERROR",
        10 => "CONNECT_ERROR",
        11 => "ENHANCE_YOUR_CALM",
        12 => "INADEQUATE_SECURITY",
        13 => "HTTP_1_1_REQUIRED",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_their_parts() {
        let wire = [0, 0, 6, 4, 0, 0x80, 0, 0, 1, 0, 3, 0, 0, 0, 100];
        let f = frame(&wire).unwrap();
        assert_eq!(f, Frame { len: 6, kind: kind::SETTINGS, flags: 0, stream: 1 });
        assert_eq!(settings(&wire[9..]).collect::<Vec<_>>(), [(3, 100)]);
        for n in 0..HEAD {
            assert_eq!(frame(&wire[..n]), None);
        }
        assert_eq!(unpadded(&[2, b'a', 0, 0], PADDED), Some(&b"a"[..]));
        assert_eq!(unpadded(&[4, b'a', 0, 0], PADDED), None);
        assert_eq!(unpadded(&[], PADDED), None);
        assert_eq!(headers(&[0, 0, 0, 0, 9, b'x'], PRIORITY), Some((&b"x"[..], Some(9))));
        assert_eq!(headers(&[0, 0, 0, 0], PRIORITY), None);
        assert_eq!(push_promise(&[0x80, 0, 0, 2, b'x'], 0), Some((2, &b"x"[..])));
        assert_eq!((number(&[0, 0, 0, 8], 0), number(&[0, 0, 0], 0)), (Some(8), None));
        assert_eq!((setting_name(3), error_name(8)), (Some("SETTINGSMAXCONCURRENTSTREAMS"), Some("CANCEL")));
    }
}
