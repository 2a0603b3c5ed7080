// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Bodies coded well, wrongly, several times, not at all, and to explode.

use std::io::Write;

use flate2::{Compression, write};
use proptest::prelude::*;

use super::*;

const LZMA: &str = "5d00008000ffffffffffffffff00341949ee8de9560ac1b620b7ffffba340000";
const TEXT: &[u8] = b"Lagewarte: what is coded must come out, whatever the label says. ABCABCABCABCABCABC";

fn gzip(b: &[u8]) -> Vec<u8> {
    let mut e = write::GzEncoder::new(Vec::new(), Compression::default());
    e.write_all(b).unwrap();
    e.finish().unwrap()
}
fn zlib(b: &[u8]) -> Vec<u8> {
    let mut e = write::ZlibEncoder::new(Vec::new(), Compression::default());
    e.write_all(b).unwrap();
    e.finish().unwrap()
}
fn raw(b: &[u8]) -> Vec<u8> {
    let mut e = write::DeflateEncoder::new(Vec::new(), Compression::default());
    e.write_all(b).unwrap();
    e.finish().unwrap()
}

fn decode_in(label: &str, body: &[u8], size: usize, limits: Limits) -> (Vec<u8>, Oddities) {
    let mut odd = Oddities::default();
    let mut out = Vec::new();
    let Some(mut d) = Decoder::new([label.as_bytes()].into_iter(), &limits, &mut odd) else {
        return (body.to_vec(), odd);
    };
    for part in body.chunks(size) {
        d.push(part, &mut |o| out.extend_from_slice(o));
    }
    d.finish(&mut |o| out.extend_from_slice(o));
    (out, d.odd)
}

#[track_caller]
fn check(label: &str, body: &[u8], expected: &[u8]) {
    for size in [1, 2, 3, 7, 64, usize::MAX] {
        let (out, _) = decode_in(label, body, size, Limits { layers: 3, ..Limits::default() });
        assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(expected), "{label} in pieces of {size}");
    }
}

#[test]
fn what_is_labelled_right() {
    check("gzip", &gzip(TEXT), TEXT);
    check("x-gzip", &gzip(TEXT), TEXT);
    check("deflate", &zlib(TEXT), TEXT);
    check("deflate", &raw(TEXT), TEXT);
    check("identity", TEXT, TEXT);
    check("gzip", &gzip(b""), b"");
    // Measured on Suricata 7.0.10: `identity` is an abnormal header, `none` and `inflate` are not.
    let abnormal = |label| decode_in(label, TEXT, 64, Limits::default()).1.abnormal;
    assert_eq!(["identity", "none", "inflate", "compress"].map(abnormal), [true, false, false, true]);
}

#[test]
fn what_is_labelled_wrong() {
    check("gzip", TEXT, TEXT);
    check("deflate", TEXT, TEXT);
    check("br", TEXT, TEXT);
    check("deflate", &gzip(TEXT), TEXT);
    check("gzip", &zlib(TEXT), TEXT);
    check("gzip,gzip", &gzip(TEXT), TEXT);
    check("gzip,deflate", &gzip(TEXT), TEXT);
    check("deflate,gzip", &raw(TEXT), TEXT);
    // Any letter may begin a block of raw deflate: text under that label stays text.
    for first in b'A'..=b'z' {
        let text = [&[first], TEXT].concat();
        check("deflate", &text, &text);
        check("gzip", &text, &text);
    }
    check("gz\0ip;", &gzip(TEXT), TEXT);
}

#[test]
fn layers() {
    check("gzip,deflate", &raw(&gzip(TEXT)), TEXT);
    check("deflate, gzip", &gzip(&zlib(TEXT)), TEXT);
    check("gzip,deflate,gzip", &gzip(&raw(&gzip(TEXT))), TEXT);
    let twice = gzip(&gzip(TEXT));
    let (out, odd) = decode_in("gzip,gzip", &twice, 9, Limits { layers: 1, ..Limits::default() });
    assert_eq!((out, odd.too_many_layers), (gzip(TEXT), true));
}

#[test]
fn damaged_headers_and_trailers() {
    let good = gzip(TEXT);
    let (head, body) = good.split_at(10);
    let with = |flags: u8, extra: &[u8]| {
        let mut v = head.to_vec();
        v[3] = flags;
        v.extend_from_slice(extra);
        v.extend_from_slice(body);
        v
    };
    check("gzip", &with(1, b""), TEXT);
    check("gzip", &with(2, b"\0\0"), TEXT);
    check("gzip", &with(4, b"\x05\0Ap\x01\0\0"), TEXT);
    check("gzip", &with(4, b"\0\0"), TEXT);
    check("gzip", &with(8, b"name\0"), TEXT);
    check("gzip", &with(16, b" \0"), TEXT);
    check("gzip", &with(30, b"\x01\0xname\0comment\0\x12\x34"), TEXT);
    check("gzip", &with(0xe0, b""), TEXT);
    check("gzip", &good[..good.len() - 4], TEXT);
    check("gzip", &good[..good.len() - 8], TEXT);
    let mut crc = good.clone();
    let at = crc.len() - 8;
    crc[at] ^= 0xff;
    check("gzip", &crc, TEXT);
    check("gzip", &[good.clone(), good.clone()].concat(), &[TEXT, TEXT].concat());
    check("gzip", &[&good[..], b"tail"].concat(), &[TEXT, b"tail"].concat());
}

#[test]
fn a_body_that_breaks_in_the_middle_keeps_what_came() {
    let noise: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut broken = gzip(&noise);
    let middle = broken.len() / 2;
    broken[middle..middle + 64].fill(0xff);
    let (out, _) = decode_in("gzip", &broken, 1400, Limits::default());
    assert!(out.len() > 50_000 && out[..50_000] == noise[..50_000]);
}

#[test]
fn brotli_and_lzma() {
    // Made by the reference encoders (Node's brotli, liblzma's alone format) of "hello hello hello hello\n".
    let br = hex::decode("1b1700f88d946ede445586d60a206c6f4a1179e280ae16").unwrap();
    check("br", &br, b"hello hello hello hello\n");
    let lzma = hex::decode(LZMA).unwrap();
    let limits = Limits { lzma: true, ..Limits::default() };
    for size in [1, 5, 100] {
        assert_eq!(decode_in("lzma", &lzma, size, limits).0, b"hello hello hello hello\n");
    }
    assert_eq!(decode_in("lzma", &lzma, 100, Limits::default()).0, lzma, "off where not asked for");
    let (_, odd) = decode_in("lzma,lzma", &lzma, 100, limits);
    assert!(odd.double_lzma);
}

#[test]
fn bombs_end() {
    let zeros = gzip(&gzip(&vec![0u8; 64 << 20]));
    assert!(zeros.len() < 4096);
    let (out, odd) = decode_in("gzip,gzip", &zeros, 1400, Limits::default());
    assert!(odd.bomb);
    assert!(out.len() as u64 <= (1 << 20) + zeros.len() as u64 * BOMB_RATIO + 8192, "{}", out.len());
    // One layer cannot reach the ratio and is decoded to its end.
    let (out, odd) = decode_in("gzip", &gzip(&vec![0u8; 8 << 20]), 1400, Limits::default());
    assert_eq!((out.len(), odd.bomb), (8 << 20, false));
}

// 64 MiB of zeros by the reference encoder (Node's), with the largest window.
const BROTLI_BOMB: &str =
    "cfffff7ff82700e2b14020f7fe9ffffffff04f00c4610180eefd3fffffffe19f0088c32200ddfbfffcffffc73f0110870500baf7ff";

#[test]
fn a_brotli_bomb_comes_in_small_pieces_and_says_what_its_window_takes() {
    let body = hex::decode(BROTLI_BOMB).unwrap();
    let mut d = Decoder::new([&b"br"[..]].into_iter(), &Limits::default(), &mut Oddities::default()).unwrap();
    let (mut largest, mut all) = (0, 0);
    d.push(&body, &mut |out| {
        largest = largest.max(out.len());
        all += out.len();
    });
    assert!(d.odd.bomb && largest <= 8192 && all <= (1 << 20) + 8192, "{largest} of {all}");
    assert!(d.memory() >= 16 << 20, "the window that its head asks for: {}", d.memory());
}

#[test]
fn nothing_is_held_for_ever() {
    // A header with a name without end: no output ever comes.
    let mut d = Decoder::new([&b"gzip"[..]].into_iter(), &Limits::default(), &mut Oddities::default()).unwrap();
    let mut n = 0;
    d.push(&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3], &mut |o| n += o.len());
    for _ in 0..100 {
        d.push(&[b'x'; 1000], &mut |o| n += o.len());
    }
    assert_eq!(n, 100_010, "handed on as it came");
    assert!(d.odd.failed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // In whatever pieces a body comes, coded or not, the same comes out.
    #[test]
    fn pieces_make_no_difference(body in prop::collection::vec(any::<u8>(), 0..400), coded: bool, label in "gzip|deflate|br|gzip,deflate|deflate,gzip", size in 1usize..40) {
        let body = if coded { gzip(&body) } else { body };
        let whole = decode_in(&label, &body, usize::MAX, Limits::default()).0;
        prop_assert_eq!(decode_in(&label, &body, size, Limits::default()).0, whole);
    }

    // Cut anywhere: what came before the cut is a beginning of the whole.
    #[test]
    fn truncations(body in prop::collection::vec(any::<u8>(), 1..2000), cut in 0usize..2000) {
        let z = gzip(&body);
        let cut = 18.max(cut.min(z.len()));
        let (out, odd) = decode_in("gzip", &z[..cut], 100, Limits::default());
        prop_assert!(body.starts_with(&out) || odd.failed);
    }
}
