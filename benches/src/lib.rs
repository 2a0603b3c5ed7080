// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the benchmarks share: the committed captures in memory, and the stages put together for one worker.
//!
//! `cargo bench -p lagewarte-benches` measures each stage; `benches/cpu.py` measures the whole process on a capture of any
//! size. Must never be part of a binary. Limits: captures are held in memory.

use std::path::{Path, PathBuf};

use anyhow::Context;
use lagewarte_app::{Apps, LayerEvents};
use lagewarte_base::time::Timestamp;
use lagewarte_capture::{CaptureFile, Next, Source};
use lagewarte_decode::{Decoder, RawFrame, Transport};
use lagewarte_detect::{Candidate, Engine, Output, Scratch};
use lagewarte_flow::{ChunkKind, FlowTable, Outcome};
use lagewarte_rules::{Options, RuleSet};

/// One frame of a capture.
pub struct Held {
    time: Timestamp,
    linktype: u16,
    data: Vec<u8>,
}

/// Frames of captures, one after the other.
#[derive(Default)]
pub struct Capture {
    /// The frames.
    pub frames: Vec<Held>,
}

fn rules_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules")
}

impl Capture {
    /// The background hour and the firing capture of every own rule.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub fn committed() -> anyhow::Result<Self> {
        let mut all = Self::default();
        all.read(&rules_dir().join("captures/background.pcap"))?;
        let mut cases: Vec<_> = std::fs::read_dir(rules_dir().join("sets/tests"))?.collect::<Result<_, _>>()?;
        cases.sort_by_key(std::fs::DirEntry::file_name);
        for case in cases {
            all.read(&case.path().join("fires.pcap"))?;
        }
        Ok(all)
    }

    fn read(&mut self, path: &Path) -> anyhow::Result<()> {
        let mut file = CaptureFile::open(path, None).with_context(|| path.display().to_string())?;
        while let Next::Frame(f) = file.next()? {
            self.frames.push(Held { time: f.time, linktype: f.linktype, data: f.data.to_vec() });
        }
        Ok(())
    }

    /// Bytes of all frames.
    pub fn bytes(&self) -> u64 {
        self.frames.iter().map(|f| f.data.len() as u64).sum()
    }

    /// The frames as the decoder takes them.
    pub fn raw(&self) -> impl Iterator<Item = RawFrame<'_>> {
        self.frames.iter().zip(1u64..).map(|(f, index)| RawFrame {
            index,
            time: f.time,
            linktype: f.linktype,
            wire_len: u32::try_from(f.data.len()).unwrap_or(u32::MAX),
            data: &f.data,
        })
    }
}

/// The own rules, or the file that `LAGEWARTE_BENCH_RULES` names.
pub fn rule_set() -> RuleSet {
    let mut options = Options::default();
    options.variables.set_address("HOME_NET", "[10.0.0.0/8,192.168.0.0/16,fc00::/7]");
    options.variables.set_address("EXTERNAL_NET", "!$HOME_NET");
    let files = match std::env::var_os("LAGEWARTE_BENCH_RULES") {
        Some(file) => vec![PathBuf::from(file)],
        None => ["bruteforce", "c2", "credentials", "dns", "scan", "smb", "web"]
            .map(|n| rules_dir().join("sets").join(n).with_extension("rules"))
            .to_vec(),
    };
    let mut set = lagewarte_rules::load(&files, &options);
    lagewarte_detect::vet(&mut set);
    set
}

/// The engine over [`rule_set`].
///
/// # Errors
/// Where the set cannot be compiled.
pub fn engine() -> anyhow::Result<Engine> {
    Engine::new(rule_set(), Output::default()).map_err(anyhow::Error::msg)
}

/// Everything up to the engine for one packet; what matched is in `out`.
pub fn inspect(
    f: RawFrame<'_>,
    table: &mut FlowTable,
    apps: &mut Apps,
    engine: &Engine,
    scratch: &mut Scratch,
    out: &mut Vec<Candidate>,
) {
    let mut records = Vec::new();
    let p = Decoder::default().decode(f);
    let mut flow = match table.packet(&p, &mut records) {
        Outcome::Flow(flow) => Some(flow),
        _ => None,
    };
    if let Some(flow) = flow.as_mut() {
        match p.transport {
            Transport::Tcp(_) => flow.chunks(|flow, c| {
                if c.kind == ChunkKind::Data {
                    let _ = apps.tcp(flow, c.direction, c.data, p.time);
                }
            }),
            Transport::Udp(_) => drop(apps.udp(flow, p.payload, p.time)),
            _ => {}
        }
    }
    engine.inspect(&p, flow.as_mut(), LayerEvents::default(), scratch, out);
    if let Some(flow) = &mut flow {
        flow.release();
    }
}
