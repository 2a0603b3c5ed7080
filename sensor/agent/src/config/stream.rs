// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the configuration says of TCP streams: `stream`.
//!
//! Must never hold a value that was not checked: names and types are, by the table of keys.

use lagewarte_flow::{Exception, StreamConfig, Urgent};

use super::{node::Node, settings};

/// `stream`, beside `midstream` and `async-oneside`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// `memcap`, bytes.
    pub memcap: u64,
    /// `memcap-policy`.
    pub memcap_policy: Exception,
    /// `midstream-policy`.
    pub midstream_policy: Exception,
    /// `checksum-validation`.
    pub checksum_validation: bool,
    /// `reassembly.memcap`, bytes.
    pub reassembly_memcap: u64,
    /// `reassembly.memcap-policy`.
    pub reassembly_policy: Exception,
    /// `inline`.
    pub inline: bool,
    /// `reassembly.depth`, bytes; 0 is all.
    pub depth: u64,
    /// `reassembly.raw`.
    pub raw: bool,
    /// `reassembly.toserver-chunk-size` and `toclient-chunk-size`, bytes.
    pub chunk: [u32; 2],
    /// `reassembly.max-regions`.
    pub max_regions: u32,
    /// `reassembly.urgent.policy`.
    pub urgent: Urgent,
    /// `reassembly.urgent.oob-limit-policy`.
    pub urgent_over: Urgent,
}

impl Stream {
    /// Reads a tree; what cannot be read is left at its default here and was told before.
    pub fn read(tree: &Node) -> Self {
        let d = StreamConfig::default();
        let text = |path: &str| tree.at(&format!("stream.{path}")).and_then(Node::text);
        let flag = |path: &str| text(path).and_then(settings::flag);
        let size = |path: &str| text(path).and_then(settings::size);
        let small = |path: &str| size(path).and_then(|n| u32::try_from(n).ok());
        let policy = |path: &str| text(path).and_then(Exception::parse).unwrap_or_default();
        let urgent = |path: &str| text(path).and_then(Urgent::parse);
        Self {
            memcap: size("memcap").unwrap_or(d.memcap),
            memcap_policy: policy("memcap-policy"),
            midstream_policy: policy("midstream-policy"),
            checksum_validation: flag("checksum-validation").unwrap_or(d.checksum_validation),
            reassembly_memcap: size("reassembly.memcap").unwrap_or(d.reassembly_memcap),
            reassembly_policy: policy("reassembly.memcap-policy"),
            inline: flag("inline").unwrap_or(d.inline),
            depth: size("reassembly.depth").unwrap_or(d.depth),
            raw: flag("reassembly.raw").unwrap_or(d.raw),
            chunk: [
                small("reassembly.toserver-chunk-size").unwrap_or(d.chunk[0]),
                small("reassembly.toclient-chunk-size").unwrap_or(d.chunk[1]),
            ],
            max_regions: small("reassembly.max-regions").unwrap_or(d.max_regions),
            urgent: urgent("reassembly.urgent.policy").unwrap_or(d.urgent),
            urgent_over: urgent("reassembly.urgent.oob-limit-policy").unwrap_or(d.urgent_over),
        }
    }

    /// For the flow table.
    pub fn config(&self) -> StreamConfig {
        StreamConfig {
            memcap: self.memcap,
            memcap_policy: self.memcap_policy,
            reassembly_memcap: self.reassembly_memcap,
            reassembly_policy: self.reassembly_policy,
            midstream_policy: self.midstream_policy,
            checksum_validation: self.checksum_validation,
            inline: self.inline,
            depth: self.depth,
            raw: self.raw,
            chunk: self.chunk,
            max_regions: self.max_regions,
            urgent: self.urgent,
            urgent_over: self.urgent_over,
            ..StreamConfig::default()
        }
    }
}
