// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The assignment: which VLANs and addresses at a sensor belong to which constituent. A signed file ([`crate::signed`]).
//!
//! The owner of an event is decided at the sensor, at the time of the event, and ingest checks it against what the
//! register lets the sensor speak for. Must never be guessed: an address of nobody belongs to the default owner.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::ConstituentId;

/// Most owners in one assignment: a large shared provider serves a few hundred; more is a mistake.
pub const MAX_OWNERS: usize = 4096;

/// A sensor's assignment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Name for people, and in the uplink's Hello.
    pub name: String,
    /// Grows with each signing; a sensor refuses a lower one than it has seen.
    pub version: u64,
    /// The sensor this is for.
    pub sensor: Uuid,
    /// Who owns what no entry names: the organisation that runs the gateway.
    pub default: ConstituentId,
    /// The constituents behind this sensor.
    pub owners: Vec<Owner>,
}

/// One constituent's part of the traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// Who.
    pub constituent: ConstituentId,
    /// Inner networks, by longest prefix.
    #[serde(default)]
    pub networks: Vec<IpNet>,
    /// VLAN ids (outermost tag) that are this constituent's alone; stronger than an address.
    #[serde(default)]
    pub vlans: Vec<u16>,
}

impl Assignment {
    /// Whether an address is an inner one: named by any owner.
    pub fn is_inner(&self, ip: IpAddr) -> bool {
        self.owners.iter().any(|o| o.networks.iter().any(|n| n.contains(&ip)))
    }

    /// The owner of an event, by its outermost VLAN, else by the longest prefix over its addresses, else the default.
    pub fn owner(&self, vlan: Option<u16>, addresses: &[IpAddr]) -> &ConstituentId {
        if let Some(o) = vlan.and_then(|v| self.owners.iter().find(|o| o.vlans.contains(&v))) {
            return &o.constituent;
        }
        self.owners
            .iter()
            .flat_map(|o| o.networks.iter().map(move |n| (n, o)))
            .filter(|(n, _)| addresses.iter().any(|a| n.contains(a)))
            .max_by_key(|(n, _)| n.prefix_len())
            .map_or(&self.default, |(_, o)| &o.constituent)
    }

    /// What is wrong with it, in a sentence; None where nothing is.
    pub fn fault(&self) -> Option<String> {
        if self.owners.len() > MAX_OWNERS {
            return Some(format!("{} owners; {MAX_OWNERS} are the most", self.owners.len()));
        }
        let mut seen = std::collections::BTreeMap::new();
        for o in &self.owners {
            for n in &o.networks {
                if let Some(other) = seen.insert(n.trunc(), &o.constituent).filter(|other| *other != &o.constituent) {
                    return Some(format!("network {n} is assigned to both {other} and {}", o.constituent));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Assignment {
        let owner = |c: &str, n: &[&str], v: &[u16]| Owner {
            constituent: c.parse().unwrap(),
            networks: n.iter().map(|n| n.parse().unwrap()).collect(),
            vlans: v.to_vec(),
        };
        Assignment {
            name: "t".into(),
            version: 1,
            sensor: Uuid::nil(),
            default: "provider".parse().unwrap(),
            owners: vec![owner("a", &["10.0.0.0/8", "2001:db8:a::/48"], &[]), owner("b", &["10.1.0.0/16"], &[7])],
        }
    }

    #[test]
    fn the_owner_is_vlan_then_longest_prefix_then_default() {
        let a = two();
        let ip = |s: &str| s.parse::<IpAddr>().unwrap();
        for (vlan, addresses, want) in [
            (None, vec![ip("10.2.0.1"), ip("203.0.113.1")], "a"),
            (None, vec![ip("203.0.113.1"), ip("10.1.0.1")], "b"),
            (Some(7), vec![ip("10.2.0.1")], "b"),
            (Some(8), vec![ip("10.2.0.1")], "a"),
            (None, vec![ip("203.0.113.1")], "provider"),
            (None, vec![], "provider"),
            (None, vec![ip("2001:db8:a::1")], "a"),
        ] {
            assert_eq!(a.owner(vlan, &addresses).as_str(), want, "{vlan:?} {addresses:?}");
        }
    }

    #[test]
    fn one_network_has_one_owner() {
        let mut a = two();
        assert_eq!(a.fault(), None);
        a.owners[1].networks.push("10.0.0.0/8".parse().unwrap());
        assert!(a.fault().unwrap().contains("10.0.0.0/8"));
        a.owners = vec![a.owners[1].clone(); MAX_OWNERS + 1];
        assert!(a.fault().unwrap().contains("4096"));
    }
}
