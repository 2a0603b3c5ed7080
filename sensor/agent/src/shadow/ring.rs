// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The last packets of the line, on disk: segments in pcap, the oldest deleted first.
//!
//! [`Tapped`] copies each frame that the reader reads into a block; whole blocks go through a bounded queue to a thread of
//! their own that writes. The reader never waits: where the queue is full the block is dropped and its packets counted.
//! Conservation: packets read = written + [`Ring::queue_full`] + [`Ring::disk`] + [`Ring::link_type`].
//!
//! Must never hold more on disk than its limit, nor more in memory than [`QUEUE`] and two blocks. A disk without room makes
//! it smaller. Nothing is fsynced: the ring
//! ends with the process, and what an earlier one left is removed.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel},
    },
};

use lagewarte_base::time::Timestamp;
use lagewarte_capture::{Error, Frame, Next, Source, Stats};

use super::day::Ring;

/// Bytes of a pcap file's header.
const HEADER: usize = 24;
/// Bytes of a block. A frame of the largest size fits several times.
const BLOCK: usize = (1 << 20) - HEADER;
/// Blocks that wait for the disk at most. Threat: a disk slower than the line, and memory growing behind it.
pub const QUEUE: usize = 32;
/// Longest time that a packet waits for its block to fill, microseconds of packet time.
const BLOCK_US: i64 = 1_000_000;
/// Segments of a full ring.
const SEGMENTS: u64 = 16;
/// Smallest ring, bytes: a segment takes a block.
pub const SMALLEST: u64 = SEGMENTS * (BLOCK + HEADER) as u64;

/// Packets on their way to the disk.
#[derive(Debug, Default)]
struct Block {
    linktype: u16,
    bytes: Vec<u8>,
    packets: u64,
    first: Timestamp,
    last: Timestamp,
}

/// One file of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number, from 1; its name.
    pub number: u64,
    /// Earliest time of its packets.
    pub first: Timestamp,
    /// Latest.
    pub last: Timestamp,
    bytes: u64,
}

/// What the ring holds, for those who read it while it is written.
#[derive(Debug)]
pub struct Index {
    dir: PathBuf,
    segments: Mutex<VecDeque<Segment>>,
    written: AtomicU64,
    queue_full: AtomicU64,
    disk: AtomicU64,
    link_type: AtomicU64,
}

impl Index {
    /// Makes the ring's folder and empties it.
    ///
    /// # Errors
    /// The system's.
    pub fn open(dir: &Path) -> io::Result<Arc<Self>> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        for entry in fs::read_dir(dir)? {
            fs::remove_file(entry?.path())?;
        }
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            segments: Mutex::default(),
            written: AtomicU64::new(0),
            queue_full: AtomicU64::new(0),
            disk: AtomicU64::new(0),
            link_type: AtomicU64::new(0),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Segment>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> Vec<Segment> {
        self.lock().iter().copied().collect()
    }

    /// Where a segment lies, as long as it does.
    pub fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:010}.pcap"))
    }

    /// What was counted.
    pub fn counts(&self) -> Ring {
        let segments = self.lock();
        let reach = segments.front().zip(segments.back()).map_or(0, |(a, b)| b.last.since(a.first));
        Ring {
            written: self.written.load(Relaxed),
            queue_full: self.queue_full.load(Relaxed),
            disk: self.disk.load(Relaxed),
            link_type: self.link_type.load(Relaxed),
            reach_us: reach,
        }
    }

    /// Removes all that it holds: packets do not lie about when nobody asks for them any more.
    pub fn clear(&self) {
        for segment in self.lock().drain(..) {
            let _ = fs::remove_file(self.path(segment.number)); // the next start tries again
        }
    }
}

/// A ring's two ends: for the reader of packets, and for the thread that writes.
pub fn ends(index: Arc<Index>, limit: u64) -> (Tap, Writer) {
    let (to, from) = sync_channel(QUEUE);
    let (give_back, back) = channel();
    let tap = Tap { block: Block::default(), linktype: None, to, back, index: Arc::clone(&index) };
    let limit = limit.max(SMALLEST);
    let segment = limit / SEGMENTS;
    (tap, Writer { from, give_back, file: None, next: 1, limit, segment, told: false, index })
}

/// The reader's end.
pub struct Tap {
    block: Block,
    linktype: Option<u16>,
    to: SyncSender<Block>,
    back: Receiver<Vec<u8>>,
    index: Arc<Index>,
}

impl Tap {
    pub(super) fn frame(&mut self, f: &Frame<'_>) {
        if *self.linktype.get_or_insert(f.linktype) != f.linktype {
            self.index.link_type.fetch_add(1, Relaxed); // a pcap file has one; so has an interface
            return;
        }
        let late = self.block.packets > 0 && f.time.since(self.block.first).unsigned_abs() >= BLOCK_US as u64;
        if late || self.block.bytes.len() + 16 + f.data.len() > BLOCK {
            self.flush();
        }
        if self.block.packets == 0 {
            (self.block.first, self.block.last) = (f.time, f.time);
            self.block.linktype = f.linktype;
        }
        let b = &mut self.block;
        b.packets += 1;
        (b.first, b.last) = (b.first.min(f.time), b.last.max(f.time));
        record(&mut b.bytes, f);
    }

    /// Hands the block over, or drops it.
    pub(super) fn flush(&mut self) {
        if self.block.packets == 0 {
            return;
        }
        let bytes = self.back.try_recv().unwrap_or_else(|_| Vec::with_capacity(BLOCK));
        let block = std::mem::replace(&mut self.block, Block { bytes, ..Block::default() });
        if let Err(TrySendError::Full(b) | TrySendError::Disconnected(b)) = self.to.try_send(block) {
            self.index.queue_full.fetch_add(b.packets, Relaxed);
        }
    }
}

/// A pcap record: time, lengths, bytes. Times that pcap cannot say become 0.
pub(super) fn record(out: &mut Vec<u8>, f: &Frame<'_>) {
    let secs = u32::try_from(f.time.secs()).unwrap_or(0);
    let micros = f.time.micros().rem_euclid(1_000_000) as u32;
    let len = f.data.len() as u32; // at most MAX_FRAME
    out.extend_from_slice([secs, micros, len, f.wire_len.max(len)].map(u32::to_le_bytes).as_flattened());
    out.extend_from_slice(f.data);
}

/// A pcap file's header (draft-ietf-opsawg-pcap), microseconds, little endian.
pub(super) fn header(linktype: u16) -> [u8; HEADER] {
    let words = [0xa1b2_c3d4, 0x0004_0002, 0, 0, lagewarte_capture::MAX_FRAME, u32::from(linktype)];
    let mut out = [0; HEADER];
    out.chunks_exact_mut(4).zip(words).for_each(|(to, word)| to.copy_from_slice(&word.to_le_bytes()));
    out
}

/// A source whose frames go into a ring as they are read.
pub struct Tapped {
    source: Box<dyn Source + Send>,
    tap: Tap,
}

impl Tapped {
    /// Taps a source.
    pub fn new(source: Box<dyn Source + Send>, tap: Tap) -> Self {
        Self { source, tap }
    }
}

impl Source for Tapped {
    fn next(&mut self) -> Result<Next<'_>, Error> {
        let next = self.source.next();
        match &next {
            Ok(Next::Frame(f)) => self.tap.frame(f),
            Ok(Next::Idle | Next::End) | Err(_) => self.tap.flush(),
        }
        next
    }
    fn stats(&mut self) -> Stats {
        self.source.stats()
    }
    fn interface(&self) -> Option<&str> {
        self.source.interface()
    }
}

/// The disk's end.
pub struct Writer {
    from: Receiver<Block>,
    give_back: Sender<Vec<u8>>,
    file: Option<File>,
    next: u64,
    limit: u64,
    /// Bytes of a full segment.
    segment: u64,
    told: bool,
    index: Arc<Index>,
}

impl Writer {
    /// Writes until the reader has gone.
    pub fn run(mut self) {
        while let Ok(mut block) = self.from.recv() {
            match self.write(&block) {
                Ok(()) => _ = self.index.written.fetch_add(block.packets, Relaxed),
                Err(e) => {
                    self.index.disk.fetch_add(block.packets, Relaxed);
                    self.shrink();
                    // Once: a full disk is not told for each block.
                    if !std::mem::replace(&mut self.told, true) {
                        tracing::warn!(dir = %self.index.dir.display(), error = %e, "shadow: the ring of packets cannot be written; what it misses is counted");
                    }
                }
            }
            block.bytes.clear();
            let _ = self.give_back.send(block.bytes); // the reader has gone: it is freed
        }
    }

    /// The disk is full, mostly: the ring makes room, for reports and for whoever else writes there, and stays smaller.
    fn shrink(&mut self) {
        self.file = None;
        let mut segments = self.index.lock();
        let used: u64 = segments.iter().map(|s| s.bytes).sum();
        self.limit = used.saturating_sub(2 * self.segment).clamp(2 * self.segment, self.limit);
        let _ = self.make_room(&mut segments, 0); // what cannot be removed is tried again with the next block
    }

    /// Removes the oldest segments until there is room for `more` bytes.
    fn make_room(&self, segments: &mut VecDeque<Segment>, more: u64) -> io::Result<()> {
        while segments.iter().map(|s| s.bytes).sum::<u64>() + more > self.limit
            && let Some(oldest) = segments.pop_front()
        {
            // It may still be read by whoever has it open.
            match fs::remove_file(self.index.path(oldest.number)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    segments.push_front(oldest);
                    return Err(e);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn write(&mut self, block: &Block) -> io::Result<()> {
        let need = block.bytes.len() as u64;
        let mut segments = self.index.lock();
        let fits = segments.back().is_some_and(|s| s.bytes + need <= self.segment);
        let begin = !fits || self.file.is_none();
        let more = need + if begin { HEADER as u64 } else { 0 };
        self.make_room(&mut segments, more)?;
        if begin {
            let number = self.next;
            self.next += 1;
            let path = self.index.path(number);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            let segment = Segment { number, first: block.first, last: block.last, bytes: HEADER as u64 };
            segments.push_back(segment); // whatever becomes of it, it is there
            file.write_all(&header(block.linktype))?;
            self.file = Some(file);
        }
        if let Some(s) = segments.back_mut() {
            s.bytes += need;
            (s.first, s.last) = (s.first.min(block.first), s.last.max(block.last));
        }
        drop(segments); // the disk may take its time
        match &mut self.file {
            Some(file) => file.write_all(&block.bytes),
            None => Ok(()), // cannot be: begun above
        }
    }
}

#[cfg(test)]
mod tests {
    use lagewarte_capture::CaptureFile;
    use proptest::prelude::*;

    use super::*;

    const fn at(us: i64) -> Timestamp {
        Timestamp::from_micros(us)
    }

    fn frame(n: u64, data: &[u8]) -> Frame<'_> {
        Frame { time: at(n as i64), linktype: 1, wire_len: data.len() as u32, data }
    }

    /// Times of all packets in the ring, oldest segment first, by the project's own reader.
    fn held(index: &Index) -> Vec<i64> {
        let mut times = Vec::new();
        for s in index.segments() {
            let mut file = CaptureFile::open(&index.path(s.number), None).unwrap();
            while let Next::Frame(f) = file.next().unwrap() {
                assert!(s.first <= f.time && f.time <= s.last);
                times.push(f.time.micros());
            }
            assert_eq!(file.stats().damage, None);
        }
        times
    }

    fn on_disk(dir: &Path) -> u64 {
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum()
    }

    fn write(writer: &mut Writer) -> u64 {
        let mut n = 0;
        while let Ok(block) = writer.from.try_recv() {
            writer.write(&block).unwrap();
            n += block.packets;
        }
        n
    }

    #[test]
    fn what_an_earlier_process_left_is_removed_and_what_is_left_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let ring = dir.path().join("ring");
        fs::create_dir(&ring).unwrap();
        fs::write(ring.join("0000000001.pcap"), "left").unwrap();
        let index = Index::open(&ring).unwrap();
        assert_eq!(on_disk(&ring), 0);
        let (mut tap, mut writer) = ends(Arc::clone(&index), 0);
        tap.frame(&frame(1, b"abc"));
        tap.frame(&Frame { linktype: 101, ..frame(2, b"abc") });
        tap.flush();
        tap.flush();
        assert_eq!(write(&mut writer), 1);
        assert_eq!((held(&index), index.counts().link_type), (vec![1], 1));
        let mode = fs::metadata(index.path(1)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        index.clear();
        assert_eq!(on_disk(&ring), 0);
    }

    #[test]
    fn a_reader_does_not_wait_for_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(dir.path()).unwrap();
        let (mut tap, mut writer) = ends(Arc::clone(&index), 0);
        // Nobody writes: the queue fills, and what comes then is dropped.
        for n in 0..QUEUE as u64 + 3 {
            tap.frame(&frame(n, b"abc"));
            tap.frame(&frame(n, b"def"));
            tap.flush();
        }
        assert_eq!(index.counts().queue_full, 6);
        assert_eq!(write(&mut writer), 2 * QUEUE as u64);
        // A packet does not wait for ever in a line that is slow, but never idle.
        tap.frame(&frame(1_000, b"abc"));
        tap.frame(&frame(1_000 + BLOCK_US as u64, b"abc"));
        assert_eq!(write(&mut writer), 1);
        // Without a writer nothing stops.
        drop(writer);
        tap.flush();
        assert_eq!(index.counts().queue_full, 7);
    }

    #[test]
    fn a_disk_that_fails_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let ring = dir.path().join("ring");
        let index = Index::open(&ring).unwrap();
        let (mut tap, writer) = ends(Arc::clone(&index), 0);
        fs::remove_dir(&ring).unwrap();
        tap.frame(&frame(1, b"abc"));
        drop(Tapped::new(Box::new(Nothing), tap).next());
        writer.run();
        assert_eq!(index.counts(), Ring { disk: 1, ..Ring::default() });
    }

    #[test]
    fn a_disk_without_room_makes_the_ring_smaller_and_it_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(dir.path()).unwrap();
        let (mut tap, mut writer) = ends(Arc::clone(&index), 0);
        let data = vec![7; 200_000];
        let mut n = 0;
        let mut more = |count: u64, writer: &mut Writer| {
            for _ in 0..count {
                n += 1;
                tap.frame(&frame(n, &data));
                while let Ok(block) = writer.from.try_recv() {
                    if writer.write(&block).is_err() {
                        writer.shrink();
                    }
                }
            }
        };
        more(100, &mut writer);
        let full = on_disk(dir.path());
        assert!(full > SMALLEST - 2 * writer.segment);
        let taken = index.path(writer.next);
        fs::write(&taken, "").unwrap(); // the next segment cannot be begun
        more(5, &mut writer);
        fs::remove_file(&taken).unwrap();
        let left = on_disk(dir.path());
        assert!(left <= full - 2 * writer.segment, "{left} of {full}");
        more(100, &mut writer);
        assert!(on_disk(dir.path()) <= full - 2 * writer.segment, "it stays smaller");
        assert!(held(&index).last() > Some(&190), "and takes packets");
    }

    struct Nothing;
    impl Source for Nothing {
        fn next(&mut self) -> Result<Next<'_>, Error> {
            Ok(Next::End)
        }
        fn stats(&mut self) -> Stats {
            Stats::default()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        /// Never more on disk than the limit; what is held are the newest packets, in order, and all of them.
        #[test]
        fn the_limit_holds_and_the_newest_stay(sizes in proptest::collection::vec(0usize..200_000, 1..300)) {
            let dir = tempfile::tempdir().unwrap();
            let index = Index::open(dir.path()).unwrap();
            let (mut tap, mut writer) = ends(Arc::clone(&index), 0);
            let (data, mut n) = (vec![7; 200_000], 0);
            for size in &sizes {
                n += 1;
                tap.frame(&frame(n, &data[..*size]));
                write(&mut writer);
                prop_assert!(on_disk(dir.path()) <= SMALLEST);
            }
            tap.flush();
            write(&mut writer);
            prop_assert!(on_disk(dir.path()) <= SMALLEST);
            let held = held(&index);
            let first = held[0];
            prop_assert_eq!(held, (first..=n as i64).collect::<Vec<_>>());
            let all: usize = sizes.iter().map(|s| s + 16).sum();
            if (all as u64) < SMALLEST / 2 {
                prop_assert_eq!(first, 1);
            }
        }
    }
}
