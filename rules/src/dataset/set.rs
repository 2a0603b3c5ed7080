// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! One data set: its entries, as files and rules give them, and what stands beside them.
//!
//! Must never hold more than its memcap. Limits: [`MAX_TOLD`], [`MAX_NAME`].

use std::{
    borrow::Cow,
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use serde_json::Value;

/// Longest JSON object beside an entry. Threat: alerts as large as the list that they come from.
pub const MAX_TOLD: usize = 16 << 10;
/// Longest bytes of which each end is looked up (`match subdomain`): a name (RFC 1035, section 2.3.4) behind a dot. Threat: a
/// file of nothing but dots, each of which begins an end.
pub const MAX_NAME: usize = 254;
/// Charged for an entry beside its bytes.
pub(super) const ENTRY_COST: u64 = 64;

/// What a set holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Any bytes; base64 in the file.
    String,
    /// 16 bytes; hex in the file.
    Md5,
    /// 32 bytes; hex in the file.
    Sha256,
    /// An IPv4 address, 4 bytes; written out in the file.
    Ipv4,
    /// An address of either kind; written out in the file. One of IPv4 is the same in IPv6's notation for it.
    Ip,
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
            "ipv4" => Self::Ipv4,
            "ip" => Self::Ip,
            other => return Err(format!("the type {other:?} is none of string, md5, sha256, ipv4, ip")),
        })
    }

    // An entry of a file, as it is held. Strings stand in base64, but in JSON as they are.
    fn decode(self, text: &str, plain: bool) -> Option<Vec<u8>> {
        use base64::Engine as _;
        match self {
            Self::String if plain => Some(text.as_bytes().to_vec()),
            Self::String => base64::engine::general_purpose::STANDARD.decode(text).ok(),
            Self::Md5 => hex::decode(text).ok().filter(|b| b.len() == 16),
            Self::Sha256 => hex::decode(text).ok().filter(|b| b.len() == 32),
            Self::Ipv4 => text.parse::<Ipv4Addr>().ok().map(|ip| ip.octets().to_vec()),
            Self::Ip => text.parse::<IpAddr>().ok().map(|ip| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            }),
        }
    }

    // A buffer's bytes as they are held; None where they are none of the type.
    fn held(self, bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
        let length = match self {
            Self::String => return Some(Cow::Borrowed(bytes)),
            Self::Ip => match <[u8; 4]>::try_from(bytes) {
                Ok(ip) => return Some(Cow::Owned(Ipv4Addr::from(ip).to_ipv6_mapped().octets().to_vec())),
                Err(_) => 16,
            },
            Self::Md5 => 16,
            Self::Sha256 => 32,
            Self::Ipv4 => 4,
        };
        (bytes.len() == length).then_some(Cow::Borrowed(bytes))
    }
}

/// How a file with JSON is read (`format`, `value_key`, `array_key`, `remove_key`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json {
    /// `format ndjson`: an object on each line; otherwise one document.
    pub lines: bool,
    /// Where in an object its entry stands: names with dots between them.
    pub value: String,
    /// Where in the document the list of objects stands; None: it is the document.
    pub array: Option<String>,
    /// Whether the entry itself is left out of what alerts show.
    pub remove: bool,
}

/// One set, shared by the rules that name it.
#[derive(Debug)]
pub struct Set {
    /// Its name.
    pub name: String,
    pub(super) kind: Kind,
    pub(super) memcap: u64,
    loaded: HashMap<Box<[u8]>, u16>,
    /// JSON objects beside entries; None where the set has none.
    pub(super) told: Option<HashMap<Box<[u8]>, Arc<str>>>,
    /// `match subdomain`: an entry also stands for what ends with it.
    pub(super) subdomains: bool,
    loaded_bytes: u64,
    /// Shared with the set of this name that it follows, whose rules run on until the new ones are in force.
    changed: Arc<Mutex<Changed>>,
    /// Whether a rule of the set changes it.
    pub(super) dynamic: AtomicBool,
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
    pub(super) fn new(name: &str, kind: Kind, memcap: u64) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            memcap,
            loaded: HashMap::new(),
            told: None,
            subdomains: false,
            loaded_bytes: 0,
            changed: Arc::default(),
            dynamic: AtomicBool::new(false),
            full: AtomicU64::new(0),
        }
    }

    // What rules did to that set is done to this one.
    pub(super) fn follow(&mut self, had: &Self) {
        self.changed = Arc::clone(&had.changed);
        self.dynamic = AtomicBool::new(had.dynamic());
    }

    // One entry a line; with `rep` a value behind a comma. Where memcap is reached it ends with an error: half a list is none.
    pub(super) fn load(&mut self, text: &str, rep: bool) -> Result<(), String> {
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
            let (Some(bytes), Some(value)) = (self.kind.decode(data.trim(), false), value) else {
                return Err(format!("line {} of the set's file is no entry of its type", n + 1));
            };
            self.charge(bytes.len())?;
            self.loaded.insert(bytes.into(), value);
        }
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> Result<(), String> {
        self.loaded_bytes += bytes as u64 + ENTRY_COST;
        if self.loaded_bytes > self.memcap {
            return Err(format!("the file holds more than the set's memcap of {} bytes", self.memcap));
        }
        Ok(())
    }

    // Objects that lack the entry's key are left out; one must have it. Of two with one entry the first counts.
    pub(super) fn load_json(&mut self, text: &str, how: &Json) -> Result<(), String> {
        self.told = Some(HashMap::new());
        let odd = |n: usize, what: &str| format!("object {} of the set's file {what}", n + 1);
        let mut take = |n: usize, mut object: Value| -> Result<(), String> {
            let Some(Value::String(entry)) = at(&object, &how.value) else { return Ok(()) };
            let bytes = self.kind.decode(entry.trim(), true).ok_or_else(|| odd(n, "has no entry of the set's type"))?;
            if how.remove {
                remove(&mut object, &how.value);
            }
            let json = object.to_string();
            if json.len() > MAX_TOLD {
                return Err(odd(n, &format!("is longer than {MAX_TOLD} bytes")));
            }
            self.charge(2 * bytes.len() + json.len())?;
            if self.loaded.insert(bytes.as_slice().into(), 0).is_none()
                && let Some(told) = &mut self.told
            {
                told.insert(bytes.into(), json.into());
            }
            Ok(())
        };
        if how.lines {
            for (n, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
                take(n, serde_json::from_str(line).map_err(|e| odd(n, &format!("is no JSON: {e}")))?)?;
            }
        } else {
            let mut whole: Value = serde_json::from_str(text).map_err(|e| format!("the set's file is no JSON: {e}"))?;
            let list = match &how.array {
                Some(path) => at_mut(&mut whole, path).ok_or_else(|| format!("the set's file has no {path:?}"))?,
                None => &mut whole,
            };
            let Value::Array(list) = list.take() else {
                return Err(String::from("the set's file has no list of objects there: array_key says where it is"));
            };
            list.into_iter().enumerate().try_for_each(|(n, object)| take(n, object))?;
        }
        match self.loaded.is_empty() {
            true => Err(format!("no object of the set's file has the key {:?}", how.value)),
            false => Ok(()),
        }
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

    /// Whether it is there, or with `match subdomain` what it belongs to.
    pub fn has(&self, bytes: &[u8]) -> bool {
        self.entry(bytes).is_some()
    }

    // The entry that stands for these bytes.
    fn entry<'b>(&self, bytes: &'b [u8]) -> Option<Cow<'b, [u8]>> {
        let held = self.kind.held(bytes)?;
        if self.exactly(&held) {
            return Some(held);
        }
        if !self.subdomains || bytes.len() > MAX_NAME {
            return None;
        }
        // From each dot on: what dotprefix makes of a name begins with one, as the entries do.
        let dots = bytes.iter().enumerate().filter(|(n, b)| **b == b'.' && *n > 0).map(|(n, _)| n);
        let mut ends = dots.filter_map(|n| bytes.get(n..));
        ends.find(|end| self.exactly(end)).map(Cow::Borrowed)
    }

    fn exactly(&self, held: &[u8]) -> bool {
        if self.dynamic()
            && let Some(there) = self.changed().there.get(held)
        {
            return *there;
        }
        self.loaded.contains_key(held)
    }

    /// The value that a loaded entry has.
    pub fn value(&self, bytes: &[u8]) -> Option<u16> {
        self.loaded.get(&*self.kind.held(bytes)?).copied()
    }

    /// The JSON object beside the entry that stands for these bytes.
    pub fn told(&self, bytes: &[u8]) -> Option<Arc<str>> {
        self.told.as_ref()?.get(&*self.entry(bytes)?).cloned()
    }

    /// Puts it in, or takes it out; whether that changed anything. What is not of the set's type is left.
    pub fn put(&self, bytes: &[u8], there: bool) -> bool {
        let Some(bytes) = self.kind.held(bytes) else { return false };
        if self.exactly(&bytes) == there {
            return false;
        }
        let bytes = &*bytes;
        let mut changed = self.changed();
        let cost = bytes.len() as u64 + ENTRY_COST;
        if self.loaded.contains_key(bytes) == there {
            if changed.there.remove(bytes).is_some() {
                changed.bytes = changed.bytes.saturating_sub(cost); // as it was loaded
            }
            return true;
        }
        if let Some(marked) = changed.there.get_mut(bytes) {
            *marked = there; // put in by a rule before it came with the file, too
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

// What stands at a path of names with dots between them.
fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |v, name| v.get(name))
}

fn at_mut<'v>(value: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    path.split('.').try_fold(value, |v, name| v.get_mut(name))
}

fn remove(value: &mut Value, path: &str) {
    let (parent, name) = match path.rsplit_once('.') {
        Some((parent, name)) => (at_mut(value, parent), name),
        None => (Some(value), path),
    };
    if let Some(Value::Object(map)) = parent {
        map.shift_remove(name);
    }
}
