// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Keywords on TLS connections that are not plain buffers. Suricata user guide, "SSL/TLS Keywords".

use super::{app, none, quoted, wanted};
use crate::{
    ast::{Interval, TransactionTest},
    draft::Draft,
};

const TLS: &[&str] = &["tls"];

/// Names of versions, and how they stand in a hello.
const VERSIONS: &[(&str, u64)] = &[
    ("sslv2", 0x0002),
    ("sslv3", 0x0300),
    ("tls1.0", 0x0301),
    ("tls1.1", 0x0302),
    ("tls1.2", 0x0303),
    ("tls1.3", 0x0304),
];
/// Messages of the handshake, by the numbers that the application layer gives them.
const STATES: &[(&str, u64)] = &[("client_hello", 0), ("server_hello", 1), ("client_keyx", 2), ("server_keyx", 3)];

/// `tls.version:1.2` or `tls.version:0x0303`.
pub(crate) fn version(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let v = quoted(v).unwrap_or(v).trim();
    let n = match v {
        "1.0" => 0x0301,
        "1.1" => 0x0302,
        "1.2" => 0x0303,
        "1.3" => 0x0304,
        _ => v
            .strip_prefix("0x")
            .and_then(|h| u16::from_str_radix(h, 16).ok())
            .ok_or_else(|| format!("{v:?} is none of 1.0, 1.1, 1.2, 1.3 or 0x with four hexadecimal digits"))?
            .into(),
    };
    app::number(d, "tls.version", TLS, Interval { from: n, to: n, negated: false })
}

/// `ssl_version:tls1.2,tls1.3`; a `!` before the first is for all.
pub(crate) fn ssl_version(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    one_of(d, "ssl_version", value, VERSIONS, &[','])
}

/// `ssl_state:client_hello`.
pub(crate) fn ssl_state(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    one_of(d, "ssl_state", value, STATES, &[',', '|'])
}

fn one_of(
    d: &mut Draft<'_>,
    field: &'static str,
    value: Option<&str>,
    names: &[(&str, u64)],
    between: &[char],
) -> Result<(), String> {
    let v = wanted(value)?;
    let none = v.starts_with('!');
    let mut any = Vec::new();
    for part in v.split(between) {
        let part = part.trim();
        let name = match part.strip_prefix('!') {
            Some(_) if !none => {
                return Err(String::from("where one is negated the first must be, and it holds for all"));
            }
            Some(rest) => rest.trim(),
            None => part,
        };
        let (_, n) = names.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).ok_or_else(|| {
            format!("{name:?} is none of {}", names.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", "))
        })?;
        any.push(*n);
    }
    d.transaction.push(TransactionTest::OneOf { field, any, none });
    d.about(TLS, field)
}

pub(crate) fn chain_len(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    app::number(d, "tls.cert_chain_len", TLS, app::interval(wanted(value)?, u32::MAX.into(), &[])?)
}

pub(crate) fn not_before(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    app::number(d, "tls_cert_notbefore", TLS, dates(wanted(value)?)?)
}

pub(crate) fn not_after(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    app::number(d, "tls_cert_notafter", TLS, dates(wanted(value)?)?)
}

pub(crate) fn valid(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    none(value)?;
    app::number(d, "tls_cert_valid", TLS, Interval { from: 1, to: 1, negated: false })
}

pub(crate) fn expired(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    none(value)?;
    app::number(d, "tls_cert_expired", TLS, Interval { from: 1, to: 1, negated: false })
}

/// `<2026`, `>2026-03-02 08:00`, `2025<>2026`, `2026-03-02`; a date stands for its first second.
fn dates(text: &str) -> Result<Interval, String> {
    let made = |from, to| Ok(Interval { from, to, negated: false });
    let t = text.trim();
    if let Some((a, b)) = t.split_once("<>") {
        let (a, b) = (date(a)?, date(b)?);
        return if a < b { made(a + 1, b - 1) } else { Err(format!("the span {t:?} ends before it begins")) };
    }
    if let Some(rest) = t.strip_prefix('<') {
        return match date(rest)? {
            0 => made(1, 0),
            n => made(0, n - 1),
        };
    }
    if let Some(rest) = t.strip_prefix('>') {
        return made(date(rest)? + 1, u64::MAX); // a date of four digits' years lies far below
    }
    let n = date(t)?;
    made(n, n)
}

/// Seconds since 1970 of `YYYY[-MM[-DD[ HH[:MM[:SS]]]]]`, also with a `T`.
fn date(text: &str) -> Result<u64, String> {
    let t = text.trim();
    let wrong = || format!("{t:?} is no date; write YYYY-MM-DD HH:MM:SS or its beginning, from 1970 on");
    let mut numbers = [1970u64, 1, 1, 0, 0, 0];
    let parts: Vec<&str> = t.split(['-', ' ', 'T', ':']).collect();
    if parts.len() > 6 || parts.first().is_none_or(|y| y.len() != 4) {
        return Err(wrong());
    }
    for (n, p) in numbers.iter_mut().zip(&parts) {
        let digits = !p.is_empty() && p.len() <= 4 && p.bytes().all(|b| b.is_ascii_digit());
        *n = p.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
    }
    let [year, month, day, hour, minute, second] = numbers;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = usize::try_from(month).ok().and_then(|m| lengths.get(m.checked_sub(1)?)).ok_or_else(wrong)?;
    if year < 1970 || !(1..=*length).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return Err(wrong());
    }
    let before = year - 1;
    // Days before this year since year 1, less those before 1970.
    let mut days = before * 365 + before / 4 - before / 100 + before / 400 - 719_162;
    days += lengths.iter().take(month as usize - 1).sum::<u64>() + day - 1; // month is 1 to 12
    Ok(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// The old `tls.subject:"..."`, `tls.issuerdn:"..."`, `tls.fingerprint:"..."`: a text in the buffer of that name.
pub(crate) fn subject(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    app::text_in(d, "tls.cert_subject", TLS, value)
}
pub(crate) fn issuer(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    app::text_in(d, "tls.cert_issuer", TLS, value)
}
pub(crate) fn fingerprint(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    app::text_in(d, "tls.cert_fingerprint", TLS, value)
}

/// Events of TLS and QUIC that rules may ask for.
pub(crate) const TLS_EVENTS: &[&str] = &[
    "invalid_sslv2_header",
    "invalid_record_version",
    "invalid_record_type",
    "invalid_record_length",
    "invalid_handshake_message",
    "handshake_invalid_length",
    "invalid_certificate",
    "certificate_invalid_length",
    "certificate_invalid_version",
    "certificate_invalid_serial",
    "certificate_invalid_algorithmidentifier",
    "certificate_invalid_x509name",
    "certificate_invalid_date",
    "certificate_invalid_extensions",
    "certificate_invalid_der",
    "certificate_invalid_string",
    "error_message_encountered",
    "invalid_ssl_record",
    "invalid_alert_message",
    "too_many_records_in_packet",
    "heartbeat_message",
    "invalid_heartbeat_message",
    "overflow_heartbeat_message",
    "dataleak_heartbeat_mismatch",
    "multiple_sni_extensions",
    "invalid_sni_type",
    "invalid_sni_length",
];
/// The same of QUIC.
pub(crate) const QUIC_EVENTS: &[&str] = &["failed_decrypt", "error_on_data", "error_on_header", "crypto_frag_too_long"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_seconds() {
        for (text, want) in [
            ("1970", 0),
            ("2015", 1_420_070_400),
            ("2000-03-01", 951_868_800),
            ("2015-10-22 23:59:59", 1_445_558_399),
            ("2024-02-29T12", 1_709_208_000),
        ] {
            assert_eq!(date(text), Ok(want), "{text}");
        }
        for wrong in ["", "15", "1969", "2015-13", "2015-02-29", "2015-1-1-1-1-1-1", "2015-10-22 24", "2o15", "2015-"] {
            assert!(date(wrong).is_err(), "{wrong}");
        }
        let at = date("2015").expect("a date");
        for (text, inside, outside) in
            [("<2015", at - 1, at), (">2015", at + 1, at), ("2015", at, at + 1), ("2014<>2016", at, at * 2)]
        {
            let test = dates(text).expect(text);
            assert!(test.matches(inside) && !test.matches(outside), "{text}");
        }
        assert!(dates("2016<>2015").is_err());
    }
}
