// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Lists of hashes that `filemd5`, `filesha1` and `filesha256` look files up in. Suricata user guide, "File Keywords".
//!
//! A text file with one hash a line, in hex, at the line's beginning; what stands behind it is not read, so that the output
//! of `md5sum` is a list. Must never take a list by half: a line that is no hash refuses it. Limit: [`MAX_LIST_FILE`].

use std::{io::Read as _, path::Path};

use crate::dataset::MAX_SETS;

/// Largest file of a list: some eight million MD5s, which need 32 bytes of memory each. Threat: a wrong path (a capture, a
/// device) read whole.
pub const MAX_LIST_FILE: u64 = 256 << 20;
/// Most lists. Threat: a generated rule file that names millions.
pub const MAX_LISTS: usize = MAX_SETS;

/// Which hash of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashKind {
    /// `filemd5`
    Md5,
    /// `filesha1`
    Sha1,
    /// `filesha256`
    Sha256,
}

impl HashKind {
    /// Its bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
    /// The keyword.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Md5 => "filemd5",
            Self::Sha1 => "filesha1",
            Self::Sha256 => "filesha256",
        }
    }
}

/// A list of hashes of one kind.
#[derive(Debug, PartialEq, Eq)]
pub struct HashList {
    kind: HashKind,
    // Sorted; shorter hashes are filled up with zeros.
    sorted: Vec<[u8; 32]>,
}

impl HashList {
    /// Reads a list's text.
    ///
    /// # Errors
    /// The first line that does not begin with a hash of this kind, in a sentence.
    pub fn parse(kind: HashKind, text: &[u8]) -> Result<Self, String> {
        let mut sorted = Vec::new();
        for (n, line) in text.split(|b| *b == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let (digits, rest) = line.split_at(line.len().min(2 * kind.bytes())); // within the line
            let mut hash = [0; 32];
            let read = hash.get_mut(..kind.bytes()).is_some_and(|h| hex::decode_to_slice(digits, h).is_ok());
            // A longer hash is one of another kind.
            if !read || rest.first().is_some_and(u8::is_ascii_hexdigit) {
                return Err(format!(
                    "line {} of the list does not begin with the {} hexadecimal digits that {} wants",
                    n + 1,
                    2 * kind.bytes(),
                    kind.keyword()
                ));
            }
            sorted.push(hash);
        }
        sorted.sort_unstable();
        sorted.dedup();
        sorted.shrink_to_fit();
        Ok(Self { kind, sorted })
    }

    /// Reads a list's file.
    ///
    /// # Errors
    /// A file that cannot be read or is larger than [`MAX_LIST_FILE`], and as [`Self::parse`].
    pub fn read(kind: HashKind, path: &Path) -> Result<Self, String> {
        let told = |e: std::io::Error| format!("the list {} cannot be read: {e}", path.display());
        let file = std::fs::File::open(path).map_err(told)?;
        let mut text = Vec::new();
        file.take(MAX_LIST_FILE + 1).read_to_end(&mut text).map_err(told)?;
        if text.len() as u64 > MAX_LIST_FILE {
            return Err(format!("the list {} is larger than {MAX_LIST_FILE} bytes", path.display()));
        }
        Self::parse(kind, &text)
    }

    /// Which hashes it holds.
    pub const fn kind(&self) -> HashKind {
        self.kind
    }
    /// How many.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }
    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }
    /// Whether a hash is in it; one of another length is not.
    pub fn has(&self, hash: &[u8]) -> bool {
        let mut key = [0; 32];
        let Some(k) = key.get_mut(..hash.len()).filter(|k| k.len() == self.kind.bytes()) else { return false };
        k.copy_from_slice(hash);
        self.sorted.binary_search(&key).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 1321, A.5: the MD5 of "abc" and of nothing.
    const ABC: &str = "900150983cd24fb0d6963f7d28e17f72";
    const NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";

    #[test]
    fn the_output_of_md5sum_is_a_list() {
        let text = format!("# known\n\n{ABC}  abc.txt\r\n{}\n{ABC}\n", NOTHING.to_uppercase());
        let list = HashList::parse(HashKind::Md5, text.as_bytes()).expect("a list");
        assert_eq!((list.len(), list.kind()), (2, HashKind::Md5));
        let bytes = |t: &str| hex::decode(t).expect("hex");
        assert!(list.has(&bytes(ABC)) && list.has(&bytes(NOTHING)));
        assert!(!list.has(&[0; 16]) && !list.has(&bytes(ABC)[..15]) && !list.has(&[]));
    }

    #[test]
    fn a_line_that_is_no_hash_of_the_kind_refuses_the_list() {
        for (kind, text) in [
            (HashKind::Md5, "abc".to_owned()),
            (HashKind::Md5, format!("{ABC}\nx{ABC}")),
            (HashKind::Md5, format!("{ABC}00000000")),
            (HashKind::Sha1, ABC.to_owned()),
            (HashKind::Sha256, format!("{ABC}{ABC}0 f\n{ABC}")),
        ] {
            assert!(HashList::parse(kind, text.as_bytes()).is_err(), "{kind:?} {text}");
        }
        assert!(HashList::parse(HashKind::Sha256, format!("{ABC}{ABC} f").as_bytes()).is_ok());
    }

    #[test]
    fn a_file_that_is_too_large_is_refused() {
        let path = std::env::temp_dir().join(format!("lagewarte-list-{}", std::process::id()));
        std::fs::File::create(&path).and_then(|f| f.set_len(MAX_LIST_FILE + 1)).expect("a sparse file");
        let got = HashList::read(HashKind::Md5, &path);
        let _ = std::fs::remove_file(&path);
        assert!(got.is_err_and(|e| e.contains("larger than")));
        assert!(HashList::read(HashKind::Md5, &path).is_err_and(|e| e.contains("cannot be read")));
    }
}
