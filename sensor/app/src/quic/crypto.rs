// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Keys of QUIC's Initial packets, which anyone can derive who saw the first of them (RFC 9001, 5.2; RFC 9369, 3.3), and
//! the removal of their protection.
//!
//! Must never be used for any other packet: the keys of those are secret.

use lagewarte_flow::Direction;
use ring::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey, quic},
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
};

/// QUIC version 1 (RFC 9000).
pub const V1: u32 = 1;
/// QUIC version 2 (RFC 9369).
pub const V2: u32 = 0x6b33_43cf;

const SALT_V1: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f,
    0x0a,
];
const SALT_V2: [u8; 20] = [
    0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e,
    0xd9,
];
/// Drafts 29 to 32.
const SALT_29: [u8; 20] = [
    0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43, 0x90, 0xa8,
    0x99,
];
/// Drafts 23 to 28.
const SALT_23: [u8; 20] = [
    0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7, 0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65, 0xbe, 0xf9, 0xf5,
    0x02,
];

/// Keys of one direction.
struct Side {
    key: LessSafeKey,
    iv: [u8; 12],
    header: quic::HeaderProtectionKey,
    /// Largest packet number opened.
    largest: Option<u64>,
}

/// Keys of both directions.
pub struct InitialKeys {
    sides: [Side; 2],
}

impl std::fmt::Debug for InitialKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InitialKeys")
    }
}

/// Bytes of a key or secret to be derived.
struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

impl InitialKeys {
    /// From the destination connection id of the client's first Initial packet. None for a version whose salt is unknown.
    pub fn new(version: u32, dcid: &[u8]) -> Option<Self> {
        let (salt, labels) = match version {
            V1 | 0xff00_0021 | 0xff00_0022 => (SALT_V1, [b"quic key".as_slice(), b"quic iv", b"quic hp"]),
            V2 => (SALT_V2, [b"quicv2 key".as_slice(), b"quicv2 iv", b"quicv2 hp"]),
            0xff00_001d..=0xff00_0020 => (SALT_29, [b"quic key".as_slice(), b"quic iv", b"quic hp"]),
            0xff00_0017..=0xff00_001c => (SALT_23, [b"quic key".as_slice(), b"quic iv", b"quic hp"]),
            _ => return None,
        };
        let initial = Salt::new(HKDF_SHA256, &salt).extract(dcid);
        let side = |label: &[u8]| -> Option<Side> {
            let secret: [u8; 32] = expand(&initial, label)?;
            let secret = Prk::new_less_safe(HKDF_SHA256, &secret);
            let [key, iv, header] = labels;
            Some(Side {
                key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &expand::<16>(&secret, key)?).ok()?),
                iv: expand(&secret, iv)?,
                header: quic::HeaderProtectionKey::new(&quic::AES_128, &expand::<16>(&secret, header)?).ok()?,
                largest: None,
            })
        };
        Some(Self { sides: [side(b"client in")?, side(b"server in")?] })
    }

    /// Removes the protection of an Initial packet. `packet` begins with the first byte of its header and ends with its
    /// payload; `number_at` is where the packet number stands. None where it was not protected with these keys.
    pub fn open(&mut self, direction: Direction, packet: &[u8], number_at: usize) -> Option<Vec<u8>> {
        let side = &mut self.sides[direction.index()]; // index() is 0 or 1
        let sample = packet.get(number_at + 4..number_at + 20)?;
        let [m0, mask @ ..] = side.header.new_mask(sample).ok()?;
        let mut header = packet.get(..number_at + 4)?.to_vec();
        let first = header.first_mut()?;
        *first ^= m0 & 0x0f;
        let number_len = usize::from(*first & 3) + 1;
        let mut truncated = 0u64;
        for (byte, m) in header.get_mut(number_at..number_at + number_len)?.iter_mut().zip(mask) {
            *byte ^= m;
            truncated = truncated << 8 | u64::from(*byte);
        }
        header.truncate(number_at + number_len);
        let number = full_number(side.largest, truncated, number_len);
        let mut nonce = side.iv;
        for (n, p) in nonce.iter_mut().skip(4).zip(number.to_be_bytes()) {
            *n ^= p;
        }
        let mut payload = packet.get(number_at + number_len..)?.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let len = side.key.open_in_place(nonce, Aad::from(&header), &mut payload).ok()?.len();
        payload.truncate(len);
        side.largest = side.largest.max(Some(number));
        Some(payload)
    }
}

/// HKDF-Expand-Label of TLS 1.3 without a context (RFC 8446, 7.1).
fn expand<const N: usize>(secret: &Prk, label: &[u8]) -> Option<[u8; N]> {
    let length = (N as u16).to_be_bytes();
    let label_length = [6 + label.len() as u8]; // our labels have ten bytes at most
    let info = [&length[..], &label_length, b"tls13 ", label, &[0]];
    let mut out = [0; N];
    secret.expand(&info, Len(N)).ok()?.fill(&mut out).ok()?;
    Some(out)
}

/// RFC 9000, A.3.
fn full_number(largest: Option<u64>, truncated: u64, len: usize) -> u64 {
    let expected = largest.map_or(0, |l| l + 1); // a packet number is below 2^62
    let window = 1u64 << (len * 8); // len is 4 at most
    let candidate = expected & !(window - 1) | truncated;
    if candidate + window / 2 <= expected && candidate < (1 << 62) - window {
        candidate + window
    } else if candidate > expected + window / 2 && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9000, A.3's example, and the beginning.
    #[test]
    fn packet_numbers_are_completed_from_the_largest_seen() {
        assert_eq!(full_number(Some(0xa82f_30ea), 0x9b32, 2), 0xa82f_9b32);
        assert_eq!(full_number(None, 2, 4), 2);
        assert_eq!(full_number(Some(255), 0, 1), 256);
        assert_eq!(full_number(Some(256), 255, 1), 255);
    }

    /// RFC 9001, A.3: the server's Initial packet of the example, as it goes over the wire.
    #[test]
    fn the_example_of_the_standard_opens() {
        let packet = hex::decode(concat!(
            "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a",
            "5816b6394100f37a1c69797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3",
            "dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84",
            "022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc4",
            "2158407dd074ee"
        ))
        .expect("a literal");
        let mut keys = InitialKeys::new(V1, &hex::decode("8394c8f03e515708").expect("a literal")).expect("known");
        let payload = keys.open(Direction::ToClient, &packet, 18).expect("opens");
        assert_eq!(&payload[..8], &hex::decode("0200000000060040").expect("a literal")[..]);
        assert_eq!(payload.len(), 117 - 2 - 16);
        assert_eq!(keys.open(Direction::ToServer, &packet, 18), None, "the other side's keys do not open it");
        let mut broken = packet.clone();
        broken[60] ^= 1;
        assert_eq!(keys.open(Direction::ToClient, &broken, 18), None);
        for n in 0..packet.len() {
            assert_eq!(keys.open(Direction::ToClient, &packet[..n], 18), None);
        }
    }
}
