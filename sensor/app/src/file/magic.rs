// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The kind of a file by its first bytes, in the words of libmagic's database (file(1)): what `file.magic` and `filemagic`
//! look into, and what `fileinfo` carries.
//!
//! libmagic is C and is not run on files from the network. Its rules are (`database.bin`, made by the example
//! `magic_database`), by the crate `pure-magic`, in Rust without `unsafe`. That is still a program of others on bytes of
//! strangers, so this module bounds what it sees ([`MAX_HEAD`]), what it does ([`MAX_STEPS`], [`MAX_BYTES`]) and what it says
//! ([`MAX_WORDS`]), and contains a panic. Words that libmagic has in its code and not in its rules (text encodings, line
//! terminators, how an ELF file is linked) are not said. Must never be asked where nobody wants to know: the database takes
//! 13 MiB.

use std::{
    io::{self, ErrorKind, SeekFrom},
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::LazyLock,
};

use pure_magic::{
    MagicDb,
    readers::{BufReader, DataRead},
};

/// Bytes of a file's beginning by which its kind is told; they are held until so many have come or the file ends. Threat:
/// many files under way at once, each of which would be held whole.
pub const MAX_HEAD: usize = 8 << 10;
/// Longest words that are kept, in bytes. Threat: a file that has the rules quote it again and again.
pub const MAX_WORDS: usize = 1 << 10;
/// Places that may be looked at for one file. Threat: rules jump where a file says and begin anew there; 362 bytes made
/// them do so for 9 s, and each 32 more three times as long. Of 900 common files none took more than 7,700.
const MAX_STEPS: u64 = 40_000;
/// Bytes that may be read for one file, each as often as it is. Threat: as above, with searches. Of 900 common files none
/// took more than 1.3 MB.
const MAX_BYTES: u64 = 4 << 20;

/// What is known of a file's kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Magic {
    /// Nobody asks.
    #[default]
    Unasked,
    /// Not yet told; what has come of its first bytes.
    Head(Vec<u8>),
    /// It was told.
    Told(Told),
}

/// What was said of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The words; None where the file is empty, or it could not be said.
    pub words: Option<Box<str>>,
    /// Why they are missing, or end early.
    pub trouble: Option<Trouble>,
}

/// Why the kind of a file was not told, or not in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It would have taken more than [`MAX_STEPS`] or [`MAX_BYTES`].
    Limited,
    /// The rules could not be followed to an end.
    Failed,
}

impl Magic {
    pub(super) fn new(asked: bool) -> Self {
        if asked { Self::Head(Vec::new()) } else { Self::Unasked }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let Self::Head(head) = self else { return };
        let room = MAX_HEAD.saturating_sub(head.len());
        head.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
        if head.len() >= MAX_HEAD {
            self.finish();
        }
    }

    /// No more of its beginning comes.
    pub(super) fn finish(&mut self) {
        if let Self::Head(head) = self {
            *self = Self::Told(tell(head));
        }
    }

    /// The words, once they are known.
    pub fn words(&self) -> Option<&str> {
        match self {
            Self::Told(t) => t.words.as_deref(),
            _ => None,
        }
    }
    /// Why they are missing, or end early.
    pub const fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Told(t) => t.trouble,
            _ => None,
        }
    }
    /// Bytes that are held.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Unasked => 0,
            Self::Head(head) => head.capacity(),
            Self::Told(t) => t.words.as_ref().map_or(0, |w| w.len()),
        }
    }
}

// None: the database that is compiled in cannot be read, which a test excludes.
static DATABASE: LazyLock<Option<MagicDb>> =
    LazyLock::new(|| MagicDb::deserialize(&mut include_bytes!("magic/database.bin").as_slice()).ok());

/// Reads the database now, so that no packet waits for it (some 30 ms). Once in a process.
pub fn prepare() {
    tell(b"a text, which has the most rules make ready what they need");
}

/// Tells the kind of a file by its first bytes, of which [`MAX_HEAD`] are looked at.
pub fn tell(head: &[u8]) -> Told {
    let head = head.get(..MAX_HEAD).unwrap_or(head);
    let failed = Told { words: None, trouble: Some(Trouble::Failed) };
    // Suricata does not ask about a file without bytes, either.
    if head.is_empty() {
        return Told::default();
    }
    let Some(database) = &*DATABASE else { return failed };
    contained(|| {
        let mut reader = Bounded { bytes: BufReader::from_slice(head), steps: MAX_STEPS, left: MAX_BYTES };
        let magic = database.first_magic(&mut reader, None).ok()?;
        // Where the rules were cut short and nothing was found, nothing is known: it is not "data".
        let words = (!(reader.spent() && magic.is_default())).then(|| shortened(magic.message()));
        Some(Told { words, trouble: reader.spent().then_some(Trouble::Limited) })
    })
    .unwrap_or(failed)
}

// A panic on bytes from the network would end the sensor, and this is the one place where such bytes meet a program that
// does not promise to have none. Millions of damaged heads made none; one would be the loss of one file's kind, and counted.
// What the closure leaves behind is the reader, which is gone, and patterns of the database, each compiled once or not yet.
fn contained<T>(run: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok().flatten()
}

fn shortened(mut words: String) -> Box<str> {
    words.truncate(words.floor_char_boundary(MAX_WORDS));
    words.into_boxed_str()
}

/// Reads the head of a file until the budget is spent; then every place is out of reach, so that no rule matches any more
/// and the search comes to its end.
struct Bounded<'a> {
    bytes: BufReader<&'a [u8]>,
    steps: u64,
    left: u64,
}

impl Bounded<'_> {
    const fn spent(&self) -> bool {
        self.steps == 0 || self.left == 0
    }
    // A step that reads so many bytes at most.
    fn spend(&mut self, bytes: u64) -> io::Result<()> {
        let there = self.data_size().saturating_sub(self.stream_position());
        self.steps = self.steps.saturating_sub(1);
        self.left = self.left.saturating_sub(bytes.min(there));
        if self.spent() { Err(ErrorKind::Other.into()) } else { Ok(()) }
    }
}

impl DataRead for Bounded<'_> {
    fn stream_position(&self) -> u64 {
        self.bytes.stream_position()
    }
    fn data_size(&self) -> u64 {
        self.bytes.data_size()
    }
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.spend(0)?;
        self.bytes.seek(to)
    }
    fn read_range(&mut self, range: Range<u64>) -> io::Result<&[u8]> {
        self.bytes.seek(SeekFrom::Start(range.start))?;
        self.spend(range.end.saturating_sub(range.start))?;
        self.bytes.read_range(range)
    }
    fn read_until_any_delim_or_limit(&mut self, ends: &[u8], limit: u64) -> io::Result<&[u8]> {
        self.spend(limit)?;
        self.bytes.read_until_any_delim_or_limit(ends, limit)
    }
    fn read_until_or_limit(&mut self, end: u8, limit: u64) -> io::Result<&[u8]> {
        self.spend(limit)?;
        self.bytes.read_until_or_limit(end, limit)
    }
    fn read_while_or_limit<F: Fn(u8) -> bool>(&mut self, goes_on: F, limit: u64) -> io::Result<&[u8]> {
        self.spend(limit)?;
        self.bytes.read_while_or_limit(goes_on, limit)
    }
    fn read_until_utf16_or_limit(&mut self, end: &[u8; 2], limit: u64) -> io::Result<&[u8]> {
        self.spend(limit)?;
        self.bytes.read_until_utf16_or_limit(end, limit)
    }
}

#[cfg(test)]
mod tests;
