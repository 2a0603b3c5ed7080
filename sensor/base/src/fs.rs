// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The filesystem as a parameter, for the few files that must outlive a power cut: spool, journal, keys.
//!
//! POSIX promises little: written bytes are safe only after fsync of the file, a new, renamed or removed name only after
//! fsync of its directory, and after a failed fsync nothing is known about what was written. Code on this trait is tested
//! against [`faulty::FaultyFs`], which uses every one of these freedoms.
//!
//! Must never: be used on the packet path, or hide an error. Limits: one flat directory per user, append-only files.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

#[cfg(feature = "faulty-fs")]
pub mod faulty;

/// A file open for appending.
pub trait AppendFile: Send {
    /// Writes all of `bytes` at the end. On an error part of them may stand in the file.
    ///
    /// # Errors
    /// The system's: full disk, I/O error.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes the content durable. After an error the file must be given up: a later success would say nothing.
    ///
    /// # Errors
    /// The system's.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to `len` bytes.
    ///
    /// # Errors
    /// The system's.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// What spool and journal need of a filesystem.
pub trait Fs: Send + Sync + fmt::Debug {
    /// Creates a directory and its parents. Their names are durable only after [`Fs::ensure_dir`].
    ///
    /// # Errors
    /// The system's; likewise below.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Creates a directory and its parents so that they outlive a power cut: what is fsynced inside is lost with them.
    fn ensure_dir(&self, dir: &Path) -> io::Result<()> {
        if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
            if self.list(dir).is_err() {
                self.ensure_dir(parent)?;
                self.create_dir_all(dir)?;
                return self.sync_dir(parent);
            }
            // It may have been made by a process of ours that ended before it could sync it. Where we may not look into
            // the parent, somebody else has made it for us.
            return match self.sync_dir(parent) {
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
                other => other,
            };
        }
        self.create_dir_all(dir)
    }
    /// Names of the files in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// A new, empty file; an old one of this name is emptied. `private`: readable by its owner only (0600).
    fn create(&self, path: &Path, private: bool) -> io::Result<Box<dyn AppendFile>>;
    /// Up to `max` bytes from `offset`; fewer only at the end of the file.
    fn read(&self, path: &Path, offset: u64, max: usize) -> io::Result<Vec<u8>>;
    /// Length in bytes.
    fn size(&self, path: &Path) -> io::Result<u64>;
    /// Renames within a directory; replaces the target.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes names of a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the lock file; None where another process holds it. Free again when the guard is dropped or the process ends.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>>;

    /// Replaces a file's content so that a power cut leaves the old or the new, never a mixture: temporary file, fsync,
    /// rename, fsync of the directory.
    fn replace(&self, path: &Path, bytes: &[u8], private: bool) -> io::Result<()> {
        let tmp = path.with_extension("tmp");
        let written = self.create(&tmp, private).and_then(|mut f| {
            f.append(bytes)?;
            f.sync()
        });
        if let Err(e) = written.and_then(|()| self.rename(&tmp, path)) {
            let _ = self.remove(&tmp); // best effort: `list` users ignore .tmp
            return Err(e);
        }
        path.parent().map_or(Ok(()), |dir| self.sync_dir(dir))
    }
}

/// The machine's filesystem.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealFs;

struct RealFile(File);

impl AppendFile for RealFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data() // the length is metadata that fdatasync writes too
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)?;
        self.0.seek(SeekFrom::Start(len)).map(|_| ())
    }
}

impl Fs for RealFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().into_string());
            }
        }
        names.sort_unstable();
        Ok(names)
    }
    fn create(&self, path: &Path, private: bool) -> io::Result<Box<dyn AppendFile>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(if private { 0o600 } else { 0o640 });
        }
        Ok(Box::new(RealFile(options.open(path)?)))
    }
    fn read(&self, path: &Path, offset: u64, max: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(max as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
    fn size(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(if dir.as_os_str().is_empty() { Path::new(".") } else { dir })?.sync_all()
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(Held(file)))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(e)) => Err(e),
        }
    }
}

/// A lock file that is held. Closing it is not enough: a child that another thread has forked and that has not come to
/// its exec yet still holds the descriptor, and with it the lock. So it is given back by word.
struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_free_though_a_forked_child_still_has_its_descriptor() {
        let path = std::env::temp_dir().join(format!("lagewarte-held-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        file.try_lock().unwrap();
        let the_childs = file.try_clone().unwrap();
        assert!(RealFs.lock(&path).unwrap().is_none(), "held as long as the guard lives");
        drop(Held(file));
        assert!(RealFs.lock(&path).unwrap().is_some());
        drop(the_childs);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_private_file_is_private_and_replace_leaves_no_temporary() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = std::env::temp_dir().join(format!("lagewarte-fs-{}", std::process::id()));
        RealFs.create_dir_all(&dir).unwrap();
        let path = dir.join("key.pem");
        RealFs.replace(&path, b"one", true).unwrap();
        RealFs.replace(&path, b"two", true).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(RealFs.list(&dir).unwrap(), ["key.pem"]);
        assert_eq!(RealFs.read(&path, 1, 10).unwrap(), b"wo");
        let guard = RealFs.lock(&dir.join("lock")).unwrap();
        assert!(guard.is_some());
        assert!(RealFs.lock(&dir.join("lock")).unwrap().is_none(), "a second holder must be told");
        drop(guard);
        assert!(RealFs.lock(&dir.join("lock")).unwrap().is_some());
        fs::remove_dir_all(&dir).unwrap();
    }
}
