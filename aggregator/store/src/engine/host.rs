// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the embedded engine needs from this machine: the pinned library, a CPU with AVX2, glibc.
//!
//! Must never guess another version: the engine's behaviour is tested for this one only.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::EngineError;

/// The engine's npm package (Apache-2.0).
pub const PACKAGE: &str = "@chdb/lib-linux-x64-gnu";
/// Its version, pinned.
pub const VERSION: &str = "26.7.3-stable.1";
/// SHA-512 of the package's tarball, as the registry's `integrity` says it.
pub const TARBALL_INTEGRITY: &str =
    "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==";
/// SHA-256 of `libchdb.so` in it, hex.
pub const LIBRARY_SHA256: &str = "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5";
/// Size of `libchdb.so`, bytes: checked at every start, the hash only by [`verify`].
pub const LIBRARY_SIZE: u64 = 566_330_096;
/// Names the library's path, before configuration and cache.
pub const LIBRARY_VARIABLE: &str = "LAGEWARTE_ENGINE";
/// Overrides what the CPU is said to have, comma-separated; `none` for nothing. To see what an old host would be told.
pub const CPU_VARIABLE: &str = "LAGEWARTE_CPU_FEATURES";

/// Where the library is: `LAGEWARTE_ENGINE`, else `configured`, else the cache folder that `cargo xtask engine` fills.
///
/// # Errors
/// [`EngineError::Missing`] names the places that were searched.
pub fn library(configured: Option<&Path>, env: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, EngineError> {
    let path = match (env(LIBRARY_VARIABLE).filter(|v| !v.is_empty()), configured) {
        (Some(v), _) => PathBuf::from(v),
        (None, Some(c)) => c.to_owned(),
        (None, None) => cached(env).ok_or_else(|| EngineError::Missing(PathBuf::from("~/.cache/lagewarte")))?,
    };
    match std::fs::metadata(&path) {
        Ok(m) if !m.is_file() => Err(EngineError::Missing(path)),
        Ok(m) if m.len() != LIBRARY_SIZE => {
            Err(EngineError::Foreign { path, why: format!("{} bytes, not {LIBRARY_SIZE}", m.len()) })
        }
        Ok(_) => Ok(path),
        Err(_) => Err(EngineError::Missing(path)),
    }
}

/// The library's place in the cache: `$XDG_CACHE_HOME` or `~/.cache`, then `lagewarte/engine/VERSION/libchdb.so`.
pub fn cached(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let base = match env("XDG_CACHE_HOME").filter(|v| !v.is_empty()) {
        Some(v) => PathBuf::from(v),
        None => PathBuf::from(env("HOME").filter(|v| !v.is_empty())?).join(".cache"),
    };
    Some(base.join("lagewarte/engine").join(VERSION).join("libchdb.so"))
}

/// Reads the whole library (half a gigabyte) and compares its SHA-256 with the pinned one.
///
/// # Errors
/// [`EngineError::Missing`] or [`EngineError::Foreign`].
pub fn verify(path: &Path) -> Result<(), EngineError> {
    let found = sha256(path).map_err(|_| EngineError::Missing(path.to_owned()))?;
    if found == LIBRARY_SHA256 {
        Ok(())
    } else {
        Err(EngineError::Foreign { path: path.to_owned(), why: format!("SHA-256 is {found}, not {LIBRARY_SHA256}") })
    }
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(&buffer[..n]);
    }
}

/// Whether this machine can run the engine at all.
///
/// # Errors
/// [`EngineError::Cpu`] or [`EngineError::Platform`], before anything is loaded: the library would die of an illegal
/// instruction.
pub fn check(env: &dyn Fn(&str) -> Option<String>) -> Result<(), EngineError> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        return Err(EngineError::Platform);
    }
    let has = |feature: &str| match env(CPU_VARIABLE) {
        Some(list) => list.split(',').any(|f| f.trim() == feature),
        None => detected(feature),
    };
    for feature in ["avx2", "bmi2", "fma"] {
        if !has(feature) {
            return Err(EngineError::Cpu(feature));
        }
    }
    Ok(())
}

#[cfg(target_arch = "x86_64")]
fn detected(feature: &str) -> bool {
    match feature {
        "avx2" => std::arch::is_x86_feature_detected!("avx2"),
        "bmi2" => std::arch::is_x86_feature_detected!("bmi2"),
        "fma" => std::arch::is_x86_feature_detected!("fma"),
        _ => false,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detected(_: &str) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
    }

    #[test]
    fn a_cpu_without_avx2_is_told_so_with_the_way_out() {
        for list in ["none", "", "sse4.2,avx", "avx,bmi2,fma"] {
            let e = check(&env(&[(CPU_VARIABLE, list)])).unwrap_err().to_string();
            assert!(e.contains("avx2") && e.contains("CLICKHOUSE_URL"), "{list}: {e}");
        }
        assert!(check(&env(&[(CPU_VARIABLE, "avx2, bmi2,fma")])).is_ok());
    }

    #[test]
    fn a_missing_engine_names_the_place_and_the_command() {
        for pairs in [
            &[("XDG_CACHE_HOME", "/nonexistent")][..],
            &[("HOME", "/nonexistent")],
            &[("LAGEWARTE_ENGINE", "/nonexistent/libchdb.so")],
            &[("LAGEWARTE_ENGINE", "/tmp")],
            &[],
        ] {
            let e = library(None, &env(pairs)).unwrap_err().to_string();
            assert!(e.contains("cargo xtask engine") && e.contains("CLICKHOUSE_URL"), "{e}");
        }
    }

    #[test]
    fn the_variable_goes_before_the_configuration_and_that_before_the_cache() {
        let place = |configured, pairs: &[(&str, &str)]| match library(configured, &env(pairs)) {
            Err(EngineError::Missing(p)) => p.to_string_lossy().into_owned(),
            other => format!("{other:?}"),
        };
        let both = [("LAGEWARTE_ENGINE", "/nonexistent/a"), ("HOME", "/nonexistent")];
        assert_eq!(place(Some(Path::new("/nonexistent/b")), &both), "/nonexistent/a");
        assert_eq!(place(Some(Path::new("/nonexistent/b")), &both[1..]), "/nonexistent/b");
        assert_eq!(place(None, &both[1..]), format!("/nonexistent/.cache/lagewarte/engine/{VERSION}/libchdb.so"));
    }

    #[test]
    fn another_library_is_refused_by_size_and_by_hash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("libchdb.so");
        std::fs::write(&path, b"not an engine").unwrap();
        let text = path.to_string_lossy().into_owned();
        let by_size = library(None, &env(&[("LAGEWARTE_ENGINE", &text)])).unwrap_err().to_string();
        let by_hash = verify(&path).unwrap_err().to_string();
        for e in [by_size, by_hash] {
            assert!(e.contains(&text) && e.contains("cargo xtask engine"), "{e}");
        }
    }
}
