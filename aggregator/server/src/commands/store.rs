// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `store` and `cluster`: what the telemetry store holds, whether it is right, and the DDL of several shards.

use std::fmt::Write as _;

use lagewarte_base::{
    clock::{Clock as _, SystemClock},
    time::Timestamp,
};
use lagewarte_store::{
    Scope,
    telemetry::{Connection, DATABASE, Telemetry, cluster, columns::Table},
};
use serde_json::json;

use crate::{
    cli::{Cli, ClusterCommand, StoreCommand},
    commands::print,
    config::Config,
    start,
};

const DAY_US: i64 = 86_400_000_000;

pub(super) fn cluster(cli: &Cli, config: &Config, command: &ClusterCommand) -> anyhow::Result<()> {
    let name = &config.clickhouse.cluster;
    match command {
        ClusterCommand::Ddl { replicated } => {
            let database = match config.clickhouse.shards.first() {
                Some(url) => Connection::parse(url)?.database,
                None => DATABASE.to_owned(),
            };
            let all = cluster::ddl(&database, name, *replicated);
            print(cli, &json!({ "statements": all }), &format!("{};", all.join(";\n\n")));
        }
        ClusterCommand::Configuration { shards } => {
            let xml = cluster::configuration(name, usize::from(*shards));
            print(cli, &json!({ "xml": xml }), &xml);
        }
    }
    Ok(())
}

pub(super) async fn run(cli: &Cli, config: &Config, command: &StoreCommand) -> anyhow::Result<()> {
    let (telemetry, engine) = start::telemetry_beside(config).await?;
    let done = match command {
        StoreCommand::Sizes => sizes(cli, &telemetry).await,
        StoreCommand::Check { days } => check(cli, &telemetry, *days).await,
    };
    drop(telemetry);
    start::stop_engine(engine).await;
    done
}

async fn sizes(cli: &Cli, telemetry: &Telemetry) -> anyhow::Result<()> {
    let all = telemetry.sizes(&Scope::System).await?;
    let mut text = String::from("table            rows            bytes  since");
    for s in &all {
        let since = Timestamp::from_micros(s.oldest_us).eve();
        // Writing to a String cannot fail.
        let _ =
            write!(text, "\n{:<12} {:>10} {:>16}  {}", s.name, s.rows, s.bytes, since.get(..10).unwrap_or_default());
    }
    let list: Vec<_> = all
        .iter()
        .map(|s| json!({"table": s.name, "rows": s.rows, "bytes": s.bytes, "oldest_us": s.oldest_us}))
        .collect();
    print(cli, &json!(list), &text);
    Ok(())
}

async fn check(cli: &Cli, telemetry: &Telemetry, days: u32) -> anyhow::Result<()> {
    let now = SystemClock.now().micros();
    let (from, to) = (Timestamp::from_micros(now - i64::from(days) * DAY_US), Timestamp::from_micros(now + DAY_US));
    let (mut list, mut text, mut differing) = (Vec::new(), String::new(), 0);
    for table in Table::ALL {
        for c in telemetry.check_rollups(&Scope::System, table, from, to).await? {
            let _ = writeln!(
                text,
                "{:<10} raw {:>12} rollup {:>12} rows that differ {}",
                c.rollup, c.raw, c.rolled, c.differing
            );
            list.push(json!({"rollup": c.rollup, "raw": c.raw, "rolled": c.rolled, "differing": c.differing}));
            differing += c.differing;
        }
    }
    print(cli, &json!(list), text.trim_end());
    anyhow::ensure!(differing == 0, "{differing} rows of rollups are not what raw counts; is the aggregator running?");
    Ok(())
}
