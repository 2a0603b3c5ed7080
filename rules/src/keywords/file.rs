// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Keywords on files. Suricata user guide, "File Keywords".

use std::path::{Path, PathBuf};

use super::{app::interval, negation, quoted, wanted};
use crate::{
    ast::{Content, FileTest, PayloadTest, StoreFiles, StoreScope, StoreWay, TransactionTest},
    buffers,
    draft::{At, Draft, Placed},
    hashlist::HashKind,
};

const FILES: &[&str] = &["http", "http2", "doh2", "smtp", "ftp-data", "smb", "nfs"];

fn push(d: &mut Draft<'_>, test: FileTest) -> Result<(), String> {
    let who = test.keyword();
    d.transaction.push(TransactionTest::File(test));
    d.about(FILES, who)
}

/// `filesize`: bytes, or with a unit.
pub(crate) fn filesize(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let text = units(wanted(value)?)?;
    let test = interval(&text, u64::MAX, &[])?;
    push(d, FileTest::Size(test))
}

// Numbers with KB, MB or GB as plain numbers.
pub(crate) fn units(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, tail) = rest.split_at(start);
        let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (digits, after) = tail.split_at(end);
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" | "kib" | "k" => 1 << 10,
            "mb" | "mib" | "m" => 1 << 20,
            "gb" | "gib" | "g" => 1 << 30,
            _ => return Err(format!("{unit:?} is no unit of size; KB, MB and GB are")),
        };
        let n = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
        out.push_str(before);
        out.push_str(&n.ok_or_else(|| format!("{digits}{unit} is too large"))?.to_string());
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// `filename`: a text, in either case, somewhere in a file's name.
pub(crate) fn filename(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    named(d, value, "", false)
}

/// `filemagic`: a text, in either case, in the words for a file's kind.
pub(crate) fn filemagic(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let (negated, text) = text(value)?;
    said(text)?;
    let text = text.to_ascii_lowercase().into_bytes();
    if !negated {
        searched(d, "file.magic", Content { bytes: text.clone(), nocase: true, ..Content::default() })?;
    }
    push(d, FileTest::Magic { text, negated })
}

/// What libmagic says of a file by its code, and not by its rules, which are all that is run here; or of some by the one and of
/// others by the other (`stripped` of ELF files). In lower case.
const UNSAID: &[&str] = &[
    "composite document file",
    "cdfv2",
    "line terminators",
    "very long lines",
    "escape sequences",
    "overstriking",
    "ascii text,",
    ", ascii text",
    "ascii text executable",
    "unicode text, utf-8 ",
    "unicode text, utf-16",
    "unicode text, utf-32",
    "iso-8859 text",
    "extended-ascii text",
    "ebcdic text",
    "dynamically linked",
    "statically linked",
    "statically-linked",
    "static-pie linked",
    "buildid[",
    "stripped",
    "with debug_info",
    "for gnu/linux",
    ", interpreter ",
    "section header",
];

/// Whether what is looked for in the words for a file's kind can be said there.
///
/// # Errors
///
/// What it is that is not said, or not of every file of which libmagic says it.
pub(crate) fn said(text: &str) -> Result<(), String> {
    let text = text.to_ascii_lowercase();
    match UNSAID.iter().find(|u| text.contains(**u)) {
        Some(u) => Err(format!(
            "{u:?} is said by libmagic's code and not by its rules, which are all that is run here: files would be missed"
        )),
        None => Ok(()),
    }
}

/// `fileext`: a file's name ends in a dot and this, in either case.
pub(crate) fn fileext(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    named(d, value, ".", true)
}

fn named(d: &mut Draft<'_>, value: Option<&str>, dot: &str, ends: bool) -> Result<(), String> {
    let (negated, text) = text(value)?;
    let text = [dot, text].concat().to_ascii_lowercase().into_bytes();
    if !negated {
        let content = Content { bytes: text.clone(), nocase: true, endswith: ends, ..Content::default() };
        searched(d, "file.name", content)?;
    }
    push(d, FileTest::Name { text, ends, negated })
}

// `[!]"text"`.
fn text(value: Option<&str>) -> Result<(bool, &str), String> {
    let (negated, v) = negation(wanted(value)?);
    let text = quoted(v)?;
    if text.is_empty() || text.len() > 250 || text.contains(['|', '\\']) {
        return Err(String::from("it takes a text of 1 to 250 characters, without bars and backslashes"));
    }
    Ok((negated, text))
}

// The same as a content, which may be searched for beforehand.
fn searched(d: &mut Draft<'_>, buffer: &str, content: Content) -> Result<(), String> {
    let (buffer, _) = buffers::find(buffer).ok_or_else(|| format!("{buffer} is not inspected"))?;
    d.stickies += 1;
    let at = At { buffer, instance: d.stickies, chain: 0 };
    d.payload.push(Placed { test: PayloadTest::Content(content), at: Some(at), decoded: false });
    Ok(())
}

pub(crate) fn filemd5(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    hash(d, value, HashKind::Md5)
}

pub(crate) fn filesha1(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    hash(d, value, HashKind::Sha1)
}

pub(crate) fn filesha256(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    hash(d, value, HashKind::Sha256)
}

// `[!]file`: the list stands beside the rule file.
fn hash(d: &mut Draft<'_>, value: Option<&str>, kind: HashKind) -> Result<(), String> {
    let (negated, v) = negation(wanted(value)?);
    let v = if v.starts_with('"') { quoted(v)? } else { v };
    if v.is_empty() {
        return Err(String::from("it wants the name of a file with hashes, one a line"));
    }
    let folder = Path::new(d.file).parent().unwrap_or(Path::new("")).to_owned();
    let list = d.data.hashes(kind, &PathBuf::from(v), &folder)?;
    push(d, FileTest::Hash { list, negated })
}

/// `filestore`, or `filestore:direction,scope`.
pub(crate) fn filestore(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    if d.transaction.iter().any(|t| matches!(t, TransactionTest::File(FileTest::Store(_)))) {
        return Err(String::from("it is given twice"));
    }
    let mut what = StoreFiles::default();
    if let Some(v) = value {
        let (way, scope) = match v.split_once(',') {
            Some((way, scope)) => (way.trim(), Some(scope.trim())),
            None => (v.trim(), None),
        };
        what.way = match way {
            "request" | "to_server" => StoreWay::ToServer,
            "response" | "to_client" => StoreWay::ToClient,
            "both" => StoreWay::Both,
            other => {
                return Err(format!("{other:?} is none of request, response, to_server, to_client, both"));
            }
        };
        what.scope = match scope {
            None | Some("file") => StoreScope::File,
            Some("tx") => StoreScope::Tx,
            Some("ssn" | "flow") => StoreScope::Flow,
            Some(other) => return Err(format!("{other:?} is none of file, tx, ssn, flow")),
        };
        let looks = (d.flow.to_server, d.flow.to_client);
        let never = what.scope == StoreScope::File
            && matches!((what.way, looks), (StoreWay::ToClient, (true, _)) | (StoreWay::ToServer, (_, true)));
        if never {
            return Err(String::from("the rule looks the other way: with scope file it would store nothing"));
        }
    }
    push(d, FileTest::Store(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_may_have_units() {
        for (text, want) in [("100", "100"), (">1KB", ">1024"), ("1MB<>2MB", "1048576<>2097152"), ("3gb", "3221225472")]
        {
            assert_eq!(units(text).as_deref(), Ok(want), "{text}");
        }
        for bad in ["1TB", "99999999999999999999", "18446744073709551615KB"] {
            assert!(units(bad).is_err(), "{bad}");
        }
    }
}
