// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What a sensor lets us see, and what a constituent's sensors together do. Pure; rules S1 to S5 of `docs/lagebild.md`.
//!
//! Must never call a sensor seeing that has not reported: three missed intervals, or no report ever, are *blind*. The
//! interval is the register's; a sensor cannot excuse its own silence.

use lagewarte_base::time::Timestamp;
pub use lagewarte_store::control::coverage::Sight;

/// Missed reports that make a sensor blind.
pub const MISSED: i64 = 3;
/// Loss from which a sensor sees only partly, millionths of the packets between its last two reports: 1 %.
pub const LOSS_PPM: i64 = 10_000;
/// Lag from which a sensor sees only partly, µs: one minute.
pub const LAG_US: i64 = 60_000_000;

/// What is known of a sensor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Seconds between reports, as the register has it; 0 counts as 1.
    pub interval_s: u32,
    /// Receipt of its last report; None where there never was one.
    pub last_seen: Option<Timestamp>,
    /// How far it was behind its line at that report, µs: its own word or the report's age at receipt, whichever is more.
    pub lag_us: i64,
    /// Packets lost between the last two reports, millionths.
    pub loss_ppm: i64,
    /// State of its spool: normal, warning, full, recovering; empty where it does not say.
    pub spool_state: String,
}

impl Coverage {
    /// How much it lets us see at `now`, and why in a German sentence (empty where there is nothing to say).
    pub fn state(&self, now: Timestamp) -> (Sight, String) {
        let Some(last) = self.last_seen else {
            return (Sight::Blind, "Hat noch nie gemeldet.".into());
        };
        let interval = i64::from(self.interval_s.max(1)).saturating_mul(1_000_000);
        let silence = now.since(last);
        if silence > interval.saturating_mul(MISSED) {
            let reason = format!(
                "Seit {} keine Meldung; erwartet alle {} s. Nach {MISSED} ausgebliebenen Meldungen gilt der Sensor als blind.",
                span(silence),
                interval / 1_000_000
            );
            return (Sight::Blind, reason);
        }
        let mut reasons = Vec::new();
        if self.loss_ppm > LOSS_PPM {
            reasons.push(format!(
                "Verliert {},{} % der Pakete.",
                self.loss_ppm / 10_000,
                self.loss_ppm % 10_000 / 1_000
            ));
        }
        if self.lag_us > LAG_US {
            reasons.push(format!("Hängt {} zurück.", span(self.lag_us)));
        }
        match self.spool_state.as_str() {
            "full" => reasons.push("Sein Zwischenspeicher ist voll; Ereignisse gehen verloren.".into()),
            "warning" => reasons.push("Sein Zwischenspeicher läuft voll.".into()),
            "recovering" => reasons.push("Sein Zwischenspeicher war voll; Ereignisse gingen verloren.".into()),
            _ => {}
        }
        let sight = if reasons.is_empty() { Sight::Seeing } else { Sight::Partial };
        (sight, reasons.join(" "))
    }
}

/// What several sensors let us see of one constituent: all seeing is seeing, all blind is blind, none is without
/// sensor, anything between is partial.
pub fn combined(sensors: impl IntoIterator<Item = Sight>) -> Sight {
    let mut all = sensors.into_iter().map(|s| if s == Sight::NoSensor { Sight::Blind } else { s });
    let Some(first) = all.next() else { return Sight::NoSensor };
    all.fold(first, |a, b| if a == b { a } else { Sight::Partial })
}

/// Whether anything can be said of what happens there.
pub fn visible(sight: Sight) -> bool {
    matches!(sight, Sight::Seeing | Sight::Partial)
}

/// A span in words: seconds below two minutes, then minutes, then hours.
fn span(us: i64) -> String {
    let s = us / 1_000_000;
    match s {
        ..120 => format!("{s} s"),
        120..7200 => format!("{} min", s / 60),
        _ => format!("{} h", s / 3600),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: i64 = 1_000_000;

    fn sensor(last_s: i64) -> Coverage {
        Coverage {
            interval_s: 30,
            last_seen: Some(Timestamp::from_micros(last_s * S)),
            spool_state: "normal".into(),
            ..Coverage::default()
        }
    }

    #[test]
    fn three_missed_intervals_are_blind_and_not_one_second_sooner() {
        let at = |s| sensor(1000).state(Timestamp::from_micros(s)).0;
        assert_eq!(at(1000 * S), Sight::Seeing);
        assert_eq!(at(1090 * S), Sight::Seeing);
        assert_eq!(at(1090 * S + 1), Sight::Blind);
        assert_eq!(Coverage { interval_s: 30, ..Coverage::default() }.state(Timestamp::from_micros(0)).0, Sight::Blind);
    }

    #[test]
    fn loss_lag_and_a_full_spool_are_partial_with_their_reason() {
        let now = Timestamp::from_micros(1010 * S);
        for (change, word) in [
            (Coverage { loss_ppm: 25_400, ..sensor(1000) }, "2,5 %"),
            (Coverage { lag_us: 600 * S, ..sensor(1000) }, "10 min"),
            (Coverage { spool_state: "full".into(), ..sensor(1000) }, "voll"),
            (Coverage { spool_state: "warning".into(), ..sensor(1000) }, "läuft voll"),
            (Coverage { spool_state: "recovering".into(), ..sensor(1000) }, "war voll"),
        ] {
            let (sight, why) = change.state(now);
            assert!(sight == Sight::Partial && why.contains(word), "{change:?}: {why}");
        }
        let edge = Coverage { loss_ppm: LOSS_PPM, lag_us: LAG_US, ..sensor(1000) };
        assert_eq!(edge.state(now), (Sight::Seeing, String::new()));
    }

    #[test]
    fn a_constituents_sight_is_that_of_its_sensors() {
        use Sight::{Blind, NoSensor, Partial, Seeing};
        for (sensors, want) in [
            (vec![], NoSensor),
            (vec![Seeing], Seeing),
            (vec![Seeing, Seeing], Seeing),
            (vec![Seeing, Blind], Partial),
            (vec![Partial, Blind], Partial),
            (vec![Blind, Blind], Blind),
            (vec![Partial], Partial),
        ] {
            assert_eq!(combined(sensors.clone()), want, "{sensors:?}");
        }
    }

    proptest! {
        #[test]
        fn silence_never_looks_like_sight(
            interval_s in 0u32..=86_400, last: i64, now: i64, lag_us: i64, loss_ppm: i64, spool in "normal|full|x|"
        ) {
            let c = Coverage { interval_s, last_seen: Some(Timestamp::from_micros(last)), lag_us, loss_ppm, spool_state: spool };
            let (sight, why) = c.state(Timestamp::from_micros(now));
            let missed = now.saturating_sub(last) > i64::from(interval_s.max(1)) * 1_000_000 * MISSED;
            prop_assert_eq!(sight == Sight::Blind, missed);
            prop_assert!(sight != Sight::NoSensor);
            prop_assert_eq!(why.is_empty(), sight == Sight::Seeing);
            // Time alone never gives sight back.
            let later = c.state(Timestamp::from_micros(now.saturating_add(1))).0;
            prop_assert!(sight != Sight::Blind || later == Sight::Blind);
        }
    }
}
