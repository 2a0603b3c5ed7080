// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! One layer of coding, decoded as what it is labelled, else as what it looks like, else not at all.
//!
//! Must never lose input before the first output: until then it is held, and handed on when every attempt has failed.

use std::io::Write;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};

use super::{MAX_HELD, Oddities, gzip::Header};

/// A coding that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gzip,
    Deflate,
    Brotli,
    Lzma,
}

pub(super) struct Layer {
    state: State,
    // Input since the start, kept until the first output.
    held: Vec<u8>,
    // How much that was.
    seen: usize,
    wrote: bool,
    // Output of raw deflate that is not believed yet: almost any text is raw deflate for a while.
    trial: Vec<u8>,
    // What is tried when the present attempt fails without output.
    fallbacks: Vec<Try>,
    lzma_memory: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Try {
    Gzip,
    Zlib,
    Raw,
    Brotli,
    Lzma,
}

enum State {
    // The first bytes decide; the label is kept.
    Sniff(Kind),
    GzipHeader(Header),
    ZlibHeader(u8),
    // With the length of the trailer behind it: 8 (gzip), 4 (zlib) or none.
    Inflate(Box<Decompress>, u8),
    // What is left of the trailer; behind a gzip member another may follow.
    Trailer(u8),
    // Behind a gzip member: so many bytes of the next one's beginning.
    Behind(usize),
    Brotli(Box<Brotli>),
    Lzma(Box<lzma_rs::decompress::Stream<Vec<u8>>>),
    Pass,
    // The rest is lost.
    Broken,
}

type Brotli = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

// What a decoder takes beside its window: deflate with its window of 32 KiB, brotli's tables.
const INFLATE_MEMORY: usize = 44 * 1024;
const BROTLI_MEMORY: usize = 64 * 1024;

// After so much input without an error, raw deflate is believed to be that.
const BELIEVED: usize = 512;
// Or after so much output. Threat: a small body that unpacks to very much.
const MAX_TRIAL: usize = 64 * 1024;

// A gzip member begins so.
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> bool;

impl Layer {
    /// Whether it undoes brotli, or is about to.
    pub(super) const fn is_brotli(&self) -> bool {
        matches!(self.state, State::Sniff(Kind::Brotli) | State::Brotli(_))
    }

    pub(super) fn new(kind: Kind, lzma_memory: usize) -> Self {
        Self {
            state: State::Sniff(kind),
            held: Vec::new(),
            seen: 0,
            wrote: false,
            trial: Vec::new(),
            fallbacks: Vec::new(),
            lzma_memory,
        }
    }

    /// Bytes that it holds, about.
    pub(super) fn memory(&self) -> usize {
        let decoder = match &self.state {
            State::Inflate(..) => INFLATE_MEMORY,
            State::Brotli(s) => BROTLI_MEMORY + usize::try_from(s.ringbuffer_size).unwrap_or(0),
            State::Lzma(_) => self.lzma_memory,
            _ => 0,
        };
        decoder + self.held.len() + self.trial.len()
    }

    /// Decodes `data`; `sink` answers false to stop. `last`: nothing follows.
    pub(super) fn push(&mut self, data: &[u8], last: bool, odd: &mut Oddities, sink: Sink<'_>) {
        if self.wrote {
            self.go_on(data, odd, sink);
        } else {
            self.start(data, last, odd, sink);
        }
        if last {
            self.flush(sink);
        }
    }

    fn go_on(&mut self, data: &[u8], odd: &mut Oddities, sink: Sink<'_>) {
        if self.decode(data, odd, sink).is_err() {
            self.broken(odd);
        }
    }

    // It breaks off after some output: there it ends, as for a browser.
    fn broken(&mut self, odd: &mut Oddities) {
        odd.failed = true;
        self.state = State::Broken;
    }

    // Until the first output: attempts, each from the first byte on.
    fn start(&mut self, data: &[u8], last: bool, odd: &mut Oddities, sink: Sink<'_>) {
        self.held.extend_from_slice(data);
        self.seen = self.held.len();
        let mut result = match self.state {
            State::Sniff(_) if self.held.len() < 3 && !last => return,
            State::Sniff(kind) => {
                self.begin(kind);
                self.replay(odd, sink)
            }
            _ => self.decode(data, odd, sink),
        };
        while result.is_err() && !self.wrote {
            if !self.next_try() {
                return self.hand_on(odd, sink);
            }
            result = self.replay(odd, sink);
        }
        if self.wrote {
            self.held = Vec::new();
            if result.is_err() {
                self.broken(odd);
            }
        } else if last && !self.trial.is_empty() {
            self.believe(sink); // it ends early, but nothing was wrong with it
            self.held = Vec::new();
        } else if last || self.held.len() > MAX_HELD {
            self.hand_on(odd, sink); // nothing came out of so much: not what it says
        }
    }

    fn replay(&mut self, odd: &mut Oddities, sink: Sink<'_>) -> Result<(), ()> {
        let held = std::mem::take(&mut self.held);
        let result = self.decode(&held, odd, sink);
        self.held = held;
        result
    }

    // Every attempt failed: the body goes on as it came.
    fn hand_on(&mut self, odd: &mut Oddities, sink: Sink<'_>) {
        self.state = State::Pass;
        self.wrote = true;
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            odd.failed = true;
            sink(&held);
        }
    }

    // lzma keeps its output until its dictionary is full or the stream is finished; behind a member the beginning of
    // another may be held.
    fn flush(&mut self, sink: Sink<'_>) {
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Lzma(stream) => {
                if let Ok(out) = stream.finish()
                    && !out.is_empty()
                {
                    sink(&out);
                }
            }
            State::Behind(n) if n > 0 => {
                sink(MAGIC.get(..n).unwrap_or_default());
            }
            _ => {}
        }
    }

    // Chooses the attempts by what the body begins with.
    fn begin(&mut self, kind: Kind) {
        let head = (self.held.first().copied().unwrap_or(0), self.held.get(1).copied().unwrap_or(0));
        let gzip = head == (0x1f, 0x8b);
        let zlib = head.0 & 0x0f == 8 && (u16::from(head.0) << 8 | u16::from(head.1)) % 31 == 0;
        let mut tries = Vec::new();
        match kind {
            Kind::Gzip | Kind::Deflate => {
                if gzip {
                    tries.push(Try::Gzip);
                }
                if zlib {
                    tries.push(Try::Zlib);
                }
                // Raw deflate cannot be told from text by its first bytes: only where the label says so.
                if kind == Kind::Deflate {
                    tries.push(Try::Raw);
                }
            }
            Kind::Brotli => tries.push(Try::Brotli),
            Kind::Lzma => tries.push(Try::Lzma),
        }
        tries.reverse();
        self.fallbacks = tries;
        self.next_try();
    }

    fn believe(&mut self, sink: Sink<'_>) {
        self.wrote = true;
        let out = std::mem::take(&mut self.trial);
        if !out.is_empty() {
            sink(&out);
        }
    }

    // False: nothing is left to try.
    fn next_try(&mut self) -> bool {
        self.trial = Vec::new();
        self.state = match self.fallbacks.pop() {
            Some(Try::Gzip) => State::GzipHeader(Header::new()),
            Some(Try::Zlib) => State::ZlibHeader(2),
            Some(Try::Raw) => State::Inflate(Box::new(Decompress::new(false)), 0),
            Some(Try::Brotli) => {
                let alloc = StandardAlloc::default;
                State::Brotli(Box::new(BrotliState::new(alloc(), alloc(), alloc())))
            }
            Some(Try::Lzma) => {
                let options = lzma_rs::decompress::Options {
                    unpacked_size: lzma_rs::decompress::UnpackedSize::ReadFromHeader,
                    memlimit: Some(self.lzma_memory),
                    allow_incomplete: true,
                };
                State::Lzma(Box::new(lzma_rs::decompress::Stream::new_with_options(&options, Vec::new())))
            }
            None => return false,
        };
        true
    }

    // Err: this is not what is tried.
    fn decode(&mut self, mut data: &[u8], odd: &mut Oddities, sink: Sink<'_>) -> Result<(), ()> {
        loop {
            match &mut self.state {
                State::Broken => return Ok(()),
                State::Sniff(_) => return Err(()), // invariant: begin() has left this state
                State::Pass => {
                    if !data.is_empty() {
                        sink(data);
                    }
                    return Ok(());
                }
                State::GzipHeader(header) => match header.skip(data)? {
                    None => return Ok(()),
                    Some(n) => {
                        data = data.get(n..).unwrap_or_default();
                        self.state = State::Inflate(Box::new(Decompress::new(false)), 8);
                    }
                },
                State::ZlibHeader(left) => {
                    let n = data.len().min(usize::from(*left));
                    *left -= n as u8; // n <= 2
                    data = data.get(n..).unwrap_or_default();
                    if *left > 0 {
                        return Ok(());
                    }
                    self.state = State::Inflate(Box::new(Decompress::new(false)), 4);
                }
                State::Inflate(z, 0) if !self.wrote => {
                    let (trial, mut nothing) = (&mut self.trial, false);
                    let ended = inflate(z, &mut data, &mut nothing, &mut |out| {
                        trial.extend_from_slice(out);
                        trial.len() < MAX_TRIAL
                    })?;
                    if ended || self.trial.len() >= MAX_TRIAL || self.seen >= BELIEVED {
                        self.believe(sink);
                    }
                    if ended {
                        self.state = State::Pass;
                    } else if data.is_empty() {
                        return Ok(());
                    }
                }
                State::Inflate(z, trailer) => {
                    let (trailer, ended) = (*trailer, inflate(z, &mut data, &mut self.wrote, sink)?);
                    if !ended {
                        return Ok(());
                    }
                    self.wrote = true; // an empty body is one, too
                    self.state = if trailer > 0 { State::Trailer(trailer) } else { State::Pass };
                }
                State::Trailer(left) => {
                    let n = data.len().min(usize::from(*left));
                    *left -= n as u8; // n <= 8
                    data = data.get(n..).unwrap_or_default();
                    if *left > 0 {
                        return Ok(());
                    }
                    self.state = State::Behind(0);
                }
                State::Behind(seen) => {
                    // A further member, or something else: that as it is.
                    let Some(&b) = data.first() else { return Ok(()) };
                    if MAGIC.get(*seen) == Some(&b) {
                        *seen += 1;
                        data = data.get(1..).unwrap_or_default();
                        if *seen == MAGIC.len() {
                            let mut header = Header::new();
                            header.skip(&MAGIC)?;
                            self.state = State::GzipHeader(header);
                        }
                    } else {
                        let n = *seen;
                        self.state = State::Pass;
                        if n > 0 {
                            sink(MAGIC.get(..n).unwrap_or_default());
                        }
                    }
                }
                State::Brotli(s) => {
                    let ended = unbrotli(s, &mut data, &mut self.wrote, sink)?;
                    if !ended {
                        return Ok(());
                    }
                    self.wrote = true; // an empty body is one, too
                    self.state = State::Pass;
                }
                State::Lzma(s) => {
                    let mut failed = false;
                    for piece in data.chunks(256) {
                        failed = match s.write_all(piece) {
                            Ok(()) => false,
                            Err(e) => {
                                odd.lzma_memory |= e.to_string().contains("memory limit");
                                true
                            }
                        };
                        let out = s.get_output_mut().map(std::mem::take).unwrap_or_default();
                        if !out.is_empty() && !sink(&out) {
                            return Ok(());
                        }
                        if failed {
                            break;
                        }
                    }
                    if failed {
                        return Err(());
                    }
                    // Its header (13 bytes) and its start (5) were accepted: it is lzma.
                    self.wrote |= self.seen >= 18;
                    return Ok(());
                }
            }
        }
    }
}

// Inflates until input is used up (false) or the stream ends (true).
fn inflate(z: &mut Decompress, data: &mut &[u8], wrote: &mut bool, sink: Sink<'_>) -> Result<bool, ()> {
    let mut out = [0u8; 8192];
    loop {
        let (before_in, before_out) = (z.total_in(), z.total_out());
        let status = z.decompress(data, &mut out, FlushDecompress::None);
        let used = (z.total_in() - before_in) as usize; // at most data.len()
        let made = (z.total_out() - before_out) as usize; // at most out.len()
        *data = data.get(used..).unwrap_or_default();
        if made > 0 {
            *wrote = true;
            if !sink(out.get(..made).unwrap_or_default()) {
                return Ok(false);
            }
        }
        match status {
            Err(_) => return Err(()),
            Ok(Status::StreamEnd) => return Ok(true),
            Ok(_) if made == out.len() => {}
            Ok(_) if data.is_empty() || (used == 0 && made == 0) => return Ok(false),
            Ok(_) => {}
        }
    }
}

// The same of brotli.
fn unbrotli(s: &mut Brotli, data: &mut &[u8], wrote: &mut bool, sink: Sink<'_>) -> Result<bool, ()> {
    let mut out = [0u8; 8192];
    loop {
        let (mut left, mut used, mut room, mut made, mut total) = (data.len(), 0, out.len(), 0, 0);
        let result = BrotliDecompressStream(&mut left, &mut used, data, &mut room, &mut made, &mut out, &mut total, s);
        *data = data.get(used..).unwrap_or_default();
        if made > 0 {
            *wrote = true;
            if !sink(out.get(..made).unwrap_or_default()) {
                return Ok(false);
            }
        }
        match result {
            BrotliResult::ResultFailure => return Err(()),
            BrotliResult::ResultSuccess => return Ok(true),
            BrotliResult::NeedsMoreInput => return Ok(false),
            BrotliResult::NeedsMoreOutput => {}
        }
    }
}
