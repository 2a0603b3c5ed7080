// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The assignment as an index: is an address an inner one, and whose.
//!
//! Same answers as [`Assignment::owner`] and [`Assignment::is_inner`] (a test compares them), in a few look-ups instead of
//! a walk over every network. One thing more is inner here: addresses that no network outside can have (private,
//! link-local, shared, loopback). An assignment that forgets a subnet must not let its addresses out in clear.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use ipnet::IpNet;
use lagewarte_base::{assignment::Assignment, id::ConstituentId};

/// The index.
#[derive(Debug)]
pub struct Owners {
    by_network: HashMap<IpNet, usize>,
    lengths: [BTreeSet<u8>; 2],
    by_vlan: HashMap<u16, usize>,
    /// Constituents; the default owner first.
    names: Vec<ConstituentId>,
}

/// Position of a constituent in [`Owners`].
pub type Owner = usize;
/// The default owner.
pub const DEFAULT: Owner = 0;

impl Owners {
    /// Indexes an assignment.
    pub fn new(assignment: &Assignment) -> Self {
        let mut own = Self {
            by_network: HashMap::new(),
            lengths: [BTreeSet::new(), BTreeSet::new()],
            by_vlan: HashMap::new(),
            names: vec![assignment.default.clone()],
        };
        for owner in &assignment.owners {
            let at = own.names.iter().position(|n| *n == owner.constituent).unwrap_or_else(|| {
                own.names.push(owner.constituent.clone());
                own.names.len() - 1
            });
            for network in &owner.networks {
                let network = network.trunc();
                own.lengths[usize::from(network.addr().is_ipv6())].insert(network.prefix_len());
                own.by_network.entry(network).or_insert(at);
            }
            for vlan in &owner.vlans {
                own.by_vlan.entry(*vlan).or_insert(at);
            }
        }
        own
    }

    /// The constituent at a position.
    pub fn name(&self, owner: Owner) -> &ConstituentId {
        &self.names[owner] // positions come from this index only
    }

    /// How many constituents there are, the default owner among them.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Never: there is always the default owner.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The owner of an address by the longest prefix, with that prefix's length.
    fn network(&self, ip: IpAddr) -> Option<(u8, Owner)> {
        self.lengths[usize::from(ip.is_ipv6())].iter().rev().find_map(|len| {
            let network = IpNet::new(ip, *len).ok()?.trunc();
            self.by_network.get(&network).map(|owner| (*len, *owner))
        })
    }

    /// The owner of an event: by its VLAN, else by the longest prefix over its addresses, else the default.
    pub fn of_event(&self, vlan: Option<u16>, addresses: &[IpAddr]) -> Owner {
        if let Some(owner) = self.of_vlan(vlan) {
            return owner;
        }
        let longest = addresses.iter().filter_map(|ip| self.network(*ip)).max_by_key(|(len, _)| *len);
        longest.map_or(DEFAULT, |(_, owner)| owner)
    }

    /// The owner of a VLAN that is one constituent's alone.
    pub fn of_vlan(&self, vlan: Option<u16>) -> Option<Owner> {
        self.by_vlan.get(&vlan?).copied()
    }

    /// Whose an address is: None for an outer one. `event` is the owner of the event it stands in, for addresses that are
    /// inner by nature and named by nobody.
    pub fn of_address(&self, ip: IpAddr, event: Owner) -> Option<Owner> {
        let ip = ip.to_canonical();
        self.network(ip).map(|(_, owner)| owner).or_else(|| inner_by_nature(ip).then_some(event))
    }
}

/// Whether no network outside can have this address: RFC 1918, RFC 6598, RFC 3927, RFC 4193, RFC 4291 link-local, loopback.
pub fn inner_by_nature(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_link_local() || v4.is_loopback() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use lagewarte_base::{assignment, id::Uuid};
    use proptest::prelude::*;

    use super::*;

    fn assignment() -> Assignment {
        let owner = |c: &str, n: &[&str], v: &[u16]| assignment::Owner {
            constituent: c.parse().unwrap(),
            networks: n.iter().map(|n| n.parse().unwrap()).collect(),
            vlans: v.to_vec(),
        };
        Assignment {
            name: "t".into(),
            version: 1,
            sensor: Uuid::nil(),
            default: "provider".parse().unwrap(),
            owners: vec![
                owner("a", &["10.0.0.0/8", "2001:db8:a::/48", "0.0.0.0/1"], &[]),
                owner("b", &["10.1.0.0/16", "10.1.2.128/25"], &[7]),
                owner("a", &["198.51.100.7/32"], &[9]),
            ],
        }
    }

    proptest! {
        #[test]
        fn the_index_answers_as_the_assignment_does(
            a in any::<u32>(), b in prop_oneof![Just(0x0a01_0281u32), Just(0x0a02_0000), any::<u32>()],
            vlan in proptest::option::of(5u16..11), six in any::<bool>(),
        ) {
            let assignment = assignment();
            let owners = Owners::new(&assignment);
            let v6 = IpAddr::from((0x2001_0db8_000a_0000_0000_0000_0000_0000u128 | u128::from(a)).to_be_bytes());
            let addresses = [if six { v6 } else { IpAddr::from(a.to_be_bytes()) }, IpAddr::from(b.to_be_bytes())];
            let owner = owners.of_event(vlan, &addresses);
            prop_assert_eq!(owners.name(owner), assignment.owner(vlan, &addresses));
            for ip in addresses {
                let inner = owners.of_address(ip, DEFAULT).is_some();
                prop_assert_eq!(inner, assignment.is_inner(ip) || inner_by_nature(ip));
            }
        }
    }

    #[test]
    fn an_address_that_the_assignment_forgot_is_inner_all_the_same() {
        let owners = Owners::new(&assignment());
        let of = |ip: &str| owners.of_address(ip.parse().unwrap(), 2);
        for ip in ["192.168.1.1", "172.16.0.1", "169.254.1.1", "100.64.0.1", "127.0.0.1", "fd00::1", "fe80::1", "::1"] {
            assert_eq!(
                of(ip),
                if ip.contains(':') || ip.starts_with("192") || ip.starts_with("172") || ip.starts_with("169") {
                    Some(2)
                } else {
                    Some(1)
                },
                "{ip}"
            );
        }
        assert_eq!(of("::ffff:10.1.0.1"), Some(2), "mapped");
        for ip in ["203.0.113.1", "2001:db8:b::1", "224.0.0.251", "255.255.255.255", "ff02::1"] {
            assert_eq!(of(ip), None, "{ip}");
        }
    }
}
