// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The committed corpora of flows, fragments and streams run as ordinary tests, with the fuzz targets' own harness.

#[path = "../../decode/fuzz/fuzz_targets/harness/flows.rs"]
mod flows;
#[path = "../../decode/fuzz/fuzz_targets/harness/fragments.rs"]
mod fragments;
#[path = "../../decode/fuzz/fuzz_targets/harness/streams.rs"]
mod streams;

use std::{fs, path::Path};

/// What a target runs on one input.
type Run = fn(&[u8]);

#[test]
fn every_committed_run_of_packets_ends() {
    const TARGETS: &[(&str, Run)] = &[("flows", flows::run), ("fragments", fragments::run), ("streams", streams::run)];
    for (name, run) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../decode/fuzz/corpus").join(name);
        let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            let bytes = fs::read(&file).unwrap();
            lagewarte_testkit::damaged(&bytes, run);
        }
    }
}
