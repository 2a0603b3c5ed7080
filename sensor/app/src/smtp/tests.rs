// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Behaviour of mail sessions: which command and reply belong to which mail, what is odd, what is written.

use lagewarte_base::time::Timestamp;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{Memory, file::FileState};

use Direction::{ToClient, ToServer};

struct Session {
    smtp: Smtp,
    config: Config,
    memory: Memory,
    held: [Vec<u8>; 2],
    changed: Option<AppProto>,
    stopped: bool,
}

impl Session {
    fn new() -> Self {
        let memory = Memory { cap: 1 << 20, ..Memory::default() };
        let (smtp, config, held) = (Smtp::default(), Config::default(), Default::default());
        Self { smtp, config, memory, held, changed: None, stopped: false }
    }

    /// As the frame does: what is not consumed comes again, joined with what follows.
    fn say(&mut self, direction: Direction, bytes: &[u8], eof: bool) {
        if self.changed.is_some() || self.stopped {
            return;
        }
        let mut data = std::mem::take(&mut self.held[direction.index()]);
        data.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let mut cx = Cx {
                time: Timestamp::default(),
                ports: (50_000, 25),
                config: &self.config,
                memory: &mut self.memory,
                change: None,
                encrypted: false,
                frames: Default::default(),
            };
            let step = self.smtp.data(Input { direction, data: &data[at..], eof, datagram: false }, &mut cx);
            self.changed = cx.change.map(|c| c.expected);
            match step {
                Step::Ok(n) => {
                    at += n;
                    if at >= data.len() || self.changed.is_some() {
                        break;
                    }
                    assert!(n > 0, "a step that does nothing");
                }
                Step::More { consumed, needed } => {
                    at += consumed;
                    assert!(!eof && needed > data.len() - at);
                    break;
                }
                Step::Error => {
                    self.stopped = true;
                    break;
                }
            }
        }
        self.held[direction.index()] = data[at.min(data.len())..].to_vec();
    }
    fn client(&mut self, text: &str) -> &mut Self {
        self.say(ToServer, text.replace('\n', "\r\n").as_bytes(), false);
        self
    }
    fn server(&mut self, text: &str) -> &mut Self {
        self.say(ToClient, text.replace('\n', "\r\n").as_bytes(), false);
        self
    }
    fn events(&self) -> Vec<(u64, &'static str)> {
        let of = |t: &Tx| t.core.events.iter().map(|e| (t.core.id, events::NAMES[usize::from(e)])).collect::<Vec<_>>();
        self.smtp.txs.iter().flat_map(of).collect()
    }
    /// Each mail's event, and whether it is finished on both sides.
    fn mails(&self) -> Vec<(Value, bool)> {
        let of = |t: &Tx| {
            let mut w = JsonWriter::new();
            w.open();
            self.smtp.log(t, &self.config, &mut w);
            w.close();
            (serde_json::from_str(&w.finish()).expect("JSON"), t.core.finished())
        };
        self.smtp.txs.iter().map(of).collect()
    }
}

const MESSAGE: &str = "From: a@a.example\nTo: b@b.example\nSubject: s\n\nhttp://u.example/ ..x\n..dot\n.\n";

fn greeted() -> Session {
    let mut s = Session::new();
    s.server("220 mail.example ESMTP\n")
        .client("EHLO c.example\n")
        .server("250-mail.example\n250-PIPELINING\n250 OK\n");
    s
}

#[test]
fn a_mail_is_its_envelope_and_its_message() {
    let mut s = greeted();
    s.client("MAIL FROM:<a@a.example> SIZE=9\n").server("250 ok\n");
    s.client("RCPT TO:<b@b.example>\n").server("250 ok\n").client("RCPT TO:<c@b.example>\n").server("250 ok\n");
    s.client("DATA\n").server("354 go\n").client(MESSAGE);
    assert!(!s.mails()[0].1, "the server has not taken it yet");
    s.server("250 queued\n").client("QUIT\n").server("221 bye\n");
    let mails = s.mails();
    assert_eq!(mails.len(), 1, "QUIT is none");
    let want = serde_json::json!({
        "tx_id": 0,
        "smtp": {"helo": "c.example", "mail_from": "<a@a.example>", "rcpt_to": ["<b@b.example>", "<c@b.example>"]},
        "email": {"status": "PARSE_DONE", "from": "a@a.example", "to": ["b@b.example"], "url": ["u.example/"]},
    });
    assert_eq!(mails, [(want, true)]);
    assert_eq!(s.events(), []);
}

#[test]
fn mails_follow_one_another_by_every_way_of_ending_one() {
    let mail = |s: &mut Session, n: u8| {
        s.client(&format!("MAIL FROM:<{n}@a.example>\n")).server("250 ok\n");
    };
    for (end, reply, further) in [
        ("RSET\n", "250 ok\n", 1),
        ("HELO again\n", "250 ok\n", 1),
        ("EHLO\n", "501 no\n", 0),
        ("NOOP\n", "250 ok\n", 0),
        ("BDAT 6 LAST\nA: b\n", "250 ok\n", 1),
        ("BDAT 0 LAST\n", "250 ok\n", 1),
    ] {
        let mut s = greeted();
        mail(&mut s, 1);
        s.client(end).server(reply);
        s.client("RCPT TO:<x@x.example>\n").server("250 ok\n");
        assert_eq!(s.mails().len(), 1 + further, "{end}");
        assert_eq!(s.mails()[0].1, further == 1, "{end}");
    }
    // RSET and QUIT without an envelope are no mails, nor do they end one.
    let mut s = greeted();
    s.client("RSET\n").server("250 ok\n").client("QUIT\n").server("221 bye\n");
    assert_eq!((s.mails().len(), s.mails()[0].1), (1, false));
    assert_eq!(s.events(), []);
}

#[test]
fn pipelined_commands_and_their_replies_find_one_another() {
    let mut s = greeted();
    s.client("MAIL FROM:<1@a.example>\nRCPT TO:<1@b.example>\nDATA\n")
        .server("250 ok\n250 ok\n354 go\n")
        .client(MESSAGE);
    s.client("RSET\nMAIL FROM:<2@a.example>\nRCPT TO:<2@b.example>\nDATA\n");
    s.server("250 queued\n250 reset\n250 ok\n250 ok\n354 go\n").client(MESSAGE).server("250 queued\n");
    let from: Vec<_> = s.mails().iter().map(|(m, done)| (m["smtp"]["mail_from"].clone(), *done)).collect();
    assert_eq!(from, [("<1@a.example>".into(), true), ("<2@a.example>".into(), true)]);
    assert_eq!(s.events(), []);
    // Data before the server said that it takes them.
    let mut s = greeted();
    s.client("RSET\nDATA\n.\n").server("250 reset\n354 go\n250 queued\n");
    assert_eq!(s.events(), [(0, "INVALID_PIPELINED_SEQUENCE")]);
    assert_eq!(s.mails()[0].0["email"]["status"], "PARSE_DONE");
}

#[test]
fn what_is_odd_has_its_name() {
    for (what, talk, want) in [
        ("no greeting", &[(ToServer, "EHLO x\n")][..], &["NO_SERVER_WELCOME_MESSAGE"][..]),
        ("a greeting that is none", &[(ToClient, "554 go away\n")], &["INVALID_REPLY"]),
        (
            "a reply that is none",
            &[(ToClient, "220 hi\n"), (ToServer, "NOOP\n"), (ToClient, "472 x\n")],
            &["INVALID_REPLY"],
        ),
        ("a reply to nothing", &[(ToClient, "220 hi\n250 what\n")], &["UNABLE_TO_MATCH_REPLY_WITH_REQUEST"]),
        (
            "refused data",
            &[(ToClient, "220 hi\n"), (ToServer, "DATA\n"), (ToClient, "503 no\n"), (ToServer, "QUIT\n")],
            &["DATA_COMMAND_REJECTED"],
        ),
        ("refused TLS", &[(ToClient, "220 hi\n"), (ToServer, "STARTTLS\n"), (ToClient, "454 no\n")], &["TLS_REJECTED"]),
        ("two senders", &[(ToClient, "220 hi\n"), (ToServer, "MAIL FROM:<a>\nMAIL FROM:<b>\n")], &["DUPLICATE_FIELDS"]),
        ("a chunk of no length", &[(ToClient, "220 hi\n"), (ToServer, "BDAT x\n")], &["BDAT_CHUNK_LEN_EXCEEDED"]),
    ] {
        let mut s = Session::new();
        for (d, text) in talk {
            s.say(*d, text.replace('\n', "\r\n").as_bytes(), false);
        }
        assert_eq!(s.events().iter().map(|e| e.1).collect::<Vec<_>>(), want, "{what}");
    }
    let mut s = greeted();
    s.client(&format!("VRFY {}\n", "x".repeat(9000))).server(&format!("252 {}\n", "y".repeat(9000)));
    s.client("NOOP\n").server("250 ok\n");
    let want = ["MAX_COMMAND_LINE_LEN_EXCEEDED", "MAX_REPLY_LINE_LEN_EXCEEDED"];
    assert_eq!(s.events().iter().map(|e| e.1).collect::<Vec<_>>(), want, "once each, and the session goes on");
}

#[test]
fn starttls_hands_the_flow_over() {
    let mut s = greeted();
    s.client("STARTTLS\n").server("220 go ahead\n");
    assert_eq!((s.changed, s.mails().len(), s.mails()[0].1), (Some(AppProto::Tls), 1, true));
}

#[test]
fn attachments_are_files_and_gaps_cut_them_off() {
    let head = "Content-Disposition: attachment; filename=f.bin\nContent-Transfer-Encoding: base64\n\n";
    let mut s = greeted();
    s.config.files.magic = true;
    s.client("DATA\n").server("354 go\n").client(head).client("SGVsbG8=\n.\n").server("250 ok\n");
    let file = |s: &Session| {
        let f = s.smtp.txs.at(0).expect("a mail").files.at(0).expect("a file");
        (String::from_utf8_lossy(&f.name).into_owned(), f.size, f.state, f.gaps)
    };
    assert_eq!(file(&s), ("f.bin".into(), 5, FileState::Closed, false));
    let tx = s.smtp.txs.at(0).expect("a mail");
    assert_eq!(detect::buffer(&s.smtp, tx, Buffer::FileMagic, ToServer, 0), Some(&b"ASCII text"[..]));
    let mut s = greeted();
    s.client("DATA\n").server("354 go\n").client(head).client("SGVsbG8s\n");
    let mut cx = Cx {
        time: Timestamp::default(),
        ports: (1, 25),
        config: &s.config,
        memory: &mut s.memory,
        change: None,
        encrypted: false,
        frames: Default::default(),
    };
    assert_eq!(s.smtp.gap(ToServer, 100, &mut cx), Step::Ok(0));
    assert!(file(&s).3);
    s.client("SGVsbG8=\n.\n").server("250 ok\n");
    assert_eq!((file(&s).2, s.mails()[0].1), (FileState::Truncated, true));
}

/// As in Suricata (user guide, "suricata.yaml", SMTP; checked against 7.0.10).
#[test]
fn a_mail_that_is_not_read_is_a_file_where_that_is_wished() {
    let mail = "Subject: a\n\n..dot\nend\n.\n";
    for (decode, raw, want) in [(false, true, Some(("rawmsg", 25))), (false, false, None), (true, true, None)] {
        let mut s = greeted();
        (s.config.smtp.decode, s.config.smtp.raw) = (decode, raw);
        s.client("DATA\n").server("354 go\n").client(mail).server("250 ok\n");
        let files = &s.smtp.txs.at(0).expect("a mail").files;
        let seen = files.at(0).map(|f| (std::str::from_utf8(&f.name).expect("a name"), f.size));
        assert_eq!(seen, want, "{decode} {raw}");
        assert!(files.at(0).is_none_or(|f| f.state == FileState::Closed));
    }
}

/// Threat: commands, recipients and header fields without end. Every cap holds, and what is refused is counted.
#[test]
fn a_session_without_end_stays_below_its_caps() {
    let mut s = greeted();
    s.client("MAIL FROM:<a>\n");
    for _ in 0..2000 {
        s.client("RCPT TO:<someone@somewhere.example>\n");
    }
    assert!(s.smtp.waiting.len() <= MAX_COMMANDS);
    assert_eq!(s.smtp.txs.at(0).expect("a mail").rcpt_to.len(), MAX_RCPT);
    s.memory.cap = 20_000;
    s.client("DATA\n").server(&"250 ok\n".repeat(300)).server("354 go\n");
    s.smtp.mode = Mode::Data;
    for n in 0..500 {
        s.client(&format!("X-{n}: {}\n", "v".repeat(500)));
    }
    assert!(s.memory.refused > 0 && s.memory.used <= 20_000 + (64 << 10), "{:?}", s.memory);
    s.client(".\n");
    assert!(s.smtp.mode == Mode::Commands, "the message's end is found all the same");
}

const TALK: &[(Direction, &str)] = &[
    (ToClient, "220 mail.example ESMTP\r\n"),
    (ToServer, "EHLO c.example\r\n"),
    (ToClient, "250-mail.example\r\n250 CHUNKING\r\n"),
    (ToServer, "MAIL FROM:<a@a.example>\r\n"),
    (ToClient, "250 ok\r\n"),
    (ToServer, "DATA\r\n"),
    (ToClient, "354 go\r\n"),
    (ToServer, "Content-Disposition: attachment; filename=f\r\n\r\nline\r\n.\r\n"),
    (ToClient, "250 queued\r\n"),
    (ToServer, "BDAT 6\r\nA: b\r\nBDAT 4 LAST\r\n\r\nxy"),
    (ToClient, "250 ok\r\n250 ok\r\n"),
];

proptest! {
    /// However the bytes are cut, the same comes out.
    #[test]
    fn any_cut_gives_the_same(size in 1usize..40) {
        let (mut whole, mut cut) = (Session::new(), Session::new());
        for (d, text) in TALK {
            whole.say(*d, text.as_bytes(), false);
            text.as_bytes().chunks(size).for_each(|c| cut.say(*d, c, false));
        }
        prop_assert_eq!(whole.mails(), cut.mails());
        prop_assert_eq!(whole.mails().len(), 2);
        prop_assert_eq!(whole.events(), cut.events());
    }

    /// Every truncation ends in good order.
    #[test]
    fn every_truncation_ends(n in 0usize..400) {
        let (mut s, mut left) = (Session::new(), n);
        for (d, text) in TALK {
            let here = left.min(text.len());
            s.say(*d, &text.as_bytes()[..here], here < text.len());
            left -= here;
            if left == 0 {
                break;
            }
        }
        s.smtp.finish();
        prop_assert!(s.mails().iter().all(|m| m.1));
    }

    #[test]
    fn no_bytes_break_it(parts in prop::collection::vec((any::<bool>(), prop::sample::select(vec![
        "DATA\r\n", "354 x\r\n", "220 x\r\n", ".\r\n", "BDAT 3\r\n", "abc", "250-x\r\n", "250 x\r\n", "EHLO a\r\n", "RSET\n", "\r",
        "MAIL FROM:<", "Content-Type: message/rfc822\r\n\r\n", "QUIT\r\n",
    ])), 0..30), junk: Vec<u8>) {
        let mut s = Session::new();
        for (c, p) in &parts {
            s.say(if *c { ToServer } else { ToClient }, p.as_bytes(), false);
        }
        s.say(ToServer, &junk, true);
        s.say(ToClient, &junk, true);
        s.smtp.finish();
        prop_assert!(s.mails().iter().all(|m| m.1));
    }
}
