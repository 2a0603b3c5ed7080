// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Any run of segments of one conversation (who, flags, numbers near where it is, length, urgent pointer) through a flow
//! See `harness/streams.rs`, which tests run on the committed corpus, too.
#![no_main]
#[path = "harness/streams.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|input: &[u8]| harness::run(input));
