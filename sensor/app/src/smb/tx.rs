// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A transaction of SMB: what its request and its response say.
//!
//! Must never hold a file's bytes beside its window: [`Transfer`] does that.

use super::{
    auth::{Kerberos, Ntlm},
    transfer::Transfer,
};
use crate::{dcerpc::call::Call, protocol::transaction, tx::TxCore};

/// The number by which a file is meant; of SMB 1 the first two bytes count.
pub type FileId = [u8; 16];

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// As Windows NT says it.
    Nt(u32),
    /// As DOS says it: class and code.
    Dos(u8, u16),
}

impl Status {
    pub(super) const fn good(self) -> bool {
        matches!(self, Self::Nt(0) | Self::Dos(0, 0))
    }
}

/// What a create says beside names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Created {
    /// Seconds since 1970: created, accessed, modified, changed.
    pub times: [u64; 4],
    /// Bytes of the file.
    pub size: u64,
    /// Its number.
    pub id: FileId,
}

/// What a transaction is about.
#[derive(Debug, Default)]
pub enum Body {
    /// Nothing happened but an event.
    #[default]
    Odd,
    /// A request of which only the command is known.
    Generic,
    /// Which dialect is spoken.
    Negotiate {
        /// The client's.
        dialects: Vec<Vec<u8>>,
        /// The client's number, from SMB 2.1 on.
        client: Option<[u8; 16]>,
        /// The server's number.
        server: Option<[u8; 16]>,
    },
    /// Who logs on.
    Session {
        /// By NTLM.
        ntlm: Option<Ntlm>,
        /// By Kerberos.
        kerberos: Option<Kerberos>,
        /// Operating system and LAN manager of the client, SMB 1.
        request: Option<(Vec<u8>, Vec<u8>)>,
        /// The same of the server.
        response: Option<(Vec<u8>, Vec<u8>)>,
    },
    /// Which share is used.
    Tree {
        /// Its name.
        share: Vec<u8>,
        /// Whether it is one of named pipes, once the server has said so.
        pipe: Option<bool>,
        /// What it holds, SMB 2.
        kind: Option<u8>,
        /// The service that is asked for and the one that is given, SMB 1.
        service: [Option<Vec<u8>>; 2],
    },
    /// A file or directory is opened.
    Create {
        /// Its name.
        name: Vec<u8>,
        /// Only a directory is wanted.
        directory: bool,
        /// What is to happen where it exists or not.
        disposition: u32,
        /// It goes when it is closed.
        delete: bool,
        /// What the server said of it.
        created: Option<Created>,
    },
    /// A file is read or written.
    File {
        /// Its number.
        id: FileId,
        /// Its name.
        name: Vec<u8>,
        /// The share it lies in.
        share: Vec<u8>,
        /// Its bytes.
        transfer: Transfer,
    },
    /// A file is renamed.
    Rename {
        /// Its name.
        from: Vec<u8>,
        /// Its new name.
        to: Vec<u8>,
    },
    /// A call in a named pipe.
    Rpc {
        /// The pipe.
        id: FileId,
        /// The call.
        call: Call,
    },
    /// A control code.
    Ioctl {
        /// The code.
        function: u32,
    },
    /// A file's information is set, so that it goes when it is closed.
    SetInfo {
        /// The file's name.
        name: Vec<u8>,
        /// Its number, where it was open.
        id: Option<FileId>,
        /// The subcommand, SMB 1; the kind of information, SMB 2.
        kind: u16,
        /// The level of information, SMB 1; its class, SMB 2.
        level: u16,
        /// Whether it goes.
        delete: bool,
    },
}

impl Body {
    /// Kinds of transactions as `outputs.eve-log.types.smb.types` names them.
    pub const KINDS: &'static [&'static str] = &[
        "generic",
        "negotiate",
        "session_setup",
        "tree_connect",
        "create",
        "file",
        "rename",
        "dcerpc",
        "ioctl",
        "set_file_path_info",
    ];
    // Its place there; None where it is not written at all.
    pub(super) const fn kind(&self) -> Option<u8> {
        Some(match self {
            Self::Odd => return None,
            Self::Generic => 0,
            Self::Negotiate { .. } => 1,
            Self::Session { .. } => 2,
            Self::Tree { .. } => 3,
            Self::Create { .. } => 4,
            Self::File { .. } => 5,
            Self::Rename { .. } => 6,
            Self::Rpc { .. } => 7,
            Self::Ioctl { .. } => 8,
            Self::SetInfo { .. } => 9,
        })
    }
}

/// What every message says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// 1 or 2; 3 is written as 2.
    pub version: u8,
    /// Its command.
    pub command: u16,
    /// The session it belongs to; of SMB 1 the user's number.
    pub session: u64,
    /// The tree it belongs to.
    pub tree: u32,
    /// The number that its answer has too; of SMB 1 process and multiplex.
    pub message: u64,
}

/// A transaction.
#[derive(Debug, Default)]
pub struct Tx {
    pub(super) core: TxCore,
    /// What its request says of itself.
    pub about: About,
    /// How it ended.
    pub status: Option<Status>,
    /// What it is about.
    pub body: Body,
}

transaction!(Tx);
