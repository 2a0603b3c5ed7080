// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Section `mail` of the aggregator's configuration.
//!
//! Must never send a warning over an unencrypted line to another host by accident: that has to be allowed by name.

use std::{net::IpAddr, path::PathBuf};

use lettre::message::Mailbox;
use serde::Deserialize;

/// Section `mail`; without it no mail is sent, and mails wait in the queue.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MailConfig {
    /// The mail server: `smtp+starttls://HOST:587`, `smtps://HOST:465`, or `smtp://127.0.0.1:25` without encryption.
    pub smtp: String,
    /// Sender: `warnung@cert.example.de` or `Landes-CERT <warnung@cert.example.de>`.
    pub from: String,
    /// User name at the mail server, where it wants one.
    #[serde(default)]
    pub user: Option<String>,
    /// File that holds the password, readable by the aggregator only.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// PEM file of the CA of the mail server, where it is not a public one.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Allows `smtp://` to a host that is not this one.
    #[serde(default)]
    pub allow_plain: bool,
    /// How often a mail is tried before it is given up: 15 s, 30 s, 1 min, … at most an hour apart.
    #[serde(default = "attempts")]
    pub attempts: u32,
}

fn attempts() -> u32 {
    12
}

/// How the line to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    None,
    /// STARTTLS, required.
    StartTls,
    /// TLS from the first byte.
    Implicit,
}

/// A mail server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Protection.
    pub tls: Tls,
}

/// What is wrong with section `mail`, and what would be right.
#[derive(Debug, thiserror::Error)]
#[error("mail.{key}: {what}")]
pub struct MailConfigError {
    /// Which key.
    pub key: &'static str,
    /// What is wrong.
    pub what: String,
}

impl MailConfig {
    /// The mail server's address.
    ///
    /// # Errors
    /// Where it is none, or unencrypted to another host without `allow-plain`.
    pub fn server(&self) -> Result<Smtp, MailConfigError> {
        let fault = |what: String| MailConfigError { key: "smtp", what };
        let form = "smtp+starttls://HOST:587, smtps://HOST:465 or smtp://127.0.0.1:25 is wanted";
        let (scheme, rest) = self.smtp.split_once("://").ok_or_else(|| fault(format!("{:?}: {form}", self.smtp)))?;
        let (tls, default) = match scheme {
            "smtp" => (Tls::None, 25),
            "smtp+starttls" => (Tls::StartTls, 587),
            "smtps" => (Tls::Implicit, 465),
            other => return Err(fault(format!("{other}:// is not known; {form}"))),
        };
        if rest.contains('@') {
            return Err(fault("holds a user; write mail.user and mail.password-file".into()));
        }
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':').filter(|(h, _)| !h.contains(':') || h.ends_with(']')) {
            Some((host, port)) => (host, port.parse().map_err(|_| fault(format!("{port:?} is no port; {form}")))?),
            None => (rest, default),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(fault(form.into()));
        }
        let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if tls == Tls::None && !here && !self.allow_plain {
            let what = format!("{host} would get warnings unencrypted; use smtp+starttls:// or set mail.allow-plain");
            return Err(fault(what));
        }
        Ok(Smtp { host, port, tls })
    }

    /// The sender.
    ///
    /// # Errors
    /// Where it is no mail address.
    pub fn sender(&self) -> Result<Mailbox, MailConfigError> {
        self.from
            .parse()
            .map_err(|e| MailConfigError { key: "from", what: format!("{:?} is no mail address: {e}", self.from) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> MailConfig {
        serde_yaml_ng::from_str(&format!("from: a@b.example\n{yaml}")).expect("a test's own YAML")
    }

    #[test]
    fn servers_are_read_and_plain_lines_to_others_are_refused() {
        let smtp = |host: &str, port, tls| Smtp { host: host.into(), port, tls };
        for (url, want) in [
            ("smtp://127.0.0.1:2525", smtp("127.0.0.1", 2525, Tls::None)),
            ("smtp://localhost", smtp("localhost", 25, Tls::None)),
            ("smtp://[::1]:26", smtp("::1", 26, Tls::None)),
            ("smtp+starttls://mail.example.de", smtp("mail.example.de", 587, Tls::StartTls)),
            ("smtps://mail.example.de:4465/", smtp("mail.example.de", 4465, Tls::Implicit)),
        ] {
            assert_eq!(config(&format!("smtp: '{url}'")).server().unwrap(), want, "{url}");
        }
        for (url, want) in [
            ("mail.example.de", "mail.smtp: \"mail.example.de\": smtp+starttls://HOST:587"),
            ("http://mail.example.de", "mail.smtp: http:// is not known"),
            ("smtp://", "mail.smtp: smtp+starttls://HOST:587"),
            ("smtps://h:x", "mail.smtp: \"x\" is no port"),
            ("smtps://u:p@h", "mail.smtp: holds a user"),
            ("smtp://192.0.2.1:25", "mail.smtp: 192.0.2.1 would get warnings unencrypted"),
        ] {
            let e = config(&format!("smtp: '{url}'")).server().unwrap_err().to_string();
            assert!(e.starts_with(want), "{url}: {e}");
        }
        assert!(
            config(
                "{smtp: 'smtp://192.0.2.1', allow-plain: true}".trim_matches(['{', '}']).replace(", ", "\n").as_str()
            )
            .server()
            .is_ok()
        );
        let bad = MailConfig { from: "not a mail".into(), ..config("smtp: 'smtp://localhost'") };
        assert!(bad.sender().unwrap_err().to_string().starts_with("mail.from: \"not a mail\""));
        assert!(serde_yaml_ng::from_str::<MailConfig>("{smtp: x, from: y, smpt: z}").is_err(), "unknown key");
    }
}
