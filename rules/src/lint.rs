// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What is odd about rules that load: they can never match in this set, cost too much, or do not say what they are.
//!
//! Must never keep a rule from loading: what is wrong beyond doubt is refused by the parser, and listed here, too.

use std::collections::HashSet;

use serde::Serialize;

use crate::{
    Rule, RuleSet,
    ast::{Direction, FlowbitOp, PayloadTest, Proto},
    marks::{FlowintOp, XbitOp},
};

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule file.
    pub file: String,
    /// First line of the rule.
    pub line: u32,
    /// Its sid.
    pub sid: Option<u32>,
    /// What kind of finding it is.
    pub kind: Kind,
    /// The keyword that it is about; empty for the rule as a whole.
    pub keyword: String,
    /// In a sentence.
    pub message: String,
}

/// Kinds of findings, gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It does not load.
    Refused,
    /// Two rules have one sid.
    DuplicateSid,
    /// It can never match in this set.
    NeverMatches,
    /// It is looked at too often.
    Costly,
    /// It has no effect.
    NoEffect,
    /// It does not say what it is.
    Nameless,
    /// It loads, and looks wrong.
    Odd,
}

/// Looks a set over.
pub fn lint(set: &RuleSet) -> Vec<Finding> {
    let mut out = Vec::new();
    for r in &set.refused {
        let kind = if r.keyword == "sid" && r.reason.contains("already used") || r.keyword == "rev" {
            Kind::DuplicateSid
        } else {
            Kind::Refused
        };
        out.push(Finding {
            file: r.file.clone(),
            line: r.line,
            sid: r.sid,
            kind,
            keyword: r.keyword.clone(),
            message: r.reason.clone(),
        });
    }
    for w in &set.warnings {
        out.push(Finding {
            file: w.file.clone(),
            line: w.line,
            sid: w.sid,
            kind: Kind::Odd,
            keyword: w.keyword.clone(),
            message: w.reason.clone(),
        });
    }
    let names = Memory::of(set);
    for rule in &set.rules {
        let mut say = |kind, keyword: &str, message: String| {
            out.push(Finding {
                file: rule.place.file.to_string(),
                line: rule.place.line,
                sid: Some(rule.meta.sid),
                kind,
                keyword: keyword.to_owned(),
                message,
            });
        };
        names.look(rule, &mut say);
        cost(rule, &mut say);
        if rule.meta.msg.is_empty() && !rule.noalert {
            say(Kind::Nameless, "msg", String::from("the alert has no text; give it a msg"));
        }
        if rule.meta.rev == 0 {
            say(Kind::Nameless, "rev", String::from("without a rev nobody can tell which version alerted"));
        }
        if rule.meta.classtype.is_none() && !rule.noalert {
            say(Kind::Nameless, "classtype", String::from("without a class the alert has no category, and priority 3"));
        }
    }
    out.sort_by(|a, b| (&a.file, a.line, a.kind).cmp(&(&b.file, b.line, b.kind)));
    out
}

type Say<'s> = &'s mut dyn FnMut(Kind, &str, String);

// What rules of the set write and read.
#[derive(Default)]
struct Memory<'a> {
    set: HashSet<(&'static str, &'a str)>,
    read: HashSet<(&'static str, &'a str)>,
}

impl<'a> Memory<'a> {
    fn of(set: &'a RuleSet) -> Self {
        let mut m = Self::default();
        for rule in &set.rules {
            for f in &rule.flowbits {
                let of = match f.op {
                    FlowbitOp::Set | FlowbitOp::Toggle => &mut m.set,
                    FlowbitOp::Isset | FlowbitOp::Isnotset => &mut m.read,
                    FlowbitOp::Unset => continue,
                };
                of.extend(f.names.iter().map(|n| ("flowbits", n.as_str())));
            }
            for f in &rule.flowints {
                let of = match f.op {
                    FlowintOp::Set | FlowintOp::Add => &mut m.set,
                    FlowintOp::Sub => continue,
                    _ => &mut m.read,
                };
                of.insert(("flowint", &f.name));
            }
            for x in &rule.xbits {
                let of = match x.op {
                    XbitOp::Set | XbitOp::Toggle => &mut m.set,
                    XbitOp::Isset | XbitOp::Isnotset => &mut m.read,
                    XbitOp::Unset => continue,
                };
                of.insert(("xbits", &x.name));
            }
        }
        m
    }

    fn look(&self, rule: &Rule, say: Say<'_>) {
        let mut asks = |keyword: &'static str, shown: &str, names: &[&str]| {
            if !names.iter().any(|n| self.set.contains(&(keyword, *n))) {
                say(Kind::NeverMatches, shown, format!("{:?} is set by no rule of this set", names.join("|")));
            }
        };
        for f in rule.flowbits.iter().filter(|f| f.op == FlowbitOp::Isset) {
            asks("flowbits", "flowbits", &f.names.iter().map(String::as_str).collect::<Vec<_>>());
        }
        let compares = |op: FlowintOp| !op.changes() && op != FlowintOp::Isnotset;
        for f in rule.flowints.iter().filter(|f| compares(f.op)) {
            asks("flowint", "flowint", &[&f.name]);
        }
        for x in rule.xbits.iter().filter(|x| x.op == XbitOp::Isset) {
            asks("xbits", x.keyword, &[&x.name]);
        }
        if !rule.noalert {
            return; // it reports: what it remembers beside is a bonus
        }
        let flowbits = rule.flowbits.iter().filter(|f| f.op == FlowbitOp::Set).flat_map(|f| &f.names);
        let marks = flowbits
            .map(|n| ("flowbits", "flowbits", n))
            .chain(rule.xbits.iter().filter(|x| x.op == XbitOp::Set).map(|x| ("xbits", x.keyword, &x.name)));
        for (keyword, shown, name) in marks {
            if !self.read.contains(&(keyword, name.as_str())) {
                say(Kind::NoEffect, shown, format!("it reports nothing, and no rule of this set asks for {name:?}"));
            }
        }
    }
}

/// Shorter patterns are found in almost every packet.
const SHORT: usize = 2;

fn cost(rule: &Rule, say: Say<'_>) {
    let buffers = rule.buffers.iter().chain(&rule.frames).flat_map(|b| &b.tests);
    let longest = rule
        .payload
        .iter()
        .chain(buffers)
        .filter_map(|t| match t {
            PayloadTest::Content(c) if !c.negated => Some(c.bytes.len()),
            _ => None,
        })
        .max();
    let everywhere = rule.src.is_any() && rule.dest.is_any() && rule.src_port.is_any() && rule.dest_port.is_any();
    let cheap = rule.address_only() || rule.like_address_only() || !rule.packet.is_empty() || rule.proto == Proto::App;
    let of_packets = !rule.transactional() && rule.frame().is_none();
    match longest {
        None if everywhere && !cheap && of_packets => say(
            Kind::Costly,
            "",
            String::from("without a content, on any addresses and ports, it is looked at for every packet"),
        ),
        Some(n) if n <= SHORT && everywhere && of_packets => say(
            Kind::Costly,
            "content",
            format!(
                "its longest content has {n} bytes and is found in almost every packet; give a longer one, or ports"
            ),
        ),
        _ => {}
    }
    if rule.direction == Direction::Both && everywhere {
        say(Kind::Odd, "", String::from("`<>` between any and any is the same as `->`"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    fn found(rules: &str) -> Vec<(Option<u32>, Kind, String)> {
        let set = crate::parse(&[("r", rules.as_bytes())], &Options::default());
        lint(&set).into_iter().map(|f| (f.sid, f.kind, f.keyword)).collect()
    }

    #[test]
    fn each_kind_is_found_and_a_plain_rule_is_not() {
        const GOOD: &str = r#"msg:"m"; rev:1; classtype:trojan-activity;"#;
        let rule = |options: &str, sid: u32| format!("alert tcp any any -> any any ({GOOD} {options} sid:{sid};)\n");
        assert_eq!(found(&rule(r#"content:"long enough";"#, 1)), []);
        let k = |kind, keyword: &str| vec![(Some(1), kind, keyword.to_owned())];
        for (options, want) in [
            (r#"content:"abcd"; flowbits:isset,never;"#, k(Kind::NeverMatches, "flowbits")),
            (r#"content:"abcd"; flowint:n,>,1;"#, k(Kind::NeverMatches, "flowint")),
            (r#"content:"abcd"; hostbits:isset,n;"#, k(Kind::NeverMatches, "hostbits")),
            (r#"content:"abcd"; flowbits:set,unread; noalert;"#, k(Kind::NoEffect, "flowbits")),
            (r#"content:"ab";"#, k(Kind::Costly, "content")),
            ("flow:established;", k(Kind::Costly, "")),
            ("nonsense;", k(Kind::Refused, "nonsense")),
            ("dsize:<3; content:\"abcd\";", k(Kind::Refused, "dsize")),
        ] {
            assert_eq!(found(&rule(options, 1)), want, "{options}");
        }
        // What it asks for is set by another, or not at all needed.
        for (options, other, want) in [
            ("flowint:n,isset;", "flowint:n,+,1;", vec![]),
            ("flowint:n,isset;", "flowint:n,-,1;", k(Kind::NeverMatches, "flowint")),
            ("flowint:n,isnotset;", "", vec![]),
            ("flowbits:isnotset,n;", "", vec![]),
            ("flowbits:isset,n;", "flowbits:toggle,n;", vec![]),
            ("flowbits:isset,n;", "flowbits:unset,n;", k(Kind::NeverMatches, "flowbits")),
            ("flowbits:isset,a|n;", "flowbits:set,n;", vec![]),
            ("xbits:isset,n,track ip_src;", "xbits:toggle,n,track ip_src;", vec![]),
            ("xbits:isset,n,track ip_src;", "xbits:unset,n,track ip_src;", k(Kind::NeverMatches, "xbits")),
            ("xbits:isset,n,track ip_src;", "hostbits:set,n;", vec![]), // they share their names
            ("xbits:set,n,track ip_src; noalert;", "", k(Kind::NoEffect, "xbits")),
            ("xbits:set,n,track ip_src; noalert;", "xbits:isnotset,n,track ip_src;", vec![]),
            ("flowbits:set,n; noalert;", "flowbits:isnotset,n;", vec![]),
            ("flowbits:set,n;", "", vec![]), // it reports beside
        ] {
            let rules =
                rule(&format!("content:\"abcd\"; {options}"), 1) + &rule(&format!("content:\"efgh\"; {other}"), 2);
            assert_eq!(found(&rules), want, "{options} beside {other}");
        }
        for (rule, want) in [
            ("alert tcp any any -> any 80 (content:\"a\";", vec![]), // ports make it rarer
            ("alert tcp any any -> any any (content:!\"abcd\";", k(Kind::Costly, "")),
            ("alert tcp any any <> any any (content:\"abcd\";", k(Kind::Odd, "")),
            ("alert http any any -> any any (http.uri; content:\"a\";", vec![]),
            ("alert smb any any -> any any (frame:smb2.hdr; content:\"a\";", vec![]),
            ("alert ip any any -> any any (", vec![]), // addresses only: once for each flow
            ("alert tcp any any -> any any (content:\"abcd\"; priority:1; priority:2;", k(Kind::Odd, "priority")),
        ] {
            assert_eq!(found(&format!("{rule} {GOOD} sid:1;)")), want, "{rule}");
        }
        let two = rule(r#"content:"abcd";"#, 1).repeat(2);
        assert_eq!(found(&two), k(Kind::DuplicateSid, "sid"));
        let set_and_read = rule(r#"content:"abcd"; xbits:set,x,track ip_src; noalert;"#, 1)
            + &rule(r#"content:"efgh"; xbits:isset,x,track ip_dst;"#, 2);
        assert_eq!(found(&set_and_read), []);
        let bare = "alert tcp any any -> any any (content:\"abcd\"; sid:1;)";
        assert_eq!(found(bare).iter().map(|f| f.1).collect::<Vec<_>>(), [Kind::Nameless; 3]);
    }
}
