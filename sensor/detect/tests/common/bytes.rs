// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Cases of the keywords on bytes: patterns, numbers, sizes, base64, transforms.

use super::{CLIENT, Case, Frame, SERVER, case, frame, http, ip, question, request, texts, udp, udp_rule};

/// The same with a body of its own.
fn packed(keyword: &'static str, body: Vec<u8>, holds: &str, does_not: &str) -> Case {
    let head = format!("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len());
    Case { frames: request(&[head.as_bytes(), &body].concat()), ..http(keyword, holds, does_not) }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut w, text).unwrap();
    w.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut w = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut w, text).unwrap();
    w.finish().unwrap()
}

pub(super) fn cases() -> Vec<Case> {
    let one = |keyword, options: &str, frames: Vec<Frame>, alerts| {
        let text: &'static str = Box::leak(udp_rule(options).into_boxed_str());
        case(keyword, text, frames, alerts)
    };
    vec![
        one("pcre", r#"pcre:"/^a[0-9]+b$/i";"#, texts(&["A12B", "ab", "xa1b"]), &[(1, 1)]),
        one("pcre", r#"content:"a"; pcre:!"/^b/R";"#, texts(&["ab", "ac"]), &[(1, 2)]),
        http("pcre", r#"pcre:"/^\/a b\/(?!y)/U"; sid:1;"#, r#"pcre:"/^\/a b\/(?!x)/U"; sid:2;"#),
        Case {
            fields: &[
                ("metadata", r#"{"flowvars":[{"who":"ann"}],"pktvars":[{"what":"b.r"},{"kind":"x"}]}"#),
                ("alert.context", r#"{"all":"7"}"#),
            ],
            ..one(
                "pcre",
                r#"pcre:"/who=(\w+) (\w+)=(b.r) (\w)(\d)/s,flow:who,pkt:key,pkt:value,pkt:kind,alert:all"; content:" end"; distance:0; within:4;"#,
                vec![udp(CLIENT, SERVER, b"who=joe what=bar y6 | who=ann what=b\x01r x7 end")],
                &[(1, 1)],
            )
        },
        Case {
            fields: &[("metadata", r#"{"flowvars":[{"name":"b"}]}"#)],
            ..one("pcre", r#"pcre:"/(a)(?P<flow_name>b)/";"#, texts(&["ab"]), &[(1, 1)])
        },
        one(
            "asn1",
            "asn1:bitstring_overflow, absolute_offset 1;",
            texts(&["x\x03\x01\x09", "\x03\x01\x09"]),
            &[(1, 1)],
        ),
        one(
            "asn1",
            r#"content:"n"; asn1:double_overflow, oversize_length 9, relative_offset 1;"#,
            texts(&["nx\x04\x0a0123456789", "nx\x04\x09012345678", "n\x04\x0a0123456789"]),
            &[(1, 1)],
        ),
        one("byte_test", "byte_test:1,>,0x61,1;", texts(&["ab", "ba", "b"]), &[(1, 1)]),
        one("byte_test", "byte_test:0,>,100,1,string,dec;", texts(&["n101;", "n99;", "n"]), &[(1, 1)]),
        one("byte_jump", r#"byte_jump:1,0,string,dec; content:"a"; within:1;"#, texts(&["2xxa", "2xax"]), &[(1, 1)]),
        one(
            "byte_extract",
            r#"byte_extract:1,0,n,string,dec; content:"a"; offset:n; depth:1;"#,
            texts(&["2xa", "1xa", "xxa"]),
            &[(1, 1)],
        ),
        one(
            "byte_math",
            "byte_math:bytes 1, offset 0, oper *, rvalue 2, result n, string dec; isdataat:n;",
            texts(&["2abcd", "2abc", "x"]),
            &[(1, 1)],
        ),
        case(
            "byte_math",
            "alert udp any any -> any any (ipv4.hdr; byte_math:bytes 1, offset 8, oper +, rvalue 1, result n; \
             udp.hdr; byte_test:1,=,n,3; sid:1;)",
            [64, 79].map(|ttl| frame(|out| ip(CLIENT, SERVER, ttl).udp(1, 80).write(out, b"x").unwrap())).to_vec(),
            &[(1, 2)],
        ),
        case(
            "bsize",
            "alert dns any any -> any any (dns.query; bsize:11; sid:1;)
             alert dns any any -> any any (dns.query; bsize:!11; sid:2;)
             alert dns any any -> any any (dns.query; bsize:10<>12; sid:3;)",
            vec![question("example.org", 1), question("a.example.org", 1)],
            &[(1, 1), (3, 1), (2, 2)],
        ),
        http("absent", "http.referer; absent; sid:1;", "flow:to_server; http.host; absent; sid:2;"),
        http(
            "absent",
            r#"http.referer; absent:or_else; content:"never"; sid:1;"#,
            r#"flow:to_server; http.host; absent:or_else; content:"never"; sid:2;"#,
        ),
        one(
            "base64_decode",
            r#"base64_decode:bytes 8; base64_data; content:"foobar";"#,
            texts(&["Zm9vYmFy", "foobar"]),
            &[(1, 1)],
        ),
        one("base64_data", r#"base64_decode; base64_data; content:"foo";"#, texts(&["Zm9v", "foo"]), &[(1, 1)]),
        http(
            "dotprefix",
            r#"http.host; dotprefix; content:".h"; bsize:2; sid:1;"#,
            r#"http.host; dotprefix; content:"h"; startswith; sid:2;"#,
        ),
        http(
            "strip_whitespace",
            r#"http.uri; strip_whitespace; content:"/ab/"; sid:1;"#,
            r#"http.uri; strip_whitespace; content:" "; sid:2;"#,
        ),
        http(
            "compress_whitespace",
            r#"http.header; compress_whitespace; content:"Host: h Content-Length: 3 "; sid:1;"#,
            r#"http.header; compress_whitespace; content:"|0d 0a|"; sid:2;"#,
        ),
        http(
            "to_lowercase",
            r#"http.method; to_lowercase; content:"post"; sid:1;"#,
            r#"http.method; to_lowercase; content:"POST"; sid:2;"#,
        ),
        http(
            "to_uppercase",
            r#"http.host; to_uppercase; content:"H"; sid:1;"#,
            r#"http.host; to_uppercase; content:"h"; sid:2;"#,
        ),
        http(
            "to_md5",
            r#"http.method; to_md5; content:"|a0 24 39 ec|"; startswith; bsize:16; sid:1;"#,
            r#"http.method; to_md5; content:"POST"; sid:2;"#,
        ),
        http(
            "to_sha1",
            r#"http.request_body; to_sha1; content:"|a9 99 3e 36|"; startswith; bsize:20; sid:1;"#,
            r#"http.request_body; to_sha1; content:"abc"; sid:2;"#,
        ),
        http(
            "to_sha256",
            r#"http.request_body; to_sha256; content:"|ba 78 16 bf|"; startswith; bsize:32; sid:1;"#,
            r#"http.request_body; to_sha256; content:"abc"; sid:2;"#,
        ),
        http(
            "url_decode",
            r#"http.uri.raw; url_decode; content:"/a b/"; sid:1;"#,
            r#"http.uri.raw; url_decode; content:"%20"; sid:2;"#,
        ),
        http(
            "xor",
            r#"http.request_body; xor:"01"; content:"`cb"; sid:1;"#,
            r#"http.request_body; xor:"01"; content:"abc"; sid:2;"#,
        ),
        http(
            "xor",
            r#"http.request_body; xor:offset 1,extract 1 0; content:"a|03 02|"; sid:1;"#,
            r#"http.request_body; xor:extract 1 0; content:"a"; sid:2;"#,
        ),
        http(
            "subslice",
            r#"http.uri; subslice:-3; content:"pdf"; bsize:3; sid:1;"#,
            r#"http.uri; subslice:1,2,truncate; content:"pdf"; sid:2;"#,
        ),
        http(
            "header_lowercase",
            r#"http.header; header_lowercase; content:"content-length: 3"; sid:1;"#,
            r#"http.header; header_lowercase; content:"Content-Length"; sid:2;"#,
        ),
        http(
            "strip_pseudo_headers",
            r#"http.request_line; strip_pseudo_headers; content:"POST"; sid:1;"#,
            r#"http.request_line; xor:"6a"; strip_pseudo_headers; content:"|25 39 3e|"; sid:2;"#,
        ),
        http(
            "pcrexform",
            r#"http.uri; pcrexform:"/([a-z])\."; content:"x"; bsize:1; sid:1;"#,
            r#"http.uri; pcrexform:"/([a-z])\."; content:"pdf"; sid:2;"#,
        ),
        http(
            "from_base64",
            r#"http.request_body; from_base64; content:"|69 b7|"; bsize:2; sid:1;"#,
            r#"http.request_body; from_base64; content:"abc"; sid:2;"#,
        ),
        packed(
            "gunzip",
            gzip(b"packed text"),
            r#"http.request_body; gunzip; content:"packed text"; sid:1;"#,
            r#"http.request_body; gunzip; content:"|1f 8b|"; sid:2;"#,
        ),
        packed(
            "zlib_deflate",
            zlib(b"packed text"),
            r#"http.request_body; zlib_deflate; content:"packed text"; sid:1;"#,
            r#"http.request_body; zlib_deflate; content:"|78 9c|"; sid:2;"#,
        ),
    ]
}
