// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A conversation in Kerberos over TCP; see `talk`.
#![no_main]
mod talk;

libfuzzer_sys::fuzz_target!(|input: &[u8]| talk::run::<lagewarte_app::krb5::Krb5>(input, 88, false));
