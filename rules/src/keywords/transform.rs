// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Transforms: what is made of a sticky buffer's bytes before they are looked at. Suricata user guide, "Transformations".

use super::{bytes::unsigned, meta::once, none, quoted, wanted};
use crate::{
    ast::{Base64Mode, Subslice, Transform, XorKey},
    draft::{At, Draft},
    limits::{MAX_PCRE, MAX_TRANSFORMS, MAX_UNPACKED},
};

// What stands before it in the rule looks at the bytes as they were, what follows at what it makes of them.
fn push(d: &mut Draft<'_>, t: Transform) -> Result<(), String> {
    let Some(at) = d.sticky.filter(|_| !d.decoded) else {
        return Err(String::from("it must follow a sticky buffer"));
    };
    let had = d.chains.get(at.chain).cloned().unwrap_or_default();
    if had.len() >= MAX_TRANSFORMS {
        return Err(format!("more than {MAX_TRANSFORMS} transforms of one buffer"));
    }
    let chain = [had, vec![t]].concat();
    let number = d.chains.iter().position(|c| *c == chain).unwrap_or_else(|| {
        d.chains.push(chain);
        d.chains.len() - 1
    });
    d.sticky = Some(At { chain: number, ..at });
    Ok(())
}

macro_rules! plain {
    ($($name:ident => $transform:ident,)*) => {
        $(pub(crate) fn $name(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
            none(value)?;
            push(d, Transform::$transform)
        })*
    };
}

plain! {
    dotprefix => DotPrefix,
    strip_whitespace => StripWhitespace,
    compress_whitespace => CompressWhitespace,
    to_lowercase => ToLowercase,
    to_uppercase => ToUppercase,
    to_md5 => ToMd5,
    to_sha1 => ToSha1,
    to_sha256 => ToSha256,
    url_decode => UrlDecode,
    header_lowercase => HeaderLowercase,
    strip_pseudo_headers => StripPseudoHeaders,
    domain => Domain,
    tld => Tld,
}

/// `xor:"0d0ac8ff"`, `xor:offset 4,"0d"`, `xor:extract 1 0`: a key of one byte that stands in the buffer's first.
pub(crate) fn xor(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let mut rest = wanted(value)?;
    let mut offset = 0;
    if let Some(after) = word(rest, "offset") {
        let (n, key) = after.split_once(',').ok_or("after the offset comes a comma and the key")?;
        offset = small(n.trim())?;
        rest = key.trim();
    }
    if word(rest, "var").is_some() {
        return Err(String::from("a variable (byte_extract, byte_math) as the key is not supported; extract is"));
    }
    if let Some(place) = word(rest, "extract") {
        let (bytes, from) = place.split_once([' ', '\t']).ok_or("extract wants how many bytes, and from where on")?;
        let bytes = u8::try_from(number(bytes, 1, 255)?).unwrap_or(u8::MAX);
        return push(d, Transform::Xor { offset, key: XorKey::Extract { bytes, from: small(from.trim())? } });
    }
    let text = quoted(rest)?;
    let key = hex::decode(text).map_err(|_| format!("{text:?} is not a key in hex, two digits a byte"))?;
    if key.is_empty() || key.len() > 255 {
        return Err(String::from("the key has 1 to 255 bytes"));
    }
    push(d, Transform::Xor { offset, key: XorKey::Written(key) })
}

// What follows a word and a blank.
fn word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    text.strip_prefix(word).filter(|t| t.starts_with([' ', '\t'])).map(str::trim_start)
}

fn small(text: &str) -> Result<u16, String> {
    number(text, 0, u16::MAX.into()).map(|n| u16::try_from(n).unwrap_or(u16::MAX))
}

/// `subslice:1`, `subslice:-4,2`, `subslice:-20,truncate`
pub(crate) fn subslice(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let parts: Vec<&str> = wanted(value)?.split(',').map(str::trim).collect();
    let place = |t: &str| t.parse::<i32>().map_err(|_| format!("{t:?} is not a whole number of 32 bits"));
    let is = |t: &&str| t.eq_ignore_ascii_case("truncate");
    let (parts, truncate) = match parts.split_last() {
        Some((last, before)) if is(last) => (before, true),
        _ => (parts.as_slice(), false),
    };
    let (offset, bytes) = match parts {
        [offset] => (place(offset)?, None),
        [offset, bytes] => (place(offset)?, Some(place(bytes)?)),
        _ => return Err(String::from("it wants offset, or offset,bytes, and perhaps truncate")),
    };
    if bytes == Some(0) {
        return Err(String::from("a part of 0 bytes holds nothing: the rule could never match"));
    }
    push(d, Transform::Subslice(Subslice { offset, bytes, truncate }))
}

/// `pcrexform:"pattern with (a group)"`
pub(crate) fn pcrexform(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let pattern = quoted(wanted(value)?)?;
    if pattern.is_empty() || pattern.len() > MAX_PCRE {
        return Err(format!("the pattern has 1 to {MAX_PCRE} bytes"));
    }
    push(d, Transform::Pcre(pattern.to_owned()))
}

/// `from_base64:bytes 8, offset 6, mode rfc4648`
pub(crate) fn from_base64(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let (mut bytes, mut offset, mut mode) = (None, None, None);
    for field in value.filter(|v| !v.is_empty()).into_iter().flat_map(|v| v.split(',')) {
        let (name, v) = field.trim().split_once([' ', '\t']).ok_or_else(|| {
            format!("{:?} is none of bytes N, offset N, mode strict, mode rfc4648, mode rfc2045", field.trim())
        })?;
        let v = v.trim();
        match name.trim_end_matches(':') {
            "bytes" => once(&mut bytes, number(v, 1, u32::MAX)?)?,
            "offset" => once(&mut offset, number(v, 0, 65_535)?)?,
            "mode" => {
                let m = match v {
                    "strict" => Base64Mode::Strict,
                    "rfc4648" => Base64Mode::Rfc4648,
                    "rfc2045" => Base64Mode::Rfc2045,
                    other => return Err(format!("{other:?} is none of strict, rfc4648, rfc2045")),
                };
                once(&mut mode, m)?;
            }
            other => return Err(format!("{other:?} is none of bytes, offset, mode")),
        }
    }
    push(d, Transform::FromBase64 { bytes, offset: offset.unwrap_or(0), mode: mode.unwrap_or_default() })
}

fn number(v: &str, least: u32, most: u32) -> Result<u32, String> {
    let n = unsigned(v, most.into())
        .map_err(|e| format!("{e}; variables (byte_extract, byte_math) are not supported in transforms"))?;
    u32::try_from(n).ok().filter(|n| *n >= least).ok_or_else(|| format!("{n} is too small"))
}

/// `gunzip` or `gunzip:max-size 4096`
pub(crate) fn gunzip(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let most = max_size(value)?;
    push(d, Transform::Gunzip(most))
}

/// `zlib_deflate` or `zlib_deflate:max-size 4096`
pub(crate) fn zlib_deflate(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let most = max_size(value)?;
    push(d, Transform::ZlibDeflate(most))
}

fn max_size(value: Option<&str>) -> Result<u32, String> {
    let Some(v) = value.filter(|v| !v.is_empty()) else { return Ok(1024) };
    let n = v.strip_prefix("max-size").ok_or_else(|| format!("{v:?}: it takes nothing, or max-size N"))?;
    let plain = super::file::units(n.trim())?;
    number(&plain, 1, MAX_UNPACKED)
}
