// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A conversation in POP3; see `talk`.
#![no_main]
mod talk;

libfuzzer_sys::fuzz_target!(|input: &[u8]| talk::run::<lagewarte_app::pop3::Pop3>(input, 110, false));
