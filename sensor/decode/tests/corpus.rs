// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The committed corpus of frames runs as an ordinary test, with the fuzz target's own harness.

#[path = "../fuzz/fuzz_targets/harness/frame.rs"]
mod frame;

use std::{fs, path::Path};

#[test]
fn every_committed_frame_decodes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/frame");
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(!files.is_empty());
    for file in files {
        let bytes = fs::read(&file).unwrap();
        frame::run(&bytes);
        // And cut off anywhere.
        (0..bytes.len()).for_each(|n| frame::run(&bytes[..n]));
        // And with any one byte changed: lengths that lie, kinds that do not exist.
        let mut changed = bytes.clone();
        for (n, is) in bytes.iter().enumerate() {
            for to in [0, 1, 0x7f, 0xff, is ^ 0x80, is.wrapping_add(1)] {
                changed[n] = to;
                frame::run(&changed);
            }
            changed[n] = *is;
        }
    }
}
