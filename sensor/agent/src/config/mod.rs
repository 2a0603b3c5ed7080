// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Configuration: a YAML file with Suricata's keys and our own under `lagewarte:`, and `--set KEY=VALUE`.
//!
//! Must never half-apply: a key is honoured, or named as ignored with the reason, or refused. How hard it is on Suricata's
//! keys is the caller's choice ([`Strictness`]); unknown or malformed keys of our own are always refused. All faults of a
//! file are reported at once. Limits: see [`node`].

use std::{fmt, fs, path::Path, path::PathBuf};

pub mod filestore;
pub mod keys;
pub mod mail;
pub mod network;
pub mod node;
pub mod protocols;
pub mod reference;
pub mod settings;
pub mod shadow;
pub mod stream;
pub mod xff;

pub use settings::Settings;

use keys::{Kind, Known, Use};
use node::Node;

/// How Suricata keys that cannot be honoured are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// `replay`: unknown ones and wrong values are warned of, and the default is taken.
    Warn,
    /// `run`, `tail`, `config check`: unknown ones and wrong values are refused.
    Refuse,
}

/// One thing to say about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The dotted path.
    pub key: String,
    /// The line in the file, as near as can be told; none for `--set`.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub what: String,
}

/// A configuration that was read, and what there is to say about it.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub settings: Settings,
    /// Keys without effect that are not refused. One line each for stderr, from [`Loaded::warnings_text`].
    pub warnings: Vec<Fault>,
    file: Option<PathBuf>,
}

impl Loaded {
    /// The warnings, one line each, with the file's name.
    pub fn warnings_text(&self) -> Vec<String> {
        self.warnings.iter().map(|f| line(self.file.as_deref(), f)).collect()
    }
}

/// Why a configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "cannot read the configuration {path}: {source}\nName the file with -c; an example is lagewarte-sensor.yaml in the package."
    )]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no YAML, or over a cap.
    #[error(
        "{path}: {what}\nNothing was started. Correct the file; `lagewarte-sensor config check -c {path}` tries it."
    )]
    Yaml {
        /// Which file.
        path: PathBuf,
        /// What the YAML reader says, with line and column.
        what: String,
    },
    /// Keys or values that are refused.
    #[error("{}", Refused(.file.as_deref(), .faults))]
    Keys {
        /// Which file, none if only `--set` was given.
        file: Option<PathBuf>,
        /// All of them.
        faults: Vec<Fault>,
    },
    /// A `--set` that is no `KEY=VALUE`, or names a place that is not there.
    #[error("--set {given}: {what}")]
    Set {
        /// As typed.
        given: String,
        /// What is wrong.
        what: String,
    },
}

struct Refused<'a>(Option<&'a Path>, &'a [Fault]);

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in self.1 {
            writeln!(f, "{}", line(self.0, fault))?;
        }
        write!(
            f,
            "Nothing was started: {} in the configuration. Each key is described in docs/sensor-config.md.",
            match self.1.len() {
                1 => "one mistake".to_owned(),
                n => format!("{n} mistakes"),
            }
        )
    }
}

fn line(file: Option<&Path>, fault: &Fault) -> String {
    match (file, fault.line) {
        (Some(file), Some(line)) => format!("{}:{line}: {}: {}", file.display(), fault.key, fault.what),
        (Some(file), None) => format!("{} or --set: {}: {}", file.display(), fault.key, fault.what),
        (None, _) => format!("--set: {}: {}", fault.key, fault.what),
    }
}

/// Reads a configuration file (or none: all defaults) and applies `--set` values in their order.
///
/// # Errors
/// Every [`ConfigError`].
pub fn load(file: Option<&Path>, sets: &[String], strictness: Strictness) -> Result<Loaded, ConfigError> {
    let (text, mut tree) = match file {
        None => (String::new(), Node::Null),
        Some(path) => {
            let read = |source| ConfigError::Read { path: path.to_owned(), source };
            let yaml = |what| ConfigError::Yaml { path: path.to_owned(), what };
            let size = fs::metadata(path).map_err(read)?.len();
            if size > node::MAX_BYTES as u64 {
                return Err(yaml(format!("{size} bytes; a configuration has at most {}", node::MAX_BYTES)));
            }
            let bytes = fs::read(path).map_err(read)?;
            let text = String::from_utf8(bytes).map_err(|e| {
                let before = &e.as_bytes()[..e.utf8_error().valid_up_to()]; // within bounds: the valid part
                yaml(format!("line {}: not UTF-8", 1 + before.iter().filter(|b| **b == b'\n').count()))
            })?;
            let tree = Node::parse(&text).map_err(yaml)?;
            (text, tree)
        }
    };
    for given in sets {
        let fault = |what: String| ConfigError::Set { given: given.clone(), what };
        let (key, value) = given.split_once('=').ok_or_else(|| fault("KEY=VALUE is wanted".into()))?;
        tree.set(&key.trim().split('.').collect::<Vec<_>>(), value.trim()).map_err(fault)?;
    }
    let (refused, warnings) = check(&tree, &text, strictness);
    if !refused.is_empty() {
        return Err(ConfigError::Keys { file: file.map(Path::to_owned), faults: refused });
    }
    let mut settings = Settings::read(&tree, file.and_then(Path::parent));
    let (faults, warnings) = match settings.faults(&tree) {
        late if strictness == Strictness::Refuse => (late, warnings),
        late => {
            let (own, foreign): (Vec<_>, Vec<_>) = late.into_iter().partition(|f| f.key.starts_with("lagewarte"));
            (own, warnings.into_iter().chain(foreign).collect())
        }
    };
    let at = |mut f: Fault| {
        f.line = node::line_of(&text, &f.key);
        f
    };
    if !faults.is_empty() {
        let faults = faults.into_iter().map(at).collect();
        return Err(ConfigError::Keys { file: file.map(Path::to_owned), faults });
    }
    settings.file = file.map(Path::to_owned);
    Ok(Loaded { settings, warnings, file: file.map(Path::to_owned) })
}

/// Most faults listed; more are one cause (a wrong indentation), not more news.
const MAX_FAULTS: usize = 100;

fn check(tree: &Node, text: &str, strictness: Strictness) -> (Vec<Fault>, Vec<Fault>) {
    let (mut refused, mut warned) = (Vec::new(), Vec::new());
    if !matches!(tree, Node::Map(_) | Node::Null) {
        refused.push(Fault { key: "(the file)".into(), line: Some(1), what: "key: value pairs are wanted".into() });
    }
    let mut idle: Vec<(&'static keys::Key, Fault, usize)> = Vec::new();
    let mut covered: Vec<String> = Vec::new(); // sections of which everything is said
    let mut said = std::collections::BTreeSet::new();
    for (path, node) in tree.paths() {
        let beneath = |s: &String| path.strip_prefix(s.as_str()).is_some_and(|rest| rest.starts_with('.'));
        if covered.iter().any(beneath) || !said.insert(path.clone()) {
            continue;
        }
        let own = path == "lagewarte" || path.starts_with("lagewarte.");
        let hard = own || strictness == Strictness::Refuse;
        let what = match keys::look_up(&path) {
            Known::Key(key) => match key.used {
                Use::Ignored(why) => {
                    covered.push(path.clone());
                    // One line for each entry of the table: a stock suricata.yaml has hundreds of such keys.
                    match idle.iter_mut().find(|(k, _, _)| std::ptr::eq(*k, key)) {
                        Some((_, _, more)) => *more += 1,
                        None => {
                            let what = format!("has no effect: {}", why.text());
                            idle.push((key, Fault { line: node::line_of(text, &path), key: path, what }, 0));
                        }
                    }
                    continue;
                }
                Use::Honoured(kind, _, _) => misread(kind, node),
            },
            Known::Section => {
                matches!(node, Node::Text(_)).then(|| "is a section: its keys are wanted beneath it".into())
            }
            Known::Unknown => {
                covered.push(path.clone());
                let tag = path.rsplit('.').next().is_some_and(|k| k.starts_with('!')) || path == "include";
                Some(match keys::nearest(&path) {
                    _ if tag => "is not supported: write the included keys into this file".to_owned(),
                    Some(near) => format!("unknown key; did you mean {near}?"),
                    None => "unknown key".to_owned(),
                })
            }
        };
        let list = if hard { &mut refused } else { &mut warned };
        if let Some(what) = what.filter(|_| list.len() < MAX_FAULTS) {
            list.push(Fault { line: node::line_of(text, &path), key: path, what });
        }
    }
    warned.extend(idle.into_iter().map(|(_, mut fault, more)| {
        if more > 0 {
            fault.what = format!("and {more} more: {}", fault.what.replacen("has", "have", 1));
        }
        fault
    }));
    (refused, warned)
}

/// Says what is wrong with a value, or nothing.
fn misread(kind: Kind, node: &Node) -> Option<String> {
    let text = match (kind, node) {
        (_, Node::Null) | (Kind::Section, _) => return None,
        (Kind::List, Node::List(items)) => {
            return items.iter().any(|i| i.text().is_none()).then(|| "a list of plain texts is wanted".to_owned());
        }
        (Kind::List, Node::Text(_)) => return None,
        (Kind::Text, Node::List(_)) => return Some("text is wanted: put the brackets in quotes, \"[...]\"".into()),
        (_, Node::Text(text)) => text,
        (_, Node::List(_) | Node::Map(_)) => return Some("one value is wanted, not a list or a section".into()),
    };
    let (fine, wanted) = match kind {
        Kind::Flag => (settings::flag(text).is_some(), "yes or no"),
        Kind::FlagOrAuto => (text == "auto" || settings::flag(text).is_some(), "yes, no or auto"),
        Kind::FlagOrDetection => (settings::mode(text).is_some(), "yes, no or detection-only"),
        Kind::Number | Kind::Seconds => (text.parse::<u32>().is_ok(), "a whole number"),
        Kind::NumberOrAuto => (text == "auto" || text.parse::<u32>().is_ok(), "a whole number or auto"),
        Kind::Size => (settings::size(text).is_some(), "a size such as 64mb"),
        Kind::Listen => {
            (text.is_empty() || text.parse::<std::net::SocketAddr>().is_ok(), "address:port such as 127.0.0.1:9475")
        }
        Kind::OneOf(words) => (words.split(' ').any(|w| w == text), words),
        Kind::Text | Kind::List | Kind::Section => (true, ""),
    };
    let shown: String = text.chars().take(60).collect();
    let wanted =
        if matches!(kind, Kind::OneOf(_)) { format!("one of: {}", wanted.replace(' ', ", ")) } else { wanted.into() };
    (!fine).then(|| format!("{wanted} is wanted, not {shown:?}"))
}

#[cfg(test)]
mod tests;
