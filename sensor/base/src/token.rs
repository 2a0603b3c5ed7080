// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The enrolment token: one string that a person copies to the gateway host, once.
//!
//! `LW1.` and base64url of: SHA-256 of the enrolment CA's certificate (32 bytes), a secret (32 bytes), the enrolment URL.
//! The hash lets the sensor know the server before it trusts any CA; the secret is good once and not for long; the
//! aggregator stores only its SHA-256. Must never be logged.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// Longest token text: bounds what a paste of the wrong thing can cost.
pub const MAX_TOKEN: usize = 1024;

/// An enrolment token's three parts.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolmentToken {
    /// SHA-256 of the DER certificate of the CA that signs the aggregators' certificates.
    pub ca_sha256: [u8; 32],
    /// The one-time secret.
    pub secret: [u8; 32],
    /// `https://host:port` of the enrolment service.
    pub url: String,
}

impl fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolmentToken(url {})", self.url)
    }
}

impl fmt::Display for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let raw = [&self.ca_sha256[..], &self.secret[..], self.url.as_bytes()].concat();
        write!(f, "LW1.{}", URL_SAFE_NO_PAD.encode(raw))
    }
}

/// Not an enrolment token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not an enrolment token (it begins with LW1.); copy it whole, as the CERT sent it, or ask for a new one"
)]
pub struct TokenError;

impl std::str::FromStr for EnrolmentToken {
    type Err = TokenError;
    fn from_str(s: &str) -> Result<Self, TokenError> {
        let s = s.trim();
        let body = s.strip_prefix("LW1.").filter(|_| s.len() <= MAX_TOKEN).ok_or(TokenError)?;
        let raw = URL_SAFE_NO_PAD.decode(body).map_err(|_| TokenError)?;
        let (ca_sha256, rest) = raw.split_first_chunk::<32>().ok_or(TokenError)?;
        let (secret, url) = rest.split_first_chunk::<32>().ok_or(TokenError)?;
        let url = std::str::from_utf8(url).ok().filter(|u| u.starts_with("https://")).ok_or(TokenError)?;
        Ok(Self { ca_sha256: *ca_sha256, secret: *secret, url: url.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn round_trips_and_every_truncation_is_refused_or_a_shorter_url() {
        let t = EnrolmentToken { ca_sha256: [1; 32], secret: [2; 32], url: "https://cert.example:7443".into() };
        let text = t.to_string();
        assert_eq!(text.parse(), Ok(t.clone()));
        assert!(!format!("{t:?}").contains(&hex::encode([2; 4])), "the secret must not be printed");
        for n in 0..text.len() {
            if let Ok(cut) = text[..n].parse::<EnrolmentToken>() {
                assert!(t.url.starts_with(&cut.url));
            }
        }
        assert_eq!(format!("LW1.{}", "A".repeat(MAX_TOKEN)).parse::<EnrolmentToken>(), Err(TokenError));
    }

    proptest! {
        #[test]
        fn no_text_panics(s in ".{0,200}") {
            let _ = s.parse::<EnrolmentToken>();
        }
    }
}
