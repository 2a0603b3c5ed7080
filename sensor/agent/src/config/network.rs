// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the configuration says of tunnels, fragments and the systems of hosts: `decoder`, `defrag`, `host-os-policy`.
//!
//! Must never take a network or port that it cannot read for one that was not given: those are faults.

use ipnet::IpNet;
use lagewarte_decode::{Decoder, Ports};

use super::{Fault, node::Node, settings};
use crate::pipeline::MAX_DEPTH;

/// Systems that `host-os-policy` names.
pub const SYSTEMS: &[&str] = &[
    "windows",
    "bsd",
    "bsd-right",
    "old-linux",
    "linux",
    "old-solaris",
    "solaris",
    "hpux10",
    "hpux11",
    "irix",
    "macos",
    "vista",
    "windows2k3",
    "first",
    "last",
];

/// `decoder`, `defrag`, `host-os-policy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Ports of tunnels, and how many headers are followed.
    pub decoder: Decoder,
    /// `decoder.recursion-level.use-for-tracking`.
    pub depth_tracking: bool,
    /// `defrag.memcap`, bytes.
    pub defrag_memcap: u64,
    /// `defrag.trackers`.
    pub trackers: usize,
    /// `defrag.max-frags`.
    pub max_frags: usize,
    /// `defrag.timeout`, seconds.
    pub timeout: u32,
    /// `defrag.host-config`: networks with a timeout of their own.
    pub timeouts: Vec<(IpNet, u32)>,
    /// `host-os-policy`: networks and the system there.
    pub systems: Vec<(IpNet, &'static str)>,
}

/// A network, or an address alone.
fn net(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}

/// The texts of a list, or of what `--set` can give: `a,b` or `[a,b]`.
fn texts(node: &Node) -> Vec<&str> {
    match node {
        Node::List(items) => items.iter().filter_map(Node::text).collect(),
        Node::Text(t) => {
            let t = t.trim().trim_start_matches('[').trim_end_matches(']');
            t.split(',').map(str::trim).filter(|t| !t.is_empty()).collect()
        }
        _ => Vec::new(),
    }
}

/// The members of a section of `defrag.host-config`, each with its path.
fn named(node: &Node) -> Vec<(String, &Node)> {
    match node {
        Node::Map(members) => members.iter().map(|(k, v)| (format!("defrag.host-config.{k}"), v)).collect(),
        _ => Vec::new(),
    }
}

/// The sections of `defrag.host-config`, each with its path.
fn hosts(tree: &Node) -> Vec<(String, &Node)> {
    match tree.at("defrag.host-config") {
        Some(Node::List(items)) => items.iter().flat_map(named).collect(),
        Some(node) => named(node),
        None => Vec::new(),
    }
}

impl Network {
    /// Reads a tree; what cannot be read is left out here and told by [`faults`].
    pub fn read(tree: &Node) -> Self {
        let text = |path: &str| tree.at(path).and_then(Node::text);
        let number = |path: &str| text(path).and_then(|t| t.parse::<u32>().ok());
        let flag = |path: &str| text(path).and_then(settings::flag);
        let default = Decoder::default();
        let ports = |kind: &str, default: Ports| {
            let path = format!("decoder.{kind}");
            let variable = variables(tree, &format!("{path}.ports"));
            match (flag(&format!("{path}.enabled")), variable) {
                (Some(false), _) => Ports::default(),
                (_, Some(list)) => {
                    let mut ports = Ports::default();
                    for p in list.iter().filter_map(|p| p.parse().ok()) {
                        ports.push(p);
                    }
                    ports
                }
                (_, None) => default,
            }
        };
        let layers = number("decoder.max-layers").and_then(|n| u8::try_from(n).ok());
        Self {
            decoder: Decoder {
                checksums: true,
                max_layers: layers.unwrap_or(default.max_layers).clamp(1, MAX_DEPTH as u8),
                teredo: ports("teredo", default.teredo),
                vxlan: ports("vxlan", default.vxlan),
                geneve: ports("geneve", default.geneve),
            },
            depth_tracking: flag("decoder.recursion-level.use-for-tracking").unwrap_or(true),
            defrag_memcap: text("defrag.memcap").and_then(settings::size).unwrap_or(32 << 20),
            trackers: number("defrag.trackers").unwrap_or(65_535) as usize,
            max_frags: number("defrag.max-frags").unwrap_or(65_535) as usize,
            timeout: number("defrag.timeout").unwrap_or(60),
            timeouts: hosts(tree)
                .into_iter()
                .filter_map(|(_, host)| Some((host.get("timeout")?.text()?.parse().ok()?, host.get("address")?)))
                .flat_map(|(secs, nets)| texts(nets).into_iter().filter_map(net).map(move |n| (n, secs)))
                .collect(),
            systems: SYSTEMS
                .iter()
                .filter_map(|name| Some((*name, tree.at("host-os-policy")?.get(name)?)))
                .flat_map(|(name, nets)| texts(nets).into_iter().filter_map(net).map(move |n| (n, name)))
                .collect(),
        }
    }
}

/// The ports of a key, with a variable of `vars.port-groups` written out; None where there are none.
fn variables<'a>(tree: &'a Node, path: &str) -> Option<Vec<&'a str>> {
    let list = texts(tree.at(path)?);
    let of = |p: &'a str| match p.strip_prefix('$') {
        Some(name) => tree.at("vars.port-groups").and_then(|v| v.get(name)).map(texts).unwrap_or_default(),
        None => vec![p],
    };
    let list: Vec<_> = list.into_iter().flat_map(of).collect();
    (!list.is_empty()).then_some(list)
}

/// What is out of bounds or cannot be read.
pub fn faults(tree: &Node) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |key: String, what: String| faults.push(Fault { key, line: None, what });
    let text = |path: &str| tree.at(path).and_then(Node::text);
    for kind in ["teredo", "vxlan", "geneve"] {
        let key = format!("decoder.{kind}.ports");
        let list = variables(tree, &key).unwrap_or_default();
        if let Some(bad) = list.iter().find(|p| p.parse::<u16>().is_err()) {
            fault(key, format!("{bad:?} is no port"));
        } else if list.len() > Ports::MAX {
            fault(key, format!("{} ports; at most {} are looked at", list.len(), Ports::MAX));
        }
    }
    for (key, low, high) in [
        ("decoder.max-layers", 1, MAX_DEPTH as u64),
        ("defrag.trackers", 1, 1 << 24),
        ("defrag.max-frags", 1, 1 << 26),
        ("defrag.timeout", 1, 3600),
    ] {
        if let Some(n) = text(key).and_then(|t| t.parse::<u64>().ok()).filter(|n| !(low..=high).contains(n)) {
            fault(key.into(), format!("{n} is out of bounds: {low} to {high}"));
        }
    }
    if let Some(n) = text("defrag.memcap").and_then(settings::size).filter(|n| !(1 << 20..=1 << 36).contains(n)) {
        fault("defrag.memcap".into(), format!("{n} is out of bounds: {} to {}", 1 << 20, 1u64 << 36));
    }
    let mut nets = |key: String, node: &Node| {
        if let Some(bad) = texts(node).into_iter().find(|n| net(n).is_none()) {
            fault(key, format!("{bad:?} is no network, such as 192.0.2.0/24"));
        }
    };
    for (path, host) in hosts(tree) {
        if let Some(node) = host.get("address") {
            nets(format!("{path}.address"), node);
        }
    }
    for name in SYSTEMS {
        if let Some(node) = tree.at("host-os-policy").and_then(|p| p.get(name)) {
            nets(format!("host-os-policy.{name}"), node);
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(yaml: &str) -> Node {
        Node::parse(yaml).unwrap()
    }

    #[test]
    fn suricatas_stock_sections_read() {
        let yaml = "vars:\n  port-groups:\n    VXLAN_PORTS: 4789\ndecoder:\n  teredo:\n    enabled: no\n  vxlan:\n    ports: $VXLAN_PORTS\n  \
                    geneve:\n    ports: [6081, 7081]\n  max-layers: 8\n\
                    defrag:\n  memcap: 4mb\n  host-config:\n    - dmz:\n        timeout: 30\n        address: [192.168.1.0/24, 2001:db8::/32]\n    \
                    - lan:\n        timeout: 45\n        address:\n          - 192.168.0.0/24\n          - 172.16.14.9\n\
                    host-os-policy:\n  windows: [0.0.0.0/0]\n  linux: [10.0.0.0/8, \"fe80::/10\"]\n  bsd: []\n";
        let n = Network::read(&tree(yaml));
        assert_eq!(faults(&tree(yaml)), []);
        assert!(!n.decoder.teredo.has(3544) && n.decoder.vxlan.has(4789) && n.decoder.geneve.has(7081));
        assert_eq!((n.decoder.max_layers, n.defrag_memcap), (8, 4 << 20));
        let timeouts: Vec<_> = n.timeouts.iter().map(|(n, s)| format!("{n} {s}")).collect();
        assert_eq!(timeouts, ["192.168.1.0/24 30", "2001:db8::/32 30", "192.168.0.0/24 45", "172.16.14.9/32 45"]);
        assert_eq!(n.systems.iter().map(|s| s.1).collect::<Vec<_>>(), ["windows", "linux", "linux"]);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (yaml, key) in [
            ("decoder:\n  vxlan:\n    ports: [http]\n", "decoder.vxlan.ports"),
            ("decoder:\n  vxlan:\n    ports: [1,2,3,4,5]\n", "decoder.vxlan.ports"),
            ("decoder:\n  max-layers: 200\n", "decoder.max-layers"),
            ("defrag:\n  memcap: 1kb\n", "defrag.memcap"),
            ("defrag:\n  timeout: 0\n", "defrag.timeout"),
            (
                "defrag:\n  host-config:\n    - a:\n        timeout: 3\n        address: [x]\n",
                "defrag.host-config.a.address",
            ),
            ("host-os-policy:\n  linux: [10.0.0.0/99]\n", "host-os-policy.linux"),
        ] {
            assert_eq!(faults(&tree(yaml)).iter().map(|f| f.key.as_str()).collect::<Vec<_>>(), [key], "{yaml}");
        }
    }
}
