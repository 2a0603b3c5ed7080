// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the tests of the binary share: the process, a sensor's state directory, waiting for a condition.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::new_without_default,
    clippy::unwrap_used,
    reason = "each test binary uses a part of this"
)]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, SystemTime},
};

use lagewarte_base::{
    clock::SystemClock,
    fs::RealFs,
    id::Uuid,
    signed::{Purpose, SigningKey, signature_path},
};
use lagewarte_event::{Envelope, Message as _};
use lagewarte_spool::{Cursor, Options, Pair};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};

pub const SENSOR: Uuid = Uuid::from_u128(0x51);

/// A run of the binary to its end.
pub fn sensor<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lagewarte-sensor")).args(args).output().unwrap()
}

pub fn stderr(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

pub fn stdout(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// A file of the repository.
pub fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

pub fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Waits until `condition` gives something; far longer than it can take.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = SystemTime::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(SystemTime::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What the metrics listener says.
pub fn scrape(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A running process; killed with the test.
pub struct Running(pub Child);

impl Running {
    pub fn start(args: &[&str], log: &Path) -> Self {
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_lagewarte-sensor"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self(child)
    }
    /// `kill -9`.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
    /// SIGTERM; the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let done = Command::new("kill").arg("-TERM").arg(self.0.id().to_string()).status().unwrap();
        assert!(done.success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A sensor with identity, orders and configuration. Its aggregator is a closed port: nothing is ever acknowledged.
pub struct State {
    pub dir: tempfile::TempDir,
    pub key: SigningKey,
}

impl State {
    pub fn new() -> Self {
        let state = Self { dir: tempfile::tempdir().unwrap(), key: SigningKey::generate().unwrap() };
        fs::create_dir(state.path()).unwrap();
        state.identity(SENSOR);
        state.assign(1, SENSOR);
        state.configure("");
        state
    }
    /// The state directory.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("state")
    }
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("sensor.yaml")
    }
    pub fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }
    pub fn release_log(&self) -> PathBuf {
        self.dir.path().join("released.ndjson")
    }
    pub fn printed(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn identity(&self, sensor: Uuid) {
        let dir = self.path().join("identity");
        fs::create_dir(&dir).unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let root = ca.self_signed(&ca_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut own = CertificateParams::default();
        own.subject_alt_names = vec![SanType::URI(format!("urn:uuid:{sensor}").try_into().unwrap())];
        let certificate = own.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
        fs::write(dir.join("certificate.pem"), certificate.pem()).unwrap();
        fs::write(dir.join("chain.pem"), root.pem()).unwrap();
        let enrolment = format!("{{\"sensor\":\"{sensor}\",\"uplink_url\":\"https://{closed}\",\"interval_s\":30}}");
        fs::write(dir.join("enrolment.json"), enrolment).unwrap();
    }

    pub fn write_signed(&self, name: &str, purpose: Purpose, content: &str) {
        let path = self.path().join(name);
        fs::write(signature_path(&path), self.key.sign(purpose, content.as_bytes())).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn assign(&self, version: u64, sensor: Uuid) {
        let content = format!(
            "name: test\nversion: {version}\nsensor: {sensor}\ndefault: rathaus\nowners:\n  - constituent: rathaus\n    networks: [10.20.0.0/16, \"fd42:20::/32\"]\n"
        );
        self.write_signed("assignment.yaml", Purpose::Assignment, &content);
    }

    pub fn configure(&self, more: &str) {
        let content = format!(
            "%YAML 1.1\n---\nvars:\n  address-groups:\n    HOME_NET: \"[10.0.0.0/8,192.168.0.0/16]\"\n    EXTERNAL_NET: \"!$HOME_NET\"\nlagewarte:\n  state-dir: {}\n  trusted-keys: [\"{}\"]\n  release-log: {}\n{more}",
            self.path().display(),
            self.key.public().to_text(),
            self.release_log().display()
        );
        fs::write(self.config(), content).unwrap();
    }

    /// Everything that the spool holds, as a reader of its own sees it; the process must have ended.
    pub fn spooled(&self) -> Vec<Envelope> {
        let options = Options { committer: false, ..Options::default() };
        let fs = std::sync::Arc::new(RealFs);
        let pair = Pair::open(&self.path().join("spool"), options, fs, std::sync::Arc::new(SystemClock)).unwrap();
        let mut found = Vec::new();
        for (spool, epoch) in pair.both().into_iter().flat_map(|s| s.epochs().into_iter().map(move |e| (s, e))) {
            let mut cursor = Cursor::new(epoch, 0);
            loop {
                let chunk = spool.read(&mut cursor, 1 << 20, 10_000).unwrap();
                if chunk.is_empty() {
                    break;
                }
                found.extend(chunk.records.iter().map(|r| Envelope::decode(r.data.as_slice()).unwrap()));
            }
        }
        found
    }

    /// Lines of the release log.
    pub fn released(&self) -> Vec<String> {
        fs::read_to_string(self.release_log()).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}
