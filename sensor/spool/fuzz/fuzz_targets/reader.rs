// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Any bytes where a spool's segment and ledger should be: it opens or says why not, every number is read exactly once as
//! a record or within a gap, and the reader comes to an end.
#![no_main]
use std::{path::Path, sync::Arc};

use lagewarte_base::{
    clock::ManualClock,
    fs::{Fs as _, faulty::FaultyFs},
    time::Timestamp,
};
use lagewarte_spool::{Cursor, Options, Priority, Spool};

const DIR: &str = "/spool";

fn open(fs: &FaultyFs) -> Option<Spool> {
    let options = Options { committer: false, segment_bytes: 4096, ..Options::default() };
    Spool::open(Path::new(DIR), options, Arc::new(fs.clone()), Arc::new(ManualClock::new(Timestamp::from_parts(5, 0)))).ok()
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [split, rest @ ..] = input else { return };
    let (damage, tail) = rest.split_at(usize::from(*split).min(rest.len()));
    let fs = FaultyFs::default();
    let spool = open(&fs).expect("an empty folder opens");
    for i in 0..20u8 {
        let _ = spool.append(Priority::ALL[usize::from(i) % 3], |_| vec![i; usize::from(i) * 3]);
    }
    let _ = spool.commit();
    drop(spool);
    // Rot where the input says, then bytes of its own behind each file.
    for name in fs.list(Path::new(DIR)).unwrap_or_default() {
        let path = Path::new(DIR).join(&name);
        let size = fs.size(&path).unwrap_or(0) as usize;
        for d in damage.chunks_exact(3) {
            let at = usize::from(u16::from_be_bytes([d[0], d[1]]));
            if at < size {
                fs.rot(&path, at, d[2]);
            }
        }
        if !tail.is_empty()
            && let Ok(old) = fs.read(&path, 0, 1 << 20)
            && let Ok(mut file) = fs.create(&path, true)
        {
            let _ = file.append(&[&old, tail].concat());
            let _ = file.sync();
        }
    }
    let Some(spool) = open(&fs) else { return };
    for epoch in spool.epochs() {
        let mut cursor = Cursor::new(epoch, 0);
        let mut next = 1;
        for _ in 0..100_000 {
            let Ok(chunk) = spool.read(&mut cursor, 500, 3) else { continue };
            if chunk.is_empty() {
                break;
            }
            let records = chunk.records.iter().map(|r| (r.seq, r.seq));
            let gaps = chunk.gaps.iter().map(|g| (*g.range.start(), *g.range.end()));
            let mut spans: Vec<_> = records.chain(gaps).collect();
            spans.sort_unstable();
            for (from, to) in spans {
                assert_eq!(from, next, "each number once, in order");
                next = to.saturating_add(1);
            }
        }
    }
});
