// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! TLS 1.0 to 1.3, and SSL 2.0 and 3.0 as far as their hellos go. A connection is one transaction, as in Suricata.
//!
//! Must never keep a byte of encrypted data. Limits: those of [`parser`], [`hello`] and [`cert`].

pub mod cert;
pub mod detect;
pub mod events;
pub mod fingerprint;
mod frames;
pub mod hello;
pub mod log;
pub mod parser;
pub mod session;

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

pub use log::Choices;

use crate::{
    buffer::{Buffer, Field},
    config::Config,
    protocol::{Cx, Input, Protocol, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};
use session::{ClientState, ServerState, Session};

/// A flow's state: its one transaction.
#[derive(Debug)]
pub struct Tls {
    txs: Txs<Tx>,
    /// Whether a direction cannot be followed any more.
    lost: bool,
    /// Where records begin, by direction; kept where rules ask for frames.
    places: [frames::Place; 2],
    /// What the flow spoke before it changed to TLS.
    pub(crate) from: AppProto,
}

/// The connection.
#[derive(Debug, Default)]
pub struct Tx {
    core: TxCore,
    /// What is known of it.
    pub session: Session,
    /// The server's certificate against the packet's time when it was shown.
    pub age: Option<Age>,
    /// The same of the client's.
    pub client_age: Option<Age>,
}

/// A certificate's validity at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Its validity has not begun.
    Early,
    /// Within it.
    Valid,
    /// It is over.
    Expired,
}

impl Age {
    fn of(chain: &cert::Chain, seconds: i64) -> Option<Self> {
        chain.subject.as_ref()?;
        Some(match seconds {
            s if s < chain.not_before => Self::Early,
            s if s > chain.not_after => Self::Expired,
            _ => Self::Valid,
        })
    }
}

transaction!(Tx);

impl Default for Tls {
    fn default() -> Self {
        Self { txs: Txs::new(1), lost: false, places: Default::default(), from: AppProto::Unknown }
    }
}

impl Tx {
    /// Carries what the session learned over to the frame's part.
    fn moved(&mut self, cx: &mut Cx<'_>) -> bool {
        let s = &self.session;
        let client = match s.client_state {
            ClientState::Finished => DONE,
            state => state as u8,
        };
        let server = match s.server_state {
            ServerState::Finished => DONE,
            state => state as u8,
        };
        self.core.reach(Direction::ToServer, client);
        self.core.reach(Direction::ToClient, server);
        for e in s.events.iter().filter(|e| !self.core.events.has(*e as u8)).collect::<Vec<_>>() {
            self.core.raise(e as u8);
        }
        let now = cx.time.micros().div_euclid(1_000_000);
        self.age = self.age.or_else(|| Age::of(s.server_chain.as_deref()?, now));
        self.client_age = self.client_age.or_else(|| Age::of(s.client_chain.as_deref()?, now));
        let memory = s.memory() as u64;
        let more = memory.saturating_sub(self.core.charged);
        more == 0 || cx.charge(&mut self.core.charged, more as usize)
    }
}

impl Tls {
    fn with(&mut self, cx: &mut Cx<'_>, work: impl FnOnce(&mut Session) -> bool) -> Step {
        if self.txs.total() == 0 {
            self.txs.push(Tx::default());
        }
        // Ended and forgotten already: nothing more is said of it.
        let Some(tx) = self.txs.last() else { return Step::Error };
        let goes_on = work(&mut tx.session);
        if tx.session.encrypted() {
            cx.encrypted();
        }
        let fits = tx.moved(cx);
        if goes_on && fits {
            return Step::Ok(0);
        }
        self.lost = true;
        Step::Error
    }
}

impl Protocol for Tls {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = events::NAMES;
    const LOG_AT: [u8; 2] = [ClientState::CertDone as u8, ServerState::CertDone as u8];

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let Input { direction, data, eof, .. } = input;
        if data.is_empty() && self.txs.total() == 0 {
            return Step::Ok(0);
        }
        let mut read = data.len();
        let place = &mut self.places[direction.index()]; // an index of two
        if cx.asks_frames(AppProto::Tls) {
            let whole = place.mark(data, cx);
            read = if eof { read } else { whole };
        } else if !data.is_empty() {
            place.lose();
        }
        let data = data.get(..read).unwrap_or_default();
        let step = self.with(cx, |s| {
            let goes_on = s.data(direction, data);
            if eof {
                s.finish(direction);
            }
            goes_on
        });
        cx.frames_of(0);
        match step {
            Step::Ok(0) if read < input.data.len() => {
                Step::More { consumed: read, needed: input.data.len() - read + 1 }
            }
            Step::Ok(0) => Step::Ok(read),
            _ => step,
        }
    }

    fn gap(&mut self, direction: Direction, len: u64, cx: &mut Cx<'_>) -> Step {
        self.places[direction.index()].gap(len); // an index of two
        self.with(cx, |s| s.gap(direction, len))
    }

    fn proto(&self) -> AppProto {
        AppProto::Tls
    }
    own_txs!();

    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&'a [u8]> {
        detect::buffer(&tx.session, buffer, direction, index)
    }
    fn number(&self, tx: &Tx, field: Field, direction: Direction, index: usize) -> Option<u64> {
        detect::number(tx, field, direction, index)
    }
    fn buffer_at(buffer: Buffer, direction: Direction) -> u8 {
        detect::buffer_at(buffer, direction)
    }
    fn number_at(field: Field, direction: Direction) -> u8 {
        detect::number_at(field, direction)
    }

    fn event_type(&self, tx: &Tx, config: &Config) -> Option<(&'static str, Option<Direction>)> {
        tx.session.telling(config.tls.session_resumption).then_some(("tls", None))
    }
    fn log(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        log::event(&tx.session, self.from.name(), &config.tls, w);
    }
    fn metadata(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        log::event(&tx.session, self.from.name(), &config.tls, w);
    }
}
