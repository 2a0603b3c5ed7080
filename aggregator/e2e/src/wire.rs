// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A network namespace for sensors behind a bad wire: frames are dropped, doubled and reordered below TCP.
//!
//! Two veth pairs and `tools/wire.py` between them, all in namespaces of this process. Needs root; must never touch an
//! interface or an address that is not its own, and takes everything with it when it is dropped.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::process::{Process, output, root_user};

/// The wire.
pub struct Wire {
    sensors: String,
    middle: String,
    outside: String,
    mode: PathBuf,
    process: Option<Process>,
}

/// Address of this side of the wire.
pub const NEAR: &str = "10.213.77.1";
const FAR: &str = "10.213.77.2";

impl Wire {
    /// Whether this user may have one.
    pub fn possible() -> bool {
        root_user() && Path::new("/usr/sbin/ip").exists()
    }

    /// Lays it. `python` runs the middle; what it writes goes to `logs`.
    ///
    /// # Errors
    /// Where the system does not let it.
    pub fn lay(python: &Path, tool: &Path, dir: &Path, logs: &Path, seed: u64) -> anyhow::Result<Self> {
        let id = std::process::id() % 100_000;
        let mut wire = Self {
            sensors: format!("lws{id}"),
            middle: format!("lwm{id}"),
            outside: format!("lwo{id}"),
            mode: dir.join("wire.json"),
            process: None,
        };
        wire.bad(0.0, 0.0, 0.0)?;
        let (s, m, o) = (wire.sensors.as_str(), wire.middle.as_str(), wire.outside.as_str());
        for command in [
            format!("netns add {s}"),
            format!("netns add {m}"),
            format!("link add {o} type veth peer name near netns {m}"),
            format!("-n {m} link add far type veth peer name eth0 netns {s}"),
            format!("address add {NEAR}/24 dev {o}"),
            format!("-n {s} address add {FAR}/24 dev eth0"),
            format!("link set {o} up"),
            format!("-n {m} link set near up"),
            format!("-n {m} link set far up"),
            format!("-n {s} link set eth0 up"),
            format!("-n {s} link set lo up"),
        ] {
            output(Command::new("/usr/sbin/ip").args(command.split(' ')))?;
        }
        output(Command::new(python).arg(tool).arg(o))?;
        output(Command::new("/usr/sbin/ip").args(["netns", "exec", s]).arg(python).arg(tool).arg("eth0"))?;
        let args: Vec<OsString> = [
            "netns".into(),
            "exec".into(),
            m.into(),
            python.into(),
            tool.into(),
            "near".into(),
            "far".into(),
            wire.mode.clone().into_os_string(),
            seed.to_string().into(),
        ]
        .to_vec();
        wire.process = Some(Process::start("wire", Path::new("/usr/sbin/ip"), args, vec![], logs)?);
        Ok(wire)
    }

    /// What befalls frames from now on, each a part of all: dropped, doubled, reordered.
    ///
    /// # Errors
    /// Where its file cannot be written.
    pub fn bad(&self, drop: f64, duplicate: f64, reorder: f64) -> anyhow::Result<()> {
        let new = self.mode.with_extension("new");
        fs::write(&new, format!("{{\"drop\":{drop},\"duplicate\":{duplicate},\"reorder\":{reorder}}}"))?;
        Ok(fs::rename(&new, &self.mode)?)
    }

    /// The beginning of a command line that runs a program behind the wire.
    pub fn prefix(&self) -> [String; 4] {
        ["/usr/sbin/ip".into(), "netns".into(), "exec".into(), self.sensors.clone()]
    }

    /// Takes it down; the counts of what befell frames.
    pub fn take_down(mut self) -> String {
        let mut log = String::new();
        if let Some(mut p) = self.process.take() {
            p.stop(std::time::Duration::from_secs(5));
            log = p.log();
        }
        log.lines().last().unwrap_or_default().to_owned()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        drop(self.process.take());
        for ns in [&self.sensors, &self.middle] {
            let _ = output(Command::new("/usr/sbin/ip").args(["netns", "del", ns])); // its interfaces go with it
        }
        let _ = output(Command::new("/usr/sbin/ip").args(["link", "del", &self.outside])); // gone with its peer
    }
}
