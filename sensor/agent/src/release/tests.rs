// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Behaviour of the door: golden events, and canaries in every text of every event type.
//!
//! The three lists below are written by hand and must name every text path of the samples: whoever adds a field to the
//! samples has to say whether it may leave. The allow-list under test is not used to make them.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _};

use lagewarte_base::assignment::{self, Assignment};
use lagewarte_base::id::Uuid;

use super::*;

const SAMPLES: &str = include_str!("../../tests/data/eve-samples.ndjson");
/// The key of the published test vectors: 192.0.2.1 becomes 100.115.72.131, 2001:db8::1 becomes c180:5dd4:….
const KEY: &str = "0123456789abcdeffedcba98765432101032547698badcfeefcdab8967452301";

/// Texts that leave in clear under the default profile.
const CLEAR: &str = "alert.action alert.category alert.metadata.lagewarte_kind alert.references alert.signature \
anomaly.app_proto anomaly.event anomaly.layer anomaly.type app_proto app_proto_orig dhcp.dhcp_type dhcp.type direction \
dns.answers.rdata dns.answers.rrname dns.answers.rrtype dns.authorities.rdata dns.authorities.rrname dns.authorities.rrtype dns.flags \
dns.grouped.CNAME dns.queries.rrname dns.queries.rrtype dns.rcode dns.type email.status fileinfo.magic fileinfo.sha256 fileinfo.state \
files.magic files.md5 files.sha1 files.sha256 files.state flow.end flow.reason flow.start flow.state ftp.command \
ftp.completion_code ftp.reply_received http.http_content_type http.http_method http.http_user_agent http.protocol \
ike.alg_enc ike.role krb5.encryption krb5.msg_type metadata.flowbits nfs.procedure nfs.status nfs.type \
pkt_src proto quic.ja4 quic.sni quic.ua quic.version rdp.client.build \
rdp.client.version rdp.event_type rpc.auth_type rpc.status smb.command smb.dialect \
smb.ntlmssp.version smb.request.native_lm smb.request.native_os smb.status snmp.pdu_type snmp.vars ssh.client.hassh.hash \
ssh.client.hassh.string ssh.client.proto_version ssh.client.software_version ssh.server.proto_version ssh.server.software_version \
stats.lagewarte.ruleset stats.lagewarte.spool.state stats.lagewarte.version tcp.state tcp.tcp_flags tcp.tcp_flags_tc \
tcp.tcp_flags_ts tftp.mode tftp.packet tls.client_alpns tls.fingerprint tls.from_proto tls.issuerdn tls.ja3.hash \
tls.ja3.string tls.ja4 tls.notafter tls.notbefore tls.serial tls.sni tls.subject tls.subjectaltname tls.version \
traffic.id traffic.label tunnel.pkt_src tunnel.proto verdict.action";

/// Texts that leave only where a signed profile says so.
const BY_PROFILE: &str = "dhcp.hostname dns.grouped.TXT email.attachment email.cc email.from email.message_id \
email.subject email.to email.url fileinfo.filename files.filename ftp.command_data ftp.reply http.hostname http.http_refer \
http.http_request_body http.http_request_body_printable http.http_response_body http.http_response_body_printable \
http.redirect http.url krb5.cname krb5.realm krb5.sname nfs.filename packet payload payload_printable rdp.client.client_name rdp.cookie \
smb.filename smb.named_pipe smb.kerberos.realm smb.kerberos.snames smb.ntlmssp.domain smb.ntlmssp.host smb.ntlmssp.user smb.rename.from \
smb.rename.to smb.share smtp.helo smtp.mail_from smtp.rcpt_to snmp.community snmp.usm tftp.file tls.client.fingerprint \
tls.client.issuerdn tls.client.serial tls.client.subject community_id";

/// Texts that never leave.
const NEVER: &str = "alert.context.x alert.rule bittorrent_dht.client_version bittorrent_dht.request.info_hash \
bittorrent_dht.request_type bittorrent_dht.response.values.ip bittorrent_dht.transaction_id brand_new.deep \
dhcp.client_id dhcp.client_mac dnp3.application.objects.points.filename dnp3.type dns.answers.soa.mname \
dns.answers.soa.rname email.body_md5 email.received email.x_mailer enip.response.command \
enip.response.identity.product_name ether.dest_mac ether.src_mac flow.exception_policy.policy \
flow.exception_policy.target host http.authorization http.content_range.raw http.cookie \
http.http2.request.settings.settings_id http.request_headers.name http.request_headers.value \
http.response_headers.name http.response_headers.value http.something_new ike.ikev1.client.nonce_payload \
ike.ikev1.vendor_ids ike.init_spi ike.payload ike.resp_spi in_iface metadata.flowvars.v metadata.pktvars.v \
mqtt.publish.message mqtt.publish.topic nfs.hhash nfs.rename.from nfs.rename.to packet_info.linktype_name packethdr \
pcap_filename quic.cyu.hash quic.cyu.string rdp.client.keyboard_layout rpc.creds.machine_name sctp.chunk_types \
sip.method sip.request_line sip.uri smb.client_guid stats.lagewarte.secret stats.notes tls.certificate tls.chain";

/// Texts that are addresses: anything else in them is dropped.
const ADDRESSES: &str = "alert.source.ip alert.target.ip alert.xff dest_ip dhcp.assigned_ip dhcp.dns_servers dhcp.routers \
dns.grouped.A flow.dest_ip flow.src_ip http.xff src_ip tunnel.dest_ip tunnel.src_ip xff";

/// Texts without which there is no event.
const FRAME: &str = "timestamp event_type";

fn list(names: &str) -> BTreeSet<String> {
    names.split_whitespace().map(str::to_owned).collect()
}

fn default_all() -> Profile {
    Profile { classes: CLASSES.map(str::to_owned).to_vec(), ..Profile::alerts_only() }
}

fn wide() -> Profile {
    Profile {
        inner_addresses: Form::Clear,
        payload: Form::Clear,
        url_query: Form::Clear,
        mail_addresses: Form::Clear,
        file_names: Form::Clear,
        user_names: Form::Clear,
        ..default_all()
    }
}

fn door(profile: Profile) -> (Release, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("pseudonyms");
    fs::create_dir(&keys).unwrap();
    let other = ["ab".repeat(16), "cd".repeat(16)].concat();
    let third: String = KEY.chars().rev().collect();
    for (owner, key) in [("rathaus", KEY), ("werk", &other), ("provider", &third)] {
        let path = keys.join(format!("{owner}.key"));
        fs::write(&path, key).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let owner = |c: &str, n: &[&str], v: &[u16]| assignment::Owner {
        constituent: c.parse().unwrap(),
        networks: n.iter().map(|n| n.parse().unwrap()).collect(),
        vlans: v.to_vec(),
    };
    let assignment = Assignment {
        name: "t".into(),
        version: 1,
        sensor: Uuid::nil(),
        default: "provider".parse().unwrap(),
        owners: vec![
            owner("rathaus", &["192.0.2.0/24", "2001:db8::/32"], &[]),
            owner("werk", &["198.51.100.0/24"], &[77]),
        ],
    };
    (Release::new(Orders { assignment, profile }, dir.path(), 0).unwrap(), dir)
}

fn strings(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(members) => members.iter().for_each(|(n, v)| strings(v, &join(n), found)),
        Value::Array(items) => items.iter().for_each(|i| strings(i, path, found)),
        Value::String(_) => _ = found.insert(path.to_owned()),
        _ => {}
    }
}

/// Changes every text at `path`.
fn change(value: &mut Value, path: &[&str], to: &dyn Fn(&str) -> String) {
    match (value, path) {
        (Value::Object(members), [first, rest @ ..]) => {
            if let Some(member) = members.get_mut(*first) {
                change(member, rest, to);
            }
        }
        (Value::Array(items), path) => items.iter_mut().for_each(|i| change(i, path, to)),
        (Value::String(text), []) => *text = to(text),
        _ => {}
    }
}

fn samples() -> Vec<Value> {
    SAMPLES.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn paths() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    samples().iter().for_each(|s| strings(s, "", &mut found));
    found
}

/// The paths whose planted text leaves.
fn leaking(profile: Profile, to: &dyn Fn(&str) -> String, canary: &[&str]) -> BTreeSet<String> {
    let (mut door, _dir) = door(profile);
    let mut leaked = BTreeSet::new();
    for path in paths() {
        let steps: Vec<&str> = path.split('.').collect();
        for mut event in samples() {
            change(&mut event, &steps, to);
            let text = event.to_string();
            if !canary.iter().any(|c| text.contains(c)) {
                continue;
            }
            if let Ok(released) = door.event(&text) {
                let out = format!("{released:?}").to_lowercase();
                if canary.iter().any(|c| out.contains(&c.to_lowercase())) {
                    leaked.insert(path.clone());
                }
            }
        }
    }
    leaked
}

#[test]
fn every_text_of_the_samples_has_been_judged() {
    let lists = [CLEAR, BY_PROFILE, NEVER, ADDRESSES, FRAME].map(list);
    let judged: BTreeSet<String> = lists.iter().flatten().cloned().collect();
    assert_eq!(judged.len(), lists.iter().map(BTreeSet::len).sum::<usize>(), "a path stands in two lists");
    assert_eq!(paths(), judged);
}

#[test]
fn a_canary_leaves_only_where_it_may() {
    let plant = |text: &str| format!("{text} Kanarienvogel");
    assert_eq!(leaking(default_all(), &plant, &["Kanarienvogel"]), list(CLEAR), "default profile");
    // The control: under a wide profile all the others come out too, so the canary can be seen.
    let mut most = list(CLEAR);
    most.extend(list(BY_PROFILE));
    assert_eq!(leaking(wide(), &plant, &["Kanarienvogel"]), most, "wide profile");
}

#[test]
fn an_inner_address_leaves_nowhere_in_any_spelling() {
    let spellings: &[(&str, &[&str])] = &[
        ("192.0.2.99", &["192.0.2.99"]),
        ("x-192-0-2-99.dyn.example", &["192-0-2-99"]),
        ("host192.000.002.099", &["192.000.002.099", "192.0.2.99"]),
        ("::ffff:192.0.2.99", &["192.0.2.99", "c000:263"]),
        ("2001:db8:77::9", &["2001:db8:77", "2001:0db8"]),
        ("2001:0DB8:0077:0:0:0:0:9", &["2001:0db8:0077", "2001:db8:77"]),
        ("99.2.0.192.in-addr.arpa", &["99.2.0.192"]),
        ("http://192.0.2.99:81/x", &["192.0.2.99"]),
        ("10.11.12.13", &["10.11.12.13"]),
        ("fe80::211:22ff:fe33:4455", &["211:22ff:fe33:4455"]),
    ];
    for (spelling, canaries) in spellings {
        for bare in [true, false] {
            let plant = |text: &str| if bare { (*spelling).to_owned() } else { format!("{text} {spelling} x") };
            let mut leaked = leaking(default_all(), &plant, canaries);
            // Fingerprints are lists of numbers with dashes; only dots and colons are read as addresses there.
            if spelling.contains("-0-") {
                leaked.retain(|p| {
                    !["ja3.string", "hassh.string", ".hash", "ja4", "fingerprint", "serial", "md5", "sha1", "sha256"]
                        .iter()
                        .any(|e| p.ends_with(e))
                });
            }
            assert_eq!(leaked, BTreeSet::new(), "{spelling} bare {bare}");
        }
    }
    let plant = |_: &str| "192.0.2.99".to_owned();
    let seen = leaking(wide(), &plant, &["192.0.2.99"]);
    assert!(list(ADDRESSES).is_subset(&seen), "control: {:?}", list(ADDRESSES).difference(&seen));
}

#[test]
fn an_alert_under_the_default_profile() {
    let (mut door, _dir) = door(Profile::alerts_only());
    let released = door.event(SAMPLES.lines().next().unwrap()).unwrap();
    assert_eq!(released.class, Class::Alert);
    assert_eq!(released.event_type, "alert");
    assert_eq!(released.constituent.as_str(), "rathaus");
    assert_eq!(released.event.eve(), "2026-11-21T06:13:48.865895+0000");
    let mut got: Value = serde_json::from_str(&released.eve).unwrap();
    let members = got.as_object_mut().unwrap();
    // Keyed values are compared by what they must be, not by what came out.
    assert_ne!(members.remove("flow_id").unwrap(), json!(1_185_716_651_163_764_u64));
    assert_eq!(members.remove("lagewarte").unwrap()["inner"], "dest");
    let tunnel = members.remove("tunnel").unwrap();
    assert_eq!(tunnel["dest_ip"], "203.0.113.1");
    assert!(tunnel["src_ip"].as_str().unwrap().starts_with("100.115.72."), "the network stays a network: {tunnel}");
    let host = got["http"].as_object_mut().unwrap().remove("hostname").unwrap();
    assert!(host.as_str().unwrap().ends_with(".invalid"), "the name of an inner server: {host}");
    let want = json!({
        "timestamp": "2026-11-21T06:13:48.865895+0000", "event_type": "alert",
        "src_ip": "203.0.113.66", "src_port": 46714, "dest_ip": "100.115.72.131", "dest_port": 80, "proto": "TCP",
        "pkt_src": "wire/pcap", "tx_id": 0, "app_proto": "http", "direction": "to_server",
        "metadata": {"flowbits": ["fb.one"]},
        "alert": {
            "action": "allowed", "gid": 1, "signature_id": 1_100_401, "rev": 1, "signature": "LAGEWARTE Log4Shell attempt",
            "category": "Attack on a web application", "severity": 1,
            "source": {"ip": "203.0.113.66", "port": 46714}, "target": {"ip": "100.115.72.131", "port": 80},
            "metadata": {"lagewarte_kind": ["log4shell"]}, "references": ["url,cert.example"], "xff": "100.115.72.131",
        },
        "xff": "100.115.72.131, 203.0.113.9",
        "http": {
            "http_port": 8080, "http_user_agent": "curl/8", "http_content_type": "text/html",
            "http_refer": "https://intern.rathaus.example", "redirect": "http://203.0.113.5", "http_method": "GET",
            "protocol": "HTTP/1.1", "status": 200, "length": 360, "xff": "100.115.72.131",
            "content_range": {"start": 0, "end": 1, "size": 2}, "http2": {"stream_id": 1},
        },
        "files": [{
            "magic": "PDF document", "md5": "d41d8cd98f00b204e9800998ecf8427e",
            "sha1": "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "state": "CLOSED",
            "stored": false, "size": 7, "gaps": false, "tx_id": 0, "sid": [1],
        }],
        "payload_length": 5, "stream": 1,
        "flow": {
            "pkts_toserver": 3, "pkts_toclient": 1, "bytes_toserver": 303, "bytes_toclient": 74,
            "start": "2026-11-21T06:14:19.310123+0000", "src_ip": "203.0.113.66", "dest_ip": "100.115.72.131",
            "src_port": 46714, "dest_port": 80,
        },
        "verdict": {"action": "alert"}, "traffic": {"id": ["id1"], "label": ["lb1"]},
        // SHA-1 over the ends as they leave, computed with a program of its own after the specification.
        "community_id": "1:mHtN4NwObE+Ug6W/crZhxauYljo=",
    });
    assert_eq!(got, want);
}

#[test]
fn classes_that_the_profile_does_not_name_stay() {
    let (mut door, _dir) = door(Profile::alerts_only());
    for line in SAMPLES.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let wanted = matches!(event["event_type"].as_str(), Some("alert" | "stats"));
        assert_eq!(door.event(line).is_ok(), wanted, "{}", event["event_type"]);
    }
}

#[test]
fn urls_lose_path_query_user_and_inner_names() {
    let url = |profile: Profile, url: &str| {
        let (mut door, _dir) = door(profile);
        let event = json!({"timestamp": "2026-11-21T06:13:48.865895+0000", "event_type": "http", "src_ip": "192.0.2.1",
            "dest_ip": "203.0.113.1", "http": {"redirect": url}});
        let out: Value = serde_json::from_str(&door.event(&event.to_string()).unwrap().eve).unwrap();
        out["http"]["redirect"].as_str().map(str::to_owned)
    };
    let paths = || Profile { file_names: Form::Clear, ..default_all() };
    let queries = || Profile { url_query: Form::Clear, ..default_all() };
    for (profile, given, want) in [
        (
            default_all as fn() -> Profile,
            "http://user:pw@www.example.org:81/a/b?c#d",
            Some("http://www.example.org:81"),
        ),
        (default_all, "/a/b?c", None),
        (default_all, "http://192.0.2.1/a", Some("http://100.115.72.131")),
        (paths, "http://www.example.org/a/b?c#d", Some("http://www.example.org/a/b")),
        (paths, "/a/192.0.2.1/b?c", Some("/a/100.115.72.131/b")),
        (queries, "http://www.example.org/a?ip=192.0.2.1", Some("http://www.example.org?ip=100.115.72.131")),
        (queries, "/a?mail=x@y.example", Some("?mail=[removed]")),
    ] {
        assert_eq!(url(profile(), given).as_deref(), want, "{given}");
    }
    let tokens = || Profile { file_names: Form::Pseudonym, url_query: Form::Pseudonym, ..default_all() };
    let (one, two) = (url(tokens(), "/a?b").unwrap(), url(tokens(), "/a?c").unwrap());
    assert_eq!(one.split_once('?').unwrap().0, two.split_once('?').unwrap().0, "equal paths stay equal");
    assert_ne!(one, two);
    assert!(!one.contains("/a"), "{one}");
    let inner = url(default_all(), "http://intranet/x").unwrap();
    assert!(inner.ends_with(".invalid"), "{inner}");
}

#[test]
fn dns_data_are_judged_by_their_record_type() {
    let (mut door, _dir) = door(default_all());
    let dns = SAMPLES.lines().find(|l| l.contains("\"event_type\":\"dns\"")).unwrap();
    let out: Value = serde_json::from_str(&door.event(dns).unwrap().eve).unwrap();
    let dns = &out["dns"];
    assert!(dns["answers"][0]["rdata"].as_str().unwrap().starts_with("100.115.72."), "A: {dns}");
    assert_eq!(dns["answers"][1]["rdata"], "b.example.org", "CNAME");
    assert_eq!(dns["answers"][2].get("rdata"), None, "TXT is payload");
    assert_eq!(dns["answers"][3].get("soa"), None);
    assert_eq!(dns["grouped"].get("TXT"), None);
    assert_eq!(dns["queries"][0]["rrname"], "www.example.org");
    let inner = dns["queries"][1]["rrname"].as_str().unwrap();
    assert!(inner.starts_with("p-") && inner.ends_with(".invalid"), "a name that exists only inside: {inner}");
}

#[test]
fn the_owner_is_who_the_assignment_says_and_the_key_is_the_owners() {
    let (mut door, _dir) = door(default_all());
    let mut of = |vlan: Value, src: &str, dest: &str| {
        let event = json!({"timestamp": "2026-11-21T06:13:48.865895+0000", "event_type": "flow", "flow_id": 5, "vlan": vlan,
            "src_ip": src, "dest_ip": dest, "proto": "TCP", "src_port": 1, "dest_port": 2});
        let released = door.event(&event.to_string()).unwrap();
        let out: Value = serde_json::from_str(&released.eve).unwrap();
        (released.constituent.to_string(), out)
    };
    let (owner, first) = of(Value::Null, "192.0.2.1", "203.0.113.1");
    assert_eq!((owner.as_str(), &first["lagewarte"]["inner"]), ("rathaus", &json!("src")));
    let (owner, vlan) = of(json!([77, 3]), "192.0.2.1", "203.0.113.1");
    assert_eq!(owner, "werk", "the VLAN is stronger");
    assert_ne!(vlan["src_ip"], first["src_ip"], "and its owner's key is used");
    assert_ne!(vlan["lagewarte"]["key"], first["lagewarte"]["key"]);
    let (owner, both) = of(Value::Null, "192.0.2.1", "198.51.100.1");
    assert_eq!(
        (owner.as_str(), &both["lagewarte"]["inner"]),
        ("werk", &json!("both")),
        "equal prefixes: the last one, as base says"
    );
    assert_eq!(both["src_ip"], first["src_ip"], "each address under its own owner's key");
    let (owner, none) = of(Value::Null, "203.0.113.1", "203.0.113.2");
    assert_eq!((owner.as_str(), &none["lagewarte"]), ("provider", &json!({"inner": "none", "key": ""})));
    let (owner, forgotten) = of(Value::Null, "172.20.1.1", "203.0.113.2");
    assert_eq!((owner.as_str(), &forgotten["lagewarte"]["inner"]), ("provider", &json!("src")));
    assert_ne!(forgotten["src_ip"], "172.20.1.1");
}

#[test]
fn one_flow_keeps_one_id_and_its_records_meet() {
    let (mut door, _dir) = door(default_all());
    let mut id = |kind: &str, src: &str, dest: &str, flow: u64| {
        let event = json!({"timestamp": "2026-11-21T06:13:48.865895+0000", "event_type": kind, "flow_id": flow, "src_ip": src,
            "dest_ip": dest, "proto": "TCP", "src_port": 1, "dest_port": 2});
        let out: Value = serde_json::from_str(&door.event(&event.to_string()).unwrap().eve).unwrap();
        out["flow_id"].as_u64().unwrap()
    };
    let alert = id("alert", "192.0.2.1", "203.0.113.1", 5);
    assert_eq!(alert, id("flow", "203.0.113.1", "192.0.2.1", 5));
    assert_ne!(alert, id("flow", "203.0.113.1", "192.0.2.1", 6));
    assert_ne!(alert, 5);
}

#[test]
fn what_is_no_event_is_refused_with_its_reason() {
    let (mut door, _dir) = door(default_all());
    let deep = format!("{{\"event_type\":\"alert\",\"x\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    let huge = format!("{{\"event_type\":\"alert\",\"x\":\"{}\"}}", "x".repeat(MAX_EVE_BYTES));
    for (text, reason) in [
        ("", "not-eve"),
        ("[]", "not-eve"),
        ("{}", "not-eve"),
        ("{\"event_type\":7}", "not-eve"),
        ("{\"event_type\":\"192.0.2.1\",\"timestamp\":\"2026-11-21T06:13:48.865895+0000\"}", "not-eve"),
        ("{\"event_type\":\"alert\"}", "time"),
        ("{\"event_type\":\"alert\",\"timestamp\":\"soon\"}", "time"),
        (deep.as_str(), "not-eve"),
        (huge.as_str(), "size"),
    ] {
        assert_eq!(door.event(text).unwrap_err().reason(), reason, "{:.60}", text);
    }
    let sample = SAMPLES.lines().next().unwrap();
    for n in (0..sample.len()).filter(|n| sample.is_char_boundary(*n)) {
        assert_eq!(door.event(&sample[..n]).unwrap_err().reason(), "not-eve", "cut at {n}");
    }
}

#[test]
fn long_texts_and_odd_names_do_not_leave() {
    let (mut door, _dir) = door(default_all());
    let mut out = |text: &str, name: &str| -> Value {
        let event = json!({"timestamp": "2026-11-21T06:13:48.865895+0000", "event_type": "alert",
            "alert": {"signature": text, "metadata": {name: ["x"]}}, "http": {"redirect": format!("http://a.example/{text}")},
            "stats": {"decoder": {name: 1}}});
        serde_json::from_str(&door.event(&event.to_string()).unwrap().eve).unwrap()
    };
    let fits = out(&"x".repeat(rewrite::MAX_TEXT), &"n".repeat(rewrite::MAX_NAME));
    assert_eq!(fits["alert"]["signature"].as_str().unwrap().len(), rewrite::MAX_TEXT);
    assert_eq!(fits["alert"]["metadata"].as_object().unwrap().len(), 1);
    assert_eq!(fits["stats"]["decoder"].as_object().unwrap().len(), 1);
    let over = out(&"x".repeat(rewrite::MAX_TEXT + 1), &"n".repeat(rewrite::MAX_NAME + 1));
    assert_eq!(over["alert"].get("signature"), None);
    assert_eq!(over["http"].get("redirect"), None);
    assert_eq!(
        (over["alert"]["metadata"].as_object().unwrap().len(), over["stats"]["decoder"].as_object().unwrap().len()),
        (0, 0)
    );
    let free = out("x", "a name with 10.0.0.1");
    assert_eq!(
        (free["alert"]["metadata"].as_object().unwrap().len(), free["stats"]["decoder"].as_object().unwrap().len()),
        (0, 0)
    );
}

/// libmagic's words quote names and titles out of the file.
#[test]
fn of_a_files_kind_what_it_quotes_goes_by_the_profiles_file_names() {
    const WORDS: &str = "gzip compressed data, was \"mueller-10.1.2.3.doc\"";
    for (profile, want) in [
        (default_all(), "gzip compressed data"),
        (Profile { file_names: Form::Pseudonym, ..default_all() }, "gzip compressed data"),
        (wide(), WORDS),
    ] {
        let (mut door, _dir) = door(profile);
        let event = json!({"timestamp": "2026-11-21T06:13:48.865895+0000", "event_type": "fileinfo", "fileinfo": {"magic": WORDS}});
        let out: Value = serde_json::from_str(&door.event(&event.to_string()).unwrap().eve).unwrap();
        assert_eq!(out["fileinfo"]["magic"], want);
    }
}

#[test]
fn an_event_whose_key_cannot_be_had_does_not_leave() {
    let (mut door, dir) = door(default_all());
    fs::write(dir.path().join("pseudonyms/werk.key"), "damaged").unwrap();
    let event = |ip: &str| {
        json!({"timestamp": "2026-11-21T06:13:48.865895+0000", "event_type": "alert", "src_ip": "203.0.113.1", "dest_ip": "203.0.113.2",
            "http": {"xff": ip}, "alert": {}})
        .to_string()
    };
    assert_eq!(door.event(&event("198.51.100.1")).unwrap_err().reason(), "key");
    assert!(door.event(&event("192.0.2.1")).is_ok());
}

proptest::proptest! {
    #[test]
    fn no_text_panics(name in "[a-z_.]{1,12}", text in ".{0,80}", number: i64) {
        let (mut door, _dir) = door(default_all());
        for section in ["http", "dns", "alert", "tls", "stats", "flow"] {
            let event = json!({"timestamp": "2026-11-21T06:13:48.865895+0000", "event_type": "alert", "src_ip": text, "flow_id": number,
                section: {name.clone(): text, "url": text, "hostname": text, "rrname": text, "metadata": {name.clone(): [text]}}});
            let _ = door.event(&event.to_string());
        }
    }
}
