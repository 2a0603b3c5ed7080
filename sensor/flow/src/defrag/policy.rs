// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Whose bytes count where fragments overlap: by the system that receives them (J. Novak, "Target-Based Fragmentation
//! Reassembly", 2005). Names are those of `host-os-policy`.
//!
//! Must never look at bytes: only at where fragments begin and end.

use std::net::IpAddr;

use ipnet::IpNet;

/// How a receiver resolves overlapping fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The earlier fragment, where it does not begin behind the later one. The default.
    #[default]
    Bsd,
    /// The later fragment, where the earlier one does not begin behind it.
    BsdRight,
    /// The earlier fragment, where it begins before the later one.
    Linux,
    /// The earlier fragment, unless the later one reaches beyond it on both sides.
    Windows,
    /// The earlier fragment, unless the later one begins before it and ends no earlier.
    Solaris,
    /// The earlier fragment.
    First,
    /// The later fragment.
    Last,
}

impl Policy {
    /// Of a system named as in `host-os-policy`; None for a name that is none.
    pub fn of_host(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().replace('_', "-").as_str() {
            "bsd" | "hpux10" | "irix" => Self::Bsd,
            "bsd-right" => Self::BsdRight,
            "linux" | "old-linux" => Self::Linux,
            "windows" | "vista" | "windows2k3" => Self::Windows,
            "solaris" => Self::Solaris,
            "first" | "old-solaris" | "hpux11" | "macos" => Self::First,
            "last" => Self::Last,
            _ => return None,
        })
    }

    /// Whether a later fragment replaces what an earlier one brought. Both as (begin, end).
    pub(super) const fn later_wins(self, earlier: (u32, u32), later: (u32, u32)) -> bool {
        match self {
            Self::Bsd => earlier.0 > later.0,
            Self::BsdRight => earlier.0 <= later.0,
            Self::Linux => earlier.0 >= later.0,
            Self::Windows => later.0 < earlier.0 && later.1 > earlier.1,
            Self::Solaris => later.0 < earlier.0 && later.1 >= earlier.1,
            Self::First => false,
            Self::Last => true,
        }
    }
}

/// Values by network: the longest prefix that holds an address decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByHost<T> {
    nets: Vec<(IpNet, T)>,
    default: T,
}

impl<T: Copy> ByHost<T> {
    /// With a value for every network that is not named.
    pub const fn new(default: T) -> Self {
        Self { nets: Vec::new(), default }
    }
    /// Names a network.
    pub fn add(&mut self, net: IpNet, value: T) {
        let at = self.nets.partition_point(|(n, _)| n.prefix_len() >= net.prefix_len());
        self.nets.insert(at, (net, value));
    }
    /// The value for a host.
    pub fn of(&self, host: IpAddr) -> T {
        self.nets.iter().find(|(n, _)| n.contains(&host)).map_or(self.default, |(_, v)| *v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides() {
        let mut t = ByHost::new(0);
        for (net, v) in [("10.0.0.0/8", 8), ("10.1.2.3/32", 32), ("10.1.0.0/16", 16), ("::/0", 6)] {
            t.add(net.parse().expect("literal"), v);
        }
        for (host, v) in [("10.1.2.3", 32), ("10.1.2.4", 16), ("10.9.9.9", 8), ("192.0.2.1", 0), ("2001:db8::1", 6)] {
            assert_eq!(t.of(host.parse().expect("literal")), v, "{host}");
        }
    }

    #[test]
    fn every_name_of_host_os_policy_has_a_policy() {
        for name in
            "windows bsd bsd-right bsd_right old-linux linux old-solaris solaris hpux10 hpux11 irix macos vista \
                     windows2k3 first last"
                .split_whitespace()
        {
            assert!(Policy::of_host(name).is_some(), "{name}");
        }
        assert_eq!(Policy::of_host("amiga"), None);
    }
}
