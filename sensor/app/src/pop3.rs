// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! POP3 (RFC 1939, 2449, 5034): each command with its reply, lists of several lines among them; mails themselves are
//! passed over. After STLS the flow goes on as TLS.
//!
//! Must never keep a mail's text, nor more than [`MAX_LINES`] lines of a reply. A password is an argument as the protocol
//! has it: what leaves the sensor is the release profile's matter.

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use crate::{
    buffer::{Buffer, Field},
    config::Config,
    line::{self, Cut},
    protocol::{Cx, Input, Protocol, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};

/// Most commands that wait for their reply. Threat: a client that pipelines and never reads.
pub const MAX_TXS: usize = 256;
/// Most lines of a reply that are kept. Threat: a list of a million mails.
pub const MAX_LINES: usize = 128;
/// Most arguments of a command.
const MAX_ARGS: usize = 8;

/// A command and its reply.
#[derive(Debug, Default)]
pub struct Tx {
    core: TxCore,
    /// The command in upper case; what goes on with an authentication is none.
    pub command: Option<Vec<u8>>,
    /// Its arguments.
    pub args: Vec<Vec<u8>>,
    /// The reply: whether all is well, and what is said behind that.
    pub reply: Option<(bool, Vec<u8>)>,
    /// Further lines of the reply.
    pub lines: Vec<Vec<u8>>,
}

transaction!(Tx);

/// A flow's state.
#[derive(Debug)]
pub struct Pop3 {
    txs: Txs<Tx>,
    greeted: bool,
    // The reply to this command goes on to a line with a dot; whether its lines are kept.
    listing: Option<(u64, bool)>,
    // The next line of the client goes on with an authentication.
    challenged: bool,
}

impl Default for Pop3 {
    fn default() -> Self {
        Self { txs: Txs::new(MAX_TXS), greeted: false, listing: None, challenged: false }
    }
}

impl Pop3 {
    fn command(&mut self, line: &[u8], cx: &mut Cx<'_>) {
        let mut tx = Tx::default();
        if !cx.charge(&mut tx.core.charged, size_of::<Tx>() + line.len()) {
            return;
        }
        if !std::mem::take(&mut self.challenged) {
            let mut words = line.split(|b| *b == b' ').filter(|w| !w.is_empty());
            tx.command = words.next().map(<[u8]>::to_ascii_uppercase);
            tx.args = words.take(MAX_ARGS).map(<[u8]>::to_vec).collect();
        }
        tx.core.reach(Direction::ToServer, DONE);
        self.txs.push(tx);
    }

    fn reply(&mut self, line: &[u8], cx: &mut Cx<'_>) {
        if let Some((id, kept)) = self.listing {
            if line == b"." {
                self.listing = None;
                if let Some(tx) = self.txs.by_id(id) {
                    tx.core.reach(Direction::ToClient, DONE);
                }
            } else if kept
                && let Some(tx) = self.txs.by_id(id)
                && tx.lines.len() < MAX_LINES
                && cx.charge(&mut tx.core.charged, size_of::<Vec<u8>>() + line.len())
            {
                // A dot in front of a line is doubled.
                tx.lines.push(line.strip_prefix(b".").unwrap_or(line).to_vec());
            }
            return;
        }
        let (well, rest) = match line {
            [b'+', b'O', b'K', rest @ ..] => (true, rest),
            [b'-', b'E', b'R', b'R', rest @ ..] => (false, rest),
            [b'+', rest @ ..] => {
                self.challenged = true;
                (true, rest)
            }
            _ => return,
        };
        if !std::mem::replace(&mut self.greeted, true) && self.txs.total() == 0 {
            return; // the greeting answers nobody
        }
        let open = self.txs.iter_mut().find(|t| t.reply.is_none() && t.core.progress(Direction::ToClient) < DONE);
        let Some(tx) = open else { return };
        let text = rest.trim_ascii();
        let granted = cx.charge(&mut tx.core.charged, text.len());
        tx.reply = Some((well, if granted { text.to_vec() } else { Vec::new() }));
        let command = tx.command.as_deref().unwrap_or_default();
        let lists = match command {
            b"LIST" | b"UIDL" => tx.args.is_empty().then_some(true),
            b"CAPA" => Some(true),
            b"RETR" | b"TOP" => Some(false),
            _ => None,
        };
        match lists.filter(|_| well && !self.challenged) {
            Some(kept) => self.listing = Some((tx.core.id, kept)),
            None => {
                let tls = well && command == b"STLS";
                tx.core.reach(Direction::ToClient, DONE);
                if tls {
                    cx.change(AppProto::Tls);
                }
            }
        }
    }
}

impl Protocol for Pop3 {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = &[];

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let mut at = 0;
        loop {
            let rest = input.data.get(at..).unwrap_or_default();
            let (line, n) = match line::cut(rest, input.eof) {
                Cut::Line { line, consumed, .. } => (line, consumed),
                Cut::Piece(piece) => (piece, piece.len()),
                Cut::More if input.eof || rest.is_empty() => break,
                Cut::More => return Step::More { consumed: at, needed: rest.len() + 1 },
            };
            at += n;
            match input.direction {
                Direction::ToServer => self.command(line, cx),
                Direction::ToClient => self.reply(line, cx),
            }
            if cx.change.is_some() {
                return Step::Ok(at);
            }
        }
        Step::Ok(input.data.len())
    }
    fn gap(&mut self, direction: Direction, _: u64, _: &mut Cx<'_>) -> Step {
        // Inside a list or a mail the line with a dot is found again; elsewhere command and reply no longer fit.
        if direction == Direction::ToClient && self.listing.is_some() { Step::Ok(0) } else { Step::Error }
    }
    fn proto(&self) -> AppProto {
        AppProto::Pop3
    }
    own_txs!();
    fn buffer<'a>(&'a self, _: &'a Tx, _: Buffer, _: Direction, _: usize) -> Option<&'a [u8]> {
        None
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
    fn event_type(&self, _: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        Some(("pop3", None))
    }
    fn log(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        w.key("tx_id").u64(tx.core.id);
        self.metadata(tx, config, w);
    }
    fn metadata(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        let texts = |key: &str, list: &[Vec<u8>], w: &mut JsonWriter| {
            w.key(key).open_array();
            for t in list {
                w.bytes(t);
            }
            w.close_array();
        };
        w.key("pop3").open().key("request").open();
        w.key("command").bytes(tx.command.as_deref().unwrap_or(b"<SASL DATA>"));
        texts("args", &tx.args, w);
        w.close();
        if let Some((well, text)) = &tx.reply {
            w.key("response").open().key("success").bool(*well);
            w.key("status").string(if *well { "OK" } else { "ERR" }).key("header").bytes(text);
            if !tx.lines.is_empty() {
                texts("data", &tx.lines, w);
            }
            w.close();
        }
        w.close();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::single::testing::{Talk, hostile};

    use Direction::{ToClient, ToServer};

    #[test]
    fn a_session_however_it_comes() {
        for size in [1, 6, 500] {
            let mut t = Talk::<Pop3>::new();
            for (d, text) in [
                (ToClient, "+OK ready\r\n"),
                (ToServer, "capa\r\n"),
                (ToClient, "+OK list\r\nUSER\r\n..x\r\n.\r\n"),
                (ToServer, "AUTH PLAIN\r\n"),
                (ToClient, "+ \r\n"),
                (ToServer, "AHgAeQ==\r\n"),
                (ToClient, "-ERR no\r\n"),
                (ToServer, "RETR 1\r\n"),
                (ToClient, "+OK\r\nSubject: secret\r\n\r\n.\r\n"),
                (ToServer, "QUIT\r\n"),
            ] {
                text.as_bytes().chunks(size).for_each(|p| t.say(d, p, false));
            }
            assert_eq!(
                t.json(),
                [
                    r#"{"pop3":{"request":{"command":"CAPA","args":[]},"response":{"success":true,"status":"OK","header":"list","data":["USER",".x"]}}}"#,
                    r#"{"pop3":{"request":{"command":"AUTH","args":["PLAIN"]},"response":{"success":true,"status":"OK","header":""}}}"#,
                    r#"{"pop3":{"request":{"command":"<SASL DATA>","args":[]},"response":{"success":false,"status":"ERR","header":"no"}}}"#,
                    r#"{"pop3":{"request":{"command":"RETR","args":["1"]},"response":{"success":true,"status":"OK","header":""}}}"#,
                    r#"{"pop3":{"request":{"command":"QUIT","args":[]}}}"#,
                ]
            );
        }
    }

    /// Threat: a client that pipelines, a list of a million mails.
    #[test]
    fn commands_and_lists_without_end_are_bounded() {
        let mut t = Talk::<Pop3>::new();
        t.say(ToClient, b"+OK\r\n", false);
        t.say(ToServer, b"LIST\r\n", false);
        t.say(ToClient, &[&b"+OK\r\n"[..], &b"1 2\r\n".repeat(10_000)].concat(), false);
        assert_eq!(t.state.txs.at(0).map(|t| t.lines.len()), Some(MAX_LINES));
        t.say(ToServer, &b"NOOP\r\n".repeat(10_000), false);
        assert!(t.state.txs.len() <= 2 * MAX_TXS);
    }

    proptest! {
        #[test]
        fn any_bytes(pieces in prop::collection::vec((any::<bool>(), prop_oneof![
            Just(b"+OK\r\n".to_vec()), Just(b"LIST\r\n".to_vec()), Just(b"STLS\r\n".to_vec()),
            prop::collection::vec(any::<u8>(), 0..40)]), 0..9), cut in 0usize..50) {
            hostile::<Pop3>(&pieces, cut, false);
        }
    }
}
