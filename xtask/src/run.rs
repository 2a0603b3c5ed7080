// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Running other programs, with errors that say which one and what it said.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Cargo, in the source tree, without what the cargo that started us has put into the environment: a build script that
/// looks at one of those variables (ring's does) would otherwise be run again, and all that stands on it built anew.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut c = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    c.args(args).current_dir(crate::paths::root());
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|n| {
            n.starts_with("CARGO_MANIFEST_")
                || n.starts_with("CARGO_PKG_")
                || n.starts_with("CARGO_BIN_")
                || n == "CARGO_CRATE_NAME"
        });
        if ours {
            c.env_remove(name);
        }
    }
    c
}

/// Builds every program, for development, and the tests. Always of the whole workspace, and with the tests: for a smaller
/// choice cargo would choose other features for the dependencies, and build them, and all that stands on them, again.
pub(crate) fn build_bins() -> anyhow::Result<()> {
    check(&mut cargo(&["build", "--workspace", "--bins", "--tests", "--locked"]))
}

/// Runs to the end with inherited output; an exit code other than 0 is an error.
pub(crate) fn check(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

/// Runs to the end and gives what it printed; an exit code other than 0 is an error with its last lines.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let out = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {command:?}"))?;
    if !out.status.success() {
        let err = String::from_utf8_lossy(&out.stderr);
        let tail: Vec<_> = err.lines().rev().take(15).collect();
        bail!("{command:?} ended with {}:\n{}", out.status, tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Whether a program of this name is on the PATH.
pub(crate) fn on_path(program: &str) -> bool {
    let Some(path) = std::env::var_os("PATH") else { return false };
    std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|d| d.join(program).is_file())
}
