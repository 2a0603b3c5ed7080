// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The register as ingest sees it: who may connect, and whom a sensor may speak for.
//!
//! A snapshot in memory, renewed when the register's revision grows, so that no event waits for the database. Must never
//! let anyone in whom the snapshot does not name. Limits: a change is seen within [`REFRESH`].

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use lagewarte_base::{
    id::{ConstituentId, Uuid},
    time::Timestamp,
};
use lagewarte_store::{
    control::{
        Control, ControlError,
        register::{Directory, SensorState},
    },
    telemetry::{Place, Resolver},
};

use crate::tls::Peer;

/// How often the register's revision is asked for.
pub const REFRESH: Duration = Duration::from_secs(1);

/// Why a sensor is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoIdentity,
    Unknown,
    Revoked,
    Superseded,
    Expired,
    Doubled,
}

impl Refusal {
    /// The label in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NoIdentity => "no-identity",
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::Superseded => "superseded",
            Self::Expired => "expired",
            Self::Doubled => "doubled",
        }
    }
    /// What the sensor's operator is told.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::NoIdentity => "the certificate names no sensor",
            Self::Unknown => "this sensor is not in the register; ask the CERT",
            Self::Revoked => "this sensor is revoked; ask the CERT",
            Self::Superseded => "a newer certificate was issued for this sensor; this one is no longer accepted",
            Self::Expired => "the certificate has ended; enrol again with a new token",
            Self::Doubled => "this sensor is already connected; an identity must not be used twice",
        }
    }
}

/// The register's snapshot.
#[derive(Debug)]
pub(crate) struct Register {
    pub(crate) control: Control,
    directory: ArcSwap<Directory>,
}

impl Register {
    pub(crate) async fn new(control: Control) -> Result<Self, ControlError> {
        let directory = ArcSwap::from_pointee(control.directory().await?);
        Ok(Self { control, directory })
    }

    pub(crate) fn directory(&self) -> Arc<Directory> {
        self.directory.load_full()
    }

    /// Looks for a newer revision and takes it over.
    pub(crate) async fn refresh(&self) -> Result<(), ControlError> {
        if self.control.register_revision().await? != self.directory.load().revision {
            self.directory.store(Arc::new(self.control.directory().await?));
        }
        Ok(())
    }

    /// Refreshes for ever; a database that does not answer leaves the last snapshot in force.
    pub(crate) async fn keep_fresh(&self) {
        let mut failing = false;
        loop {
            tokio::time::sleep(REFRESH).await;
            match self.refresh().await {
                Ok(()) => failing = false,
                Err(e) if !failing => {
                    failing = true;
                    tracing::warn!(error = %e, "the register does not answer; its last state stays in force");
                }
                Err(_) => {}
            }
        }
    }

    /// Whether this peer may send now.
    pub(crate) fn admit(&self, peer: &Peer, now: Timestamp) -> Result<(), Refusal> {
        let directory = self.directory.load();
        let sensor = directory.sensors.get(&peer.sensor).ok_or(Refusal::Unknown)?;
        match sensor.state {
            SensorState::Revoked => Err(Refusal::Revoked),
            _ if sensor.cert_serial.as_deref() != Some(peer.serial.as_str()) => Err(Refusal::Superseded),
            _ if now >= peer.not_after => Err(Refusal::Expired),
            SensorState::Active | SensorState::Invited => Ok(()),
        }
    }
}

/// Whom a sensor may speak for, by one snapshot.
pub(crate) struct Owners(pub(crate) Arc<Directory>);

impl Resolver for Owners {
    fn place(&self, sensor: Uuid, constituent: &ConstituentId) -> Option<Place> {
        self.0.may_speak(sensor, constituent).then(|| Place { ags: self.0.ags(constituent) })
    }
}
