// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What `tag` asks for: packets that follow an alert are recorded. Suricata user guide, "Tag".
//!
//! Must never ask for packets without an end: where a rule gives none it is [`DEFAULT_PACKETS`].

/// Packets that are recorded where the rule does not say how many.
pub const DEFAULT_PACKETS: u32 = 256;

/// One `tag` keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    /// Whose packets.
    pub of: TagOf,
    /// For how long.
    pub until: TagUntil,
}

/// Whose packets are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TagOf {
    /// `session`: the flow's.
    Session,
    /// `host,...,src`: those from and to the packet's source.
    Src,
    /// `host` and `host,...,dst`: those from and to the packet's destination.
    Dst,
}

/// For how long packets are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TagUntil {
    /// So many packets.
    Packets(u32),
    /// So many bytes of packets; the one that would exceed them is not recorded.
    Bytes(u32),
    /// So many seconds of packet time.
    Seconds(u32),
}
