// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What compiling matchers decided, kept on disk from one loading to the next: where in each pattern the windows lie by which
//! it is found, by the hash of the matcher's patterns.
//!
//! Deciding is four fifths of what compiling a matcher costs; the tables and filters that follow from it are many times as
//! many bytes, and are filled in about the time that it would take to read and test them. And nothing that stands in the
//! file can make a matcher wrong: whatever place a pattern has, it is found, or else the place is not taken
//! ([`crate::matcher`]); an odd one costs time. A file that is damaged, cut off or not ours counts as none, and so does one
//! that other code wrote, which its head tells.
//!
//! Must never keep a rule set from being compiled, whatever the disk says or does. Limits: [`MAX_BYTES`].

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use lagewarte_base::fs::Fs;
use sha2::{Digest as _, Sha256};

use crate::matcher::Pattern;

/// The file's name in its directory.
pub const CACHE_FILE: &str = "lagewarte-matchers.bin";
/// Held while the file is written: of several sensors with one directory one writes.
const LOCK_FILE: &str = "lagewarte-matchers.lock";
/// Most bytes of the file that are read; a set of 32,000 rules takes some hundred thousand. Threat: a file that somebody let
/// grow, or another one by its name, read whole into a sensor with little memory.
const MAX_BYTES: usize = 16 << 20;
/// What the file begins with.
const MAGIC: &[u8; 16] = b"lagewarte match1";

type Hash = [u8; 32];
/// For each pattern of a matcher where its windows begin; what stands there for one without windows of five bytes says
/// nothing.
pub(crate) type Places = Arc<[u16]>;
type Known = BTreeMap<Hash, Places>;

/// The hash of the code that decides: what other code decided is not read.
static CODE: LazyLock<Hash> = LazyLock::new(|| {
    let mut h = Sha256::new();
    for text in [include_str!("matcher.rs"), include_str!("rarity.rs"), include_str!("cache.rs")] {
        h.update((text.len() as u64).to_le_bytes());
        h.update(text);
    }
    h.finalize().into()
});

/// What is known from the last loading, and what this one uses. Read before a set is compiled, closed afterwards.
#[derive(Debug)]
pub struct Cache {
    fs: Box<dyn Fs>,
    dir: PathBuf,
    known: Known,
    /// Nothing could be read: not even an empty file.
    absent: bool,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    places: Known,
    found: usize,
    compiled: usize,
}

/// What a loading had of its cache.
#[derive(Debug)]
pub struct Closed {
    /// Matchers that were known.
    pub found: usize,
    /// Matchers that were not. Those of a few patterns, which are decided sooner than looked up, are in neither number.
    pub compiled: usize,
    /// Whether the file was written anew. Not where it says the same, or where another process is writing it.
    pub written: io::Result<bool>,
}

impl Cache {
    /// Reads what is known. Also says why a file that is there cannot be used: all is compiled then, and it is overwritten.
    pub fn open(fs: impl Fs + 'static, dir: &Path) -> (Self, Option<String>) {
        let (known, absent, why) = match read(&fs, dir) {
            Ok(Some(known)) => (known, false, None),
            Ok(None) => (Known::new(), true, None),
            Err(e) => (Known::new(), true, Some(format!("{}: {e}", dir.join(CACHE_FILE).display()))),
        };
        (Self { fs: Box::new(fs), dir: dir.to_owned(), known, absent, used: Mutex::default() }, why)
    }

    /// One that knows these places of these patterns, whether they fit or not.
    #[cfg(test)]
    pub(crate) fn knowing(patterns: &[Pattern], places: &[u16]) -> Self {
        let (mut cache, _) = Self::open(lagewarte_base::fs::faulty::FaultyFs::default(), Path::new("/c"));
        cache.known.insert(key(patterns), places.into());
        cache
    }

    /// What is known of these patterns.
    pub(crate) fn entry(&self, patterns: &[Pattern]) -> Entry<'_> {
        let key = key(patterns);
        Entry { cache: self, places: self.known.get(&key).filter(|places| fit(places, patterns)).map(Arc::clone), key }
    }

    /// Writes what was used, where that is something else than what is there.
    pub fn close(self) -> Closed {
        let used = self.used.into_inner().unwrap_or_else(PoisonError::into_inner);
        let written = if !self.absent && used.places == self.known {
            Ok(false)
        } else {
            write(&*self.fs, &self.dir, &used.places)
        };
        Closed { found: used.found, compiled: used.compiled, written }
    }
}

/// One matcher's entry, known or not.
#[derive(Debug)]
pub(crate) struct Entry<'c> {
    cache: &'c Cache,
    key: Hash,
    pub(crate) places: Option<Places>,
}

impl Entry<'_> {
    /// Keeps these, or those that were known.
    pub(crate) fn keep(self, chosen: Vec<u16>) {
        let mut used = self.cache.used.lock().unwrap_or_else(PoisonError::into_inner);
        *(if self.places.is_some() { &mut used.found } else { &mut used.compiled }) += 1;
        used.places.insert(self.key, self.places.unwrap_or_else(|| chosen.into()));
    }
}

/// The hash of patterns in their order.
fn key(patterns: &[Pattern]) -> Hash {
    let mut h = Sha256::new();
    for p in patterns {
        let (bytes, nocase) = p.what();
        // A pattern has at most 65,535 bytes.
        h.update(((bytes.len() as u32) << 1 | u32::from(nocase)).to_le_bytes());
        h.update(bytes);
    }
    h.finalize().into()
}

/// Whether there is a place for each pattern, with five bytes in it or none in question.
fn fit(places: &[u16], patterns: &[Pattern]) -> bool {
    let inside = |(at, p): (&u16, &Pattern)| usize::from(*at) <= p.len().saturating_sub(5);
    places.len() == patterns.len() && places.iter().zip(patterns).all(inside)
}

/// None where there is no file, or one that other code wrote.
fn read(fs: &dyn Fs, dir: &Path) -> io::Result<Option<Known>> {
    let there = match fs.list(dir) {
        // Regular files alone: a pipe would be waited for.
        Ok(names) => names.iter().any(|n| n == CACHE_FILE),
        Err(e) if e.kind() == io::ErrorKind::NotFound => false,
        Err(e) => return Err(e),
    };
    if !there {
        return Ok(None);
    }
    let bytes = fs.read(&dir.join(CACHE_FILE), 0, MAX_BYTES + 1)?;
    if bytes.len() > MAX_BYTES {
        return Err(io::Error::other(format!("it has more than {MAX_BYTES} bytes, which none of ours has")));
    }
    decode(&bytes).map_err(|what| io::Error::new(io::ErrorKind::InvalidData, what))
}

/// None of a file that other code wrote.
fn decode(bytes: &[u8]) -> Result<Option<Known>, &'static str> {
    const SHORT: &str = "it is cut off";
    let (all, hash) = bytes.split_last_chunk::<32>().ok_or(SHORT)?;
    let (magic, rest) = all.split_first_chunk::<16>().ok_or(SHORT)?;
    if magic != MAGIC {
        return Err("it is no such file");
    }
    if hash != &Hash::from(Sha256::digest(all)) {
        return Err("it is damaged: its hash is not that of its bytes");
    }
    let (code, mut rest) = rest.split_first_chunk::<32>().ok_or(SHORT)?;
    if code != &*CODE {
        return Ok(None);
    }
    let mut known = Known::new();
    while let Some((key, after)) = rest.split_first_chunk::<32>() {
        let (n, after) = after.split_first_chunk().ok_or(SHORT)?;
        let len = usize::try_from(u32::from_le_bytes(*n)).ok().and_then(|n| n.checked_mul(2)).ok_or(SHORT)?;
        let (places, after) = after.split_at_checked(len).ok_or("it says that more is in it than there is")?;
        if known.last_key_value().is_some_and(|(last, _)| last >= key) {
            return Err("its entries are out of order");
        }
        known.insert(*key, places.as_chunks().0.iter().map(|p| u16::from_le_bytes(*p)).collect());
        rest = after;
    }
    if rest.is_empty() { Ok(Some(known)) } else { Err("there is something behind its end") }
}

fn encode(known: &Known) -> Vec<u8> {
    let mut out = Vec::with_capacity(80 + known.values().map(|p| 36 + 2 * p.len()).sum::<usize>());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&*CODE);
    for (key, places) in known {
        out.extend_from_slice(key);
        out.extend_from_slice(&(places.len() as u32).to_le_bytes()); // fewer than there are rules
        out.extend(places.iter().flat_map(|p| p.to_le_bytes()));
    }
    let hash = Sha256::digest(&out);
    out.extend_from_slice(&hash);
    out
}

/// False where another process is writing.
fn write(fs: &dyn Fs, dir: &Path, known: &Known) -> io::Result<bool> {
    let bytes = encode(known);
    if bytes.len() > MAX_BYTES {
        return Err(io::Error::other(format!("it would have {} bytes, and {MAX_BYTES} are read", bytes.len())));
    }
    fs.create_dir_all(dir)?;
    let Some(_held) = fs.lock(&dir.join(LOCK_FILE))? else { return Ok(false) };
    fs.replace(&dir.join(CACHE_FILE), &bytes, true)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use lagewarte_base::fs::faulty::FaultyFs;

    use super::*;

    const DIR: &str = "/state/matchers";

    fn patterns(n: usize) -> Vec<Pattern> {
        (0..n).map(|i| Pattern::new(format!("pattern {i:05}").as_bytes(), i % 2 == 0)).collect()
    }

    fn known(n: u8) -> Known {
        (0..n).map(|i| ([i; 32], (0..u16::from(i)).collect::<Vec<_>>().into())).collect()
    }

    fn path() -> PathBuf {
        Path::new(DIR).join(CACHE_FILE)
    }

    fn put(disk: &FaultyFs, bytes: &[u8]) {
        disk.create_dir_all(Path::new(DIR)).unwrap();
        disk.create(&path(), true).unwrap().append(bytes).unwrap();
    }

    /// One loading of a set of one matcher: what was said at its beginning and its end.
    fn load(disk: &FaultyFs, patterns: &[Pattern]) -> (Option<String>, Closed) {
        let (cache, why) = Cache::open(disk.clone(), Path::new(DIR));
        let entry = cache.entry(patterns);
        let places = entry.places.as_deref().map_or_else(|| vec![1; patterns.len()], <[u16]>::to_vec);
        entry.keep(places);
        (why, cache.close())
    }

    /// The hash at its end made anew: what somebody could write who knows how.
    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.extend_from_slice(&Sha256::digest(&bytes));
        bytes
    }

    fn begun() -> Vec<u8> {
        [&MAGIC[..], &CODE[..]].concat()
    }

    fn entry(key: u8, n: u32, places: &[u8]) -> Vec<u8> {
        [&[key; 32][..], &n.to_le_bytes(), places].concat()
    }

    #[test]
    fn what_is_written_is_read() {
        for n in [0, 1, 9, 200] {
            assert_eq!(decode(&encode(&known(n))), Ok(Some(known(n))));
        }
    }

    #[test]
    fn a_file_with_one_bit_changed_or_cut_off_anywhere_is_refused() {
        let good = encode(&known(6));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bad).is_err(), "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(decode(&good[..len]).is_err(), "{len} bytes");
        }
        assert!(decode(&[&good[..], b"\0"].concat()).is_err());
    }

    #[test]
    fn sizes_that_cannot_be_are_refused_whatever_the_hash_says() {
        for (what, body) in [
            ("more places than bytes", entry(1, 3, &[0; 4])),
            ("as many as a number can say", entry(1, u32::MAX, &[0; 64])),
            ("twice as many overflow", entry(1, 1 << 31, &[0; 64])),
            ("half an entry", entry(1, 0, &[])[..35].to_vec()),
            ("bytes at the end", [entry(1, 1, &[0; 2]), vec![0; 7]].concat()),
            ("out of order", [entry(2, 0, &[]), entry(1, 0, &[])].concat()),
            ("twice", [entry(1, 0, &[]), entry(1, 0, &[])].concat()),
        ] {
            assert!(decode(&sealed([begun(), body].concat())).is_err(), "{what}");
        }
        assert!(decode(&sealed(b"something else  ".to_vec())).is_err());
        assert!(decode(&sealed(MAGIC.to_vec())).is_err());
    }

    #[test]
    fn what_other_code_decided_is_not_read_and_no_damage() {
        let mut other = begun();
        other[20] ^= 1;
        other.extend(entry(1, 1, &[0; 2]));
        assert_eq!(decode(&sealed(other.clone())), Ok(None));
        let disk = FaultyFs::default();
        put(&disk, &sealed(other));
        let (why, closed) = load(&disk, &patterns(20));
        assert_eq!((why, closed.compiled, closed.written.unwrap()), (None, 1, true));
        assert_eq!(load(&disk, &patterns(20)).1.found, 1);
    }

    #[test]
    fn the_second_loading_finds_what_the_first_decided_and_writes_nothing() {
        let disk = FaultyFs::default();
        let (why, closed) = load(&disk, &patterns(20));
        assert_eq!((why, closed.found, closed.compiled, closed.written.unwrap()), (None, 0, 1, true));
        let (why, closed) = load(&disk, &patterns(20));
        assert_eq!((why, closed.found, closed.compiled, closed.written.unwrap()), (None, 1, 0, false));
        // Another set: what is not used any more goes.
        let (_, closed) = load(&disk, &patterns(21));
        assert_eq!((closed.found, closed.compiled, closed.written.unwrap()), (0, 1, true));
        assert_eq!(load(&disk, &patterns(20)).1.compiled, 1);
    }

    #[test]
    fn patterns_have_one_key_each_way_they_can_be_told_apart() {
        let of =
            |all: &[(&str, bool)]| key(&all.iter().map(|(p, n)| Pattern::new(p.as_bytes(), *n)).collect::<Vec<_>>());
        let sets: [&[(&str, bool)]; 8] = [
            &[],
            &[("ab", false)],
            &[("ab", true)],
            &[("a", false), ("b", false)],
            &[("b", false), ("a", false)],
            &[("AB", false)],
            &[("ab", false), ("ab", false)],
            &[("abb", false)],
        ];
        let keys: std::collections::BTreeSet<Hash> = sets.iter().map(|s| of(s)).collect();
        assert_eq!(keys.len(), sets.len());
    }

    #[test]
    fn damage_is_said_once_and_overwritten() {
        for bytes in [&b""[..], b"nonsense", &encode(&known(3))[1..]] {
            let disk = FaultyFs::default();
            put(&disk, bytes);
            let (why, closed) = load(&disk, &patterns(20));
            assert!(why.unwrap().contains(CACHE_FILE));
            assert_eq!((closed.compiled, closed.written.unwrap()), (1, true));
            let (why, closed) = load(&disk, &patterns(20));
            assert_eq!((why, closed.found), (None, 1));
        }
        // Even where nothing is to be kept.
        let disk = FaultyFs::default();
        put(&disk, b"nonsense");
        let (cache, why) = Cache::open(disk.clone(), Path::new(DIR));
        assert!(why.is_some() && cache.close().written.unwrap());
        assert_eq!(Cache::open(disk, Path::new(DIR)).1, None);
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read_and_none_is_written() {
        let disk = FaultyFs::default();
        put(&disk, &vec![0; MAX_BYTES + 1]);
        let (why, closed) = load(&disk, &patterns(20));
        assert!(why.unwrap().contains("more than 16777216 bytes"));
        assert!(closed.written.unwrap());
        let large: Known = [([0; 32], vec![0; MAX_BYTES / 2].into())].into();
        assert!(write(&disk, Path::new(DIR), &large).unwrap_err().to_string().contains("16777332 bytes"));
        assert_eq!(load(&disk, &patterns(20)).1.found, 1, "what was there still is");
    }

    #[test]
    fn a_disk_that_fails_costs_the_cache_and_nothing_else() {
        let disk = FaultyFs::default();
        disk.set_capacity(Some(0));
        assert!(load(&disk, &patterns(20)).1.written.is_err());
        disk.set_capacity(None);
        assert!(load(&disk, &patterns(20)).1.written.unwrap());
        disk.set_capacity(Some(disk.used() + 40));
        assert!(load(&disk, &patterns(400)).1.written.is_err(), "room for a part only");
        disk.set_capacity(None);
        disk.fail_syncs(1);
        assert!(load(&disk, &patterns(21)).1.written.is_err());
        let (why, closed) = load(&disk, &patterns(20));
        assert_eq!((why, closed.found), (None, 1), "what was there still is");
        assert!(disk.list(Path::new(DIR)).unwrap().iter().all(|n| !n.ends_with(".tmp")));
    }

    #[test]
    fn the_power_may_go_at_any_time() {
        for cut in 0..12 {
            for seed in 0..20 {
                let disk = FaultyFs::default();
                load(&disk, &patterns(20));
                disk.power_off_after(cut);
                load(&disk, &patterns(21));
                let disk = disk.power_cut(seed);
                // The old one, the new one, or none: its directory's name is not made durable.
                let (why, closed) = load(&disk, &patterns(20));
                assert_eq!(why, None, "after {cut}, {seed}");
                assert!(closed.written.is_ok());
                assert_eq!(load(&disk, &patterns(20)).1.found, 1);
            }
        }
    }

    #[test]
    fn where_another_process_writes_none_is_written() {
        let disk = FaultyFs::default();
        disk.create_dir_all(Path::new(DIR)).unwrap();
        let held = disk.lock(&Path::new(DIR).join(LOCK_FILE)).unwrap();
        assert!(held.is_some());
        assert!(!load(&disk, &patterns(20)).1.written.unwrap());
        drop(held);
        assert!(load(&disk, &patterns(20)).1.written.unwrap());
    }
}
