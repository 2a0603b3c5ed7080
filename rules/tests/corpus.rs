// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The committed corpora of rule and classification files run as ordinary tests, with the fuzz targets' own harness.

#[path = "../fuzz/fuzz_targets/harness/classification.rs"]
mod classification;
#[path = "../fuzz/fuzz_targets/harness/parse.rs"]
mod rules;

use std::{fs, path::Path};

/// What a target runs on one input.
type Run = fn(&[u8]);

#[test]
fn every_committed_text_is_read_or_refused() {
    const TARGETS: &[(&str, Run)] = &[
        ("parse", rules::run),
        ("classification", |b| {
            if let Ok(text) = std::str::from_utf8(b) {
                classification::run(text);
            }
        }),
    ];
    for (name, run) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            let bytes = fs::read(&file).unwrap();
            run(&bytes);
            // And cut off anywhere.
            (0..bytes.len()).for_each(|n| run(&bytes[..n]));
        }
    }
}
