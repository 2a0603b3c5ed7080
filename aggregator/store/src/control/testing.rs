// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! For tests (feature `testing`): the same test on SQLite and on a real PostgreSQL.
//!
//! [`each_db`] runs a test once on each. PostgreSQL is a throw-away cluster from Debian's package, one a test process,
//! on a Unix socket; it ends with the process that started it, even where that is killed. With
//! `LAGEWARTE_TEST_POSTGRES_URL` (a role that may create databases) that server is used instead. Must never skip: where
//! PostgreSQL is not installed the test fails and says what to type.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use uuid::Uuid;

use super::{
    Control,
    db::{Pool, vals},
};

/// Which database a test runs on; gives fresh, empty ones.
pub enum Db {
    /// Files in a folder that is removed with this value.
    Sqlite(tempfile::TempDir),
    /// Databases of one server, by the URL of its maintenance database.
    Postgres(String),
}

impl Db {
    /// The URL of a new, empty database.
    ///
    /// # Panics
    /// Where it cannot be made: a test then fails.
    pub async fn url(&self) -> String {
        match self {
            Self::Sqlite(dir) => format!("sqlite:{}", dir.path().join(format!("{}.db", Uuid::new_v4())).display()),
            Self::Postgres(server) => {
                let name = format!("t{}", Uuid::new_v4().simple());
                let pool = Pool::open(server).await.expect("the PostgreSQL for tests takes connections");
                pool.execute(&format!("CREATE DATABASE {name}"), vals![]).await.expect("may create databases");
                pool.close().await;
                let (base, query) = server.split_once('?').unwrap_or((server, ""));
                let (host, _) = base.rsplit_once('/').expect("a PostgreSQL URL has a path");
                format!("{host}/{name}?{query}")
            }
        }
    }
    /// A new database with the schema of this version.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub async fn control(&self) -> Control {
        Control::open(&self.url().await).await.expect("a fresh database opens")
    }
    /// A new database without any schema.
    #[cfg(test)]
    pub(super) async fn empty(&self) -> Control {
        Control { pool: Pool::open(&self.url().await).await.expect("a fresh database opens") }
    }
}

/// Runs a test on SQLite, then on PostgreSQL; says which one it was on where it fails.
pub async fn each_db(test: impl AsyncFn(Db)) {
    eprintln!("on SQLite");
    test(Db::Sqlite(tempfile::tempdir().expect("a temporary folder"))).await;
    eprintln!("on PostgreSQL");
    test(Db::Postgres(postgres_url())).await;
}

/// The URL of the PostgreSQL server of this test process; started at the first call.
///
/// # Panics
/// Where PostgreSQL is not installed or does not start: the test then fails and says what to do.
pub fn postgres_url() -> String {
    static CLUSTER: OnceLock<(String, Option<Child>)> = OnceLock::new();
    CLUSTER
        .get_or_init(|| match std::env::var("LAGEWARTE_TEST_POSTGRES_URL") {
            Ok(url) => (url, None),
            Err(_) => {
                let (url, child) = start();
                (url, Some(child))
            }
        })
        .0
        .clone()
}

/// The newest `/usr/lib/postgresql/N/bin`.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions
        .filter(|v| v.path().join("bin/initdb").exists())
        .max_by_key(|v| v.file_name().to_string_lossy().parse::<u32>().unwrap_or(0))
        .map(|v| v.path().join("bin"))
        .expect("PostgreSQL is not installed; the control plane is tested on it. Type: apt-get install -y postgresql")
}

fn start() -> (String, Child) {
    let bin = binaries();
    // Not TMPDIR: the user postgres must reach it, and a Unix socket's path is short (107 bytes).
    let dir = PathBuf::from(format!("/tmp/lagewarte-pg-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a folder in /tmp");
    let root = fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    let as_user = |program: &Path| {
        if !root {
            return Command::new(program);
        }
        let mut c = Command::new("setpriv"); // initdb and postgres refuse root
        c.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
        c
    };
    if root {
        let done = Command::new("chown").arg("postgres:postgres").arg(&dir).status().expect("chown runs");
        assert!(done.success(), "chown postgres {}: is the package postgresql installed whole?", dir.display());
    }
    let made = as_user(&bin.join("initdb"))
        .current_dir("/")
        .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
        .arg(dir.join("data"))
        .output()
        .expect("initdb runs");
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    // The shell waits for the end of its standard input, which is this process's end, and then stops the server and
    // removes its folder: nothing stays behind, even after a kill -9 of the test.
    let script = r#"
        "$@" >"$DIR/log" 2>&1 </dev/null &
        server=$!
        cat >/dev/null
        kill -INT $server; wait $server
        rm -rf "$DIR"/data "$DIR"/log; rmdir "$DIR" 2>/dev/null
    "#;
    let mut child = as_user(Path::new("/bin/sh"))
        .current_dir("/")
        .env("DIR", &dir)
        .args(["-c", script, "sh"])
        .arg(bin.join("postgres"))
        .arg("-D")
        .arg(dir.join("data"))
        .arg("-k")
        .arg(&dir)
        .args(["-c", "listen_addresses=", "-c", "max_connections=300", "-c", "fsync=off"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("sh runs");
    for _ in 0..600 {
        let up = Command::new(bin.join("pg_isready")).args(["-q", "-h"]).arg(&dir).status();
        if up.is_ok_and(|s| s.success()) {
            return (format!("postgres://postgres@localhost/postgres?host={}", dir.display()), child);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
    drop(child.stdin.take());
    let _ = child.wait(); // the reason to tell is the log's
    unreachable!("PostgreSQL did not start within 30 s: {log}")
}
