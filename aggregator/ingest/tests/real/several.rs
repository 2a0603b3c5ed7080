// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Two aggregators, each a process of its own, on one ClickHouse and one PostgreSQL, behind one address: one is paused
//! past its lease and wakes, one is killed for good; each event is stored once.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Child,
    sync::{Arc, Mutex},
    time::Duration,
};

use lagewarte_ingest::Options;
use lagewarte_store::{
    control::{Control, testing},
    engine::testing::free_port,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

use crate::{
    crash::{Life, ended, spawn_life},
    world::{Sensor, World, register, until},
};

/// What stands before several aggregators: new connections go to the target, old ones end when it changes.
struct Balancer {
    address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    open: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Balancer {
    async fn start(first: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (target, open) = (Arc::new(Mutex::new(first)), Arc::new(Mutex::new(Vec::<AbortHandle>::new())));
        let (to, handles) = (Arc::clone(&target), Arc::clone(&open));
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let to = *to.lock().unwrap();
                let task = tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(to).await {
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await; // it ends as it ends
                    }
                });
                handles.lock().unwrap().push(task.abort_handle());
            }
        });
        Self { address, target, open }
    }

    fn to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
        self.open.lock().unwrap().drain(..).for_each(|t| t.abort());
    }
}

struct Site {
    world: World,
    control_url: String,
    balancer: Balancer,
    places: [SocketAddr; 2],
    identity: PathBuf,
}

impl Site {
    /// A sensor enrolled at a first aggregator that has the CA of both.
    async fn new() -> Self {
        let mut world = World::new().await;
        let control_url = testing::Db::Postgres(testing::postgres_url()).url().await;
        world.control = Control::open(&control_url).await.unwrap();
        register(&world.control).await;
        let places = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let balancer = Balancer::start(places[0]).await;
        let mut options = world.options();
        options.uplink_url = Some(format!("https://localhost:{}", balancer.address.port()));
        let (ingest, _) = world.ingest(options).await;
        let identity = world.enrol(&ingest, "gw-auenstadt").await;
        ingest.stop(Duration::from_secs(20)).await;
        // The CA is the same for all aggregators of a Land; the journal is not.
        let second = world.dir.path().join("second/ca");
        std::fs::create_dir_all(&second).unwrap();
        for file in std::fs::read_dir(world.dir.path().join("data/ca")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), second.join(file.file_name())).unwrap();
        }
        Self { world, control_url, balancer, places, identity }
    }

    fn spawn(&self, which: usize, step: &str, after: usize, end: &str) -> Child {
        let data = ["data", "second"][which];
        let life = Life { data, control: &self.control_url, step, after, end, uplink: &self.places[which].to_string() };
        spawn_life(&self.world, &life)
    }

    async fn check(&self, sent: &BTreeSet<String>) {
        let stored = self.world.ids("alert").await;
        let unique: BTreeSet<String> = stored.iter().cloned().collect();
        assert_eq!(unique.len(), stored.len(), "stored more than once");
        assert_eq!(&unique, sent, "stored is not what was sent");
        let rollup = self.world.ask("SELECT sum(alerts) FROM alert_1h").await;
        assert_eq!(rollup, stored.len().to_string(), "the rollup is not the raw count");
        let segments = self.world.ask("SELECT count() - countDistinct(segment) FROM segment").await;
        assert_eq!(segments, "0", "a segment was completed twice");
        let halves = "SELECT countDistinct(segment) FROM alert WHERE segment NOT IN (SELECT segment FROM segment)";
        assert_eq!(self.world.ask(halves).await, "0", "half-done segments are left");
    }
}

/// Found by the soak: an aggregator that came back gave its sensors away while its journal still held events of theirs,
/// because the engine was not back yet. Both stored them.
#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_is_not_given_away_before_the_journal_is_replayed() {
    let site = Site::new().await;
    let sensor = Sensor::start(&site.identity, &site.world.dir.path().join("spool"));
    let mut sent = BTreeSet::new();
    let mut second = site.spawn(1, "never", 0, "stop");
    let mut first = site.spawn(0, "journaled", 3, "abort");
    until("it dies with a segment in its journal", async || {
        sent.extend((0..30).map(|_| sensor.alert("auenstadt")));
        tokio::time::sleep(Duration::from_millis(20)).await;
        first.try_wait().unwrap().is_some()
    })
    .await;
    let engine = site.world.engine.pid().unwrap().to_string();
    let signal = |s: &str| assert!(std::process::Command::new("kill").args([s, &engine]).status().unwrap().success());
    signal("-STOP");
    let mut first = site.spawn(0, "never", 0, "stop");
    site.balancer.to(site.places[1]);
    let control = &site.world.control;
    let wanted = async || {
        let mut of_first = Vec::new();
        for lane in control.open_lanes().await.unwrap() {
            of_first.extend(control.wanted_sensors(lane.fence).await.unwrap());
        }
        of_first == [sensor.id]
    };
    until("the other aggregator wants it", &wanted).await;
    // Beats of a lease of four seconds; each would have let it go.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(wanted().await, "it was given away");
    }
    signal("-CONT");
    sent.extend((0..300).map(|_| sensor.alert("auenstadt")));
    sensor.drained().await;
    site.check(&sent).await;
    for child in [&mut first, &mut second] {
        child.kill().unwrap();
        ended(child).await;
    }
    sensor.uplink.stop().await;
}

/// What one aggregator does for all moves with the oldest lease, and never back to one that comes anew.
#[tokio::test(flavor = "multi_thread")]
async fn the_aggregator_with_the_oldest_lease_leads_and_a_lost_one_is_replaced() {
    let site = Site::new().await;
    let lanes = async || site.world.control.open_lanes().await.unwrap().len();
    let mut first = site.spawn(0, "never", 0, "stop");
    until("the first has its leases", async || lanes().await == 2).await;
    let options = Options {
        uplink_listen: site.places[1],
        lease: Duration::from_secs(4),
        ..Options::new(site.world.dir.path().join("second"))
    };
    let (second, _) = site.world.ingest(options).await;
    let leads = second.leads();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!*leads.borrow(), "the first lives and leads");
    }
    first.kill().unwrap();
    ended(&mut first).await;
    until("the second leads", async || *leads.borrow()).await;
    let mut first = site.spawn(0, "never", 0, "stop");
    until("the first is back", async || lanes().await == 4).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(*leads.borrow(), "the second goes on leading");
    }
    second.stop(Duration::from_secs(20)).await;
    assert_eq!(lanes().await, 2, "a lease ends with its aggregator: the first's are the oldest now");
    first.kill().unwrap();
    ended(&mut first).await;
}

fn unfinished(dir: &Path) -> usize {
    let lanes = std::fs::read_dir(dir.join("journal")).unwrap();
    let files = lanes.flat_map(|l| std::fs::read_dir(l.unwrap().path()).unwrap());
    files.filter(|f| f.as_ref().unwrap().file_name().to_string_lossy().ends_with(".segment")).count()
}

fn stopped(child: &Child) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

fn wake(child: &Child) {
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-CONT", &pid]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregator_paused_past_its_lease_wakes_and_harms_nothing() {
    let site = Site::new().await;
    let sensor = Sensor::start(&site.identity, &site.world.dir.path().join("spool"));
    let mut sent = BTreeSet::new();
    let second = site.spawn(1, "never", 0, "stop");
    let mut others = vec![second];
    for step in ["journaled", "inserted", "completed"] {
        site.balancer.to(site.places[0]);
        let mut first = site.spawn(0, step, 3, "stop");
        until("it is paused in the middle of a segment", async || {
            sent.extend((0..30).map(|_| sensor.alert("auenstadt")));
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(first.try_wait().unwrap().is_none() && sent.len() < 200_000, "{step}: it did not pause");
            stopped(&first)
        })
        .await;
        site.balancer.to(site.places[1]);
        sent.extend((0..300).map(|_| sensor.alert("auenstadt")));
        sensor.drained().await;
        // Everything is acknowledged by the other one; now it wakes with its segment in its hands.
        wake(&first);
        until("it sees that its lease is lost, and ends", async || first.try_wait().unwrap().is_some()).await;
        assert_eq!(first.wait().unwrap().code(), Some(3), "{step}: ended because its lease is lost");
        site.check(&sent).await;
    }
    // Started anew, it does not replay what was taken over, and takes its sensor back from the other, which lives.
    assert!(unfinished(&site.world.dir.path().join("data")) > 0, "it left unfinished segments");
    site.balancer.to(site.places[0]);
    others.push(site.spawn(0, "never", 0, "stop"));
    sent.extend((0..300).map(|_| sensor.alert("auenstadt")));
    sensor.drained().await;
    site.check(&sent).await;
    // And a last time: the one that has it is killed for good, its journal is lost with it.
    sent.extend((0..300).map(|_| sensor.alert("auenstadt")));
    others[1].kill().unwrap();
    ended(&mut others[1]).await;
    std::fs::remove_dir_all(site.world.dir.path().join("data/journal")).unwrap();
    site.balancer.to(site.places[1]);
    sensor.drained().await;
    site.check(&sent).await;
    others[0].kill().unwrap();
    ended(&mut others[0]).await;
    sensor.uplink.stop().await;
}
