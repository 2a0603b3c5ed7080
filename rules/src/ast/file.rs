// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What a rule asks of files, and which it wants stored. Suricata user guide, "File Keywords" and "File Extraction".

use std::sync::Arc;

use crate::{ast::Interval, hashlist::HashList};

/// A test on a file. All of a rule's tests must hold of one and the same file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileTest {
    /// `filename`, `fileext`: its name holds this, in either case.
    Name {
        /// What; in lower case.
        text: Vec<u8>,
        /// `fileext`: at the name's end.
        ends: bool,
        /// Whether it must not.
        negated: bool,
    },
    /// `filemagic`: the words for its kind hold this, in either case.
    Magic {
        /// What; in lower case.
        text: Vec<u8>,
        /// Whether they must not. A file without words meets neither.
        negated: bool,
    },
    /// `filesize`
    Size(Interval),
    /// `filemd5`, `filesha1`, `filesha256`: of a file that came whole.
    Hash {
        /// The list.
        list: Arc<HashList>,
        /// Whether it must not stand in the list.
        negated: bool,
    },
    /// `filestore`: none; files that meet the others are stored.
    Store(StoreFiles),
}

impl FileTest {
    /// The keyword's name in the registry.
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Name { ends: false, .. } => "filename",
            Self::Name { ends: true, .. } => "fileext",
            Self::Magic { .. } => "filemagic",
            Self::Size(_) => "filesize",
            Self::Hash { list, .. } => list.kind().keyword(),
            Self::Store(_) => "filestore",
        }
    }
}

/// Which files `filestore` stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StoreFiles {
    /// Which way they go.
    pub way: StoreWay,
    /// How far it reaches.
    pub scope: StoreScope,
}

/// Which way files go that are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StoreWay {
    /// As the rule looks.
    #[default]
    Rule,
    /// `request`, `to_server`
    ToServer,
    /// `response`, `to_client`
    ToClient,
    /// `both`
    Both,
}

/// How far `filestore` reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StoreScope {
    /// `file`: the files that met the rule's tests.
    #[default]
    File,
    /// `tx`: every file of the transaction.
    Tx,
    /// `ssn`, `flow`: every file of the flow that is still under way.
    Flow,
}
