// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `threshold.config`: what an operator does to rules that others wrote: `suppress`, `threshold` (`event_filter`) and
//! `rate_filter`. Suricata user guide, "Global-Thresholds".
//!
//! Must never apply a line in part: one that is not understood is refused with its number and a reason. Limits:
//! [`MAX_LINES`].

use std::{collections::HashMap, sync::Arc};

use crate::{
    Refusal, RuleSet,
    address::AddressSet,
    ast::{Action, Threshold, ThresholdKind, Track},
    keywords::number,
    vars::Variables,
};

/// Most lines of a file. Threat: a wrong path, read line by line into memory.
pub const MAX_LINES: usize = 1_000_000;

/// One `suppress` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppress {
    /// Which side of the packet must be one of the addresses; None: every match is kept back.
    pub of: Option<(Side, Arc<AddressSet>)>,
}

/// `track` of `suppress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `by_src`
    Src,
    /// `by_dst`
    Dst,
    /// `by_either`
    Either,
}

/// One `rate_filter` line: another action for a while, once there are too many matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateFilter {
    /// Whose matches are counted together.
    pub track: Track,
    /// Matches in a window before the other action is taken.
    pub count: u32,
    /// The window.
    pub seconds: u32,
    /// The other action.
    pub action: Action,
    /// Seconds for which it is taken.
    pub timeout: u32,
}

/// Reads a file's text and changes the rules it names. What is wrong in it is added to the set's refusals; a line that
/// names a rule that is not loaded, to its warnings. The hash of the set covers what was applied.
pub fn apply(set: &mut RuleSet, file: &str, text: &str, variables: &Variables) {
    let mut places: HashMap<(u32, u32), usize> = HashMap::new();
    for (i, r) in set.rules.iter().enumerate() {
        places.insert((r.meta.gid, r.meta.sid), i);
    }
    let mut applied = String::new();
    for (line, text) in logical_lines(text) {
        let said = |keyword: &str, sid: Option<u32>, reason: String| Refusal {
            file: file.to_owned(),
            line,
            sid,
            keyword: keyword.to_owned(),
            reason,
        };
        let entry = match Entry::parse(&text, variables) {
            Ok(entry) => entry,
            Err(reason) => {
                let word = text.split_whitespace().next().unwrap_or_default();
                set.refused.push(said(word, None, reason));
                continue;
            }
        };
        let those: Vec<usize> = match (entry.gid, entry.sid) {
            (gid, 0) => {
                let fits = |i: &usize| gid == 0 || set.rules.get(*i).is_some_and(|r| r.meta.gid == gid);
                (0..set.rules.len()).filter(fits).collect()
            }
            key => places.get(&key).copied().into_iter().collect(),
        };
        if those.is_empty() {
            let reason =
                format!("no rule with gid {} and sid {} is loaded: the line does nothing", entry.gid, entry.sid);
            set.warnings.push(said("", Some(entry.sid), reason));
            continue;
        }
        applied.push_str(&text);
        applied.push('\n');
        for i in those {
            let Some(rule) = set.rules.get_mut(i).map(Arc::make_mut) else { continue };
            match &entry.what {
                What::Suppress(s) => rule.suppress.push(s.clone()),
                What::Threshold(t) => rule.threshold = Some(*t),
                What::Rate(r) => rule.rate = Some(*r),
            }
        }
    }
    if !applied.is_empty() {
        set.cover(applied.as_bytes());
    }
}

/// Lines without comments, joined where a `\` ends one; with the number of the first.
fn logical_lines(text: &str) -> Vec<(u32, String)> {
    let mut out = Vec::new();
    let mut open: Option<(u32, String)> = None;
    for (n, line) in text.lines().take(MAX_LINES).enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let (number, mut joined) = open.take().unwrap_or((u32::try_from(n + 1).unwrap_or(u32::MAX), String::new()));
        match line.strip_suffix('\\') {
            Some(part) => {
                joined.push_str(part);
                joined.push(' ');
                open = Some((number, joined));
            }
            None => {
                joined.push_str(line);
                if !joined.trim().is_empty() {
                    out.push((number, joined.trim().to_owned()));
                }
            }
        }
    }
    out.extend(open.filter(|(_, s)| !s.trim().is_empty()));
    out
}

struct Entry {
    gid: u32,
    sid: u32,
    what: What,
}

enum What {
    Suppress(Suppress),
    Threshold(Threshold),
    Rate(RateFilter),
}

impl Entry {
    fn parse(line: &str, variables: &Variables) -> Result<Self, String> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let mut fields = Fields::parse(rest)?;
        let gid = number(&fields.wanted("gen_id")?, 0, u32::MAX)?;
        let sid = number(&fields.wanted("sig_id")?, 0, u32::MAX)?;
        if gid == 0 && sid != 0 {
            return Err(String::from(
                "gen_id 0 means every rule and goes with sig_id 0 only; most rules have gen_id 1",
            ));
        }
        let what = match word {
            "suppress" => What::Suppress(suppress(&mut fields, variables)?),
            "threshold" | "event_filter" => What::Threshold(threshold(&mut fields)?),
            "rate_filter" => What::Rate(rate(&mut fields)?),
            other => return Err(format!("{other:?} is none of suppress, threshold, event_filter, rate_filter")),
        };
        if sid == 0 && !matches!(what, What::Suppress(_)) {
            return Err(String::from("only suppress may name all rules (sig_id 0); name one rule"));
        }
        fields.end()?;
        Ok(Self { gid, sid, what })
    }
}

fn suppress(f: &mut Fields, variables: &Variables) -> Result<Suppress, String> {
    let of = match (f.take("track"), f.take("ip")) {
        (None, None) => None,
        (Some(track), Some(ip)) => {
            let side = match track.as_str() {
                "by_src" => Side::Src,
                "by_dst" => Side::Dst,
                "by_either" => Side::Either,
                other => return Err(format!("the track {other:?} is none of by_src, by_dst, by_either")),
            };
            let ip = if ip.contains(',') && !ip.starts_with(['[', '!']) { format!("[{ip}]") } else { ip };
            Some((side, Arc::new(AddressSet::parse(&ip, variables)?)))
        }
        _ => return Err(String::from("track and ip go together; without both every match is kept back")),
    };
    Ok(Suppress { of })
}

fn threshold(f: &mut Fields) -> Result<Threshold, String> {
    let kind = match f.wanted("type")?.as_str() {
        "limit" => ThresholdKind::Limit,
        "threshold" => ThresholdKind::Threshold,
        "both" => ThresholdKind::Both,
        other => return Err(format!("the type {other:?} is none of limit, threshold, both")),
    };
    let (track, count, seconds) = window(f)?;
    Ok(Threshold { kind, track, count, seconds, unique: None })
}

fn rate(f: &mut Fields) -> Result<RateFilter, String> {
    let (track, count, seconds) = window(f)?;
    let action = match f.wanted("new_action")?.as_str() {
        "alert" => Action::Alert,
        "drop" => Action::Drop,
        "pass" => Action::Pass,
        "reject" => Action::Reject,
        other => return Err(format!("the new_action {other:?} is none of alert, drop, pass, reject")),
    };
    let timeout = number(&f.wanted("timeout")?, 0, u32::MAX)?;
    Ok(RateFilter { track, count, seconds, action, timeout })
}

fn window(f: &mut Fields) -> Result<(Track, u32, u32), String> {
    let track = match f.wanted("track")?.as_str() {
        "by_src" => Track::Src,
        "by_dst" => Track::Dst,
        "by_both" => Track::Both,
        "by_rule" => Track::Rule,
        "by_flow" => Track::Flow,
        other => return Err(format!("the track {other:?} is none of by_src, by_dst, by_both, by_rule, by_flow")),
    };
    Ok((track, number(&f.wanted("count")?, 1, u32::MAX)?, number(&f.wanted("seconds")?, 1, u32::MAX)?))
}

// `name value, name value`; a value in brackets may hold commas, and so may the last one, `ip`.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn parse(text: &str) -> Result<Self, String> {
        let mut out: Vec<(String, String)> = Vec::new();
        let mut depth = 0usize;
        let mut from = 0;
        let mut pieces = Vec::new();
        for (i, c) in text.char_indices() {
            match c {
                '[' => depth += 1,
                ']' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    pieces.push(text.get(from..i).unwrap_or_default());
                    from = i + 1;
                }
                _ => {}
            }
        }
        pieces.push(text.get(from..).unwrap_or_default());
        for piece in pieces.iter().map(|p| p.trim()) {
            match (piece.split_once(char::is_whitespace), out.last_mut()) {
                (Some((name, value)), _) if name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => {
                    if out.iter().any(|(n, _)| n == name) {
                        return Err(format!("{name} is given twice"));
                    }
                    out.push((name.to_owned(), value.trim().to_owned()));
                }
                (None, Some((name, value))) if name == "ip" && !piece.is_empty() => {
                    value.push(',');
                    value.push_str(piece);
                }
                _ => return Err(format!("{piece:?} is not a name and a value, as in `sig_id 2002087`")),
            }
        }
        Ok(Self(out))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.remove(at).1)
    }

    fn wanted(&mut self, name: &str) -> Result<String, String> {
        self.take(name).ok_or_else(|| format!("it wants {name}"))
    }

    fn end(&self) -> Result<(), String> {
        self.0.first().map_or(Ok(()), |(n, _)| Err(format!("{n:?} has no place here")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Options;

    fn applied(text: &str) -> RuleSet {
        let rules = "alert udp any any -> any any (threshold:type limit, track by_src, count 1, seconds 1; sid:1;)\n\
                     alert udp any any -> any any (sid:2;)\nalert udp any any -> any any (gid:7; sid:3;)";
        let options = Options::default();
        let mut set = crate::parse(&[("r", rules.as_bytes())], &options);
        apply(&mut set, "threshold.config", text, &options.variables);
        set
    }

    #[test]
    fn lines_change_the_rules_they_name() {
        let set = applied(concat!(
            "# a comment\n\nsuppress gen_id 1, sig_id 1\n",
            "suppress gen_id 1, sig_id 2, track by_src, ip [192.0.2.0/24,198.51.100.1] # why\n",
            "suppress gen_id 0, sig_id 0, track by_either, ip $HOME_NET\n",
            "threshold gen_id 1, sig_id 1, type both, \\\n   track by_rule, count 3, seconds 5\n",
            "rate_filter gen_id 7, sig_id 3, track by_both, count 2, seconds 60, new_action pass, timeout 30\n",
        ));
        assert_eq!((&set.refused, &set.warnings), (&vec![], &vec![]));
        let [one, two, three] = set.rules.as_slice() else { panic!("three rules") };
        assert_eq!((one.suppress.len(), two.suppress.len(), three.suppress.len()), (2, 2, 1));
        assert!(one.suppress[0].of.is_none());
        let Some((Side::Src, of)) = &two.suppress[0].of else { panic!("{:?}", two.suppress) };
        assert!(of.contains([192, 0, 2, 7].into()) && !of.contains([198, 51, 100, 2].into()));
        let t = one.threshold.expect("it had one");
        assert_eq!((t.kind, t.track, t.count, t.seconds), (ThresholdKind::Both, Track::Rule, 3, 5));
        let wanted = RateFilter { track: Track::Both, count: 2, seconds: 60, action: Action::Pass, timeout: 30 };
        assert_eq!(three.rate, Some(wanted));
        assert_ne!(set.sha256, applied("").sha256, "what ran is told by the hash");
        assert_eq!(applied("# nothing").sha256, applied("").sha256);
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_line() {
        for (line, why) in [
            ("supress gen_id 1, sig_id 1", "none of suppress"),
            ("suppress gen_id 1", "wants sig_id"),
            ("suppress gen_id 0, sig_id 1", "goes with sig_id 0 only"),
            ("suppress gen_id 1, sig_id 1, track by_src", "go together"),
            ("suppress gen_id 1, sig_id 1, track by_rule, ip any", "by_either"),
            ("suppress gen_id 1, sig_id 1, track by_src, ip 192.0.2.300", "192.0.2.300"),
            ("suppress gen_id 1, sig_id 1, track by_src, ip any, count 3", "no place"),
            ("threshold gen_id 1, sig_id 0, type limit, track by_src, count 1, seconds 1", "only suppress"),
            ("threshold gen_id 1, sig_id 1, type often, track by_src, count 1, seconds 1", "none of limit"),
            ("event_filter gen_id 1, sig_id 1, type limit, track by_src, count 0, seconds 1", "whole number"),
            (
                "rate_filter gen_id 1, sig_id 1, track by_src, count 1, seconds 1, new_action log, timeout 1",
                "none of alert",
            ),
        ] {
            let set = applied(&format!("\n{line}\n"));
            assert_eq!(set.refused.len(), 1, "{line}");
            assert_eq!(set.refused[0].line, 2, "{line}");
            assert!(set.refused[0].reason.contains(why), "{line}: {}", set.refused[0].reason);
        }
        let set = applied("suppress gen_id 1, sig_id 99");
        assert_eq!((set.refused.len(), set.warnings.len()), (0, 1));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(suppress|threshold|rate_filter|gen_id|sig_id|track|ip|[ ,\\[\\]!$\\\\#\n0-9a-z]){0,24}") {
            let set = applied(&text);
            prop_assert_eq!(set.rules.len(), 3);
        }
    }
}
