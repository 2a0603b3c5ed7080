// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Pauses between connections: exponential, with full jitter, so that a whole fleet whose aggregator comes back does not
//! come back in step. The aggregator may ask for a longer absence.
//!
//! Must never wait longer than [`MAX_PUSHBACK`] and the configured ceiling together, whatever a server says.

use std::time::Duration;

/// Longest absence that a server can ask for. Threat: a server (or its mistake) that sends a sensor away for ever.
pub(crate) const MAX_PUSHBACK: Duration = Duration::from_secs(600);

/// The state of one uplink.
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    ceiling: Duration,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, ceiling: min }
    }

    /// Something was acknowledged: the next trouble is a new one.
    pub(crate) fn reset(&mut self) {
        self.ceiling = self.min;
    }

    /// The next pause: what the server asked for, and a random part (`random` in 0..1) of a ceiling that doubles.
    pub(crate) fn pause(&mut self, pushback: Option<Duration>, random: f64) -> Duration {
        let pause = self.ceiling.mul_f64(random.clamp(0.0, 1.0));
        self.ceiling = (self.ceiling * 2).min(self.max);
        pause + pushback.unwrap_or_default().min(MAX_PUSHBACK)
    }
}

/// What a status asks for in `grpc-retry-pushback-ms`.
pub(crate) fn pushback(status: &tonic::Status) -> Option<Duration> {
    let ms = status.metadata().get("grpc-retry-pushback-ms")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_to_its_bound_and_starts_again() {
        let s = Duration::from_secs;
        let mut b = Backoff::new(s(1), s(5));
        let pauses: Vec<_> = (0..5).map(|_| b.pause(None, 1.0)).collect();
        assert_eq!(pauses, [s(1), s(2), s(4), s(5), s(5)]);
        b.reset();
        assert_eq!(b.pause(None, 0.5), Duration::from_millis(500));
        assert_eq!(b.pause(Some(s(7)), 0.0), s(7));
        assert_eq!(b.pause(Some(s(1_000_000)), 1.0), MAX_PUSHBACK + s(4));
    }

    #[test]
    fn a_fleet_that_lost_its_aggregator_at_once_comes_back_spread() {
        // 2,056 sensors, the aggregator away for 10 seconds: each tries until one attempt falls behind that.
        let mut rng = fastrand::Rng::with_seed(7);
        let mut by_second = [0u32; 60];
        for _ in 0..2056 {
            let mut b = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
            let mut at = Duration::ZERO;
            while at < Duration::from_secs(10) {
                at += b.pause(None, rng.f64());
            }
            by_second[(at.as_secs() as usize).min(59)] += 1;
        }
        assert!(by_second.iter().all(|n| *n < 300), "{by_second:?}");
        assert_eq!(
            by_second[45..].iter().sum::<u32>(),
            0,
            "and nobody is away much longer than the trouble: {by_second:?}"
        );
    }

    #[test]
    fn only_a_number_is_a_pushback() {
        let mut status = tonic::Status::unavailable("later");
        assert_eq!(pushback(&status), None);
        status.metadata_mut().insert("grpc-retry-pushback-ms", 1500.into());
        assert_eq!(pushback(&status), Some(Duration::from_millis(1500)));
        for bad in ["-1", "", "soon", "99999999999999999999999"] {
            let Ok(value) = bad.parse() else { continue };
            status.metadata_mut().insert("grpc-retry-pushback-ms", value);
            assert_eq!(pushback(&status), None, "{bad}");
        }
    }
}
