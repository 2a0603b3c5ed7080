// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What stands in an event beside its protocol's own words: ends, interface, tunnel, link addresses, the client behind a
//! proxy, and what became of files.

mod common;

use std::sync::{Arc, Mutex};

use common::{CLIENT, Rig, SERVER, TC, TS, config};
use lagewarte_app::{
    Config,
    file::store::{Store, Storing},
    xff::Xff,
};
use lagewarte_testkit::{udp, with_vlans};
use serde_json::{Value, json};

const QUERY: &[u8] = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";

fn of<'v>(all: &'v [Value], kind: &str) -> &'v Value {
    all.iter().find(|e| e["event_type"] == kind).expect("it is written")
}

/// Suricata user guide, "EVE JSON Output": `in_iface`, `vlan`, `community_id`, `ether`, `pcap_cnt`, as they are configured.
#[test]
fn an_event_says_where_its_packet_was_seen() {
    let query = udp(CLIENT, (SERVER, 53), QUERY);
    let told = |config: Config, frame: &[u8]| {
        let mut r = Rig::new(config, 53);
        r.packet(frame);
        of(&r.written(), "dns").clone()
    };
    let plain = told(config(), &query);
    for key in ["in_iface", "vlan", "community_id", "ether", "tunnel", "xff"] {
        assert_eq!(plain.get(key), None, "{key}");
    }
    assert_eq!(
        (&plain["pcap_cnt"], &plain["pkt_src"], &plain["proto"]),
        (&json!(1), &json!("wire/pcap"), &json!("UDP"))
    );
    let mut c = config();
    (c.in_iface, c.community_id, c.ethernet, c.pcap_cnt) = (Some("eth7".into()), Some(0), true, false);
    let mut frame = with_vlans(&query, &[6]);
    frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8]);
    let full = told(c, &frame);
    assert_eq!((&full["in_iface"], &full["vlan"], full.get("pcap_cnt")), (&json!("eth7"), &json!([6]), None));
    assert_eq!(full["ether"], json!({"src_mac": "02:00:00:00:00:08", "dest_mac": "02:00:00:00:00:09"}));
    let id = lagewarte_flow::community_id(0, CLIENT.0, SERVER, 17, (CLIENT.1, 53));
    assert_eq!(full["community_id"], id);
}

/// IP in IP (RFC 2003): the event's ends are those inside, and `tunnel` has those around.
#[test]
fn an_event_out_of_a_tunnel_names_the_tunnels_ends() {
    let inner = &udp(CLIENT, (SERVER, 53), QUERY)[14..];
    let mut outer = udp(("203.0.113.1".parse().unwrap(), 0), ("203.0.113.2".parse().unwrap(), 0), &inner[8..]);
    outer[34..].copy_from_slice(inner); // instead of a header of UDP
    outer[23] = 4;
    outer[24..26].fill(0);
    let sum = outer[14..34].chunks(2).fold(0, |sum, w| sum + u32::from(w[0]) * 256 + u32::from(w[1]));
    outer[24..26].copy_from_slice(&(!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
    for pcap_cnt in [true, false] {
        let mut c = config();
        c.pcap_cnt = pcap_cnt;
        let mut r = Rig::new(c, 53);
        r.packet(&outer);
        let told = of(&r.written(), "dns").clone();
        assert_eq!((&told["src_ip"], &told["dest_port"]), (&json!("192.0.2.1"), &json!(53)));
        let mut want = json!({
            "src_ip": "203.0.113.1", "src_port": 0, "dest_ip": "203.0.113.2", "dest_port": 0, "proto": "IP-in-IP",
            "depth": 1, "pkt_src": "wire/pcap",
        });
        if pcap_cnt {
            want["pcap_cnt"] = json!(1);
        }
        assert_eq!(told["tunnel"], want);
    }
}

/// Suricata user guide, "HTTP X-Forwarded-For": beside the packet's ends as `xff`, or instead of the client's address.
#[test]
fn the_client_behind_a_proxy_stands_beside_or_instead_of_the_packets() {
    let told = |overwrite: bool, header: &str| {
        let xff = Some(Xff { overwrite, ..Xff::default() });
        let mut c = config();
        (c.xff.http, c.xff.files) = (xff.clone(), xff);
        let mut r = Rig::open(c, 80);
        r.send(TS, format!("GET /f HTTP/1.1\r\nHost: h\r\n{header}\r\n").as_bytes());
        r.send(TC, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        r.finish();
        r.written()
    };
    let named = "X-Forwarded-For: 203.0.113.5\r\n";
    // (an event, its end that is the client)
    for (kind, client) in [("http", "src_ip"), ("fileinfo", "dest_ip")] {
        for (overwrite, header, ip, beside) in [
            (false, named, "192.0.2.1", Some("203.0.113.5")),
            (true, named, "203.0.113.5", None),
            (true, "", "192.0.2.1", None),
            (false, "X-Forwarded-For: nobody\r\n", "192.0.2.1", None),
        ] {
            let all = told(overwrite, header);
            let e = of(&all, kind);
            assert_eq!((&e[client], e["xff"].as_str()), (&json!(ip), beside), "{kind} {overwrite} {header:?}");
        }
    }
}

/// Keeps files in memory, under numbers from 1 on.
#[derive(Debug, Default)]
struct Shelf(Arc<Mutex<Vec<Vec<u8>>>>);
#[derive(Debug)]
struct Place(Arc<Mutex<Vec<Vec<u8>>>>, Vec<u8>);

impl Store for Shelf {
    fn begin(&self) -> Option<Box<dyn Storing>> {
        Some(Box::new(Place(Arc::clone(&self.0), Vec::new())))
    }
}
impl Storing for Place {
    fn write(&mut self, bytes: &[u8]) {
        self.1.extend_from_slice(bytes);
    }
    fn keep(self: Box<Self>, _: &[u8; 32]) -> Option<u64> {
        let mut all = self.0.lock().ok()?;
        all.push(self.1);
        Some(all.len() as u64)
    }
}

/// Suricata user guide, "File Extraction": with `force-filestore` every file is stored, but none that has a gap.
#[test]
fn a_file_that_is_stored_says_so_and_one_with_a_gap_is_not() {
    let kept = Arc::default();
    let mut c = config();
    c.files.store = Some(Arc::new(Shelf(Arc::clone(&kept))));
    c.files.force_store = true;
    let mut r = Rig::open(c, 80);
    r.send(TS, b"GET /whole HTTP/1.1\r\nHost: h\r\n\r\nGET /part HTTP/1.1\r\nHost: h\r\n\r\n");
    r.send(TC, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    r.send(TC, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    r.lose(TC, 3);
    r.send(TC, b"ghi");
    r.finish();
    let all = r.written();
    let file = |name: &str| {
        let all = all.iter().map(|e| &e["fileinfo"]);
        all.into_iter().find(|f| f["filename"] == name).expect("a file").clone()
    };
    let (whole, part) = (file("/whole"), file("/part"));
    assert_eq!((&whole["stored"], &whole["file_id"], &whole["state"]), (&json!(true), &json!(1), &json!("CLOSED")));
    assert_eq!((&part["stored"], part.get("file_id"), &part["state"]), (&json!(false), None, &json!("TRUNCATED")));
    assert_eq!(*kept.lock().unwrap(), [b"abc"]);
    let counters = r.parts.apps.counters();
    assert_eq!((counters.files_stored, counters.files_not_stored), (1, 1));
}

#[test]
fn what_workers_counted_adds_up() {
    let count = |flows: u16| {
        let mut r = Rig::new(config(), 53);
        for port in 0..flows {
            r.packet(&udp((CLIENT.0, 40_000 + port), (SERVER, 53), QUERY));
        }
        let mut c = r.parts.apps.counters();
        // What no conversation here brings about.
        (c.held, c.memcap, c.frames, c.undecoded) = (1, 2, 3, 4);
        (c.files_stored, c.files_not_stored, c.magic_limited, c.magic_failed) = (5, 6, 7, 8);
        c
    };
    let (mut a, b) = (count(2), count(3));
    let memuse = a.memuse + b.memuse;
    a.add(&b);
    let dns = lagewarte_flow::AppProto::Dns as usize;
    assert_eq!((a.flow[dns], a.tx[dns], a.memuse), ([0, 5], [0, 5], memuse));
    assert_eq!((a.held, a.memcap, a.frames, a.undecoded), (2, 4, 6, 8));
    assert_eq!((a.files_stored, a.files_not_stored, a.magic_limited, a.magic_failed), (10, 12, 14, 16));
    let mut none = lagewarte_app::Counters::default();
    none.add(&a);
    assert_eq!(none, a, "a worker that has seen nothing");
}
