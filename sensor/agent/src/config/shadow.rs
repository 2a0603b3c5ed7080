// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `lagewarte.shadow`: the comparison with a Suricata on the same line. Off where no `eve` is named.
//!
//! Must never turn it on by itself: it keeps packets.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{Fault, node::Node, settings::size};
use crate::shadow::ring;

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// `eve`: the file that the other engine writes.
    pub eve: PathBuf,
    /// `dir`: reports, packets, ring.
    pub dir: PathBuf,
    /// `ring`, bytes; 0: no packets are kept.
    pub ring: u64,
    /// `grace`, seconds.
    pub grace_s: u32,
    /// `keep`: all days together, bytes.
    pub keep: u64,
    /// `keep-days`
    pub keep_days: u32,
    /// `ignore`: rules that are not compared.
    pub ignore: BTreeSet<u32>,
}

const AT: &str = "lagewarte.shadow";

impl Shadow {
    /// Reads a tree; what cannot be read counts as absent. `base`: where relative paths begin.
    pub fn read(tree: &Node, base: Option<&Path>, state_dir: &Path) -> Option<Self> {
        let node = |key: &str| tree.at(&format!("{AT}.{key}"));
        let text = |key: &str| node(key).and_then(Node::text).filter(|t| !t.is_empty());
        let path = |key: &str| text(key).map(|t| base.map_or_else(|| t.into(), |b| b.join(t)));
        let number = |key: &str| text(key).and_then(|t| t.parse::<u32>().ok());
        Some(Self {
            eve: path("eve")?,
            dir: path("dir").unwrap_or_else(|| state_dir.join("shadow")),
            ring: text("ring").and_then(size).unwrap_or(1 << 30),
            grace_s: number("grace").unwrap_or(60),
            keep: text("keep").and_then(size).unwrap_or(512 << 20),
            keep_days: number("keep-days").unwrap_or(30),
            ignore: node("ignore").map(Node::list).into_iter().flatten().filter_map(|s| s.parse().ok()).collect(),
        })
    }
}

/// What is out of bounds.
pub fn faults(tree: &Node) -> Vec<Fault> {
    let Some(section) = tree.at(AT) else { return Vec::new() };
    let mut faults = Vec::new();
    let mut fault = |key: &str, what: String| faults.push(Fault { key: format!("{AT}.{key}"), line: None, what });
    let text = |key: &str| section.get(key).and_then(Node::text).filter(|t| !t.is_empty());
    if let (None, Some((key, _))) = (text("eve"), section.paths().iter().find(|(key, _)| key != "eve")) {
        fault(key, "there is no lagewarte.shadow.eve that it could be for".into());
    }
    let sizes = [("ring", ring::SMALLEST, 1 << 40), ("keep", 1 << 20, 1 << 50)];
    for (key, low, high) in sizes {
        if let Some(v) = text(key).and_then(size).filter(|v| !(low..=high).contains(v) && (key, *v) != ("ring", 0)) {
            let none = if key == "ring" { ", or 0 to keep no packets" } else { "" };
            fault(key, format!("{v} is out of bounds: {low} to {high} bytes{none}"));
        }
    }
    for (key, low, high) in [("grace", 1, 3600), ("keep-days", 1, 3660)] {
        if let Some(v) = text(key).and_then(|t| t.parse::<u32>().ok()).filter(|v| !(low..=high).contains(v)) {
            fault(key, format!("{v} is out of bounds: {low} to {high}"));
        }
    }
    for sid in section.get("ignore").map(Node::list).into_iter().flatten() {
        if sid.parse::<u32>().is_err() {
            fault("ignore", format!("{:?} is no sid", sid.chars().take(60).collect::<String>()));
        }
    }
    faults
}
