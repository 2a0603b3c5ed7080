// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Backup and restore of the control plane: SQLite by its own online copy, PostgreSQL by `pg_dump` and `pg_restore`.
//!
//! A copy is one consistent state, taken while the aggregator runs. Must never write a half-restored database: SQLite's
//! file is checked first and then takes the place in one rename; PostgreSQL restores in one transaction.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::{
    Control, ControlError, Result,
    db::{Pool, redacted, vals},
};

impl Control {
    /// Writes a consistent copy to `file`, which must not exist.
    ///
    /// # Errors
    /// What the database, or `pg_dump`, said.
    pub async fn backup(&self, url: &str, file: &Path) -> Result<()> {
        if file.exists() {
            return Err(ControlError::Refused(format!("{} is there already", file.display())));
        }
        match &self.pool {
            Pool::Sqlite(_) => {
                self.pool.execute("VACUUM INTO $1", vals![path(file)?]).await?;
                fs::File::open(file).and_then(|f| f.sync_all()).map_err(|e| unusable(file, &e))
            }
            Pool::Postgres(_) => {
                let mut c = Command::new("pg_dump");
                c.args(["--format=custom", "--no-owner", "--no-privileges", "--file"]).arg(file);
                run(c, url).await
            }
        }
    }

    /// Puts the copy in `file` in the place of the database at `url`. No aggregator may use that database meanwhile.
    ///
    /// # Errors
    /// What is wrong with the copy, or what the database said: then what was there is still there.
    pub async fn restore(url: &str, file: &Path) -> Result<()> {
        let Some(target) = url.strip_prefix("sqlite:") else {
            let mut c = Command::new("pg_restore");
            c.args(["--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction"]).arg(file);
            return run(c, url).await;
        };
        let target = PathBuf::from(target.trim_start_matches("//").split('?').next().unwrap_or_default());
        let new = target.with_extension("restoring");
        let fail = |e: io::Error| unusable(&new, &e);
        fs::copy(file, &new).map_err(fail)?;
        // Opened as every other: a damaged copy, or one of a newer version, is refused before anything is replaced.
        let copy = Self::open(&format!("sqlite:{}", new.display())).await?;
        let answer = copy.pool.row("PRAGMA integrity_check", vals![]).await?;
        copy.close().await;
        let answer = answer.map(|r| r.text("integrity_check")).transpose()?.unwrap_or_default();
        if answer != "ok" {
            return Err(ControlError::Corrupt(format!("the copy {} is damaged: {answer}", file.display())));
        }
        fs::File::open(&new).and_then(|f| f.sync_all()).map_err(fail)?;
        for old in ["-wal", "-shm"] {
            for base in [&target, &new] {
                let mut name = base.clone().into_os_string();
                name.push(old);
                match fs::remove_file(&name) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(fail(e)),
                    _ => {}
                }
            }
        }
        fs::rename(&new, &target).map_err(fail)?;
        let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::File::open(folder).and_then(|f| f.sync_all()).map_err(fail)
    }
}

fn path(file: &Path) -> Result<&str> {
    file.to_str()
        .ok_or_else(|| ControlError::Refused(format!("{} is not UTF-8; choose another folder", file.display())))
}

fn unusable(file: &Path, e: &io::Error) -> ControlError {
    ControlError::Refused(format!("{}: {e}", file.display()))
}

/// Runs one of PostgreSQL's programs on the database; the password goes by the environment, where nobody else sees it.
async fn run(mut command: Command, url: &str) -> Result<()> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command.arg("--dbname").arg(redacted(url)).kill_on_drop(true);
    let login = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).map_or("", |(login, _)| login);
    if let Some((_, password)) = login.split_once(':') {
        command.env("PGPASSWORD", decoded(password));
    }
    let out = command.output().await.map_err(|e| {
        ControlError::Refused(format!(
            "{program} cannot be run ({e}): install PostgreSQL's client programs (package postgresql-client)"
        ))
    })?;
    if out.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&out.stderr);
    Err(ControlError::Refused(format!("{program} failed ({}): {}", out.status, said.trim())))
}

fn decoded(s: &str) -> String {
    let mut out = Vec::with_capacity(s.len());
    let mut rest = s.as_bytes();
    while let Some((b, next)) = rest.split_first() {
        let pair = next.get(..2).and_then(|p| hex::decode(p).ok()).filter(|_| *b == b'%');
        match pair {
            Some(byte) => {
                out.extend(byte);
                rest = next.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*b);
                rest = next;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::testing::{Db, each_db};

    #[test]
    fn a_password_is_decoded_as_a_url_has_it() {
        for (coded, want) in [("plain", "plain"), ("p%40ss%3aw", "p@ss:w"), ("100%", "100%"), ("%zz", "%zz"), ("", "")]
        {
            assert_eq!(decoded(coded), want);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_there_at_the_backup_is_there_after_the_restore() {
        each_db(async |db: Db| {
            let dir = tempfile::tempdir().unwrap();
            // pg_dump runs as this user and writes here.
            let copy = dir.path().join("control.copy");
            let url = db.url().await;
            let control = Control::open(&url).await.unwrap();
            let add = "INSERT INTO constituent (id, name, kind, ags, population) VALUES ($1, 'Stadt', 'municipality', '09162000', 5)";
            let names = async |c: &Control| -> Vec<String> {
                let rows = c.pool.rows("SELECT id FROM constituent ORDER BY id", vals![]).await.unwrap();
                rows.iter().map(|r| r.text("id").unwrap()).collect()
            };
            control.pool.execute(add, vals!["vorher"]).await.unwrap();
            control.backup(&url, &copy).await.unwrap();
            control.pool.execute(add, vals!["nachher"]).await.unwrap();
            assert!(control.backup(&url, &copy).await.is_err(), "a copy is never overwritten");
            control.close().await;

            // Into the same database, and into an empty one.
            for target in [url.clone(), db.url().await] {
                Control::restore(&target, &copy).await.unwrap();
                let restored = Control::open(&target).await.unwrap();
                assert_eq!(names(&restored).await, ["vorher"]);
                restored.pool.execute(add, vals!["danach"]).await.unwrap();
                restored.close().await;
            }
            // A damaged copy changes nothing.
            let bad = dir.path().join("bad");
            let mut bytes = fs::read(&copy).unwrap();
            bytes.truncate(bytes.len() / 3);
            bytes.iter_mut().take(40).for_each(|b| *b ^= 0x5a);
            fs::write(&bad, bytes).unwrap();
            assert!(Control::restore(&url, &bad).await.is_err());
            let still = Control::open(&url).await.unwrap();
            assert_eq!(names(&still).await, ["danach", "vorher"]);
            still.close().await;
        })
        .await;
    }
}
