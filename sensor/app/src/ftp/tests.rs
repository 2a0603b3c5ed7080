// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Behaviour of FTP sessions: commands with their replies, data connections, what is odd.

use lagewarte_base::time::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Memory, file::FileState, protocol::Transaction as _};

use Direction::{ToClient, ToServer};

fn feed<P: Protocol>(p: &mut P, talk: &[(Direction, &[u8], bool)]) -> Option<AppProto> {
    let (config, mut memory) = (Config::default(), Memory { cap: 1 << 20, ..Memory::default() });
    let mut held: [Vec<u8>; 2] = Default::default();
    for &(direction, bytes, eof) in talk {
        let mut data = std::mem::take(&mut held[direction.index()]);
        data.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let mut cx = Cx {
                time: Timestamp::default(),
                ports: (50_000, 21),
                config: &config,
                memory: &mut memory,
                change: None,
                encrypted: false,
                frames: Default::default(),
            };
            let step = p.data(Input { direction, data: &data[at..], eof, datagram: false }, &mut cx);
            if let Some(c) = cx.change {
                return Some(c.expected);
            }
            match step {
                Step::Ok(n) => {
                    at += n;
                    if at >= data.len() {
                        break;
                    }
                    assert!(n > 0, "a step that does nothing");
                }
                Step::More { consumed, needed } => {
                    at += consumed;
                    assert!(!eof && needed > data.len() - at);
                    break;
                }
                Step::Error => return None,
            }
        }
        held[direction.index()] = data[at.min(data.len())..].to_vec();
    }
    None
}

fn talk(lines: &[(Direction, &str)]) -> Ftp {
    let mut f = Ftp::default();
    let lines: Vec<_> = lines.iter().map(|(d, l)| (*d, format!("{l}\r\n"))).collect();
    feed(&mut f, &lines.iter().map(|(d, l)| (*d, l.as_bytes(), false)).collect::<Vec<_>>());
    f
}

fn events<P: Protocol>(p: &P) -> Vec<Value> {
    let of = |t: &P::Tx| {
        let mut w = JsonWriter::new();
        w.open();
        p.log(t, &Config::default(), &mut w);
        w.close();
        serde_json::from_str(&w.finish()).expect("JSON")
    };
    p.txs().iter().map(of).collect()
}

#[test]
fn a_command_and_its_replies_are_one_transaction() {
    let f = talk(&[
        (ToClient, "220 (vsFTPd 3.0.3)"),
        (ToServer, "user anonymous"),
        (ToClient, "331 Please specify the password."),
        (ToServer, "FEAT"),
        (ToClient, "211-Features:"),
        (ToClient, " MDTM"),
        (ToClient, "211 End"),
        (ToServer, "RETR x"),
        (ToClient, "150 Opening."),
        (ToClient, "226 Done."),
        (ToServer, "QUIT"),
    ]);
    let events = events(&f);
    let with = |mut v: Value| {
        v["reply_truncated"] = false.into();
        if v.get("command_data").is_some() {
            v["command_truncated"] = false.into();
        }
        v
    };
    let want = [
        json!({"reply": ["(vsFTPd 3.0.3)"], "completion_code": ["220"], "reply_received": "yes"}),
        json!({"command": "USER", "command_data": "anonymous", "reply": ["Please specify the password."], "completion_code": ["331"], "reply_received": "yes"}),
        json!({"command": "FEAT", "reply": ["Features:", " MDTM", "End"], "completion_code": ["211", "211"], "reply_received": "yes"}),
        json!({"command": "RETR", "command_data": "x", "reply": ["Opening.", "Done."], "completion_code": ["150", "226"], "reply_received": "yes"}),
        json!({"command": "QUIT", "reply_received": "no"}),
    ];
    for (n, (event, want)) in events.iter().zip(want).enumerate() {
        assert_eq!(*event, json!({"tx_id": n, "ftp": with(want)}));
    }
    let done: Vec<_> = f.txs.iter().map(|t| t.core.finished()).collect();
    assert_eq!(done, [true, true, true, true, false]);
}

#[test]
fn transfers_announce_their_connection() {
    for (ask, reply, port, mode, to_client) in [
        ("PORT 192,168,0,13,234,10", "200 ok", 59_914, "active", true),
        ("EPRT |2|2001:db8::1|6275|", "200 ok", 6275, "active", true),
        ("PASV", "227 Entering Passive Mode (2,2,2,2,185,13).", 47_373, "passive", false),
        ("EPSV", "229 Entering Extended Passive Mode (|||58612|)", 58_612, "passive", false),
    ] {
        let mut f = talk(&[(ToServer, ask), (ToClient, reply), (ToServer, "RETR a b.txt"), (ToServer, "STOR c")]);
        let transfer = Transfer { command: b"RETR".to_vec(), name: b"a b.txt".to_vec() };
        assert_eq!(f.announced(), [Announced { to_client, port, transfer }], "{ask}, and once");
        let event = &events(&f)[0];
        assert_eq!((&event["ftp"]["dynamic_port"], &event["ftp"]["mode"]), (&json!(port), &json!(mode)));
    }
    // Refused or unreadable: nothing is announced.
    for (ask, reply) in [
        ("PASV", "425 no"),
        ("EPSV", "229 Entering (nothing)"),
        ("PORT 1,2,3", "200 ok"),
        ("PORT 192,168,0,13,234,10", "500 no"),
    ] {
        let mut f = talk(&[(ToServer, ask), (ToClient, reply), (ToServer, "RETR a")]);
        assert_eq!(f.announced(), [], "{ask}");
        let event = &events(&f)[0]["ftp"];
        assert_eq!((event.get("dynamic_port"), &event["mode"]), (None, &json!("passive")), "{ask}");
    }
}

/// As Suricata 7.0.10 writes them: the client's port counts with the server's agreement, a reply without text is an empty
/// list, both words of `AUTH TLS` are the command.
#[test]
fn events_say_what_is_settled() {
    let f = talk(&[(ToServer, "PORT 192,168,0,13,234,10")]);
    assert_eq!(
        events(&f)[0]["ftp"],
        json!({"command": "PORT", "command_data": "192,168,0,13,234,10", "command_truncated": false, "mode": "passive", "reply_received": "no", "reply_truncated": false})
    );
    let f = talk(&[(ToServer, "PASS x"), (ToClient, "230")]);
    assert_eq!(
        (&events(&f)[0]["ftp"]["reply"], &events(&f)[0]["ftp"]["completion_code"]),
        (&json!([]), &json!(["230"]))
    );
    let f = talk(&[(ToServer, "auth tls"), (ToClient, "504 no"), (ToServer, "AUTH SSL")]);
    let said: Vec<_> =
        events(&f).iter().map(|e| (e["ftp"]["command"].clone(), e["ftp"]["command_data"].clone())).collect();
    assert_eq!(said, [(json!("AUTH TLS"), Value::Null), (json!("AUTH"), json!("SSL"))]);
}

/// What is no reply answers its command all the same, so that later replies stay with theirs.
#[test]
fn a_line_without_a_code_ends_its_command() {
    let f = talk(&[(ToServer, "PASV"), (ToClient, "99 PASV invalid"), (ToServer, "QUIT"), (ToClient, "221 Bye")]);
    let replies: Vec<_> = events(&f).iter().map(|e| (e["ftp"]["command"].clone(), e["ftp"]["reply"].clone())).collect();
    assert_eq!(replies, [(json!("PASV"), json!(["99 PASV invalid"])), (json!("QUIT"), json!(["Bye"]))]);
}

#[test]
fn a_data_connection_is_a_file() {
    for direction in [ToServer, ToClient] {
        let mut d = data::FtpData::new(Transfer { command: b"RETR".to_vec(), name: b"f.txt".to_vec() });
        feed(&mut d, &[(direction, b"one", false), (direction, b"two", false), (direction, b"", true)]);
        let tx = d.txs().at(0).expect("one");
        let file = tx.files.at(0).expect("a file");
        assert_eq!((file.size, file.state, file.direction()), (6, FileState::Closed, direction));
        assert!(tx.core().finished());
        assert_eq!(events(&d)[0]["ftp_data"], json!({"filename": "f.txt", "command": "RETR"}));
    }
    let mut d = data::FtpData::new(Transfer { command: b"NLST".to_vec(), name: Vec::new() });
    feed(&mut d, &[(ToClient, b"cut", false)]);
    d.finish();
    assert_eq!(d.txs().at(0).and_then(|t| t.files.at(0)).map(|f| f.state), Some(FileState::Truncated));
    assert_eq!(events(&d)[0]["ftp_data"], json!({"command": "NLST"}));
}

/// Threat: a line, a reply and a session without end.
#[test]
fn caps_hold() {
    let (long, tail) = ("x".repeat(9000), "y".repeat(9000));
    let mut lines = vec![(ToServer, format!("RETR {long}")), (ToClient, format!("550 {tail}"))];
    lines.extend((0..3000).map(|_| (ToServer, "NOOP".to_owned())));
    lines.extend((0..200).map(|_| (ToClient, "211-more".to_owned())));
    let lines: Vec<_> = lines.iter().map(|(d, l)| (*d, l.as_str())).collect();
    let f = talk(&lines);
    let tx = f.txs.at(0).expect("the first");
    assert!(f.txs.len() <= 2 * MAX_TXS && f.txs.iter().all(|t| t.replies.len() <= MAX_REPLIES));
    let f = talk(&lines[..2]);
    let first = f.txs.at(0).expect("the first");
    assert_eq!((first.data.len(), first.command_truncated, first.reply_truncated), (4091, true, true));
    assert_eq!(first.core.events.iter().collect::<Vec<_>>(), [0, 1]);
    assert!(tx.core.charged > 0);
}

#[test]
fn auth_tls_hands_the_flow_over() {
    let mut f = Ftp::default();
    let change = feed(&mut f, &[(ToServer, b"AUTH TLS\r\n", false), (ToClient, b"234 go\r\n", false)]);
    assert_eq!((change, f.txs.at(0).map(|t| t.core.finished())), (Some(AppProto::Tls), Some(true)));
}

proptest! {
    #[test]
    fn any_cut_gives_the_same(size in 1usize..30) {
        let session: &[(Direction, &[u8])] = &[
            (ToClient, b"220-one\r\n220 two\r\n"), (ToServer, b"USER a\r\n"), (ToClient, b"331 b\r\n"), (ToServer, b"PASV\r\n"),
            (ToClient, b"227 (1,2,3,4,5,6)\r\n"), (ToServer, b"RETR f\r\n"), (ToClient, b"150 x\r\n226 y\r\n"),
        ];
        let (mut whole, mut cut) = (Ftp::default(), Ftp::default());
        feed(&mut whole, &session.iter().map(|(d, b)| (*d, *b, false)).collect::<Vec<_>>());
        let pieces: Vec<_> = session.iter().flat_map(|(d, b)| b.chunks(size).map(|c| (*d, c, false))).collect();
        feed(&mut cut, &pieces);
        prop_assert_eq!(events(&whole), events(&cut));
        prop_assert_eq!(whole.announced(), cut.announced());
    }

    #[test]
    fn no_bytes_break_it(parts in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..20)) {
        let mut f = Ftp::default();
        let talk: Vec<_> = parts.iter().map(|(c, b)| (if *c { ToServer } else { ToClient }, b.as_slice(), false)).collect();
        feed(&mut f, &talk);
        f.finish();
        prop_assert!(f.txs.iter().all(|t| t.core.finished()));
    }
}
