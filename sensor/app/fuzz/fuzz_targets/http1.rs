// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A conversation in HTTP/1; see `talk`.
#![no_main]
mod talk;

libfuzzer_sys::fuzz_target!(|input: &[u8]| talk::run::<lagewarte_app::http1::Http1>(input, 80, false));
