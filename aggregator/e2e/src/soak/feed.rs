// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The load: alerts as a Suricata would write them, line by line, each with a signature id of its own, so that every line
//! can be found again in the store. Must never stop for a fault.

use std::{
    fs::File,
    io::Write as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use lagewarte_base::time::Timestamp;

/// Signature ids of sensor `n` begin here: a sensor's lines are `BASE * (n + 1) + 1 ..`.
pub(super) const BASE: u64 = 100_000_000;
/// Lines are written so often a second, some each time.
const TICKS: u32 = 20;

/// Whoever writes the files.
pub(super) struct Feed {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<Vec<u64>>>,
}

impl Feed {
    /// Begins to write `rate` lines a second into each file.
    pub(super) fn start(files: Vec<PathBuf>, rate: u32) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("feed".into()).spawn(move || write(&files, rate, &ending))?;
        Ok(Self { stop, thread })
    }

    /// Stops; how many lines each file got.
    pub(super) fn stop(self) -> anyhow::Result<Vec<u64>> {
        self.stop.store(true, Ordering::SeqCst);
        Ok(self.thread.join().map_err(|_| anyhow::anyhow!("the feed panicked"))??)
    }
}

fn write(paths: &[PathBuf], rate: u32, stop: &AtomicBool) -> std::io::Result<Vec<u64>> {
    let mut files = paths.iter().map(|p| File::options().append(true).open(p)).collect::<Result<Vec<_>, _>>()?;
    let mut counts = vec![0u64; files.len()];
    let begun = Instant::now();
    let mut text = String::new();
    let mut tick = 0u64;
    while !stop.load(Ordering::SeqCst) {
        tick += 1;
        let wanted = u64::from(rate) * tick / u64::from(TICKS);
        for (n, (file, count)) in files.iter_mut().zip(&mut counts).enumerate() {
            text.clear();
            while *count < wanted {
                *count += 1;
                line(&mut text, BASE * (n as u64 + 1) + *count, *count);
            }
            file.write_all(text.as_bytes())?;
        }
        let next = Duration::from_secs(1) / TICKS * u32::try_from(tick).unwrap_or(u32::MAX);
        std::thread::sleep(next.saturating_sub(begun.elapsed()));
    }
    Ok(counts)
}

fn line(text: &mut String, sid: u64, n: u64) {
    use std::fmt::Write as _;
    let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX));
    let _ = writeln!(
        text, // writing to a String cannot fail
        "{{\"timestamp\":\"{}\",\"flow_id\":{sid},\"event_type\":\"alert\",\"src_ip\":\"203.0.113.{}\",\"src_port\":{},\
         \"dest_ip\":\"10.77.{}.{}\",\"dest_port\":80,\"proto\":\"TCP\",\"alert\":{{\"action\":\"allowed\",\"gid\":1,\
         \"signature_id\":{sid},\"rev\":1,\"signature\":\"SOAK line\",\"category\":\"Attempted Information Leak\",\
         \"severity\":{}}},\"app_proto\":\"http\",\"direction\":\"to_server\"}}",
        Timestamp::from_micros(now).eve(),
        n % 254 + 1,
        n % 60_000 + 1024,
        n / 250 % 250,
        n % 250 + 1,
        n % 3 + 1,
    );
}
