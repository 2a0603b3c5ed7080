// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! How far a direction of a transaction is at the moments that rules call hooks.
//!
//! A state that ends with another counts as reached with that: HTTP/1 reads a head whole, and what follows a body is its end.
//! Must never name a moment before its bytes were read.

use crate::{
    http1::HEAD,
    tls::session::{ClientState, ServerState},
    tx::DONE,
};

/// The progress from which on the hook of that name is reached; None where there is none.
pub fn progress_at(name: &str) -> Option<u8> {
    Some(match name {
        "request_started" | "response_started" => 0,
        "request_line" | "request_headers" | "request_body" => HEAD,
        "response_line" | "response_headers" | "response_body" => HEAD,
        "request_trailer" | "request_complete" | "response_trailer" | "response_complete" => DONE,
        "client_in_progress" => ClientState::InProgress as u8,
        "client_hello_done" => ClientState::HelloDone as u8,
        "client_cert_done" => ClientState::CertDone as u8,
        "client_handshake_done" => ClientState::HandshakeDone as u8,
        "server_in_progress" => ServerState::InProgress as u8,
        "server_hello" => ServerState::Hello as u8,
        "server_cert_done" => ServerState::CertDone as u8,
        "server_hello_done" => ServerState::HelloDone as u8,
        "server_handshake_done" => ServerState::HandshakeDone as u8,
        "client_finished" | "server_finished" => DONE,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_of_a_protocol_comes_by_its_hooks_in_their_order() {
        for names in [
            &["request_started", "request_line", "request_headers", "request_body", "request_trailer"][..],
            &["response_started", "response_line", "response_headers", "response_body", "response_trailer"],
            &[
                "client_in_progress",
                "client_hello_done",
                "client_cert_done",
                "client_handshake_done",
                "client_finished",
            ],
            &[
                "server_in_progress",
                "server_hello",
                "server_cert_done",
                "server_hello_done",
                "server_handshake_done",
                "server_finished",
            ],
        ] {
            let at: Vec<Option<u8>> = names.iter().map(|n| progress_at(n)).collect();
            assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{names:?}: {at:?}");
            assert_eq!((at[0], at[names.len() - 1]), (Some(0), Some(DONE)), "{names:?}");
        }
        assert_eq!([progress_at("request_complete"), progress_at("response_complete")], [Some(DONE); 2]);
        // HTTP/1 reads a head whole: no rule sees a line without its fields.
        assert_eq!(progress_at("request_line"), progress_at("request_headers"));
        assert_eq!(progress_at("flow_start"), None);
    }
}
