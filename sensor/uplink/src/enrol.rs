// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Enrolment: a one-time token becomes an identity. The key is made here and never leaves.
//!
//! The token names the server's CA by SHA-256, so that the very first connection is already verified. Must never write an
//! identity that does not fit its key, or touch an existing one. Limits: [`REPLY_TIMEOUT`], [`MAX_REPLY`].

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lagewarte_base::{id::Uuid, token::EnrolmentToken};
use lagewarte_event::{EnrolReply, EnrolRequest, enrolment_client::EnrolmentClient};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use ring::digest;
use x509_parser::{extensions::GeneralName, prelude::X509Certificate};

use crate::{ConnectError, Enrolment, Identity, IdentityError, Proxy, tls};

/// Longest wait for the reply. Threat: a server that accepts and never answers.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest reply read. Threat: a server filling the sensor's memory.
const MAX_REPLY: usize = 64 << 10;

/// Why an enrolment failed. Nothing was written then, except after [`EnrolError::Identity`].
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// There is an identity already.
    #[error("this sensor is already enrolled ({0}); to enrol it anew, move that directory away first")]
    AlreadyEnrolled(PathBuf),
    /// No verified connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The token was used before.
    #[error(
        "this token was already used; each token enrols once. Ask the CERT for a new one; if it was not you, say so"
    )]
    TokenUsed,
    /// The token is too old.
    #[error("this token has expired; ask the CERT for a new one")]
    TokenExpired,
    /// The aggregator does not know the token.
    #[error("the aggregator does not know this token; it may have been withdrawn. Ask the CERT for a new one")]
    TokenUnknown,
    /// The aggregator refuses otherwise.
    #[error("the aggregator refused the enrolment: {0}")]
    Refused(String),
    /// The reply does not fit the request.
    #[error("the aggregator's reply is not usable ({0}); nothing was written. Tell the CERT")]
    Reply(&'static str),
    /// The key could not be made.
    #[error("the sensor's key could not be made: {0}")]
    Key(String),
    /// The identity could not be written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Makes a P-256 key, has it certified at the token's address, and writes the identity to `dir` (files mode 0600).
///
/// # Errors
/// [`EnrolError`], each with what to do.
pub async fn enrol(token: &EnrolmentToken, dir: &Path) -> Result<Enrolment, EnrolError> {
    enrol_through(token, dir, None).await
}

/// The same through a proxy.
///
/// # Errors
/// [`EnrolError`], each with what to do.
pub async fn enrol_through(token: &EnrolmentToken, dir: &Path, proxy: Option<&Proxy>) -> Result<Enrolment, EnrolError> {
    let certificate = dir.join("certificate.pem");
    if certificate.exists() {
        return Err(EnrolError::AlreadyEnrolled(dir.to_owned()));
    }
    let failed = |e: rcgen::Error| EnrolError::Key(e.to_string());
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let csr = CertificateParams::default().serialize_request(&key).map_err(failed)?;
    let config = tls::pinned(token.ca_sha256).map_err(|e| EnrolError::Key(e.to_string()))?;
    let channel = tls::channel(&token.url, config, proxy).await?;
    let request = EnrolRequest { secret: URL_SAFE_NO_PAD.encode(token.secret), csr_der: csr.der().to_vec() };
    let mut client = EnrolmentClient::new(channel).max_decoding_message_size(MAX_REPLY);
    let reply = tokio::time::timeout(REPLY_TIMEOUT, client.enrol(request))
        .await
        .map_err(|_| EnrolError::Refused(format!("no reply within {} s", REPLY_TIMEOUT.as_secs())))?
        .map_err(|status| refusal(&status))?
        .into_inner();
    let enrolment = check(&reply, &key, token)?;
    Identity::save(dir, &key.serialize_pem(), &reply.certificate_der, &reply.chain_der, &enrolment)?;
    Ok(enrolment)
}

/// The enrolment service's codes, as `aggregator/ingest` gives them.
fn refusal(status: &tonic::Status) -> EnrolError {
    match status.code() {
        tonic::Code::AlreadyExists => EnrolError::TokenUsed,
        tonic::Code::FailedPrecondition => EnrolError::TokenExpired,
        tonic::Code::NotFound => EnrolError::TokenUnknown,
        _ => EnrolError::Refused(tls::chain(status)),
    }
}

fn check(reply: &EnrolReply, key: &KeyPair, token: &EnrolmentToken) -> Result<Enrolment, EnrolError> {
    let sensor: Uuid = reply.sensor.parse().map_err(|_| EnrolError::Reply("the sensor's id is no UUID"))?;
    let (_, cert) = x509_parser::parse_x509_certificate(&reply.certificate_der)
        .map_err(|_| EnrolError::Reply("the certificate cannot be read"))?;
    if cert.public_key().subject_public_key.data.as_ref() != key.der_bytes() {
        return Err(EnrolError::Reply("the certificate is for another key"));
    }
    if !names(&cert, sensor) {
        return Err(EnrolError::Reply("the certificate is for another sensor"));
    }
    let root = reply.chain_der.last().ok_or(EnrolError::Reply("the chain is missing"))?;
    if digest::digest(&digest::SHA256, root).as_ref() != token.ca_sha256 {
        return Err(EnrolError::Reply("the chain does not end at the token's CA"));
    }
    Ok(Enrolment { sensor, uplink_url: reply.uplink_url.clone(), interval_s: reply.interval_s.clamp(1, 3600) })
}

fn names(cert: &X509Certificate<'_>, sensor: Uuid) -> bool {
    let wanted = format!("urn:uuid:{sensor}");
    let san = cert.subject_alternative_name().ok().flatten();
    san.is_some_and(|san| san.value.general_names.iter().any(|n| matches!(n, GeneralName::URI(u) if *u == wanted)))
}
