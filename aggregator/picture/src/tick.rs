// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! One tick of the picture: fetch what became durable, ask the rules, write the results.
//!
//! Incremental by segment: each segment's alerts are taken in once, in the order in which they became durable. After a
//! restart the index is read again from the store, so that nothing depends on this process's memory. Must never move on
//! past what it has not taken in: a failed read or write is repeated by the next tick.

#![expect(clippy::disallowed_methods, reason = "measures its own duration; nothing here is on the packet path")]

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use lagewarte_base::{
    id::{ConstituentId, Uuid},
    time::Timestamp,
};
use lagewarte_store::{
    Scope,
    control::{
        Control, ControlError,
        campaigns::{CampaignKind, Found},
        coverage::{Coverage as Row, Sight},
        levels::{Area, AreaLevel, LevelChange},
        register::{Directory, SensorState},
    },
    telemetry::{AlertGroup, MAX_ROWS, SegmentInfo, SensorHealth, Telemetry, TelemetryError},
};

use crate::{
    Metrics, PictureConfig,
    campaigns::{Index, Rule},
    coverage::{Coverage, combined},
    levels::{Activity, Standing, of_areas, of_constituent},
};

/// How far back segments are looked for beyond the last tick, µs. A segment's time is stamped before its row is written:
/// longer than an insert may take, and than the clocks of several aggregators may differ.
const OVERLAP_US: i64 = 150_000_000;
/// How far back reports are looked for beyond the newest segments, µs: the last two reports of every sensor.
const REPORTS_US: i64 = 300_000_000;
/// How far back the last report of a sensor is looked for at the start, µs. Older ones are in the control plane.
const REPORTS_AT_START_US: i64 = 24 * 3600 * 1_000_000;
/// Most segments asked for at once. Threat: a backlog of hours as one question.
const SEGMENTS_AT_ONCE: usize = 200;
/// Most open campaigns that are taken up again after a restart.
const MAX_OPEN: u32 = 10_000;
/// A campaign that nobody joined is written at most this often, µs: its counts move with every alert.
const REWRITE_US: i64 = 5_000_000;
/// Levels and the words of coverage are made anew at least this often, µs: they speak of time.
const REFRESH_US: i64 = 15_000_000;

/// Why a tick was cut short; the next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The telemetry store.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The control plane.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// What a tick did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ticked {
    /// Segments taken in.
    pub segments: usize,
    /// Campaigns opened.
    pub opened: Vec<Uuid>,
    /// Campaigns that somebody joined, with whom.
    pub joined: Vec<(Uuid, Vec<ConstituentId>)>,
    /// Campaigns closed.
    pub closed: Vec<Uuid>,
    /// Levels that changed.
    pub changes: Vec<LevelChange>,
}

/// The picture. One owner, one tick at a time. Of several aggregators one makes it and the others stand by; that two make
/// it for a moment does no harm.
pub struct Picture {
    telemetry: Telemetry,
    control: Control,
    config: PictureConfig,
    metrics: Metrics,
    directory: Directory,
    state: Option<State>,
}

/// Everything that a restart reads again.
struct State {
    index: Index,
    activity: BTreeMap<ConstituentId, Activity>,
    sensors: BTreeMap<Uuid, Coverage>,
    rulesets: BTreeMap<Uuid, String>,
    /// Segments taken in, by when they became durable, as far back as they are looked for.
    seen: HashMap<String, i64>,
    /// Everything durable up to here is in.
    complete_us: i64,
    /// The last tick that read everything.
    read_us: i64,
    written: Written,
}

/// What the control plane has, so that only changes are written.
#[derive(Default)]
struct Written {
    campaigns: HashMap<(CampaignKind, String), (usize, i64)>,
    coverage: BTreeMap<Uuid, (Row, i64)>,
    levels: BTreeMap<(Area, String), AreaLevel>,
    levels_us: i64,
}

impl Picture {
    /// Over both stores. Reads nothing before the first tick.
    pub fn new(telemetry: Telemetry, control: Control, config: PictureConfig, metrics: Metrics) -> Self {
        Self { telemetry, control, config, metrics, directory: Directory::default(), state: None }
    }

    /// Goes on with another connection to the same store.
    pub fn replace_telemetry(&mut self, telemetry: Telemetry) {
        self.telemetry = telemetry;
    }

    /// Another aggregator makes the picture: forgets everything, and shows nothing that could grow old.
    pub fn stand_by(&mut self) {
        if self.state.take().is_some() {
            self.metrics.stand_by();
        }
    }

    /// Brings the picture up to `now`.
    ///
    /// # Errors
    /// A store's answer. What was read stays read and what was not written is written by the next tick.
    pub async fn tick(&mut self, now: Timestamp) -> Result<Ticked, PictureError> {
        let begun = Instant::now();
        let result = self.tick_inner(now, begun).await;
        self.metrics.seconds.observe(begun.elapsed().as_secs_f64());
        match &result {
            Ok(_) => {
                self.metrics.ticks.inc();
                self.metrics.last.set(now.secs());
            }
            Err(_) => self.metrics.failures.inc(),
        }
        result
    }

    async fn tick_inner(&mut self, now: Timestamp, begun: Instant) -> Result<Ticked, PictureError> {
        if self.directory.revision == 0 || self.control.register_revision().await? != self.directory.revision {
            self.directory = self.control.directory().await?;
        }
        if self.state.is_none() {
            self.state = Some(self.load(now).await?);
        }
        let Some(mut state) = self.state.take() else { return Ok(Ticked::default()) };
        let result = self.step(&mut state, now, begun).await;
        self.state = Some(state);
        result
    }

    async fn step(&mut self, state: &mut State, now: Timestamp, begun: Instant) -> Result<Ticked, PictureError> {
        // Each part goes on where another failed: a campaign that cannot be written must not freeze coverage, and a
        // store that does not answer must still turn its silent sensors blind.
        let mut ticked = Ticked::default();
        let read = self.read(state, now).await.map(|n| ticked.segments = n);
        let campaigns = self.write_campaigns(state, now, begun, &mut ticked).await;
        let coverage = self.write_coverage(state, now).await;
        let moved = coverage.as_ref().is_ok_and(|moved| *moved);
        let levels = if ticked.segments > 0 || moved || now.micros() - state.written.levels_us >= REFRESH_US {
            self.write_levels(state, now).await.map(|changes| ticked.changes = changes)
        } else {
            Ok(())
        };
        read.and(campaigns).and(coverage.map(drop)).and(levels).map(|()| ticked)
    }

    /// What a restart needs: open campaigns, the alerts that could take part in one, the last reports.
    async fn load(&self, now: Timestamp) -> Result<State, PictureError> {
        let c = &self.config.campaign;
        let us = |d: std::time::Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
        let rule = Rule { k: c.k, window_us: us(c.window), close_us: us(c.close_after) };
        let complete_us = now.micros().saturating_sub(OVERLAP_US);
        let mut state = State {
            index: Index::new(rule),
            activity: BTreeMap::new(),
            sensors: BTreeMap::new(),
            rulesets: BTreeMap::new(),
            seen: HashMap::new(),
            complete_us,
            read_us: now.micros(),
            written: Written::default(),
        };
        for open in self.control.campaigns(&Scope::System, true, MAX_OPEN).await? {
            state.index.reopen(open.kind, &open.key, open.last_us, open.late);
        }
        for c in self.control.coverage(&Scope::System).await? {
            let sensor = state.sensors.entry(c.sensor).or_default();
            sensor.last_seen = c.last_seen_us.map(Timestamp::from_micros);
            sensor.lag_us = c.lag_us.unwrap_or(0);
            sensor.loss_ppm = c.loss_ppm.unwrap_or(0);
            state.rulesets.insert(c.sensor, c.ruleset);
        }
        // By hours, so that no question is longer than an answer may be; halved where one still is.
        let oldest = complete_us.saturating_sub(rule.close_us).saturating_sub(rule.window_us);
        let mut spans: Vec<(i64, i64)> = Vec::new();
        let mut from = oldest;
        while from <= complete_us {
            let to = complete_us.min(from + 3_600_000_000 - 1);
            spans.push((from, to));
            from = to + 1;
        }
        while let Some((from, to)) = spans.pop() {
            let (a, b) = (Timestamp::from_micros(from), Timestamp::from_micros(to));
            let groups = self.telemetry.alert_groups(&Scope::System, a, b).await?;
            if groups.len() >= MAX_ROWS as usize && to - from > 1_000_000 {
                let half = from + (to - from) / 2;
                spans.extend([(from, half), (half + 1, to)]);
                continue;
            }
            self.absorb(&mut state, &groups, now);
        }
        let since = Timestamp::from_micros(now.micros().saturating_sub(REPORTS_AT_START_US));
        for h in self.telemetry.sensor_health(&Scope::System, since).await? {
            reported(&mut state, &h);
        }
        Ok(state)
    }

    /// Takes in the segments that became durable since; gives how many.
    async fn read(&self, state: &mut State, now: Timestamp) -> Result<usize, PictureError> {
        let since = state.read_us.saturating_sub(OVERLAP_US);
        let all = self.telemetry.segments(&Scope::System, Timestamp::from_micros(since)).await?;
        if all.len() >= MAX_ROWS as usize {
            self.metrics.truncated.inc();
        }
        let new: Vec<SegmentInfo> = all
            .into_iter()
            .filter(|s| s.durable_us > state.complete_us && !state.seen.contains_key(&s.segment))
            .collect();
        let mut chunks: Vec<&[SegmentInfo]> = new.chunks(SEGMENTS_AT_ONCE).rev().collect();
        while let Some(chunk) = chunks.pop() {
            let groups = self.telemetry.alert_groups_of(&Scope::System, chunk).await?;
            if groups.len() >= MAX_ROWS as usize && chunk.len() > 1 {
                let (a, b) = chunk.split_at(chunk.len() / 2);
                chunks.extend([b, a]);
                continue;
            }
            self.absorb(state, &groups, now);
            state.seen.extend(chunk.iter().map(|s| (s.segment.clone(), s.durable_us)));
        }
        if let Some(first) = new.iter().map(|s| s.first_received_us).min() {
            let since = Timestamp::from_micros(first.min(now.micros()).saturating_sub(REPORTS_US));
            let reports = self.telemetry.sensor_health(&Scope::System, since).await?;
            reports.iter().for_each(|h| reported(state, h));
        }
        state.read_us = state.read_us.max(now.micros());
        let oldest = state.read_us.saturating_sub(OVERLAP_US);
        state.seen.retain(|_, durable| *durable >= oldest);
        Ok(new.len())
    }

    fn absorb(&self, state: &mut State, groups: &[AlertGroup], now: Timestamp) {
        if groups.len() >= MAX_ROWS as usize {
            self.metrics.truncated.inc();
        }
        let refused = state.index.refused();
        for g in groups {
            // Whoever is not in the register can be neither shown nor warned; ingest refuses such events.
            let Ok(owner) = g.constituent.parse::<ConstituentId>() else { continue };
            if !self.directory.constituents.contains_key(&owner) {
                continue;
            }
            state.index.absorb(g, &owner, now.micros());
            state.activity.entry(owner).or_default().absorb(g);
        }
        self.metrics.refused.inc_by(state.index.refused() - refused);
    }

    async fn write_campaigns(
        &self,
        state: &mut State,
        now: Timestamp,
        begun: Instant,
        ticked: &mut Ticked,
    ) -> Result<(), PictureError> {
        state.index.expire(now.micros());
        let mut waiting: Vec<Found> = Vec::new();
        let mut changed = state.index.changed().into_iter();
        for mut found in changed.by_ref() {
            let key = (found.kind, found.key.clone());
            let members = found.members.len();
            let recent = state
                .written
                .campaigns
                .get(&key)
                .is_some_and(|(n, at)| *n == members && now.micros() - at < REWRITE_US);
            if recent {
                waiting.push(found);
                continue;
            }
            // The time of writing, not of the tick's beginning: it ends the hop that the demo measures.
            let stamp = now.plus(begun.elapsed()).micros();
            found.members.iter_mut().for_each(|m| m.pictured_us = stamp);
            match self.control.put_campaign(&found, stamp).await {
                Ok(put) => {
                    state.written.campaigns.insert(key, (members, now.micros()));
                    if put.created {
                        self.metrics.campaigns.inc();
                        ticked.opened.push(put.id);
                    }
                    if !put.joined.is_empty() {
                        ticked.joined.push((put.id, put.joined));
                    }
                }
                Err(e) => {
                    waiting.push(found);
                    waiting.extend(changed);
                    state.index.retry(&waiting);
                    return Err(e.into());
                }
            }
        }
        state.index.retry(&waiting);
        self.metrics.followed.set(i64::try_from(state.index.len()).unwrap_or(i64::MAX));
        let close = i64::try_from(self.config.campaign.close_after.as_micros()).unwrap_or(i64::MAX);
        ticked.closed = self.control.close_campaigns(now.micros().saturating_sub(close), now.micros()).await?;
        let oldest = now.micros().saturating_sub(close);
        state.written.campaigns.retain(|_, (_, at)| *at >= oldest);
        Ok(())
    }

    /// Coverage of every sensor that is not revoked; whether a state changed.
    async fn write_coverage(&self, state: &mut State, now: Timestamp) -> Result<bool, PictureError> {
        let mut rows = Vec::new();
        let mut moved = false;
        let mut counts: BTreeMap<Sight, i64> = Sight::ALL.iter().map(|s| (*s, 0)).collect();
        for sensor in self.directory.sensors.values().filter(|s| s.state != SensorState::Revoked) {
            let known = state.sensors.entry(sensor.id).or_default();
            known.interval_s = sensor.interval_s;
            let (sight, reason) = known.state(now);
            *counts.entry(sight).or_default() += 1;
            let row = Row {
                sensor: sensor.id,
                state: sight,
                reason,
                last_seen_us: known.last_seen.map(Timestamp::micros),
                lag_us: known.last_seen.map(|_| known.lag_us),
                loss_ppm: known.last_seen.map(|_| known.loss_ppm),
                ruleset: state.rulesets.get(&sensor.id).cloned().unwrap_or_default(),
                since_us: now.micros(),
            };
            let same = state.written.coverage.get(&sensor.id).is_some_and(|(old, at)| {
                let facts = |r: &Row| (r.state, r.last_seen_us, r.lag_us, r.loss_ppm, r.ruleset.clone());
                facts(old) == facts(&row) && (old.reason == row.reason || now.micros() - at < REFRESH_US)
            });
            if !same {
                moved |= state.written.coverage.get(&sensor.id).is_none_or(|(old, _)| old.state != row.state);
                rows.push(row);
            }
        }
        if !rows.is_empty() {
            self.control.put_coverage(&rows).await?;
            state.written.coverage.extend(rows.into_iter().map(|r| (r.sensor, (r, now.micros()))));
        }
        for (sight, n) in counts {
            self.metrics.sensors.with_label_values(&[crate::metrics::label(sight)]).set(n);
        }
        Ok(moved)
    }

    async fn write_levels(&self, state: &mut State, now: Timestamp) -> Result<Vec<LevelChange>, PictureError> {
        state.activity.retain(|_, a| a.expire(now.micros()));
        let memberships = state.index.memberships();
        let standings: Vec<Standing> = self
            .directory
            .constituents
            .values()
            .map(|c| {
                let sights = self
                    .directory
                    .sensors_of(&c.id)
                    .map(|s| state.written.coverage.get(&s.id).map_or(Sight::Blind, |(row, _)| row.state));
                let campaigns = memberships.get(&c.id).map_or(&[][..], Vec::as_slice);
                let (level, reasons) = of_constituent(state.activity.get(&c.id), campaigns, now.micros());
                Standing {
                    constituent: c.id.clone(),
                    name: c.name.clone(),
                    ags: c.ags,
                    sight: combined(sights),
                    level,
                    reasons,
                }
            })
            .collect();
        let areas = of_areas(&standings);
        let new: Vec<AreaLevel> =
            areas.into_iter().filter(|a| state.written.levels.get(&(a.area, a.key.clone())) != Some(a)).collect();
        let changes = if new.is_empty() { Vec::new() } else { self.control.put_levels(&new, now.micros()).await? };
        if let Some(land) = new.iter().find(|a| a.area == Area::Land) {
            self.metrics.land.set(land.level.number());
        }
        state.written.levels.extend(new.into_iter().map(|a| ((a.area, a.key.clone()), a)));
        state.written.levels_us = now.micros();
        Ok(changes)
    }
}

/// Takes in a sensor's last report.
fn reported(state: &mut State, h: &SensorHealth) {
    let c = state.sensors.entry(h.sensor).or_default();
    if c.last_seen.is_some_and(|l| l.micros() > h.received_us) {
        return;
    }
    c.last_seen = Some(Timestamp::from_micros(h.received_us));
    // A report that was long under way proves that the sensor lives, and that its line is behind.
    c.lag_us = h.lag_us.max(h.received_us.saturating_sub(h.event_us)).max(0);
    let seen = h.packets.saturating_add(h.drops);
    let ppm = if seen == 0 { 0 } else { u128::from(h.drops) * 1_000_000 / u128::from(seen) };
    c.loss_ppm = i64::try_from(ppm).unwrap_or(1_000_000);
    c.spool_state.clone_from(&h.spool_state);
    state.rulesets.insert(h.sensor, h.ruleset.clone());
}
