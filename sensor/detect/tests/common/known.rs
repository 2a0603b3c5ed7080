// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What is known of addresses in the tests: a database of countries made here, lists of reputations beside the rules.

use std::{net::Ipv4Addr, path::Path, sync::Arc};

use lagewarte_rules::{Options, country::Countries, reputation::Reputations};

/// Options with both.
pub(crate) fn options() -> Options {
    let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data"));
    let (reputations, odd) = Reputations::read(&data.join("categories.csv"), &[data.join("reputations.csv")]).unwrap();
    assert_eq!(odd, [""; 0]);
    let countries = Countries::of_bytes(database(&[([10, 0, 0, 0], 8, "DE"), ([192, 0, 2, 0], 24, "fr")])).unwrap();
    Options { reputations: Some(Arc::new(reputations)), countries: Some(Arc::new(countries)), ..Options::default() }
}

/// A database in MaxMind's format (version 2.0 of its specification) that knows the countries of these networks.
fn database(networks: &[([u8; 4], u8, &str)]) -> Vec<u8> {
    // Nodes of two branches: another node, or where in the data it leads.
    #[derive(Clone, Copy)]
    enum To {
        Nothing,
        Node(usize),
        Data(usize),
    }
    let (mut nodes, mut data) = (vec![[To::Nothing; 2]], Vec::new());
    for (net, len, code) in networks {
        let (mut at, bits) = (0, Ipv4Addr::from(*net).to_bits());
        let side = |n: u8| (bits >> (31 - n) & 1) as usize;
        for n in 0..len - 1 {
            at = match nodes[at][side(n)] {
                To::Node(next) => next,
                _ => {
                    nodes.push([To::Nothing; 2]);
                    let next = nodes.len() - 1;
                    nodes[at][side(n)] = To::Node(next);
                    next
                }
            };
        }
        nodes[at][side(len - 1)] = To::Data(data.len());
        data.extend(map(&[("country", map(&[("iso_code", text(code))]))]));
    }
    let mut out = Vec::new();
    for to in nodes.iter().flatten() {
        let n = match to {
            To::Nothing => nodes.len(),
            To::Node(n) => *n,
            To::Data(at) => nodes.len() + 16 + at,
        };
        out.extend(&u32::try_from(n).unwrap().to_be_bytes()[1..]); // records of 24 bits
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    out.extend(map(&[
        ("binary_format_major_version", number(5, 2)),
        ("binary_format_minor_version", number(5, 0)),
        ("build_epoch", vec![1, 2, 1]), // an extended type: 64 bits, of which one byte is written
        ("database_type", text("Test")),
        ("description", map(&[])),
        ("ip_version", number(5, 4)),
        ("languages", vec![0, 4]), // an extended type: a list, of nothing
        ("node_count", number(6, u8::try_from(nodes.len()).unwrap())),
        ("record_size", number(5, 24)),
    ]));
    out
}

fn text(t: &str) -> Vec<u8> {
    let len = u8::try_from(t.len()).unwrap();
    assert!(len < 29);
    [&[2 << 5 | len], t.as_bytes()].concat()
}

fn number(kind: u8, n: u8) -> Vec<u8> {
    vec![kind << 5 | 1, n]
}

fn map(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![7 << 5 | u8::try_from(members.len()).unwrap()];
    members.iter().for_each(|(key, value)| out.extend([text(key), value.clone()].concat()));
    out
}
