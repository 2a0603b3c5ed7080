// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What is left of packets that rules asked to be recorded, for a flow or a host.
//!
//! Must never hold more than [`MAX_TAGS`]; one more is not begun.

use lagewarte_base::time::Timestamp;

/// Most tags on one flow or host. Threat: a rule set of which thousands tag the same flow.
pub const MAX_TAGS: usize = 4;

/// How much longer packets are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tagged {
    /// So many packets.
    Packets(u32),
    /// So many bytes.
    Bytes(u32),
    /// Up to this time.
    Until(Timestamp),
}

/// The tags of a flow or host, by the rule that set each (gid, sid, which of its tags).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Vec<((u32, u32, u8), Tagged)>);

impl Tags {
    /// Begins one, or begins it anew; false where there is no room.
    pub fn set(&mut self, rule: (u32, u32, u8), tagged: Tagged) -> bool {
        let room = self.0.len() < MAX_TAGS;
        match self.0.iter_mut().find(|(r, _)| *r == rule) {
            Some((_, had)) => *had = tagged,
            None if room => self.0.push((rule, tagged)),
            None => return false,
        }
        true
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts a packet; whether it is to be recorded. Tags that are over go.
    pub fn count(&mut self, bytes: u32, now: Timestamp) -> bool {
        let mut recorded = false;
        self.0.retain_mut(|(_, t)| {
            let (counts, stays) = match t {
                Tagged::Packets(n) => {
                    let counts = *n > 0;
                    *n = n.saturating_sub(1);
                    (counts, *n > 0)
                }
                Tagged::Bytes(n) => match n.checked_sub(bytes) {
                    Some(left) => {
                        *n = left;
                        (true, left > 0)
                    }
                    None => (false, false),
                },
                Tagged::Until(t) => (now <= *t, now <= *t),
            };
            recorded |= counts;
            stays
        });
        recorded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_count_down_and_are_capped() {
        let now = Timestamp::from_micros(5);
        let mut t = Tags::default();
        assert!(!t.count(10, now));
        t.set((1, 1, 0), Tagged::Packets(2));
        assert!(t.count(10, now) && t.count(10, now) && !t.count(10, now) && t.is_empty());
        t.set((1, 1, 0), Tagged::Bytes(25));
        assert!(t.count(10, now) && t.count(10, now) && !t.count(10, now) && t.is_empty());
        t.set((1, 1, 0), Tagged::Until(now));
        assert!(t.count(1, now) && !t.count(1, Timestamp::from_micros(6)) && t.is_empty());
        let taken = (0..100).filter(|n| t.set((1, *n, 0), Tagged::Packets(1))).count();
        assert_eq!(taken, MAX_TAGS);
        assert!(t.set((1, 0, 0), Tagged::Packets(9)), "what is there begins anew");
    }
}
