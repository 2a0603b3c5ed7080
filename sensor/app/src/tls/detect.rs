// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What rules may ask of a TLS connection. Towards the server that is the client's hello and certificate, towards the
//! client the server's.

use lagewarte_flow::Direction;

use super::{
    Age, Tx,
    cert::Chain,
    session::{ClientState, ServerState, Session},
};
use crate::buffer::{Buffer, Field};

fn chain(s: &Session, direction: Direction) -> Option<&Chain> {
    match direction {
        Direction::ToServer => s.client_chain.as_deref(),
        Direction::ToClient => s.server_chain.as_deref(),
    }
}

fn random(s: &Session, direction: Direction) -> Option<&[u8; 32]> {
    match direction {
        Direction::ToServer => s.client.as_ref().map(|h| &h.random),
        Direction::ToClient => s.server.as_ref().map(|h| &h.random),
    }
}

/// The `index`-th instance of a buffer.
pub fn buffer(s: &Session, buffer: Buffer, direction: Direction, index: usize) -> Option<&[u8]> {
    use Buffer as B;
    let to_server = direction == Direction::ToServer;
    match buffer {
        B::TlsCerts => return chain(s, direction)?.certificates.get(index).map(Vec::as_slice),
        B::TlsSubjectaltname => return chain(s, direction)?.alternative_names.get(index).map(Vec::as_slice),
        B::TlsAlpn if to_server => return s.client.as_ref()?.alpns.get(index).map(Vec::as_slice),
        B::TlsAlpn => return s.server.as_ref()?.alpns.get(index).map(Vec::as_slice),
        _ if index > 0 => return None,
        _ => {}
    }
    Some(match buffer {
        B::TlsSni if to_server => s.client.as_ref()?.sni.as_deref()?,
        B::TlsCertSubject => chain(s, direction)?.subject.as_deref()?,
        B::TlsCertIssuer => chain(s, direction)?.issuer.as_deref()?,
        B::TlsCertSerial => chain(s, direction)?.serial.as_bytes(),
        B::TlsCertFingerprint => chain(s, direction)?.fingerprint.as_bytes(),
        B::TlsRandom => random(s, direction)?,
        B::TlsRandomTime => random(s, direction)?.get(..4)?,
        B::TlsRandomBytes => random(s, direction)?.get(4..)?,
        B::Ja3Hash if to_server => s.ja3()?.hash.as_bytes(),
        B::Ja3String if to_server => s.ja3()?.string.as_bytes(),
        B::Ja3sHash if !to_server => s.ja3s()?.hash.as_bytes(),
        B::Ja3sString if !to_server => s.ja3s()?.string.as_bytes(),
        B::Ja4Hash if to_server => s.ja4()?.as_bytes(),
        _ => return None,
    })
}

/// The `index`-th instance of a number.
pub fn number(tx: &Tx, field: Field, direction: Direction, index: usize) -> Option<u64> {
    let s = &tx.session;
    let (valid, expired) = match direction {
        Direction::ToServer => tx.client_age,
        Direction::ToClient => tx.age,
    }
    .map_or((None, None), |age| (Some(age == Age::Valid), Some(age == Age::Expired)));
    let chain = || chain(s, direction).filter(|c| c.subject.is_some());
    match field {
        // All the messages seen so far, by the numbers that `ssl_state` gives them.
        Field::SslState => {
            let seen = s.seen;
            let all = [seen.client_hello, seen.server_hello, seen.client_key_exchange, seen.server_key_exchange];
            all.iter().enumerate().filter(|(_, seen)| **seen).map(|(n, _)| n as u64).nth(index)
        }
        _ if index > 0 => None,
        Field::TlsVersion | Field::SslVersion => (s.version != 0).then_some(s.version.into()),
        Field::TlsCertChainLen => self::chain(s, direction).map(|c| c.certificates.len() as u64),
        // Before 1970 counts as 1970.
        Field::TlsCertNotbefore => chain().map(|c| c.not_before.max(0) as u64),
        Field::TlsCertNotafter => chain().map(|c| c.not_after.max(0) as u64),
        Field::TlsCertValid => valid.map(u64::from),
        Field::TlsCertExpired => expired.map(u64::from),
        _ => None,
    }
}

/// Progress from which on a buffer is complete.
pub const fn buffer_at(buffer: Buffer, direction: Direction) -> u8 {
    use Buffer as B;
    match (buffer, direction) {
        (
            B::TlsCerts
            | B::TlsSubjectaltname
            | B::TlsCertSubject
            | B::TlsCertIssuer
            | B::TlsCertSerial
            | B::TlsCertFingerprint,
            d,
        ) => cert_done(d),
        (_, Direction::ToServer) => ClientState::HelloDone as u8,
        (_, Direction::ToClient) => ServerState::Hello as u8,
    }
}

/// Progress from which on a number is there.
pub const fn number_at(field: Field, direction: Direction) -> u8 {
    match (field, direction) {
        (
            Field::TlsCertChainLen
            | Field::TlsCertNotbefore
            | Field::TlsCertNotafter
            | Field::TlsCertValid
            | Field::TlsCertExpired,
            d,
        ) => cert_done(d),
        (_, Direction::ToServer) => ClientState::HelloDone as u8,
        (_, Direction::ToClient) => ServerState::Hello as u8,
    }
}

const fn cert_done(direction: Direction) -> u8 {
    match direction {
        Direction::ToServer => ClientState::CertDone as u8,
        Direction::ToClient => ServerState::CertDone as u8,
    }
}
