// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Heads of common files against the words of file(1) 5.44, and what is made to hurt.

use proptest::prelude::*;

use super::*;

/// A portable executable: 64 bytes of DOS header, the PE header behind 64 more, three empty sections.
fn pe(machine: u16, plus: bool, subsystem: u8, dll: bool) -> Vec<u8> {
    let mut b = vec![0; 1024];
    let mut put = |at: usize, bytes: &[u8]| b[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ\x90\0");
    put(24, &[0x40]);
    put(60, &128u32.to_le_bytes());
    put(128, b"PE\0\0");
    put(132, &machine.to_le_bytes());
    put(134, &[3]);
    put(148, &[if plus { 240 } else { 224 }]);
    put(150, &[0x22, if dll { 0x20 } else { 0 }]);
    put(152, &[0x0b, if plus { 2 } else { 1 }]);
    put(152 + 68, &[subsystem]);
    b
}

/// A zip file of these members, stored; its directory at the end names none of them.
fn zip(members: &[(&str, &str)]) -> Vec<u8> {
    let mut b = Vec::new();
    for (name, content) in members {
        b.extend_from_slice(b"PK\x03\x04\x14\0\0\0\0\0\0\0\x21\x50\0\0\0\0");
        let n = u32::try_from(content.len()).unwrap().to_le_bytes();
        b.extend_from_slice(&[n, n].concat());
        b.extend_from_slice(&[u8::try_from(name.len()).unwrap(), 0, 0, 0]);
        b.extend_from_slice(&[name.as_bytes(), content.as_bytes()].concat());
    }
    b.extend_from_slice(b"PK\x05\x06");
    b.extend_from_slice(&[0; 18]);
    b
}

fn office(main: &str) -> Vec<u8> {
    zip(&[("[Content_Types].xml", "<Types/>"), ("_rels/.rels", "<Relationships/>"), (main, "<x/>"), ("a.xml", "<x/>")])
}

/// The member of a tar archive: name, modes and sizes in octal, the sum over the header.
fn tar() -> Vec<u8> {
    let mut b = vec![0; 1024];
    let mut put = |at: usize, text: &str| b[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, "a.txt");
    put(100, "0000644\x000000000\x000000000\x0000000000000\x0014500000000\x00        0");
    put(257, "ustar\x0000");
    let sum: u32 = b.iter().map(|b| u32::from(*b)).sum();
    b[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    b
}

fn heads() -> Vec<(&'static str, Vec<u8>, &'static [&'static str])> {
    let bytes = |b: &[u8]| b.to_vec();
    vec![
        ("pdf", bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"), &["PDF document, version 1.7"]),
        ("exe", pe(0x14c, false, 2, false), &["PE32 executable", "(GUI)", "for MS Windows", "3 sections"]),
        ("exe, 64 bits", pe(0x8664, true, 3, false), &["PE32+ executable", "(console)", "x86-64", "for MS Windows"]),
        ("dll", pe(0x14c, false, 2, true), &["PE32 executable", "(DLL)", "for MS Windows"]),
        ("zip", zip(&[("hello.txt", "hello")]), &["Zip archive data", "at least v2.0 to extract"]),
        ("docx", office("word/document.xml"), &["Microsoft Word 2007+"]),
        ("xlsx", office("xl/workbook.xml"), &["Microsoft Excel 2007+"]),
        ("pptx", office("ppt/presentation.xml"), &["Microsoft PowerPoint 2007+"]),
        ("odt", zip(&[("mimetype", "application/vnd.oasis.opendocument.text")]), &["OpenDocument Text"]),
        ("gzip", bytes(b"\x1f\x8b\x08\x08\0\0\0\0\0\x03a.txt\0\xcbH\xcd\xc9\xc9\x07\0"), &["gzip compressed data", "was \"a.txt\"", "from Unix"]),
        ("bzip2", bytes(b"BZh91AY&SY\x19\x31\x65\x3d"), &["bzip2 compressed data, block size = 900k"]),
        ("xz", bytes(b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46\x02\0\x21\x01"), &["XZ compressed data, checksum CRC64"]),
        ("7z", bytes(b"7z\xbc\xaf\x27\x1c\0\x04\0\0\0\0\0\0\0\0"), &["7-zip archive data, version 0.4"]),
        ("rar", bytes(b"Rar!\x1a\x07\x01\0\x33\x92\xb5\xe5\x0a\x01\x05\x06\0\x05\x01\x01"), &["RAR archive data, v5"]),
        ("tar", tar(), &["POSIX tar archive"]),
        ("png", bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x06\0\0\0"), &["PNG image data, 16 x 16, 8-bit/color RGBA, non-interlaced"]),
        ("jpeg", bytes(b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\x01\0\x48\0\x48\0\0\xff\xd9"), &["JPEG image data, JFIF standard 1.01", "density 72x72"]),
        ("gif", bytes(b"GIF89a\x01\0\x01\0\x80\0\0"), &["GIF image data, version 89a, 1 x 1"]),
        ("bmp", bytes(b"BM\x64\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x05\0\0\0\x05\0\0\0\x01\0\x18\0\0\0\0\0\x2e\0\0\0"), &["PC bitmap, Windows 3.x format, 5 x 5 x 24"]),
        ("wav", bytes(b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x44\xac\0\0\x10\xb1\x02\0\x04\0\x10\0data"), &["RIFF (little-endian) data, WAVE audio, Microsoft PCM, 16 bit, stereo 44100 Hz"]),
        ("mp4", bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"), &["ISO Media, MP4 v2"]),
        ("elf", bytes(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0\0\0\x40\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x40\0\x38\0\0\0\x40\0\0\0\0\0"), &["ELF 64-bit LSB executable, x86-64, version 1 (SYSV)"]),
        ("class", bytes(b"\xca\xfe\xba\xbe\0\0\0\x34\0\x1d\x0a\0\x06"), &["compiled Java class data, version 52.0 (Java 1.8)"]),
        ("lnk", bytes(b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F\x81\0\0\0\0\0\0\0"), &["MS Windows shortcut"]),
        ("html", bytes(b"<!DOCTYPE html>\n<html><body>x</body></html>\n"), &["HTML document"]),
        ("xml", bytes(b"<?xml version=\"1.0\"?>\n<a/>\n"), &["XML 1.0 document"]),
        ("rtf", bytes(b"{\\rtf1\\ansi hi}"), &["Rich Text Format data, version 1, ANSI"]),
        ("shell", bytes(b"#!/bin/sh\necho hi\n"), &["POSIX shell script", "text executable"]),
        ("python", bytes(b"#!/usr/bin/env python3\nprint(1)\n"), &["Python script", "text executable"]),
        ("batch", bytes(b"@echo off\r\ndir\r\n"), &["DOS batch file"]),
        ("php", bytes(b"<?php echo 1; ?>\n"), &["PHP script"]),
        ("mail", bytes(b"Received: from x\r\nSubject: y\r\n\r\n"), &["RFC 822 mail"]),
        ("certificate", bytes(b"-----BEGIN CERTIFICATE-----\nMIIB\n"), &["PEM certificate"]),
        ("json", bytes(b"{\"a\":1}\n"), &["JSON text data"]),
        ("text", bytes(b"Guten Tag\n"), &["ASCII text"]),
        ("umlauts", bytes("Gr\u{fc}\u{df}e\n".as_bytes()), &["UTF-8 text"]),
        ("zeros", vec![0; 600], &["data"]),
    ]
}

#[test]
fn common_files_are_what_file_says() {
    for (name, head, phrases) in heads() {
        let told = tell(&head);
        let words = told.words.as_deref().unwrap_or_default();
        for phrase in phrases {
            // What file(1) has in its code and not in its rules follows a comma: "HTML document, ASCII text".
            assert!(words.contains(phrase), "{name}: {phrase:?} is not in {words:?}");
        }
        assert_eq!(told.trouble, None, "{name}");
    }
    assert_eq!(tell(b""), Told::default(), "Suricata says nothing of an empty file");
}

/// Pure-magic drops a zero at the end of a text that is looked for; the database is made so that it does not count.
#[test]
fn a_text_that_begins_like_a_binary_format_is_a_text() {
    for text in ["COPY this\n", "DSA key\n", "root:x:0:0:root:/root:/bin/sh\n", "scrypt it\n"] {
        assert_eq!(tell(text.as_bytes()).words.as_deref(), Some("ASCII text"), "{text}");
    }
    assert_eq!(tell(b"CO\0\x01\x02").words.as_deref(), Some("CMP archive data"));
}

/// The database is part of the program, so that it can be read is known here and not on a gateway.
#[test]
fn the_database_is_there() {
    assert!(DATABASE.as_ref().is_some_and(|d| d.rules().len() > 1_000));
}

#[test]
fn the_first_bytes_decide_however_they_come() {
    let whole = [office("word/document.xml"), vec![b'x'; 3 * MAX_HEAD]].concat();
    let want = tell(&whole);
    assert_eq!(want.words.as_deref(), Some("Microsoft Word 2007+"));
    for size in [1, 7, 100, MAX_HEAD, usize::MAX] {
        let mut m = Magic::new(true);
        for part in whole.chunks(size.min(whole.len())) {
            assert!(m.held() <= 2 * MAX_HEAD, "what is behind the head is not held");
            m.push(part);
        }
        assert_eq!(m, Magic::Told(want.clone()), "in parts of {size}");
        assert!(m.held() <= MAX_WORDS, "the head goes when the kind is told");
    }
    // What stands behind the head is not looked at; and nothing is held where nobody asks.
    let late = [vec![0; MAX_HEAD], b"%PDF-1.7".to_vec()].concat();
    assert_eq!(tell(&late).words.as_deref(), Some("data"));
    let mut m = Magic::new(false);
    m.push(&whole);
    m.finish();
    assert_eq!((m.held(), m.words()), (0, None));
}

/// A picture in a document's head, of which three places are said where rules begin anew; each leads to the next such head.
/// 362 bytes took 9 s and made 4 MB of words before steps were counted; each 32 bytes more made it three times as long.
fn jumps(n: u32, to: impl Fn(u32) -> u32) -> Vec<u8> {
    let head = |k| {
        let to = to(k).to_le_bytes();
        [b"\xc5\xd0\xd3\xc6".as_slice(), &to, &[8, 0, 0, 0], &to, &[8, 0, 0, 0], &to, &[8, 0, 0, 0], b"\xff\xff\0\0"]
            .concat()
    };
    (0..n).flat_map(head).chain(*b"%!PS-Adobe").chain([0; 32]).collect()
}

#[test]
fn a_file_that_leads_the_rules_in_circles_costs_the_budget_and_no_more() {
    for (name, head) in [
        ("each leads to the next", jumps(30, |k| 32 * (k + 1))),
        ("each leads to the second", jumps(30, |_| 32)),
        ("short", jumps(4, |k| 32 * (k + 1))),
    ] {
        let told = tell(&head);
        assert_eq!(told.trouble, Some(Trouble::Limited), "{name}");
        let words = told.words.unwrap_or_default();
        assert!(words.starts_with("DOS EPS Binary File at byte 32"), "{name}: what was found stands: {words:?}");
    }
    let harmless = tell(&jumps(1, |_| 32));
    assert_eq!(harmless.trouble, None);
}

#[test]
fn bytes_read_are_counted_each_time() {
    let mut r = Bounded { bytes: BufReader::from_slice(&[7; 100]), steps: 10, left: 250 };
    assert_eq!(r.read_range(0..100).map(<[u8]>::len).ok(), Some(100));
    assert_eq!(r.read_range(50..1000).map(<[u8]>::len).ok(), Some(50));
    assert!(r.seek(SeekFrom::Start(0)).is_ok() && !r.spent());
    assert!(r.read_until_or_limit(0, 1000).is_err() && r.spent());
    assert!(r.seek(SeekFrom::Start(0)).is_err(), "and nothing is in reach any more");
}

#[test]
fn long_words_are_cut() {
    // A comment in a picture, which the words quote.
    let comment = "\u{fc}".repeat(2_000);
    let n = u16::try_from(comment.len() + 2).unwrap().to_be_bytes();
    let head = [b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\x01\0\x48\0\x48\0\0\xff\xfe".as_slice(), &n, comment.as_bytes()];
    let words = tell(&head.concat()).words.unwrap_or_default();
    assert!(words.len() <= MAX_WORDS && words.len() > MAX_WORDS - 4 && words.contains("comment"), "{words:?}");
}

#[test]
fn a_panic_of_the_rules_is_one_files_loss() {
    assert_eq!(contained(|| Some(3)), Some(3));
    assert_eq!(contained::<u8>(|| panic!("a made-up one")), None);
}

proptest! {
    #[test]
    fn no_damage_fails(at: prop::sample::Index, cut: prop::sample::Index, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12)) {
        let all = heads();
        let (_, head, _) = &all[at.index(all.len())];
        let mut head = head.get(..=cut.index(head.len())).unwrap_or_default().to_vec();
        for (place, to) in changes {
            let place = place.index(head.len());
            head[place] = to;
        }
        let told = tell(&head);
        prop_assert!(told.trouble != Some(Trouble::Failed));
        prop_assert!(told.words.is_some_and(|w| w.len() <= MAX_WORDS && !w.is_empty()));
    }

    #[test]
    fn no_bytes_fail(bytes: Vec<u8>) {
        prop_assert!(tell(&bytes).trouble != Some(Trouble::Failed));
    }
}

/// Every way in which rules may read is paid for: with steps, and with the bytes that it may look at. Where either is spent,
/// every place is out of reach.
#[test]
fn every_way_of_reading_ends_with_the_budget() {
    type Read = fn(&mut Bounded<'_>) -> io::Result<usize>;
    let ways: [(&str, bool, Read); 6] = [
        ("a range", true, |b| b.read_range(0..4).map(<[u8]>::len)),
        ("up to one of several", true, |b| b.read_until_any_delim_or_limit(b"\r\n", 4).map(<[u8]>::len)),
        ("up to one", true, |b| b.read_until_or_limit(b'\n', 4).map(<[u8]>::len)),
        ("as long as", true, |b| b.read_while_or_limit(|c| c == b'a', 4).map(<[u8]>::len)),
        ("up to one of two bytes", true, |b| b.read_until_utf16_or_limit(b"\n\0", 4).map(<[u8]>::len)),
        ("to another place", false, |b| b.seek(SeekFrom::Start(1)).map(|at| at as usize)),
    ];
    for (way, bytes, read) in ways {
        for (steps, left, good) in [(5, 5, true), (1, 5, false), (5, 4, !bytes), (5, 0, false), (0, 5, false)] {
            let mut b = Bounded { bytes: BufReader::from_slice(b"aaaaaaaa"), steps, left };
            assert_eq!(read(&mut b).is_ok(), good, "{way} with {steps} steps and {left} bytes");
            assert_eq!((b.spent(), b.data_size()), (!good, 8), "{way}");
            assert!(good || read(&mut b).is_err(), "{way}: it stays spent");
        }
    }
}

#[test]
fn the_database_is_there_before_the_first_file() {
    prepare();
    assert!(DATABASE.is_some());
}
