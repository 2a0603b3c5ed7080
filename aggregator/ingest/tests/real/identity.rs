// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Who gets in: enrolment, and foreign, expired, superseded, revoked and doubled identities, over real TLS.

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use lagewarte_base::{
    clock::{Clock as _, SystemClock},
    id::Uuid,
};
use lagewarte_ingest::{Ca, Ingest, StartError};
use lagewarte_spool::Spool;
use lagewarte_uplink::{ConnectError, EnrolError, Identity, IdentityError, enrol};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

use crate::world::{Sensor, World, metric, now, until};

/// Exchanges the certificate of an identity: same key file name, another certificate with its key.
fn replace_certificate(identity: &Path, ca: &Ca, sensor: Uuid, issued_at: i64, days: u32) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap();
    let at = lagewarte_base::time::Timestamp::from_micros(issued_at);
    let issued = ca.sensor(csr.der(), sensor, days, at).unwrap();
    std::fs::write(identity.join("key.pem"), key.serialize_pem()).unwrap();
    let pem = pem::encode(&pem::Pem::new("CERTIFICATE", issued.certificate.to_vec()));
    std::fs::write(identity.join("certificate.pem"), pem).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_right_certificate_gets_in() {
    let world = World::new().await;
    let mut options = world.options();
    options.doubled_wait = Duration::from_millis(200);
    let (ingest, registry) = world.ingest(options).await;
    let own = world.enrol(&ingest, "gw-auenstadt").await;
    let ca = Ca::load_or_create(&world.dir.path().join("data/ca"), SystemClock.now()).unwrap();
    let good = Sensor::start(&own, &world.dir.path().join("good"));
    let sent = good.alert("auenstadt");
    good.drained().await;
    assert_eq!(world.ids("alert").await, [sent]);

    // Refused again and again, with the reason. A reset can overtake the reason of one attempt, so all attempts' errors
    // are looked at until one says it.
    let refused = async |name: &str, identity: &Path, reason: &str| {
        let sensor = Sensor::start(identity, &world.dir.path().join(name));
        sensor.alert("auenstadt");
        sensor.spool.commit().unwrap();
        let said = || sensor.uplink.status().last_error.is_some_and(|e| e.to_lowercase().contains(reason));
        until(&format!("{name}: told {reason:?}"), async || said()).await;
        until(name, async || sensor.uplink.status().errors >= 2).await;
        let status = sensor.uplink.status();
        assert_eq!((status.connections, sensor.spool.status().records), (0, 1), "{name}: {status:?}");
        sensor.uplink.stop().await;
    };

    // The same identity a second time, while the first is connected.
    let doubled = world.dir.path().join("doubled-identity");
    copy(&own, &doubled);
    refused("doubled", &doubled, "already connected").await;
    assert!(metric(&registry, "doubled_identity_total", "") >= 1.0);
    let audit = world.control.audit(50).await.unwrap();
    assert!(audit.iter().any(|e| e.what.contains("second simultaneous connection")), "the register knows of it");

    // Signed by our CA, but expired.
    let expired = world.dir.path().join("expired-identity");
    copy(&own, &expired);
    replace_certificate(&expired, &ca, good.id, now() - 10 * 86_400_000_000, 5);
    refused("expired", &expired, "expired").await;

    // Signed by our CA for the right sensor, but not the one that the register knows.
    let superseded = world.dir.path().join("superseded-identity");
    copy(&own, &superseded);
    replace_certificate(&superseded, &ca, good.id, now(), 5);
    refused("superseded", &superseded, "newer certificate").await;

    // Signed by our CA for a sensor that is not in the register.
    let unknown = world.dir.path().join("unknown-identity");
    copy(&own, &unknown);
    replace_certificate(&unknown, &ca, Uuid::from_u128(5), now(), 5);
    refused("unknown", &unknown, "not in the register").await;

    // Signed by somebody else's CA.
    let foreign = world.dir.path().join("foreign-identity");
    copy(&own, &foreign);
    let other = Ca::load_or_create(&world.dir.path().join("other-ca"), SystemClock.now()).unwrap();
    replace_certificate(&foreign, &other, good.id, now(), 5);
    let before = metric(&registry, "handshakes_refused_total", "uplink");
    refused("foreign", &foreign, "certificate").await;
    assert!(metric(&registry, "handshakes_refused_total", "uplink") > before, "counted as a refused handshake");

    // Revoked while connected: the stream ends, and it does not come back.
    world.control.revoke_sensor(good.id, "test", now()).await.unwrap();
    until("the revoked sensor is cut off", async || !good.uplink.status().connected).await;
    until("it is told why", async || good.uplink.status().last_error.is_some_and(|e| e.contains("revoked"))).await;
    assert_eq!(world.ids("alert").await.len(), 1, "nothing of all these was stored");
    good.uplink.stop().await;
    ingest.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_certificate() {
    let world = World::new().await;
    let (ingest, _) = world.ingest(world.options()).await;
    let own = world.enrol(&ingest, "gw-auenstadt").await;
    // A certificate that ends in three seconds, and that the register knows.
    let ca = Ca::load_or_create(&world.dir.path().join("data/ca"), SystemClock.now()).unwrap();
    let sensor = Identity::load(&own).unwrap().enrolment().sensor;
    replace_certificate(&own, &ca, sensor, now() - 86_400_000_000 + 3_000_000, 1);
    let pem = std::fs::read(own.join("certificate.pem")).unwrap();
    let peer = lagewarte_ingest::Peer::of(pem::parse(pem).unwrap().contents()).unwrap();
    world.control.activate_sensor(sensor, &peer.serial, peer.not_after.micros(), now()).await.unwrap();
    let running = Sensor::start(&own, &world.dir.path().join("spool"));
    running.alert("auenstadt");
    running.drained().await;
    until("the stream is ended", async || {
        let status = running.uplink.status();
        !status.connected
            && status.last_error.is_some_and(|e| e.contains("ended") || e.to_lowercase().contains("expired"))
    })
    .await;
    assert!(SystemClock.now() >= peer.not_after, "not before its time");
    ingest.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_enrols_once_and_errors_say_what_to_do() {
    let world = World::new().await;
    let (ingest, _) = world.ingest(world.options()).await;
    let token = world.token(&ingest, "gw-auenstadt", None).await;
    let to = |name: &str| world.dir.path().join(name);

    // Ten take one token at once: one gets it.
    let tries = (0..10).map(|n| {
        let (token, dir) = (token.clone(), to(&format!("race{n}")));
        tokio::spawn(async move { enrol(&token, &dir).await.map(|_| dir) })
    });
    let mut won = Vec::new();
    for t in tries.collect::<Vec<_>>() {
        match t.await.unwrap() {
            Ok(dir) => won.push(dir),
            Err(EnrolError::TokenUsed) => {}
            Err(other) => panic!("{other}"),
        }
    }
    let [dir] = &won[..] else { panic!("{} enrolled with one token", won.len()) };
    use std::os::unix::fs::PermissionsExt as _;
    for file in ["key.pem", "certificate.pem", "chain.pem", "enrolment.json"] {
        let mode = std::fs::metadata(dir.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file} is for its owner only");
    }
    assert!(
        matches!(enrol(&token, dir).await, Err(EnrolError::AlreadyEnrolled(_))),
        "an identity is never overwritten"
    );

    let expired = world.token(&ingest, "gw-wehrmuende", Some(now() - 1)).await;
    assert!(matches!(enrol(&expired, &to("expired")).await, Err(EnrolError::TokenExpired)));
    let mut unknown = expired.clone();
    unknown.secret[0] ^= 1;
    assert!(matches!(enrol(&unknown, &to("unknown")).await, Err(EnrolError::TokenUnknown)));
    // A token that pins another CA: the server is not believed, and the secret not sent.
    let fresh = world.token(&ingest, "gw-wehrmuende", None).await;
    let mut pinned = fresh.clone();
    pinned.ca_sha256[0] ^= 1;
    let untrusted = enrol(&pinned, &to("pinned")).await;
    assert!(matches!(untrusted, Err(EnrolError::Connect(ConnectError::Untrusted(_)))), "{untrusted:?}");
    let mut elsewhere = fresh.clone();
    elsewhere.url = elsewhere.url.replace("localhost", "127.0.0.2");
    let wrong = enrol(&elsewhere, &to("elsewhere")).await;
    assert!(
        matches!(wrong, Err(EnrolError::Connect(ConnectError::WrongHost(_) | ConnectError::Unreachable { .. }))),
        "{wrong:?}"
    );
    let mut nobody = fresh.clone();
    nobody.url = "https://127.0.0.1:1".into();
    let nowhere = enrol(&nobody, &to("nobody")).await;
    assert!(matches!(nowhere, Err(EnrolError::Connect(ConnectError::Unreachable { .. }))), "{nowhere:?}");
    for name in ["expired", "unknown", "pinned", "elsewhere", "nobody"] {
        assert!(matches!(Identity::load(&to(name)), Err(IdentityError::Missing(_))), "{name}: nothing is written");
    }
    // None of these cost the token.
    enrol(&fresh, &to("fresh")).await.unwrap();
    ingest.stop(Duration::from_secs(10)).await;
}

/// What an independent client sees of both listeners.
#[tokio::test(flavor = "multi_thread")]
async fn openssl_sees_tls_1_3_only_and_a_demand_for_a_certificate() {
    let world = World::new().await;
    let (ingest, registry) = world.ingest(world.options()).await;
    let identity = world.enrol(&ingest, "gw-auenstadt").await;
    let root = world.dir.path().join("data/ca/root.pem");
    let client = async |port: u16, more: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-servername", "localhost", "-alpn", "h2"]);
        command.args(["-verify_return_error", "-verify_hostname", "localhost", "-CAfile"]).arg(&root).args(more);
        command.stdin(std::process::Stdio::null());
        let out = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    };
    for port in [ingest.uplink_address().port(), ingest.enrolment_address().port()] {
        let seen = client(port, &["-tls1_2"]).await;
        assert!(seen.contains("alert protocol version") && !seen.contains("New, TLSv1.2"), "{seen}");
    }
    let seen = client(ingest.enrolment_address().port(), &[]).await;
    for wanted in ["New, TLSv1.3", "Verification: OK", "ALPN protocol: h2", "No client certificate CA names sent"] {
        assert!(seen.contains(wanted), "{wanted}: {seen}");
    }
    let seen = client(ingest.uplink_address().port(), &[]).await;
    assert!(seen.contains("Acceptable client certificate CA names") && seen.contains("Lagewarte root CA"), "{seen}");
    until("without a certificate the handshake is refused", async || {
        metric(&registry, "handshakes_refused_total", "uplink") >= 2.0
    })
    .await;
    let before = metric(&registry, "handshakes_refused_total", "uplink");
    let files = ["certificate.pem", "key.pem", "chain.pem"].map(|f| identity.join(f).display().to_string());
    let seen =
        client(ingest.uplink_address().port(), &["-cert", &files[0], "-key", &files[1], "-cert_chain", &files[2]])
            .await;
    assert!(seen.contains("Verification: OK") && seen.contains("New, TLSv1.3"), "{seen}");
    assert!(metric(&registry, "handshakes_refused_total", "uplink") <= before, "with one it is not");
    ingest.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_port_and_a_second_aggregator_are_clear_errors() {
    let world = World::new().await;
    let (ingest, _) = world.ingest(world.options()).await;
    let start = async |options| {
        let registry = prometheus::Registry::new();
        let clock = Arc::new(SystemClock);
        Ingest::start(options, world.telemetry.clone(), world.control.clone(), &registry, clock).await.unwrap_err()
    };
    let mut busy = world.options();
    busy.uplink_listen = ingest.uplink_address();
    busy.data_dir = world.dir.path().join("other");
    let e = start(busy).await;
    assert!(matches!(e, StartError::Listen { what: "uplink", .. }) && e.to_string().contains("uplink.listen"), "{e}");
    let e = start(world.options()).await;
    assert!(matches!(e, StartError::Journal(_)) && e.to_string().contains("another aggregator"), "{e}");
    // And two sensors on one spool.
    let own = world.enrol(&ingest, "gw-auenstadt").await;
    let sensor = Sensor::start(&own, &world.dir.path().join("spool"));
    let second = Spool::open(
        &world.dir.path().join("spool"),
        lagewarte_spool::Options::default(),
        Arc::new(lagewarte_base::fs::RealFs),
        Arc::new(SystemClock),
    );
    assert!(second.is_err_and(|e| e.to_string().contains("in use by another process")));
    sensor.uplink.stop().await;
    ingest.stop(Duration::from_secs(10)).await;
}
