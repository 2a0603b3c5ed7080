// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Alerts that wait for their partner: the same rule on the same flow, told by the other side.
//!
//! An alert has a grace to find its partner; then it is given up, and it is for [`super::judge`] to say what that means.
//! Of a pair of rule and flow only one side waits at a time. Must never hold more than [`MAX_WAITING`] alerts, and never
//! lose one without saying so: what was taken was matched, waits, or was given up.

use std::collections::{BTreeMap, HashMap, VecDeque};

use lagewarte_base::time::Timestamp;

use crate::compare::{Alert, Conversation};

/// Most alerts that wait. Threat: a flood of alerts that one engine sees and the other does not, and memory growing with it.
pub const MAX_WAITING: usize = 1 << 16;

/// Whose alert it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// This sensor's.
    Ours,
    /// The Suricata's beside it.
    Theirs,
}

impl Side {
    /// Both, ours first.
    pub const BOTH: [Self; 2] = [Self::Ours, Self::Theirs];

    /// Its place in a pair.
    pub const fn index(self) -> usize {
        self as usize
    }
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Ours => Self::Theirs,
            Self::Theirs => Self::Ours,
        }
    }
}

/// A rule and a flow.
pub type Pair = (u32, Conversation);

/// What became of an alert at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Its partner was there; both are gone.
    Matched,
    /// It waits.
    Waits,
    /// There was no room for it.
    Refused,
}

/// An alert that found no partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alone {
    /// Whose it is.
    pub side: Side,
    /// What it says.
    pub alert: Alert,
    /// When it came.
    pub came: Timestamp,
}

/// The alerts that wait.
#[derive(Debug)]
pub struct Window {
    grace_us: i64,
    most: usize,
    next: u64,
    /// By side, in the order in which they came.
    waiting: [BTreeMap<u64, (Alert, Timestamp)>; 2],
    /// Who waits for a partner, and their numbers.
    by_pair: HashMap<Pair, (Side, VecDeque<u64>)>,
}

impl Window {
    /// With a grace, and room for [`MAX_WAITING`].
    pub fn new(grace_us: i64) -> Self {
        Self::with_room(grace_us, MAX_WAITING)
    }

    fn with_room(grace_us: i64, most: usize) -> Self {
        Self { grace_us, most, next: 0, waiting: Default::default(), by_pair: HashMap::new() }
    }

    /// How many wait, by side.
    pub fn waiting(&self) -> [u64; 2] {
        [self.waiting[0].len() as u64, self.waiting[1].len() as u64]
    }

    /// Takes an alert that came at `now`.
    pub fn take(&mut self, side: Side, alert: Alert, now: Timestamp) -> Taken {
        let pair = (alert.sid, alert.flow.clone());
        if let Some((who, numbers)) = self.by_pair.get_mut(&pair)
            && *who != side
            && let Some(partner) = numbers.pop_front()
        {
            if numbers.is_empty() {
                self.by_pair.remove(&pair);
            }
            self.waiting[side.other().index()].remove(&partner);
            return Taken::Matched;
        }
        if self.waiting[0].len() + self.waiting[1].len() >= self.most {
            return Taken::Refused;
        }
        self.by_pair.entry(pair).or_insert_with(|| (side, VecDeque::new())).1.push_back(self.next);
        self.waiting[side.index()].insert(self.next, (alert, now));
        self.next += 1;
        Taken::Waits
    }

    /// Gives up the oldest alert whose grace is over at `now`. One of ours must wait, too, until theirs was read as far as
    /// `read_to`, so that a reader who lags behind makes no differences.
    pub fn give_up(&mut self, now: Timestamp, read_to: Timestamp) -> Option<Alone> {
        for side in Side::BOTH {
            let Some(mut first) = self.waiting[side.index()].first_entry() else { continue };
            let came = &mut first.get_mut().1;
            *came = (*came).min(now); // a clock that was set back does not make it wait longer
            let end = Timestamp::from_micros(came.micros().saturating_add(self.grace_us));
            if end <= now && (side == Side::Theirs || end <= read_to) {
                return self.pop(side);
            }
        }
        None
    }

    /// Gives up any alert: the end.
    pub fn drain(&mut self) -> Option<Alone> {
        self.pop(Side::Ours).or_else(|| self.pop(Side::Theirs))
    }

    fn pop(&mut self, side: Side) -> Option<Alone> {
        let (number, (alert, came)) = self.waiting[side.index()].pop_first()?;
        let pair = (alert.sid, alert.flow.clone());
        if let Some((_, numbers)) = self.by_pair.get_mut(&pair) {
            let first = numbers.pop_front(); // the oldest of its side is the oldest of its pair
            debug_assert_eq!(first, Some(number));
            if numbers.is_empty() {
                self.by_pair.remove(&pair);
            }
        }
        Some(Alone { side, alert, came })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compare::{Line, line};

    const GRACE: i64 = 60;

    fn alert(sid: u32, port: u16) -> Alert {
        let text = format!(
            "{{\"event_type\":\"alert\",\"src_ip\":\"192.0.2.1\",\"src_port\":{port},\"dest_ip\":\"192.0.2.2\",\"dest_port\":80,\"proto\":\"TCP\",\"alert\":{{\"signature_id\":{sid}}}}}"
        );
        let Line::Alert(alert) = line(text.as_bytes()) else { panic!("no alert") };
        alert
    }

    const fn at(us: i64) -> Timestamp {
        Timestamp::from_micros(us)
    }

    #[test]
    fn partners_meet_within_the_grace_and_ours_waits_for_the_reader() {
        let mut w = Window::new(GRACE);
        assert_eq!(w.take(Side::Ours, alert(1, 1), at(0)), Taken::Waits);
        assert_eq!(w.take(Side::Theirs, alert(1, 2), at(1)), Taken::Waits, "another flow");
        assert_eq!(w.take(Side::Theirs, alert(2, 1), at(2)), Taken::Waits, "another rule");
        assert_eq!(w.take(Side::Theirs, alert(1, 1), at(59)), Taken::Matched);
        assert_eq!(w.give_up(at(60), at(60)), None, "theirs came later");
        let gone = w.give_up(at(61), at(0)).map(|a| (a.side, a.alert.sid, a.came));
        assert_eq!(gone, Some((Side::Theirs, 1, at(1))), "theirs needs no reader");
        assert_eq!(w.take(Side::Ours, alert(3, 1), at(70)), Taken::Waits);
        assert_eq!(w.give_up(at(500), at(129)).map(|a| a.alert.sid), Some(2));
        assert_eq!(w.give_up(at(500), at(129)), None, "what theirs wrote until 130 is not read yet");
        assert_eq!(w.give_up(at(500), at(130)).map(|a| a.alert.sid), Some(3));
        assert_eq!((w.waiting(), w.by_pair.len()), ([0, 0], 0));
    }

    #[test]
    fn a_clock_set_back_does_not_keep_alerts() {
        let mut w = Window::new(GRACE);
        w.take(Side::Theirs, alert(1, 1), at(1_000_000));
        assert_eq!(w.give_up(at(100), at(100)), None);
        assert!(w.give_up(at(160), at(160)).is_some());
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let mut w = Window::new(GRACE);
        for n in 0..MAX_WAITING {
            assert_eq!(w.take(Side::Ours, alert(n as u32, 1), at(0)), Taken::Waits);
        }
        assert_eq!(w.take(Side::Ours, alert(u32::MAX, 1), at(0)), Taken::Refused);
        assert_eq!(w.take(Side::Theirs, alert(7, 1), at(0)), Taken::Matched, "a partner needs no room");
        assert_eq!(w.take(Side::Theirs, alert(u32::MAX, 1), at(0)), Taken::Waits);
    }

    proptest! {
        /// Everything taken was matched, waits, was refused or given up, whatever the order and the size.
        #[test]
        fn nothing_is_lost(
            steps in proptest::collection::vec((any::<bool>(), 0u32..3, 0u16..3, 0i64..40, any::<bool>()), 0..200),
            most in 1usize..20,
        ) {
            let mut w = Window::with_room(GRACE, most);
            let (mut now, mut took, mut gone) = (0, [0u64; 2], [0u64; 2]);
            for (ours, sid, port, later, look) in steps {
                now += later;
                let side = if ours { Side::Ours } else { Side::Theirs };
                took[side.index()] += 1;
                match w.take(side, alert(sid, port), at(now)) {
                    Taken::Matched => gone = [gone[0] + 1, gone[1] + 1],
                    Taken::Waits => {}
                    Taken::Refused => gone[side.index()] += 1,
                }
                while look && let Some(a) = w.give_up(at(now), at(now)) {
                    prop_assert!(a.came.micros() + GRACE <= now);
                    gone[a.side.index()] += 1;
                }
                let waiting = w.waiting();
                prop_assert!(waiting[0] + waiting[1] <= most as u64);
                prop_assert_eq!(took, [gone[0] + waiting[0], gone[1] + waiting[1]]);
            }
            while w.drain().is_some() {}
            prop_assert!(w.by_pair.is_empty());
        }
    }
}
