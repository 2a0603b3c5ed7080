// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Numbers that the parsers of protocols know of a transaction: for each keyword its field, largest value and names.
//! Suricata user guide, the chapters of the protocols.
//!
//! Must never take a value that the field cannot have.

use lagewarte_event::names::{
    DNP3_FUNCTIONS, DNP3_INDICATORS, ENIP_COMMANDS, ENIP_STATUS, LDAP_CODES, LDAP_OPERATIONS, NFS3_PROCEDURES,
    NFS4_OPERATIONS, SNMP_PDUS,
};

use super::{
    app::{interval, number},
    wanted,
};
use crate::{
    ast::{Interval, TransactionTest, Which},
    draft::Draft,
};

const U8: u64 = u8::MAX as u64;
const U16: u64 = u16::MAX as u64;
const U32: u64 = u32::MAX as u64;

macro_rules! numbers {
    ($($(#[$doc:meta])* $keyword:ident: $field:literal of $protocols:expr, up to $most:expr, $names:expr;)*) => {
        $($(#[$doc])* pub(crate) fn $keyword(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
            integer(d, $field, $protocols, $most, $names, wanted(value)?)
        })*
    };
}

const HTTP2: &[&str] = &["http2", "doh2"];
const WEBSOCKET: &[&str] = &["websocket"];
const KRB5: &[&str] = &["krb5"];
const NTP: &[&str] = &["ntp"];
const DHCP: &[&str] = &["dhcp"];
const LDAP: &[&str] = &["ldap"];
const MQTT: &[&str] = &["mqtt"];
const RFB: &[&str] = &["rfb"];
const IKE: &[&str] = &["ike"];
const DNP3: &[&str] = &["dnp3"];
const SNMP: &[&str] = &["snmp"];
const NFS: &[&str] = &["nfs"];
const ENIP: &[&str] = &["enip"];

numbers! {
    http2_frametype: "http2.frametype" of HTTP2, up to U8, HTTP2_FRAMES;
    http2_errorcode: "http2.errorcode" of HTTP2, up to U32, HTTP2_ERRORS;
    http2_priority: "http2.priority" of HTTP2, up to U8, &[];
    http2_window: "http2.window" of HTTP2, up to U32, &[];
    http2_size_update: "http2.size_update" of HTTP2, up to u64::MAX, &[];
    websocket_opcode: "websocket.opcode" of WEBSOCKET, up to U8, WEBSOCKET_OPCODES;
    dhcp_leasetime: "dhcp.leasetime" of DHCP, up to u64::MAX, &[];
    dhcp_rebinding_time: "dhcp.rebinding_time" of DHCP, up to u64::MAX, &[];
    dhcp_renewal_time: "dhcp.renewal_time" of DHCP, up to u64::MAX, &[];
    ldap_request_operation: "ldap.request.operation" of LDAP, up to U8, LDAP_OPERATIONS;
    ldap_responses_operation: "ldap.responses.operation" of LDAP, up to U8, LDAP_OPERATIONS;
    ldap_responses_count: "ldap.responses.count" of LDAP, up to U32, &[];
    ldap_responses_result_code: "ldap.responses.result_code" of LDAP, up to U32, LDAP_CODES;
    mqtt_type: "mqtt.type" of MQTT, up to U8, MQTT_TYPES;
    mqtt_qos: "mqtt.qos" of MQTT, up to U8, &[];
    mqtt_reason_code: "mqtt.reason_code" of MQTT, up to U8, &[];
    mqtt_protocol_version: "mqtt.protocol_version" of MQTT, up to U8, &[];
    rfb_sectype: "rfb.sectype" of RFB, up to U32, &[];
    krb5_msg_type: "krb5_msg_type" of KRB5, up to U32, &[];
    krb5_err_code: "krb5_err_code" of KRB5, up to U32, &[];
    ntp_version: "ntp.version" of NTP, up to U8, &[];
    ntp_mode: "ntp.mode" of NTP, up to U8, NTP_MODES;
    ntp_stratum: "ntp.stratum" of NTP, up to U8, &[];
    ike_exchtype: "ike.exchtype" of IKE, up to U8, &[];
    ike_key_exchange_payload_length: "ike.key_exchange_payload_length" of IKE, up to U32, &[];
    ike_nonce_payload_length: "ike.nonce_payload_length" of IKE, up to U32, &[];
    dnp3_func: "dnp3.func" of DNP3, up to U8, DNP3_FUNCTIONS;
    snmp_version: "snmp.version" of SNMP, up to U32, &[];
    snmp_pdu_type: "snmp.pdu_type" of SNMP, up to U32, SNMP_PDUS;
    nfs_version: "nfs_version" of NFS, up to U32, &[];
    enip_command: "enip_command" of ENIP, up to U16, ENIP_COMMANDS;
    enip_status: "enip.status" of ENIP, up to U32, ENIP_STATUS;
    enip_protocol_version: "enip.protocol_version" of ENIP, up to U16, &[];
    enip_capabilities: "enip.capabilities" of ENIP, up to U16, &[];
    enip_revision: "enip.revision" of ENIP, up to U16, &[];
    enip_identity_status: "enip.identity_status" of ENIP, up to U16, &[];
    enip_state: "enip.state" of ENIP, up to U8, &[];
    enip_serial: "enip.serial" of ENIP, up to U32, &[];
    enip_product_code: "enip.product_code" of ENIP, up to U16, &[];
    enip_device_type: "enip.device_type" of ENIP, up to U16, &[];
    enip_vendor_id: "enip.vendor_id" of ENIP, up to U16, &[];
    enip_cip_class: "enip.cip_class" of ENIP, up to U32, &[];
    enip_cip_instance: "enip.cip_instance" of ENIP, up to U32, &[];
    enip_cip_attribute: "enip.cip_attribute" of ENIP, up to U32, &[];
    enip_cip_status: "enip.cip_status" of ENIP, up to U8, &[];
    enip_cip_extendedstatus: "enip.cip_extendedstatus" of ENIP, up to U16, &[];
    websocket_mask: "websocket.mask" of WEBSOCKET, up to U32, &[];
}

/// A test on a number as the guide has it: a comparison, a range, one of the names, or `&mask=value`; and behind a comma
/// which of several numbers is meant.
fn integer(
    d: &mut Draft<'_>,
    field: &'static str,
    protocols: &'static [&'static str],
    most: u64,
    names: &[(&str, u64)],
    value: &str,
) -> Result<(), String> {
    let value = value.trim();
    if let Some((test, which)) = value.split_once(',') {
        let test = interval(test, most, names)?;
        let which = match which.trim() {
            "any" => return number(d, field, protocols, test),
            "all" => Which::All,
            "all_or_absent" => Which::AllOrAbsent,
            "or_absent" => Which::OrAbsent,
            at => Which::At(
                at.parse()
                    .map_err(|_| format!("{at:?} is no place, and none of any, all, all_or_absent and or_absent"))?,
            ),
        };
        d.transaction.push(TransactionTest::Nth { field, test, which });
        return d.about(protocols, field);
    }
    let Some(test) = value.strip_prefix('&') else {
        return number(d, field, protocols, interval(value, most, names)?);
    };
    let (mask, value) = test.split_once('=').ok_or("a test on bits is written &mask=value or &mask!=value")?;
    let (mask, negated) = mask.strip_suffix('!').map_or((mask, false), |m| (m, true));
    let plain = |t: &str| match interval(t, most, &[])? {
        Interval { from, to, negated: false } if from == to => Ok(from),
        _ => Err(format!("{t:?} is no single number")),
    };
    let (mask, value) = (plain(mask)?, plain(value)?);
    if value & !mask != 0 {
        return Err(format!("{value:#x} has bits that {mask:#x} does not look at: it could never match"));
    }
    d.transaction.push(TransactionTest::Bits { field, mask, value, negated });
    d.about(protocols, field)
}

/// The same, or a list of single bits by their names, `!` before those that must not be set.
fn flags(
    d: &mut Draft<'_>,
    field: &'static str,
    protocols: &'static [&'static str],
    most: u64,
    names: &[(&str, u64)],
    value: Option<&str>,
) -> Result<(), String> {
    let v = wanted(value)?.trim();
    if !v.trim_start_matches('!').trim_start().starts_with(|c: char| c.is_ascii_alphabetic()) {
        return integer(d, field, protocols, most, &[], v);
    }
    let (mut mask, mut value) = (0, 0);
    for word in v.split(',').map(str::trim) {
        let (not, word) = word.strip_prefix('!').map_or((false, word), |w| (true, w.trim_start()));
        let known = names.iter().find(|(n, _)| n.eq_ignore_ascii_case(word));
        let (_, bit) = known.ok_or_else(|| {
            format!("{word:?} is none of {}", names.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", "))
        })?;
        if mask & bit != 0 {
            return Err(format!("{word:?} stands twice"));
        }
        mask |= bit;
        value |= if not { 0 } else { *bit };
    }
    d.transaction.push(TransactionTest::Bits { field, mask, value, negated: false });
    d.about(protocols, field)
}

/// `websocket.flags`: the upper four bits of a frame's first byte.
pub(crate) fn websocket_flags(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    const NAMES: &[(&str, u64)] = &[("fin", 0x80), ("comp", 0x40)];
    flags(d, "websocket.flags", WEBSOCKET, U8, NAMES, value)
}

// RFC 6455, section 5.2.
const WEBSOCKET_OPCODES: &[(&str, u64)] =
    &[("continuation", 0), ("text", 1), ("binary", 2), ("connection_close", 8), ("ping", 9), ("pong", 10)];

/// `http2.settings`: the name of a setting, with or without what its value must be. In the application layer's number the
/// setting's own number stands above 32 bits of value.
pub(crate) fn http2_settings(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let end = v.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(v.len());
    let (name, test) = v.split_at(end);
    let id = HTTP2_SETTINGS.iter().position(|n| n.eq_ignore_ascii_case(name)).map(|i| i as u64 + 1);
    let id = id.ok_or_else(|| format!("{name:?} is no setting of HTTP/2; SETTINGS_ENABLE_PUSH and its like are"))?;
    let test = test.trim();
    let range = match test {
        "" => Interval { from: 0, to: U32, negated: false },
        _ => interval(test, U32, &[])?,
    };
    if range.negated {
        return Err(String::from("it takes =, <, > and ranges"));
    }
    let whole = |n: u64| id << 32 | n.min(U32);
    let range = if range.from > range.to {
        range
    } else {
        Interval { from: whole(range.from), to: whole(range.to), negated: false }
    };
    number(d, "http2.settings", HTTP2, range)
}

// RFC 9113, section 6.
const HTTP2_FRAMES: &[(&str, u64)] = &[
    ("data", 0),
    ("headers", 1),
    ("priority", 2),
    ("rststream", 3),
    ("settings", 4),
    ("pushpromise", 5),
    ("ping", 6),
    ("goaway", 7),
    ("windowupdate", 8),
    ("continuation", 9),
];

// RFC 9113, section 7.
const HTTP2_ERRORS: &[(&str, u64)] = &[
    ("no_error", 0),
    ("protocol_error", 1),
    ("internal_error", 2),
    ("flow_control_error", 3),
    ("settings_timeout", 4),
    ("stream_closed", 5),
    ("frame_size_error", 6),
    ("refused_stream", 7),
    ("cancel", 8),
    ("compression_error", 9),
    ("connect_error", 10),
    ("enhance_your_calm", 11),
    ("inadequate_security", 12),
    ("http_1_1_required", 13),
];

// RFC 9113, section 6.5.2: numbered from 1.
const HTTP2_SETTINGS: &[&str] = &[
    "SETTINGS_HEADER_TABLE_SIZE",
    "SETTINGS_ENABLE_PUSH",
    "SETTINGS_MAX_CONCURRENT_STREAMS",
    "SETTINGS_INITIAL_WINDOW_SIZE",
    "SETTINGS_MAX_FRAME_SIZE",
    "SETTINGS_MAX_HEADER_LIST_SIZE",
];

/// `krb5.ticket_encryption`: `weak`, `strong`, or a list of kinds by number or name.
pub(crate) fn krb5_ticket_encryption(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    const FIELD: &str = "krb5.ticket_encryption";
    let v = wanted(value)?;
    let (none, list) = v.trim().strip_prefix('!').map_or((false, v), |l| (true, l));
    let (any, none) = match list.trim().to_ascii_lowercase().as_str() {
        "strong" => (KRB5_STRONG.to_vec(), none),
        "weak" => (KRB5_STRONG.to_vec(), !none),
        _ => {
            let kind = |t: &str| -> Result<u64, String> {
                let named = KRB5_KINDS.iter().find(|(n, _)| n.eq_ignore_ascii_case(t)).map(|(_, k)| *k);
                let number = || t.parse::<i32>().ok().map(|n| u64::from(u32::from_ne_bytes(n.to_ne_bytes())));
                named.or_else(number).ok_or_else(|| format!("{t:?} is no kind of encryption"))
            };
            (list.split(',').map(|t| kind(t.trim())).collect::<Result<Vec<_>, _>>()?, none)
        }
    };
    d.transaction.push(TransactionTest::OneOf { field: FIELD, any, none });
    d.about(KRB5, FIELD)
}

// IANA, "Kerberos Encryption Type Numbers": AES and Camellia.
const KRB5_STRONG: &[u64] = &[17, 18, 19, 20, 25, 26];

const KRB5_KINDS: &[(&str, u64)] = &[
    ("des-cbc-crc", 1),
    ("des-cbc-md4", 2),
    ("des-cbc-md5", 3),
    ("des3-cbc-md5", 5),
    ("des3-cbc-sha1", 7),
    ("des3-cbc-sha1-kd", 16),
    ("aes128-cts-hmac-sha1-96", 17),
    ("aes256-cts-hmac-sha1-96", 18),
    ("aes128-cts-hmac-sha256-128", 19),
    ("aes256-cts-hmac-sha384-192", 20),
    ("rc4-hmac", 23),
    ("rc4-hmac-exp", 24),
    ("camellia128-cts-cmac", 25),
    ("camellia256-cts-cmac", 26),
];

// RFC 5905, figure 10.
const NTP_MODES: &[(&str, u64)] = &[
    ("reserved", 0),
    ("symmetric_active", 1),
    ("symmetric_passive", 2),
    ("client", 3),
    ("server", 4),
    ("broadcast", 5),
    ("control", 6),
    ("private", 7),
];

/// `mqtt.flags`: bits of a message's first byte.
pub(crate) fn mqtt_flags(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    flags(d, "mqtt.flags", MQTT, U8, &[("retain", 1), ("dup", 8)], value)
}

/// `mqtt.connect.flags`: bits of CONNECT.
pub(crate) fn mqtt_connect_flags(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    const NAMES: &[(&str, u64)] =
        &[("username", 0x80), ("password", 0x40), ("will_retain", 0x20), ("will", 4), ("clean_session", 2)];
    flags(d, "mqtt.connect.flags", MQTT, U8, NAMES, value)
}

/// `mqtt.connack.session_present`: yes or no.
pub(crate) fn mqtt_session_present(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let n = match v.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => 1,
        "no" | "false" | "off" | "0" => 0,
        _ => return Err(format!("{v:?} is neither yes nor no")),
    };
    number(d, "mqtt.connack.session_present", MQTT, Interval { from: n, to: n, negated: false })
}

// OASIS, MQTT 5, table 2-1.
const MQTT_TYPES: &[(&str, u64)] = &[
    ("unassigned", 0),
    ("connect", 1),
    ("connack", 2),
    ("publish", 3),
    ("puback", 4),
    ("pubrec", 5),
    ("pubrel", 6),
    ("pubcomp", 7),
    ("subscribe", 8),
    ("suback", 9),
    ("unsubscribe", 10),
    ("unsuback", 11),
    ("pingreq", 12),
    ("pingresp", 13),
    ("disconnect", 14),
    ("auth", 15),
];

/// `ike.chosen_sa_attribute:alg_hash=2`. In the application layer's number the attribute's own number stands above 32 bits
/// of value.
pub(crate) fn ike_chosen_sa_attribute(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let (name, number_) = v.split_once('=').ok_or("it is written attribute=value")?;
    let id = IKE_ATTRIBUTES.iter().position(|n| n.eq_ignore_ascii_case(name.trim())).map(|i| i as u64 + 1);
    let id = id.ok_or_else(|| format!("{:?} is none of {}", name.trim(), IKE_ATTRIBUTES.join(", ")))?;
    let value = number_.trim().parse::<u32>().map_err(|_| format!("{:?} is no number of 32 bits", number_.trim()))?;
    let whole = id << 32 | u64::from(value);
    number(d, "ike.chosen_sa_attribute", IKE, Interval { from: whole, to: whole, negated: false })
}

// User guide, "IKE Keywords": numbered from 1.
const IKE_ATTRIBUTES: &[&str] = &[
    "alg_enc",
    "alg_hash",
    "alg_auth",
    "alg_dh",
    "sa_group_type",
    "sa_life_type",
    "sa_life_duration",
    "alg_prf",
    "sa_key_length",
    "sa_field_size",
];

/// `dnp3.ind`: a test on the number; or indications by name, of which one at least must be set, and with `!` before them none.
pub(crate) fn dnp3_ind(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    const FIELD: &str = "dnp3.ind";
    let v = wanted(value)?.trim();
    if !v.trim_start_matches('!').trim_start().starts_with(|c: char| c.is_ascii_alphabetic()) {
        return integer(d, FIELD, DNP3, U16, &[], v);
    }
    let (mut any, mut none) = (0, 0);
    for word in v.split(',').map(str::trim) {
        let (not, word) = word.strip_prefix('!').map_or((false, word), |w| (true, w.trim_start()));
        let bit = DNP3_INDICATORS.iter().find(|(n, _)| n.eq_ignore_ascii_case(word)).map(|(_, bit)| *bit);
        let bit = bit.ok_or_else(|| format!("{word:?} is no internal indication of DNP3"))?;
        *(if not { &mut none } else { &mut any }) |= bit;
    }
    for (mask, negated) in [(any, true), (none, false)] {
        if mask != 0 {
            // Of these bits not all are clear, or all are.
            d.transaction.push(TransactionTest::Bits { field: FIELD, mask, value: 0, negated });
        }
    }
    d.about(DNP3, FIELD)
}

/// `dnp3.obj:12,1`: group and variation of an object. In the application layer's number the group stands above 8 bits.
pub(crate) fn dnp3_obj(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let (group, variation) = v.split_once(',').ok_or("it takes a group and a variation")?;
    let byte = |t: &str| t.trim().parse::<u8>().map_err(|_| format!("{:?} is no number up to 255", t.trim()));
    let whole = u64::from(u16::from_be_bytes([byte(group)?, byte(variation)?]));
    number(d, "dnp3.obj", DNP3, Interval { from: whole, to: whole, negated: false })
}

/// `nfs_procedure`: a test on the number, whose ranges have both ends; or a name, which means one number up to version 3 and
/// another one in version 4. In the application layer's other number version 4 has bit 32.
pub(crate) fn nfs_procedure(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    const FIELD: &str = "nfs_procedure";
    let v = wanted(value)?.trim();
    let (none, name) = v.strip_prefix('!').map_or((false, v), |n| (true, n.trim_start()));
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        let of = |table: &[(&str, u64)], bit: u64| {
            table.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, number)| number | bit)
        };
        let any: Vec<u64> = of(NFS3_PROCEDURES, 0).into_iter().chain(of(NFS4_OPERATIONS, 1 << 32)).collect();
        if any.is_empty() {
            return Err(format!("{name:?} is no procedure of NFS"));
        }
        d.transaction.push(TransactionTest::OneOf { field: "nfs.named", any, none });
        return d.about(NFS, FIELD);
    }
    let both = name.split_once("<>").or_else(|| name.split_once('-'));
    let test = match both.map(|(a, b)| (a.trim().parse::<u64>(), b.trim().parse::<u64>())) {
        Some((Ok(from), Ok(to))) if from <= to && to <= U32 => Interval { from, to, negated: none },
        Some(_) => return Err(format!("{v:?} is no range of numbers")),
        None => interval(v, U32, &[])?,
    };
    number(d, FIELD, NFS, test)
}

/// `cip_service:16,246,6`: a service, with or without a class, and behind that an attribute. In the application layer's
/// number the service stands above 32 bits, the class above 16; bits 40 and 41 say whether there is a class, an attribute.
pub(crate) fn cip_service(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let (mut mask, mut wanted_bits) = (0, 0);
    for (i, word) in v.split(',').enumerate() {
        let (most, shift, there) = match i {
            0 => (127, 32, 0),
            1 => (U16, 16, 1 << 40),
            2 => (U16, 0, 1 << 41),
            _ => return Err(String::from("it takes a service, a class and an attribute at most")),
        };
        let n = word.trim().parse::<u64>().ok().filter(|n| *n <= most);
        let n = n.ok_or_else(|| format!("{:?} is no number up to {most}", word.trim()))?;
        mask |= most << shift | there;
        wanted_bits |= n << shift | there;
    }
    let test = TransactionTest::Bits { field: "cip_service", mask, value: wanted_bits, negated: false };
    d.transaction.push(test);
    d.about(ENIP, "cip_service")
}

/// `rfb.secresult`: what came of the authentication.
pub(crate) fn rfb_secresult(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    const FIELD: &str = "rfb.secresult";
    let v = wanted(value)?.trim();
    if v.eq_ignore_ascii_case("unknown") {
        return number(d, FIELD, RFB, Interval { from: 3, to: U32, negated: false });
    }
    integer(d, FIELD, RFB, U32, &[("ok", 0), ("fail", 1), ("toomany", 2)], v)
}
