// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The table of configuration keys: every key this sensor knows, whether it honours it, and why not where it does not.
//!
//! It drives the check of names and types and the reference `docs/sensor-config.md`. Names and defaults are Suricata's
//! (Suricata user guide, "Suricata.yaml") except under `lagewarte:`. Must never list a key as honoured that nothing reads:
//! a test moves each one and looks for the change.

mod capture;
mod outputs;
mod own;
mod protocols;
mod rules;
mod stream;

use lagewarte_base::spelling::distance;

/// How a key's text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `yes`/`no` (also true/false, on/off, 1/0).
    Flag,
    /// A whole number.
    Number,
    /// Bytes: a number with `kb`, `mb` or `gb`.
    Size,
    /// A whole number of seconds.
    Seconds,
    /// Any text, a path or a name.
    Text,
    /// A list of texts.
    List,
    /// `yes`, `no` or `auto`.
    FlagOrAuto,
    /// `yes`, `no` or `detection-only`.
    FlagOrDetection,
    /// A number or `auto`.
    NumberOrAuto,
    /// `address:port`.
    Listen,
    /// One of these words, separated by spaces.
    OneOf(&'static str),
    /// A value, or a section of members: `- alert` and `- alert: {...}`.
    Section,
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Read and acted on. Kind, default as text, value of an example that differs from the default.
    Honoured(Kind, &'static str, &'static str),
    /// Known as Suricata's and without effect here.
    Ignored(Why),
}

/// Why a known key has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its output or protocol record is not written by this release.
    NotYet,
    /// It tunes a part that is built differently here.
    BuiltDifferently,
    /// It belongs to a way of capture that this sensor does not have.
    OtherCapture,
    /// It belongs to blocking traffic: this sensor only listens.
    ListensOnly,
    /// It is set on the command line or by the service unit.
    Elsewhere,
}

impl Why {
    /// In words, for messages and the reference.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotYet => "this release has no such output or protocol record",
            Self::BuiltDifferently => "it tunes a part that is built differently here",
            Self::OtherCapture => "this sensor does not capture that way",
            Self::ListensOnly => "this sensor listens and never blocks traffic",
            Self::Elsewhere => "set it on the command line or in the service unit",
        }
    }
}

/// One entry: `a.{b,c}.*` stands for several keys; `**` at the end for everything beneath.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted path with braces for alternatives and `*` for any one name.
    pub pattern: &'static str,
    /// What becomes of it.
    pub used: Use,
    /// A sentence for the reference.
    pub doc: &'static str,
}

const fn on(pattern: &'static str, kind: Kind, default: &'static str, example: &'static str, doc: &'static str) -> Key {
    Key { pattern, used: Use::Honoured(kind, default, example), doc }
}
const fn off(pattern: &'static str, why: Why, doc: &'static str) -> Key {
    Key { pattern, used: Use::Ignored(why), doc }
}

/// Every key, in the order of the reference. Where several entries cover a path, the first decides.
pub fn all() -> impl Iterator<Item = &'static Key> {
    [own::KEYS, rules::KEYS, capture::KEYS, stream::KEYS, protocols::KEYS, outputs::KEYS].into_iter().flatten()
}

impl Key {
    /// Whether this entry covers a dotted path.
    pub fn covers(&self, path: &str) -> bool {
        matches(self.pattern, path) == Match::Whole
    }
}

/// What the table says of a path.
#[derive(Clone, Copy, Debug)]
pub enum Known {
    /// An entry covers it.
    Key(&'static Key),
    /// Entries stand beneath it.
    Section,
    /// Nothing does.
    Unknown,
}

/// Looks a dotted path up.
pub fn look_up(path: &str) -> Known {
    let mut section = false;
    for key in all() {
        match matches(key.pattern, path) {
            // Keys that are honoured stand beneath it: what the rest of the section is, is said of its own keys.
            Match::Whole if section && key.pattern.ends_with("**") => return Known::Section,
            Match::Whole => return Known::Key(key),
            Match::Above => section = true,
            Match::No => {}
        }
    }
    if section { Known::Section } else { Known::Unknown }
}

/// The nearest known key to a misspelt one, by edit distance; None where none is near.
pub fn nearest(path: &str) -> Option<String> {
    all()
        .filter(|k| matches!(k.used, Use::Honoured(..)))
        .flat_map(|k| expand(k.pattern))
        .filter(|name| !name.contains('*'))
        .filter_map(|name| Some((distance(path, &name)?, name)))
        .min()
        .filter(|(d, _)| *d <= 3)
        .map(|(_, name)| name)
}

/// Writes a pattern's braces out.
pub fn expand(pattern: &str) -> Vec<String> {
    let Some((before, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
    let Some((choice, after)) = rest.split_once('}') else { return vec![pattern.to_owned()] };
    let tails = expand(after);
    choice.split(',').flat_map(|c| tails.iter().map(move |t| format!("{before}{c}{t}"))).collect()
}

#[derive(PartialEq, Eq)]
enum Match {
    Whole,
    Above,
    No,
}

fn matches(pattern: &str, path: &str) -> Match {
    let mut wanted = pattern.split('.');
    for have in path.split('.') {
        match wanted.next() {
            Some("**") => return Match::Whole,
            Some("*") => {}
            Some(w) if w == have => {}
            Some(w) if w.strip_prefix('{').is_some_and(|w| w.trim_end_matches('}').split(',').any(|w| w == have)) => {}
            _ => return Match::No,
        }
    }
    if wanted.next().is_none() { Match::Whole } else { Match::Above }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_by_name_star_braces_and_section() {
        for (path, want) in [
            ("vars.address-groups.HOME_NET", "vars.address-groups.*"),
            (
                "outputs.eve-log.types.alert.payload",
                "outputs.eve-log.types.alert.{payload,payload-printable,packet,verdict}",
            ),
            (
                "app-layer.protocols.http.libhtp.default-config.personality",
                "app-layer.protocols.http.libhtp.default-config.**",
            ),
        ] {
            let Known::Key(key) = look_up(path) else { panic!("{path} is not known") };
            assert_eq!(key.pattern, want);
        }
        for section in ["vars", "vars.address-groups", "lagewarte", "outputs.eve-log", "app-layer.protocols"] {
            assert!(matches!(look_up(section), Known::Section), "{section}");
        }
        for unknown in ["lagewarte.state-dri", "var", "vars.address-groups.A.b", "outputs.eve-log.types.alrt"] {
            assert!(matches!(look_up(unknown), Known::Unknown), "{unknown}");
        }
    }

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        assert_eq!(nearest("lagewarte.state-dri").as_deref(), Some("lagewarte.state-dir"));
        assert_eq!(nearest("lagewarte.something.else.entirely"), None);
    }

    #[test]
    fn no_key_stands_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for name in all().flat_map(|k| expand(k.pattern)) {
            assert!(seen.insert(name.clone()), "{name} stands twice");
        }
    }
}
