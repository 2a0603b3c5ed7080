// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Any bytes as a classification file, a reference file, an address and a port variable.
use lagewarte_rules::{Classification, Options, parse};

/// Runs one input.
pub(crate) fn run(text: &str) {
    let mut options = Options::default();
    let faults =
        Classification::default().read_classes(text).len() + Classification::default().read_references(text).len();
    assert!(faults <= 2 * text.lines().count());
    options.variables.set_address("X", text);
    options.variables.set_port("Y", text);
    let _ = parse(&[("x", b"alert tcp $X $Y -> any any (sid:1;)")], &options);
}
