// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The client behind a proxy, as a request's header names it. Suricata user guide, "Eve JSON Output", HTTP X-Forwarded-For.
//!
//! Must never believe what is no address: then the packet's own stays.

use std::net::IpAddr;

/// How the client behind a proxy is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xff {
    /// `mode: overwrite`: instead of the client's address; else (`extra-data`) beside it, as `xff`.
    pub overwrite: bool,
    /// `deployment: forward`: the header's first address; else (`reverse`) its last.
    pub forward: bool,
    /// `header`
    pub header: String,
}

impl Default for Xff {
    fn default() -> Self {
        Self { overwrite: false, forward: false, header: "X-Forwarded-For".into() }
    }
}

impl Xff {
    /// The client that a header's value names.
    pub fn client(&self, value: &[u8]) -> Option<IpAddr> {
        let text = std::str::from_utf8(value).ok()?;
        let one = if self.forward { text.split(',').next() } else { text.rsplit(',').next() }?.trim();
        if let Ok(ip) = one.parse() {
            return Some(ip);
        }
        // With a port: `[2001:db8::1]:80`, `192.0.2.1:80`.
        match one.strip_prefix('[') {
            Some(rest) => rest.split(']').next()?.parse().ok(),
            None => one.split_once(':')?.0.parse().ok(),
        }
    }
}

/// For which events it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// Alerts on a transaction.
    pub alert: Option<Xff>,
    /// HTTP.
    pub http: Option<Xff>,
    /// Files.
    pub files: Option<Xff>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverse_takes_the_last_and_forward_the_first() {
        let reverse = Xff::default();
        let forward = Xff { forward: true, ..Xff::default() };
        for (value, last, first) in [
            ("192.0.2.1", Some("192.0.2.1"), Some("192.0.2.1")),
            ("192.0.2.1, 198.51.100.7", Some("198.51.100.7"), Some("192.0.2.1")),
            ("2001:db8::1,[2001:db8::2]:443", Some("2001:db8::2"), Some("2001:db8::1")),
            ("192.0.2.1:8080", Some("192.0.2.1"), Some("192.0.2.1")),
            ("unknown, 192.0.2.1", Some("192.0.2.1"), None),
            ("192.0.2.1, unknown", None, Some("192.0.2.1")),
            ("192.0.2.1,", None, Some("192.0.2.1")),
            ("", None, None),
            ("999.0.0.1", None, None),
        ] {
            let of = |x: &Xff| x.client(value.as_bytes()).map(|ip| ip.to_string());
            assert_eq!((of(&reverse).as_deref(), of(&forward).as_deref()), (last, first), "{value}");
        }
    }
}
