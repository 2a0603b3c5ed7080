// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The one table of inspection buffers: the parts of a parsed protocol that rules may look into, with their sticky names,
//! aliases and legacy modifiers (Suricata user guide, chapters of the protocols' keywords).
//!
//! Must never mark a buffer as served that the application layer does not fill; a test of the engine compares the two.
//! At which progress of a transaction a buffer is complete is the application layer's knowledge.

use std::sync::LazyLock;

use crate::registry::Named;

/// Which way the data of a buffer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ways {
    /// Either.
    Both,
    /// From the client.
    ToServer,
    /// From the server.
    ToClient,
}

/// One buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Buffer {
    /// The sticky name as documented.
    pub name: &'static str,
    /// Other sticky names of the same.
    pub aliases: &'static [&'static str],
    /// The old form: a modifier of the `content` before it.
    pub legacy: Option<&'static str>,
    /// EVE names of the protocols that have it; none: it is a header of each packet.
    pub protocols: &'static [&'static str],
    /// Which way its data goes.
    pub ways: Ways,
    /// Whether a transaction may have several; each is then inspected for itself.
    pub multi: bool,
    /// Whether it grows while the transaction goes on, and is inspected as it does.
    pub streaming: bool,
    /// Whether the application layer fills it.
    pub served: bool,
    /// Whether it is a frame ([`crate::frames`]) and no part of a transaction.
    pub frame: bool,
}

/// How a keyword names a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// What follows looks into it.
    Sticky,
    /// The `content` before looks into it.
    Legacy,
}

const fn b(name: &'static str, protocols: &'static [&'static str], ways: Ways) -> Buffer {
    Buffer {
        name,
        aliases: &[],
        legacy: None,
        protocols,
        ways,
        multi: false,
        streaming: false,
        served: false,
        frame: false,
    }
}

impl Buffer {
    /// The keyword that names it in a rule.
    pub const fn keyword(&self) -> &'static str {
        if self.frame { "frame" } else { self.name }
    }
    const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }
    const fn old(mut self, legacy: &'static str) -> Self {
        self.legacy = Some(legacy);
        self
    }
    const fn several(mut self) -> Self {
        self.multi = true;
        self
    }
    const fn grows(mut self) -> Self {
        self.streaming = true;
        self
    }
    const fn on(mut self) -> Self {
        self.served = true;
        self
    }
}

use Ways::{Both, ToClient, ToServer};

const DNS: &[&str] = &["dns", "doh2"];
const MDNS: &[&str] = &["mdns"];
const LLMNR: &[&str] = &["llmnr"];
const HTTP: &[&str] = &["http", "http2", "doh2"];
const HTTP1: &[&str] = &["http"];
const HTTP2: &[&str] = &["http2", "doh2"];
const FILES: &[&str] = &["http", "http2", "doh2", "smtp", "ftp-data", "smb", "nfs"];
const TLS: &[&str] = &["tls"];
const JA: &[&str] = &["tls", "quic"];
const QUIC: &[&str] = &["quic"];
const SMTP: &[&str] = &["smtp"];
const FTP: &[&str] = &["ftp"];
const FTP_DATA: &[&str] = &["ftp-data"];
const SSH: &[&str] = &["ssh"];
const WEBSOCKET: &[&str] = &["websocket"];
const SIP: &[&str] = &["sip"];
const KRB5: &[&str] = &["krb5"];
const NTP: &[&str] = &["ntp"];
const LDAP: &[&str] = &["ldap"];
const MQTT: &[&str] = &["mqtt"];
const PGSQL: &[&str] = &["pgsql"];
const RFB: &[&str] = &["rfb"];
const IKE: &[&str] = &["ike"];
const SNMP: &[&str] = &["snmp"];
const DNP3: &[&str] = &["dnp3"];
const ENIP: &[&str] = &["enip"];
const SMB: &[&str] = &["smb"];
const DCERPC: &[&str] = crate::keywords::dcerpc::DCERPC;
const TEMPLATE: &[&str] = &["template"];

/// Every buffer that is known, whether it is served or not.
pub const BUFFERS: &[Buffer] = &[
    // DNS and its like.
    b("dns.query", DNS, ToServer).alias(&["dns_query"]).several().on(),
    b("dns.queries.rrname", DNS, Both).alias(&["dns.query.name"]).several().on(),
    b("dns.answers.rrname", DNS, Both).alias(&["dns.answer.name"]).several().on(),
    b("dns.authorities.rrname", DNS, Both).several().on(),
    b("dns.additionals.rrname", DNS, Both).several().on(),
    b("dns.response.rrname", DNS, ToClient).several().on(),
    b("mdns.queries.rrname", MDNS, Both).several().on(),
    b("mdns.answers.rrname", MDNS, Both).several().on(),
    b("mdns.authorities.rrname", MDNS, Both).several().on(),
    b("mdns.additionals.rrname", MDNS, Both).several().on(),
    b("mdns.response.rrname", MDNS, Both).several().on(),
    b("llmnr.queries.rrname", LLMNR, Both).several().on(),
    b("llmnr.answers.rrname", LLMNR, Both).several().on(),
    b("llmnr.authorities.rrname", LLMNR, Both).several().on(),
    b("llmnr.additionals.rrname", LLMNR, Both).several().on(),
    b("llmnr.response.rrname", LLMNR, Both).several().on(),
    // HTTP.
    b("http.uri", HTTP, ToServer).old("http_uri").on(),
    b("http.uri.raw", HTTP, ToServer).old("http_raw_uri").on(),
    b("http.method", HTTP, ToServer).old("http_method").on(),
    b("http.protocol", HTTP, Both).alias(&["http_protocol"]).on(),
    b("http.request_line", HTTP, ToServer).alias(&["http_request_line"]).on(),
    b("http.request_body", HTTP, ToServer).old("http_client_body").grows().on(),
    b("http.header", HTTP, Both).old("http_header").on(),
    b("http.header.raw", HTTP, Both).old("http_raw_header").on(),
    b("http.header_names", HTTP, Both).alias(&["http_header_names"]).on(),
    b("http.request_header", HTTP, ToServer).several().on(),
    b("http.response_header", HTTP, ToClient).several().on(),
    b("http.host", HTTP, ToServer).old("http_host").on(),
    b("http.host.raw", HTTP, ToServer).old("http_raw_host").on(),
    b("http.user_agent", HTTP, ToServer).old("http_user_agent").on(),
    b("http.referer", HTTP, ToServer).alias(&["http_referer"]).on(),
    b("http.cookie", HTTP, Both).old("http_cookie").on(),
    b("http.accept", HTTP, ToServer).alias(&["http_accept"]).on(),
    b("http.accept_enc", HTTP, ToServer).alias(&["http_accept_enc"]).on(),
    b("http.accept_lang", HTTP, ToServer).alias(&["http_accept_lang"]).on(),
    b("http.connection", HTTP, Both).alias(&["http_connection"]).on(),
    b("http.content_type", HTTP, Both).alias(&["http_content_type"]).on(),
    b("http.content_len", HTTP, Both).alias(&["http_content_len"]).on(),
    b("http.start", HTTP1, Both).alias(&["http_start"]).on(),
    b("http.stat_code", HTTP, ToClient).old("http_stat_code").on(),
    b("http.stat_msg", HTTP, ToClient).old("http_stat_msg").on(),
    b("http.response_line", HTTP, ToClient).alias(&["http_response_line"]).on(),
    b("http.response_body", HTTP, ToClient).old("http_server_body").grows().on(),
    b("http.location", HTTP, ToClient).on(),
    b("http.server", HTTP, ToClient).on(),
    b("http2.header_name", HTTP2, Both).several().on(),
    b("websocket.payload", WEBSOCKET, Both).on(),
    // Files.
    b("file.data", FILES, Both).alias(&["file_data"]).several().grows().on(),
    b("file.name", FILES, Both).several().on(),
    b("file.magic", FILES, Both).several().on(),
    // TLS.
    b("tls.sni", TLS, ToServer).alias(&["tls_sni"]).on(),
    b("tls.cert_subject", TLS, Both).alias(&["tls_cert_subject"]).on(),
    b("tls.cert_issuer", TLS, Both).alias(&["tls_cert_issuer"]).on(),
    b("tls.cert_serial", TLS, Both).alias(&["tls_cert_serial"]).on(),
    b("tls.cert_fingerprint", TLS, Both).alias(&["tls_cert_fingerprint"]).on(),
    b("tls.certs", TLS, Both).several().on(),
    b("tls.random", TLS, Both).on(),
    b("tls.random_time", TLS, Both).on(),
    b("tls.random_bytes", TLS, Both).on(),
    b("tls.alpn", TLS, Both).several().on(),
    b("tls.subjectaltname", TLS, Both).several().on(),
    b("ja3.hash", JA, ToServer).alias(&["ja3_hash"]).on(),
    b("ja3.string", JA, ToServer).alias(&["ja3_string"]).on(),
    b("ja3s.hash", JA, ToClient).on(),
    b("ja3s.string", JA, ToClient).on(),
    b("ja4.hash", JA, ToServer).on(),
    // QUIC.
    b("quic.version", QUIC, Both).on(),
    b("quic.sni", QUIC, ToServer).on(),
    b("quic.ua", QUIC, ToServer).on(),
    b("quic.cyu.hash", QUIC, ToServer).several().on(),
    b("quic.cyu.string", QUIC, ToServer).several().on(),
    // Mail.
    b("smtp.helo", SMTP, ToServer).on(),
    b("smtp.mail_from", SMTP, ToServer).on(),
    b("smtp.rcpt_to", SMTP, ToServer).several().on(),
    b("email.from", SMTP, ToServer).on(),
    b("email.to", SMTP, ToServer).on(),
    b("email.cc", SMTP, ToServer).on(),
    b("email.subject", SMTP, ToServer).on(),
    b("email.date", SMTP, ToServer).on(),
    b("email.message_id", SMTP, ToServer).on(),
    b("email.x_mailer", SMTP, ToServer).on(),
    b("email.url", SMTP, ToServer).several().on(),
    b("email.received", SMTP, ToServer).several().on(),
    b("email.body_md5", SMTP, ToServer).on(),
    // FTP.
    b("ftp.command", FTP, ToServer).on(),
    b("ftp.command_data", FTP, ToServer).on(),
    b("ftp.reply", FTP, ToClient).several().on(),
    b("ftp.completion_code", FTP, ToClient).several().on(),
    b("ftp.mode", FTP, Both).on(),
    b("ftpdata.command", FTP_DATA, Both).alias(&["ftpdata_command"]).on(),
    // SSH.
    b("ssh.proto", SSH, Both).alias(&["ssh_proto"]).on(),
    b("ssh.software", SSH, Both).alias(&["ssh_software"]).on(),
    b("ssh.hassh", SSH, ToServer).on(),
    b("ssh.hassh.string", SSH, ToServer).on(),
    b("ssh.hassh.server", SSH, ToClient).on(),
    b("ssh.hassh.server.string", SSH, ToClient).on(),
    // SIP.
    b("sip.method", SIP, ToServer).on(),
    b("sip.uri", SIP, ToServer).on(),
    b("sip.request_line", SIP, ToServer).on(),
    b("sip.stat_code", SIP, ToClient).on(),
    b("sip.stat_msg", SIP, ToClient).on(),
    b("sip.response_line", SIP, ToClient).on(),
    b("sip.protocol", SIP, Both).on(),
    b("sip.from", SIP, Both).several().on(),
    b("sip.to", SIP, Both).several().on(),
    b("sip.via", SIP, Both).several().on(),
    b("sip.user_agent", SIP, Both).several().on(),
    b("sip.content_type", SIP, Both).several().on(),
    b("sip.content_length", SIP, Both).several().on(),
    b("sdp.origin", SIP, Both).on(),
    b("sdp.session_name", SIP, Both).on(),
    b("sdp.session_info", SIP, Both).on(),
    b("sdp.uri", SIP, Both).on(),
    b("sdp.email", SIP, Both).on(),
    b("sdp.phone_number", SIP, Both).on(),
    b("sdp.connection_data", SIP, Both).on(),
    b("sdp.bandwidth", SIP, Both).several().on(),
    b("sdp.time", SIP, Both).several().on(),
    b("sdp.repeat_time", SIP, Both).several().on(),
    b("sdp.timezone", SIP, Both).on(),
    b("sdp.encryption_key", SIP, Both).on(),
    b("sdp.attribute", SIP, Both).several().on(),
    b("sdp.media.media", SIP, Both).several().on(),
    b("sdp.media.session_info", SIP, Both).several().on(),
    b("sdp.media.connection_data", SIP, Both).several().on(),
    b("sdp.media.encryption_key", SIP, Both).several().on(),
    // Kerberos: of answers and errors, as Suricata has it.
    b("krb5_cname", KRB5, ToClient).alias(&["krb5.cname"]).several().on(),
    b("krb5_sname", KRB5, ToClient).alias(&["krb5.sname"]).several().on(),
    // LDAP.
    b("ldap.request.dn", LDAP, ToServer).on(),
    b("ldap.request.attribute_type", LDAP, ToServer).several().on(),
    b("ldap.responses.dn", LDAP, ToClient).several().on(),
    b("ldap.responses.message", LDAP, ToClient).several().on(),
    b("ldap.responses.attribute_type", LDAP, ToClient).several().on(),
    // MQTT: a transaction goes the way of its first message.
    b("mqtt.connect.clientid", MQTT, Both).on(),
    b("mqtt.connect.username", MQTT, Both).on(),
    b("mqtt.connect.password", MQTT, Both).on(),
    b("mqtt.connect.protocol_string", MQTT, Both).on(),
    b("mqtt.connect.willtopic", MQTT, Both).on(),
    b("mqtt.connect.willmessage", MQTT, Both).on(),
    b("mqtt.publish.topic", MQTT, Both).on(),
    b("mqtt.publish.message", MQTT, Both).on(),
    b("mqtt.subscribe.topic", MQTT, Both).several().on(),
    b("mqtt.unsubscribe.topic", MQTT, Both).several().on(),
    // PostgreSQL.
    b("pgsql.query", PGSQL, ToServer).on(),
    // RFB.
    b("rfb.name", RFB, ToClient).on(),
    // SMB, and calls over TCP, over UDP and in its pipes.
    b("smb.named_pipe", SMB, ToServer).alias(&["smb_named_pipe"]).on(),
    b("smb.share", SMB, ToServer).alias(&["smb_share"]).on(),
    b("smb.ntlmssp_user", SMB, ToServer).on(),
    b("smb.ntlmssp_domain", SMB, ToServer).on(),
    b("dcerpc.stub_data", DCERPC, Both).alias(&["dce_stub_data"]).on(),
    // NTP.
    b("ntp.reference_id", NTP, Both).on(),
    // IKE: indices and vendors in hexadecimal.
    b("ike.init_spi", IKE, ToServer).on(),
    b("ike.resp_spi", IKE, ToClient).on(),
    b("ike.vendor", IKE, ToServer).several().on(),
    b("ike.key_exchange_payload", IKE, Both).on(),
    b("ike.nonce_payload", IKE, Both).on(),
    // SNMP.
    b("snmp.community", SNMP, Both).on(),
    b("snmp.usm", SNMP, Both).on(),
    // DNP3.
    b("dnp3.data", DNP3, Both).alias(&["dnp3_data"]).on(),
    // EtherNet/IP.
    b("enip.product_name", ENIP, ToClient).on(),
    b("enip.service_name", ENIP, ToClient).on(),
    // Headers, one packet at a time: of no application protocol.
    b("ip.src", &[], Both).on(),
    b("ip.dst", &[], Both).on(),
    b("ipv4.hdr", &[], Both).on(),
    b("ipv6.hdr", &[], Both).on(),
    b("tcp.hdr", &[], Both).on(),
    b("udp.hdr", &[], Both).on(),
    b("icmpv4.hdr", &[], Both).on(),
    b("icmpv6.hdr", &[], Both).on(),
    b("igmp.hdr", &[], Both).on(),
    b("sctp.hdr", &[], Both).on(),
    b("sctp.chunk_data", &[], Both).several().on(),
    b("ether.hdr", &[], Both).on(),
    // The template of the application layer.
    b("template.buffer", TEMPLATE, Both).on(),
];

/// The served buffer that a keyword (any case) names, and how.
pub fn find(keyword: &str) -> Option<(&'static Buffer, Form)> {
    static BY_NAME: LazyLock<Named<(&Buffer, Form)>> = LazyLock::new(|| {
        let of = |b: &'static Buffer| {
            let sticky = [b.name].into_iter().chain(b.aliases.iter().copied()).map(move |n| (n, (b, Form::Sticky)));
            sticky.chain(b.legacy.map(|n| (n, (b, Form::Legacy))))
        };
        Named::new(BUFFERS.iter().filter(|b| b.served).flat_map(of))
    });
    BY_NAME.get(keyword)
}

/// An application protocol as a rule's header names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppProtocol {
    /// The word.
    pub name: &'static str,
    /// EVE names of the protocols that it stands for.
    pub protocols: &'static [&'static str],
}

const fn p(name: &'static str, protocols: &'static [&'static str]) -> AppProtocol {
    AppProtocol { name, protocols }
}

/// Words for application protocols that rules may ask for: those that detection recognises.
pub const PROTOCOLS: &[AppProtocol] = &[
    p("http", HTTP),
    p("http1", HTTP1),
    p("http2", HTTP2),
    p("dns", DNS),
    p("mdns", MDNS),
    p("llmnr", LLMNR),
    p("doh2", &["doh2"]),
    p("tls", TLS),
    p("ssl", TLS),
    p("quic", QUIC),
    p("smtp", SMTP),
    p("ftp", FTP),
    p("ftp-data", FTP_DATA),
    p("ssh", SSH),
    p("smb", SMB),
    // What is asked of calls is asked of those in a pipe too, as in Suricata.
    p("dcerpc", DCERPC),
    p("rdp", &["rdp"]),
    p("pop3", &["pop3"]),
    p("imap", &["imap"]),
    p("dhcp", &["dhcp"]),
    p("ntp", &["ntp"]),
    p("snmp", SNMP),
    p("tftp", &["tftp"]),
    p("sip", &["sip"]),
    p("mqtt", &["mqtt"]),
    p("ldap", &["ldap"]),
    p("krb5", &["krb5"]),
    p("rfb", &["rfb"]),
    p("telnet", &["telnet"]),
    p("ike", IKE),
    p("ikev2", IKE),
    p("dnp3", DNP3),
    p("enip", ENIP),
    p("nfs", &["nfs"]),
    p("pgsql", &["pgsql"]),
    p("bittorrent-dht", &["bittorrent-dht"]),
    p("websocket", WEBSOCKET),
    p("modbus", &["modbus"]),
    p("template", TEMPLATE),
];

/// The application protocol of that word (any case).
pub fn protocol(word: &str) -> Option<&'static AppProtocol> {
    PROTOCOLS.iter().find(|p| p.name.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_names_one_buffer() {
        let mut names: Vec<&str> =
            BUFFERS.iter().flat_map(|b| b.aliases.iter().copied().chain([b.name]).chain(b.legacy)).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert_eq!(find("DNS.Query").map(|(b, f)| (b.name, f)), Some(("dns.query", Form::Sticky)));
        assert!(find("no.such").is_none());
    }

    #[test]
    fn a_row_says_what_is_written_in_it_and_nothing_else() {
        let plain = Buffer {
            name: "a",
            aliases: &[],
            legacy: None,
            protocols: DNS,
            ways: ToServer,
            multi: false,
            streaming: false,
            served: false,
            frame: false,
        };
        let row = || b("a", DNS, ToServer);
        assert_eq!(row(), plain);
        assert_eq!(row().alias(&["x"]), Buffer { aliases: &["x"], ..plain });
        assert_eq!(row().old("x"), Buffer { legacy: Some("x"), ..plain });
        assert_eq!(row().several(), Buffer { multi: true, ..plain });
        assert_eq!(row().grows(), Buffer { streaming: true, ..plain });
        assert_eq!(row().on(), Buffer { served: true, ..plain });
    }

    /// Suricata user guide: modifiers of the `content` before them, and sticky buffers under old and new names.
    #[test]
    fn old_and_new_names_mean_the_same_buffer() {
        for (keyword, name, form) in [
            ("http.uri", "http.uri", Form::Sticky),
            ("http_uri", "http.uri", Form::Legacy),
            ("http_client_body", "http.request_body", Form::Legacy),
            ("tls_sni", "tls.sni", Form::Sticky),
            ("file_data", "file.data", Form::Sticky),
            ("DNS_Query", "dns.query", Form::Sticky),
        ] {
            assert_eq!(find(keyword).map(|(b, f)| (b.name, b.keyword(), f)), Some((name, name, form)), "{keyword}");
        }
        let frame = crate::frames::find("smb2.hdr", Some(SMB)).expect("a frame");
        assert_eq!((frame.name, frame.keyword()), ("smb2.hdr", "frame"), "what it is called in a rule");
        assert_eq!(protocol("IKEv2").map(|p| p.protocols), Some(IKE));
        assert!(protocol("no-such").is_none());
    }

    #[test]
    fn every_buffer_belongs_to_a_protocol_that_rules_can_name() {
        for b in BUFFERS {
            for p in b.protocols {
                assert!(PROTOCOLS.iter().any(|q| q.protocols.contains(p)), "{}: {p}", b.name);
            }
        }
    }
}
