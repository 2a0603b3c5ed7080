// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Shadow mode of `run`: our alerts against those of a Suricata that listens to the same line, a report a day, and the
//! packets of what differs.
//!
//! - Ours are taken where they leave the pipeline, before release and pseudonyms; theirs from the `eve.json` that it
//!   writes, followed as `tail` follows it. [`window`] brings partners together, [`judge`] says what an alert without a partner
//!   means, [`day`] counts, [`report`] writes.
//! - Packets go through [`ring`] to the disk, [`cut`] takes those of differing flows out of it, [`keep`] lets old days go.
//!
//! Everything lies in one folder, for the sensor's user only. Must never hand anything of it to the spool, make the reader of
//! packets or the ordered stage wait, or end `run`: after the start a fault is told, counted, and gone on from. Bounds:
//! [`QUEUE`] alerts on their way, and those of the rooms. What a kill loses: alerts that waited, the counts since the
//! last report (at most [`REPORT_S`]), the ring. Lines of theirs are counted once all the same: place and counts are kept
//! together.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
        mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use lagewarte_base::{
    clock::Clock,
    fs::{Fs as _, RealFs},
    time::Timestamp,
};
use lagewarte_capture::Source;
use lagewarte_decode::Decoder;

use crate::{
    compare::{self, Alert},
    config::shadow::Shadow as Settings,
    station::Stop,
    tail::{
        follow::{Follow, Taker},
        lines::Place,
    },
    telemetry::Telemetry,
};

pub mod cut;
pub mod day;
pub mod judge;
pub mod keep;
pub mod report;
pub mod ring;
pub mod window;

use cut::{Cutter, Job};
use day::{Day, Packets};
use judge::{Judge, Theirs};
use report::State;
use window::Side;

/// Alerts of both sides on their way to the judge. Threat: a flood of alerts, and memory growing with it. Ours that find it
/// full are counted as not compared; theirs wait in their file.
pub const QUEUE: usize = 1 << 14;
/// Longest time between two reports, seconds.
pub const REPORT_S: i64 = 60;
/// Shortest time, where there is a difference that no report tells yet.
const NEWS_S: i64 = 5;
/// Differences from which on the shortest time is the longest: a long report is not written every few seconds.
const LONG: usize = 1000;
/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(200);
/// Pause after theirs could not be read.
const RETRY: Duration = Duration::from_secs(1);
/// The part of all that is kept which one day's packets may take: a bad day does not push out all others.
const DAY_SHARE: u64 = 4;

/// On its way to the judge.
enum Message {
    Alert(Side, Alert),
    /// Theirs lost something.
    Gap(&'static str),
    /// Everything before was read up to there.
    Reached(Place),
}

/// What the threads tell each other beside messages.
struct Shared {
    clock: Arc<dyn Clock>,
    over: Stop,
    last_line: AtomicI64,
    read_to: AtomicI64,
    lines: AtomicU64,
    /// Alerts of ours that found the queue full.
    shed: AtomicU64,
}

/// Opened: what can be wrong at the start has been found out.
pub struct Prepared {
    settings: Settings,
    decoder: Decoder,
    state: State,
    index: Arc<ring::Index>,
    lock: Box<dyn Send + Sync>,
}

impl Prepared {
    /// Opens the folder and looks for theirs.
    ///
    /// # Errors
    /// A folder that cannot be used or is used by another sensor, an `eve.json` that cannot be read.
    pub fn open(settings: &Settings, decoder: Decoder) -> anyhow::Result<Self> {
        let (dir, eve) = (settings.dir.as_path(), settings.eve.as_path());
        readable(eve).map_err(|e| {
            anyhow!(
                "lagewarte.shadow.eve: cannot read {}: {e}. Name the eve.json that the Suricata beside this sensor writes, and let this user read it (its group, mostly suricata)",
                eve.display()
            )
        })?;
        let told = || format!("lagewarte.shadow.dir: cannot use the folder {}", dir.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(told)?;
        let lock = RealFs.lock(&dir.join("lock")).with_context(told)?;
        let lock = lock.ok_or_else(|| {
            anyhow!("lagewarte.shadow.dir: another sensor uses {}: give each its own folder", dir.display())
        })?;
        let index = ring::Index::open(&dir.join("ring")).with_context(told)?;
        keep::tidy(dir).with_context(told)?;
        let mut state = State::load(dir)?.unwrap_or_default();
        if state.eve != eve {
            state.place = None;
            state.eve = eve.to_owned();
        }
        Ok(Self { settings: settings.clone(), decoder, state, index, lock })
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// Where there can be no thread.
    pub fn start(self, clock: &Arc<dyn Clock>, telemetry: &Arc<Telemetry>) -> anyhow::Result<Shadow> {
        let Self { settings, decoder, state, index, lock } = self;
        let now = clock.now();
        let shared = Arc::new(Shared {
            clock: Arc::clone(clock),
            over: Stop::default(),
            last_line: AtomicI64::new(now.micros()),
            read_to: AtomicI64::new(i64::MIN),
            lines: AtomicU64::new(0),
            shed: AtomicU64::new(0),
        });
        let thread = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(run).context("cannot start a thread")
        };
        let (to_judge, messages) = sync_channel(QUEUE);
        let (to_cutter, jobs) = sync_channel::<Job>(cut::MAX_JOBS);
        let (to_us, cuttings) = channel();
        let mut threads = Vec::new();
        let tap = if settings.ring > 0 {
            let (tap, writer) = ring::ends(Arc::clone(&index), settings.ring);
            threads.push(thread("shadow-ring", Box::new(move || writer.run()))?);
            Some(tap)
        } else {
            None
        };
        let cutter = Cutter {
            dir: settings.dir.clone(),
            index: Arc::clone(&index),
            decoder,
            day_bytes: settings.keep / DAY_SHARE,
        };
        let over = Arc::clone(&shared);
        threads.push(thread("shadow-cut", Box::new(move || cuts(&cutter, &jobs, &to_us, &over.over)))?);
        let theirs =
            Reader { to: to_judge.clone(), shared: Arc::clone(&shared), place: state.place.clone(), uptime: 0 };
        let eve = settings.eve.clone();
        threads.push(thread("shadow-theirs", Box::new(move || theirs.run(&eve)))?);
        let desk = Desk {
            judge: resumed(state.day, &settings, now),
            place: state.place,
            between: false,
            settings,
            shared: Arc::clone(&shared),
            telemetry: Arc::clone(telemetry),
            index: Arc::clone(&index),
            to_cutter: Some(to_cutter),
            cuttings,
            written: now,
            told: false,
        };
        let desk = thread("shadow", Box::new(move || desk.run(&messages)))?;
        Ok(Shadow { ours: Ours { to: to_judge, shared: Arc::clone(&shared) }, tap, shared, threads, desk, index, lock })
    }
}

/// A file that is not there yet is waited for; its folder has to be.
fn readable(eve: &Path) -> io::Result<()> {
    match fs::File::open(eve) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let folder = eve.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs::read_dir(folder).map(|_| ())
        }
        other => other.map(|_| ()),
    }
}

/// The judge, with the day as the last process left it.
fn resumed(mut day: Day, settings: &Settings, now: Timestamp) -> Judge {
    let grace_us = i64::from(settings.grace_s) * 1_000_000;
    let today = day::of(now);
    if !day.day.is_empty() {
        day.resumed();
        if day.day < today
            && let Err(e) = report::write(&settings.dir, &day, None, now)
        {
            tracing::warn!(error = %e, "shadow: the last day's report cannot be written");
        }
    }
    if day.day < today {
        day = Day::new(today);
    }
    Judge::new(day, grace_us, settings.ignore.clone(), settings.ring > 0, now)
}

/// The running comparison.
pub struct Shadow {
    ours: Ours,
    tap: Option<ring::Tap>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    desk: JoinHandle<()>,
    index: Arc<ring::Index>,
    lock: Box<dyn Send + Sync>,
}

impl Shadow {
    /// Puts the ring behind a source; once. The source itself where no packets are kept.
    pub fn tap(&mut self, source: Box<dyn Source + Send>) -> Box<dyn Source + Send> {
        match self.tap.take() {
            Some(tap) => Box::new(ring::Tapped::new(source, tap)),
            None => source,
        }
    }

    /// The way in for our alerts.
    pub fn ours(&self) -> Ours {
        self.ours.clone()
    }

    /// Ends it: writes the last report and removes the ring. The tapped source and every [`Ours`] must be gone: it waits.
    pub fn close(self) {
        let Self { ours, tap, shared, threads, desk, index, lock } = self;
        drop((ours, tap));
        shared.over.ask();
        for thread in std::iter::once(desk).chain(threads) {
            let _ = thread.join(); // a panic there was already reported
        }
        index.clear();
        drop(lock);
    }
}

/// Takes our alerts where they leave the pipeline.
#[derive(Clone)]
pub struct Ours {
    to: SyncSender<Message>,
    shared: Arc<Shared>,
}

impl Ours {
    /// Takes one EVE object. Never waits.
    pub fn take(&self, eve: &str) {
        let taken = match compare::line(eve.as_bytes()) {
            compare::Line::Alert(alert) => self.to.try_send(Message::Alert(Side::Ours, alert)).is_ok(),
            compare::Line::Uptime(_) | compare::Line::Other => true,
            compare::Line::Unreadable => false, // cannot be: we wrote it
        };
        if !taken {
            self.shared.shed.fetch_add(1, SeqCst);
        }
    }
}

/// Reads theirs.
struct Reader {
    to: SyncSender<Message>,
    shared: Arc<Shared>,
    place: Option<Place>,
    /// Seconds for which theirs was up when it last said so.
    uptime: u64,
}

impl Reader {
    fn run(mut self, eve: &Path) {
        let mut told = false;
        let shared = Arc::clone(&self.shared);
        while !shared.over.asked() {
            // What stood in the file before there was a place to go on from is not ours to compare.
            let follow = Follow::new(eve, self.place.as_ref(), true, &shared.over);
            let read = follow.and_then(|(mut follow, found)| {
                if !found {
                    self.lost("rotated-away");
                }
                follow.run(&mut self, false)
            });
            if let Err(e) = read {
                // Once: what lasts is told by the report, as silence.
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(error = format!("{e:#}"), "shadow: theirs cannot be read; tried again");
                }
                self.lost("unreadable-file");
                self.idle();
                shared.over.wait(RETRY);
            }
        }
    }
}

impl Taker for Reader {
    fn begun(&mut self, place: &Place) -> anyhow::Result<()> {
        self.reached(place)
    }

    fn line(&mut self, line: &[u8]) -> bool {
        self.shared.last_line.store(self.shared.clock.now().micros(), SeqCst);
        self.shared.lines.fetch_add(1, SeqCst);
        let message = match compare::line(line) {
            compare::Line::Alert(alert) => Message::Alert(Side::Theirs, alert),
            compare::Line::Unreadable if line.windows(7).any(|w| w == b"\"alert\"") => Message::Gap("unreadable-alert"),
            compare::Line::Uptime(now) => {
                // Rules read by a restart, mostly: what was on the line meanwhile, it did not see.
                if std::mem::replace(&mut self.uptime, now) <= now {
                    return true;
                }
                Message::Gap("restarted")
            }
            compare::Line::Other | compare::Line::Unreadable => return true,
        };
        self.to.send(message).is_ok()
    }

    fn lost(&mut self, reason: &'static str) {
        let _ = self.to.send(Message::Gap(reason)); // the judge has gone: the end
    }

    fn reached(&mut self, place: &Place) -> anyhow::Result<()> {
        self.place = Some(place.clone());
        let _ = self.to.send(Message::Reached(place.clone())); // as above
        Ok(())
    }

    fn idle(&mut self) {
        self.shared.read_to.store(self.shared.clock.now().micros(), SeqCst);
    }
}

/// The cutter's thread: collects jobs for a moment, makes a pass, rests.
fn cuts(cutter: &Cutter, jobs: &Receiver<Job>, done: &Sender<(Job, Packets)>, over: &Stop) {
    while let Ok(first) = jobs.recv() {
        over.wait(RETRY);
        let all: Vec<Job> = std::iter::once(first).chain(jobs.try_iter().take(cut::MAX_JOBS - 1)).collect();
        for (job, packets) in all.iter().zip(cutter.pass(&all)) {
            let _ = done.send((job.clone(), packets)); // nobody asks any more
        }
        over.wait(cut::PAUSE);
    }
}

/// Where everything comes together: the judge's thread.
struct Desk {
    judge: Judge,
    place: Option<Place>,
    /// Whether alerts of theirs were counted that lie behind the place.
    between: bool,
    settings: Settings,
    shared: Arc<Shared>,
    telemetry: Arc<Telemetry>,
    index: Arc<ring::Index>,
    to_cutter: Option<SyncSender<Job>>,
    cuttings: Receiver<(Job, Packets)>,
    written: Timestamp,
    told: bool,
}

impl Desk {
    fn run(mut self, messages: &Receiver<Message>) {
        self.report();
        self.prune();
        loop {
            // Read before the queue is emptied: what was read until then is in it.
            let theirs = self.theirs();
            let next = messages.recv_timeout(TICK);
            // Everybody who could send has gone, and nothing is left.
            let ended = matches!(next, Err(RecvTimeoutError::Disconnected));
            // As many as can have been in it.
            next.into_iter().chain(messages.try_iter().take(QUEUE)).for_each(|m| self.message(m));
            self.tick(theirs);
            if ended {
                break;
            }
        }
        self.judge.end();
        // The cutter makes its last pass when there will be no more jobs.
        self.to_cutter = None;
        while let Ok((job, packets)) = self.cuttings.recv() {
            self.judge.cut(&job.day, &job.pair, packets);
        }
        if let Some(day) = self.judge.before.take() {
            self.write(&day);
        }
        self.report();
    }

    fn theirs(&self) -> Theirs {
        let at = |time: &AtomicI64| Timestamp::from_micros(time.load(SeqCst));
        let read_to = at(&self.shared.read_to);
        Theirs { read_to, last_line: at(&self.shared.last_line), lines: self.shared.lines.load(SeqCst) }
    }

    fn message(&mut self, message: Message) {
        let now = self.shared.clock.now();
        match message {
            Message::Alert(side, alert) => {
                self.between |= side == Side::Theirs;
                self.judge.alert(side, alert, now);
            }
            Message::Gap(reason) => self.judge.lost(Side::Theirs, reason, 0, now),
            Message::Reached(place) => {
                self.between = false;
                self.place = Some(place);
                if self.due() {
                    self.report();
                }
            }
        }
    }

    fn tick(&mut self, theirs: Theirs) {
        let now = self.shared.clock.now();
        let shed = self.shared.shed.swap(0, SeqCst);
        if shed > 0 {
            self.judge.lost(Side::Ours, "queue-full", shed, now);
        }
        let was_silent = self.judge.silent_since.is_some();
        let over = self.judge.tick(now, theirs, self.index.counts());
        if let Some(since) = self.judge.silent_since.filter(|_| !was_silent) {
            tracing::warn!(%since, eve = %self.settings.eve.display(), "shadow: theirs is silent; nothing is compared until it writes again");
        }
        for job in self.judge.jobs() {
            let refused = self.to_cutter.as_ref().and_then(|to| to.try_send(job).err());
            if let Some(std::sync::mpsc::TrySendError::Full(job) | std::sync::mpsc::TrySendError::Disconnected(job)) =
                refused
            {
                self.judge.cut(&job.day, &job.pair, Packets::None("too-many-at-once".into()));
            }
        }
        let cuttings: Vec<(Job, Packets)> = self.cuttings.try_iter().collect();
        let cut = !cuttings.is_empty();
        for (job, packets) in cuttings {
            self.judge.cut(&job.day, &job.pair, packets);
        }
        if let Some(day) = self.judge.before.take_if(|d| d.wanted() == 0) {
            self.write(&day);
        }
        if let Some(day) = &over {
            self.write(day);
        }
        if cut || over.is_some() {
            self.prune();
        }
        if self.due() {
            self.report();
        }
        self.telemetry.set_shadow(self.judge.counts(), self.index.counts());
    }

    /// Whether it is time for a report.
    fn due(&self) -> bool {
        let since = self.shared.clock.now().since(self.written) / 1_000_000;
        !(0..REPORT_S).contains(&since) || self.judge.news && since >= NEWS_S && self.judge.day.open.len() < LONG
    }

    /// Keeps where we are, and tells today. Only where the place is behind all that was counted: else the next one will.
    fn report(&mut self) {
        if self.between {
            return;
        }
        self.written = self.shared.clock.now();
        let seen = self.telemetry.capture();
        let shed = seen.dropped.get(&("dispatch", "queue-full")).copied().unwrap_or(0);
        self.judge.packets([seen.packets, seen.drops + shed]);
        self.judge.news = false;
        self.judge.note_waiting();
        let state = State {
            eve: self.settings.eve.clone(),
            place: self.place.clone(),
            day: std::mem::take(&mut self.judge.day),
        };
        let kept = state.keep(&self.settings.dir);
        self.judge.day = state.day;
        self.said(kept.map_err(Into::into));
        self.said(report::write(&self.settings.dir, &self.judge.day, self.judge.silent_since, self.written));
    }

    fn write(&mut self, day: &Day) {
        self.said(report::write(&self.settings.dir, day, None, self.shared.clock.now()));
    }

    fn prune(&mut self) {
        let Settings { dir, keep_days, keep, .. } = &self.settings;
        let done = keep::prune(dir, self.shared.clock.now(), *keep_days, *keep);
        self.said(done.map_err(Into::into));
    }

    fn said(&mut self, done: anyhow::Result<()>) {
        match done {
            Ok(()) => {}
            // One line for a lasting fault.
            Err(e) if !std::mem::replace(&mut self.told, true) => {
                tracing::warn!(dir = %self.settings.dir.display(), error = format!("{e:#}"), "shadow: cannot write; the comparison goes on in memory");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use lagewarte_base::clock::ManualClock;

    use super::*;

    const ALERT: &str = "{\"event_type\":\"alert\",\"src_ip\":\"192.0.2.1\",\"dest_ip\":\"192.0.2.2\",\"proto\":\"ICMP\",\"alert\":{\"signature_id\":1}}";

    fn shared() -> Arc<Shared> {
        Arc::new(Shared {
            clock: Arc::new(ManualClock::new(Timestamp::from_micros(7))),
            over: Stop::default(),
            last_line: AtomicI64::new(0),
            read_to: AtomicI64::new(0),
            lines: AtomicU64::new(0),
            shed: AtomicU64::new(0),
        })
    }

    #[test]
    fn our_alerts_do_not_wait_for_the_judge() {
        let (to, messages) = sync_channel(QUEUE);
        let ours = Ours { to, shared: shared() };
        (0..QUEUE + 3).for_each(|_| ours.take(ALERT));
        ours.take("{\"event_type\":\"flow\"}");
        assert_eq!(ours.shared.shed.load(SeqCst), 3);
        assert_eq!(messages.try_iter().count(), QUEUE);
    }

    #[test]
    fn each_line_of_theirs_is_an_alert_a_gap_or_a_sign_of_life() {
        let (to, messages) = sync_channel(QUEUE);
        let mut theirs = Reader { to, shared: shared(), place: None, uptime: 0 };
        let up = |s: u32| format!("{{\"event_type\":\"stats\",\"stats\":{{\"uptime\":{s}}}}}");
        let lines = [up(8), up(16), ALERT.into(), up(4), up(12), ALERT.replace("192.0.2.1", "x"), "{}".into()];
        assert!(lines.iter().all(|l| theirs.line(l.as_bytes())));
        let got: Vec<String> = messages
            .try_iter()
            .map(|m| match m {
                Message::Alert(side, a) => format!("{side:?} {}", a.sid),
                Message::Gap(reason) => reason.into(),
                Message::Reached(_) => "reached".into(),
            })
            .collect();
        assert_eq!(got, ["Theirs 1", "restarted", "unreadable-alert"]);
        assert_eq!((theirs.shared.lines.load(SeqCst), theirs.shared.last_line.load(SeqCst)), (7, 7));
        drop(messages);
        assert!(!theirs.line(ALERT.as_bytes()), "the judge has gone");
    }
}
