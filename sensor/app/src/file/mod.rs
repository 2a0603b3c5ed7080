// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Files that travel in a protocol: name, size, gaps, state, kind, hashes, and the window that `file.data` sees.
//!
//! A parser opens a file in its transaction's [`Files`], pushes bytes and gaps as they come, and closes it; the frame
//! writes `fileinfo` from it and detection reads [`File::window`]. What is to be stored goes out through a door
//! ([`store`]). Must never hold a file whole, never hash what nobody asked for, and never hold more than [`MAX_FILES`]
//! files or [`MAX_NAME`] bytes of name.

mod hash;
mod log;
pub mod magic;
pub mod store;
mod window;

use std::sync::Arc;

use lagewarte_flow::Direction;

pub use self::{
    hash::{Digests, Hashes},
    window::{MAX_UNSEEN, Pieces, Window},
};
use magic::Magic;
use store::{Store, Storing};

/// Files of one transaction at most; the others are counted as one too many. Threat: a form with a million parts.
pub const MAX_FILES: usize = 128;
/// Bytes of a name that are kept.
pub const MAX_NAME: usize = 4096;

/// What is to be known of files beside size and state.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Hashes that are always made: `force-hash`.
    pub hashes: Hashes,
    /// The kind is always told: `force-magic`.
    pub magic: bool,
    /// Bytes of a file that are tracked at most, 0 for all (`stream.reassembly.depth` reaches files by this).
    pub depth: u64,
    /// What rules ask for beside that.
    pub asked: Asked,
    /// Where files are stored, where any are.
    pub store: Option<Arc<dyn Store>>,
    /// Every file is stored, whatever rules say (`force-filestore`).
    pub force_store: bool,
    /// How much of a stream is put together whose files may be stored, 0 for all (`file-store.stream-depth`).
    pub store_depth: Option<u64>,
}

/// What the rules in force ask of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Hashes: `filemd5` and its like.
    pub hashes: Hashes,
    /// The kind: `filemagic`, `file.magic`.
    pub magic: bool,
    /// Whether any stores files: `filestore`.
    pub store: bool,
}

impl Wanted {
    /// Whether a file that begins now may have to be stored.
    pub const fn storing(&self) -> bool {
        self.store.is_some() && (self.force_store || self.asked.store)
    }
    // A file that is stored is named by its SHA-256.
    const fn all_hashes(&self) -> Hashes {
        self.hashes.or(self.asked.hashes).or(Hashes { sha256: self.storing(), md5: false, sha1: false })
    }
}

/// How a file stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileState {
    /// Bytes may follow.
    #[default]
    Open,
    /// It has ended as its protocol says.
    Closed,
    /// It was cut off, or has a gap.
    Truncated,
}

impl FileState {
    /// As EVE writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "UNKNOWN",
            Self::Closed => "CLOSED",
            Self::Truncated => "TRUNCATED",
        }
    }
}

/// One file.
#[derive(Debug, Default)]
pub struct File {
    /// As the protocol names it; a URI's path where it names none.
    pub name: Vec<u8>,
    /// Which way it goes.
    pub to_client: bool,
    /// Bytes so far.
    pub size: u64,
    /// How it stands.
    pub state: FileState,
    /// Bytes are missing in it.
    pub gaps: bool,
    /// First and last byte in the whole, where the protocol moves a part.
    pub range: Option<(u64, u64)>,
    /// What `file.data` sees.
    pub window: Window,
    /// Its kind, where somebody asks.
    pub magic: Magic,
    /// Whether its event was written.
    pub logged: bool,
    hashing: Option<Box<hash::Hashing>>,
    digests: Digests,
    pieces: Pieces,
    depth: u64,
    elsewhere: bool,
    storing: Option<Box<dyn Storing>>,
    // Whether it is still to be decided if it is stored.
    undecided: bool,
    keep: bool,
    stored: Option<u64>,
}

impl File {
    /// A file that begins.
    pub fn open(name: &[u8], direction: Direction, wanted: &Wanted, pieces: Pieces) -> Self {
        Self {
            name: name.get(..name.len().min(MAX_NAME)).unwrap_or_default().to_vec(),
            to_client: direction == Direction::ToClient,
            magic: Magic::new(wanted.magic || wanted.asked.magic),
            hashing: hash::Hashing::new(wanted.all_hashes()),
            storing: wanted.store.as_ref().filter(|_| wanted.storing()).and_then(|s| s.begin()),
            undecided: wanted.storing(),
            keep: wanted.force_store,
            depth: wanted.depth,
            pieces,
            ..Self::default()
        }
    }

    /// Which way it goes.
    pub const fn direction(&self) -> Direction {
        if self.to_client { Direction::ToClient } else { Direction::ToServer }
    }

    /// Its bytes are shown elsewhere, as the body that they are.
    pub const fn without_window(&mut self) {
        self.elsewhere = true;
    }
    /// Whether its bytes are shown by its own window.
    pub const fn has_window(&self) -> bool {
        !self.elsewhere
    }

    /// Takes its next bytes. True: `file.data` has something new.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        if self.state != FileState::Open || bytes.is_empty() {
            return false;
        }
        let room = match self.depth {
            0 => bytes.len(),
            depth => bytes.len().min(usize::try_from(depth.saturating_sub(self.size)).unwrap_or(usize::MAX)),
        };
        let (taken, over) = bytes.split_at(room); // room <= len
        self.size += taken.len() as u64;
        self.magic.push(taken);
        if let Some(h) = &mut self.hashing {
            h.update(taken);
        }
        if let Some(s) = &mut self.storing {
            s.write(taken);
        }
        let mut news = !self.elsewhere && self.window.push(taken, &self.pieces);
        if !over.is_empty() {
            news |= self.end(FileState::Truncated);
        }
        news
    }

    /// So many of its bytes are missing: it is cut off here.
    pub fn gap(&mut self, missing: u64) -> bool {
        if self.state != FileState::Open {
            return false;
        }
        self.gaps = true;
        self.size += missing;
        self.magic.finish();
        // A hash of what is left would be the hash of another file; and so would be what is stored.
        (self.hashing, self.storing) = (None, None);
        self.window.cut(missing, &self.pieces)
    }

    /// It has ended as its protocol says; with gaps it is truncated all the same. True: `file.data` has something new.
    pub fn close(&mut self) -> bool {
        self.end(if self.gaps { FileState::Truncated } else { FileState::Closed })
    }

    /// It was cut off.
    pub fn truncate(&mut self) -> bool {
        self.end(FileState::Truncated)
    }

    fn end(&mut self, state: FileState) -> bool {
        if self.state != FileState::Open {
            return false;
        }
        self.state = state;
        self.magic.finish();
        if let Some(h) = self.hashing.take() {
            self.digests = h.finish();
        }
        self.window.close(&self.pieces)
    }

    /// Its hashes, once it has ended; those that were asked for.
    pub const fn digests(&self) -> &Digests {
        &self.digests
    }

    /// It is to be stored.
    pub fn keep(&mut self) {
        self.keep = true;
    }
    /// Whether it is still to be decided if it is stored.
    pub(crate) const fn undecided(&self) -> bool {
        self.undecided
    }
    /// It has ended, and nobody will ask for it any more: it is stored, or goes. `also`: whether its transaction or flow
    /// asks for it. Whether it was to be stored, and whether it is.
    pub(crate) fn settle(&mut self, also: bool) -> (bool, bool) {
        self.undecided = false;
        self.keep |= also;
        if let Some(s) = self.storing.take()
            && self.keep
            && let Some(name) = &self.digests.sha256
        {
            self.stored = s.keep(name);
        }
        (self.keep, self.stored.is_some())
    }

    /// The name's extension, without the dot.
    pub fn extension(&self) -> &[u8] {
        let base = self.name.rsplit(|b| *b == b'/').next().unwrap_or_default();
        match base.iter().rposition(|b| *b == b'.') {
            Some(dot) => base.get(dot + 1..).unwrap_or_default(),
            None => &[],
        }
    }
}

/// The files of a transaction.
#[derive(Debug, Default)]
pub struct Files {
    list: Vec<File>,
    /// How many were one too many.
    pub refused: u64,
}

impl Files {
    /// Opens a file; None where there are too many.
    pub fn open(&mut self, file: File) -> Option<usize> {
        if self.list.len() >= MAX_FILES {
            self.refused += 1;
            return None;
        }
        self.list.push(file);
        Some(self.list.len() - 1)
    }
    /// All of them, in the order of their beginning.
    pub fn iter(&self) -> impl Iterator<Item = &File> {
        self.list.iter()
    }
    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut File> {
        self.list.iter_mut()
    }
    /// By number.
    pub fn at(&self, i: usize) -> Option<&File> {
        self.list.get(i)
    }
    /// By number, to be changed.
    pub fn at_mut(&mut self, i: usize) -> Option<&mut File> {
        self.list.get_mut(i)
    }
    /// Those of one direction.
    pub fn towards(&self, d: Direction) -> impl Iterator<Item = &File> {
        self.list.iter().filter(move |f| f.direction() == d)
    }
    /// What `file.magic` sees: the words of the `index`-th file of a direction of which they are known.
    pub fn magic(&self, d: Direction, index: usize) -> Option<&[u8]> {
        self.towards(d).filter_map(|f| f.magic.words()).nth(index).map(str::as_bytes)
    }
    /// Detection has looked at what is shown of the files of a direction: only what follows is shown from now on, with a
    /// look-back.
    pub fn looked(&mut self, d: Direction) {
        for f in self.list.iter_mut().filter(|f| f.direction() == d) {
            f.window.looked();
        }
    }
    /// Nothing follows: what is open was cut off.
    pub fn finish(&mut self, d: Direction) -> bool {
        let mut news = false;
        for f in self.list.iter_mut().filter(|f| f.direction() == d) {
            news |= f.truncate();
        }
        news
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(hashes: Hashes) -> File {
        File::open(b"/a/b.tar.gz", Direction::ToClient, &Wanted { hashes, ..Wanted::default() }, Pieces::default())
    }

    /// Each piece was once shown with all that came before it: a file was searched as often as it had pieces.
    #[test]
    fn what_was_looked_at_is_not_shown_again_but_for_the_look_back() {
        let pieces = Pieces { limit: 0, least: 100, back: 10 };
        let mut files = Files::default();
        files.open(File::open(b"a", Direction::ToServer, &Wanted::default(), pieces));
        for n in 0..50 {
            let f = files.at_mut(0).expect("it was opened");
            assert!(f.push(&[n; 100]));
            assert_eq!(f.window.shown().map(<[u8]>::len), Some(if n == 0 { 100 } else { 110 }));
            files.looked(Direction::ToClient); // the other way: nothing of this file
            files.looked(Direction::ToServer);
        }
    }

    #[test]
    fn a_whole_file_has_its_hashes() {
        // RFC 1321, FIPS 180: the digests of "abc".
        let mut f = open(Hashes { md5: true, sha1: true, sha256: true });
        f.push(b"a");
        f.push(b"bc");
        f.close();
        let d = f.digests();
        assert_eq!(d.md5.map(hex::encode).as_deref(), Some("900150983cd24fb0d6963f7d28e17f72"));
        assert_eq!(d.sha1.map(hex::encode).as_deref(), Some("a9993e364706816aba3e25717850c26c9cd0d89d"));
        assert_eq!(
            d.sha256.map(hex::encode).as_deref(),
            Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        );
        assert_eq!((f.state, f.size, f.extension()), (FileState::Closed, 3, &b"gz"[..]));
        assert!(!f.push(b"late"), "nothing is added to a closed file");
        assert_eq!(f.size, 3);
    }

    #[test]
    fn a_gap_truncates_and_leaves_no_hash() {
        let mut f = open(Hashes { sha256: true, ..Hashes::default() });
        f.push(b"abc");
        f.gap(5);
        f.push(b"def");
        f.close();
        assert_eq!((f.state, f.gaps, f.size, f.digests().sha256), (FileState::Truncated, true, 11, None));
        assert!(!f.gap(5) && f.size == 11, "nothing is missing in what has ended");
    }

    #[test]
    fn the_kind_is_told_where_somebody_asks_and_as_far_as_the_beginning_goes() {
        let asked = Wanted { asked: Asked { magic: true, ..Asked::default() }, ..Wanted::default() };
        let forced = Wanted { magic: true, ..Wanted::default() };
        let ended = |wanted: &Wanted, parts: &[&[u8]], gap: u64| {
            let mut f = File::open(b"x", Direction::ToClient, wanted, Pieces::default());
            parts.iter().for_each(|p| _ = f.push(p));
            if gap > 0 {
                f.gap(gap);
                f.push(b"more");
            }
            f.close();
            f
        };
        let pdf: &[&[u8]] = &[b"%PDF", b"-1.4\n"];
        for (wanted, parts, gap, want) in [
            (&asked, pdf, 0, Some("PDF document, version 1.4")),
            (&forced, pdf, 0, Some("PDF document, version 1.4")),
            (&Wanted::default(), pdf, 0, None),
            (&asked, pdf, 9, Some("PDF document, version 1.4")),
            (&asked, &[], 9, None), // what follows a gap is not its beginning
            (&asked, &[], 0, None),
        ] {
            assert_eq!(ended(wanted, parts, gap).magic.words(), want, "{parts:?}, gap {gap}");
        }
        let mut files = Files::default();
        files.open(ended(&asked, &[], 0));
        files.open(ended(&asked, pdf, 0));
        assert_eq!(
            files.magic(Direction::ToClient, 0),
            Some(&b"PDF document, version 1.4"[..]),
            "the first that has any"
        );
        assert_eq!((files.magic(Direction::ToClient, 1), files.magic(Direction::ToServer, 0)), (None, None));
        let told = told(&ended(&asked, pdf, 0));
        assert!(told.starts_with(r#"{"filename":"x","magic":"PDF document, version 1.4","gaps":false,"#), "{told}");
    }

    #[test]
    fn depth_truncates() {
        let wanted = Wanted { depth: 4, ..Wanted::default() };
        let mut f = File::open(b"x", Direction::ToServer, &wanted, Pieces::default());
        assert!(f.push(b"abcdef"));
        assert_eq!((f.state, f.size, f.window.shown()), (FileState::Truncated, 4, Some(&b"abcd"[..])));
    }

    /// Keeps everything in memory, under numbers from 7 on; has room for so many.
    #[derive(Debug)]
    struct Shelf(Arc<std::sync::Mutex<Vec<Vec<u8>>>>, usize);
    #[derive(Debug)]
    struct Place(Arc<std::sync::Mutex<Vec<Vec<u8>>>>, Vec<u8>);

    impl Store for Shelf {
        fn begin(&self) -> Option<Box<dyn Storing>> {
            (self.0.lock().unwrap().len() < self.1).then(|| Box::new(Place(Arc::clone(&self.0), Vec::new())) as _)
        }
    }
    impl Storing for Place {
        fn write(&mut self, bytes: &[u8]) {
            self.1.extend_from_slice(bytes);
        }
        fn keep(self: Box<Self>, sha256: &[u8; 32]) -> Option<u64> {
            assert_eq!(sha256[..2], [0xba, 0x78]);
            let mut all = self.0.lock().unwrap();
            all.push(self.1);
            Some(6 + all.len() as u64)
        }
    }

    fn told(f: &File) -> String {
        let mut w = lagewarte_event::eve::JsonWriter::new();
        w.open();
        f.log(3, &mut w);
        w.close();
        w.as_str().to_owned()
    }

    #[test]
    fn a_file_is_stored_where_somebody_asks_for_it_and_it_is_whole() {
        let kept = Arc::default();
        let wanted = Wanted {
            store: Some(Arc::new(Shelf(Arc::clone(&kept), 1))),
            asked: Asked { store: true, hashes: Hashes { md5: true, sha1: true, ..Hashes::default() }, magic: false },
            ..Wanted::default()
        };
        let file = |bytes: &[u8]| {
            let mut f = File::open(b"a.txt", Direction::ToClient, &wanted, Pieces::default());
            f.push(bytes);
            f
        };
        // Nobody asks; a gap; somebody asks; no room.
        let mut f = file(b"abc");
        f.close();
        assert_eq!((f.undecided(), f.settle(false), f.undecided()), (true, (false, false), false));
        let mut f = file(b"ab");
        f.gap(1);
        f.close();
        assert_eq!(f.settle(true), (true, false), "what has a gap is not stored");
        let mut f = file(b"abc");
        f.keep();
        assert!(
            told(&f).ends_with(r#""state":"UNKNOWN","stored":false,"storing":true,"size":3,"tx_id":3}"#),
            "{}",
            told(&f)
        );
        f.close();
        assert_eq!(f.settle(false), (true, true));
        f.range = Some((5, 7));
        assert_eq!(
            told(&f),
            concat!(
                r#"{"filename":"a.txt","gaps":false,"state":"CLOSED","md5":"900150983cd24fb0d6963f7d28e17f72","#,
                r#""sha1":"a9993e364706816aba3e25717850c26c9cd0d89d","#,
                r#""sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","#,
                r#""stored":true,"file_id":7,"size":3,"start":5,"end":7,"tx_id":3}"#
            )
        );
        assert_eq!(*kept.lock().unwrap(), [b"abc"]);
        let mut f = file(b"abc");
        f.close();
        assert_eq!(f.settle(true), (true, false), "there is no room");
        assert_eq!(File { name: b"/a.b/c".to_vec(), ..File::default() }.extension(), b"");
    }

    #[test]
    fn what_is_kept_goes_one_way_or_both() {
        let (mut one, mut other) = (store::Keep::default(), store::Keep::default());
        one.add(Direction::ToServer);
        assert!(one.has(Direction::ToServer) && !one.has(Direction::ToClient));
        other.add(Direction::ToClient);
        one.join(other);
        assert!(one.has(Direction::ToServer) && one.has(Direction::ToClient));
    }

    #[test]
    fn files_are_bounded() {
        let mut all = Files::default();
        for _ in 0..MAX_FILES + 5 {
            all.open(open(Hashes::default()));
        }
        assert_eq!((all.iter().count(), all.refused), (MAX_FILES, 5));
        assert!(!all.finish(Direction::ToServer) && all.at(0).is_some_and(|f| f.state == FileState::Open));
        all.finish(Direction::ToClient);
        assert!(all.iter().all(|f| f.state == FileState::Truncated));
    }
}
