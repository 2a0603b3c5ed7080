// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the generator says of its own flows; that an engine agrees is tested where an engine is.

use super::*;
use crate::Capture;

#[test]
fn the_same_rule_gives_the_same_flow() {
    let rule = r#"alert http $HOME_NET any -> $EXTERNAL_NET any (flow:established,to_server; http.uri; content:"/a.php?"; startswith; pcre:"/id=[a-f0-9]{8}$/R"; http.header; content:"X-A|3a 20|b|0d 0a|"; sid:1;)"#;
    let bytes = || {
        let g = Generator::new([rule].into_iter(), Variables::usual());
        let made = g.make(0, 1).expect("a flow");
        let mut c = Capture::ethernet();
        made.hit.write(&mut c);
        made.miss.expect("a near miss").write(&mut c);
        c.write()
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn what_cannot_be_made_has_a_reason() {
    for (rule, why) in [
        (r#"alert tls any any -> any any (ja3.hash; content:"00112233445566778899aabbccddeeff"; sid:1;)"#, "hash"),
        (r#"alert tcp any any -> any any (content:"a"; depth:1; content:"b"; depth:1; sid:1;)"#, "no bytes"),
        (r#"alert tcp any any -> any any (flowbits:isset,nobody; content:"a"; sid:1;)"#, "flowbits"),
        (r#"alert tcp any any -> any any (content:"a"; frobnicate:3; sid:1;)"#, "frobnicate"),
        (r#"alert tcp any any -> any any (content:"a"; noalert; sid:1;)"#, "no alert"),
    ] {
        let g = Generator::new([rule].into_iter(), Variables::usual());
        let said = g.make(0, 1).err().unwrap_or_else(|| unreachable!("{rule}"));
        assert!(said.contains(why), "{rule}: {said}");
    }
}
