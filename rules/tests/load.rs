// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Loading rule files: what is accepted, what is refused and how that is said, which of two rules with one sid counts, and
//! what the hash of a set stands for.

use lagewarte_rules::{
    Classification, Options, RuleSet, Variables,
    ast::{FlowState, PayloadTest, Proto, Threshold, ThresholdKind, Track, Value},
    check, parse,
    registry::HONOURED,
};
use proptest::prelude::*;

fn one(text: &str) -> RuleSet {
    parse(&[("a.rules", text.as_bytes())], &Options::default())
}

fn with_options(proto: &str, options: &str) -> RuleSet {
    one(&format!("alert {proto} any any -> any any ({options} sid:1;)"))
}

#[test]
fn a_rule_is_read_whole() {
    let set = one(concat!(
        "drop tcp $HOME_NET any -> [192.0.2.0/24,!192.0.2.9] 80:90 (msg:\"a\\;b\"; flow:established,to_server; ",
        "content:!\"|00 01|x\\\"\"; offset:1; depth:9; nocase; content:\"b\"; distance:-1; within:5; fast_pattern; isdataat:!4,relative; ",
        "dsize:>3; flags:S+,CE; flowbits:isset,a|b; flowbits:set,c; threshold:type both, track by_both, count 3, seconds 60; ",
        "classtype:trojan-activity; priority:2; reference:cve,2021-1; metadata:k v, k w; target:src_ip; gid:2; sid:5; rev:6;)"
    ));
    assert_eq!(set.refused, []);
    let r = &set.rules[0];
    assert_eq!((r.proto, r.meta.gid, r.meta.sid, r.meta.rev, r.meta.priority), (Proto::Tcp, 2, 5, 6, 2));
    assert_eq!((r.meta.msg.as_str(), r.meta.category.as_str()), ("a;b", "A Network Trojan was detected"));
    assert_eq!((r.flow.to_server, r.flow.state), (true, FlowState::Established));
    assert!(r.dest.contains("192.0.2.1".parse().unwrap()) && !r.dest.contains("192.0.2.9".parse().unwrap()));
    let PayloadTest::Content(first) = &r.payload[0] else { panic!("a content") };
    assert_eq!((first.bytes.as_slice(), first.negated, first.nocase), (&b"\0\x01x\""[..], true, true));
    assert_eq!((first.offset, first.depth), (Some(Value::Number(1)), Some(Value::Number(9))));
    let PayloadTest::Content(second) = &r.payload[1] else { panic!("a content") };
    assert_eq!(
        (second.distance, second.within, second.fast_pattern),
        (Some(Value::Number(-1)), Some(Value::Number(5)), true)
    );
    assert_eq!(r.payload[2], PayloadTest::Isdataat { negated: true, relative: true, at: Value::Number(4) });
    let threshold = Threshold { kind: ThresholdKind::Both, track: Track::Both, count: 3, seconds: 60, unique: None };
    assert_eq!(r.threshold, Some(threshold));
    assert_eq!(r.flowbits[0].names, ["a", "b"]);
}

#[test]
fn each_kind_of_mistake_is_named_with_its_line_and_keyword() {
    for (rule, keyword, reason) in [
        ("alrt tcp any any -> any any (sid:1;)", "", "none of the actions"),
        ("alert tpc any any -> any any (sid:1;)", "", "none of the protocols"),
        ("alert irc any any -> any any (sid:1;)", "", "application protocol"),
        ("alert http any any -> any any (dns.query; content:\"x\"; sid:1;)", "dns.query", "never match"),
        ("alert dns any any -> any any (dns.query; sid:1;)", "dns.query", "nothing is looked for"),
        ("alert dns any any -> any any (flow:to_client; dns.query; content:\"x\"; sid:1;)", "dns.query", "never match"),
        ("alert icmp any any -> any any (dns.query; content:\"x\"; sid:1;)", "dns.query", "no transactions"),
        ("alert dns any any -> any any (dns.query:x; content:\"x\"; sid:1;)", "dns.query", "takes no value"),
        ("alert dns any any -> any any (app-layer-event:dns.no_such; sid:1;)", "app-layer-event", "no event of dns"),
        (
            "alert http any any -> any any (app-layer-event:http.unknown_error; sid:1;)",
            "app-layer-event",
            "never raised",
        ),
        ("alert http any any -> any any (filemd5:no.such.list; sid:1;)", "filemd5", "cannot be read"),
        ("alert http any any -> any any (filemd5:!../../etc/passwd; sid:1;)", "filemd5", "rule file's folder"),
        ("alert http any any -> any any (filesha1:; sid:1;)", "filesha1", "wants"),
        ("alert http any any -> any any (filemagic:\"CDFV2\"; sid:1;)", "filemagic", "files would be missed"),
        (
            "alert http any any -> any any (file.magic; content:\"BuildID[\"; sid:1;)",
            "file.magic",
            "files would be missed",
        ),
        ("alert dns any any -> any any (filemagic:\"PDF\"; sid:1;)", "filemagic", "never match"),
        ("alert http any any -> any any (filestore; filestore; sid:1;)", "filestore", "twice"),
        ("alert http any any -> any any (filestore:sideways; sid:1;)", "filestore", "none of request"),
        ("alert http any any -> any any (filestore:both,host; sid:1;)", "filestore", "none of file"),
        ("alert http any any -> any any (flow:to_server; filestore:response; sid:1;)", "filestore", "store nothing"),
        ("alert dns any any -> any any (filestore; sid:1;)", "filestore", "never match"),
        ("alert ftp any any -> any any (ftpbounce:x; sid:1;)", "ftpbounce", "takes no value"),
        ("alert ip any any -> any any (app-layer-protocol:nonsense; sid:1;)", "app-layer-protocol", "recognises"),
        ("alert tcp any any -> any any (no.such.buffer; content:\"x\"; sid:1;)", "no.such.buffer", "no such keyword"),
        ("alert tcp $HOMENET any -> any any (sid:1;)", "", "$HOMENET is not defined"),
        ("alert tcp 10.0.0.300 any -> any any (sid:1;)", "", "10.0.0.300"),
        ("alert tcp any 70000 -> any any (sid:1;)", "", "70000"),
        ("alert tcp any any <- any any (sid:1;)", "", "none of ->, <>, =>"),
        ("alert tcp any any => any any (sid:1;)", "", "name an application protocol"),
        ("alert http any any => any any (http.uri; content:\"x\"; sid:1;)", "", "in each direction"),
        ("alert http any any => any any (flow:to_server; http.uri; content:\"x\"; sid:1;)", "", "asks for one"),
        ("alert http any any => any any (http.header; content:\"x\"; sid:1;)", "http.header", "either way"),
        ("alert http any any => any any (content:\"x\"; http.uri; content:\"x\"; sid:1;)", "", "buffers only"),
        ("alert tcp:all any any -> any any (sid:1;)", "", "for a firewall"),
        ("alert http2:response_body any any -> any any (sid:1;)", "", "not told apart"),
        ("alert arp:flow_start any any -> any any (sid:1;)", "", "not told apart"),
        ("alert http:request_started any any -> any any (flow:to_client; sid:1;)", "", "never match"),
        ("alert tcp any any -> any any (content:\"x\"; sid:1)", "", "no `;`"),
        ("alert tcp any any -> any any (content:\"x\"; sid:1;", "", "end with `)`"),
        ("alert tcp any any -> any any (content:\"x\";)", "sid", "needs a sid"),
        ("alert tcp any any -> any any (contnet:\"x\"; sid:1;)", "contnet", "did you mean `content`"),
        ("alert tcp any any -> any any (pcre:\"x/\"; sid:1;)", "pcre", "first slash"),
        ("alert tcp any any -> any any (pcre:\"/x\"; sid:1;)", "pcre", "second slash"),
        ("alert tcp any any -> any any (pcre:\"/x/k\"; sid:1;)", "pcre", "none of the letters"),
        ("alert tcp any any -> any any (byte_test:4,=,len,0; sid:1;)", "byte_test", "fills a variable"),
        ("alert tcp any any -> any any (byte_test:4,=,1,0,dce; sid:1;)", "byte_test", "order of a call"),
        ("alert udp any any -> any any (ipv4.hdr; byte_test:1,=,n,0; sid:1;)", "byte_test", "fills a variable"),
        ("alert udp any any -> any any (tcp.hdr; content:\"x\"; sid:1;)", "tcp.hdr", "never match"),
        ("alert tcp any any -> any any (content:\"a|0|\"; sid:1;)", "content", "one digit"),
        ("alert tcp any any -> any any (content:\"abc\"; depth:2; sid:1;)", "depth", "never match"),
        ("alert tcp any any -> any any (nocase; sid:1;)", "nocase", "must follow the `content`"),
        ("alert udp any any -> any any (flags:S; sid:1;)", "flags", "never match"),
        ("alert icmp any 80 -> any any (sid:1;)", "", "no ports"),
        ("alert igmp any 80 -> any any (sid:1;)", "", "no ports"),
        ("alert ether any any -> 10.0.0.1 any (sid:1;)", "", "no address"),
        ("alert ether any any -> any any (content:\"x\"; sid:1;)", "", "ether.hdr"),
        ("alert sctp any any -> any any (igmp.type:1; sid:1;)", "igmp.type", "never match"),
        ("alert tcp any any -> any any (sctp.chunk_data; content:\"x\"; sid:1;)", "sctp.chunk_data", "never match"),
        ("alert sctp any any -> any any (dns.query; content:\"x\"; sid:1;)", "dns.query", "no transactions"),
        ("alert sctp any any -> any any (sctp.chunk_type:inti; sid:1;)", "sctp.chunk_type", "not a whole number"),
        ("alert dnp3 any any -> any any (dnp3.obj:12; sid:1;)", "dnp3.obj", "a group and a variation"),
        ("alert dnp3 any any -> any any (dnp3.ind:rebooted; sid:1;)", "dnp3.ind", "no internal indication"),
        ("alert enip any any -> any any (cip_service:128; sid:1;)", "cip_service", "up to 127"),
        ("alert enip any any -> any any (cip_service:1,2,3,4; sid:1;)", "cip_service", "at most"),
        ("alert nfs any any -> any any (nfs_procedure:chmod; sid:1;)", "nfs_procedure", "no procedure"),
        (
            "alert ike any any -> any any (ike.chosen_sa_attribute:alg_rot=13; sid:1;)",
            "ike.chosen_sa_attribute",
            "none of",
        ),
        ("config ip any any -> any any (sid:1;)", "", "what is to be done"),
        ("alert ip any any -> any any (iprep:src,CnC,>,30; sid:1;)", "iprep", "reputation-categories-file"),
        ("alert ip any any -> any any (iprep:src,CnC,!,30; sid:1;)", "iprep", "it wants"),
        ("alert ip any any -> any any (iprep:src,CnC,>,128; sid:1;)", "iprep", "128"),
        ("alert ip any any -> any any (geoip:src,DE; sid:1;)", "geoip", "geoip-database"),
        ("alert ip any any -> any any (geoip:DE; sid:1;)", "geoip", "none of src"),
        ("alert ip any any -> any any (geoip:src,DEU; sid:1;)", "geoip", "two letters"),
        ("alert ip any any -> any any (geoip:src,DE,!FR; sid:1;)", "geoip", "either none"),
        ("alert udp any any -> any any (entropy:bytes 4; sid:1;)", "entropy", "wants a value"),
        ("alert udp any any -> any any (entropy:value 9; sid:1;)", "entropy", "from 0 to 8"),
        ("alert udp any any -> any any (entropy:value 5-4; sid:1;)", "entropy", "must be smaller"),
        ("alert udp any any -> any any (entropy:value nan; sid:1;)", "entropy", "from 0 to 8"),
        ("alert http any any -> any any (http.uri; xor:offset 1,var k; content:\"x\"; sid:1;)", "xor", "a variable"),
        ("alert http any any -> any any (http.uri; xor:extract 0 1; content:\"x\"; sid:1;)", "xor", "too small"),
        ("alert http any any -> any any (http.uri; subslice:1,0; content:\"x\"; sid:1;)", "subslice", "never match"),
        ("alert http any any -> any any (http.uri; subslice:1,2,3; content:\"x\"; sid:1;)", "subslice", "it wants"),
        ("alert arp any any -> any any (ip.src; content:\"x\"; sid:1;)", "ip.src", "never match"),
        (
            "alert dns any any -> any any (dns.query; dataset:isset,s,type string,load a.json,format json,value_key k; sid:1;)",
            "dataset",
            "context_key",
        ),
        (
            "alert dns any any -> any any (dns.query; dataset:set,s,type string,format json,value_key k,context_key c; sid:1;)",
            "dataset",
            "not changed",
        ),
        (
            "alert dns any any -> any any (dns.query; dataset:isset,s,type string,remove_key; sid:1;)",
            "dataset",
            "say format",
        ),
        (
            "alert ip any any -> any any (ip.src; dataset:set,s,type ip; flowbits:isset,a; sid:1;)",
            "dataset",
            "before flowbits",
        ),
        (
            "alert dns any any -> any any (dns.query; dataset:isset,s,type md5,match subdomain; sid:1;)",
            "dataset",
            "sets of strings",
        ),
    ] {
        let set = one(&format!("# a comment\n\n{rule}\nalert ip any any -> any any (sid:99;)\n"));
        assert_eq!(set.rules.len(), 1, "the rule after {rule} is loaded");
        let [refusal] = &set.refused[..] else { panic!("one refusal of {rule}: {:?}", set.refused) };
        assert_eq!((refusal.file.as_str(), refusal.line, refusal.keyword.as_str()), ("a.rules", 3, keyword), "{rule}");
        assert!(refusal.reason.contains(reason), "{rule}: {}", refusal.reason);
        assert_eq!(refusal.sid, rule.contains("sid:1").then_some(1), "{rule}");
    }
}

#[test]
fn values_that_contradict_or_mean_nothing_are_refused() {
    for (proto, options) in [
        ("udp", r#"content:"abc"; within:2;"#),
        ("udp", r#"content:"x"; content:"abc"; distance:0; depth:5;"#),
        ("udp", r#"content:"x"; content:"abc"; depth:5; distance:0;"#),
        ("udp", r#"content:"x"; content:"abc"; within:5; offset:9;"#),
        ("udp", r#"content:"abc"; startswith; depth:5;"#),
        ("udp", r#"content:"abc"; offset:5; startswith;"#),
        ("udp", r#"content:"x"; content:"abc"; distance:1; startswith;"#),
        ("udp", r#"content:"abc"; nocase; nocase;"#),
        ("udp", r#"content:"abc"; depth:5; depth:6;"#),
        ("udp", r#"content:"abc"; rawbytes; rawbytes;"#),
        ("udp", r#"content:"abc"; fast_pattern; content:"d"; fast_pattern;"#),
        ("udp", r#"content:"abc"; depth:5; fast_pattern:only;"#),
        ("udp", r#"content:!"abc"; fast_pattern:only;"#),
        ("udp", r#"content:!"abc"; depth:5; fast_pattern;"#),
        ("udp", r#"content:"abc"; fast_pattern:1,9;"#),
        ("udp", r#"content:"abc"; fast_pattern:1;"#),
        ("udp", r#"content:"";"#),
        ("udp", "content:abc;"),
        ("udp", r#"content:"a|61";"#),
        ("udp", r#"content:"a|6g|";"#),
        ("udp", r#"content:"a\xb";"#),
        ("udp", r#"content:"a"b";"#),
        ("udp", r#"content:"abc"; offset:65536;"#),
        ("udp", r#"content:"abc"; offset:-1;"#),
        ("udp", r#"content:"x"; content:"abc"; distance:1048577;"#),
        ("udp", r#"content:"x"; content:"abc"; distance:len;"#),
        ("udp", "isdataat:70000;"),
        ("udp", "isdataat:-1;"),
        ("udp", "isdataat:len;"),
        ("udp", r#"pcre:"//";"#),
        ("udp", r#"pcre:"/a/UP";"#),
        ("http", r#"http.uri; pcre:"/a/H";"#),
        ("udp", r#"pcre:!"/(a)/,pkt:a";"#),
        ("udp", "byte_test:9,=,1,0;"),
        ("udp", "byte_test:0,=,1,0;"),
        ("udp", "byte_test:1,!,1,0;"),
        ("udp", "byte_test:1,=,1,0,dec;"),
        ("udp", "byte_test:1,=,1,0,relative,relative;"),
        ("udp", "byte_test:1,=,1;"),
        ("udp", "byte_test:1,=,1,0,align;"),
        ("udp", "byte_jump:1;"),
        ("udp", "byte_jump:1,0,from_end,from_beginning;"),
        ("udp", "byte_jump:1,0,multiplier 0;"),
        ("udp", "byte_jump:1,0,post_offset 70000;"),
        ("udp", "byte_extract:1,0;"),
        ("udp", "byte_extract:1,0,7up;"),
        ("udp", "byte_extract:1,0,a; byte_extract:1,0,a;"),
        ("udp", "byte_extract:1,0,a,align 3;"),
        ("udp", "byte_extract:1,0,a,bitmask 0xff;"),
        ("udp", "byte_math:bytes 1, offset 0, oper %, rvalue 2, result n;"),
        ("udp", "byte_math:bytes 1, offset 0, oper +, result n;"),
        ("udp", "byte_math:bytes 1, offset 0, oper +, rvalue 0, result n;"),
        ("udp", "byte_math:bytes 1, offset 0, oper +, rvalue 2, result n, dce;"),
        ("dns", r#"byte_extract:1,0,n; dns.query; content:"a"; offset:n;"#),
        ("dns", r#"dns.query; content:"a"; offset:n; byte_extract:1,0,n;"#),
        ("udp", "bsize:5;"),
        ("dns", r#"dns.query; content:"abc"; bsize:2;"#),
        ("dns", r#"dns.query; content:"abc"; bsize:1<>3;"#),
        ("udp", "absent;"),
        ("dns", r#"dns.query; content:"a"; absent;"#),
        ("dns", "dns.query; absent:maybe;"),
        ("udp", "base64_decode:bytes 0; base64_data; content:\"a\";"),
        ("udp", "base64_decode:bytes 4;"),
        ("udp", "base64_decode:bytes 4; content:\"a\"; base64_data; content:\"a\";"),
        ("udp", "base64_data; content:\"a\";"),
        ("udp", "base64_decode; base64_data; content:\"a\"; fast_pattern;"),
        ("udp", "dotprefix; content:\"a\";"),
        ("dns", "dns.query; dotprefix;"),
        ("dns", "dns.query; dotprefix:1; content:\"a\";"),
        ("dns", "dns.query; xor:\"0g\"; content:\"a\";"),
        ("dns", "dns.query; xor:\"\"; content:\"a\";"),
        ("dns", "dns.query; from_base64:mode loose; content:\"a\";"),
        ("dns", "dns.query; from_base64:offset 70000; content:\"a\";"),
        ("dns", "dns.query; gunzip:max-size 17MB; content:\"a\";"),
        ("dns", "dns.query; gunzip:4; content:\"a\";"),
        ("udp", "isdataat:1,back;"),
        ("udp", r#"dsize:3; content:"abcd";"#),
        ("udp", r#"dsize:4; content:"abcd"; offset:1;"#),
        ("udp", "dsize:5<>6;"),
        ("udp", "dsize:10<>5;"),
        ("udp", "dsize:65536;"),
        ("udp", "dsize:<0;"),
        ("udp", "dsize:1; dsize:2;"),
        ("udp", "dsize:0x10;"),
        ("ip", "ttl:256;"),
        ("ip", "ttl:>255;"),
        ("ip", "id:!1;"),
        ("ip", "tos:0x12;"),
        ("ip", "ip_proto:6; ip_proto:17;"),
        ("tcp", "ip_proto:6;"),
        ("ip", "ip_proto:nothing;"),
        ("ip", "sameip:1;"),
        ("ip", "fragbits:X;"),
        ("ipv6", "id:1;"),
        ("tcp", "flags:X;"),
        ("tcp", "flags:!+S;"),
        ("tcp", "flags:S,!CE;"),
        ("tcp", "window:>5;"),
        ("tcp", "itype:8;"),
        ("icmp", "itype:300;"),
        ("tcp", "flow:to_server,to_client;"),
        ("tcp", "flow:established,not_established;"),
        ("tcp", "flow:established; flow:established;"),
        ("tcp", "flow:only_stream;"),
        ("tcp-stream", "flow:established;"),
        ("tcp-stream", "flow:no_stream; content:\"a\";"),
        ("tcp-pkt", "flow:only_stream; content:\"a\";"),
        ("udp", "flow:only_stream; content:\"a\";"),
        ("tcp", "flow:only_stream,no_stream; content:\"a\";"),
        ("tcp", "stream_size:server,>;"),
        ("tcp", "stream_size:nobody,>,5;"),
        ("tcp", "stream_size:client,~,5;"),
        ("udp", "stream_size:client,>,5;"),
        ("tcp", "stream-event:no_such;"),
        ("tcp", "stream-event:wrong_thread;"),
        ("tcp", "flow:only_frag,no_frag;"),
        ("tcp", "flow:sideways;"),
        ("tcp", "flow;"),
        ("tcp", "flowbits:set;"),
        ("tcp", "flowbits:set,a b;"),
        ("tcp", "flowbits:set,a|b;"),
        ("tcp", "flowbits:put,a;"),
        ("tcp", "flowbits:noalert,a;"),
        ("tcp", "flowbits:isset,a; flowbits:isnotset,a;"),
        ("ip", "threshold:type limit, track by_src, count 1;"),
        ("ip", "threshold:type limit, track by_src, count 0, seconds 1;"),
        ("ip", "threshold:type limit, track by_name, count 1, seconds 1;"),
        ("ip", "threshold:type often, track by_src, count 1, seconds 1;"),
        ("ip", "threshold:type limit, track by_src, count 1, count 2, seconds 1;"),
        ("ip", "threshold:type backoff, track by_src, count 1, multiplier 2;"),
        ("ip", "detection_filter:track by_host, count 1, seconds 1;"),
        ("ip", "detection_filter:track by_src, count 1, seconds 1, unique_on dst_port;"),
        ("tcp", "detection_filter:track by_src, count 1025, seconds 1, unique_on dst_port;"),
        ("tcp", "tag:session; threshold:type limit, track by_src, count 1, seconds 1;"),
        ("tcp", "tag:session,src;"),
        ("tcp", "tag:host,0,packets;"),
        ("tcp", "tag:host,1,meters;"),
        ("tcp", "config:logging disable, type tx, scope tx;"),
        ("dns", "dns.query; content:\"a\"; config:logging disable, type flow, scope flow;"),
        ("tcp", "flow.pkts:3;"),
        ("tcp", "flow.pkts:upwards,3;"),
        ("tcp", "engine-event:ipv4.trunc_pkt;"),
        (
            "ip",
            "threshold:type limit, track by_src, count 1, seconds 1; detection_filter:track by_src, count 1, seconds 1;",
        ),
        ("ip", "rev:0;"),
        ("ip", "rev:1; rev:2;"),
        ("ip", "priority:-1;"),
        ("ip", "reference:url;"),
        ("ip", "target:me;"),
        ("ip", "msg:\"\";"),
        ("ip", "msg:a;"),
        ("ip", "msg:\"a\"; msg:\"b\";"),
        ("ip", "noalert:1;"),
        ("ip", "prefilter;"),
        ("ip", "decode-event:no.such;"),
        ("ip", "sid:5;"),
    ] {
        let set = with_options(proto, options);
        assert_eq!((set.rules.len(), set.refused.len()), (0, 1), "{proto} {options}");
        assert_ne!(set.refused[0].keyword, "", "{options}: the keyword is named");
    }
    let pass = one("pass ip any any -> any any (threshold:type limit, track by_src, count 1, seconds 1; sid:1;)");
    assert_eq!(pass.refused[0].keyword, "threshold");
}

#[test]
fn of_two_rules_with_one_sid_the_higher_rev_counts() {
    let set = one(concat!(
        "alert ip any any -> any any (msg:\"one\"; sid:1; rev:2;)\n",
        "alert ip any any -> any any (msg:\"two\"; sid:1; rev:2;)\n",
        "alert ip any any -> any any (msg:\"three\"; sid:1; rev:3;)\n",
        "alert ip any any -> any any (msg:\"other group\"; gid:2; sid:1; rev:1;)\n",
    ));
    let left: Vec<_> = set.rules.iter().map(|r| r.meta.msg.as_str()).collect();
    assert_eq!(left, ["three", "other group"]);
    let said: Vec<_> = set.refused.iter().map(|r| (r.line, r.keyword.as_str())).collect();
    assert_eq!(said, [(2, "sid"), (1, "rev")]);
}

#[test]
fn the_hash_stands_for_what_was_loaded_and_nothing_else() {
    let rule = "alert tcp $HOME_NET any -> any any (msg:\"a  b\"; content:\"x\"; classtype:misc-attack; sid:1;)";
    let options = Options::default();
    let hash = |files: &[(&str, &str)], options: &Options| {
        let files: Vec<_> = files.iter().map(|(n, t)| (*n, t.as_bytes())).collect();
        parse(&files, options).sha256
    };
    let base = hash(&[("a", rule)], &options);
    let laid_out = rule.replace("; ", ";   \\\n  ");
    assert_eq!(hash(&[("b", &format!("# note\r\n{laid_out}\r\n"))], &options), base, "layout and file name");
    assert_eq!(hash(&[("a", rule), ("b", "alert nonsense\n")], &options), base, "refused rules");
    assert_ne!(hash(&[("a", &rule.replace("a  b", "a b"))], &options), base, "text");
    let mut other = options.clone();
    other.variables.set_address("HOME_NET", "10.0.0.0/8");
    assert_ne!(hash(&[("a", rule)], &other), base, "what a variable means");
    let mut other = options.clone();
    other.classification.read_classes("config classification: misc-attack,Misc Attack,1");
    assert_ne!(hash(&[("a", rule)], &other), base, "the grade");
    let second = "alert ip any any -> any any (sid:2;)";
    let (ab, ba) = (hash(&[("a", rule), ("b", second)], &options), hash(&[("b", second), ("a", rule)], &options));
    assert_ne!(ab, ba, "the order breaks ties");
    assert_ne!(base, [0; 32]);
}

#[test]
fn what_looks_wrong_but_runs_is_a_warning() {
    let set = one(concat!(
        "alert udp any any -> any any (content:\"x\"; distance:1; sid:1;)\n",
        "alert ip any any -> any any (classtype:own-class; reference:bsi,1; sid:2;)\n",
        "alert ip any any -> any any (priority:2; priority:1; sid:3;)\n",
    ));
    assert_eq!((set.rules.len(), set.refused.len()), (3, 0));
    let said: Vec<_> = set.warnings.iter().map(|w| (w.line, w.keyword.as_str())).collect();
    assert_eq!(said, [(1, "distance"), (2, "classtype"), (2, "reference"), (3, "priority")]);
    assert_eq!((set.rules[1].meta.priority, set.rules[2].meta.priority), (3, 1));
}

#[test]
fn a_file_that_cannot_be_read_is_a_refusal_and_the_others_load() {
    let dir = std::env::temp_dir().join(format!("lagewarte-rules-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let good = dir.join("good.rules");
    std::fs::write(&good, "alert ip any any -> any any (sid:1;)\n").unwrap();
    let report = check(&[dir.join("absent.rules"), good], &Options::default());
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(report.loaded, 1);
    assert_eq!(report.sha256.len(), 64);
    let [refusal] = &report.refused[..] else { panic!("{:?}", report.refused) };
    assert!(refusal.file.ends_with("absent.rules") && refusal.reason.contains("cannot be opened"));
}

#[test]
fn a_set_with_too_many_flowbit_names_is_cut_there() {
    let most = lagewarte_rules::limits::MAX_FLOWBITS;
    let text: String =
        (1..=most + 3).map(|i| format!("alert ip any any -> any any (flowbits:set,b{i}; sid:{i};)\n")).collect();
    let set = one(&text);
    assert_eq!((set.rules.len(), set.refused.len()), (most, 3));
    assert!(set.refused.iter().all(|r| r.keyword == "flowbits"));
}

proptest! {
    #[test]
    fn no_file_panics(bytes: Vec<u8>) {
        let _ = parse(&[("x", &bytes)], &Options::default());
    }
    #[test]
    fn no_option_panics(n in 0..HONOURED.len(), value in "[ -~ä]{0,24}", before: bool) {
        let content = if before { "content:\"abc\";" } else { "" };
        let _ = with_options("ip", &format!("{content} {}:{value};", HONOURED[n].name));
    }
    #[test]
    fn every_truncation_of_a_rule_is_refused_or_a_rule(cut in 0usize..200) {
        let rule = "alert tcp [10.0.0.0/8,!10.1.0.0/16] any -> $HOME_NET 80:90 (msg:\"x\"; content:\"a|62|\"; nocase; sid:1;)";
        let set = one(&rule[..cut.min(rule.len())]);
        prop_assert_eq!(set.rules.len() == 1, cut >= rule.len());
    }
    #[test]
    fn every_content_comes_back(bytes in prop::collection::vec(any::<u8>(), 1..40)) {
        let hex: String = bytes.iter().map(|b| format!("|{b:02X}|")).collect();
        let set = with_options("udp", &format!("content:\"{hex}\";"));
        let PayloadTest::Content(c) = &set.rules[0].payload[0] else { panic!("a content") };
        prop_assert_eq!(&c.bytes, &bytes);
    }
}

#[test]
fn variables_and_classes_are_the_stock_ones_by_default() {
    let o = Options::default();
    assert_eq!((o.variables, o.classification), (Variables::suricata(), Classification::default()));
}

#[test]
fn marks_that_contradict_each_other_or_have_no_place_are_refused() {
    for (rule, keyword, why) in [
        ("flowint:a,isset; flowint:a,notset;", "flowint", "never match"),
        ("flowint:a,+;", "flowint", "value must follow"),
        ("flowint:a,isset,1;", "flowint", "no value"),
        ("flowint:a,%,1;", "flowint", "none of"),
        ("flowint:a,+,4294967296;", "flowint", "whole number"),
        ("xbits:isset,a,track ip_src; xbits:isnotset,a,track ip_src;", "xbits", "never match"),
        ("xbits:set,a,track tx;", "xbits", "no"),
        ("xbits:set,a,track tx,expire 3;", "xbits", "ends with it"),
        ("xbits:set,a,track ip_any;", "xbits", "track ip_pair"),
        ("xbits:set,a;", "xbits", "track"),
        ("xbits:set,a,track ip_src,expire 0;", "xbits", "whole number"),
        ("xbits:set,a,track ip_src,expire 99999999;", "xbits", "whole number"),
        ("hostbits:set,a,both;", "hostbits", "no settled meaning"),
        ("hostbits:set,a b;", "hostbits", "not a name"),
    ] {
        let text = format!("alert udp any any -> any any ({rule} sid:1;)");
        let set = lagewarte_rules::parse(&[("t", text.as_bytes())], &Options::default());
        assert_eq!(set.refused.len(), 1, "{rule}");
        assert_eq!(set.refused[0].keyword, keyword, "{rule}");
        assert!(set.refused[0].reason.contains(why), "{rule}: {}", set.refused[0].reason);
    }
}
