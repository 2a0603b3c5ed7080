// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Data sets: large lists that rules look buffers up in (`dataset`, `datarep`), read from files or filled by rules.
//! Suricata user guide, "Datasets".
//!
//! Must never open a file outside the rule file's own folder (unless the operator allows it), never write one, and never
//! hold more than a set's memcap. Limits: [`MAX_SETS`], [`MAX_SET_FILE`].

use std::{
    collections::HashMap,
    path::{Component, Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::hashlist::{HashKind, HashList, MAX_LISTS};

/// Most sets. Threat: a generated rule file that declares millions.
pub const MAX_SETS: usize = 4_096;
/// Largest file of a set. Threat: a wrong path (a capture, a device) read whole.
pub const MAX_SET_FILE: u64 = 1 << 30;
/// Bytes that a set may hold where nothing is said.
pub const DEFAULT_MEMCAP: u64 = 100 << 20;
/// Charged for an entry beside its bytes.
const ENTRY_COST: u64 = 64;

/// What a set holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Any bytes; base64 in the file.
    String,
    /// 16 bytes; hex in the file.
    Md5,
    /// 32 bytes; hex in the file.
    Sha256,
}

impl Kind {
    /// From its name.
    ///
    /// # Errors
    /// A sentence for the rule's writer.
    pub fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "string" => Self::String,
            "md5" => Self::Md5,
            "sha256" => Self::Sha256,
            "ipv4" | "ip" => {
                return Err(String::from("addresses cannot be looked up in a set by this version; use a variable"));
            }
            other => return Err(format!("the type {other:?} is none of string, md5, sha256")),
        })
    }

    fn decode(self, text: &str) -> Option<Vec<u8>> {
        use base64::Engine as _;
        match self {
            Self::String => base64::engine::general_purpose::STANDARD.decode(text).ok(),
            Self::Md5 => hex::decode(text).ok().filter(|b| b.len() == 16),
            Self::Sha256 => hex::decode(text).ok().filter(|b| b.len() == 32),
        }
    }
}

/// One set, shared by the rules that name it.
#[derive(Debug)]
pub struct Set {
    /// Its name.
    pub name: String,
    kind: Kind,
    memcap: u64,
    loaded: HashMap<Box<[u8]>, u16>,
    loaded_bytes: u64,
    changed: Mutex<Changed>,
    /// Whether a rule of the set changes it.
    dynamic: AtomicBool,
    full: AtomicU64,
}

// What rules put in, or took out of what was loaded.
#[derive(Debug, Default)]
struct Changed {
    there: HashMap<Box<[u8]>, bool>,
    bytes: u64,
}

impl PartialEq for Set {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Set {}

impl std::hash::Hash for Set {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Set {
    fn new(name: &str, kind: Kind, memcap: u64) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            memcap,
            loaded: HashMap::new(),
            loaded_bytes: 0,
            changed: Mutex::default(),
            dynamic: AtomicBool::new(false),
            full: AtomicU64::new(0),
        }
    }

    // One entry a line; with `rep` a value behind a comma. Where memcap is reached it ends with an error: half a list is none.
    fn load(&mut self, text: &str, rep: bool) -> Result<(), String> {
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let (data, value) = match (rep, line.split_once(',')) {
                (true, Some((data, value))) => (data, value.trim().parse::<u16>().ok()),
                (true, None) => (line, None),
                (false, _) => (line, Some(0)),
            };
            let (Some(bytes), Some(value)) = (self.kind.decode(data.trim()), value) else {
                return Err(format!("line {} of the set's file is no entry of its type", n + 1));
            };
            self.loaded_bytes += bytes.len() as u64 + ENTRY_COST;
            if self.loaded_bytes > self.memcap {
                return Err(format!("the file holds more than the set's memcap of {} bytes", self.memcap));
            }
            self.loaded.insert(bytes.into(), value);
        }
        Ok(())
    }

    fn changed(&self) -> std::sync::MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether rules change it: it is then used in the order of packets.
    pub fn dynamic(&self) -> bool {
        self.dynamic.load(Ordering::Relaxed)
    }

    /// How often an entry was not taken since the set was full.
    pub fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    /// Whether it is there.
    pub fn has(&self, bytes: &[u8]) -> bool {
        if self.dynamic()
            && let Some(there) = self.changed().there.get(bytes)
        {
            return *there;
        }
        self.loaded.contains_key(bytes)
    }

    /// The value that a loaded entry has.
    pub fn value(&self, bytes: &[u8]) -> Option<u16> {
        self.loaded.get(bytes).copied()
    }

    /// Puts it in, or takes it out; whether that changed anything. What is not of the set's type is left.
    pub fn put(&self, bytes: &[u8], there: bool) -> bool {
        let fits = match self.kind {
            Kind::String => true,
            Kind::Md5 => bytes.len() == 16,
            Kind::Sha256 => bytes.len() == 32,
        };
        if !fits || self.has(bytes) == there {
            return false;
        }
        let mut changed = self.changed();
        let cost = bytes.len() as u64 + ENTRY_COST;
        if self.loaded.contains_key(bytes) == there {
            changed.there.remove(bytes); // as it was loaded
            changed.bytes = changed.bytes.saturating_sub(cost);
            return true;
        }
        if !there && changed.there.remove(bytes).is_some() {
            changed.bytes = changed.bytes.saturating_sub(cost);
            return true;
        }
        if self.loaded_bytes + changed.bytes + cost > self.memcap {
            self.full.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        changed.bytes += cost;
        changed.there.insert(bytes.into(), there);
        true
    }
}

/// What a `dataset` or `datarep` keyword asks of a buffer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lookup {
    /// In which set.
    pub set: Arc<Set>,
    /// What is asked or done.
    pub op: LookupOp,
}

/// What is asked or done with a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LookupOp {
    /// It is there.
    Isset,
    /// It is not.
    Isnotset,
    /// It is put in; holds where it was not there.
    Set,
    /// It is taken out; holds where it was there.
    Unset,
    /// `datarep`: its value is in this range.
    Value(crate::ast::Interval),
}

impl Lookup {
    /// The keyword's name in the registry.
    pub const fn keyword(&self) -> &'static str {
        match self.op {
            LookupOp::Value(_) => "datarep",
            LookupOp::Isset | LookupOp::Isnotset | LookupOp::Set | LookupOp::Unset => "dataset",
        }
    }

    /// Whether it changes the set.
    pub const fn changes(&self) -> bool {
        matches!(self.op, LookupOp::Set | LookupOp::Unset)
    }

    /// Asks it, or does it.
    pub fn run(&self, bytes: &[u8]) -> bool {
        match self.op {
            LookupOp::Isset => self.set.has(bytes),
            LookupOp::Isnotset => !self.set.has(bytes),
            LookupOp::Set => self.set.put(bytes, true),
            LookupOp::Unset => self.set.put(bytes, false),
            LookupOp::Value(test) => self.set.value(bytes).is_some_and(|v| test.matches(v.into())),
        }
    }
}

// Lists of hashes, by their file.
type Lists = HashMap<(PathBuf, HashKind), Arc<HashList>>;

/// The sets of a rule set, as they are declared.
#[derive(Clone, Debug, Default)]
pub struct DataSets {
    /// Whether rules may name files anywhere (`datasets.rules.allow-absolute-filenames`).
    pub anywhere: bool,
    /// `datasets.defaults.memcap`: bytes that a set may hold where nothing is said of it.
    pub memcap: Option<u64>,
    sets: Arc<Mutex<HashMap<String, Arc<Set>>>>,
    lists: Arc<Mutex<Lists>>,
}

/// How a rule or the configuration declares a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// `type`
    pub kind: Option<Kind>,
    /// `load`
    pub load: Option<PathBuf>,
    /// `memcap`
    pub memcap: Option<u64>,
}

impl DataSets {
    /// A set by its name: as declared before, or as it is declared here. `folder` is the rule file's; None for the
    /// operator's own configuration, which may name any file.
    ///
    /// # Errors
    /// A sentence for whoever declares it.
    pub fn declare(&self, name: &str, how: &Declared, rep: bool, folder: Option<&Path>) -> Result<Arc<Set>, String> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(had) = sets.get(name) {
            if how.kind.is_some_and(|k| k != had.kind) {
                return Err(format!("the set {name:?} was declared with another type before"));
            }
            return Ok(Arc::clone(had));
        }
        if sets.len() == MAX_SETS {
            return Err(format!("more than {MAX_SETS} data sets"));
        }
        let kind = how.kind.ok_or_else(|| format!("the set {name:?} is not declared yet: give its type"))?;
        let mut set = Set::new(name, kind, how.memcap.or(self.memcap).unwrap_or(DEFAULT_MEMCAP));
        if let Some(file) = &how.load {
            let path = match folder {
                Some(folder) => self.within(folder, file)?,
                None => file.clone(),
            };
            let told = |e: std::io::Error| format!("the set's file {} cannot be read: {e}", path.display());
            let size = std::fs::metadata(&path).map_err(told)?.len();
            if size > MAX_SET_FILE {
                return Err(format!("the set's file {} is larger than {MAX_SET_FILE} bytes", path.display()));
            }
            let text = std::fs::read(&path).map_err(told)?;
            set.load(&String::from_utf8_lossy(&text), rep)?;
        }
        let set = Arc::new(set);
        sets.insert(name.to_owned(), Arc::clone(&set));
        Ok(set)
    }

    /// A list of hashes, read once however many rules name it. `folder` is the rule file's.
    ///
    /// # Errors
    /// A sentence for the rule's writer.
    pub(crate) fn hashes(&self, kind: HashKind, file: &Path, folder: &Path) -> Result<Arc<HashList>, String> {
        let path = self.within(folder, file)?;
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(had) = lists.get(&(path.clone(), kind)) {
            return Ok(Arc::clone(had));
        }
        if lists.len() == MAX_LISTS {
            return Err(format!("more than {MAX_LISTS} lists of hashes"));
        }
        let list = Arc::new(HashList::read(kind, &path)?);
        lists.insert((path, kind), Arc::clone(&list));
        Ok(list)
    }

    /// A rule of the set changes it.
    pub(crate) fn changes(set: &Set) {
        set.dynamic.store(true, Ordering::Relaxed);
    }

    // A rule comes from others: its file is in the rule file's folder, also behind symbolic links.
    fn within(&self, folder: &Path, file: &Path) -> Result<PathBuf, String> {
        let path = folder.join(file);
        if self.anywhere {
            return Ok(path);
        }
        let escapes = || {
            format!(
                "{} is not in the rule file's folder; a rule may name files there only (datasets.rules.allow-absolute-filenames changes that)",
                file.display()
            )
        };
        if !file.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
            return Err(escapes());
        }
        let told = |e: std::io::Error| format!("the file {} cannot be read: {e}", path.display());
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let (real, root) = (path.canonicalize().map_err(told)?, folder.canonicalize().map_err(told)?);
        if real.starts_with(root) { Ok(real) } else { Err(escapes()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(kind: Kind, load: Option<&str>, memcap: Option<u64>) -> Declared {
        Declared { kind: Some(kind), load: load.map(PathBuf::from), memcap }
    }

    #[test]
    fn a_file_outside_the_rule_files_folder_is_not_opened() {
        let outer = std::env::temp_dir().join(format!("lagewarte-sets-{}", std::process::id()));
        let folder = outer.join("rules");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("in.lst"), "YQ==\n").expect("written");
        std::fs::write(outer.join("out.lst"), "YQ==\n").expect("written");
        let _ = std::os::unix::fs::symlink(outer.join("out.lst"), folder.join("link.lst"));
        let absolute = outer.join("out.lst").display().to_string();
        for (file, good) in [
            ("in.lst", true),
            ("./in.lst", true),
            ("../out.lst", false),
            (absolute.as_str(), false),
            ("link.lst", false),
        ] {
            let got = DataSets::default().declare("s", &declared(Kind::String, Some(file), None), false, Some(&folder));
            assert_eq!(got.is_ok(), good, "{file}: {got:?}");
            let free = DataSets { anywhere: true, ..DataSets::default() };
            assert!(
                free.declare("s", &declared(Kind::String, Some(file), None), false, Some(&folder)).is_ok(),
                "{file}"
            );
        }
        let _ = std::fs::remove_dir_all(&outer);
    }

    #[test]
    fn a_set_holds_what_was_loaded_and_put_in_up_to_its_memcap() {
        let mut set = Set::new("s", Kind::String, 3 * (ENTRY_COST + 1));
        assert!(set.load("YQ==\n\nYg==\n", false).is_ok());
        DataSets::changes(&set);
        assert!(set.has(b"a") && !set.has(b"c"));
        assert!(!set.put(b"a", true) && set.put(b"a", false) && !set.has(b"a") && set.put(b"a", true) && set.has(b"a"));
        assert!(set.put(b"c", true) && set.has(b"c") && !set.put(b"d", true));
        assert_eq!(set.full(), 1);
        assert!(set.put(b"c", false) && set.put(b"d", true), "what was taken out makes room");
        let mut small = Set::new("s", Kind::String, 70);
        assert!(small.load("YQ==\nYg==\n", false).is_err());
        let mut md5 = Set::new("m", Kind::Md5, 1 << 20);
        assert!(md5.load("900150983cd24fb0d6963f7d28e17f72,7\n", true).is_ok());
        let digest = hex::decode("900150983cd24fb0d6963f7d28e17f72").expect("hex");
        assert_eq!((md5.value(&digest), md5.value(b"abc")), (Some(7), None));
        for bad in ["9001", "900150983cd24fb0d6963f7d28e17f72,70000", "900150983cd24fb0d6963f7d28e17f72"] {
            assert!(Set::new("m", Kind::Md5, 1 << 20).load(bad, true).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_set_has_one_type() {
        let sets = DataSets::default();
        assert!(sets.declare("s", &Declared::default(), false, None).is_err());
        let one = sets.declare("s", &declared(Kind::String, None, None), false, None).expect("declared");
        let two = sets.declare("s", &Declared::default(), false, None).expect("known");
        assert!(Arc::ptr_eq(&one, &two));
        assert!(sets.declare("s", &declared(Kind::Md5, None, None), false, None).is_err());
    }
}
