// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The committed corpora of the conversations run as ordinary tests, with the fuzz targets' own harness.

#[path = "../fuzz/fuzz_targets/harness/certificate.rs"]
mod certificate;
#[path = "../fuzz/fuzz_targets/harness/dns.rs"]
mod dns;
#[path = "../fuzz/fuzz_targets/harness/magic.rs"]
mod magic;
#[path = "../fuzz/fuzz_targets/harness/quic.rs"]
mod quic;
#[path = "../fuzz/fuzz_targets/talk.rs"]
mod talk;
#[path = "../fuzz/fuzz_targets/harness/tls.rs"]
mod tls;

use std::{fs, path::Path};

use lagewarte_app as app;

/// What a target runs on one input.
type Run = fn(&[u8]);

#[test]
fn every_committed_conversation_runs() {
    const TARGETS: &[(&str, Run)] = &[
        ("bittorrent", |b| talk::run::<app::bittorrent::BittorrentDht>(b, 6881, true)),
        ("certificate", certificate::run),
        ("dcerpc", |b| talk::run::<app::dcerpc::Dcerpc>(b, 135, false)),
        ("dhcp", |b| talk::run::<app::dhcp::Dhcp>(b, 67, true)),
        ("dnp3", |b| talk::run::<app::dnp3::Dnp3>(b, 20000, false)),
        ("dns", dns::run),
        ("enip", |b| talk::run::<app::enip::Enip>(b, 44818, false)),
        ("ftp", |b| talk::run::<app::ftp::Ftp>(b, 21, false)),
        ("http1", |b| talk::run::<app::http1::Http1>(b, 80, false)),
        ("http2", |b| talk::run::<app::http2::Http2>(b, 80, false)),
        ("ike", |b| talk::run::<app::ike::Ike>(b, 500, true)),
        ("krb5", |b| talk::run::<app::krb5::Krb5>(b, 88, false)),
        ("ldap", |b| talk::run::<app::ldap::Ldap>(b, 389, false)),
        ("magic", magic::run),
        ("modbus", |b| talk::run::<app::modbus::Modbus>(b, 502, false)),
        ("mqtt", |b| talk::run::<app::mqtt::Mqtt>(b, 1883, false)),
        ("nfs", |b| talk::run::<app::nfs::Nfs>(b, 2049, false)),
        ("ntp", |b| talk::run::<app::ntp::Ntp>(b, 123, true)),
        ("pgsql", |b| talk::run::<app::pgsql::Pgsql>(b, 5432, false)),
        ("pop3", |b| talk::run::<app::pop3::Pop3>(b, 110, false)),
        ("quic", quic::run),
        ("rdp", |b| talk::run::<app::rdp::Rdp>(b, 3389, false)),
        ("rfb", |b| talk::run::<app::rfb::Rfb>(b, 5900, false)),
        ("sip", |b| talk::run::<app::sip::Sip>(b, 5060, false)),
        ("smb", |b| talk::run::<app::smb::Smb>(b, 445, false)),
        ("smtp", |b| talk::run::<app::smtp::Smtp>(b, 25, false)),
        ("snmp", |b| talk::run::<app::snmp::Snmp>(b, 161, true)),
        ("ssh", |b| talk::run::<app::ssh::Ssh>(b, 22, false)),
        ("tftp", |b| talk::run::<app::tftp::Tftp>(b, 69, true)),
        ("tls", tls::run),
        ("websocket", |b| talk::run::<app::websocket::Websocket>(b, 80, false)),
    ];
    for (name, run) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            let bytes = fs::read(&file).unwrap();
            lagewarte_testkit::damaged(&bytes, run);
        }
    }
}

#[test]
fn a_conversation_in_the_model_of_all_protocols_can_be_asked_for_everything() {
    talk::run::<app::template::Template>(b"\x20ask who\n\x21tell me\n\x1dtell x\n\x13ask \x01", 4000, false);
    talk::run::<app::template::Template>(b"\x20ask who\n\x03\x20ask who\n", 4000, false);
}
