// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Metrics `lagewarte_picture_*`. Must never carry a constituent's name or an address: labels are bounded sets.

use lagewarte_store::control::{coverage::Sight, levels::Level};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, IntGaugeVec, Opts, Registry};

/// What the picture says of itself.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) ticks: IntCounter,
    pub(crate) failures: IntCounter,
    pub(crate) seconds: Histogram,
    pub(crate) last: IntGauge,
    pub(crate) campaigns: IntCounter,
    pub(crate) followed: IntGauge,
    pub(crate) refused: IntCounter,
    pub(crate) truncated: IntCounter,
    pub(crate) sensors: IntGaugeVec,
    pub(crate) land: IntGauge,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// Where a name is taken: registered twice.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let c = IntCounter::new(format!("lagewarte_picture_{name}"), help)?;
            registry.register(Box::new(c.clone()))?;
            Ok(c)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let g = IntGauge::new(format!("lagewarte_picture_{name}"), help)?;
            registry.register(Box::new(g.clone()))?;
            Ok(g)
        };
        let seconds = Histogram::with_opts(
            HistogramOpts::new("lagewarte_picture_tick_seconds", "Duration of a tick.")
                .buckets(vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
        )?;
        registry.register(Box::new(seconds.clone()))?;
        let sensors =
            IntGaugeVec::new(Opts::new("lagewarte_picture_sensors", "Sensors by what they let us see."), &["state"])?;
        registry.register(Box::new(sensors.clone()))?;
        let land = gauge("land_level", "Level of the Land, 1 to 4.")?;
        let metrics = Self {
            ticks: counter("ticks_total", "Ticks completed.")?,
            failures: counter("failures_total", "Ticks that a store's answer cut short; the next one goes on.")?,
            seconds,
            last: gauge("last_tick_timestamp_seconds", "When the picture was last complete.")?,
            campaigns: counter("campaigns_total", "Campaigns opened.")?,
            followed: gauge("followed_keys", "Signatures and addresses followed in the search for campaigns.")?,
            refused: counter(
                "refused_groups_total",
                "Groups of alerts left out of the search: too many different keys.",
            )?,
            truncated: counter(
                "truncated_reads_total",
                "Reads that returned as much as one may; the rest is missing.",
            )?,
            sensors,
            land,
        };
        metrics.stand_by();
        Ok(metrics)
    }

    /// Where another aggregator makes the picture, or before the first tick: no sensor is counted here.
    pub(crate) fn stand_by(&self) {
        for s in Sight::ALL {
            self.sensors.with_label_values(&[label(*s)]).set(0);
        }
        self.land.set(Level::Grey.number());
        self.followed.set(0);
    }
}

/// ASCII, for label values.
pub(crate) fn label(sight: Sight) -> &'static str {
    match sight {
        Sight::Seeing => "seeing",
        Sight::Partial => "partial",
        Sight::Blind => "blind",
        Sight::NoSensor => "none",
    }
}
