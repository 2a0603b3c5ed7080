// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Flow table on packet time: states, timeouts, memory cap, community_id; TCP streams put together.
//!
//! Must never read a clock, share a lock or know a rule. A worker owns its table; all packets of a flow come to one
//! worker. Limits: `flow.memcap` is hard ([`FlowTable::capacity`]), flowbits are capped.

mod app;
mod community;
mod config;
pub mod defrag;
mod flow;
mod key;
mod record;
mod stream;
mod table;
mod tags;
mod tcp;
mod vars;

pub use app::{AppProto, AppState};
pub use community::community_id;
pub use config::{Config, Exception, Exceptions, FullPolicy, Target, Timeouts};
pub use flow::{
    DetectMarks, Direction, Flow, FlowBits, FlowInts, FlowRef, MAX_FLOWBITS, MAX_FLOWINTS, MAX_MACS, Side, State,
};
pub use record::Reason;
pub use stream::{
    Chunk, ChunkKind, Config as StreamConfig, LOOK_BACK, Memory, Policy, Stream, StreamCounters, URGENT_LIMIT, Urgent,
    Window,
};
pub use table::{Counters, Ended, FlowTable, Outcome};
pub use tags::{MAX_TAGS, Tagged, Tags};
pub use tcp::{Pickup, StreamEvent, StreamEvents, TcpState};
pub use vars::{FlowVars, MAX_FLOWVAR, MAX_FLOWVARS, MAX_MEASURED, printable};
