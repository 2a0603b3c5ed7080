// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Data sets: large lists that rules look buffers up in (`dataset`, `datarep`), read from files or filled by rules, perhaps
//! with a JSON object beside each entry that alerts then show. Suricata user guide, "Datasets".
//!
//! Must never open a file outside the rule file's own folder (unless the operator allows it), never write one, and never
//! hold more than a set's memcap. Limits: [`MAX_SETS`], [`MAX_SET_FILE`], [`MAX_TOLD`], [`MAX_NAME`].

mod set;

use std::{
    collections::HashMap,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

pub use self::set::{Json, Kind, MAX_NAME, MAX_TOLD, Set};
use crate::hashlist::{HashKind, HashList, MAX_LISTS};

/// Most sets. Threat: a generated rule file that declares millions.
pub const MAX_SETS: usize = 4_096;
/// Largest file of a set. Threat: a wrong path (a capture, a device) read whole.
pub const MAX_SET_FILE: u64 = 1 << 30;
/// Bytes that a set may hold where nothing is said.
pub const DEFAULT_MEMCAP: u64 = 100 << 20;

/// What a `dataset` or `datarep` keyword asks of a buffer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lookup {
    /// In which set.
    pub set: Arc<Set>,
    /// What is asked or done.
    pub op: LookupOp,
    /// `context_key`: what alerts call the JSON object beside the entry.
    pub context: Option<Arc<str>>,
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

    /// What the set says of an entry that was found, and what alerts call it.
    pub fn told(&self, bytes: &[u8]) -> Option<(&Arc<str>, Arc<str>)> {
        let key = self.context.as_ref().filter(|_| self.op == LookupOp::Isset)?;
        Some((key, self.set.told(bytes)?))
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

// Sets by their name.
type Sets = Arc<Mutex<HashMap<String, Arc<Set>>>>;

/// The sets of a rule set, as they are declared.
#[derive(Clone, Debug, Default)]
pub struct DataSets {
    /// Whether rules may name files anywhere (`datasets.rules.allow-absolute-filenames`).
    pub anywhere: bool,
    /// `datasets.defaults.memcap`: bytes that a set may hold where nothing is said of it.
    pub memcap: Option<u64>,
    sets: Sets,
    /// Those that these follow, while rules are read.
    before: Option<Sets>,
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
    /// `format json` and what goes with it.
    pub json: Option<Json>,
    /// `match subdomain`
    pub subdomains: bool,
}

impl DataSets {
    /// Says that these come after others: what rules put into a set there, or took out of it, holds for the set of the same
    /// name and type here.
    pub fn follow(&mut self, before: &Self) {
        self.before = Some(Arc::clone(&before.sets));
    }

    /// These, once rules have been read: they let go of those that they follow.
    pub(crate) fn settled(&self) -> Self {
        Self { before: None, ..self.clone() }
    }

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
            if how.json.is_some() && had.told.is_none() {
                return Err(format!("the set {name:?} was declared without JSON before"));
            }
            if how.subdomains && !had.subdomains {
                return Err(format!("the set {name:?} was declared without `match subdomain` before"));
            }
            return Ok(Arc::clone(had));
        }
        if sets.len() == MAX_SETS {
            return Err(format!("more than {MAX_SETS} data sets"));
        }
        let kind = how.kind.ok_or_else(|| format!("the set {name:?} is not declared yet: give its type"))?;
        let mut set = Set::new(name, kind, how.memcap.or(self.memcap).unwrap_or(DEFAULT_MEMCAP));
        set.subdomains = how.subdomains;
        let before = self.before.as_ref().map(|b| b.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(had) = before.as_ref().and_then(|b| b.get(name)).filter(|had| had.kind == kind) {
            set.follow(had);
        }
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
            let text = String::from_utf8_lossy(&text);
            match &how.json {
                Some(json) => set.load_json(&text, json)?,
                None => set.load(&text, rep)?,
            }
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
    use super::{set::ENTRY_COST, *};

    fn declared(kind: Kind, load: Option<&str>, memcap: Option<u64>) -> Declared {
        Declared { kind: Some(kind), load: load.map(PathBuf::from), memcap, ..Declared::default() }
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
    fn a_set_that_follows_another_holds_what_rules_did_to_that() {
        let string = |load: Option<&str>| declared(Kind::String, load, None);
        let folder = std::env::temp_dir().join(format!("lagewarte-followed-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("a.lst"), "YQ==\nYg==\n").expect("written");
        let first = DataSets::default();
        let old = first.declare("s", &string(Some("a.lst")), false, Some(&folder)).expect("declared");
        DataSets::changes(&old);
        assert!(old.put(b"a", false) && old.put(b"c", true) && old.put(b"d", true));
        // What came with the rules is another list now, in which one stands that a rule had put in.
        std::fs::write(folder.join("b.lst"), "YQ==\nZA==\n").expect("written");
        let mut second = DataSets::default();
        second.follow(&first);
        let new = second.declare("s", &string(Some("b.lst")), false, Some(&folder)).expect("declared");
        let there = |set: &Set| [&b"a"[..], b"b", b"c", b"d"].map(|e| set.has(e));
        assert_eq!((there(&old), there(&new)), ([false, true, true, true], [false, false, true, true]));
        assert!(old.put(b"e", true) && new.has(b"e"), "the old rules run on until the new ones are in force");
        assert!(new.put(b"d", false) && !new.has(b"d") && new.put(b"d", true) && new.has(b"d"));
        assert!(new.put(b"a", true) && new.has(b"a"));
        let mut third = DataSets::default();
        third.follow(&second.settled());
        assert!(third.declare("s", &declared(Kind::Ip, None, None), false, None).is_ok_and(|s| !s.dynamic()));
        assert!(second.settled().before.is_none());
        let _ = std::fs::remove_dir_all(&folder);
    }

    #[test]
    fn addresses_are_the_same_in_either_notation() {
        let mut set = Set::new("a", Kind::Ip, 1 << 20);
        assert!(set.load("192.0.2.1\n::ffff:192.0.2.2\n2001:db8::1\n", false).is_ok());
        let six = |t: &str| t.parse::<std::net::Ipv6Addr>().expect("an address").octets();
        for (bytes, there) in [
            (&[192, 0, 2, 1][..], true),
            (&[192, 0, 2, 2], true),
            (&[192, 0, 2, 3], false),
            (&six("::ffff:192.0.2.1"), true),
            (&six("2001:db8::1"), true),
            (&six("2001:db8::2"), false),
            (b"192.0.2.1", false),
        ] {
            assert_eq!(set.has(bytes), there, "{bytes:?}");
        }
        let mut four = Set::new("b", Kind::Ipv4, 1 << 20);
        assert!(four.load("2001:db8::1\n", false).is_err() && four.load("192.0.2.1", false).is_ok());
        assert!(four.has(&[192, 0, 2, 1]) && !four.has(&six("::ffff:192.0.2.1")));
    }

    #[test]
    fn a_name_below_an_entry_is_found_where_the_set_says_so() {
        for (subdomains, name, there) in [
            (true, ".evil.example", true),
            (true, ".a.b.evil.example", true),
            (true, ".evil.example.org", false),
            (true, ".notevil.example", false),
            (true, "a.evil.example", true),
            (false, ".a.evil.example", false),
            (false, ".evil.example", true),
        ] {
            let mut set = Set::new("s", Kind::String, 1 << 20);
            set.subdomains = subdomains;
            assert!(set.load("LmV2aWwuZXhhbXBsZQ==", false).is_ok());
            assert_eq!(set.has(name.as_bytes()), there, "{name}");
        }
    }

    #[test]
    fn the_ends_of_what_is_longer_than_a_name_are_not_looked_up() {
        let mut set = Set::new("s", Kind::String, 1 << 20);
        set.subdomains = true;
        assert!(set.load("LmV2aWwuZXhhbXBsZQ==", false).is_ok());
        let below = |dots: usize| format!("{}.evil.example", ".".repeat(dots)).into_bytes();
        assert!(set.has(&below(MAX_NAME - 13)) && !set.has(&below(MAX_NAME - 12)));
        assert!(!set.has(&below(4 << 20)), "and it takes no time");
    }

    #[test]
    fn what_stands_beside_an_entry_is_told() {
        let json = |lines, value: &str, array: Option<&str>, remove| Json {
            lines,
            value: value.into(),
            array: array.map(String::from),
            remove,
        };
        let list = r#"[{"h":"a","y":1},{"y":2},{"h":"a","y":3}]"#;
        let nested = r#"{"in":{"list":[{"h":{"n":"a","d":"x"},"y":1}]}}"#;
        for (text, how, want) in [
            (list, json(false, "h", None, false), Ok(r#"{"h":"a","y":1}"#)),
            (list, json(false, "h", None, true), Ok(r#"{"y":1}"#)),
            (nested, json(false, "h.n", Some("in.list"), true), Ok(r#"{"h":{"d":"x"},"y":1}"#)),
            ("{\"h\":\"a\"}\n\n{\"h\":\"b\"}\n", json(true, "h", None, false), Ok(r#"{"h":"a"}"#)),
            (nested, json(false, "h", Some("in.none"), false), Err("has no \"in.none\"")),
            (nested, json(false, "h", None, false), Err("no list of objects")),
            (list, json(false, "k", None, false), Err("has the key \"k\"")),
            ("{", json(false, "h", None, false), Err("no JSON")),
            ("{}\n{", json(true, "h", None, false), Err("object 2")),
        ] {
            let mut set = Set::new("j", Kind::String, 1 << 20);
            let got = set.load_json(text, &how);
            match want {
                Ok(told) => assert_eq!(set.told(b"a").as_deref(), Some(told), "{text}: {got:?}"),
                Err(why) => assert!(got.as_ref().is_err_and(|e| e.contains(why)), "{text}: {got:?}"),
            }
            assert_eq!(set.told(b"z"), None);
        }
        let long = format!(r#"[{{"h":"a","y":"{}"}}]"#, "x".repeat(MAX_TOLD));
        let how = json(false, "h", None, false);
        let longest = Set::new("j", Kind::String, 1 << 20).load_json(&long, &how);
        assert!(longest.is_err_and(|e| e.contains("longer than")));
        assert!(Set::new("j", Kind::String, 70).load_json(list, &how).is_err(), "over the memcap");
        // Nested as deep as the reader goes, and no further.
        assert!(Set::new("j", Kind::String, 1 << 20).load_json(&"[".repeat(100_000), &how).is_err());
    }

    /// Suricata user guide, "Datasets": `isset`, `isnotset`, `set` and `unset` hold by what was there before; `datarep` compares
    /// the value beside an entry.
    #[test]
    fn an_operation_holds_by_what_was_there_before() {
        let mut set = Set::new("s", Kind::String, 1 << 20);
        assert!(set.load("YQ==,7\n", true).is_ok());
        DataSets::changes(&set);
        let set = Arc::new(set);
        let lookup = |op| Lookup { set: Arc::clone(&set), op, context: None };
        let between = |from, to, negated| LookupOp::Value(crate::ast::Interval { from, to, negated });
        for (op, entry, want, keyword) in [
            (LookupOp::Isset, &b"a"[..], true, "dataset"),
            (LookupOp::Isset, b"b", false, "dataset"),
            (LookupOp::Isnotset, b"b", true, "dataset"),
            (LookupOp::Set, b"b", true, "dataset"),
            (LookupOp::Set, b"b", false, "dataset"), // it is there by now
            (LookupOp::Isset, b"b", true, "dataset"),
            (LookupOp::Unset, b"b", true, "dataset"),
            (LookupOp::Unset, b"b", false, "dataset"),
            (LookupOp::Isnotset, b"b", true, "dataset"),
            (between(7, 7, false), b"a", true, "datarep"),
            (between(8, u64::MAX, false), b"a", false, "datarep"),
            (between(0, u64::MAX, false), b"b", false, "datarep"), // no entry has no value
        ] {
            let asks = lookup(op);
            assert_eq!((asks.run(entry), asks.keyword()), (want, keyword), "{op:?} {entry:?}");
            assert_eq!(asks.changes(), matches!(op, LookupOp::Set | LookupOp::Unset));
        }
        let mut md5 = Set::new("m", Kind::Md5, 1 << 20);
        assert!(md5.load("900150983cd24fb0d6963f7d28e17f72\n", false).is_ok());
        DataSets::changes(&md5);
        assert!(!md5.put(b"abc", true) && !md5.has(b"abc"), "what is not of its type is left");
        assert_eq!(lookup(LookupOp::Isset), lookup(LookupOp::Isset));
    }

    #[test]
    fn an_alert_shows_what_stands_beside_the_entry_under_the_rules_own_name() {
        let mut set = Set::new("j", Kind::Ip, 1 << 20);
        let how = Json { lines: true, value: "ip".into(), array: None, remove: true };
        assert!(set.load_json(r#"{"ip":"192.0.2.1","who":"x"}"#, &how).is_ok());
        let set = Arc::new(set);
        let lookup = |op, context: Option<&str>| Lookup { set: Arc::clone(&set), op, context: context.map(Into::into) };
        let told = |op, context| {
            let asks = lookup(op, context);
            asks.told(&[192, 0, 2, 1]).map(|(key, json)| (key.to_string(), json.to_string()))
        };
        assert_eq!(told(LookupOp::Isset, Some("bad")), Some(("bad".to_owned(), r#"{"who":"x"}"#.to_owned())));
        assert_eq!((told(LookupOp::Isset, None), told(LookupOp::Isnotset, Some("bad"))), (None, None));
        assert!(lookup(LookupOp::Isset, Some("bad")).told(&[192, 0, 2, 2]).is_none());
    }

    #[test]
    fn types_are_those_of_the_user_guide_and_entries_are_checked_by_them() {
        for (name, good, bad) in [
            ("string", "YQ==", "a?"),
            ("md5", "900150983cd24fb0d6963f7d28e17f72", "9001"),
            ("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "ba78"),
            ("ipv4", "192.0.2.1", "2001:db8::1"),
            ("ip", "2001:db8::1", "192.0.2"),
        ] {
            let kind = Kind::parse(name).expect("a type");
            assert!(Set::new("s", kind, 1 << 20).load(good, false).is_ok(), "{name}");
            let refused = Set::new("s", kind, 1 << 20).load(&format!("\n{bad}"), false);
            assert!(refused.is_err_and(|e| e.contains("line 2")), "{name}");
        }
        assert!(Kind::parse("ipv6").is_err_and(|e| e.contains("none of")));
        let mut sha256 = Set::new("s", Kind::Sha256, 1 << 20);
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // FIPS 180: of "abc"
        assert!(sha256.load(digest, false).is_ok());
        assert!(sha256.has(&hex::decode(digest).expect("hex")) && !sha256.has(b"abc"));
    }

    #[test]
    fn a_declaration_that_does_not_fit_an_earlier_one_is_refused() {
        let folder = std::env::temp_dir().join(format!("lagewarte-declared-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("j"), "{\"h\":\"a\"}\n").expect("written");
        std::fs::File::create(folder.join("large")).and_then(|f| f.set_len(MAX_SET_FILE + 1)).expect("a sparse file");
        let json = Some(Json { lines: true, value: "h".into(), array: None, remove: false });
        let plain = declared(Kind::String, None, None);
        let with_json = Declared { json, load: Some("j".into()), ..plain.clone() };
        let sets = DataSets { memcap: Some(70), ..DataSets::default() };
        let declare = |name: &str, how: &Declared| sets.declare(name, how, false, Some(&folder)).map(|s| s.memcap);
        assert_eq!(declare("plain", &plain), Ok(70), "what the operator says holds where the rule says nothing");
        let roomy = Declared { memcap: Some(1 << 20), ..with_json.clone() };
        assert_eq!(declare("json", &roomy), Ok(1 << 20));
        assert_eq!(declare("json", &with_json), Ok(1 << 20), "the first declaration counts");
        for (name, how, why) in [
            ("plain", with_json.clone(), "without JSON before"),
            ("plain", Declared { subdomains: true, ..plain.clone() }, "without `match subdomain`"),
            ("new", Declared::default(), "give its type"),
            ("new", declared(Kind::String, Some("missing"), None), "cannot be read"),
            ("new", declared(Kind::String, Some("large"), None), "larger than"),
            ("new", with_json, "memcap of 70 bytes"),
        ] {
            let got = declare(name, &how);
            assert!(got.as_ref().is_err_and(|e| e.contains(why)), "{why}: {got:?}");
        }
        let mut n = 0;
        while declare(&format!("n{n}"), &plain).is_ok() {
            n += 1;
        }
        assert_eq!(n, MAX_SETS - 2, "and no more");
        let _ = std::fs::remove_dir_all(&folder);
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
