// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Files kept on the sensor's own disk (`outputs.file-store`, version 2 of Suricata's layout): each under its SHA-256, in a
//! folder of that hash's first two digits. Off unless the operator turns it on.
//!
//! Must never write outside its folder (names are digits that were calculated here), never hold a file in memory beyond
//! [`HOLD`], never grow beyond its quota, and never send anything: what lies there stays on the sensor. A file that is not
//! kept after all leaves nothing behind.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use anyhow::Context as _;
use lagewarte_app::file::store::{Store, Storing};

use crate::config::filestore::FileStore as Settings;

/// Bytes of a file that wait in memory before the disk is touched. Most files are smaller, and most are not kept.
pub const HOLD: usize = 64 << 10;
/// Folder of files that are not complete.
const TMP: &str = "tmp";

/// The store.
#[derive(Debug, Clone)]
pub struct Folder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    quota: u64,
    most_open: u64,
    used: AtomicU64,
    open: AtomicU64,
    begun: AtomicU64,
    kept: AtomicU64,
    told: AtomicBool,
}

impl Folder {
    /// Opens the folder: makes it where it is not there, removes what an earlier process left unfinished, and counts what
    /// it holds. `base` is where a relative path begins.
    ///
    /// # Errors
    /// A folder that cannot be made or read.
    pub fn open(settings: &Settings, base: &Path) -> anyhow::Result<Self> {
        let dir = base.join(&settings.dir);
        let tmp = dir.join(TMP);
        let told = || format!("outputs.file-store: cannot use the folder {}", dir.display());
        make(&tmp).with_context(told)?;
        for entry in fs::read_dir(&tmp).with_context(told)? {
            let path = entry.with_context(told)?.path();
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        let mut used = 0;
        for entry in fs::read_dir(&dir).with_context(told)? {
            let folder = entry.with_context(told)?.path();
            if folder.file_name().is_some_and(|n| n.len() == 2) && folder.is_dir() {
                for file in fs::read_dir(&folder).with_context(told)? {
                    used += file.and_then(|f| f.metadata()).with_context(told)?.len();
                }
            }
        }
        Ok(Self(Arc::new(Shared {
            dir,
            quota: settings.quota,
            most_open: settings.most_open,
            used: AtomicU64::new(used),
            open: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            told: AtomicBool::new(false),
        })))
    }
}

// For its owner only: what people sent and fetched is nobody else's matter.
fn make(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

impl Shared {
    // Once: a full disk is not told for each file.
    fn tell(&self, what: &str, e: Option<&io::Error>) {
        if !self.told.swap(true, Ordering::Relaxed) {
            let e = e.map(ToString::to_string).unwrap_or_default();
            tracing::warn!(dir = %self.dir.display(), "file-store: {what} {e}; files are not stored, and counted (file_store.not_stored)");
        }
    }

    // Takes room; false where there is none.
    fn take(&self, bytes: u64) -> bool {
        let fits = |used: u64| used.checked_add(bytes).filter(|n| *n <= self.quota);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }
}

impl Store for Folder {
    fn begin(&self) -> Option<Box<dyn Storing>> {
        let s = &self.0;
        if s.open.fetch_add(1, Ordering::Relaxed) >= s.most_open {
            s.open.fetch_sub(1, Ordering::Relaxed);
            s.tell("too many files are under way at once (max-open-files)", None);
            return None;
        }
        Some(Box::new(Under {
            number: s.begun.fetch_add(1, Ordering::Relaxed),
            store: Arc::clone(s),
            held: Vec::new(),
            file: None,
            size: 0,
            failed: false,
        }))
    }
}

/// A file under way.
#[derive(Debug)]
struct Under {
    number: u64,
    store: Arc<Shared>,
    held: Vec<u8>,
    file: Option<(File, PathBuf)>,
    // Room taken for it.
    size: u64,
    failed: bool,
}

impl Under {
    // What is held goes to the disk.
    fn flush(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            let path = self.store.dir.join(TMP).join(format!("{}-{}", std::process::id(), self.number));
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            self.file = Some((file, path));
        }
        if let Some((file, _)) = &mut self.file {
            file.write_all(&self.held)?;
        }
        self.held.clear();
        Ok(())
    }

    fn fail(&mut self, what: &str, e: Option<&io::Error>) {
        self.store.tell(what, e);
        self.failed = true;
        self.held = Vec::new();
    }

    fn name(&mut self, sha256: &[u8; 32]) -> io::Result<()> {
        let name = hex::encode(sha256);
        let folder = self.store.dir.join(name.get(..2).unwrap_or_default());
        let path = folder.join(&name);
        if path.exists() {
            return Ok(()); // the same bytes lie there; what is under way goes
        }
        self.flush()?;
        make(&folder)?;
        if let Some((_, tmp)) = &self.file {
            fs::rename(tmp, &path)?;
        }
        self.file = None;
        self.size = 0; // its room stays taken
        Ok(())
    }
}

impl Storing for Under {
    fn write(&mut self, bytes: &[u8]) {
        if self.failed {
            return;
        }
        if !self.store.take(bytes.len() as u64) {
            self.fail("the quota is reached (lagewarte.file-store.quota)", None);
            return;
        }
        self.size += bytes.len() as u64;
        self.held.extend_from_slice(bytes);
        if self.held.len() > HOLD
            && let Err(e) = self.flush()
        {
            self.fail("cannot write:", Some(&e));
        }
    }

    fn keep(mut self: Box<Self>, sha256: &[u8; 32]) -> Option<u64> {
        if self.failed {
            return None;
        }
        match self.name(sha256) {
            Ok(()) => Some(self.store.kept.fetch_add(1, Ordering::Relaxed) + 1),
            Err(e) => {
                self.fail("cannot store:", Some(&e));
                None
            }
        }
    }
}

impl Drop for Under {
    fn drop(&mut self) {
        if let Some((_, path)) = self.file.take() {
            let _ = fs::remove_file(path); // what stays is removed when the store is opened next
        }
        self.store.used.fetch_sub(self.size, Ordering::Relaxed);
        self.store.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn store(dir: &Path, quota: u64, most_open: u64) -> Folder {
        let settings = Settings { enabled: true, quota, most_open, ..Settings::default() };
        Folder::open(&settings, dir).unwrap()
    }

    fn files(dir: &Path) -> Vec<(String, u64)> {
        let mut out = Vec::new();
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            match entry.path() {
                p if p.is_dir() => out.extend(files(&p)),
                p => out.push((p.file_name().unwrap().to_string_lossy().into_owned(), entry.metadata().unwrap().len())),
            }
        }
        out.sort();
        out
    }

    #[test]
    fn a_file_lies_under_its_hash_and_only_where_it_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        let s = store(dir.path(), 10 << 20, 10);
        let name = [0xab; 32];
        for size in [3, HOLD + 1, 3 * HOLD] {
            let mut under = s.begin().unwrap();
            vec![7u8; size].chunks(1000).for_each(|c| under.write(c));
            drop(under);
        }
        assert_eq!(files(dir.path()), [], "what is not kept leaves nothing");
        let mut under = s.begin().unwrap();
        vec![7u8; 3 * HOLD].chunks(1000).for_each(|c| under.write(c));
        assert_eq!(under.keep(&name), Some(1));
        let hex = "ab".repeat(32);
        assert_eq!(files(dir.path()), [(hex.clone(), 3 * HOLD as u64)]);
        let path = dir.path().join("filestore/ab").join(&hex);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // The same file once more takes no room.
        let used = s.0.used.load(Ordering::Relaxed);
        let mut under = s.begin().unwrap();
        under.write(&[7; 10]);
        assert_eq!(under.keep(&name), Some(2));
        assert_eq!((files(dir.path()).len(), s.0.used.load(Ordering::Relaxed)), (1, used));
    }

    #[test]
    fn the_quota_and_the_number_of_files_under_way_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let s = store(dir.path(), 200_000, 2);
        let mut one = s.begin().unwrap();
        let two = s.begin().unwrap();
        assert!(s.begin().is_none(), "two are under way");
        drop(two);
        one.write(&vec![1; 150_000]);
        let mut three = s.begin().unwrap();
        three.write(&vec![2; 60_000]);
        three.write(b"x");
        assert_eq!(three.keep(&[3; 32]), None, "there was no room for all of it");
        assert_eq!(one.keep(&[1; 32]), Some(1));
        let mut four = s.begin().unwrap();
        four.write(&vec![4; 50_000]);
        assert_eq!(four.keep(&[4; 32]), Some(2), "what was not kept gave its room back");
        // What lies there is counted by the next process, and what was unfinished goes.
        drop(s);
        fs::write(dir.path().join("filestore/tmp/1-1"), b"half").unwrap();
        let s = store(dir.path(), 200_000, 2);
        assert_eq!(s.0.used.load(Ordering::Relaxed), 200_000);
        assert_eq!(files(&dir.path().join("filestore/tmp")), []);
    }

    #[test]
    fn a_disk_that_fails_is_not_a_stored_file() {
        let dir = tempfile::tempdir().unwrap();
        let s = store(dir.path(), 10 << 20, 2);
        fs::remove_dir_all(dir.path().join("filestore")).unwrap();
        let mut under = s.begin().unwrap();
        under.write(b"abc");
        assert_eq!(under.keep(&[1; 32]), None);
        let mut large = s.begin().unwrap();
        large.write(&vec![1; 2 * HOLD]);
        large.write(&[1; 10]);
        assert_eq!(large.keep(&[1; 32]), None);
        assert_eq!(s.0.used.load(Ordering::Relaxed), 0);
    }
}
