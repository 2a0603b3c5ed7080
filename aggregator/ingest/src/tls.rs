// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The aggregator's side of TLS: TLS 1.3 only (for foreign sensors 1.2 as well), ring only; who the peer is, read from its certificate.
//!
//! Must never take a sensor's word for its identity. Limits: [`HANDSHAKE`], [`MAX_CONNECTIONS`], [`MAX_HANDSHAKES`].

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use lagewarte_base::{id::Uuid, time::Timestamp};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring::default_provider},
    server::WebPkiClientVerifier,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;
use x509_parser::extensions::GeneralName;

use crate::{ca::serial_hex, metrics::Metrics};

/// Longest TLS handshake. Threat: connections that are opened and left half-done.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// Most connections of a listener: twice the municipalities of Bavaria. Threat: a flood of connections.
pub const MAX_CONNECTIONS: usize = 4_200;
/// How long, and how many reads of 4 KiB, a refused connection is still listened to. Threat: refused peers holding sockets.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_READS: usize = 16;
/// Most handshakes at once. Threat: asymmetric cryptography as an amplifier of a flood.
pub const MAX_HANDSHAKES: usize = 128;

/// Who is at the other end, by its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The sensor, from the URI SAN `urn:uuid:…`.
    pub sensor: Uuid,
    /// Serial number, lower-case hex.
    pub serial: String,
    /// End of the certificate: the connection ends then.
    pub not_after: Timestamp,
}

impl Peer {
    /// Reads it from a verified certificate; None where it names no sensor, or more than one.
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, cert) = x509_parser::parse_x509_certificate(der).ok()?;
        let san = cert.subject_alternative_name().ok()??;
        let mut uris = san.value.general_names.iter().filter_map(|n| match n {
            GeneralName::URI(u) => Some(*u),
            _ => None,
        });
        let (uri, more) = (uris.next()?, uris.next());
        let sensor = uri.strip_prefix("urn:uuid:").filter(|_| more.is_none())?.parse().ok()?;
        let not_after = Timestamp::from_parts(cert.validity().not_after.timestamp(), 0);
        Some(Self { sensor, serial: serial_hex(der)?, not_after })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// For the uplink: a client certificate of our CA is required.
pub(crate) fn mutual((chain, key): Chain, root: CertificateDer<'static>) -> Result<ServerConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(root)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|e| rustls::Error::General(e.to_string()))?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    Ok(finish(config))
}

/// For foreign sensors: a client certificate of our CA is taken, and asked for, where there is one. Also TLS 1.2, for the
/// shippers of older systems: rustls offers only ECDHE with AES-GCM or ChaCha20-Poly1305.
pub(crate) fn optional((chain, key): Chain, root: CertificateDer<'static>) -> Result<ServerConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(root)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|e| rustls::Error::General(e.to_string()))?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    let mut config = finish(config);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// For the enrolment: the caller has no certificate yet.
pub(crate) fn server_only((chain, key): Chain) -> Result<ServerConfig, rustls::Error> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(finish(config))
}

fn finish(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![b"h2".to_vec()];
    // No resumption: each connection shows its certificate anew, so that an expired or revoked one is seen.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

/// An accepted connection; counted until it is dropped.
pub(crate) struct Accepted {
    stream: TlsStream<TcpStream>,
    peer: Option<Peer>,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Accepted {
    type ConnectInfo = Option<Peer>;
    fn connect_info(&self) -> Option<Peer> {
        self.peer.clone()
    }
}

impl AsyncRead for Accepted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// How many at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) connections: usize,
    pub(crate) handshakes: usize,
}

/// The bounds in force.
pub(crate) const BOUNDS: Bounds = Bounds { connections: MAX_CONNECTIONS, handshakes: MAX_HANDSHAKES };

/// Accepts until the receiver is dropped.
pub(crate) async fn accept(
    listener: TcpListener,
    config: ServerConfig,
    name: &'static str,
    bounds: Bounds,
    metrics: Arc<Metrics>,
    accepted: mpsc::Sender<io::Result<Accepted>>,
) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let connections = Arc::new(Semaphore::new(bounds.connections));
    let handshakes = Arc::new(Semaphore::new(bounds.handshakes));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        let Ok(handshake) = Arc::clone(&handshakes).acquire_owned().await else { return };
        let incoming = tokio::select! {
            incoming = listener.accept() => incoming,
            () = accepted.closed() => return,
        };
        let (tcp, from) = match incoming {
            Ok(pair) => pair,
            Err(e) => {
                // Out of file descriptors, or reset before it was ours: neither ends the service.
                tracing::warn!(listener = name, error = %e, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = tcp.set_nodelay(true); // only latency is at stake
        let (acceptor, accepted, metrics) = (acceptor.clone(), accepted.clone(), Arc::clone(&metrics));
        tokio::spawn(async move {
            let done = tokio::time::timeout(HANDSHAKE, acceptor.accept(tcp).into_fallible()).await;
            drop(handshake);
            match done {
                Ok(Ok(stream)) => {
                    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                    let peer = certificate.and_then(|c| Peer::of(c));
                    let _ = accepted.send(Ok(Accepted { stream, peer, _permit: permit })).await; // the server is stopping
                }
                Ok(Err((e, tcp))) => {
                    refused(name, from, &e.to_string(), &metrics);
                    linger(tcp).await;
                }
                Err(_) => refused(name, from, "no TLS handshake in time", &metrics),
            }
        });
    }
}

/// Closes a refused connection so that the peer reads the alert that says why: closed at once, with its next bytes unread,
/// the kernel would reset it and the alert be lost.
async fn linger(mut tcp: TcpStream) {
    let mut bytes = [0; 4096];
    let read = async {
        tcp.shutdown().await?;
        for _ in 0..LINGER_READS {
            if tcp.read(&mut bytes).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER, read).await; // whatever happens, it is closed behind this
}

fn refused(listener: &'static str, from: SocketAddr, why: &str, metrics: &Metrics) {
    metrics.handshakes_refused.with_label_values(&[listener]).inc();
    tracing::info!(listener, %from, why, "TLS refused");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ca;

    /// A listener without client certificates, its address, and what it accepts.
    async fn listening(bounds: Bounds) -> (SocketAddr, mpsc::Receiver<io::Result<Accepted>>, rustls::ClientConfig) {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from(std::time::SystemTime::now());
        let ca = Ca::load_or_create(dir.path(), now).unwrap();
        let config = server_only(ca.server(&["localhost".to_owned()], now).unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Arc::new(Metrics::new(&prometheus::Registry::new()).unwrap());
        let (send, receive) = mpsc::channel(8);
        tokio::spawn(accept(listener, config, "uplink", bounds, metrics, send));
        let mut roots = RootCertStore::empty();
        roots.add(ca.root().clone()).unwrap();
        let client = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (address, receive, client)
    }

    async fn dial(address: SocketAddr, client: &rustls::ClientConfig) -> tokio_rustls::client::TlsStream<TcpStream> {
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(client.clone())).connect(name, tcp).await.unwrap()
    }

    #[tokio::test]
    async fn no_more_connections_than_the_bound() {
        let (address, mut accepted, client) = listening(Bounds { connections: 2, handshakes: 8 }).await;
        let (_a, _b) = (dial(address, &client).await, dial(address, &client).await);
        let held = (accepted.recv().await.unwrap().unwrap(), accepted.recv().await.unwrap().unwrap());
        let third = tokio::spawn({
            let client = client.clone();
            async move { dial(address, &client).await }
        });
        let early = tokio::time::timeout(Duration::from_millis(500), accepted.recv()).await;
        assert!(early.is_err() && !third.is_finished(), "the third waits in the kernel's queue");
        drop(held.0);
        accepted.recv().await.unwrap().unwrap();
        third.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn silent_handshakes_are_bounded_and_end() {
        let (address, mut accepted, client) = listening(Bounds { connections: 8, handshakes: 1 }).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        // The clock is paused: it moves on to the handshake's limit when nothing else can happen.
        assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0, "closed after the limit");
        let dialled = tokio::spawn(async move { dial(address, &client).await });
        accepted.recv().await.unwrap().unwrap();
        dialled.await.unwrap();
    }
}
