// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Bytes to an IKE message: the header and its chain of payloads, in version 1 (RFC 2408, 3) and 2 (RFC 7296, 3).
//!
//! Must never read past the length that the header states, and keeps what was read before a damage. Limits:
//! [`MAX_PAYLOADS`], [`MAX_PROPOSALS`], [`MAX_ATTRIBUTES`], [`MAX_DATA`].

use lagewarte_base::reader::Reader;

/// Most payloads of a message. Threat: a datagram of nothing but payload headers.
pub const MAX_PAYLOADS: usize = 64;
/// Most proposals (of version 1: transforms) that are kept.
pub const MAX_PROPOSALS: usize = 64;
/// Most attributes of a proposal that are kept.
pub const MAX_ATTRIBUTES: usize = 32;
/// Bytes of a key, a nonce or a vendor id that are kept; the rest is cut. Threat: a payload as long as a datagram.
pub const MAX_DATA: usize = 4096;

/// What an attribute is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "names of the user guide, `ike.chosen_sa_attribute`")]
pub enum Class {
    AlgEnc = 1,
    AlgHash,
    AlgAuth,
    AlgDh,
    SaGroupType,
    SaLifeType,
    SaLifeDuration,
    AlgPrf,
    SaKeyLength,
    SaFieldSize,
    AlgEsn,
}

/// An attribute of a security association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// What it is about.
    pub class: Class,
    /// Its value; at most 32 bits of a longer one.
    pub value: u32,
    /// Whether it is one of version 2, which has other numbers.
    pub v2: bool,
}

impl Attribute {
    /// Class and value in one number, as rules ask for them.
    pub const fn as_number(&self) -> u64 {
        (self.class as u64) << 32 | self.value as u64
    }
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Major and minor version.
    pub version: (u8, u8),
    /// The initiator's index, in hexadecimal.
    pub init_spi: Vec<u8>,
    /// The responder's index, in hexadecimal.
    pub resp_spi: Vec<u8>,
    /// Type of the exchange.
    pub exchange: u8,
    /// Flags of the header.
    pub flags: u8,
    /// Number of the message.
    pub id: u32,
    /// Whether its payloads are encrypted.
    pub encrypted: bool,
    /// Types of its payloads. Version 1: each once, in order, those inside an association too. Version 2: what each one says
    /// that follows, up to and with 0; of what is encrypted the first one's type is said in clear.
    pub payloads: Vec<u8>,
    /// Domain of interpretation (version 1).
    pub doi: Option<u32>,
    /// What is proposed, or was chosen.
    pub proposals: Vec<Vec<Attribute>>,
    /// Public value.
    pub key: Vec<u8>,
    /// Nonce.
    pub nonce: Vec<u8>,
    /// Vendor ids, in hexadecimal.
    pub vendors: Vec<Vec<u8>>,
    /// Types of notifications (version 2).
    pub notify: Vec<u16>,
    /// Something in it could not be read.
    pub damaged: bool,
    /// A proposal is for a protocol that there is not.
    pub unknown_proposal: bool,
    /// A proposal offers nothing.
    pub empty_proposal: bool,
}

impl Message {
    /// Bytes that it holds.
    pub fn held(&self) -> usize {
        let attributes = self.proposals.iter().map(|p| p.len() * size_of::<Attribute>() + size_of::<Vec<Attribute>>());
        let vendors = self.vendors.iter().map(|v| v.len() + size_of::<Vec<u8>>());
        attributes.sum::<usize>()
            + vendors.sum::<usize>()
            + self.key.len()
            + self.nonce.len()
            + self.payloads.len()
            + 2 * self.notify.len()
            + 32
    }

    fn saw(&mut self, kind: u8) {
        let again = self.version.0 == 1 && self.payloads.contains(&kind);
        if !again && self.payloads.len() < MAX_PAYLOADS {
            self.payloads.push(kind);
        }
    }
}

/// Types of payloads that are looked into. Those of version 1 and 2 have numbers of their own.
#[expect(missing_docs, reason = "names of RFC 2408, 3.1 and RFC 7296, 3.2")]
pub mod kind {
    pub const SA: u8 = 1;
    pub const PROPOSAL: u8 = 2;
    pub const TRANSFORM: u8 = 3;
    pub const KEY: u8 = 4;
    pub const NONCE: u8 = 10;
    pub const VENDOR: u8 = 13;
    pub const SA_2: u8 = 33;
    pub const KEY_2: u8 = 34;
    pub const NONCE_2: u8 = 40;
    pub const NOTIFY_2: u8 = 41;
    pub const VENDOR_2: u8 = 43;
    pub const ENCRYPTED_2: u8 = 46;
}

/// Reads a message. None where there is not even a header of a version that is known.
pub fn message(data: &[u8]) -> Option<Message> {
    let mut r = Reader::new(data);
    let (init, resp) = (r.array::<8>()?, r.array::<8>()?);
    let [next, version, exchange, flags] = r.array()?;
    let (id, len) = (r.u32()?, r.u32()? as usize);
    let version = (version >> 4, version & 15);
    if !matches!(version.0, 1 | 2) {
        return None;
    }
    let mut m = Message {
        version,
        init_spi: hex::encode(init).into_bytes(),
        resp_spi: hex::encode(resp).into_bytes(),
        exchange,
        flags,
        id,
        encrypted: version.0 == 1 && flags & 1 != 0,
        ..Message::default()
    };
    // The header's own 28 bytes are part of the length.
    let Some(mut body) = len.checked_sub(28).and_then(|n| r.sub(n)) else {
        m.damaged = true;
        return Some(m);
    };
    if m.encrypted {
        m.saw(next); // the first one's type is said in clear
    } else if payloads(&mut m, next, &mut body).is_none() {
        m.damaged = true;
    }
    Some(m)
}

// The chain of payloads. None where it breaks.
fn payloads(m: &mut Message, mut next: u8, r: &mut Reader<'_>) -> Option<()> {
    for _ in 0..MAX_PAYLOADS {
        if next == 0 {
            if m.version.0 == 2 {
                m.saw(0);
            }
            return r.is_empty().then_some(());
        }
        m.saw(next);
        if m.version.0 == 2 && next == kind::ENCRYPTED_2 {
            m.encrypted = true;
            if let Some(first) = r.u8() {
                m.saw(first);
            }
            return Some(());
        }
        let (following, mut body) = payload(r)?;
        match (m.version.0, next) {
            (1, kind::SA) => association(m, &mut body)?,
            (1, kind::KEY) => m.key = kept(body.rest()),
            (2, kind::KEY_2) => {
                body.u32()?; // its group, reserved
                m.key = kept(body.rest());
            }
            (1, kind::NONCE) | (2, kind::NONCE_2) => m.nonce = kept(body.rest()),
            (1, kind::VENDOR) | (2, kind::VENDOR_2) => {
                m.vendors.push(hex::encode(kept(body.rest())).into_bytes());
            }
            (2, kind::SA_2) => association_2(m, &mut body)?,
            (2, kind::NOTIFY_2) => {
                body.u16()?; // protocol, size of an index
                m.notify.push(body.u16()?);
            }
            _ => {}
        }
        next = following;
    }
    None
}

// The generic header (RFC 2408, 3.2): what follows, and this one's content.
fn payload<'a>(r: &mut Reader<'a>) -> Option<(u8, Reader<'a>)> {
    let [next, _] = r.array()?;
    let len = usize::from(r.u16()?);
    Some((next, r.sub(len.checked_sub(4)?)?))
}

fn kept(data: &[u8]) -> Vec<u8> {
    data.get(..data.len().min(MAX_DATA)).unwrap_or_default().to_vec()
}

// Version 1: proposals with transforms, each of which is a choice of its own.
fn association(m: &mut Message, r: &mut Reader<'_>) -> Option<()> {
    let doi = r.u32()?;
    m.doi = Some(doi);
    r.u32()?; // situation
    while !r.is_empty() {
        let (_, mut p) = payload(r)?;
        m.saw(kind::PROPOSAL);
        let [_, protocol, index_len, transforms] = p.array()?;
        p.take(index_len.into())?;
        m.unknown_proposal |= !(1..=4).contains(&protocol);
        m.empty_proposal |= transforms == 0;
        while !p.is_empty() {
            let (_, mut t) = payload(&mut p)?;
            m.saw(kind::TRANSFORM);
            t.u32()?; // number, id, reserved
            let mut choice = Vec::new();
            while !t.is_empty() {
                let (class, value) = attribute(&mut t)?;
                // Those of phase 1 (RFC 2409, appendix A); in phase 2 they are encrypted.
                let class = match class {
                    1 => Class::AlgEnc,
                    2 => Class::AlgHash,
                    3 => Class::AlgAuth,
                    4 => Class::AlgDh,
                    5 => Class::SaGroupType,
                    11 => Class::SaLifeType,
                    12 => Class::SaLifeDuration,
                    13 => Class::AlgPrf,
                    14 => Class::SaKeyLength,
                    15 => Class::SaFieldSize,
                    _ => continue,
                };
                if choice.len() < MAX_ATTRIBUTES {
                    choice.push(Attribute { class, value, v2: false });
                }
            }
            if m.proposals.len() < MAX_PROPOSALS {
                m.proposals.push(choice);
            }
        }
    }
    Some(())
}

// Version 2: each transform is one attribute of its proposal (RFC 7296, 3.3).
fn association_2(m: &mut Message, r: &mut Reader<'_>) -> Option<()> {
    while !r.is_empty() {
        let (_, mut p) = payload(r)?;
        let [_, protocol, index_len, transforms] = p.array()?;
        p.take(index_len.into())?;
        m.unknown_proposal |= !(1..=3).contains(&protocol);
        m.empty_proposal |= transforms == 0;
        let mut choice = Vec::new();
        while !p.is_empty() {
            let (_, mut t) = payload(&mut p)?;
            let [kind, _] = t.array()?;
            let id = t.u16()?;
            let class = match kind {
                1 => Class::AlgEnc,
                2 => Class::AlgPrf,
                3 => Class::AlgAuth,
                4 => Class::AlgDh,
                5 => Class::AlgEsn,
                _ => continue,
            };
            if choice.len() < MAX_ATTRIBUTES {
                choice.push(Attribute { class, value: id.into(), v2: true });
            }
        }
        if m.proposals.len() < MAX_PROPOSALS {
            m.proposals.push(choice);
        }
    }
    Some(())
}

// An attribute (RFC 2408, 3.3): with the top bit its value is two bytes, else a length stands before it.
fn attribute(r: &mut Reader<'_>) -> Option<(u16, u32)> {
    let (class, short) = (r.u16()?, r.u16()?);
    if class & 0x8000 != 0 {
        return Some((class & 0x7fff, short.into()));
    }
    let value = r.take(short.into())?;
    Some((class, value.iter().fold(0u32, |n, b| n << 8 | u32::from(*b))))
}
