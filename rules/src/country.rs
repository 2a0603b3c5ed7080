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

    #[test]
    fn what_is_no_database_is_told() {
        assert!(Countries::of_bytes(b"nothing of the kind".to_vec()).is_err_and(|e| e.contains("MaxMind")));
        let missing = Countries::read(Path::new("/no/such/database.mmdb"));
        assert!(missing.is_err_and(|e| e.contains("/no/such/database.mmdb")));
    }
}
