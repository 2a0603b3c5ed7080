// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `backup` and `restore`: both stores, one folder.
//!
//! The control plane is copied first, telemetry after it: what a warning or a campaign points at is then in the copy.
//! `manifest.json` is written last, so that a folder without one is no backup. A restore sets the journals aside: their
//! marks speak of a store that is no longer there. Must never restore beside a running aggregator.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use lagewarte_base::{
    clock::{Clock as _, SystemClock},
    time::Timestamp,
};
use lagewarte_store::{
    Scope,
    control::Control,
    engine,
    telemetry::{SCHEMA_VERSION, Telemetry},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{cli::Cli, commands::print, config::Config, start};

const MANIFEST: &str = "manifest.json";
const CONTROL: &str = "control.backup";
/// Layout of the folder.
const FORMAT: u32 = 1;
/// Largest manifest read. Threat: the wrong file.
const MAX_MANIFEST: u64 = 1 << 20;

/// What a backup consists of.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    /// Version of the program.
    program: String,
    /// When it began, µs.
    made_us: i64,
    /// Schema of the telemetry.
    schema: u32,
    /// `sqlite` or `postgres`.
    control: String,
    files: Vec<Copied>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Copied {
    /// Name in the folder, or the whole path where a ClickHouse server wrote it on its own machine.
    file: String,
    bytes: Option<u64>,
    sha256: Option<String>,
}

pub(super) async fn backup(cli: &Cli, config: &Config, dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let empty = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?.next().is_none();
    ensure!(empty, "{} is not empty: a backup takes a new folder", dir.display());
    let dir = dir.canonicalize()?;
    let made = SystemClock.now();

    let url = config.control_url();
    let control = super::open(config).await?;
    let copied = control.backup(&url, &dir.join(CONTROL)).await;
    control.close().await;
    copied.context("backup of the control plane")?;
    let mut files = vec![described(&dir, CONTROL)?];

    let (telemetry, engine) = start::telemetry_beside(config).await?;
    let result = archives(config, &telemetry, &dir, made).await;
    drop(telemetry);
    start::stop_engine(engine).await;
    files.extend(result.context("backup of the telemetry")?);

    let manifest = Manifest {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").into(),
        made_us: made.micros(),
        schema: SCHEMA_VERSION,
        control: kind(&url).into(),
        files,
    };
    let mut file = File::create_new(dir.join(MANIFEST))?;
    file.write_all(serde_json::to_string_pretty(&manifest)?.as_bytes())?;
    file.sync_all()?;
    File::open(&dir)?.sync_all()?;
    let bytes: u64 = manifest.files.iter().filter_map(|f| f.bytes).sum();
    let text = format!(
        "{} holds both stores ({bytes} bytes). Not in it: data-dir/ca and data-dir/link.key, which are secret; keep copies of them apart.",
        dir.display()
    );
    print(cli, &serde_json::to_value(&manifest)?, &text);
    Ok(())
}

/// Lets the engine write its archives, and brings them into `dir` where they are on this machine.
async fn archives(config: &Config, telemetry: &Telemetry, dir: &Path, made: Timestamp) -> anyhow::Result<Vec<Copied>> {
    let name = format!("backup-{}", made.micros());
    if !start::is_embedded(config) {
        let place = server_folder(config)?.join(name);
        telemetry.backup(&Scope::System, &place).await?;
        let remote = |a: String| Copied { file: place.join(a).display().to_string(), bytes: None, sha256: None };
        return Ok(telemetry.archives().into_iter().map(remote).collect());
    }
    let place = config.data_dir.canonicalize()?.join("engine/backups").join(name);
    let made = telemetry.backup(&Scope::System, &place).await;
    let moved = made.map_err(anyhow::Error::from).and_then(|()| {
        telemetry
            .archives()
            .iter()
            .map(|a| {
                carry(&place.join(a), &dir.join(a))?;
                described(dir, a)
            })
            .collect()
    });
    let _ = fs::remove_dir_all(&place); // what is left there is a copy, or the start of one
    moved
}

pub(super) async fn restore(cli: &Cli, config: &Config, dir: &Path, replace: bool) -> anyhow::Result<()> {
    let dir = dir.canonicalize().with_context(|| format!("{} cannot be read", dir.display()))?;
    let manifest = manifest(&dir)?;
    let url = config.control_url();
    ensure!(
        manifest.control == kind(&url),
        "the backup holds a control plane of {}, control.url names {}: set control.url to a database of that kind",
        manifest.control,
        kind(&url)
    );
    ensure!(
        manifest.schema <= SCHEMA_VERSION,
        "the backup is of schema {}, this program knows {SCHEMA_VERSION}: restore it with the program that made it ({})",
        manifest.schema,
        manifest.program
    );
    start::data_dir(&config.data_dir)?;
    if engine::beside(&config.data_dir.join("engine")).is_some() || a_lane_is_owned(&config.data_dir.join("journal")) {
        bail!("an aggregator runs on data-dir {}: stop it first", config.data_dir.display());
    }
    for f in manifest.files.iter().filter(|f| f.sha256.is_some()) {
        let now = described(&dir, &f.file)?;
        ensure!(now.sha256 == f.sha256, "{} in {} is not the file that was backed up", f.file, dir.display());
    }

    let (telemetry, engine) = start::telemetry(config).await?;
    let done = telemetry_back(config, &telemetry, &dir, &manifest, replace).await;
    drop(telemetry);
    start::stop_engine(engine).await;
    done.context("restore of the telemetry")?;
    Control::restore(&url, &dir.join(CONTROL)).await.context("restore of the control plane")?;
    let aside = set_aside(&config.data_dir)?;
    let made = Timestamp::from_micros(manifest.made_us).eve();
    let text = format!(
        "both stores are as they were at {made}. Events acknowledged after that are lost unless their sensors still hold them. {}",
        aside.as_ref().map_or("There were no journals.".into(), |a| format!("The journals are in {}.", a.display()))
    );
    print(cli, &json!({ "made": made, "journals": aside }), &text);
    Ok(())
}

async fn telemetry_back(
    config: &Config,
    telemetry: &Telemetry,
    dir: &Path,
    manifest: &Manifest,
    replace: bool,
) -> anyhow::Result<()> {
    let made = Timestamp::from_micros(manifest.made_us);
    let name = format!("backup-{}", manifest.made_us);
    if !start::is_embedded(config) {
        let place = server_folder(config)?.join(name);
        return Ok(telemetry.restore(&Scope::System, &place, made, replace).await?);
    }
    let archives = telemetry.archives();
    ensure!(
        archives.iter().all(|a| manifest.files.iter().any(|f| f.file == *a)),
        "the backup is of another kind of store: it has {:?}, this one would have {archives:?}",
        manifest.files.iter().map(|f| &f.file).collect::<Vec<_>>()
    );
    // The engine reads below its own folder only.
    let place = config.data_dir.canonicalize()?.join("engine/backups").join(format!("restore-{}", std::process::id()));
    fs::create_dir_all(&place)?;
    let copied = archives.iter().try_for_each(|a| link_or_copy(&dir.join(a), &place.join(a)));
    let done = match copied {
        Ok(()) => telemetry.restore(&Scope::System, &place, made, replace).await.map_err(anyhow::Error::from),
        Err(e) => Err(e),
    };
    let _ = fs::remove_dir_all(&place); // copies only
    done
}

fn manifest(dir: &Path) -> anyhow::Result<Manifest> {
    let path = dir.join(MANIFEST);
    let no_backup = || format!("{} is no whole backup: {MANIFEST} is missing or damaged", dir.display());
    let file = File::open(&path).with_context(no_backup)?;
    let mut text = String::new();
    file.take(MAX_MANIFEST).read_to_string(&mut text).with_context(no_backup)?;
    let manifest: Manifest = serde_json::from_str(&text).with_context(no_backup)?;
    ensure!(
        manifest.format == FORMAT,
        "{} has layout {}, this program knows {FORMAT}",
        path.display(),
        manifest.format
    );
    Ok(manifest)
}

/// Whether a process owns a lane's journal.
fn a_lane_is_owned(journal: &Path) -> bool {
    let lanes = fs::read_dir(journal).into_iter().flatten().flatten();
    lanes.filter_map(|l| File::open(l.path().join("lock")).ok()).any(|f| f.try_lock_shared().is_err())
}

/// Moves the journals out of the way, under a name that says when.
fn set_aside(data_dir: &Path) -> anyhow::Result<Option<PathBuf>> {
    let journal = data_dir.join("journal");
    if !journal.exists() {
        return Ok(None);
    }
    let aside = data_dir.join(format!("journal.before-restore-{}", SystemClock.now().secs()));
    fs::rename(&journal, &aside).with_context(|| format!("cannot set {} aside", journal.display()))?;
    Ok(Some(aside))
}

fn server_folder(config: &Config) -> anyhow::Result<&Path> {
    config.clickhouse.backup_path.as_deref().context(
        "clickhouse.backup-path is not set: a server writes its backup on its own machine; name a folder there, below its backups.allowed_path",
    )
}

fn kind(url: &str) -> &'static str {
    if url.starts_with("postgres") { "postgres" } else { "sqlite" }
}

fn described(dir: &Path, name: &str) -> anyhow::Result<Copied> {
    let path = dir.join(name);
    let mut file = File::open(&path).with_context(|| format!("{} is missing", path.display()))?;
    let mut hash = Sha256::new();
    let bytes = io::copy(&mut file, &mut hash)?;
    Ok(Copied { file: name.into(), bytes: Some(bytes), sha256: Some(hex::encode(hash.finalize())) })
}

/// Moves a file, across file systems too, and syncs it.
fn carry(from: &Path, to: &Path) -> anyhow::Result<()> {
    if fs::rename(from, to).is_err() {
        fs::copy(from, to).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(File::open(to)?.sync_all()?)
}

fn link_or_copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}
