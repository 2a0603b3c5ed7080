// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Connections that another one announces: FTP's data, with the file that goes through it.

mod common;

use common::{CLIENT, Rig, SERVER, TC, TS, config};
use lagewarte_app::Config;
use lagewarte_testkit::tcp;
use serde_json::{Value, json};

const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN: u8 = 1;

/// A control connection that has announced a transfer on port 40001 of the server.
fn announced(command: &str) -> Rig {
    announced_to(config(), command)
}

fn announced_to(config: Config, command: &str) -> Rig {
    let mut r = Rig::open(config, 21);
    r.send(TC, b"220 FTP ready\r\n");
    r.send(TS, b"USER me\r\n");
    r.send(TC, b"230 in\r\n");
    r.send(TS, b"PASV\r\n");
    r.send(TC, b"227 Entering Passive Mode (198,51,100,9,156,65).\r\n");
    r.send(TS, format!("{command}\r\n").as_bytes());
    r.send(TC, b"150 it comes\r\n");
    r
}

/// The data connection, in which the server (or the client) says this, with bytes that are lost before the last one.
fn data(r: &mut Rig, server: bool, bytes: &[u8], lost: u32) {
    let (c, s) = ((CLIENT.0, 41_000), (SERVER, 40_001));
    r.packet(&tcp(c, s, SYN, 100, 0, b""));
    r.packet(&tcp(s, c, SYN | ACK, 200, 101, b""));
    r.packet(&tcp(c, s, ACK, 101, 201, b""));
    let (from, to, seq, ack) = if server { (s, c, 201, 101) } else { (c, s, 101, 201) };
    let (first, last) = bytes.split_at(bytes.len() - 1);
    r.packet(&tcp(from, to, ACK, seq, ack, first));
    let seq = seq + first.len() as u32 + lost;
    r.packet(&tcp(from, to, ACK, seq, ack, last));
    r.packet(&tcp(to, from, ACK, ack, seq + 1, b""));
    r.packet(&tcp(from, to, ACK | FIN, seq + 1, ack, b""));
    r.packet(&tcp(to, from, ACK | FIN, ack, seq + 2, b""));
    r.packet(&tcp(from, to, ACK, seq + 2, ack + 1, b""));
}

fn of<'v>(all: &'v [Value], kind: &str) -> Vec<&'v Value> {
    all.iter().filter(|e| e["event_type"] == kind).collect()
}

#[test]
fn a_file_has_the_name_that_its_command_gave_it() {
    for (command, server, name) in [("RETR dir/a.txt", true, "dir/a.txt"), ("STOR b.bin", false, "b.bin")] {
        let mut r = announced(command);
        data(&mut r, server, b"what is in it", 0);
        r.finish();
        let written = r.written();
        let [transfer] = of(&written, "ftp_data")[..] else { panic!("{command}: {written:?}") };
        let control = of(&written, "ftp").first().map(|e| e["flow_id"].clone()).expect("the control connection");
        assert!(transfer["parent_id"] == control && transfer["flow_id"] != control, "{written:?}");
        assert_eq!(transfer["ftp_data"], json!({"filename": name, "command": &command[..4]}));
        let [file] = of(&written, "fileinfo")[..] else { panic!("{command}: {written:?}") };
        assert_eq!(
            (&file["fileinfo"]["filename"], &file["fileinfo"]["size"], &file["fileinfo"]["state"], &file["app_proto"]),
            (&json!(name), &json!(13), &json!("CLOSED"), &json!("ftp-data")),
            "{file}"
        );
        // A file's event is written the way it goes.
        let (src, dest) = if server { (SERVER, CLIENT.0) } else { (CLIENT.0, SERVER) };
        assert_eq!((&file["src_ip"], &file["dest_ip"]), (&json!(src.to_string()), &json!(dest.to_string())));
        assert_eq!(r.memuse(), 0);
    }
}

#[test]
fn bytes_that_are_lost_are_a_gap_in_the_file() {
    let mut r = announced("RETR a.txt");
    data(&mut r, true, b"what is in it", 100);
    r.finish();
    let written = r.written();
    let [file] = of(&written, "fileinfo")[..] else { panic!("{written:?}") };
    assert_eq!((&file["fileinfo"]["gaps"], &file["fileinfo"]["stored"]), (&json!(true), &json!(false)), "{file}");
}

#[test]
fn the_kind_of_a_file_is_written_where_the_operator_asks() {
    let mut config = config();
    config.files.magic = true;
    let mut r = announced_to(config, "RETR a.txt");
    data(&mut r, true, b"%PDF-1.7\n", 0);
    r.finish();
    let written = r.written();
    let [file] = of(&written, "fileinfo")[..] else { panic!("{written:?}") };
    assert_eq!(file["fileinfo"]["magic"], "PDF document, version 1.7");
}

#[test]
fn what_nobody_announced_is_no_transfer() {
    let mut r = Rig::open(config(), 21);
    r.send(TC, b"220 FTP ready\r\n");
    data(&mut r, true, b"what is in it", 0);
    r.finish();
    let written = r.written();
    assert!(of(&written, "ftp_data").is_empty() && of(&written, "fileinfo").is_empty(), "{written:?}");
}
