// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What rules may ask of an MQTT transaction: of whichever of its messages has it.

use super::{
    Tx,
    message::{Body, kind},
};
use crate::buffer::{Buffer, Field};

/// The `index`-th instance of a buffer.
pub fn buffer(tx: &Tx, buffer: Buffer, index: usize) -> Option<&[u8]> {
    let mut bodies = tx.messages.iter().filter_map(|m| m.body());
    match buffer {
        Buffer::MqttSubscribeTopic => bodies.find_map(|b| match b {
            Body::Subscribe { mut topics, .. } => topics.nth(index).map(|(t, _)| t),
            _ => None,
        }),
        Buffer::MqttUnsubscribeTopic => bodies.find_map(|b| match b {
            Body::Unsubscribe { mut topics, .. } => topics.nth(index).map(|(t, _)| t),
            _ => None,
        }),
        _ if index > 0 => None,
        _ => bodies.find_map(|b| match (buffer, b) {
            (Buffer::MqttConnectClientid, Body::Connect { client, .. }) => Some(client),
            (Buffer::MqttConnectUsername, Body::Connect { user, .. }) => user,
            (Buffer::MqttConnectPassword, Body::Connect { password, .. }) => password,
            (Buffer::MqttConnectProtocolString, Body::Connect { protocol, .. }) => Some(protocol),
            (Buffer::MqttConnectWilltopic, Body::Connect { will, .. }) => will.map(|(_, topic, _)| topic),
            (Buffer::MqttConnectWillmessage, Body::Connect { will, .. }) => will.map(|(_, _, message)| message),
            (Buffer::MqttPublishTopic, Body::Publish { topic, .. }) => Some(topic),
            (Buffer::MqttPublishMessage, Body::Publish { message, .. }) => Some(message),
            _ => None,
        }),
    }
}

/// The `index`-th instance of a number.
pub fn number(tx: &Tx, field: Field, index: usize) -> Option<u64> {
    let message = || tx.messages.get(index);
    match field {
        Field::MqttType => message().map(|m| m.kind.into()),
        Field::MqttFlags => message().map(|m| (m.flags & 9).into()),
        Field::MqttQos => message().map(|m| m.qos().into()),
        Field::MqttReasonCode => {
            // What a SUBACK grants is what it answers, whichever the version.
            let codes = tx.messages.iter().filter_map(|m| Some((m, m.body()?))).flat_map(|(m, b)| {
                let one = match b {
                    Body::Connack { code, .. } => Some(code),
                    Body::Ack { code, .. } | Body::End { code, .. } => code,
                    _ => None,
                };
                let many = match b {
                    Body::Granted { codes, .. } if matches!(m.kind, kind::SUBACK | kind::UNSUBACK) => codes,
                    _ => &[],
                };
                one.into_iter().chain(many.iter().copied())
            });
            let mut codes = codes;
            codes.nth(index).map(u64::from)
        }
        _ if index > 0 => None,
        Field::MqttProtocolVersion => tx.messages.first().map(|m| {
            let said = |b| if let Body::Connect { version, .. } = b { Some(version) } else { None };
            m.body().and_then(said).unwrap_or(m.version).into()
        }),
        Field::MqttConnectFlags => tx.messages.iter().find_map(|m| match m.body()? {
            Body::Connect { flags, .. } => Some(flags.into()),
            _ => None,
        }),
        Field::MqttConnackSessionPresent => tx.messages.iter().find_map(|m| match m.body()? {
            Body::Connack { present, .. } => Some(present.into()),
            _ => None,
        }),
        _ => None,
    }
}
