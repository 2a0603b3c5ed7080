// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `modbus`: unit, function, and access with its addresses and values. Suricata user guide, "Modbus Keyword".
//!
//! Must never take a combination that cannot be looked at exactly.

use super::{
    app::{interval, number},
    wanted,
};
use crate::{
    ast::{Interval, TransactionTest},
    draft::Draft,
};

const MODBUS: &[&str] = &["modbus"];

/// The keyword.
pub(crate) fn modbus(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let mut parts = wanted(value)?.split(',').map(str::trim).peekable();
    // The direction of an access, and its address where that is a single one.
    let (mut table, mut address): (Option<(bool, Option<&str>)>, Option<Interval>) = (None, None);
    while let Some(part) = parts.next() {
        let (what, rest) = part.split_once(char::is_whitespace).ok_or_else(|| format!("{part:?} wants a value"))?;
        let rest = rest.trim();
        match what {
            "unit" => number(d, "modbus.unit", MODBUS, interval(rest, 255, &[])?)?,
            "function" => function(d, rest)?,
            "subfunction" => number(d, "modbus.subfunction", MODBUS, interval(rest, 65_535, &[])?)?,
            "access" => table = Some(access(d, rest)?),
            "address" => {
                let (write, _) =
                    table.filter(|(_, t)| t.is_some()).ok_or("an address needs access to a table before it")?;
                let test = interval(rest, 65_536, &[])?;
                address = Some(test);
                // With a value behind it, both are looked at together.
                if !parts.peek().is_some_and(|p| p.starts_with("value")) {
                    let field = if write { "modbus.write" } else { "modbus.read" };
                    d.transaction.push(TransactionTest::Range { field, test });
                }
            }
            "value" => {
                let (Some((true, Some("holding"))), Some(at)) = (table, address) else {
                    return Err(String::from(
                        "a value is looked at of holding registers that are written, behind their address",
                    ));
                };
                let test = interval(rest, 65_535, &[])?;
                if at.from != at.to || at.negated || test.negated {
                    return Err(String::from(
                        "with a value the address must be a single one, and the value a number or a range",
                    ));
                }
                let whole = |v: u64| at.from << 16 | v.min(65_535);
                let test = if test.from > test.to {
                    test
                } else {
                    Interval { from: whole(test.from), to: whole(test.to), negated: false }
                };
                number(d, "modbus.written", MODBUS, test)?;
            }
            _ => return Err(format!("{what:?} is none of unit, function, subfunction, access, address, value")),
        }
    }
    d.about(MODBUS, "modbus")
}

fn function(d: &mut Draft<'_>, text: &str) -> Result<(), String> {
    const CATEGORIES: &[(&str, u64)] =
        &[("assigned", 1), ("unassigned", 2), ("public", 3), ("user", 4), ("reserved", 8), ("all", 15)];
    let (negated, word) = text.strip_prefix('!').map_or((false, text), |w| (true, w.trim_start()));
    match CATEGORIES.iter().find(|(n, _)| n.eq_ignore_ascii_case(word)) {
        Some((_, mask)) => {
            // One of these bits is set; or, negated, none is.
            d.transaction.push(TransactionTest::Bits {
                field: "modbus.category",
                mask: *mask,
                value: 0,
                negated: !negated,
            });
            Ok(())
        }
        None => number(d, "modbus.function", MODBUS, interval(text, 127, &[])?),
    }
}

fn access<'v>(d: &mut Draft<'_>, text: &'v str) -> Result<(bool, Option<&'v str>), String> {
    const TABLES: &[(&str, u64)] = &[("discretes", 4), ("coils", 8), ("input", 0x10), ("holding", 0x20)];
    let mut words = text.split_whitespace();
    let write = match words.next() {
        Some("read") => false,
        Some("write") => true,
        _ => return Err(format!("{text:?} begins with neither read nor write")),
    };
    let table = words.next();
    let of = |t: &str| TABLES.iter().find(|(n, _)| *n == t).map(|(_, bit)| *bit);
    let bit = match table {
        None => 0,
        Some(t) => of(t).ok_or_else(|| format!("{t:?} is none of discretes, coils, input, holding"))?,
    };
    if words.next().is_some() || write && matches!(table, Some("discretes" | "input")) {
        return Err(format!("{text:?} is no access that there is"));
    }
    let mask = bit | if write { 2 } else { 1 };
    d.transaction.push(TransactionTest::Bits { field: "modbus.access", mask, value: mask, negated: false });
    Ok((write, table))
}
