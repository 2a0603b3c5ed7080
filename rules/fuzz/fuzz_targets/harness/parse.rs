// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Any bytes as a rule file: refused or taken, never a panic, a hang or unbounded memory.
use lagewarte_rules::{Options, parse};

/// Runs one input.
pub(crate) fn run(data: &[u8]) {
    let set = parse(&[("fuzz.rules", data)], &Options::default());
    assert!(set.rules.len() + set.refused.len() <= data.len() + 1);
}
