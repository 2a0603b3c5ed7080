// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A session with its authentication, queries and rows; TLS; and what is damaged.

use proptest::prelude::*;

use super::*;
use crate::single::testing::{Talk, hostile};

use Direction::{ToClient, ToServer};

fn msg(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&[kind][..], &u32::try_from(body.len() + 4).unwrap().to_be_bytes(), &body].concat()
}
fn first(code: u32, rest: &[u8]) -> Vec<u8> {
    [&u32::try_from(rest.len() + 8).unwrap().to_be_bytes()[..], &code.to_be_bytes(), rest].concat()
}
fn startup() -> Vec<u8> {
    first(3 << 16, b"user\0u\0TimeZone\0UTC\0\0")
}
const ROW: &[u8] = b"\0\x02\0\0\0\x03abc\xff\xff\xff\xff";

#[test]
fn a_session_however_it_comes() {
    for size in [1, 10, 1000] {
        let mut t = Talk::<Pgsql>::new();
        for (d, bytes) in [
            (ToServer, startup()),
            (ToClient, msg(b'R', &[&[0, 0, 0, 5], b"salt"])),
            (ToServer, msg(b'p', &[b"md5secret\0"])),
            (
                ToClient,
                [
                    msg(b'R', &[&[0; 4]]),
                    msg(b'S', &[b"DateStyle\0ISO\0"]),
                    msg(b'K', &[&[0, 0, 0, 7, 0, 0, 0, 8]]),
                    msg(b'Z', &[b"I"]),
                ]
                .concat(),
            ),
            (ToServer, msg(b'Q', &[b"SELECT 1;\0"])),
            (
                ToClient,
                [
                    msg(b'T', &[b"\0\x02"]),
                    msg(b'D', &[ROW]),
                    msg(b'D', &[ROW]),
                    msg(b'C', &[b"SELECT 2\0"]),
                    msg(b'Z', &[b"I"]),
                ]
                .concat(),
            ),
            (ToServer, msg(b'Q', &[b"SELECT 1/0;\0"])),
            (ToClient, [msg(b'E', &[b"SERROR\0C22012\0Mdivision\0\0"]), msg(b'Z', &[b"E"])].concat()),
            (ToServer, msg(b'X', &[])),
        ] {
            bytes.chunks(size).for_each(|p| t.say(d, p, false));
        }
        assert_eq!(
            t.json(),
            [
                r#"{"pgsql":{"tx_id":1,"request":{"protocol_version":"3.0","startup_parameters":{"user":"u","optional_parameters":[{"time_zone":"UTC"}]}},"response":{"authentication_md5_password":"salt"}}}"#,
                r#"{"pgsql":{"tx_id":2,"request":{"password_redacted":true},"response":{"message":"authentication_ok","parameter_status":[{"date_style":"ISO"}],"process_id":7,"secret_key":8}}}"#,
                r#"{"pgsql":{"tx_id":3,"request":{"simple_query":"SELECT 1;"},"response":{"field_count":2,"data_rows":2,"data_size":6,"command_completed":"SELECT 2"}}}"#,
                r#"{"pgsql":{"tx_id":4,"request":{"simple_query":"SELECT 1/0;"},"response":{"severity_localizable":"ERROR","code":"22012","message":"division"}}}"#,
                r#"{"pgsql":{"tx_id":5,"request":{"message":"termination_message"}}}"#,
            ]
        );
        assert_eq!(t.buffer(2, Buffer::PgsqlQuery, ToServer, 0).as_deref(), Some("SELECT 1;"));
        assert!(t.events().is_empty() && t.state.txs().iter().all(|t| t.core.finished()));
    }
}

fn told(t: &Talk<Pgsql>) -> Vec<serde_json::Value> {
    let of = |j: &String| serde_json::from_str::<serde_json::Value>(j).unwrap()["pgsql"].take();
    t.json().iter().map(of).collect()
}

/// PostgreSQL's manual, "SASL Authentication": the mechanism and the client's first words, the server's challenge, the client's
/// answer, the server's last words.
#[test]
fn a_password_may_be_proved_by_a_challenge() {
    for (mechanism, name) in [
        (&b"SCRAM-SHA-256\0"[..], "scram_SHA256"),
        (b"SCRAM-SHA-256-PLUS\0", "scram_SHA256_plus"),
        (b"OTHER\0", "unknown"),
    ] {
        let mut t = Talk::<Pgsql>::new();
        t.say(ToServer, &startup(), false);
        t.say(ToClient, &msg(b'R', &[&[0, 0, 0, 10], mechanism, b"\0"]), false);
        t.say(ToServer, &msg(b'p', &[mechanism, &[0, 0, 0, 9], b"n,,n=,r=a"]), false);
        t.say(ToClient, &msg(b'R', &[&[0, 0, 0, 11], b"r=ab,s=c,i=4096"]), false);
        t.say(ToServer, &msg(b'p', &[b"c=biws,r=ab,p=d"]), false);
        let last = [msg(b'R', &[&[0, 0, 0, 12], b"v=e"]), msg(b'R', &[&[0; 4]]), msg(b'Z', &[b"I"])];
        t.say(ToClient, &last.concat(), false);
        let all = told(&t);
        assert_eq!(all.len(), 3);
        assert_eq!(all[0]["response"], serde_json::json!({"message": "authentication_sasl"}));
        assert_eq!(
            all[1],
            serde_json::json!({
                "tx_id": 2,
                "request": {"sasl_authentication_mechanism": name, "sasl_param": "n,,n=,r=a"},
                "response": {"message": "authentication_sasl_continue"},
            })
        );
        assert_eq!(
            all[2],
            serde_json::json!({
                "tx_id": 3,
                "request": {"sasl_response": "c=biws,r=ab,p=d"},
                "response": {"authentication_sasl_final": "v=e", "message": "authentication_ok"},
            })
        );
        assert!(t.events().is_empty());
    }
}

/// PostgreSQL's manual, "Message Formats": codes of the authentication; the request to cancel; and Suricata's
/// `app-layer.protocols.pgsql.log-passwords` (here `passwords`).
#[test]
fn passwords_are_written_only_where_the_operator_says_so() {
    for (passwords, want) in
        [(false, serde_json::json!({"password_redacted": true})), (true, serde_json::json!({"password": "secret"}))]
    {
        let mut t = Talk::<Pgsql>::new();
        t.config.pgsql.passwords = passwords;
        t.say(ToServer, &startup(), false);
        t.say(ToClient, &msg(b'R', &[&[0, 0, 0, 3]]), false);
        t.say(ToServer, &msg(b'p', &[b"secret\0"]), false);
        let all = told(&t);
        assert_eq!(all[0]["response"]["message"], "authentication_cleartext_password");
        assert_eq!(all[1]["request"], want);
    }
    for (code, name) in [(0, "authentication_ok"), (7, "authentication_unknown"), (9, "authentication_unknown")] {
        let mut t = Talk::<Pgsql>::new();
        t.say(ToServer, &startup(), false);
        t.say(ToClient, &msg(b'R', &[&[0, 0, 0, code]]), false);
        assert_eq!(told(&t)[0]["response"]["message"], name, "{code}");
    }
    let mut t = Talk::<Pgsql>::new();
    t.say(ToServer, &first(parser::CANCEL_REQUEST, &[0, 0, 0, 7, 0, 0, 0, 8]), false);
    assert_eq!(
        told(&t)[0]["request"],
        serde_json::json!({"message": "cancel_request", "process_id": 7, "secret_key": 8})
    );
    assert_eq!(t.state.proto(), AppProto::Pgsql);
}

#[test]
fn tls_is_agreed_on_or_not() {
    for (answer, changes) in [(b'S', true), (b'N', false)] {
        let mut p = Pgsql::default();
        let (config, mut memory) = (Config::default(), crate::Memory { cap: 1 << 20, ..Default::default() });
        let mut cx = Cx::alone(&config, &mut memory, (1, 5432));
        for (direction, data) in [(ToServer, first(parser::SSL_REQUEST, b"")), (ToClient, vec![answer])] {
            p.data(Input { direction, data: &data, eof: false, datagram: false }, &mut cx);
        }
        assert_eq!(cx.change.is_some_and(|c| c.expected == AppProto::Tls), changes);
        assert_eq!(p.txs.at(0).map(|t| t.response.ssl), Some(Some(changes)));
    }
}

#[test]
fn what_is_damaged_is_an_event() {
    for (d, wire, event) in [
        (ToServer, first(77, b""), "malformed_request"),
        (ToServer, vec![0, 0, 0, 2, 0, 0, 0, 0], "malformed_request"),
        (ToServer, msg(b'#', &[]), "malformed_request"),
        (ToServer, first(parser::CANCEL_REQUEST, &[0, 0, 0, 7]), "malformed_request"),
        (ToClient, vec![b'R', 0, 0, 0, 1], "malformed_response"),
        (ToServer, vec![b'Q', 0x7f, 0, 0, 0], "invalid_length"),
    ] {
        let mut t = Talk::<Pgsql>::new();
        t.say(d, &wire, false);
        assert_eq!(t.events(), [event], "{wire:?}");
    }
    // What only asks or answers where something is open.
    for (before, d, wire, event) in [
        (
            msg(b'R', &[&[0, 0, 0, 10], b"SCRAM-SHA-256\0\0"]),
            ToServer,
            msg(b'p', &[b"SCRAM-SHA-256\0"]),
            "malformed_request",
        ),
        (Vec::new(), ToClient, msg(b'R', &[&[0, 0, 0]]), "malformed_response"),
        (Vec::new(), ToClient, msg(b'#', &[]), "malformed_response"),
    ] {
        let mut t = Talk::<Pgsql>::new();
        t.say(ToServer, &startup(), false);
        t.say(ToClient, &before, false);
        t.say(d, &wire, false);
        assert_eq!(t.events(), [event], "{wire:?}");
    }
}

/// Threat: a query of a gigabyte; a client that asks and never reads.
#[test]
fn what_is_long_or_open_is_bounded() {
    let mut t = Talk::<Pgsql>::new();
    t.say(ToServer, &startup(), false);
    t.say(ToServer, &msg(b'Q', &[&[b'a'; 100_000]]), false);
    assert_eq!(t.buffer(1, Buffer::PgsqlQuery, ToServer, 0).map(|q| q.len()), Some(MAX_TEXT));
    for _ in 0..5000 {
        t.say(ToServer, &msg(b'Q', &[b"x\0"]), false);
    }
    assert!(t.state.txs().len() <= 2 * MAX_TXS && t.memory.used <= t.memory.cap);
}

proptest! {
    #[test]
    fn any_bytes_and_every_truncation(pieces in prop::collection::vec((any::<bool>(), prop_oneof![
        Just(startup()), Just(msg(b'R', &[&[0, 0, 0, 10], b"SCRAM-SHA-256\0\0"])), Just(msg(b'D', &[ROW])),
        (any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(k, b)| msg(k, &[&b])),
        prop::collection::vec(any::<u8>(), 0..40)]), 0..9), cut in 0usize..80) {
        hostile::<Pgsql>(&pieces, cut, false);
    }
}
