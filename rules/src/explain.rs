// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A rule in words: what each of its options asks for or does, when it is looked at and what a match does; and where in a
//! text a refusal points.
//!
//! Must never say more than the engine does: sentences come from the registry, and from the rule as it was understood.

use serde::Serialize;

use crate::{
    Refusal, Rule,
    ast::{Action, FlowState, PayloadTest, ThresholdKind, Track},
    buffers, lex, registry,
};

/// A rule in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Its sid.
    pub sid: u32,
    /// Where it stands: file and line.
    pub place: String,
    /// Its text.
    pub text: String,
    /// What it does, when and how often, a sentence each.
    pub summary: Vec<String>,
    /// Each option with its meaning, in the rule's order.
    pub options: Vec<Explained>,
}

/// One option in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// As written, with its value.
    pub option: String,
    /// What it means.
    pub meaning: String,
}

impl Explanation {
    /// Of a rule that was loaded.
    pub fn of(rule: &Rule) -> Self {
        let parts = lex::parts(&rule.text).ok();
        let options = parts.iter().flat_map(|p| &p.options).map(|(name, value)| Explained {
            option: value.map_or_else(|| (*name).to_owned(), |v| format!("{name}:{v}")),
            meaning: meaning(name),
        });
        Self {
            sid: rule.meta.sid,
            place: format!("{}:{}", rule.place.file, rule.place.line),
            text: rule.text.clone(),
            summary: summary(rule),
            options: options.collect(),
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let wide = self.options.iter().map(|o| o.option.chars().count()).max().unwrap_or(0).min(40);
        let summary = self.summary.iter().map(|s| format!("- {s}\n"));
        let options = self.options.iter().map(|o| format!("  {:<wide$}  {}\n", o.option, o.meaning));
        let head = format!("sid {} ({})\n{}\n\n", self.sid, self.place, self.text);
        head + &summary.collect::<String>() + "\n" + &options.collect::<String>()
    }
}

fn meaning(name: &str) -> String {
    if let Some(k) = registry::find(name) {
        return k.doc.to_owned();
    }
    match buffers::find(name) {
        Some((b, buffers::Form::Sticky)) => format!("what follows looks into {}", b.name),
        Some((b, buffers::Form::Legacy)) => format!("the content before looks into {}", b.name),
        None => String::new(),
    }
}

fn summary(rule: &Rule) -> Vec<String> {
    let mut out = Vec::new();
    let looked = if let Some(frame) = rule.frame() {
        format!("It is looked at once for each frame {} of {}.", frame.name, frame.protocols.join(", "))
    } else if rule.transactional() {
        let names: Vec<&str> = rule.protocols.iter().flat_map(|p| p.iter().copied()).collect();
        format!("It is looked at once for each transaction of {}.", names.join(", "))
    } else if rule.address_only() {
        String::from("It is looked at once for each direction of a flow: it asks for addresses and ports only.")
    } else if rule.payload.is_empty() {
        String::from("It is looked at for every packet that its header fits.")
    } else {
        String::from("It is looked at where its first pattern occurs in a packet or a stream.")
    };
    out.push(looked);
    match (rule.flow.to_server, rule.flow.to_client) {
        (true, _) => out.push(String::from("Only what the client sends is looked at.")),
        (_, true) => out.push(String::from("Only what the server sends is looked at.")),
        _ => {}
    }
    match rule.flow.state {
        FlowState::Established => out.push(String::from("Only established flows are looked at.")),
        FlowState::NotEstablished => out.push(String::from("Only flows that are not established yet are looked at.")),
        FlowState::Any | FlowState::Stateless => {}
    }
    let all = rule.payload.iter().chain(rule.buffers.iter().chain(&rule.frames).flat_map(|b| &b.tests));
    let chosen = all.filter_map(|t| match t {
        PayloadTest::Content(c) if c.fast_pattern => Some(&c.bytes),
        _ => None,
    });
    for bytes in chosen {
        out.push(format!(
            "Its writer chose the pattern that is looked for first: {:?}.",
            String::from_utf8_lossy(bytes)
        ));
    }
    out.push(String::from(match (rule.action, rule.noalert) {
        (_, true) => "A match acts (marks, counters, tags) and is not reported.",
        (Action::Pass, _) if rule.alert => "A match is reported, and rules that come later are not asked any more.",
        (Action::Pass, _) => "A match is not reported, and rules that come later are not asked any more.",
        (Action::Alert, _) => "A match is reported.",
        (Action::Drop | Action::Reject, _) => {
            "A match is reported; this sensor only listens and stops nothing. The flow is not looked at any more."
        }
    }));
    if rule.bypass {
        out.push(String::from(
            "A match ends the inspection of its flow: no rule looks at it and no protocol is parsed any more.",
        ));
    }
    if let Some(t) = rule.threshold {
        let by = match t.track {
            Track::Src => "source address",
            Track::Dst => "destination address",
            Track::Both => "pair of addresses",
            Track::Rule => "rule",
            Track::Flow => "flow",
        };
        let (n, s) = (t.count, t.seconds);
        out.push(match t.kind {
            ThresholdKind::Limit => format!("At most {n} alerts in {s} s for each {by}."),
            ThresholdKind::Threshold => format!("One alert for every {n} matches in {s} s for each {by}."),
            ThresholdKind::Both => format!("One alert in {s} s for each {by}, once there were {n} matches."),
            ThresholdKind::DetectionFilter if t.unique.is_some() => {
                format!("Alerts once more than {n} different ports were seen in {s} s for each {by}.")
            }
            ThresholdKind::DetectionFilter => format!("Alerts only after {n} matches in {s} s for each {by}."),
            ThresholdKind::Backoff => {
                format!("Alerts at match {n} of a flow, then each time the count is {s} times as high.")
            }
        });
    }
    if !rule.suppress.is_empty() {
        out.push(String::from("threshold.config keeps alerts of it back, for some addresses or for all."));
    }
    if rule.rate.is_some() {
        out.push(String::from("threshold.config takes another action for a while where it matches too often."));
    }
    out
}

/// Where in a rule file's text a refusal points: line and column, both from 1, of the keyword or of the rule's beginning.
pub fn locate(text: &str, refusal: &Refusal) -> Option<(usize, usize)> {
    let first = usize::try_from(refusal.line).ok()?.checked_sub(1)?;
    let (mut body, mut start, mut escaped) = (false, true, false);
    let named = |word: &str| {
        word.eq_ignore_ascii_case(&refusal.keyword)
            || registry::find(word).is_some_and(|k| k.name == refusal.keyword)
            || buffers::find(word).is_some_and(|(b, _)| b.name == refusal.keyword)
    };
    for (n, line) in text.lines().enumerate().skip(first) {
        if n == first && refusal.keyword.is_empty() {
            break;
        }
        for (i, c) in line.char_indices() {
            if start && body && !c.is_whitespace() && c != '\\' {
                start = false;
                let rest = line.get(i..).unwrap_or_default();
                let end = rest.find([':', ';']).unwrap_or(rest.len());
                if named(rest.get(..end).unwrap_or_default().trim()) {
                    return Some((n + 1, line.get(..i)?.chars().count() + 1));
                }
            }
            match c {
                '(' if !body => body = true,
                ';' if !escaped => start = true, // in quotes, too: as the rule is taken apart
                _ => {}
            }
            escaped = c == '\\' && !escaped;
        }
        escaped = false;
        if !line.trim_end().ends_with('\\') {
            break;
        }
    }
    let line = text.lines().nth(first)?;
    let blank = line.chars().take_while(|c| c.is_whitespace()).count();
    Some((first + 1, blank + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Options;

    #[test]
    fn a_rule_is_told_as_it_was_understood() {
        let text = r#"alert http any any -> any any (msg:"m"; flow:established,to_server; http.uri; content:"/x"; fast_pattern; threshold:type limit, track by_src, count 2, seconds 60; sid:7;)"#;
        let set = crate::parse(&[("r.rules", text.as_bytes())], &Options::default());
        let told = Explanation::of(&set.rules[0]);
        assert_eq!((told.sid, told.place.as_str()), (7, "r.rules:1"));
        assert_eq!(told.options.len(), 7);
        assert!(told.options.iter().all(|o| !o.meaning.is_empty()), "{:?}", told.options);
        let all = told.text();
        for want in [
            "each transaction of http",
            "what the client sends",
            "established",
            "\"/x\"",
            "At most 2 alerts in 60 s",
            "looks into http.uri",
        ] {
            assert!(all.contains(want), "{want}: {all}");
        }
    }

    /// What the summary says of a rule, with its threshold.config.
    fn told(rule: &str, config: &str) -> Vec<String> {
        let mut set = crate::parse(&[("r.rules", rule.as_bytes())], &Options::default());
        crate::thresholds::apply(&mut set, "threshold.config", config, &Options::default().variables);
        assert_eq!(set.refused, [], "{rule}");
        Explanation::of(&set.rules[0]).summary
    }

    /// Suricata user guide: "Rules Format" (actions, what a rule is looked at for), "Thresholding Keywords", "Bypass Keyword",
    /// "Global-Thresholds".
    #[test]
    fn when_a_rule_is_looked_at_and_what_a_match_does() {
        for (rule, want) in [
            ("alert ip 192.0.2.1 any -> any any (sid:1;)", "once for each direction of a flow"),
            ("alert tcp any any -> any any (flags:S; sid:1;)", "every packet that its header fits"),
            ("alert tcp any any -> any any (content:\"abc\"; sid:1;)", "where its first pattern occurs"),
            ("alert smb any any -> any any (frame:smb2.hdr; content:\"abc\"; sid:1;)", "each frame smb2.hdr of smb"),
            ("alert http any any -> any any (http.uri; content:\"abc\"; sid:1;)", "each transaction of http"),
            ("alert tcp any any -> any any (flow:to_client; sid:1;)", "Only what the server sends"),
            ("alert tcp any any -> any any (flow:from_client; sid:1;)", "Only what the client sends"),
            ("alert tcp any any -> any any (flow:established; sid:1;)", "Only established flows"),
            ("alert tcp any any -> any any (flow:not_established; sid:1;)", "not established yet"),
            ("alert tcp any any -> any any (content:\"abc\"; content:\"d\"; fast_pattern; sid:1;)", "first: \"d\""),
            ("alert tcp any any -> any any (sid:1;)", "A match is reported."),
            ("drop tcp any any -> any any (sid:1;)", "only listens and stops nothing"),
            ("reject tcp any any -> any any (sid:1;)", "only listens and stops nothing"),
            ("pass tcp any any -> any any (sid:1;)", "not reported, and rules that come later are not asked"),
            ("pass tcp any any -> any any (alert; sid:1;)", "is reported, and rules that come later are not asked"),
            ("alert tcp any any -> any any (flowbits:set,a; noalert; sid:1;)", "is not reported"),
            ("alert tcp any any -> any any (content:\"abc\"; bypass; sid:1;)", "ends the inspection of its flow"),
        ] {
            let summary = told(rule, "");
            assert!(summary.iter().any(|s| s.contains(want)), "{rule}: {summary:?}");
        }
        for (threshold, want) in [
            (
                "threshold:type limit, track by_dst, count 2, seconds 60",
                "At most 2 alerts in 60 s for each destination address.",
            ),
            (
                "threshold:type threshold, track by_rule, count 3, seconds 9",
                "One alert for every 3 matches in 9 s for each rule.",
            ),
            (
                "threshold:type both, track by_both, count 3, seconds 9",
                "One alert in 9 s for each pair of addresses, once there were 3 matches.",
            ),
            (
                "threshold:type backoff, track by_flow, count 1, multiplier 10",
                "Alerts at match 1 of a flow, then each time the count is 10 times as high.",
            ),
            (
                "detection_filter:track by_src, count 5, seconds 9",
                "Alerts only after 5 matches in 9 s for each source address.",
            ),
            (
                "detection_filter:track by_src, count 5, seconds 9, unique_on dst_port",
                "Alerts once more than 5 different ports were seen in 9 s for each source address.",
            ),
        ] {
            let summary = told(&format!("alert tcp any any -> any any (content:\"abc\"; {threshold}; sid:1;)"), "");
            assert_eq!(summary.last().map(String::as_str), Some(want), "{threshold}");
        }
        let rule = "alert tcp any any -> any any (content:\"abc\"; sid:1;)";
        for (config, want) in [
            ("suppress gen_id 1, sig_id 1, track by_src, ip 192.0.2.1", "keeps alerts of it back"),
            (
                "rate_filter gen_id 1, sig_id 1, track by_src, count 2, seconds 3, new_action pass, timeout 4",
                "another action",
            ),
        ] {
            let summary = told(rule, config);
            assert!(summary.last().is_some_and(|s| s.contains(want)), "{config}: {summary:?}");
        }
    }

    #[test]
    fn an_option_means_what_the_registry_or_the_table_of_buffers_says() {
        let text = r#"alert http any any -> any any (content:"a"; http_uri; file.data; content:"b"; noalert; sid:1;)"#;
        let set = crate::parse(&[("r.rules", text.as_bytes())], &Options::default());
        let meanings: Vec<_> =
            Explanation::of(&set.rules[0]).options.into_iter().map(|o| (o.option, o.meaning)).collect();
        let of = |option: &str| meanings.iter().find(|(o, _)| o == option).map(|(_, m)| m.as_str());
        assert_eq!(of("http_uri"), Some("the content before looks into http.uri"));
        assert_eq!(of("file.data"), Some("what follows looks into file.data"));
        assert_eq!(of("noalert"), registry::find("noalert").map(|k| k.doc));
        assert_eq!(meaning("no such"), "");
    }

    #[test]
    fn refusals_point_at_the_keyword() {
        let text = "# c\nalert udp any any -> any any (msg:\"dsize:1\\;\"; \\\n  tcp.flags:S; content:\"a\"; sid:1;)\nalrt x\n";
        let set = crate::parse(&[("r", text.as_bytes())], &Options::default());
        let at: Vec<_> = set.refused.iter().map(|r| (r.keyword.as_str(), locate(text, r))).collect();
        assert_eq!(at, [("flags", Some((3, 3))), ("", Some((4, 1)))]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-zä(:;\"\\\\ \n]{0,60}", line in 0u32..6, keyword in "[a-z]{0,3}") {
            let r = Refusal { file: String::new(), line, sid: None, keyword, reason: String::new() };
            let _ = locate(&text, &r);
        }
    }
}
