// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `flowint`, `xbits`, `hostbits`. Suricata user guide, "Flow Keywords" and "Xbits Keyword".

use super::{number, wanted};
use crate::{
    draft::Draft,
    limits::MAX_EXPIRE,
    marks::{Flowint, FlowintOp, Operand, Xbit, XbitOp, XbitTrack},
};

/// Seconds that a mark of `xbits` lasts where the rule does not say.
const XBITS_EXPIRE: u32 = 30;
/// The same for `hostbits`.
const HOSTBITS_EXPIRE: u32 = 300;

fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if text.is_empty() || !text.chars().all(fits) {
        return Err(format!("{text:?} is not a name: letters, digits, `_`, `-` and `.`"));
    }
    Ok(text.to_owned())
}

pub(crate) fn flowint(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let mut parts = wanted(value)?.split(',').map(str::trim);
    let (Some(counter), Some(op), operand, None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(String::from("it wants name,operation[,value], as in flowint:logins,+,1"));
    };
    let counter = name(counter)?;
    let op = match op.to_ascii_lowercase().as_str() {
        "=" => FlowintOp::Set,
        "+" => FlowintOp::Add,
        "-" => FlowintOp::Sub,
        "<" => FlowintOp::Lt,
        "<=" => FlowintOp::Le,
        ">" => FlowintOp::Gt,
        ">=" => FlowintOp::Ge,
        "==" => FlowintOp::Eq,
        "!=" => FlowintOp::Ne,
        "isset" => FlowintOp::Isset,
        "isnotset" | "notset" => FlowintOp::Isnotset,
        other => return Err(format!("{other:?} is none of = + - < <= > >= == != isset isnotset notset")),
    };
    let asks = matches!(op, FlowintOp::Isset | FlowintOp::Isnotset);
    let value = match (operand, asks) {
        (None, true) => Operand::Number(0),
        (Some(_), true) => return Err(String::from("isset and isnotset take no value")),
        (None, false) => return Err(String::from("a value must follow: a number, or the name of another counter")),
        (Some(v), false) if v.starts_with(|c: char| c.is_ascii_digit()) => Operand::Number(number(v, 0, u32::MAX)?),
        (Some(v), false) => Operand::Counter(name(v)?),
    };
    d.flowints.push(Flowint { name: counter, op, value });
    Ok(())
}

pub(crate) fn xbits(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    if v == "noalert" {
        d.noalert = true;
        return Ok(());
    }
    let parts: Vec<&str> = v.split(',').map(str::trim).collect();
    let (op, bit, track, expire) = match parts.as_slice() {
        [op, bit, track] => (*op, *bit, *track, None),
        [op, bit, track, expire] => (*op, *bit, *track, Some(*expire)),
        _ => return Err(String::from("it wants operation,name,track ip_src[,expire seconds]")),
    };
    let op = operation(op)?;
    let track = match track.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["track", "ip_src"] => XbitTrack::Src,
        ["track", "ip_dst"] => XbitTrack::Dst,
        ["track", "ip_pair"] => XbitTrack::Pair,
        ["track", "tx"] => XbitTrack::Tx,
        _ => return Err(format!("{track:?} is none of track ip_src, track ip_dst, track ip_pair, track tx")),
    };
    let expire = match (expire.map(|e| e.split_whitespace().collect::<Vec<_>>()), track) {
        (None, _) => XBITS_EXPIRE,
        (Some(_), XbitTrack::Tx) => {
            return Err(String::from("a mark on a transaction ends with it: expire has no place"));
        }
        (Some(e), _) => match e.as_slice() {
            ["expire", seconds] => number(seconds, 1, MAX_EXPIRE)?,
            _ => return Err(String::from("after the track only `expire seconds` may follow")),
        },
    };
    d.xbits.push(Xbit { keyword: "xbits", op, name: name(bit)?, track, expire });
    Ok(())
}

pub(crate) fn hostbits(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    if v == "noalert" {
        d.noalert = true;
        return Ok(());
    }
    let parts: Vec<&str> = v.split(',').map(str::trim).collect();
    let (op, bit, side, expire) = match parts.as_slice() {
        [op, bit] => (*op, *bit, "src", None),
        [op, bit, side] => (*op, *bit, *side, None),
        [op, bit, side, expire] => (*op, *bit, *side, Some(*expire)),
        _ => return Err(String::from("it wants operation,name[,src|dst[,seconds]]")),
    };
    let track = match side {
        "src" => XbitTrack::Src,
        "dst" => XbitTrack::Dst,
        "both" => {
            return Err(String::from(
                "`both` has no settled meaning (Suricata names it and does not act on it); write one rule with src and one with dst",
            ));
        }
        other => return Err(format!("the direction {other:?} is neither src nor dst")),
    };
    let expire = expire.map_or(Ok(HOSTBITS_EXPIRE), |e| number(e, 1, MAX_EXPIRE))?;
    d.xbits.push(Xbit { keyword: "hostbits", op: operation(op)?, name: name(bit)?, track, expire });
    Ok(())
}

fn operation(word: &str) -> Result<XbitOp, String> {
    Ok(match word {
        "set" => XbitOp::Set,
        "unset" => XbitOp::Unset,
        "toggle" => XbitOp::Toggle,
        "isset" => XbitOp::Isset,
        "isnotset" => XbitOp::Isnotset,
        other => return Err(format!("{other:?} is none of set, unset, toggle, isset, isnotset, noalert")),
    })
}
