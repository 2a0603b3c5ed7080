// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A conversation in PostgreSQL's protocol; see `talk`.
#![no_main]
mod talk;

libfuzzer_sys::fuzz_target!(|input: &[u8]| talk::run::<lagewarte_app::pgsql::Pgsql>(input, 5432, false));
