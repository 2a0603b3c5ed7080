// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The faulty twin of the filesystem, in memory, for tests: it loses or tears whatever was not synced.
//!
//! A power cut keeps of each file its synced content and a random, possibly garbled piece of what came after; of each
//! name, of files and of directories, at random, the synced or the present meaning, each by itself: of a rename both names
//! may be there, or neither. A failed fsync loses the data for good although later ones succeed. The power may go between
//! any two operations, and in the middle of an append ([`FaultyFs::power_off_after`]); [`power_cuts`] drives a test through
//! many of them.
//!
//! Must never be used outside tests (feature `faulty-fs`).

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{AppendFile, Fs};

#[derive(Default, Debug)]
struct Inode {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// What was written behind `synced` and cut off again: an unsynced truncation may be undone.
    cut_off: Vec<u8>,
    /// A sync failed: the kernel has dropped the dirty pages and later syncs say Ok without writing them.
    cursed: bool,
}

#[derive(Default, Debug)]
struct World {
    inodes: Vec<Inode>,
    now: BTreeMap<PathBuf, usize>,
    synced: BTreeMap<PathBuf, usize>,
    dirs: BTreeSet<PathBuf>,
    synced_dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    capacity: Option<usize>,
    fail_syncs: usize,
    fail_dir_syncs: usize,
    syncs: u64,
    dir_syncs: u64,
    /// Operations left until the power goes.
    power: Option<u64>,
    /// Counts processes: one from before a power cut can do nothing any more.
    life: u64,
}

/// An in-memory filesystem that uses all freedom POSIX gives it, as one process sees it. Clones share the content.
/// After [`FaultyFs::power_cut`] or [`FaultyFs::kill`] the old process is dead: whatever its clones and files still try
/// fails. The next process uses the value returned.
#[derive(Clone, Default, Debug)]
pub struct FaultyFs {
    world: Arc<Mutex<World>>,
    life: u64,
}

struct Handle {
    fs: FaultyFs,
    inode: usize,
}

struct Guard {
    fs: FaultyFs,
    path: PathBuf,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Ok(mut w) = self.fs.alive() {
            w.locks.remove(&self.path);
        }
    }
}

impl World {
    fn used(&self) -> usize {
        self.now.values().map(|i| self.inodes[*i].now.len()).sum()
    }
    fn room(&self) -> usize {
        self.capacity.map_or(usize::MAX, |c| c.saturating_sub(self.used()))
    }
    fn has_dir(&self, dir: &Path) -> bool {
        dir.parent().is_none_or(|p| p.as_os_str().is_empty()) || self.dirs.contains(dir)
    }
    fn find(&self, path: &Path) -> io::Result<&Inode> {
        self.now.get(path).map(|i| &self.inodes[*i]).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl FaultyFs {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn alive(&self) -> io::Result<MutexGuard<'_, World>> {
        let w = self.world();
        if w.life == self.life { Ok(w) } else { Err(io::Error::other("this process is dead")) }
    }
    /// One operation that changes the disk.
    fn change(&self) -> io::Result<MutexGuard<'_, World>> {
        let mut w = self.alive()?;
        match &mut w.power {
            Some(0) => return Err(io::Error::other("the power is off")),
            Some(n) => *n -= 1,
            None => {}
        }
        Ok(w)
    }
    /// The power goes after `n` more operations that change the disk (an append may still be done in part); nothing
    /// works then until [`FaultyFs::power_cut`] gives the next process's view.
    pub fn power_off_after(&self, n: u64) {
        self.world().power = Some(n);
    }
    /// Whether the power has gone.
    pub fn is_off(&self) -> bool {
        self.world().power == Some(0)
    }
    /// The disk holds this many bytes from now on; None: any number.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.world().capacity = bytes;
    }
    /// Bytes in all files.
    pub fn used(&self) -> usize {
        self.world().used()
    }
    /// The next `n` file syncs fail, and their data is never written.
    pub fn fail_syncs(&self, n: usize) {
        self.world().fail_syncs = n;
    }
    /// The next `n` syncs of a directory fail; its names stay as unsafe as they were.
    pub fn fail_dir_syncs(&self, n: usize) {
        self.world().fail_dir_syncs = n;
    }
    /// Successful file syncs so far.
    pub fn syncs(&self) -> u64 {
        self.world().syncs
    }
    /// Successful syncs of directories so far.
    pub fn dir_syncs(&self) -> u64 {
        self.world().dir_syncs
    }
    /// Changes bytes of a file where they lie (bit rot): XORs `mask` at `offset`. Durable at once.
    pub fn rot(&self, path: &Path, offset: usize, mask: u8) {
        let mut w = self.world();
        if let Some(i) = w.now.get(path).copied() {
            let inode = &mut w.inodes[i];
            for content in [&mut inode.now, &mut inode.synced] {
                if let Some(b) = content.get_mut(offset) {
                    *b ^= mask;
                }
            }
        }
    }
    /// Cuts the power: what was not synced survives in part, at random by `seed`. Gives the next process's view.
    #[must_use]
    pub fn power_cut(&self, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut w = self.world();
        let w = &mut *w;
        for inode in &mut w.inodes {
            let mut kept = inode.synced.clone();
            // A failed sync, too, may have written some of its pages.
            let written = if rng.bool() { &inode.cut_off } else { &inode.now };
            let grown = written.len().saturating_sub(kept.len());
            if grown > 0 && written.starts_with(&kept) {
                let keep = rng.usize(0..=grown);
                let from = kept.len();
                kept.extend_from_slice(&written[from..from + keep]);
                if keep > 0 && rng.u8(0..3) == 0 {
                    // The length arrived, some of the bytes did not: zeros, or what lay in those blocks before.
                    let hole = from + rng.usize(0..keep);
                    let end = hole + rng.usize(0..=kept.len() - hole);
                    if rng.bool() {
                        kept[hole..end].fill(0);
                    } else {
                        kept[hole..end].fill_with(|| rng.u8(..));
                    }
                }
            }
            inode.cut_off.clear();
            inode.now.clone_from(&kept);
            inode.synced = kept;
            inode.cursed = false;
        }
        let names: BTreeSet<PathBuf> = w.now.keys().chain(w.synced.keys()).cloned().collect();
        let mut after = BTreeMap::new();
        for name in names {
            let kept = if rng.bool() { w.now.get(&name) } else { w.synced.get(&name) };
            if let Some(i) = kept {
                after.insert(name, *i);
            }
        }
        let dirs: BTreeSet<PathBuf> =
            w.dirs.iter().filter(|d| w.synced_dirs.contains(*d) || rng.bool()).cloned().collect();
        // A directory is there with those above it, and a file with its directory.
        let whole = |p: &Path| {
            p.ancestors()
                .skip(1)
                .filter(|a| a.parent().is_some_and(|p| !p.as_os_str().is_empty()))
                .all(|a| dirs.contains(a))
        };
        after.retain(|p, _| whole(p));
        w.dirs = dirs.iter().filter(|d| whole(d)).cloned().collect();
        w.synced_dirs = w.dirs.clone();
        // What has no name any more is nobody's.
        for (i, inode) in w.inodes.iter_mut().enumerate() {
            if !after.values().any(|kept| *kept == i) {
                *inode = Inode::default();
            }
        }
        w.now.clone_from(&after);
        w.synced = after;
        w.locks.clear();
        w.power = None;
        w.life += 1;
        Self { world: Arc::clone(&self.world), life: w.life }
    }
    /// Ends the process without a power cut: files stay as they are, locks are free. Gives the next process's view.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut w = self.world();
        w.locks.clear();
        w.life += 1;
        Self { world: Arc::clone(&self.world), life: w.life }
    }
}

impl AppendFile for Handle {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut w = self.fs.change()?;
        if w.power == Some(0) {
            // The last thing before the power went: some of it may have been written.
            w.inodes[self.inode].now.extend_from_slice(&bytes[..bytes.len() / 2]);
            return Err(io::Error::other("the power is off"));
        }
        let fits = w.room().min(bytes.len());
        w.inodes[self.inode].now.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
    fn sync(&mut self) -> io::Result<()> {
        let mut w = self.fs.change()?;
        if w.fail_syncs > 0 {
            w.fail_syncs -= 1;
            w.inodes[self.inode].cursed = true;
            return Err(io::Error::other("I/O error"));
        }
        w.syncs += 1;
        let inode = &mut w.inodes[self.inode];
        if !inode.cursed {
            inode.synced.clone_from(&inode.now);
            inode.cut_off.clear();
        }
        Ok(())
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut w = self.fs.change()?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let inode = &mut w.inodes[self.inode];
        if inode.now.len() > inode.cut_off.len() {
            inode.cut_off.clone_from(&inode.now);
        }
        inode.now.truncate(len);
        Ok(())
    }
}

impl Fs for FaultyFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut w = self.change()?;
        let new: Vec<PathBuf> = dir.ancestors().filter(|a| !w.has_dir(a)).map(Path::to_owned).collect();
        w.dirs.extend(new);
        Ok(())
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let w = self.alive()?;
        if !w.has_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = w.now.keys().filter(|p| p.parent() == Some(dir));
        Ok(inside.filter_map(|p| p.file_name()?.to_str().map(str::to_owned)).collect())
    }
    fn create(&self, path: &Path, _: bool) -> io::Result<Box<dyn AppendFile>> {
        let mut w = self.change()?;
        if !path.parent().is_some_and(|dir| w.has_dir(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if w.room() == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        w.inodes.push(Inode::default());
        let inode = w.inodes.len() - 1;
        w.now.insert(path.to_owned(), inode);
        Ok(Box::new(Handle { fs: self.clone(), inode }))
    }
    fn read(&self, path: &Path, offset: u64, max: usize) -> io::Result<Vec<u8>> {
        let w = self.alive()?;
        let content = &w.find(path)?.now;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        Ok(content[from..].iter().take(max).copied().collect())
    }
    fn size(&self, path: &Path) -> io::Result<u64> {
        Ok(self.alive()?.find(path)?.now.len() as u64)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut w = self.change()?;
        let inode = w.now.remove(from).ok_or(io::ErrorKind::NotFound)?;
        w.now.insert(to.to_owned(), inode);
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change()?.now.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut w = self.change()?;
        let w = &mut *w;
        if !w.has_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if w.fail_dir_syncs > 0 {
            w.fail_dir_syncs -= 1;
            return Err(io::Error::other("I/O error"));
        }
        w.dir_syncs += 1;
        let children: Vec<PathBuf> = w.dirs.iter().filter(|d| d.parent() == Some(dir)).cloned().collect();
        w.synced_dirs.extend(children);
        w.synced.retain(|p, _| p.parent() != Some(dir));
        for (p, i) in w.now.iter().filter(|(p, _)| p.parent() == Some(dir)) {
            w.synced.insert(p.clone(), *i);
        }
        Ok(())
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let mut w = self.alive()?;
        if !w.locks.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(Guard { fs: self.clone(), path: path.to_owned() })))
    }
}

/// Drives a user of the filesystem through `cuts` power cuts on one disk. `life` is one process: it begins with what the
/// last cut left, works until [`FaultyFs::is_off`] or until it has nothing more to do, and checks what it must. Where the
/// power goes is drawn from `seed` and the number of the cut, within `operations` changes of the disk, so that a failure
/// names the cut that shows it. Gives the disk after the last cut.
pub fn power_cuts(
    seed: u64,
    cuts: u64,
    operations: u64,
    mut life: impl FnMut(&FaultyFs, u64, &mut fastrand::Rng),
) -> FaultyFs {
    let mut fs = FaultyFs::default();
    for cut in 0..cuts {
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(cut));
        fs.power_off_after(rng.u64(1..=operations));
        life(&fs, cut, &mut rng);
        fs = fs.power_cut(rng.u64(..));
    }
    fs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found after a power cut, over many seeds: every freedom is used, and no synced byte or name is ever lost.
    fn outcomes<T: Ord>(prepare: impl Fn(&FaultyFs), look: impl Fn(&FaultyFs) -> T) -> BTreeSet<T> {
        (0..5000)
            .map(|seed| {
                let fs = FaultyFs::default();
                fs.create_dir_all(Path::new("/d")).unwrap();
                fs.sync_dir(Path::new("/")).unwrap();
                prepare(&fs);
                look(&fs.power_cut(seed))
            })
            .collect()
    }
    fn content(fs: &FaultyFs, path: &str) -> Option<Vec<u8>> {
        fs.read(Path::new(path), 0, 1000).ok()
    }

    #[test]
    fn an_unsynced_write_is_kept_lost_torn_and_garbled_and_a_synced_one_never() {
        let found = outcomes(
            |fs| {
                let mut f = fs.create(Path::new("/d/f"), false).unwrap();
                f.append(b"safe").unwrap();
                f.sync().unwrap();
                fs.sync_dir(Path::new("/d")).unwrap();
                f.append(b"wild").unwrap();
            },
            |fs| content(fs, "/d/f").expect("a synced name"),
        );
        assert!(found.iter().all(|c| c.starts_with(b"safe")));
        for wanted in [&b"safe"[..], b"safew", b"safewil", b"safewild", b"safe\0\0\0\0", b"safewi\0\0"] {
            assert!(found.contains(wanted), "{:?} never came", String::from_utf8_lossy(wanted));
        }
        assert!(found.iter().any(|c| c.len() == 8 && c[4..].iter().all(|b| !b"wild\0".contains(b))), "no old blocks");
    }

    #[test]
    fn a_new_name_a_rename_and_a_removal_are_kept_or_lost_each_by_itself() {
        let found = outcomes(
            |fs| {
                for name in ["/d/old", "/d/gone"] {
                    let mut f = fs.create(Path::new(name), false).unwrap();
                    f.append(b"1").unwrap();
                    f.sync().unwrap();
                }
                fs.sync_dir(Path::new("/d")).unwrap();
                fs.rename(Path::new("/d/old"), Path::new("/d/new")).unwrap();
                fs.remove(Path::new("/d/gone")).unwrap();
            },
            |fs| fs.list(Path::new("/d")).unwrap(),
        );
        // Of each of the three names, with and without: eight lists.
        assert_eq!(found.len(), 8, "{found:?}");
    }

    #[test]
    fn an_unsynced_directory_goes_with_all_that_was_synced_inside() {
        let fill = |fs: &FaultyFs| {
            let mut f = fs.create(Path::new("/d/sub/f"), false).unwrap();
            f.append(b"1").unwrap();
            f.sync().unwrap();
            fs.sync_dir(Path::new("/d/sub")).unwrap();
        };
        let look = |fs: &FaultyFs| content(fs, "/d/sub/f").is_some();
        let careless = |fs: &FaultyFs| {
            fs.create_dir_all(Path::new("/d/sub")).unwrap();
            fill(fs);
        };
        assert_eq!(outcomes(careless, look), BTreeSet::from([false, true]));
        let careful = |fs: &FaultyFs| {
            fs.ensure_dir(Path::new("/d/sub")).unwrap();
            fill(fs);
        };
        assert_eq!(outcomes(careful, look), BTreeSet::from([true]));
        // Made by a process that was killed before it could sync it: the next one's ensure_dir makes it safe.
        let twice = |fs: &FaultyFs| {
            fs.create_dir_all(Path::new("/d/sub")).unwrap();
            fs.ensure_dir(Path::new("/d/sub")).unwrap();
            fill(fs);
        };
        assert_eq!(outcomes(twice, look), BTreeSet::from([true]));
    }

    #[test]
    fn replace_leaves_the_old_or_the_new_wherever_the_power_goes() {
        let mut seen = BTreeSet::new();
        for cut in 0..8 {
            for seed in 0..100 {
                let fs = FaultyFs::default();
                fs.ensure_dir(Path::new("/d")).unwrap();
                fs.replace(Path::new("/d/f"), b"old", false).unwrap();
                fs.power_off_after(cut);
                let done = fs.replace(Path::new("/d/f"), b"new", false).is_ok();
                let after = content(&fs.power_cut(seed), "/d/f");
                assert!(
                    after.as_deref() == Some(b"new") || (!done && after.as_deref() == Some(b"old")),
                    "{cut} {seed} {after:?}"
                );
                seen.insert((done, after));
            }
        }
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn a_full_disk_takes_a_part_and_a_failed_sync_loses_for_good() {
        let fs = FaultyFs::default();
        let mut f = fs.create(Path::new("/f"), false).unwrap();
        fs.set_capacity(Some(3));
        assert_eq!(f.append(b"12345").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!((content(&fs, "/f").unwrap(), fs.used()), (b"123".to_vec(), 3));
        assert_eq!(fs.create(Path::new("/g"), false).err().unwrap().kind(), io::ErrorKind::StorageFull);
        fs.fail_syncs(1);
        assert!(f.sync().is_err() && f.sync().is_ok());
        fs.fail_dir_syncs(1);
        assert!(fs.sync_dir(Path::new("/")).is_err() && fs.sync_dir(Path::new("/")).is_ok());
        assert_eq!((fs.syncs(), fs.dir_syncs()), (1, 1));
        let lost = (0..100).filter(|seed| {
            let fs = FaultyFs::default();
            let mut f = fs.create(Path::new("/f"), false).unwrap();
            fs.sync_dir(Path::new("/")).unwrap();
            f.append(b"x").unwrap();
            fs.fail_syncs(1);
            let _ = (f.sync(), f.sync());
            content(&fs.power_cut(*seed), "/f").unwrap().is_empty()
        });
        assert!(lost.count() > 10, "the second sync said Ok and wrote nothing");
    }

    #[test]
    fn the_power_goes_at_any_operation_and_nothing_works_behind_it() {
        let fs = power_cuts(7, 50, 6, |fs, _, _| {
            let mut n = 0;
            while !fs.is_off() && n < 100 {
                let _ = fs.replace(Path::new("/f"), b"abc", false);
                n += 1;
            }
            assert!(fs.is_off() && n <= 3, "four operations each");
            assert!(fs.create(Path::new("/g"), false).is_err() && fs.sync_dir(Path::new("/")).is_err());
            let _ = fs.list(Path::new("/")).unwrap(); // reading tells nobody anything new
        });
        assert!(!fs.is_off());
    }
}
