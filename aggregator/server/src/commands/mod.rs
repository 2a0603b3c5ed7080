// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What each command does. Answers are text for people, or one JSON document with `--json`.

mod backup;
mod register;
mod store;
mod warning;

use anyhow::Context as _;
use lagewarte_base::clock::{Clock as _, SystemClock};
use lagewarte_store::{control::Control, engine};
use serde_json::json;

use crate::{
    cli::{AssignmentCommand, Cli, Command, EngineCommand},
    config::Config,
    serve, start,
};

/// Runs the command.
pub(crate) fn run(cli: &Cli) -> anyhow::Result<()> {
    let config = Config::load(cli.config.as_deref(), &|name| std::env::var(name).ok())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    match &cli.command {
        Command::Serve => runtime.block_on(serve::serve(&config)),
        Command::Migrate => runtime.block_on(migrate(cli, &config)),
        Command::Config => {
            print(cli, &json!({ "right": true, "data-dir": config.data_dir }), "the configuration is right");
            Ok(())
        }
        Command::Backup { dir } => runtime.block_on(backup::backup(cli, &config, dir)),
        Command::Restore { dir, replace } => runtime.block_on(backup::restore(cli, &config, dir, *replace)),
        Command::Cluster(c) => store::cluster(cli, &config, c),
        Command::Store(c) => runtime.block_on(store::run(cli, &config, c)),
        Command::Engine(EngineCommand::Check) => runtime.block_on(engine_check(cli, &config)),
        Command::Engine(EngineCommand::Serve) => runtime.block_on(engine_serve(cli, &config)),
        Command::Register(c) => runtime.block_on(register::run(cli, &config, c)),
        Command::Warning(c) => runtime.block_on(warning::run(cli, &config, c)),
        Command::Assignment(AssignmentCommand::Export { sensor, version }) => runtime.block_on(async {
            let control = open(&config).await?;
            let sensor = control.sensor_named(sensor).await?;
            let version = version.unwrap_or_else(|| u64::try_from(SystemClock.now().secs()).unwrap_or(1));
            let assignment = control.assignment(&sensor, version).await?;
            if cli.json {
                println!("{}", serde_json::to_string_pretty(&assignment)?);
            } else {
                print!("{}", serde_yaml_ng::to_string(&assignment)?);
            }
            Ok(())
        }),
    }
}

/// The control plane, for a command beside a running aggregator or before its first start.
pub(super) async fn open(config: &Config) -> anyhow::Result<Control> {
    start::data_dir(&config.data_dir)?;
    Ok(Control::open(&config.control_url()).await?)
}

/// One answer: `json` with `--json`, `text` without.
pub(super) fn print(cli: &Cli, json: &serde_json::Value, text: &str) {
    if cli.json {
        println!("{json:#}");
    } else {
        println!("{text}");
    }
}

/// Who acts, for the audit: the login that runs the command.
pub(super) fn who() -> String {
    let login = ["SUDO_USER", "LOGNAME", "USER"].iter().find_map(|v| std::env::var(v).ok());
    format!("cli:{}", login.as_deref().unwrap_or("unknown"))
}

async fn migrate(cli: &Cli, config: &Config) -> anyhow::Result<()> {
    let control = open(config).await?;
    let (telemetry, engine) = start::telemetry(config).await?;
    let steps = control.one_at_a_time(telemetry.migrate()).await??;
    drop(telemetry);
    start::stop_engine(engine).await;
    control.close().await;
    print(
        cli,
        &json!({ "telemetry_steps": steps }),
        &format!("both schemas are up to date ({steps} steps in telemetry)"),
    );
    Ok(())
}

async fn engine_check(cli: &Cli, config: &Config) -> anyhow::Result<()> {
    if start::is_embedded(config) {
        let library = config.clickhouse.library.clone();
        // Half a gigabyte is read: not on a runtime thread.
        tokio::task::spawn_blocking(move || {
            let env = |name: &str| std::env::var(name).ok();
            engine::check(&env)?;
            engine::verify(&engine::library(library.as_deref(), &env)?)
        })
        .await??;
        start::data_dir(&config.data_dir)?;
    }
    let (telemetry, engine) = start::telemetry(config).await?;
    let version = telemetry.version().await?;
    drop(telemetry);
    let embedded = engine.is_some();
    start::stop_engine(engine).await;
    let kind = if embedded { "embedded" } else { "server" };
    print(cli, &json!({ "clickhouse": version, "kind": kind }), &format!("ClickHouse {version} ({kind}) answers"));
    Ok(())
}

async fn engine_serve(cli: &Cli, config: &Config) -> anyhow::Result<()> {
    anyhow::ensure!(
        config.clickhouse.url.is_none(),
        "a ClickHouse server is configured (clickhouse.url or CLICKHOUSE_URL): there is no embedded engine to run"
    );
    anyhow::ensure!(
        config.clickhouse.http_port != 0,
        "set clickhouse.http-port: the aggregators must find the engine at the same port after each start"
    );
    start::data_dir(&config.data_dir)?;
    let engine = start::engine(config, true).await?;
    let url = engine.connection().with_password();
    print(cli, &json!({ "clickhouse_url": url }), &format!("CLICKHOUSE_URL={url}"));
    std::io::Write::flush(&mut std::io::stdout())?;
    serve::until_told_to_stop().await?;
    start::stop_engine(Some(engine)).await;
    Ok(())
}
