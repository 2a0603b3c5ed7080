// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What happens in the demo: who is attacked how and when. The expectations follow from this table alone; nothing here
//! is read from what the aggregator answers.

/// One attack, played at several constituents.
pub(crate) struct Attack {
    /// Short name in the report.
    pub(crate) name: &'static str,
    /// Folder in `rules/sets/tests` whose `fires.pcap` is played.
    pub(crate) case: &'static str,
    /// Rule that fires.
    pub(crate) sid: u64,
    /// Seconds after the start at which its capture begins, by constituent.
    pub(crate) at: &'static [(&'static str, f64)],
    /// Outside address that it comes from in the demo.
    pub(crate) attacker: &'static str,
    /// Whether it is a campaign (three or more constituents): then exactly those are warned, else nobody.
    pub(crate) warned: bool,
}

/// The attacks. The captures' attackers are outside addresses and stay as recorded, so that the same address turns up at
/// several constituents; inner addresses are moved into each constituent's own network.
pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        name: "ssh-brute-force",
        case: "1100101-ssh-bruteforce",
        sid: 1_100_101,
        // The eighth connection, which makes it a brute force, comes 32 seconds into the capture.
        at: &[("auenstadt", -28.0), ("wehrmuende", -27.0), ("hohenlind", -24.0), ("tiefenlohe", -16.0)],
        attacker: "203.0.113.66",
        warned: true,
    },
    Attack {
        name: "log4shell",
        case: "1100401-log4shell",
        sid: 1_100_401,
        at: &[("rabenfurt", 10.0), ("kranichwerth", 11.0), ("kreiskrankenhaus-rabenfurt", 12.0), ("reiherau", 13.0)],
        attacker: "198.51.100.200",
        warned: true,
    },
    Attack {
        name: "eternalblue",
        case: "1100304-smb-eternalblue",
        sid: 1_100_304,
        at: &[("dornsiel", 14.0), ("grauenstein", 15.0), ("auenstadt", 19.0)],
        attacker: "192.0.2.45",
        warned: true,
    },
    // One place only: an event like any other, no campaign, and so no warning to anyone.
    Attack {
        name: "web-shell-once",
        case: "1100411-webshell-eval",
        sid: 1_100_411,
        at: &[("wehrmuende", 18.0)],
        attacker: "203.0.113.99",
        warned: false,
    },
];

/// The attackers' addresses in the recordings (rules/captures/README.md).
pub(crate) const RECORDED_ATTACKERS: &[&str] = &["203.0.113.66", "198.51.100.23"];

/// Sensor that ships the eve.json of a Suricata that was there before.
pub(crate) const FOREIGN: &str = "gw-reiherau";
/// Sensor that goes silent, and when (seconds after the start).
pub(crate) const SILENT: (&str, f64) = ("gw-erlenwerder", 12.0);
/// What the map by coverage must say of its municipality.
pub(crate) const SILENT_ON_MAP: &str = "Erlenwerder: blind";
/// Municipalities of the fictional Land, as in its map and its register.
pub(crate) const MUNICIPALITIES: u64 = 62;
/// Sensor that is killed with -9 and started again.
pub(crate) const KILLED_SENSOR: (&str, f64) = ("gw-hohenlind", 9.0);
/// When the aggregator is killed with -9 and started again.
pub(crate) const KILLED_AGGREGATOR: f64 = 26.0;
/// When the engine is killed with -9.
pub(crate) const KILLED_ENGINE: f64 = 17.0;
/// Seconds until everything must have arrived.
pub(crate) const LENGTH: f64 = 40.0;
/// Constituents that no attack touches and that read their feed all the same: it must stay empty.
pub(crate) const UNTOUCHED: &[&str] = &["erlenwerder", "lindrode"];

/// Every constituent that some attack touches, with the attack's place in [`ATTACKS`].
pub(crate) fn touched() -> impl Iterator<Item = (&'static str, &'static Attack)> {
    ATTACKS.iter().flat_map(|a| a.at.iter().map(move |(c, _)| (*c, a)))
}
