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
