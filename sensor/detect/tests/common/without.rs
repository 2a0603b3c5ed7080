// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A rule without one of its keywords: what its cases must notice.
//!
//! Must know every honoured keyword; one that it does not know leaves the rule as it is, which its cases then fail to notice.

use lagewarte_rules::{
    Rule,
    ast::{PayloadTest, TransactionTest, Transform},
};

// The keyword of a transform.
const fn transform(t: &Transform) -> &'static str {
    match t {
        Transform::DotPrefix => "dotprefix",
        Transform::StripWhitespace => "strip_whitespace",
        Transform::CompressWhitespace => "compress_whitespace",
        Transform::ToLowercase => "to_lowercase",
        Transform::ToUppercase => "to_uppercase",
        Transform::ToMd5 => "to_md5",
        Transform::ToSha1 => "to_sha1",
        Transform::ToSha256 => "to_sha256",
        Transform::UrlDecode => "url_decode",
        Transform::Xor { .. } => "xor",
        Transform::Subslice(_) => "subslice",
        Transform::Domain => "domain",
        Transform::Tld => "tld",
        Transform::HeaderLowercase => "header_lowercase",
        Transform::StripPseudoHeaders => "strip_pseudo_headers",
        Transform::Pcre(_) => "pcrexform",
        Transform::FromBase64 { .. } => "from_base64",
        Transform::Gunzip(_) => "gunzip",
        Transform::ZlibDeflate(_) => "zlib_deflate",
    }
}

/// Takes a keyword's effect out of a rule: as if its matcher always held.
pub(crate) fn without(keyword: &str, r: &mut Rule) {
    r.packet.retain(|t| t.keyword() != keyword);
    r.transaction.retain(|t| match t {
        TransactionTest::Number { field, .. }
        | TransactionTest::OneOf { field, .. }
        | TransactionTest::Nth { field, .. }
        | TransactionTest::Range { field, .. }
        | TransactionTest::Bits { field, .. } => {
            *field != keyword && field.strip_prefix(keyword).is_none_or(|rest| !rest.starts_with('.'))
        }
        TransactionTest::Event { .. } => true,
        TransactionTest::Hook { .. } => true,
        TransactionTest::Bounce => keyword != "ftpbounce",
        TransactionTest::File(test) => test.keyword() != keyword,
    });
    let old = match keyword {
        "tls.subject" => "tls.cert_subject",
        "tls.issuerdn" => "tls.cert_issuer",
        "tls.fingerprint" => "tls.cert_fingerprint",
        "ssh.protoversion" => "ssh.proto",
        "ssh.softwareversion" => "ssh.software",
        "uricontent" => "http.uri",
        "filename" | "fileext" => "file.name",
        "filemagic" => "file.magic",
        _ => "",
    };
    r.buffers.retain(|b| b.buffer.name != old);
    r.payload.retain(|t| t.keyword() != keyword);
    for b in r.buffers.iter_mut().chain(&mut r.headers) {
        b.tests.retain(|t| t.keyword() != keyword);
        b.transforms.retain(|t| transform(t) != keyword);
    }
    let contents = r.payload.iter_mut().filter_map(|t| match t {
        PayloadTest::Content(c) => Some(c),
        _ => None,
    });
    for c in contents {
        match keyword {
            "nocase" => c.nocase = false,
            "offset" => c.offset = None,
            "depth" => c.depth = None,
            "distance" => c.distance = None,
            "within" => c.within = None,
            "startswith" => c.startswith = false,
            "endswith" => c.endswith = false,
            "fast_pattern" => c.fast_pattern = false,
            _ => {}
        }
    }
    match keyword {
        "base64_data" => {
            let inner = |t: &mut PayloadTest| match t {
                PayloadTest::Base64(b) => std::mem::take(&mut b.tests),
                _ => Vec::new(),
            };
            let moved: Vec<PayloadTest> = r.payload.iter_mut().flat_map(inner).collect();
            r.payload.extend(moved);
        }
        "pkt_data" => {
            let moved = std::mem::take(&mut r.payload);
            r.buffers.iter_mut().for_each(|b| b.tests.extend(moved.iter().cloned()));
        }
        "frame" => {
            let moved = std::mem::take(&mut r.frames);
            r.payload.extend(moved.into_iter().flat_map(|f| f.tests));
        }
        "app-layer-protocol" => r.spoken.clear(),
        "app-layer-event" => r.transaction.retain(|t| !matches!(t, TransactionTest::Event { .. })),
        "flow" => r.flow = Default::default(),
        "flowbits" => r.flowbits.clear(),
        "flowint" => r.flowints.clear(),
        "dataset" | "datarep" => {
            r.buffers.iter_mut().for_each(|b| b.tests.retain(|t| !matches!(t, PayloadTest::Lookup(_))));
        }
        "engine-event" => r.packet.clear(),
        "tag" => r.tags.clear(),
        "config" => r.unlogged = false,
        "xbits" | "hostbits" => r.xbits.retain(|x| x.keyword != keyword),
        "threshold" | "detection_filter" => r.threshold = None,
        "noalert" => r.noalert = false,
        "bypass" => r.bypass = false,
        "alert" => r.alert = false,
        "msg" => r.meta.msg.clear(),
        "sid" => r.meta.sid += 1,
        "rev" => r.meta.rev = 0,
        "gid" => r.meta.gid = 1,
        "classtype" => {
            r.meta.category.clear();
            r.meta.priority = 3;
        }
        "priority" => r.meta.priority = 1,
        "metadata" => r.meta.metadata.clear(),
        "target" => r.meta.target = None,
        "reference" => r.meta.links.clear(),
        _ => {}
    }
}
