// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The enrolment service: a one-time token and a signing request become a sensor's certificate.
//!
//! Must never issue twice for one token, log a secret, or issue for a sensor that the register does not name. Limits: one
//! small request a call (`MAX_CSR`); a request that could not be signed does not cost its token.

use std::sync::Arc;

use lagewarte_base::clock::Clock;
use lagewarte_event::{EnrolReply, EnrolRequest, enrolment_server::Enrolment};
use lagewarte_store::{
    Scope,
    control::tokens::{Secret, TokenKind},
};
use ring::digest;
use tonic::{Request, Response, Status};

use crate::{Options, ca::Ca, metrics::Metrics, register::Register};

pub(crate) struct EnrolService {
    pub(crate) ca: Arc<Ca>,
    pub(crate) register: Arc<Register>,
    pub(crate) options: Arc<Options>,
    pub(crate) uplink_url: String,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
}

#[tonic::async_trait]
impl Enrolment for EnrolService {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolReply>, Status> {
        let outcome = self.issue(request.into_inner()).await;
        let label = outcome.as_ref().map_or_else(|s| code(s.code()), |_| "issued");
        self.metrics.enrolments.with_label_values(&[label]).inc();
        outcome.map(Response::new)
    }
}

/// The outcome in metrics; the codes are those that `sensor/uplink` reads.
fn code(code: tonic::Code) -> &'static str {
    match code {
        tonic::Code::NotFound => "unknown-token",
        tonic::Code::AlreadyExists => "used-token",
        tonic::Code::FailedPrecondition => "expired-token",
        tonic::Code::InvalidArgument => "bad-request",
        tonic::Code::PermissionDenied => "refused",
        _ => "failed",
    }
}

impl EnrolService {
    async fn issue(&self, request: EnrolRequest) -> Result<EnrolReply, Status> {
        let now = self.clock.now();
        let control = &self.register.control;
        let unavailable = |e: &dyn std::fmt::Display| {
            tracing::error!(error = %e, "enrolment failed");
            Status::unavailable("the register does not answer; try again later")
        };
        let secret = Secret::parse(&request.secret).ok_or_else(|| Status::not_found("unknown token"))?;
        // A dry run first: a request that cannot be signed must not cost the token.
        if let Err(e) = self.ca.sensor(&request.csr_der, lagewarte_base::id::Uuid::nil(), 1, now) {
            return Err(Status::invalid_argument(e.to_string()));
        }
        let token = control.take_token(&secret, TokenKind::Enrol, now.micros()).await.map_err(|e| unavailable(&e))?;
        let Some(sensor) = token.and_then(|t| t.sensor) else {
            return Err(self.why_not(&secret, now.micros()).await.map_err(|e| unavailable(&e))?);
        };
        let issued = self
            .ca
            .sensor(&request.csr_der, sensor, self.options.certificate_days, now)
            .map_err(|e| Status::invalid_argument(e.to_string()))?;
        control
            .activate_sensor(sensor, &issued.serial, issued.not_after.micros(), now.micros())
            .await
            .map_err(|e| Status::permission_denied(e.to_string()))?;
        self.register.refresh().await.map_err(|e| unavailable(&e))?;
        let interval_s = self.register.directory().sensors.get(&sensor).map_or(30, |s| s.interval_s);
        tracing::info!(%sensor, serial = %issued.serial, "sensor enrolled");
        Ok(EnrolReply {
            sensor: sensor.to_string(),
            certificate_der: issued.certificate.to_vec(),
            chain_der: self.ca.chain().iter().map(|c| c.to_vec()).collect(),
            uplink_url: self.uplink_url.clone(),
            interval_s,
        })
    }

    /// Why a token was not taken, for a clear word to whoever holds its secret (nobody else can guess 256 bits).
    async fn why_not(&self, secret: &Secret, now_us: i64) -> Result<Status, lagewarte_store::control::ControlError> {
        let hash = hex::encode(digest::digest(&digest::SHA256, secret.bytes()));
        let tokens = self.register.control.tokens(&Scope::System).await?;
        let known = tokens.into_iter().find(|t| t.kind == TokenKind::Enrol && t.sha256 == hash);
        Ok(match known {
            Some(t) if t.used_us.is_some() => Status::already_exists("the token was already used"),
            Some(t) if t.revoked_us.is_some() => Status::permission_denied("the token was withdrawn; ask the CERT"),
            Some(t) if t.expires_us.is_some_and(|e| e <= now_us) => {
                Status::failed_precondition("the token has expired")
            }
            _ => Status::not_found("unknown token"),
        })
    }
}
