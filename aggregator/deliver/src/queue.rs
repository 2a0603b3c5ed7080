// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Works off the queue of mails: claim, send, note. At least once; the Message-ID is the same each time.
//!
//! Must never lose a mail without a reason in its row. Limits: [`PARALLEL`] mails claimed and sent at once, each at most
//! [`SEND_TIMEOUT`], so that a claim of [`CLAIM_US`] outlives its sending; what a dead aggregator had claimed is given back
//! when it starts again.

use std::{fs, sync::Arc, time::Duration};

use lagewarte_base::clock::Clock;
use lagewarte_store::{
    Scope,
    control::{Control, ControlError, deliveries::Delivery},
};
use lagewarte_warn::{CertContact, Links};
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor,
    message::Mailbox,
    transport::smtp::{
        PoolConfig,
        authentication::Credentials,
        client::{Certificate, Tls as LettreTls, TlsParameters},
    },
};
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::task::JoinSet;

use crate::{MailConfig, MailConfigError, Tls, compose};

/// Most mails claimed and sent at the same time: small mail servers count connections.
const PARALLEL: u32 = 4;
/// Longest time for one mail. Threat: a mail server that accepts and then says nothing.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a claim holds: longer than any mail takes.
const CLAIM_US: i64 = 90 * 1_000_000;
/// Most rounds of [`PARALLEL`] in one step: a step ends, so that a stop is seen.
const ROUNDS: u32 = 50;
/// First pause after a failure; doubled each time up to [`LONGEST_PAUSE_S`].
const FIRST_PAUSE_S: i64 = 15;
const LONGEST_PAUSE_S: i64 = 3600;

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailStep {
    /// The mail server took them.
    pub sent: u32,
    /// Will be tried again.
    pub retried: u32,
    /// Given up.
    pub failed: u32,
}

/// Sends the queued mails. Cheap to clone.
#[derive(Clone)]
pub struct Mailer {
    control: Control,
    links: Links,
    contact: CertContact,
    from: Mailbox,
    smtp: AsyncSmtpTransport<Tokio1Executor>,
    attempts: i64,
    clock: Arc<dyn Clock>,
    owner: String,
    mails: IntCounterVec,
}

enum Outcome {
    Sent,
    Later(String),
    Never(String),
}

impl Mailer {
    /// Over the queue in `control`; counts into `registry`. `owner` names this aggregator, the same after a restart.
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// Where the section `mail` cannot work, with the key and what would be right.
    pub fn new(
        control: Control,
        config: &MailConfig,
        links: Links,
        contact: CertContact,
        clock: Arc<dyn Clock>,
        owner: &str,
        registry: &Registry,
    ) -> Result<Self, MailConfigError> {
        let server = config.server()?;
        let from = config.sender()?;
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
            .port(server.port)
            .timeout(Some(SEND_TIMEOUT))
            .pool_config(PoolConfig::new().max_size(PARALLEL));
        if server.tls != Tls::None {
            let mut tls = TlsParameters::builder(server.host.clone());
            if let Some(path) = &config.ca_file {
                let fault = |e: String| MailConfigError { key: "ca-file", what: format!("{}: {e}", path.display()) };
                let pem = fs::read(path).map_err(|e| fault(e.to_string()))?;
                tls = tls.add_root_certificate(Certificate::from_pem(&pem).map_err(|e| fault(e.to_string()))?);
            }
            let tls = tls.build().map_err(|e| MailConfigError { key: "smtp", what: e.to_string() })?;
            builder = builder.tls(match server.tls {
                Tls::Implicit => LettreTls::Wrapper(tls),
                _ => LettreTls::Required(tls),
            });
        }
        match (&config.user, &config.password_file) {
            (Some(user), Some(path)) => {
                let password = fs::read_to_string(path)
                    .map_err(|e| MailConfigError { key: "password-file", what: format!("{}: {e}", path.display()) })?;
                builder = builder.credentials(Credentials::new(user.clone(), password.trim_end().to_owned()));
            }
            (None, None) => {}
            (Some(_), None) => {
                return Err(MailConfigError { key: "password-file", what: "is missing beside mail.user".into() });
            }
            (None, Some(_)) => {
                return Err(MailConfigError { key: "user", what: "is missing beside mail.password-file".into() });
            }
        }
        let fault = |e: prometheus::Error| MailConfigError { key: "smtp", what: format!("metrics: {e}") };
        let opts =
            Opts::new("lagewarte_mails_total", "Attempts to hand a warning's mail to the mail server, by result");
        let mails = IntCounterVec::new(opts, &["result"]).map_err(fault)?;
        registry.register(Box::new(mails.clone())).map_err(fault)?;
        for result in ["sent", "retried", "failed"] {
            mails.with_label_values(&[result]); // present from the start, as 0
        }
        let attempts = i64::from(config.attempts.max(1));
        Ok(Self {
            control,
            links,
            contact,
            from,
            smtp: builder.build(),
            attempts,
            clock,
            owner: owner.to_owned(),
            mails,
        })
    }

    /// Gives back what this aggregator had claimed when it ended; call it once at the start.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn recover(&self) -> Result<u64, ControlError> {
        self.control.release_claims(&self.owner, self.clock.now().micros()).await
    }

    /// Sends what is due.
    ///
    /// # Errors
    /// Where the database does not answer. Mails already handed over may then come again, under the same Message-ID.
    pub async fn step(&self) -> Result<MailStep, ControlError> {
        let mut step = MailStep::default();
        for _ in 0..ROUNDS {
            let now = self.clock.now().micros();
            let claimed = self.control.claim_mails(&self.owner, now, now.saturating_add(CLAIM_US), PARALLEL).await?;
            if claimed.is_empty() {
                break;
            }
            let mut running = JoinSet::new();
            for d in claimed {
                let mailer = self.clone();
                running.spawn(async move {
                    let outcome = mailer.send(&d).await;
                    (d, outcome)
                });
            }
            while let Some(done) = running.join_next().await {
                // A task that was cancelled leaves its claim: the mail is due again when it ends.
                let Ok((d, outcome)) = done else { continue };
                self.note(&d, outcome?, &mut step).await?;
            }
        }
        Ok(step)
    }

    async fn note(&self, d: &Delivery, outcome: Outcome, step: &mut MailStep) -> Result<(), ControlError> {
        let now = self.clock.now().micros();
        let (result, error, next) = match outcome {
            Outcome::Sent => {
                self.control.mail_delivered(d.id, now).await?;
                step.sent += 1;
                self.mails.with_label_values(&["sent"]).inc();
                return Ok(());
            }
            Outcome::Later(e) if d.attempts < self.attempts => {
                step.retried += 1;
                ("retried", e, Some(now.saturating_add(retry_after_us(d.attempts))))
            }
            Outcome::Later(e) | Outcome::Never(e) => {
                step.failed += 1;
                ("failed", e, None)
            }
        };
        tracing::warn!(delivery = %d.id, constituent = %d.constituent, attempt = d.attempts, result, error, "mail");
        self.mails.with_label_values(&[result]).inc();
        self.control.mail_failed(d.id, &error, next, now).await
    }

    async fn send(&self, d: &Delivery) -> Result<Outcome, ControlError> {
        let scope = Scope::Constituent(d.constituent.clone());
        let found = self.control.warning(&scope, d.warning).await?;
        let Some((warning, own)) = found.as_ref().and_then(|w| w.addressed.first().map(|a| (w, a))) else {
            return Ok(Outcome::Never("the warning is not released to this constituent".into()));
        };
        let to = self.control.constituent(&d.constituent).await?;
        let message = match compose(d, warning, own, &to, &self.from, &self.links, &self.contact) {
            Ok(m) => m,
            Err(why) => return Ok(Outcome::Never(why)),
        };
        Ok(match tokio::time::timeout(SEND_TIMEOUT, self.smtp.send(message)).await {
            Ok(Ok(_)) => Outcome::Sent,
            Err(_) => Outcome::Later(format!("no answer within {} s", SEND_TIMEOUT.as_secs())),
            Ok(Err(e)) => {
                let code = e.status().map(|c| c.to_string());
                // Only answers about this mailbox are final (RFC 5321, 4.2.3). 5xx about the session (login, policy,
                // 554) may be our own mistake in the configuration, and a warning must survive that.
                match code.as_deref() {
                    Some("550" | "551" | "552" | "553" | "556") => Outcome::Never(e.to_string()),
                    _ => Outcome::Later(e.to_string()),
                }
            }
        })
    }
}

/// How long to wait after the nth attempt failed, in microseconds: 15 s, doubled each time, an hour at most.
pub fn retry_after_us(attempt: i64) -> i64 {
    let doublings = u32::try_from(attempt.clamp(1, 20) - 1).unwrap_or(0);
    FIRST_PAUSE_S.saturating_mul(2_i64.pow(doublings)).min(LONGEST_PAUSE_S) * 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let s: Vec<_> = [-1, 0, 1, 2, 3, 8, 9, 10, i64::MAX].map(|n| retry_after_us(n) / 1_000_000).into();
        assert_eq!(s, [15, 15, 15, 30, 60, 1920, 3600, 3600, 3600]);
    }
}
