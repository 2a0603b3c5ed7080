// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Whether the values of a Modbus message are ones that the specification allows, and whether a response fits its request
//! ("MODBUS Application Protocol Specification V1.1b3", 6). Must never judge a function whose layout it does not know.

use super::{EXCEPTION, FUNCTION, Frame, LENGTH, PROTOCOL_ID, VALUE};

/// What is wrong with a frame, as bits.
pub(super) mod flag {
    pub(in super::super) const VALUE: u8 = 1;
    pub(in super::super) const LENGTH: u8 = 2;
    pub(in super::super) const EXCEPTION: u8 = 4;
    pub(in super::super) const FUNCTION: u8 = 8;
    pub(in super::super) const PROTOCOL: u8 = 16;
}

/// Which event each of them is.
pub(super) const EVENTS: &[(u8, u8)] = &[
    (flag::PROTOCOL, PROTOCOL_ID),
    (flag::LENGTH, LENGTH),
    (flag::FUNCTION, FUNCTION),
    (flag::VALUE, VALUE),
    (flag::EXCEPTION, EXCEPTION),
];

/// What is wrong with a frame alone.
pub(super) fn flags(f: &Frame, request: bool) -> u8 {
    [
        (f.ids.1 != 0, flag::PROTOCOL),
        (f.exception.is_none() && !length(f, request), flag::LENGTH),
        (!known(f), flag::FUNCTION),
        (request && !self::request(f), flag::VALUE),
        (f.exception.is_some_and(|code| !exception(code)), flag::EXCEPTION),
    ]
    .into_iter()
    .filter(|(is, _)| *is)
    .fold(0, |all, (_, flag)| all | flag)
}

// Whether it is as long as its function makes it.
fn length(f: &Frame, request: bool) -> bool {
    let n = f.data.len();
    let counted = |at: usize| f.data.get(at).is_some_and(|count| n == at + 1 + usize::from(*count));
    match (f.function, request) {
        (1..=6, true) | (5 | 6 | 11 | 15 | 16, false) => n == 4,
        (7 | 11 | 12 | 17, true) => n == 0,
        (15 | 16, true) => counted(4),
        (22, _) => n == 6,
        (23, true) => counted(8),
        (1..=4 | 23, false) => n > 0, // whether the count is right, its request says
        (8, _) => n >= 2,
        (43, _) => n >= 1,
        _ => true,
    }
}

/// Whether a function has a number that the specification knows.
pub(super) fn known(f: &Frame) -> bool {
    f.name() != "Unknown"
}

/// Whether an exception is one of the specification's (7).
pub(super) const fn exception(code: u8) -> bool {
    matches!(code, 1..=8 | 10 | 11)
}

/// Whether a request's quantities and values are in their bounds.
pub(super) fn request(f: &Frame) -> bool {
    let Some(second) = f.word(2) else { return true };
    let bytes = |at: usize| f.data.get(at).copied().map(usize::from);
    let bits = usize::from(second).div_ceil(8);
    match f.function {
        1 | 2 => (1..=2000).contains(&second),
        3 | 4 => (1..=125).contains(&second),
        5 => matches!(second, 0 | 0xff00),
        // 6.8: what a subfunction has to say; the echo and listening only may say anything.
        8 => match f.sub() {
            Some(1) => matches!(second, 0 | 0xff00),
            Some(3) => second & 0xff == 0,
            Some(2 | 10..=21) => second == 0,
            _ => true,
        },
        15 => (1..=1968).contains(&second) && bytes(4).is_none_or(|n| n == bits),
        16 => (1..=123).contains(&second) && bytes(4).is_none_or(|n| n == 2 * usize::from(second)),
        23 => {
            let written = f.word(6).unwrap_or(1);
            (1..=125).contains(&second)
                && (1..=121).contains(&written)
                && bytes(8).is_none_or(|n| n == 2 * usize::from(written))
        }
        _ => true,
    }
}

/// Whether a response says what its request makes it say.
pub(super) fn fits(asked: &Frame, answered: &Frame) -> bool {
    if answered.exception.is_some() {
        return true;
    }
    let same = |n: usize| match (asked.data.get(..n), answered.data.get(..n)) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    let count = answered.data.first().copied().map(usize::from);
    let wanted = asked.word(2).map(usize::from);
    match asked.function {
        1 | 2 => count.zip(wanted).is_none_or(|(n, w)| n == w.div_ceil(8)),
        3 | 4 | 23 => count.zip(wanted).is_none_or(|(n, w)| n == 2 * w),
        5 | 6 | 15 | 16 => same(4),
        22 => same(6),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(pdu: &[u8]) -> Frame {
        let exception = (pdu[0] & 0x80 != 0).then(|| pdu[1]);
        let data = if exception.is_some() { Vec::new() } else { pdu[1..].to_vec() };
        Frame { function: pdu[0] & 0x7f, exception, data, ..Frame::default() }
    }

    #[test]
    fn quantities_have_the_bounds_of_the_specification() {
        for (pdu, good) in [
            (&[1, 0, 0, 0x07, 0xd0][..], true), // 2000 coils
            (&[1, 0, 0, 0x07, 0xd1], false),
            (&[2, 0, 0, 0, 0], false),
            (&[3, 0, 0, 0, 125], true),
            (&[4, 0, 0, 0, 126], false),
            (&[5, 0, 1, 0xff, 0], true),
            (&[5, 0, 1, 0, 1], false),
            (&[6, 0, 1, 0, 1], true),
            (&[15, 0, 0, 0, 9, 2, 0xff, 1], true),
            (&[15, 0, 0, 0, 9, 1, 0xff], false),
            (&[16, 0, 0, 0, 2, 4, 0, 1, 0, 2], true),
            (&[16, 0, 0, 0, 2, 3, 0, 1, 0], false),
            (&[16, 0, 0, 0, 124, 248], false),
            (&[23, 0, 0, 0, 1, 0, 0, 0, 1, 2, 0, 7], true),
            (&[23, 0, 0, 0, 1, 0, 0, 0, 122, 244], false),
            (&[8, 0, 0], true),
            (&[8, 0, 0, 0xa5, 0x37], true),
            (&[8, 0, 1, 0xff, 0], true),
            (&[8, 0, 1, 0, 1], false),
            (&[8, 0, 3, b'x', 0], true),
            (&[8, 0, 10, 0, 1], false),
            (&[99, 0, 0, 0, 0], true),
        ] {
            assert_eq!(request(&frame(pdu)), good, "{pdu:?}");
        }
        assert!(known(&frame(&[24])) && !known(&frame(&[25])) && !known(&frame(&[0])));
        assert!(exception(11) && !exception(9) && !exception(0));
    }

    #[test]
    fn a_message_is_as_long_as_its_function_makes_it() {
        for (pdu, request, good) in [
            (&[1, 0, 0, 0, 3][..], true, true),
            (&[1, 0, 0], true, false),
            (&[6, 0, 2, 0, 7, 1], true, false),
            (&[6, 0, 2, 0, 7], false, true),
            (&[15, 0, 19, 0, 10, 2, 0xcd, 1], true, true),
            (&[15, 0, 19, 0, 10, 3, 0xcd, 1], true, false),
            (&[15, 0, 19, 0, 10], false, true),
            (&[11, 1, 2, 3], false, false),
            (&[22, 0, 4, 0, 0xf2, 0, 0x25], true, true),
            (&[23, 0, 3, 0, 6, 0, 14, 0, 1, 2, 0, 1], true, true),
            (&[1], false, false),
            (&[8, 0], true, false),
            (&[43], true, false),
            (&[7], true, true),
            (&[0x81], false, true),
            (&[66, 1], true, true),
        ] {
            let f = if pdu[0] & 0x80 == 0 { frame(pdu) } else { frame(&[pdu[0], 1]) };
            assert_eq!(flags(&f, request) & flag::LENGTH == 0, good, "{pdu:?}");
        }
    }

    #[test]
    fn a_response_echoes_what_was_written_and_counts_what_was_asked() {
        for (asked, answered, good) in [
            (&[1, 0, 0, 0, 9][..], &[1, 2, 0, 0][..], true),
            (&[1, 0, 0, 0, 9], &[1, 1, 0], false),
            (&[3, 0, 0, 0, 2], &[3, 4, 0, 0, 0, 0], true),
            (&[3, 0, 0, 0, 2], &[3, 2, 0, 0], false),
            (&[6, 0, 1, 0, 7], &[6, 0, 1, 0, 7], true),
            (&[6, 0, 1, 0, 7], &[6, 0, 1, 0, 8], false),
            (&[16, 0, 9, 0, 2, 4, 0, 7, 1, 0], &[16, 0, 9, 0, 2], true),
            (&[16, 0, 9, 0, 2, 4, 0, 7, 1, 0], &[16, 0, 9, 0, 1], false),
            (&[6, 0, 1, 0, 7], &[0x86, 2], true),
            (&[7], &[7, 1], true),
        ] {
            assert_eq!(fits(&frame(asked), &frame(answered)), good, "{asked:?} {answered:?}");
        }
    }
}
