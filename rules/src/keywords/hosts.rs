// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What is known of a packet's addresses: `iprep`, `geoip`. Suricata user guide, "IP Reputation Keyword" and "Header
//! Keywords".

use std::sync::Arc;

use super::{app::interval, wanted};
use crate::{
    ast::{Ends, Interval, PacketTest},
    country::CountryTest,
    draft::Draft,
    reputation::{MAX_SCORE, ReputationTest},
};

/// `iprep:src,CnC,>,30`, `iprep:any,CnC,isset`
pub(crate) fn iprep(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let fields: Vec<&str> = wanted(value)?.split(',').map(str::trim).collect();
    let (ends, name, score) = match fields.as_slice() {
        [ends, name, "isset"] => (ends, name, Some(Interval { from: 0, to: u64::MAX, negated: false })),
        [ends, name, "isnotset"] => (ends, name, None),
        [ends, name, sign @ ("<" | "<=" | ">" | ">=" | "="), score] => {
            (ends, name, Some(interval(&format!("{sign}{score}"), MAX_SCORE.into(), &[])?))
        }
        _ => return Err(String::from("it wants src|dst|both|any,category,<|<=|>|>=|=,score; or isset, isnotset")),
    };
    let ends = Ends::parse(ends)?;
    let Some(known) = d.reputations else {
        return Err(String::from("no lists are configured: reputation-categories-file and reputation-files name them"));
    };
    let category = known.category(name).ok_or_else(|| format!("the file of categories has no {name:?}"))?;
    d.packet.push(PacketTest::Reputation(ReputationTest { ends, category: Arc::clone(category), score }));
    Ok(())
}

/// `geoip:src,DE,FR`, `geoip:any,!DE`
pub(crate) fn geoip(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let fields: Vec<&str> = wanted(value)?.split(',').map(str::trim).collect();
    let [ends, codes @ ..] = fields.as_slice() else { return Err(String::from(WANTED)) };
    let ends = Ends::parse(ends)?;
    let negated = codes.first().is_some_and(|c| c.starts_with('!'));
    let mut any = Vec::new();
    for code in codes {
        let (not, code) = code.strip_prefix('!').map_or((false, *code), |c| (true, c));
        if not != negated && (not || any.is_empty()) {
            return Err(String::from("either none of the countries is negated, or the first: it then stands for all"));
        }
        match <[u8; 2]>::try_from(code.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_alphabetic) => any.push(code.map(|b| b.to_ascii_uppercase())),
            _ => return Err(format!("{code:?} is no country of two letters (ISO 3166-1)")),
        }
    }
    if any.is_empty() {
        return Err(String::from(WANTED));
    }
    let Some(countries) = d.countries else {
        return Err(String::from("no database is configured: geoip-database names it"));
    };
    d.packet.push(PacketTest::Country(CountryTest { ends, any, negated, countries: Arc::clone(countries) }));
    Ok(())
}

const WANTED: &str = "it wants src|dst|both|any, then countries, as in geoip:src,DE,FR";
