// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Cases of the keywords of HTTP/2 and WebSocket.

use super::{CLIENT, Case, SERVER, case, request, session, tcp};

/// A stream of HTTP/2 with a setting, a weight, a window, and an error that ends it. Rules of which the first must alert
/// once.
fn http2(keyword: &'static str, holds: &str, does_not: &str) -> Case {
    let rules = format!("alert http2 any any -> any any ({holds})\nalert http2 any any -> any any ({does_not})");
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        [&[0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream][..], payload].concat()
    };
    let wire = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[0, 4, 0, 0, 0, 77]),
        frame(1, 0x24, 1, b"\0\0\0\0\x09\x24\x82\x84\x86\x41\x01a"),
        frame(8, 0, 1, &[0, 0, 0, 5]),
        frame(3, 0, 1, &[0, 0, 0, 8]),
    ]
    .concat();
    case(keyword, rules.leak(), request(&wire), &[(1, 6)])
}

/// An upgrade, and a frame of the client. Rules of which the first must alert once.
fn websocket(keyword: &'static str, holds: &str, does_not: &str) -> Case {
    let rules =
        format!("alert websocket any any -> any any ({holds})\nalert websocket any any -> any any ({does_not})");
    let ask = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let agree = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let said = [0x81, 0x82, 0, 0, 0, 7, b'h', b'i'];
    let (a, b) = (1001 + u32::try_from(ask.len()).unwrap(), 9001 + u32::try_from(agree.len()).unwrap());
    let mut frames = session(CLIENT, SERVER, &[(true, ask), (false, agree), (true, &said)]);
    frames.push(tcp(SERVER, CLIENT, "A", b, a + 8, b""));
    frames.push(tcp(CLIENT, SERVER, "A", a + 8, b, b""));
    case(keyword, rules.leak(), frames, &[(1, 8)])
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        http2("http2.frametype", "http2.frametype:headers; sid:1;", "http2.frametype:goaway; sid:2;"),
        http2("http2.errorcode", "http2.errorcode:cancel; sid:1;", "http2.errorcode:!8; sid:2;"),
        http2("http2.priority", "http2.priority:9; sid:1;", "http2.priority:>9; sid:2;"),
        http2("http2.window", "http2.window:5; sid:1;", "http2.window:<5; sid:2;"),
        http2("http2.size_update", "http2.size_update:4; sid:1;", "http2.size_update:>4; sid:2;"),
        http2(
            "http2.settings",
            "http2.settings:SETTINGS_INITIAL_WINDOW_SIZE>76; sid:1;",
            "http2.settings:SETTINGS_INITIAL_WINDOW_SIZE=76; sid:2;",
        ),
        websocket("websocket.opcode", "websocket.opcode:text; sid:1;", "websocket.opcode:ping; sid:2;"),
        websocket("websocket.mask", "websocket.mask:7; sid:1;", "websocket.mask:>7; sid:2;"),
        websocket("websocket.flags", "websocket.flags:fin,!comp; sid:1;", "websocket.flags:&0x40=0x40; sid:2;"),
    ]
}
