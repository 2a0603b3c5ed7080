// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Finds addresses that stand written out in a text: the catch behind the allow-list.
//!
//! A field that may leave can still name an inner address (`http://10.1.2.3/`, `ip-10-1-2-3`, a reverse DNS name). Found
//! are: IPv4 with dots, dashes or underscores, leading zeros allowed; IPv6 in any spelling, also mapped; names under
//! `in-addr.arpa` and `ip6.arpa`, whole or as a zone; mail addresses. Not found: addresses as one number, in hexadecimal
//! or encoded (base64, percent). Must never take longer than linear in the text: at every place a bounded number of
//! attempts is made.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use super::pseudonym::{padded_v4, padded_v6};

/// What to do with something found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An outer address: stays.
    Keep,
    /// Put this address in its place, in the same spelling.
    Put(IpAddr),
    /// Put a mark in its place.
    Mask,
}

/// What stands in place of something left out.
pub const MASK: &str = "[removed]";

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// IPv4 with dashes or underscores too. Off for fingerprints, which are lists of numbers with dashes.
    pub dashes: bool,
    /// Mail addresses too. Off for fingerprints, where algorithms are named `name@vendor`.
    pub mail: bool,
}

/// Replaces what `judge` does not keep. Mail addresses are judged by `mail`: None keeps them.
pub fn scrub<'t>(
    text: &'t str,
    look: Look,
    judge: &mut dyn FnMut(IpAddr) -> Verdict,
    mail: &mut dyn FnMut(&str) -> Option<String>,
) -> Cow<'t, str> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|b| matches!(b, b':' | b'.' | b'-' | b'_' | b'@')) {
        return Cow::Borrowed(text);
    }
    let mut hits: Vec<(Range<usize>, String)> = Vec::new();
    reverse_names(bytes, judge, &mut hits);
    if look.mail {
        mails(text, mail, &mut hits);
    }
    v6(text, judge, &mut hits);
    v4(bytes, look.dashes, judge, &mut hits);
    if hits.is_empty() {
        return Cow::Borrowed(text);
    }
    hits.sort_by_key(|(range, _)| range.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (range, put) in hits {
        if range.start < at {
            continue; // cannot be: hits do not overlap; if one did, the first stands and nothing in clear is added
        }
        out.push_str(&text[at..range.start]);
        out.push_str(&put);
        at = range.end;
    }
    out.push_str(&text[at..]);
    Cow::Owned(out)
}

fn free(hits: &[(Range<usize>, String)], range: &Range<usize>) -> bool {
    hits.iter().all(|(h, _)| range.end <= h.start || h.end <= range.start)
}

/// `4.3.2.1.in-addr.arpa`, `1.0…8.b.d.0.1.0.0.2.ip6.arpa`, and shorter ones: zones.
fn reverse_names(bytes: &[u8], judge: &mut dyn FnMut(IpAddr) -> Verdict, hits: &mut Vec<(Range<usize>, String)>) {
    for (suffix, most) in [(&b".in-addr.arpa"[..], 4), (&b".ip6.arpa"[..], 32)] {
        let mut from = 0;
        while let Some(at) = find_ignoring_case(&bytes[from..], suffix).map(|n| n + from) {
            from = at + suffix.len();
            let mut labels: Vec<u8> = Vec::new(); // the last label first, as an address is written
            let mut start = at;
            while labels.len() < most {
                let end = start;
                let mut begin = end;
                while begin > 0 && end - begin < 3 && bytes[begin - 1].is_ascii_hexdigit() {
                    begin -= 1;
                }
                let label = std::str::from_utf8(&bytes[begin..end]).unwrap_or(""); // hex digits
                let value = if most == 4 {
                    label.parse::<u8>().ok()
                } else {
                    (label.len() == 1).then(|| u8::from_str_radix(label, 16).ok()).flatten()
                };
                let Some(value) = value else { break };
                labels.push(value);
                start = begin;
                match begin.checked_sub(1).filter(|dot| bytes[*dot] == b'.') {
                    Some(dot) if labels.len() < most => start = dot,
                    _ => break,
                }
            }
            if bytes.get(start) == Some(&b'.') {
                start += 1; // the label before the last dot was no part of an address
            }
            if labels.is_empty() {
                continue;
            }
            let ip: IpAddr = if most == 4 { padded_v4(&labels).into() } else { padded_v6(&labels).into() };
            let put = match judge(ip) {
                Verdict::Keep => continue,
                Verdict::Mask => MASK.to_owned(),
                Verdict::Put(IpAddr::V4(p)) => joined(p.octets().iter().take(labels.len()).map(u8::to_string)),
                Verdict::Put(IpAddr::V6(p)) => {
                    let nibbles = (0..labels.len()).map(|n| format!("{:x}", p.to_bits() >> (124 - 4 * n) & 15));
                    joined(nibbles)
                }
            };
            hits.push((start..at, put));
        }
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    let mut parts: Vec<String> = parts.collect();
    parts.reverse();
    parts.join(".")
}

fn find_ignoring_case(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w.eq_ignore_ascii_case(needle))
}

fn v4(bytes: &[u8], dashes: bool, judge: &mut dyn FnMut(IpAddr) -> Verdict, hits: &mut Vec<(Range<usize>, String)>) {
    let mut at = 0;
    while at < bytes.len() {
        let starts = bytes[at].is_ascii_digit() && (at == 0 || !bytes[at - 1].is_ascii_digit());
        let Some((ip, separator, end)) = starts.then(|| quad(bytes, at, dashes)).flatten() else {
            at += 1;
            continue;
        };
        let verdict = if free(hits, &(at..end)) { judge(ip.into()) } else { Verdict::Keep };
        let put = match verdict {
            Verdict::Keep => {
                at += 1; // an inner one may begin at its second octet
                continue;
            }
            Verdict::Put(IpAddr::V4(p)) => {
                let octets = p.octets().map(|o| o.to_string());
                octets.join(std::str::from_utf8(&[separator]).unwrap_or(".")) // one of `.`, `-`, `_`
            }
            Verdict::Put(IpAddr::V6(_)) | Verdict::Mask => MASK.to_owned(),
        };
        hits.push((at..end, put));
        at = end;
    }
}

/// Four octets at `at`, the same separator between them, no digit behind.
fn quad(bytes: &[u8], at: usize, dashes: bool) -> Option<(Ipv4Addr, u8, usize)> {
    let (mut octets, mut separator, mut at) = ([0u8; 4], b'.', at);
    for (n, octet) in octets.iter_mut().enumerate() {
        if n > 0 {
            let here = *bytes.get(at)?;
            let known = here == b'.' || dashes && matches!(here, b'-' | b'_');
            if !known || n > 1 && here != separator {
                return None;
            }
            separator = here;
            at += 1;
        }
        let digits = bytes[at..].iter().take(4).take_while(|b| b.is_ascii_digit()).count();
        if !(1..=3).contains(&digits) {
            return None;
        }
        let value = bytes[at..at + digits].iter().fold(0u16, |v, b| v * 10 + u16::from(b - b'0'));
        *octet = u8::try_from(value).ok()?;
        at += digits;
    }
    Some((octets.into(), separator, at))
}

fn v6(text: &str, judge: &mut dyn FnMut(IpAddr) -> Verdict, hits: &mut Vec<(Range<usize>, String)>) {
    let bytes = text.as_bytes();
    let part = |b: u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
    let mut at = 0;
    while at < bytes.len() {
        // An address may begin where a group does: at a colon, or at a digit that no digit precedes.
        let begins =
            bytes[at] == b':' || bytes[at].is_ascii_hexdigit() && (at == 0 || !bytes[at - 1].is_ascii_hexdigit());
        if !begins {
            at += 1;
            continue;
        }
        // The longest text has 45 bytes; it may end at a group's end, of which there are few.
        let run = bytes[at..].iter().take(46).take_while(|b| part(**b)).count();
        let ends = (2..=run.min(45)).rev().filter(|n| {
            let next = bytes.get(at + n);
            next.is_none_or(|b| !b.is_ascii_hexdigit()) || bytes[at + n - 1] == b':'
        });
        let mut hit = None;
        for n in ends {
            let window = &text[at..at + n]; // ASCII, by the run
            if window.bytes().filter(|b| *b == b':').count() < 2 {
                break;
            }
            let Ok(ip) = window.parse::<Ipv6Addr>() else { continue };
            let verdict = if free(hits, &(at..at + n)) { judge(ip.into()) } else { Verdict::Keep };
            match verdict {
                Verdict::Keep => {}
                Verdict::Put(p) => hit = Some((n, p.to_string())),
                Verdict::Mask => hit = Some((n, MASK.to_owned())),
            }
            if hit.is_some() {
                break;
            }
        }
        match hit {
            Some((n, put)) => {
                hits.push((at..at + n, put));
                at += n;
            }
            None => at += 1,
        }
    }
}

fn mails(text: &str, mail: &mut dyn FnMut(&str) -> Option<String>, hits: &mut Vec<(Range<usize>, String)>) {
    let bytes = text.as_bytes();
    let local = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'%' | b'+' | b'-') || !b.is_ascii();
    let domain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-') || !b.is_ascii();
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|b| *b == b'@').map(|n| n + from) {
        let start = at - bytes[from..at].iter().rev().take_while(|b| local(b)).count();
        let end = at + 1 + bytes[at + 1..].iter().take_while(|b| domain(b)).count();
        from = at + 1;
        let range = start..end;
        let whole = start < at && bytes[at + 1..end].contains(&b'.');
        let put = (whole && free(hits, &range)).then(|| mail(&text[range.clone()])).flatten();
        if let Some(put) = put {
            hits.push((range, put));
            from = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Look = Look { dashes: true, mail: true };

    /// Inner: 10.1.0.0/16 and fd42::/16. Pseudonyms: 99.x and fd99, the rest as it was.
    fn judge(ip: IpAddr) -> Verdict {
        match ip.to_canonical() {
            IpAddr::V4(v4) if v4.octets()[..2] == [10, 1] => {
                let [_, _, c, d] = v4.octets();
                let p = Ipv4Addr::new(99, 9, c, d);
                Verdict::Put(if ip.is_ipv6() { p.to_ipv6_mapped().into() } else { p.into() })
            }
            IpAddr::V6(v6) if v6.segments()[0] == 0xfd42 => {
                let mut s = v6.segments();
                s[0] = 0xfd99;
                Verdict::Put(Ipv6Addr::from(s).into())
            }
            _ => Verdict::Keep,
        }
    }

    fn check(text: &str, want: &str) {
        assert_eq!(scrub(text, ALL, &mut judge, &mut |_| Some(MASK.into())), want);
    }

    #[test]
    fn inner_addresses_are_found_in_every_spelling() {
        for (text, want) in [
            ("10.1.2.3", "99.9.2.3"),
            ("http://10.1.2.3:8080/x", "http://99.9.2.3:8080/x"),
            ("host010.001.002.003x", "host99.9.2.3x"),
            ("1.10.1.2.3", "1.99.9.2.3"),
            ("10.1.2.3.4", "99.9.2.3.4"),
            ("ip-10-1-2-3.eu", "ip-99-9-2-3.eu"),
            ("h_10_1_2_3_", "h_99_9_2_3_"),
            ("10.1-2.3", "10.1-2.3"),
            ("10.1.2.3000 10.1.2", "10.1.2.3000 10.1.2"),
            ("fd42:20:1::1", "fd99:20:1::1"),
            ("[FD42:0020:0001:0:0:0:0:1]:443", "[fd99:20:1::1]:443"),
            ("src:fd42::1", "src:fd99::1"),
            ("x fd42::7.", "x fd99::7."),
            ("fd42::", "fd99::"),
            ("::ffff:10.1.2.3", "::ffff:99.9.2.3"),
            ("::ffff:0a01:0203", "::ffff:99.9.2.3"),
            ("3.2.1.10.in-addr.arpa", "3.2.9.99.in-addr.arpa"),
            ("x.3.2.1.10.IN-ADDR.ARPA.", "x.3.2.9.99.IN-ADDR.ARPA."),
            ("1.10.in-addr.arpa", "9.99.in-addr.arpa"),
            ("0.2.4.d.f.ip6.arpa", "0.9.9.d.f.ip6.arpa"),
            ("1.2.4.d.e.ip6.arpa", "1.2.4.d.e.ip6.arpa"),
            ("0.0.0.0.2.4.d.f.ip6.arpa", "0.0.0.0.9.9.d.f.ip6.arpa"),
            ("a b.c@d.example e", "a [removed] e"),
            ("ü.ö@ä.example", "[removed]"),
            ("@ a@b x@", "@ a@b x@"),
            ("203.0.113.1 2001:db8::1 5.113.0.203.in-addr.arpa", "203.0.113.1 2001:db8::1 5.113.0.203.in-addr.arpa"),
            ("12:34:56", "12:34:56"),
            (
                "ab:cd:ef:01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef:01",
                "ab:cd:ef:01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef:01",
            ),
        ] {
            check(text, want);
        }
    }

    #[test]
    fn fingerprints_keep_their_numbers_and_names() {
        let look = Look { dashes: false, mail: false };
        let text = "771,10-1-2-3,chacha20-poly1305@openssh.com 10.1.2.3";
        let put = scrub(text, look, &mut judge, &mut |_| Some(MASK.into()));
        assert_eq!(put, "771,10-1-2-3,chacha20-poly1305@openssh.com 99.9.2.3");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_inner_address_stays(before in ".{0,20}", after in ".{0,20}", c: u8, d: u8, six: bool) {
            let ip = if six { format!("fd42:{c:x}::{d:x}") } else { format!("10.1.{c}.{d}") };
            let before = before.trim_end_matches(|c: char| c.is_ascii_hexdigit() || c == ':' || c == '.');
            let text = format!("{before}{ip} {after}");
            let out = scrub(&text, ALL, &mut judge, &mut |_| None).into_owned();
            prop_assert!(!out.contains(&format!("{ip} ")) , "{out}");
        }
        #[test]
        fn hostile_text_is_walked_in_bounded_steps(s in "[0-9a-f:.@-]{0,400}") {
            let mut asked = 0usize;
            let mut judge = |_| { asked += 1; Verdict::Keep };
            let _ = scrub(&s, ALL, &mut judge, &mut |_| None);
            prop_assert!(asked <= 12 * s.len() + 2, "{asked} for {}", s.len());
        }
    }
}
