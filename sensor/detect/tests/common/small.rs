// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Cases of the keywords of the small protocols: a conversation, a rule that holds once, and one that does not.

use super::{CLIENT, End, Frame, SERVER, session, tcp, udp};

/// Keyword, two rules of which the first must alert once, frames, and the packet that it alerts on.
pub(crate) type Small = (&'static str, String, Vec<Frame>, u64);

/// Datagrams, from the client (true) or the server.
pub(crate) fn datagrams(port: u16, said: &[(bool, Vec<u8>)]) -> Vec<Frame> {
    let server = End(SERVER.0, port);
    said.iter().map(|(up, b)| if *up { udp(CLIENT, server, b) } else { udp(server, CLIENT, b) }).collect()
}

/// A conversation over TCP, at last acknowledged by both, and then an empty segment of the client.
pub(crate) fn stream(port: u16, said: &[(bool, Vec<u8>)]) -> Vec<Frame> {
    let server = End(SERVER.0, port);
    let parts: Vec<(bool, &[u8])> = said.iter().map(|(up, b)| (*up, b.as_slice())).collect();
    let sent = |up: bool| parts.iter().filter(|(u, _)| *u == up).map(|(_, b)| b.len()).sum::<usize>();
    let (a, b) = (1001 + u32::try_from(sent(true)).unwrap(), 9001 + u32::try_from(sent(false)).unwrap());
    let mut frames = session(CLIENT, server, &parts);
    frames.push(tcp(CLIENT, server, "A", a, b, b""));
    frames.push(tcp(server, CLIENT, "A", b, a, b""));
    frames.push(tcp(CLIENT, server, "A", a, b, b""));
    frames
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [&[tag, 0x82][..], &u16::try_from(content.len()).unwrap().to_be_bytes(), &content].concat()
}
fn number(tag: u8, n: u8) -> Vec<u8> {
    tlv(tag, &[&[2, 1, n]])
}
fn text(tag: u8, t: &str) -> Vec<u8> {
    tlv(tag, &[t.as_bytes()])
}

fn krb5_request() -> Vec<u8> {
    let body = tlv(0x30, &[&tlv(0xa2, &[&text(0x1b, "R")])]);
    tlv(0x6a, &[&tlv(0x30, &[&number(0xa1, 5), &number(0xa2, 10), &tlv(0xa4, &[&body])])])
}
fn krb5_error() -> Vec<u8> {
    tlv(0x7e, &[&tlv(0x30, &[&number(0xa1, 30), &number(0xa6, 25)])])
}
fn krb5_ticket() -> Vec<u8> {
    let name = tlv(0x30, &[&number(0xa0, 1), &tlv(0xa1, &[&tlv(0x30, &[&text(0x1b, "n")])])]);
    let sealed = tlv(0x30, &[&number(0xa0, 23)]);
    let ticket = tlv(0x61, &[&tlv(0x30, &[&tlv(0xa2, &[&name]), &tlv(0xa3, &[&sealed])])]);
    let parts = [number(0xa1, 11), tlv(0xa3, &[&text(0x1b, "R")]), tlv(0xa4, &[&name]), tlv(0xa5, &[&ticket])];
    tlv(0x6b, &[&tlv(0x30, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())])
}
fn ntp() -> Vec<u8> {
    let mut p = vec![0; 48];
    (p[0], p[1]) = (0x23, 2);
    p
}
fn dhcp() -> Vec<u8> {
    let mut p = vec![1, 1, 6, 0];
    p.resize(236, 0);
    p.extend(b"\x63\x82\x53\x63\x33\x04\0\0\0\x09\x3b\x04\0\0\0\x08\x3a\x04\0\0\0\x07\xff");
    p
}
fn ldap(op: u8, parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &[&[2, 1, 1], &tlv(0x60 | op, parts)])
}
fn search() -> Vec<(bool, Vec<u8>)> {
    let ask = ldap(3, &[&text(4, "dc=a"), &[10, 1, 2, 10, 1, 0, 2, 1, 0, 2, 1, 0, 1, 1, 0, 0x87, 1, b'x', 0x30, 0]]);
    let entry = ldap(4, &[&text(4, "cn=b"), &[0x30, 0]]);
    let done = ldap(5, &[&[10, 1, 4], &text(4, ""), &text(4, "")]);
    vec![(true, ask), (false, entry), (false, done)]
}
fn screen() -> Vec<(bool, Vec<u8>)> {
    let hello = b"RFB 003.008\n".to_vec();
    let picture = [&[5, 0, 3, 32][..], &[0; 16], &[0, 0, 0, 1, b'd']].concat();
    vec![
        (false, hello.clone()),
        (true, hello),
        (false, vec![1, 1]),
        (true, vec![1]),
        (false, vec![0; 4]),
        (true, vec![1]),
        (false, picture),
    ]
}

fn mqtt() -> Vec<(bool, Vec<u8>)> {
    let connect = b"\x10\x11\0\x04MQTT\x04\x82\0\x3c\0\x01i\0\x02us".to_vec();
    vec![(true, connect), (false, vec![0x20, 2, 0, 0]), (true, b"\x39\x04\0\x01tx".to_vec())]
}

fn modbus() -> Vec<(bool, Vec<u8>)> {
    // Registers 10 and 11 are set to 7 and 8.
    let ask = vec![0, 1, 0, 0, 0, 11, 10, 16, 0, 9, 0, 2, 4, 0, 7, 0, 8];
    vec![(true, ask), (false, vec![0, 1, 0, 0, 0, 6, 10, 16, 0, 9, 0, 2])]
}

/// A bind to svcctl 2.0 and a request for its operation 12, in little-endian order, with the number 258 as its parameter.
pub(crate) fn call() -> Vec<(bool, Vec<u8>)> {
    let pdu = |kind: u8, parts: &[&[u8]]| {
        let body = parts.concat();
        let len = u16::try_from(16 + body.len()).unwrap().to_le_bytes();
        [&[5, 0, kind, 3, 0x10, 0, 0, 0][..], &len, &[0, 0, 1, 0, 0, 0], &body].concat()
    };
    let svcctl = [0x81, 0xbb, 0x7a, 0x36, 0x44, 0x98, 0xf1, 0x35, 0xad, 0x32, 0x98, 0xf0, 0x38, 0, 0x10, 3, 2, 0, 0, 0];
    vec![
        (true, pdu(11, &[&[0; 8], &[1, 0, 0, 0, 0, 0, 1, 0], &svcctl, &[0; 20]])),
        (false, pdu(12, &[&[0; 10], &[0, 0, 1, 0, 0, 0, 0, 0, 0, 0], &[0; 20]])),
        (true, pdu(0, &[&[0; 6], &[12, 0, 2, 1], b"ab"])),
        (false, pdu(2, &[&[0; 8]])),
    ]
}

/// A tree connect of SMB 2 and its answer.
pub(crate) fn share() -> Vec<(bool, Vec<u8>)> {
    let framed = |answer: u8, body: &[u8]| {
        let mut m = [b"\xfeSMB\x40\0\0\0\0\0\0\0\x03\0\0\0".as_slice(), &[answer], &[0; 47]].concat();
        m.extend(body);
        [&u32::try_from(m.len()).unwrap().to_be_bytes()[..], &m].concat()
    };
    let name: Vec<u8> = br"\\fs\data".iter().flat_map(|b| [*b, 0]).collect();
    let ask = [&[9, 0, 0, 0, 72, 0, u8::try_from(name.len()).unwrap(), 0][..], &name].concat();
    vec![(true, framed(0, &ask)), (false, framed(1, &[16, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))]
}

/// Every one.
pub(crate) fn cases() -> Vec<Small> {
    let rules = |protocol: &str, holds: &str, does_not: &str| {
        format!(
            "alert {protocol} any any -> any any ({holds} sid:1;)\nalert {protocol} any any -> any any ({does_not} sid:2;)"
        )
    };
    let mut out: Vec<Small> = Vec::new();
    for (keyword, holds, does_not) in [
        ("ntp.version", "ntp.version:4;", "ntp.version:<4;"),
        ("ntp.mode", "ntp.mode:client;", "ntp.mode:!3;"),
        ("ntp.stratum", "ntp.stratum:1-3;", "ntp.stratum:>=3;"),
    ] {
        out.push((keyword, rules("ntp", holds, does_not), datagrams(123, &[(true, ntp())]), 1));
    }
    let (holds, does_not) = (r#"frame:request.line; content:"BYE";"#, r#"frame:request.headers; content:"BYE";"#);
    let bye = b"BYE sip:a@x SIP/2.0\r\nVia: a\r\n\r\n".to_vec();
    out.push(("frame", rules("sip", holds, does_not), datagrams(5060, &[(true, bye)]), 1));
    for (keyword, holds, does_not, answer) in [
        ("krb5_msg_type", "krb5_msg_type:30;", "krb5_msg_type:13;", krb5_error()),
        ("krb5_err_code", "krb5_err_code:25;", "krb5_err_code:!25;", krb5_error()),
        ("krb5.ticket_encryption", "krb5.ticket_encryption:weak;", "krb5.ticket_encryption:18,-133;", krb5_ticket()),
        ("krb5.ticket_encryption", "krb5.ticket_encryption:rc4-hmac;", "krb5.ticket_encryption:strong;", krb5_ticket()),
    ] {
        out.push((
            keyword,
            rules("krb5", holds, does_not),
            datagrams(88, &[(true, krb5_request()), (false, answer)]),
            2,
        ));
    }
    for (keyword, holds, does_not) in [
        ("dhcp.leasetime", "dhcp.leasetime:9;", "dhcp.leasetime:8;"),
        ("dhcp.rebinding_time", "dhcp.rebinding_time:8;", "dhcp.rebinding_time:9;"),
        ("dhcp.renewal_time", "dhcp.renewal_time:&7=7;", "dhcp.renewal_time:&7!=7;"),
    ] {
        out.push((keyword, rules("dhcp", holds, does_not), datagrams(67, &[(true, dhcp())]), 1));
    }
    for (keyword, holds, does_not, at) in [
        ("ldap.request.operation", "ldap.request.operation:search_request;", "ldap.request.operation:!3;", 1),
        (
            "ldap.responses.operation",
            "ldap.responses.operation:search_result_entry,0;",
            "ldap.responses.operation:4,-1;",
            3,
        ),
        ("ldap.responses.operation", "ldap.responses.operation:<6,all;", "ldap.responses.operation:4,all;", 3),
        ("ldap.responses.count", "ldap.responses.count:2;", "ldap.responses.count:>2;", 3),
        (
            "ldap.responses.result_code",
            "ldap.responses.result_code:size_limit_exceeded;",
            "ldap.responses.result_code:0;",
            3,
        ),
    ] {
        out.push((keyword, rules("ldap", holds, does_not), datagrams(389, &search()), at));
    }
    for (keyword, holds, does_not, at) in [
        ("mqtt.type", "mqtt.type:CONNACK;", "mqtt.type:PUBACK;", 6),
        ("mqtt.flags", "mqtt.flags:retain,dup;", "mqtt.flags:retain,!dup;", 9),
        ("mqtt.qos", "mqtt.qos:0; mqtt.type:CONNECT;", "mqtt.qos:>0;", 6),
        ("mqtt.reason_code", "mqtt.reason_code:0;", "mqtt.reason_code:5;", 6),
        ("mqtt.protocol_version", "mqtt.protocol_version:4; mqtt.type:CONNECT;", "mqtt.protocol_version:5;", 6),
        ("mqtt.connect.flags", "mqtt.connect.flags:username,!password;", "mqtt.connect.flags:will;", 6),
        ("mqtt.connack.session_present", "mqtt.connack.session_present:no;", "mqtt.connack.session_present:yes;", 6),
    ] {
        out.push((keyword, rules("mqtt", holds, does_not), stream(1883, &mqtt()), at));
    }
    const SVCCTL: &str = "367abb81-9844-35f1-ad32-98f038001003";
    for (keyword, holds, does_not) in [
        ("dcerpc.iface", format!("dcerpc.iface:{SVCCTL};"), format!("dce_iface:{};", SVCCTL.replace('3', "4"))),
        ("dcerpc.iface", format!("dcerpc.iface:{SVCCTL},>1,any_frag;"), format!("dcerpc.iface:{SVCCTL},!2;")),
        ("dcerpc.opnum", "dcerpc.opnum:10-12;".to_owned(), "dcerpc.opnum:1,2,13-20;".to_owned()),
        ("dcerpc.opnum", "dce_opnum:1,12;".to_owned(), "dcerpc.opnum:13;".to_owned()),
        (
            "byte_test",
            "dcerpc.stub_data; content:\"ab\"; byte_test:2,=,258,0,dce;".to_owned(),
            "dcerpc.stub_data; content:\"ab\"; byte_test:2,=,258,0,big;".to_owned(),
        ),
    ] {
        let to_server = |options: &str| format!("flow:to_server; {options}");
        out.push((keyword, rules("dcerpc", &to_server(&holds), &to_server(&does_not)), stream(135, &call()), 8));
    }
    out.push((
        "smb.version",
        rules("smb", "flow:to_server; smb.version:2;", "flow:to_server; smb.version:1;"),
        stream(445, &share()),
        6,
    ));
    for (holds, does_not) in [
        ("modbus:unit 10, function 16;", "modbus:unit >10;"),
        ("modbus:function !reserved;", "modbus:function user;"),
        ("modbus:access write holding, address >10;", "modbus:access write holding, address >11;"),
        ("modbus:access write holding, address 11, value 8;", "modbus:access write holding, address 11, value 7;"),
        ("modbus:access write;", "modbus:access read;"),
    ] {
        out.push(("modbus", rules("modbus", holds, does_not), stream(502, &modbus()), 6));
    }
    for (keyword, holds, does_not, at) in [
        ("rfb.sectype", "rfb.sectype:1;", "rfb.sectype:2;", 11),
        ("rfb.secresult", "rfb.secresult:ok;", "rfb.secresult:unknown;", 12),
    ] {
        out.push((keyword, rules("rfb", holds, does_not), stream(5900, &screen()), at));
    }
    out
}
