// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! RFB (RFC 6143), what VNC speaks: versions, authentication, and the screen, up to where pictures begin. One transaction
//! a flow.
//!
//! Must never read what comes behind the server's greeting of the screen, and never keep a text longer than [`MAX_TEXT`].

mod log;

use lagewarte_base::reader::Reader;
use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use crate::{
    buffer::{Buffer, Field},
    config::Config,
    protocol::{Cx, Input, Protocol, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};

/// Longest name or reason that is kept. Threat: a length of 4 GiB announced.
pub const MAX_TEXT: usize = 8 * 1024;

/// Names of events, by number.
pub const EVENTS: &[&str] = &["unimplemented_security_type", "unknown_security_result", "malformed_message"];
const UNIMPLEMENTED: u8 = 0;
const UNKNOWN_RESULT: u8 = 1;
const MALFORMED: u8 = 2;

/// What a pixel is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of RFC 6143, 7.4")]
pub struct Pixels {
    pub bits: u8,
    pub depth: u8,
    pub big_endian: bool,
    pub true_color: bool,
    pub max: [u16; 3],
    pub shift: [u8; 3],
}

/// The server's screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Screen {
    /// Width and height.
    pub size: (u16, u16),
    /// Its pixels.
    pub pixels: Pixels,
    /// Its name.
    pub name: Vec<u8>,
}

/// The transaction of a flow.
#[derive(Debug, Default)]
pub struct Tx {
    core: TxCore,
    /// Versions, the client's and the server's: three digits each.
    pub versions: [Option<([u8; 3], [u8; 3])>; 2],
    /// How the client proves itself.
    pub security: Option<u32>,
    /// VNC's challenge and response.
    pub vnc: [Option<[u8; 16]>; 2],
    /// What came of it.
    pub result: Option<u32>,
    /// Why not.
    pub reason: Option<Vec<u8>>,
    /// Whether the client lets others in.
    pub shared: Option<bool>,
    /// The screen.
    pub screen: Option<Screen>,
}

transaction!(Tx);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Version,
    // The server: what it offers. The client: what it chooses.
    Security,
    // VNC's challenge, and the response.
    Proof,
    Result,
    Reason,
    // The client: whether it shares. The server: its screen.
    Init,
    Over,
}

/// A flow's state.
#[derive(Debug)]
pub struct Rfb {
    txs: Txs<Tx>,
    // By direction: the client's, the server's.
    phases: [Phase; 2],
}

impl Default for Rfb {
    fn default() -> Self {
        Self { txs: Txs::new(1), phases: [Phase::Version; 2] }
    }
}

// What a step did.
enum Did {
    Ate(usize),
    Wants(usize),
    // The other side must speak first.
    Waits,
    Stops,
}

impl Rfb {
    fn tx(&mut self, cx: &mut Cx<'_>) -> Option<&mut Tx> {
        if self.txs.total() == 0 {
            let mut tx = Tx::default();
            if !cx.charge(&mut tx.core.charged, size_of::<Tx>() + MAX_TEXT) {
                return None;
            }
            self.txs.push(tx);
        }
        self.txs.last()
    }

    fn step(&mut self, d: Direction, data: &[u8], cx: &mut Cx<'_>) -> Did {
        let phase = self.phases[d.index()]; // an index of two
        if phase == Phase::Over {
            return Did::Ate(data.len());
        }
        let Some(tx) = self.tx(cx) else { return Did::Stops };
        let (did, next) = match (d, phase) {
            (_, Phase::Version) => version(tx, d, data),
            (Direction::ToClient, Phase::Security) => offer(tx, data),
            (Direction::ToServer, Phase::Security) => choose(tx, data),
            (_, Phase::Proof) => proof(tx, d, data),
            (_, Phase::Result) => result(tx, data),
            (_, Phase::Reason) => reason(tx, data),
            (Direction::ToServer, Phase::Init) => share(tx, data),
            (Direction::ToClient, Phase::Init) => screen(tx, data),
            (_, Phase::Over) => (Did::Ate(data.len()), Phase::Over),
        };
        match did {
            Did::Ate(_) => self.phases[d.index()] = next,
            Did::Stops => {
                if let Some(tx) = self.txs.last() {
                    tx.core.raise(MALFORMED);
                }
            }
            Did::Wants(_) | Did::Waits => {}
        }
        if self.phases[d.index()] == Phase::Over
            && let Some(tx) = self.txs.last()
        {
            tx.core.reach(d, DONE);
        }
        did
    }
}

fn version(tx: &mut Tx, d: Direction, data: &[u8]) -> (Did, Phase) {
    let Some(text) = data.first_chunk::<12>() else { return (Did::Wants(12), Phase::Version) };
    match text {
        [b'R', b'F', b'B', b' ', a, b, c, b'.', x, y, z, b'\n'] => {
            tx.versions[d.index()] = Some(([*a, *b, *c], [*x, *y, *z]));
            (Did::Ate(12), Phase::Security)
        }
        _ => (Did::Stops, Phase::Over),
    }
}

// The version that both speak: what the client answers.
fn minor(tx: &Tx) -> Option<u8> {
    let (major, [_, _, minor]) = tx.versions[0]?;
    Some(match minor {
        // RealVNC's 4 and 5 go on as 3.8.
        _ if major > *b"003" => 8,
        b'8'.. => 8,
        b'7' => 7,
        _ => 3,
    })
}

// What follows the choice: on the server's side, on the client's.
fn chosen(tx: &mut Tx, kind: u32, minor: u8) -> [Phase; 2] {
    tx.security = Some(kind);
    match kind {
        // Before 3.8 nobody says that nothing was asked.
        1 if minor < 8 => [Phase::Init, Phase::Init],
        1 => [Phase::Result, Phase::Init],
        2 => [Phase::Proof, Phase::Proof],
        _ => {
            tx.core.raise(UNIMPLEMENTED);
            [Phase::Over, Phase::Over]
        }
    }
}

fn offer(tx: &mut Tx, data: &[u8]) -> (Did, Phase) {
    let Some(minor) = minor(tx) else { return (Did::Waits, Phase::Security) };
    let mut r = Reader::new(data);
    if minor == 3 {
        let Some(kind) = r.u32() else { return (Did::Wants(4), Phase::Security) };
        if kind == 0 {
            return (Did::Ate(4), Phase::Reason);
        }
        let [server, _] = chosen(tx, kind, minor);
        return (Did::Ate(4), server);
    }
    let Some(n) = r.u8() else { return (Did::Wants(1), Phase::Security) };
    let n = usize::from(n);
    if n == 0 {
        return (Did::Ate(1), Phase::Reason);
    }
    if r.take(n).is_none() {
        return (Did::Wants(1 + n), Phase::Security);
    }
    // What follows depends on what the client chooses: asked for when it comes.
    (Did::Ate(1 + n), Phase::Proof)
}

fn choose(tx: &mut Tx, data: &[u8]) -> (Did, Phase) {
    match (minor(tx), data.first()) {
        // The server has chosen.
        (Some(3), _) => match tx.security {
            None => (Did::Waits, Phase::Security),
            Some(2) => (Did::Ate(0), Phase::Proof),
            Some(1) => (Did::Ate(0), Phase::Init),
            Some(_) => (Did::Ate(0), Phase::Over),
        },
        (Some(minor), Some(kind)) => {
            let [_, client] = chosen(tx, u32::from(*kind), minor);
            (Did::Ate(1), client)
        }
        _ => (Did::Wants(1), Phase::Security),
    }
}

fn proof(tx: &mut Tx, d: Direction, data: &[u8]) -> (Did, Phase) {
    let minor = minor(tx).unwrap_or(8);
    match (tx.security, d) {
        (None, _) => (Did::Waits, Phase::Proof),
        (Some(2), _) => match data.first_chunk::<16>() {
            Some(bytes) => {
                let (at, next) = if d == Direction::ToClient { (0, Phase::Result) } else { (1, Phase::Init) };
                tx.vnc[at] = Some(*bytes); // of two
                (Did::Ate(16), next)
            }
            None => (Did::Wants(16), Phase::Proof),
        },
        (Some(1), Direction::ToClient) if minor >= 8 => (Did::Ate(0), Phase::Result),
        (Some(1), _) => (Did::Ate(0), Phase::Init),
        (Some(_), _) => (Did::Ate(0), Phase::Over),
    }
}

fn result(tx: &mut Tx, data: &[u8]) -> (Did, Phase) {
    let Some(n) = Reader::new(data).u32() else { return (Did::Wants(4), Phase::Result) };
    tx.result = Some(n);
    if n > 2 {
        tx.core.raise(UNKNOWN_RESULT);
    }
    let next = match n {
        0 => Phase::Init,
        _ if minor(tx) == Some(8) => Phase::Reason,
        _ => Phase::Over,
    };
    (Did::Ate(4), next)
}

// A length and so much text, at `from`. None where more is wanted.
fn text(data: &[u8], from: usize) -> Result<(Vec<u8>, usize), Did> {
    let len = data.get(from..).and_then(|d| Reader::new(d).u32()).ok_or(Did::Wants(from + 4))? as usize;
    if len > MAX_TEXT {
        return Err(Did::Stops);
    }
    let text = data.get(from + 4..from + 4 + len).ok_or(Did::Wants(from + 4 + len))?;
    Ok((text.to_vec(), from + 4 + len))
}

fn reason(tx: &mut Tx, data: &[u8]) -> (Did, Phase) {
    match text(data, 0) {
        Ok((reason, n)) => {
            tx.reason = Some(reason);
            (Did::Ate(n), Phase::Over)
        }
        Err(did) => (did, Phase::Reason),
    }
}

fn share(tx: &mut Tx, data: &[u8]) -> (Did, Phase) {
    match data.first() {
        Some(flag) => {
            tx.shared = Some(*flag != 0);
            (Did::Ate(1), Phase::Over)
        }
        None => (Did::Wants(1), Phase::Init),
    }
}

fn screen(tx: &mut Tx, data: &[u8]) -> (Did, Phase) {
    let mut r = Reader::new(data);
    let (Some(width), Some(height), Some(p)) = (r.u16(), r.u16(), r.array::<16>()) else {
        return (Did::Wants(24), Phase::Init);
    };
    let [bits, depth, big, color, ra, rb, ga, gb, ba, bb, rs, gs, bs, ..] = p;
    let pixels = Pixels {
        bits,
        depth,
        big_endian: big != 0,
        true_color: color != 0,
        max: [[ra, rb], [ga, gb], [ba, bb]].map(u16::from_be_bytes),
        shift: [rs, gs, bs],
    };
    match text(data, 20) {
        Ok((name, n)) => {
            tx.screen = Some(Screen { size: (width, height), pixels, name });
            (Did::Ate(n), Phase::Over)
        }
        Err(did) => (did, Phase::Init),
    }
}

impl Protocol for Rfb {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = EVENTS;

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let mut at = 0;
        while let Some(rest) = input.data.get(at..).filter(|r| !r.is_empty()) {
            let before = self.phases[input.direction.index()];
            match self.step(input.direction, rest, cx) {
                Did::Ate(0) if before == self.phases[input.direction.index()] => return Step::Error,
                Did::Ate(n) => at += n,
                Did::Wants(_) | Did::Waits if input.eof => break,
                Did::Wants(needed) => return Step::More { consumed: at, needed: needed.max(rest.len() + 1) },
                Did::Waits => return Step::More { consumed: at, needed: rest.len() + 1 },
                Did::Stops => return Step::Error,
            }
        }
        if input.eof
            && let Some(tx) = self.txs.last()
        {
            tx.core.reach(input.direction, DONE);
        }
        Step::Ok(input.data.len())
    }
    fn gap(&mut self, d: Direction, _: u64, _: &mut Cx<'_>) -> Step {
        if self.phases[d.index()] == Phase::Over { Step::Ok(0) } else { Step::Error }
    }
    fn proto(&self) -> AppProto {
        AppProto::Rfb
    }
    own_txs!();
    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&'a [u8]> {
        let this = (buffer, direction, index) == (Buffer::RfbName, Direction::ToClient, 0);
        tx.screen.as_ref().filter(|_| this).map(|s| s.name.as_slice())
    }
    fn number(&self, tx: &Tx, field: Field, direction: Direction, index: usize) -> Option<u64> {
        match (field, direction) {
            _ if index > 0 => None,
            (Field::RfbSectype, Direction::ToServer) => tx.security.map(u64::from),
            (Field::RfbSecresult, Direction::ToClient) => tx.result.map(u64::from),
            _ => None,
        }
    }
    fn buffer_at(_: Buffer, _: Direction) -> u8 {
        DONE
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }
    fn event_type(&self, _: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        Some(("rfb", None))
    }
    fn log(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        w.key("tx_id").u64(tx.core.id);
        log::write(tx, w);
    }
    fn metadata(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        log::write(tx, w);
    }
}

#[cfg(test)]
mod tests;
