// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! AGS, the Amtlicher Gemeindeschlüssel: eight digits, leading zeros kept (Destatis, Gemeindeverzeichnis).
//!
//! Land 2, Regierungsbezirk 1, Kreis 2, Gemeinde 3. The hierarchy is the prefix. Must never be held as a number:
//! Schleswig-Holstein begins with 0.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A municipality's key: exactly eight ASCII digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ags([u8; 8]);

impl Ags {
    /// The eight digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("00000000") // digits only, by construction
    }
    /// Land: the first two digits.
    pub fn land(&self) -> &str {
        &self.as_str()[..2]
    }
    /// Regierungsbezirk: the first three digits.
    pub fn bezirk(&self) -> &str {
        &self.as_str()[..3]
    }
    /// Kreis or kreisfreie Stadt: the first five digits.
    pub fn kreis(&self) -> &str {
        &self.as_str()[..5]
    }
}

/// Why a text is not an AGS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an AGS: eight digits are wanted, leading zeros kept, for example 09162000")]
pub struct AgsError(pub String);

impl FromStr for Ags {
    type Err = AgsError;
    fn from_str(s: &str) -> Result<Self, AgsError> {
        let digits: [u8; 8] = s.as_bytes().try_into().map_err(|_| AgsError(s.chars().take(32).collect()))?;
        if digits.iter().all(u8::is_ascii_digit) {
            Ok(Self(digits))
        } else {
            Err(AgsError(s.chars().take(32).collect()))
        }
    }
}

impl TryFrom<String> for Ags {
    type Error = AgsError;
    fn try_from(s: String) -> Result<Self, AgsError> {
        s.parse()
    }
}

impl From<Ags> for String {
    fn from(a: Ags) -> String {
        a.as_str().to_owned()
    }
}

impl fmt::Display for Ags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Ags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_by_prefix_and_leading_zeros_stay() {
        let a: Ags = "09162000".parse().unwrap();
        assert_eq!((a.land(), a.bezirk(), a.kreis(), a.as_str()), ("09", "091", "09162", "09162000"));
        assert_eq!(serde_json::to_string(&a).unwrap(), "\"09162000\"");
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in ["", "9162000", "091620001", "0916200a", "09 62000", "٠٩١٦٢٠٠٠", "0916200\u{e9}"] {
            assert!(bad.parse::<Ags>().is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Ags>("9162000").is_err(), "a number is not an AGS");
    }
}
