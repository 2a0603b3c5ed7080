// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `outputs.file-store`: whether and where files are stored. Suricata user guide, "File Extraction".
//!
//! Must never turn it on by itself.

use std::path::PathBuf;

use super::{
    node::Node,
    settings::{flag, size},
};

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStore {
    /// `enabled`
    pub enabled: bool,
    /// `dir`: in the output directory (`replay`) or the state directory (`run`) where it is relative.
    pub dir: PathBuf,
    /// `force-filestore`: every file, whatever rules say.
    pub force: bool,
    /// `force-magic`: the kind of every file is told.
    pub magic: bool,
    /// `stream-depth`: None as of streams.
    pub stream_depth: Option<u64>,
    /// `max-open-files`
    pub most_open: u64,
    /// `lagewarte.file-store.quota`, bytes.
    pub quota: u64,
}

/// Files under way at once where nothing is said.
const MOST_OPEN: u64 = 1000;

impl Default for FileStore {
    fn default() -> Self {
        Self {
            enabled: false,
            dir: "filestore".into(),
            force: false,
            magic: false,
            stream_depth: None,
            most_open: MOST_OPEN,
            quota: 1 << 30,
        }
    }
}

impl FileStore {
    /// Reads a tree; what cannot be read counts as absent.
    pub fn read(tree: &Node) -> Self {
        let mut s = Self::default();
        let text = |key: &str| tree.at(&format!("outputs.file-store.{key}")).and_then(Node::text);
        s.enabled = text("enabled").and_then(flag).unwrap_or(s.enabled);
        if let Some(dir) = text("dir").filter(|d| !d.is_empty()) {
            s.dir = dir.into();
        }
        s.force = text("force-filestore").and_then(flag).unwrap_or(s.force);
        s.magic = text("force-magic").and_then(flag).unwrap_or(s.magic);
        s.stream_depth = text("stream-depth").and_then(size);
        // Suricata's 0 is no limit of its own: ours stays.
        s.most_open = text("max-open-files").and_then(|n| n.parse().ok()).filter(|n| *n > 0).unwrap_or(s.most_open);
        s.quota = tree.at("lagewarte.file-store.quota").and_then(Node::text).and_then(size).unwrap_or(s.quota);
        s
    }
}
