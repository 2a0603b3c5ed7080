// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Counts of the flow (`flow.age`, `flow.pkts`, `flow.bytes`), and what a match does beside alerting: `tag`, `config`.
//! Suricata user guide, "Flow Keywords", "Tag", "Config Rules".

use super::{app::interval, number, wanted};
use crate::{
    ast::{Interval, PacketTest, StreamSide},
    draft::Draft,
    tags::{DEFAULT_PACKETS, Tag, TagOf, TagUntil},
};

/// Most `tag` keywords of a rule. Threat: a generated rule that fills what a flow can hold.
const MAX_TAGS: usize = 4;

type Done = Result<(), String>;

pub(crate) fn age(d: &mut Draft<'_>, value: Option<&str>) -> Done {
    let test = interval(wanted(value)?, u32::MAX.into(), &[])?;
    d.packet.push(PacketTest::FlowAge(test));
    Ok(())
}

// `direction,[op]number`
fn sided(value: Option<&str>, most: u64) -> Result<(StreamSide, Interval), String> {
    let (side, test) = wanted(value)?.split_once(',').ok_or("it wants direction,number, as in toserver,>3")?;
    let side = match side.trim() {
        "toserver" => StreamSide::Client,
        "toclient" => StreamSide::Server,
        "either" => StreamSide::Either,
        "both" => StreamSide::Both,
        other => return Err(format!("{other:?} is none of toserver, toclient, either, both")),
    };
    Ok((side, interval(test.trim(), most, &[])?))
}

pub(crate) fn packets(d: &mut Draft<'_>, value: Option<&str>) -> Done {
    let (side, test) = sided(value, u32::MAX.into())?;
    d.packet.push(PacketTest::FlowPackets("flow.pkts", side, test));
    Ok(())
}

pub(crate) fn packets_to_server(d: &mut Draft<'_>, value: Option<&str>) -> Done {
    let test = interval(wanted(value)?, u32::MAX.into(), &[])?;
    d.packet.push(PacketTest::FlowPackets("flow.pkts_toserver", StreamSide::Client, test));
    Ok(())
}

pub(crate) fn packets_to_client(d: &mut Draft<'_>, value: Option<&str>) -> Done {
    let test = interval(wanted(value)?, u32::MAX.into(), &[])?;
    d.packet.push(PacketTest::FlowPackets("flow.pkts_toclient", StreamSide::Server, test));
    Ok(())
}

pub(crate) fn bytes(d: &mut Draft<'_>, value: Option<&str>) -> Done {
    let (side, test) = sided(value, u64::MAX)?;
    d.packet.push(PacketTest::FlowBytes("flow.bytes", side, test));
    Ok(())
}

pub(crate) fn bytes_to_server(d: &mut Draft<'_>, value: Option<&str>) -> Done {
    let test = interval(wanted(value)?, u64::MAX, &[])?;
    d.packet.push(PacketTest::FlowBytes("flow.bytes_toserver", StreamSide::Client, test));
    Ok(())
}

pub(crate) fn bytes_to_client(d: &mut Draft<'_>, value: Option<&str>) -> Done {
    let test = interval(wanted(value)?, u64::MAX, &[])?;
    d.packet.push(PacketTest::FlowBytes("flow.bytes_toclient", StreamSide::Server, test));
    Ok(())
}

// `session|host[,count,metric][,src|dst]`
pub(crate) fn tag(d: &mut Draft<'_>, value: Option<&str>) -> Done {
    let parts: Vec<&str> = wanted(value)?.split(',').map(str::trim).collect();
    let (scope, rest) = parts.split_first().ok_or("it wants session or host")?;
    let (until, side) = match rest {
        [] => (None, None),
        [side] => (None, Some(*side)),
        [count, metric] => (Some((*count, *metric)), None),
        [count, metric, side] => (Some((*count, *metric)), Some(*side)),
        _ => return Err(String::from("it wants session or host[,count,packets|bytes|seconds][,src|dst]")),
    };
    let of = match (*scope, side) {
        ("session", None) => TagOf::Session,
        ("session", Some(_)) => return Err(String::from("src and dst go with host")),
        ("host", Some("src")) => TagOf::Src,
        ("host", Some("dst") | None) => TagOf::Dst,
        ("host", Some(other)) => return Err(format!("{other:?} is neither src nor dst")),
        (other, _) => return Err(format!("{other:?} is neither session nor host")),
    };
    let until = match until {
        None => TagUntil::Packets(DEFAULT_PACKETS),
        Some((count, metric)) => {
            let n = number(count, 1, u32::MAX)?;
            match metric {
                "packets" => TagUntil::Packets(n),
                "bytes" => TagUntil::Bytes(n),
                "seconds" => TagUntil::Seconds(n),
                other => return Err(format!("{other:?} is none of packets, bytes, seconds")),
            }
        }
    };
    if d.tags.len() == MAX_TAGS {
        return Err(format!("more than {MAX_TAGS} tags in one rule"));
    }
    d.tags.push(Tag { of, until });
    Ok(())
}

// `logging disable, type tx, scope tx`
pub(crate) fn config(d: &mut Draft<'_>, value: Option<&str>) -> Done {
    let v = wanted(value)?;
    let words: Vec<Vec<&str>> = v.split(',').map(|p| p.split_whitespace().collect()).collect();
    let words: Vec<&[&str]> = words.iter().map(Vec::as_slice).collect();
    match words.as_slice() {
        [["logging", "disable"], ["type", "tx"], ["scope", "tx"]] => {
            d.unlogged = true;
            Ok(())
        }
        [["tracking", ..], ..] => {
            Err(String::from("flows are tracked before rules are asked; leave packets out with a capture filter"))
        }
        _ => Err(format!("{v:?} is not `logging disable, type tx, scope tx`, the one form that this version honours")),
    }
}
