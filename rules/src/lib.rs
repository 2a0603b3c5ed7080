// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Suricata's rule language: files to rules, with every variable expanded and every number checked.
//!
//! Purpose: [`load`] turns rule files into a [`RuleSet`]; [`check`] says what would load and what not, and why.
//! Must never: know a packet; apply a rule in part. What the engine does not honour exactly is refused with file, line,
//! sid, keyword and a reason; [`registry`] is the one table of what is honoured.
//! Limits: [`limits`].

pub mod address;
pub mod ast;
pub mod buffers;
pub mod classification;
pub mod country;
pub mod dataset;
mod draft;
pub mod explain;
pub mod frames;
pub mod hashlist;
pub mod hooks;
mod keywords;
mod lex;
pub mod limits;
pub mod lint;
mod load;
pub mod marks;
pub mod port;
pub mod registry;
pub mod reputation;
pub mod tags;
pub mod thresholds;
pub mod vars;

use std::sync::Arc;

pub use ast::Rule;
pub use classification::Classification;
use dataset::DataSets;
pub use load::{Options, Report, check, load, parse};
pub use vars::Variables;

/// A rule that was not loaded, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// The rule file.
    pub file: String,
    /// First line of the rule, from 1.
    pub line: u32,
    /// Its sid, where one could be read.
    pub sid: Option<u32>,
    /// The keyword that is to blame; empty where it is the header or the whole.
    pub keyword: String,
    /// What is wrong and what to do, in a sentence.
    pub reason: String,
}

/// The rules that were loaded, in the order of loading, and those that were not.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// Loaded.
    pub rules: Vec<Arc<Rule>>,
    /// Refused.
    pub refused: Vec<Refusal>,
    /// Things that were accepted but look wrong (an unknown class, a doubled priority).
    pub warnings: Vec<Refusal>,
    /// SHA-256 over what was loaded: the same rules, variables and classes give the same hash, whatever their files are
    /// called and however they are laid out.
    pub sha256: [u8; 32],
    /// The data sets that its rules name, and those of the operator.
    pub data: DataSets,
}

impl RuleSet {
    /// Makes the hash stand for this, too.
    pub(crate) fn cover(&mut self, more: &[u8]) {
        use sha2::{Digest as _, Sha256};
        self.sha256 = Sha256::new().chain_update(self.sha256).chain_update(more).finalize().into();
    }

    /// Takes the hash anew: after rules were refused that had been loaded.
    pub fn seal(&mut self) {
        self.sha256 = load::hash(&self.rules);
    }
}
