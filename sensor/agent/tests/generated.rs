// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Rule-driven traffic through the binary: the flow that the generator derives from a rule fires it, the near miss does not.
//!
//! The generator reads rules by itself (it shares no code with loader and engine), so the two check each other.
//! `benches/flows.py` does the same with any rule set, and with Suricata beside it.
#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use lagewarte_testkit::{
    Capture,
    generate::{Case, Generator, Transport, Variables},
};
use serde_json::Value;

/// One of each way to say where bytes must be, in packets, streams and buffers.
const RULES: &str = r#"
alert tcp $EXTERNAL_NET any -> $HOME_NET 4444 (msg:"places"; flow:established,to_server; content:"LAGE"; offset:2; depth:8; content:"wart"; distance:1; within:9; sid:1;)
alert tcp $EXTERNAL_NET any -> $HOME_NET any (msg:"ends"; flow:established,to_server; content:"begin|00|"; startswith; content:"|0d 0a|fin"; endswith; nocase; sid:2;)
alert tcp $EXTERNAL_NET any -> $HOME_NET any (msg:"without"; flow:established,to_server; content:"with this"; content:!"without that"; distance:0; isdataat:6,relative; sid:3;)
alert udp $EXTERNAL_NET any -> $HOME_NET 9999 (msg:"numbers"; content:"|7f|LW"; depth:3; byte_test:2,>,700,0,relative; byte_test:1,&,4,5; sid:4;)
alert udp $EXTERNAL_NET any -> $HOME_NET any (msg:"jumps"; content:"|4c 57 02|"; byte_jump:1,0,relative; content:"there"; within:5; dsize:<200; sid:5;)
alert udp $HOME_NET any -> $EXTERNAL_NET any (msg:"extracts"; content:"|aa bb|"; byte_extract:1,0,len,relative; content:"end"; distance:len; within:3; sid:6;)
alert tcp $EXTERNAL_NET any -> $HOME_NET any (msg:"expression"; flow:established,to_server; content:"USER"; pcre:"/^USER\s+[a-z]{4}\d{2,3}\x21/mi"; sid:7;)
alert http $EXTERNAL_NET any -> $HOME_NET any (msg:"request"; flow:established,to_server; http.method; content:"POST"; http.uri; content:"/login.php?id="; startswith; pcre:"/id=\d{5}$/"; http.user_agent; content:"Wartebot/"; bsize:12; sid:8;)
alert http $HOME_NET any -> $EXTERNAL_NET any (msg:"header and body"; flow:established,to_server; http.header; content:"X-Lage: rot"; http.request_body; content:"geheim="; fast_pattern; content:!"test"; sid:9;)
alert http $EXTERNAL_NET any -> $HOME_NET any (msg:"answer"; flow:established,to_client; http.stat_code; content:"404"; file.data; content:"<html>"; content:"niemand"; distance:3; sid:10;)
alert dns $HOME_NET any -> any any (msg:"question"; dns.query; content:"wetter.lage.example"; nocase; endswith; sid:11;)
alert tls $HOME_NET any -> $EXTERNAL_NET any (msg:"name"; flow:established,to_server; tls.sni; content:"boese"; startswith; content:".example"; endswith; sid:12;)
alert tcp $EXTERNAL_NET any -> $HOME_NET any (msg:"sets"; flow:established,to_server; content:"schritt eins"; flowbits:set,lage.eins; flowbits:noalert; sid:13;)
alert tcp $HOME_NET any -> $EXTERNAL_NET any (msg:"asks"; flow:established,to_client; flowbits:isset,lage.eins; content:"schritt zwei"; sid:14;)
alert tcp $EXTERNAL_NET any -> $HOME_NET 22 (msg:"counts"; flags:S; threshold:type both, track by_src, count 5, seconds 60; sid:15;)
alert icmp $EXTERNAL_NET any -> $HOME_NET any (msg:"ping"; itype:8; icode:0; content:"lagewarte"; sid:16;)
alert smtp $EXTERNAL_NET any -> $HOME_NET any (msg:"mail"; flow:established,to_server; content:"Subject: Rechnung"; content:"From: "; sid:17;)
alert http $EXTERNAL_NET any -> $HOME_NET any (msg:"transformed"; flow:established,to_server; http.uri; to_lowercase; content:"/admin/panel"; sid:19;)
alert udp $EXTERNAL_NET any -> $HOME_NET any (msg:"headers"; ttl:<5; content:"traceme"; sid:20;)
"#;

fn key(proto: &str, ends: [(String, u64); 2]) -> (String, [(String, u64); 2]) {
    let ported = matches!(proto, "TCP" | "UDP");
    let mut ends = ends.map(|(a, p)| (a, if ported { p } else { 0 }));
    ends.sort();
    (proto.to_owned(), ends)
}

fn flows(case: &Case) -> Vec<(String, [(String, u64); 2])> {
    let one = |f: &lagewarte_testkit::generate::Flow| {
        let proto = match f.transport {
            Transport::Tcp | Transport::Segment => "TCP",
            Transport::Udp => "UDP",
            Transport::Icmp => "ICMP",
            Transport::Ip(_) => "IP",
        };
        key(proto, [f.client, f.server].map(|(a, p)| (a.to_string(), u64::from(p))))
    };
    case.flows.iter().map(one).collect()
}

/// Sids that should have fired and did not, and those that fired on a near miss; and of how many rules flows were made.
fn differences(rules: &str) -> (Vec<u32>, Vec<u32>, usize) {
    let generator = Generator::new(rules.lines().map(str::trim).filter(|l| l.starts_with("alert")), Variables::usual());
    let mut capture = Capture::ethernet();
    let mut made = Vec::new();
    for at in 0..generator.len() {
        let sid = generator.sid(at).unwrap();
        match generator.make(at, u32::try_from(at).unwrap() * 2) {
            Ok(m) => {
                m.hit.write(&mut capture);
                m.miss.iter().for_each(|m| m.write(&mut capture));
                made.push((sid, m));
            }
            Err(why) => assert_eq!(why, "it makes no alert", "{sid}"),
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (pcap, file) = (dir.path().join("flows.pcap"), dir.path().join("test.rules"));
    fs::write(&pcap, capture.write()).unwrap();
    fs::write(&file, rules).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lagewarte-sensor"));
    command.args(["replay", "-k", "all", "-r"]).arg(&pcap).arg("-S").arg(&file).arg("-l").arg(dir.path());
    command.args(["--set", "vars.address-groups.HOME_NET=[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]"]);
    command.args(["--set", "vars.address-groups.EXTERNAL_NET=!$HOME_NET"]);
    let classes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules/sets/classification.config");
    command.args(["--set", &format!("classification-file={}", classes.display())]);
    let done = command.output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && !told.contains("refused:"), "{told}");
    let mut fired = BTreeSet::new();
    for line in fs::read_to_string(dir.path().join("eve.json")).unwrap().lines() {
        let e: Value = serde_json::from_str(line).unwrap();
        let Some(sid) = e["alert"]["signature_id"].as_u64() else { continue };
        let end = |ip: &str, port: &str| (e[ip].as_str().unwrap().to_owned(), e[port].as_u64().unwrap_or(0));
        let flow = key(e["proto"].as_str().unwrap(), [end("src_ip", "src_port"), end("dest_ip", "dest_port")]);
        fired.insert((u32::try_from(sid).unwrap(), flow));
    }
    let hit = |sid: u32, case: &Case| flows(case).into_iter().any(|f| fired.contains(&(sid, f)));
    let silent = made.iter().filter(|(sid, m)| !hit(*sid, &m.hit)).map(|(sid, _)| *sid).collect();
    let missed = made.iter().filter(|(sid, m)| m.miss.as_ref().is_some_and(|c| hit(*sid, c))).map(|(sid, _)| *sid);
    (silent, missed.collect(), made.len())
}

#[test]
fn generated_flows_fire_their_rule_and_near_misses_do_not() {
    let (silent, missed, made) = differences(RULES);
    assert_eq!(made, 18, "a rule that only sets a bit makes no alert");
    assert!(silent.is_empty() && missed.is_empty(), "silent: {silent:?}; fired on a near miss: {missed:?}");
}

#[test]
fn own_rules_fire_on_what_is_generated_from_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules/sets");
    let mut rules = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "rules") {
            rules += &fs::read_to_string(path).unwrap();
        }
    }
    let (silent, missed, made) = differences(&rules);
    assert!(made >= 20, "{made}");
    assert!(silent.is_empty() && missed.is_empty(), "silent: {silent:?}; fired on a near miss: {missed:?}");
}
