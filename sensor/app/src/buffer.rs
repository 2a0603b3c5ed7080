// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The names by which rules ask for parts of a transaction: byte buffers and numbers, as Suricata's sticky keywords.
//!
//! A protocol serves those that it knows ([`crate::protocol::Protocol::buffer`]); the rules crate says which of them a rule
//! may ask for. Must never hold bytes.

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each variant is the keyword of its name in the Suricata user guide")]
        pub enum $name { $($variant,)* }
        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// The keyword.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
            /// The one of that name.
            pub fn by_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|b| b.name() == name)
            }
        }
    };
}

names! {
    /// Bytes of a transaction.
    Buffer {
        // DNS.
        DnsQuery = "dns.query",
        DnsQueriesRrname = "dns.queries.rrname",
        DnsAnswersRrname = "dns.answers.rrname",
        DnsAuthoritiesRrname = "dns.authorities.rrname",
        DnsAdditionalsRrname = "dns.additionals.rrname",
        DnsResponseRrname = "dns.response.rrname",
        MdnsQueriesRrname = "mdns.queries.rrname",
        MdnsAnswersRrname = "mdns.answers.rrname",
        MdnsAuthoritiesRrname = "mdns.authorities.rrname",
        MdnsAdditionalsRrname = "mdns.additionals.rrname",
        MdnsResponseRrname = "mdns.response.rrname",
        LlmnrQueriesRrname = "llmnr.queries.rrname",
        LlmnrAnswersRrname = "llmnr.answers.rrname",
        LlmnrAuthoritiesRrname = "llmnr.authorities.rrname",
        LlmnrAdditionalsRrname = "llmnr.additionals.rrname",
        LlmnrResponseRrname = "llmnr.response.rrname",
        // HTTP.
        HttpUri = "http.uri",
        HttpUriRaw = "http.uri.raw",
        HttpMethod = "http.method",
        HttpProtocol = "http.protocol",
        HttpRequestLine = "http.request_line",
        HttpRequestBody = "http.request_body",
        HttpHeader = "http.header",
        HttpHeaderRaw = "http.header.raw",
        HttpHeaderNames = "http.header_names",
        HttpRequestHeader = "http.request_header",
        HttpResponseHeader = "http.response_header",
        HttpHost = "http.host",
        HttpHostRaw = "http.host.raw",
        HttpUserAgent = "http.user_agent",
        HttpReferer = "http.referer",
        HttpCookie = "http.cookie",
        HttpAccept = "http.accept",
        HttpAcceptEnc = "http.accept_enc",
        HttpAcceptLang = "http.accept_lang",
        HttpConnection = "http.connection",
        HttpContentType = "http.content_type",
        HttpContentLen = "http.content_len",
        HttpStart = "http.start",
        HttpStatCode = "http.stat_code",
        HttpStatMsg = "http.stat_msg",
        HttpResponseLine = "http.response_line",
        HttpResponseBody = "http.response_body",
        HttpLocation = "http.location",
        HttpServer = "http.server",
        // HTTP/2.
        Http2HeaderName = "http2.header_name",
        // WebSocket.
        WebsocketPayload = "websocket.payload",
        // Files.
        FileData = "file.data",
        FileName = "file.name",
        FileMagic = "file.magic",
        // TLS.
        TlsSni = "tls.sni",
        TlsCertSubject = "tls.cert_subject",
        TlsCertIssuer = "tls.cert_issuer",
        TlsCertSerial = "tls.cert_serial",
        TlsCertFingerprint = "tls.cert_fingerprint",
        TlsCerts = "tls.certs",
        TlsRandom = "tls.random",
        TlsRandomTime = "tls.random_time",
        TlsRandomBytes = "tls.random_bytes",
        TlsAlpn = "tls.alpn",
        TlsSubjectaltname = "tls.subjectaltname",
        Ja3Hash = "ja3.hash",
        Ja3String = "ja3.string",
        Ja3sHash = "ja3s.hash",
        Ja3sString = "ja3s.string",
        Ja4Hash = "ja4.hash",
        // QUIC.
        QuicVersion = "quic.version",
        QuicSni = "quic.sni",
        QuicUa = "quic.ua",
        QuicCyuHash = "quic.cyu.hash",
        QuicCyuString = "quic.cyu.string",
        // SMTP and mail.
        SmtpHelo = "smtp.helo",
        SmtpMailFrom = "smtp.mail_from",
        SmtpRcptTo = "smtp.rcpt_to",
        EmailFrom = "email.from",
        EmailTo = "email.to",
        EmailCc = "email.cc",
        EmailSubject = "email.subject",
        EmailDate = "email.date",
        EmailMessageId = "email.message_id",
        EmailXMailer = "email.x_mailer",
        EmailUrl = "email.url",
        EmailReceived = "email.received",
        EmailBodyMd5 = "email.body_md5",
        // FTP.
        FtpCommand = "ftp.command",
        FtpCommandData = "ftp.command_data",
        FtpReply = "ftp.reply",
        FtpCompletionCode = "ftp.completion_code",
        FtpMode = "ftp.mode",
        FtpdataCommand = "ftpdata.command",
        // SSH.
        SshProto = "ssh.proto",
        SshSoftware = "ssh.software",
        SshHassh = "ssh.hassh",
        SshHasshString = "ssh.hassh.string",
        SshHasshServer = "ssh.hassh.server",
        SshHasshServerString = "ssh.hassh.server.string",
        // SIP.
        SipMethod = "sip.method",
        SipUri = "sip.uri",
        SipRequestLine = "sip.request_line",
        SipStatCode = "sip.stat_code",
        SipStatMsg = "sip.stat_msg",
        SipResponseLine = "sip.response_line",
        SipProtocol = "sip.protocol",
        SipFrom = "sip.from",
        SipTo = "sip.to",
        SipVia = "sip.via",
        SipUserAgent = "sip.user_agent",
        SipContentType = "sip.content_type",
        SipContentLength = "sip.content_length",
        SdpOrigin = "sdp.origin",
        SdpSessionName = "sdp.session_name",
        SdpSessionInfo = "sdp.session_info",
        SdpUri = "sdp.uri",
        SdpEmail = "sdp.email",
        SdpPhoneNumber = "sdp.phone_number",
        SdpConnectionData = "sdp.connection_data",
        SdpBandwidth = "sdp.bandwidth",
        SdpTime = "sdp.time",
        SdpRepeatTime = "sdp.repeat_time",
        SdpTimezone = "sdp.timezone",
        SdpEncryptionKey = "sdp.encryption_key",
        SdpAttribute = "sdp.attribute",
        SdpMediaMedia = "sdp.media.media",
        SdpMediaSessionInfo = "sdp.media.session_info",
        SdpMediaConnectionData = "sdp.media.connection_data",
        SdpMediaEncryptionKey = "sdp.media.encryption_key",
        // Kerberos.
        Krb5Cname = "krb5_cname",
        Krb5Sname = "krb5_sname",
        // NTP.
        NtpReferenceId = "ntp.reference_id",
        // LDAP.
        LdapRequestDn = "ldap.request.dn",
        LdapRequestAttributeType = "ldap.request.attribute_type",
        LdapResponsesDn = "ldap.responses.dn",
        LdapResponsesMessage = "ldap.responses.message",
        LdapResponsesAttributeType = "ldap.responses.attribute_type",
        // MQTT.
        MqttConnectClientid = "mqtt.connect.clientid",
        MqttConnectUsername = "mqtt.connect.username",
        MqttConnectPassword = "mqtt.connect.password",
        MqttConnectProtocolString = "mqtt.connect.protocol_string",
        MqttConnectWilltopic = "mqtt.connect.willtopic",
        MqttConnectWillmessage = "mqtt.connect.willmessage",
        MqttPublishTopic = "mqtt.publish.topic",
        MqttPublishMessage = "mqtt.publish.message",
        MqttSubscribeTopic = "mqtt.subscribe.topic",
        MqttUnsubscribeTopic = "mqtt.unsubscribe.topic",
        // PostgreSQL.
        PgsqlQuery = "pgsql.query",
        // RFB.
        RfbName = "rfb.name",
        // IKE.
        IkeInitSpi = "ike.init_spi",
        IkeRespSpi = "ike.resp_spi",
        IkeVendor = "ike.vendor",
        IkeKeyExchangePayload = "ike.key_exchange_payload",
        IkeNoncePayload = "ike.nonce_payload",
        // SNMP.
        SnmpCommunity = "snmp.community",
        SnmpUsm = "snmp.usm",
        // DNP3.
        Dnp3Data = "dnp3.data",
        // EtherNet/IP.
        EnipProductName = "enip.product_name",
        EnipServiceName = "enip.service_name",
        // SMB and DCE/RPC.
        SmbNamedPipe = "smb.named_pipe",
        SmbShare = "smb.share",
        SmbNtlmsspUser = "smb.ntlmssp_user",
        SmbNtlmsspDomain = "smb.ntlmssp_domain",
        DcerpcStubData = "dcerpc.stub_data",
        // The template.
        TemplateBuffer = "template.buffer",
    }
}

names! {
    /// Numbers of a transaction.
    Field {
        // DNS.
        DnsOpcode = "dns.opcode",
        DnsRcode = "dns.rcode",
        DnsRrtype = "dns.rrtype",
        // HTTP.
        Urilen = "urilen",
        UrilenRaw = "urilen.raw",
        // HTTP/2.
        Http2Frametype = "http2.frametype",
        Http2Errorcode = "http2.errorcode",
        Http2Priority = "http2.priority",
        Http2Window = "http2.window",
        Http2SizeUpdate = "http2.size_update",
        Http2Settings = "http2.settings",
        // WebSocket.
        WebsocketOpcode = "websocket.opcode",
        WebsocketFlags = "websocket.flags",
        WebsocketMask = "websocket.mask",
        // TLS.
        TlsVersion = "tls.version",
        SslVersion = "ssl_version",
        SslState = "ssl_state",
        TlsCertChainLen = "tls.cert_chain_len",
        TlsCertNotbefore = "tls_cert_notbefore",
        TlsCertNotafter = "tls_cert_notafter",
        TlsCertValid = "tls_cert_valid",
        TlsCertExpired = "tls_cert_expired",
        // FTP.
        FtpDynamicPort = "ftp.dynamic_port",
        FtpReplyReceived = "ftp.reply_received",
        FtpPortAddress = "ftpbounce",
        // Kerberos.
        Krb5MsgType = "krb5_msg_type",
        Krb5ErrCode = "krb5_err_code",
        Krb5TicketEncryption = "krb5.ticket_encryption",
        // NTP.
        NtpVersion = "ntp.version",
        NtpMode = "ntp.mode",
        NtpStratum = "ntp.stratum",
        // DHCP.
        DhcpLeasetime = "dhcp.leasetime",
        DhcpRebindingTime = "dhcp.rebinding_time",
        DhcpRenewalTime = "dhcp.renewal_time",
        // LDAP.
        LdapRequestOperation = "ldap.request.operation",
        LdapResponsesOperation = "ldap.responses.operation",
        LdapResponsesCount = "ldap.responses.count",
        LdapResponsesResultCode = "ldap.responses.result_code",
        // Modbus.
        ModbusUnit = "modbus.unit",
        ModbusFunction = "modbus.function",
        ModbusSubfunction = "modbus.subfunction",
        ModbusCategory = "modbus.category",
        ModbusAccess = "modbus.access",
        ModbusRead = "modbus.read",
        ModbusWrite = "modbus.write",
        ModbusWritten = "modbus.written",
        // MQTT.
        MqttType = "mqtt.type",
        MqttFlags = "mqtt.flags",
        MqttQos = "mqtt.qos",
        MqttReasonCode = "mqtt.reason_code",
        MqttProtocolVersion = "mqtt.protocol_version",
        MqttConnectFlags = "mqtt.connect.flags",
        MqttConnackSessionPresent = "mqtt.connack.session_present",
        // RFB.
        RfbSectype = "rfb.sectype",
        RfbSecresult = "rfb.secresult",
        // IKE.
        IkeExchtype = "ike.exchtype",
        IkeChosenSaAttribute = "ike.chosen_sa_attribute",
        IkeKeyExchangePayloadLength = "ike.key_exchange_payload_length",
        IkeNoncePayloadLength = "ike.nonce_payload_length",
        // DNP3.
        Dnp3Func = "dnp3.func",
        Dnp3Ind = "dnp3.ind",
        Dnp3Obj = "dnp3.obj",
        // SNMP.
        SnmpVersion = "snmp.version",
        SnmpPduType = "snmp.pdu_type",
        // NFS.
        NfsVersion = "nfs_version",
        NfsProcedure = "nfs_procedure",
        NfsNamed = "nfs.named",
        // EtherNet/IP and CIP.
        EnipCommand = "enip_command",
        EnipStatus = "enip.status",
        EnipProtocolVersion = "enip.protocol_version",
        EnipCapabilities = "enip.capabilities",
        EnipRevision = "enip.revision",
        EnipIdentityStatus = "enip.identity_status",
        EnipState = "enip.state",
        EnipSerial = "enip.serial",
        EnipProductCode = "enip.product_code",
        EnipDeviceType = "enip.device_type",
        EnipVendorId = "enip.vendor_id",
        EnipCipClass = "enip.cip_class",
        EnipCipInstance = "enip.cip_instance",
        EnipCipAttribute = "enip.cip_attribute",
        EnipCipStatus = "enip.cip_status",
        EnipCipExtendedstatus = "enip.cip_extendedstatus",
        CipService = "cip_service",
        // SMB and DCE/RPC; an interface is too long for one number.
        SmbVersion = "smb.version",
        DcerpcOpnum = "dcerpc.opnum",
        DcerpcOrder = "dcerpc.order",
        DcerpcIfaceHigh = "dcerpc.iface.high",
        DcerpcIfaceLow = "dcerpc.iface.low",
        DcerpcIfaceVersion = "dcerpc.iface.version",
        // The template.
        TemplateNumber = "template.number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        for b in Buffer::ALL {
            assert_eq!(Buffer::by_name(b.name()), Some(*b));
        }
        for f in Field::ALL {
            assert_eq!(Field::by_name(f.name()), Some(*f));
            assert!(Buffer::by_name(f.name()).is_none(), "{} is both", f.name());
        }
    }
}
