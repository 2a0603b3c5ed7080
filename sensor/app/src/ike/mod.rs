// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! IKE versions 1 (RFC 2408, RFC 2409) and 2 (RFC 7296) over UDP: each message with its payloads in clear, and what both
//! sides have said of keys, nonces and vendors so far.
//!
//! Must never look into what is encrypted. Limits: [`MAX_TXS`], [`MAX_KEPT`], and those of [`parser`].

pub mod log;
pub mod names;
pub mod parser;

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use self::parser::{Attribute, Class, Message};
use crate::{
    buffer::{Buffer, Field},
    config::Config,
    protocol::{Cx, Input, Protocol, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};

/// Most messages of a flow that wait for detection. Threat: a flood of messages one way.
pub const MAX_TXS: usize = 256;
/// Bytes of keys, nonces and choices that a flow remembers. Threat: a peer that begins anew without end.
pub const MAX_KEPT: usize = 32 * 1024;

/// Choices: what EVE writes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// `extended`: whether an exchange's type is written in words too.
    pub extended: bool,
}

/// Names of events, by number.
pub const EVENTS: &[&str] = &[
    "malformed_data",
    "weak_crypto_enc",
    "weak_crypto_prf",
    "weak_crypto_auth",
    "weak_crypto_dh",
    "weak_crypto_nodh",
    "weak_crypto_noauth",
    "no_encryption",
    "invalid_proposal",
    "unknown_proposal",
    "multiple_server_proposal",
];

/// The events, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Event {
    MalformedData,
    WeakCryptoEnc,
    WeakCryptoPrf,
    WeakCryptoAuth,
    WeakCryptoDh,
    WeakCryptoNodh,
    WeakCryptoNoauth,
    NoEncryption,
    InvalidProposal,
    UnknownProposal,
    MultipleServerProposal,
}

/// A message as a transaction.
#[derive(Debug)]
pub struct Tx {
    core: TxCore,
    /// Which way it went.
    pub direction: Direction,
    /// What it says.
    pub message: Message,
}

impl Tx {
    /// What the responder chose; None of an initiator's message.
    pub fn chosen(&self) -> Option<&[Attribute]> {
        self.message.proposals.first().filter(|_| self.direction == Direction::ToClient).map(Vec::as_slice)
    }
}

transaction!(Tx);

/// What one side has said so far, in version 1.
#[derive(Debug, Default)]
pub struct Side {
    /// Its public value.
    pub key: Vec<u8>,
    /// Its nonce.
    pub nonce: Vec<u8>,
}

/// What both sides have said so far, in version 1.
#[derive(Debug, Default)]
pub struct Talk {
    /// Domain of interpretation.
    pub doi: Option<u32>,
    /// Initiator, responder.
    pub sides: [Side; 2],
    /// What the responder chose last.
    pub chosen: Vec<Attribute>,
    /// The same of version 2, or that nothing was chosen yet.
    pub algorithms: Algorithms,
}

/// What a responder chose in version 2: of each class one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithms([Attribute; 5]);

impl Default for Algorithms {
    /// No algorithms at all.
    fn default() -> Self {
        let none = |class| Attribute { class, value: 0, v2: true };
        let encryption = Attribute { class: Class::AlgEnc, value: names::ENCR_NULL, v2: true };
        Self([encryption, none(Class::AlgAuth), none(Class::AlgPrf), none(Class::AlgDh), none(Class::AlgEsn)])
    }
}

impl Algorithms {
    fn choose(&mut self, chosen: &[Attribute]) {
        for a in &mut self.0 {
            a.value = chosen.iter().rfind(|c| c.class == a.class).map_or(a.value, |c| c.value);
        }
    }
}

/// A flow's state.
#[derive(Debug)]
pub struct Ike {
    txs: Txs<Tx>,
    talk: Talk,
    charged: u64,
}

impl Default for Ike {
    fn default() -> Self {
        Self { txs: Txs::new(MAX_TXS), talk: Talk::default(), charged: 0 }
    }
}

impl Ike {
    // Notes what a message adds to what is known of the flow.
    fn remember(&mut self, d: Direction, m: &Message, cx: &mut Cx<'_>) {
        let charged = &mut self.charged;
        // What is said anew takes the place of what was said before.
        let mut grant = |had: usize, n: usize| {
            let fits = n > 0 && (*charged as usize).saturating_sub(had) + n <= MAX_KEPT; // bounded by MAX_KEPT
            if !fits || !cx.charge(charged, n) {
                return false;
            }
            let mut back = had as u64;
            *charged = charged.saturating_sub(back);
            cx.release(&mut back);
            true
        };
        self.talk.doi = m.doi.or(self.talk.doi);
        let side = &mut self.talk.sides[d.index()]; // an index of two
        for (had, said) in [(&mut side.key, &m.key), (&mut side.nonce, &m.nonce)] {
            if grant(had.len(), said.len()) {
                had.clone_from(said);
            }
        }
        if let Some(chosen) = m.proposals.first().filter(|_| d == Direction::ToClient)
            && grant(size_of_val(self.talk.chosen.as_slice()), size_of_val(chosen.as_slice()))
        {
            self.talk.chosen.clone_from(chosen);
        }
    }

    fn judge(core: &mut TxCore, d: Direction, m: &Message) {
        for (raised, event) in [
            (m.damaged, Event::MalformedData),
            (m.unknown_proposal, Event::UnknownProposal),
            (m.empty_proposal, Event::InvalidProposal),
            (d == Direction::ToClient && m.proposals.len() > 1, Event::MultipleServerProposal),
        ] {
            if raised {
                core.raise(event as u8);
            }
        }
        if d == Direction::ToClient
            && m.version.0 == 2
            && let Some(chosen) = m.proposals.first()
        {
            chosen.iter().filter_map(names::weakness).for_each(|e| core.raise(e as u8));
        }
    }
}

impl Protocol for Ike {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = EVENTS;

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let all = Step::Ok(input.data.len());
        let d = input.direction;
        // Behind NAT IKE has four zero bytes before it, and shares its port with ESP and with what keeps the way open
        // (RFC 3948, 2.2 and 2.3).
        let data = match input.data {
            [0, 0, 0, 0, rest @ ..] => rest,
            _ if cx.ports.0 == NAT || cx.ports.1 == NAT => return all,
            other => other,
        };
        let mut core = TxCore::default();
        let message = parser::message(data).unwrap_or_else(|| Message { damaged: true, ..Message::default() });
        if !cx.charge(&mut core.charged, size_of::<Tx>() + message.held()) {
            return all; // counted by the memory cap; the flow goes on
        }
        match message.version.0 {
            1 => self.remember(d, &message, cx),
            2 if d == Direction::ToClient => {
                message.proposals.iter().for_each(|chosen| self.talk.algorithms.choose(chosen));
            }
            _ => {}
        }
        Self::judge(&mut core, d, &message);
        core.only = Some(d);
        core.finish();
        self.txs.push(Tx { core, direction: d, message });
        all
    }
    fn gap(&mut self, _: Direction, _: u64, _: &mut Cx<'_>) -> Step {
        Step::Error // datagrams have none
    }
    fn proto(&self) -> AppProto {
        AppProto::Ike
    }
    fn charged(&self) -> u64 {
        self.charged
    }
    own_txs!();
    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, d: Direction, index: usize) -> Option<&'a [u8]> {
        if d != tx.direction {
            return None;
        }
        let m = &tx.message;
        let some = |b: &'a [u8]| (index == 0 && !b.is_empty()).then_some(b);
        match buffer {
            Buffer::IkeInitSpi => some(&m.init_spi),
            Buffer::IkeRespSpi => some(&m.resp_spi),
            Buffer::IkeKeyExchangePayload => some(&m.key),
            Buffer::IkeNoncePayload => some(&m.nonce),
            Buffer::IkeVendor => m.vendors.get(index).map(Vec::as_slice),
            _ => None,
        }
    }
    fn number(&self, tx: &Tx, field: Field, d: Direction, index: usize) -> Option<u64> {
        if d != tx.direction {
            return None;
        }
        let m = &tx.message;
        match field {
            // The attribute's own number above 32 bits of value.
            Field::IkeChosenSaAttribute => tx.chosen()?.get(index).map(|a| a.as_number()),
            _ if index > 0 => None,
            Field::IkeExchtype => (m.version.0 > 0).then_some(m.exchange.into()),
            Field::IkeKeyExchangePayloadLength => (!m.key.is_empty()).then_some(m.key.len() as u64),
            Field::IkeNoncePayloadLength => (!m.nonce.is_empty()).then_some(m.nonce.len() as u64),
            _ => None,
        }
    }
    fn buffer_at(_: Buffer, _: Direction) -> u8 {
        DONE
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }
    fn event_type(&self, tx: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        (tx.message.version.0 > 0).then_some(("ike", Some(tx.direction)))
    }
    fn log(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        w.key("tx_id").u64(tx.core.id);
        self.metadata(tx, config, w);
    }
    fn metadata(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        log::write(tx, &self.talk, config.ike, w);
    }
}

/// The port that IKE and ESP share behind NAT.
const NAT: u16 = 4500;

#[cfg(test)]
mod tests;
