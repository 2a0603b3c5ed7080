// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `dataset` and `datarep`. Suricata user guide, "Datasets".

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{app::interval, meta::once, wanted};
use crate::{
    ast::PayloadTest,
    dataset::{DataSets, Declared, Json, Kind, Lookup, LookupOp},
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
    let (mut format, mut context, mut value_key, mut array, mut remove) = (None, None, None, None, false);
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
            "match" if value == "subdomain" => how.subdomains = true,
            "match" => return Err(format!("match {value}: subdomain is the only way to match that can be given")),
            "format" => match value {
                "csv" => {}
                "json" => once(&mut format, false)?,
                "ndjson" | "jsonline" => once(&mut format, true)?,
                other => return Err(format!("the format {other:?} is none of csv, json, ndjson")),
            },
            "context_key" | "enrichment_key" if !value.is_empty() => once(&mut context, Arc::from(value))?,
            "value_key" if !value.is_empty() => once(&mut value_key, value.to_owned())?,
            "array_key" if !value.is_empty() => once(&mut array, value.to_owned())?,
            "remove_key" if value.is_empty() => remove = true,
            other => {
                return Err(format!(
                    "{other:?} with {value:?} is none of type, load, memcap, hashsize, match subdomain, format, context_key, value_key, array_key, remove_key"
                ));
            }
        }
    }
    how.json = match (format, value_key) {
        (None, None) if context.is_none() && array.is_none() && !remove => None,
        (None, _) => return Err(String::from("a key of JSON is given: say format json or ndjson, too")),
        (Some(_), _) if rep || matches!(op, LookupOp::Set | LookupOp::Unset) => {
            return Err(String::from("a set with JSON can be asked (isset, isnotset), and not changed"));
        }
        (Some(true), _) if array.is_some() => {
            return Err(String::from("array_key is for one document; with ndjson each line is an object"));
        }
        (Some(lines), Some(value)) if context.is_some() && how.load.is_some() => {
            Some(Json { lines, value, array, remove })
        }
        (Some(_), _) => return Err(String::from("a set with JSON wants load, value_key and context_key")),
    };
    if how.subdomains && (rep || how.kind.is_some_and(|k| k != Kind::String)) {
        return Err(String::from("match subdomain is for sets of strings"));
    }
    if rep && how.load.is_none() && how.kind.is_some() {
        return Err(String::from("a reputation list is read from a file: give load"));
    }
    let folder = Path::new(d.file).parent().unwrap_or(Path::new("")).to_owned();
    let set = d.data.declare(name, &how, rep, Some(&folder))?;
    let lookup = Lookup { set, op, context };
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
