// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A call and its answer, put together from fragments, and the interfaces that a connection or a pipe has bound: the same
//! over TCP, over UDP and in a named pipe.
//!
//! Must never keep more of a call's bytes than the configured `max-stub-size`; what is beyond is counted and not kept.

use lagewarte_flow::Direction;

use super::pdu::{self, Body, Context, Head, Uuid, kind};
use crate::protocol::Cx;

/// Interfaces of a connection that are remembered. Threat: alter context without end.
pub const MAX_BOUND: usize = 256;

/// An interface that was asked for, and what the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// What was asked for.
    pub context: Context,
    /// Result and reason, once they are known; 0: accepted.
    pub ack: Option<(u16, u16)>,
}

/// The interfaces of a connection.
#[derive(Clone, Debug, Default)]
pub struct Interfaces(Vec<Bound>);

impl Interfaces {
    /// What a context stands for.
    pub fn of(&self, context: u16) -> Option<&Bound> {
        self.0.iter().rev().find(|b| b.context.id == context)
    }
    fn take(&mut self, bound: &[Bound], cx: &mut Cx<'_>, charged: &mut u64) {
        for b in bound {
            // A context that is bound anew stands for what was said last.
            let room = self.0.len() < MAX_BOUND;
            match self.0.iter_mut().find(|had| had.context.id == b.context.id) {
                Some(had) => *had = b.clone(),
                None if room && cx.charge(charged, size_of::<Bound>()) => self.0.push(b.clone()),
                None => {}
            }
        }
    }
}

/// A call: a request or a bind, and its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Kind of the PDU that asks; None: it was not seen.
    pub request: Option<u8>,
    /// Kind of the PDU that answers; None: none was seen.
    pub response: Option<u8>,
    /// Number of the call.
    pub id: u32,
    /// Version and minor version of the protocol.
    pub version: (u8, u8),
    /// Which context a request is for.
    pub context: u16,
    /// Which operation a request is for.
    pub opnum: u16,
    /// Parameters and results, by [`Direction::index`].
    pub stub: [Vec<u8>; 2],
    /// Bytes of them, kept or not.
    pub stub_size: [u64; 2],
    /// Fragments of them.
    pub fragments: [u32; 2],
    /// Whether numbers have their lower byte first.
    pub little: [bool; 2],
    /// Interfaces that a bind asks for, or the one that a request is for.
    pub interfaces: Vec<Bound>,
    /// Whether the last fragment was seen.
    pub whole: [bool; 2],
}

impl Call {
    /// One that begins with such a PDU.
    pub fn new(head: &Head, direction: Direction) -> Self {
        let mut call = Self { id: head.call, version: head.version, ..Self::default() };
        call.little[direction.index()] = head.little; // an index of two
        match direction {
            Direction::ToServer => call.request = Some(head.kind),
            Direction::ToClient => call.response = Some(head.kind),
        }
        call
    }

    /// Bytes that it holds beside itself.
    pub fn held(&self) -> usize {
        self.stub[0].len() + self.stub[1].len() + self.interfaces.len() * size_of::<Bound>()
    }

    /// Takes a fragment that goes this way.
    pub fn fragment(
        &mut self,
        head: &Head,
        body: &Body<'_>,
        direction: Direction,
        pipe: bool,
        cx: &mut Cx<'_>,
        charged: &mut u64,
    ) {
        let side = direction.index();
        self.little[side] = head.little;
        self.whole[side] |= head.last;
        match body {
            Body::Request { context, opnum, stub } => {
                (self.context, self.opnum) = (*context, *opnum);
                self.take(side, stub, cx, charged);
            }
            Body::Response { rest } => {
                let from = if pipe { pdu::RESPONSE_HEAD } else { 0 };
                self.take(side, rest.get(from..).unwrap_or_default(), cx, charged);
            }
            _ => self.fragments[side] += 1,
        }
    }

    /// Takes bytes of parameters or results.
    pub fn take(&mut self, side: usize, bytes: &[u8], cx: &mut Cx<'_>, charged: &mut u64) {
        self.fragments[side] += 1;
        self.stub_size[side] += bytes.len() as u64;
        let room = cx.config.dcerpc.max_stub.saturating_sub(self.stub[side].len());
        let kept = bytes.get(..bytes.len().min(room)).unwrap_or_default();
        if cx.charge(charged, kept.len()) {
            self.stub[side].extend_from_slice(kept);
        }
    }

    /// Whether a PDU of that kind answers it.
    pub fn answered_by(&self, answer: u8) -> bool {
        self.response.is_none()
            && match answer {
                kind::BIND_ACK | kind::BIND_NAK => self.request == Some(kind::BIND),
                kind::ALTER_CONTEXT_RESP => self.request == Some(kind::ALTER_CONTEXT),
                kind::RESPONSE => self.request == Some(kind::REQUEST),
                // A fault answers what asks: a request, or an alter context that is refused (MS-RPCE 3.3.1.5.2).
                _ => self.request.is_some(),
            }
    }

    /// Whether a PDU that goes this way belongs to it: an answer, or a further fragment.
    pub fn takes(&self, head: &Head, up: bool) -> bool {
        let said = if up { self.request } else { self.response };
        self.id == head.call && (said == Some(head.kind) && !head.first || !up && self.answered_by(head.kind))
    }

    /// Notes the kind of a PDU that belongs to it.
    pub fn heard(&mut self, head: &Head, up: bool) {
        let said = if up { &mut self.request } else { &mut self.response };
        said.get_or_insert(head.kind);
    }

    /// Whether a PDU of that kind that goes this way is a part of a call. The others (a third leg of authentication, a
    /// cancel, a shutdown) are about one and are no transaction, as in Suricata.
    pub const fn is_of_one(kind: u8, up: bool) -> bool {
        match kind {
            kind::REQUEST | kind::BIND | kind::ALTER_CONTEXT => up,
            kind::RESPONSE | kind::FAULT | kind::BIND_ACK | kind::BIND_NAK | kind::ALTER_CONTEXT_RESP => !up,
            _ => false,
        }
    }

    /// Notes what a bind asks for, or which interface a request is for.
    pub fn bind(&mut self, body: &Body<'_>, known: &mut Interfaces, cx: &mut Cx<'_>, charged: &mut [u64; 2]) {
        let [own, shared] = charged;
        match body {
            Body::Bind(list) => {
                if !cx.charge(own, list.len() * size_of::<Bound>()) {
                    return;
                }
                self.interfaces = list.iter().map(|c| Bound { context: c.clone(), ack: None }).collect();
                known.take(&self.interfaces, cx, shared);
            }
            Body::Request { context, .. } if self.interfaces.is_empty() => {
                if let Some(b) = known.of(*context)
                    && cx.charge(own, size_of::<Bound>())
                {
                    self.interfaces.push(b.clone());
                }
            }
            // The results are in the order of what was asked for.
            Body::Ack(results) => {
                for (b, ack) in self.interfaces.iter_mut().zip(results) {
                    b.ack = Some(*ack);
                }
                known.take(&self.interfaces, cx, shared);
            }
            _ => {}
        }
    }

    /// The interface that a request is for, unless the server refused it.
    pub fn interface(&self) -> Option<(&Uuid, u16)> {
        let refused = |b: &&Bound| b.ack.is_some_and(|(result, _)| result != 0);
        let bound = self.interfaces.first().filter(|b| !refused(b))?;
        (self.request == Some(kind::REQUEST)).then_some((&bound.context.uuid, bound.context.version.0))
    }

    /// Which operation is asked for, where one is.
    pub fn operation(&self) -> Option<u16> {
        (self.request == Some(kind::REQUEST)).then_some(self.opnum)
    }
}
