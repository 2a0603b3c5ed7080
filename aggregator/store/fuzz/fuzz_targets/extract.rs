// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Any bytes as the EVE JSON of an event of each class: a row or a reason, and the reason's row can always be made.
#![no_main]
use lagewarte_base::{
    id::{ConstituentId, Epoch, EventId, Uuid},
    time::Timestamp,
};
use lagewarte_event::Envelope;
use lagewarte_store::telemetry::{Place, Resolver, extract, quarantine};

struct Everybody;
impl Resolver for Everybody {
    fn place(&self, _: Uuid, _: &ConstituentId) -> Option<Place> {
        Some(Place { ags: Some("09162000".parse().expect("an AGS")) })
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [class, eve @ ..] = input else { return };
    let event_type = ["alert", "flow", "anomaly", "stats", "http", "fileinfo"][usize::from(*class) % 6];
    let now = Timestamp::from_micros(1_790_000_000_000_000);
    let env = Envelope {
        seq: 1,
        class: lagewarte_event::Class::of(event_type) as i32,
        event_type: event_type.into(),
        event_us: now.micros(),
        observed_us: now.micros(),
        spooled_us: now.micros(),
        constituent: "alt".into(),
        profile: "alerts-only@1".into(),
        eve: eve.to_vec(),
        ..Envelope::default()
    };
    let id = EventId { sensor: Uuid::nil(), epoch: Epoch { counter: 1, nonce: 2 }, seq: 1 };
    if let Err(poison) = extract(&id, &env, now, now, &Everybody) {
        let _ = quarantine(&id, &env, now, &poison);
    }
});
