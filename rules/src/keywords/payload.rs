// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `content`, its modifiers, `isdataat`, `bsize`, `absent`, `entropy`, `asn1`, `base64_decode`. Suricata user guide, "Payload Keywords" and
//! "Base64 keywords".

use super::{app, meta::once, none, number, quoted, wanted};
use crate::{
    ast::{Asn1, Base64, Content, Entropy, Level, PayloadTest, Real, Value},
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
    let n = d.place(wanted(value)?, 65_535).and_then(from_the_start)?;
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
    let n = d.place(wanted(value)?, 65_535).and_then(from_the_start)?;
    let c = d.last_content()?;
    if c.startswith {
        return Err(String::from("startswith already says where the pattern ends"));
    }
    if c.relative() {
        return Err(MIXED.to_owned());
    }
    if let Some(n) = n.number().filter(|n| !holds(*n, c)) {
        return Err(format!("a depth of {n} cannot hold a pattern of {} bytes: it could never match", c.bytes.len()));
    }
    once(&mut c.depth, n)
}

pub(crate) fn distance(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let n = d.place(wanted(value)?, MAX_DISTANCE as u32)?;
    let c = d.last_content()?;
    absolute_free(c)?;
    once(&mut c.distance, n)
}

pub(crate) fn within(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let n = d.place(wanted(value)?, MAX_DISTANCE as u32)?;
    let c = d.last_content()?;
    absolute_free(c)?;
    match n.number() {
        Some(n) if !holds(n, c) => {
            Err(format!("within {n} bytes there is no room for a pattern of {}: it could never match", c.bytes.len()))
        }
        _ => once(&mut c.within, n),
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
    let at = d.place(fields.next().unwrap_or_default(), 65_535).and_then(from_the_start)?;
    let (mut relative, mut rawbytes) = (false, false);
    for word in fields {
        match word {
            "relative" => flag(&mut relative)?,
            "rawbytes" => flag(&mut rawbytes)?,
            other => return Err(format!("{other:?} is neither `relative` nor `rawbytes`")),
        }
    }
    d.push(PayloadTest::Isdataat { negated, relative, at });
    Ok(())
}

pub(crate) fn bsize(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let size = app::interval(wanted(value)?, u64::MAX, &[])?;
    if d.sticky.is_none() && !d.decoded {
        return Err(String::from("it measures a sticky buffer, and none is open; `dsize` measures the payload"));
    }
    d.push(PayloadTest::Bsize(size));
    Ok(())
}

/// `entropy:value >= 7`, `entropy:bytes 64, offset 10, value 4-5`
pub(crate) fn entropy(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let (mut bytes, mut offset, mut test) = (None, None, None);
    for field in wanted(value)?.split(',') {
        let (name, v) = field.trim().split_once([' ', '\t']).unwrap_or((field.trim(), ""));
        match name {
            "bytes" => once(&mut bytes, number(v, 0, i32::MAX.unsigned_abs())?)?,
            "offset" => once(&mut offset, number(v, 0, u16::MAX.into())?)?,
            "value" => once(&mut test, level(v.trim())?)?,
            other => return Err(format!("{other:?} is none of bytes, offset, value")),
        }
    }
    let test = test.ok_or("it wants a value, as in entropy:value >= 7")?;
    // What EVE shows is called as Suricata calls the buffer inside.
    let name = match d.sticky {
        _ if d.decoded => "base64_data",
        None => "content",
        Some(at) => at
            .buffer
            .legacy
            .or_else(|| at.buffer.aliases.first().copied().filter(|a| a.contains('_')))
            .unwrap_or(at.buffer.name),
    };
    // 0 bytes are all of them.
    let bytes = bytes.filter(|n| *n > 0);
    d.push(PayloadTest::Entropy(Entropy { bytes, offset: offset.unwrap_or(0), test, name }));
    Ok(())
}

// A test on a number between 0 and 8, which is what bits a byte can be.
fn level(text: &str) -> Result<Level, String> {
    let real = |t: &str| {
        let t = t.trim();
        let n = t.parse::<f64>().ok().filter(|n| (0.0..=8.0).contains(n)).and_then(Real::new);
        n.ok_or_else(|| format!("{t:?} is not a number from 0 to 8"))
    };
    for (sign, of) in [
        ("<=", Level::Le as fn(Real) -> Level),
        (">=", Level::Ge),
        ("!=", Level::Ne),
        ("<", Level::Lt),
        (">", Level::Gt),
        ("=", Level::Eq),
    ] {
        if let Some(rest) = text.strip_prefix(sign) {
            return real(rest).map(of);
        }
    }
    let (negated, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
    match rest.split_once("<>").or_else(|| rest.split_once('-')) {
        Some((from, to)) => {
            let (from, to) = (real(from)?, real(to)?);
            if from.get() >= to.get() {
                return Err(format!("{rest:?}: the first must be smaller"));
            }
            Ok(if negated { Level::Outside(from, to) } else { Level::Between(from, to) })
        }
        None => real(rest).map(if negated { Level::Ne } else { Level::Eq }),
    }
}

/// `asn1:double_overflow, oversize_length 2048, relative_offset 54`
pub(crate) fn asn1(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let (mut test, mut offset) = (Asn1::default(), None);
    for field in wanted(value)?.split(',') {
        let (name, v) = field.trim().split_once([' ', '\t']).unwrap_or((field.trim(), ""));
        match (name, v) {
            ("bitstring_overflow", "") => flag(&mut test.bitstring)?,
            ("double_overflow", "") => flag(&mut test.double)?,
            ("oversize_length", v) => once(&mut test.oversize, number(v, 0, u32::MAX)?)?,
            ("absolute_offset" | "relative_offset", v) => {
                let (sign, digits) = v.strip_prefix('-').map_or((1, v), |rest| (-1, rest));
                once(&mut offset, sign * i64::from(number(digits, 0, 65_535)?))?;
                test.relative = name == "relative_offset";
            }
            (other, v) => {
                return Err(format!(
                    "{:?} is none of bitstring_overflow, double_overflow, oversize_length N, absolute_offset N, relative_offset N",
                    format!("{other} {v}").trim_end()
                ));
            }
        }
    }
    if !test.bitstring && !test.double && test.oversize.is_none() {
        return Err(String::from(
            "it asks for nothing: bitstring_overflow, double_overflow or oversize_length is wanted",
        ));
    }
    test.offset = offset.unwrap_or(0);
    d.push(PayloadTest::Asn1(test));
    Ok(())
}

pub(crate) fn absent(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let or_else = match value {
        None | Some("") => false,
        Some("or_else") => true,
        Some(other) => return Err(format!("{other:?}: it takes nothing, or or_else")),
    };
    let Some(at) = d.sticky.filter(|_| !d.decoded) else {
        return Err(String::from("it must follow the sticky buffer that may be missing"));
    };
    if at.buffer.protocols.is_empty() {
        return Err(String::from("it goes with buffers of application protocols"));
    }
    if !d.nothing_in(at) {
        return Err(String::from("it must come first after the sticky buffer"));
    }
    d.push(PayloadTest::Absent { or_else });
    Ok(())
}

/// `base64_decode:bytes 8, offset 1, relative`
pub(crate) fn base64_decode(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    if d.decoded {
        return Err(String::from("what was decoded is not decoded again"));
    }
    let (mut bytes, mut offset, mut relative) = (None, None, false);
    for field in value.filter(|v| !v.is_empty()).into_iter().flat_map(|v| v.split(',')) {
        match field.trim().split_once(char::is_whitespace).map_or((field.trim(), None), |(n, v)| (n, Some(v.trim()))) {
            ("bytes", Some(v)) => once(&mut bytes, d.place(v, u32::MAX)?)?,
            ("offset", Some(v)) => once(&mut offset, d.place(v, 65_535)?)?,
            ("relative", None) => flag(&mut relative)?,
            (other, _) => return Err(format!("{other:?} is none of bytes N, offset N, relative")),
        }
    }
    if bytes.and_then(Value::number).is_some_and(|n| n < 1) {
        return Err(String::from("at least one byte is decoded"));
    }
    let offset = from_the_start(offset.unwrap_or(Value::Number(0)))?;
    d.push(PayloadTest::Base64(Base64 { bytes, offset, relative, tests: Vec::new() }));
    Ok(())
}

pub(crate) fn base64_data(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    none(value)?;
    match d.payload.last() {
        Some(t) if matches!(t.test, PayloadTest::Base64(_)) => {
            d.sticky = t.at;
            d.decoded = true;
            Ok(())
        }
        _ => Err(String::from("it must follow `base64_decode`")),
    }
}

fn absolute_free(c: &Content) -> Result<(), String> {
    if c.depth.is_some() || c.offset.is_some() || c.startswith { Err(MIXED.to_owned()) } else { Ok(()) }
}

fn flag(slot: &mut bool) -> Result<(), String> {
    if *slot {
        return Err(String::from("it is given twice"));
    }
    *slot = true;
    Ok(())
}

fn from_the_start(v: Value) -> Result<Value, String> {
    match v.number() {
        Some(n) if n < 0 => Err(format!("{n} is before the beginning; a number from 0 on is wanted")),
        _ => Ok(v),
    }
}

// Whether so many bytes have room for the pattern.
fn holds(n: i64, c: &Content) -> bool {
    usize::try_from(n).is_ok_and(|n| n >= c.bytes.len())
}
