// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What is known of a flow's application protocol. Names are Suricata's (`app_proto`); who finds out is the app crate.
//!
//! Must never decide anything: this is the place where the answer is kept. A fixed size.

/// Application protocols that detection knows, with the states "not yet known" and "not to be known".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[expect(missing_docs, reason = "names of protocols")]
pub enum AppProto {
    /// Not decided yet; EVE leaves `app_proto` out.
    #[default]
    Unknown,
    /// Decided that it is none we know: `failed`.
    Failed,
    Http,
    Http2,
    Tls,
    Ssh,
    Smtp,
    Ftp,
    Smb,
    Rdp,
    Pop3,
    Imap,
    Dns,
    Dcerpc,
    Dhcp,
    Ntp,
    Quic,
    Snmp,
    Tftp,
    Sip,
    Mqtt,
    Ldap,
    Krb5,
    Rfb,
    Telnet,
    Mdns,
    Llmnr,
    Ike,
    Pgsql,
    BittorrentDht,
    FtpData,
    Websocket,
    Doh2,
    Nfs,
    Modbus,
    Dnp3,
    Enip,
    Irc,
    Template,
}

impl AppProto {
    /// EVE's name; None while unknown.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Unknown => return None,
            Self::Failed => "failed",
            Self::Http => "http",
            Self::Http2 => "http2",
            Self::Tls => "tls",
            Self::Ssh => "ssh",
            Self::Smtp => "smtp",
            Self::Ftp => "ftp",
            Self::Smb => "smb",
            Self::Rdp => "rdp",
            Self::Pop3 => "pop3",
            Self::Imap => "imap",
            Self::Dns => "dns",
            Self::Dcerpc => "dcerpc",
            Self::Dhcp => "dhcp",
            Self::Ntp => "ntp",
            Self::Quic => "quic",
            Self::Snmp => "snmp",
            Self::Tftp => "tftp",
            Self::Sip => "sip",
            Self::Mqtt => "mqtt",
            Self::Ldap => "ldap",
            Self::Krb5 => "krb5",
            Self::Rfb => "rfb",
            Self::Telnet => "telnet",
            Self::Mdns => "mdns",
            Self::Llmnr => "llmnr",
            Self::Ike => "ike",
            Self::Pgsql => "pgsql",
            Self::BittorrentDht => "bittorrent-dht",
            Self::FtpData => "ftp-data",
            Self::Websocket => "websocket",
            Self::Doh2 => "doh2",
            Self::Nfs => "nfs",
            Self::Modbus => "modbus",
            Self::Dnp3 => "dnp3",
            Self::Enip => "enip",
            Self::Irc => "irc",
            Self::Template => "template",
        })
    }
    /// Every protocol that has a name, `failed` included.
    pub const ALL: &'static [Self] = &[
        Self::Failed,
        Self::Http,
        Self::Http2,
        Self::Tls,
        Self::Ssh,
        Self::Smtp,
        Self::Ftp,
        Self::Smb,
        Self::Rdp,
        Self::Pop3,
        Self::Imap,
        Self::Dns,
        Self::Dcerpc,
        Self::Dhcp,
        Self::Ntp,
        Self::Quic,
        Self::Snmp,
        Self::Tftp,
        Self::Sip,
        Self::Mqtt,
        Self::Ldap,
        Self::Krb5,
        Self::Rfb,
        Self::Telnet,
        Self::Mdns,
        Self::Llmnr,
        Self::Ike,
        Self::Pgsql,
        Self::BittorrentDht,
        Self::FtpData,
        Self::Websocket,
        Self::Doh2,
        Self::Nfs,
        Self::Modbus,
        Self::Dnp3,
        Self::Enip,
        Self::Irc,
        Self::Template,
    ];
    /// The protocol that EVE names so.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|p| p.name() == Some(name))
    }
    /// Whether a protocol was recognised.
    pub const fn known(self) -> bool {
        !matches!(self, Self::Unknown | Self::Failed)
    }
}

/// What is known of a flow's application protocol, and where its parsed state lies.
#[derive(Debug, Default)]
pub struct AppState {
    /// What the flow speaks: EVE `app_proto`.
    pub proto: AppProto,
    /// What each side was found to speak, by [`crate::Direction::index`].
    pub sides: [AppProto; 2],
    /// What it spoke before it changed (STARTTLS, CONNECT, an upgrade): EVE `app_proto_orig`.
    pub original: AppProto,
    /// What it announced to change to: EVE `app_proto_expected`.
    pub expected: AppProto,
    /// Transactions so far, where the protocol is parsed: EVE `flow.tx_cnt`.
    pub tx_count: Option<u64>,
    /// Of them, those of protocols that it no longer speaks and of which nothing is held.
    pub tx_past: u64,
    /// Its stream's depth is the protocol's own by now.
    pub depth_set: bool,
    /// Nothing of it is parsed (any more).
    pub over: bool,
    /// What comes is encrypted, and rules do not look into its payload: `encryption-handling`. From the packet after the
    /// one that showed it.
    pub sealed: bool,
    /// The app crate's place for this flow, in the worker's table; 0 is none.
    pub slot: u32,
}

impl AppState {
    /// Notes what a side speaks. Where the sides differ the client's word counts: it is what the server was asked for.
    pub fn decide(&mut self, side: usize, proto: AppProto, tcp: bool) {
        let Some(mine) = self.sides.get_mut(side) else { return };
        *mine = proto;
        self.proto = match (self.sides[0], self.sides[1]) {
            (client, _) if client.known() => client,
            (_, server) if server.known() => server,
            (AppProto::Failed, AppProto::Failed) => AppProto::Failed,
            // A datagram that says nothing will not be explained by a later one.
            (AppProto::Failed, _) | (_, AppProto::Failed) if !tcp => AppProto::Failed,
            _ => AppProto::Unknown,
        };
    }
    /// What rules on a protocol take it to speak: after a change what it spoke before, until it is known what follows.
    pub fn spoken(&self) -> AppProto {
        if self.proto == AppProto::Unknown && self.original.known() { self.original } else { self.proto }
    }
    pub(crate) fn turn(&mut self) {
        self.sides.swap(0, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_protocol() {
        for p in AppProto::ALL {
            assert_eq!(AppProto::by_name(p.name().expect("a listed protocol has a name")), Some(*p));
        }
        assert_eq!(AppProto::by_name("no such"), None);
    }
}
