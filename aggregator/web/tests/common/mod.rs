// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The fictional Land behind a real listener: register from the CSV files, a real control database, real warnings made
//! by the warning room, one token of every kind. What the picture would find is put in by hand, so that a test knows it.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod browser;

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
};

use lagewarte_base::{
    clock::ManualClock,
    id::{ConstituentId, Epoch, EventId},
    time::Timestamp,
    tlp::Tlp,
};
use lagewarte_event::{Class, Envelope};
use lagewarte_store::{
    Scope,
    control::{
        Control,
        campaigns::{CampaignKind, Evidence, Found, Member, MemberEvidence, Signature},
        coverage::{Coverage, Sight},
        levels::{Area, AreaLevel, Level, Reason},
        load,
        register::SensorState,
        tokens::{LinkKey, NewToken, TokenKind},
    },
    engine::{Engine, testing},
    telemetry::{Connection, Place, Rows, Telemetry, extract},
};
use lagewarte_warn::{CertContact, Links, WarnConfig, Warner};
use lagewarte_web::{Limits, Site, SiteConfig, map::LandMap, router, serve};
use tokio::net::TcpListener;
use uuid::Uuid;

/// A signature's text as a hostile rule file could bring it.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script>\"'&<img src=x>";
pub(crate) const MINUTE: i64 = 60_000_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;

/// Everything a test needs to know.
pub(crate) struct Land {
    pub(crate) address: SocketAddr,
    pub(crate) control: Control,
    pub(crate) links: Links,
    pub(crate) clock: Arc<ManualClock>,
    /// Warning of the SSH campaign: released, one of four has answered.
    pub(crate) ssh: Uuid,
    /// Warning of the Log4Shell campaign: a draft.
    pub(crate) draft: Uuid,
    /// The campaign of `ssh`.
    pub(crate) campaign: Uuid,
    pub(crate) cert: String,
    feeds: BTreeMap<String, String>,
    apis: BTreeMap<String, String>,
    _dir: tempfile::TempDir,
    end: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Drop for Land {
    fn drop(&mut self) {
        self.end.take().map(|e| e.send(()));
    }
}

/// The present, as far as rows are not yet expired, at twenty to the hour: so that a test knows the hours around it.
pub(crate) fn now() -> i64 {
    let real = Timestamp::from(std::time::SystemTime::now()).micros();
    real.div_euclid(HOUR) * HOUR - 20 * MINUTE
}

pub(crate) fn id(text: &str) -> ConstituentId {
    text.parse().expect("a test's own id")
}

/// The folder of the fictional Land.
pub(crate) fn land_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dashboards/land")
}

pub(crate) fn map() -> LandMap {
    let bytes = std::fs::read(land_dir().join("map.geojson")).expect("the Land's map is committed");
    LandMap::from_geojson(&bytes).expect("the Land's map can be drawn")
}

/// A telemetry store that does not answer.
pub(crate) fn nowhere() -> Telemetry {
    // Port 9 (discard): nothing listens there on a test machine.
    Telemetry::new(&Connection::parse("http://127.0.0.1:9").expect("an address"))
}

/// The engine with a day of the Land in it: see [`fill`].
pub(crate) struct Store {
    pub(crate) telemetry: Telemetry,
    engine: Engine,
    dir: tempfile::TempDir,
}

/// Starts the engine; `module` is the test's `module_path!()`.
pub(crate) async fn store(module: &str) -> Store {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = testing::options(&dir.path().join("engine"), module).expect("the engine's library is there");
    let engine = Engine::start(&options).expect("the engine starts");
    let telemetry = Telemetry::new(&engine.connection());
    telemetry.migrate().await.expect("a fresh store");
    fill(&telemetry).await;
    Store { telemetry, engine, dir }
}

/// Five alerts an hour ago, three in this hour; reports of one sensor of ten (gw-rabenfurt, every 10 s): the whole last
/// hour, and the first half of the hour before.
async fn fill(telemetry: &Telemetry) {
    let now = now();
    let this = now.div_euclid(HOUR) * HOUR;
    let sensor: Uuid = RABENFURT.parse().expect("a UUID");
    let mut rows = Rows::new("test/1", 0);
    let mut seq = 0;
    let mut push = |env: Envelope| {
        seq += 1;
        let id = EventId { sensor, epoch: Epoch { counter: 1, nonce: 1 }, seq };
        let received = Timestamp::from_micros(env.spooled_us + 2_000);
        let sent = Timestamp::from_micros(env.spooled_us + 1_000);
        let place = |_: Uuid, _: &ConstituentId| Some(Place { ags: "97153001".parse().ok() });
        rows.push(&extract(&id, &env, sent, received, &place).expect("a good event"));
    };
    for i in 0..5 {
        push(alert(this - 30 * MINUTE + i));
    }
    for i in 0..3 {
        push(alert(this + 30 * MINUTE + i));
    }
    for i in 0..360 {
        push(health(this - HOUR + i * MINUTE / 6));
    }
    for i in 0..180 {
        push(health(this - 2 * HOUR + i * MINUTE / 6));
    }
    telemetry.insert_segment(&rows).await.expect("stored");
}

/// The sensor gw-rabenfurt.
pub(crate) const RABENFURT: &str = "23890b0f-be1d-5ff5-a9ae-49d37905ef25";

fn alert(us: i64) -> Envelope {
    let eve = format!(
        r#"{{"timestamp":"{}","event_type":"alert","src_ip":"203.0.113.66","src_port":4444,"dest_ip":"10.77.4.5","dest_port":22,"proto":"TCP","alert":{{"action":"allowed","gid":1,"signature_id":9100001,"rev":1,"signature":"LAGEWARTE SSH","category":"x","severity":1}},"lagewarte":{{"inner":"dest","key":"k1"}}}}"#,
        Timestamp::from_micros(us).eve()
    );
    envelope(us, "alert", eve)
}

fn health(us: i64) -> Envelope {
    let eve = r#"{"event_type":"stats","stats":{"uptime":10,"capture":{"kernel_packets":1,"kernel_drops":0},"decoder":{"pkts":1,"bytes":1},"lagewarte":{"version":"0.1.0","interval_s":10,"ruleset":"00","rules_loaded":12,"rules_refused":0,"spool":{"state":"normal","records":0,"bytes":0,"oldest_us":0},"lag_us":1500}}}"#;
    envelope(us, "stats", eve.into())
}

fn envelope(us: i64, event_type: &str, eve: String) -> Envelope {
    Envelope {
        seq: 0,
        class: Class::of(event_type) as i32,
        event_type: event_type.into(),
        event_us: us,
        observed_us: us + 1_000,
        spooled_us: us + 2_000,
        ruleset: vec![0xab; 32],
        constituent: "rabenfurt".into(),
        profile: "alerts-only@1".into(),
        eve: eve.into_bytes(),
    }
}

/// Who is hit by the SSH campaign.
pub(crate) const HIT: [&str; 4] = ["hohenlind", "kranichwerth", "kreiskrankenhaus-rabenfurt", "rabenfurt"];

impl Land {
    /// The Land in the middle of an attack.
    pub(crate) async fn start() -> Self {
        Self::start_with("http", Limits::default(), &nowhere()).await
    }

    pub(crate) async fn start_with(scheme: &str, limits: Limits, telemetry: &Telemetry) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let control =
            Control::open(&format!("sqlite:{}", dir.path().join("control.db").display())).await.expect("opens");
        let now = now();
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(now)));
        let files = load::read(&land_dir()).expect("the Land's register is without fault");
        control.load_register(&files, false, "test", now - 60 * MINUTE).await.expect("loads");
        coverage(&control, now).await;
        levels(&control, now).await;
        let campaign = control.put_campaign(&ssh(now), now - 8 * MINUTE).await.expect("stored").id;
        let draft = control.put_campaign(&log4shell(now), now - 2 * MINUTE).await.expect("stored").id;

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let links = Links::new(&format!("{scheme}://{address}"), LinkKey::new(&[7; 32]));
        let contact = CertContact {
            name: "Landes-CERT Auenmark".into(),
            phone: "+49 30 23125 999".into(),
            mail: "cert@auenmark.example".into(),
        };
        let warner = Warner::new(control.clone(), links.clone(), WarnConfig::default(), contact.clone());
        warner.step(now - MINUTE).await.expect("drafts");
        let of = async |c| control.warning_of(&Scope::Land, c).await.expect("answers").expect("drafted").id;
        let (ssh, draft) = (of(campaign).await, of(draft).await);
        warner.release(ssh, "A. Analystin", Some(Tlp::Amber), now - MINUTE).await.expect("released");
        let answered = links.key().acknowledgement(ssh, &id("kranichwerth")).text();
        lagewarte_warn::acknowledge_by_link(&control, ssh, &answered, now)
            .await
            .expect("answers")
            .expect("acknowledged");

        let mut land = Self {
            address,
            links: links.clone(),
            clock: Arc::clone(&clock),
            ssh,
            draft,
            campaign,
            cert: issue(&control, TokenKind::Cert, None, now).await,
            feeds: BTreeMap::new(),
            apis: BTreeMap::new(),
            control: control.clone(),
            _dir: dir,
            end: None,
        };
        for c in ["rabenfurt", "kranichwerth", "auenstadt", "erlenwerder", "torfwerder"] {
            land.feeds.insert(c.into(), issue(&control, TokenKind::Feed, Some(c), now).await);
            land.apis.insert(c.into(), issue(&control, TokenKind::Api, Some(c), now).await);
        }
        let config = SiteConfig { cert: contact, map: Some(map()) };
        let site = Site::new(control, telemetry.clone(), links, clock, config, &prometheus::Registry::new())
            .expect("a fresh registry");
        let (end, ended) = tokio::sync::oneshot::channel();
        land.end = Some(end);
        tokio::spawn(serve(listener, router(site), limits, async {
            let _ = ended.await;
        }));
        land
    }

    pub(crate) fn feed(&self, constituent: &str) -> &str {
        &self.feeds[constituent]
    }
    pub(crate) fn api(&self, constituent: &str) -> &str {
        &self.apis[constituent]
    }
    /// The acknowledgement link's path.
    pub(crate) fn link(&self, warning: Uuid, constituent: &str) -> String {
        format!("/w/{warning}/{}", self.links.key().acknowledgement(warning, &id(constituent)).text())
    }
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
    pub(crate) fn cookie(token: &str) -> String {
        format!("Cookie: lagewarte={token}")
    }
    pub(crate) fn bearer(token: &str) -> String {
        format!("Authorization: Bearer {token}")
    }

    pub(crate) async fn get(&self, path: &str, headers: &[String]) -> Answer {
        self.ask("GET", path, headers, "").await
    }
    /// A form as a browser sends it.
    pub(crate) async fn post(&self, path: &str, headers: &[String], body: &str) -> Answer {
        let mut headers = headers.to_vec();
        headers.push("Content-Type: application/x-www-form-urlencoded".into());
        self.ask("POST", path, &headers, body).await
    }
    /// Plain HTTP over a socket, so that nothing between a test and the server tidies up.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[String], body: &str) -> Answer {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for h in headers {
            text += &format!("{h}\r\n");
        }
        text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let address = self.address;
        let raw = tokio::task::spawn_blocking(move || {
            let mut s = TcpStream::connect(address).expect("the site listens");
            s.write_all(text.as_bytes()).expect("takes the request");
            let mut raw = Vec::new();
            s.read_to_end(&mut raw).expect("answers");
            raw
        });
        Answer::parse(&raw.await.expect("no panic"))
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    fn parse(raw: &[u8]) -> Self {
        let text = String::from_utf8(raw.to_vec()).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.lines();
        let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok()).expect("a status");
        let headers =
            lines.filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned())).collect();
        Self { status, headers, body: body.to_owned() }
    }
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
    /// The value of the first hidden field of that name.
    pub(crate) fn field(&self, name: &str) -> String {
        let at = format!("name=\"{name}\" value=\"");
        let from = self.body.find(&at).expect("the page has the field") + at.len();
        self.body[from..].split('"').next().unwrap_or_default().to_owned()
    }
}

async fn issue(control: &Control, kind: TokenKind, constituent: Option<&str>, now: i64) -> String {
    let new = NewToken { kind, constituent: constituent.map(id), sensor: None, expires_us: None, label: "test".into() };
    control.issue_token(&new, "test", now).await.expect("issued").text()
}

/// Every sensor reports, but for three: one lost packets, one is silent, one was never heard of.
async fn coverage(control: &Control, now: i64) {
    let mut rows = Vec::new();
    for s in control.sensors(&Scope::System).await.expect("answers") {
        assert_eq!(s.state, SensorState::Invited);
        control.activate_sensor(s.id, "01", now + 90 * 24 * 60 * MINUTE, now - 59 * MINUTE).await.expect("active");
        let (state, reason, seen, loss) = match s.name.as_str() {
            "gw-dornsiel" => continue,
            "gw-erlenwerder" => (Sight::Blind, "Seit mehr als drei Intervallen keine Meldung.", now - 11 * MINUTE, 0),
            "gw-reiherau" => (Sight::Partial, "Verlust über 1 %.", now - MINUTE / 12, 23_456),
            _ => (Sight::Seeing, "", now - MINUTE / 12, 0),
        };
        rows.push(Coverage {
            sensor: s.id,
            state,
            reason: reason.into(),
            last_seen_us: Some(seen),
            lag_us: Some(350_000),
            loss_ppm: Some(loss),
            ruleset: "5f0e7d1c".repeat(8),
            since_us: now - 11 * MINUTE,
        });
    }
    control.put_coverage(&rows).await.expect("stored");
}

async fn levels(control: &Control, now: i64) {
    let row = |area, key: &str, level, reason: &str, visible, total| AreaLevel {
        area,
        key: key.into(),
        level,
        reasons: vec![Reason::new("G1", [], reason.into())],
        visible,
        total,
        since_us: now,
    };
    let hit = "Kampagne „SSH-Anmeldeversuche“ mit Schwere 1 trifft diese Gemeinde.";
    let calm = "Keine offene Kampagne.";
    let mut rows = vec![
        row(Area::Land, "97", Level::Orange, "Eine Kampagne mit Schwere 1 trifft vier Stellen in drei Kreisen.", 9, 72),
        row(Area::Kreis, "97111", Level::Grey, calm, 1, 3),
        row(
            Area::Kreis,
            "97153",
            Level::Orange,
            "Zwei Stellen sind von einer Kampagne mit Schwere 1 betroffen.",
            2,
            12,
        ),
        row(Area::Kreis, "97152", Level::Orange, "Eine Stelle ist von einer Kampagne mit Schwere 1 betroffen.", 2, 12),
        row(Area::Kreis, "97156", Level::Yellow, "Vor der Sichtlücke war eine Stelle auffällig.", 0, 6),
    ];
    for c in control.constituents(&Scope::System).await.expect("answers") {
        let level = match c.id.as_str() {
            "rabenfurt" => row(Area::Municipality, c.ags.as_str(), Level::Red, hit, 2, 2),
            "kranichwerth" | "hohenlind" => row(Area::Municipality, c.ags.as_str(), Level::Orange, hit, 1, 1),
            "erlenwerder" => {
                row(Area::Municipality, c.ags.as_str(), Level::Yellow, "Vor der Sichtlücke auffällig.", 0, 1)
            }
            "auenstadt" => row(Area::Municipality, c.ags.as_str(), Level::Grey, calm, 1, 3),
            "torfwerder" => row(Area::Municipality, c.ags.as_str(), Level::Grey, calm, 0, 1),
            _ => continue,
        };
        rows.push(level);
    }
    control.put_levels(&rows, now - 8 * MINUTE).await.expect("stored");
}

fn member(constituent: &str, now: i64, host: &str, alerts: u64) -> Member {
    Member {
        constituent: id(constituent),
        first_us: now - 9 * MINUTE,
        last_us: now - 3 * MINUTE,
        late: false,
        pictured_us: now - 8 * MINUTE,
        evidence: MemberEvidence {
            alerts,
            hosts: vec![host.into()],
            key: "k1".into(),
            external: vec!["203.0.113.66".into()],
            events: vec![],
        },
    }
}

fn ssh(now: i64) -> Found {
    let signature = Signature {
        id: 9_100_001,
        text: "LAGEWARTE SSH brute force from one address".into(),
        severity: 1,
        kind: "ssh_bruteforce".into(),
        advice: "bruteforce".into(),
    };
    Found {
        kind: CampaignKind::Signature,
        key: "9100001".into(),
        title: "SSH-Anmeldeversuche in Serie".into(),
        evidence: Evidence {
            rule: "Dieselbe Signatur bei 4 Stellen innerhalb 1 Stunde (Schwelle 3).".into(),
            alerts: 61,
            signatures: vec![signature],
            external: vec!["203.0.113.66".into()],
        },
        late: false,
        members: HIT.iter().zip(1..).map(|(c, n)| member(c, now, &format!("10.77.{n}.5"), 10 * n)).collect(),
    }
}

fn log4shell(now: i64) -> Found {
    let signature =
        Signature { id: 9_100_020, text: HOSTILE.into(), severity: 1, kind: String::new(), advice: String::new() };
    Found {
        kind: CampaignKind::Signature,
        key: "9100020".into(),
        title: format!("Kampagne {HOSTILE}"),
        evidence: Evidence {
            rule: "Dieselbe Signatur bei 3 Stellen innerhalb 1 Stunde (Schwelle 3).".into(),
            alerts: 7,
            signatures: vec![signature],
            external: vec![],
        },
        late: false,
        members: ["auenstadt", "reiherau", "tiefenlohe"].iter().map(|c| member(c, now, "10.99.0.9", 2)).collect(),
    }
}
