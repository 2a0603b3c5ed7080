// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Choices of the application layer: which protocols are looked for and parsed, on which ports the weak ones are expected,
//! how much memory each may use, and what is written. Names and values are those of `suricata.yaml`.

use lagewarte_flow::AppProto;

use crate::{dcerpc, dhcp, dnp3, dns, file, http1, ike, mqtt, pgsql, rdp, smb, smtp, ssh, tls, websocket, xff};

/// What is done with a protocol: `app-layer.protocols.<name>.enabled`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// `yes`: recognised and parsed.
    #[default]
    On,
    /// `detection-only`: recognised.
    DetectionOnly,
    /// `no`: as if there were no such protocol.
    Off,
}

/// A protocol over one transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Over {
    /// Whether it is looked for.
    pub mode: Mode,
    /// Ports (both ends included) on which a weak content is believed: `detection-ports.dp`.
    pub ports: Vec<(u16, u16)>,
}

/// What is done once a session is encrypted: `encryption-handling`, of TLS and SSH. The names are those of Suricata's
/// configuration (user guide, "suricata.yaml", "Encrypted traffic").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encrypted {
    /// `track-only`, `default`: the session is followed, but rules do not look into payload and stream.
    #[default]
    TrackOnly,
    /// `bypass`: besides, the session is parsed no more.
    Bypass,
    /// `full`: rules look into payload and stream, encrypted or not.
    Full,
}

/// Choices of one protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Over TCP.
    pub tcp: Over,
    /// Over UDP.
    pub udp: Over,
    /// Most bytes of parsed state, over all workers.
    pub memcap: u64,
    /// `stream-depth`: how much of a stream that speaks it is put together, 0 for all; None: as `stream.reassembly.depth`.
    pub stream_depth: Option<u64>,
    /// `encryption-handling`.
    pub encrypted: Encrypted,
}

/// Most bytes of parsed state of one protocol where nothing else is said. Threat: many flows that each make a parser keep
/// a little.
pub const MEMCAP: u64 = 64 << 20;

/// Choices of the application layer.
#[derive(Clone, Debug)]
pub struct Config {
    protocols: Vec<Choice>,
    /// Event types that are written, as `outputs.eve-log.types` names them; None: all.
    pub types: Option<Vec<String>>,
    /// Whether anomalies of parsers are written: `types.anomaly.types.applayer`.
    pub anomalies: bool,
    /// Whether events carry `pcap_cnt`.
    pub pcap_cnt: bool,
    /// The interface, where packets come from one.
    pub in_iface: Option<String>,
    /// Seed of `community_id`, where it is enabled.
    pub community_id: Option<u16>,
    /// Whether events carry MAC addresses.
    pub ethernet: bool,
    /// DNS.
    pub dns: dns::Choices,
    /// TLS.
    pub tls: tls::Choices,
    /// HTTP/1, and what HTTP/2 shares with it.
    pub http: http1::Choices,
    /// What of HTTP is written.
    pub http_written: http1::Written,
    /// Mail.
    pub smtp: smtp::Choices,
    /// MQTT.
    pub mqtt: mqtt::Choices,
    /// PostgreSQL.
    pub pgsql: pgsql::Choices,
    /// RDP.
    pub rdp: rdp::Choices,
    /// DCE/RPC.
    pub dcerpc: dcerpc::Choices,
    /// SMB.
    pub smb: smb::Choices,
    /// SSH.
    pub ssh: ssh::Choices,
    /// DNP3.
    pub dnp3: dnp3::Choices,
    /// DHCP.
    pub dhcp: dhcp::Choices,
    /// IKE.
    pub ike: ike::Choices,
    /// WebSocket.
    pub websocket: websocket::Choices,
    /// What is to be known of files.
    pub files: file::Wanted,
    /// Whether events say which client stands behind a proxy.
    pub xff: xff::Choices,
}

impl Default for Config {
    /// Everything on, at Suricata's stock ports.
    fn default() -> Self {
        const PORTS: &[(AppProto, &[u16], &[u16])] = &[
            (AppProto::Dns, &[53], &[53]),
            (AppProto::Mdns, &[], &[5353]),
            (AppProto::Llmnr, &[5355], &[5355]),
            (AppProto::Smtp, &[25, 587], &[]),
            (AppProto::Ftp, &[21], &[]),
            (AppProto::Pop3, &[110], &[]),
            (AppProto::Ntp, &[], &[123]),
            (AppProto::Dhcp, &[], &[67, 68]),
            (AppProto::Snmp, &[], &[161, 162]),
            (AppProto::Tftp, &[], &[69]),
            (AppProto::Ike, &[], &[500, 4500]),
            (AppProto::Krb5, &[88], &[88]),
            (AppProto::Ldap, &[389, 3268], &[389]),
            (AppProto::Pgsql, &[5432], &[]),
            (AppProto::Modbus, &[502], &[]),
            (AppProto::Enip, &[44818], &[44818]),
            (AppProto::Dnp3, &[20000], &[]),
            (AppProto::Nfs, &[2049], &[2049]),
            (AppProto::Mqtt, &[1883], &[]),
            (AppProto::Telnet, &[23], &[]),
            (AppProto::Dcerpc, &[135], &[135]),
        ];
        let mut all = vec![Choice { memcap: MEMCAP, ..Choice::default() }; AppProto::ALL.len() + 1];
        for (proto, tcp, udp) in PORTS {
            if let Some(c) = all.get_mut(*proto as usize) {
                c.tcp.ports = tcp.iter().map(|p| (*p, *p)).collect();
                c.udp.ports = udp.iter().map(|p| (*p, *p)).collect();
            }
        }
        // Files of SMB are larger than what one looks at of a web page: as in Suricata's stock file, all of it.
        if let Some(c) = all.get_mut(AppProto::Smb as usize) {
            c.stream_depth = Some(0);
        }
        // No IMAP or POP3 session is parsed: recognised only. Suricata's stock file has the template off.
        if let Some(c) = all.get_mut(AppProto::Template as usize) {
            (c.tcp.mode, c.udp.mode) = (Mode::Off, Mode::Off);
        }
        Self {
            protocols: all,
            types: None,
            anomalies: false,
            pcap_cnt: true,
            in_iface: None,
            community_id: None,
            ethernet: false,
            dns: dns::Choices::default(),
            tls: tls::Choices::default(),
            http: http1::Choices::default(),
            http_written: http1::Written::default(),
            dhcp: dhcp::Choices::default(),
            smtp: smtp::Choices::default(),
            mqtt: mqtt::Choices::default(),
            pgsql: pgsql::Choices::default(),
            rdp: rdp::Choices::default(),
            dcerpc: dcerpc::Choices::default(),
            smb: smb::Choices::default(),
            ssh: ssh::Choices::default(),
            dnp3: dnp3::Choices::default(),
            ike: ike::Choices::default(),
            websocket: websocket::Choices::default(),
            files: file::Wanted::default(),
            xff: xff::Choices::default(),
        }
    }
}

impl Config {
    /// The choices of a protocol.
    pub fn of(&self, proto: AppProto) -> &Choice {
        &self.protocols[proto as usize] // one for each variant, Unknown included
    }
    /// The same, to be changed.
    pub fn of_mut(&mut self, proto: AppProto) -> &mut Choice {
        &mut self.protocols[proto as usize] // as above
    }
    /// What is done with a protocol over this transport.
    pub fn mode(&self, proto: AppProto, tcp: bool) -> Mode {
        let c = self.of(proto);
        if tcp { c.tcp.mode } else { c.udp.mode }
    }
    /// Whether a weak content of this protocol is believed on this port.
    pub fn expects(&self, proto: AppProto, tcp: bool, port: u16) -> bool {
        let c = self.of(proto);
        let ports = if tcp { &c.tcp.ports } else { &c.udp.ports };
        ports.iter().any(|(from, to)| (*from..=*to).contains(&port))
    }
    /// How much of a stream that speaks this is put together; None: as of any.
    pub fn stream_depth(&self, proto: AppProto) -> Option<u64> {
        let files = matches!(
            proto,
            AppProto::Http | AppProto::Http2 | AppProto::Smtp | AppProto::FtpData | AppProto::Smb | AppProto::Nfs
        );
        self.files.store_depth.filter(|_| files && self.files.storing()).or(self.of(proto).stream_depth)
    }
    /// Whether events of this type are written.
    pub fn writes(&self, event_type: &str) -> bool {
        // What the list calls otherwise than the event.
        let listed = match event_type {
            "fileinfo" => "files",
            "ftp_data" => "ftp",
            "bittorrent_dht" => "bittorrent-dht",
            other => other,
        };
        self.types.as_ref().is_none_or(|t| t.iter().any(|n| n == listed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Nowhere;
    impl file::store::Store for Nowhere {
        fn begin(&self) -> Option<Box<dyn file::store::Storing>> {
            None
        }
    }

    /// Suricata user guide: `app-layer.protocols.smb.stream-depth` (0, which is all, in the stock file), and
    /// `file-store.stream-depth` for protocols with files, where files are stored.
    #[test]
    fn a_protocols_own_depth_gives_way_to_that_of_stored_files() {
        let mut c = Config::default();
        let depths = |c: &Config| [AppProto::Http, AppProto::Smb, AppProto::Dns].map(|p| c.stream_depth(p));
        assert_eq!(depths(&c), [None, Some(0), None]);
        c.files.store_depth = Some(1 << 20);
        assert_eq!(depths(&c), [None, Some(0), None], "nothing is stored");
        c.files.store = Some(std::sync::Arc::new(Nowhere));
        assert_eq!(depths(&c), [None, Some(0), None], "no rule stores anything");
        c.files.asked.store = true;
        assert_eq!(depths(&c), [Some(1 << 20), Some(1 << 20), None]);
        c.files.store_depth = None;
        assert_eq!(depths(&c), [None, Some(0), None]);
    }

    #[test]
    fn the_list_of_types_has_its_own_words_for_some_events() {
        let mut c = Config::default();
        assert!(c.writes("dns") && c.writes("fileinfo"), "all, where nothing is said");
        c.types = Some(["files", "ftp", "bittorrent-dht"].map(String::from).to_vec());
        for (event, written) in
            [("fileinfo", true), ("ftp_data", true), ("ftp", true), ("bittorrent_dht", true), ("dns", false)]
        {
            assert_eq!(c.writes(event), written, "{event}");
        }
    }
}
