// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The body of a Certificate message, and the same bytes as one certificate.
use lagewarte_app::tls::{
    cert::{Chain, MAX_ALTERNATIVE_NAMES, MAX_CHAIN},
    events::Events,
};

/// Runs one input.
pub(crate) fn run(input: &[u8]) {
    let mut events = Events::default();
    for chain in [
        Chain::parse(input, false, &mut events),
        Chain::parse(input, true, &mut events),
        Chain::of_one(input, &mut events),
    ] {
        assert!(chain.certificates.len() <= MAX_CHAIN && chain.alternative_names.len() <= MAX_ALTERNATIVE_NAMES);
    }
}
