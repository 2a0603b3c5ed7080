// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the configuration says of protocols that have but a choice or two of their own: `app-layer.protocols`, and
//! `lagewarte.rdp`.
//!
//! Must never change what is not named: defaults are the application layer's.

use lagewarte_app::{dcerpc, dnp3, ike, mqtt, pgsql, rdp, smb, ssh, websocket};

use super::{node::Node, settings};

/// Choices, by protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// `dnp3`.
    pub dnp3: dnp3::Choices,
    /// `ike`.
    pub ike: ike::Choices,
    /// `mqtt`.
    pub mqtt: mqtt::Choices,
    /// `dcerpc`.
    pub dcerpc: dcerpc::Choices,
    /// `pgsql`.
    pub pgsql: pgsql::Choices,
    /// `lagewarte.rdp`.
    pub rdp: rdp::Choices,
    /// `smb`.
    pub smb: smb::Choices,
    /// `ssh`.
    pub ssh: ssh::Choices,
    /// `websocket`.
    pub websocket: websocket::Choices,
}

/// Reads a tree; what cannot be read counts as absent.
pub fn read(tree: &Node) -> Choices {
    let mut c = Choices::default();
    let text = |key: &str| tree.at(&format!("app-layer.protocols.{key}")).and_then(Node::text);
    if let Some(on) = text("ssh.hassh").and_then(settings::flag) {
        c.ssh.hassh = on;
    }
    if let Some(on) = tree.at("lagewarte.rdp.tls").and_then(Node::text).and_then(settings::flag) {
        c.rdp.tls = on;
    }
    if let Some(n) = text("dnp3.max-points").and_then(|t| t.parse().ok()) {
        c.dnp3.max_points = n;
    }
    if let Some(n) = text("dnp3.max-objects").and_then(|t| t.parse().ok()) {
        c.dnp3.max_objects = n;
    }
    if let Some(n) = text("mqtt.max-msg-length").and_then(settings::size).and_then(|n| usize::try_from(n).ok()) {
        c.mqtt.max_message = n.min(mqtt::MAX_MESSAGE);
    }
    for (name, choice) in [
        ("mqtt.passwords", &mut c.mqtt.passwords),
        ("pgsql.passwords", &mut c.pgsql.passwords),
        ("ike.extended", &mut c.ike.extended),
    ] {
        let said = tree.at(&format!("outputs.eve-log.types.{name}")).and_then(Node::text);
        if let Some(on) = said.and_then(settings::flag) {
            *choice = on;
        }
    }
    if let Some(n) = text("websocket.max-payload-size").and_then(settings::size).and_then(|n| usize::try_from(n).ok()) {
        c.websocket.max_payload = n.min(websocket::MAX_PAYLOAD);
    }
    let number = |key: &str| text(key).and_then(settings::size).and_then(|n| usize::try_from(n).ok());
    for (key, choice) in [
        ("dcerpc.max-tx", &mut c.dcerpc.max_tx),
        ("dcerpc.max-stub-size", &mut c.dcerpc.max_stub),
        ("smb.max-tx", &mut c.smb.max_tx),
        ("smb.max-read-queue-size", &mut c.smb.read_queue.size),
        ("smb.max-read-queue-cnt", &mut c.smb.read_queue.count),
        ("smb.max-write-queue-size", &mut c.smb.write_queue.size),
        ("smb.max-write-queue-cnt", &mut c.smb.write_queue.count),
    ] {
        if let Some(n) = number(key) {
            *choice = n;
        }
    }
    for (key, choice) in [("smb.max-read-size", &mut c.smb.max_read), ("smb.max-write-size", &mut c.smb.max_write)] {
        if let Some(n) = number(key).and_then(|n| u32::try_from(n).ok()) {
            *choice = n;
        }
    }
    let kinds = tree.at("outputs.eve-log.types.smb.types").map(Node::list).unwrap_or_default();
    if !kinds.is_empty() {
        let bit = |name: &String| smb::Body::KINDS.iter().position(|k| k == name).map_or(0, |at| 1 << at);
        c.smb.written = kinds.iter().map(bit).fold(0, |all, bit| all | bit);
    }
    c
}
