// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Who is not who they say does not get in: foreign, expired and doubled certificates, a token used twice, a sensor that
//! claims another's constituent. Through the real processes and real mutual TLS.
#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::{fs, path::Path, process::Command, time::Duration};

use lagewarte_base::time::Timestamp;
use lagewarte_e2e::{Constituent, Options, Process, Sensor, SensorRow, World, get, output, sensor, wait_for};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType, SerialNumber,
};

const ALT: &str = "0d0b9f3a-5f0a-4c1e-9a53-6a2f7f4f1a01";
const BACH: &str = "0d0b9f3a-5f0a-4c1e-9a53-6a2f7f4f1a02";
const PATIENCE: Duration = Duration::from_secs(40);

fn world(name: &'static str) -> World {
    let mut w = World::new(Options {
        name,
        constituents: vec![
            Constituent { id: "alt", ags: "97151001", networks: &["10.77.0.0/16"] },
            Constituent { id: "bach", ags: "97151002", networks: &["10.79.0.0/16"] },
            Constituent { id: "clus", ags: "97151003", networks: &["10.78.0.0/16"] },
        ],
        sensors: vec![
            SensorRow { name: "gw-alt", id: ALT, serves: &["alt"] },
            SensorRow { name: "gw-bach", id: BACH, serves: &["bach"] },
        ],
        campaign_k: 2,
        more: String::new(),
    })
    .unwrap();
    w.start().unwrap();
    w
}

fn enrolled(w: &World, name: &'static str, octet: u8) -> Sensor {
    let s = w.prepare(name, &format!("[10.{octet}.0.0/16]"), "").unwrap();
    w.enrol(&s).unwrap();
    s
}

/// A sensor that ships one alert of its own and then stays connected.
fn ships(w: &World, s: &Sensor, octet: u8, sid: u32) -> Process {
    let file = s.dir.join("eve.json");
    let now =
        Timestamp::from_micros(i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap()).eve();
    let line = format!(
        "{{\"timestamp\":\"{now}\",\"flow_id\":{sid},\"event_type\":\"alert\",\"src_ip\":\"203.0.113.66\",\"src_port\":4711,\
         \"dest_ip\":\"10.{octet}.1.10\",\"dest_port\":80,\"proto\":\"TCP\",\"alert\":{{\"action\":\"allowed\",\"gid\":1,\
         \"signature_id\":{sid},\"rev\":1,\"signature\":\"isolation {sid}\",\"category\":\"\",\"severity\":1}}}}\n"
    );
    fs::write(&file, line).unwrap();
    w.start_sensor(s, &["tail", &file.to_string_lossy()]).unwrap()
}

fn stored(w: &World, sid: u32) -> anyhow::Result<bool> {
    Ok(w.sql(&format!("SELECT count() FROM alert WHERE signature_id = {sid}"))?[0][0] != "0")
}

fn arrives(w: &World, sid: u32) {
    wait_for(&format!("alert {sid} in the store"), PATIENCE, || stored(w, sid)).unwrap();
}

/// Sum of a metric's samples whose labels contain `label`.
fn metric(w: &World, name: &str, label: &str) -> f64 {
    let text = w.metrics().unwrap();
    let of = |l: &str| l.starts_with(name) && l[name.len()..].starts_with(['{', ' ']) && l.contains(label);
    text.lines().filter(|l| of(l)).filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn refused(w: &World, name: &str, label: &str) {
    wait_for(&format!("{name}{{{label}}}"), PATIENCE, || Ok(metric(w, name, label) >= 2.0)).unwrap();
}

/// Replaces the sensor's key and certificate by one that this issuer signs; the serial stays the register's.
fn forge(s: &Sensor, issuer: &Issuer<'_, KeyPair>, days: std::ops::Range<i64>) {
    let dir = s.state().join("identity");
    let serial =
        output(Command::new("openssl").args(["x509", "-noout", "-serial", "-in"]).arg(dir.join("certificate.pem")))
            .unwrap();
    let hex = serial.trim().strip_prefix("serial=").unwrap();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
    let mut p = CertificateParams::default();
    p.distinguished_name = DistinguishedName::new();
    p.distinguished_name.push(DnType::CommonName, "Lagewarte sensor");
    p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    p.subject_alt_names = vec![SanType::URI(format!("urn:uuid:{ALT}").try_into().unwrap())];
    p.serial_number = Some(SerialNumber::from_slice(&bytes));
    let now: time::OffsetDateTime = std::time::SystemTime::now().into();
    (p.not_before, p.not_after) = (now + time::Duration::days(days.start), now + time::Duration::days(days.end));
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    fs::write(dir.join("certificate.pem"), p.signed_by(&key, issuer).unwrap().pem()).unwrap();
    fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
}

/// The aggregator's own issuing CA: what only somebody who broke into it could use.
fn real_ca(w: &World) -> Issuer<'static, KeyPair> {
    let read = |f: &str| fs::read_to_string(w.data_dir().join("ca").join(f)).unwrap();
    Issuer::from_ca_cert_pem(&read("issuing.pem"), KeyPair::from_pem(&read("issuing.key")).unwrap()).unwrap()
}

#[test]
fn a_certificate_of_a_foreign_ca_is_refused() {
    let w = world("isolation-foreign");
    let s = enrolled(&w, "gw-alt", 77);
    let mut p = CertificateParams::default();
    p.distinguished_name.push(DnType::CommonName, "Lagewarte issuing CA");
    p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = Issuer::new(p, KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap());
    forge(&s, &issuer, -1..30);
    let process = ships(&w, &s, 77, 9_900_001);
    refused(&w, "lagewarte_ingest_handshakes_refused_total", "uplink");
    assert!(!stored(&w, 9_900_001).unwrap(), "its event must not be stored");
    drop(process);

    // The control: the same forgery by the real CA is taken, and what waited in the spool arrives.
    forge(&s, &real_ca(&w), -1..30);
    let _process = w.start_sensor(&s, &["tail", &s.dir.join("eve.json").to_string_lossy()]).unwrap();
    arrives(&w, 9_900_001);
}

#[test]
fn an_expired_certificate_is_refused() {
    let w = world("isolation-expired");
    let s = enrolled(&w, "gw-alt", 77);
    forge(&s, &real_ca(&w), -30..-1);
    // The sensor does not even try, and says what to do.
    let mut process = ships(&w, &s, 77, 9_900_002);
    assert!(!process.finished(PATIENCE).unwrap(), "{}", process.log());
    assert!(process.log().contains("certificate ended on") && process.log().contains("enrol"), "{}", process.log());
    // One that tries all the same is turned away by the aggregator, for this reason.
    let identity = s.state().join("identity");
    let address = w.uplink().replace("https://", "");
    let tried = Command::new("openssl")
        .args(["s_client", "-connect", &address, "-alpn", "h2", "-cert"])
        .arg(identity.join("certificate.pem"))
        .arg("-key")
        .arg(identity.join("key.pem"))
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&tried.stdout), String::from_utf8_lossy(&tried.stderr));
    assert!(told.contains("CONNECTED"), "{told}");
    wait_for("the refusal of an expired certificate", PATIENCE, || {
        Ok(metric(&w, "lagewarte_ingest_handshakes_refused_total", "uplink") >= 1.0
            && w.aggregator.as_ref().is_some_and(|a| a.log().to_lowercase().contains("expired")))
    })
    .unwrap();
    assert!(!stored(&w, 9_900_002).unwrap(), "its event must not be stored");
    drop(process);

    forge(&s, &real_ca(&w), -1..30);
    let _process = w.start_sensor(&s, &["tail", &s.dir.join("eve.json").to_string_lossy()]).unwrap();
    arrives(&w, 9_900_002);
}

#[test]
fn an_identity_in_a_second_process_is_refused_and_an_alarm() {
    let w = world("isolation-doubled");
    let first = enrolled(&w, "gw-alt", 77);
    let _first = ships(&w, &first, 77, 9_900_003);
    arrives(&w, 9_900_003);
    // A copy of the host: its identity and its orders, not what waits in its spool.
    let second = w.prepare("gw-alt-kopie", "[10.77.0.0/16]", "").unwrap();
    copy(&first.state().join("identity"), &second.state().join("identity"));
    for f in ["assignment.yaml", "assignment.yaml.sig"] {
        fs::copy(first.state().join(f), second.state().join(f)).unwrap();
    }
    let process = ships(&w, &second, 77, 9_900_004);
    refused(&w, "lagewarte_ingest_doubled_identity_total", "");
    wait_for("the second process saying why", PATIENCE, || Ok(process.log().contains("already connected"))).unwrap();
    assert!(!stored(&w, 9_900_004).unwrap(), "the second process must not get an event in");
    // The first is not disturbed.
    let mut eve = fs::File::options().append(true).open(first.dir.join("eve.json")).unwrap();
    let line = fs::read_to_string(second.dir.join("eve.json")).unwrap().replace("9900004", "9900005");
    std::io::Write::write_all(&mut eve, line.as_bytes()).unwrap();
    arrives(&w, 9_900_005);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn an_enrolment_token_is_good_once() {
    let w = world("isolation-token");
    let token = w.enrolment_token("gw-alt").unwrap();
    let first = w.prepare("gw-alt", "[10.77.0.0/16]", "").unwrap();
    let second = w.prepare("gw-dieb", "[10.77.0.0/16]", "").unwrap();
    let enrol = |s: &Sensor| {
        Command::new(sensor().unwrap()).args(["enrol", &token]).arg("-c").arg(s.config()).output().unwrap()
    };
    let done = enrol(&first);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let again = enrol(&second);
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(1), "{told}");
    assert!(told.contains("token") && told.contains("new"), "it must say what to do: {told}");
    assert!(!second.state().join("identity/certificate.pem").exists(), "no identity may be left behind");
}

#[test]
fn a_sensor_that_claims_anothers_constituent_is_quarantined() {
    let w = world("isolation-claim");
    let s = enrolled(&w, "gw-alt", 77);
    // Signed by the right key, but not what the register says: the sensor obeys, the aggregator does not believe.
    let claim = format!(
        "name: anspruch\nversion: 99000000000\nsensor: {ALT}\ndefault: bach\nowners:\n  - constituent: bach\n    networks: [10.77.0.0/16]\n"
    );
    w.sign(&s.state().join("assignment.yaml"), "assignment", &claim).unwrap();
    let _process = ships(&w, &s, 77, 9_900_006);
    let quarantined = || w.sql("SELECT constituent, toString(reason) FROM quarantine WHERE event_type = 'alert'");
    wait_for("the quarantine", PATIENCE, || Ok(!quarantined()?.is_empty())).unwrap();
    let rows = quarantined().unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0][0], "bach");
    assert!(
        rows[0][1].contains("constituent") || rows[0][1].contains("owner"),
        "the reason names what is wrong: {rows:?}"
    );
    assert!(!stored(&w, 9_900_006).unwrap(), "it must not be counted for anybody");
}

#[test]
fn a_token_opens_its_own_and_no_token_opens_nothing() {
    let w = world("isolation-tokens");
    let (a, b) = (enrolled(&w, "gw-alt", 77), enrolled(&w, "gw-bach", 79));
    let _running = [ships(&w, &a, 77, 9_900_007), ships(&w, &b, 79, 9_900_007)];
    let token = |kind: &str, c: &str| w.token(&[kind, "--constituent", c]).unwrap();
    let feed = |t: &str| get(&format!("{}/feed/{t}/atom.xml", w.http), None);
    let (alt, clus) = (token("feed", "alt"), token("feed", "clus"));
    wait_for("the warning in the feed of one who was hit", PATIENCE, || Ok(feed(&alt)?.contains("<entry>"))).unwrap();
    let document = feed(&alt).unwrap();
    let entry = document.split("<entry>").nth(1).unwrap();
    let id = entry.split("<id>").nth(1).unwrap().split("</id>").next().unwrap().rsplit(':').next().unwrap();
    assert_eq!(id.len(), 36, "a warning's id: {id}");
    // The one who was not hit has a feed, and nothing in it.
    let other = feed(&clus).unwrap();
    assert!(other.contains("<feed") && !other.contains("<entry>") && !other.contains(id), "{other}");
    for wrong in ["", "x", &alt[1..], &"A".repeat(43)] {
        assert!(feed(wrong).is_err(), "a feed for the token {wrong:?}");
    }
    // The API: one's own only, each kind of token for its own purpose.
    let api = |path: &str, t: Option<&str>| get(&format!("{}{path}", w.http), t);
    let (alt_api, clus_api) = (token("api", "alt"), token("api", "clus"));
    assert!(api("/api/v1/warnings", Some(&alt_api)).unwrap().contains(id), "the control");
    assert!(!api("/api/v1/warnings", Some(&clus_api)).unwrap().contains(id));
    for t in [None, Some("x")] {
        assert!(api("/api/v1/warnings", t).is_err(), "{t:?} on the API");
        assert!(api("/api/v1/lage", t).is_err(), "{t:?} on the Lagebild's API");
    }
    for t in [alt.as_str(), alt_api.as_str(), clus_api.as_str()].map(Some) {
        assert!(api("/api/v1/lage", t).is_err(), "a municipality's token on the Lagebild's API");
    }
    let acknowledge = |t: &str| {
        ureq::post(format!("{}/api/v1/warnings/{id}/acknowledge", w.http))
            .header("Authorization", format!("Bearer {t}"))
            .send_empty()
            .is_ok()
    };
    assert!(!acknowledge(&clus_api), "another's warning was acknowledged");
    assert!(acknowledge(&alt_api), "the control: one's own can be");
    // Pages without a login lead to it, and show nothing.
    for path in
        ["/lage", "/ich", &format!("/lage/warnung/{id}"), "/lage/kampagne/1", &format!("/w/{id}/{}", "A".repeat(43))]
    {
        let body = api(path, None).unwrap_or_default();
        assert!(!body.contains("isolation") && !body.contains("203.0.113.66"), "{path} without a token: {body}");
    }
}
