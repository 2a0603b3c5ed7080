// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Traffic Light Protocol 2.0 (FIRST, August 2022) as a type: nothing leaves without a label.
//!
//! Must never be defaulted silently: there is no `Default`, so that whoever makes a warning has to choose.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The five labels, from the most to the least restricted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tlp {
    /// For the eyes and ears of individual recipients only.
    #[serde(rename = "TLP:RED")]
    Red,
    /// Need-to-know within the recipient's organisation only.
    #[serde(rename = "TLP:AMBER+STRICT")]
    AmberStrict,
    /// Need-to-know within the organisation and its clients.
    #[serde(rename = "TLP:AMBER")]
    Amber,
    /// Within the community, not through public channels.
    #[serde(rename = "TLP:GREEN")]
    Green,
    /// No limit on disclosure.
    #[serde(rename = "TLP:CLEAR")]
    Clear,
}

/// A way by which something leaves; each may carry labels down to a most restricted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The constituent's own page behind its token, over TLS: named recipients, so even RED.
    Portal,
    /// The constituent's own feed behind its token: machines of one organisation.
    Feed,
    /// Mail without end-to-end encryption: leaves our hands on the first hop.
    PlainMail,
    /// Anyone.
    Public,
}

impl Tlp {
    /// All labels, most restricted first.
    pub const ALL: [Self; 5] = [Self::Red, Self::AmberStrict, Self::Amber, Self::Green, Self::Clear];

    /// The label as TLP 2.0 writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Red => "TLP:RED",
            Self::AmberStrict => "TLP:AMBER+STRICT",
            Self::Amber => "TLP:AMBER",
            Self::Green => "TLP:GREEN",
            Self::Clear => "TLP:CLEAR",
        }
    }

    /// Whether `channel` may carry this label. RED never goes by feed or mail, AMBER+STRICT never by plain mail.
    pub const fn allowed_on(self, channel: Channel) -> bool {
        match channel {
            Channel::Portal => true,
            Channel::Feed => !matches!(self, Self::Red),
            Channel::PlainMail => !matches!(self, Self::Red | Self::AmberStrict),
            Channel::Public => matches!(self, Self::Clear),
        }
    }
}

impl fmt::Display for Tlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is none of the five labels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no TLP 2.0 label: TLP:RED, TLP:AMBER+STRICT, TLP:AMBER, TLP:GREEN or TLP:CLEAR")]
pub struct TlpError(pub String);

impl FromStr for Tlp {
    type Err = TlpError;
    fn from_str(s: &str) -> Result<Self, TlpError> {
        Self::ALL.into_iter().find(|t| t.as_str() == s).ok_or_else(|| TlpError(s.chars().take(32).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_channel_may_carry() {
        let carried = |c| Tlp::ALL.into_iter().filter(|t| t.allowed_on(c)).map(Tlp::as_str).collect::<Vec<_>>();
        assert_eq!(carried(Channel::Portal).len(), 5);
        assert_eq!(carried(Channel::Feed), ["TLP:AMBER+STRICT", "TLP:AMBER", "TLP:GREEN", "TLP:CLEAR"]);
        assert_eq!(carried(Channel::PlainMail), ["TLP:AMBER", "TLP:GREEN", "TLP:CLEAR"]);
        assert_eq!(carried(Channel::Public), ["TLP:CLEAR"]);
    }

    #[test]
    fn labels_round_trip_and_tlp1_white_is_refused() {
        for t in Tlp::ALL {
            assert_eq!(t.as_str().parse(), Ok(t));
            assert_eq!(serde_json::to_value(t).unwrap(), t.as_str());
        }
        assert!("TLP:WHITE".parse::<Tlp>().is_err());
    }
}
