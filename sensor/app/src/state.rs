// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The parsed state of a flow: one of a closed list of protocols, and what the frame asks of whichever it is.
//!
//! A new protocol is a folder with the template's rooms, a variant here and in [`State::new`], its buffers in
//! [`crate::buffer`] and its rule part in the rules crate. Must never hold logic of one protocol.

use std::net::IpAddr;

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use crate::{
    bittorrent,
    buffer::{Buffer, Field},
    config::Config,
    dcerpc, dhcp, dnp3, dns, enip,
    expect::{Announced, Transfer},
    file::Files,
    ftp, http1, http2, ike, krb5, ldap, modbus, mqtt, nfs, ntp, pgsql, pop3,
    protocol::{Cx, Input, Protocol, Step, Transaction as _},
    quic, rdp, rfb, sip, smb, smtp, snmp, ssh, template, tftp, tls,
    tx::TxCore,
    websocket,
    xff::Xff,
};

/// A flow's protocol with its state.
#[derive(Debug)]
#[expect(missing_docs, reason = "names of protocols")]
pub enum State {
    Dns(Box<dns::Dns>),
    Tls(Box<tls::Tls>),
    Quic(Box<quic::Quic>),
    Http1(Box<http1::Http1>),
    Http2(Box<http2::Http2>),
    Ftp(Box<ftp::Ftp>),
    FtpData(Box<ftp::data::FtpData>),
    Smtp(Box<smtp::Smtp>),
    Krb5(Box<krb5::Krb5>),
    Ntp(Box<ntp::Ntp>),
    Sip(Box<sip::Sip>),
    Ssh(Box<ssh::Ssh>),
    Tftp(Box<tftp::Tftp>),
    Dhcp(Box<dhcp::Dhcp>),
    Ldap(Box<ldap::Ldap>),
    Pop3(Box<pop3::Pop3>),
    Rfb(Box<rfb::Rfb>),
    Mqtt(Box<mqtt::Mqtt>),
    Pgsql(Box<pgsql::Pgsql>),
    Rdp(Box<rdp::Rdp>),
    Modbus(Box<modbus::Modbus>),
    BittorrentDht(Box<bittorrent::BittorrentDht>),
    Ike(Box<ike::Ike>),
    Enip(Box<enip::Enip>),
    Dnp3(Box<dnp3::Dnp3>),
    Nfs(Box<nfs::Nfs>),
    Snmp(Box<snmp::Snmp>),
    Smb(Box<smb::Smb>),
    Dcerpc(Box<dcerpc::Dcerpc>),
    Template(Box<template::Template>),
    Websocket(Box<websocket::Websocket>),
}

// Runs an expression on whichever protocol it is; $t is its type.
macro_rules! each {
    ($state:expr, $s:ident, $t:ident => $body:expr) => {
        match $state {
            State::Dns($s) => {
                type $t = dns::Dns;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Tls($s) => {
                type $t = tls::Tls;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Quic($s) => {
                type $t = quic::Quic;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Http2($s) => {
                type $t = http2::Http2;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Http1($s) => {
                type $t = http1::Http1;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Ftp($s) => {
                type $t = ftp::Ftp;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::FtpData($s) => {
                type $t = ftp::data::FtpData;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Smtp($s) => {
                type $t = smtp::Smtp;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Krb5($s) => {
                type $t = krb5::Krb5;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Ntp($s) => {
                type $t = ntp::Ntp;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Sip($s) => {
                type $t = sip::Sip;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Ssh($s) => {
                type $t = ssh::Ssh;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Tftp($s) => {
                type $t = tftp::Tftp;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Dhcp($s) => {
                type $t = dhcp::Dhcp;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Ldap($s) => {
                type $t = ldap::Ldap;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Pop3($s) => {
                type $t = pop3::Pop3;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Rfb($s) => {
                type $t = rfb::Rfb;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Mqtt($s) => {
                type $t = mqtt::Mqtt;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Pgsql($s) => {
                type $t = pgsql::Pgsql;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Rdp($s) => {
                type $t = rdp::Rdp;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Modbus($s) => {
                type $t = modbus::Modbus;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::BittorrentDht($s) => {
                type $t = bittorrent::BittorrentDht;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Ike($s) => {
                type $t = ike::Ike;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Enip($s) => {
                type $t = enip::Enip;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Dnp3($s) => {
                type $t = dnp3::Dnp3;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Nfs($s) => {
                type $t = nfs::Nfs;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Snmp($s) => {
                type $t = snmp::Snmp;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Smb($s) => {
                type $t = smb::Smb;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Dcerpc($s) => {
                type $t = dcerpc::Dcerpc;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Template($s) => {
                type $t = template::Template;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
            State::Websocket($s) => {
                type $t = websocket::Websocket;
                let _ = std::marker::PhantomData::<$t>;
                $body
            }
        }
    };
}

impl State {
    /// The state of a protocol that is parsed.
    pub(crate) fn new(proto: AppProto, datagram: bool) -> Option<Self> {
        Some(match proto {
            AppProto::Dns => Self::Dns(Box::new(dns::Dns::new(dns::Kind::Dns))),
            AppProto::Mdns if datagram => Self::Dns(Box::new(dns::Dns::new(dns::Kind::Mdns))),
            AppProto::Llmnr => Self::Dns(Box::new(dns::Dns::new(dns::Kind::Llmnr))),
            AppProto::Tls if !datagram => Self::Tls(Box::default()),
            AppProto::Quic if datagram => Self::Quic(Box::default()),
            AppProto::Http => Self::Http1(Box::default()),
            AppProto::Http2 | AppProto::Doh2 => Self::Http2(Box::default()),
            AppProto::Ftp => Self::Ftp(Box::default()),
            AppProto::Smtp => Self::Smtp(Box::default()),
            AppProto::Krb5 => Self::Krb5(Box::default()),
            AppProto::Ntp if datagram => Self::Ntp(Box::default()),
            AppProto::Sip => Self::Sip(Box::default()),
            AppProto::Ssh if !datagram => Self::Ssh(Box::default()),
            AppProto::Tftp if datagram => Self::Tftp(Box::default()),
            AppProto::Dhcp if datagram => Self::Dhcp(Box::default()),
            AppProto::Ldap => Self::Ldap(Box::default()),
            AppProto::Pop3 if !datagram => Self::Pop3(Box::default()),
            AppProto::Rfb if !datagram => Self::Rfb(Box::default()),
            AppProto::Mqtt if !datagram => Self::Mqtt(Box::default()),
            AppProto::Pgsql if !datagram => Self::Pgsql(Box::default()),
            AppProto::Rdp if !datagram => Self::Rdp(Box::default()),
            AppProto::Modbus if !datagram => Self::Modbus(Box::default()),
            AppProto::BittorrentDht if datagram => Self::BittorrentDht(Box::default()),
            AppProto::Ike if datagram => Self::Ike(Box::default()),
            AppProto::Enip => Self::Enip(Box::default()),
            AppProto::Dnp3 if !datagram => Self::Dnp3(Box::default()),
            AppProto::Nfs => Self::Nfs(Box::default()),
            AppProto::Snmp if datagram => Self::Snmp(Box::default()),
            AppProto::Smb if !datagram => Self::Smb(Box::default()),
            AppProto::Dcerpc => Self::Dcerpc(Box::default()),
            AppProto::Template => Self::Template(Box::default()),
            AppProto::Websocket => Self::Websocket(Box::default()),
            _ => return None,
        })
    }

    /// The state of a data connection that was announced.
    pub(crate) fn transfer(transfer: Transfer) -> Self {
        Self::FtpData(Box::new(ftp::data::FtpData::new(transfer)))
    }

    /// Whether a protocol must hear its client first; None where either may begin, as in HTTP/2 (RFC 9113, 3.4).
    pub(crate) const fn begins(proto: AppProto) -> Option<Direction> {
        match proto {
            AppProto::Http | AppProto::Tls | AppProto::Dcerpc => Some(Direction::ToServer),
            _ => None,
        }
    }

    pub(crate) fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        each!(self, s, T => T::data(s, input, cx))
    }
    pub(crate) fn gap(&mut self, direction: Direction, len: u64, cx: &mut Cx<'_>) -> Step {
        each!(self, s, T => T::gap(s, direction, len, cx))
    }
    pub(crate) fn announced(&mut self) -> Vec<Announced> {
        each!(self, s, T => T::announced(s))
    }
    pub(crate) fn clean(&mut self, inspecting: bool) -> u64 {
        each!(self, s, T => T::txs_mut(s).clean(inspecting))
    }
    pub(crate) fn charged(&self) -> u64 {
        each!(self, s, T => T::txs(s).charged() + T::charged(s))
    }
    /// Whether one side's words end what the other has said ([`Protocol::ANSWERS`]).
    pub fn answers(&self) -> bool {
        each!(self, _s, T => T::ANSWERS)
    }
    /// Which protocol it is.
    pub fn proto(&self) -> AppProto {
        each!(self, s, T => T::proto(s))
    }
    /// Ends every transaction: nothing follows.
    pub(crate) fn finish(&mut self) {
        each!(self, s, T => T::finish(s));
    }
    /// Transactions so far.
    pub fn total(&self) -> u64 {
        each!(self, s, T => T::txs(s).total())
    }
    /// Transactions held.
    pub fn len(&self) -> usize {
        each!(self, s, T => T::txs(s).len())
    }
    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The frame's part of a transaction, by its place.
    pub fn core(&self, place: usize) -> Option<&TxCore> {
        each!(self, s, T => T::txs(s).at(place).map(|t| t.core()))
    }
    /// The same, to be changed.
    pub fn core_mut(&mut self, place: usize) -> Option<&mut TxCore> {
        each!(self, s, T => T::txs_mut(s).at_mut(place).map(|t| t.core_mut()))
    }
    /// An instance of a buffer of a transaction.
    pub fn buffer(&self, place: usize, buffer: Buffer, direction: Direction, index: usize) -> Option<&[u8]> {
        each!(self, s, T => T::buffer(s, T::txs(s).at(place)?, buffer, direction, index))
    }
    /// An instance of a number of a transaction.
    pub fn number(&self, place: usize, field: Field, direction: Direction, index: usize) -> Option<u64> {
        each!(self, s, T => T::number(s, T::txs(s).at(place)?, field, direction, index))
    }
    /// Progress from which on a buffer is complete.
    pub fn buffer_at(&self, buffer: Buffer, direction: Direction) -> u8 {
        each!(self, _s, T => T::buffer_at(buffer, direction))
    }
    /// Progress from which on a number is there.
    pub fn number_at(&self, field: Field, direction: Direction) -> u8 {
        each!(self, _s, T => T::number_at(field, direction))
    }
    /// Names of the protocol's events, by number.
    pub fn events(&self) -> &'static [&'static str] {
        each!(self, _s, T => T::EVENTS)
    }
    pub(crate) fn log_at(&self) -> [u8; 2] {
        each!(self, _s, T => T::LOG_AT)
    }
    pub(crate) fn event_type(&self, place: usize, config: &Config) -> Option<(&'static str, Option<Direction>)> {
        each!(self, s, T => T::event_type(s, T::txs(s).at(place)?, config))
    }
    pub(crate) fn log(&self, place: usize, config: &Config, w: &mut JsonWriter) {
        each!(self, s, T => {
            if let Some(tx) = T::txs(s).at(place) {
                T::log(s, tx, config, w);
            }
        });
    }
    /// Writes what an alert on a transaction carries: what its protocol says of it, and its files.
    pub fn metadata(&self, place: usize, direction: Direction, config: &Config, w: &mut JsonWriter) {
        self.members(place, config, w);
        let Some((files, core)) = self.files(place).zip(self.core(place)) else { return };
        let mut towards = files.towards(direction).peekable();
        if towards.peek().is_some() {
            w.key("files").open_array();
            for f in towards {
                w.open();
                f.log(core.id, w);
                w.close();
            }
            w.close_array();
        }
    }
    /// Writes what its protocol says of a transaction.
    pub(crate) fn members(&self, place: usize, config: &Config, w: &mut JsonWriter) {
        each!(self, s, T => {
            if let Some(tx) = T::txs(s).at(place) {
                T::metadata(s, tx, config, w);
            }
        });
    }
    /// The client behind a proxy that a transaction names.
    pub fn forwarded(&self, place: usize, xff: &Xff) -> Option<IpAddr> {
        let value = each!(self, s, T => T::header(s, T::txs(s).at(place)?, xff.header.as_bytes()))?;
        xff.client(value)
    }
    /// The files of a transaction, by its place.
    pub fn files(&self, place: usize) -> Option<&Files> {
        each!(self, s, T => T::files(s, T::txs(s).at(place)?))
    }
    /// The same, to be changed.
    pub fn files_mut(&mut self, place: usize) -> Option<&mut Files> {
        each!(self, s, T => T::files_mut(s, place))
    }
    /// Names of the events of a protocol that is parsed; None where it is not.
    pub fn events_of(proto: AppProto) -> Option<&'static [&'static str]> {
        Some(match proto {
            AppProto::Dns | AppProto::Mdns | AppProto::Llmnr => <dns::Dns as Protocol>::EVENTS,
            AppProto::Tls => <tls::Tls as Protocol>::EVENTS,
            AppProto::Quic => <quic::Quic as Protocol>::EVENTS,
            AppProto::Http => <http1::Http1 as Protocol>::EVENTS,
            AppProto::Http2 | AppProto::Doh2 => <http2::Http2 as Protocol>::EVENTS,
            AppProto::Smtp => <smtp::Smtp as Protocol>::EVENTS,
            AppProto::Ftp => <ftp::Ftp as Protocol>::EVENTS,
            AppProto::Krb5 => <krb5::Krb5 as Protocol>::EVENTS,
            AppProto::Ntp => <ntp::Ntp as Protocol>::EVENTS,
            AppProto::Sip => <sip::Sip as Protocol>::EVENTS,
            AppProto::Ssh => <ssh::Ssh as Protocol>::EVENTS,
            AppProto::Tftp => <tftp::Tftp as Protocol>::EVENTS,
            AppProto::Dhcp => <dhcp::Dhcp as Protocol>::EVENTS,
            AppProto::Ldap => <ldap::Ldap as Protocol>::EVENTS,
            AppProto::Pop3 => <pop3::Pop3 as Protocol>::EVENTS,
            AppProto::Rfb => <rfb::Rfb as Protocol>::EVENTS,
            AppProto::Mqtt => <mqtt::Mqtt as Protocol>::EVENTS,
            AppProto::Pgsql => <pgsql::Pgsql as Protocol>::EVENTS,
            AppProto::Modbus => <modbus::Modbus as Protocol>::EVENTS,
            AppProto::BittorrentDht => <bittorrent::BittorrentDht as Protocol>::EVENTS,
            AppProto::Ike => <ike::Ike as Protocol>::EVENTS,
            AppProto::Enip => <enip::Enip as Protocol>::EVENTS,
            AppProto::Dnp3 => <dnp3::Dnp3 as Protocol>::EVENTS,
            AppProto::Nfs => <nfs::Nfs as Protocol>::EVENTS,
            AppProto::Snmp => <snmp::Snmp as Protocol>::EVENTS,
            AppProto::Smb => <smb::Smb as Protocol>::EVENTS,
            AppProto::Dcerpc => <dcerpc::Dcerpc as Protocol>::EVENTS,
            AppProto::Template => <template::Template as Protocol>::EVENTS,
            AppProto::Websocket => <websocket::Websocket as Protocol>::EVENTS,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Direction; 2] = [Direction::ToServer, Direction::ToClient];

    #[test]
    fn every_protocol_begins_with_nothing_and_answers_for_itself() {
        let (config, mut parsed) = (Config::default(), 0);
        for (proto, datagram) in AppProto::ALL.iter().flat_map(|p| [(*p, false), (*p, true)]) {
            let Some(mut s) = State::new(proto, datagram) else { continue };
            parsed += 1;
            assert_eq!((s.total(), s.len(), s.is_empty(), s.charged()), (0, 0, true, 0), "{proto:?}");
            assert_eq!(s.events(), State::events_of(proto).unwrap_or_default(), "{proto:?}");
            assert!(s.log_at().iter().all(|at| *at > 0), "{proto:?}");
            for d in BOTH {
                assert!(Buffer::ALL.iter().all(|b| s.buffer(0, *b, d, 0).is_none()), "{proto:?}");
                assert!(Field::ALL.iter().all(|f| s.number(0, *f, d, 0).is_none()), "{proto:?}");
            }
            let mut w = JsonWriter::new();
            w.open();
            s.log(0, &config, &mut w);
            s.metadata(0, Direction::ToServer, &config, &mut w);
            w.close();
            assert_eq!(w.as_str(), "{}", "{proto:?}");
            assert!(s.core(0).is_none() && s.core_mut(0).is_none() && s.event_type(0, &config).is_none(), "{proto:?}");
            assert!(s.files(0).is_none() && s.files_mut(0).is_none() && s.announced().is_empty(), "{proto:?}");
            s.finish();
            assert_eq!((s.clean(true), s.total()), (0, 0), "{proto:?}");
        }
        assert!(parsed >= 32, "{parsed}");
        assert!(State::new(AppProto::Imap, false).is_none() && State::events_of(AppProto::Imap).is_none());
    }

    #[test]
    fn a_transaction_tells_its_files_its_client_and_when_it_may_be_asked() {
        let mut memory = crate::protocol::Memory { cap: 1 << 20, ..Default::default() };
        let config = Config::default();
        let mut s = State::new(AppProto::Http, false).expect("it is parsed");
        let mut say = |s: &mut State, direction, data: &[u8]| {
            let mut cx = Cx::alone(&config, &mut memory, (50_000, 80));
            assert_eq!(s.data(Input { direction, data, eof: false, datagram: false }, &mut cx), Step::Ok(data.len()));
        };
        let [up, down] = BOTH;
        say(&mut s, up, b"GET /a HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.5\r\n\r\n");
        let ready = |s: &State, b, d: Direction| s.core(0).is_some_and(|c| c.progress(d) >= s.buffer_at(b, d));
        assert!(ready(&s, Buffer::HttpUri, up) && !ready(&s, Buffer::HttpStatCode, down));
        say(&mut s, down, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert!(ready(&s, Buffer::HttpStatCode, down));
        assert_eq!(s.buffer(0, Buffer::HttpStatCode, down, 0), Some(&b"200"[..]));
        assert_eq!((s.proto(), s.len(), s.total()), (AppProto::Http, 1, 1));
        let told = |s: &State, place, direction| {
            let mut w = JsonWriter::new();
            w.open();
            s.metadata(place, direction, &config, &mut w);
            w.close();
            serde_json::from_str::<serde_json::Value>(w.as_str()).expect("JSON")
        };
        let all = told(&s, 0, down);
        assert_eq!((&all["http"]["url"], &all["files"][0]["filename"]), (&"/a".into(), &"/a".into()));
        assert_eq!((&all["files"][0]["size"], &all["files"][0]["tx_id"]), (&2.into(), &0.into()));
        assert_eq!(told(&s, 0, up).get("files"), None, "it goes the other way");
        assert_eq!(told(&s, 1, down), serde_json::json!({}), "there is no other");
        let xff = Xff::default();
        assert_eq!((s.forwarded(0, &xff), s.forwarded(1, &xff)), ("203.0.113.5".parse().ok(), None));
        let other = Xff { header: "X-Real-IP".into(), ..xff };
        assert_eq!(s.forwarded(0, &other), None);
        // A number is there with its message.
        let mut s = State::new(AppProto::Dns, true).expect("it is parsed");
        let query = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
        let mut cx = Cx::alone(&config, &mut memory, (50_000, 53));
        s.data(Input { direction: up, data: query, eof: false, datagram: true }, &mut cx);
        assert!(s.core(0).is_some_and(|c| c.progress(up) >= s.number_at(Field::DnsOpcode, up)));
        assert_eq!(s.number(0, Field::DnsOpcode, up, 0), Some(0));
    }
}
