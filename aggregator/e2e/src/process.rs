// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Child processes: started with a log each, killed hard when told, never left behind; polling; free ports.
//!
//! Must never wait without an end: every wait has a limit and an error that names what did not happen.

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

/// A program that can be started again as it was.
pub struct Process {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(String, OsString)>,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// Starts it; both outputs go to `logs/<name>.log`.
    ///
    /// # Errors
    /// Where the program or its log cannot be opened.
    pub fn start<A: Into<OsString>>(
        name: &str,
        program: &Path,
        args: impl IntoIterator<Item = A>,
        env: Vec<(String, OsString)>,
        logs: &Path,
    ) -> anyhow::Result<Self> {
        let mut p = Self {
            name: name.to_owned(),
            program: program.to_owned(),
            args: args.into_iter().map(Into::into).collect(),
            env,
            log: logs.join(format!("{name}.log")),
            child: None,
        };
        p.spawn()?;
        Ok(p)
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let child = Command::new(&self.program)
            .args(&self.args)
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// kill -9, and started again with the same arguments.
    ///
    /// # Errors
    /// Where it cannot be started again.
    pub fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        self.spawn()
    }

    /// kill -9, and not started again.
    pub fn kill(&mut self) {
        if let Some(mut c) = self.child.take() {
            let _ = c.kill(); // already gone is fine
            let _ = c.wait();
        }
    }

    /// Asks it to stop (SIGTERM) and waits for at most `patience`; then kills.
    pub fn stop(&mut self, patience: Duration) {
        let Some(c) = self.child.as_mut() else { return };
        if !matches!(c.try_wait(), Ok(None)) {
            self.child = None;
            return;
        }
        let _ = Command::new("kill").args(["-TERM", &c.id().to_string()]).status();
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if !matches!(c.try_wait(), Ok(None)) {
                self.child = None;
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.kill();
    }

    /// An error with the end of its log, if it is not running any more.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn alive(&mut self) -> anyhow::Result<()> {
        let Some(c) = self.child.as_mut() else { return Ok(()) };
        if let Some(status) = c.try_wait()? {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(8).collect();
            bail!(
                "{} ended with {status}; the end of its log {}:\n{}",
                self.name,
                self.log.display(),
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
        Ok(())
    }

    /// What it has written so far, both outputs.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits for its end, at most `patience`; whether it ended well.
    ///
    /// # Errors
    /// Where it goes on running.
    pub fn finished(&mut self, patience: Duration) -> anyhow::Result<bool> {
        let name = self.name.clone();
        let Some(c) = self.child.as_mut() else { bail!("{name} does not run") };
        let mut status = None;
        wait_for(&format!("the end of {name}"), patience, || {
            status = c.try_wait()?;
            Ok(status.is_some())
        })?;
        Ok(status.is_some_and(|s| s.success()))
    }

    /// Sends it a signal by name (`STOP`, `CONT`); false where it does not run.
    pub fn signal(&self, name: &str) -> bool {
        let Some(id) = self.id() else { return false };
        Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status().is_ok_and(|s| s.success())
    }

    /// Starts it again where it has ended by itself; whether it had.
    ///
    /// # Errors
    /// Where it cannot be started again.
    pub fn revive(&mut self) -> anyhow::Result<bool> {
        let ended = match self.child.as_mut() {
            Some(c) => c.try_wait()?.is_some(),
            None => true,
        };
        if ended {
            self.spawn()?;
        }
        Ok(ended)
    }

    /// Process id, where it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop(Duration::from_secs(3));
    }
}

/// Polls until `ready` holds; an error naming `what` after `patience`.
///
/// # Errors
/// What `ready` returns, or that it did not happen.
pub fn wait_for(what: &str, patience: Duration, mut ready: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let end = Instant::now() + patience;
    while Instant::now() < end {
        if ready()? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("{what} did not happen within {} s", patience.as_secs())
}

/// Whether this process may do what only root may.
pub fn root_user() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|u| u.trim() == "0")
}

/// Runs to the end and gives what it printed; an exit code other than 0 is an error with its last lines.
///
/// # Errors
/// Where it cannot be started or ends badly.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let out = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {command:?}"))?;
    if !out.status.success() {
        let err = String::from_utf8_lossy(&out.stderr);
        let tail: Vec<_> = err.lines().rev().take(15).collect();
        bail!("{command:?} ended with {}:\n{}", out.status, tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
