// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Signed files: a payload and, beside it, `<payload>.sig`. Ed25519 (RFC 8032).
//!
//! The keys that command sensors are never on the aggregator: files are signed offline and the sensor checks them
//! against public keys it was given at enrolment or by its owner. Must never return a payload that was not verified.
//!
//! The signature covers `lagewarte-<purpose>-v1\0` and the payload, so that a file signed for one purpose is worthless
//! for another. A `.sig` holds one line a signature: `<key id> <base64 signature>`; the key id is the first 16 hex digits
//! of the public key's SHA-256. Rollback is refused by the reader of the payload, which carries a version.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};

/// What a file is signed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Which VLANs and addresses belong to whom.
    Assignment,
    /// Which event classes and fields leave the house.
    Profile,
}

impl Purpose {
    fn domain(self) -> &'static [u8] {
        match self {
            Self::Assignment => b"lagewarte-assignment-v1\0",
            Self::Profile => b"lagewarte-profile-v1\0",
        }
    }
}

/// Largest payload or signature file read: a signed file is hand-sized; more is a mistake or an attack on memory.
pub const MAX_SIGNED_FILE: u64 = 4 << 20;

/// An Ed25519 public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads a key's text form: base64 of 32 bytes.
    ///
    /// # Errors
    /// Where the text is anything else.
    pub fn parse(text: &str) -> Result<Self, SignedError> {
        let raw = STANDARD.decode(text.trim()).map_err(|_| SignedError::Key)?;
        Ok(Self(raw.try_into().map_err(|_| SignedError::Key)?))
    }
    /// The text form.
    pub fn to_text(&self) -> String {
        STANDARD.encode(self.0)
    }
    /// First 16 hex digits of the key's SHA-256.
    pub fn id(&self) -> String {
        hex::encode(&digest::digest(&digest::SHA256, &self.0).as_ref()[..8])
    }
}

/// An Ed25519 key pair, held by whoever signs; never on an aggregator.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    pkcs8: Vec<u8>,
}

impl SigningKey {
    /// Makes a new one.
    ///
    /// # Errors
    /// Where the system has no randomness.
    pub fn generate() -> Result<Self, SignedError> {
        let doc = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| SignedError::Random)?;
        Self::from_pkcs8(doc.as_ref())
    }
    fn from_pkcs8(der: &[u8]) -> Result<Self, SignedError> {
        let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|_| SignedError::Key)?;
        Ok(Self { pair, pkcs8: der.to_vec() })
    }
    /// Reads the text form (base64 of PKCS#8).
    ///
    /// # Errors
    /// Where the text is anything else.
    pub fn parse(text: &str) -> Result<Self, SignedError> {
        Self::from_pkcs8(&STANDARD.decode(text.trim()).map_err(|_| SignedError::Key)?)
    }
    /// The text form; secret.
    pub fn to_secret_text(&self) -> String {
        STANDARD.encode(&self.pkcs8)
    }
    /// Its public half.
    pub fn public(&self) -> PublicKey {
        let mut raw = [0; 32];
        raw.copy_from_slice(self.pair.public_key().as_ref()); // Ed25519 keys are 32 bytes
        PublicKey(raw)
    }
    /// One line for a `.sig` file.
    pub fn sign(&self, purpose: Purpose, payload: &[u8]) -> String {
        let signature = self.pair.sign(&message(purpose, payload));
        format!("{} {}\n", self.public().id(), STANDARD.encode(signature))
    }
}

/// Why a signed file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SignedError {
    /// Not a key.
    #[error("not an Ed25519 key in base64 (make one with: lagewarte-sensor keys new)")]
    Key,
    /// No randomness.
    #[error("the system gave no random numbers")]
    Random,
    /// The file or its signature cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Over [`MAX_SIGNED_FILE`].
    #[error("{0} is larger than 4 MiB; a signed file is not")]
    TooLarge(PathBuf),
    /// No line of the signature file is a good signature by a trusted key.
    #[error("no trusted key has signed this as {purpose:?} (signed by: {signers}; trusted: {trusted})")]
    Untrusted {
        /// What it should have been signed for.
        purpose: Purpose,
        /// Key ids named in the signature file, bounded.
        signers: String,
        /// Key ids that would do.
        trusted: String,
    },
}

/// Checks that a trusted key signed `payload` for `purpose`; gives that key's id.
///
/// # Errors
/// [`SignedError::Untrusted`].
pub fn verify(purpose: Purpose, payload: &[u8], sig: &str, trusted: &[PublicKey]) -> Result<String, SignedError> {
    let message = message(purpose, payload);
    let mut signers = Vec::new();
    for line in sig.lines().take(16) {
        let Some((id, b64)) = line.split_once(' ') else { continue };
        signers.push(id.chars().take(16).collect::<String>());
        let (Some(key), Ok(raw)) = (trusted.iter().find(|k| k.id() == id), STANDARD.decode(b64.trim())) else {
            continue;
        };
        if UnparsedPublicKey::new(&ED25519, key.0).verify(&message, &raw).is_ok() {
            return Ok(key.id());
        }
    }
    let trusted = trusted.iter().map(PublicKey::id).collect::<Vec<_>>().join(", ");
    Err(SignedError::Untrusted { purpose, signers: signers.join(", "), trusted })
}

/// Reads `path` and `path.sig`; gives the payload only if a trusted key signed it for `purpose`.
///
/// # Errors
/// Every [`SignedError`] but `Key` and `Random`.
pub fn read_verified(path: &Path, purpose: Purpose, trusted: &[PublicKey]) -> Result<Vec<u8>, SignedError> {
    let payload = read_bounded(path)?;
    let sig = read_bounded(&signature_path(path))?;
    verify(purpose, &payload, &String::from_utf8_lossy(&sig), trusted)?;
    Ok(payload)
}

/// `assignment.yaml` → `assignment.yaml.sig`.
pub fn signature_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

fn message(purpose: Purpose, payload: &[u8]) -> Vec<u8> {
    [purpose.domain(), payload].concat()
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, SignedError> {
    let io = |source| SignedError::Io { path: path.to_owned(), source };
    if fs::metadata(path).map_err(io)?.len() > MAX_SIGNED_FILE {
        return Err(SignedError::TooLarge(path.to_owned()));
    }
    fs::read(path).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_key_payload_and_purpose_only() {
        let (ours, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let sig = ours.sign(Purpose::Profile, b"payload");
        let ok = |p, payload: &[u8], sig: &str, key: &SigningKey| verify(p, payload, sig, &[key.public()]).is_ok();
        assert!(ok(Purpose::Profile, b"payload", &sig, &ours));
        assert!(!ok(Purpose::Assignment, b"payload", &sig, &ours), "purpose");
        assert!(!ok(Purpose::Profile, b"payloae", &sig, &ours), "payload");
        assert!(!ok(Purpose::Profile, b"payload", &sig, &other), "key");
        assert!(!ok(Purpose::Profile, b"payload", "", &ours), "none");
        let forged = sig.replace(&ours.public().id(), &other.public().id());
        assert!(!ok(Purpose::Profile, b"payload", &forged, &other), "key id swapped");
        assert!(verify(Purpose::Profile, b"payload", &sig, &[]).is_err(), "nobody trusted");
    }

    #[test]
    fn keys_round_trip_as_text() {
        let key = SigningKey::generate().unwrap();
        assert_eq!(SigningKey::parse(&key.to_secret_text()).unwrap().public(), key.public());
        assert_eq!(PublicKey::parse(&key.public().to_text()).unwrap(), key.public());
        assert!(PublicKey::parse("AAAA").is_err());
    }

    #[test]
    fn a_file_over_the_cap_is_refused_before_it_is_read() {
        let dir = std::env::temp_dir().join(format!("lagewarte-signed-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("huge");
        fs::File::create(&path).unwrap().set_len(MAX_SIGNED_FILE + 1).unwrap();
        let e = read_verified(&path, Purpose::Profile, &[]);
        fs::remove_dir_all(&dir).unwrap();
        assert!(matches!(e, Err(SignedError::TooLarge(_))), "{e:?}");
    }
}
