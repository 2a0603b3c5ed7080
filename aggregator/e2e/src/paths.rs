// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Where things are: the source tree, the binaries, Python. Must never guess silently: what is missing is an error that
//! says how to get it.

use std::path::{Path, PathBuf};

use anyhow::bail;

/// Root of the source tree.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Cargo's target directory.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The sensor's binary.
///
/// # Errors
/// Where it is not built.
pub fn sensor() -> anyhow::Result<PathBuf> {
    binary("lagewarte-sensor", "lagewarte-agent")
}

/// The aggregator's binary.
///
/// # Errors
/// Where it is not built.
pub fn aggregator() -> anyhow::Result<PathBuf> {
    binary("lagewarte-aggregator", "lagewarte-server")
}

/// A binary of the workspace.
///
/// # Errors
/// Where it is not built.
pub fn binary(name: &str, package: &str) -> anyhow::Result<PathBuf> {
    let dir = std::env::var_os("LAGEWARTE_BIN_DIR").map_or_else(|| target().join("debug"), PathBuf::from);
    let path = dir.join(name);
    if !path.is_file() {
        bail!(
            "{} is not there; build it with `cargo build -p {package} --bins`, or name its folder in LAGEWARTE_BIN_DIR",
            path.display()
        );
    }
    Ok(path)
}

/// Python with the packages of `xtask/src/setup.rs`.
pub fn python() -> PathBuf {
    std::env::var_os("LAGEWARTE_PYTHON").map_or_else(|| "python3".into(), PathBuf::from)
}
