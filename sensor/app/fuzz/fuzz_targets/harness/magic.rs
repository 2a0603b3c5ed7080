// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The first bytes of a file, of which the kind is told. A panic that the sensor would contain ends the fuzzer.
use lagewarte_app::file::magic::{MAX_WORDS, tell};

/// Runs one input.
pub(crate) fn run(input: &[u8]) {
    let told = tell(input);
    assert!(told.words.is_none_or(|w| w.len() <= MAX_WORDS));
}
