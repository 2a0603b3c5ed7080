// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `content`, its modifiers, `isdataat`. Suricata user guide, "Payload Keywords".

use super::{meta::once, none, number, quoted, wanted};
use crate::{
    ast::{Content, PayloadTest},
    draft::{Draft, Fast},
    limits::{MAX_CONTENT, MAX_DISTANCE},
};

pub(crate) fn content(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let value = wanted(value)?;
    let (negated, value) = match value.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, value),
    };
    let bytes = bytes(quoted(value)?)?;
    if bytes.is_empty() {
        return Err(String::from("the pattern is empty"));
    }
    if bytes.len() > MAX_CONTENT {
        return Err(format!("the pattern has {} bytes; {MAX_CONTENT} are the most", bytes.len()));
    }
    d.push(PayloadTest::Content(Content { bytes, negated, ..Content::default() }));
    Ok(())
}

// Text with |hex| and the escapes \" \; \: \\.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut high: Option<u8> = None;
    let (mut hex, mut escaped) = (false, false);
    for b in text.bytes() {
        if hex {
            match (b, high) {
                (b'|', None) => hex = false,
                (b'|', Some(_)) => return Err(String::from("a hex byte between bars has only one digit")),
                (b' ', _) => {}
                (b, _) => {
                    let digit = char::from(b)
                        .to_digit(16)
                        .and_then(|d| u8::try_from(d).ok())
                        .ok_or_else(|| format!("{:?} between bars is not a hex digit", char::from(b)))?;
                    high = match high {
                        None => Some(digit),
                        Some(h) => {
                            out.push(h << 4 | digit);
                            None
                        }
                    };
                }
            }
        } else if escaped {
            if !matches!(b, b'"' | b';' | b':' | b'\\') {
                return Err(format!(
                    "`\\{}` is no escape; a backslash itself is written `\\\\` or |5C|",
                    char::from(b)
                ));
            }
            out.push(b);
            escaped = false;
        } else {
            match b {
                b'|' => hex = true,
                b'\\' => escaped = true,
                b'"' => return Err(String::from("a double quote inside must be written `\\\"` or |22|")),
                b => out.push(b),
            }
        }
    }
    if hex {
        return Err(String::from("the bar that opens hex bytes is not closed"));
    }
    if escaped {
        return Err(String::from("the pattern ends in a backslash; write it `\\\\` or |5C|"));
    }
    Ok(out)
}

const MIXED: &str = "distance and within count from the match before, offset, depth and startswith from the payload's start: one content cannot have both";

pub(crate) fn nocase(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    none(value)?;
    flag(&mut d.last_content()?.nocase)
}

pub(crate) fn offset(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let n = short(value)?;
    let c = d.last_content()?;
    if c.startswith {
        return Err(String::from("startswith already says where the pattern begins"));
    }
    if c.relative() {
        return Err(MIXED.to_owned());
    }
    once(&mut c.offset, n)
}

pub(crate) fn depth(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let n = short(value)?;
    let c = d.last_content()?;
    if c.startswith {
        return Err(String::from("startswith already says where the pattern ends"));
    }
    if c.relative() {
        return Err(MIXED.to_owned());
    }
    if usize::from(n) < c.bytes.len() {
        return Err(format!("a depth of {n} cannot hold a pattern of {} bytes: it could never match", c.bytes.len()));
    }
    once(&mut c.depth, n)
}

pub(crate) fn distance(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let n = signed(value)?;
    let c = d.last_content()?;
    absolute_free(c)?;
    once(&mut c.distance, n)
}

pub(crate) fn within(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let n = signed(value)?;
    let c = d.last_content()?;
    absolute_free(c)?;
    if usize::try_from(n).is_ok_and(|n| n >= c.bytes.len()) {
        once(&mut c.within, n)
    } else {
        Err(format!("within {n} bytes there is no room for a pattern of {}: it could never match", c.bytes.len()))
    }
}

pub(crate) fn startswith(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    none(value)?;
    let c = d.last_content()?;
    if c.depth.is_some() || c.offset.is_some() {
        return Err(String::from("it is an offset of 0 and a depth of the pattern's length; give no others"));
    }
    if c.relative() {
        return Err(MIXED.to_owned());
    }
    flag(&mut c.startswith)
}

pub(crate) fn endswith(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    none(value)?;
    flag(&mut d.last_content()?.endswith)
}

pub(crate) fn rawbytes(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    none(value)?;
    d.last_content()?;
    let at = d.last_content_at();
    if d.rawbytes.iter().any(|had| Some(*had) == at) {
        return Err(String::from("it is given twice for one content"));
    }
    d.rawbytes.extend(at);
    Ok(())
}

pub(crate) fn fast_pattern(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    d.last_content()?;
    let form = match value {
        None => Fast::Whole,
        Some("only") => Fast::Only,
        Some(v) => {
            let (offset, length) = v.split_once(',').ok_or("it takes nothing, `only`, or offset,length")?;
            Fast::Chop(number(offset, 0, 65_535)? as usize, number(length, 0, 65_535)? as usize)
        }
    };
    d.fast.extend(d.last_content_at().map(|at| (at, form)));
    Ok(())
}

pub(crate) fn isdataat(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let value = wanted(value)?;
    let (negated, value) = match value.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, value),
    };
    let mut fields = value.split(',').map(str::trim);
    let at = fields.next().unwrap_or_default();
    let at = number(at, 0, 65_535).map_err(|e| {
        format!("{e}; positions taken from the payload (byte_extract) are not supported by this version")
    })?;
    let (mut relative, mut rawbytes) = (false, false);
    for word in fields {
        match word {
            "relative" => flag(&mut relative)?,
            "rawbytes" => flag(&mut rawbytes)?,
            other => return Err(format!("{other:?} is neither `relative` nor `rawbytes`")),
        }
    }
    d.push(PayloadTest::Isdataat { negated, relative, at: u16::try_from(at).unwrap_or(u16::MAX) });
    Ok(())
}

fn absolute_free(c: &Content) -> Result<(), String> {
    if c.depth.is_some() || c.offset.is_some() || c.startswith { Err(MIXED.to_owned()) } else { Ok(()) }
}

fn flag(slot: &mut bool) -> Result<(), String> {
    if *slot {
        return Err(String::from("it is given twice for one content"));
    }
    *slot = true;
    Ok(())
}

fn short(value: Option<&str>) -> Result<u16, String> {
    let n = number(wanted(value)?, 0, 65_535).map_err(|e| format!("{e}; {VARIABLE}"))?;
    Ok(u16::try_from(n).unwrap_or(u16::MAX))
}

fn signed(value: Option<&str>) -> Result<i32, String> {
    let v = wanted(value)?;
    let (minus, digits) = match v.strip_prefix('-') {
        Some(d) => (true, d),
        None => (false, v),
    };
    let n = number(digits, 0, MAX_DISTANCE as u32).map_err(|e| format!("{e} (or its negative); {VARIABLE}"))?;
    let n = i32::try_from(n).unwrap_or(MAX_DISTANCE);
    Ok(if minus { -n } else { n })
}

const VARIABLE: &str = "values taken from the payload (byte_extract, byte_math) are not supported by this version";
