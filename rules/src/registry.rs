// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The one table of keywords: what each reads, whether it is honoured, and what it means.
//!
//! Must never name a keyword as honoured that the engine does not honour in full: the engine's tests loop over this table
//! and show for each that its absence and its reversal are noticed. Everything absent here is an unknown keyword.

use std::{collections::HashMap, sync::LazyLock};

use lagewarte_base::spelling::distance;

use crate::{
    draft::Draft,
    keywords::{
        app, bytes, counts, dataset, dcerpc, file, hosts, marks, meta, modbus, numbers, options, packet, payload, pcre,
        state, stream, tls, transform,
    },
};

/// Reads one option into the rule being built.
pub(crate) type Apply = fn(&mut Draft<'_>, Option<&str>) -> Result<(), String>;

/// What a keyword is to this sensor.
#[derive(Clone, Copy)]
pub struct Keyword {
    /// The name as documented.
    pub name: &'static str,
    /// Other names of the same.
    pub aliases: &'static [&'static str],
    /// What it looks at.
    pub reads: Reads,
    /// One sentence for the rule's writer.
    pub doc: &'static str,
    pub(crate) apply: Apply,
}

/// What a keyword looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Nothing: it names or grades the rule.
    Nothing,
    /// The packet's headers.
    Header,
    /// The packet's payload.
    Payload,
    /// It changes the `content` before it.
    Content,
    /// The flow.
    Flow,
    /// Earlier matches.
    Matches,
    /// What the flow speaks, or a transaction of it.
    Application,
}

const fn k(name: &'static str, reads: Reads, apply: Apply, doc: &'static str) -> Keyword {
    Keyword { name, aliases: &[], reads, doc, apply }
}

const fn a(
    name: &'static str,
    aliases: &'static [&'static str],
    reads: Reads,
    apply: Apply,
    doc: &'static str,
) -> Keyword {
    Keyword { name, aliases, reads, doc, apply }
}

/// Every keyword that is honoured.
pub const HONOURED: &[Keyword] = &[
    k("msg", Reads::Nothing, meta::msg, "text of the alert"),
    k("sid", Reads::Nothing, meta::sid, "number of the rule, unique within its gid"),
    k("rev", Reads::Nothing, meta::rev, "revision; of two rules with one sid the higher is loaded"),
    k("gid", Reads::Nothing, meta::gid, "group of the sid; 1 where absent"),
    k("classtype", Reads::Nothing, meta::classtype, "class: gives category and priority"),
    k("priority", Reads::Nothing, meta::priority, "1 is gravest; stronger than the class's"),
    k("reference", Reads::Nothing, meta::reference, "system,id"),
    k("metadata", Reads::Nothing, meta::metadata, "key value, key value"),
    k("target", Reads::Nothing, meta::target, "src_ip or dest_ip: which side is attacked"),
    k("bypass", Reads::Nothing, meta::bypass, "a match ends the inspection of its flow, which is counted only"),
    k("noalert", Reads::Nothing, meta::noalert, "a match acts but is not reported"),
    k("alert", Reads::Nothing, meta::alert, "a pass rule's match is reported all the same"),
    k("content", Reads::Payload, payload::content, "bytes that must (or with ! must not) occur"),
    k("nocase", Reads::Content, payload::nocase, "letters match in either case"),
    k("offset", Reads::Content, payload::offset, "search begins here"),
    k("depth", Reads::Content, payload::depth, "search covers this many bytes from the offset on"),
    k("distance", Reads::Content, payload::distance, "search begins this far after the match before"),
    k("within", Reads::Content, payload::within, "search covers this many bytes from there on"),
    k("startswith", Reads::Content, payload::startswith, "the payload begins with it"),
    k("endswith", Reads::Content, payload::endswith, "the payload ends with it"),
    k("rawbytes", Reads::Content, payload::rawbytes, "no effect: payload is always raw"),
    k("fast_pattern", Reads::Content, payload::fast_pattern, "choice of prefilter; no effect on what matches"),
    k(
        "requires",
        Reads::Nothing,
        meta::requires,
        "conditions on the engine; a rule that is for another one is refused",
    ),
    k("prefilter", Reads::Nothing, meta::prefilter, "choice of prefilter; no effect on what matches"),
    k("isdataat", Reads::Payload, payload::isdataat, "the payload reaches that far"),
    k("pcre", Reads::Payload, pcre::pcre, "a regular expression that must (or with ! must not) match"),
    k("byte_test", Reads::Payload, bytes::byte_test, "a number in the bytes compares like this"),
    k("byte_jump", Reads::Payload, bytes::byte_jump, "a number in the bytes says where what is relative continues"),
    k("byte_extract", Reads::Payload, bytes::byte_extract, "keeps a number of the bytes for what follows"),
    k("byte_math", Reads::Payload, bytes::byte_math, "calculates with a number of the bytes, for what follows"),
    k("bsize", Reads::Payload, payload::bsize, "how many bytes a buffer has"),
    k("absent", Reads::Payload, payload::absent, "there is no such buffer; or_else: or what follows holds"),
    k("base64_decode", Reads::Payload, payload::base64_decode, "decodes base64, for base64_data"),
    k("base64_data", Reads::Payload, payload::base64_data, "what follows looks into what base64_decode decoded"),
    k("dotprefix", Reads::Payload, transform::dotprefix, "transform: a dot before the first byte"),
    k("strip_whitespace", Reads::Payload, transform::strip_whitespace, "transform: without blanks and line ends"),
    k(
        "compress_whitespace",
        Reads::Payload,
        transform::compress_whitespace,
        "transform: one blank for each run of them",
    ),
    k("to_lowercase", Reads::Payload, transform::to_lowercase, "transform: letters in lower case"),
    k("to_uppercase", Reads::Payload, transform::to_uppercase, "transform: letters in upper case"),
    k("to_md5", Reads::Payload, transform::to_md5, "transform: the MD5 of the bytes, raw"),
    k("to_sha1", Reads::Payload, transform::to_sha1, "transform: the SHA-1 of the bytes, raw"),
    k("to_sha256", Reads::Payload, transform::to_sha256, "transform: the SHA-256 of the bytes, raw"),
    k("url_decode", Reads::Payload, transform::url_decode, "transform: %XX and + decoded"),
    k("xor", Reads::Payload, transform::xor, "transform: exclusive or with a key, written or out of the buffer"),
    k("subslice", Reads::Payload, transform::subslice, "transform: a part of the buffer"),
    k("domain", Reads::Payload, transform::domain, "transform: the registered domain of a name"),
    k("tld", Reads::Payload, transform::tld, "transform: the public suffix of a name"),
    k("asn1", Reads::Payload, payload::asn1, "odd lengths in ASN.1"),
    k("entropy", Reads::Payload, payload::entropy, "how even the bytes are spread, in bits a byte"),
    k("header_lowercase", Reads::Payload, transform::header_lowercase, "transform: names of headers in lower case"),
    k(
        "strip_pseudo_headers",
        Reads::Payload,
        transform::strip_pseudo_headers,
        "transform: without lines that begin with a colon",
    ),
    k("pcrexform", Reads::Payload, transform::pcrexform, "transform: the first group of a regular expression"),
    k("from_base64", Reads::Payload, transform::from_base64, "transform: base64 decoded"),
    k("gunzip", Reads::Payload, transform::gunzip, "transform: gzip unpacked"),
    k("zlib_deflate", Reads::Payload, transform::zlib_deflate, "transform: zlib unpacked"),
    k("dsize", Reads::Header, packet::dsize, "length of the packet's payload"),
    a("flags", &["tcp.flags"], Reads::Header, packet::flags, "TCP flags; second list: flags that are ignored"),
    k("itype", Reads::Header, packet::itype, "ICMP type"),
    k("icode", Reads::Header, packet::icode, "ICMP code"),
    k("ttl", Reads::Header, packet::ttl, "IPv4 time to live or IPv6 hop limit"),
    k("id", Reads::Header, packet::id, "IPv4 identification"),
    k("tos", Reads::Header, packet::tos, "IPv4 type of service"),
    k("ip_proto", Reads::Header, packet::ip_proto, "transport protocol by number or name"),
    k("l3_proto", Reads::Header, packet::l3_proto, "version of IP: ipv4 or ipv6"),
    k("sameip", Reads::Header, packet::sameip, "source is destination"),
    k("fragbits", Reads::Header, packet::fragbits, "IPv4 flags M, D, R"),
    k("fragoffset", Reads::Header, packet::fragoffset, "IPv4 fragment offset, in units of 8 bytes"),
    a("seq", &["tcp.seq"], Reads::Header, packet::seq, "TCP sequence number"),
    a("ack", &["tcp.ack"], Reads::Header, packet::ack, "TCP acknowledgement number"),
    a("window", &["tcp.window"], Reads::Header, packet::window, "TCP window, unscaled"),
    k("tcp.mss", Reads::Header, options::tcp_mss, "maximum segment size, where a packet says it"),
    k("tcp.wscale", Reads::Header, options::tcp_wscale, "window scale, where a packet says it"),
    k("ipopts", Reads::Header, options::ipopts, "an IPv4 option is there"),
    k("icmpv6.mtu", Reads::Header, options::icmpv6_mtu, "MTU that a Packet Too Big message names"),
    k("vlan.id", Reads::Header, options::vlan_id, "id of a VLAN tag, of any or of one layer"),
    k("vlan.layers", Reads::Header, options::vlan_layers, "number of VLAN tags"),
    k("ipv4-csum", Reads::Header, options::ipv4_csum, "the IPv4 header's checksum is valid or invalid"),
    k("tcpv4-csum", Reads::Header, options::tcpv4_csum, "the checksum of TCP over IPv4 is valid or invalid"),
    k("tcpv6-csum", Reads::Header, options::tcpv6_csum, "the checksum of TCP over IPv6 is valid or invalid"),
    k("udpv4-csum", Reads::Header, options::udpv4_csum, "the checksum of UDP over IPv4 is valid or invalid"),
    k("udpv6-csum", Reads::Header, options::udpv6_csum, "the checksum of UDP over IPv6 is valid or invalid"),
    k("icmpv4-csum", Reads::Header, options::icmpv4_csum, "the checksum of ICMP is valid or invalid"),
    k("icmpv6-csum", Reads::Header, options::icmpv6_csum, "the checksum of ICMPv6 is valid or invalid"),
    k("igmp-csum", Reads::Header, options::igmp_csum, "the checksum of IGMP is valid or invalid"),
    k("igmp.type", Reads::Header, options::igmp_type, "type of an IGMP message"),
    k("sctp.vtag", Reads::Header, options::sctp_vtag, "SCTP verification tag"),
    k("sctp.chunk_type", Reads::Header, options::sctp_chunk_type, "type of an SCTP chunk, by number or name"),
    k("sctp.chunk_cnt", Reads::Header, options::sctp_chunk_cnt, "number of SCTP chunks"),
    k("iprep", Reads::Header, hosts::iprep, "what lists of reputations say of an address, by category"),
    k("geoip", Reads::Header, hosts::geoip, "the country of an address, as a database has it"),
    k("rpc", Reads::Header, options::rpc, "a SunRPC call's program, version and procedure"),
    k("icmp_id", Reads::Header, packet::icmp_id, "identifier of an ICMP query"),
    k("icmp_seq", Reads::Header, packet::icmp_seq, "sequence number of an ICMP query"),
    k(
        "engine-event",
        Reads::Header,
        packet::engine_event,
        "as decode-event or stream-event, by the event's whole name",
    ),
    a(
        "decode-event",
        &["decode_event"],
        Reads::Header,
        packet::decode_event,
        "the decoder found this wrong with the packet",
    ),
    a(
        "stream-event",
        &["stream_event"],
        Reads::Flow,
        stream::stream_event,
        "the packet is odd in its TCP session in this way",
    ),
    k("stream_size", Reads::Flow, stream::stream_size, "bytes of client or server so far, by sequence numbers"),
    k("flow", Reads::Flow, state::flow, "direction and state of the flow"),
    k("flowbits", Reads::Flow, state::flowbits, "named marks on the flow"),
    k("flowint", Reads::Flow, marks::flowint, "named counters of the flow"),
    k("xbits", Reads::Matches, marks::xbits, "named marks on a host, a pair of hosts or a transaction"),
    k("hostbits", Reads::Matches, marks::hostbits, "named marks on a host"),
    k("flow.age", Reads::Flow, counts::age, "whole seconds since the flow's first packet"),
    k("flow.pkts", Reads::Flow, counts::packets, "packets of the flow so far, by direction"),
    k("flow.pkts_toserver", Reads::Flow, counts::packets_to_server, "packets of the client so far"),
    k("flow.pkts_toclient", Reads::Flow, counts::packets_to_client, "packets of the server so far"),
    k("flow.bytes", Reads::Flow, counts::bytes, "bytes of the flow so far, by direction"),
    k("flow.bytes_toserver", Reads::Flow, counts::bytes_to_server, "bytes of the client so far"),
    k("flow.bytes_toclient", Reads::Flow, counts::bytes_to_client, "bytes of the server so far"),
    k("tag", Reads::Nothing, counts::tag, "packets that follow are recorded: of the flow, or of a host"),
    k("config", Reads::Application, counts::config, "the transaction is not written"),
    k("dataset", Reads::Application, dataset::dataset, "the buffer is in a large list, or is put into it"),
    k("datarep", Reads::Application, dataset::datarep, "the buffer has such a value in a large list"),
    k("frame", Reads::Application, app::frame, "what follows looks into each frame of that name that a parser marks"),
    k("pkt_data", Reads::Payload, app::pkt_data, "what follows looks into the payload again"),
    k("app-layer-protocol", Reads::Application, app::app_layer_protocol, "what the flow speaks; or with ! does not"),
    k("app-layer-event", Reads::Application, app::app_layer_event, "what a parser found wrong"),
    a("dns.opcode", &["dns_opcode"], Reads::Application, app::dns_opcode, "operation of a DNS message"),
    k("dns.rcode", Reads::Application, app::dns_rcode, "response code of a DNS message"),
    k("dns.rrtype", Reads::Application, app::dns_rrtype, "type of a question, or of an answer"),
    k("tls.version", Reads::Application, tls::version, "version that is spoken: 1.2, or 0x0303"),
    k("ssl_version", Reads::Application, tls::ssl_version, "version that is spoken: one of a list, or with ! none"),
    k("ssl_state", Reads::Application, tls::ssl_state, "which messages of the handshake were seen"),
    k("tls.cert_chain_len", Reads::Application, tls::chain_len, "number of certificates shown"),
    k("tls_cert_notbefore", Reads::Application, tls::not_before, "date from which on the certificate is valid"),
    k("tls_cert_notafter", Reads::Application, tls::not_after, "date up to which the certificate is valid"),
    k("tls_cert_valid", Reads::Application, tls::valid, "the certificate was valid when it was shown"),
    k("tls_cert_expired", Reads::Application, tls::expired, "the certificate's validity was over when it was shown"),
    k("tls.subject", Reads::Application, tls::subject, "old: text in the certificate's subject"),
    k("tls.issuerdn", Reads::Application, tls::issuer, "old: text in the certificate's issuer"),
    k("tls.fingerprint", Reads::Application, tls::fingerprint, "old: text in the certificate's SHA-1"),
    k(
        "ssh.protoversion",
        Reads::Application,
        app::ssh_protoversion,
        "old: version of the protocol that an SSH peer offers",
    ),
    k(
        "ssh.softwareversion",
        Reads::Application,
        app::ssh_softwareversion,
        "old: text in the name of an SSH peer's software",
    ),
    k("uricontent", Reads::Application, app::uricontent, "bytes in the normalised URI of an HTTP request"),
    k("urilen", Reads::Application, app::urilen, "length of the URI of an HTTP request"),
    k("filesize", Reads::Application, file::filesize, "size of a file, once it has ended"),
    k("filename", Reads::Application, file::filename, "text in a file's name"),
    k("fileext", Reads::Application, file::fileext, "ending of a file's name"),
    k("filemagic", Reads::Application, file::filemagic, "text in the words for a file's kind, by its first bytes"),
    k("filemd5", Reads::Application, file::filemd5, "the MD5 of a whole file is in a list, or with ! is not"),
    k("filesha1", Reads::Application, file::filesha1, "the SHA-1 of a whole file is in a list, or with ! is not"),
    k("filesha256", Reads::Application, file::filesha256, "the SHA-256 of a whole file is in a list, or with ! is not"),
    k("filestore", Reads::Application, file::filestore, "files that match are stored, where file-store is enabled"),
    k("ftp.dynamic_port", Reads::Application, app::ftp_dynamic_port, "port of an FTP data connection"),
    k("ftpbounce", Reads::Application, app::ftpbounce, "an FTP client wants data sent to another host than itself"),
    k("ftp.reply_received", Reads::Application, app::ftp_reply_received, "whether the server replied: yes or no"),
    k("http2.frametype", Reads::Application, numbers::http2_frametype, "kind of an HTTP/2 frame, by number or name"),
    k("http2.errorcode", Reads::Application, numbers::http2_errorcode, "error code of an HTTP/2 RST_STREAM or GOAWAY"),
    k("http2.priority", Reads::Application, numbers::http2_priority, "weight of an HTTP/2 stream"),
    k("http2.window", Reads::Application, numbers::http2_window, "increment of an HTTP/2 window"),
    k("http2.size_update", Reads::Application, numbers::http2_size_update, "size stated for HPACK's dynamic table"),
    k("http2.settings", Reads::Application, numbers::http2_settings, "an HTTP/2 setting: its name, perhaps its value"),
    k("dhcp.leasetime", Reads::Application, numbers::dhcp_leasetime, "seconds of a DHCP lease"),
    k("dhcp.rebinding_time", Reads::Application, numbers::dhcp_rebinding_time, "seconds up to DHCP's rebinding"),
    k("dhcp.renewal_time", Reads::Application, numbers::dhcp_renewal_time, "seconds up to DHCP's renewal"),
    k("ldap.request.operation", Reads::Application, numbers::ldap_request_operation, "an LDAP request's operation"),
    k(
        "ldap.responses.operation",
        Reads::Application,
        numbers::ldap_responses_operation,
        "operation of an LDAP response; perhaps which one of several",
    ),
    k("ldap.responses.count", Reads::Application, numbers::ldap_responses_count, "number of LDAP responses"),
    k(
        "ldap.responses.result_code",
        Reads::Application,
        numbers::ldap_responses_result_code,
        "result of an LDAP response; perhaps which one of several",
    ),
    k("modbus", Reads::Application, modbus::modbus, "unit, function, or access of a Modbus request"),
    a(
        "dcerpc.iface",
        &["dce_iface"],
        Reads::Application,
        dcerpc::iface,
        "the interface that a DCE/RPC request is for, perhaps its version",
    ),
    a("dcerpc.opnum", &["dce_opnum"], Reads::Application, dcerpc::opnum, "the operation that a DCE/RPC request is for"),
    k("smb.version", Reads::Application, dcerpc::smb_version, "version of SMB: 1, or 2 (and 3)"),
    k("mqtt.type", Reads::Application, numbers::mqtt_type, "kind of a message in an MQTT transaction"),
    k("mqtt.flags", Reads::Application, numbers::mqtt_flags, "bits of an MQTT message: dup, retain"),
    k("mqtt.qos", Reads::Application, numbers::mqtt_qos, "quality of service of an MQTT message"),
    k("mqtt.reason_code", Reads::Application, numbers::mqtt_reason_code, "reason or return code of an MQTT message"),
    k("mqtt.protocol_version", Reads::Application, numbers::mqtt_protocol_version, "version that MQTT speaks: 3, 4, 5"),
    k("mqtt.connect.flags", Reads::Application, numbers::mqtt_connect_flags, "bits of MQTT's CONNECT"),
    k(
        "mqtt.connack.session_present",
        Reads::Application,
        numbers::mqtt_session_present,
        "whether MQTT's server goes on with an earlier session: yes or no",
    ),
    k("rfb.sectype", Reads::Application, numbers::rfb_sectype, "how an RFB client proves itself"),
    k("rfb.secresult", Reads::Application, numbers::rfb_secresult, "what came of it: ok, fail, toomany, unknown"),
    k("krb5_msg_type", Reads::Application, numbers::krb5_msg_type, "number of a Kerberos message"),
    k("krb5_err_code", Reads::Application, numbers::krb5_err_code, "code of a Kerberos error"),
    k(
        "krb5.ticket_encryption",
        Reads::Application,
        numbers::krb5_ticket_encryption,
        "how a Kerberos ticket is encrypted: weak, strong, or kinds",
    ),
    k("ntp.version", Reads::Application, numbers::ntp_version, "version of NTP"),
    k("ntp.mode", Reads::Application, numbers::ntp_mode, "mode of an NTP packet, by number or name"),
    k("ntp.stratum", Reads::Application, numbers::ntp_stratum, "stratum of an NTP packet"),
    k("websocket.opcode", Reads::Application, numbers::websocket_opcode, "kind of a WebSocket frame"),
    k("websocket.mask", Reads::Application, numbers::websocket_mask, "mask of a WebSocket frame"),
    k("websocket.flags", Reads::Application, numbers::websocket_flags, "bits of a WebSocket frame: fin, comp, ..."),
    k("ike.exchtype", Reads::Application, numbers::ike_exchtype, "type of an IKE exchange"),
    k(
        "ike.chosen_sa_attribute",
        Reads::Application,
        numbers::ike_chosen_sa_attribute,
        "an attribute of the association that an IKE responder chose: its name and value",
    ),
    k(
        "ike.key_exchange_payload_length",
        Reads::Application,
        numbers::ike_key_exchange_payload_length,
        "length of an IKE key exchange payload",
    ),
    k("ike.nonce_payload_length", Reads::Application, numbers::ike_nonce_payload_length, "length of an IKE nonce"),
    a("dnp3.func", &["dnp3_func"], Reads::Application, numbers::dnp3_func, "function of a DNP3 fragment"),
    a("dnp3.ind", &["dnp3_ind"], Reads::Application, numbers::dnp3_ind, "internal indications of a DNP3 answer"),
    a("dnp3.obj", &["dnp3_obj"], Reads::Application, numbers::dnp3_obj, "group and variation of a DNP3 object"),
    k("snmp.version", Reads::Application, numbers::snmp_version, "version of SNMP: 1, 2 or 3"),
    k("snmp.pdu_type", Reads::Application, numbers::snmp_pdu_type, "what an SNMP message is, by number or name"),
    a("nfs_version", &["nfs.version"], Reads::Application, numbers::nfs_version, "version of NFS"),
    k("nfs_procedure", Reads::Application, numbers::nfs_procedure, "procedure of an NFS call, by number or name"),
    k(
        "enip_command",
        Reads::Application,
        numbers::enip_command,
        "command of an EtherNet/IP message, by number or name",
    ),
    k("enip.status", Reads::Application, numbers::enip_status, "status of an EtherNet/IP message, by number or name"),
    k(
        "enip.protocol_version",
        Reads::Application,
        numbers::enip_protocol_version,
        "version that an EtherNet/IP message states",
    ),
    k("enip.capabilities", Reads::Application, numbers::enip_capabilities, "capabilities of an EtherNet/IP service"),
    k("enip.revision", Reads::Application, numbers::enip_revision, "revision of an EtherNet/IP device"),
    k(
        "enip.identity_status",
        Reads::Application,
        numbers::enip_identity_status,
        "status in an EtherNet/IP device's identity",
    ),
    k("enip.state", Reads::Application, numbers::enip_state, "state in an EtherNet/IP device's identity"),
    k("enip.serial", Reads::Application, numbers::enip_serial, "serial number of an EtherNet/IP device"),
    k("enip.product_code", Reads::Application, numbers::enip_product_code, "product code of an EtherNet/IP device"),
    k("enip.device_type", Reads::Application, numbers::enip_device_type, "type of an EtherNet/IP device"),
    k("enip.vendor_id", Reads::Application, numbers::enip_vendor_id, "vendor of an EtherNet/IP device"),
    k("enip.cip_class", Reads::Application, numbers::enip_cip_class, "class in a CIP path"),
    k("enip.cip_instance", Reads::Application, numbers::enip_cip_instance, "instance in a CIP path"),
    k("enip.cip_attribute", Reads::Application, numbers::enip_cip_attribute, "attribute that a CIP service names"),
    k("enip.cip_status", Reads::Application, numbers::enip_cip_status, "status of a CIP answer"),
    k(
        "enip.cip_extendedstatus",
        Reads::Application,
        numbers::enip_cip_extendedstatus,
        "extended status of a CIP answer",
    ),
    k("cip_service", Reads::Application, numbers::cip_service, "a CIP service; perhaps its class, and the attribute"),
    k("template.number", Reads::Application, app::template_number, "length of what was asked"),
    k("threshold", Reads::Matches, state::threshold, "thins out alerts"),
    k("detection_filter", Reads::Matches, state::detection_filter, "alerts only after so many matches in a window"),
];

pub use crate::keywords::{
    app::{EVENTS as APP_EVENTS, LAYER_EVENTS},
    packet::DECODE_EVENTS,
    stream::STREAM_EVENTS,
};

/// The honoured keyword of that name (any case).
pub fn find(name: &str) -> Option<&'static Keyword> {
    static BY_NAME: LazyLock<Named<&Keyword>> = LazyLock::new(|| {
        let of = |k: &'static Keyword| [k.name].into_iter().chain(k.aliases.iter().copied()).map(move |n| (n, k));
        Named::new(HONOURED.iter().flat_map(of))
    });
    BY_NAME.get(name)
}

/// What belongs to names of the language, which are written in any case.
pub(crate) struct Named<T>(HashMap<String, T>);

impl<T: Copy> Named<T> {
    /// Of several of one name the first counts.
    pub(crate) fn new(all: impl Iterator<Item = (&'static str, T)>) -> Self {
        let mut map = HashMap::new();
        for (name, what) in all {
            map.entry(name.to_ascii_lowercase()).or_insert(what);
        }
        Self(map)
    }
    pub(crate) fn get(&self, name: &str) -> Option<T> {
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            return self.0.get(&name.to_ascii_lowercase()).copied();
        }
        self.0.get(name).copied()
    }
}

const APP: &str = "needs the application protocol's parsed fields, which this version does not inspect";

// Keywords and families of the language that are refused, with the reason. A name ending in `*` is a family.
const REFUSED: &[(&str, &str)] = &[
    ("lua*", "Lua scripts are not run: a rule must not be a program"),
    ("app-layer-*", APP),
    ("http2.header", "an old name that Suricata has given up: write `http.request_header` or `http.response_header`"),
    ("flow.elephant", "the rate of a flow is not measured; `flow.bytes` and `flow.age` can be asked for"),
    ("flow.*", "this version does not know that of a flow; flow.age, flow.pkts and flow.bytes it does"),
    ("replace", "a sensor that only listens changes no packet"),
    ("http*", APP),
    ("file*", APP),
    ("dns*", APP),
    ("tls*", APP),
    ("ssl_*", APP),
    ("ja3*", APP),
    ("ja4*", APP),
    ("ssh*", APP),
    ("smb*", APP),
    ("dce*", APP),
    ("krb5*", APP),
    ("snmp*", APP),
    ("smtp*", APP),
    ("email*", APP),
    ("ftp*", APP),
    ("tftp*", APP),
    ("rdp*", APP),
    ("mdns*", APP),
    ("nfs*", APP),
    ("ike*", APP),
    ("quic*", APP),
    ("dnp3*", APP),
    ("enip*", APP),
    ("cip*", APP),
    ("ldap*", APP),
    ("pgsql*", APP),
    ("bittorrent*", APP),
    ("template*", APP),
    ("casefold", "not supported by this version; to_lowercase is"),
];

/// Why a keyword is not honoured; for unknown ones, that they are.
pub fn refusal(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let hit = REFUSED.iter().find(|(n, _)| match (n.strip_suffix('*'), n.strip_prefix('*')) {
        (Some(start), _) => lower.starts_with(start),
        (_, Some(end)) => lower.ends_with(end),
        _ => lower == *n,
    });
    match hit {
        Some((_, why)) => (*why).to_owned(),
        None => {
            let close = HONOURED
                .iter()
                .filter_map(|k| Some((distance(&lower, k.name)?, k.name)))
                .min()
                .filter(|(d, _)| *d <= 2)
                .map(|(_, n)| format!("; did you mean `{n}`?"));
            format!("there is no such keyword{}", close.unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_in_any_case() {
        let mut names: Vec<_> = HONOURED.iter().flat_map(|k| k.aliases.iter().chain([&k.name])).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert_eq!(find("Content").map(|k| k.name), Some("content"));
        assert_eq!(find("TCP.flags").map(|k| k.name), Some("flags"));
        assert!(find("lua").is_none());
    }

    #[test]
    fn a_refused_keyword_is_never_an_honoured_one() {
        for k in HONOURED {
            for name in k.aliases.iter().chain([&k.name]) {
                let exact = REFUSED.iter().any(|(n, _)| n == name);
                assert!(!exact, "{name} stands in both tables");
            }
            assert!(!k.doc.is_empty());
        }
    }

    #[test]
    fn reasons_fit_the_keyword() {
        assert!(refusal("rdp.cookie").contains("application protocol"));
        assert!(refusal("contnet").contains("`content`"));
        assert_eq!(refusal("zzzzzz"), "there is no such keyword");
    }
}
