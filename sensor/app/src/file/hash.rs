// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Hashes of files, made while the bytes pass. Must never be made where nobody asked.

use md5::Md5;
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// Which hashes are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hashes {
    /// `md5`.
    pub md5: bool,
    /// `sha1`.
    pub sha1: bool,
    /// `sha256`.
    pub sha256: bool,
}

impl Hashes {
    /// Those of both.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self { md5: self.md5 || other.md5, sha1: self.sha1 || other.sha1, sha256: self.sha256 || other.sha256 }
    }
}

/// Finished hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    /// MD5.
    pub md5: Option<[u8; 16]>,
    /// SHA-1.
    pub sha1: Option<[u8; 20]>,
    /// SHA-256.
    pub sha256: Option<[u8; 32]>,
}

#[derive(Debug)]
pub(super) struct Hashing {
    md5: Option<Md5>,
    sha1: Option<Sha1>,
    sha256: Option<Sha256>,
}

impl Hashing {
    pub(super) fn new(wanted: Hashes) -> Option<Box<Self>> {
        (wanted != Hashes::default()).then(|| {
            Box::new(Self {
                md5: wanted.md5.then(Md5::new),
                sha1: wanted.sha1.then(Sha1::new),
                sha256: wanted.sha256.then(Sha256::new),
            })
        })
    }
    pub(super) fn update(&mut self, bytes: &[u8]) {
        if let Some(h) = &mut self.md5 {
            h.update(bytes);
        }
        if let Some(h) = &mut self.sha1 {
            h.update(bytes);
        }
        if let Some(h) = &mut self.sha256 {
            h.update(bytes);
        }
    }
    pub(super) fn finish(self) -> Digests {
        Digests {
            md5: self.md5.map(|h| h.finalize().into()),
            sha1: self.sha1.map(|h| h.finalize().into()),
            sha256: self.sha256.map(|h| h.finalize().into()),
        }
    }
}
