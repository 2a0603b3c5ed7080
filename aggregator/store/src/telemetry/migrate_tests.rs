// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What can be said of migrations without an engine; the rest is in `tests/telemetry.rs`.
use super::*;

#[test]
fn statements_are_split_and_comments_dropped() {
    let sql = "-- why\n-- more\nCREATE A;\n\nCREATE B (x);\n-- if table t\nDROP C;\n\n-- if column t.c\n-- why\nDROP D;\n-- if sorted t.c\nDROP E;\n-- end\n";
    let want = [
        (Guard::Always, "CREATE A"),
        (Guard::Always, "CREATE B (x)"),
        (Guard::Table("t"), "DROP C"),
        (Guard::Column("t", "c"), "DROP D"),
        (Guard::Sorted("t", "c"), "DROP E"),
    ];
    assert_eq!(statements(sql).collect::<Vec<_>>(), want);
}

#[test]
fn versions_ascend_from_one() {
    assert_eq!(MIGRATIONS.last().map(|m| m.version), Some(SCHEMA_VERSION));
    for (i, m) in MIGRATIONS.iter().enumerate() {
        assert_eq!(m.version as usize, i + 1);
        assert!(statements(m.sql).count() > 0);
    }
}
