// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Bytes of a frame to layers, through etherparse's slices.
//!
//! Must never allocate, never fail and never stop anything: what cannot be decoded is an [`Event`] in the packet, and
//! counted. Knows no flow, no rule, no file. Limits: [`MAX_VLANS`], [`MAX_EXTENSIONS`]; tunnels are recognised and not
//! entered, fragments are recognised and not put together.

mod counters;
mod decoder;
mod event;
mod ip;
mod packet;
mod shard;
mod transport;

pub use counters::Counters;
pub use decoder::{Decoder, RawFrame, linktype_name, supported};
pub use event::{Event, Events};
pub use ip::MAX_EXTENSIONS;
pub use packet::{
    Checksum, Ether, Fragment, Icmp, Ip, MAX_VLANS, Packet, Quoted, Tcp, Transport, Tunnel, Udp, Vlans, flag,
};
pub use shard::shard;
