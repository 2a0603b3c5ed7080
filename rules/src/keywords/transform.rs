// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Transforms: what is made of a sticky buffer's bytes before they are looked at. Suricata user guide, "Transformations".

use super::{bytes::unsigned, meta::once, none, quoted, wanted};
use crate::{
    ast::{Base64Mode, Transform},
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
}

/// `xor:"0d0ac8ff"`
pub(crate) fn xor(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let text = quoted(wanted(value)?)?;
    let key = hex::decode(text).map_err(|_| format!("{text:?} is not a key in hex, two digits a byte"))?;
    if key.is_empty() || key.len() > 255 {
        return Err(String::from("the key has 1 to 255 bytes"));
    }
    push(d, Transform::Xor(key))
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
