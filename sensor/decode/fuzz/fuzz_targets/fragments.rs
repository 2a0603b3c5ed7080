// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Any run of frames (policy, gap in seconds, length, bytes) through tunnels and the fragment stage with tight caps: the
//! See `harness/fragments.rs`, which tests run on the committed corpus, too.
#![no_main]
#[path = "harness/fragments.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|input: &[u8]| harness::run(input));
