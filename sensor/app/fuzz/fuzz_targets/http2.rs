// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A conversation in HTTP/2; see `talk`.
#![no_main]
mod talk;

libfuzzer_sys::fuzz_target!(|input: &[u8]| talk::run::<lagewarte_app::http2::Http2>(input, 80, false));
