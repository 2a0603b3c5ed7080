// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The register: constituents, their networks and contacts, sensors and whom each may speak for.
//!
//! Whoever needs it on a hot path (ingest, picture) takes a [`Directory`], a snapshot with a revision, and asks
//! [`Control::register_revision`] whether it is still the newest. Must never lose a sensor or a constituent: they have
//! a history; sensors are revoked, constituents stay.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use lagewarte_base::{ags::Ags, id::ConstituentId};
use serde::Serialize;
use uuid::Uuid;

use super::{
    Control, ControlError, Result, audit,
    db::{Row, vals},
    words,
};
use crate::Scope;

words! {
    /// What kind of organisation a constituent is; the words are those of the register's files.
    ConstituentKind {
        /// Gemeinde, Stadt, Markt.
        Municipality = "municipality",
        /// Landkreis.
        Kreis = "kreis",
        /// Zweckverband, Verwaltungsgemeinschaft.
        Zweckverband = "zweckverband",
        /// Stadtwerke and other utilities.
        Utility = "utility",
        /// Hospital.
        Hospital = "hospital",
        /// Shared IT provider.
        Provider = "provider",
        /// Anything else.
        Other = "other",
    }
}

words! {
    /// Where a sensor stands.
    SensorState {
        /// In the register, not enrolled yet.
        Invited = "invited",
        /// Enrolled: has a certificate.
        Active = "active",
        /// Its certificate is refused, whatever it says.
        Revoked = "revoked",
    }
}

/// An organisation that the CERT serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Constituent {
    /// Stable id.
    pub id: ConstituentId,
    /// Name, German, as shown.
    pub name: String,
    /// Kind of organisation.
    pub kind: ConstituentKind,
    /// Amtlicher Gemeindeschlüssel in force now; of the seat, for what is no municipality.
    pub ags: Ags,
    /// Inhabitants, where known.
    pub population: Option<i64>,
}

/// A gateway's sensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sensor {
    /// The UUID in its certificate.
    pub id: Uuid,
    /// Name for people; unique.
    pub name: String,
    /// Who runs the gateway; the default owner of its events.
    pub constituent: ConstituentId,
    /// Whom it may speak for: `constituent` always, and those it serves.
    pub serves: BTreeSet<ConstituentId>,
    /// Seconds between its health events; three missed ones are blind.
    pub interval_s: u32,
    /// Where it stands.
    pub state: SensorState,
    /// Serial number of its certificate, lower-case hex.
    pub cert_serial: Option<String>,
    /// End of its certificate.
    pub cert_not_after_us: Option<i64>,
}

/// Somebody at a constituent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contact {
    /// Whose.
    pub constituent: ConstituentId,
    /// Name; unique within the constituent.
    pub name: String,
    /// Role, German, as shown.
    pub role: String,
    /// Mail address; empty where there is none.
    pub mail: String,
    /// Phone number; empty where there is none.
    pub phone: String,
}

/// An inner network of a constituent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Network {
    /// Whose.
    pub constituent: ConstituentId,
    /// The network; host bits are zero.
    pub cidr: IpNet,
}

/// The register at one moment, for hot paths.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// Grows with each change of the register.
    pub revision: i64,
    /// Everyone, by id.
    pub constituents: BTreeMap<ConstituentId, Constituent>,
    /// Every sensor, revoked ones too, by id.
    pub sensors: BTreeMap<Uuid, Sensor>,
}

impl Directory {
    /// Whether the sensor may send events owned by `constituent`: known, not revoked, and assigned to it.
    pub fn may_speak(&self, sensor: Uuid, constituent: &ConstituentId) -> bool {
        self.sensors.get(&sensor).is_some_and(|s| s.state != SensorState::Revoked && s.serves.contains(constituent))
    }
    /// The AGS in force of a constituent.
    pub fn ags(&self, constituent: &ConstituentId) -> Option<Ags> {
        self.constituents.get(constituent).map(|c| c.ags)
    }
    /// Sensors that are not revoked and speak for the constituent.
    pub fn sensors_of<'a>(&'a self, constituent: &'a ConstituentId) -> impl Iterator<Item = &'a Sensor> {
        self.sensors.values().filter(move |s| s.state != SensorState::Revoked && s.serves.contains(constituent))
    }
}

fn constituent(r: &Row) -> Result<Constituent> {
    Ok(Constituent {
        id: r.parse("id")?,
        name: r.text("name")?,
        kind: r.parse("kind")?,
        ags: r.parse("ags")?,
        population: r.opt_int("population")?,
    })
}

fn sensor(r: &Row) -> Result<Sensor> {
    let own: ConstituentId = r.parse("constituent")?;
    Ok(Sensor {
        id: r.parse("id")?,
        name: r.text("name")?,
        serves: BTreeSet::from([own.clone()]),
        constituent: own,
        interval_s: u32::try_from(r.int("interval_s")?)
            .map_err(|_| ControlError::Corrupt("column interval_s is no number of seconds".into()))?,
        state: r.parse("state")?,
        cert_serial: r.opt_text("cert_serial")?,
        cert_not_after_us: r.opt_int("cert_not_after_us")?,
    })
}

const SENSOR: &str = "id, name, constituent, interval_s, state, cert_serial, cert_not_after_us";

impl Control {
    /// The register's revision: grows with each change, by whichever aggregator.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn register_revision(&self) -> Result<i64> {
        let row = self.pool.row("SELECT n FROM counter WHERE name = 'register'", vec![]).await?;
        row.ok_or_else(|| ControlError::Corrupt("counter register is missing".into()))?.int("n")
    }

    /// A snapshot of constituents and sensors.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn directory(&self) -> Result<Directory> {
        // The revision first: a change in between is then seen as a newer revision at the next look.
        let revision = self.register_revision().await?;
        let constituents = self.constituents(&Scope::System).await?;
        let sensors = self.sensors(&Scope::System).await?;
        Ok(Directory {
            revision,
            constituents: constituents.into_iter().map(|c| (c.id.clone(), c)).collect(),
            sensors: sensors.into_iter().map(|s| (s.id, s)).collect(),
        })
    }

    /// Constituents in scope, by id.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn constituents(&self, scope: &Scope) -> Result<Vec<Constituent>> {
        let sql = "SELECT id, name, kind, ags, population FROM constituent WHERE ($1 IS NULL OR id = $1) ORDER BY id";
        self.pool.rows(sql, vals![scope.only()]).await?.iter().map(constituent).collect()
    }

    /// One constituent.
    ///
    /// # Errors
    /// [`ControlError::Missing`] where there is none.
    pub async fn constituent(&self, id: &ConstituentId) -> Result<Constituent> {
        let all = self.constituents(&Scope::Constituent(id.clone())).await?;
        all.into_iter().next().ok_or_else(|| ControlError::Missing { what: "constituent", id: id.to_string() })
    }

    /// The AGS that was in force at a moment; the first known one for moments before it.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn ags_at(&self, id: &ConstituentId, at_us: i64) -> Result<Option<Ags>> {
        // The newest that had begun, else the oldest at all.
        let sql = "SELECT ags FROM constituent_ags WHERE constituent = $1 ORDER BY \
                   CASE WHEN from_us <= $2 THEN 0 ELSE 1 END, CASE WHEN from_us <= $2 THEN -from_us ELSE from_us END \
                   LIMIT 1";
        self.pool.row(sql, vals![id, at_us]).await?.map(|r| r.parse("ags")).transpose()
    }

    /// Sensors in scope (those that speak for the constituent), by name; revoked ones too.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn sensors(&self, scope: &Scope) -> Result<Vec<Sensor>> {
        let sql = format!(
            "SELECT {SENSOR} FROM sensor WHERE ($1 IS NULL OR constituent = $1 OR id IN \
             (SELECT sensor FROM sensor_constituent WHERE constituent = $1)) ORDER BY name"
        );
        let rows = self.pool.rows(&sql, vals![scope.only()]).await?;
        let mut all: Vec<Sensor> = rows.iter().map(sensor).collect::<Result<_>>()?;
        let sql = "SELECT sensor, constituent FROM sensor_constituent WHERE ($1 IS NULL OR constituent = $1)";
        let mut serves: BTreeMap<Uuid, Vec<ConstituentId>> = BTreeMap::new();
        for r in self.pool.rows(sql, vals![scope.only()]).await? {
            serves.entry(r.parse("sensor")?).or_default().push(r.parse("constituent")?);
        }
        for s in &mut all {
            s.serves.extend(serves.remove(&s.id).into_iter().flatten());
            // A constituent sees that it is served, not who else is.
            s.serves.retain(|c| scope.sees(c));
        }
        Ok(all)
    }

    /// One sensor, by its UUID; None where the register has none.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn sensor(&self, id: Uuid) -> Result<Option<Sensor>> {
        let sql = format!("SELECT {SENSOR} FROM sensor WHERE id = $1");
        let Some(row) = self.pool.row(&sql, vals![id]).await? else { return Ok(None) };
        let mut s = sensor(&row)?;
        let sql = "SELECT constituent FROM sensor_constituent WHERE sensor = $1";
        for r in self.pool.rows(sql, vals![id]).await? {
            s.serves.insert(r.parse("constituent")?);
        }
        Ok(Some(s))
    }

    /// One sensor, by its name or the text of its UUID.
    ///
    /// # Errors
    /// [`ControlError::Missing`] where there is none.
    pub async fn sensor_named(&self, name: &str) -> Result<Sensor> {
        let row = self.pool.row("SELECT id FROM sensor WHERE name = $1 OR id = $1", vals![name]).await?;
        let missing = || ControlError::Missing { what: "sensor", id: name.chars().take(80).collect() };
        let id: Uuid = row.ok_or_else(missing)?.parse("id")?;
        self.sensor(id).await?.ok_or_else(missing)
    }

    /// Notes a certificate just issued: the sensor is active. A revoked sensor stays revoked.
    ///
    /// # Errors
    /// [`ControlError::Refused`] for a revoked sensor, [`ControlError::Missing`] for an unknown one.
    pub async fn activate_sensor(&self, id: Uuid, serial: &str, not_after_us: i64, now_us: i64) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        let sql = "UPDATE sensor SET state = $2, cert_serial = $3, cert_not_after_us = $4 \
                   WHERE id = $1 AND state <> $5";
        let n = tx.execute(sql, vals![id, SensorState::Active, serial, not_after_us, SensorState::Revoked]).await?;
        if n == 0 {
            return Err(match tx.row("SELECT id FROM sensor WHERE id = $1", vals![id]).await? {
                Some(_) => ControlError::Refused(format!("sensor {id} is revoked")),
                None => ControlError::Missing { what: "sensor", id: id.to_string() },
            });
        }
        audit::note(&mut tx, now_us, &format!("sensor:{id}"), &format!("certificate {serial} issued")).await?;
        tx.register_changed().await?;
        tx.commit().await
    }

    /// Revokes a sensor: its certificate is refused from now on, its open enrolment tokens are void.
    ///
    /// # Errors
    /// [`ControlError::Missing`] for an unknown one.
    pub async fn revoke_sensor(&self, id: Uuid, who: &str, now_us: i64) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        if tx.execute("UPDATE sensor SET state = $2 WHERE id = $1", vals![id, SensorState::Revoked]).await? == 0 {
            return Err(ControlError::Missing { what: "sensor", id: id.to_string() });
        }
        let sql = "UPDATE token SET revoked_us = $2 WHERE sensor = $1 AND revoked_us IS NULL";
        tx.execute(sql, vals![id, now_us]).await?;
        audit::note(&mut tx, now_us, who, &format!("sensor {id} revoked")).await?;
        tx.register_changed().await?;
        tx.commit().await
    }

    /// Puts a new sensor into the register, invited.
    ///
    /// # Errors
    /// [`ControlError::Missing`] for an unknown constituent, [`ControlError::Refused`] where name or UUID is taken.
    pub async fn add_sensor(&self, sensor: &Sensor, who: &str, now_us: i64) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        for c in sensor.serves.iter().chain([&sensor.constituent]) {
            if tx.row("SELECT id FROM constituent WHERE id = $1", vals![c]).await?.is_none() {
                return Err(ControlError::Missing { what: "constituent", id: c.to_string() });
            }
        }
        let sql = "INSERT INTO sensor (id, name, constituent, interval_s, state) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT DO NOTHING";
        let vals =
            vals![sensor.id, &sensor.name, &sensor.constituent, i64::from(sensor.interval_s), SensorState::Invited];
        if tx.execute(sql, vals).await? == 0 {
            return Err(ControlError::Refused(format!(
                "there is a sensor of the name {:?} or the id {} already",
                sensor.name, sensor.id
            )));
        }
        for c in &sensor.serves {
            let sql = "INSERT INTO sensor_constituent (sensor, constituent) VALUES ($1, $2)";
            tx.execute(sql, vals![sensor.id, c]).await?;
        }
        audit::note(&mut tx, now_us, who, &format!("sensor {} ({}) added", sensor.name, sensor.id)).await?;
        tx.register_changed().await?;
        tx.commit().await
    }

    /// Contacts in scope, by constituent and name.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn contacts(&self, scope: &Scope) -> Result<Vec<Contact>> {
        let sql = "SELECT constituent, name, role, mail, phone FROM contact WHERE ($1 IS NULL OR constituent = $1) \
                   ORDER BY constituent, name";
        let contact = |r: &Row| {
            Ok(Contact {
                constituent: r.parse("constituent")?,
                name: r.text("name")?,
                role: r.text("role")?,
                mail: r.text("mail")?,
                phone: r.text("phone")?,
            })
        };
        self.pool.rows(sql, vals![scope.only()]).await?.iter().map(contact).collect()
    }

    /// Inner networks in scope, by constituent.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn networks(&self, scope: &Scope) -> Result<Vec<Network>> {
        let sql = "SELECT constituent, cidr FROM network WHERE ($1 IS NULL OR constituent = $1) \
                   ORDER BY constituent, cidr";
        let network = |r: &Row| Ok(Network { constituent: r.parse("constituent")?, cidr: r.parse("cidr")? });
        self.pool.rows(sql, vals![scope.only()]).await?.iter().map(network).collect()
    }
}
