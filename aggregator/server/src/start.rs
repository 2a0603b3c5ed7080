// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What has to hold before anything runs: a data directory that takes writes, free ports, a store that answers.
//!
//! Must never go on where one of them does not hold: each gives an error that says what to do.

use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use lagewarte_store::{
    control::tokens::LinkKey,
    engine::{self, Engine, Options},
    telemetry::{Connection, Telemetry},
};
use lagewarte_warn::Links;
use tokio::net::TcpListener;

use crate::config::Config;

/// What is written to see whether the disk takes anything. Less than this left is a full disk.
const PROBE_BYTES: usize = 1 << 20;
/// How long a ClickHouse server may take to answer at the start.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// Makes the data directory (for this user only) and writes to it.
pub(crate) fn data_dir(dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let hint = |e: io::Error, what: &str| match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            anyhow!(
                "the disk of data-dir {} is full: free some space or give data-dir a larger disk ({e})",
                dir.display()
            )
        }
        io::ErrorKind::PermissionDenied => anyhow!(
            "data-dir {} is not this user's: {what}: {e}; run as the user that owns it, or set data-dir",
            dir.display()
        ),
        io::ErrorKind::ReadOnlyFilesystem => {
            anyhow!("data-dir {} is on a read-only file system: mount it writable, or set data-dir", dir.display())
        }
        _ => anyhow!("data-dir {} cannot be used: {what}: {e}; set data-dir to a folder on a disk", dir.display()),
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| hint(e, "cannot make it"))?;
    // Under a name of this process: commands run beside the aggregator.
    let probe = dir.join(format!(".probe-{}", std::process::id()));
    let written = fs::File::create(&probe).and_then(|mut f| {
        f.write_all(&vec![0x55; PROBE_BYTES])?;
        f.sync_all()
    });
    let removed = fs::remove_file(&probe);
    written.map_err(|e| hint(e, "cannot write"))?;
    removed.map_err(|e| hint(e, "cannot remove"))
}

/// Takes a port.
pub(crate) async fn listen(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| match e.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "{key}: port {} of {} is in use: stop what uses it (ss -ltnp 'sport = :{}' shows it), or set {key}",
            address.port(),
            address.ip(),
            address.port()
        ),
        io::ErrorKind::PermissionDenied => {
            anyhow!("{key}: this user may not listen on port {}: choose one above 1023, or set {key}", address.port())
        }
        io::ErrorKind::AddrNotAvailable => anyhow!("{key}: {} is no address of this machine: set {key}", address.ip()),
        _ => anyhow!("{key}: cannot listen on {address}: {e}: set {key}"),
    })
}

/// The telemetry store for a command: that of the aggregator that runs beside it, else started as [`telemetry`] does.
pub(crate) async fn telemetry_beside(config: &Config) -> anyhow::Result<(Telemetry, Option<Engine>)> {
    if is_embedded(config)
        && let Some(connection) = engine::beside(&config.data_dir.join("engine"))
    {
        return Ok((Telemetry::new(&connection), None));
    }
    telemetry(config).await
}

/// Whether the embedded engine holds the telemetry.
pub(crate) fn is_embedded(config: &Config) -> bool {
    config.clickhouse.url.is_none() && config.clickhouse.shards.is_empty()
}

/// The telemetry store: a server or a cluster where one is named, else the embedded engine, started.
pub(crate) async fn telemetry(config: &Config) -> anyhow::Result<(Telemetry, Option<Engine>)> {
    if !config.clickhouse.shards.is_empty() {
        let nodes = config.clickhouse.shards.iter().map(|u| Connection::parse(u)).collect::<Result<Vec<_>, _>>()?;
        for node in &nodes {
            let answer = tokio::time::timeout(FIRST_ANSWER, Telemetry::new(node).version()).await;
            let hint = || {
                format!(
                    "the ClickHouse server {} (clickhouse.shards) does not answer: check that it runs and takes this user",
                    node.url
                )
            };
            answer
                .map_err(|_| anyhow!("no answer within {} s", FIRST_ANSWER.as_secs()))
                .and_then(|a| Ok(a?))
                .with_context(hint)?;
        }
        return Ok((Telemetry::sharded(&nodes, &config.clickhouse.cluster)?, None));
    }
    if let Some(url) = &config.clickhouse.url {
        let connection = Connection::parse(url)?;
        let telemetry = Telemetry::new(&connection);
        let hint = || {
            format!(
                "the ClickHouse server {} (clickhouse.url or CLICKHOUSE_URL) does not answer: check that it runs and takes \
                 this user, or leave the URL out to use the embedded engine",
                connection.url
            )
        };
        match tokio::time::timeout(FIRST_ANSWER, telemetry.version()).await {
            Ok(answer) => answer.map(drop).with_context(hint)?,
            Err(_) => return Err(anyhow!("no answer within {} s", FIRST_ANSWER.as_secs()).context(hint())),
        }
        return Ok((telemetry, None));
    }
    let engine = engine(config, false).await?;
    Ok((Telemetry::new(&engine.connection()), Some(engine)))
}

/// The embedded engine, started; `shared` with other aggregators, it keeps its passwords.
pub(crate) async fn engine(config: &Config, shared: bool) -> anyhow::Result<Engine> {
    let mut options = Options::new(&config.data_dir.join("engine"), config.clickhouse.library.as_deref())?;
    options.http_port = config.clickhouse.http_port;
    options.arguments = vec![crate::ENGINE_ARGUMENT.into()];
    options.keep_passwords = shared;
    Ok(tokio::task::spawn_blocking(move || Engine::start(&options)).await??)
}

/// Stops the engine, off the runtime's threads: it waits for the child.
pub(crate) async fn stop_engine(engine: Option<Engine>) {
    if let Some(engine) = engine
        && tokio::task::spawn_blocking(move || engine.stop()).await.is_err()
    {
        tracing::error!("the engine's stop failed");
    }
}

/// The links in feeds and mails.
pub(crate) fn links(config: &Config) -> anyhow::Result<Links> {
    let path = config.data_dir.join("link.key");
    let key = LinkKey::load_or_create(&path).with_context(|| format!("link key {}", path.display()))?;
    Ok(Links::new(&config.public_url(), key))
}
