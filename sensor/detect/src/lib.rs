// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Rule engine: groups, prefilter, verification, thresholds; alerts as EVE.
//!
//! [`Engine`] is a compiled rule set, shared by all workers and swapped as a whole. [`Engine::inspect`] is what a worker
//! does with a packet; [`Ordered`] is the one stage behind all workers, where matches are thinned in packet order.
//!
//! What is inspected: each packet's own payload. Streams are not reassembled: a TCP content split over two segments is
//! not found, and one that is sent again is found again. Must never know a rule's text: the rules crate resolved it.

mod address;
mod alert;
mod app;
mod asn1;
mod base64;
mod bytes;
mod cache;
mod engine;
mod entry;
mod expiring;
mod files;
mod fixed;
mod frames;
mod gate;
mod group;
mod header;
mod header_bytes;
mod inspect;
mod inspect_tx;
mod marks;
mod matcher;
mod ordered;
mod payload;
mod pcre;
mod prefilter;
mod profile;
mod ranges;
mod rarity;
mod stream;
mod tags;
mod transactions;
mod transform;
mod turn;
mod zones;

pub use alert::{Candidate, Output};
pub use app::MAX_INSTANCES;
pub use cache::{CACHE_FILE, Cache, Closed};
pub use engine::{Counters, Engine, MAX_CANDIDATES, Scratch};
pub use frames::MAX_FIRED;
pub use marks::MAX_MARKS;
pub use ordered::{MAX_TRACKED, MAX_UNIQUE_TRACKED, Ordered, OrderedCounters};
pub use payload::{MAX_CAPTURED, MAX_STEPS};
pub use pcre::{DEPTH_LIMIT, MATCH_LIMIT, vet};
pub use profile::Cost;
pub use tags::MAX_HOST_TAGS;
pub use transactions::MAX_WAITING;
pub use transform::MAX_MADE;
pub use turn::{MAX_NAPS, Turn, Turns};
