// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Cuts the packets of differing flows out of the ring, into `DAY/SID-n.pcap`.
//!
//! One pass over the ring serves up to [`MAX_JOBS`] differences, and passes have a pause between them: a flood of
//! differences does not become a flood of reading. A packet is a flow's where it, or a packet that it carries, goes between
//! its ends; a fragment, which has no ports, where the addresses are those of the flow. Must never write more than
//! [`FILE_BYTES`] for a difference, nor more than its share for a day, and leaves no half file under a final name.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    net::IpAddr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lagewarte_base::time::Timestamp;
use lagewarte_capture::{CaptureFile, Frame, Next, Source as _};
use lagewarte_decode::{Decoder, Packet, RawFrame, Transport, supported};
use lagewarte_event::eve::proto_name;

use super::{
    day::Packets,
    judge::MAX_FILES_OF_RULE,
    ring::{self, Index},
    window::Pair,
};
use crate::compare::Conversation;

/// Most differences of one pass, and most that wait for it. Threat: a file open for every flow of a flood.
pub const MAX_JOBS: usize = 64;
/// Largest file of one difference, bytes. Threat: the download of a day in one flow.
pub const FILE_BYTES: u64 = 4 << 20;
/// Pause between two passes.
pub const PAUSE: Duration = Duration::from_secs(5);
/// Ending of a file that is not whole yet.
pub(super) const PART: &str = "part";
/// Packets this much before a flow's begin are its own, too: clocks of two engines.
const SLACK_US: i64 = 1_000_000;

/// A difference whose packets are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The day whose report names them.
    pub day: String,
    /// The rule and the flow.
    pub pair: Pair,
    /// Packets from then on.
    pub from: Timestamp,
    /// Packets up to then.
    pub to: Timestamp,
}

/// What cuts.
pub struct Cutter {
    /// Folder of the days.
    pub dir: PathBuf,
    /// The ring.
    pub index: Arc<Index>,
    /// As packets are decoded in this sensor.
    pub decoder: Decoder,
    /// Most bytes of packets of one day.
    pub day_bytes: u64,
}

/// A file being cut.
struct Cut<'j> {
    job: &'j Job,
    proto: Option<u8>,
    file: Option<(io::BufWriter<File>, PathBuf)>,
    bytes: u64,
    packets: u64,
    full: bool,
    failed: Option<&'static str>,
}

impl Cutter {
    /// One pass: what became of each job.
    pub fn pass(&self, jobs: &[Job]) -> Vec<Packets> {
        let mut cuts: Vec<Cut<'_>> = jobs.iter().map(Cut::new).collect();
        let mut by_ends: HashMap<[IpAddr; 2], Vec<usize>> = HashMap::new();
        for (at, job) in jobs.iter().enumerate() {
            if let (Some(a), Some(b)) = (job.pair.1.a.ip, job.pair.1.b.ip) {
                by_ends.entry(ordered(a, b)).or_default().push(at);
            }
        }
        let mut used: HashMap<&str, u64> = HashMap::new();
        for job in jobs {
            used.entry(&job.day).or_insert_with(|| size(&self.dir.join(&job.day)));
        }
        let from = jobs.iter().map(|j| j.from).min().unwrap_or_default();
        let from = Timestamp::from_micros(from.micros().saturating_sub(SLACK_US));
        let to = jobs.iter().map(|j| j.to).max().unwrap_or_default();
        let segments = self.index.segments();
        // What the ring no longer reaches.
        let reach = segments.first().map(|s| s.first);
        for segment in segments.iter().filter(|s| s.last >= from && s.first <= to) {
            // Deleted meanwhile: the ring has gone on.
            let Ok(mut file) = CaptureFile::open(&self.index.path(segment.number), None) else { continue };
            while let Ok(Next::Frame(f)) = file.next() {
                self.frame(&f, &by_ends, &mut cuts, &mut used);
            }
        }
        cuts.into_iter().map(|c| c.finish(reach)).collect()
    }

    fn frame<'j>(
        &self,
        f: &Frame<'_>,
        by_ends: &HashMap<[IpAddr; 2], Vec<usize>>,
        cuts: &mut [Cut<'j>],
        used: &mut HashMap<&'j str, u64>,
    ) {
        if !supported(f.linktype) {
            return;
        }
        let raw = RawFrame { index: 0, time: f.time, linktype: f.linktype, wire_len: f.wire_len, data: f.data };
        let mut p = self.decoder.decode(raw);
        // The jobs that took this frame: once is enough, however often their flow is in it.
        let mut taken: Vec<usize> = Vec::new();
        loop {
            let found = p.ip.as_ref().and_then(|ip| by_ends.get(&ordered(ip.src, ip.dst)));
            for &at in found.into_iter().flatten() {
                let cut = &mut cuts[at]; // a place in the jobs
                if !taken.contains(&at) && cut.wants(&p) {
                    taken.push(at);
                    let used = used.entry(&cut.job.day).or_default();
                    cut.add(f, &self.dir, self.day_bytes, used);
                }
            }
            match self.decoder.inner(&p) {
                Some(inner) => p = inner,
                None => return,
            }
        }
    }
}

impl<'j> Cut<'j> {
    fn new(job: &'j Job) -> Self {
        let name = job.pair.1.proto.as_str();
        let proto = (0..=u8::MAX).find(|n| proto_name(*n) == Some(name)).or_else(|| name.parse().ok());
        Self { job, proto, file: None, bytes: 0, packets: 0, full: false, failed: None }
    }

    fn wants(&self, p: &Packet<'_>) -> bool {
        let Some(ip) = &p.ip else { return false };
        let time = p.time.micros();
        let soon = self.job.from.micros().saturating_sub(SLACK_US);
        if time < soon || p.time > self.job.to {
            return false;
        }
        let ports = match &p.transport {
            Transport::Tcp(t) => (t.src_port, t.dst_port),
            Transport::Udp(u) => (u.src_port, u.dst_port),
            Transport::Sctp(s) => (s.src_port, s.dst_port),
            _ if ip.fragment.is_some() => return true,
            _ => return self.proto.is_none_or(|n| n == ip.proto),
        };
        let Conversation { a, b, .. } = &self.job.pair.1;
        let one = ((a.ip, a.port), (b.ip, b.port));
        let way = ((Some(ip.src), Some(ports.0)), (Some(ip.dst), Some(ports.1)));
        self.proto.is_none_or(|n| n == ip.proto) && (way == one || (way.1, way.0) == one)
    }

    fn add(&mut self, f: &Frame<'_>, dir: &Path, day_bytes: u64, used: &mut u64) {
        let len = 16 + f.data.len() as u64;
        if self.failed.is_some() || self.full {
            return;
        }
        if self.bytes + len > FILE_BYTES {
            self.full = true;
            return;
        }
        if *used + len > day_bytes {
            (self.full, self.failed) = (true, self.file.is_none().then_some("day-full"));
            return;
        }
        let mut record = Vec::with_capacity(16 + f.data.len());
        ring::record(&mut record, f);
        let written = match &mut self.file {
            Some((file, _)) => file.write_all(&record),
            None => create(&dir.join(&self.job.day), self.job.pair.0).and_then(|(file, path)| {
                let (file, _) = self.file.insert((io::BufWriter::new(file), path));
                file.write_all(&ring::header(f.linktype))?;
                file.write_all(&record)
            }),
        };
        match written {
            Ok(()) => {
                self.packets += 1;
                self.bytes += len;
                *used += len;
            }
            Err(e) => self.fail(&e),
        }
    }

    fn fail(&mut self, e: &io::Error) {
        tracing::warn!(error = %e, "shadow: the packets of a difference cannot be kept");
        self.failed = Some("disk");
        if let Some((_, path)) = self.file.take() {
            let _ = fs::remove_file(path); // the next start tries again
        }
    }

    fn finish(mut self, reach: Option<Timestamp>) -> Packets {
        let name = match self.file.take() {
            Some((mut file, part)) => {
                let path = part.with_extension("pcap");
                let done = file.flush().and_then(|()| fs::rename(&part, &path));
                done.map(|()| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
                    .map_err(|e| {
                        self.file = Some((file, part));
                        self.fail(&e);
                    })
                    .ok()
            }
            None => None,
        };
        match (name, self.failed) {
            (Some(file), _) => Packets::File { file, packets: self.packets, whole: !self.full },
            (None, Some(reason)) => Packets::None(reason.into()),
            // The flow lies before the ring, or none of its packets reached it.
            (None, None) if reach.is_none_or(|r| r > self.job.from) => Packets::None("ring-too-short".into()),
            (None, None) => Packets::None("not-found".into()),
        }
    }
}

/// The first free name of a rule: `SID-1`, `SID-2`, ...
fn create(day: &Path, sid: u32) -> io::Result<(File, PathBuf)> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(day)?;
    for n in 1..=MAX_FILES_OF_RULE.saturating_mul(2) {
        let path = day.join(format!("{sid}-{n}.{PART}"));
        if path.with_extension("pcap").exists() {
            continue;
        }
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "all names of this rule are taken"))
}

/// Bytes of a day's packets.
fn size(day: &Path) -> u64 {
    let files = fs::read_dir(day).into_iter().flatten().flatten();
    files
        .filter(|f| f.path().extension().is_some_and(|e| e == "pcap"))
        .filter_map(|f| f.metadata().ok())
        .map(|m| m.len())
        .sum()
}

fn ordered(a: IpAddr, b: IpAddr) -> [IpAddr; 2] {
    if a <= b { [a, b] } else { [b, a] }
}

#[cfg(test)]
#[path = "cut_tests.rs"]
mod tests;
