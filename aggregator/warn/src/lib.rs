// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! From campaign to warning: text, TLP, release by a person or by a named policy, acknowledgement.
//!
//! [`Warner::step`] follows the picture: a campaign becomes a draft, whoever joins later is added, a policy that fits
//! releases. Persons release and withdraw through [`Warner`] as well. Must never warn anybody twice of one campaign, nor
//! anybody who is not in its evidence; never release late events without a person; never send a text of more than
//! [`text::MAX_WORDS`] words. Knows neither SMTP nor HTML: that is deliver's and web's.

mod ack;
mod config;
mod links;
mod templates;
pub mod text;
mod workflow;
#[cfg(test)]
mod workflow_tests;

pub use ack::{acknowledge_by_link, by_link};
pub use config::{CertContact, ConfigFault, Policy, WarnConfig};
pub use links::Links;
pub use workflow::{Step, Warner};
