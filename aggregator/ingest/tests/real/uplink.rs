// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The line between sensor and aggregator: credit, packing, two streams, cap and hours, a proxy, and being sent away.

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use lagewarte_base::{
    clock::{Clock as _, SystemClock},
    fs::RealFs,
};
use lagewarte_event::{Envelope, Hello, Message as _, Packed, client_frame, pack};
use lagewarte_ingest::{MIN_WINDOW_BYTES, WINDOW_EVENTS};
use lagewarte_spool::{Options as SpoolOptions, Pair, Priority};
use lagewarte_store::engine::testing::free_port;
use lagewarte_uplink::{
    ConnectError, EnrolError, Hours, Identity, Options as UplinkOptions, Proxy, Uplink, enrol_through,
};
use tonic::Code;

use crate::{
    hostile::{Raw, batch},
    world::{World, alert, envelope, metric, now, until},
};

fn credit() -> Hello {
    Hello { credit: true, ..Hello::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_credit_a_sensor_is_refused_and_within_it_served() {
    let world = World::new().await;
    // So little memory that every window is the smallest.
    let (ingest, registry) = world.ingest(lagewarte_ingest::Options { total_bytes: 5 << 20, ..world.options() }).await;
    let identity = world.enrol(&ingest, "gw-auenstadt").await;
    let fat = |seq| Envelope { profile: "x".repeat(200 << 10), ..alert(seq, "auenstadt", now()) };

    let mut raw = Raw::connect(&identity, ingest.uplink_address()).await;
    let w = raw.welcome(Hello::default()).await;
    assert_eq!((w.credit_bytes, w.credit_events), (0, 0), "who does not ask has none");
    drop(raw);

    let mut raw = Raw::connect(&identity, ingest.uplink_address()).await;
    let w = raw.welcome(credit()).await;
    assert_eq!((w.epoch, w.nonce, w.credit_events), (1, 7, WINDOW_EVENTS));
    assert!((MIN_WINDOW_BYTES..=(5 << 20) / 2).contains(&w.credit_bytes), "{}", w.credit_bytes);
    let n = w.credit_bytes / (200 << 10) + 1;
    raw.send(batch((1..=n).map(fat).collect(), vec![])).await;
    let status = raw.ended().await;
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "beyond-credit"));
    assert_eq!(metric(&registry, "protocol_errors_total", "beyond-credit"), 1.0);
    assert_eq!(world.ask("SELECT count() FROM quarantine").await, "0");

    let mut raw = Raw::connect(&identity, ingest.uplink_address()).await;
    raw.welcome(credit()).await;
    raw.send(batch(vec![], (1..=WINDOW_EVENTS / 4).map(|n| (n, n)).collect())).await;
    let (mut acked, mut bytes, mut events) = (0, 0, 0);
    while acked < WINDOW_EVENTS / 4 || events == 0 {
        match raw.line.message().await.unwrap().unwrap().frame {
            Some(lagewarte_event::server_frame::Frame::Ack(a)) => acked = a.up_to_seq,
            Some(lagewarte_event::server_frame::Frame::Credit(c)) => (bytes, events) = (c.bytes, c.events),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(events, WINDOW_EVENTS + WINDOW_EVENTS / 4, "what is durable is given back");
    assert!(bytes > w.credit_bytes);
    ingest.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_streams_and_packing_are_negotiated_and_their_abuse_refused() {
    let world = World::new().await;
    let (ingest, _) = world.ingest(world.options()).await;
    let identity = world.enrol(&ingest, "gw-auenstadt").await;
    for (offered, chosen) in [
        (vec![], None),
        (vec![7], None),
        (vec![pack::PLAIN], Some(pack::PLAIN)),
        (vec![pack::PLAIN, 100_001, 7], Some(100_001)),
    ] {
        let mut raw = Raw::connect(&identity, ingest.uplink_address()).await;
        let w = raw.welcome(Hello { dictionaries: offered.clone(), ..credit() }).await;
        assert_eq!(w.dictionary, chosen, "{offered:?}");
    }
    let client_frame::Frame::Batch(good) = batch(vec![alert(1, "auenstadt", now())], vec![]) else { panic!() };
    let packed = pack::pack(&good, 100_001).unwrap();
    for (what, bad) in [
        ("packed-dictionary", Packed { dictionary: 5, ..packed.clone() }),
        ("packed-too-large", Packed { size: u32::MAX, ..packed.clone() }),
        ("packed-damaged", Packed { size: packed.size - 1, ..packed.clone() }),
        ("packed-damaged", Packed { zstd: vec![1, 2, 3], ..packed.clone() }),
    ] {
        let mut raw = Raw::connect(&identity, ingest.uplink_address()).await;
        raw.welcome(credit()).await;
        raw.send(client_frame::Frame::Packed(bad)).await;
        assert_eq!(raw.ended().await.message(), what);
    }
    let second = |stream, nonce| client_frame::Frame::Hello(Hello { epoch: 1, nonce, stream, ..credit() });
    for (what, hello) in [("unknown-stream", second(2, 8)), ("epoch-in-two-streams", second(1, 7))] {
        let mut raw = Raw::connect(&identity, ingest.uplink_address()).await;
        raw.welcome(credit()).await;
        raw.send(hello).await;
        assert_eq!(raw.ended().await.message(), what);
    }
    assert_eq!(world.ask("SELECT count() FROM alert").await, "0");
    // Side by side on one line.
    let mut raw = Raw::connect(&identity, ingest.uplink_address()).await;
    raw.welcome(credit()).await;
    raw.send(second(1, 8)).await;
    assert!(matches!(raw.line.message().await.unwrap().unwrap().frame,
        Some(lagewarte_event::server_frame::Frame::Welcome(w)) if w.nonce == 8));
    let other = lagewarte_event::Batch { nonce: 8, ..good.clone() };
    raw.send(client_frame::Frame::Packed(pack::pack(&other, pack::PLAIN).unwrap())).await;
    raw.send(client_frame::Frame::Packed(packed)).await;
    until("both are stored", async || world.ask("SELECT count(), countDistinct(nonce) FROM alert").await == "2\t2")
        .await;
    // Sent away with a time to come back, when the aggregator stops.
    let (stopped, status) = tokio::join!(ingest.stop(Duration::from_secs(10)), raw.ended());
    let () = stopped;
    assert_eq!(status.code(), Code::Unavailable);
    let pushback: u64 = status.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap().parse().unwrap();
    assert!((500..600).contains(&pushback), "one sensor: {pushback}");
}

/// A sensor with both spools.
struct Both {
    pair: Pair,
    uplink: Uplink,
}

impl Both {
    fn start(identity: &Path, spool: &Path, options: UplinkOptions) -> Self {
        let clock = Arc::new(SystemClock);
        let pair = Pair::open(spool, SpoolOptions::default(), Arc::new(RealFs), clock.clone()).unwrap();
        let backoff = Duration::from_millis(50);
        let options = UplinkOptions { backoff_min: backoff, backoff_max: backoff, ..options };
        let uplink = Uplink::start(&pair, Identity::load(identity).unwrap(), options, clock);
        Self { pair, uplink }
    }
    fn alert(&self) {
        self.pair.append(Priority::Alert, |seq| alert(seq, "auenstadt", now()).encode_to_vec()).unwrap();
    }
    fn flow(&self, noise: &mut fastrand::Rng) {
        let id: String = (0..400).map(|_| noise.alphanumeric()).collect();
        let eve = format!(
            r#"{{"timestamp":"{}","flow_id":5,"event_type":"flow","src_ip":"203.0.113.9","dest_ip":"10.1.2.3","proto":"TCP","community_id":"{id}"}}"#,
            SystemClock.now().eve()
        );
        self.pair.append(Priority::Bulk, |seq| envelope(seq, "auenstadt", now(), "flow", eve).encode_to_vec()).unwrap();
    }
    async fn drained(&self) {
        until("everything is acknowledged", async || self.pair.commit().is_ok() && self.pair.status().records == 0)
            .await;
    }
    async fn stop(self) {
        self.uplink.stop().await;
        self.pair.close();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_go_before_bulk_under_a_cap_and_outside_its_hours() {
    let world = World::new().await;
    let (ingest, _) = world.ingest(world.options()).await;
    let identity = world.enrol(&ingest, "gw-auenstadt").await;
    let spool = world.dir.path().join("spool");
    let mut noise = fastrand::Rng::with_seed(3);

    // Bulk is there first, and much of it for this line.
    let sensor = Both::start(&identity, &spool, UplinkOptions { rate: Some(20_000), ..UplinkOptions::default() });
    for _ in 0..500 {
        sensor.flow(&mut noise);
    }
    sensor.pair.commit().unwrap();
    until("bulk is on its way", async || sensor.uplink.status().sent_events > 0).await;
    sensor.alert();
    until("the alert is stored", async || world.ask("SELECT count() FROM alert").await == "1").await;
    assert!(sensor.pair.bulk().status().records > 0 && sensor.uplink.status().waits_for_rate);
    sensor.stop().await;

    // In the hours that are not now.
    let minute = lagewarte_base::berlin::minute_of_day(SystemClock.now()).unwrap();
    let hour = (minute / 60 + 12) % 24;
    let hours = Hours::parse([format!("{hour:02}:00-{:02}:00", (hour + 1) % 24).as_str()]).unwrap();
    let sensor = Both::start(&identity, &spool, UplinkOptions { bulk_hours: hours, ..UplinkOptions::default() });
    sensor.alert();
    sensor.pair.commit().unwrap();
    until("the alert is stored", async || world.ask("SELECT count() FROM alert").await == "2").await;
    let held = sensor.pair.bulk().status().records;
    assert!(held > 0 && sensor.uplink.status().bulk_lag_us > 0);
    until("urgent is drained", async || sensor.pair.urgent().status().records == 0).await;
    assert_eq!(sensor.pair.bulk().status().records, held);
    sensor.stop().await;

    // Without both, everything goes; nothing is lost or doubled on the way, and packing was worth it for the alerts.
    let sensor = Both::start(&identity, &spool, UplinkOptions::default());
    sensor.drained().await;
    assert_eq!(world.ask("SELECT count(), countDistinct(nonce, seq) FROM flow").await, "500\t500");
    for _ in 0..200 {
        sensor.alert();
    }
    let before = sensor.uplink.status();
    sensor.drained().await;
    let after = sensor.uplink.status();
    let (plain, wire) = (after.sent_bytes - before.sent_bytes, after.sent_wire_bytes - before.sent_wire_bytes);
    assert!(wire * 4 < plain, "{plain} bytes as {wire}");
    sensor.stop().await;
    ingest.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_comes_back_is_told_everything_once_over_both_streams() {
    let world = World::new().await;
    let (ingest, registry) = world.ingest(world.options()).await;
    let identity = world.enrol(&ingest, "gw-auenstadt").await;
    let sensor = Both::start(&identity, &world.dir.path().join("spool"), UplinkOptions::default());
    let pid = world.engine.pid().unwrap().to_string();
    let signal = |s: &str| assert!(Command::new("kill").args([s, &pid]).status().unwrap().success());
    let mut noise = fastrand::Rng::with_seed(4);
    sensor.alert();
    sensor.flow(&mut noise); // so that both streams are open
    sensor.drained().await;
    signal("-STOP");
    for n in 0..10_000 {
        sensor.flow(&mut noise);
        if n % 10 == 0 {
            sensor.alert();
        }
    }
    sensor.pair.commit().unwrap();
    until("it stops for want of credit", async || {
        let s = sensor.uplink.status();
        s.waits_for_credit && s.in_flight_bytes > 0
    })
    .await;
    signal("-CONT");
    sensor.drained().await;
    assert_eq!(world.ask("SELECT count(), countDistinct(nonce, seq) FROM alert").await, "1001\t1001");
    assert_eq!(world.ask("SELECT count(), countDistinct(nonce, seq) FROM flow").await, "10001\t10001");
    assert_eq!(metric(&registry, "protocol_errors_total", ""), 0.0, "it never went beyond its credit");
    sensor.stop().await;
    ingest.stop(Duration::from_secs(10)).await;
}

/// tinyproxy in the foreground, with a user and a password, for CONNECT to one port.
struct Tinyproxy(std::process::Child, u16);

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.0.kill(); // already gone is fine
        let _ = self.0.wait();
    }
}

impl Tinyproxy {
    async fn start(dir: &Path, allowed: &[u16]) -> Self {
        let port = free_port();
        let mut text = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 20\nAllow 127.0.0.1\nBasicAuth hof geheim\nLogFile \"{}\"\n",
            dir.join("tinyproxy.log").display()
        );
        for port in allowed {
            text.push_str(&format!("ConnectPort {port}\n"));
        }
        let config = dir.join("tinyproxy.conf");
        std::fs::write(&config, text).unwrap();
        let child =
            Command::new("tinyproxy").arg("-d").arg("-c").arg(&config).stdout(std::process::Stdio::null()).spawn();
        let proxy = Self(child.expect("tinyproxy is missing: cargo xtask setup installs it"), port);
        until("the proxy listens", async || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        proxy
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_enrols_and_sends_through_a_real_proxy_that_wants_a_password() {
    let world = World::new().await;
    let (ingest, _) = world.ingest(world.options()).await;
    let token = world.token(&ingest, "gw-auenstadt", None).await;
    let allowed = [ingest.uplink_address().port(), ingest.enrolment_address().port()];
    let tinyproxy = Tinyproxy::start(world.dir.path(), &allowed).await;
    let address = format!("http://127.0.0.1:{}", tinyproxy.1);
    let dir = world.dir.path().join("through");
    for wrong in [None, Some("hof:falsch")] {
        let proxy = Proxy::new(&address, wrong).unwrap();
        let e = enrol_through(&token, &dir, Some(&proxy)).await.unwrap_err();
        assert!(
            matches!(&e, EnrolError::Connect(ConnectError::Proxy { reason, .. }) if reason.contains("password")),
            "{e}"
        );
    }
    let proxy = Proxy::new(&address, Some("hof:geheim\n")).unwrap();
    enrol_through(&token, &dir, Some(&proxy)).await.unwrap();
    let options = UplinkOptions { proxy: Some(proxy.clone()), ..UplinkOptions::default() };
    let sensor = Both::start(&dir, &world.dir.path().join("spool"), options);
    sensor.alert();
    sensor.drained().await;
    assert_eq!(world.ask("SELECT count() FROM alert").await, "1");
    sensor.stop().await;
    let log = std::fs::read_to_string(world.dir.path().join("tinyproxy.log")).unwrap_or_default();
    assert!(log.matches("CONNECT").count() >= 2, "it went that way: {log}");

    // A port that the proxy does not allow, and a proxy that is not there: said as such.
    let closed = Tinyproxy::start(world.dir.path(), &[1]).await;
    let away = |proxy: Proxy| UplinkOptions { proxy: Some(proxy), ..UplinkOptions::default() };
    for (address, wanted) in [
        (format!("http://127.0.0.1:{}", closed.1), "does not open a way"),
        ("http://127.0.0.1:1".to_owned(), "refused"),
    ] {
        let proxy = Proxy::new(&address, Some("hof:geheim")).unwrap();
        let sensor = Both::start(&dir, &world.dir.path().join("spool"), away(proxy));
        until(wanted, async || {
            sensor.uplink.status().last_error.is_some_and(|e| e.contains("proxy 127.0.0.1") && e.contains(wanted))
        })
        .await;
        sensor.stop().await;
    }
    ingest.stop(Duration::from_secs(10)).await;
}
