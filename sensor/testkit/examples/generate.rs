// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! One capture with a flow and a near miss for each rule, and an index that says which is which.
//!
//!     generate RULES OUT [FROM [COUNT]]
//!
//! Writes OUT/flows.pcap and OUT/index.jsonl (a line a rule: sid, hit and miss with their flows; or why there is none).
//! FROM and COUNT choose a part of the rules; all of them are known for flowbits.

use std::{error::Error, fs, path::Path};

use lagewarte_testkit::{
    Capture,
    generate::{Case, Generator, Transport, Variables},
};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [rules, out, part @ ..] = args.as_slice() else {
        return Err("usage: generate RULES OUT [FROM [COUNT]]".into());
    };
    let number = |i: usize, usual: usize| part.get(i).map_or(Ok(usual), |n| n.parse::<usize>());
    let text = String::from_utf8_lossy(&fs::read(rules)?).into_owned();
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let generator = Generator::new(lines, Variables::usual());
    let (from, count) = (number(0, 0)?, number(1, usize::MAX)?);
    let mut capture = Capture::ethernet();
    let (mut index, mut made) = (String::new(), 0u32);
    for at in (from..generator.len()).take(count) {
        let sid = generator.sid(at);
        let line = match generator.make(at, u32::try_from(at)? * 2) {
            Ok(m) => {
                made += 1;
                m.hit.write(&mut capture);
                if let Some(miss) = &m.miss {
                    miss.write(&mut capture);
                }
                json!({"sid": sid, "hit": case(&m.hit), "miss": m.miss.as_ref().map(case)})
            }
            Err(why) => json!({"sid": sid, "why": why}),
        };
        index.push_str(&line.to_string());
        index.push('\n');
    }
    fs::create_dir_all(out)?;
    fs::write(Path::new(out).join("flows.pcap"), capture.write())?;
    fs::write(Path::new(out).join("index.jsonl"), index)?;
    println!("{made} of {} rules, {} packets", generator.len().saturating_sub(from).min(count), capture.packets.len());
    Ok(())
}

fn case(case: &Case) -> Value {
    let flows: Vec<Value> = case
        .flows
        .iter()
        .map(|f| {
            let proto = match f.transport {
                Transport::Tcp | Transport::Segment => "TCP",
                Transport::Udp => "UDP",
                Transport::Icmp => "ICMP",
                Transport::Ip(_) => "IP",
            };
            json!([proto, f.client.0, f.client.1, f.server.0, f.server.1])
        })
        .collect();
    json!({"changed": case.changed, "flows": flows})
}
