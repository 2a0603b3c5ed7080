// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Bytes of a frame to layers, through etherparse's slices.
//!
//! Must never allocate, never fail and never stop anything: what cannot be decoded is an [`Event`] in the packet, and
//! counted. Knows no flow, no rule, no file. Limits: [`MAX_VLANS`], [`MAX_EXTENSIONS`], [`MAX_LABELS`],
//! [`Decoder::max_layers`]. A packet in a packet is decoded by [`Decoder::inner`]; fragments are recognised here and put
//! together by the flow crate, which gives the whole packet to [`Decoder::rebuilt`].

mod arp;
mod counters;
mod decoder;
mod event;
mod igmp;
mod ip;
mod link;
mod packet;
mod sctp;
mod shard;
mod transport;
mod tunnel;

pub use arp::Arp;
pub use counters::Counters;
pub use decoder::{Decoder, Origin, Ports, RawFrame};
pub use event::{Event, Events};
pub use igmp::Igmp;
pub use ip::MAX_EXTENSIONS;
pub use link::{MAX_LABELS, linktype_name, supported};
pub use packet::{
    Carries, Checksum, Ether, Fragment, Icmp, Inner, Ip, Link, Links, MAX_VLANS, Packet, PacketSource, Quoted, Root,
    Tcp, Transport, Tunnel, Udp, Vlans, flag,
};
pub use sctp::{Chunk, MAX_CHUNKS, Sctp};
pub use shard::{Route, owner};
