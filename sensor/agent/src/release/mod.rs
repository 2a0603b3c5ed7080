// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What leaves the house: the one door through which every event goes on its way to the spool, our own and foreign alike.
//!
//! The rule is an allow-list by EVE path ([`fields`]); the signed profile says in which form each kind of content leaves;
//! the signed assignment says whose the event is. What the forms mean:
//!
//! - Inner addresses (all that an owner's networks name, and all that no outer network can have) become pseudonyms under
//!   the owner's key wherever they stand, also inside texts. `flow_id` is keyed, `community_id` is made again over what
//!   leaves: both are derived from addresses and would give them away to whoever tries all of them.
//! - A URL's path names files and persons: it follows `file-names`, its query `url-query`. Its host stays.
//! - Names of outer hosts stay. Names of an inner server, single labels and names in zones that exist only inside become
//!   pseudonyms with the addresses.
//! - Payload, bodies and printable forms follow `payload`, and are not searched for addresses once they may leave.
//!
//! Must never let an event pass whose key cannot be had. Limits: an event is at most [`MAX_EVE_BYTES`]; texts
//! [`rewrite::MAX_TEXT`].

use std::{collections::HashMap, net::IpAddr, path::Path, sync::Arc};

use lagewarte_base::{
    id::ConstituentId,
    profile::{Form, Profile},
    time::Timestamp,
};
use lagewarte_event::{Class, MAX_EVE_BYTES};
use serde_json::{Map, Value, json};

pub mod files;
pub mod owners;
pub mod pseudonym;
pub mod rewrite;
pub mod scrub;

pub use files::{Orders, OrdersError};
pub use lagewarte_event::fields;

use owners::{Owner, Owners};
use pseudonym::{KeyError, Keyring, Pseudonyms};
use rewrite::Rewrite;

/// The names of event classes a profile may list.
pub const CLASSES: [&str; 6] = ["alert", "health", "flow", "anomaly", "protocol", "file"];

/// What is wrong with a profile, in a sentence; None where nothing is.
pub fn profile_fault(profile: &Profile) -> Option<String> {
    if profile.name.is_empty() || profile.name.len() > 64 || profile.name.contains('@') {
        return Some("the profile's name must have 1 to 64 characters and no @".into());
    }
    profile
        .classes
        .iter()
        .find(|c| !CLASSES.contains(&c.as_str()))
        .map(|c| format!("{c:?} is no event class; there are: {}", CLASSES.join(", ")))
}

/// Why an event did not pass.
#[derive(Debug, thiserror::Error)]
pub enum Withheld {
    /// The profile does not let its class out.
    #[error("class {}", .0.name())]
    Class(Class),
    /// No JSON object with an `event_type`.
    #[error("not an EVE object")]
    NotEve,
    /// No time, or none that can be read.
    #[error("no timestamp")]
    Time,
    /// Over [`MAX_EVE_BYTES`].
    #[error("size")]
    Size,
    /// The pseudonym key could not be had.
    #[error("{0}")]
    Key(KeyError),
}

impl Withheld {
    /// The reason's label in counters.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Class(_) => "class",
            Self::NotEve => "not-eve",
            Self::Time => "time",
            Self::Size => "size",
            Self::Key(_) => "key",
        }
    }
}

/// An event that may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// Its class.
    pub class: Class,
    /// Its EVE type.
    pub event_type: String,
    /// Its time.
    pub event: Timestamp,
    /// Whose it is.
    pub constituent: ConstituentId,
    /// What leaves of it.
    pub eve: String,
}

/// The door. One thread at a time; a few microseconds an event.
pub struct Release {
    profile: Profile,
    label: String,
    assignment: String,
    owners: Owners,
    ring: Keyring,
    keys: HashMap<Owner, Arc<Pseudonyms>>,
    seed: u16,
}

impl Release {
    /// A door under these orders; keys are in `state_dir/pseudonyms`. `seed` is that of community_id.
    ///
    /// # Errors
    /// Where the default owner's key cannot be had although the profile needs one: better now than at the first alert.
    pub fn new(orders: Orders, state_dir: &Path, seed: u16) -> Result<Self, KeyError> {
        let mut new = Self {
            label: orders.profile.label(),
            assignment: format!("{}@{}", orders.assignment.name, orders.assignment.version),
            owners: Owners::new(&orders.assignment),
            profile: orders.profile,
            ring: Keyring::new(state_dir.join("pseudonyms")),
            keys: HashMap::new(),
            seed,
        };
        if new.profile.inner_addresses == Form::Pseudonym {
            key(&mut new.keys, &new.ring, &new.owners, owners::DEFAULT)?;
        }
        Ok(new)
    }

    /// `name@version` of the profile in force.
    pub fn profile_label(&self) -> &str {
        &self.label
    }

    /// `name@version` of the assignment in force.
    pub fn assignment_label(&self) -> &str {
        &self.assignment
    }

    /// Whether events of a class leave at all.
    pub fn lets_out(&self, class: Class) -> bool {
        self.profile.classes.iter().any(|c| c == class.name())
    }

    /// What leaves of one EVE object.
    ///
    /// # Errors
    /// Why nothing does.
    pub fn event(&mut self, eve: &str) -> Result<Released, Withheld> {
        if eve.len() > MAX_EVE_BYTES {
            return Err(Withheld::Size);
        }
        let Ok(Value::Object(event)) = serde_json::from_str(eve) else { return Err(Withheld::NotEve) };
        let event_type = event.get("event_type").and_then(Value::as_str).unwrap_or("");
        // The type stands in the envelope in clear: no free text.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if event_type.is_empty() || event_type.len() > 32 || !event_type.bytes().all(plain) {
            return Err(Withheld::NotEve);
        }
        let event_type = event_type.to_owned();
        let class = Class::of(&event_type);
        if !self.lets_out(class) {
            return Err(Withheld::Class(class));
        }
        let time = event.get("timestamp").and_then(Value::as_str).and_then(Timestamp::parse_eve);
        let time = time.ok_or(Withheld::Time)?;

        let address = |value: Option<&Value>| value.and_then(Value::as_str).and_then(|a| a.parse::<IpAddr>().ok());
        let (src, dest) = (address(event.get("src_ip")), address(event.get("dest_ip")));
        let ends: Vec<IpAddr> = [src, dest].into_iter().flatten().collect();
        let vlan = match event.get("vlan") {
            Some(Value::Array(tags)) => tags.first().and_then(Value::as_u64),
            Some(tag) => tag.as_u64(),
            None => None,
        };
        let vlan = vlan.and_then(|v| u16::try_from(v).ok());
        let owner = self.owners.of_event(vlan, &ends);
        let inner = |ip: Option<IpAddr>| ip.is_some_and(|ip| self.owners.of_address(ip, owner).is_some());
        let sides = (inner(src), inner(dest));
        let server = server(&event);
        let server_inner = inner(address(event.get("flow").and_then(|f| f.get("dest_ip"))).or(server));

        let mut keys = |owner: Owner| key(&mut self.keys, &self.ring, &self.owners, owner);
        let mut rewrite = Rewrite {
            profile: &self.profile,
            owners: &self.owners,
            owner,
            vlan_owner: self.owners.of_vlan(vlan),
            server_inner,
            keys: &mut keys,
            failed: None,
            withheld: 0,
        };
        let mut out = rewrite.event(event);
        if let Some(e) = rewrite.failed {
            return Err(Withheld::Key(e));
        }
        if let Some(id) = self.community_id(&out).filter(|_| self.profile.inner_addresses != Form::Clear) {
            out.insert("community_id".into(), id.into());
        }
        let mut key_id = String::new();
        if let (Form::Pseudonym, true) = (self.profile.inner_addresses, sides.0 || sides.1) {
            let of = if sides.0 { src } else { dest };
            let whose = self.owners.of_vlan(vlan).or_else(|| self.owners.of_address(of?, owner)).unwrap_or(owner);
            key_id = key(&mut self.keys, &self.ring, &self.owners, whose).map_err(Withheld::Key)?.id().to_owned();
        }
        let side = match sides {
            (true, true) => "both",
            (true, false) => "src",
            (false, true) => "dest",
            (false, false) => "none",
        };
        out.insert("lagewarte".into(), json!({"inner": side, "key": key_id}));
        let eve = Value::Object(out).to_string();
        if eve.len() > MAX_EVE_BYTES {
            return Err(Withheld::Size);
        }
        Ok(Released { class, event_type, event: time, constituent: self.owners.name(owner).clone(), eve })
    }

    /// The community id over the ends as they leave; None where they do not, or the protocol has no number here.
    fn community_id(&self, out: &Map<String, Value>) -> Option<String> {
        let end = |name: &str| out.get(name)?.as_str()?.parse::<IpAddr>().ok();
        let port = |name: &str| out.get(name).and_then(Value::as_u64).and_then(|p| u16::try_from(p).ok());
        let proto = match out.get("proto")?.as_str()?.to_ascii_uppercase().as_str() {
            "TCP" => 6,
            "UDP" => 17,
            "ICMP" => 1,
            "IPV6-ICMP" | "ICMPV6" => 58,
            "SCTP" => 132,
            _ => return None,
        };
        let ports = match proto {
            1 | 58 => (port("icmp_type")?, port("icmp_code")?),
            _ => (port("src_port")?, port("dest_port")?),
        };
        Some(lagewarte_flow::community_id(self.seed, end("src_ip")?, end("dest_ip")?, proto, ports))
    }
}

fn key(
    keys: &mut HashMap<Owner, Arc<Pseudonyms>>,
    ring: &Keyring,
    owners: &Owners,
    owner: Owner,
) -> Result<Arc<Pseudonyms>, KeyError> {
    if let Some(key) = keys.get(&owner) {
        return Ok(Arc::clone(key));
    }
    let key = Arc::new(ring.key(owners.name(owner))?);
    keys.insert(owner, Arc::clone(&key));
    Ok(key)
}

/// The server of an event's flow: what `direction` says, else the end with the lower port, else the destination.
fn server(event: &Map<String, Value>) -> Option<IpAddr> {
    let end = |name: &str| event.get(name).and_then(Value::as_str).and_then(|a| a.parse().ok());
    let port = |name: &str| event.get(name).and_then(Value::as_u64).unwrap_or(0);
    let alert = event.contains_key("alert");
    let to_client = match event.get("direction").and_then(Value::as_str) {
        Some("to_client") => true,
        Some(_) => false,
        None => alert && port("src_port") < port("dest_port"),
    };
    if to_client { end("src_ip") } else { end("dest_ip") }
}

#[cfg(test)]
mod tests;
