// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Rule-driven traffic: from a rule's text a flow which must fire it, and a near miss which must not.
//!
//! Purpose: tests of the engine, and a comparison with Suricata rule by rule. A near miss is the same flow with one
//! decisive thing changed: a byte, a length, a port, an address, the direction, the flow that sets a bit.
//! Must never share code with the loader or the engine: the rule is read here a second time, from the user guide.
//! Limits: IPv4; what cannot be turned round (hashes) or is not known here gets a reason instead of a flow.

mod address;
mod byte;
mod check;
mod dialogue;
mod dns;
mod flow;
mod http;
mod mail;
mod miss;
mod model;
mod pcre;
mod plan;
mod rng;
mod solve;
mod text;
mod tls;
mod transform;
mod work;

#[cfg(test)]
mod tests;

pub use address::Variables;
pub use flow::{Flow, Transport};
pub use plan::{Case, Generator, Made};
