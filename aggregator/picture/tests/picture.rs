// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The picture on the real engine and a real control plane: what is inserted is what the Lagebild says.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::Path};

use lagewarte_base::{
    id::{ConstituentId, Epoch, EventId, Uuid},
    time::Timestamp,
};
use lagewarte_event::{Class, Envelope};
use lagewarte_picture::{Metrics, Picture, PictureConfig};
use lagewarte_store::{
    Scope,
    control::{Control, coverage::Sight, levels::Level, load, testing::Db},
    engine::{Engine, testing},
    telemetry::{Place, Rows, Telemetry, extract},
};

lagewarte_store::engine_in_tests!();

const S: i64 = 1_000_000;
const MIN: i64 = 60 * S;

struct World {
    telemetry: Telemetry,
    control: Control,
    registry: prometheus::Registry,
    now: i64,
    segments: u32,
    _engine: Engine,
    _dir: tempfile::TempDir,
    _db: Db,
}

fn sensor(n: u8) -> Uuid {
    Uuid::from_u128(0x1000 + u128::from(n))
}

fn at(us: i64) -> Timestamp {
    Timestamp::from_micros(us)
}

impl World {
    /// Towns a to f in two Kreise; a sensor each for a to e, f has none.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::start(&testing::options(&dir.path().join("engine"), module_path!()).unwrap()).unwrap();
        let telemetry = Telemetry::new(&engine.connection());
        telemetry.migrate().await.unwrap();
        let db = Db::Sqlite(tempfile::tempdir().unwrap());
        let control = db.control().await;
        let now = Timestamp::from(std::time::SystemTime::now()).micros();
        let world = Self {
            telemetry,
            control,
            registry: prometheus::Registry::new(),
            now,
            segments: 0,
            _engine: engine,
            _dir: dir,
            _db: db,
        };
        world.register(world._dir.path()).await;
        world
    }

    async fn register(&self, dir: &Path) {
        let towns = ["a", "b", "c", "d", "e", "f"];
        let mut constituents = "id,name,kind,ags,population\n".to_owned();
        let mut sensors = "id,name,constituent,serves,interval_s\n".to_owned();
        let mut networks = "constituent,cidr\n".to_owned();
        for (i, t) in towns.iter().enumerate() {
            let kreis = if i < 3 { "09161" } else { "09162" };
            constituents += &format!("{t},Stadt {t},municipality,{kreis}00{i},1000\n");
            networks += &format!("{t},10.{i}.0.0/16\n");
            if *t != "f" {
                sensors += &format!("{},gw-{t},{t},{t},30\n", sensor(u8::try_from(i).unwrap()));
            }
        }
        for (name, text) in [
            ("constituents.csv", constituents),
            ("sensors.csv", sensors),
            ("networks.csv", networks),
            ("contacts.csv", "constituent,name,role,mail,phone\na,A,IT,a@a.example,+49 30 23125 001\n".to_owned()),
        ] {
            fs::write(dir.join(name), text).unwrap();
        }
        let files = load::read(dir).unwrap();
        self.control.load_register(&files, false, "test", self.now).await.unwrap();
    }

    fn picture(&self) -> Picture {
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        Picture::new(self.telemetry.clone(), self.control.clone(), PictureConfig::default(), metrics)
    }

    /// Stores events as one segment, received at `received`.
    async fn store(&mut self, events: &[(u8, Envelope)], received: i64) {
        self.segments += 1;
        let mut rows = Rows::new(&format!("t/{}", self.segments), 0);
        for (i, (n, env)) in events.iter().enumerate() {
            let id = EventId {
                sensor: sensor(*n),
                epoch: Epoch { counter: 1, nonce: 1 },
                seq: u64::from(self.segments) * 100 + i as u64,
            };
            let place = |_: Uuid, _: &ConstituentId| Some(Place { ags: Some("09161000".parse().unwrap()) });
            rows.push(&extract(&id, env, at(received), at(received), &place).unwrap());
        }
        self.telemetry.insert_segment(&rows).await.unwrap();
    }
}

fn envelope(town: &str, us: i64, event_type: &str, eve: String) -> Envelope {
    Envelope {
        seq: 0,
        class: Class::of(event_type) as i32,
        event_type: event_type.into(),
        event_us: us,
        observed_us: us,
        spooled_us: us,
        ruleset: vec![7; 32],
        constituent: town.into(),
        profile: "alerts-only@1".into(),
        eve: eve.into_bytes(),
    }
}

fn alert(town: &str, us: i64, sid: u32, kind: &str) -> Envelope {
    let eve = format!(
        r#"{{"event_type":"alert","src_ip":"203.0.113.{sid}","dest_ip":"10.9.9.9","src_port":1,"dest_port":22,"proto":"TCP","alert":{{"signature_id":{sid},"gid":1,"rev":1,"signature":"LAGEWARTE {kind}","category":"c","severity":1,"metadata":{{"lagewarte_kind":["{kind}"],"lagewarte_advice":["passwords"]}}}},"lagewarte":{{"inner":"dest","key":"key-{town}"}}}}"#
    );
    envelope(town, us, "alert", eve)
}

fn report(town: &str, us: i64, drops: u64) -> Envelope {
    let eve = format!(
        r#"{{"event_type":"stats","stats":{{"uptime":1,"capture":{{"kernel_packets":1000,"kernel_drops":{drops}}},"lagewarte":{{"version":"1","interval_s":30,"spool":{{"state":"normal","records":0,"bytes":0}},"lag_us":0}}}}}}"#
    );
    envelope(town, us, "stats", eve)
}

async fn sights(w: &World) -> Vec<Sight> {
    let mut rows = w.control.coverage(&Scope::System).await.unwrap();
    rows.sort_by_key(|r| r.sensor);
    rows.into_iter().map(|r| r.state).collect()
}

#[tokio::test]
async fn an_attack_at_three_towns_is_one_campaign_with_its_evidence_and_survives_a_restart() {
    let mut w = World::new().await;
    let now = w.now;
    let mut picture = w.picture();
    w.store(
        &[(0, alert("a", now - 5 * MIN, 7, "ssh_bruteforce")), (1, alert("b", now - 4 * MIN, 7, "ssh_bruteforce"))],
        now,
    )
    .await;
    let ticked = picture.tick(at(now + S)).await.unwrap();
    assert_eq!((ticked.segments, ticked.opened.len()), (1, 0), "two are no campaign");
    w.store(&[(2, alert("c", now - MIN, 7, "ssh_bruteforce"))], now).await;
    let ticked = picture.tick(at(now + 2 * S)).await.unwrap();
    assert_eq!(ticked.opened.len(), 2, "by signature and by address: {ticked:?}");
    assert_eq!(picture.tick(at(now + 3 * S)).await.unwrap().segments, 0, "each segment once");

    // Another process, with nothing in memory: the same campaign goes on, and whoever is hit joins it.
    let mut after = w.picture();
    assert!(after.tick(at(now + 4 * S)).await.unwrap().opened.is_empty());
    w.store(&[(3, alert("d", now - MIN, 7, "ssh_bruteforce"))], now).await;
    let ticked = after.tick(at(now + 5 * S)).await.unwrap();
    assert_eq!((ticked.opened.len(), ticked.joined.len()), (0, 2), "{ticked:?}");
    assert!(ticked.joined.iter().all(|j| j.1 == ["d".parse().unwrap()]));

    let campaigns = w.control.campaigns(&Scope::Land, true, 10).await.unwrap();
    let c = campaigns.iter().find(|c| c.kind.as_str() == "signature").unwrap();
    assert_eq!((c.key.as_str(), c.members.len(), c.evidence.alerts, c.late), ("7", 4, 4, false));
    assert_eq!((c.first_us, c.last_us), (now - 5 * MIN, now - MIN));
    let a = c.members.iter().find(|m| m.constituent.as_str() == "a").unwrap();
    assert_eq!(
        (&a.evidence.hosts[..], a.evidence.key.as_str(), &a.evidence.external[..]),
        (&["10.9.9.9".to_owned()][..], "key-a", &["203.0.113.7".to_owned()][..])
    );
    assert_eq!(
        (c.evidence.signatures[0].kind.as_str(), c.evidence.signatures[0].advice.as_str()),
        ("ssh_bruteforce", "passwords")
    );
    assert!(c.evidence.rule.starts_with("Regel K1") && a.pictured_us >= now && a.evidence.events.len() == 1);
    // The day after, it is closed.
    let closed = after.tick(at(now + 25 * 60 * MIN)).await.unwrap().closed;
    assert_eq!(closed.len(), 2);
}

#[tokio::test]
async fn a_campaign_that_only_late_events_complete_says_so() {
    let mut w = World::new().await;
    let now = w.now;
    let mut picture = w.picture();
    w.store(
        &[
            (0, alert("a", now - 50 * MIN, 7, "x")),
            (1, alert("b", now - 40 * MIN, 7, "x")),
            (2, alert("c", now - MIN, 7, "x")),
        ],
        now,
    )
    .await;
    picture.tick(at(now + S)).await.unwrap();
    let campaigns = w.control.campaigns(&Scope::Land, true, 10).await.unwrap();
    assert!(campaigns.iter().all(|c| c.late) && !campaigns.is_empty(), "{campaigns:?}");
    let late: Vec<_> = campaigns[0].members.iter().map(|m| (m.constituent.as_str(), m.late)).collect();
    assert!(late.contains(&("a", true)) && late.contains(&("c", false)), "{late:?}");
}

#[tokio::test]
async fn silence_turns_blind_after_three_intervals_and_never_quiet() {
    let mut w = World::new().await;
    let now = w.now;
    let mut picture = w.picture();
    // a reports, b lost packets, c reports, d and e never did.
    w.store(&[(0, report("a", now, 0)), (1, report("b", now, 500)), (2, report("c", now, 0))], now).await;
    picture.tick(at(now + S)).await.unwrap();
    use Sight::{Blind, Partial, Seeing};
    assert_eq!(sights(&w).await, [Seeing, Partial, Seeing, Blind, Blind]);
    w.store(&[(0, report("a", now + 90 * S, 0)), (1, report("b", now + 90 * S, 500))], now + 90 * S).await;
    picture.tick(at(now + 91 * S)).await.unwrap();
    assert_eq!(sights(&w).await, [Seeing, Seeing, Blind, Blind, Blind]);
    let rows = w.control.coverage(&Scope::System).await.unwrap();
    let c = rows.iter().find(|r| r.sensor == sensor(2)).unwrap();
    assert!(c.reason.contains("91 s keine Meldung") && c.last_seen_us == Some(now), "{c:?}");
    let d = rows.iter().find(|r| r.sensor == sensor(3)).unwrap();
    assert!(d.reason.contains("noch nie") && d.last_seen_us.is_none(), "{d:?}");

    // After a restart a day later, with the reports out of reach, it is still known when they were.
    let mut after = w.picture();
    after.tick(at(now + 48 * 60 * MIN)).await.unwrap();
    assert_eq!(sights(&w).await, [Blind; 5]);
    let rows = w.control.coverage(&Scope::System).await.unwrap();
    assert_eq!(rows.iter().find(|r| r.sensor == sensor(0)).unwrap().last_seen_us, Some(now + 90 * S));

    let levels = w.control.levels().await.unwrap();
    let land = levels.iter().find(|l| l.key == "09").unwrap();
    assert_eq!((land.level, land.visible, land.total), (Level::Grey, 0, 6));
    assert!(land.reasons.last().unwrap().text.contains("keine Aussage"), "{land:?}");
}

#[tokio::test]
async fn levels_follow_the_published_rule_and_say_what_is_visible() {
    let mut w = World::new().await;
    let now = w.now;
    let mut picture = w.picture();
    let reports: Vec<_> =
        ["a", "b", "c", "d"].iter().enumerate().map(|(i, t)| (u8::try_from(i).unwrap(), report(t, now, 0))).collect();
    w.store(&reports, now).await;
    picture.tick(at(now + S)).await.unwrap();
    let level = async |w: &World, key: &str| {
        let all = w.control.levels().await.unwrap();
        let l = all.iter().find(|l| l.key == key).unwrap().clone();
        (l.level, l.visible, l.total, l.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    };
    let (l, visible, total, why) = level(&w, "09").await;
    assert_eq!((l, visible, total), (Level::Grey, 4, 6));
    assert!(why.contains("1 blind, 1 ohne Sensor") && why.contains("gilt nicht als ruhig"), "{why}");

    // A taken-over host at a; alone it is no campaign, and a is red at once.
    w.store(&[(0, alert("a", now, 9, "cobalt_strike"))], now).await;
    let ticked = picture.tick(at(now + 2 * S)).await.unwrap();
    assert!(
        ticked.changes.iter().any(|c| c.key == "09161000" && c.level == Level::Red && c.previous == Some(Level::Grey))
    );
    assert_eq!(level(&w, "09161000").await.0, Level::Red);
    assert_eq!(level(&w, "09161").await.0, Level::Orange);
    assert_eq!(level(&w, "09162").await.0, Level::Grey);

    // A grave campaign at three towns.
    let attack = |t: &str, n: u8| (n, alert(t, now, 8, "smb_exploit"));
    w.store(&[attack("b", 1), attack("c", 2), attack("d", 3)], now).await;
    picture.tick(at(now + 3 * S)).await.unwrap();
    assert_eq!(level(&w, "09161001").await.0, Level::Orange);
    let (l, _, _, why) = level(&w, "09").await;
    assert!(l == Level::Orange && why.contains("(L2)"), "{why}");
    assert_eq!(level(&w, "09162005").await.0, Level::Grey);
}

#[tokio::test]
async fn a_store_that_does_not_answer_still_turns_the_silent_blind() {
    let mut w = World::new().await;
    let now = w.now;
    w.store(&[(0, report("a", now, 0))], now).await;
    let metrics = Metrics::new(&w.registry).unwrap();
    let mut picture = Picture::new(w.telemetry.clone(), w.control.clone(), PictureConfig::default(), metrics);
    picture.tick(at(now + S)).await.unwrap();
    let broken = Telemetry::new(&lagewarte_store::telemetry::Connection::parse("http://127.0.0.1:1").unwrap());
    picture.replace_telemetry(broken);
    assert!(picture.tick(at(now + 92 * S)).await.is_err());
    assert_eq!(sights(&w).await[0], Sight::Blind);
    picture.replace_telemetry(w.telemetry.clone());
    picture.tick(at(now + 93 * S)).await.unwrap();
    let text: Vec<_> = w.registry.gather().iter().map(|f| f.name().to_owned()).collect();
    assert!(text.iter().all(|n| n.starts_with("lagewarte_picture_")) && text.len() >= 10, "{text:?}");
}
