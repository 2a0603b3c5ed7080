// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A sensor with a valid certificate that does not keep to the protocol: refused, bounded, and no harm to others.

use std::{path::Path, sync::Arc, time::Duration};

use lagewarte_event::{
    Batch, ClientFrame, Envelope, Gap, Hello, MAX_BATCH_BYTES, MAX_BATCH_EVENTS, ServerFrame, Welcome, client_frame,
    server_frame, uplink_client::UplinkClient,
};
use lagewarte_ingest::{MAX_GAPS, SENSOR_BYTES};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tokio::{io::AsyncReadExt as _, net::TcpStream, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Endpoint};

use crate::world::{Sensor, World, alert, metric, now, until};

/// The gRPC client without the uplink's manners.
pub(crate) struct Raw {
    pub(crate) frames: mpsc::Sender<ClientFrame>,
    pub(crate) line: Streaming<ServerFrame>,
}

impl Raw {
    pub(crate) async fn connect(identity: &Path, to: std::net::SocketAddr) -> Self {
        let read = |n: &str| std::fs::read(identity.join(n)).unwrap();
        let mut chain: Vec<_> = CertificateDer::pem_slice_iter(&read("chain.pem")).map(Result::unwrap).collect();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(chain.pop().unwrap()).unwrap();
        chain.insert(0, CertificateDer::from_pem_slice(&read("certificate.pem")).unwrap());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&read("key.pem")).unwrap())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let dial = tower::service_fn(move |_| {
            let connector = connector.clone();
            async move {
                let tcp = TcpStream::connect(to).await?;
                let name = ServerName::try_from("localhost").unwrap();
                connector.connect(name, tcp).await.map(hyper_util::rt::TokioIo::new)
            }
        });
        let channel = Endpoint::from_static("http://localhost").connect_with_connector(dial).await.unwrap();
        let (frames, outgoing) = mpsc::channel(1000);
        let line = UplinkClient::new(channel).stream(ReceiverStream::new(outgoing)).await.unwrap().into_inner();
        Self { frames, line }
    }

    pub(crate) async fn send(&self, frame: client_frame::Frame) {
        let _ = self.frames.send(ClientFrame { frame: Some(frame) }).await; // the server may have hung up already
    }

    async fn hello(&mut self) -> u64 {
        self.welcome(Hello::default()).await.up_to_seq
    }

    /// Opens epoch 1 with the rest of this Hello.
    pub(crate) async fn welcome(&mut self, rest: Hello) -> Welcome {
        self.send(client_frame::Frame::Hello(Hello { epoch: 1, nonce: 7, ..rest })).await;
        match self.line.message().await.unwrap().unwrap().frame {
            Some(server_frame::Frame::Welcome(w)) => w,
            other => panic!("{other:?}"),
        }
    }

    /// The status that the server ends with.
    pub(crate) async fn ended(&mut self) -> Status {
        loop {
            match self.line.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("ended without a word"),
                Err(status) => return status,
            }
        }
    }
}

pub(crate) fn batch(events: Vec<Envelope>, gaps: Vec<(u64, u64)>) -> client_frame::Frame {
    let gaps = gaps.into_iter().map(|(from_seq, to_seq)| Gap { from_seq, to_seq, reason: "crash".into() }).collect();
    client_frame::Frame::Batch(Batch { epoch: 1, nonce: 7, sent_us: now(), events, gaps })
}

fn event(seq: u64) -> Envelope {
    alert(seq, "auenstadt", now())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_protocol_ends_the_stream_and_stores_nothing() {
    let world = World::new().await;
    let (ingest, registry) = world.ingest(world.options()).await;
    let identity = world.enrol(&ingest, "gw-auenstadt").await;
    let empty = |n: usize| (1..=n as u64).map(|seq| Envelope { seq, ..Envelope::default() }).collect::<Vec<_>>();
    let mut other_epoch = batch(vec![event(1)], vec![]);
    if let client_frame::Frame::Batch(b) = &mut other_epoch {
        b.nonce = 8;
    }
    let cases = [
        ("numbers-missing", batch(vec![event(2)], vec![])),
        ("numbers-missing", batch(vec![event(0)], vec![])),
        ("numbers-out-of-order", batch(vec![event(1), event(3)], vec![])),
        ("numbers-out-of-order", batch(vec![event(1), event(1)], vec![])),
        ("numbers-out-of-order", batch(vec![event(1)], vec![(2, 1)])),
        ("numbers-out-of-order", batch(vec![event(3)], vec![(1, 3)])),
        ("numbers-out-of-order", batch(vec![], vec![(1, u64::MAX)])),
        ("too-many-events", batch(empty(MAX_BATCH_EVENTS + 1), vec![])),
        ("too-many-gaps", batch(vec![], (1..=MAX_GAPS as u64 + 1).map(|n| (n, n)).collect())),
        ("batch-of-another-epoch", other_epoch),
    ];
    for (what, frame) in cases {
        let mut raw = Raw::connect(&identity, ingest.uplink_address()).await;
        assert_eq!(raw.hello().await, 0);
        raw.send(frame).await;
        let status = raw.ended().await;
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, what));
        assert!(metric(&registry, "protocol_errors_total", what) >= 1.0);
    }
    let mut raw = Raw::connect(&identity, ingest.uplink_address()).await;
    raw.send(batch(vec![event(1)], vec![])).await;
    assert_eq!(raw.ended().await.message(), "batch-before-hello");
    // Over the size of a frame: refused by the decoder before it is held.
    let mut raw = Raw::connect(&identity, ingest.uplink_address()).await;
    raw.hello().await;
    raw.send(batch(vec![Envelope { eve: vec![b' '; MAX_BATCH_BYTES], ..event(1) }], vec![])).await;
    assert_eq!(raw.ended().await.code(), Code::OutOfRange);
    assert_eq!(world.ask("SELECT count() FROM alert").await, "0");
    assert_eq!(world.ask("SELECT count() FROM quarantine").await, "0");
    assert_eq!(world.ask("SELECT count() FROM gap").await, "0");

    // And the same sensor, well-behaved again, is served; an invented reason makes no label.
    let mut raw = Raw::connect(&identity, ingest.uplink_address()).await;
    assert_eq!(raw.hello().await, 0);
    let mut good = batch(vec![event(1), event(4)], vec![(2, 3), (5, 9)]);
    if let client_frame::Frame::Batch(b) = &mut good {
        b.gaps[1].reason = "x".repeat(1000);
    }
    raw.send(good).await;
    match raw.line.message().await.unwrap().unwrap().frame {
        Some(server_frame::Frame::Ack(a)) => assert_eq!(a.up_to_seq, 9),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        world.ask("SELECT from_seq, to_seq, reason FROM gap ORDER BY from_seq").await,
        "2\t3\tcrash\n5\t9\tother"
    );
    assert_eq!(metric(&registry, "gap_numbers_total", "crash"), 2.0);
    // Sent again on the same line: answered, not stored.
    raw.send(batch(vec![event(1)], vec![(2, 3)])).await;
    assert!(
        matches!(raw.line.message().await.unwrap().unwrap().frame, Some(server_frame::Frame::Ack(a)) if a.up_to_seq == 9)
    );
    assert_eq!(world.ask("SELECT count() FROM alert").await, "2");
    ingest.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_store_bounds_what_a_sensor_holds_and_loses_nothing() {
    hanging(lagewarte_ingest::TOTAL_BYTES, SENSOR_BYTES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_store_bounds_what_all_hold_and_loses_nothing() {
    hanging(5 << 20, 5 << 20).await;
}

/// The store hangs; what is held grows to `bound` and no further; afterwards all is stored once.
async fn hanging(total_bytes: usize, bound: usize) {
    let world = World::new().await;
    let (ingest, registry) = world.ingest(lagewarte_ingest::Options { total_bytes, ..world.options() }).await;
    let identity = world.enrol(&ingest, "gw-auenstadt").await;
    let mut raw = Raw::connect(&identity, ingest.uplink_address()).await;
    raw.hello().await;
    // The engine hangs (stopped, not dead), and the sensor ignores its window.
    let pid = world.engine.pid().unwrap().to_string();
    let signal = |s: &str| assert!(std::process::Command::new("kill").args([s, &pid]).status().unwrap().success());
    signal("-STOP");
    let frames = raw.frames.clone();
    let flood = tokio::spawn(async move {
        for n in 0..40u64 {
            let events = (n * 1000 + 1..=n * 1000 + 1000).map(event).collect();
            let _ = frames.send(ClientFrame { frame: Some(batch(events, vec![])) }).await;
        }
    });
    let mut before = -1.0;
    let mut calm = 0;
    until("what is held grows no more", async || {
        let held = metric(&registry, "in_flight_bytes", "");
        assert!(held <= bound as f64, "{held} bytes are held");
        calm = if held > 0.0 && held == before { calm + 1 } else { 0 };
        before = held;
        calm > 40
    })
    .await;
    assert!(before > (bound / 2) as f64, "the bound was reached: {before}");
    signal("-CONT");
    flood.await.unwrap();
    let mut acked = 0;
    while acked < 40_000 {
        match raw.line.message().await.unwrap().unwrap().frame {
            Some(server_frame::Frame::Ack(a)) => acked = a.up_to_seq,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.ask("SELECT count(), countDistinct(seq) FROM alert").await, "40000\t40000");
    assert_eq!(metric(&registry, "in_flight_bytes", ""), 0.0);
    ingest.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_is_closed_and_others_are_served() {
    let world = World::new().await;
    let (ingest, registry) = world.ingest(world.options()).await;
    let mut silent = TcpStream::connect(ingest.uplink_address()).await.unwrap();
    let identity = world.enrol(&ingest, "gw-auenstadt").await;
    let sensor = Sensor::start(&identity, &world.dir.path().join("spool"));
    sensor.alert("auenstadt");
    sensor.drained().await;
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0, "closed by the server");
    assert_eq!(metric(&registry, "handshakes_refused_total", "uplink"), 1.0);
    sensor.uplink.stop().await;
    ingest.stop(Duration::from_secs(10)).await;
}
