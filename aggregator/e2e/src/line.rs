// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A line between sensors and aggregators that can be cut, be slow, and lead to whichever aggregator answers: what a load
//! balancer and a bad DSL are in life.
//!
//! Must never look into what it carries (it is TLS), nor keep a byte that one side has not taken: it has no buffer but one
//! of [`CHUNK`] a direction. Limits: threads, two a connection; for tests only.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// Bytes carried at a time.
const CHUNK: usize = 16 << 10;
/// How soon a cut is noticed by a connection that is idle.
const NOTICE: Duration = Duration::from_millis(100);

/// The line.
#[derive(Clone)]
pub struct Line(Arc<State>);

struct State {
    targets: Vec<SocketAddr>,
    cut: AtomicBool,
    /// Counts the cuts: connections of an earlier count end.
    life: AtomicU64,
    /// Bytes a second and direction; 0: as fast as it goes.
    rate: AtomicU64,
    next: AtomicUsize,
    carried: AtomicU64,
}

impl Line {
    /// A line from a listener to the first target that answers, beginning with another one each time.
    ///
    /// # Errors
    /// Where the listener is no good.
    pub fn start(listener: TcpListener, targets: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let line = Self(Arc::new(State {
            targets,
            cut: AtomicBool::new(false),
            life: AtomicU64::new(0),
            rate: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            carried: AtomicU64::new(0),
        }));
        let state = Arc::clone(&line.0);
        thread::Builder::new().name("line".into()).spawn(move || {
            for from in listener.incoming().flatten() {
                if state.cut.load(Ordering::SeqCst) {
                    continue; // closed at once
                }
                let state = Arc::clone(&state);
                thread::spawn(move || carry(&state, from));
            }
        })?;
        Ok(line)
    }

    /// Ends every connection and lets none in, until [`Self::mend`].
    pub fn cut(&self) {
        self.0.cut.store(true, Ordering::SeqCst);
        self.0.life.fetch_add(1, Ordering::SeqCst);
    }

    /// Lets connections in again.
    pub fn mend(&self) {
        self.0.cut.store(false, Ordering::SeqCst);
    }

    /// Bytes a second and direction of each connection; 0: no limit.
    pub fn slow(&self, bytes_per_second: u64) {
        self.0.rate.store(bytes_per_second, Ordering::SeqCst);
    }

    /// Bytes carried so far, both ways.
    pub fn carried(&self) -> u64 {
        self.0.carried.load(Ordering::SeqCst)
    }
}

fn carry(state: &Arc<State>, from: TcpStream) {
    let life = state.life.load(Ordering::SeqCst);
    let first = state.next.fetch_add(1, Ordering::SeqCst);
    let n = state.targets.len();
    let reached = (0..n).filter_map(|i| state.targets.get((first + i) % n)).find_map(|t| TcpStream::connect(t).ok());
    let (Some(to), Ok(back_from)) = (reached, from.try_clone()) else { return };
    let Ok(back_to) = to.try_clone() else { return };
    let other = Arc::clone(state);
    let back = thread::spawn(move || pump(&other, life, back_to, back_from));
    pump(state, life, from, to);
    let _ = back.join(); // it has ended as this one has
}

/// One direction, until an end, an error or a cut; then both sides are closed.
fn pump(state: &State, life: u64, mut from: TcpStream, mut to: TcpStream) {
    let _ = from.set_read_timeout(Some(NOTICE)); // without it a cut is noticed late
    let mut buffer = [0; CHUNK];
    loop {
        if state.life.load(Ordering::SeqCst) != life {
            break;
        }
        let rate = state.rate.load(Ordering::SeqCst);
        // A tenth of a second's worth at a time.
        let most = if rate == 0 { CHUNK } else { usize::try_from(rate / 10).unwrap_or(CHUNK).clamp(1, CHUNK) };
        match from.read(&mut buffer[..most]) {
            Ok(0) => break,
            Ok(n) => {
                if to.write_all(&buffer[..n]).is_err() {
                    break;
                }
                state.carried.fetch_add(n as u64, Ordering::SeqCst);
                if let Some(us) = (n as u64 * 1_000_000).checked_div(rate) {
                    thread::sleep(Duration::from_micros(us));
                }
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both); // gone already is fine
    let _ = to.shutdown(Shutdown::Both);
}
