// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! PostgreSQL's protocol, version 3: each request with what answers it, up to where the server is ready again. After an
//! agreed TLS request the flow goes on as TLS. Rows are counted, never kept.
//!
//! Must never wait for a message longer than [`MAX_MESSAGE`]; what is longer is passed over. Passwords are not written
//! unless that is chosen. Limits: [`MAX_TXS`], [`MAX_PARAMETERS`], [`MAX_TEXT`].

pub mod log;
pub mod parser;

use lagewarte_base::reader::Reader;
use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use self::parser::{Fields, Head, Pairs};
use crate::{
    buffer::{Buffer, Field},
    config::Config,
    protocol::{Cx, Input, Protocol, Skip, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};

/// Most requests that are open. Threat: a client that asks and never reads.
pub const MAX_TXS: usize = 256;
/// Most parameters of a transaction.
pub const MAX_PARAMETERS: usize = 64;
/// Bytes of a text that are kept. Threat: a query of a gigabyte.
pub const MAX_TEXT: usize = 16 * 1024;
/// Longest message that is waited for.
pub const MAX_MESSAGE: usize = 128 * 1024;

/// Choices: what EVE writes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// `passwords`: whether they are written.
    pub passwords: bool,
}

/// Names of events, by number.
pub const EVENTS: &[&str] = &["invalid_length", "malformed_request", "malformed_response"];
const INVALID_LENGTH: u8 = 0;
const MALFORMED_REQUEST: u8 = 1;
const MALFORMED_RESPONSE: u8 = 2;

/// What was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of the protocol's messages")]
pub enum Request {
    #[default]
    None,
    Ssl,
    Startup {
        version: (u16, u16),
        parameters: Vec<(Vec<u8>, Vec<u8>)>,
    },
    Password(Vec<u8>),
    SaslInitial {
        mechanism: Vec<u8>,
        data: Vec<u8>,
    },
    SaslResponse(Vec<u8>),
    Query(Vec<u8>),
    Cancel(u32, u32),
    Terminate,
    /// Of the extended query, of COPY: known by its letter.
    Other(u8),
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Whether TLS was agreed on.
    pub ssl: Option<bool>,
    /// Steps of the authentication: number, data.
    pub auth: Vec<(u32, Vec<u8>)>,
    /// Settings told.
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
    /// Process and key to cancel with.
    pub key: Option<(u32, u32)>,
    /// Columns, rows, bytes of their values.
    pub rows: Option<(u16, u64, u64)>,
    /// What was completed, in words.
    pub completed: Option<Vec<u8>>,
    /// Fields of an error or a notice.
    pub error: Vec<(u8, Vec<u8>)>,
}

/// A request and its response.
#[derive(Debug, Default)]
pub struct Tx {
    core: TxCore,
    /// What was asked.
    pub request: Request,
    /// What was answered.
    pub response: Response,
}

transaction!(Tx);

/// A flow's state.
#[derive(Debug)]
pub struct Pgsql {
    txs: Txs<Tx>,
    // The client has not said yet what it speaks.
    first: bool,
    // The next byte of the server answers a request for TLS.
    ssl: bool,
    // The authentication that was asked for last.
    auth: u32,
    // So much of a message is left that is not read.
    skip: Skip,
}

impl Default for Pgsql {
    fn default() -> Self {
        Self { txs: Txs::new(MAX_TXS), first: true, ssl: false, auth: 0, skip: Skip::default() }
    }
}

fn cut(bytes: &[u8]) -> Vec<u8> {
    bytes.get(..bytes.len().min(MAX_TEXT)).unwrap_or_default().to_vec()
}
fn pairs(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    Pairs(bytes).take(MAX_PARAMETERS).map(|(n, v)| (cut(n), cut(v))).collect()
}

impl Pgsql {
    fn ask(&mut self, request: Request, size: usize, answered: bool, cx: &mut Cx<'_>) {
        let mut tx = Tx::default();
        if !cx.charge(&mut tx.core.charged, size_of::<Tx>() + 2 * size.min(MAX_MESSAGE)) {
            return;
        }
        tx.request = request;
        tx.core.reach(Direction::ToServer, DONE);
        if !answered {
            tx.core.reach(Direction::ToClient, DONE);
        }
        self.txs.push(tx);
    }

    fn odd(&mut self, event: u8, d: Direction, cx: &mut Cx<'_>) {
        let mut tx = Tx::default();
        if cx.charge(&mut tx.core.charged, size_of::<Tx>()) {
            tx.core.raise(event);
            tx.core.only = Some(d);
            tx.core.finish();
            self.txs.push(tx);
        }
    }

    fn request(&mut self, kind: u8, content: &[u8], cx: &mut Cx<'_>) -> bool {
        let mut r = Reader::new(content);
        let size = content.len();
        match kind {
            0 => match r.u32() {
                Some(parser::SSL_REQUEST | parser::GSS_REQUEST) => {
                    self.ssl = true;
                    self.ask(Request::Ssl, size, true, cx);
                }
                Some(parser::CANCEL_REQUEST) => {
                    let (Some(process), Some(key)) = (r.u32(), r.u32()) else { return false };
                    self.ask(Request::Cancel(process, key), size, false, cx);
                }
                Some(version) if version >> 16 == 3 => {
                    self.first = false;
                    let version = ((version >> 16) as u16, version as u16); // halves of it
                    self.ask(Request::Startup { version, parameters: pairs(r.rest()) }, size, true, cx);
                }
                _ => return false,
            },
            b'p' => {
                let request = match self.auth {
                    10 => match (parser::text(&mut r), r.u32()) {
                        (Some(mechanism), Some(_)) => {
                            Request::SaslInitial { mechanism: cut(mechanism), data: cut(r.rest()) }
                        }
                        _ => return false,
                    },
                    11 => Request::SaslResponse(cut(content)),
                    _ => Request::Password(cut(content.strip_suffix(b"\0").unwrap_or(content))),
                };
                self.ask(request, size, true, cx);
            }
            b'Q' => {
                let query = content.strip_suffix(b"\0").unwrap_or(content);
                self.ask(Request::Query(cut(query)), size, true, cx);
            }
            b'X' => self.ask(Request::Terminate, 0, false, cx),
            // Parts of an extended query are answered together, when it is synced.
            b'S' => self.ask(Request::Other(kind), 0, true, cx),
            b'P' | b'B' | b'E' | b'D' | b'C' | b'H' | b'F' | b'd' | b'c' | b'f' => {}
            _ => return false,
        }
        true
    }

    fn response(&mut self, kind: u8, content: &[u8], cx: &mut Cx<'_>) -> bool {
        let open = self.txs.iter_mut().find(|t| t.core.progress(Direction::ToClient) < DONE);
        let Some(tx) = open else { return matches!(kind, b'A' | b'N' | b'S' | b'E' | b'Z') };
        let kept = matches!(kind, b'R' | b'S' | b'C' | b'E' | b'N');
        if kept && !cx.charge(&mut tx.core.charged, 2 * content.len()) {
            return true;
        }
        let mut r = Reader::new(content);
        let a = &mut tx.response;
        let mut done = false;
        match kind {
            b'R' => {
                let Some(step) = r.u32() else { return false };
                self.auth = step;
                // What asks for something is answered by the next request.
                done = !matches!(step, 0 | 12);
                if a.auth.len() < MAX_PARAMETERS {
                    a.auth.push((step, cut(r.rest())));
                }
            }
            b'S' => {
                if a.parameters.len() < MAX_PARAMETERS {
                    a.parameters.extend(Pairs(content).take(1).map(|(n, v)| (cut(n), cut(v))));
                }
            }
            b'K' => a.key = r.u32().zip(r.u32()),
            b'T' => a.rows = Some((r.u16().unwrap_or(0), 0, 0)),
            b'D' => {
                let (columns, rows, size) = a.rows.unwrap_or((0, 0, 0));
                a.rows = Some((columns, rows + 1, size.saturating_add(parser::row_size(content))));
            }
            b'C' => a.completed = Some(cut(content.strip_suffix(b"\0").unwrap_or(content))),
            b'E' | b'N' if a.error.is_empty() => {
                a.error = Fields(content).take(MAX_PARAMETERS).map(|(l, t)| (l, cut(t))).collect();
            }
            b'Z' => done = true,
            b'E' | b'N' | b'A' | b'I' | b'G' | b'H' | b'W' | b'V' | b'v' | b'd' | b'c' | b'n' | b's' | b't' => {}
            b'1' | b'2' | b'3' => {}
            _ => return false,
        }
        if done {
            tx.core.reach(Direction::ToClient, DONE);
        }
        true
    }

    // The byte that answers a request for TLS.
    fn agreed(&mut self, byte: u8, cx: &mut Cx<'_>) {
        self.ssl = false;
        let yes = matches!(byte, b'S' | b'G');
        if let Some(tx) = self.txs.iter_mut().find(|t| t.core.progress(Direction::ToClient) < DONE) {
            tx.response.ssl = Some(yes);
            tx.core.reach(Direction::ToClient, DONE);
        }
        if byte == b'S' {
            cx.change(AppProto::Tls);
        }
    }
}

impl Protocol for Pgsql {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = EVENTS;

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let d = input.direction;
        let up = d == Direction::ToServer;
        let mut at = 0;
        while let Some(rest) = input.data.get(at..).filter(|r| !r.is_empty()) {
            let passed = self.skip.over(d, rest);
            if passed > 0 {
                at += passed;
                continue;
            }
            if !up && self.ssl && matches!(rest.first(), Some(b'S' | b'N' | b'G')) {
                self.agreed(rest.first().copied().unwrap_or_default(), cx);
                at += 1;
                if cx.change.is_some() {
                    return Step::Ok(at);
                }
                continue;
            }
            // Taken up in its middle, a client begins with a message that has a type.
            let first = up && self.first && rest.first() == Some(&0);
            let (kind, head, len) = match if first { parser::first_head(rest) } else { parser::head(rest) } {
                Head::Is(kind, head, len) => (kind, head, len),
                Head::More if input.eof => break,
                Head::More => return Step::More { consumed: at, needed: rest.len() + 1 },
                Head::Bad => {
                    self.odd(if up { MALFORMED_REQUEST } else { MALFORMED_RESPONSE }, d, cx);
                    return Step::Error;
                }
            };
            if len > MAX_MESSAGE {
                if !matches!(kind, b'D' | b'd') {
                    self.odd(INVALID_LENGTH, d, cx);
                }
                self.skip.set(d, len as u64);
                at += head;
                continue;
            }
            let Some(content) = rest.get(head..head + len) else {
                if input.eof {
                    break;
                }
                return Step::More { consumed: at, needed: head + len };
            };
            at += head + len;
            if up && kind != 0 {
                self.first = false;
            }
            let good = if up { self.request(kind, content, cx) } else { self.response(kind, content, cx) };
            if !good {
                self.odd(if up { MALFORMED_REQUEST } else { MALFORMED_RESPONSE }, d, cx);
            }
        }
        Step::Ok(input.data.len())
    }
    fn gap(&mut self, d: Direction, len: u64, _: &mut Cx<'_>) -> Step {
        self.skip.gap(d, len)
    }
    fn proto(&self) -> AppProto {
        AppProto::Pgsql
    }
    own_txs!();
    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&'a [u8]> {
        match (buffer, direction, index, &tx.request) {
            (Buffer::PgsqlQuery, Direction::ToServer, 0, Request::Query(query)) => Some(query),
            _ => None,
        }
    }
    fn number(&self, _: &Tx, _: Field, _: Direction, _: usize) -> Option<u64> {
        None
    }
    fn buffer_at(_: Buffer, _: Direction) -> u8 {
        DONE
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }
    fn event_type(&self, tx: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        let known = !matches!(tx.request, Request::None) || tx.response != Response::default();
        known.then_some(("pgsql", None))
    }
    fn log(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        log::write(tx, &config.pgsql, w);
    }
    fn metadata(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        log::write(tx, &config.pgsql, w);
    }
}

#[cfg(test)]
mod tests;
