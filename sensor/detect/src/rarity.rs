// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! How rare bytes are in traffic: which content of a rule, and which window of a content, is looked for first.
//!
//! A guess costs time when it is wrong, never an alert.

use std::sync::LazyLock;

/// What traffic is full of; a window that occurs here tells nothing. Folded as [`window`] takes it.
const COMMON: &[&str] = &[
    "get / http/1.1 200 ok host: www. connection: keep-alive user-agent: mozilla/5.0 (windows nt 10.0; win64; x64) ",
    "applewebkit/537.36 (khtml, like gecko) chrome/ safari/ compatible; msie accept-encoding: gzip, deflate ",
    "accept-language: en-us,en;q=0. accept: text/html,application/xhtml+xml,application/xml;image/ content-type: ",
    "content-length: transfer-encoding: chunked cache-control: no-cache server: date: expires: last-modified: ",
    "application/x-www-form-urlencoded application/octet-stream application/json javascript set-cookie: location: ",
    "referer: http://www. https:// .com/ .net/ .org/ .html .php .asp .jpg .exe .dll index. login admin user pass ",
    "<html><head><title></title></head><body><div class=\" id=\" style=\" href=\" src=\" </a><br><script type=\" ",
    "function var return document. window. width height color name value data file system program this object class ",
    "tion ation ment ing ent ions and the for with from that http/1.0 post / 404 not found 302 microsoft windows ",
    "certificate digicert global root ca inc. rsa validation secure server co ltd \u{ff}smb \u{fe}smb ipc$ ",
    " http/1.1\r\nhost: \r\nconnection: close\r\n\r\nuser-agent: \r\naccept: */*\r\naccept-encoding: \r\naccept-language: ",
    "\r\ncontent-type: \r\ncontent-length: \r\nserver: apache\r\ndate: \r\nlast-modified: \r\ncache-control: \r\ncookie: \r\n",
    "\r\nset-cookie: \r\nreferer: \r\nlocation: \r\nfrom: \r\nto: <\r\nsubject: \r\nmessage-id: <\r\nmime-version: 1.0\r\n",
    "ehlo mail from:<> rcpt to:<> 250 ok 250- 220 welcome update google open request response archive version auth config ",
    "link list host domain main base back work group play every change service agent support time name number local home ",
    "\x06\x03\x55\x04\x03\x13 \x06\x09\x2a\u{86}\x48\u{86}\u{f7}\x0d\x01\x01\x0b\x05\0 \u{fe}smb@\0 ",
    "000000 111111 123456789 ffff //// ---- ==== **** .... ,,,, //// ;;;; xxxx aaaa zzzz %20 %2f &amp; 19 20 201 202 ",
];

/// What is worth no more is a run of one byte: zeros and blanks for the most part.
const RUN: u32 = 6;

/// A bit for the hash of each window of [`COMMON`]. Some others have the same: every rule asks this dozens of times, so that
/// it must be quick.
static WINDOWS: LazyLock<Box<[u64; 1_024]>> = LazyLock::new(|| {
    let text: Vec<u8> = COMMON.concat().chars().map(|c| (c as u32 as u8) | 0x20).collect(); // Latin-1 throughout
    let mut bits = Box::new([0; 1_024]);
    for (word, bit) in text.array_windows().map(|w| place(u32::from_le_bytes(*w))) {
        bits[word] |= 1 << bit; // a place in it
    }
    bits
});

/// The word of a window in [`WINDOWS`], below 1,024, and its bit there.
const fn place(window: u32) -> (usize, u32) {
    let h = window.wrapping_mul(0x9e37_79b1); // 2^32 divided by the golden ratio
    ((h >> 22) as usize, h >> 16 & 63)
}

fn common(window: u32) -> bool {
    let (word, bit) = place(window);
    WINDOWS[word] >> bit & 1 == 1 // a place in it
}

/// How much a pattern narrows the search: the rarer its bytes in traffic and the longer it is, the more. Bits of surprise,
/// roughly; no more than sixteen bytes' worth.
pub(crate) fn of(pattern: &[u8]) -> u32 {
    // As much of it as is common says nothing.
    let windows = pattern.array_windows().take(13).map(|w| u32::from_le_bytes(*w) | 0x2020_2020);
    let common = windows.filter(|w| common(*w)).count() as u32; // at most 13
    bytes(pattern).saturating_sub(2 * common)
}

fn bytes(pattern: &[u8]) -> u32 {
    let mut before = None;
    let mut sum = 0;
    for b in pattern.iter().take(16) {
        // A byte that repeats the one before says little: padding, separators.
        sum += if before == Some(*b) { 1 } else { byte(*b) };
        before = Some(*b);
    }
    sum
}

/// The same of a folded window.
pub(crate) fn window(window: u32) -> u32 {
    match bytes(&window.to_le_bytes()) {
        0..=RUN => 0,
        _ if common(window) => 1,
        worth => worth + 40, // many may share what is rare before something common is better
    }
}

/// The same of a byte.
pub(crate) const fn byte(b: u8) -> u32 {
    match b {
        0 | b' ' => 1,
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' | 1..=0x1f => 3,
        0xff | b'/' | b'.' | b'-' | b':' | b'=' | b'!'..=b'$' | b'\'' | b'(' | b'0'..=b'2' => 3,
        b'a'..=b'z' | b'3'..=b'9' => 4,
        b'A'..=b'Z' => 4, // letters are searched in either case
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_odd_patterns_are_rarer() {
        assert!(of(b"\x90\x91\x90\x91") > of(b"\0\0\0\0"));
        assert!(of(b"X-Evil-Agent") > of(b"GET "));
        assert!(of(b"AbCd") > of(b"AAAA"));
    }

    #[test]
    fn what_is_everywhere_comes_last() {
        let fold = |w: &[u8; 4]| u32::from_le_bytes(*w) | 0x2020_2020;
        assert!(window(fold(b"evil")) > window(fold(b"http")));
        assert!(window(fold(b"evil")) > window(fold(b"\0\0\0\0")));
        assert!(of(b"/evil.cgi") > of(b"User-Agent: Mozilla/5.0"));
    }
}
