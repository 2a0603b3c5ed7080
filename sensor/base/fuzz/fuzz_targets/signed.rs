// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Any bytes as assignment, profile, key and signature: nothing unsigned verifies, nothing panics.
#![no_main]
use lagewarte_base::{
    assignment::Assignment,
    profile::Profile,
    signed::{PublicKey, Purpose, verify},
};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    // A NUL parts the file from its signature.
    let (bytes, signature) = input.split_at(input.iter().position(|b| *b == 0).unwrap_or(input.len()));
    let signature = std::str::from_utf8(signature).unwrap_or("").trim_start_matches('\0');
    if let Ok(a) = serde_yaml_ng::from_slice::<Assignment>(bytes) {
        let _ = (a.fault(), a.owner(Some(7), &["10.1.2.3".parse().expect("an address")]).as_str().len());
    }
    let _ = serde_yaml_ng::from_slice::<Profile>(bytes);
    let _ = PublicKey::parse(signature);
    let key = PublicKey::parse("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=").expect("a public key");
    assert!(verify(Purpose::Assignment, bytes, signature, &[key]).is_err());
});
