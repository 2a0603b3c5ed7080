// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Keywords on the flow and on earlier matches. Suricata user guide, "Flow Keywords", "Thresholding Keywords".

use super::{meta::once, number, wanted};
use crate::{
    ast::{FlowState, Flowbit, FlowbitOp, Threshold, ThresholdKind, Track, UniqueOn},
    draft::Draft,
    limits::MAX_UNIQUE,
};

pub(crate) fn flow(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    d.flow.present = true;
    for word in wanted(value)?.split(',') {
        let f = &mut d.flow;
        match word.trim().to_ascii_lowercase().as_str() {
            "to_server" | "from_client" => side(&mut f.to_server, f.to_client)?,
            "to_client" | "from_server" => side(&mut f.to_client, f.to_server)?,
            "established" => state(d, FlowState::Established)?,
            "not_established" => state(d, FlowState::NotEstablished)?,
            "stateless" => state(d, FlowState::Stateless)?,
            "no_stream" if f.no_stream => return Err(String::from("no_stream is given twice")),
            "no_stream" => f.no_stream = true,
            "no_frag" if f.no_frag => return Err(String::from("no_frag is given twice")),
            "no_frag" => f.no_frag = true,
            "only_frag" if f.only_frag => return Err(String::from("only_frag is given twice")),
            "only_frag" => f.only_frag = true,
            "only_stream" if f.only_stream => return Err(String::from("only_stream is given twice")),
            "only_stream" => f.only_stream = true,
            other => return Err(format!("{other:?} is not a flow option")),
        }
    }
    if d.flow.no_frag && d.flow.only_frag {
        return Err(String::from("no packet is of both kinds: give one of no_frag and only_frag"));
    }
    if d.flow.no_stream && d.flow.only_stream {
        return Err(String::from("nothing is of both kinds: give one of no_stream and only_stream"));
    }
    Ok(())
}

fn side(this: &mut bool, other: bool) -> Result<(), String> {
    if *this || other {
        return Err(String::from("a packet goes one way only: give one direction, once"));
    }
    *this = true;
    Ok(())
}

fn state(d: &mut Draft<'_>, wanted: FlowState) -> Result<(), String> {
    once(&mut d.flow_state, wanted)
        .map_err(|_| String::from("one of established, not_established and stateless, once"))?;
    d.flow.state = wanted;
    Ok(())
}

pub(crate) fn flowbits(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let (word, names) = match v.split_once(',') {
        Some((w, n)) => (w.trim(), Some(n.trim())),
        None => (v, None),
    };
    let op = match word {
        "noalert" => {
            d.noalert = true;
            return match names {
                None => Ok(()),
                Some(_) => Err(String::from("noalert takes no name")),
            };
        }
        "set" => FlowbitOp::Set,
        "unset" => FlowbitOp::Unset,
        "toggle" => FlowbitOp::Toggle,
        "isset" => FlowbitOp::Isset,
        "isnotset" => FlowbitOp::Isnotset,
        other => return Err(format!("{other:?} is none of set, unset, toggle, isset, isnotset, noalert")),
    };
    let names: Vec<String> = names.unwrap_or_default().split('|').map(|n| n.trim().to_owned()).collect();
    if let Some(bad) = names.iter().find(|n| n.is_empty() || n.contains(|c: char| c.is_whitespace() || c == ',')) {
        return Err(format!("{bad:?} is not a name: one word without commas is wanted after `{word},`"));
    }
    if names.len() > 1 && !matches!(op, FlowbitOp::Isset | FlowbitOp::Isnotset) {
        return Err(format!("`|` (any of them) goes with isset and isnotset; {word} takes one name"));
    }
    d.flowbits.push(Flowbit { op, names });
    Ok(())
}

pub(crate) fn threshold(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let f = fields(value, &["type", "track", "count", "seconds", "multiplier"])?;
    let kind = match f[0] {
        Some("limit") => ThresholdKind::Limit,
        Some("threshold") => ThresholdKind::Threshold,
        Some("both") => ThresholdKind::Both,
        Some("backoff") => ThresholdKind::Backoff,
        Some(other) => return Err(format!("the type {other:?} is none of limit, threshold, both, backoff")),
        None => return Err(String::from("it wants a type: limit, threshold, both or backoff")),
    };
    let track = track(f[1])?;
    let count = number(f[2].ok_or("it wants a count")?, 1, u32::MAX)?;
    let seconds = match (kind, f[3], f[4]) {
        (ThresholdKind::Backoff, None, Some(m)) if track == Track::Flow => number(m, 1, u32::MAX)?,
        (ThresholdKind::Backoff, ..) => {
            return Err(String::from("type backoff goes with track by_flow, count and multiplier, and has no seconds"));
        }
        (_, Some(s), None) => number(s, 1, u32::MAX)?,
        (_, None, _) => return Err(String::from("it wants seconds")),
        (_, _, Some(_)) => return Err(String::from("multiplier goes with type backoff only")),
    };
    set_threshold(d, Threshold { kind, track, count, seconds, unique: None })
}

pub(crate) fn detection_filter(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let f = fields(value, &["track", "count", "seconds", "unique_on"])?;
    let track = track(f[0])?;
    let count = number(f[1].ok_or("it wants a count")?, 1, u32::MAX)?;
    let seconds = number(f[2].ok_or("it wants seconds")?, 1, u32::MAX)?;
    let unique = match f[3] {
        None => None,
        Some("src_port") => Some(UniqueOn::SrcPort),
        Some("dst_port") => Some(UniqueOn::DstPort),
        Some(other) => return Err(format!("unique_on {other:?} is neither src_port nor dst_port")),
    };
    if unique.is_some() && count > MAX_UNIQUE {
        return Err(format!("with unique_on the count is at most {MAX_UNIQUE}: the ports that differ are remembered"));
    }
    set_threshold(d, Threshold { kind: ThresholdKind::DetectionFilter, track, count, seconds, unique })
}

fn set_threshold(d: &mut Draft<'_>, t: Threshold) -> Result<(), String> {
    once(&mut d.threshold, t).map_err(|_| String::from("one threshold or detection_filter for a rule"))
}

fn track(word: Option<&str>) -> Result<Track, String> {
    Ok(match word {
        Some("by_src") => Track::Src,
        Some("by_dst") => Track::Dst,
        Some("by_both") => Track::Both,
        Some("by_rule") => Track::Rule,
        Some("by_flow") => Track::Flow,
        Some(other) => return Err(format!("the track {other:?} is none of by_src, by_dst, by_both, by_rule, by_flow")),
        None => return Err(String::from("it wants a track: by_src, by_dst, by_both, by_rule or by_flow")),
    })
}

// `name value, name value` in any order, each at most once; in the order of `names`.
fn fields<'v, const N: usize>(value: Option<&'v str>, names: &[&str; N]) -> Result<[Option<&'v str>; N], String> {
    let mut out = [None; N];
    for field in wanted(value)?.split(',') {
        let (name, value) = field
            .trim()
            .split_once(char::is_whitespace)
            .ok_or_else(|| format!("{:?} is not a name and a value ({})", field.trim(), names.join(", ")))?;
        let slot = names
            .iter()
            .position(|n| *n == name)
            .and_then(|i| out.get_mut(i))
            .ok_or_else(|| format!("{name:?} is none of {}", names.join(", ")))?;
        once(slot, value.trim()).map_err(|_| format!("{name} is given twice"))?;
    }
    Ok(out)
}
