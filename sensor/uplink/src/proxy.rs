// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The way out through an HTTP proxy: CONNECT, with a user name and a password (Basic) where it wants them.
//!
//! TLS goes through the tunnel end to end: a proxy sees the aggregator's name and the amount, nothing else, and cannot
//! stand in for the aggregator. Must never log the password. Limits: the answer's head has at most 8 KiB (hyper-util).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper_util::{client::legacy::connect::proxy::Tunnel, rt::TokioIo};
use tokio::net::TcpStream;
use tonic::{codegen::http::HeaderValue, transport::Uri};
use tower::Service as _;

use crate::ConnectError;

/// An HTTP proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    authorization: Option<String>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self}{})", if self.authorization.is_some() { ", with a password" } else { "" })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A text that names no proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// The address.
    #[error("{0:?} is no proxy: http://HOST:PORT is wanted")]
    Address(String),
    /// Credentials in the address would stand in process lists and logs.
    #[error("the proxy's user and password do not belong into its address; put user:password into a file of its own")]
    Credentials,
    /// The credentials.
    #[error("user:password on one line is wanted, without control characters")]
    Authorization,
}

impl Proxy {
    /// `http://HOST:PORT`; and `user:password` where the proxy wants it.
    ///
    /// # Errors
    /// [`ProxyError`].
    pub fn new(address: &str, credentials: Option<&str>) -> Result<Self, ProxyError> {
        let bad = || ProxyError::Address(address.chars().take(200).collect());
        if address.contains('@') {
            return Err(ProxyError::Credentials);
        }
        let uri: Uri = address.parse().map_err(|_| bad())?;
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if uri.scheme_str() != Some("http") || !bare {
            return Err(bad());
        }
        let host = uri.host().filter(|h| !h.is_empty()).ok_or_else(bad)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().ok_or_else(bad)?; // there is no default that most proxies share
        let authorization = credentials.map(|c| {
            let c = c.trim_end_matches(['\r', '\n']);
            let fine = c.split_once(':').is_some_and(|(user, _)| !user.is_empty()) && !c.chars().any(char::is_control);
            fine.then(|| format!("Basic {}", STANDARD.encode(c))).ok_or(ProxyError::Authorization)
        });
        Ok(Self { host, port, authorization: authorization.transpose()? })
    }

    /// A tunnel to `host:port`.
    pub(crate) async fn tunnel(&self, to: &str) -> Result<TcpStream, ConnectError> {
        let failed = |reason: String| ConnectError::Proxy { proxy: self.to_string(), reason };
        let dial = tower::service_fn(|uri: Uri| async move {
            let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
            TcpStream::connect((host, uri.port_u16().unwrap_or_default())).await.map(TokioIo::new)
        });
        let own: Uri = format!("http://{self}").parse().map_err(|_| failed("its address cannot be used".into()))?;
        let wanted: Uri = format!("http://{to}").parse().map_err(|_| ConnectError::Url(to.to_owned()))?;
        let mut tunnel = Tunnel::new(own, dial);
        if let Some(a) = &self.authorization {
            let value = HeaderValue::from_str(a).map_err(|_| failed("its password cannot be used".into()))?;
            tunnel = tunnel.with_auth(value);
        }
        match tunnel.call(wanted).await {
            Ok(stream) => Ok(stream.into_inner()),
            Err(e) => {
                let e: &(dyn std::error::Error + 'static) = &e;
                let reason = crate::tls::chain(e);
                // The library's error cannot be named outside of it, but printed.
                Err(failed(if reason.contains("authorization required") {
                    "it wants a user and a password, or other ones (407)".into()
                } else if reason.contains("unsuccessful") {
                    // Its code is not told; some answer a wrong password with 401, a port that is not allowed with 403.
                    format!(
                        "it does not open a way to {to}: user and password are wrong, or it does not allow that port"
                    )
                } else {
                    reason
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_credentials() {
        let p = Proxy::new("http://proxy.example:3128", Some("hof:geheim:nis\n")).expect("a proxy");
        assert_eq!(p.to_string(), "proxy.example:3128");
        assert_eq!(p.authorization.as_deref(), Some("Basic aG9mOmdlaGVpbTpuaXM=")); // RFC 7617: base64(user ":" password)
        assert!(!format!("{p:?}").contains("aG9m"), "no password in a log");
        assert_eq!(Proxy::new("http://[2001:db8::1]:80/", None).expect("a proxy").to_string(), "[2001:db8::1]:80");
        for bad in ["", "proxy", "proxy:3128", "https://proxy:3128", "http://proxy", "http://proxy:1/x", "http://:3128"]
        {
            assert_eq!(Proxy::new(bad, None), Err(ProxyError::Address(bad.into())), "{bad}");
        }
        assert_eq!(Proxy::new("http://a:b@proxy:1", None), Err(ProxyError::Credentials));
        for bad in ["", "user", ":password", "a:b\nc"] {
            assert_eq!(Proxy::new("http://p:1", Some(bad)), Err(ProxyError::Authorization), "{bad}");
        }
    }
}
