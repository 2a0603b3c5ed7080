// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The real program: it starts, answers, survives a kill and stops; and where it cannot start it says what to do.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "helpers of tests: what fails here fails the test")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use lagewarte_store::engine::testing::free_port;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lagewarte-aggregator");
/// Longest wait for something that must come; nothing is asserted on how long it took.
const PATIENCE: Duration = Duration::from_secs(90);

/// A folder with a configuration on free ports.
struct Place {
    dir: tempfile::TempDir,
    ports: [u16; 4],
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap(), ports: std::array::from_fn(|_| free_port()) };
        place.write(&place.data(), "");
        place
    }
    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
    fn config(&self) -> PathBuf {
        self.dir.path().join("aggregator.yaml")
    }
    fn write(&self, data: &Path, more: &str) {
        let [http, metrics, uplink, enrolment] = self.ports;
        let yaml = format!(
            "data-dir: {}\nhttp: {{listen: '127.0.0.1:{http}'}}\nmetrics: {{listen: '127.0.0.1:{metrics}'}}\n\
             uplink: {{listen: '127.0.0.1:{uplink}', names: ['127.0.0.1']}}\n\
             enrolment: {{listen: '127.0.0.1:{enrolment}'}}\n{more}",
            data.display()
        );
        fs::write(self.config(), yaml).unwrap();
    }
    fn command(&self, args: &[&str]) -> Command {
        let mut c = Command::new(PROGRAM);
        c.args(args)
            .arg("--config")
            .arg(self.config())
            .env_remove("CLICKHOUSE_URL")
            .env_remove("LAGEWARTE_CONTROL_URL");
        c
    }
    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }
    fn json(&self, args: &[&str]) -> Value {
        let out = self.run(&[args, &["--json"]].concat());
        assert!(out.status.success(), "{args:?}: {}", text(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    }
    fn serve(&self) -> Serve {
        let child = self.command(&["serve"]).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        Serve(child)
    }
    fn get(&self, port: u16, path: &str) -> Option<String> {
        let mut s = TcpStream::connect(("127.0.0.1", port)).ok()?;
        s.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        write!(s, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        s.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
    fn wait_until_healthy(&self, serve: &mut Serve) {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Ok(Some(status)) = serve.0.try_wait() {
                let mut log = String::new();
                serve.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
                unreachable!("it ended with {status}: {log}");
            }
            if self.get(self.ports[0], "/healthz").is_some_and(|a| a.starts_with("HTTP/1.1 200")) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        unreachable!("it did not become healthy");
    }
    /// Its standard error, after it refused to start.
    fn refusal(&self, command: &mut Command) -> String {
        let out = command.stdin(Stdio::null()).output().unwrap();
        let err = text(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{err}");
        assert!(!err.contains("panicked"), "{err}");
        err
    }
}

struct Serve(Child);

impl Serve {
    fn terminate(mut self) -> String {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let mut log = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert!(self.0.wait().unwrap().success(), "{log}");
        log
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.0.kill(); // already gone is fine
        let _ = self.0.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn register(dir: &Path) {
    for (file, text) in [
        (
            "constituents.csv",
            "id,name,kind,ags,population\na,Stadt A,municipality,09162000,\nb,Markt B,municipality,09162001,\n",
        ),
        ("networks.csv", "constituent,cidr\na,10.1.0.0/16\nb,10.2.0.0/16\n"),
        ("sensors.csv", "id,name,constituent,serves,interval_s\n,gw-a,a,b,10\n"),
        ("contacts.csv", "constituent,name,role,mail,phone\na,Anna,IT,it@a.example,\n"),
    ] {
        fs::write(dir.join(file), text).unwrap();
    }
}

#[test]
fn it_starts_answers_survives_a_kill_and_stops_on_sigterm() {
    let (place, engine) = (Place::new(), free_port());
    place.write(&place.data(), &format!("clickhouse: {{http-port: {engine}}}\n"));
    let csv = tempfile::tempdir().unwrap();
    register(csv.path());
    // Before the first start: the register is loaded by a command of its own.
    let report = place.json(&["register", "load", &csv.path().to_string_lossy()]);
    assert_eq!(report["added"]["constituent"], 2);

    let mut serve = place.serve();
    place.wait_until_healthy(&mut serve);
    let metrics = place.get(place.ports[1], "/metrics").unwrap();
    for series in
        ["lagewarte_warnings_total{what=\"drafted\"} 0", "lagewarte_build_info", "lagewarte_picture_ticks_total"]
    {
        assert!(metrics.contains(series), "{series} in {metrics}");
    }
    assert!(!place.get(place.ports[0], "/metrics").unwrap().starts_with("HTTP/1.1 200"), "not on the site");

    // Commands beside the running aggregator.
    let feed = place.json(&["register", "token", "feed", "--constituent", "a"]);
    let path = format!("/feed/{}/atom.xml", feed["token"].as_str().unwrap());
    assert!(place.get(place.ports[0], &path).unwrap().starts_with("HTTP/1.1 200"), "its own feed");
    let wrong = format!("/feed/{}/atom.xml", "A".repeat(43));
    assert!(!place.get(place.ports[0], &wrong).unwrap().starts_with("HTTP/1.1 200"));
    let enrolment = place.json(&["register", "enrol", "gw-a"])["token"].as_str().unwrap().to_owned();
    assert!(enrolment.starts_with("LW1."));
    let yaml = place.run(&["assignment", "export", "gw-a", "--version", "3"]);
    let assignment: lagewarte_base::assignment::Assignment = serde_yaml_ng::from_slice(&yaml.stdout).unwrap();
    assert_eq!((assignment.version, assignment.owners.len(), assignment.fault()), (3, 2, None));
    assert_eq!(place.json(&["warning", "list"]), serde_json::json!([]));

    // The running engine, named by URL, is a ClickHouse server like any other.
    let credentials = fs::read(place.data().join("engine/credentials.json")).unwrap();
    let credentials: Value = serde_json::from_slice(&credentials).unwrap();
    let url = format!("http://ingest:{}@127.0.0.1:{engine}", credentials["ingest"].as_str().unwrap());
    let other = Place::new();
    let out = other.command(&["engine", "check"]).env("CLICKHOUSE_URL", url).output().unwrap();
    assert!(out.status.success() && text(&out.stdout).contains("(server) answers"), "{}", text(&out.stderr));

    // kill -9: the engine ends by itself, and the next start takes the folder over.
    serve.0.kill().unwrap();
    serve.0.wait().unwrap();
    let mut serve = place.serve();
    place.wait_until_healthy(&mut serve);
    let log = serve.terminate();
    assert!(log.contains("ready") && log.contains("stopped"), "{log}");
    assert!(!log.contains(&enrolment) && !log.contains(feed["token"].as_str().unwrap()), "{log}");
}

#[test]
fn commands_refuse_with_a_sentence() {
    let place = Place::new();
    let csv = tempfile::tempdir().unwrap();
    register(csv.path());
    fs::write(csv.path().join("networks.csv"), "constituent,cidr\nz,10.1.0.0/16\na,10.1.0.0/99\n").unwrap();
    let dir = csv.path().to_string_lossy().into_owned();
    for (args, want) in [
        (&["register", "load", &dir][..], "networks.csv:2: column constituent: z does not stand in constituents.csv"),
        (&["register", "load", &dir], "networks.csv:3: column cidr: \"10.1.0.0/99\" is no network"),
        (&["register", "enrol", "nobody"], "sensor nobody is not in the register"),
        (&["register", "token", "feed"], "say whose it is: --constituent ID"),
        (&["register", "token", "feed", "--constituent", "nobody"], "constituent nobody is not in the register"),
        (&["register", "token", "cert", "--constituent", "a"], "leave --constituent out"),
        (&["register", "sensor", "gw", "--constituent", "nobody"], "constituent nobody is not in the register"),
        (&["register", "revoke-token", "abc"], "8 or more digits"),
        (&["warning", "release", "00000000-0000-0000-0000-000000000001", "--who", "Anna"], "is not in the register"),
    ] {
        let err = place.refusal(&mut place.command(args));
        assert!(err.starts_with("error: ") && err.contains(want), "{args:?}: {err}");
    }
    let wrong = place.run(&["register", "token", "root"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
}

#[test]
fn a_sensor_is_added_shown_and_revoked_by_commands() {
    let place = Place::new();
    let csv = tempfile::tempdir().unwrap();
    register(csv.path());
    place.json(&["register", "load", &csv.path().to_string_lossy()]);
    let added =
        place.json(&["register", "sensor", "gw-b", "--constituent", "b", "--serves", "a", "--interval-s", "20"]);
    let token: lagewarte_base::token::EnrolmentToken = added["token"].as_str().unwrap().parse().unwrap();
    assert_eq!(token.url, format!("https://127.0.0.1:{}", place.ports[3]));
    let list = place.json(&["register", "list"]);
    let gw = list["sensors"].as_array().unwrap().iter().find(|s| s["name"] == "gw-b").unwrap();
    assert_eq!(
        (gw["serves"].clone(), gw["state"].as_str(), gw["interval_s"].as_u64()),
        (serde_json::json!(["a", "b"]), Some("invited"), Some(20))
    );
    place.json(&["register", "revoke", "gw-b"]);
    let err = place.refusal(&mut place.command(&["register", "enrol", "gw-b"]));
    assert!(err.contains("sensor gw-b is revoked"), "{err}");
    let tokens = place.json(&["register", "tokens"]);
    assert!(tokens[0]["revoked_us"].is_i64() && !tokens.to_string().contains(added["token"].as_str().unwrap()));
    assert!(place.run(&["config"]).status.success());
}

#[test]
fn a_busy_port_is_named_with_its_key() {
    for (i, key) in ["http.listen", "metrics.listen", "uplink", "enrolment"].into_iter().enumerate() {
        let place = Place::new();
        let _taken = TcpListener::bind(("127.0.0.1", place.ports[i])).unwrap();
        let err = place.refusal(&mut place.command(&["serve"]));
        assert!(
            err.contains(key) && err.contains(&place.ports[i].to_string()) && err.contains("in use"),
            "{key}: {err}"
        );
        assert!(err.contains("stop what uses"), "what to do: {err}");
    }
}

#[test]
fn a_full_disk_is_said_so() {
    // A file system of half a mebibyte in a mount name space of its own.
    let place = Place::new();
    let mount = place.dir.path().join("small");
    fs::create_dir(&mount).unwrap();
    place.write(&mount.join("data"), "");
    let script = "mount -t tmpfs -o size=512k none \"$1\" && exec \"$2\" serve --config \"$3\"";
    let mut c = Command::new("unshare");
    c.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]).arg(&mount).arg(PROGRAM).arg(place.config());
    let err = place.refusal(c.env_remove("CLICKHOUSE_URL"));
    assert!(err.contains(&format!("the disk of data-dir {} is full", mount.join("data").display())), "{err}");
    assert!(err.contains("free some space"), "{err}");
}

#[test]
fn a_missing_engine_an_old_cpu_and_an_unreachable_server_say_what_to_do() {
    let place = Place::new();
    let none = place.dir.path().join("none.so");
    let err = place.refusal(place.command(&["serve"]).env("LAGEWARTE_ENGINE", &none));
    assert!(
        err.contains(&none.display().to_string())
            && err.contains("cargo xtask engine")
            && err.contains("CLICKHOUSE_URL"),
        "{err}"
    );
    let err = place.refusal(place.command(&["serve"]).env("LAGEWARTE_CPU_FEATURES", "sse2,bmi2,fma"));
    assert!(err.contains("this CPU has no avx2") && err.contains("CLICKHOUSE_URL"), "{err}");
    let nobody = format!("http://lagewarte:geheim@127.0.0.1:{}", free_port());
    let err = place.refusal(place.command(&["serve"]).env("CLICKHOUSE_URL", &nobody));
    assert!(
        err.contains("does not answer") && err.contains("check that it runs") && err.contains("embedded engine"),
        "{err}"
    );
    assert!(!err.contains("geheim"), "{err}");
    let err = place.refusal(place.command(&["serve"]).env("CLICKHOUSE_URL", "clickhouse.example.de"));
    assert!(err.contains("CLICKHOUSE_URL") && err.contains("http[s]://"), "{err}");
    let err =
        place.refusal(place.command(&["serve"]).env("LAGEWARTE_CONTROL_URL", "postgres://u:geheim@127.0.0.1:1/db"));
    assert!(err.contains("postgres://u@127.0.0.1:1/db") && err.contains("check that PostgreSQL runs"), "{err}");
    assert!(!err.contains("geheim"), "{err}");
}

#[test]
fn a_wrong_configuration_is_refused_with_file_key_and_remedy() {
    let place = Place::new();
    place.write(&place.data(), "mial: {}\n");
    let err = place.refusal(&mut place.command(&["serve"]));
    assert!(err.contains(&place.config().display().to_string()) && err.contains("unknown field `mial`"), "{err}");
    place.write(&place.data(), "site: {map: /does/not/exist.geojson}\n");
    let err = place.refusal(&mut place.command(&["serve"]));
    assert!(err.contains("site.map /does/not/exist.geojson cannot be read"), "{err}");
    place.write(Path::new("/proc/lagewarte"), "");
    let err = place.refusal(&mut place.command(&["serve"]));
    assert!(err.contains("data-dir /proc/lagewarte cannot be used") && err.contains("set data-dir"), "{err}");
}

#[test]
fn engine_check_and_migrate_run_the_real_engine_and_can_be_repeated() {
    let place = Place::new();
    let check = place.json(&["engine", "check"]);
    assert_eq!(check["kind"], "embedded");
    assert!(check["clickhouse"].as_str().unwrap().starts_with(|c: char| c.is_ascii_digit()), "{check}");
    assert!(place.json(&["migrate"])["telemetry_steps"].as_u64().unwrap() > 0);
    assert_eq!(place.json(&["migrate"])["telemetry_steps"], 0, "the second time there is nothing to do");
}
