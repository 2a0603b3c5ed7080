// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The CA of sensors and aggregators: a root, an issuing CA below it, P-256 throughout (RFC 5280, RFC 5480).
//!
//! Made at the first start in `data-dir/ca/`. In production the root's key belongs offline: once `issuing.key` exists,
//! `root.key` may be moved away, and nothing here asks for it. Must never issue for a name that a request asked for: the
//! sensor's UUID comes from the register, the key from the request, all else from here. Limits: [`MAX_CSR`].

use std::{
    io,
    path::{Path, PathBuf},
};

use lagewarte_base::{
    fs::{Fs as _, RealFs},
    id::Uuid,
    time::Timestamp,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber, string::Ia5String,
};
use ring::{
    digest,
    rand::{SecureRandom as _, SystemRandom},
};
use rustls_pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _,
};
use time::{Duration, OffsetDateTime};

/// Largest signing request read. Threat: an unauthenticated caller's request costing memory and parsing time.
pub const MAX_CSR: usize = 8 << 10;
const MAX_FILE: usize = 64 << 10;
const ROOT_DAYS: i64 = 20 * 365;
const ISSUING_DAYS: i64 = 10 * 365;
/// A server certificate is made at each start and held in memory only.
const SERVER_DAYS: i64 = 397;
/// Certificates begin this much earlier: a sensor's clock may be a little behind.
const BACKDATE: Duration = Duration::hours(1);

/// Why the CA cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file cannot be read or written.
    #[error("CA file {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A file's content is not what it should be.
    #[error(
        "CA file {path} is damaged ({what}); restore data-dir/ca from the backup: a new CA would lock out all sensors"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Part of the CA is there, part is not.
    #[error(
        "{0} is missing, but other CA files exist; restore data-dir/ca from the backup: a new CA would lock out all sensors"
    )]
    Incomplete(PathBuf),
    /// A name cannot stand in a certificate.
    #[error("{0:?} in uplink.names cannot stand in a certificate: a DNS name or an IP address is wanted")]
    Name(String),
    /// The signing request is refused.
    #[error("the certificate request is refused: {0}")]
    Request(&'static str),
    /// The library failed.
    #[error("the CA cannot sign: {0}")]
    Sign(#[from] rcgen::Error),
}

/// A certificate for a sensor.
#[derive(Clone, Debug)]
pub struct Issued {
    /// DER.
    pub certificate: CertificateDer<'static>,
    /// Serial number, lower-case hex without leading zeros' loss: as [`serial_hex`] gives it for the certificate.
    pub serial: String,
    /// End of its validity.
    pub not_after: Timestamp,
}

/// The CA, ready to issue.
pub struct Ca {
    root: CertificateDer<'static>,
    issuing: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ca").finish_non_exhaustive()
    }
}

impl Ca {
    /// Loads the CA in `dir`, or makes it where there is none at all.
    ///
    /// # Errors
    /// Where files are unreadable, damaged, or only some of them are there: that is never answered by a new CA.
    pub fn load_or_create(dir: &Path, now: Timestamp) -> Result<Self, CaError> {
        let [root, issuing, key] = ["root.pem", "issuing.pem", "issuing.key"].map(|n| dir.join(n));
        let there = [&root, &issuing, &key].map(|p| p.exists());
        if there == [false; 3] {
            create(dir, now)?;
        } else if let Some(missing) =
            [&root, &issuing, &key].into_iter().zip(there).find_map(|(p, t)| (!t).then_some(p))
        {
            return Err(CaError::Incomplete(missing.clone()));
        }
        let key_pem = read(&key)?;
        let damaged = |path: &Path, what: &dyn std::fmt::Display| CaError::Damaged {
            path: path.to_owned(),
            what: what.to_string(),
        };
        let key_text = std::str::from_utf8(&key_pem).map_err(|e| damaged(&key, &e))?;
        let pair = KeyPair::from_pem(key_text).map_err(|e| damaged(&key, &e))?;
        let root_der = CertificateDer::from_pem_slice(&read(&root)?).map_err(|e| damaged(&root, &e))?;
        let issuing_der = CertificateDer::from_pem_slice(&read(&issuing)?).map_err(|e| damaged(&issuing, &e))?;
        let issuer = Issuer::from_ca_cert_der(&issuing_der, pair).map_err(|e| damaged(&issuing, &e))?;
        Ok(Self { root: root_der, issuing: issuing_der, issuer })
    }

    /// SHA-256 of the root's DER: what an enrolment token carries.
    pub fn sha256(&self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&digest::SHA256, &self.root).as_ref()); // SHA-256 is 32 bytes
        out
    }
    /// The root, which sensors and aggregators trust.
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }
    /// Intermediates, then the root.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.issuing.clone(), self.root.clone()]
    }

    /// A server's chain (root included, so that an enrolling sensor can find what its token pins) and key.
    ///
    /// # Errors
    /// [`CaError::Name`] for a name that is neither a DNS name nor an address.
    pub fn server(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), CaError> {
        let mut params = leaf(now, SERVER_DAYS, "Lagewarte aggregator")?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in names {
            params.subject_alt_names.push(san(name)?);
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let mut chain = vec![certificate.der().clone()];
        chain.extend(self.chain());
        Ok((chain, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))))
    }

    /// A sensor's certificate. Only the public key is taken from the request.
    ///
    /// # Errors
    /// [`CaError::Request`] where the request is too large, unsigned or not P-256.
    pub fn sensor(&self, csr: &[u8], sensor: Uuid, days: u32, now: Timestamp) -> Result<Issued, CaError> {
        if csr.len() > MAX_CSR {
            return Err(CaError::Request("larger than 8 KiB"));
        }
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr))
            .map_err(|_| CaError::Request("not a signed PKCS#10 request"))?;
        if request.public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(CaError::Request("the key is not P-256"));
        }
        let mut params = leaf(now, days.into(), "Lagewarte sensor")?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![SanType::URI(ia5(&format!("urn:uuid:{sensor}"))?)];
        let not_after = Timestamp::from_parts(params.not_after.unix_timestamp(), 0);
        let certificate = params.signed_by(&request.public_key, &self.issuer)?.der().clone();
        let serial = serial_hex(&certificate).ok_or(CaError::Request("its certificate cannot be read back"))?;
        Ok(Issued { certificate, serial, not_after })
    }
}

/// A certificate's serial number as the register keeps it: lower-case hex of its bytes.
pub(crate) fn serial_hex(der: &[u8]) -> Option<String> {
    let (_, cert) = x509_parser::parse_x509_certificate(der).ok()?;
    Some(hex::encode(cert.raw_serial()))
}

fn create(dir: &Path, now: Timestamp) -> Result<(), CaError> {
    let ca = |days, name: &str, length| -> Result<CertificateParams, CaError> {
        let mut params = leaf(now, days, name)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(params)
    };
    let root_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let root_params = ca(ROOT_DAYS, "Lagewarte root CA", 1)?;
    let root = root_params.self_signed(&root_key)?;
    let issuing_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let issuing = ca(ISSUING_DAYS, "Lagewarte issuing CA", 0)?
        .signed_by(&issuing_key, &Issuer::from_params(&root_params, &root_key))?;
    RealFs.ensure_dir(dir).map_err(|source| CaError::Io { path: dir.to_owned(), source })?;
    // The root's certificate last of what `load` looks for is not needed: any missing file is an error, never a new CA.
    for (name, content) in [
        ("root.key", root_key.serialize_pem()),
        ("issuing.key", issuing_key.serialize_pem()),
        ("issuing.pem", issuing.pem()),
        ("root.pem", root.pem()),
    ] {
        let path = dir.join(name);
        RealFs.replace(&path, content.as_bytes(), true).map_err(|source| CaError::Io { path, source })?;
    }
    tracing::info!(dir = %dir.display(), "made a new CA; back it up, and in production move root.key offline");
    Ok(())
}

fn leaf(now: Timestamp, days: i64, name: &str) -> Result<CertificateParams, CaError> {
    let now =
        OffsetDateTime::from_unix_timestamp(now.secs()).map_err(|_| CaError::Request("the clock is out of range"))?;
    let mut params = CertificateParams::default();
    params.not_before = now - BACKDATE;
    params.not_after = now + Duration::days(days);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| CaError::Request("the system gave no random numbers"))?;
    serial[0] = serial[0] & 0x7f | 0x40; // positive, and no leading zero to be lost in its text
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn san(name: &str) -> Result<SanType, CaError> {
    if let Ok(ip) = name.parse() {
        return Ok(SanType::IpAddress(ip));
    }
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    if !plain {
        return Err(CaError::Name(name.chars().take(80).collect()));
    }
    Ok(SanType::DnsName(ia5(name)?))
}

fn ia5(text: &str) -> Result<Ia5String, CaError> {
    Ok(Ia5String::try_from(text)?)
}

fn read(path: &Path) -> Result<Vec<u8>, CaError> {
    RealFs.read(path, 0, MAX_FILE).map_err(|source| CaError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_parts(1_800_000_000, 0)
    }

    #[test]
    fn the_ca_is_made_once_is_private_and_never_half_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let first = Ca::load_or_create(dir.path(), now()).unwrap().sha256();
        for name in ["root.key", "issuing.key"] {
            let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        std::fs::remove_file(dir.path().join("root.key")).unwrap(); // taken offline
        assert_eq!(Ca::load_or_create(dir.path(), now()).unwrap().sha256(), first, "the same CA again");
        std::fs::remove_file(dir.path().join("issuing.key")).unwrap();
        assert!(matches!(Ca::load_or_create(dir.path(), now()), Err(CaError::Incomplete(_))));
        std::fs::write(dir.path().join("issuing.key"), "rubbish").unwrap();
        assert!(matches!(Ca::load_or_create(dir.path(), now()), Err(CaError::Damaged { .. })));
    }

    #[test]
    fn a_request_decides_nothing_but_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Ca::load_or_create(dir.path(), now()).unwrap();
        let sensor = Uuid::from_u128(7);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut wish = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
        wish.subject_alt_names.push(SanType::URI(ia5(&format!("urn:uuid:{}", Uuid::from_u128(8))).unwrap()));
        wish.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let csr = wish.serialize_request(&key).unwrap();
        let issued = ca.sensor(csr.der(), sensor, 90, now()).unwrap();
        let peer = crate::tls::Peer::of(&issued.certificate).unwrap();
        assert_eq!((peer.sensor, &peer.serial), (sensor, &issued.serial));
        assert_eq!(peer.not_after, issued.not_after);
        let (_, cert) = x509_parser::parse_x509_certificate(&issued.certificate).unwrap();
        let usage = cert.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth && !cert.is_ca());
        let san = cert.subject_alternative_name().unwrap().unwrap();
        assert_eq!(san.value.general_names.len(), 1, "no name of the request's choosing");
    }

    #[test]
    fn bad_requests_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Ca::load_or_create(dir.path(), now()).unwrap();
        let refuse = |csr: &[u8]| {
            let got = ca.sensor(csr, Uuid::nil(), 90, now());
            assert!(matches!(got, Err(CaError::Request(_))), "{got:?} for {}", hex::encode(csr));
        };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let good = CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
        assert!(ca.sensor(&good, Uuid::nil(), 90, now()).is_ok());
        for n in 0..good.len() {
            refuse(&good[..n]);
            let mut bad = good.clone();
            bad[n] ^= 1; // breaks the structure or the proof of possession; the rest is padding that says nothing
            if let Ok(issued) = ca.sensor(&bad, Uuid::nil(), 90, now()) {
                let (_, cert) = x509_parser::parse_x509_certificate(&issued.certificate).unwrap();
                assert_eq!(cert.public_key().subject_public_key.data.as_ref(), key.public_key_raw(), "byte {n}");
            }
        }
        refuse(&vec![0; MAX_CSR + 1]);
        let other = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        refuse(CertificateParams::default().serialize_request(&other).unwrap().der());
    }

    #[test]
    fn names_of_a_server() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Ca::load_or_create(dir.path(), now()).unwrap();
        let names = |n: &[&str]| ca.server(&n.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>(), now());
        assert_eq!(names(&["cert.example", "192.0.2.1", "2001:db8::1"]).unwrap().0.len(), 3, "leaf, issuing, root");
        for bad in ["", "a b", "https://x", "ä.example"] {
            assert!(matches!(names(&[bad]), Err(CaError::Name(_))), "{bad}");
        }
    }
}
