// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Identities: sensor, epoch, event, constituent.
//!
//! An event's id is (sensor UUID, epoch, sequence). The epoch is a counter that the sensor fsyncs at each start, joined
//! with a 64-bit nonce of that start, so that a restored backup cannot reuse ids unnoticed. The id stands in the
//! envelope only, never in the EVE JSON.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
pub use uuid::Uuid;

/// One life of a sensor's spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch {
    /// Counts starts, fsynced before the first sequence number is given out; from 1.
    pub counter: u64,
    /// Random bits of this start.
    pub nonce: u64,
}

/// Names one event in the whole state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The sensor, from its certificate.
    pub sensor: Uuid,
    /// The spool's life.
    pub epoch: Epoch,
    /// Position in the epoch, from 1.
    pub seq: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}-{:016x}:{}", self.sensor, self.epoch.counter, self.epoch.nonce, self.seq)
    }
}

/// Not the text of an event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event id: UUID:EPOCH-NONCE:SEQ is wanted")]
pub struct EventIdError;

impl FromStr for EventId {
    type Err = EventIdError;
    fn from_str(s: &str) -> Result<Self, EventIdError> {
        let mut parts = s.splitn(3, ':');
        let (Some(sensor), Some(epoch), Some(seq)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(EventIdError);
        };
        let (counter, nonce) = epoch.split_once('-').ok_or(EventIdError)?;
        Ok(Self {
            sensor: sensor.parse().map_err(|_| EventIdError)?,
            epoch: Epoch {
                counter: counter.parse().map_err(|_| EventIdError)?,
                nonce: u64::from_str_radix(nonce, 16).map_err(|_| EventIdError)?,
            },
            seq: seq.parse().map_err(|_| EventIdError)?,
        })
    }
}

/// A constituent's stable id: an organisation (administration, Zweckverband, utility, hospital, IT provider).
/// One to 64 of `a-z 0-9 -`, not beginning with `-`. The AGS is its attribute, not its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConstituentId(String);

impl ConstituentId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Not a constituent id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no constituent id: 1 to 64 of a-z, 0-9 and -, not beginning with -")]
pub struct ConstituentIdError(pub String);

impl TryFrom<String> for ConstituentId {
    type Error = ConstituentIdError;
    fn try_from(s: String) -> Result<Self, ConstituentIdError> {
        let fine = (1..=64).contains(&s.len())
            && !s.starts_with('-')
            && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fine { Ok(Self(s)) } else { Err(ConstituentIdError(s.chars().take(80).collect())) }
    }
}

impl FromStr for ConstituentId {
    type Err = ConstituentIdError;
    fn from_str(s: &str) -> Result<Self, ConstituentIdError> {
        s.to_owned().try_into()
    }
}

impl From<ConstituentId> for String {
    fn from(c: ConstituentId) -> String {
        c.0
    }
}

impl fmt::Display for ConstituentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_round_trip_as_text() {
        let id = EventId { sensor: Uuid::from_u128(0x1234), epoch: Epoch { counter: 7, nonce: 0xfeed }, seq: u64::MAX };
        assert_eq!(id.to_string(), "00000000-0000-0000-0000-000000001234:7-000000000000feed:18446744073709551615");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "x", "a:b:c", "00000000-0000-0000-0000-000000001234:7:1", "::", "1:2-3:4:5"] {
            assert!(bad.parse::<EventId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn constituent_ids_are_narrow() {
        assert!("gemeinde-09162000".parse::<ConstituentId>().is_ok());
        for bad in ["", "-a", "A", "ä", "a b", "a/b", &"a".repeat(65)] {
            assert!(bad.parse::<ConstituentId>().is_err(), "{bad}");
        }
    }
}
