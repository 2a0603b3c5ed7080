// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The report of a day, for programs (`report.json`) and for people (`report.txt`), and what a restart goes on with.
//!
//! Readable by the sensor's user only: addresses stand in it as they are. Must never go anywhere but into the folder of
//! the shadow mode.

use std::{
    fmt::Write as _,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use lagewarte_base::{
    fs::{Fs as _, RealFs},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::day::{Day, Packets, Ring, Tally};
use crate::{
    compare::{Comparison, Conversation},
    tail::lines::Place,
};

/// Flows of a rule that are told to programs, and to people.
const FLOWS: [usize; 2] = [100, 10];
/// Largest state that is read, bytes. A full day of differences is a tenth. Threat: a wrong file filling the memory.
const MAX_STATE: usize = 64 << 20;

/// What a restart goes on with. Written as one, so that no line of theirs is counted twice or left out.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// The file that was followed.
    pub eve: PathBuf,
    /// How far it was read.
    pub place: Option<Place>,
    /// The day.
    pub day: Day,
}

impl State {
    fn path(dir: &Path) -> PathBuf {
        dir.join("state.json")
    }

    /// Reads it; None where there is none.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn load(dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = Self::path(dir);
        match RealFs.read(&path, 0, MAX_STATE) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| {
                    format!("{} is damaged: remove it to begin anew (the day's counts so far are lost)", path.display())
                })
                .map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| path.display().to_string()),
        }
    }

    /// Keeps it.
    ///
    /// # Errors
    /// The system's.
    pub fn keep(&self, dir: &Path) -> io::Result<()> {
        RealFs.replace(&Self::path(dir), &serde_json::to_vec(self)?, true)
    }
}

/// `report.json`.
#[derive(Serialize)]
struct Report<'a> {
    day: &'a str,
    time_zone: &'static str,
    written: Timed,
    /// Whether the day is over.
    complete: bool,
    version: &'static str,
    up: Up,
    ours: &'a Tally,
    theirs: &'a Tally,
    /// Partners that met after the grace, among those matched.
    late: u64,
    gaps: &'a std::collections::BTreeMap<String, u64>,
    comparison: &'a Comparison,
    packets: Vec<Cut<'a>>,
    ring: Ring,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Timed(String);

#[derive(Serialize)]
struct Up {
    /// Seconds in which this sensor compared.
    ours_s: i64,
    /// Of them those in which theirs wrote nothing at all for longer than the grace.
    theirs_silent_s: i64,
    /// The rest: both were up.
    both_s: i64,
    silences: u64,
    theirs_silent_since: Option<Timed>,
    restarts: u64,
    theirs_lines: u64,
    /// Packets that reached this sensor.
    packets: u64,
    /// Packets that it did not look at: dropped by the kernel, or shed.
    packets_lost: u64,
}

#[derive(Serialize)]
struct Cut<'a> {
    sid: u32,
    #[serde(flatten)]
    flow: &'a Conversation,
    ours: u64,
    theirs: u64,
    #[serde(flatten)]
    packets: Told<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Told<'a> {
    File { file: &'a str, packets: u64, whole: bool },
    None { none: &'a str },
}

fn told(p: &Packets) -> Told<'_> {
    match p {
        Packets::Wanted => Told::None { none: "being-cut" },
        Packets::None(reason) => Told::None { none: reason },
        Packets::File { file, packets, whole } => Told::File { file, packets: *packets, whole: *whole },
    }
}

/// Writes both forms into the day's folder.
///
/// # Errors
/// The system's.
pub fn write(dir: &Path, day: &Day, silent_since: Option<Timestamp>, now: Timestamp) -> anyhow::Result<()> {
    let folder = dir.join(&day.day);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let [c, short] = [day.comparison(FLOWS[0])?, day.comparison(FLOWS[1])?];
    let over = super::day::of(now) != day.day;
    let s = |us: i64| us / 1_000_000;
    let report = Report {
        day: &day.day,
        time_zone: "UTC",
        written: Timed(now.eve()),
        complete: over,
        version: env!("CARGO_PKG_VERSION"),
        up: Up {
            ours_s: s(day.up_us),
            theirs_silent_s: s(day.silent_us),
            both_s: s(day.up_us) - s(day.silent_us),
            silences: day.silences,
            theirs_silent_since: silent_since.filter(|_| !over).map(|t| Timed(t.eve())),
            restarts: day.restarts,
            theirs_lines: day.lines,
            packets: day.packets[0],
            packets_lost: day.packets[1],
        },
        ours: &day.sides[0],
        theirs: &day.sides[1],
        late: day.late,
        gaps: &day.gaps,
        comparison: &c,
        packets: day
            .open
            .iter()
            .map(|((sid, flow), o)| Cut {
                sid: *sid,
                flow,
                ours: o.alone[0],
                theirs: o.alone[1],
                packets: told(&o.packets),
            })
            .collect(),
        ring: day.ring,
    };
    // The text first: who finds the new counts finds their text, too.
    RealFs.replace(&folder.join("report.txt"), text(&report, &short, day).as_bytes(), true)?;
    RealFs.replace(&folder.join("report.json"), &serde_json::to_vec_pretty(&report)?, true)?;
    Ok(())
}

fn text(r: &Report<'_>, short: &Comparison, day: &Day) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(out, "Shadow report of {} (UTC), written {}", r.day, r.written.0);
    let _ = writeln!(out, "{}", if r.complete { "The day is over." } else { "The day is not over: so far." });
    let _ = writeln!(out);
    let (up, silent) = (span(r.up.ours_s), span(r.up.theirs_silent_s));
    let _ = writeln!(out, "compared for {up}; theirs was silent for {silent} of it ({} times)", r.up.silences);
    if let Some(since) = &r.up.theirs_silent_since {
        let _ = writeln!(
            out,
            "THEIRS IS SILENT since {}: nothing is compared. Does the Suricata run, and is this its eve.json?",
            since.0
        );
    }
    if r.up.restarts > 0 {
        let _ = writeln!(out, "this sensor began anew {} times", r.up.restarts);
    }
    if r.up.both_s == 0 {
        let _ = writeln!(out, "THE TWO WERE NEVER UP TOGETHER: that there are no differences says nothing.");
    }
    let _ = writeln!(out, "this sensor: {} packets, {} of them not looked at", r.up.packets, r.up.packets_lost);
    for (name, t) in [("ours", r.ours), ("theirs", r.theirs)] {
        let _ = writeln!(
            out,
            "{name}: {} alerts, {} waiting from the day before; {} have their partner, {} differ, {} not compared, {} wait",
            t.came,
            t.carried,
            t.matched,
            t.differing,
            t.not_compared.values().sum::<u64>(),
            t.waiting
        );
        for (reason, n) in &t.not_compared {
            let _ = writeln!(out, "  not compared: {n} {reason}");
        }
    }
    if r.late > 0 {
        let _ = writeln!(out, "{} partners came late, and count as partners", r.late);
    }
    for (reason, n) in r.gaps {
        let _ = writeln!(out, "lost on the way: {n} {reason}");
    }
    let _ = writeln!(out, "\nOf the alerts that were compared (numbers of flows are of alerts without a partner):\n");
    out.push_str(&short.text());
    let files = day.open.iter().filter(|(_, o)| matches!(o.packets, Packets::File { .. })).count();
    let _ = writeln!(out, "\nPackets: {files} files");
    for ((sid, flow), open) in &day.open {
        let _ = match &open.packets {
            Packets::File { file, packets, whole } => {
                let cut = if *whole { "" } else { ", the first of them" };
                writeln!(out, "  {file}: sid {sid}, {} {} – {}: {packets} packets{cut}", flow.proto, flow.a, flow.b)
            }
            _ => Ok(()),
        };
    }
    let mut missing = std::collections::BTreeMap::<&str, u64>::new();
    for open in day.open.values() {
        if let Told::None { none } = told(&open.packets) {
            *missing.entry(none).or_default() += 1;
        }
    }
    for (reason, n) in missing {
        let _ = writeln!(out, "  no packets: {n} {reason}");
    }
    let Ring { written, queue_full, disk, link_type, reach_us } = r.ring;
    let _ = writeln!(out, "  ring: {written} packets, reaching back {}", span(reach_us / 1_000_000));
    for (n, why) in
        [(queue_full, "the disk was too slow"), (disk, "the disk refused"), (link_type, "of another link type")]
    {
        if n > 0 {
            let _ = writeln!(out, "  not in the ring: {n} packets, {why}");
        }
    }
    out
}

fn span(s: i64) -> String {
    match s {
        ..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_is_none_is_told_and_read_no_further_than_its_cap() {
        let dir = tempfile::tempdir().unwrap();
        assert!(State::load(dir.path()).unwrap().is_none(), "nothing was kept yet");
        let path = State::path(dir.path());
        // A sparse file: what lies behind the cap would be a state, were it read.
        let file = fs::File::create(&path).unwrap();
        file.set_len(MAX_STATE as u64 + 1).unwrap();
        let told = format!("{:#}", State::load(dir.path()).unwrap_err());
        assert!(told.contains("is damaged: remove it to begin anew"), "{told}");
        let whole = serde_json::to_string(&State::default()).unwrap();
        fs::write(&path, &whole).unwrap();
        assert!(State::load(dir.path()).unwrap().is_some());
        // The same state behind so many blanks that its last byte lies beyond the cap.
        fs::write(&path, format!("{}{whole}", " ".repeat(MAX_STATE + 1 - whole.len()))).unwrap();
        assert!(State::load(dir.path()).is_err(), "cut at the cap");
    }
}
