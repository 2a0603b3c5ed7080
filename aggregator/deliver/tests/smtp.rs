// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Mails over a real SMTP server: exact recipients and bodies, refusals, retries, a server that is away, STARTTLS.
#![expect(clippy::unwrap_used, reason = "helpers of tests: what fails here fails the test")]

mod common;

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use common::{contact, id, links, python, register, tool, warning};
use lagewarte_base::{clock::ManualClock, time::Timestamp, tlp::Tlp};
use lagewarte_deliver::{MailConfig, MailStep, Mailer, retry_after_us};
use lagewarte_store::{
    Scope,
    control::{
        Control,
        deliveries::{Channel, Delivery, DeliveryState},
        testing::{Db, each_db},
    },
    engine::testing::free_port,
};
use prometheus::Registry;
use serde_json::Value;

struct Smtpd {
    dir: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Smtpd {
    fn start(more: &[&Path]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut child = Command::new(python("aiosmtpd"))
            .arg(tool("smtpd.py"))
            .arg(dir.path())
            .args(more)
            .env("PORT", port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready");
        Self { dir, port, child }
    }
    /// Mails taken, by recipient.
    fn mails(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join("mails.ndjson")).unwrap_or_default();
        let mut all: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        all.sort_by_key(|m| m["rcpt"][0].as_str().unwrap().to_owned());
        all
    }
}

impl Drop for Smtpd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Room {
    control: Control,
    clock: Arc<ManualClock>,
    mailer: Mailer,
    registry: Registry,
}

async fn room(db: &Db, mails: &[(&str, &str)], yaml: &str) -> Room {
    let control = db.control().await;
    register(&control, mails).await;
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(100_000_000)));
    let registry = Registry::new();
    let config: MailConfig = serde_yaml_ng::from_str(yaml).unwrap();
    let mailer = Mailer::new(control.clone(), &config, links(), contact(), clock.clone(), "this", &registry).unwrap();
    Room { control, clock, mailer, registry }
}

fn plain(port: u16) -> String {
    format!("smtp: smtp://127.0.0.1:{port}\nfrom: CERT Auenmark <warnung@cert.example>\nattempts: 3")
}

async fn deliveries(c: &Control) -> Vec<Delivery> {
    let all = c.warnings(&Scope::System, 99).await.unwrap();
    let mut all: Vec<_> = all.into_iter().flat_map(|w| w.addressed).flat_map(|a| a.deliveries).collect();
    all.retain(|d| d.channel == Channel::Mail);
    all.sort_by(|a, b| a.recipient.cmp(&b.recipient));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn each_contact_of_the_addressed_gets_one_mail_of_its_own_and_nobody_else() {
    each_db(async |db: Db| {
        let smtpd = Smtpd::start(&[]);
        let contacts = [
            ("seestadt", "it@seestadt.example"),
            ("seestadt", "leitung@seestadt.example"),
            ("bergdorf", "it@bergdorf.example"),
            ("talheim", "it@talheim.example"),
        ];
        let r = room(&db, &contacts, &plain(smtpd.port)).await;
        let w = warning(&r.control, &["seestadt", "bergdorf"], "ET <b> & Regel", Tlp::Amber).await;
        assert_eq!(r.mailer.step().await.unwrap(), MailStep { sent: 3, ..MailStep::default() });
        assert_eq!(r.mailer.step().await.unwrap(), MailStep::default(), "nobody twice");
        let mails = smtpd.mails();
        let rcpt: Vec<_> = mails.iter().map(|m| m["rcpt"].clone()).collect();
        let wanted = ["it@bergdorf.example", "it@seestadt.example", "leitung@seestadt.example"];
        assert_eq!(rcpt, wanted.map(|r| serde_json::json!([r])));
        for (m, who) in mails.iter().zip(["bergdorf", "seestadt", "seestadt"]) {
            let h = &m["headers"];
            assert_eq!(h["to"], m["rcpt"][0], "one recipient, in the open");
            assert_eq!((h.get("cc"), h.get("bcc")), (None, None));
            assert_eq!(m["mail_from"], "warnung@cert.example");
            assert_eq!(h["from"], "CERT Auenmark <warnung@cert.example>");
            assert_eq!(h["reply-to"], "cert@land.example");
            assert_eq!(h["subject"], "[TLP:AMBER] Stufe 3 (orange): Auffälliger Datenverkehr");
            assert_eq!(h["x-tlp"], "TLP:AMBER");
            assert_eq!(h["list-id"], "<warnungen.cert.example>");
            assert_eq!(h["auto-submitted"], "auto-generated");
            assert_eq!(m["type"], "multipart/alternative");
            let link = links().acknowledge(w, &id(who));
            let stored = r.control.warning(&Scope::Constituent(id(who)), w).await.unwrap().unwrap();
            let text = m["text"].as_str().unwrap().replace("\r\n", "\n");
            assert!(text.contains(&stored.addressed[0].text), "the text as it is stored: {text}");
            assert!(text.contains(&link) && text.starts_with("TLP:AMBER, Stufe 3 (orange)\n"), "{text}");
            let html = m["html"].as_str().unwrap();
            assert!(html.contains(&format!("href=\"{link}\"")) && html.contains("ET &lt;b&gt; &amp; Regel"), "{html}");
            let other = if who == "seestadt" { "bergdorf" } else { "seestadt" };
            let foreign = links().acknowledge(w, &id(other));
            for part in [&text, html] {
                assert!(!part.contains(&foreign) && !part.to_lowercase().contains(other), "{part}");
            }
        }
        for d in deliveries(&r.control).await {
            assert_eq!((d.state, d.delivered_us, d.attempts), (DeliveryState::Delivered, Some(100_000_000), 1));
            let mail = mails.iter().find(|m| m["rcpt"][0] == d.recipient.as_str()).unwrap();
            assert_eq!(mail["headers"]["message-id"], format!("<{}@cert.example>", d.id));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_mail_may_not_carry_is_not_sent_and_the_reason_is_kept() {
    each_db(async |db: Db| {
        let smtpd = Smtpd::start(&[]);
        let r = room(&db, &[("seestadt", "it@seestadt.example")], &plain(smtpd.port)).await;
        for tlp in [Tlp::Red, Tlp::AmberStrict] {
            warning(&r.control, &["seestadt"], tlp.as_str(), tlp).await;
        }
        assert_eq!(r.mailer.step().await.unwrap(), MailStep::default());
        assert!(smtpd.mails().is_empty());
        let kept = deliveries(&r.control).await;
        assert_eq!(kept.len(), 2);
        for d in kept {
            assert_eq!((d.state, d.delivered_us), (DeliveryState::Refused, None));
            assert!(d.error.starts_with("TLP:") && d.error.ends_with("may not go by this channel"), "{}", d.error);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_final_for_a_mailbox_and_passing_for_everything_else() {
    each_db(async |db: Db| {
        let smtpd = Smtpd::start(&[]);
        let contacts = [
            ("seestadt", "later@seestadt.example"),
            ("seestadt", "login@seestadt.example"),
            ("seestadt", "never@seestadt.example"),
            ("seestadt", "ok@seestadt.example"),
        ];
        let r = room(&db, &contacts, &plain(smtpd.port)).await;
        warning(&r.control, &["seestadt"], "x", Tlp::Green).await;
        assert_eq!(r.mailer.step().await.unwrap(), MailStep { sent: 1, retried: 2, failed: 1 });
        let states = async || deliveries(&r.control).await.iter().map(|d| d.state).collect::<Vec<_>>();
        use DeliveryState::{Delivered, Failed, Queued};
        assert_eq!(states().await, [Queued, Queued, Failed, Delivered]);
        assert_eq!(r.mailer.step().await.unwrap(), MailStep::default(), "not before the pause");
        r.clock.advance(retry_after_us(1));
        assert_eq!(r.mailer.step().await.unwrap(), MailStep { sent: 1, retried: 1, failed: 0 });
        r.clock.advance(retry_after_us(2));
        // Third and last attempt of the configured three.
        assert_eq!(r.mailer.step().await.unwrap(), MailStep { failed: 1, ..MailStep::default() });
        assert_eq!(states().await, [Delivered, Failed, Failed, Delivered]);
        let all = deliveries(&r.control).await;
        assert!(all[1].error.contains("530") && all[2].error.contains("550"), "{all:?}");
        assert_eq!(all.iter().map(|d| d.attempts).collect::<Vec<_>>(), [2, 3, 1, 1]);
        let counted = r.registry.gather();
        let of = |result: &str| {
            let m = counted[0].get_metric().iter().find(|m| m.get_label()[0].value() == result).unwrap();
            m.get_counter().get_value()
        };
        assert_eq!((of("sent"), of("retried"), of("failed")), (2.0, 3.0, 2.0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_costs_time_and_no_mail() {
    each_db(async |db: Db| {
        let port = free_port();
        let r = room(&db, &[("seestadt", "it@seestadt.example")], &plain(port)).await;
        warning(&r.control, &["seestadt"], "x", Tlp::Green).await;
        assert_eq!(r.mailer.step().await.unwrap(), MailStep { retried: 1, ..MailStep::default() });
        let queued = deliveries(&r.control).await;
        assert_eq!((queued[0].state, queued[0].attempts), (DeliveryState::Queued, 1));
        assert!(!queued[0].error.is_empty());
        // The aggregator dies with a claim; the next one takes it up at once, under the same Message-ID.
        r.clock.advance(retry_after_us(1));
        let now = 200_000_000;
        assert_eq!(r.control.claim_mails("this", now, now + 1_000_000, 9).await.unwrap().len(), 1);
        assert_eq!(r.mailer.step().await.unwrap(), MailStep::default());
        let smtpd = Smtpd::start(&[]);
        let config: MailConfig = serde_yaml_ng::from_str(&plain(smtpd.port)).unwrap();
        let registry = Registry::new();
        let next =
            Mailer::new(r.control.clone(), &config, links(), contact(), r.clock.clone(), "this", &registry).unwrap();
        assert_eq!(next.recover().await.unwrap(), 1);
        assert_eq!(next.step().await.unwrap(), MailStep { sent: 1, ..MailStep::default() });
        assert_eq!(smtpd.mails()[0]["headers"]["message-id"], format!("<{}@cert.example>", queued[0].id));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starttls_is_required_and_the_servers_certificate_checked() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out"])
        .arg(&cert)
        .arg("-keyout")
        .arg(&key)
        .output()
        .unwrap();
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    let tls = Smtpd::start(&[&cert, &key]);
    let bare = Smtpd::start(&[]);
    let cases = [
        (tls.port, format!("ca-file: {}", cert.display()), 1, "its certificate is trusted"),
        (tls.port, String::new(), 0, "its certificate is nobody's"),
        (bare.port, format!("ca-file: {}", cert.display()), 0, "it offers no STARTTLS"),
    ];
    for (port, more, sent, why) in cases {
        let db = Db::Sqlite(tempfile::tempdir().unwrap());
        let yaml = format!("smtp: smtp+starttls://localhost:{port}\nfrom: a@cert.example\n{more}");
        let r = room(&db, &[("seestadt", "it@seestadt.example")], &yaml).await;
        warning(&r.control, &["seestadt"], "x", Tlp::Green).await;
        assert_eq!(r.mailer.step().await.unwrap(), MailStep { sent, retried: 1 - sent, failed: 0 }, "{why}");
    }
    assert_eq!(tls.mails().len(), 1);
    assert_eq!(tls.mails()[0]["tls"], true);
    assert!(bare.mails().is_empty());
}

#[test]
fn faults_of_the_section_name_their_key() {
    for (yaml, want) in [
        ("smtp: smtps://h\nfrom: a@b.example\nuser: u", "mail.password-file: is missing beside mail.user"),
        ("smtp: smtps://h\nfrom: a@b.example\npassword-file: /p", "mail.user: is missing beside"),
        (
            "smtp: smtps://h\nfrom: a@b.example\nuser: u\npassword-file: /does/not/exist",
            "mail.password-file: /does/not/exist: ",
        ),
        ("smtp: smtps://h\nfrom: a@b.example\nca-file: /does/not/exist", "mail.ca-file: /does/not/exist: "),
    ] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let c = Db::Sqlite(tempfile::tempdir().unwrap()).control().await;
            let config: MailConfig = serde_yaml_ng::from_str(yaml).unwrap();
            let clock = Arc::new(ManualClock::default());
            let e = Mailer::new(c, &config, links(), contact(), clock, "this", &Registry::new()).err().unwrap();
            assert!(e.to_string().starts_with(want), "{yaml}: {e}");
        });
    }
}
