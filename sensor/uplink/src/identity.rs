// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The sensor's identity on disk: key, certificate, chain and what the enrolment said.
//!
//! `identity/{key.pem,certificate.pem,chain.pem,enrolment.json}`; the certificate is written last, so that an identity is
//! whole or not there. Must never log the key, nor write it readable for others. Limits: [`MAX_FILE`].

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use lagewarte_base::{
    fs::{Fs as _, RealFs},
    id::Uuid,
    time::Timestamp,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};

use crate::tls;

/// Largest identity file read. Threat: a wrong path (a device, a dump) filling the memory.
const MAX_FILE: usize = 64 << 10;

/// What the enrolment said (enrolment.json).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// This sensor.
    pub sensor: Uuid,
    /// `https://host:port` of the uplink.
    pub uplink_url: String,
    /// Seconds between health events that the register expects.
    pub interval_s: u32,
}

/// A loaded identity.
pub struct Identity {
    enrolment: Enrolment,
    not_after: Timestamp,
    certificates: Vec<CertificateDer<'static>>,
    root: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("enrolment", &self.enrolment)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is none.
    #[error("this sensor is not enrolled (no {0}); ask the CERT for a token and run: lagewarte-sensor enrol TOKEN")]
    Missing(PathBuf),
    /// A file cannot be read or written.
    #[error("identity file {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A file's content is not what it should be.
    #[error("identity file {path} is damaged ({what}); enrol again with a new token")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl Identity {
    /// Reads the identity in `dir`.
    ///
    /// # Errors
    /// Where it is missing, unreadable or damaged.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let read = |name: &str| {
            let path = dir.join(name);
            match RealFs.read(&path, 0, MAX_FILE) {
                Ok(bytes) => Ok((path, bytes)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => Err(IdentityError::Missing(path)),
                Err(source) => Err(IdentityError::Io { path, source }),
            }
        };
        let (path, bytes) = read("certificate.pem")?;
        let damaged = |path: &Path, what: &dyn fmt::Display| IdentityError::Damaged {
            path: path.to_owned(),
            what: what.to_string(),
        };
        let own = CertificateDer::from_pem_slice(&bytes).map_err(|e| damaged(&path, &e))?;
        let not_after = not_after(&own).ok_or_else(|| damaged(&path, &"not a certificate"))?;
        let (path, bytes) = read("chain.pem")?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let mut chain = chain.map_err(|e| damaged(&path, &e))?;
        let root = chain.pop().ok_or_else(|| damaged(&path, &"no certificate in it"))?;
        let (path, bytes) = read("key.pem")?;
        let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|e| damaged(&path, &e))?;
        let (path, bytes) = read("enrolment.json")?;
        let enrolment = serde_json::from_slice(&bytes).map_err(|e| damaged(&path, &e))?;
        let certificates = std::iter::once(own).chain(chain).collect();
        let identity = Self { enrolment, not_after, certificates, root, key };
        identity.tls().map_err(|e| damaged(&dir.join("key.pem"), &e))?; // key and certificate belong together
        Ok(identity)
    }

    /// What the enrolment said.
    pub fn enrolment(&self) -> &Enrolment {
        &self.enrolment
    }
    /// When the certificate ends.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    pub(crate) fn tls(&self) -> Result<rustls::ClientConfig, rustls::Error> {
        tls::mutual(self.certificates.clone(), self.key.clone_key(), self.root.clone())
    }

    /// Writes a new identity, the certificate last.
    pub(crate) fn save(
        dir: &Path,
        key_pem: &str,
        certificate: &[u8],
        chain: &[Vec<u8>],
        enrolment: &Enrolment,
    ) -> Result<(), IdentityError> {
        let pem = |der: &[u8]| pem::encode(&pem::Pem::new("CERTIFICATE", der));
        let json = serde_json::to_string_pretty(enrolment).unwrap_or_default(); // three plain fields cannot fail
        let chain: String = chain.iter().map(|c| pem(c)).collect();
        RealFs.ensure_dir(dir).map_err(|source| IdentityError::Io { path: dir.to_owned(), source })?;
        for (name, content) in [
            ("key.pem", key_pem),
            ("chain.pem", &chain),
            ("enrolment.json", &json),
            ("certificate.pem", &pem(certificate)),
        ] {
            let path = dir.join(name);
            let written = RealFs.replace(&path, content.as_bytes(), true);
            written.map_err(|source| IdentityError::Io { path, source })?;
        }
        Ok(())
    }
}

/// End of a certificate's validity; None where it is no certificate.
pub(crate) fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (_, cert) = x509_parser::parse_x509_certificate(der).ok()?;
    Some(Timestamp::from_parts(cert.validity().not_after.timestamp(), 0))
}
