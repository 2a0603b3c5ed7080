// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Banners, packets, fingerprints, and what is damaged.

use proptest::prelude::*;

use super::*;
use crate::protocol::Memory;

use Direction::{ToClient, ToServer};

struct Talk {
    ssh: Ssh,
    config: Config,
    memory: Memory,
    held: [Vec<u8>; 2],
    stopped: bool,
}

impl Talk {
    fn new() -> Self {
        let memory = Memory { cap: 1 << 20, ..Memory::default() };
        Self { ssh: Ssh::default(), config: Config::default(), memory, held: Default::default(), stopped: false }
    }
    fn say(&mut self, d: Direction, bytes: &[u8], eof: bool) {
        if self.stopped {
            return;
        }
        let mut data = std::mem::take(&mut self.held[d.index()]);
        data.extend_from_slice(bytes);
        let mut cx = Cx::marking(&self.config, &mut self.memory, (1, 22));
        match self.ssh.data(Input { direction: d, data: &data, eof, datagram: false }, &mut cx) {
            Step::Ok(n) => assert_eq!(n, data.len()),
            Step::More { consumed, needed } => {
                assert!(needed > data.len() - consumed);
                self.held[d.index()] = data[consumed..].to_vec();
            }
            Step::Error => self.stopped = true,
        }
    }
    fn json(&self) -> String {
        let mut w = JsonWriter::new();
        w.open();
        if let Some(tx) = self.ssh.txs.at(0) {
            self.ssh.metadata(tx, &self.config, &mut w);
        }
        w.close();
        w.finish()
    }
    fn events(&self) -> Vec<&'static str> {
        let all = self.ssh.txs.iter().flat_map(|t| t.core.events.iter());
        all.filter_map(|e| events::NAMES.get(usize::from(e)).copied()).collect()
    }
}

fn packet(kind: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len() + 2 + 4).unwrap();
    [&len.to_be_bytes()[..], &[4, kind], payload, &[0; 4]].concat()
}

fn kexinit(lists: [&str; 10]) -> Vec<u8> {
    let mut out = vec![7; 16];
    for l in lists {
        out.extend(u32::try_from(l.len()).unwrap().to_be_bytes());
        out.extend(l.as_bytes());
    }
    out.extend([0; 5]);
    packet(parser::KEXINIT, &out)
}

const LISTS: [&str; 10] = ["kex", "key", "ec", "es", "mc", "ms", "zc", "zs", "", ""];

#[test]
fn banners_and_offers_however_they_come() {
    for size in [1, 4, 1000] {
        let mut t = Talk::new();
        let down = [&b"hello\r\nSSH-1.99-Server_1 comment\r\n"[..], &kexinit(LISTS), &packet(21, b""), b"\xff\xff\xff"];
        let up = [&b"SSH-2.0-Client_2\n"[..], &kexinit(LISTS), &packet(30, b"x"), &packet(21, b"")];
        down.concat().chunks(size).for_each(|p| t.say(ToClient, p, false));
        up.concat().chunks(size).for_each(|p| t.say(ToServer, p, false));
        // The digests of "kex;ec;mc;zc" and "kex;es;ms;zs", by md5sum.
        assert_eq!(
            t.json(),
            concat!(
                r#"{"ssh":{"client":{"proto_version":"2.0","software_version":"Client_2","hassh":{"hash":"fe9967e9aeec1ea621ed52b74f5668fe","string":"kex;ec;mc;zc"}},"#,
                r#""server":{"proto_version":"1.99","software_version":"Server_1","hassh":{"hash":"faba60efc390395dd7b272abd77a1609","string":"kex;es;ms;zs"}}}}"#
            )
        );
        let tx = t.ssh.txs.at(0).unwrap();
        assert!(tx.core.finished());
        assert_eq!(detect::buffer(tx, Buffer::SshProto, ToClient, 0), Some(&b"1.99"[..]));
        assert_eq!(detect::buffer(tx, Buffer::SshHasshString, ToServer, 0), Some(&b"kex;ec;mc;zc"[..]));
        assert_eq!(detect::buffer(tx, Buffer::SshHasshString, ToClient, 0), None);
        assert!(t.events().is_empty());
    }
}

#[test]
fn what_is_damaged_is_an_event() {
    for (wire, event) in [
        (b"SSH-\n".to_vec(), "invalid_banner"),
        ([&b"SSH-2.0-"[..], &[b'x'; 300], b"\r\n"].concat(), "long_banner"),
        ([&b"SSH-2.0-x\r\n"[..], &[0, 0, 0, 1, 0]].concat(), "invalid_record"),
        ([&b"SSH-2.0-x\r\n"[..], &packet(parser::KEXINIT, b"short")].concat(), "invalid_record"),
        ([&b"SSH-2.0-x\r\n"[..], &[0, 9, 0, 0, 1, 2]].concat(), "long_kex_record"),
    ] {
        let mut t = Talk::new();
        t.say(ToServer, &wire, false);
        assert_eq!(t.events(), [event]);
    }
}

#[test]
fn a_gap_leaves_what_was_read() {
    let mut t = Talk::new();
    t.say(ToServer, b"SSH-2.0-x\r\n", false);
    let mut cx = Cx::alone(&t.config, &mut t.memory, (1, 22));
    assert_eq!(t.ssh.gap(ToServer, 9, &mut cx), Step::Ok(0));
    t.say(ToServer, b"anything", false);
    t.say(ToClient, b"SSH-2.0-y\r\n", true);
    assert!(t.ssh.txs.at(0).unwrap().core.finished() && t.json().contains(r#""software_version":"y""#));
}

proptest! {
    #[test]
    fn any_bytes_and_every_truncation(
        parts in prop::collection::vec((any::<bool>(), prop_oneof![
            Just(b"SSH-2.0-a b\r\n".to_vec()), Just(kexinit(LISTS)), Just(packet(21, b"")),
            prop::collection::vec(any::<u8>(), 0..60)]), 0..8),
        cut in 0usize..200,
    ) {
        let mut t = Talk::new();
        for (up, bytes) in &parts {
            t.say(if *up { ToServer } else { ToClient }, &bytes[..bytes.len().min(cut)], false);
        }
        t.say(ToServer, b"", true);
        t.say(ToClient, b"", true);
        t.ssh.finish();
        prop_assert!(t.ssh.txs.iter().all(|t| t.core.finished()));
        prop_assert!(serde_json::from_str::<serde_json::Value>(&t.json()).is_ok());
        prop_assert!(t.memory.used == t.ssh.txs().charged());
    }
}
