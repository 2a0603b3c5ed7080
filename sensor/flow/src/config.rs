// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Choices of the flow table, with Suricata's names and the values of its stock configuration.

use crate::{stream, tcp::Pickup};

/// Seconds without a packet after which a flow of a protocol is over, by state: YAML `flow-timeouts.<proto>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// `new`.
    pub new: u32,
    /// `established`.
    pub established: u32,
    /// `closed`; only TCP closes.
    pub closed: u32,
}

/// What to do with a packet that needs a flow when the table is full: YAML `flow.memcap-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FullPolicy {
    /// End the flow that was idle longest, with its record (reason `forced`), and go on. Our default (`auto`).
    #[default]
    EvictOldest,
    /// The packet goes on without a flow (`ignore`, `pass-packet`).
    Ignore,
    /// The packet is not looked at (`drop-packet`); nothing is dropped on the wire.
    DropPacket,
}

impl FullPolicy {
    /// From its name in the configuration; None for a name that we cannot honour.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "auto" | "evict-oldest" => Self::EvictOldest,
            "ignore" | "pass-packet" => Self::Ignore,
            "drop-packet" => Self::DropPacket,
            _ => return None,
        })
    }
}

/// What happens to a packet, or its flow, where a cap is hit or something is missing; Suricata's exception policies.
/// A sensor that listens drops nothing: the dropping ones keep rules from looking, as the passing ones do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Exception {
    /// Go on as far as it goes (`ignore`, `auto`).
    #[default]
    Ignore,
    /// No rule looks at the packet (`pass-packet`, `drop-packet`).
    Packet,
    /// No rule looks at the flow any more (`pass-flow`, `drop-flow`, `reject`, `bypass`).
    Flow,
}

impl Exception {
    /// From its name in the configuration; None for a name that there is not.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "auto" | "ignore" => Self::Ignore,
            "pass-packet" | "drop-packet" => Self::Packet,
            "pass-flow" | "drop-flow" | "reject" | "bypass" => Self::Flow,
            _ => return None,
        })
    }
    /// EVE's name in `flow.exception_policy`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Packet => "pass_packet",
            Self::Flow => "pass_flow",
        }
    }
}

/// What an exception was: EVE `flow.exception_policy[].target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Target {
    /// The handshake was not seen.
    Midstream,
    /// `stream.memcap` was reached.
    SessionMemcap,
    /// `stream.reassembly.memcap` was reached.
    ReassemblyMemcap,
}

/// The exceptions of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exceptions(u8);

impl Exceptions {
    pub(crate) const fn set(&mut self, t: Target) {
        self.0 |= 1 << t as u8;
    }
    /// Whether it happened.
    pub const fn has(self, t: Target) -> bool {
        self.0 >> (t as u8) & 1 == 1
    }
}

/// Choices of the flow table.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes for the tables of all workers together: `flow.memcap`.
    pub memcap: u64,
    /// `flow.memcap-policy`.
    pub full: FullPolicy,
    /// `flow-timeouts.default`.
    pub default: Timeouts,
    /// `flow-timeouts.tcp`.
    pub tcp: Timeouts,
    /// `flow-timeouts.udp`.
    pub udp: Timeouts,
    /// `flow-timeouts.icmp`.
    pub icmp: Timeouts,
    /// Whether VLAN ids tell flows apart: `vlan.use-for-tracking`.
    pub vlan_tracking: bool,
    /// Whether the number of tunnels around a packet tells flows apart: `decoder.recursion-level.use-for-tracking`.
    pub depth_tracking: bool,
    /// `stream.midstream` and `stream.async-oneside`.
    pub pickup: Pickup,
    /// TCP reassembly.
    pub stream: stream::Config,
    /// Seed of community_id where it is enabled: `community-id`, `community-id-seed`.
    pub community_id: Option<u16>,
    /// Whether flow records are wanted.
    pub records: bool,
    /// Whether ended flows give two `netflow` events, one a direction.
    pub netflow: bool,
    /// Whether flow records carry MAC addresses: `eve-log.ethernet`.
    pub ethernet: bool,
    /// `in_iface` of records, where packets come from an interface.
    pub in_iface: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            memcap: 128 << 20,
            full: FullPolicy::default(),
            default: Timeouts { new: 30, established: 300, closed: 0 },
            tcp: Timeouts { new: 60, established: 600, closed: 60 },
            udp: Timeouts { new: 30, established: 300, closed: 0 },
            icmp: Timeouts { new: 30, established: 300, closed: 0 },
            vlan_tracking: true,
            depth_tracking: true,
            pickup: Pickup::default(),
            stream: stream::Config::default(),
            community_id: None,
            records: true,
            netflow: false,
            ethernet: false,
            in_iface: None,
        }
    }
}
