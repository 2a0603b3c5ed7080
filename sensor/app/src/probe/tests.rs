// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Beginnings of protocols, and what is none.

use proptest::prelude::*;

use super::*;

const C: Direction = Direction::ToServer;
const S: Direction = Direction::ToClient;

fn tcp(direction: Direction, port: u16, data: &[u8]) -> Answer {
    Probe { tcp: true, direction, ports: (40000, port), other: AppProto::Unknown, data, config: &Config::default() }
        .run()
}
fn udp(port: u16, data: &[u8]) -> Answer {
    Probe { tcp: false, direction: C, ports: (40000, port), other: AppProto::Unknown, data, config: &Config::default() }
        .run()
}

#[test]
fn beginnings_are_recognised_on_any_port() {
    for (direction, data, want) in [
        (C, b"GET / HTTP/1.1\r\n".as_slice(), AppProto::Http),
        (S, b"HTTP/1.1 200 OK\r\n", AppProto::Http),
        (C, b"PRI * HTTP/2.0\r\n\r\nSM", AppProto::Http2),
        (C, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", AppProto::Tls),
        (S, b"\x16\x03\x03\x00\x7a\x02\x00\x00", AppProto::Tls),
        (C, b"SSH-2.0-OpenSSH_9.2\r\n", AppProto::Ssh),
        (S, b"220 mail.example ESMTP Postfix\r\n", AppProto::Smtp),
        (C, b"ehlo client.example\r\n", AppProto::Smtp),
        (C, b"EHLO\n", AppProto::Smtp),
        (S, b"220 (vsFTPd 3.0.3)\r\n", AppProto::Ftp),
        (C, b"USER anonymous\r\n", AppProto::Ftp),
        (S, b"+OK Dovecot ready.\r\n", AppProto::Pop3),
        (S, b"* OK [CAPABILITY IMAP4rev1] ready\r\n", AppProto::Imap),
        (C, b"a001 LOGIN smith sesame\r\n", AppProto::Imap),
        (C, b"\x00\x00\x00\xa4\xffSMBr\x00", AppProto::Smb),
        (C, b"\x00\x00\x00\xa4\xfeSMB\x40\x00", AppProto::Smb),
        (C, b"\x03\x00\x00\x13\x0e\xe0\x00\x00", AppProto::Rdp),
        (C, b"\x05\x00\x0b\x03\x10\x00\x00\x00\x48\x00\x00\x00", AppProto::Dcerpc),
        (C, b"\x10\x25\x00\x04MQTT\x04\x02", AppProto::Mqtt),
        (S, b"RFB 003.008\n", AppProto::Rfb),
        (S, b"RFB 004.001\n", AppProto::Rfb),
        (C, b"INVITE sip:bob@example SIP/2.0\r\n", AppProto::Sip),
    ] {
        assert_eq!(tcp(direction, 7777, data), Is(want), "{:?}", String::from_utf8_lossy(data));
    }
}

#[test]
fn commands_and_greetings_are_told_by_the_port_or_the_other_side() {
    let told = |direction, port, other, data: &[u8]| {
        Probe { tcp: true, direction, ports: (40000, port), other, data, config: &Config::default() }.run()
    };
    let unknown = AppProto::Unknown;
    for (direction, port, other, data, want) in [
        (C, 110, unknown, b"USER me\r\n".as_slice(), Is(AppProto::Pop3)),
        (C, 7777, AppProto::Pop3, b"USER me\r\n", Is(AppProto::Pop3)),
        (C, 7777, AppProto::Pop3, b"CAPA\r\n", Is(AppProto::Pop3)),
        (C, 7777, unknown, b"CAPA\r\n", No),
        (C, 25, unknown, b"quit\r\n", Is(AppProto::Smtp)),
        (C, 7777, unknown, b"quit\r\n", No),
        (S, 25, unknown, b"220 ready\r\n", Is(AppProto::Smtp)),
        (S, 7777, AppProto::Smtp, b"220-ready\r\n", Is(AppProto::Smtp)),
        (S, 21, unknown, b"220 ready\r\n", Is(AppProto::Ftp)),
        (S, 7777, AppProto::Ftp, b"220 ready\r\n", Is(AppProto::Ftp)),
        (S, 7777, unknown, b"220 ready\r\n", No),
        (C, 7777, unknown, b"a1 STARTTLS\r\n", Is(AppProto::Imap)),
        (C, 7777, unknown, b"a-1 LOGIN me\r\n", No),
    ] {
        assert_eq!(told(direction, port, other, data), want, "{:?} on {port}", String::from_utf8_lossy(data));
    }
}

#[test]
fn what_is_weak_is_told_on_its_port_only() {
    let connack: &[u8] = &[0x20, 2, 0, 0];
    for (direction, port, data, want) in [
        (C, 389, b"\x30\x0c\x02\x01\x01\x60\x07".as_slice(), Is(AppProto::Ldap)),
        (C, 389, b"\x30\x84\x00\x00\x00\x10\x02\x01\x02\x63", Is(AppProto::Ldap)),
        (C, 389, b"\x30\x84\x00", Perhaps),
        (C, 389, b"\x30\x0c\x02\x01\x01\x20", No),
        (C, 389, b"\x30\x0c\x04\x01\x01", No),
        (C, 389, b"\x31", No),
        (C, 88, b"\0\0\x01\x10\x6a\x82", Is(AppProto::Krb5)),
        (C, 88, b"\0\0\x01", Perhaps),
        (C, 88, b"\0\0\x01\x10\x30\x82", No),
        (C, 5432, b"\0\0\0\x08\x04\xd2\x16\x2f", Is(AppProto::Pgsql)),
        (C, 5432, b"\0\0\0\x29\0\x03\0\0user", Is(AppProto::Pgsql)),
        (C, 5432, b"\0\0\0", Perhaps),
        (S, 5432, b"N", Is(AppProto::Pgsql)),
        (S, 5432, b"R\0\0\0\x08\0\0\0\0", Is(AppProto::Pgsql)),
        (S, 5432, b"hello", No),
        (C, 502, &[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1], Is(AppProto::Modbus)),
        (S, 502, &[0, 1, 0, 0, 0, 3, 1, 0x83, 2], Is(AppProto::Modbus)),
        (C, 502, &[0, 1, 0, 0, 0, 3, 1, 0x83, 2], No), // an exception is an answer
        (C, 502, &[0, 1, 0, 0, 9, 6, 1, 3], No),       // too long
        (C, 502, &[0, 1, 0], Perhaps),
        (C, 502, &[9, 1, 7], No),
        (C, 44818, &[0x65, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Is(AppProto::Enip)),
        (C, 44818, &[0x65, 0, 4, 0], Perhaps),
        (C, 44818, &[0x65, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], No), // options
        (C, 44818, &[0x99, 0x99], No),
        (C, 44818, &[0x65, 0, 4, 0, 0, 0, 0, 0, 0x77, 0x77, 0, 0], No), // no such status
        (C, 20000, &[5, 0x64, 5, 0xc0], Is(AppProto::Dnp3)),
        (C, 20000, &[5, 0x64], Perhaps),
        (C, 20000, &[5, 0x64, 4], No),
        (S, 1883, connack, Is(AppProto::Mqtt)),
        (S, 1883, &[0x20, 3, 0, 0x87, 0], Is(AppProto::Mqtt)),
        (S, 1883, &connack[..3], Perhaps),
        (S, 1883, &[0x20, 2, 0, 6], No),
        (S, 7777, connack, No),
        (C, 23, &[0xff, 0xfb, 1], Is(AppProto::Telnet)),
        (C, 23, &[0xff, 0xfb], Perhaps),
        (C, 7777, &[0xff, 0xfb, 1], No),
        (C, 7777, &[0x81, 0, 0, 0x44, 0x20, 0x43], Is(AppProto::Smb)), // a session request
        (C, 7777, &[0x80, 0x2e, 1, 0, 2, 0, 0x15], Is(AppProto::Tls)), // SSL 2.0
        (C, 7777, &[5, 0, 11, 3, 0x10, 0, 0, 0, 15, 0], No),           // shorter than its header
        (C, 7777, &[0x10, 0x80], Perhaps),
        (C, 7777, &[0x10, 0x80, 0x80, 0x80, 0x80], No),
        (C, 7777, &[0x10, 0x0c, 0, 4, b'A'], No),
    ] {
        assert_eq!(tcp(direction, port, data), want, "{data:02x?} on {port}");
    }
}

#[test]
fn datagrams_are_told_by_port_and_content() {
    let nfs_call: &[u8] = &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0x86, 0xa3, 0, 0, 0, 3, 0, 0, 0, 0];
    let nfs_reply: &[u8] = &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let rpc = [&[4, 0][..], &[0; 78]].concat();
    let dhcp = [&[1, 1, 6, 0][..], &[0; 232], &[0x63, 0x82, 0x53, 0x63]].concat();
    let ike = [&[1; 16][..], &[1, 0x10, 2, 0, 0, 0, 0, 0, 0, 0, 0, 28]].concat();
    for (port, data, want) in [
        (161, b"\x30\x26\x02\x01\x01\x04\x06public".as_slice(), Is(AppProto::Snmp)),
        (161, b"\x30\x81\x90\x02\x01\x03", Is(AppProto::Snmp)),
        (161, b"\x30\x26\x02\x01\x02", No), // no version 3 is written so
        (161, b"\x30", No),
        (161, b"\x30\x84\x01", No),
        (161, b"get", No),
        (69, b"\0\x01a\0octet\0", Is(AppProto::Tftp)),
        (69, b"\0\x06a\0", No),
        (67, &dhcp, Is(AppProto::Dhcp)),
        (67, &dhcp[..239], No),
        (500, &ike, Is(AppProto::Ike)),
        (500, &ike[..20], No),
        (88, b"\x6a\x81", Is(AppProto::Krb5)),
        (88, b"\x60\x81", No),
        (389, b"\x30\x0c\x02\x01\x01\x63\x07", Is(AppProto::Ldap)),
        (2049, nfs_call, Is(AppProto::Nfs)),
        (2049, nfs_reply, Turned(AppProto::Nfs)),
        (2049, &nfs_call[..16], No),
        (44818, &[0x63, 0, 0, 0], No), // not whole
        (135, &rpc, Is(AppProto::Dcerpc)),
        (135, &rpc[..79], No),
        (7777, &rpc, No),
        (6881, b"d1:ad2:id20:", Is(AppProto::BittorrentDht)),
        (123, &[0x26, 2, 0, 1, 0, 0, 0, 0], Is(AppProto::Ntp)), // a control message is short
        (5355, b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01", Is(AppProto::Llmnr)),
        (53, b"\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01", Turned(AppProto::Dns)),
    ] {
        assert_eq!(udp(port, data), want, "{data:02x?} on {port}");
    }
}

/// A server may send its preface before the client's has come: then only that direction was recognised.
#[test]
fn a_server_that_speaks_http2_first_is_recognised() {
    let preface = b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\x01\0\0\x04\0\x01\0\0\0\x05\0\xff\xff\xff\0\0\x04\x08\0\0\0\0\0";
    assert_eq!(tcp(S, 80, preface), Is(AppProto::Http2));
    assert_eq!((tcp(S, 80, &preface[..8]), tcp(S, 80, &preface[..20])), (Perhaps, Perhaps));
    let mut odd = *preface;
    odd[10] = 77; // no such setting
    assert_eq!((tcp(S, 80, &odd), tcp(S, 80, b"\0\0\0\x04\0\0\0\0\0")), (No, No));
}

#[test]
fn weak_contents_need_their_port() {
    let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01";
    let mut framed = (query.len() as u16).to_be_bytes().to_vec();
    framed.extend(query);
    assert_eq!((udp(53, query), udp(5353, query), udp(7777, query)), (Is(AppProto::Dns), Is(AppProto::Mdns), No));
    assert_eq!((tcp(C, 53, &framed), tcp(C, 7777, &framed)), (Is(AppProto::Dns), No));
    let mut ntp = [0; 48];
    ntp[0] = 0x23;
    assert_eq!((udp(123, &ntp), udp(124, &ntp), udp(123, &ntp[..47])), (Is(AppProto::Ntp), No, No));
    assert_eq!(udp(53, b"not dns at all"), No);
    assert_eq!(udp(443, b"\xc3\x00\x00\x00\x01\x08abcdefgh"), Is(AppProto::Quic));
}

#[test]
fn a_beginning_sent_byte_by_byte_stays_possible_until_it_is_told() {
    for (direction, data) in [
        (C, b"GET /".as_slice()),
        (C, b"\x16\x03\x01\x02\x00\x01"),
        (C, b"\x00\x00\x00\xa4\xfeSMB"),
        (C, b"\x03\x00\x00\x13\x0e\xe0"),
        (C, b"\x10\x25\x00\x04MQTT"),
        (S, b"HTTP/1.1"),
    ] {
        for n in 0..data.len() {
            let answer = tcp(direction, 7777, &data[..n]);
            assert!(matches!(answer, Perhaps | Is(_)), "{n} of {data:?}: {answer:?}");
        }
        assert!(matches!(tcp(direction, 7777, data), Is(_)));
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(data: Vec<u8>, tcp: bool, to_server: bool, port in prop::sample::select(
        vec![21u16, 25, 53, 67, 69, 88, 110, 123, 135, 143, 161, 389, 443, 445, 500, 4500, 5353, 5355, 5432, 9999]
    )) {
        let direction = if to_server { C } else { S };
        let _ = Probe { tcp, direction, ports: (1, port), other: AppProto::Unknown, data: &data, config: &Config::default() }.run();
    }
}
