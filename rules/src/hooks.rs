// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Hooks: moments of a transaction's direction at which a rule can ask to be looked at (Suricata user guide, "Firewall Mode
//! Design", application layer hooks).
//!
//! Must never name a hook that no parser reaches; a test of the engine compares them with what parsers know.

/// A hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its name.
    pub name: &'static str,
    /// EVE's name of the protocol that has it; None: every protocol with transactions.
    pub of: Option<&'static str>,
    /// Whose direction it is of: the client's, or the server's.
    pub to_server: bool,
    /// Whether a rule that asks for nothing else alerts each time that more has come, and not once.
    pub repeats: bool,
}

const fn h(name: &'static str, of: Option<&'static str>, to_server: bool) -> Hook {
    Hook { name, of, to_server, repeats: false }
}

/// A body goes on for many packets, and a rule at it is looked at with each.
const fn body(name: &'static str, of: Option<&'static str>, to_server: bool) -> Hook {
    Hook { name, of, to_server, repeats: true }
}

const HTTP1: Option<&str> = Some("http");
const TLS: Option<&str> = Some("tls");

/// Every hook of transactions, in the order in which a direction comes to them.
pub const HOOKS: &[Hook] = &[
    h("request_started", None, true),
    h("request_complete", None, true),
    h("response_started", None, false),
    h("response_complete", None, false),
    h("request_line", HTTP1, true),
    h("request_headers", HTTP1, true),
    body("request_body", HTTP1, true),
    h("request_trailer", HTTP1, true),
    h("response_line", HTTP1, false),
    h("response_headers", HTTP1, false),
    body("response_body", HTTP1, false),
    h("response_trailer", HTTP1, false),
    h("client_in_progress", TLS, true),
    h("client_hello_done", TLS, true),
    h("client_cert_done", TLS, true),
    h("client_handshake_done", TLS, true),
    h("client_finished", TLS, true),
    h("server_in_progress", TLS, false),
    h("server_hello", TLS, false),
    h("server_cert_done", TLS, false),
    h("server_hello_done", TLS, false),
    h("server_handshake_done", TLS, false),
    h("server_finished", TLS, false),
];

/// The hook of that name that rules on these protocols can have.
///
/// # Errors
/// A sentence that names those there are.
pub fn find(name: &str, protocols: &[&str]) -> Result<&'static Hook, String> {
    let has = |h: &&Hook| h.of.is_none_or(|of| protocols == [of]);
    HOOKS.iter().filter(has).find(|h| h.name == name).ok_or_else(|| {
        let there: Vec<&str> = HOOKS.iter().filter(has).map(|h| h.name).collect();
        format!(
            "the hook {name:?} is not told apart by this version; rules on {} have {}",
            protocols.join(", "),
            there.join(", ")
        )
    })
}
