// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What breaks, and when: a choice by weight out of the seed, and the faults that come once in a run for certain.

use std::{collections::BTreeMap, thread::sleep, time::Duration};

use super::{Plan, land::Land};

/// Something that breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// kill -9 of a sensor.
    SensorKilled,
    /// kill -9 of an aggregator.
    AggregatorKilled,
    /// kill -9 of the engine; its keeper starts it again.
    EngineKilled,
    /// The engine is away for [`Plan::outage`].
    EngineDown,
    /// An aggregator is stopped (SIGSTOP) beyond its lease and woken.
    AggregatorPaused,
    /// The line is cut for some seconds.
    LineCut,
    /// The line carries some kilobytes a second.
    LineSlow,
    /// Frames are dropped, doubled and reordered below TCP.
    WireBad,
    /// A sensor's clock jumps.
    ClockJumped,
    /// A sensor's certificate ends in mid-run, and the sensor is enrolled again.
    CertificateExpired,
    /// A sensor's spool is on a disk that is full while the line is cut.
    DiskFull,
}

impl Fault {
    /// All of them, with their weights; 0: planned, not by chance.
    const WEIGHTS: [(Self, u32); 11] = [
        (Self::SensorKilled, 34),
        (Self::AggregatorKilled, 26),
        (Self::EngineKilled, 20),
        (Self::AggregatorPaused, 2),
        (Self::LineCut, 6),
        (Self::LineSlow, 4),
        (Self::WireBad, 5),
        (Self::ClockJumped, 3),
        (Self::EngineDown, 0),
        (Self::CertificateExpired, 0),
        (Self::DiskFull, 0),
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SensorKilled => "sensor killed",
            Self::AggregatorKilled => "aggregator killed",
            Self::EngineKilled => "engine killed",
            Self::EngineDown => "engine down",
            Self::AggregatorPaused => "aggregator paused beyond its lease",
            Self::LineCut => "line cut",
            Self::LineSlow => "line slow",
            Self::WireBad => "frames dropped, doubled, reordered",
            Self::ClockJumped => "clock jumped",
            Self::CertificateExpired => "certificate expired",
            Self::DiskFull => "spool disk full",
        }
    }

    const fn kills(self) -> bool {
        matches!(self, Self::SensorKilled | Self::AggregatorKilled | Self::EngineKilled)
    }
}

/// The choice.
pub(super) struct Faults {
    chance: fastrand::Rng,
    counts: BTreeMap<Fault, u32>,
    /// Still to come for certain.
    owed: Vec<Fault>,
    kills: u32,
    outage: Duration,
    planned: u32,
}

impl Faults {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut chance = fastrand::Rng::with_seed(plan.seed);
        let mut owed: Vec<Fault> = Fault::WEIGHTS.iter().map(|(f, _)| *f).filter(|f| !f.kills()).collect();
        chance.shuffle(&mut owed);
        Self { chance, counts: BTreeMap::new(), owed, kills: 0, outage: plan.outage, planned: plan.kills.max(1) }
    }

    pub(super) const fn kills(&self) -> u32 {
        self.kills
    }

    pub(super) fn all_happened(&self) -> bool {
        self.owed.is_empty()
    }

    /// How often each came; one that this machine cannot do has 0.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, u32> {
        Fault::WEIGHTS.iter().map(|(f, _)| (f.name(), self.counts.get(f).copied().unwrap_or(0))).collect()
    }

    /// The next fault, and a moment of quiet after it.
    pub(super) fn next(&mut self, land: &mut Land) -> anyhow::Result<()> {
        // Those that are owed are spread over the planned kills.
        let share = self.planned / (u32::try_from(Fault::WEIGHTS.len()).unwrap_or(1) + 1);
        let due = self.kills >= share.max(1) * u32::try_from(Fault::WEIGHTS.len() - 3 - self.owed.len()).unwrap_or(0);
        let fault = match self.owed.pop() {
            Some(f) if due => f,
            other => {
                self.owed.extend(other);
                self.by_weight()
            }
        };
        let done = self.happen(fault, land)?;
        if done {
            *self.counts.entry(fault).or_default() += 1;
            self.kills += u32::from(fault.kills());
            self.owed.retain(|f| *f != fault);
            eprintln!("soak: {} kills, last: {}", self.kills, fault.name());
        }
        sleep(Duration::from_millis(self.chance.u64(300..2_500)));
        Ok(())
    }

    /// What this machine cannot do is owed no longer; the report shows 0 for it.
    fn if_possible(&mut self, fault: Fault, done: bool) -> anyhow::Result<bool> {
        self.owed.retain(|f| *f != fault);
        Ok(done)
    }

    fn by_weight(&mut self) -> Fault {
        let total: u32 = Fault::WEIGHTS.iter().map(|w| w.1).sum();
        let mut at = self.chance.u32(0..total);
        for (fault, weight) in Fault::WEIGHTS {
            if at < weight {
                return fault;
            }
            at -= weight;
        }
        Fault::SensorKilled // never reached: `at` is below the sum
    }

    fn happen(&mut self, fault: Fault, land: &mut Land) -> anyhow::Result<bool> {
        let some_seconds = Duration::from_millis(self.chance.u64(500..5_000));
        match fault {
            Fault::SensorKilled => {
                let n = self.chance.usize(0..land.sensors.len());
                land.kill_sensor(n)?;
            }
            Fault::AggregatorKilled => land.kill_aggregator(self.chance.usize(0..2))?,
            Fault::EngineKilled => return land.kill_engine(),
            Fault::EngineDown => land.engine_down(self.outage)?,
            Fault::AggregatorPaused => land.pause_aggregator(self.chance.usize(0..2))?,
            Fault::LineCut => {
                land.line.cut();
                sleep(some_seconds);
                land.line.mend();
            }
            Fault::LineSlow => {
                land.line.slow(self.chance.u64(4_000..40_000));
                sleep(some_seconds);
                land.line.slow(0);
            }
            Fault::WireBad => {
                let Some(wire) = &land.wire else { return self.if_possible(fault, false) };
                wire.bad(self.chance.f64() * 0.03, self.chance.f64() * 0.3, self.chance.f64() * 0.3)?;
                sleep(some_seconds);
                wire.bad(0.0, 0.0, 0.0)?;
            }
            Fault::ClockJumped => {
                let seconds = self.chance.i64(-7200..7200);
                land.jump_clock(seconds)?;
                sleep(some_seconds);
                land.jump_clock(0)?;
            }
            Fault::CertificateExpired => land.expire_certificate()?,
            Fault::DiskFull => return self.if_possible(fault, land.fill_disk()?),
        }
        Ok(true)
    }
}
