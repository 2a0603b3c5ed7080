// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `dataset` and `datarep`. Suricata user guide, "Datasets".

use std::path::{Path, PathBuf};

use super::{app::interval, wanted};
use crate::{
    ast::PayloadTest,
    dataset::{DataSets, Declared, Kind, Lookup, LookupOp},
    draft::Draft,
};

pub(crate) fn dataset(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let parts: Vec<&str> = wanted(value)?.split(',').map(str::trim).collect();
    let [op, name, options @ ..] = parts.as_slice() else {
        return Err(String::from("it wants isset|isnotset|set|unset,name[,type string,load file]"));
    };
    let op = match *op {
        "isset" => LookupOp::Isset,
        "isnotset" => LookupOp::Isnotset,
        "set" => LookupOp::Set,
        "unset" => LookupOp::Unset,
        other => return Err(format!("{other:?} is none of isset, isnotset, set, unset")),
    };
    push(d, name, op, options, false)
}

pub(crate) fn datarep(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let parts: Vec<&str> = wanted(value)?.split(',').map(str::trim).collect();
    let [name, operator, value, options @ ..] = parts.as_slice() else {
        return Err(String::from("it wants name,operator,value[,load file,type string]"));
    };
    let sign = match *operator {
        "<" | ">" => operator,
        "==" | "=" => "=",
        other => return Err(format!("the operator {other:?} is none of <, >, ==")),
    };
    let test = interval(&format!("{sign}{value}"), u16::MAX.into(), &[])?;
    push(d, name, LookupOp::Value(test), options, true)
}

fn push(d: &mut Draft<'_>, name: &str, op: LookupOp, options: &[&str], rep: bool) -> Result<(), String> {
    let Some(buffer) = d.here().map(|at| at.buffer) else {
        return Err(String::from(
            "it looks a buffer up: name the buffer before it, as in dns.query; dataset:isset,...",
        ));
    };
    if buffer.streaming {
        return Err(format!("{} grows while it is inspected, and a set is asked for a whole buffer", buffer.name));
    }
    if name.is_empty() || name.len() > 128 {
        return Err(String::from("the set's name has 1 to 128 characters"));
    }
    let mut how = Declared::default();
    for option in options {
        let (key, value) = option.split_once(char::is_whitespace).unwrap_or((option, ""));
        let value = value.trim();
        match key {
            "type" => how.kind = Some(Kind::parse(value)?),
            "load" if !value.is_empty() => how.load = Some(PathBuf::from(value)),
            "memcap" => how.memcap = Some(size(value)?),
            "hashsize" => {
                size(value)?; // a table here grows as needed
            }
            "state" | "save" => {
                return Err(format!(
                    "{key}: sets are not written to files by this version; leave it out to fill one in memory"
                ));
            }
            "format" | "enrichment_key" | "context_key" | "value_key" | "array_key" | "remove_key" => {
                return Err(format!("{key}: sets with JSON beside their entries are not supported by this version"));
            }
            other => return Err(format!("{other:?} is none of type, load, memcap, hashsize")),
        }
    }
    if rep && how.load.is_none() && how.kind.is_some() {
        return Err(String::from("a reputation list is read from a file: give load"));
    }
    let folder = Path::new(d.file).parent().unwrap_or(Path::new("")).to_owned();
    let set = d.data.declare(name, &how, rep, Some(&folder))?;
    let lookup = Lookup { set, op };
    if lookup.changes() {
        DataSets::changes(&lookup.set);
    }
    d.push(PayloadTest::Lookup(lookup));
    Ok(())
}

fn size(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let (digits, unit) = [("kb", 1u64 << 10), ("mb", 1 << 20), ("gb", 1 << 30)]
        .iter()
        .find_map(|(ending, unit)| lower.strip_suffix(ending).map(|d| (d.trim(), *unit)))
        .unwrap_or((lower.as_str(), 1));
    let n = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).filter(|n| *n > 0);
    n.ok_or_else(|| format!("{text:?} is not a size: a number with kb, mb or gb"))
}
