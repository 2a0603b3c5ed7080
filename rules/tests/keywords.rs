// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Forms of keywords as the user guide has them: what is taken, and why what is refused is refused.

use lagewarte_rules::{
    Options, RuleSet,
    ast::{Interval, TransactionTest},
    explain::Explanation,
    parse, registry,
};

fn with_options(proto: &str, options: &str) -> RuleSet {
    let text = format!("alert {proto} any any -> any any ({options}; sid:1;)");
    parse(&[("a.rules", text.as_bytes())], &Options::default())
}

#[test]
fn forms_that_the_guide_has_are_taken_and_can_be_explained() {
    let mut bad = Vec::new();
    for (proto, all) in [
        (
            "modbus",
            &[
                "modbus:unit 10",
                "modbus:function 21",
                "modbus:function !assigned",
                "modbus:function reserved, subfunction 4",
                "modbus:access read",
                "modbus:access write coils",
                "modbus:access read discretes, address <1000",
                "modbus:unit 10<>50, function 3, access write holding, address 100, value >2000",
                "modbus:access write holding, address 1, value 1<>9",
            ][..],
        ),
        (
            "dns",
            &[
                "dns.query; dataset:isset,a,type string",
                "dns.query; dataset:isnotset,a,type string,memcap 10mb,hashsize 1024",
                "dns.query; to_sha256; dataset:set,b,type sha256",
                "dns.query; dataset:unset,a,type string",
                "dns.opcode:!0",
                "dns.rcode:nxdomain",
                "dns.rrtype:aaaa",
                "app-layer-event:dns.not_request",
                "app-layer-protocol:dns",
                "dns.query; dotprefix; content:\".x\"; endswith",
                "dns.query; to_uppercase; compress_whitespace; content:\"X\"",
                "dns.query; xor:\"0d0a\"; content:\"X\"",
                "dns.query; from_base64:bytes 8, offset 1, mode strict; content:\"X\"",
                "dns.query; from_base64; content:\"X\"",
                "dns.query; gunzip:max-size 4096; content:\"X\"",
                "dns.query; zlib_deflate; content:\"X\"",
                "dns.query; pcrexform:\"(a+)\"; content:\"a\"",
            ],
        ),
        (
            "http",
            &[
                "content:\"x\"; http_uri; content:\"y\"; distance:0",
                "uricontent:\"/x\"",
                "urilen:>10",
                "urilen:4-9,raw",
                "urilen:5,norm",
                "pcre:\"/^x/Ui\"",
                "pcre:\"/x/smxAEG\"",
                "pcre:\"/(?P<flow_name>x)(?P<pkt_other>y)[(](?:z)/\"",
                "pcre:\"/(x)/, flow:a, alert:b\"",
                "file.data; content:\"x\"; pkt_data; content:\"y\"",
                "fileext:\"exe\"",
                "filename:!\"a b\"",
                "filemagic:\"executable for MS Windows\"",
                "filemagic:!\"PDF document\"",
                "file.magic; content:\"PDF\"; nocase",
                "filesize:1KB<>2MB",
                "filestore:request,tx",
                "filestore:both,ssn",
            ],
        ),
        (
            "sip",
            &[
                "frame:pdu; content:\"x\"; frame:pdu; content:\"y\"; distance:0",
                "frame:request.line; to_lowercase; content:\"x\"; startswith",
                "frame:sip.response.body; bsize:>3; dataset:isset,a,type string",
                "flow:to_server; flowbits:isset,a; frame:request.headers; content:!\"x\"",
            ],
        ),
        ("tcp", &["frame:smb.smb2.data; content:\"x\"", "frame:websocket.pdu; content:\"x\""]),
        (
            "http2",
            &[
                "http2.frametype:goaway",
                "http2.errorcode:!no_error",
                "http2.settings:SETTINGS_ENABLE_PUSH=0",
                "http2.settings:SETTINGS_MAX_FRAME_SIZE",
                "http2.priority:>100",
                "http2.window:<4294967295",
            ],
        ),
        (
            "tls",
            &[
                "tls.version:1.2",
                "tls.version:0x0301",
                "ssl_version:tls1.2,tls1.3",
                "ssl_version:!sslv2,!sslv3",
                "ssl_state:client_hello|server_hello",
                "tls_cert_notbefore:<2026",
                "tls_cert_notafter:>2026-03-02 08:00",
                "tls_cert_notafter:2025<>2026-02-28T23:59:59",
                "tls_cert_notafter:2024-02-29",
                "tls_cert_expired",
                "tls_cert_valid",
                "tls.cert_chain_len:>3",
                "tls.subject:\"CN=x\"",
                "tls.issuerdn:!\"CN=y\"",
                "tls.fingerprint:\"00:11\"",
            ],
        ),
        ("ssh", &["ssh.protoversion:2_compat", "ssh.protoversion:1.99", "ssh.softwareversion:\"OpenSSH\""]),
        (
            "krb5",
            &[
                "krb5_msg_type:10",
                "krb5.ticket_encryption:weak",
                "krb5.ticket_encryption:!strong",
                "krb5.ticket_encryption:rc4-hmac,-128",
            ],
        ),
        (
            "mqtt",
            &[
                "mqtt.type:publish",
                "mqtt.flags:dup,!retain",
                "mqtt.flags:&8=8",
                "mqtt.connect.flags:username,will",
                "mqtt.connack.session_present:yes",
                "mqtt.connack.session_present:false",
                "mqtt.qos:2",
                "mqtt.reason_code:5,all",
                "mqtt.reason_code:5,-1",
                "mqtt.reason_code:5,or_absent",
                "mqtt.reason_code:5,all_or_absent",
                "mqtt.reason_code:5,any",
            ],
        ),
        ("websocket", &["websocket.opcode:text", "websocket.flags:fin,!comp", "websocket.mask:&0xff!=1"]),
        ("ike", &["ike.exchtype:2", "ike.chosen_sa_attribute:alg_hash=2", "ike.nonce_payload_length:>100"]),
        (
            "dnp3",
            &[
                "dnp3_func:read",
                "dnp3_ind:device_restart",
                "dnp3_ind:!no_func_code_support,need_time",
                "dnp3_ind:>5",
                "dnp3_obj:12,1",
            ],
        ),
        ("snmp", &["snmp.version:3", "snmp.pdu_type:get_bulk_request"]),
        (
            "nfs",
            &["nfs_version:3", "nfs_procedure:read", "nfs_procedure:!rename", "nfs_procedure:1<>5", "nfs_procedure:4"],
        ),
        ("enip", &["enip_command:list_identity", "cip_service:16", "cip_service:16,246,6", "enip.revision:0x1234"]),
        ("rfb", &["rfb.secresult:ok", "rfb.secresult:unknown", "rfb.sectype:2"]),
        ("ftp", &["ftpbounce", "ftp.reply_received:yes", "ftp.reply_received:off", "ftp.dynamic_port:>1024"]),
        ("ntp", &["ntp.mode:client", "ntp.stratum:>2"]),
        (
            "ldap",
            &["ldap.request.operation:bind_request", "ldap.responses.result_code:success", "ldap.responses.count:>1"],
        ),
        (
            "tcp",
            &[
                "flags:S,CE",
                "flags:!FR",
                "flags:+A",
                "flags:*UP",
                "flags:0",
                "flags:SA+",
                "seq:0",
                "ack:7",
                "window:!1024",
                "tcp.mss:<536",
                "tcp.wscale:>10",
                "tcpv4-csum:valid",
                "tcpv6-csum:invalid",
                "rpc:100000,2,*",
                "rpc:100003",
                "flow.age:>10",
                "flow.pkts:both,>3",
                "flow.pkts_toserver:5",
                "flow.pkts_toclient:<5",
                "flow.bytes:either,>100",
                "flow.bytes_toserver:5",
                "flow.bytes_toclient:<5",
                "tag:session",
                "tag:session,10,packets",
                "tag:host,60,seconds,src",
                "tag:host,src",
                "tag:host,1000,bytes",
                "stream_size:client,>,5",
                "app-layer-protocol:!http",
                "app-layer-protocol:tls,final",
                "app-layer-protocol:failed,to_server",
                "app-layer-protocol:smtp,either",
                "app-layer-protocol:ssh,original",
                "app-layer-protocol:http,exact",
                "app-layer-event:applayer_mismatch_protocol_both_directions",
                "requires:feature ja3, keyword dns.query, version >= 7.0.3 < 10 | >= 9",
                "msg:\"a \\x b\"",
            ],
        ),
        (
            "ip",
            &[
                "ttl:1-9",
                "ttl:>=64",
                "ttl:<=1",
                "ttl:!5",
                "ttl:<5",
                "ttl:>5",
                "ttl:=5",
                "id:7",
                "tos:!x1f",
                "tos:8",
                "ip_proto:!tcp",
                "ip_proto:>100",
                "ip_proto:<ospf",
                "sameip",
                "fragbits:M",
                "fragbits:!D",
                "fragbits:+MR",
                "fragoffset:>0",
                "fragoffset:<5",
                "fragoffset:5",
                "ipopts:lsrr",
                "ipopts:any",
                "ipv4-csum:\"invalid\"",
                "vlan.id:>100",
                "vlan.id:100,-1",
                "vlan.id:5,any",
                "vlan.layers:2",
                "decode-event:decoder.ipv4.trunc_pkt",
                "engine-event:decoder.ipv6.trunc_pkt",
                "engine-event:stream.pkt_invalid_ack",
            ],
        ),
        ("icmp", &["itype:8", "icode:>3", "icmp_id:7", "icmp_seq:1", "icmpv4-csum:invalid", "icmpv6.mtu:<1280"]),
        ("sctp", &["sctp.chunk_type:init_ack", "sctp.chunk_cnt:>3", "sctp.vtag:0"]),
        ("igmp", &["igmp.type:17", "igmp-csum:invalid"]),
    ] {
        for options in all {
            let set = with_options(proto, options);
            let Some(rule) = set.rules.first() else {
                bad.push(format!("{proto}: {options}: {}", set.refused[0].reason));
                continue;
            };
            let told = Explanation::of(rule);
            assert!(told.options.iter().all(|o| !o.meaning.is_empty()), "{options}: {:?}", told.options);
        }
    }
    assert!(bad.is_empty(), "refused:\n{}", bad.join("\n"));
}

#[test]
fn what_a_keyword_cannot_mean_is_refused_with_the_reason() {
    let mut bad = Vec::new();
    for (proto, all) in [
        (
            "modbus",
            &[
                ("modbus:unit", "wants a value"),
                ("modbus:function none", "whole number"),
                ("modbus:access sideways", "neither read nor write"),
                ("modbus:access read nothing", "none of discretes"),
                ("modbus:access write input", "no access that there is"),
                ("modbus:access read coils more", "no access that there is"),
                ("modbus:address 5", "access to a table"),
                ("modbus:access read coils, address 5, value 1", "holding registers"),
                ("modbus:access write holding, address >5, value 1", "single one"),
                ("modbus:speed 5", "none of unit"),
            ][..],
        ),
        (
            "dns",
            &[
                ("dns.query; dataset:isset", "wants isset"),
                ("dns.query; dataset:maybe,a", "none of isset"),
                ("dataset:isset,a", "name the buffer before it"),
                ("dns.query; dataset:isset,", "1 to 128 characters"),
                ("dns.query; dataset:isset,a,state x", "not written to files"),
                ("dns.query; dataset:isset,a,format json", "JSON"),
                ("dns.query; dataset:isset,a,colour red", "none of type"),
                ("dns.query; dataset:isset,a,memcap much", "not a size"),
                ("dns.query; datarep:a,>", "wants name"),
                ("dns.query; datarep:a,~,5,load x", "none of <"),
                ("dns.query; datarep:a,>,5,type string", "give load"),
                ("dns.rcode:nonsense", "whole number"),
                ("app-layer-protocol:unknown", "not known yet"),
                ("app-layer-protocol:dns,sideways", "none of final"),
                ("app-layer-event:nonsense", "protocol.event"),
                ("app-layer-event:nonsense.x", "cannot be asked for"),
                ("dotprefix", "follow a sticky buffer"),
                ("dns.query; xor:\"0\"; content:\"x\"", "key in hex"),
                ("dns.query; xor:\"\"; content:\"x\"", "1 to 255 bytes"),
                ("dns.query; pcrexform:\"\"; content:\"x\"", "1 to"),
                ("dns.query; from_base64:bytes; content:\"x\"", "none of bytes N"),
                ("dns.query; from_base64:bytes x; content:\"x\"", "not supported in transforms"),
                ("dns.query; from_base64:bytes 0; content:\"x\"", "too small"),
                ("dns.query; from_base64:mode lax; content:\"x\"", "none of strict"),
                ("dns.query; from_base64:colour 1; content:\"x\"", "none of bytes"),
                ("dns.query; gunzip:1; content:\"x\"", "max-size"),
                ("dns.query; pkt_data; content:\"x\"", "nothing is looked for"),
                ("dns.query; dns.query; content:\"x\"", "nothing is looked for"),
            ],
        ),
        (
            "http",
            &[
                ("http_uri", "must follow the `content`"),
                ("http.uri; content:\"x\"; http_uri", "after a sticky buffer"),
                ("content:\"x\"; http_uri; http_header", "already looks into"),
                ("http.uri; uricontent:\"x\"", "after a sticky buffer"),
                ("urilen:5,more", "neither norm nor raw"),
                ("pcre:x", "first slash"),
                ("pcre:\"/x\"", "second slash"),
                ("pcre:\"//\"", "empty"),
                ("pcre:\"/x/q\"", "none of the letters"),
                ("pcre:\"/x/UH\"", "one buffer only"),
                ("pcre:!\"/(x)/, flow:a\"", "captures nothing"),
                ("http.method; pcre:\"/x/U\"", "is open"),
                ("fileext:\"a|b\"", "without bars"),
                ("filename:\"\"", "1 to 250"),
                ("filemagic:\"\"", "1 to 250"),
                ("filemagic:PDF", "quotes"),
                ("filemagic:\"with CRLF Line Terminators\"", "libmagic's code"),
                ("file.magic; content:!\"HTML document, ASCII text\"", "libmagic's code"),
                ("filesize:x", "whole number"),
            ],
        ),
        (
            "sip",
            &[
                ("frame:pdu", "nothing is looked for"),
                ("frame:request; content:\"x\"", "request.line, request.headers"),
                ("frame:stream; content:\"x\"", "no frame of sip"),
                ("frame:smb2.pdu; content:\"x\"", "no frame of sip"),
                ("frame:dns.pdu; content:\"x\"", "could never match"),
                ("frame:nfs.pdu; content:\"x\"", "not marked"),
                ("frame:pdu; content:\"x\"; frame:request.line; content:\"y\"", "by itself"),
                ("frame:pdu; content:\"x\"; pkt_data; content:\"y\"", "by itself"),
                ("frame:pdu; content:\"x\"; sip.method; content:\"y\"", "by itself"),
                ("frame:pdu; content:\"x\"; ttl:64", "no packet"),
                ("frame:pdu; content:\"x\"; app-layer-event:applayer_unexpected_protocol", "no part of a transaction"),
                ("frame:pdu; absent", "absent"),
                ("frame:pdu; content:\"x\"; xbits:set,a,track tx", "no transaction"),
            ],
        ),
        ("tcp", &[("frame:pdu; content:\"x\"", "whose frame"), ("frame:ftp.pdu; content:\"x\"", "not marked")]),
        (
            "http2",
            &[
                ("http2.settings:SETTINGS_NONE", "no setting"),
                ("http2.frametype:&1", "written &mask=value"),
                ("http2.frametype:&1=2", "never match"),
            ],
        ),
        (
            "tls",
            &[
                ("tls.version:1.9", "none of 1.0"),
                ("ssl_version:tls1.2,!tls1.3", "the first must be"),
                ("ssl_version:tls7", "none of"),
                ("tls_cert_notbefore:soon", "no date"),
                ("tls_cert_notbefore:1969", "no date"),
                ("tls_cert_notbefore:2025-02-29", "no date"),
                ("tls_cert_notbefore:2025-13", "no date"),
                ("tls_cert_notbefore:2025-01-01 24", "no date"),
                ("tls_cert_notafter:2026<>2025", "ends before it begins"),
                ("tls.subject:\"\"", "empty"),
            ],
        ),
        ("krb5", &[("krb5.ticket_encryption:rot13", "no kind of encryption")]),
        (
            "mqtt",
            &[
                ("mqtt.flags:loud", "none of retain, dup"),
                ("mqtt.flags:dup,dup", "stands twice"),
                ("mqtt.connack.session_present:maybe", "neither yes nor no"),
                ("mqtt.reason_code:5,most", "no place"),
            ],
        ),
        (
            "ike",
            &[
                ("ike.chosen_sa_attribute:alg_hash", "attribute=value"),
                ("ike.chosen_sa_attribute:x=1", "none of alg_enc"),
                ("ike.chosen_sa_attribute:alg_dh=x", "32 bits"),
            ],
        ),
        (
            "dnp3",
            &[
                ("dnp3_ind:happy", "no internal indication"),
                ("dnp3_obj:12", "a group and a variation"),
                ("dnp3_obj:12,999", "up to 255"),
            ],
        ),
        ("nfs", &[("nfs_procedure:fly", "no procedure"), ("nfs_procedure:5-1", "no range")]),
        ("enip", &[("cip_service:1,2,3,4", "at most"), ("cip_service:200", "up to 127")]),
        ("ftp", &[("ftp.reply_received:maybe", "neither yes nor no")]),
        (
            "tcp",
            &[
                ("flags:X", "none of the TCP flags"),
                ("flags:", "value"),
                ("flags:+S+", "one modifier"),
                ("flags:+", "wants letters"),
                ("window:x", "number"),
                ("tcpv4-csum:maybe", "neither valid"),
                ("rpc:1,2,3,4", "one too many"),
                ("rpc:1,x", "nor *"),
                ("flow.pkts:5", "direction,number"),
                ("flow.pkts:sideways,5", "none of toserver"),
                ("tag:all", "neither session"),
                ("tag:session,src", "go with host"),
                ("tag:host,up", "neither src nor dst"),
                ("tag:host,5,miles", "none of packets"),
                ("tag:host,1,packets,src,more", "wants session or host"),
                ("config:tracking disable", "before rules are asked"),
                ("config:logging disable, type flow", "one form"),
                ("requires:feature teleport", "which this one is not"),
                ("requires:version >= 99", "which this one is not"),
                ("requires:version 7", "no range of versions"),
                ("requires:version >= 1.2.3.4", "no range of versions"),
                ("requires:version ~ 7", "no range of versions"),
                ("requires:version", "no range of versions"),
                ("requires:mood good", "none of feature"),
                ("prefilter", "must follow"),
                ("msg:\"\"", "empty"),
                ("target:nobody", "neither src_ip"),
                ("classtype:a b", "short name of a class"),
                ("reference:cve", "system,id"),
                ("rev:1; rev:2", "twice"),
            ],
        ),
        (
            "ip",
            &[
                ("ttl:5-6", "no number between"),
                ("ttl:<0", "no number is below 0"),
                ("ttl:>255", "above 255"),
                ("ttl:256", "255"),
                ("tos:xyz", "byte in hex"),
                ("ip_proto:nonsense", "protocol name"),
                ("ip_proto:6; ip_proto:17", "cannot go with another"),
                ("fragbits:X", "none of M, D, R"),
                ("fragbits:+", "wants letters"),
                ("ipopts:all", "none of rr"),
                ("ipopts:rr; ipopts:ts", "one option"),
                ("vlan.id:5,9", "no layer"),
                ("decode-event:ipv4.happy", "not an event"),
                ("engine-event:happy", "whole name"),
            ],
        ),
    ] {
        for (options, reason) in all {
            let set = with_options(proto, options);
            match &set.refused[..] {
                [r] if r.reason.contains(reason) => {}
                other => bad.push(format!("{proto}: {options}: {other:?} is not {reason:?}")),
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn numbers_and_dates_become_what_they_say() {
    let test = |proto: &str, options: &str| {
        let set = with_options(proto, options);
        assert_eq!(set.refused, [], "{options}");
        set.rules[0].transaction.clone()
    };
    let number = |field, from, to| vec![TransactionTest::Number { field, test: Interval { from, to, negated: false } }];
    // Seconds since 1970, by `date -u`.
    assert_eq!(test("tls", "tls_cert_notafter:2024-02-29"), number("tls_cert_notafter", 1_709_164_800, 1_709_164_800));
    assert_eq!(
        test("tls", "tls_cert_notafter:>2026-03-02 08:00"),
        number("tls_cert_notafter", 1_772_438_401, u64::MAX)
    );
    assert_eq!(test("tls", "tls_cert_notbefore:<1970"), number("tls_cert_notbefore", 1, 0));
    // Group 12, variation 1; attribute 2 (alg_hash) of value 4.
    assert_eq!(test("dnp3", "dnp3_obj:12,1"), number("dnp3.obj", 0x0c01, 0x0c01));
    assert_eq!(
        test("ike", "ike.chosen_sa_attribute:alg_hash=4"),
        number("ike.chosen_sa_attribute", 2 << 32 | 4, 2 << 32 | 4)
    );
    assert_eq!(test("rfb", "rfb.secresult:toomany"), number("rfb.secresult", 2, 2));
    let bits = |field, mask, value, negated| vec![TransactionTest::Bits { field, mask, value, negated }];
    assert_eq!(test("mqtt", "mqtt.flags:dup,!retain"), bits("mqtt.flags", 9, 8, false));
    assert_eq!(test("websocket", "websocket.mask:&0xff!=1"), bits("websocket.mask", 0xff, 1, true));
    // READ is procedure 6 of version 3 (RFC 1813) and operation 25 of version 4 (RFC 7530).
    assert_eq!(
        test("nfs", "nfs_procedure:read"),
        [TransactionTest::OneOf { field: "nfs.named", any: vec![6, 1 << 32 | 25], none: false }]
    );
}

#[test]
fn unknown_keywords_are_named_with_one_that_is_near() {
    for (name, want) in [("contnet", "did you mean `content`"), ("lua", "Lua scripts"), ("xyzzyx", "no such keyword")] {
        assert!(registry::refusal(name).contains(want), "{name}: {}", registry::refusal(name));
    }
}
