// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! One function for each keyword of [`crate::registry`]: reads its value into the draft, or says what is wrong with it.
//!
//! Must never accept a value in part. Values follow the Suricata user guide.

pub(crate) mod app;
pub(crate) mod bytes;
pub(crate) mod counts;
pub(crate) mod dataset;
pub(crate) mod dcerpc;
pub(crate) mod file;
pub(crate) mod hosts;
pub(crate) mod marks;
pub(crate) mod meta;
pub(crate) mod modbus;
pub(crate) mod numbers;
pub(crate) mod options;
pub(crate) mod packet;
pub(crate) mod payload;
pub(crate) mod pcre;
pub(crate) mod state;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod transform;

/// The value of a keyword that wants one.
pub(crate) fn wanted(value: Option<&str>) -> Result<&str, String> {
    value.filter(|v| !v.is_empty()).ok_or_else(|| String::from("it wants a value after `:`"))
}

/// No value at all.
pub(crate) fn none(value: Option<&str>) -> Result<(), String> {
    match value {
        None => Ok(()),
        Some(v) => Err(format!("it takes no value, and {v:?} is given")),
    }
}

/// A whole number, decimal.
pub(crate) fn number(text: &str, from: u32, to: u32) -> Result<u32, String> {
    let t = text.trim();
    let digits = !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    t.parse()
        .ok()
        .filter(|n| digits && (from..=to).contains(n))
        .ok_or_else(|| format!("{t:?} is not a whole number from {from} to {to}"))
}

/// Whether a value begins with `!`, and what is behind it.
pub(crate) fn negation(v: &str) -> (bool, &str) {
    match v.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, v),
    }
}

/// What stands between double quotes; the quotes inside must be escaped.
pub(crate) fn quoted(text: &str) -> Result<&str, String> {
    text.strip_prefix('"')
        .and_then(|t| t.strip_suffix('"'))
        .ok_or_else(|| format!("{text:?} must stand in double quotes; is a `;` inside not written as |3B| or `\\;`?"))
}
