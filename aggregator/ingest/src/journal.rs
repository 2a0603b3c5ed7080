// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A lane's journal: segments written and fsynced before they are inserted, and the high-water marks of those completed.
//!
//! ```text
//! journal/lane-N/lock            the lease: held by the process that owns the lane
//! journal/lane-N/fence           journal's random id, and a counter of owners: part of each segment's id
//! journal/lane-N/marks           checkpoint: how far each sensor's epochs are durable in the store
//! journal/lane-N/<n>.segment     written, fsynced, perhaps inserted: replayed unchanged at start
//! journal/lane-N/<n>.done        inserted; removed after the next checkpoint
//! ```
//! A segment's id is its deduplication token, so it must be unique for all time: random id of the journal, lane, fence,
//! number. Must never change a written segment, count one as completed before the store answered, or forget a mark before
//! the checkpoint that holds it is durable. Limits: [`MAX_EPOCHS`] marks a sensor; one segment in memory while replaying.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lagewarte_base::{
    fs::Fs,
    id::{Epoch, Uuid},
    reader::Reader,
};
use lagewarte_store::telemetry::{MAX_SEGMENT_BYTES, Rows};

/// Most epochs remembered of a sensor. Threat: a sensor that restarts in a loop growing the marks without bound. A spool is
/// drained in order of its epochs, so that older ones are finished; one that comes back all the same is compared with the
/// store by id.
pub(crate) const MAX_EPOCHS: usize = 64;
/// Largest small file (fence, marks) read: 64 epochs of 10,000 sensors. Threat: a damaged length filling the memory.
const MAX_SMALL: usize = 96 << 20;
const MAGIC: &[u8; 8] = b"LWJRNL01";

/// A sensor's epoch.
pub(crate) type Key = (Uuid, Epoch);

/// How far an epoch is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Every number up to here is durable, in quarantine, or a recorded gap.
    pub(crate) up_to: u64,
    /// Above `up_to` and up to here some numbers may be in the store already, because a journal was lost: each has to be
    /// looked up before it is inserted.
    pub(crate) compare_to: u64,
}

/// A segment read back.
pub(crate) struct Unfinished {
    pub(crate) number: u64,
    pub(crate) rows: Rows,
    pub(crate) advances: Vec<(Key, Mark)>,
}

#[derive(Default)]
struct State {
    marks: BTreeMap<Key, Mark>,
    /// Completed segments whose files wait for a checkpoint.
    done: Vec<u64>,
    dirty: bool,
    next: u64,
}

/// The journal of one lane, owned through its lock.
pub(crate) struct Journal {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    lane: u32,
    id: u64,
    fence: u64,
    suspect: bool,
    state: Mutex<State>,
    _lease: Box<dyn Send + Sync>,
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process owns the lane.
    #[error("the journal {0} is in use by another aggregator; stop it, or give this one a data-dir of its own")]
    Owned(PathBuf),
    /// The disk refuses.
    #[error("journal {dir}: {source}; check that the directory is writable and the disk not full")]
    Io {
        /// Where.
        dir: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

impl Journal {
    /// Takes the lane's lease, raises its fence, and gives the unfinished segments in their order.
    pub(crate) fn open(fs: Arc<dyn Fs>, root: &Path, lane: u32) -> Result<(Self, Vec<u64>), JournalError> {
        let dir = root.join(format!("lane-{lane}"));
        let io = |source| JournalError::Io { dir: dir.clone(), source };
        fs.create_dir_all(&dir).map_err(io)?;
        let lease = fs.lock(&dir.join("lock")).map_err(io)?.ok_or_else(|| JournalError::Owned(dir.clone()))?;
        let names = fs.list(&dir).map_err(io)?;
        let (id, fence) = match small(fs.as_ref(), &dir, &names, "fence").map_err(io)?.as_deref().and_then(parse_fence)
        {
            Some((id, fence)) => (id, fence + 1),
            None => {
                let (high, low) = Uuid::new_v4().as_u64_pair();
                (high ^ low, 1) // the fixed bits of the halves lie in different places
            }
        };
        fs.replace(&dir.join("fence"), sealed(format!("journal {id:016x} fence {fence}\n")).as_bytes(), true)
            .map_err(io)?;
        let marks = small(fs.as_ref(), &dir, &names, "marks").map_err(io)?;
        let parsed = marks.as_deref().and_then(parse_marks);
        // Marks that were there and cannot be read: whatever comes is compared with the store.
        let mut suspect = marks.is_some() && parsed.is_none();
        let mut state = State { marks: parsed.unwrap_or_default(), next: 1, ..State::default() };
        let mut unfinished = Vec::new();
        for name in &names {
            let path = dir.join(name);
            if name.ends_with(".tmp") {
                let _ = fs.remove(&path); // left by a crash between create and rename; worthless
                continue;
            }
            let Some((number, done)) = parse_name(name) else { continue };
            state.next = state.next.max(number + 1);
            match read(fs.as_ref(), &path).map_err(io)? {
                Some(segment) if done => {
                    for (key, mark) in segment.1 {
                        advance(&mut state.marks, key, mark);
                    }
                    state.done.push(number);
                    state.dirty = true;
                }
                Some(_) => unfinished.push(number),
                None => {
                    // Torn before its fsync: nothing of it was inserted or acknowledged. Or rotten, and then perhaps partly
                    // inserted: the store is asked before its events are taken again.
                    tracing::warn!(path = %path.display(), "a journal segment is unreadable and dropped; sensors send its events again");
                    suspect = true;
                    let _ = fs.remove(&path); // tried again at the next start
                }
            }
        }
        let journal = Self { fs, dir, lane, id, fence, suspect, state: Mutex::new(state), _lease: lease };
        Ok((journal, unfinished))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads an unfinished segment back.
    pub(crate) fn read(&self, number: u64) -> io::Result<Option<Unfinished>> {
        let found = read(self.fs.as_ref(), &self.path(number, "segment"))?;
        Ok(found.map(|(rows, advances)| Unfinished { number, rows, advances }))
    }

    /// The lane's number.
    pub(crate) fn lane(&self) -> u32 {
        self.lane
    }

    /// Number and id for the next segment.
    pub(crate) fn begin(&self) -> (u64, String) {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        (number, format!("{:016x}-{}-{}-{number}", self.id, self.lane, self.fence))
    }

    /// Writes a segment; durable when this returns.
    pub(crate) fn write(&self, number: u64, rows: &Rows, advances: &[(Key, Mark)]) -> io::Result<()> {
        let mut body = u32::try_from(advances.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        for ((sensor, epoch), mark) in advances {
            body.extend_from_slice(sensor.as_bytes());
            for n in [epoch.counter, epoch.nonce, mark.up_to, mark.compare_to] {
                body.extend_from_slice(&n.to_be_bytes());
            }
        }
        body.extend_from_slice(&rows.to_bytes());
        let path = self.path(number, "segment");
        let head = [&MAGIC[..], &crc32fast::hash(&body).to_be_bytes()].concat();
        let written = self.fs.create(&path, true).and_then(|mut file| {
            file.append(&head)?;
            file.append(&body)?;
            file.sync()?;
            self.fs.sync_dir(&self.dir)
        });
        if written.is_err() {
            let _ = self.fs.remove(&path); // gives the space back; a torn one would be dropped at the next start
        }
        written
    }

    /// The store has answered for this segment.
    pub(crate) fn complete(&self, number: u64, advances: &[(Key, Mark)]) -> io::Result<()> {
        {
            let mut state = self.state();
            for (key, mark) in advances {
                advance(&mut state.marks, *key, *mark);
            }
            state.done.push(number);
            state.dirty = true;
        }
        // Not synced: should a power cut undo it, the same rows are inserted again under the same token and count once.
        self.fs.rename(&self.path(number, "segment"), &self.path(number, "done"))
    }

    /// Writes the marks and removes what they cover. Called often enough that the store still knows the tokens of all
    /// segments that a power cut could bring back.
    pub(crate) fn checkpoint(&self) -> io::Result<()> {
        let (text, done) = {
            let mut state = self.state();
            if !state.dirty {
                return Ok(());
            }
            state.dirty = false;
            (write_marks(&state.marks), std::mem::take(&mut state.done))
        };
        if let Err(e) = self.fs.replace(&self.dir.join("marks"), text.as_bytes(), true) {
            let mut state = self.state();
            state.dirty = true;
            state.done.extend(done);
            return Err(e);
        }
        for number in done {
            for suffix in ["done", "segment"] {
                // The second name where the rename failed. A file that stays is replayed or read again: it counts once.
                let _ = self.fs.remove(&self.path(number, suffix));
            }
        }
        Ok(())
    }

    /// How far an epoch is durable; None where nothing is known of it here.
    pub(crate) fn mark(&self, key: Key) -> Option<Mark> {
        self.state().marks.get(&key).copied()
    }

    /// Whether part of the journal was lost, so that the store has to be asked even for known epochs.
    pub(crate) fn suspect(&self) -> bool {
        self.suspect
    }

    /// Takes over what a comparison with the store said.
    pub(crate) fn learn(&self, key: Key, mark: Mark) {
        let mut state = self.state();
        advance(&mut state.marks, key, mark);
        state.dirty = true;
    }

    fn path(&self, number: u64, suffix: &str) -> PathBuf {
        self.dir.join(format!("{number:016x}.{suffix}"))
    }
}

fn advance(marks: &mut BTreeMap<Key, Mark>, key: Key, mark: Mark) {
    let old = marks.entry(key).or_default();
    old.up_to = old.up_to.max(mark.up_to);
    old.compare_to = old.compare_to.max(mark.compare_to);
    let (first, last) =
        ((key.0, Epoch { counter: 0, nonce: 0 }), (key.0, Epoch { counter: u64::MAX, nonce: u64::MAX }));
    while marks.range(first..=last).count() > MAX_EPOCHS {
        let Some(oldest) = marks.range(first..=last).map(|(k, _)| *k).find(|k| *k != key) else { return };
        marks.remove(&oldest);
    }
}

fn parse_name(name: &str) -> Option<(u64, bool)> {
    let (number, suffix) = name.split_once('.')?;
    let done = match suffix {
        "segment" => false,
        "done" => true,
        _ => return None,
    };
    Some((u64::from_str_radix(number, 16).ok().filter(|_| number.len() == 16)?, done))
}

type Content = (Rows, Vec<(Key, Mark)>);

/// A segment file's content; None where it is not whole.
fn read(fs: &dyn Fs, path: &Path) -> io::Result<Option<Content>> {
    Ok(parse_segment(&fs.read(path, 0, MAX_SEGMENT_BYTES + (1 << 20))?))
}

fn parse_segment(bytes: &[u8]) -> Option<Content> {
    let mut r = Reader::new(bytes);
    if r.array::<8>()? != *MAGIC || r.u32()? != crc32fast::hash(r.rest()) {
        return None;
    }
    let n = r.u32()?;
    let mut advances = HashMap::new();
    for _ in 0..n {
        let sensor = Uuid::from_bytes(r.array()?);
        let epoch = Epoch { counter: r.u64()?, nonce: r.u64()? };
        advances.insert((sensor, epoch), Mark { up_to: r.u64()?, compare_to: r.u64()? });
    }
    let rows = Rows::from_bytes(r.rest()).ok()?;
    Some((rows, advances.into_iter().collect()))
}

fn small(fs: &dyn Fs, dir: &Path, names: &[String], name: &str) -> io::Result<Option<String>> {
    if !names.iter().any(|n| n == name) {
        return Ok(None);
    }
    let bytes = fs.read(&dir.join(name), 0, MAX_SMALL)?;
    Ok(Some(String::from_utf8(bytes).unwrap_or_default())) // what is no text fails its checksum
}

/// Adds the checksum line.
fn sealed(mut text: String) -> String {
    let crc = crc32fast::hash(text.as_bytes());
    let _ = writeln!(text, "crc {crc:08x}"); // writing to a String cannot fail
    text
}

/// The text before a right checksum line.
fn unsealed(text: &str) -> Option<&str> {
    let (body, tail) = text.split_at_checked(text.len().checked_sub(13)?)?;
    let crc = u32::from_str_radix(tail.strip_prefix("crc ")?.strip_suffix('\n')?, 16).ok()?;
    (crc == crc32fast::hash(body.as_bytes())).then_some(body)
}

fn parse_fence(text: &str) -> Option<(u64, u64)> {
    let words: Vec<&str> = unsealed(text)?.trim_end().split(' ').collect();
    let ["journal", id, "fence", fence] = words[..] else { return None };
    Some((u64::from_str_radix(id, 16).ok()?, fence.parse().ok()?))
}

fn write_marks(marks: &BTreeMap<Key, Mark>) -> String {
    let mut text = String::from("lagewarte-journal-marks 1\n");
    for ((sensor, epoch), mark) in marks {
        let _ = writeln!(
            text, // writing to a String cannot fail
            "{sensor} {} {:016x} {} {}",
            epoch.counter,
            epoch.nonce,
            mark.up_to,
            mark.compare_to
        );
    }
    sealed(text)
}

fn parse_marks(text: &str) -> Option<BTreeMap<Key, Mark>> {
    let body = unsealed(text)?.strip_prefix("lagewarte-journal-marks 1\n")?;
    body.lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [sensor, counter, nonce, up_to, compare_to] = words[..] else { return None };
            let epoch = Epoch { counter: counter.parse().ok()?, nonce: u64::from_str_radix(nonce, 16).ok()? };
            let mark = Mark { up_to: up_to.parse().ok()?, compare_to: compare_to.parse().ok()? };
            Some(((sensor.parse().ok()?, epoch), mark))
        })
        .collect()
}
