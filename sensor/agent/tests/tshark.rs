// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The bytes of every TCP stream of the project's captures, against what tshark puts together (`-z follow,tcp,raw`).

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use lagewarte_base::time::Timestamp;
use lagewarte_capture::{CaptureFile, Next, Source};
use lagewarte_decode::{Decoder, RawFrame};
use lagewarte_event::eve::Record;
use lagewarte_flow::{ChunkKind, Config, Ended, Flow, FlowTable, Outcome, Reason};

type End = (IpAddr, u16);
/// By (sender, receiver): the bytes of each stream between them, in the order of its beginning.
type Streams = BTreeMap<(End, End), Vec<Vec<u8>>>;

#[derive(Default)]
struct Ours {
    streams: Streams,
    /// Bytes of flows that are not over.
    open: BTreeMap<i64, [Vec<u8>; 2]>,
    gaps: u64,
    /// TCP flows, with data or without.
    flows: usize,
}

impl Ours {
    fn take(&mut self, flow: &mut Flow) {
        let Some(stream) = &mut flow.stream else { return };
        let both = self.open.entry(flow.id).or_default();
        while let Some(c) = stream.next_chunk() {
            if let ChunkKind::Gap(_) = c.kind {
                self.gaps += 1;
            }
            both[c.direction.index()].extend_from_slice(c.data);
        }
    }
}

impl Ended for Ours {
    fn ending(&mut self, flow: &mut Flow, _: Reason, _: u64) {
        self.flows += usize::from(flow.proto == 6);
        self.take(flow);
        let Some([c, s]) = self.open.remove(&flow.id) else { return };
        let ends = ((flow.client, flow.client_port), (flow.server, flow.server_port));
        self.streams.entry(ends).or_default().push(c);
        self.streams.entry((ends.1, ends.0)).or_default().push(s);
    }
    fn record(&mut self, _: Record, _: &Flow) {}
}

fn ours(path: &Path) -> Ours {
    let mut file = CaptureFile::open(path, None).expect("a capture");
    let mut cfg = Config::default();
    (cfg.stream.depth, cfg.stream.raw) = (0, false);
    let mut table = FlowTable::new(Arc::new(cfg), 1);
    let (mut out, mut index, mut last) = (Ours::default(), 0, Timestamp::default());
    while let Next::Frame(f) = file.next().expect("a frame") {
        (index, last) = (index + 1, f.time);
        let raw = RawFrame { index, time: f.time, linktype: f.linktype, wire_len: f.wire_len, data: f.data };
        let p = Decoder { checksums: false, ..Decoder::default() }.decode(raw);
        let found = table.packet(&p, &mut out);
        if let Outcome::Flow(mut f) = found {
            // The table lent its flow: what it holds goes to the same place as at its end.
            let mut one = Ours::default();
            one.take(f.flow);
            f.release();
            let id = f.flow.id;
            out.gaps += one.gaps;
            if let Some([c, s]) = one.open.remove(&id) {
                let both = out.open.entry(id).or_default();
                both[0].extend(c);
                both[1].extend(s);
            }
        }
    }
    table.finish(last, index, &mut out);
    out
}

fn theirs(path: &Path, most: usize) -> Streams {
    // All in one run: as many as there can be.
    let mut command = Command::new("tshark");
    command.arg("-r").arg(path).arg("-q");
    for n in 0..most {
        command.args(["-z", &format!("follow,tcp,raw,{n}")]);
    }
    let out = command.output().expect("tshark runs");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let mut streams = Streams::new();
    for block in text.split("Follow: tcp,raw") {
        let node = |i: usize| -> Option<End> {
            let line = block.lines().find_map(|l| l.strip_prefix(&format!("Node {i}: ")))?;
            let (host, port) = line.rsplit_once(':')?;
            Some((host.trim_matches(['[', ']']).parse().ok()?, port.parse().ok()?))
        };
        let (Some(a), Some(b)) = (node(0), node(1)) else { continue };
        let (mut from_a, mut from_b) = (Vec::new(), Vec::new());
        for line in block.lines() {
            let (to, hex) = match line.strip_prefix('\t') {
                Some(rest) => (&mut from_b, rest),
                None => (&mut from_a, line),
            };
            if !hex.is_empty() && hex.bytes().all(|c| c.is_ascii_hexdigit()) {
                to.extend((0..hex.len() / 2).filter_map(|i| u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()));
            }
        }
        streams.entry((a, b)).or_default().push(from_a);
        streams.entry((b, a)).or_default().push(from_b);
    }
    streams
}

fn captures() -> Vec<PathBuf> {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let inside = |folder: PathBuf| -> Vec<PathBuf> {
        std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()).collect()
    };
    let mut files = inside(rules.join("captures"));
    files.extend(inside(rules.join("sets/tests")).into_iter().map(|d| d.join("fires.pcap")));
    files.retain(|p| p.is_file() && p.extension().is_some_and(|e| e == "pcap"));
    files.sort();
    files
}

#[test]
fn streams_of_the_captures_are_what_tshark_puts_together() {
    if Command::new("tshark").arg("-v").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI has tshark: cargo xtask setup");
        eprintln!("not run: tshark is not installed (cargo xtask setup)");
        return;
    }
    let files = captures();
    let (mut compared, mut bytes) = (0, 0);
    for path in &files {
        let mine = ours(path);
        if mine.streams.values().flatten().all(Vec::is_empty) {
            continue;
        }
        let want = theirs(path, mine.flows);
        assert_eq!(mine.gaps, 0, "{}: our own captures miss nothing", path.display());
        for (ends, streams) in &mine.streams {
            let other = want.get(ends).cloned().unwrap_or_default();
            let sizes = |s: &[Vec<u8>]| s.iter().map(Vec::len).collect::<Vec<_>>();
            let said = |s: &[Vec<u8>]| {
                let mut said: Vec<_> = s.iter().filter(|b| !b.is_empty()).cloned().collect();
                said.sort(); // tshark tells them in another order
                said
            };
            assert_eq!(
                said(streams),
                said(&other),
                "{} {ends:?}: {:?} against {:?}",
                path.display(),
                sizes(streams),
                sizes(&other)
            );
            compared += 1;
            bytes += streams.iter().map(Vec::len).sum::<usize>();
        }
    }
    assert!(compared >= 20 && bytes > 10_000, "{compared} directions, {bytes} bytes of {} captures", files.len());
    eprintln!("{compared} directions, {bytes} bytes of {} captures agree", files.len());
}
