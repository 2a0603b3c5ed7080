// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What is known of a flow's application protocol. Names are Suricata's (`app_proto`); who finds out is the app crate.
//!
//! Must never decide anything: this is the place where the answer is kept. Limits: [`PREFIX`] bytes a direction.

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
        })
    }
    /// Whether a protocol was recognised.
    pub const fn known(self) -> bool {
        !matches!(self, Self::Unknown | Self::Failed)
    }
}

/// Most bytes kept of the beginning of a direction. Threat: a peer that sends its greeting byte by byte.
pub const PREFIX: usize = 64;

/// Detection state of a flow.
#[derive(Debug, Default)]
pub struct AppState {
    /// What the flow speaks: EVE `app_proto`.
    pub proto: AppProto,
    /// What each side was found to speak, by [`crate::Direction::index`].
    pub sides: [AppProto; 2],
    /// The beginnings, kept only while a side is undecided after its first bytes.
    pub prefix: [Option<Box<Prefix>>; 2],
}

impl AppState {
    /// Notes what a side speaks. Where the sides differ the client's word counts: it is what the server was asked for.
    pub fn decide(&mut self, side: usize, proto: AppProto, tcp: bool) {
        let Some(mine) = self.sides.get_mut(side) else { return };
        *mine = proto;
        self.prefix[side] = None; // side is in bounds: both arrays have two places
        self.proto = match (self.sides[0], self.sides[1]) {
            (client, _) if client.known() => client,
            (_, server) if server.known() => server,
            (AppProto::Failed, AppProto::Failed) => AppProto::Failed,
            // A datagram that says nothing will not be explained by a later one.
            (AppProto::Failed, _) | (_, AppProto::Failed) if !tcp => AppProto::Failed,
            _ => AppProto::Unknown,
        };
    }
    pub(crate) fn turn(&mut self) {
        self.sides.swap(0, 1);
        self.prefix.swap(0, 1);
    }
    /// Ends detection where the flow does: a side that spoke and was not recognised failed.
    pub(crate) fn finish(&mut self, tcp: bool) {
        for side in 0..2 {
            if self.prefix[side].is_some() {
                self.decide(side, AppProto::Failed, tcp);
            }
        }
    }
}

/// The first bytes of a direction.
#[derive(Debug)]
pub struct Prefix {
    bytes: [u8; PREFIX],
    len: u8,
}

impl Prefix {
    /// With the first bytes of `data`.
    pub fn new(data: &[u8]) -> Self {
        let mut p = Self { bytes: [0; PREFIX], len: 0 };
        p.push(data);
        p
    }
    /// Appends what fits.
    pub fn push(&mut self, data: &[u8]) {
        let at = usize::from(self.len);
        let n = data.len().min(PREFIX - at); // invariant: len <= PREFIX
        self.bytes[at..at + n].copy_from_slice(&data[..n]);
        self.len += n as u8;
    }
    /// The bytes held.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}
