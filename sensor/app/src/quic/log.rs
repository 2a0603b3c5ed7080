// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `quic`: field names and order are Suricata's.

use lagewarte_event::eve::JsonWriter;

use super::{parser::Q046, session::Message};
use crate::names::name;

/// Writes the member `quic`.
pub fn event(m: &Message, w: &mut JsonWriter) {
    w.key("quic").open();
    w.key("version").string(&version_name(m.version));
    if let Some(sni) = &m.sni {
        w.key("sni").bytes(sni);
    }
    if let Some(ua) = &m.user_agent {
        w.key("ua").bytes(ua);
    }
    if let Some(c) = &m.cyu {
        w.key("cyu")
            .open_array()
            .open()
            .key("hash")
            .string(&c.hash)
            .key("string")
            .string(&c.string)
            .close()
            .close_array();
    }
    if let Some(j) = &m.ja3 {
        let key = if m.to_server { "ja3" } else { "ja3s" };
        w.key(key).open().key("hash").string(&j.hash).key("string").string(&j.string).close();
    }
    if let Some(ja4) = &m.ja4 {
        w.key("ja4").string(ja4);
    }
    if !m.extensions.is_empty() {
        w.key("extensions").open_array();
        for e in &m.extensions {
            w.open();
            if let Some(name) = extension_name(e.kind) {
                w.key("name").string(name);
            }
            w.key("type").u64(e.kind.into());
            if !e.values.is_empty() {
                w.key("values").open_array();
                for v in &e.values {
                    w.bytes(v);
                }
                w.close_array();
            }
            w.close();
        }
        w.close_array();
    }
    w.close();
}

/// `1`, `v2`, `ff00001d`, `Q046`.
pub fn version_name(version: u32) -> String {
    name(VERSIONS, version).map_or_else(|| format!("{version:x}"), str::to_owned)
}
const VERSIONS: &[(u32, &str)] = &[
    (0x5130_3339, "Q039"),
    (0x5130_3433, "Q043"),
    (0x5130_3434, "Q044"),
    (0x5130_3435, "Q045"),
    (Q046, "Q046"),
    (0x6b33_43cf, "v2"),
];

/// `Tls13`, `TlsVersion(64250 / 0xfafa)`: a version of TLS as the event's extensions have it.
pub fn tls_version(version: u16) -> String {
    name(TLS_VERSIONS, version).map_or_else(|| format!("TlsVersion({version} / 0x{version:x})"), str::to_owned)
}
const TLS_VERSIONS: &[(u16, &str)] = &[
    (0x0300, "Ssl30"),
    (0x0301, "Tls10"),
    (0x0302, "Tls11"),
    (0x0303, "Tls12"),
    (0x0304, "Tls13"),
    (0x7f12, "Tls13Draft18"),
    (0x7f13, "Tls13Draft19"),
    (0x7f14, "Tls13Draft20"),
    (0x7f15, "Tls13Draft21"),
    (0x7f16, "Tls13Draft22"),
    (0x7f17, "Tls13Draft23"),
];

/// IANA's name of a TLS extension, None where it has none.
fn extension_name(kind: u16) -> Option<&'static str> {
    name(EXTENSIONS, kind)
}
const EXTENSIONS: &[(u16, &str)] = &[
    (0, "server_name"),
    (1, "max_fragment_length"),
    (2, "client_certificate_url"),
    (3, "trusted_ca_keys"),
    (4, "truncated_hmac"),
    (5, "status_request"),
    (6, "user_mapping"),
    (7, "client_authz"),
    (8, "server_authz"),
    (9, "cert_type"),
    (10, "supported_groups"),
    (11, "ec_point_formats"),
    (12, "srp"),
    (13, "signature_algorithms"),
    (14, "use_srtp"),
    (15, "heartbeat"),
    (16, "alpn"),
    (17, "status_request_v2"),
    (18, "signed_certificate_timestamp"),
    (19, "client_certificate_type"),
    (20, "server_certificate_type"),
    (21, "padding"),
    (22, "encrypt_then_mac"),
    (23, "extended_master_secret"),
    (24, "token_binding"),
    (25, "cached_info"),
    (26, "tls_lts"),
    (27, "compress_certificate"),
    (28, "record_size_limit"),
    (29, "pwd_protect"),
    (30, "pwd_clear"),
    (31, "password_salt"),
    (32, "ticket_pinning"),
    (33, "tls_cert_with_extern_psk"),
    (34, "delegated_credentials"),
    (35, "session_ticket"),
    (36, "TLMSP"),
    (37, "TLMSP_proxying"),
    (38, "TLMSP_delegate"),
    (39, "supported_ekt_ciphers"),
    (41, "pre_shared_key"),
    (42, "early_data"),
    (43, "supported_versions"),
    (44, "cookie"),
    (45, "psk_key_exchange_modes"),
    (47, "certificate_authorities"),
    (48, "oid_filters"),
    (49, "post_handshake_auth"),
    (50, "signature_algorithms_cert"),
    (51, "key_share"),
    (52, "transparency_info"),
    (53, "connection_id_deprecated"),
    (54, "connection_id"),
    (55, "external_id_hash"),
    (56, "external_session_id"),
    (57, "quic_transport_parameters"),
    (58, "ticket_request"),
    (59, "dnssec_chain"),
    (13172, "next_protocol_negotiation"),
    (17513, "application_settings"),
    (65281, "renegotiation_info"),
];
