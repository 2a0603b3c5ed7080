// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Fetches the embedded ClickHouse engine, pinned and verified, into the cache.
//!
//! It is the npm package of the chDB project (Apache-2.0), which carries ClickHouse's own server as a library. Must
//! never leave a half-unpacked library where the aggregator would load it: unpacked aside, then renamed.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha512};

use crate::{
    paths,
    run::{check, on_path, output},
};

const PACKAGE: &str = "@chdb/lib-linux-x64-gnu";
const VERSION: &str = "26.7.3-stable.1";
/// npm's integrity of the tarball, as published.
const SHA512: &str = "XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==";

/// Path of the verified library; fetched if the cache does not have it. `LAGEWARTE_ENGINE` names another.
pub(crate) fn ensure() -> anyhow::Result<PathBuf> {
    if let Some(p) = std::env::var_os("LAGEWARTE_ENGINE").map(PathBuf::from) {
        if p.is_file() {
            return Ok(p);
        }
        bail!("LAGEWARTE_ENGINE names {}, which is not a file", p.display());
    }
    let dir = paths::cache().join("engine").join(VERSION);
    let library = dir.join("libchdb.so");
    if library.is_file() {
        return Ok(library);
    }
    if !(cfg!(target_arch = "x86_64") && cfg!(target_os = "linux")) {
        bail!("the embedded engine is for x86-64 Linux with glibc; set CLICKHOUSE_URL to a ClickHouse server");
    }
    if !on_path("npm") {
        bail!(
            "npm is needed once, to fetch the engine ({PACKAGE}); install Node.js, or set CLICKHOUSE_URL to a server"
        );
    }
    let work = dir.with_extension("part");
    let _ = fs::remove_dir_all(&work); // left over from an interrupted run, if anything
    fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;
    eprintln!("fetching the engine: {PACKAGE}@{VERSION} (178 MB)");
    let name =
        output(Command::new("npm").args(["pack", "--silent", &format!("{PACKAGE}@{VERSION}")]).current_dir(&work))
            .context("npm could not fetch the engine; check the network, or set CLICKHOUSE_URL to a server")?;
    let tarball = work.join(name.lines().last().unwrap_or_default().trim());
    let found = STANDARD.encode(Sha512::digest(fs::read(&tarball)?));
    if found != SHA512 {
        let _ = fs::remove_dir_all(&work);
        bail!("the engine's tarball has sha512-{found}, wanted sha512-{SHA512}: not used, deleted");
    }
    check(
        Command::new("tar")
            .arg("-xzf")
            .arg(&tarball)
            .args(["--strip-components=1", "package/libchdb.so"])
            .current_dir(&work),
    )?;
    fs::remove_file(&tarball)?;
    fs::rename(&work, &dir).with_context(|| format!("cannot move the engine to {}", dir.display()))?;
    Ok(library)
}
