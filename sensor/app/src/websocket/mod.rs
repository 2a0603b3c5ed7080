// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! WebSocket (RFC 6455), after an upgrade from HTTP/1: frames, unmasked; messages put together from their fragments; and
//! permessage-deflate (RFC 7692) undone where a frame says that it is compressed.
//!
//! Each frame is a transaction of its own direction; the last fragment of a message carries the whole message. Must never
//! keep more of a payload than [`Choices::max_payload`], nor inflate beyond it: after a message that was cut the context
//! of that direction is lost, and what follows is shown as it came. Limits: [`MAX_TXS`], [`Choices::max_payload`].

pub mod detect;
pub mod events;
mod inflate;
pub mod log;
pub mod parser;

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use self::{events::Event, inflate::Inflate, parser::Head};
use crate::{
    buffer::{Buffer, Field},
    config::Config,
    frames::Kind,
    protocol::{Cx, Input, Protocol, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};

/// Most frames of a flow that wait for detection. Threat: a peer that sends empty frames without end.
pub const MAX_TXS: usize = 512;

/// Most that [`Choices::max_payload`] may be.
pub const MAX_PAYLOAD: usize = 16 << 20;

/// Choices: `app-layer.protocols.websocket` and what EVE writes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// `max-payload-size`: bytes of a message that are kept. Threat: a frame of 2^63 bytes, a message that inflates.
    pub max_payload: usize,
}

impl Default for Choices {
    /// Suricata's stock file.
    fn default() -> Self {
        Self { max_payload: 64 * 1024 }
    }
}

/// A frame.
#[derive(Debug, Default)]
pub struct Tx {
    core: TxCore,
    /// Which way it went.
    pub to_client: bool,
    /// Its head.
    pub head: Head,
    /// Its payload, unmasked; of the last fragment the message's.
    pub payload: Vec<u8>,
}

impl Tx {
    pub(crate) const fn way(&self) -> Direction {
        if self.to_client { Direction::ToClient } else { Direction::ToServer }
    }
}

transaction!(Tx);

#[derive(Debug, Default)]
struct Side {
    // A frame on its way: its head, the payload so far (masked as it came), bytes left.
    frame: Option<(Head, Vec<u8>, u64)>,
    // Bytes were left out of the frame on its way.
    cut: bool,
    // A message of which fragments have come: its first head, its bytes, whether some are missing.
    message: Option<(Head, Vec<u8>, bool)>,
    // Bytes charged for what is kept above.
    charged: u64,
    // Bytes charged for the window.
    window: u64,
    inflate: Inflate,
}

/// A flow's state.
#[derive(Debug)]
pub struct Websocket {
    txs: Txs<Tx>,
    sides: [Side; 2],
}

impl Default for Websocket {
    fn default() -> Self {
        Self { txs: Txs::new(MAX_TXS), sides: Default::default() }
    }
}

impl Websocket {
    fn step(&mut self, d: Direction, data: &[u8], cx: &mut Cx<'_>) -> Step {
        let side = &mut self.sides[d.index()]; // an index of two
        let Some((head, mut payload, left)) = side.frame.take() else {
            let Some((head, n)) = parser::head(data) else {
                return Step::More { consumed: 0, needed: data.len() + 1 };
            };
            side.cut = false;
            cx.frame(Kind::WebsocketPdu, data.len(), (n as u64).saturating_add(head.len));
            cx.frame(Kind::WebsocketHeader, data.len(), n as u64);
            cx.frame(Kind::WebsocketData, data.len() - n, head.len); // a head is part of what it was read from
            if head.len == 0 {
                self.frame(d, head, Vec::new(), cx);
            } else {
                side.frame = Some((head, Vec::new(), head.len));
            }
            return Step::Ok(n);
        };
        let n = data.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let room = cx.config.websocket.max_payload.saturating_sub(payload.len()).min(n);
        if room > 0 && cx.charge(&mut side.charged, room) {
            payload.extend_from_slice(data.get(..room).unwrap_or_default());
            side.cut |= room < n;
        } else {
            side.cut |= n > 0;
        }
        let left = left - n as u64; // n <= left
        if left == 0 {
            self.frame(d, head, payload, cx);
        } else {
            side.frame = Some((head, payload, left));
        }
        Step::Ok(n)
    }

    // A frame is complete.
    fn frame(&mut self, d: Direction, head: Head, mut payload: Vec<u8>, cx: &mut Cx<'_>) {
        parser::unmask(&mut payload, head.mask);
        let most = cx.config.websocket.max_payload;
        let side = &mut self.sides[d.index()];
        let mut cut = std::mem::take(&mut side.cut);
        let mut limit = false;
        let mut shown = head;
        if head.opcode >= parser::CLOSE {
            // A control frame may stand between fragments and changes nothing of them.
        } else if head.opcode == parser::CONTINUATION && side.message.is_some() {
            let (first, mut bytes, mut missing) = side.message.take().unwrap_or_default();
            missing |= cut;
            let room = most.saturating_sub(bytes.len()).min(payload.len());
            limit = room < payload.len();
            missing |= limit;
            if room > 0 && cx.charge(&mut side.charged, room) {
                bytes.extend_from_slice(payload.get(..room).unwrap_or_default());
            } else {
                missing |= !payload.is_empty();
            }
            if head.fin {
                // The last fragment stands for the message: its kind and coding are those of the first.
                (payload, cut) = (bytes, missing);
                (shown.opcode, shown.rsv) = (first.opcode, first.rsv);
            } else {
                side.message = Some((first, bytes, missing));
            }
        } else if !head.fin {
            if cx.charge(&mut side.charged, payload.len()) {
                side.message = Some((head, payload.clone(), cut));
            } else {
                side.message = Some((head, Vec::new(), true));
            }
        }
        let whole = head.fin && head.opcode < parser::CLOSE;
        if whole && shown.compressed() {
            let granted = side.window > 0 || cx.charge(&mut side.window, inflate::WINDOW);
            if cut || !granted {
                side.inflate.lose();
            } else if let Some(plain) = side.inflate.message(&payload, most) {
                (limit, payload) = (limit | plain.1, plain.0);
            }
        }
        // The head that EVE shows keeps this frame's own bits.
        shown.rsv |= head.rsv;
        let mut tx = Tx { to_client: d == Direction::ToClient, head: shown, ..Tx::default() };
        if cx.charge(&mut tx.core.charged, size_of::<Tx>() + payload.len()) {
            tx.payload = payload;
        }
        // What is still kept is the message so far: what this frame held besides is given back.
        let kept = side.message.as_ref().map_or(0, |(_, bytes, _)| bytes.len() as u64);
        let mut back = side.charged.saturating_sub(kept);
        side.charged -= back;
        cx.release(&mut back);
        if cut {
            tx.core.raise(Event::SkipEndOfPayload as u8);
        }
        if limit {
            tx.core.raise(Event::ReassemblyLimitReached as u8);
        }
        tx.core.only = Some(d);
        tx.core.finish();
        let id = self.txs.push(tx).core.id;
        cx.frames_of(id);
    }
}

impl Protocol for Websocket {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = events::NAMES;

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let mut at = 0;
        while let Some(rest) = input.data.get(at..).filter(|r| !r.is_empty()) {
            match self.step(input.direction, rest, cx) {
                Step::Ok(n) => at += n,
                Step::More { .. } if input.eof => break,
                Step::More { needed, .. } => return Step::More { consumed: at, needed },
                Step::Error => return Step::Error,
            }
        }
        Step::Ok(input.data.len())
    }
    fn gap(&mut self, d: Direction, len: u64, _: &mut Cx<'_>) -> Step {
        // Only inside a payload is it known where the next frame begins.
        let side = &mut self.sides[d.index()];
        match &mut side.frame {
            Some((_, _, left)) if len < *left => {
                *left -= len;
                side.cut = true;
                side.inflate.lose();
                Step::Ok(0)
            }
            _ => Step::Error,
        }
    }
    fn proto(&self) -> AppProto {
        AppProto::Websocket
    }
    fn charged(&self) -> u64 {
        self.sides.iter().map(|s| s.charged + s.window).sum()
    }
    own_txs!();
    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&'a [u8]> {
        detect::buffer(tx, buffer, direction, index)
    }
    fn number(&self, tx: &Tx, field: Field, direction: Direction, index: usize) -> Option<u64> {
        detect::number(tx, field, direction, index)
    }
    fn buffer_at(_: Buffer, _: Direction) -> u8 {
        DONE
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }
    fn event_type(&self, tx: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        Some(("websocket", Some(tx.way())))
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
