// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Keywords on the application layer: buffers, `app-layer-protocol`, `app-layer-event`, and numbers of transactions.
//! Suricata user guide, "Application Layer Keywords" and the chapters of the protocols.

use super::{negation, none, quoted, wanted};
use crate::{
    ast::{Content, Interval, PayloadTest, Pcre, SpokenTest, TransactionTest, Whose},
    buffers::{self, Buffer, Form},
    draft::{At, Draft, Placed},
    frames,
};

/// A keyword that names a buffer.
pub(crate) fn buffer(d: &mut Draft<'_>, b: &'static Buffer, form: Form, value: Option<&str>) -> Result<(), String> {
    none(value)?;
    match form {
        Form::Sticky => {
            if let Some(open) = d.sticky.filter(|at| d.nothing_in(*at)) {
                return Err(format!("nothing is looked for in {}, which is named before it", open.buffer.name));
            }
            d.stickies += 1;
            // Of a buffer with several instances each mention looks for one of its own.
            let instance = if b.multi { d.stickies } else { 0 };
            d.sticky = Some(At { buffer: b, instance, chain: 0 });
            d.decoded = false;
        }
        Form::Legacy => {
            if d.sticky.is_some() {
                return Err(String::from("it changes a content of the payload; after a sticky buffer there is none"));
            }
            let at = d.last_content_at().ok_or("it must follow the `content` that it changes")?;
            let here = Some(At { buffer: b, instance: 0, chain: 0 });
            if let Some(t) = d.payload.get_mut(at) {
                if let Some(had) = t.at {
                    return Err(format!("the content already looks into {}", had.buffer.name));
                }
                t.at = here;
            }
            // What refers to the content and stands between it and this belongs to it.
            for t in d.payload.iter_mut().skip(at + 1).filter(|t| t.at.is_none() && t.test.relative()) {
                t.at = here;
            }
        }
    }
    Ok(())
}

/// `frame`: what follows looks into a frame (developer guide, "Application Layer Frame Support").
pub(crate) fn frame(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let own = d.protocols.as_ref().map(|(all, _)| *all);
    let frame = frames::find(wanted(value)?, own)?;
    d.about(frame.protocols, "frame")?;
    buffer(d, frame, Form::Sticky, None)
}

pub(crate) fn pkt_data(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    none(value)?;
    if let Some(open) = d.sticky.filter(|at| d.nothing_in(*at)) {
        return Err(format!("nothing is looked for in {}, which is named before it", open.buffer.name));
    }
    d.sticky = None;
    d.decoded = false;
    Ok(())
}

pub(crate) fn app_layer_protocol(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let (negated, v) = negation(wanted(value)?);
    let (name, mode) = match v.split_once(',') {
        Some((n, m)) => (n.trim(), Some(m.trim())),
        None => (v, None),
    };
    let mut exact = false;
    let whose = match mode {
        None | Some("direction") => Whose::Direction,
        Some("final") => Whose::Final,
        Some("either") => Whose::Either,
        Some("to_server") => Whose::ToServer,
        Some("to_client") => Whose::ToClient,
        Some("original") => Whose::Original,
        Some("exact") => {
            exact = true;
            Whose::Direction
        }
        Some(other) => {
            return Err(format!(
                "{other:?} is none of final, either, to_server, to_client, direction, original, exact"
            ));
        }
    };
    let protocols = match name {
        "failed" => &["failed"],
        // Suricata's name of protocols that were looked for and not found yet.
        "unknown" => return Err(String::from("a protocol that is not known yet cannot be asked for")),
        _ => {
            let p = buffers::protocol(name)
                .ok_or_else(|| format!("{name:?} is no application protocol that this version recognises"))?;
            match (p.protocols, exact) {
                ([first, ..], true) if p.name.eq_ignore_ascii_case(first) || p.protocols.len() == 1 => {
                    &p.protocols[..1]
                }
                (all, _) => all,
            }
        }
    };
    if !negated && protocols != ["failed"] && matches!(whose, Whose::Direction | Whose::Final) && d.protocols.is_some()
    {
        d.about(protocols, "app-layer-protocol")?;
    }
    d.spoken.push(SpokenTest { protocols, negated, whose });
    Ok(())
}

/// Events of the flow's protocol as a whole, as rules name them.
pub const LAYER_EVENTS: &[&str] = &[
    "applayer_mismatch_protocol_both_directions",
    "applayer_wrong_direction_first_data",
    "applayer_detect_protocol_only_one_direction",
    "applayer_proto_detection_skipped",
    "applayer_no_tls_after_starttls",
    "applayer_unexpected_protocol",
];

pub(crate) fn app_layer_event(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let Some((protocol, name)) = v.split_once('.') else {
        let lower = v.to_ascii_lowercase();
        if !LAYER_EVENTS.contains(&lower.as_str()) {
            return Err(format!(
                "{v:?} is no event of the application layer; events of a protocol are written protocol.event"
            ));
        }
        d.layer_events.push(lower);
        return Ok(());
    };
    let (known, events) = EVENTS
        .iter()
        .find(|(p, _)| p.eq_ignore_ascii_case(protocol))
        .ok_or_else(|| format!("the events of {protocol:?} cannot be asked for in this version"))?;
    let lower = name.to_ascii_lowercase();
    // Suricata's stock rules have other words for two than its events.
    let name = match lower.as_str() {
        "not_request" => "not_a_request",
        "not_response" => "not_a_response",
        other => other,
    };
    if let Some((_, why)) = NEVER_RAISED.iter().find(|(n, _)| *n == format!("{known}.{name}")) {
        return Err(format!("{name:?} is never raised here: {why}"));
    }
    if !events.contains(&name) {
        return Err(format!("{name:?} is no event of {known}"));
    }
    d.transaction.push(TransactionTest::Event { protocol: known, name: name.to_owned() });
    let p = buffers::protocol(known).ok_or("the protocol cannot be named by rules")?;
    d.about(p.protocols, "app-layer-event")
}

/// Events that Suricata's rules ask for and no parser here raises, with the reason.
pub(crate) const NEVER_RAISED: &[(&str, &str)] = &[
    ("http.unknown_error", "what is wrong has a name here, or is not noticed"),
    ("http.too_many_warnings", "warnings are not counted: each event is raised once for a transaction"),
    ("http.failed_protocol_change", "a flow may always go on as another protocol"),
    ("http2.invalid_http1_settings", "the settings of an upgrade from HTTP/1 are not read"),
    ("smtp.failed_protocol_change", "a flow may always go on as another protocol"),
    ("smtp.unparsable_content", "what cannot be read of a mail has an event of its own"),
    ("tls.invalid_tls_header", "type, version and length of a record have events of their own"),
    ("tls.certificate_invalid_subject", "`certificate_invalid_x509name` is raised"),
    ("tls.certificate_invalid_issuer", "`certificate_invalid_x509name` is raised"),
    ("tls.certificate_invalid_validity", "`certificate_invalid_date` is raised"),
];

/// Events of protocols that rules may ask for. A test of the engine compares them with what parsers raise.
pub const EVENTS: &[(&str, &[&str])] = &[
    ("dns", DNS),
    ("mdns", DNS),
    ("llmnr", DNS),
    ("tls", super::tls::TLS_EVENTS),
    ("quic", super::tls::QUIC_EVENTS),
    ("http", HTTP),
    ("http2", HTTP2),
    ("doh2", HTTP2),
    ("smtp", SMTP),
    ("ftp", FTP),
    ("ssh", &["invalid_banner", "long_banner", "invalid_record", "long_kex_record"]),
    ("mqtt", MQTT),
    ("pgsql", &["invalid_length", "malformed_request", "malformed_response"]),
    ("modbus", MODBUS),
    ("rfb", &["unimplemented_security_type", "unknown_security_result", "malformed_message"]),
    ("ldap", &["invalid_data", "request_not_found"]),
    ("dhcp", &["truncated_options"]),
    ("krb5", &["malformed_data", "weak_encryption"]),
    ("websocket", &["skip_end_of_payload", "reassembly_limit_reached"]),
    ("bittorrent-dht", &["malformed_packet"]),
    ("ike", IKE),
    ("dnp3", DNP3),
    ("snmp", &["malformed_data", "unknown_security_model", "version_mismatch"]),
    ("nfs", &["malformed_data", "too_many_transactions"]),
    ("enip", &["too_many_transactions", "invalid_pdu"]),
    ("smb", SMB),
    ("template", &["unexpected"]),
];

const DNP3: &[&str] = &[
    "flooded",
    "len_too_small",
    "bad_link_crc",
    "bad_transport_crc",
    "unknown_object",
    "too_many_points",
    "too_many_objects",
    "too_long_reassembly",
];

const IKE: &[&str] = &[
    "malformed_data",
    "weak_crypto_enc",
    "weak_crypto_prf",
    "weak_crypto_auth",
    "weak_crypto_dh",
    "weak_crypto_nodh",
    "weak_crypto_noauth",
    "no_encryption",
    "invalid_proposal",
    "unknown_proposal",
    "multiple_server_proposal",
];

const MODBUS: &[&str] = &[
    "invalid_protocol_id",
    "unsolicited_response",
    "invalid_length",
    "invalid_function_code",
    "invalid_value",
    "invalid_exception_code",
    "value_mismatch",
    "flooded",
];

const SMB: &[&str] = &[
    "malformed_data",
    "record_overflow",
    "malformed_ntlmssp_request",
    "duplicate_negotiate",
    "negotiate_malformed_dialects",
    "file_overlap",
    "request_to_client",
    "response_to_server",
    "negotiate_max_read_size_too_large",
    "negotiate_max_write_size_too_large",
    "read_request_too_large",
    "read_response_too_large",
    "read_queue_size_exceeded",
    "read_queue_cnt_exceeded",
    "write_request_too_large",
    "write_queue_size_exceeded",
    "write_queue_cnt_exceeded",
];

const HTTP2: &[&str] = &[
    "invalid_frame_header",
    "invalid_client_magic",
    "invalid_frame_data",
    "invalid_header",
    "invalid_frame_length",
    "extra_header_data",
    "long_frame_data",
    "failed_decompression",
    "authority_host_mismatch",
    "userinfo_in_uri",
    "data_stream_zero",
    "too_many_frames",
    "dns_request_too_long",
    "dns_response_too_long",
    "stream_id_reuse",
    "invalid_range",
    "header_integer_overflow",
    "too_many_streams",
    "reassembly_limit_reached",
];

const HTTP: &[&str] = &[
    "gzip_decompression_failed",
    "request_field_missing_colon",
    "response_field_missing_colon",
    "invalid_request_chunk_len",
    "invalid_response_chunk_len",
    "invalid_transfer_encoding_value_in_request",
    "invalid_transfer_encoding_value_in_response",
    "invalid_content_length_field_in_request",
    "invalid_content_length_field_in_response",
    "duplicate_content_length_field_in_request",
    "duplicate_content_length_field_in_response",
    "100_continue_already_seen",
    "unable_to_match_response_to_request",
    "request_header_invalid",
    "response_header_invalid",
    "missing_host_header",
    "host_header_ambiguous",
    "invalid_request_field_folding",
    "invalid_response_field_folding",
    "request_field_too_long",
    "response_field_too_long",
    "request_too_many_headers",
    "response_too_many_headers",
    "request_line_invalid",
    "request_uri_host_invalid",
    "request_header_host_invalid",
    "method_delim_non_compliant",
    "uri_delim_non_compliant",
    "request_line_leading_whitespace",
    "too_many_encoding_layers",
    "abnormal_ce_header",
    "request_auth_unrecognized",
    "request_header_repetition",
    "response_header_repetition",
    "response_multipart_byteranges",
    "response_abnormal_transfer_encoding",
    "response_chunked_old_proto",
    "response_invalid_protocol",
    "response_invalid_status",
    "request_line_missing_protocol",
    "request_line_incomplete",
    "double_encoded_uri",
    "request_body_unexpected",
    "response_body_unexpected",
    "request_server_port_tcp_port_mismatch",
    "lzma_memlimit_reached",
    "compression_bomb",
    "compression_bomb_double_lzma",
    "range_invalid",
    "request_chunk_extension",
    "response_chunk_extension",
    "multipart_generic_error",
    "multipart_no_filedata",
    "multipart_invalid_header",
    "file_name_too_long",
    "invalid_authority_port",
    "invalid_server_port_in_request",
];

const MQTT: &[&str] = &[
    "missing_connect",
    "missing_publish",
    "missing_subscribe",
    "missing_unsubscribe",
    "double_connect",
    "unintroduced_message",
    "invalid_qos_level",
    "missing_msg_id",
    "unassigned_msg_type",
    "malformed_traffic",
];

const FTP: &[&str] = &["request_command_too_long", "response_command_too_long"];

const SMTP: &[&str] = &[
    "invalid_reply",
    "unable_to_match_reply_with_request",
    "max_command_line_len_exceeded",
    "max_reply_line_len_exceeded",
    "invalid_pipelined_sequence",
    "bdat_chunk_len_exceeded",
    "no_server_welcome_message",
    "tls_rejected",
    "data_command_rejected",
    "duplicate_fields",
    "mime_parse_failed",
    "mime_malformed_msg",
    "mime_invalid_base64",
    "mime_invalid_qp",
    "mime_long_line",
    "mime_long_enc_line",
    "mime_long_header_name",
    "mime_long_header_value",
    "mime_long_boundary",
    "mime_long_filename",
];

const DNS: &[&str] = &[
    "malformed_data",
    "not_a_request",
    "not_a_response",
    "z_flag_set",
    "invalid_opcode",
    "name_too_long",
    "infinite_loop",
    "too_many_labels",
    "invalid_additionals",
    "invalid_authorities",
];

pub(crate) fn dns_opcode(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    number(d, "dns.opcode", &["dns", "doh2"], interval(wanted(value)?, 255, &[])?)
}

pub(crate) fn dns_rcode(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    number(d, "dns.rcode", &["dns", "doh2"], interval(wanted(value)?, 65_535, RCODES)?)
}

pub(crate) fn dns_rrtype(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    number(d, "dns.rrtype", &["dns", "doh2"], interval(wanted(value)?, 65_535, RRTYPES)?)
}

pub(crate) fn ftp_dynamic_port(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    number(d, "ftp.dynamic_port", &["ftp"], interval(wanted(value)?, 65_535, &[])?)
}

/// `ftpbounce`: data is to go to a third host (RFC 2577, 2).
pub(crate) fn ftpbounce(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    none(value)?;
    d.transaction.push(TransactionTest::Bounce);
    d.about(&["ftp"], "ftpbounce")
}

pub(crate) fn ftp_reply_received(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let n = match v.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => 1,
        "no" | "false" | "off" | "0" => 0,
        _ => return Err(format!("{v:?} is neither yes nor no")),
    };
    number(d, "ftp.reply_received", &["ftp"], Interval { from: n, to: n, negated: false })
}

pub(crate) fn template_number(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    number(d, "template.number", &["template"], interval(wanted(value)?, u64::MAX, &[])?)
}

/// `uricontent`: a content that looks into `http.uri`.
pub(crate) fn uricontent(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    if d.sticky.is_some() {
        return Err(String::from("after a sticky buffer it has no place; use `content` there"));
    }
    super::payload::content(d, value)?;
    let (uri, _) = buffers::find("http.uri").ok_or("http.uri is not inspected")?;
    d.about(uri.protocols, "uricontent")?;
    buffer(d, uri, Form::Legacy, None)
}

/// What old keywords ask for: a text, perhaps negated, that lies somewhere in a buffer.
pub(crate) fn text_in(
    d: &mut Draft<'_>,
    buffer: &str,
    protocols: &'static [&'static str],
    value: Option<&str>,
) -> Result<(), String> {
    let (negated, v) = negation(wanted(value)?);
    let v = quoted(v).unwrap_or(v);
    if v.is_empty() {
        return Err(String::from("the text is empty"));
    }
    let content = Content { bytes: v.as_bytes().to_vec(), negated, ..Content::default() };
    place(d, buffer, protocols, PayloadTest::Content(content))
}

fn place(d: &mut Draft<'_>, buffer: &str, protocols: &'static [&'static str], test: PayloadTest) -> Result<(), String> {
    let (buffer, _) = buffers::find(buffer).ok_or("the buffer is not served")?;
    d.payload.push(Placed { test, at: Some(At { buffer, instance: 0, chain: 0 }), decoded: false });
    d.about(protocols, buffer.name)
}

const SSH: &[&str] = &["ssh"];

/// The old `ssh.softwareversion:"..."`: a text in `ssh.software`.
pub(crate) fn ssh_softwareversion(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    text_in(d, "ssh.software", SSH, value)
}

/// The old `ssh.protoversion:2.0`: the whole of `ssh.proto`; `2_compat` is every version that speaks the second protocol,
/// 1.99 being one (RFC 4253, 5.1).
pub(crate) fn ssh_protoversion(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let v = quoted(v).unwrap_or(v).trim();
    let test = match v {
        "2_compat" => PayloadTest::Pcre(Pcre { pattern: String::from(r"^(?:2|2\.0|1\.99)\z"), ..Pcre::default() }),
        _ if !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
            let bytes = v.as_bytes().to_vec();
            PayloadTest::Content(Content { bytes, startswith: true, endswith: true, ..Content::default() })
        }
        _ => return Err(format!("{v:?} is neither a version (2.0) nor 2_compat")),
    };
    place(d, "ssh.proto", SSH, test)
}

/// `urilen`: the normalised URI's length, or with `,raw` the raw one's.
pub(crate) fn urilen(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let (test, field) = match v.split_once(',') {
        None => (v, "urilen"),
        Some((test, kind)) => match kind.trim() {
            "norm" => (test, "urilen"),
            "raw" => (test, "urilen.raw"),
            other => return Err(format!("{other:?} is neither norm nor raw")),
        },
    };
    number(d, field, &["http", "http2"], interval(test, 65_535, &[])?)
}

pub(crate) fn number(
    d: &mut Draft<'_>,
    field: &'static str,
    protocols: &'static [&'static str],
    test: Interval,
) -> Result<(), String> {
    d.transaction.push(TransactionTest::Number { field, test });
    d.about(protocols, field)
}

/// A test on a number (user guide, "Integer Keywords"): `n`, `!n`, `<n`, `<=n`, `>n`, `>=n`, `a-b` and `a<>b` (both ends
/// excluded), `!a-b`; decimal or 0x; or one of the names.
pub(crate) fn interval(text: &str, most: u64, names: &[(&str, u64)]) -> Result<Interval, String> {
    let t = text.trim();
    let num = |t: &str| -> Result<u64, String> {
        let t = t.trim();
        let n = match t.strip_prefix("0x").or_else(|| t.strip_prefix("0X")) {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None if t.bytes().all(|b| b.is_ascii_digit()) => t.parse().ok(),
            None => None,
        };
        n.filter(|n| *n <= most).ok_or_else(|| format!("{t:?} is not a whole number from 0 to {most}"))
    };
    let named = |t: &str| names.iter().find(|(n, _)| n.eq_ignore_ascii_case(t)).map(|(_, v)| *v);
    let (negated, t) = match t.strip_prefix('!') {
        Some(rest) if !rest.starts_with('=') => (true, rest.trim()),
        _ => (false, t),
    };
    let range = |from: u64, to: u64| Ok(Interval { from, to, negated });
    // An open range that holds nothing: one that ends before it begins.
    let nothing = Interval { from: 1, to: 0, negated };
    if let Some(n) = named(t) {
        return range(n, n);
    }
    for (sign, made) in [("<=", 0), (">=", 1), ("!=", 2), ("=", 3)] {
        if let Some(rest) = t.strip_prefix(sign) {
            let n = num(rest)?;
            return match made {
                0 => range(0, n),
                1 => range(n, u64::MAX),
                2 => Ok(Interval { from: n, to: n, negated: !negated }),
                _ => range(n, n),
            };
        }
    }
    if let Some((a, b)) = t.split_once("<>").or_else(|| t.split_once('-')) {
        let (a, b) = (num(a)?, num(b)?);
        if a >= b {
            return Err(format!("the range {t:?} ends before it begins"));
        }
        return match (a.checked_add(1), b.checked_sub(1)) {
            (Some(from), Some(to)) => range(from, to),
            _ => Ok(nothing),
        };
    }
    if let Some(rest) = t.strip_prefix('<') {
        return num(rest)?.checked_sub(1).map_or(Ok(nothing), |n| range(0, n));
    }
    if let Some(rest) = t.strip_prefix('>') {
        return num(rest)?.checked_add(1).map_or(Ok(nothing), |n| range(n, u64::MAX));
    }
    let n = num(t)?;
    range(n, n)
}

// IANA, "Domain Name System (DNS) Parameters".
const RCODES: &[(&str, u64)] = &[
    ("noerror", 0),
    ("formerr", 1),
    ("servfail", 2),
    ("nxdomain", 3),
    ("notimp", 4),
    ("refused", 5),
    ("yxdomain", 6),
    ("yxrrset", 7),
    ("nxrrset", 8),
    ("notauth", 9),
    ("notzone", 10),
];

const RRTYPES: &[(&str, u64)] = &[
    ("a", 1),
    ("ns", 2),
    ("cname", 5),
    ("soa", 6),
    ("null", 10),
    ("ptr", 12),
    ("hinfo", 13),
    ("mx", 15),
    ("txt", 16),
    ("aaaa", 28),
    ("srv", 33),
    ("naptr", 35),
    ("dname", 39),
    ("opt", 41),
    ("ds", 43),
    ("sshfp", 44),
    ("rrsig", 46),
    ("nsec", 47),
    ("dnskey", 48),
    ("nsec3", 50),
    ("tlsa", 52),
    ("svcb", 64),
    ("https", 65),
    ("ixfr", 251),
    ("axfr", 252),
    ("any", 255),
    ("caa", 257),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_tested_as_the_guide_says() {
        for (text, inside, outside) in [
            ("4", vec![4], vec![3, 5]),
            ("!4", vec![3, 5], vec![4]),
            ("<4", vec![0, 3], vec![4]),
            ("<=4", vec![4], vec![5]),
            (">4", vec![5, u64::MAX], vec![4]),
            (">=4", vec![4], vec![3]),
            ("7-15", vec![8, 14], vec![7, 15]),
            ("7<>15", vec![8, 14], vec![7, 15]),
            ("!7-15", vec![7, 15], vec![8, 14]),
            ("0x10", vec![16], vec![10]),
            ("NXDomain", vec![3], vec![2]),
            ("!nxdomain", vec![2], vec![3]),
            ("1-2", vec![], vec![1, 2]),
            ("<0", vec![], vec![0]),
        ] {
            let i = interval(text, u64::MAX, RCODES).unwrap_or_else(|e| panic!("{text}: {e}"));
            for n in inside {
                assert!(i.matches(n), "{text} holds {n}");
            }
            for n in outside {
                assert!(!i.matches(n), "{text} does not hold {n}");
            }
        }
        for bad in ["", "x", "4-", "5-4", "256", "-1", "<", "1 2"] {
            assert!(interval(bad, 255, &[]).is_err(), "{bad}");
        }
    }
}
