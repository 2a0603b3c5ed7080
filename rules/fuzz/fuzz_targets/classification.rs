// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! See `harness/classification.rs`, which tests run on the committed corpus, too.
#![no_main]
#[path = "harness/classification.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|text: &str| harness::run(text));
