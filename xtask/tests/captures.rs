// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The tools that make our captures, and the captures' form: a case for each rule, valid checksums, sizes.

use std::{path::Path, process::Command};

fn python(args: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/captures");
    let out = Command::new("python3").args(args).current_dir(folder).output().expect("python3 can be started");
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "python3 {args:?}:\n{text}");
    text
}

#[test]
fn the_packet_tools_pass_their_own_tests() {
    let text = python(&["-m", "unittest", "discover"]);
    assert!(text.contains("\nOK") && !text.contains("Ran 0 tests"), "{text}");
}

#[test]
fn every_rule_has_its_case_and_every_capture_its_form() {
    let text = python(&["oracle.py"]);
    assert!(text.contains(" 0 mistakes"), "{text}");
}
