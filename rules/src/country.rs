// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Countries of addresses, out of a database in MaxMind's format, for `geoip`. Suricata user guide, "geoip".
//!
//! Must never write the file or ask anybody else. Limit: [`MAX_DATABASE`].

use std::{io::Read, net::IpAddr, path::Path};

use maxminddb::Reader;
use serde::Deserialize;

use crate::ast::Ends;

/// Largest database, in bytes. Threat: a wrong path (a capture, a device) read whole.
pub const MAX_DATABASE: u64 = 512 << 20;

/// Countries of addresses.
#[derive(Debug)]
pub struct Countries(Reader<Vec<u8>>);

#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    country: Option<Country<'a>>,
}

#[derive(Deserialize)]
struct Country<'a> {
    iso_code: Option<&'a str>,
}

impl Countries {
    /// Reads a database.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn read(path: &Path) -> Result<Self, String> {
        let told = |e: std::io::Error| format!("the database {} cannot be read: {e}", path.display());
        let mut bytes = Vec::new();
        std::fs::File::open(path).map_err(told)?.take(MAX_DATABASE + 1).read_to_end(&mut bytes).map_err(told)?;
        if bytes.len() as u64 > MAX_DATABASE {
            return Err(format!("the database {} is larger than {MAX_DATABASE} bytes", path.display()));
        }
        Self::of_bytes(bytes).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// The same, out of memory.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn of_bytes(bytes: Vec<u8>) -> Result<Self, String> {
        Reader::from_source(bytes).map(Self).map_err(|e| format!("it is no database in MaxMind's format: {e}"))
    }

    /// The country of an address: two letters of ISO 3166-1, upper case. None where the database does not say.
    pub fn country(&self, ip: IpAddr) -> Option<[u8; 2]> {
        let found = self.0.lookup(ip).ok()?.decode::<Found<'_>>().ok()??;
        let code = found.country?.iso_code?;
        <[u8; 2]>::try_from(code.as_bytes()).ok().map(|c| c.map(|b| b.to_ascii_uppercase()))
    }
}

/// `geoip`: from which countries the packet's addresses are.
#[derive(Clone, Debug)]
pub struct CountryTest {
    /// Whose address is asked for.
    pub ends: Ends,
    /// Codes of countries, upper case.
    pub any: Vec<[u8; 2]>,
    /// Whether it must be none of them.
    pub negated: bool,
    /// Who knows.
    pub countries: std::sync::Arc<Countries>,
}

impl CountryTest {
    /// Whether it holds. An address of which the country is not known fails, negated or not.
    pub fn matches(&self, src: IpAddr, dest: IpAddr) -> bool {
        self.ends
            .hold(src, dest, |ip| self.countries.country(ip).is_some_and(|c| self.any.contains(&c) != self.negated))
    }
}

impl PartialEq for CountryTest {
    fn eq(&self, other: &Self) -> bool {
        (self.ends, &self.any, self.negated) == (other.ends, &other.any, other.negated)
            && std::sync::Arc::ptr_eq(&self.countries, &other.countries)
    }
}

impl Eq for CountryTest {}

impl std::hash::Hash for CountryTest {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.ends, &self.any, self.negated).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database as its format says ("MaxMind DB File Format Specification", 2.0): a binary tree of 128 bits with records of
    /// 24, and behind it one record for each network, `{"country": {"iso_code": code}}`. IPv4 stands in `::/96`.
    fn database(networks: &[(&str, Option<&str>)]) -> Vec<u8> {
        let text = |t: &str| [&[0x40 | t.len() as u8], t.as_bytes()].concat();
        let (mut nodes, mut data) = (vec![[None::<Result<usize, usize>>; 2]], Vec::new());
        for (network, code) in networks {
            let net: ipnet::IpNet = network.parse().expect("a network");
            let (bits, len) = match net {
                ipnet::IpNet::V4(net) => (u128::from(u32::from(net.network())), net.prefix_len() + 96),
                ipnet::IpNet::V6(net) => (u128::from(net.network()), net.prefix_len()),
            };
            let mut node = 0;
            for n in 0..len {
                let side = (bits >> (127 - n) & 1) as usize;
                if n + 1 == len {
                    nodes[node][side] = Some(Err(data.len()));
                    break;
                }
                node = match nodes[node][side] {
                    Some(Ok(next)) => next,
                    _ => {
                        nodes.push([None; 2]);
                        let next = nodes.len() - 1;
                        nodes[node][side] = Some(Ok(next));
                        next
                    }
                };
            }
            data.extend([vec![0xe1], text("country")].concat());
            data.extend(code.map_or_else(|| vec![0xe0], |c| [vec![0xe1], text("iso_code"), text(c)].concat()));
        }
        let count = nodes.len();
        let mut out = Vec::new();
        for record in nodes.iter().flatten() {
            let value = match record {
                None => count,
                Some(Ok(node)) => *node,
                Some(Err(at)) => count + 16 + at,
            };
            out.extend_from_slice(&(value as u32).to_be_bytes()[1..]);
        }
        out.extend([0; 16]);
        out.extend(data);
        out.extend(b"\xab\xcd\xefMaxMind.com\xe9");
        let count = (count as u32).to_be_bytes();
        for (key, value) in [
            ("node_count", [&[0xc4][..], &count].concat()),
            ("record_size", vec![0xa1, 24]),
            ("ip_version", vec![0xa1, 6]),
            ("database_type", text("Test")),
            ("languages", vec![0, 4]),
            ("binary_format_major_version", vec![0xa1, 2]),
            ("binary_format_minor_version", vec![0xa0]),
            ("build_epoch", vec![1, 2, 1]),
            ("description", vec![0xe0]),
        ] {
            out.extend([text(key), value].concat());
        }
        out
    }

    const NETWORKS: &[(&str, Option<&str>)] = &[
        ("192.0.2.0/24", Some("de")),
        ("198.51.100.0/24", Some("FR")),
        ("203.0.113.0/24", None),
        ("192.88.99.0/24", Some("DEU")), // no code of two letters
        ("2001:db8::/32", Some("IT")),
    ];

    #[test]
    fn the_country_of_an_address_is_that_of_its_network() {
        let path = std::env::temp_dir().join(format!("lagewarte-country-{}.mmdb", std::process::id()));
        std::fs::write(&path, database(NETWORKS)).expect("written");
        let countries = Countries::read(&path);
        let _ = std::fs::remove_file(&path);
        let countries = countries.expect("a database");
        for (ip, want) in [
            ("192.0.2.7", Some(*b"DE")),
            ("198.51.100.255", Some(*b"FR")),
            ("2001:db8:1::1", Some(*b"IT")),
            ("203.0.113.1", None),
            ("192.88.99.1", None),
            ("192.0.3.1", None),
            ("2001:db9::1", None),
        ] {
            assert_eq!(countries.country(ip.parse().expect("an address")), want, "{ip}");
        }
    }

    /// Suricata user guide, "geoip": which end is asked for; one of several countries; `!` before the first negates all.
    #[test]
    fn a_country_is_asked_of_either_end_or_both() {
        let of_bytes = || std::sync::Arc::new(Countries::of_bytes(database(NETWORKS)).expect("a database"));
        let options = |countries| crate::Options { countries: Some(countries), ..crate::Options::default() };
        let test = |value: &str, options: &crate::Options| {
            let rule = format!("alert ip any any -> any any (geoip:{value}; sid:1;)");
            let set = crate::parse(&[("r", rule.as_bytes())], options);
            assert_eq!(set.refused, [], "{value}");
            let crate::ast::PacketTest::Country(test) = set.rules[0].packet[0].clone() else { panic!("{value}") };
            test
        };
        let options = options(of_bytes());
        let (german, french, nobody) = ("192.0.2.1", "198.51.100.1", "192.0.3.1");
        for (value, src, dest, want) in [
            ("src,DE", german, french, true),
            ("src,DE", french, german, false),
            ("dst,de", french, german, true),
            ("any,DE", french, german, true),
            ("any,IT", french, german, false),
            ("both,DE,FR", french, german, true),
            ("both,DE,IT", french, german, false),
            ("src,!DE", french, german, true),
            ("src,!DE", german, french, false),
            ("src,!DE,FR", french, german, false),
            ("src,DE", nobody, german, false),
            ("src,!DE", nobody, german, false), // not known: neither
            ("any,!DE", nobody, french, true),
        ] {
            let asks = test(value, &options);
            assert_eq!(asks.matches(src.parse().unwrap(), dest.parse().unwrap()), want, "{value} {src} {dest}");
        }
        assert!(
            test("src,DE", &options) == test("src,de", &options)
                && test("src,DE", &options) != test("dst,DE", &options)
        );
        let another = crate::Options { countries: Some(of_bytes()), ..crate::Options::default() };
        assert!(test("src,DE", &options) != test("src,DE", &another), "another database may say otherwise");
        let asked =
            |values: &[&str]| values.iter().map(|v| test(v, &options)).collect::<std::collections::HashSet<_>>().len();
        assert_eq!(asked(&["src,DE", "src,de", "src,!DE", "dst,DE"]), 3, "the same question is asked once");
    }

    #[test]
    fn what_is_no_database_is_told() {
        assert!(Countries::of_bytes(b"nothing of the kind".to_vec()).is_err_and(|e| e.contains("MaxMind")));
        let missing = Countries::read(Path::new("/no/such/database.mmdb"));
        assert!(missing.is_err_and(|e| e.contains("/no/such/database.mmdb")));
    }
}
