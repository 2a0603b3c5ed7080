// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What comes before and after a rule's match: threshold.config, the order of actions, caps of what is counted.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: what they build is theirs")]

mod common;

use common::{CLIENT, End, Frame, Rig, SERVER, at, sids, udp};
use lagewarte_detect::{Ordered, Output};
use lagewarte_rules::{Options, RuleSet, ast::Action, thresholds};

fn filtered(rules: &str, config: &str) -> RuleSet {
    let mut set = common::rules(rules);
    thresholds::apply(&mut set, "threshold.config", config, &Options::default().variables);
    assert!(set.refused.is_empty() && set.warnings.is_empty(), "{:?} {:?}", set.refused, set.warnings);
    set
}

fn every_second(n: i64) -> Vec<Frame> {
    (0..n).map(|s| at(s * 1000, udp(CLIENT, SERVER, b"x"))).collect()
}

const RULE: &str = r#"alert udp any any -> any any (content:"x"; flowbits:set,seen; sid:1;)
                      alert udp any any -> any any (flowbits:isset,seen; sid:2;)"#;

#[test]
fn suppressed_alerts_are_not_reported_and_their_rules_act_all_the_same() {
    let frames = [udp(CLIENT, SERVER, b"x"), udp(SERVER, CLIENT, b"x")];
    for (config, want) in [
        ("", &[(1, 1), (2, 1), (1, 2), (2, 2)][..]),
        ("suppress gen_id 1, sig_id 1", &[(2, 1), (2, 2)]),
        ("suppress gen_id 1, sig_id 1, track by_src, ip 10.0.0.0/24", &[(2, 1), (1, 2), (2, 2)]),
        ("suppress gen_id 1, sig_id 1, track by_dst, ip 10.0.0.1", &[(1, 1), (2, 1), (2, 2)]),
        ("suppress gen_id 1, sig_id 1, track by_either, ip 10.0.0.1", &[(2, 1), (2, 2)]),
        ("suppress gen_id 1, sig_id 1, track by_src, ip [192.0.2.0/24,!192.0.2.1]", &[(1, 1), (2, 1), (1, 2), (2, 2)]),
        ("suppress gen_id 0, sig_id 0, track by_src, ip 10.0.0.1", &[(1, 2), (2, 2)]),
    ] {
        let mut rig = Rig::new(filtered(RULE, config), Output::default());
        assert_eq!(sids(&rig.run(&frames)), want, "{config}");
        assert_eq!(rig.ordered.counters.suppressed, 4 - want.len() as u64, "{config}");
    }
}

#[test]
fn a_threshold_of_the_operator_takes_the_place_of_the_rules_own() {
    let rule =
        "alert udp any any -> any any (dsize:1; threshold:type limit, track by_src, count 1, seconds 60; sid:1;)";
    for word in ["threshold", "event_filter"] {
        let config = format!("{word} gen_id 1, sig_id 1, type threshold, track by_src, count 3, seconds 60");
        let alerts = Rig::new(filtered(rule, &config), Output::default()).run(&every_second(6));
        assert_eq!(sids(&alerts), [(1, 3), (1, 6)], "{word}");
    }
}

#[test]
fn a_rate_filter_takes_another_action_for_a_while() {
    let rule = "alert udp any any -> any any (dsize:1; sid:1;)";
    let config = |action: &str| {
        format!("rate_filter gen_id 1, sig_id 1, track by_src, count 2, seconds 10, new_action {action}, timeout 4")
    };
    // Two hits in ten seconds, the third begins the action, which lasts until 4 s after it; then counting begins anew.
    let alerts = Rig::new(filtered(rule, &config("pass")), Output::default()).run(&every_second(10));
    assert_eq!(sids(&alerts), [(1, 1), (1, 2), (1, 8), (1, 9)]);
    let alerts = Rig::new(filtered(rule, &config("reject")), Output::default()).run(&every_second(10));
    let actions: Vec<&str> = alerts.iter().map(|a| a["alert"]["action"].as_str().unwrap()).collect();
    let want = [2, 5, 2, 1].iter().zip(["allowed", "blocked", "allowed", "blocked"]).flat_map(|(n, a)| [a].repeat(*n));
    assert_eq!(actions, want.collect::<Vec<_>>());
}

#[test]
fn rules_are_looked_at_in_the_order_of_actions_that_the_operator_set() {
    let rules = r#"alert udp any any -> any any (content:"x"; sid:1;)
                   pass udp any any -> any any (content:"x"; sid:2;)"#;
    let run = |action_order| {
        Rig::new(common::rules(rules), Output { action_order, ..Output::default() }).run(&every_second(1))
    };
    assert!(run(Output::default().action_order).is_empty());
    let verdict = Output {
        verdict: true,
        action_order: [Action::Alert, Action::Pass, Action::Drop, Action::Reject],
        ..Output::default()
    };
    let alerts = Rig::new(common::rules(rules), verdict).run(&every_second(1));
    assert_eq!(alerts[0]["verdict"]["action"], "pass", "a pass rule had the last word");
    assert_eq!(sids(&run([Action::Alert, Action::Pass, Action::Drop, Action::Reject])), [(1, 1)]);
}

#[test]
fn counts_with_ports_are_capped_like_the_others() {
    let rule = "alert udp any any -> any any (dsize:1; detection_filter:track by_src, count 1, seconds 60, unique_on dst_port; sid:1;)";
    let mut rig = Rig::new(common::rules(rule), Output::default());
    rig.ordered = Ordered::with_capacity(3);
    let frames: Vec<Frame> = (0..10u8).map(|n| udp(End([10, 0, 1, n], 5), SERVER, b"x")).collect();
    assert!(rig.run(&frames).is_empty());
    assert_eq!(rig.ordered.counters.forgotten, 7);
}

#[test]
fn alerts_carry_what_was_asked_of_them() {
    let rules = r#"alert udp any any -> any any (content:"x"; flowbits:set,b; flowint:n,+,3; metadata:k v; sid:1;)
                   alert udp any any -> any any (flowbits:isset,b; flowbits:set,later; sid:2;)"#;
    let run = |output| Rig::new(common::rules(rules), output).run(&every_second(1));
    let plain = run(Output::default());
    // All rules were asked before the first alert was written.
    let remembered = serde_json::json!({"flowints": {"n": 3}, "flowbits": ["b", "later"]});
    assert!(plain.iter().all(|a| a["metadata"] == remembered), "{plain:?}");
    assert!(plain[0]["flow"]["pkts_toserver"] == 1 && plain[0]["alert"]["metadata"]["k"] == serde_json::json!(["v"]));
    assert!(plain[0]["alert"].get("rule").is_none() && plain[0].get("payload_length").is_none());
    let other = run(Output {
        metadata: false,
        flow: false,
        flow_metadata: false,
        rule_text: true,
        payload_length: true,
        ..Output::default()
    });
    let a = &other[0];
    assert!(a.get("metadata").is_none() && a.get("flow").is_none() && a["alert"].get("metadata").is_none(), "{a}");
    assert_eq!((a["payload_length"].as_u64(), a["stream"].as_u64()), (Some(1), Some(0)));
    assert!(a["alert"]["rule"].as_str().unwrap().starts_with("alert udp any any -> any any (content:"), "{a}");
}

#[test]
fn a_profile_counts_checks_and_matches_of_each_rule() {
    let rules = r#"alert udp any any -> any any (content:"x"; dsize:1; sid:1;)
                   alert udp any any -> any any (content:"x"; ttl:1; sid:2;)
                   alert udp any any -> any any (content:"nowhere"; sid:3;)"#;
    let mut rig = Rig::new(common::rules(rules), Output { profile: true, ..Output::default() });
    rig.run(&every_second(4));
    let costs: Vec<_> = rig.engine.profile().iter().map(|c| (c.sid, c.checks, c.matches)).collect();
    assert_eq!(costs, [(1, 4, 4), (2, 4, 0)]);
    assert!(Rig::new(common::rules(rules), Output::default()).engine.profile().is_empty());
}
