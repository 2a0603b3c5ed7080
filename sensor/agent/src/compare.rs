// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Two EVE files of the same traffic, ours and another engine's: which rules alerted how often, and on which flows not alike.
//!
//! Alerts are counted by sid and flow: protocol and both ends, whichever way round. Must never hold more than
//! [`MAX_FLOWS`] pairs of sid and flow; beyond it the comparison ends with an error, since half of one says nothing. The
//! shadow mode of `run` ([`crate::shadow`]) compares with the same means, alert by alert.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::BufRead,
    net::IpAddr,
};

use anyhow::{Context as _, bail};
use lagewarte_base::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Most pairs of sid and flow of one side. Threat: a file of another kind, or of a year, held in memory.
pub const MAX_FLOWS: usize = 1 << 20;
/// Longest line. Threat: a file without line ends.
pub const MAX_LINE: usize = 16 << 20;
/// Longest name of a protocol. Threat: a line that makes each flow held as large as itself.
pub const MAX_PROTO: usize = 32;

/// A flow without a direction: protocol, and its two ends in their order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Conversation {
    /// As EVE names it.
    pub proto: String,
    /// The smaller end.
    pub a: End,
    /// The other.
    pub b: End,
}

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct End {
    /// Its address.
    pub ip: Option<IpAddr>,
    /// Its port; None for protocols without ports.
    pub port: Option<u16>,
}

/// An alert, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The rule.
    pub sid: u32,
    /// The flow.
    pub flow: Conversation,
    /// When, by its own word.
    pub time: Option<Timestamp>,
    /// When its flow began, where it says so.
    pub since: Option<Timestamp>,
}

/// What a line of EVE holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// An alert.
    Alert(Alert),
    /// Counters of an engine that has been up for so many seconds.
    Uptime(u64),
    /// Another event.
    Other,
    /// Nothing that can be read: no JSON object with an event type, or an alert without a rule.
    Unreadable,
}

/// The alerts of one file.
#[derive(Clone, Debug, Default)]
pub struct Alerts {
    by_sid: BTreeMap<u32, BTreeMap<Conversation, u64>>,
    /// Alerts by rule whose flows are alike on both sides and not held.
    alike: BTreeMap<u32, u64>,
    pairs: usize,
    /// Alerts.
    pub alerts: u64,
    /// Lines that are no JSON object with an event type: a last line cut off, mostly.
    pub unreadable: u64,
}

#[derive(Deserialize)]
struct Event {
    event_type: String,
    src_ip: Option<IpAddr>,
    src_port: Option<u16>,
    dest_ip: Option<IpAddr>,
    dest_port: Option<u16>,
    proto: Option<String>,
    timestamp: Option<String>,
    alert: Option<Rule>,
    flow: Option<Flow>,
    stats: Option<Stats>,
}

#[derive(Deserialize)]
struct Stats {
    uptime: Option<u64>,
}

#[derive(Deserialize)]
struct Rule {
    signature_id: u32,
}

#[derive(Deserialize)]
struct Flow {
    start: Option<String>,
}

/// Reads one line of EVE.
pub fn line(text: &[u8]) -> Line {
    let Ok(event) = serde_json::from_slice::<Event>(text) else { return Line::Unreadable };
    if event.event_type != "alert" {
        return event.stats.and_then(|s| s.uptime).map_or(Line::Other, Line::Uptime);
    }
    if event.proto.as_ref().is_some_and(|p| p.len() > MAX_PROTO) {
        return Line::Unreadable;
    }
    let Some(rule) = &event.alert else { return Line::Unreadable };
    let time = |t: &Option<String>| t.as_deref().and_then(Timestamp::parse_eve);
    let since = event.flow.as_ref().and_then(|f| time(&f.start));
    Line::Alert(Alert { sid: rule.signature_id, time: time(&event.timestamp), since, flow: conversation(event) })
}

impl Alerts {
    /// Reads an EVE file; sids of `ignored` are left out.
    ///
    /// # Errors
    /// Where it cannot be read, or is too large to be compared.
    pub fn read(file: &mut dyn BufRead, ignored: &BTreeSet<u32>) -> anyhow::Result<Self> {
        let mut out = Self::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            let n = std::io::Read::take(&mut *file, MAX_LINE as u64).read_until(b'\n', &mut line)?;
            if n == 0 {
                return Ok(out);
            }
            if n == MAX_LINE {
                bail!("a line is longer than {MAX_LINE} bytes; is it an EVE file?");
            }
            match self::line(&line) {
                Line::Alert(alert) if !ignored.contains(&alert.sid) => out.add(alert.sid, alert.flow, 1)?,
                Line::Alert(_) | Line::Uptime(_) | Line::Other => {}
                Line::Unreadable => out.unreadable += u64::from(!line.trim_ascii().is_empty()),
            }
        }
    }

    /// Counts `n` alerts of a rule on a flow.
    ///
    /// # Errors
    /// Where that is one pair of rule and flow too many.
    pub fn add(&mut self, sid: u32, flow: Conversation, n: u64) -> anyhow::Result<()> {
        self.alerts += n;
        let flows = self.by_sid.entry(sid).or_default();
        let before = flows.len();
        *flows.entry(flow).or_default() += n;
        self.pairs += flows.len() - before;
        if self.pairs > MAX_FLOWS {
            bail!("alerts on more than {MAX_FLOWS} pairs of rule and flow; compare shorter stretches of time");
        }
        Ok(())
    }

    /// Counts `n` alerts of a rule that the other side is told in the same way, on whichever flows.
    pub fn alike(&mut self, sid: u32, n: u64) {
        self.alerts += n;
        *self.alike.entry(sid).or_default() += n;
    }

    fn sids(&self) -> impl Iterator<Item = u32> {
        self.by_sid.keys().chain(self.alike.keys()).copied()
    }

    fn of(&self, sid: u32) -> u64 {
        let flows: u64 = self.by_sid.get(&sid).map_or(0, |f| f.values().sum());
        flows + self.alike.get(&sid).copied().unwrap_or(0)
    }
}

fn conversation(e: Event) -> Conversation {
    let one = End { ip: e.src_ip, port: e.src_port };
    let two = End { ip: e.dest_ip, port: e.dest_port };
    let (a, b) = if one <= two { (one, two) } else { (two, one) };
    Conversation { proto: e.proto.unwrap_or_default(), a, b }
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Alerts of ours, and of theirs.
    pub alerts: [u64; 2],
    /// Lines that could not be read.
    pub unreadable: [u64; 2],
    /// Rules that alerted on either side.
    pub sids: usize,
    /// Of them those with the same number of alerts on both sides.
    pub same_count: usize,
    /// Of them those that agree on each flow, too.
    pub same_flows: usize,
    /// Rules that do not agree, by sid.
    pub differences: Vec<Difference>,
}

/// One rule that does not agree.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The rule.
    pub sid: u32,
    /// Alerts of ours.
    pub ours: u64,
    /// Alerts of theirs.
    pub theirs: u64,
    /// Flows on which they differ, the first of them.
    pub flows: Vec<FlowDifference>,
    /// Flows on which they differ and that are not listed.
    pub more_flows: usize,
}

/// One flow on which a rule does not agree.
#[derive(Clone, Debug, Serialize)]
pub struct FlowDifference {
    /// The flow.
    #[serde(flatten)]
    pub flow: Conversation,
    /// Alerts of ours.
    pub ours: u64,
    /// Alerts of theirs.
    pub theirs: u64,
}

impl Comparison {
    /// Compares two files' alerts; lists at most `most` flows of a rule.
    pub fn new(ours: &Alerts, theirs: &Alerts, most: usize) -> Self {
        let sids: BTreeSet<u32> = ours.sids().chain(theirs.sids()).collect();
        let none = BTreeMap::new();
        let (mut same_count, mut same_flows, mut differences) = (0, 0, Vec::new());
        for &sid in &sids {
            let [a, b] = [ours, theirs].map(|s| s.by_sid.get(&sid).unwrap_or(&none));
            let [sum_a, sum_b] = [ours, theirs].map(|s| s.of(sid));
            same_count += usize::from(sum_a == sum_b);
            if a == b && sum_a == sum_b {
                same_flows += 1;
                continue;
            }
            let all: BTreeSet<&Conversation> = a.keys().chain(b.keys()).collect();
            let mut flows: Vec<FlowDifference> = all
                .into_iter()
                .map(|f| {
                    let [ours, theirs] = [a, b].map(|s| s.get(f).copied().unwrap_or(0));
                    FlowDifference { flow: f.clone(), ours, theirs }
                })
                .filter(|d| d.ours != d.theirs)
                .collect();
            let more_flows = flows.len().saturating_sub(most);
            flows.truncate(most);
            differences.push(Difference { sid, ours: sum_a, theirs: sum_b, flows, more_flows });
        }
        Self {
            alerts: [ours.alerts, theirs.alerts],
            unreadable: [ours.unreadable, theirs.unreadable],
            sids: sids.len(),
            same_count,
            same_flows,
            differences,
        }
    }

    /// Per cent of the rules whose number of alerts is the same; 100 where none alerted.
    pub fn agreement(&self) -> f64 {
        if self.sids == 0 { 100.0 } else { self.same_count as f64 * 100.0 / self.sids as f64 }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let [ours, theirs] = self.alerts;
        // Writing to a string does not fail.
        let _ = writeln!(out, "alerts: {ours} ours, {theirs} theirs");
        let _ = writeln!(
            out,
            "rules: {}; {} ({:.1} %) with the same number of alerts, {} alike on each flow",
            self.sids,
            self.same_count,
            self.agreement(),
            self.same_flows
        );
        if self.unreadable != [0, 0] {
            let _ = writeln!(out, "lines not read: {} ours, {} theirs", self.unreadable[0], self.unreadable[1]);
        }
        for d in &self.differences {
            let _ = writeln!(out, "sid {}: {} ours, {} theirs", d.sid, d.ours, d.theirs);
            for f in &d.flows {
                let _ = writeln!(
                    out,
                    "  {} {} – {}: {} ours, {} theirs",
                    f.flow.proto, f.flow.a, f.flow.b, f.ours, f.theirs
                );
            }
            if d.more_flows > 0 {
                let _ = writeln!(out, "  and {} flows more", d.more_flows);
            }
        }
        out
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.ip, self.port) {
            (Some(IpAddr::V6(ip)), Some(port)) => write!(f, "[{ip}]:{port}"),
            (Some(ip), Some(port)) => write!(f, "{ip}:{port}"),
            (Some(ip), None) => write!(f, "{ip}"),
            (None, _) => f.write_str("no address"),
        }
    }
}

/// Compares two files.
///
/// # Errors
/// Where one cannot be read; which, is said.
pub fn files(
    ours: &std::path::Path,
    theirs: &std::path::Path,
    ignored: &BTreeSet<u32>,
    most: usize,
) -> anyhow::Result<Comparison> {
    let read = |path: &std::path::Path| -> anyhow::Result<Alerts> {
        let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let mut file = std::io::BufReader::with_capacity(1 << 18, file);
        Alerts::read(&mut file, ignored).with_context(|| format!("reading {}", path.display()))
    };
    Ok(Comparison::new(&read(ours)?, &read(theirs)?, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(sid: u32, src: &str, dest: &str) -> String {
        let ((a, p), (b, q)) = (src.rsplit_once(':').expect("a port"), dest.rsplit_once(':').expect("a port"));
        format!(
            "{{\"event_type\":\"alert\",\"src_ip\":\"{a}\",\"src_port\":{p},\"dest_ip\":\"{b}\",\"dest_port\":{q},\"proto\":\"TCP\",\"alert\":{{\"signature_id\":{sid}}}}}\n"
        )
    }

    fn read(text: &str) -> Alerts {
        Alerts::read(&mut text.as_bytes(), &BTreeSet::from([99])).expect("read")
    }

    #[test]
    fn rules_are_compared_by_number_and_by_flow() {
        let (one, two, three) = ("192.0.2.1:1", "192.0.2.2:2", "2001:0db8:0000:0000:0000:0000:0000:0003:3");
        let ours =
            [alert(1, one, two), alert(2, one, two), alert(3, one, two), alert(4, one, two), alert(99, one, two)];
        // The same flow the other way round; the same number on another flow; more of them; none; one only they have.
        let theirs = [
            alert(1, two, one),
            alert(2, one, "192.0.2.2:3"),
            alert(3, one, two),
            alert(3, one, two),
            alert(5, "2001:db8::3:3", two),
            alert(5, three, two),
        ];
        let ours = ours.concat() + "{\"event_type\":\"flow\"}\n\n{\"event_type\":\"al";
        let c = Comparison::new(&read(&ours), &read(&theirs.concat()), 1);
        assert_eq!((c.alerts, c.unreadable), ([4, 6], [1, 0]));
        assert_eq!((c.sids, c.same_count, c.same_flows), (5, 2, 1));
        let sums: Vec<_> =
            c.differences.iter().map(|d| (d.sid, d.ours, d.theirs, d.flows.len(), d.more_flows)).collect();
        assert_eq!(sums, [(2, 1, 1, 1, 1), (3, 1, 2, 1, 0), (4, 1, 0, 1, 0), (5, 0, 2, 1, 0)]);
        assert!((c.agreement() - 40.0).abs() < 1e-9);
        let text = c.text();
        for want in [
            "5; 2 (40.0 %)",
            "sid 3: 1 ours, 2 theirs",
            "TCP 192.0.2.1:1 – 192.0.2.2:2",
            "and 1 flows more",
            "[2001:db8::3]:3",
        ] {
            assert!(text.contains(want), "{want} is missing in\n{text}");
        }
        let json = serde_json::to_value(&c).expect("JSON");
        assert_eq!(json["differences"][1]["flows"][0]["a"]["ip"], "192.0.2.1");
    }

    #[test]
    fn alerts_alike_count_for_their_rule_and_a_long_protocol_is_not_held() {
        let flow = |text: &str| match line(text.as_bytes()) {
            Line::Alert(a) => a.flow,
            other => panic!("{other:?}"),
        };
        let [mut ours, mut theirs] = [read(""), read("")];
        [&mut ours, &mut theirs].into_iter().for_each(|s| s.alike(7, 3));
        theirs.add(7, flow(&alert(7, "192.0.2.1:1", "192.0.2.2:2")), 2).expect("room");
        let c = Comparison::new(&ours, &theirs, 1);
        assert_eq!((c.alerts, c.sids, c.same_count, c.same_flows), ([3, 5], 1, 0, 0));
        assert_eq!((c.differences[0].ours, c.differences[0].theirs, c.differences[0].flows.len()), (3, 5, 1));

        let text = alert(1, "192.0.2.1:1", "192.0.2.2:2");
        assert_eq!(flow(&text.replace("TCP", &"x".repeat(MAX_PROTO))).proto.len(), MAX_PROTO);
        assert_eq!(line(text.replace("TCP", &"x".repeat(MAX_PROTO + 1)).as_bytes()), Line::Unreadable);
        assert_eq!(line(b"{\"event_type\":\"alert\"}"), Line::Unreadable);
        assert_eq!(line(b"{\"event_type\":\"stats\",\"stats\":{\"uptime\":8,\"capture\":{}}}"), Line::Uptime(8));
        let told = text.replace(
            "\"proto\"",
            "\"timestamp\":\"2026-01-02T03:04:05.000006+0000\",\"flow\":{\"start\":\"2026-01-02T03:04:04.000000+0000\"},\"proto\"",
        );
        let Line::Alert(a) = line(told.as_bytes()) else { panic!("no alert") };
        assert_eq!(a.time, Some(Timestamp::from_parts(1_767_323_045, 6)));
        assert_eq!(a.since, Some(Timestamp::from_parts(1_767_323_044, 0)));
    }

    #[test]
    fn nothing_at_all_agrees_and_a_file_without_lines_is_refused() {
        let c = Comparison::new(&read(""), &read(""), 1);
        assert!((c.agreement() - 100.0).abs() < 1e-9);
        let mut endless = std::io::BufReader::new(std::io::Read::take(std::io::repeat(b'x'), 2 * MAX_LINE as u64));
        assert!(Alerts::read(&mut endless, &BTreeSet::new()).is_err());
    }
}
