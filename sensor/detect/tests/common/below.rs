// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Cases of the keywords on IGMP and SCTP, and on industrial and key exchange protocols.

use etherparse::IpNumber;

use super::{
    CLIENT, End, Frame, SERVER, frame, ip,
    small::{Small, datagrams, stream},
};

/// An IGMP message of this type, its checksum right.
pub(crate) fn igmp(kind: u8) -> Frame {
    let sum = !(u32::from(kind) << 8) as u16; // the other words are 0
    let [a, b] = sum.to_be_bytes();
    let to = End([224, 0, 0, 1], 0);
    frame(|out| ip(CLIENT, to, 1).write(out, IpNumber(2), &[kind, 0, a, b, 0, 0, 0, 0]).unwrap())
}

/// An SCTP packet with these chunks: type and value, whose length is a multiple of four.
pub(crate) fn sctp(chunks: &[(u8, &[u8])]) -> Frame {
    let mut packet = vec![0, 7, 0, 9, 0, 0, 0, 5, 0, 0, 0, 0];
    for (kind, value) in chunks {
        packet.extend([*kind, 3]);
        packet.extend(u16::try_from(value.len() + 4).unwrap().to_be_bytes());
        packet.extend_from_slice(value);
    }
    frame(|out| ip(CLIENT, SERVER, 64).write(out, IpNumber(132), &packet).unwrap())
}

fn ike() -> Vec<u8> {
    // AES is chosen; a public value, a nonce.
    let transform = [0, 0, 0, 12, 1, 1, 0, 0, 0x80, 1, 0, 7];
    let association = [&[4, 0, 0, 32, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 20, 1, 1, 0, 1][..], &transform].concat();
    let payloads = [&association[..], &[10, 0, 0, 8, 1, 2, 3, 4], &[0, 0, 0, 6, 5, 6]].concat();
    let len = u32::try_from(payloads.len() + 28).unwrap().to_be_bytes();
    [&[1; 8][..], &[2; 8], &[1, 0x10, 2, 0, 0, 0, 0, 0], &len, &payloads].concat()
}

fn enip(command: u16, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).unwrap().to_le_bytes();
    [&command.to_le_bytes()[..], &len, &[7, 0, 0, 0], &[0; 16], body].concat()
}

/// A question to which class 2, instance 1, attribute 3 is, and an answer with an error.
fn cip() -> Vec<(bool, Vec<u8>)> {
    let unit = |cip: &[u8]| {
        let len = u16::try_from(cip.len()).unwrap().to_le_bytes();
        enip(0x6f, &[&[0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0xb2, 0][..], &len, cip].concat())
    };
    let ask = unit(&[14, 3, 0x20, 2, 0x24, 1, 0x30, 3]);
    vec![(true, ask), (false, unit(&[0x8e, 0, 5, 1, 7, 1]))]
}

fn device() -> Vec<(bool, Vec<u8>)> {
    let identity =
        [&[1, 0][..], &[0; 16], &[1, 0, 14, 0, 0x36, 0, 20, 11, 0x30, 0, 9, 0, 0, 0, 3], b"PLC", &[3]].concat();
    let item = [&[1, 0, 0x0c, 0][..], &u16::try_from(identity.len()).unwrap().to_le_bytes(), &identity].concat();
    vec![(true, enip(0x63, b"")), (false, enip(0x63, &item))]
}

fn offered() -> Vec<(bool, Vec<u8>)> {
    let item = [&[1, 0, 0, 1, 20, 0, 1, 0, 0x20, 1][..], b"Communications\0\0"].concat();
    vec![(true, enip(4, b"")), (false, enip(4, &item))]
}

/// A relay is operated; an answer that says that the device was restarted.
fn dnp3() -> Vec<(bool, Vec<u8>)> {
    let crc = |data: &[u8]| {
        let step = |sum: u16, _| if sum & 1 == 1 { sum >> 1 ^ 0xa6bc } else { sum >> 1 };
        let sum = data.iter().fold(0u16, |sum, b| (0..8).fold(sum ^ u16::from(*b), step));
        (!sum).to_le_bytes()
    };
    let frame = |control: u8, user: &[u8]| {
        let mut out = vec![5, 0x64, u8::try_from(user.len() + 5).unwrap(), control, 1, 0, 2, 0];
        out.extend(crc(&out));
        user.chunks(16).for_each(|block| {
            out.extend_from_slice(block);
            out.extend(crc(block));
        });
        out
    };
    let ask = [&[0xc0, 0xc7, 4, 12, 1, 0x28, 1, 0, 1, 0, 3, 1, 100, 0, 0, 0, 100, 0, 0, 0, 0][..]].concat();
    vec![(true, frame(0xc4, &ask)), (false, frame(0x44, &[0xc0, 0xc7, 129, 0x80, 0]))]
}

/// Every one.
pub(crate) fn cases() -> Vec<Small> {
    let rules = |protocol: &str, holds: &str, does_not: &str| {
        format!(
            "alert {protocol} any any -> any any ({holds} sid:1;)\nalert {protocol} any any -> any any ({does_not} sid:2;)"
        )
    };
    let mut out: Vec<Small> = Vec::new();
    let mut broken = igmp(0x16);
    broken.bytes[36] ^= 0x55; // its checksum
    out.push((
        "igmp-csum",
        rules("igmp", "igmp-csum:invalid;", "igmp-csum:valid; igmp.type:0x11;"),
        vec![igmp(0x16), broken],
        2,
    ));
    out.push(("igmp.type", rules("igmp", "igmp.type:0x16;", "igmp.type:<0x16;"), vec![igmp(0x16)], 1));
    let data = [&[0; 12][..], b"abcd"].concat();
    for (keyword, holds, does_not) in [
        ("sctp.vtag", "sctp.vtag:5;", "sctp.vtag:>5;"),
        ("sctp.chunk_type", "sctp.chunk_type:sack;", "sctp.chunk_type:INIT;"),
        ("sctp.chunk_cnt", "sctp.chunk_cnt:2;", "sctp.chunk_cnt:>2;"),
    ] {
        out.push((keyword, rules("sctp", holds, does_not), vec![sctp(&[(3, &[0; 4]), (0, &data)])], 1));
    }
    for (keyword, holds, does_not) in [
        ("ike.exchtype", "ike.exchtype:2;", "ike.exchtype:>2;"),
        ("ike.chosen_sa_attribute", "ike.chosen_sa_attribute:alg_enc=7;", "ike.chosen_sa_attribute:alg_hash=7;"),
        (
            "ike.key_exchange_payload_length",
            "ike.key_exchange_payload_length:4;",
            "ike.key_exchange_payload_length:>4;",
        ),
        ("ike.nonce_payload_length", "ike.nonce_payload_length:<3;", "ike.nonce_payload_length:3;"),
    ] {
        // The responder's words, which say themselves that they are: its side is not the first that is heard.
        let said = [(true, ike_question()), (false, ike())];
        let holds = format!("flow:to_client; {holds}");
        out.push((keyword, rules("ike", &holds, &format!("flow:to_client; {does_not}")), datagrams(500, &said), 2));
    }
    for (keyword, holds, does_not, said, at) in [
        ("enip_command", "enip_command:send_rr_data; flow:to_server;", "enip_command:99;", cip(), 1),
        ("enip.status", "enip.status:success; flow:to_server;", "enip.status:>0;", cip(), 1),
        ("enip.cip_class", "enip.cip_class:2;", "enip.cip_class:3;", cip(), 1),
        ("enip.cip_instance", "enip.cip_instance:1;", "enip.cip_instance:2;", cip(), 1),
        ("enip.cip_attribute", "enip.cip_attribute:3;", "enip.cip_attribute:1;", cip(), 1),
        ("enip.cip_status", "enip.cip_status:5;", "enip.cip_status:0;", cip(), 2),
        ("enip.cip_extendedstatus", "enip.cip_extendedstatus:0x107;", "enip.cip_extendedstatus:7;", cip(), 2),
        ("cip_service", "cip_service:14,2,3;", "cip_service:14,2,4;", cip(), 1),
        ("cip_service", "cip_service:14,2;", "cip_service:15;", cip(), 1),
        ("enip.protocol_version", "enip.protocol_version:1;", "enip.protocol_version:>1;", device(), 2),
        ("enip.revision", "enip.revision:5131;", "enip.revision:<5131;", device(), 2),
        ("enip.identity_status", "enip.identity_status:48;", "enip.identity_status:0;", device(), 2),
        ("enip.state", "enip.state:3;", "enip.state:>3;", device(), 2),
        ("enip.serial", "enip.serial:9;", "enip.serial:8;", device(), 2),
        ("enip.product_code", "enip.product_code:54;", "enip.product_code:55;", device(), 2),
        ("enip.device_type", "enip.device_type:14;", "enip.device_type:1;", device(), 2),
        ("enip.vendor_id", "enip.vendor_id:1;", "enip.vendor_id:14;", device(), 2),
        ("enip.capabilities", "enip.capabilities:288;", "enip.capabilities:0;", offered(), 2),
    ] {
        out.push((keyword, rules("enip", holds, does_not), datagrams(44_818, &said), at));
    }
    for (keyword, holds, does_not) in [
        ("snmp.version", "snmp.version:2;", "snmp.version:<2;"),
        ("snmp.pdu_type", "snmp.pdu_type:get_request;", "snmp.pdu_type:>0;"),
    ] {
        out.push((keyword, rules("snmp", holds, does_not), datagrams(161, &[(true, snmp())]), 1));
    }
    for (keyword, holds, does_not) in [
        ("nfs_version", "nfs_version:3;", "nfs_version:>3;"),
        ("nfs_procedure", "nfs_procedure:GETATTR;", "nfs_procedure:!getattr;"),
        ("nfs_procedure", "nfs_procedure:1-2;", "nfs_procedure:9;"),
    ] {
        out.push((keyword, rules("nfs", holds, does_not), datagrams(2049, &[(true, nfs())]), 1));
    }
    for (keyword, holds, does_not, at) in [
        ("dnp3.func", "dnp3.func:operate;", "dnp3_func:read;", 6),
        ("dnp3.obj", "dnp3.obj:12,1;", "dnp3_obj:12,2;", 6),
        ("dnp3.ind", "dnp3.ind:device_restart,need_time;", "dnp3_ind:device_restart,!device_restart;", 7),
        ("dnp3.ind", "dnp3.ind:0x8000;", "dnp3_ind:need_time;", 7),
    ] {
        out.push((keyword, rules("dnp3", holds, does_not), stream(20_000, &dnp3()), at));
    }
    out
}

/// A question of version 2c about nothing.
fn snmp() -> Vec<u8> {
    b"\x30\x18\x02\x01\x01\x04\x06public\xa0\x0b\x02\x01\x09\x02\x01\x00\x02\x01\x00\x30\x00".to_vec()
}

/// GETATTR of version 3.
fn nfs() -> Vec<u8> {
    let words = [1, 0, 2, 100_003, 3, 1, 0, 0, 0, 0, 4, 0x0102_0304_u32];
    words.into_iter().flat_map(u32::to_be_bytes).collect()
}

fn ike_question() -> Vec<u8> {
    [&[1; 8][..], &[0; 8], &[0, 0x10, 5, 0, 0, 0, 0, 0], &[0, 0, 0, 28]].concat()
}
