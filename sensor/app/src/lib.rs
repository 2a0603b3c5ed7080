// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Application layer: which protocol a flow speaks, found by content; its transactions; what is written of them.
//!
//! [`Apps`] is what a worker has: it finds a flow's protocol in the first bytes of each direction, feeds the parser, and
//! writes transactions when they are complete. A protocol is a folder with the rooms of [`template`]. Rules ask for
//! buffers and numbers by [`Buffer`] and [`Field`]; this crate does not know rules.
//!
//! Must never reassemble, and never decide by port alone: a port only says which content to expect where the content
//! itself is weak. Names are Suricata's `app_proto`; a direction in which nothing was recognised is `failed`.
//!
//! Where this differs from what was agreed beforehand: TCP comes as calls ([`Apps::tcp`], [`Apps::tcp_gap`],
//! [`Apps::tcp_end`]) and not as one chunk type, so that this crate does not care how streams cut it; at which progress a
//! buffer is complete is said here ([`Protocol::buffer_at`]) and not in the rules' table; bytes that a parser leaves
//! ([`Step::More`]) are kept here and come back joined with what follows.

mod apps;
mod ber;
pub mod bittorrent;
mod buffer;
pub mod codec;
mod config;
pub mod dcerpc;
pub mod dhcp;
pub mod dnp3;
pub mod dns;
pub mod enip;
mod expect;
pub mod file;
pub mod frames;
pub mod ftp;
pub mod hooks;
pub mod http1;
pub mod http2;
pub mod ike;
pub mod krb5;
mod layer;
pub mod ldap;
mod line;
pub mod modbus;
pub mod mqtt;
mod names;
pub mod nfs;
pub mod ntp;
mod ordered;
pub mod pgsql;
pub mod pop3;
mod probe;
mod protocol;
pub mod quic;
pub mod rdp;
mod recent;
pub mod rfb;
pub mod sdp;
pub mod single;
pub mod sip;
pub mod smb;
pub mod smtp;
pub mod snmp;
pub mod ssh;
mod state;
pub mod template;
pub mod tftp;
pub mod tls;
mod tx;
pub mod websocket;
mod write;
pub mod xff;

pub use apps::{Apps, Counters, DETECT, FlowApp, HOLD, HOLD_ALL, MAX_CHANGES};
pub use buffer::{Buffer, Field};
pub use config::{Choice, Config, Encrypted, MEMCAP, Mode, Over};
pub use expect::{Announced, EXPIRES_S, MAX_EXPECTED, Transfer};
pub use layer::{LayerEvent, LayerEvents};
pub use protocol::{Change, Cx, Input, Memory, Protocol, Skip, Step, Transaction};
pub use state::State;
pub use tx::{DONE, Events, Marks, TxCore, Txs};
pub use write::Moment;
