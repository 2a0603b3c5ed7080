// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Packets from files and interfaces: one trait, so that a file takes exactly the path of live traffic.
//!
//! Must never decode and never decide: a frame goes out as it was captured. The only sensor crate with `unsafe` (socket
//! options of live capture). Limits: [`MAX_FRAME`]; a damaged file gives what could be read and a counted reason with
//! its offset.
#![deny(unsafe_op_in_unsafe_fn)]

mod file;
mod filter;
mod live;
mod pcapng;

use lagewarte_base::time::Timestamp;

pub use file::CaptureFile;
pub use filter::Filter;
pub use live::{Live, Options};

/// Largest frame taken, bytes: libpcap's own limit. Threat: a record header that claims four gigabytes.
pub const MAX_FRAME: u32 = 262_144;

/// One captured frame, borrowed from its source until the next is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Time of capture; nanoseconds are rounded down to microseconds.
    pub time: Timestamp,
    /// tcpdump.org LINKTYPE number.
    pub linktype: u16,
    /// Length on the wire.
    pub wire_len: u32,
    /// The bytes captured.
    pub data: &'a [u8],
}

/// What a source has.
#[derive(Debug)]
pub enum Next<'a> {
    /// A frame.
    Frame(Frame<'a>),
    /// Nothing just now: an idle line.
    Idle,
    /// Nothing more ever.
    End,
}

/// What a source counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets that reached the source: for an interface the kernel's count, for a file what was read.
    pub received: u64,
    /// Packets that the kernel or the interface dropped before we saw them.
    pub dropped: u64,
    /// Packets that the capture filter took out (files only; the kernel filters live ones before they count).
    pub filtered: u64,
    /// Packets of a link type that cannot be decoded (a pcapng file may mix them).
    pub unsupported: u64,
    /// Why reading a file ended early.
    pub damage: Option<Damage>,
}

/// What is wrong with a capture file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Name of the reason, for counters.
    pub reason: &'static str,
    /// Offset in the file, bytes.
    pub offset: u64,
}

/// A source that cannot be opened or used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says what it is")]
pub enum Error {
    #[error("{path}: {source}")]
    Io { path: String, source: std::io::Error },
    #[error("{path}: neither a pcap nor a pcapng file (it begins with {begin})")]
    Format { path: String, begin: String },
    #[error(
        "{0}: link type {1} cannot be decoded; known are Ethernet (1), NULL (0), LOOP (108), RAW (101, 12, 14), IPv4 (228), IPv6 (229), LINUX_SLL (113), LINUX_SLL2 (276)"
    )]
    LinkType(String, u32),
    #[error("capture filter {filter:?}: {reason}")]
    Filter { filter: String, reason: String },
    #[error("interface {interface}: {reason}")]
    Interface { interface: String, reason: String },
    #[error("reading from interface {interface}: {reason}")]
    Lost { interface: String, reason: String },
}

/// Where packets come from.
pub trait Source {
    /// The next frame, or why there is none now.
    ///
    /// # Errors
    ///
    /// Only where going on is impossible, such as an interface that went away. A damaged file is no error: it ends, and
    /// [`Stats::damage`] says why.
    fn next(&mut self) -> Result<Next<'_>, Error>;
    /// What was counted so far.
    fn stats(&mut self) -> Stats;
    /// The interface's name, where it is one: EVE `in_iface`.
    fn interface(&self) -> Option<&str> {
        None
    }
}
