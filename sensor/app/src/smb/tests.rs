// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Sessions of SMB 1 and 2, files in any pieces and behind gaps, calls in pipes, and what is damaged.

use proptest::prelude::*;

use super::*;
use crate::{
    dcerpc::tests::{ack, bind, request as call, response as reply},
    file::FileState,
    protocol::Transaction as _,
    single::testing::{Talk, hostile},
};

use Direction::{ToClient, ToServer};

pub(super) const ID: FileId = [7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];

fn framed(record: Vec<u8>) -> Vec<u8> {
    [u32::try_from(record.len()).unwrap().to_be_bytes().to_vec(), record].concat()
}
fn wide(t: &str) -> Vec<u8> {
    t.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
fn n16(n: usize) -> [u8; 2] {
    u16::try_from(n).unwrap().to_le_bytes()
}
fn n32(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap().to_le_bytes()
}

/// A message of SMB 2 with its header: session 5, tree 3.
fn message(command: u8, answer: bool, status: u32, number: u8, next: usize, body: &[&[u8]]) -> Vec<u8> {
    [
        b"\xfeSMB\x40\0\0\0",
        &status.to_le_bytes()[..],
        &[command, 0, 0, 0, u8::from(answer), 0, 0, 0],
        &n32(next),
        &[number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0],
        &[0; 16],
        &body.concat(),
    ]
    .concat()
}
fn ask(command: u8, number: u8, body: &[&[u8]]) -> Vec<u8> {
    framed(message(command, false, 0, number, 0, body))
}
fn tell(command: u8, number: u8, status: u32, body: &[&[u8]]) -> Vec<u8> {
    framed(message(command, true, status, number, 0, body))
}
fn negotiate() -> [Vec<u8>; 2] {
    [
        ask(0, 0, &[&[36, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0], &[1; 16], &[0; 8], &[2, 2, 0x11, 3]]),
        tell(0, 0, 0, &[&[65, 0, 1, 0, 0x11, 3, 0, 0], &[2; 16], &[0; 4], &n32(1 << 20), &n32(1 << 20), &n32(1 << 16)]),
    ]
}
fn tree(number: u8, share: &str, kind: u8) -> [Vec<u8>; 2] {
    let name = wide(share);
    [
        ask(3, number, &[&[9, 0, 0, 0, 72, 0], &n16(name.len()), &name]),
        tell(3, number, 0, &[&[16, 0, kind, 0], &[0; 12]]),
    ]
}
fn create(number: u8, name: &str, options: usize) -> [Vec<u8>; 2] {
    let name = wide(name);
    let time = 131_570_589_990_000_000u64.to_le_bytes();
    [
        ask(5, number, &[&[57, 0], &[0; 34], &n32(5), &n32(options), &[120, 0], &n16(name.len()), &[0; 8], &name]),
        tell(
            5,
            number,
            0,
            &[
                &[89, 0, 0, 0, 1, 0, 0, 0],
                &time,
                &[0; 8],
                &time,
                &[0; 8],
                &[0; 8],
                &[9, 0, 0, 0, 0, 0, 0, 0],
                &[0; 8],
                &ID,
            ],
        ),
    ]
}
fn write(number: u8, offset: usize, data: &[u8]) -> Vec<u8> {
    ask(9, number, &[&[49, 0, 112, 0], &n32(data.len()), &n32(offset), &[0; 4], &ID, &[0; 16], data])
}
fn read(number: u8, offset: usize) -> Vec<u8> {
    ask(8, number, &[&[49, 0, 0, 0], &n32(1000), &n32(offset), &[0; 4], &ID, &[0; 17]])
}
fn data(number: u8, bytes: &[u8]) -> Vec<u8> {
    tell(8, number, 0, &[&[17, 0, 80, 0], &n32(bytes.len()), &[0; 8], bytes])
}
fn close(number: u8) -> Vec<u8> {
    ask(6, number, &[&[24, 0, 0, 0, 0, 0, 0, 0], &ID])
}

/// Says the pieces of a conversation in parts of that size.
fn say(t: &mut Talk<Smb>, size: usize, d: Direction, wire: &[Vec<u8>]) {
    wire.concat().chunks(size).for_each(|p| t.say(d, p, false));
}

const HEAD2: &str = r#""dialect":"3.11","command":"SMB2_COMMAND_"#;

#[test]
fn a_session_of_smb_2_however_it_comes() {
    for size in [1, 13, 100, 9000] {
        let mut t = Talk::<Smb>::new();
        let (n, tr, c) = (negotiate(), tree(2, r"\\fs\data", 1), create(3, r"dir\a.txt", 0x1000));
        say(&mut t, size, ToServer, &n[..1]);
        say(&mut t, size, ToClient, &n[1..]);
        say(&mut t, size, ToServer, &tr[..1]);
        say(&mut t, size, ToClient, &tr[1..]);
        say(&mut t, size, ToServer, &c[..1]);
        say(&mut t, size, ToClient, &c[1..]);
        // Written out of order, then read; keep-alives of the session service between.
        say(&mut t, size, ToServer, &[write(4, 5, b"67890"), vec![0x85, 0, 0, 0], write(5, 0, b"12345"), read(6, 0)]);
        say(&mut t, size, ToClient, &[tell(9, 4, 0, &[]), tell(9, 5, 0, &[]), data(6, b"abc")]);
        say(&mut t, size, ToServer, &[read(7, 3), close(8), ask(4, 9, &[&[4, 0, 0, 0]])]);
        say(&mut t, size, ToClient, &[tell(8, 7, 0xc000_0011, &[]), tell(6, 8, 0, &[]), tell(4, 9, 0xc000_00c9, &[])]);
        let json = t.json();
        let file = r#""session_id":5,"tree_id":3,"filename":"dir\\a.txt","share":"\\\\fs\\data","fuid":"00000007-0000-0000-0009-0000ffffffff""#;
        assert_eq!(
            json,
            [
                format!(
                    concat!(
                        r#"{{"smb":{{"id":1,{}NEGOTIATE_PROTOCOL","status":"STATUS_SUCCESS","status_code":"0x0","session_id":5,"tree_id":3,"#,
                        r#""client_dialects":["2.02","3.11"],"client_guid":"01010101-0101-0101-0101-010101010101","#,
                        r#""server_guid":"02020202-0202-0202-0202-020202020202","max_read_size":1048576,"max_write_size":65536}}}}"#
                    ),
                    HEAD2
                ),
                format!(
                    r#"{{"smb":{{"id":2,{HEAD2}TREE_CONNECT","status":"STATUS_SUCCESS","status_code":"0x0","session_id":5,"tree_id":3,"share":"\\\\fs\\data","share_type":"FILE"}}}}"#
                ),
                format!(
                    concat!(
                        r#"{{"smb":{{"id":3,{}CREATE","status":"STATUS_SUCCESS","status_code":"0x0","session_id":5,"tree_id":3,"#,
                        r#""filename":"dir\\a.txt","disposition":"FILE_OVERWRITE_IF","access":"delete on close","created":1512585399,"#,
                        r#""accessed":0,"modified":1512585399,"changed":0,"size":9,"fuid":"00000007-0000-0000-0009-0000ffffffff"}}}}"#
                    ),
                    HEAD2
                ),
                format!(r#"{{"smb":{{"id":4,{HEAD2}WRITE","status":"STATUS_SUCCESS","status_code":"0x0",{file}}}}}"#),
                format!(r#"{{"smb":{{"id":5,{HEAD2}READ","status":"STATUS_SUCCESS","status_code":"0x0",{file}}}}}"#),
                format!(
                    r#"{{"smb":{{"id":6,{HEAD2}CLOSE","status":"STATUS_SUCCESS","status_code":"0x0","session_id":5,"tree_id":3}}}}"#
                ),
                format!(
                    r#"{{"smb":{{"id":7,{HEAD2}TREE_DISCONNECT","status":"STATUS_NETWORK_NAME_DELETED","status_code":"0xc00000c9","session_id":5,"tree_id":3}}}}"#
                ),
            ],
            "in parts of {size}"
        );
        assert!(t.events().is_empty(), "{:?}", t.events());
        for (place, d, want) in [(3, ToServer, "1234567890"), (4, ToClient, "abc")] {
            assert_eq!(t.buffer(place, Buffer::FileData, d, 0).as_deref(), Some(want), "in parts of {size}");
            let tx = t.state.txs().at(place).unwrap();
            let f = t.state.files(tx).unwrap().at(0).unwrap();
            assert_eq!((f.state, f.size), (FileState::Closed, want.len() as u64));
        }
        assert_eq!(t.buffer(1, Buffer::SmbShare, ToServer, 0).as_deref(), Some(r"\\fs\data"));
        assert_eq!(t.buffer(1, Buffer::SmbNamedPipe, ToServer, 0), None);
        assert_eq!(t.number(1, Field::SmbVersion, ToServer, 0), Some(2));
    }
}

/// As Suricata 7.0.10 writes them.
#[test]
fn what_could_not_be_opened_is_written_with_zeros_and_a_shares_root_is_a_filename() {
    let mut t = Talk::<Smb>::new();
    let ([n, n_answer], [c, _]) = (negotiate(), create(3, "", 1));
    say(&mut t, 9000, ToServer, &[n, c]);
    say(&mut t, 9000, ToClient, &[n_answer, tell(5, 3, 0xc000_0034, &[])]);
    let said = t.json().pop().expect("it is written");
    let zeros = r#""created":0,"accessed":0,"modified":0,"changed":0,"size":0,"fuid":"""#;
    assert!(said.contains(r#""filename":"<share_root>""#) && said.contains(zeros), "{said}");
}

#[test]
fn compounds_of_smb_2_hold_related_messages() {
    let mut t = Talk::<Smb>::new();
    let strip = |m: Vec<u8>| m[4..].to_vec();
    let related = |mut m: Vec<u8>| {
        m[16] |= 4;
        m
    };
    let chain = |mut parts: Vec<Vec<u8>>| {
        let last = parts.len() - 1;
        for p in &mut parts[..last] {
            p.resize(p.len().next_multiple_of(8), 0);
            let n = n32(p.len());
            p[20..24].copy_from_slice(&n);
        }
        framed(parts.concat())
    };
    let [c, made] = create(1, "x", 0);
    let mut r = related(strip(read(2, 0)));
    r[64 + 16..64 + 32].copy_from_slice(&[0xff; 16]);
    let mut cl = related(strip(close(3)));
    cl[64 + 8..64 + 24].copy_from_slice(&[0xff; 16]);
    t.say(ToServer, &chain(vec![strip(c), r, cl]), false);
    t.say(ToClient, &chain(vec![strip(made), strip(data(2, b"abc")), strip(tell(6, 3, 0, &[]))]), false);
    let json = t.json();
    assert!(json[2].contains(r#"READ","status":"STATUS_SUCCESS"#) && json[2].contains(r#""filename":"x""#), "{json:?}");
    assert_eq!(t.buffer(2, Buffer::FileData, ToClient, 0).as_deref(), Some("abc"));
}

#[test]
fn calls_in_a_pipe_are_put_together_whatever_carries_them() {
    for size in [1, 50, 9000] {
        let mut t = Talk::<Smb>::new();
        let (tr, c) = (tree(1, r"\\fs\IPC$", 2), create(2, "svcctl", 0));
        say(&mut t, size, ToServer, &tr[..1]);
        say(&mut t, size, ToClient, &tr[1..]);
        say(&mut t, size, ToServer, &c[..1]);
        say(&mut t, size, ToClient, &c[1..]);
        say(&mut t, size, ToServer, &[write(3, 0, &bind(11, 1, 0)), read(4, 0)]);
        // The acknowledgement comes in two reads.
        let acknowledged = ack(12, 1, 0);
        say(&mut t, size, ToClient, &[tell(9, 3, 0, &[])]);
        let more = tell(8, 4, 0x8000_0005, &[&[17, 0, 80, 0], &n32(20), &[0; 8], &acknowledged[..20]]);
        say(&mut t, size, ToClient, &[more]);
        say(&mut t, size, ToServer, &[read(5, 0)]);
        say(&mut t, size, ToClient, &[data(5, &acknowledged[20..])]);
        let stub = call(3, 2, 0, 12, b"stub");
        let transceive = n32(0x0011_c017);
        say(
            &mut t,
            size,
            ToServer,
            &[ask(11, 6, &[&[57, 0, 0, 0], &transceive, &ID, &n32(120), &n32(stub.len()), &[0; 24], &stub])],
        );
        let answer = reply(3, 2, b"result");
        say(
            &mut t,
            size,
            ToClient,
            &[tell(
                11,
                6,
                0,
                &[&[49, 0, 0, 0], &transceive, &ID, &[0; 8], &n32(112), &n32(answer.len()), &[0; 8], &answer],
            )],
        );
        let json = t.json();
        assert_eq!(json.len(), 4, "{json:?}");
        let about = r#""session_id":5,"tree_id":3"#;
        assert!(json[0].contains(r#""named_pipe":"\\\\fs\\IPC$","share_type":"PIPE""#), "{json:?}");
        assert_eq!(
            json[2],
            format!(
                concat!(
                    r#"{{"smb":{{"id":3,"dialect":"unknown","command":"SMB2_COMMAND_WRITE","status":"STATUS_SUCCESS","status_code":"0x0",{},"#,
                    r#""dcerpc":{{"request":"BIND","response":"BINDACK","interfaces":[{{"uuid":"367abb81-9844-35f1-ad32-98f038001003","#,
                    r#""version":"2.0","ack_result":0,"ack_reason":0,"service":"svcctl"}}],"call_id":1}}}}}}"#
                ),
                about
            )
        );
        assert_eq!(
            json[3],
            format!(
                concat!(
                    r#"{{"smb":{{"id":4,"dialect":"unknown","command":"SMB2_COMMAND_IOCTL","status":"STATUS_SUCCESS","status_code":"0x0",{},"#,
                    r#""dcerpc":{{"request":"REQUEST","response":"RESPONSE","opnum":12,"req":{{"frag_cnt":1,"stub_data_size":4}},"#,
                    r#""res":{{"frag_cnt":1,"stub_data_size":6}},"interfaces":[{{"uuid":"367abb81-9844-35f1-ad32-98f038001003","#,
                    r#""version":"2.0","ack_result":0,"ack_reason":0,"service":"svcctl","procedure":"RCreateServiceW"}}],"call_id":2}}}}}}"#
                ),
                about
            )
        );
        assert_eq!(t.buffer(0, Buffer::SmbNamedPipe, ToServer, 0).as_deref(), Some(r"\\fs\IPC$"));
        assert_eq!(t.buffer(3, Buffer::DcerpcStubData, ToClient, 0).as_deref(), Some("result"));
        assert_eq!(t.number(3, Field::DcerpcOpnum, ToServer, 0), Some(12));
        assert!(t.state.txs().iter().all(|x| x.core().finished()) && t.events().is_empty(), "{:?}", t.events());
        // A call that is not answered before the pipe is closed ends with it.
        say(&mut t, size, ToServer, &[write(7, 0, &call(3, 3, 0, 1, b"x"))]);
        assert!(!t.state.txs().at(4).unwrap().core().finished());
        say(&mut t, size, ToServer, &[close(8)]);
        assert!(t.state.txs().at(4).unwrap().core().finished() && t.json()[4].contains("UNREPLIED"));
    }
}

#[test]
fn where_the_tree_was_not_seen_the_first_bytes_tell_a_pipe() {
    for (bytes, want) in [(bind(11, 1, 0), "BIND"), (b"\x05\0 a file".to_vec(), "<unknown>")] {
        let mut t = Talk::<Smb>::new();
        t.say(ToServer, &write(1, 0, &bytes), false);
        assert!(t.json()[0].contains(want), "{:?}", t.json());
    }
    let mut t = Talk::<Smb>::new();
    let c = create(1, "atsvc", 0);
    t.say(ToServer, &c[0], false);
    t.say(ToClient, &c[1], false);
    t.say(ToServer, &write(2, 0, &bind(11, 1, 0)), false);
    assert!(t.json()[1].contains("BIND"), "{:?}", t.json());
}

/// What PsExec's service writes comes out of a pipe in asynchronous answers, which name no tree.
#[test]
fn what_an_asynchronous_answer_brings_out_of_a_pipe_is_a_call_or_a_file() {
    let (tr, c) = (tree(1, r"\\fs\IPC$", 2), create(2, "svcctl", 0));
    let (acknowledged, words) = (ack(12, 1, 0), b"C:\\>".to_vec());
    for (asynchronous, bytes, file) in
        [(false, &words, false), (true, &words, true), (true, &acknowledged, false), (false, &acknowledged, false)]
    {
        let mut t = Talk::<Smb>::new();
        say(&mut t, 9000, ToServer, &[tr[0].clone()]);
        say(&mut t, 9000, ToClient, &[tr[1].clone()]);
        say(&mut t, 9000, ToServer, &[c[0].clone()]);
        say(&mut t, 9000, ToClient, &[c[1].clone()]);
        say(&mut t, 9000, ToServer, &[write(3, 0, &bind(11, 1, 0)), read(4, 0)]);
        let mut answer = data(4, bytes);
        answer[4 + 16] |= if asynchronous { 2 } else { 0 };
        say(&mut t, 9000, ToClient, &[tell(9, 3, 0, &[]), answer]);
        t.end();
        let read = t.json().iter().any(|j| j.contains("SMB2_COMMAND_READ"));
        assert_eq!(read, file, "{asynchronous} {bytes:?}: {:?}", t.json());
    }
}

/// A record of SMB 1 with one command: tree 1, process 2, user 3, multiplex as given; texts in UTF-16, NT status.
fn one(command: u8, answer: bool, status: u32, multiplex: u8, words: &[&[u8]], bytes: &[&[u8]]) -> Vec<u8> {
    let (words, bytes) = (words.concat(), bytes.concat());
    framed(
        [
            b"\xffSMB",
            &[command][..],
            &status.to_le_bytes(),
            &[
                if answer { 0x80 } else { 0 },
                1,
                0xc8,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                1,
                0,
                2,
                0,
                3,
                0,
                multiplex,
                0,
            ],
            &[u8::try_from(words.len() / 2).unwrap()],
            &words,
            &n16(bytes.len()),
            &bytes,
        ]
        .concat(),
    )
}
const END: [u8; 4] = [0xff, 0, 0, 0];

fn session_of_1() -> Vec<(Direction, Vec<u8>)> {
    let z = |t: &str| [wide(t), vec![0, 0]].concat();
    vec![
        (ToServer, one(0x72, false, 0, 1, &[], &[b"\x02PC NETWORK PROGRAM 1.0\0\x02NT LM 0.12\0"])),
        (ToClient, one(0x72, true, 0, 1, &[&[1, 0], &[0; 17], &[0, 0, 0, 0x80], &[0; 11]], &[&[3; 16]])),
        (ToServer, one(0x73, false, 0, 2, &[&END, &[0; 10], &n16(3), &[0; 8]], &[b"abc", &z("OS"), &z("LM")])),
        (ToClient, one(0x73, true, 0, 2, &[&END, &[0, 0], &n16(2)], &[b"ab", b"\0", &z("SOS"), &z("SLM")])),
        (ToServer, one(0x75, false, 0, 3, &[&END, &[0, 0], &n16(1)], &[b"\0", &z(r"\\s\d"), b"?????\0"])),
        (ToClient, one(0x75, true, 0, 3, &[&END, &[0; 2]], &[b"A:\0", &z("NTFS")])),
        (
            ToServer,
            one(
                0xa2,
                false,
                0,
                4,
                &[&END, &[0], &n16(8), &[0; 28], &n32(1), &n32(0), &[0; 5]],
                &[b"\0", &wide(r"\f.x")],
            ),
        ),
        (
            ToClient,
            one(0xa2, true, 0, 4, &[&END, &[0], &[0x34, 0x12], &[0; 4], &[0; 32], &[0; 12], &n32(6), &[0; 9]], &[]),
        ),
        (ToServer, one(0x2e, false, 0, 5, &[&END, &[0x34, 0x12], &n32(0), &n16(100), &[0; 12]], &[])),
        (ToClient, one(0x2e, true, 0, 5, &[&END, &[0; 6], &n16(6), &n16(60), &[0; 10]], &[b"\0", b"secret"])),
        (
            ToServer,
            one(
                0x2f,
                false,
                0,
                6,
                &[&END, &[0x34, 0x12], &n32(2), &[0; 10], &n16(3), &n16(64), &[0; 4]],
                &[b"\0", b"abc"],
            ),
        ),
        (ToClient, one(0x2f, true, 0, 6, &[&END, &[3, 0], &[0; 6]], &[])),
        (ToServer, one(0x04, false, 0, 7, &[&[0x34, 0x12], &[0; 4]], &[])),
        (ToClient, one(0x04, true, 0, 7, &[], &[])),
        (ToServer, one(0x07, false, 0, 8, &[&[0; 2]], &[b"\x04", &z("old"), b"\x04\0", &z("new")])),
        (ToClient, one(0x07, true, 0xc000_0022, 8, &[], &[])),
    ]
}

#[test]
fn a_session_of_smb_1_however_it_comes() {
    for size in [1, 31, 9000] {
        let mut t = Talk::<Smb>::new();
        for (d, wire) in session_of_1() {
            say(&mut t, size, d, &[wire]);
        }
        let s = r#""status":"STATUS_SUCCESS","status_code":"0x0","session_id":3,"tree_id":1"#;
        let h = r#""dialect":"NT LM 0.12","command":"SMB1_COMMAND_"#;
        let want = [
            format!(
                r#"{{"smb":{{"id":1,{h}NEGOTIATE_PROTOCOL",{s},"client_dialects":["PC NETWORK PROGRAM 1.0","NT LM 0.12"],"server_guid":"03030303-0303-0303-0303-030303030303"}}}}"#
            ),
            format!(
                r#"{{"smb":{{"id":2,{h}SESSION_SETUP_ANDX",{s},"request":{{"native_os":"OS","native_lm":"LM"}},"response":{{"native_os":"SOS","native_lm":"SLM"}}}}}}"#
            ),
            format!(
                r#"{{"smb":{{"id":3,{h}TREE_CONNECT_ANDX",{s},"share":"\\\\s\\d","service":{{"request":"?????","response":"A:"}}}}}}"#
            ),
            format!(
                concat!(
                    r#"{{"smb":{{"id":4,{}NT_CREATE_ANDX",{},"filename":"\\f.x","disposition":"FILE_OPEN","access":"normal","created":0,"accessed":0,"#,
                    r#""modified":0,"changed":0,"size":6,"fuid":"1234"}}}}"#
                ),
                h, s
            ),
            format!(r#"{{"smb":{{"id":5,{h}READ_ANDX",{s},"filename":"\\f.x","share":"\\\\s\\d","fuid":"1234"}}}}"#),
            format!(r#"{{"smb":{{"id":6,{h}WRITE_ANDX",{s},"filename":"\\f.x","share":"\\\\s\\d","fuid":"1234"}}}}"#),
            format!(r#"{{"smb":{{"id":7,{h}CLOSE",{s}}}}}"#),
            format!(
                r#"{{"smb":{{"id":8,{h}RENAME","status":"STATUS_ACCESS_DENIED","status_code":"0xc0000022","session_id":3,"tree_id":1,"rename":{{"from":"old","to":"new"}}}}}}"#
            ),
        ];
        assert_eq!(t.json(), want, "in parts of {size}");
        assert!(t.events().is_empty(), "{:?}", t.events());
        assert_eq!(t.buffer(4, Buffer::FileData, ToClient, 0).as_deref(), Some("secret"));
        // What is written from its third byte on lacks the first two.
        assert_eq!(t.state.files(t.state.txs().at(5).unwrap()).unwrap().at(0).unwrap().size, 5);
        assert_eq!(t.number(0, Field::SmbVersion, ToServer, 0), Some(1));
    }
}

#[test]
fn what_goes_when_it_is_closed_is_told() {
    let mut t = Talk::<Smb>::new();
    let c = create(1, "a.txt", 0);
    t.say(ToServer, &c[0], false);
    t.say(ToClient, &c[1], false);
    // FileDispositionInformation and FileRenameInformation of SMB 2; what asks and any other information is none.
    let set = |n, class, info: &[u8]| ask(17, n, &[&[33, 0, 1, class], &n32(info.len()), &[96, 0], &[0; 6], &ID, info]);
    let name = wide("b.txt");
    let rename = [&[0; 16][..], &n32(name.len()), &name].concat();
    t.say(
        ToServer,
        &[set(2, 13, &[1]), set(3, 10, &rename), set(4, 4, &[0; 40]), ask(16, 5, &[&[41, 0]])].concat(),
        false,
    );
    t.say(ToServer, &ask(12, 6, &[&[4, 0, 0, 0]]), false);
    let json = t.json();
    assert_eq!(json.len(), 4, "{json:?}");
    let fuid = r#""fuid":"00000007-0000-0000-0009-0000ffffffff""#;
    let want = format!(r#""filename":"a.txt","access":"delete on close","subcmd":"1","level_of_interest":"13",{fuid}"#);
    assert!(json[1].contains(&want), "{json:?}");
    assert!(json[2].contains(r#""rename":{"from":"a.txt","to":"b.txt"}"#), "{json:?}");
    assert!(t.state.txs().at(3).unwrap().core().finished(), "a cancel is not answered");
    // The same over SMB 1: TRANS2_SET_PATH_INFORMATION, passed through.
    let mut t = Talk::<Smb>::new();
    let path = [&1013u16.to_le_bytes()[..], &[0; 4], &wide(r"\x")].concat();
    let words: &[&[u8]] = &[&[0; 18], &n16(path.len()), &[66, 0, 1, 0, 80, 0, 1, 0, 6, 0]];
    t.say(ToServer, &one(0x32, false, 0, 1, words, &[&[0], &path, &[0; 4], &[1]]), false);
    let want = r#""filename":"\\x","access":"delete on close","subcmd":"SET_PATH_INFO","level_of_interest":"Set File Disposition Information""#;
    assert!(t.json()[0].contains(want), "{:?}", t.json());
}

#[test]
fn a_dos_status_is_written_by_class_and_code() {
    let mut t = Talk::<Smb>::new();
    let dos = |mut r: Vec<u8>| {
        r[4 + 11] = 0x88; // without NT status
        r
    };
    t.say(ToServer, &dos(one(0x74, false, 0, 1, &[&END], &[])), false);
    t.say(ToClient, &dos(one(0x74, true, 0x005b_0002, 1, &[], &[])), false);
    assert!(t.json()[0].contains(r#""status":"SRV_BADUID","status_code":"0x005b""#), "{:?}", t.json());
}

#[test]
fn behind_a_gap_the_next_record_is_found_and_the_file_says_so() {
    let mut t = Talk::<Smb>::new();
    let c = create(1, "a", 0);
    t.say(ToServer, &c[0], false);
    t.say(ToClient, &c[1], false);
    let whole = write(2, 0, &[b'x'; 5000]);
    // In the middle of the data: the record's length tells where it goes on.
    t.say(ToServer, &whole[..2116], false);
    let mut cx = Cx::alone(&t.config, &mut t.memory, (1, 445));
    assert_eq!(t.state.gap(ToServer, 1000, &mut cx), Step::Ok(0));
    t.say(ToServer, &[&whole[3116..], &write(3, 5000, b"end")[..]].concat(), false);
    // From the middle of one record into the middle of another.
    t.say(ToServer, &write(4, 5003, &[b'y'; 500])[..300], false);
    let mut cx = Cx::alone(&t.config, &mut t.memory, (1, 445));
    assert_eq!(t.state.gap(ToServer, 4000, &mut cx), Step::Ok(0));
    t.say(ToServer, &[&b"the rest of what was lost"[..], &close(5)].concat(), false);
    let tx = t.state.txs().at(1).unwrap();
    let f = t.state.files(tx).unwrap().at(0).unwrap();
    assert_eq!((f.state, f.gaps, f.size), (FileState::Truncated, true, 5503));
    assert!(t.json()[2].contains("SMB2_COMMAND_CLOSE"), "{:?}", t.json());
}

#[test]
fn what_does_not_fit_is_an_event() {
    let n = negotiate();
    for (d, wire, event) in [
        (ToServer, n[1].clone(), "response_to_server"),
        (ToClient, n[0].clone(), "request_to_client"),
        (ToServer, [n[0].clone(), n[0].clone()].concat(), "duplicate_negotiate"),
        (ToServer, ask(0, 0, &[&[36, 0, 9, 0], &[0; 32], &[2, 2]]), "negotiate_malformed_dialects"),
        (ToServer, one(0x72, false, 0, 1, &[], &[b"\x02NT LM 0.12"]), "negotiate_malformed_dialects"),
        (ToServer, ask(3, 1, &[&[9, 0, 0, 0, 72, 0, 99, 0]]), "malformed_data"),
        (ToServer, framed(b"\xfeSMB short".to_vec()), "malformed_data"),
        (ToServer, framed(b"nothing of SMB".to_vec()), "malformed_data"),
        (ToServer, b"GET / HTTP/1.1\r\n\r\n".to_vec(), "malformed_data"),
        (
            ToServer,
            ask(1, 1, &[&[25, 0], &[0; 10], &[88, 0, 12, 0], &[0; 8], b"NTLMSSP\0\x03\0\0\0"]),
            "malformed_ntlmssp_request",
        ),
        (ToServer, ask(8, 1, &[&[49, 0, 0, 0], &n32(1 << 25), &[0; 40]]), "read_request_too_large"),
        (ToServer, ask(9, 1, &[&[49, 0, 112, 0], &n32(1 << 25), &[0; 40]]), "write_request_too_large"),
        (ToServer, [write(1, 0, b"abc"), write(2, 1, b"xyz")].concat(), "file_overlap"),
        // Threat: a record of 16 MiB that is no file.
        (ToServer, [&[0, 0xff, 0xff, 0xff][..], &[b'x'; 300]].concat(), "record_overflow"),
    ] {
        let mut t = Talk::<Smb>::new();
        t.say(d, &wire, false);
        assert!(t.events().contains(&event), "{event}: {:?}", t.events());
        assert!(!t.stopped);
    }
}

#[test]
fn queues_and_sizes_are_as_configured() {
    let mut t = Talk::<Smb>::new();
    t.config.smb.write_queue = Queue { size: 100, count: 2 };
    t.config.smb.max_read = 1 << 16;
    let n = negotiate();
    t.say(ToServer, &n[0], false);
    t.say(ToClient, &n[1], false);
    assert_eq!(t.events(), ["negotiate_max_read_size_too_large"]);
    for at in [50, 40, 30] {
        t.say(ToServer, &write(1, at, b"x"), false);
    }
    t.say(ToServer, &write(1, 900, &[b'x'; 101]), false);
    let events = t.events();
    assert!(
        events.contains(&"write_queue_cnt_exceeded") && events.contains(&"write_queue_size_exceeded"),
        "{events:?}"
    );
}

/// Threat: requests that are never answered, files and trees without end, an encrypted flood.
#[test]
fn everything_is_bounded() {
    let mut t = Talk::<Smb>::new();
    t.config.smb.max_tx = 20;
    t.memory.cap = 64 << 20;
    for n in 0..3000usize {
        t.say(ToServer, &ask(7, 0, &[&n16(n % 65_536)]), false);
        t.say(ToServer, &read((n % 250) as u8, n), false);
        let mut made = create(1, "a", 0)[1].clone();
        let at = made.len() - 16;
        made[at..at + 4].copy_from_slice(&n32(n));
        t.say(ToClient, &made, false);
    }
    assert!(t.state.txs().len() <= 40 && t.state.open.len() <= MAX_OPEN && t.state.pending.len() <= MAX_PENDING);
    assert!(t.state.charged() < (MAX_OPEN * 400) as u64);
    let mut t = Talk::<Smb>::new();
    t.say(ToServer, &framed([&b"\xfdSMB"[..], &[9; 500]].concat()), false);
    assert!(t.json().is_empty() && t.events().is_empty(), "what is encrypted says nothing");
}

#[test]
fn an_event_is_written_where_its_kind_is_chosen() {
    let mut t = Talk::<Smb>::new();
    let n = negotiate();
    t.say(ToServer, &[n[0].clone(), ask(7, 1, &[&[24, 0]])].concat(), false);
    let written =
        |t: &Talk<Smb>| t.state.txs().iter().map(|tx| t.state.event_type(tx, &t.config).is_some()).collect::<Vec<_>>();
    assert_eq!(written(&t), [true, true]);
    t.config.smb.written = 1 << Body::KINDS.iter().position(|k| *k == "negotiate").unwrap();
    assert_eq!(written(&t), [true, false]);
}

proptest! {
    #[test]
    fn every_truncation_waits(cut in 0.0f64..1.0) {
        for wire in [negotiate()[0].clone(), tree(1, "x", 1)[0].clone(), session_of_1()[2].1.clone()] {
            let mut t = Talk::<Smb>::new();
            t.say(ToServer, &wire[..(wire.len() as f64 * cut) as usize], false);
            prop_assert!(t.json().is_empty() && t.events().is_empty() && !t.stopped);
        }
    }
    #[test]
    fn any_bytes(pieces in prop::collection::vec((any::<bool>(), prop_oneof![
        (0usize..16).prop_map(|n| session_of_1()[n].1.clone()),
        Just(negotiate()[1].clone()), Just(tree(2, "IPC$", 2)[1].clone()), Just(create(3, "a", 0)[1].clone()),
        Just(write(1, 0, &call(3, 1, 0, 0, b""))), Just(read(2, 0)), Just(data(2, b"abc")), Just(close(4)),
        (0u8..20, any::<bool>(), prop::collection::vec(any::<u8>(), 0..80))
            .prop_map(|(c, a, b)| framed(message(c, a, 0, 1, 0, &[&b]))),
        (any::<u8>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..60), prop::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(c, a, w, b)| one(c, a, 0, 1, &[&w[..w.len() / 2 * 2]], &[&b])),
        prop::collection::vec(any::<u8>(), 0..40)]), 0..12), cut in 0usize..300) {
        hostile::<Smb>(&pieces, cut, false);
    }
}
