// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The allow-list: which EVE fields may leave, and what each one holds; the sensor's door and the aggregator's for foreign
//! events go by this one table.
//!
//! A field that does not stand here never leaves, whatever the profile says: a new field of a new Suricata is silent until
//! somebody has looked at it. Names are those of the EVE schema (Suricata user guide, "Eve JSON Format"). Lists hold what
//! their elements are. Left out on purpose: MAC addresses, interface and host names, capture file names, VLAN ids, raw
//! headers, certificates in full, cookies, and whole protocols whose content nobody has judged yet.

/// What a field holds; decides what the profile makes of it.
#[derive(Clone, Copy, Debug)]
pub enum Holds {
    /// Numbers, names of the signature, states: leaves as it is. Texts lose inner addresses and mail addresses.
    Plain,
    /// A fingerprint (JA3, HASSH, hashes): leaves as it is; only written-out addresses are replaced.
    Print,
    /// Numbers by name at any depth, and nothing else: the counters of `stats`.
    Counters,
    /// Lists of plain texts by a free name: a rule's `metadata`.
    Tags,
    /// One address.
    Address,
    /// A text that is a list of addresses (X-Forwarded-For).
    Addresses,
    /// The name of the server of this flow: inner where the server is.
    Server,
    /// A name that was asked for: clear unless it says itself that it is inner.
    Name,
    /// What a DNS record says: an address, a name or free text, by `rrtype`.
    Rdata,
    /// A URL: path by the profile's file names, query by its URL queries.
    Url,
    /// Payload of a packet, a stream or a body.
    Payload,
    /// A mail address or subject.
    Mail,
    /// A file name or path.
    File,
    /// What a file is, in the words of libmagic: [`kind`] leaves, the rest by the profile's file names.
    Kind,
    /// A user name, a credential, a person's or machine's name.
    User,
    /// A flow's id: derived from addresses.
    FlowId,
    /// A hash over addresses: made again over what leaves.
    CommunityId,
    /// Members by name.
    Object(&'static [(&'static str, Self)]),
}

use Holds::{
    Address, Addresses, CommunityId, Counters, File, FlowId, Kind, Mail, Name, Object, Payload, Plain, Print, Rdata,
    Server, Tags, Url, User,
};

/// The name of the kind at the beginning of libmagic's words for a file. What follows it quotes the file: names, titles,
/// comments (`gzip compressed data, was "…"`), the path behind `#!`.
pub fn kind(words: &str) -> &str {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '-' | '+');
    let end = words.find(|c| !name(c)).unwrap_or(words.len());
    words.get(..end).unwrap_or_default().trim_end()
}

/// Fields of every event type.
pub const COMMON: &[(&str, Holds)] = &[
    ("timestamp", Plain),
    ("flow_id", FlowId),
    ("parent_id", FlowId),
    ("event_type", Plain),
    ("src_ip", Address),
    ("src_port", Plain),
    ("dest_ip", Address),
    ("dest_port", Plain),
    ("proto", Plain),
    ("icmp_type", Plain),
    ("icmp_code", Plain),
    ("response_icmp_type", Plain),
    ("response_icmp_code", Plain),
    ("ip_v", Plain),
    ("app_proto", Plain),
    ("app_proto_ts", Plain),
    ("app_proto_tc", Plain),
    ("app_proto_orig", Plain),
    ("app_proto_expected", Plain),
    ("direction", Plain),
    ("pkt_src", Plain),
    ("tx_id", Plain),
    ("tx_guessed", Plain),
    ("community_id", CommunityId),
    ("xff", Addresses),
    ("tunnel", Object(TUNNEL)),
    ("traffic", Object(&[("id", Plain), ("label", Plain)])),
    ("metadata", Object(&[("flowbits", Plain)])),
];

/// The members of an event that hang on its type or stand beside an alert, by name.
pub const SECTIONS: &[(&str, Holds)] = &[
    ("alert", Object(ALERT)),
    ("frame", Object(FRAME)),
    ("payload", Payload),
    ("payload_printable", Payload),
    ("payload_length", Plain),
    ("packet", Payload),
    ("stream", Plain),
    ("http_body", Payload),
    ("http_body_printable", Payload),
    ("flow", Object(FLOW)),
    ("netflow", Object(NETFLOW)),
    ("tcp", Object(TCP)),
    ("verdict", Object(&[("action", Plain), ("reject-target", Plain), ("reject", Plain)])),
    ("anomaly", Object(&[("type", Plain), ("event", Plain), ("layer", Plain), ("code", Plain), ("app_proto", Plain)])),
    ("stats", Object(STATS)),
    ("files", Object(FILEINFO)),
    ("fileinfo", Object(FILEINFO)),
    ("http", Object(HTTP)),
    ("dns", Object(DNS)),
    ("tls", Object(TLS)),
    (
        "quic",
        Object(&[
            ("version", Plain),
            ("sni", Server),
            ("ua", Plain),
            ("ja3", Object(PRINT)),
            ("ja3s", Object(PRINT)),
            ("ja4", Print),
        ]),
    ),
    ("ssh", Object(&[("client", Object(SSH)), ("server", Object(SSH))])),
    ("smtp", Object(&[("helo", Mail), ("mail_from", Mail), ("rcpt_to", Mail)])),
    ("email", Object(EMAIL)),
    (
        "ftp",
        Object(&[
            ("command", Plain),
            ("command_data", User),
            ("reply", Payload),
            ("completion_code", Plain),
            ("dynamic_port", Plain),
            ("mode", Plain),
            ("reply_received", Plain),
            ("reply_truncated", Plain),
        ]),
    ),
    ("ftp_data", Object(&[("filename", File), ("command", Plain)])),
    ("smb", Object(SMB)),
    (
        "krb5",
        Object(&[
            ("msg_type", Plain),
            ("failed_request", Plain),
            ("error_code", Plain),
            ("encryption", Plain),
            ("weak_encryption", Plain),
            ("ticket_encryption", Plain),
            ("ticket_weak_encryption", Plain),
            ("cname", User),
            ("realm", User),
            ("sname", User),
        ]),
    ),
    (
        "rdp",
        Object(&[
            ("tx_id", Plain),
            ("event_type", Plain),
            ("protocol", Plain),
            ("server_supports", Plain),
            ("error_code", Plain),
            ("reason", Plain),
            ("cookie", User),
            ("client", Object(&[("version", Plain), ("build", Plain), ("client_name", User)])),
        ]),
    ),
    ("snmp", Object(&[("version", Plain), ("pdu_type", Plain), ("community", User), ("vars", Plain), ("usm", User)])),
    (
        "dhcp",
        Object(&[
            ("type", Plain),
            ("id", Plain),
            ("dhcp_type", Plain),
            ("assigned_ip", Address),
            ("client_ip", Address),
            ("relay_ip", Address),
            ("next_server_ip", Address),
            ("requested_ip", Address),
            ("routers", Address),
            ("dns_servers", Address),
            ("lease_time", Plain),
            ("hostname", User),
        ]),
    ),
    ("tftp", Object(&[("packet", Plain), ("file", File), ("mode", Plain)])),
    (
        "nfs",
        Object(&[
            ("version", Plain),
            ("procedure", Plain),
            ("filename", File),
            ("type", Plain),
            ("status", Plain),
            ("file_tx", Plain),
        ]),
    ),
    ("rpc", Object(&[("status", Plain), ("auth_type", Plain)])),
    (
        "ike",
        Object(&[
            ("version_major", Plain),
            ("version_minor", Plain),
            ("exchange_type", Plain),
            ("message_id", Plain),
            ("role", Plain),
            ("alg_enc", Plain),
            ("alg_auth", Plain),
            ("alg_dh", Plain),
            ("alg_prf", Plain),
            ("alg_esn", Plain),
        ]),
    ),
    (
        "rfb",
        Object(&[
            ("server_protocol_version", Object(&[("major", Plain), ("minor", Plain)])),
            ("client_protocol_version", Object(&[("major", Plain), ("minor", Plain)])),
            ("authentication", Object(&[("security_type", Plain), ("security_result", Plain)])),
            ("screen_shared", Plain),
        ]),
    ),
];

const TUNNEL: &[(&str, Holds)] = &[
    ("src_ip", Address),
    ("src_port", Plain),
    ("dest_ip", Address),
    ("dest_port", Plain),
    ("proto", Plain),
    ("depth", Plain),
    ("pkt_src", Plain),
];

const ALERT: &[(&str, Holds)] = &[
    ("action", Plain),
    ("gid", Plain),
    ("signature_id", Plain),
    ("rev", Plain),
    ("signature", Plain),
    ("category", Plain),
    ("severity", Plain),
    ("metadata", Tags),
    ("references", Plain),
    ("source", Object(&[("ip", Address), ("port", Plain)])),
    ("target", Object(&[("ip", Address), ("port", Plain)])),
    ("xff", Addresses),
];

const FLOW: &[(&str, Holds)] = &[
    ("pkts_toserver", Plain),
    ("pkts_toclient", Plain),
    ("bytes_toserver", Plain),
    ("bytes_toclient", Plain),
    ("start", Plain),
    ("end", Plain),
    ("age", Plain),
    ("bypassed", Counters),
    ("bypass", Plain),
    ("state", Plain),
    ("reason", Plain),
    ("alerted", Plain),
    ("action", Plain),
    ("tx_cnt", Plain),
    ("wrong_thread", Plain),
    ("src_ip", Address),
    ("dest_ip", Address),
    ("src_port", Plain),
    ("dest_port", Plain),
];

const NETFLOW: &[(&str, Holds)] = &[
    ("pkts", Plain),
    ("bytes", Plain),
    ("start", Plain),
    ("end", Plain),
    ("age", Plain),
    ("min_ttl", Plain),
    ("max_ttl", Plain),
    ("tx_cnt", Plain),
];

const TCP: &[(&str, Holds)] = &[
    ("tcp_flags", Plain),
    ("tcp_flags_ts", Plain),
    ("tcp_flags_tc", Plain),
    ("syn", Plain),
    ("fin", Plain),
    ("rst", Plain),
    ("psh", Plain),
    ("ack", Plain),
    ("urg", Plain),
    ("ecn", Plain),
    ("cwr", Plain),
    ("state", Plain),
    ("ts_gap", Plain),
    ("tc_gap", Plain),
    ("ts_max_regions", Plain),
    ("tc_max_regions", Plain),
];

/// Sections of Suricata's counters; `threads` repeats them under names of interfaces and stays.
const STATS: &[(&str, Holds)] = &[
    ("uptime", Plain),
    ("capture", Counters),
    ("decoder", Counters),
    ("defrag", Counters),
    ("detect", Counters),
    ("flow", Counters),
    ("flow_bypassed", Counters),
    ("flow_mgr", Counters),
    ("tcp", Counters),
    ("app_layer", Counters),
    ("http", Counters),
    ("ftp", Counters),
    ("file_store", Counters),
    ("memcap", Counters),
    ("ips", Counters),
    ("lagewarte", Object(OWN_STATS)),
];

const OWN_STATS: &[(&str, Holds)] = &[
    ("version", Plain),
    ("interval_s", Plain),
    ("ruleset", Plain),
    ("rules_loaded", Plain),
    ("rules_refused", Plain),
    ("spool", Object(&[("state", Plain), ("records", Plain), ("bytes", Plain), ("oldest_us", Plain)])),
    ("dropped", Counters),
    ("produced", Counters),
    ("lag_us", Plain),
];

const FILEINFO: &[(&str, Holds)] = &[
    ("filename", File),
    ("magic", Kind),
    ("md5", Print),
    ("sha1", Print),
    ("sha256", Print),
    ("size", Plain),
    ("start", Plain),
    ("end", Plain),
    ("state", Plain),
    ("stored", Plain),
    ("gaps", Plain),
    ("tx_id", Plain),
    ("sid", Plain),
];

// What an alert says of the frame that a rule looked into.
const FRAME: &[(&str, Holds)] = &[
    ("type", Plain),
    ("id", Plain),
    ("direction", Plain),
    ("stream_offset", Plain),
    ("length", Plain),
    ("complete", Plain),
    ("tx_id", Plain),
    ("payload", Payload),
    ("payload_printable", Payload),
];

const HTTP: &[(&str, Holds)] = &[
    ("hostname", Server),
    ("http_port", Plain),
    ("url", Url),
    ("http_user_agent", Plain),
    ("http_content_type", Plain),
    ("http_refer", Url),
    ("redirect", Url),
    ("http_method", Plain),
    ("protocol", Plain),
    ("status", Plain),
    ("length", Plain),
    ("xff", Addresses),
    ("true_client_ip", Addresses),
    ("x_forwarded_for", Addresses),
    ("http_request_body", Payload),
    ("http_request_body_printable", Payload),
    ("http_response_body", Payload),
    ("http_response_body_printable", Payload),
    ("content_range", Object(&[("start", Plain), ("end", Plain), ("size", Plain)])),
    ("version", Plain),
    ("http2", Object(&[("stream_id", Plain)])),
];

const DNS_ANSWER: &[(&str, Holds)] = &[("rrname", Name), ("rrtype", Plain), ("ttl", Plain), ("rdata", Rdata)];

const DNS_GROUPED: &[(&str, Holds)] = &[
    ("A", Address),
    ("AAAA", Address),
    ("CNAME", Name),
    ("MX", Name),
    ("NS", Name),
    ("PTR", Name),
    ("TXT", Payload),
    ("NULL", Payload),
];

const DNS: &[(&str, Holds)] = &[
    ("version", Plain),
    ("type", Plain),
    ("id", Plain),
    ("tx_id", Plain),
    ("flags", Plain),
    ("qr", Plain),
    ("aa", Plain),
    ("tc", Plain),
    ("rd", Plain),
    ("ra", Plain),
    ("z", Plain),
    ("opcode", Plain),
    ("rcode", Plain),
    ("rrname", Name),
    ("rrtype", Plain),
    ("ttl", Plain),
    ("rdata", Rdata),
    ("queries", Object(&[("rrname", Name), ("rrtype", Plain)])),
    // Version 2, in alerts: a list of one query each.
    (
        "query",
        Object(&[
            ("type", Plain),
            ("id", Plain),
            ("rrname", Name),
            ("rrtype", Plain),
            ("tx_id", Plain),
            ("opcode", Plain),
        ]),
    ),
    (
        "answer",
        Object(&[
            ("version", Plain),
            ("type", Plain),
            ("id", Plain),
            ("flags", Plain),
            ("rrname", Name),
            ("rrtype", Plain),
            ("rcode", Plain),
            ("answers", Object(DNS_ANSWER)),
            ("authorities", Object(DNS_ANSWER)),
            ("grouped", Object(DNS_GROUPED)),
        ]),
    ),
    ("answers", Object(DNS_ANSWER)),
    ("authorities", Object(DNS_ANSWER)),
    ("additionals", Object(DNS_ANSWER)),
    ("grouped", Object(DNS_GROUPED)),
];

const PRINT: &[(&str, Holds)] = &[("hash", Print), ("string", Print)];

const TLS: &[(&str, Holds)] = &[
    ("subject", Server),
    ("issuerdn", Server),
    ("subjectaltname", Server),
    ("serial", Print),
    ("fingerprint", Print),
    ("sni", Server),
    ("version", Plain),
    ("notbefore", Plain),
    ("notafter", Plain),
    ("from_proto", Plain),
    ("session_resumed", Plain),
    ("client_alpns", Plain),
    ("server_alpns", Plain),
    ("ja3", Object(PRINT)),
    ("ja3s", Object(PRINT)),
    ("ja4", Print),
    ("client_handshake", Object(HANDSHAKE)),
    ("server_handshake", Object(HANDSHAKE)),
    (
        "client",
        Object(&[
            ("subject", User),
            ("issuerdn", User),
            ("fingerprint", User),
            ("serial", User),
            ("notbefore", Plain),
            ("notafter", Plain),
        ]),
    ),
];

const HANDSHAKE: &[(&str, Holds)] =
    &[("version", Plain), ("cipher", Plain), ("ciphers", Plain), ("exts", Plain), ("sig_algs", Plain)];

const SSH: &[(&str, Holds)] = &[("proto_version", Plain), ("software_version", Plain), ("hassh", Object(PRINT))];

const EMAIL: &[(&str, Holds)] = &[
    ("status", Plain),
    ("from", Mail),
    ("to", Mail),
    ("cc", Mail),
    ("bcc", Mail),
    ("reply_to", Mail),
    ("subject", Mail),
    ("message_id", Mail),
    ("url", Url),
    ("attachment", File),
];

const SMB: &[(&str, Holds)] = &[
    ("id", Plain),
    ("dialect", Plain),
    ("command", Plain),
    ("status", Plain),
    ("status_code", Plain),
    ("tree_id", Plain),
    ("filename", File),
    ("directory", File),
    ("share", File),
    ("share_type", Plain),
    ("named_pipe", File), // with the server's name before the share's
    ("disposition", Plain),
    ("access", Plain),
    ("size", Plain),
    ("client_dialects", Plain),
    ("rename", Object(&[("from", File), ("to", File)])),
    ("ntlmssp", Object(&[("domain", User), ("user", User), ("host", User), ("version", Plain), ("warning", Plain)])),
    ("kerberos", Object(&[("realm", User), ("snames", User)])),
    (
        "dcerpc",
        Object(&[
            ("request", Plain),
            ("response", Plain),
            ("opnum", Plain),
            ("call_id", Plain),
            (
                "interfaces",
                Object(&[("uuid", Plain), ("version", Plain), ("ack_result", Plain), ("ack_reason", Plain)]),
            ),
        ]),
    ),
    ("request", Object(&[("native_os", Plain), ("native_lm", Plain)])),
    ("response", Object(&[("native_os", Plain), ("native_lm", Plain)])),
];

/// What the member `name` of an event holds; None where it may not leave.
pub fn of_event(name: &str) -> Option<Holds> {
    member(COMMON, name).or_else(|| member(SECTIONS, name))
}

/// What the member `name` of an object holds.
pub fn member(members: &[(&'static str, Holds)], name: &str) -> Option<Holds> {
    members.iter().find(|(n, _)| *n == name).map(|(_, holds)| *holds)
}

#[cfg(test)]
mod tests {
    use super::kind;

    #[test]
    fn of_a_files_kind_the_name_leaves_and_not_what_it_quotes() {
        for (words, name) in [
            ("PDF document, version 1.7", "PDF document"),
            ("gzip compressed data, was \"mueller.doc\", from Unix", "gzip compressed data"),
            ("PE32+ executable for MS Windows 4.00 (GUI), x86-64", "PE32+ executable for MS Windows 4.00"),
            ("ISO 9660 CD-ROM filesystem data 'AKTEN'", "ISO 9660 CD-ROM filesystem data"),
            ("a /home/mueller/x script, ASCII text executable", "a"),
            ("Microsoft Word 2007+", "Microsoft Word 2007+"),
            ("Gr\u{fc}n", "Gr"),
            ("\"x\"", ""),
        ] {
            assert_eq!(kind(words), name, "{words}");
        }
    }
}
