// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The sensor's side of TLS: TLS 1.3 only, ring only, and no server is trusted but one that the enrolment CA signed for
//! the very name that is dialled.
//!
//! Must never offer a way to switch verification off. Limits: [`CONNECT_TIMEOUT`] for name, TCP and TLS together.

use std::{error::Error, io, sync::Arc, time::Duration};

use ring::digest;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring::default_provider, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint, Uri};

use crate::Proxy;

/// Longest time for name, TCP and TLS. Threat: a black hole on the way holding a connection attempt for ever.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a connection was not made. By whose fault: the network's, the server's, or our own configuration's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The address is not an `https://host:port`.
    #[error("{0:?} is not an address of the form https://host:port")]
    Url(String),
    /// Name or TCP failed.
    #[error("{host} cannot be reached: {reason}; check the network, the firewall (outbound TCP) and the name service")]
    Unreachable {
        /// host:port.
        host: String,
        /// The system's word.
        reason: String,
    },
    /// The proxy does not let us through.
    #[error("the proxy {proxy} gives no way out: {reason}; see lagewarte.uplink.proxy")]
    Proxy {
        /// host:port.
        proxy: String,
        /// What it, or the system, said.
        reason: String,
    },
    /// The server's certificate is for another name.
    #[error(
        "the server at {0} has a certificate for another name; the address is wrong, or something stands in between"
    )]
    WrongHost(String),
    /// The server's certificate does not come from the CA of the enrolment.
    #[error(
        "the server at {0} is not signed by the CERT's CA; do not go on: something stands in between, or the CA was replaced"
    )]
    Untrusted(String),
    /// The server's certificate is expired or not yet valid.
    #[error("the certificate of {0} is outside its validity; check this machine's clock, else tell the CERT")]
    ServerExpired(String),
    /// TLS failed otherwise.
    #[error("TLS with {host} failed: {reason}")]
    Tls {
        /// host:port.
        host: String,
        /// rustls' word.
        reason: String,
    },
}

/// `host`, `port` of an `https://host:port` address.
fn parse(url: &str) -> Result<(String, u16), ConnectError> {
    let bad = || ConnectError::Url(url.chars().take(200).collect());
    let uri: Uri = url.parse().map_err(|_| bad())?;
    if uri.scheme_str() != Some("https") {
        return Err(bad());
    }
    let host = uri.host().ok_or_else(bad)?.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok((host, uri.port_u16().unwrap_or(443)))
}

/// Dials, speaks TLS, and gives a gRPC channel over this one connection.
pub(crate) async fn channel(url: &str, config: ClientConfig, proxy: Option<&Proxy>) -> Result<Channel, ConnectError> {
    let (host, port) = parse(url)?;
    let at = authority(&host, port);
    let unreachable = |reason: String| ConnectError::Unreachable { host: at.clone(), reason };
    let name = ServerName::try_from(host.clone()).map_err(|_| ConnectError::Url(url.to_owned()))?;
    let dial = async {
        let tcp = match proxy {
            None => TcpStream::connect((host.as_str(), port)).await.map_err(|e| unreachable(e.to_string()))?,
            Some(proxy) => proxy.tunnel(&at).await?,
        };
        let _ = tcp.set_nodelay(true); // only latency is at stake
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(|e| explain(&at, &e))
    };
    let stream = match tokio::time::timeout(CONNECT_TIMEOUT, dial).await {
        Ok(done) => done?,
        Err(_) => return Err(unreachable(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
    };
    let lost = |e: tonic::transport::Error| ConnectError::Tls { host: at.clone(), reason: chain(&e) };
    // TLS is ours; for tonic it is a ready connection, to be used once.
    let endpoint = Endpoint::from_shared(format!("http://{}", authority(&host, port)))
        .map_err(lost)?
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        .keep_alive_while_idle(true);
    let mut once = Some(stream);
    let connector = tower::service_fn(move |_: Uri| {
        let stream = once.take().ok_or_else(|| io::Error::other("the connection has ended"));
        async move { stream.map(hyper_util::rt::TokioIo::<TlsStream<TcpStream>>::new) }
    });
    endpoint.connect_with_connector(connector).await.map_err(lost)
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn explain(at: &str, e: &io::Error) -> ConnectError {
    let host = at.to_owned();
    match e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(c)) => match c {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                ConnectError::WrongHost(host)
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => ConnectError::ServerExpired(host),
            CertificateError::UnknownIssuer | CertificateError::BadSignature => ConnectError::Untrusted(host),
            other => ConnectError::Tls { host, reason: format!("the server's certificate is refused: {other:?}") },
        },
        _ => ConnectError::Tls { host, reason: e.to_string() },
    }
}

/// An error and what caused it, in one line: tonic hides the cause that a person needs. A TLS alert of the server is
/// explained: in TLS 1.3 it refuses our certificate only after the handshake.
pub(crate) fn chain(e: &(dyn Error + 'static)) -> String {
    let mut text = match e.downcast_ref::<tonic::Status>() {
        Some(status) => status.message().to_owned(),
        None => e.to_string(),
    };
    let mut link = Some(e);
    while let Some(cause) = link {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let rustls = cause.downcast_ref::<rustls::Error>().or_else(|| inner?.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::AlertReceived(alert)) = rustls {
            return refused(&format!("{alert:?}"));
        }
        let words = cause.to_string();
        // h2 keeps of what ended the connection only the words, for the calls that it carried.
        if let Some((_, alert)) = words.split_once(ALERT) {
            return refused(alert.split_whitespace().next().unwrap_or_default());
        }
        if !cause.is::<tonic::Status>() && !text.contains(&words) {
            text = if text.is_empty() { words } else { format!("{text}: {words}") };
        }
        link = cause.source();
    }
    text
}

/// How rustls prints an alert; its name follows.
const ALERT: &str = "received fatal alert: ";

fn refused(alert: &str) -> String {
    if alert.ends_with("CertificateExpired") {
        "the aggregator refuses this sensor's certificate: it has expired; enrol again with a new token".into()
    } else {
        format!("the aggregator refuses this sensor's certificate ({alert}); ask the CERT")
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

fn finish(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// For the uplink: our certificate, and the root that the enrolment gave.
pub(crate) fn mutual(
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    root: CertificateDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(root)?;
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates, key)?;
    Ok(finish(config))
}

/// For the enrolment: no certificate yet, and the CA known by its SHA-256 out of the token.
pub(crate) fn pinned(ca_sha256: [u8; 32]) -> Result<ClientConfig, rustls::Error> {
    let algorithms = default_provider().signature_verification_algorithms;
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous() // the name is rustls'; PinnedCa verifies chain, name, time and signature
        .with_custom_certificate_verifier(Arc::new(PinnedCa { ca_sha256, algorithms }))
        .with_no_client_auth();
    Ok(finish(config))
}

/// Trusts a presented chain only where it holds a certificate with the pinned hash and verifies against exactly that one.
#[derive(Debug)]
struct PinnedCa {
    ca_sha256: [u8; 32],
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pinned = intermediates
            .iter()
            .find(|c| digest::digest(&digest::SHA256, c).as_ref() == self.ca_sha256)
            .ok_or(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(pinned.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|e| rustls::Error::General(e.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not offered".into()))
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_explained_however_it_arrives() {
        let expired = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateExpired);
        let foreign = rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA);
        for (alert, wanted) in [(expired, "expired; enrol"), (foreign, "certificate (UnknownCA)")] {
            let words = io::Error::other(alert.to_string()); // as h2 hands it on
            for e in [io::Error::new(io::ErrorKind::InvalidData, alert), words] {
                let said = chain(&e);
                assert!(said.contains(wanted), "{said}");
            }
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(parse("https://cert.example:7443"), Ok(("cert.example".into(), 7443)));
        assert_eq!(parse("https://[2001:db8::1]:7"), Ok(("2001:db8::1".into(), 7)));
        assert_eq!(parse("https://192.0.2.1"), Ok(("192.0.2.1".into(), 443)));
        for bad in ["", "http://x:1", "cert.example:1", "https://", "https://a b"] {
            assert_eq!(parse(bad), Err(ConnectError::Url(bad.into())), "{bad}");
        }
    }
}
