// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! See `harness/magic.rs`, which tests run on the committed corpus, too.
#![no_main]
#[path = "harness/magic.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|input: &[u8]| harness::run(input));
