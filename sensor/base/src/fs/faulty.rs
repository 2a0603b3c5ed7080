// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The faulty twin of the filesystem, in memory, for tests: it loses or tears whatever was not synced.
//!
//! A power cut keeps of each file its synced content and a random, possibly garbled piece of what came after; of each
//! name, at random, the synced or the present meaning. A failed fsync loses the data for good although later ones succeed.
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
    locks: BTreeSet<PathBuf>,
    capacity: Option<usize>,
    fail_syncs: usize,
    syncs: u64,
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
    /// Successful file syncs so far.
    pub fn syncs(&self) -> u64 {
        self.world().syncs
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
                    // The length arrived, some of the bytes did not.
                    let hole = from + rng.usize(0..keep);
                    let end = hole + rng.usize(0..=kept.len() - hole);
                    kept[hole..end].fill(0);
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
        w.now.clone_from(&after);
        w.synced = after;
        w.locks.clear();
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
        let mut w = self.fs.alive()?;
        let fits = w.room().min(bytes.len());
        w.inodes[self.inode].now.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
    fn sync(&mut self) -> io::Result<()> {
        let mut w = self.fs.alive()?;
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
        let mut w = self.fs.alive()?;
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
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let w = self.alive()?;
        let inside = w.now.keys().filter(|p| p.parent() == Some(dir));
        Ok(inside.filter_map(|p| p.file_name()?.to_str().map(str::to_owned)).collect())
    }
    fn create(&self, path: &Path, _: bool) -> io::Result<Box<dyn AppendFile>> {
        let mut w = self.alive()?;
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
        let mut w = self.alive()?;
        let inode = w.now.remove(from).ok_or(io::ErrorKind::NotFound)?;
        w.now.insert(to.to_owned(), inode);
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.alive()?.now.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut w = self.alive()?;
        let w = &mut *w;
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
