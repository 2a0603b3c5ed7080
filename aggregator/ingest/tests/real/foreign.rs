// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Foreign sensors with a real client: curl sends what the shippers send; what arrives is asked of the store.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lagewarte_ingest::{Budget, Ingest, MAX_BODY, Options, Step};
use lagewarte_store::control::tokens::{NewToken, TokenKind};

use crate::world::{World, metric, now, until};

fn eve(sid: u32, second: u32) -> String {
    let time = lagewarte_base::time::Timestamp::from_micros(now() - 1_000_000 * i64::from(second)).eve();
    format!(
        r#"{{"timestamp":"{time}","flow_id":77,"in_iface":"eth0","event_type":"alert","src_ip":"203.0.113.9","src_port":4444,"dest_ip":"10.1.2.3","dest_port":22,"proto":"TCP","payload":"QUJD","alert":{{"action":"allowed","gid":1,"signature_id":{sid},"rev":1,"signature":"ET test","category":"Misc","severity":2}}}}"#
    )
}

struct Site {
    world: World,
    ingest: Option<Ingest>,
    registry: prometheus::Registry,
    token: String,
}

impl Site {
    async fn new(change: impl FnOnce(&mut Options)) -> Self {
        let world = World::new().await;
        let mut options = world.options();
        options.foreign_listen = Some(([127, 0, 0, 1], 0).into());
        change(&mut options);
        let (ingest, registry) = world.ingest(options).await;
        let sensor = world.control.sensor_named("gw-auenstadt").await.unwrap().id;
        let new = NewToken {
            kind: TokenKind::Eve,
            constituent: None,
            sensor: Some(sensor),
            expires_us: None,
            label: "test".into(),
        };
        let token = world.control.issue_token(&new, "test", now()).await.unwrap().text();
        Self { world, ingest: Some(ingest), registry, token }
    }

    /// Status, and the answer with its head.
    async fn curl(&self, body: &[u8], more: &[&str]) -> (u16, String) {
        let root = self.world.dir.path().join("data/ca/root.pem");
        let url = format!("https://localhost:{}/v1/eve", self.ingest().foreign_address().unwrap().port());
        let mut command = Command::new("curl");
        command.args(["-sS", "-i", "--max-time", "120", "--data-binary", "@-", "-H", "Expect:", "--cacert"]).arg(root);
        command.args(more).arg(url).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let body = body.to_vec();
        let out = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            let feeder = std::thread::spawn(move || {
                let _ = stdin.write_all(&body); // refused early: curl does not read on
            });
            let out = child.wait_with_output().unwrap();
            feeder.join().unwrap();
            out
        });
        let out = out.await.unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        (status, format!("{text}{}", String::from_utf8_lossy(&out.stderr)))
    }

    /// Another life of the aggregator; the first one ends as it stands, nothing is waited for.
    async fn restart(&mut self, options: Options) {
        drop(self.ingest.take());
        let World { telemetry, control, .. } = &self.world;
        let clock = Arc::new(lagewarte_base::clock::SystemClock);
        // Its tasks hold the journal a moment longer.
        until("the journal is free", async || {
            self.registry = prometheus::Registry::new();
            let started =
                Ingest::start(options.clone(), telemetry.clone(), control.clone(), &self.registry, clock.clone());
            self.ingest = started.await.ok();
            self.ingest.is_some()
        })
        .await;
    }

    fn ingest(&self) -> &Ingest {
        self.ingest.as_ref().unwrap()
    }

    async fn stop(self) {
        self.ingest.unwrap().stop(Duration::from_secs(10)).await;
    }

    async fn send(&self, body: &[u8], more: &[&str]) -> (u16, String) {
        let auth = format!("Authorization: Bearer {}", self.token);
        self.curl(body, &[&["-H", &auth], more].concat()).await
    }
}

fn compressed(program: &str, body: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match program {
        "gzip" => {
            let mut gz = flate2::write::GzEncoder::new(&mut out, flate2::Compression::default());
            gz.write_all(body.as_bytes()).unwrap();
            gz.finish().unwrap();
        }
        _ => out = zstd::encode_all(body.as_bytes(), 3).unwrap(),
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_thousands_of_events_is_taken_and_known_again() {
    let site = Site::new(|_| {}).await;
    let body = (0..2_500).map(|sid| eve(sid, 1)).collect::<Vec<_>>().join("\n");
    for counts in [r#""received":2500,"duplicate":0"#, r#""received":2500,"duplicate":2500"#] {
        let (status, answer) = site.send(body.as_bytes(), &[]).await;
        assert!(status == 200 && answer.contains(counts), "{status} {answer}");
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eve_over_https_is_stored_once_under_its_owner() {
    let site = Site::new(|_| {}).await;
    let (one, two, three) = (eve(1, 1), eve(2, 2), eve(3, 3));
    let ndjson = format!("{one}\n{two}\n");
    let (status, answer) = site.send(ndjson.as_bytes(), &[]).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains(r#"{"received":2,"duplicate":0,"quarantined":0,"withheld":0}"#), "{answer}");
    // Durable when it is answered; the owner is the register's, what may not be kept is not there.
    let row = "SELECT count(), any(constituent), any(profile), countIf(eve LIKE '%payload%' OR eve LIKE '%eth0%'), \
               any(epoch), countIf(late) FROM alert";
    assert_eq!(site.world.ask(row).await, "2\tauenstadt\tforeign@1\t0\t0\t0");
    // Sent again, in other wrappings and compressions: the same events.
    let quoted = serde_json::to_string(&one).unwrap();
    let vector = format!(r#"[{{"file":"eve.json","message":{quoted}}},{two}]"#);
    let (status, answer) = site.send(&compressed("gzip", &vector), &["-H", "Content-Encoding: gzip"]).await;
    assert!(status == 200 && answer.contains("\"duplicate\":2"), "{answer}");
    let (status, answer) =
        site.send(&compressed("zstd", &format!("{two}\n{three}\n{three}")), &["-H", "Content-Encoding: zstd"]).await;
    assert!(status == 200 && answer.contains("\"received\":3,\"duplicate\":2"), "{answer}");
    assert_eq!(site.world.ask("SELECT count() FROM alert").await, "3");
    // With a key two equal events are two, and the same request is the same.
    let twice = format!("{three}\n{three}\n");
    for duplicate in [0, 2] {
        let (status, answer) = site.send(twice.as_bytes(), &["-H", "Idempotency-Key: batch-7"]).await;
        assert!(status == 200 && answer.contains(&format!("\"duplicate\":{duplicate}")), "{answer}");
    }
    let (_, answer) = site.send(format!("{three}\n").as_bytes(), &["-H", "Idempotency-Key: batch-7"]).await;
    assert!(answer.contains("\"duplicate\":0"), "another body under the same key loses nothing: {answer}");
    assert_eq!(site.world.ask("SELECT count() FROM alert").await, "6");
    // What cannot be taken is in quarantine, once, and costs the rest nothing; what is not wanted is said.
    let mixed = format!(
        "{}\nnot json\n{{\"event_type\":\"alert\"}}\n{{\"event_type\":\"flow\",\"timestamp\":\"x\"}}\n",
        eve(4, 4)
    );
    for _ in 0..2 {
        let (status, answer) = site.send(mixed.as_bytes(), &[]).await;
        assert!(status == 200 && answer.contains("\"quarantined\":2,\"withheld\":1"), "{answer}");
    }
    let reasons = site.world.ask("SELECT reason, count() FROM quarantine GROUP BY reason ORDER BY reason").await;
    assert_eq!(reasons, "implausible-time\t1\nnot-json\t1");
    assert_eq!(site.world.ask("SELECT count() FROM alert").await, "7");
    let rollup = site.world.ask("SELECT sum(alerts) FROM alert_1h").await;
    assert_eq!(rollup, "7", "the rollup is not the raw count");
    // A shipper with several workers: one turn after the other, no alarm, nothing lost.
    let bodies: Vec<String> = (0..4).map(|w| (0..50).map(|n| eve(100 + w, n) + "\n").collect()).collect();
    let [a, b, c, d] = &bodies[..] else { unreachable!() };
    let all = tokio::join!(
        site.send(a.as_bytes(), &[]),
        site.send(b.as_bytes(), &[]),
        site.send(c.as_bytes(), &[]),
        site.send(d.as_bytes(), &[])
    );
    assert_eq!((all.0.0, all.1.0, all.2.0, all.3.0), (200, 200, 200, 200), "{all:?}");
    assert_eq!(site.world.ask("SELECT count() FROM alert").await, "207");
    assert_eq!(metric(&site.registry, "doubled_identity_total", ""), 0.0);
    let law = ["stored_total", "duplicate_total", "quarantined_total", "in_flight"];
    let law: f64 = law.iter().map(|l| metric(&site.registry, &format!("events_{l}"), "")).sum();
    assert_eq!(metric(&site.registry, "events_received_total", ""), law);
    site.stop().await;
}

/// What a sender repeats after a crash is looked up in the store only when the journal's own copy of it is there.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_repeated_after_a_crash_waits_for_the_journal_and_is_a_duplicate() {
    let mut site = Site::new(|_| {}).await;
    let engine = site.world.engine.pid().unwrap().to_string();
    let signal = |s: &str, pid: &str| assert!(Command::new("kill").args([s, pid]).status().unwrap().success());
    let body = eve(1, 1);
    let options = |site: &Site| {
        let foreign_listen = Some(([127, 0, 0, 1], 0).into());
        Options { foreign_listen, ..site.world.options() }
    };
    let (pid, journaled) = (engine.clone(), Arc::new(AtomicBool::new(false)));
    let seen = Arc::clone(&journaled);
    let observe: Arc<dyn Fn(Step) + Send + Sync> = Arc::new(move |step| {
        if step == Step::Journaled && !seen.swap(true, Ordering::SeqCst) {
            signal("-STOP", &pid);
        }
    });
    site.restart(Options { observe: Some(observe), ..options(&site) }).await;
    let sent = site.send(body.as_bytes(), &["--max-time", "5"]);
    tokio::select! {
        answer = sent => panic!("answered before it was durable: {answer:?}"),
        () = until("it is in the journal", async || journaled.load(Ordering::SeqCst)) => {}
    }
    site.restart(options(&site)).await;
    let again = site.send(body.as_bytes(), &[]);
    let awake = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        signal("-CONT", &engine);
    };
    let ((status, answer), ()) = tokio::join!(again, awake);
    assert!(status == 200 && answer.contains("\"duplicate\":1"), "{answer}");
    let counts = "SELECT count(), (SELECT sum(alerts) FROM alert_1h), (SELECT count() FROM segment) FROM alert";
    assert_eq!(site.world.ask(counts).await, "1\t1\t1");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_send_or_sends_too_much_is_told_so() {
    let site = Site::new(|o| o.budget = Budget { events: 10, bytes: 1 << 20 }).await;
    let body = eve(1, 1);
    let (status, answer) = site.curl(body.as_bytes(), &[]).await;
    assert!(status == 401 && answer.to_ascii_lowercase().contains("www-authenticate: bearer"), "{answer}");
    let wrong = "Authorization: Bearer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(site.curl(body.as_bytes(), &["-H", wrong]).await.0, 401);
    // A token that opens something else.
    let new =
        NewToken { kind: TokenKind::Cert, constituent: None, sensor: None, expires_us: None, label: String::new() };
    let other = site.world.control.issue_token(&new, "test", now()).await.unwrap().text();
    assert_eq!(site.curl(body.as_bytes(), &["-H", &format!("Authorization: Bearer {other}")]).await.0, 401);
    for (status, body, more) in [
        (415, body.clone().into_bytes(), &["-H", "Content-Encoding: br"][..]),
        (400, body.clone().into_bytes(), &["-H", "Content-Encoding: gzip"]),
        (400, b"[{]".to_vec(), &[]),
        (400, body.clone().into_bytes(), &["-H", &format!("Idempotency-Key: {}", "k".repeat(300))]),
        (413, vec![b' '; MAX_BODY + 1], &[]),
        (413, compressed("gzip", &" ".repeat(9 << 20)), &["-H", "Content-Encoding: gzip"]),
        (405, Vec::new(), &["-X", "GET"]),
    ] {
        let got = site.send(&body, more).await;
        assert_eq!(got.0, status, "{more:?}: {}", got.1);
    }
    assert_eq!(site.world.ask("SELECT count() FROM alert").await, "0");
    // A sensor's certificate is as good as a token, until the sensor is revoked.
    let identity = site.world.enrol(site.ingest(), "gw-wehrmuende").await;
    let chain = identity.join("both.pem");
    let read = |n: &str| std::fs::read_to_string(identity.join(n)).unwrap();
    std::fs::write(&chain, read("certificate.pem") + &read("chain.pem")).unwrap();
    let files = [chain.display().to_string(), identity.join("key.pem").display().to_string()];
    let cert = ["--cert", &files[0], "--key", &files[1]];
    let (status, answer) = site.curl(body.as_bytes(), &cert).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(site.world.ask("SELECT any(constituent) FROM alert").await, "wehrmuende");
    // Over its budget: nothing is taken, and it is said when to come again. Others are served.
    let flood: String = (0..100).map(|n| eve(7, n) + "\n").collect();
    assert_eq!(site.send(flood.as_bytes(), &[]).await.0, 200, "the bucket may be left in debt");
    let (status, answer) = site.send(eve(8, 1).as_bytes(), &[]).await;
    assert!(status == 429 && answer.to_ascii_lowercase().contains("retry-after: "), "{answer}");
    assert_eq!(metric(&site.registry, "throttled_total", "auenstadt"), 1.0);
    assert_eq!(site.curl(eve(9, 1).as_bytes(), &cert).await.0, 200);
    let sensor = site.world.control.sensor_named("gw-wehrmuende").await.unwrap().id;
    site.world.control.revoke_sensor(sensor, "test", now()).await.unwrap();
    until("a revoked sensor is refused", async || site.curl(eve(9, 2).as_bytes(), &cert).await.0 == 403).await;
    site.stop().await;
}

/// What an independent client sees of the listener.
#[tokio::test(flavor = "multi_thread")]
async fn openssl_sees_what_tls_is_offered_to_foreign_senders() {
    let site = Site::new(|_| {}).await;
    let root = site.world.dir.path().join("data/ca/root.pem");
    let port = site.ingest().foreign_address().unwrap().port();
    let client = async |more: &[&str]| s_client(&root, port, more).await;
    for (version, wanted) in [("-tls1_3", "New, TLSv1.3"), ("-tls1_2", "New, TLSv1.2")] {
        let seen = client(&[version]).await;
        for wanted in [wanted, "Verification: OK", "Lagewarte root CA"] {
            assert!(seen.contains(wanted), "{version} {wanted}: {seen}");
        }
    }
    for (args, what) in [
        (&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..], "TLS 1.1"),
        (&["-tls1_2", "-cipher", "AES128-GCM-SHA256"], "a key exchange without forward secrecy"),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384"], "CBC"),
    ] {
        let seen = client(args).await;
        assert!(seen.contains("Cipher is (NONE)") || seen.contains("no cipher match"), "{what}: {seen}");
    }
    for cipher in ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"] {
        let seen = client(&["-tls1_2", "-cipher", cipher]).await;
        assert!(seen.contains(&format!("Cipher is {cipher}")), "{cipher}: {seen}");
    }
    site.stop().await;
}

async fn s_client(root: &Path, port: u16, more: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-servername", "localhost", "-CAfile"])
        .arg(root);
    command.args(["-verify_hostname", "localhost"]).args(more).stdin(Stdio::null());
    let out = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}
