// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `dcerpc.iface`, `dcerpc.opnum` and `smb.version`: what is asked of a call over TCP, over UDP or in a named pipe, and of
//! SMB. Suricata user guide, "DCERPC Keywords" and "SMB Keywords".

use super::{
    app::{interval, number},
    bytes::unsigned,
    wanted,
};
use crate::{
    ast::{Interval, TransactionTest},
    draft::Draft,
};

/// Protocols that carry calls.
pub(crate) const DCERPC: &[&str] = &["dcerpc", "smb"];
/// Numbers that a list of operations may hold, its ranges written out.
const MAX_LISTED: usize = 4096;

/// `dcerpc.iface:<uuid>[,<op><version>][,any_frag]`. A call is looked at whole, so that any of its fragments is its first.
pub(crate) fn iface(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let mut parts = wanted(value)?.split(',').map(str::trim);
    let text = parts.next().unwrap_or_default();
    let (high, low) = uuid(text).ok_or_else(|| format!("{text:?} is no UUID (8-4-4-4-12 hexadecimal digits)"))?;
    let exactly = |n: u64| Interval { from: n, to: n, negated: false };
    let (mut version, mut any) = (None, false);
    for part in parts {
        match (part, part.split_at_checked(1)) {
            ("any_frag", _) if !any => any = true,
            (_, Some((op @ ("<" | ">" | "!" | "="), n))) if version.is_none() && !any => {
                let n = unsigned(n, u16::MAX.into())?;
                version = Some(match op {
                    "<" if n == 0 => Interval { from: 1, to: 0, negated: false },
                    "<" => Interval { from: 0, to: n - 1, negated: false },
                    ">" => Interval { from: n + 1, to: u64::MAX, negated: false },
                    "!" => Interval { negated: true, ..exactly(n) },
                    _ => exactly(n),
                });
            }
            _ => return Err(format!("{part:?} is neither a version behind one of < > ! = nor any_frag")),
        }
    }
    number(d, "dcerpc.iface.high", DCERPC, exactly(high))?;
    number(d, "dcerpc.iface.low", DCERPC, exactly(low))?;
    if let Some(test) = version {
        number(d, "dcerpc.iface.version", DCERPC, test)?;
    }
    Ok(())
}

/// `dcerpc.opnum:<n>|<n>-<n>[,...]`.
pub(crate) fn opnum(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    const FIELD: &str = "dcerpc.opnum";
    let range = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (unsigned(from, u16::MAX.into())?, unsigned(to, u16::MAX.into())?);
        if from <= to { Ok((from, to)) } else { Err(format!("{part:?} ends before it begins")) }
    };
    let ranges = wanted(value)?.split(',').map(range).collect::<Result<Vec<_>, _>>()?;
    if let [(from, to)] = ranges.as_slice() {
        return number(d, FIELD, DCERPC, Interval { from: *from, to: *to, negated: false });
    }
    let any: Vec<u64> = ranges.into_iter().flat_map(|(from, to)| from..=to).take(MAX_LISTED + 1).collect();
    if any.len() > MAX_LISTED {
        return Err(format!(
            "a list of more than {MAX_LISTED} operations is not looked at; write ranges as rules of their own"
        ));
    }
    d.transaction.push(TransactionTest::OneOf { field: FIELD, any, none: false });
    d.about(DCERPC, FIELD)
}

/// `smb.version:1` or `smb.version:2` (which is 3 as well).
pub(crate) fn smb_version(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    number(d, "smb.version", &["smb"], interval(wanted(value)?, u8::MAX.into(), &[])?)
}

// The halves of a UUID.
fn uuid(text: &str) -> Option<(u64, u64)> {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|g| g.len()).collect();
    let digits = groups.concat();
    if lengths != [8, 4, 4, 4, 12] || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let (high, low) = digits.split_at_checked(16)?;
    Some((u64::from_str_radix(high, 16).ok()?, u64::from_str_radix(low, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use crate::{Options, parse};

    fn taken(option: &str) -> bool {
        let text = format!("alert tcp any any -> any any (msg:\"x\"; {option} sid:1;)");
        parse(&[("a.rules", text.as_bytes())], &Options::default()).refused.is_empty()
    }

    #[test]
    fn what_the_guide_writes_is_taken_and_anything_else_refused() {
        for good in [
            "dcerpc.iface:367abb81-9844-35f1-ad32-98f038001003;",
            "dce_iface:367ABB81-9844-35F1-AD32-98F038001003,!10;",
            "dcerpc.iface:367abb81-9844-35f1-ad32-98f038001003,any_frag;",
            "dcerpc.iface:367abb81-9844-35f1-ad32-98f038001003,>1,any_frag;",
            "dcerpc.opnum:15;",
            "dcerpc.opnum:12,24,62,61;",
            "dce_opnum:12,18-24,5;",
            "smb.version:2;",
            "dcerpc.stub_data; content:\"x\"; byte_test:2,=,1,0,relative,dce;",
            "dce_stub_data; byte_jump:2,0,dce; byte_math:bytes 2,offset 0,oper +,rvalue 1,result v,endian dce;",
        ] {
            assert!(taken(good), "{good} was refused");
        }
        for bad in [
            "dcerpc.iface:367abb81-9844-35f1-ad32-98f03800100;",
            "dcerpc.iface:367abb8-19844-35f1-ad32-98f038001003;",
            "dcerpc.iface:367abb81-9844-35f1-ad32-98f038001003,1;",
            "dcerpc.iface:367abb81-9844-35f1-ad32-98f038001003,>65536;",
            "dcerpc.iface:367abb81-9844-35f1-ad32-98f038001003,any_frag,>1;",
            "dcerpc.opnum:65536;",
            "dcerpc.opnum:9-8;",
            "dcerpc.opnum:1,2-5000;",
            "dcerpc.opnum:>5;",
            "smb.version:256;",
            "byte_test:2,=,1,0,dce;",
            "dcerpc.stub_data; content:\"x\"; pkt_data; byte_test:2,=,1,0,dce;",
        ] {
            assert!(!taken(bad), "{bad} was taken");
        }
    }
}
