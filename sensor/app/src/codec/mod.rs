// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Content codings of HTTP bodies, undone in layers: gzip, deflate (zlib or raw), brotli, lzma.
//!
//! Tolerant as receivers are: what is labelled wrong is tried as what it looks like, a damaged checksum or a missing
//! trailer is no matter, and what cannot be decoded at all is handed on as it came. Must never hold more than
//! [`MAX_HELD`] bytes per layer beside the decoders' windows ([`Decoder::memory`], which whoever owns it charges), never
//! make more than a few KiB of output before the next is asked for, and never go on with a decompression bomb
//! ([`Limits::bomb_bytes`], [`BOMB_RATIO`]).

mod gzip;
mod layer;

use lagewarte_base::time::Timestamp;

use layer::{Kind, Layer};

/// Input that a layer keeps until its first output, so that a body that is not compressed at all can still be handed on.
/// A peer cannot make a layer hold more than this.
pub const MAX_HELD: usize = 16 * 1024;

/// A body that grows by more than this factor, and beyond [`Limits::bomb_bytes`], is a bomb. One layer of deflate
/// reaches 1032; only nested layers go beyond.
pub const BOMB_RATIO: u64 = 2048;

/// Memory that an lzma dictionary may take where the configuration does not say: a header can ask for 4 GiB.
pub const LZMA_MEMORY: usize = 1024 * 1024;

/// Bombs of one second (of packet time) after which bodies that are dear to decode ([`Decoder::is_dear`]) are handed on as
/// they came until the second is over, and counted. Threat: bodies of 53 bytes of which each costs 28 ms of CPU. What an
/// attacker gains by so many bombs is that brotli is not undone for the rest of that second; each is an event.
pub const MAX_BOMBS: u32 = 16;

/// The bombs that one worker met in one protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bombs {
    second: i64,
    seen: u32,
    /// Bodies that were not decoded because of [`MAX_BOMBS`].
    pub undecoded: u64,
}

impl Bombs {
    /// One more.
    pub fn note(&mut self, now: Timestamp) {
        if self.second != now.secs() {
            (self.second, self.seen) = (now.secs(), 0);
        }
        self.seen = self.seen.saturating_add(1);
    }
    /// Whether [`MAX_BOMBS`] are reached in this second.
    pub fn spent(&self, now: Timestamp) -> bool {
        self.second == now.secs() && self.seen >= MAX_BOMBS
    }
}

/// Codings applied to one body, as the configuration allows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Layers that are undone at most (`response-body-decompress-layer-limit`).
    pub layers: usize,
    /// Output beyond which the ratio is looked at, in bytes (`compression-bomb-limit`).
    pub bomb_bytes: u64,
    /// Whether lzma is undone (`lzma-enabled`).
    pub lzma: bool,
    /// Bytes for the lzma dictionary (`lzma-memlimit`).
    pub lzma_memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { layers: 2, bomb_bytes: 1024 * 1024, lzma: false, lzma_memory: LZMA_MEMORY }
    }
}

/// What was odd about a coding header or a coded body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities {
    /// More layers than allowed; the others are not undone.
    pub too_many_layers: bool,
    /// A token that names no coding.
    pub abnormal: bool,
    /// A layer could not be undone.
    pub failed: bool,
    /// The body grew too much; the rest is dropped.
    pub bomb: bool,
    /// The lzma dictionary was larger than allowed.
    pub lzma_memory: bool,
    /// lzma was named twice: a known bomb; the second is not undone.
    pub double_lzma: bool,
}

/// Undoes the codings of one body.
pub struct Decoder {
    // Outermost (applied last, undone first) at the front.
    layers: Vec<Layer>,
    bomb_bytes: u64,
    consumed: u64,
    produced: u64,
    /// What was noticed so far.
    pub odd: Oddities,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("layers", &self.layers.len()).field("produced", &self.produced).finish()
    }
}

impl Decoder {
    /// A decoder for the values of `Content-Encoding`, in the order of the headers; None where there is nothing to undo.
    /// `odd` receives what is wrong with the values even then.
    pub fn new<'a>(values: impl Iterator<Item = &'a [u8]>, limits: &Limits, odd: &mut Oddities) -> Option<Box<Self>> {
        let mut layers = Vec::new();
        let mut lzma_seen = false;
        for token in values.flat_map(|v| v.split(|b| *b == b',')) {
            let kind = match coding(token) {
                Coding::None => continue,
                Coding::Unknown => {
                    odd.abnormal = true;
                    continue;
                }
                Coding::Is(kind) => kind,
            };
            if kind == Kind::Lzma && !limits.lzma {
                continue;
            }
            if kind == Kind::Lzma && std::mem::replace(&mut lzma_seen, true) {
                odd.double_lzma = true;
                continue;
            }
            if layers.len() >= limits.layers {
                odd.too_many_layers = true;
                break;
            }
            layers.insert(0, Layer::new(kind, limits.lzma_memory));
        }
        (!layers.is_empty())
            .then(|| Box::new(Self { layers, bomb_bytes: limits.bomb_bytes, consumed: 0, produced: 0, odd: *odd }))
    }

    /// Takes the next bytes of the body and hands what they decode to to `sink`.
    pub fn push(&mut self, data: &[u8], sink: &mut dyn FnMut(&[u8])) {
        self.consumed += data.len() as u64;
        self.run(0, data, false, sink);
    }

    /// The body has ended (or the flow has): hands on what is still held.
    pub fn finish(&mut self, sink: &mut dyn FnMut(&[u8])) {
        for first in 0..self.layers.len() {
            self.run(first, &[], true, sink);
        }
    }

    /// Bytes that its layers hold, about: windows, tables, input that waits. A window of brotli alone may take 16 MiB.
    pub fn memory(&self) -> usize {
        self.layers.iter().map(Layer::memory).sum()
    }

    /// Whether few bytes can cost much before the first of them is handed on: brotli fills its window before.
    pub fn is_dear(&self) -> bool {
        self.layers.iter().any(Layer::is_brotli)
    }

    /// Whether decoding was given up because of a bomb.
    pub fn is_bomb(&self) -> bool {
        self.odd.bomb
    }

    // Layer `first` gets `data`; each later layer what the one before it made.
    fn run(&mut self, first: usize, data: &[u8], last: bool, sink: &mut dyn FnMut(&[u8])) {
        if self.odd.bomb {
            return;
        }
        let (consumed, limit) = (self.consumed, self.bomb_bytes);
        let Some((layer, rest)) = self.layers.get_mut(first..).and_then(|l| l.split_first_mut()) else {
            return;
        };
        let mut state = Chain { rest, consumed, limit, produced: &mut self.produced, odd: &mut self.odd };
        let mut odd = Oddities::default();
        layer.push(data, last, &mut odd, &mut |out| state.push(out, sink));
        self.odd.failed |= odd.failed;
        self.odd.lzma_memory |= odd.lzma_memory;
    }
}

// The layers behind the one at work, and the accounts.
struct Chain<'a> {
    rest: &'a mut [Layer],
    consumed: u64,
    limit: u64,
    produced: &'a mut u64,
    odd: &'a mut Oddities,
}

impl Chain<'_> {
    // False: stop.
    fn push(&mut self, out: &[u8], sink: &mut dyn FnMut(&[u8])) -> bool {
        let Some((layer, rest)) = self.rest.split_first_mut() else {
            *self.produced += out.len() as u64;
            if *self.produced > self.limit && *self.produced / BOMB_RATIO > self.consumed {
                self.odd.bomb = true;
                return false;
            }
            sink(out);
            return true;
        };
        let mut odd = Oddities::default();
        let mut next =
            Chain { rest, consumed: self.consumed, limit: self.limit, produced: self.produced, odd: self.odd };
        layer.push(out, false, &mut odd, &mut |o| next.push(o, sink));
        self.odd.failed |= odd.failed;
        self.odd.lzma_memory |= odd.lzma_memory;
        !self.odd.bomb
    }
}

enum Coding {
    Is(Kind),
    None,
    Unknown,
}

// A token of `Content-Encoding`: found anywhere in it, since receivers differ in what they trim.
fn coding(token: &[u8]) -> Coding {
    let mut clean = [0u8; 64];
    let mut n = 0;
    for b in token.iter().filter(|b| **b != 0) {
        let Some(slot) = clean.get_mut(n) else { break };
        *slot = b.to_ascii_lowercase();
        n += 1;
    }
    let text = clean.get(..n).unwrap_or_default().trim_ascii();
    let has = |w: &[u8]| memchr::memmem::find(text, w).is_some();
    // `identity` is no coding that a server may name there (RFC 9110, 8.4.1); Suricata says so, too.
    if text.is_empty() || text == b"none" || text == b"inflate" {
        Coding::None
    } else if has(b"gzip") {
        Coding::Is(Kind::Gzip)
    } else if has(b"deflate") {
        Coding::Is(Kind::Deflate)
    } else if text == b"br" {
        Coding::Is(Kind::Brotli)
    } else if has(b"lzma") {
        Coding::Is(Kind::Lzma)
    } else {
        Coding::Unknown
    }
}

#[cfg(test)]
mod tests;
