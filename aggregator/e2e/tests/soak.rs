// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The soak's short form: twenty kills and each planned fault once. `cargo xtask soak` is the long one.

use std::time::Duration;

use lagewarte_e2e::soak::{self, Fault, Plan};
use serde_json::Value;

#[test]
fn twenty_kills_and_every_fault_lose_nothing_and_double_nothing() {
    let plan = Plan {
        name: "soak-short",
        kills: 20,
        at_least: Duration::ZERO,
        rate: 100,
        outage: Duration::from_secs(10),
        seed: std::process::id().into(), // another plan each time; it is printed, and the long form repeats it
    };
    eprintln!("seed {}", plan.seed);
    let report = soak::run(&plan).unwrap_or_else(|e| panic!("seed {}: {e:#}", plan.seed));
    println!("{report:#}");
    assert_eq!(report["verdict"]["failures"], Value::Array(vec![]), "seed {}", plan.seed);
    assert_eq!(report["settled"], Value::Bool(true), "seed {}: not everything was stored in time", plan.seed);
    assert!(report["kills"].as_u64() >= Some(20));
    for fault in [Fault::EngineDown, Fault::AggregatorPaused, Fault::LineCut, Fault::CertificateExpired] {
        assert!(report["faults"][fault.name()].as_u64() >= Some(1), "{} never came: {report}", fault.name());
    }
    // The verdict can only mean something over enough of everything.
    assert!(report["lines_fed"].as_u64() > Some(5_000), "too little was fed: {report}");
    assert!(report["verdict"]["inserts_in_query_log"].as_u64() > Some(20), "too few inserts were looked at: {report}");
}
