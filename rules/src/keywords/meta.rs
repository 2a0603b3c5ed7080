// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Keywords that name and grade a rule.

use super::{none, number, quoted, wanted};
use crate::{
    ast::Target,
    draft::{Class, Draft},
};

pub(crate) fn msg(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let inner = quoted(wanted(value)?)?;
    if inner.is_empty() {
        return Err(String::from("the text is empty"));
    }
    let mut text = String::with_capacity(inner.len());
    let mut escaped = false;
    for c in inner.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            // Only these three need the backslash; before anything else it stands for itself.
            if escaped && !matches!(c, '"' | ';' | ':' | '\\') {
                text.push('\\');
            }
            text.push(c);
            escaped = false;
        }
    }
    once(&mut d.msg, text)
}

pub(crate) fn sid(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    once(&mut d.sid, number(wanted(value)?, 1, u32::MAX)?)
}

pub(crate) fn rev(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    once(&mut d.rev, number(wanted(value)?, 1, u32::MAX)?)
}

pub(crate) fn gid(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    once(&mut d.gid, number(wanted(value)?, 0, u32::MAX - 1)?)
}

pub(crate) fn classtype(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let name = wanted(value)?;
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Err(format!("{name:?} is not the short name of a class (letters, digits, - and _)"));
    }
    let class = match d.classification.class(name) {
        Some((category, priority)) => Class { name: name.to_owned(), category: category.to_owned(), priority },
        None => {
            d.warnings
                .push(("classtype", format!("the class {name:?} is not in classification.config; it gets priority 3")));
            Class { name: name.to_owned(), category: name.to_owned(), priority: 3 }
        }
    };
    match &d.class {
        Some(had) => {
            d.warnings.push(("classtype", String::from("given twice; the one with the higher priority counts")));
            if class.priority < had.priority {
                d.class = Some(class);
            }
        }
        None => d.class = Some(class),
    }
    Ok(())
}

pub(crate) fn priority(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let n = number(wanted(value)?, 0, i32::MAX as u32)?;
    d.priority = Some(match d.priority {
        None => n,
        Some(had) => {
            d.warnings.push(("priority", String::from("given twice; the graver one counts")));
            had.min(n)
        }
    });
    Ok(())
}

pub(crate) fn reference(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let (system, id) = wanted(value)?
        .split_once(',')
        .map(|(s, i)| (s.trim(), i.trim()))
        .filter(|(s, i)| !s.is_empty() && !i.is_empty())
        .ok_or("it wants system,id; for example cve,2021-44228")?;
    if d.classification.reference(system).is_none() {
        d.warnings.push(("reference", format!("the system {system:?} is not in reference.config")));
    }
    d.links.push(d.classification.link(system, id));
    Ok(())
}

pub(crate) fn metadata(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    for pair in wanted(value)?.split(',') {
        // A key without a value says nothing and is left out, as Suricata does.
        if let Some((key, value)) = pair.trim().split_once(' ') {
            d.metadata.push(key, value.trim());
        }
    }
    Ok(())
}

pub(crate) fn target(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let side = match wanted(value)? {
        "src_ip" => Target::Src,
        "dest_ip" => Target::Dest,
        other => return Err(format!("{other:?} is neither src_ip nor dest_ip")),
    };
    once(&mut d.target, side)
}

pub(crate) fn noalert(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    none(value)?;
    d.noalert = true;
    Ok(())
}

pub(crate) fn bypass(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    none(value)?;
    d.bypass = true;
    Ok(())
}

pub(crate) fn alert(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    none(value)?;
    d.alert = true;
    Ok(())
}

/// The version of the language that is spoken here: rules for newer engines say so. IGMP and SCTP came with 9.
const LANGUAGE: [u32; 3] = [9, 0, 0];
/// Features by which rules may ask for what an engine was built with.
const FEATURES: &[&str] = &["ja3", "ja4"];

/// `requires: feature ja4, version >= 8.0.0, keyword tls.sni`: a rule whose conditions do not hold is not for this sensor.
pub(crate) fn requires(_: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    for condition in wanted(value)?.split(',') {
        let (kind, rest) = condition.trim().split_once(char::is_whitespace).unwrap_or((condition.trim(), ""));
        let rest = rest.trim();
        let holds = match kind {
            "feature" => FEATURES.contains(&rest),
            "keyword" => crate::registry::find(rest).is_some() || crate::buffers::find(rest).is_some(),
            "version" => {
                let mut any = false;
                for range in rest.split('|') {
                    any |= version(range)?;
                }
                any
            }
            _ => return Err(format!("{kind:?} is none of feature, keyword, version")),
        };
        if !holds {
            return Err(format!("the rule is for engines with {:?}, which this one is not", condition.trim()));
        }
    }
    Ok(())
}

// `>= 7.0.3 < 8`: every comparison must hold.
fn version(range: &str) -> Result<bool, String> {
    let words: Vec<&str> = range.split_whitespace().collect();
    let wrong = || format!("{:?} is no range of versions; write >= 7.0.3 < 8", range.trim());
    if words.is_empty() {
        return Err(wrong());
    }
    let mut holds = true;
    for pair in words.chunks(2) {
        let [operator, number] = pair else { return Err(wrong()) };
        let mut wanted = [0; 3];
        let parts: Vec<&str> = number.split('.').collect();
        if parts.len() > 3 {
            return Err(wrong());
        }
        for (n, p) in wanted.iter_mut().zip(&parts) {
            *n = p.parse().map_err(|_| wrong())?;
        }
        holds &= match *operator {
            ">=" => LANGUAGE >= wanted,
            ">" => LANGUAGE > wanted,
            "<=" => LANGUAGE <= wanted,
            "<" => LANGUAGE < wanted,
            _ => return Err(wrong()),
        };
    }
    Ok(holds)
}

pub(crate) fn prefilter(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    none(value)?;
    if d.packet.is_empty() && d.payload.is_empty() && d.spoken.is_empty() && d.transaction.is_empty() {
        return Err(String::from("it must follow the keyword that is to be looked at first"));
    }
    Ok(())
}

/// Fills a slot that may be filled once.
pub(crate) fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), String> {
    if slot.is_some() {
        return Err(String::from("it is given twice"));
    }
    *slot = Some(value);
    Ok(())
}
