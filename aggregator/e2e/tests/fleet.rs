// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The fleet in small: 64 sensors, the aggregator killed while they send. Nothing is lost, and the report is whole.

use std::process::Command;

use serde_json::Value;

#[test]
fn sixty_four_sensors_lose_their_aggregator_and_nothing_else() {
    let spools = std::env::temp_dir().join(format!("lagewarte-fleet-{}", std::process::id()));
    let out = Command::new(env!("CARGO_BIN_EXE_fleet"))
        .args(["--sensors", "64", "--rate", "100", "--seconds", "6", "--spools"])
        .arg(&spools)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    println!("{report:#}");
    assert_eq!((&report["sensors"], &report["stored_once"]), (&Value::from(64), &Value::Bool(true)));
    assert!(report["events"].as_u64().unwrap() >= 600 && report["events"] == report["stored"], "{said}");
    for part in ["aggregator", "engine", "all_sensors"] {
        let used = &report["processes"][part];
        assert!(used["cpu_s"].as_f64().unwrap() > 0.0 && used["peak_mib"].as_u64().unwrap() > 0, "{part}: {used}");
    }
    for phase in ["steady", "from_the_kill_on"] {
        assert!(report["append_to_durable_acknowledgement_ms"][phase]["p99"].as_f64().is_some(), "{phase}");
    }
    assert!(!spools.exists());
}
