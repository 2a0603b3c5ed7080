// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Hostile events: every one becomes a row or a poison with its reason; nothing panics.
use lagewarte_base::id::Epoch;
use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

const NOW: i64 = 1_780_000_000_000_000;

fn id() -> EventId {
    EventId { sensor: Uuid::from_u128(7), epoch: Epoch { counter: 1, nonce: 2 }, seq: 3 }
}

fn envelope(event_type: &str, eve: impl Into<Vec<u8>>) -> Envelope {
    Envelope {
        seq: 3,
        class: Class::of(event_type) as i32,
        event_type: event_type.into(),
        event_us: NOW,
        observed_us: NOW,
        spooled_us: NOW,
        ruleset: vec![1; 32],
        constituent: "stadt".into(),
        profile: "alerts-only@1".into(),
        eve: eve.into(),
    }
}

fn anyone(_: Uuid, _: &ConstituentId) -> Option<Place> {
    Some(Place { ags: "09162000".parse().ok() })
}

fn at(us: i64) -> Timestamp {
    Timestamp::from_micros(us)
}

fn taken(env: &Envelope) -> Result<Row, Poison> {
    extract(&id(), env, at(NOW), at(NOW), &anyone)
}

const ALERT: &str = r#"{"event_type":"alert","src_ip":"203.0.113.7","dest_ip":"10.0.0.1","src_port":1,"dest_port":2,"proto":"TCP","alert":{"signature_id":5,"signature":"s","severity":2,"metadata":{"a":["b","c"],"d":["e"]}},"lagewarte":{"inner":"dest"}}"#;

#[test]
fn each_event_type_goes_to_its_table() {
    for (event_type, eve, table) in [
        ("alert", ALERT.to_owned(), Table::Alert),
        ("flow", r#"{"event_type":"flow","flow":{"state":"closed","bytes_toserver":5}}"#.into(), Table::Flow),
        ("netflow", r#"{"event_type":"netflow"}"#.into(), Table::Flow),
        ("stats", r#"{"event_type":"stats","stats":{"uptime":5}}"#.into(), Table::Health),
        ("dns", r#"{"event_type":"dns"}"#.into(), Table::Record),
        ("anomaly", r#"{"event_type":"anomaly","anomaly":{"event":"x"}}"#.into(), Table::Record),
        ("fileinfo", r#"{"event_type":"fileinfo"}"#.into(), Table::Record),
        ("something-new", r#"{"event_type":"something-new"}"#.into(), Table::Record),
    ] {
        assert_eq!(taken(&envelope(event_type, eve)).map(|r| r.table), Ok(table), "{event_type}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let alert = |from: &str, to: &str| {
        assert!(ALERT.contains(from), "{from}");
        envelope("alert", ALERT.replace(from, to))
    };
    let deep = |n: usize| format!(r#"{{"event_type":"dns","x":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    let long = "x".repeat(MAX_NAME + 1);
    let many = (0..=MAX_LISTS).map(|i| format!(r#""k{i}":["v"]"#)).collect::<Vec<_>>().join(",");
    let list = (0..=MAX_LISTS).map(|_| r#""v""#).collect::<Vec<_>>().join(",");
    let mut cases = vec![
        (envelope("alert", ""), Reason::NotJson),
        (envelope("alert", "[1]"), Reason::NotJson),
        (envelope("alert", &b"{\"event_type\":\"alert\xff\"}"[..]), Reason::NotJson),
        (envelope("alert", format!("{ALERT}x")), Reason::NotJson),
        (envelope("dns", deep(MAX_DEPTH)), Reason::TooDeep), // one more is the object itself
        (envelope("alert", vec![b' '; MAX_EVE_BYTES + 1]), Reason::TooLarge),
        (alert("\"203.0.113.7\"", "\"300.1.1.1\""), Reason::WrongType),
        (alert("\"203.0.113.7\"", "7"), Reason::WrongType),
        (alert("\"src_port\":1", "\"src_port\":65536"), Reason::WrongType),
        (alert("\"src_port\":1", "\"src_port\":-1"), Reason::WrongType),
        (alert("\"src_port\":1", "\"src_port\":1.5"), Reason::WrongType),
        (alert("\"severity\":2", "\"severity\":256"), Reason::WrongType),
        (alert("\"signature\":\"s\"", &format!("\"signature\":\"{long}\"")), Reason::WrongType),
        (alert("\"a\":[\"b\",\"c\"]", "\"a\":[1]"), Reason::WrongType),
        (alert("\"a\":[\"b\",\"c\"]", &many), Reason::WrongType),
        (alert("\"a\":[\"b\",\"c\"]", &format!("\"a\":[{list}]")), Reason::WrongType),
        (alert("\"inner\":\"dest\"", "\"inner\":\"left\""), Reason::WrongType),
        (alert("\"inner\":\"dest\"", "\"inner\":1"), Reason::WrongType),
        (alert("\"signature_id\":5,", ""), Reason::Missing),
        (alert("\"signature_id\":5", "\"signature_id\":null"), Reason::Missing),
        (alert("\"event_type\":\"alert\"", "\"event_type\":\"flow\""), Reason::WrongClass),
        (alert("\"event_type\":\"alert\"", "\"event_type\":1"), Reason::WrongClass),
    ];
    for (change, reason) in [
        (Box::new(|e: &mut Envelope| e.class = Class::Health as i32) as Box<dyn Fn(&mut Envelope)>, Reason::WrongClass),
        (Box::new(|e| e.class = 4711), Reason::WrongClass),
        (Box::new(|e| e.constituent = "ÄÖ".into()), Reason::NoOwner),
        (Box::new(|e| e.constituent = String::new()), Reason::NoOwner),
        (Box::new(|e| e.event_us = NOW + MAX_AHEAD_US + 1), Reason::ImplausibleTime),
        (Box::new(|e| e.event_us = NOW - MAX_BEHIND_US - 1), Reason::ImplausibleTime),
        (Box::new(|e| e.event_us = i64::MIN), Reason::ImplausibleTime),
        (Box::new(|e| e.observed_us = i64::MAX), Reason::ImplausibleTime),
        (Box::new(|e| e.spooled_us = -1), Reason::ImplausibleTime),
        (Box::new(|e| e.profile = "x".repeat(MAX_NAME + 1)), Reason::WrongType),
    ] {
        let mut e = envelope("alert", ALERT);
        change(&mut e);
        cases.push((e, reason));
    }
    for (env, reason) in cases {
        let p = taken(&env).expect_err("is poisoned");
        assert_eq!(p.reason, reason, "{p}: {}", String::from_utf8_lossy(&env.eve[..env.eve.len().min(200)]));
        assert!(p.detail.len() <= MAX_DETAIL && !p.detail.is_empty());
        assert_eq!(quarantine(&id(), &env, at(NOW), &p).table, Table::Quarantine);
    }
    let nobody = |_: Uuid, _: &ConstituentId| None;
    let p = extract(&id(), &envelope("alert", ALERT), at(NOW), at(NOW), &nobody).unwrap_err();
    assert_eq!(p.reason, Reason::NotItsOwner);
}

#[test]
fn the_limits_themselves_are_taken() {
    let deep = format!(r#"{{"event_type":"dns","x":{}{}}}"#, "[".repeat(MAX_DEPTH - 1), "]".repeat(MAX_DEPTH - 1));
    assert!(taken(&envelope("dns", deep)).is_ok());
    let quoted = format!(r#"{{"event_type":"dns","x":"{}\"{}"}}"#, "[".repeat(99), "{".repeat(99));
    assert!(taken(&envelope("dns", quoted)).is_ok(), "brackets in a text are no nesting");
    let name = ALERT.replace("\"signature\":\"s\"", &format!("\"signature\":\"{}\"", "x".repeat(MAX_NAME)));
    assert!(taken(&envelope("alert", name)).is_ok());
    let mut e = envelope("alert", ALERT);
    (e.event_us, e.observed_us) = (NOW + MAX_AHEAD_US, 0);
    assert!(taken(&e).is_ok());
    assert!(taken(&envelope("alert", ALERT.replace("\"src_port\":1", "\"src_port\":null"))).is_ok());
}

#[test]
fn the_external_side_is_the_other_one_and_never_a_private_guess() {
    let sides_of = |src: &str, dest: &str, inner: &str| {
        let [src, dest, inner] = [src, dest, inner].map(|t| Member::Text(t.into()));
        sides([&src, &dest], &inner).map(|s| s.1.to_canonical().to_string()).unwrap()
    };
    for (src, dest, inner, want) in [
        ("203.0.113.7", "10.0.0.1", "dest", "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7", "src", "203.0.113.7"),
        ("10.0.0.1", "10.0.0.2", "both", "::"),
        ("10.0.0.1", "203.0.113.7", "none", "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "none", "203.0.113.7"),
        ("10.0.0.1", "192.168.0.1", "none", "::"),
        ("fd00::1", "2001:db8::1", "none", "2001:db8::1"),
        ("::ffff:10.0.0.1", "ff02::1", "none", "::"),
    ] {
        assert_eq!(sides_of(src, dest, inner), want, "{src} {dest} {inner}");
    }
}

#[test]
fn every_column_of_quarantine_and_gap_has_a_value() {
    // A column that extraction skips would shift all that follow; RowBinary has no names.
    let sourced = |t: Table| t.columns().filter(|c| c.source != Source::Segment).count();
    assert_eq!((sourced(Table::Quarantine), sourced(Table::Gap), sourced(Table::Segment)), (12, 7, 5));
}

#[test]
fn every_truncation_of_an_event_is_taken_or_poisoned() {
    for n in 0..ALERT.len() {
        assert_eq!(
            taken(&envelope("alert", &ALERT.as_bytes()[..n])).map_err(|p| p.reason),
            Err(Reason::NotJson),
            "{n}"
        );
    }
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "\\PC{0,20}".prop_map(Json::from),
        Just(Json::from("203.0.113.7")),
    ];
    leaf.prop_recursive(3, 40, 6, |inner| {
        let name = prop_oneof![
            Just("alert".to_owned()),
            Just("signature_id".into()),
            Just("signature".into()),
            Just("metadata".into()),
            Just("src_ip".into()),
            Just("flow".into()),
            Just("stats".into()),
            Just("lagewarte".into()),
            Just("inner".into()),
            "[a-z]{1,4}",
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            proptest::collection::hash_map(name, inner, 0..6).prop_map(|m| m.into_iter().collect::<Json>()),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_panic(eve in proptest::collection::vec(any::<u8>(), 0..300), class: i32, event_us: i64, observed_us: i64, ruleset in proptest::collection::vec(any::<u8>(), 0..40)) {
        let e = Envelope { class, event_us, observed_us, ruleset, ..envelope("alert", eve) };
        let p = taken(&e).expect_err("no random bytes are an alert");
        quarantine(&id(), &e, at(event_us), &p);
    }

    #[test]
    fn no_object_panics(mut j in json(), which in 0usize..4) {
        let event_type = ["alert", "flow", "stats", "dns"][which];
        if let Some(o) = j.as_object_mut() {
            o.insert("event_type".into(), event_type.into());
        }
        let e = envelope(event_type, j.to_string());
        match taken(&e) {
            Ok(row) => prop_assert!(row.len() > e.eve.len()),
            Err(p) => { quarantine(&id(), &e, at(NOW), &p); }
        }
    }
}
