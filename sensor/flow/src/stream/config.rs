// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Choices of stream reassembly, with Suricata's names and the values of its stock configuration.

use super::Policy;
use crate::{config::Exception, defrag::ByHost};

/// Choices of stream reassembly.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes for the sessions of all workers together: `stream.memcap`.
    pub memcap: u64,
    /// What happens to a packet whose session is over that: `stream.memcap-policy`.
    pub memcap_policy: Exception,
    /// Bytes for the buffers of all workers together: `stream.reassembly.memcap`.
    pub reassembly_memcap: u64,
    /// What happens to a packet whose bytes are over that: `stream.reassembly.memcap-policy`.
    pub reassembly_policy: Exception,
    /// What happens to a flow whose handshake was not seen: `stream.midstream-policy`.
    pub midstream_policy: Exception,
    /// Segments with a wrong checksum change nothing: `stream.checksum-validation`.
    pub checksum_validation: bool,
    /// Bytes are looked at as they come, and not when they are acknowledged: `stream.inline`.
    pub inline: bool,
    /// Bytes of each direction that are put together; 0 is all: `stream.reassembly.depth`.
    pub depth: u64,
    /// Whether rules look into streams beside the application's parts of them: `stream.reassembly.raw`.
    pub raw: bool,
    /// Bytes that are waited for before rules look into a stream, by [`crate::Direction::index`]:
    /// `stream.reassembly.toserver-chunk-size` and `toclient-chunk-size`.
    pub chunk: [u32; 2],
    /// Parts of a stream, far from each other, that are stored at most: `stream.reassembly.max-regions`.
    pub max_regions: u32,
    /// `stream.reassembly.urgent.policy`.
    pub urgent: Urgent,
    /// The same once [`URGENT_LIMIT`] is reached: `stream.reassembly.urgent.oob-limit-policy`.
    pub urgent_over: Urgent,
    /// `host-os-policy`.
    pub hosts: ByHost<Policy>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            memcap: 64 << 20,
            memcap_policy: Exception::Ignore,
            reassembly_memcap: 256 << 20,
            reassembly_policy: Exception::Ignore,
            midstream_policy: Exception::Ignore,
            checksum_validation: true,
            inline: false,
            depth: 1 << 20,
            raw: true,
            chunk: [2560, 2560],
            max_regions: 8,
            urgent: Urgent::Oob,
            urgent_over: Urgent::Drop,
            hosts: ByHost::new(Policy::Bsd),
        }
    }
}

/// Urgent bytes of one direction that are taken out of band (Suricata's limit). Threat: a peer that hides a stream's
/// bytes in urgent data, or makes each of them a move of everything behind it.
pub const URGENT_LIMIT: u32 = 1 << 16;

/// What becomes of urgent data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Urgent {
    /// The byte that the urgent pointer marks is not part of the stream.
    #[default]
    Oob,
    /// The pointer is not looked at.
    Inline,
    /// The segment is not looked at.
    Drop,
    /// The byte is missing from the stream.
    Gap,
}

impl Urgent {
    /// From its name in the configuration; None for a name that there is not.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "oob" => Self::Oob,
            "inline" => Self::Inline,
            "drop" => Self::Drop,
            "gap" => Self::Gap,
            _ => return None,
        })
    }
}
