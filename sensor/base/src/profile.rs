// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The release profile: which event classes and fields leave the town hall, and in which form. A signed file.
//!
//! Default ([`Profile::alerts_only`]): alerts and health; inner addresses pseudonymised, no payload, URL query, mail address or file
//! name. A wider profile is a file that the municipality signs. Must never widen by omission: what is not named stays.

use serde::{Deserialize, Serialize};

/// What a field may become on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Left out.
    Drop,
    /// Replaced under the constituent's own key; equal values stay equal.
    Pseudonym,
    /// As it is.
    Clear,
}

/// A release profile. Every field is required in the file, so that whoever signs it has read each choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// Name for people, and in each envelope.
    pub name: String,
    /// Grows with each signing; a sensor refuses a lower one than it has seen.
    pub version: u64,
    /// Event classes that leave, by their names in the wire contract: alert, health, flow, anomaly, protocol, file.
    pub classes: Vec<String>,
    /// Addresses of the constituent, wherever they stand (addresses, X-Forwarded-For, DNS answers, community_id).
    pub inner_addresses: Form,
    /// Packet and stream payload in alerts.
    pub payload: Form,
    /// URL query strings (the part behind the question mark).
    pub url_query: Form,
    /// Mail addresses and subjects.
    pub mail_addresses: Form,
    /// File names.
    pub file_names: Form,
    /// User names and credentials.
    pub user_names: Form,
}

impl Profile {
    /// The default: in force wherever no signed file says otherwise.
    pub fn alerts_only() -> Self {
        Self {
            name: "alerts-only".into(),
            version: 1,
            classes: vec!["alert".into(), "health".into()],
            inner_addresses: Form::Pseudonym,
            payload: Form::Drop,
            url_query: Form::Drop,
            mail_addresses: Form::Drop,
            file_names: Form::Drop,
            user_names: Form::Drop,
        }
    }

    /// What stands in an envelope: `name@version`.
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}
