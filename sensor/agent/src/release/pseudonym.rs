// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Pseudonyms under a constituent's own key: prefix-preserving for addresses (ipcrypt-pfx), keyed hashes for texts.
//!
//! The key is made on the sensor at its first need, readable by its owner only, and never leaves. Equal values stay equal,
//! addresses of one network stay in one network. Must never reuse a key for another constituent, or log one. A key is 32
//! bytes; a lost key makes its old pseudonyms unresolvable, nothing else.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use ipcrypt_rs::IpcryptPfx;
use lagewarte_base::{
    fs::{Fs, RealFs},
    id::ConstituentId,
};
use ring::{
    digest, hmac,
    rand::{SecureRandom as _, SystemRandom},
};

const KEY_BYTES: usize = IpcryptPfx::KEY_BYTES;
/// Hex digits of a keyed hash that stands for a text: 64 bits, enough to keep a constituent's values apart.
const TOKEN_BYTES: usize = 8;

/// A constituent's key, ready to use.
pub struct Pseudonyms {
    addresses: IpcryptPfx,
    texts: hmac::Key,
    id: String,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("pseudonym key {path}: {source}; nothing leaves this sensor without it")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not 64 hex digits, or a key that cannot be used.
    #[error(
        "pseudonym key {0} is damaged: put back its backup, or remove the file to begin with a new key (old pseudonyms can then no longer be resolved)"
    )]
    Damaged(PathBuf),
    /// Others can read it.
    #[error("pseudonym key {0} can be read by others; close it: chmod 600 {0}")]
    Open(PathBuf),
    /// No randomness.
    #[error("the system gave no random numbers for a pseudonym key")]
    Random,
}

impl Pseudonyms {
    /// From raw key bytes; None for a key whose halves are equal, which the cipher cannot use.
    pub fn new(key: [u8; KEY_BYTES]) -> Option<Self> {
        if key[..KEY_BYTES / 2] == key[KEY_BYTES / 2..] {
            return None;
        }
        let id = digest::digest(&digest::SHA256, &[b"lagewarte-pseudonym-key\0", &key[..]].concat());
        let texts = digest::digest(&digest::SHA256, &[b"lagewarte-pseudonym-text\0", &key[..]].concat());
        Some(Self {
            addresses: IpcryptPfx::new(key),
            texts: hmac::Key::new(hmac::HMAC_SHA256, texts.as_ref()),
            id: hex::encode(&id.as_ref()[..8]),
        })
    }

    /// The key's id, as it stands in events: 16 hex digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The pseudonym of an address, of the same family.
    pub fn address(&self, ip: IpAddr) -> IpAddr {
        match ip {
            // A mapped address is an IPv4 address in other clothes, and stays one.
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => match self.addresses.encrypt_ipaddr(ip.to_canonical()) {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
                v6 @ IpAddr::V6(_) => v6,
            },
            _ => self.addresses.encrypt_ipaddr(ip),
        }
    }

    /// The address behind a pseudonym.
    pub fn resolve(&self, pseudonym: IpAddr) -> IpAddr {
        self.addresses.decrypt_ipaddr(pseudonym.to_canonical())
    }

    /// A keyed hash that stands for a text; `purpose` keeps equal texts of different fields apart.
    pub fn text(&self, purpose: &str, text: &str) -> String {
        hex::encode(&self.tag(purpose, text.as_bytes())[..TOKEN_BYTES])
    }

    /// A keyed number in place of another; below 2^53, as EVE's flow ids are.
    pub fn number(&self, purpose: &str, number: u64) -> u64 {
        let tag = self.tag(purpose, &number.to_be_bytes());
        tag.iter().take(8).fold(0, |n, b| n << 8 | u64::from(*b)) >> 11
    }

    fn tag(&self, purpose: &str, value: &[u8]) -> Vec<u8> {
        hmac::sign(&self.texts, &[purpose.as_bytes(), b"\0", value].concat()).as_ref().to_vec()
    }
}

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pseudonyms({})", self.id)
    }
}

/// The key files of a sensor: `pseudonyms/<constituent>.key`.
#[derive(Debug, Clone)]
pub struct Keyring {
    dir: PathBuf,
    fs: Arc<dyn Fs>,
}

impl Keyring {
    /// The ring in a directory.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, fs: Arc::new(RealFs) }
    }

    /// The constituent's key, made and made durable if there is none yet.
    ///
    /// # Errors
    /// Every [`KeyError`].
    pub fn key(&self, constituent: &ConstituentId) -> Result<Pseudonyms, KeyError> {
        let path = self.dir.join(format!("{constituent}.key")); // an id has no slash and no dot
        match load(&path) {
            Err(KeyError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => self.create(&path),
            loaded => loaded,
        }
    }

    fn create(&self, path: &Path) -> Result<Pseudonyms, KeyError> {
        let io = |source| KeyError::Io { path: path.to_owned(), source };
        if !self.dir.is_dir() {
            self.fs.ensure_dir(&self.dir).map_err(io)?;
            fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o700)).map_err(io)?;
        }
        let mut raw = [0; KEY_BYTES];
        SystemRandom::new().fill(&mut raw).map_err(|_| KeyError::Random)?;
        let key = Pseudonyms::new(raw).ok_or(KeyError::Random)?; // equal halves: no random generator worth its name
        self.fs.replace(path, format!("{}\n", hex::encode(raw)).as_bytes(), true).map_err(io)?;
        Ok(key)
    }

    /// Every key there is, with its constituent's name.
    ///
    /// # Errors
    /// Where the directory or a key cannot be read.
    pub fn all(&self) -> Result<Vec<(String, Pseudonyms)>, KeyError> {
        let io = |source| KeyError::Io { path: self.dir.clone(), source };
        let names = self.fs.list(&self.dir).map_err(io)?;
        let named = names.iter().filter_map(|n| n.strip_suffix(".key"));
        named.map(|n| Ok((n.to_owned(), load(&self.dir.join(format!("{n}.key")))?))).collect()
    }
}

fn load(path: &Path) -> Result<Pseudonyms, KeyError> {
    let io = |source| KeyError::Io { path: path.to_owned(), source };
    if fs::metadata(path).map_err(io)?.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::Open(path.to_owned()));
    }
    let text = RealFs.read(path, 0, 1024).map_err(io)?; // a key has 65 bytes
    let text = String::from_utf8_lossy(&text);
    let raw = hex::decode(text.trim()).ok().and_then(|raw| <[u8; KEY_BYTES]>::try_from(raw).ok());
    raw.and_then(Pseudonyms::new).ok_or_else(|| KeyError::Damaged(path.to_owned()))
}

/// The parts of a reverse name (`in-addr.arpa`) or a bare prefix are whole octets or nibbles; these give an address its
/// first parts and zeros, so that the pseudonym's first parts are those of the network.
pub fn padded_v4(octets: &[u8]) -> Ipv4Addr {
    let mut raw = [0; 4];
    raw.iter_mut().zip(octets).for_each(|(r, o)| *r = *o);
    raw.into()
}

/// See [`padded_v4`]; nibbles, most significant first.
pub fn padded_v6(nibbles: &[u8]) -> Ipv6Addr {
    let mut value = 0u128;
    for at in 0..32 {
        value = value << 4 | u128::from(nibbles.get(at).copied().unwrap_or(0) & 15);
    }
    value.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(seed: u8) -> Pseudonyms {
        Pseudonyms::new(std::array::from_fn(|n| seed ^ (n as u8).wrapping_mul(37))).unwrap()
    }

    fn common(a: IpAddr, b: IpAddr) -> u32 {
        match (a, b) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            _ => panic!("families differ"),
        }
    }

    proptest! {
        #[test]
        fn addresses_keep_family_and_common_prefixes_and_resolve(a: u128, b: u128, shared in 0u32..=128, four: bool) {
            let mask = u128::MAX.checked_shr(shared).unwrap_or(0);
            let b = (a & !mask) | (b & mask);
                let of = |n: u128| if four { IpAddr::from(((n >> 96) as u32).to_be_bytes()) } else { IpAddr::from(n.to_be_bytes()) };
            let (a, b) = (of(a), of(b));
            prop_assume!(a.to_canonical() == a && b.to_canonical() == b);
            let k = key(1);
            prop_assert_eq!(common(k.address(a), k.address(b)), common(a, b));
            prop_assert_eq!(k.resolve(k.address(a)), a);
        }
    }

    #[test]
    fn the_published_vectors_of_ipcrypt_pfx_hold() {
        // draft-denis-ipcrypt, appendix "ipcrypt-pfx test vectors".
        let raw: [u8; 32] = hex::decode("0123456789abcdeffedcba98765432101032547698badcfeefcdab8967452301")
            .unwrap()
            .try_into()
            .unwrap();
        let k = Pseudonyms::new(raw).unwrap();
        for (clear, want) in [
            ("0.0.0.0", "151.82.155.134"),
            ("255.255.255.255", "94.185.169.89"),
            ("192.0.2.1", "100.115.72.131"),
            ("2001:db8::1", "c180:5dd4:2587:3524:30ab:fa65:6ab6:f88"),
        ] {
            assert_eq!(k.address(clear.parse().unwrap()), want.parse::<IpAddr>().unwrap(), "{clear}");
        }
    }

    #[test]
    fn a_key_is_made_once_private_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let ring = Keyring::new(dir.path().join("pseudonyms"));
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let first = ring.key(&a).unwrap();
        assert_eq!(ring.key(&a).unwrap().id(), first.id());
        assert_ne!(ring.key(&b).unwrap().id(), first.id());
        let path = dir.path().join("pseudonyms/a.key");
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(ring.all().unwrap().len(), 2);
        assert!(!format!("{first:?}").contains(fs::read_to_string(&path).unwrap().trim()));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(ring.key(&a).unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for damaged in ["", "00", &"0".repeat(64), &"x".repeat(64)] {
            fs::write(&path, damaged).unwrap();
            assert!(matches!(ring.key(&a), Err(KeyError::Damaged(_))), "{damaged:?} was taken or replaced");
        }
    }

    #[test]
    fn texts_and_numbers_differ_by_key_and_purpose() {
        let (a, b) = (key(1), key(2));
        assert_eq!(a.text("x", "v"), a.text("x", "v"));
        assert_eq!(a.text("x", "v").len(), 16);
        assert_ne!(a.text("x", "v"), a.text("y", "v"));
        assert_ne!(a.text("x", "v"), b.text("x", "v"));
        assert_ne!(a.number("x", 1), a.number("x", 2));
        assert!((0..1000).all(|n| a.number("x", n) < 1 << 53));
    }

    #[test]
    fn mapped_addresses_stay_mapped() {
        let k = key(3);
        let ip: IpAddr = "::ffff:10.1.2.3".parse().unwrap();
        assert_eq!(k.address(ip).to_canonical(), k.address("10.1.2.3".parse().unwrap()));
        assert_ne!(k.address(ip), ip);
        assert_eq!(padded_v4(&[10, 1]), Ipv4Addr::new(10, 1, 0, 0));
        assert_eq!(padded_v6(&[2, 0, 0, 1]), "2001::".parse::<Ipv6Addr>().unwrap());
    }
}
