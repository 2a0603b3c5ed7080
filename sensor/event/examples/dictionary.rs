// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Trains a compression dictionary: `dictionary ID OUT.zdict FILE...`, from EVE files as `lagewarte-sensor replay` writes
//! them and from release logs. How, and from what the released ones were made: `docs/uplink.md`.
//!
//! Must never be fed with real traffic: a dictionary holds pieces of its samples, and every sensor carries it. A released
//! dictionary is never trained anew; the next one gets the next number.

#![expect(clippy::print_stdout, reason = "a program's answer")]

use std::{env, fs};

use lagewarte_event::{Batch, Class, Envelope, Message as _};

/// Bytes of a dictionary: zstd's own default is 110 KiB; above 16 KiB these samples gain nothing.
const SIZE: usize = 16 << 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = env::args().skip(1);
    let (Some(id), Some(out)) = (args.next(), args.next()) else { return Err("ID OUT.zdict FILE...".into()) };
    let id: u32 = id.parse()?;
    let mut samples = Vec::new();
    for file in args {
        for (n, line) in fs::read_to_string(&file)?.lines().enumerate() {
            let line: serde_json::Value = serde_json::from_str(line)?;
            let value = line.get("eve").unwrap_or(&line); // of a release log; the order of the keys is kept
            let event_type = value["event_type"].as_str().unwrap_or_default().to_owned();
            // As a sensor sends one event by itself, which is what a dictionary is for.
            let event = Envelope {
                seq: 1000 + n as u64,
                class: Class::of(&event_type).into(),
                event_type,
                event_us: 1_795_684_000_000_000 + 7_919 * n as i64,
                observed_us: 1_795_684_000_000_900 + 7_919 * n as i64,
                spooled_us: 1_795_684_000_001_800 + 7_919 * n as i64,
                ruleset: vec![],
                constituent: "gemeinde".into(),
                profile: "alerts-only@1".into(),
                eve: value.to_string().into_bytes(),
            };
            samples.push(Batch { epoch: 1, nonce: 2, sent_us: 3, events: vec![event], gaps: vec![] }.encode_to_vec());
        }
    }
    let plain: usize = samples.iter().map(Vec::len).sum();
    let mut dictionary = zstd::dict::from_samples(&samples, SIZE)?;
    dictionary.get_mut(4..8).ok_or("no dictionary")?.copy_from_slice(&id.to_le_bytes()); // the id's place in the header
    let mut with = zstd::bulk::Compressor::with_dictionary(3, &dictionary)?;
    let packed = samples.iter().map(|s| with.compress(s).map(|p| p.len())).sum::<Result<usize, _>>()?;
    fs::write(&out, &dictionary)?;
    println!("{} samples, {plain} bytes; each by itself with the dictionary: {packed} bytes", samples.len());
    Ok(())
}
