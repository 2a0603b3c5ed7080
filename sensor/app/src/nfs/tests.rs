// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Calls and replies of each version, built by hand after their specifications.

use proptest::prelude::*;

use super::*;
use crate::single::testing::{Talk, hostile};

use Direction::{ToClient, ToServer};

fn words(list: &[u32]) -> Vec<u8> {
    list.iter().flat_map(|w| w.to_be_bytes()).collect()
}
fn opaque(bytes: &[u8]) -> Vec<u8> {
    let fill = bytes.len().next_multiple_of(4) - bytes.len();
    [&words(&[u32::try_from(bytes.len()).unwrap()])[..], bytes, &vec![0; fill]].concat()
}
/// A call by user 1000 of group 100 at `box`.
fn call(xid: u32, version: u32, procedure: u32, arguments: &[u8]) -> Vec<u8> {
    let unix = [&words(&[7])[..], &opaque(b"box"), &words(&[1000, 100, 0])].concat();
    let credentials = [&words(&[1])[..], &opaque(&unix), &words(&[0, 0])].concat();
    [&words(&[xid, 0, 2, rpc::NFS, version, procedure])[..], &credentials, arguments].concat()
}
fn reply(xid: u32, results: &[u8]) -> Vec<u8> {
    [&words(&[xid, 1, 0, 0, 0, 0])[..], results].concat()
}
fn record(message: &[u8]) -> Vec<u8> {
    [&words(&[0x8000_0000 | u32::try_from(message.len()).unwrap()])[..], message].concat()
}
/// A folder's handle, and a file's.
const FOLDER: &[u8] = &[1; 32];
const FILE: &[u8] = &[2; 32];

fn said() -> Vec<(Direction, Vec<u8>)> {
    vec![
        (ToServer, call(1, 3, 3, &[opaque(FOLDER), opaque(b"a.txt")].concat())),
        (ToClient, reply(1, &[words(&[0]), opaque(FILE)].concat())),
        (ToServer, call(2, 3, 6, &[&opaque(FILE)[..], &words(&[0, 0, 512])].concat())),
        (ToClient, reply(2, &words(&[13, 0]))),
        (ToServer, call(3, 3, 14, &[opaque(FOLDER), opaque(b"a.txt"), opaque(FOLDER), opaque(b"b.txt")].concat())),
        (ToClient, words(&[3, 1, 1, 1, 1])),
    ]
}

#[test]
fn calls_with_their_replies_however_they_come() {
    for size in [1, 9, 5000] {
        let mut t = Talk::<Nfs>::new();
        for d in [ToServer, ToClient] {
            let all: Vec<u8> = said().iter().filter(|(way, _)| *way == d).flat_map(|(_, m)| record(m)).collect();
            all.chunks(size).for_each(|p| t.say(d, p, false));
        }
        let rpc = |xid, status| {
            format!(
                r#""rpc":{{"xid":{xid},"status":"{status}","auth_type":"UNIX","creds":{{"machine_name":"box","uid":1000,"gid":100}}}}"#
            )
        };
        let (hash, file) = (format!("{:x}", crc32(FOLDER)), format!("{:x}", crc32(FILE)));
        assert_eq!(
            t.json(),
            [
                format!(
                    r#"{{{},"nfs":{{"version":3,"procedure":"LOOKUP","filename":"a.txt","hhash":"{file}","id":1,"file_tx":false,"type":"response","status":"OK"}}}}"#,
                    rpc(1, "ACCEPTED")
                ),
                // When it was called the handle's name was not known yet.
                format!(
                    r#"{{{},"nfs":{{"version":3,"procedure":"READ","filename":"","hhash":"{file}","id":2,"file_tx":true,"type":"response","status":"ERR_ACCESS","read":{{"first":true,"last":false,"last_xid":2,"chunks":1}}}}}}"#,
                    rpc(2, "ACCEPTED")
                ),
                format!(
                    r#"{{{},"nfs":{{"version":3,"procedure":"RENAME","filename":"a.txt","hhash":"{hash}","id":3,"file_tx":false,"type":"response","rename":{{"from":"a.txt","to":"b.txt"}}}}}}"#,
                    rpc(3, "DENIED")
                ),
            ]
        );
        assert_eq!(t.events(), [""; 0]);
    }
}

#[test]
fn a_handle_has_the_name_by_which_it_was_looked_up() {
    let mut t = Talk::<Nfs>::new();
    said().iter().for_each(|(d, m)| t.say(*d, m, true));
    assert!(t.json()[1].contains(r#""procedure":"READ","filename":"a.txt""#), "{}", t.json()[1]);
    assert_eq!(t.buffer(1, Buffer::FileName, ToServer, 0).as_deref(), Some("a.txt"));
    assert_eq!(t.buffer(2, Buffer::FileName, ToServer, 1).as_deref(), Some("b.txt"));
    let numbers = |f| (0..3).map(|n| t.number(n, f, ToServer, 0)).collect::<Vec<_>>();
    assert_eq!(numbers(Field::NfsProcedure), [Some(3), Some(6), Some(14)]);
    assert_eq!(numbers(Field::NfsVersion), [Some(3); 3]);
    assert_eq!(t.number(0, Field::NfsVersion, ToClient, 0), None);
}

#[test]
fn what_is_written_to_a_file_is_one_transaction_up_to_where_it_is_committed() {
    let write =
        |xid, offset: u32| call(xid, 3, 7, &[&opaque(FILE)[..], &words(&[0, offset, 4, 0, 4]), b"data"].concat());
    let mut t = Talk::<Nfs>::new();
    for (xid, offset) in [(1, 0), (2, 4), (3, 8)] {
        t.say(ToServer, &write(xid, offset), true);
        t.say(ToClient, &reply(xid, &words(&[0, 0])), true);
    }
    assert!(t.state.txs().at(0).is_some_and(|t| !t.core.finished()));
    t.say(ToServer, &call(4, 3, 21, &[&opaque(FILE)[..], &words(&[0, 0, 12])].concat()), true);
    assert!(t.json()[0].contains(
        r#""file_tx":true,"type":"response","status":"OK","write":{"first":true,"last":true,"last_xid":3,"chunks":3}"#
    ));
    assert_eq!(t.json().len(), 2, "the other one is COMMIT itself");
    t.say(ToServer, &write(5, 12), true);
    assert_eq!(t.json().len(), 3);
    assert!(t.json()[2].contains(r#""write":{"first":false,"last":false,"last_xid":5,"chunks":1}"#));
}

/// As in Suricata: a file that was read to its end, and what is stored with the call that writes it, ends with the reply.
#[test]
fn a_file_ends_where_a_reply_says_so_or_what_is_written_is_stored_at_once() {
    let read = call(1, 3, 6, &[&opaque(FILE)[..], &words(&[0, 0, 512])].concat());
    let attributes = [words(&[1]), vec![0; 84]].concat();
    for (answer, last) in [
        ([&words(&[0])[..], &attributes, &words(&[4, 1, 4]), b"data"].concat(), true),
        ([&words(&[0, 0])[..], &words(&[4, 1, 4]), b"data"].concat(), true),
        ([&words(&[0])[..], &attributes, &words(&[4, 0, 4]), b"data"].concat(), false),
        (words(&[0, 0]), false),
    ] {
        let mut t = Talk::<Nfs>::new();
        t.say(ToServer, &read, true);
        t.say(ToClient, &reply(1, &answer), true);
        let want = format!(r#""read":{{"first":true,"last":{last},"last_xid":1,"chunks":1}}"#);
        assert!(t.json()[0].contains(&want), "{}", t.json()[0]);
        assert_eq!(t.state.txs().at(0).map(|t| t.core.finished()), Some(last));
    }
    let mut t = Talk::<Nfs>::new();
    t.say(ToServer, &call(1, 3, 7, &[&opaque(FILE)[..], &words(&[0, 0, 4, 2, 4]), b"data"].concat()), true);
    assert!(t.state.txs().at(0).is_some_and(|t| !t.core.finished()));
    t.say(ToClient, &reply(1, &words(&[0, 0])), true);
    assert!(t.json()[0].contains(r#""write":{"first":true,"last":true,"last_xid":1,"chunks":1}"#), "{}", t.json()[0]);
    assert!(t.state.txs().at(0).is_some_and(|t| t.core.finished()));
}

/// It has no results; that it was done is its status.
#[test]
fn a_null_call_that_is_answered_has_a_status() {
    let mut t = Talk::<Nfs>::new();
    t.say(ToServer, &call(1, 3, 0, b""), true);
    t.say(ToClient, &reply(1, b""), true);
    assert!(t.json()[0].ends_with(r#""type":"response","status":"OK"}}"#), "{}", t.json()[0]);
}

#[test]
fn procedures_of_version_2_and_operations_of_version_4() {
    let operations = |list: &[&[u8]]| {
        let count = u32::try_from(list.len()).unwrap();
        [&opaque(b"tag")[..], &words(&[0, count]), &list.concat()].concat()
    };
    let putfh = [words(&[22]), opaque(FOLDER)].concat();
    let getattr = words(&[9, 2, 0, 0]);
    let opened = [
        &words(&[18, 1, 2, 0, 0, 9])[..], // number, access, denial, client
        &opaque(b"owner"),
        &words(&[1, 0, 1, 0]), // made, unchecked, with these attributes
        &opaque(b""),
        &words(&[0]),
        &opaque(b"new"),
    ]
    .concat();
    let wrote = [&words(&[38])[..], &[0; 16], &words(&[0, 0, 2]), &opaque(b"data")].concat();
    let renamed = [words(&[29]), opaque(b"x"), opaque(b"y")].concat();
    // RFC 7530, 16.4 and 16.16; RFC 8881, 18.16: kinds of files that are made, and ways to open one.
    let made = |kind: u32, with: Vec<u8>| {
        [words(&[6, kind]), with, opaque(b"made"), words(&[1, 0]), opaque(b"attributes")].concat()
    };
    let opens = |how: Vec<u8>, claim: Vec<u8>| {
        [words(&[18, 1, 2, 0, 0, 9]), opaque(b"owner"), how, claim, opaque(b"it")].concat()
    };
    let state = [0; 16];
    let removed = [words(&[28]), opaque(b"old")].concat();
    let set = [&words(&[34])[..], &state, &words(&[1, 0]), &opaque(b"")].concat();
    let listed = [&words(&[26])[..], &[0; 24], &words(&[1, 0])].concat();
    for (version, procedure, arguments, want) in [
        (2, 8, [FILE, &words(&[0, 0, 0])].concat(), r#""procedure":"WRITE","filename":"","#),
        (2, 11, [FOLDER, &opaque(b"x"), FOLDER, &opaque(b"y")].concat(), r#""rename":{"from":"x","to":"y"}"#),
        (2, 14, [FOLDER, &opaque(b"sub")].concat(), r#""procedure":"MKDIR","filename":"sub","#),
        (4, 1, operations(&[&putfh, &wrote, &getattr]), r#""procedure":"WRITE","filename":"","#),
        (4, 1, operations(&[&putfh, &opened, &getattr]), r#""procedure":"OPEN","filename":"new","#),
        (4, 1, operations(&[&putfh, &renamed]), r#""rename":{"from":"x","to":"y"}"#),
        (4, 1, operations(&[&putfh, &getattr]), r#""procedure":"GETATTR","filename":"","#),
        (4, 1, operations(&[&putfh, &made(2, vec![]), &getattr]), r#""procedure":"CREATE","filename":"made","#),
        (4, 1, operations(&[&putfh, &made(5, opaque(b"target"))]), r#""procedure":"CREATE","filename":"made","#),
        (4, 1, operations(&[&putfh, &made(3, words(&[8, 1]))]), r#""procedure":"CREATE","filename":"made","#),
        (4, 1, operations(&[&putfh, &removed, &getattr]), r#""procedure":"REMOVE","filename":"old","#),
        (4, 1, operations(&[&putfh, &set, &removed]), r#""procedure":"SETATTR","#),
        (4, 1, operations(&[&putfh, &listed]), r#""procedure":"READDIR","#),
        (4, 1, operations(&[&putfh, &opens(words(&[0]), words(&[0]))]), r#""procedure":"OPEN","filename":"it","#),
        (
            4,
            1,
            operations(&[&putfh, &opens(words(&[1, 2, 7, 7]), words(&[0]))]),
            r#""procedure":"OPEN","filename":"it","#,
        ),
        (
            4,
            1,
            operations(&[&putfh, &opens([words(&[1, 3, 7, 7, 1, 0]), opaque(b"")].concat(), words(&[0]))]),
            r#""procedure":"OPEN","filename":"it","#,
        ),
        (
            4,
            1,
            operations(&[&putfh, &opens(words(&[0]), [&words(&[2])[..], &state].concat())]),
            r#""procedure":"OPEN","filename":"it","#,
        ),
        (4, 0, vec![], r#""procedure":"NULL","filename":"","id":1,"#),
    ] {
        let mut t = Talk::<Nfs>::new();
        t.say(ToServer, &call(9, version, procedure, &arguments), true);
        assert!(t.json()[0].contains(want), "{want}: {}", t.json()[0]);
        assert!(t.json()[0].contains(r#""type":"request""#));
        assert_eq!(t.events(), [""; 0]);
    }
    let mut t = Talk::<Nfs>::new();
    t.say(ToServer, &call(9, 4, 1, &operations(&[&putfh, &wrote])), true);
    assert_eq!(t.number(0, Field::NfsNamed, ToServer, 0), Some(VERSION_4 | 38));
    for (version, arguments, logged) in
        [(2, FILE.to_vec(), false), (3, opaque(FILE), false), (4, operations(&[&putfh, &getattr]), true)]
    {
        let mut t = Talk::<Nfs>::new();
        t.say(ToServer, &call(9, version, 1, &arguments), true);
        assert_eq!(t.events(), [""; 0]);
        let event = t.state.event_type(t.state.txs().at(0).unwrap(), &t.config);
        assert_eq!(event.is_some(), logged, "attributes, version {version}");
    }
}

#[test]
fn a_long_record_is_passed_over_and_a_gap_in_it_is_bridged() {
    let long = call(5, 3, 7, &[&opaque(FILE)[..], &words(&[0, 0, 100_000, 2]), &opaque(&[7; 100_000])].concat());
    let wire = record(&long);
    let next = record(&said()[0].1);
    let mut t = Talk::<Nfs>::new();
    [&wire[..], &next].concat().chunks(1400).for_each(|p| t.say(ToServer, p, false));
    assert_eq!((t.json().len(), t.events()), (2, vec![]));

    let gap = |t: &mut Talk<Nfs>, len| {
        let mut cx = Cx::alone(&t.config, &mut t.memory, (50_000, 2049));
        t.state.gap(ToServer, len, &mut cx)
    };
    let mut t = Talk::<Nfs>::new();
    t.say(ToServer, &wire[..40_000], false);
    assert_eq!(gap(&mut t, 10_000), Step::Ok(0));
    t.say(ToServer, &wire[50_000..], false);
    t.say(ToServer, &next, false);
    assert_eq!(t.json().len(), 2);

    // Where the gap ends is a record: it goes on. Where none is: it is given up.
    let mut t = Talk::<Nfs>::new();
    t.say(ToServer, &next, false);
    assert_eq!(gap(&mut t, 100), Step::Ok(0));
    t.say(ToServer, &next, false);
    assert_eq!((t.json().len(), t.stopped), (2, false));
    assert_eq!(gap(&mut t, 100), Step::Ok(0));
    t.say(ToServer, &[9; 100], false);
    assert!(t.stopped);
}

#[test]
fn what_is_damaged_is_an_event_and_another_program_is_none() {
    for (d, message) in said() {
        for n in 0..message.len() {
            let mut t = Talk::<Nfs>::new();
            t.say(d, &message[..n], true);
            assert!(t.events().len() <= 1 && t.json().len() <= 1, "{n}");
        }
    }
    let events = |d, m: &[u8]| {
        let mut t = Talk::<Nfs>::new();
        t.say(d, m, true);
        t.events()
    };
    assert_eq!(events(ToServer, &words(&[1, 0, 3, rpc::NFS, 3, 1])), ["malformed_data"]);
    assert_eq!(events(ToServer, &call(1, 3, 3, &opaque(&[1; 65]))), ["malformed_data"], "a handle of 65 bytes");
    assert_eq!(events(ToServer, &words(&[1, 0, 2, 100_005, 3, 0, 0, 0, 0, 0])), [""; 0]);
}

#[test]
fn caps_hold() {
    // Threat: calls that are never answered.
    let mut t = Talk::<Nfs>::new();
    let one = record(&call(1, 3, 1, &opaque(FILE)));
    t.memory.cap = 64 << 20;
    t.say(ToServer, &one.repeat(MAX_TXS + 1), false);
    assert_eq!(t.events(), ["too_many_transactions"]);
    // Threat: a client that opens every file and closes none.
    let mut t = Talk::<Nfs>::new();
    for n in 0u32..1000 {
        t.say(ToServer, &call(n, 3, 6, &[&opaque(&n.to_be_bytes())[..], &words(&[0, 0, 9])].concat()), true);
        assert!(t.state.txs().iter().filter(|t| !t.core.finished()).count() <= MAX_FILES);
    }
    assert_eq!(t.events(), [""; 0]);
    // Threat: a client that looks up every file.
    let mut t = Talk::<Nfs>::new();
    for n in 0u32..1000 {
        t.say(ToServer, &call(n, 3, 3, &[opaque(FOLDER), opaque(&[b'n'; 3000])].concat()), true);
        t.say(ToClient, &reply(n, &[words(&[0]), opaque(&n.to_be_bytes())].concat()), true);
        assert!(t.state.names.len() <= MAX_NAMES && t.state.charged() <= t.memory.cap);
    }
    assert!(t.state.txs().at(0).unwrap().about.name.as_ref().is_some_and(|n| n.len() == parser::MAX_NAME));
}

proptest! {
    #[test]
    fn any_bytes(pieces in prop::collection::vec((any::<bool>(), prop_oneof![
        prop::sample::select(said()).prop_map(|(_, m)| record(&m)),
        (2u32..5, 0u32..22, prop::collection::vec(any::<u8>(), 0..80)).prop_map(|(v, p, b)| record(&call(1, v, p, &b))),
        prop::collection::vec(any::<u8>(), 0..80).prop_map(|b| record(&reply(1, &b))),
        prop::collection::vec(any::<u8>(), 0..60)]), 0..7), cut in 0usize..200, datagram: bool) {
        hostile::<Nfs>(&pieces, cut, datagram);
    }
}
