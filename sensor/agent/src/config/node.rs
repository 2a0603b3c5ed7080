// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A YAML file as a small tree of text, read under caps.
//!
//! Suricata knows no types in its YAML: everything is text that a key reads its own way, so `yes`, `true` and `1` are one
//! value. This tree keeps that. Must never grow beyond its caps while it reads: a file that refers to itself over and over
//! (an alias bomb) is refused at the cap, not after memory is gone.

use std::{cell::Cell, fmt};

use serde::de::{self, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

/// Largest configuration file in bytes. Threat: a wrong path (a capture, a log) read into memory as a configuration.
pub const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting. Threat: a stack overflow by brackets.
pub const MAX_DEPTH: usize = 24;
/// Most values, aliases written out. Threat: an alias bomb, a few lines that stand for billions of values.
pub const MAX_NODES: usize = 50_000;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Nothing (`key:`).
    Null,
    /// Any scalar, as text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the file's order; of a key that stands twice, the last one counts.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Reads YAML text.
    ///
    /// # Errors
    /// A sentence with line and column where the text is no YAML or over a cap.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("{} bytes; a configuration has at most {MAX_BYTES}", text.len()));
        }
        let left = Cell::new(MAX_NODES);
        let mut root = None;
        for (n, document) in serde_yaml_ng::Deserializer::from_str(text).enumerate() {
            if n > 0 {
                return Err("a second YAML document (`---`) begins; one file is one document".into());
            }
            root = Some(Seed { left: &left, depth: 0 }.deserialize(document).map_err(|e| e.to_string())?);
        }
        Ok(root.unwrap_or(Self::Null))
    }

    /// The member `key` of a mapping, or of the mappings in a list (`outputs: [eve-log: ...]` is read as a mapping).
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(members) => members.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v),
            Self::List(items) => items.iter().find_map(|i| i.get(key)),
            _ => None,
        }
    }

    /// The value at a dotted path.
    pub fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, key| node.get(key))
    }

    /// The texts of a list; of a text (`--set` can only give one) those between commas: `a,b` or `[a,b]`.
    pub fn list(&self) -> Vec<String> {
        match self {
            Self::List(items) => items.iter().filter_map(|i| i.text().map(str::to_owned)).collect(),
            Self::Text(t) => {
                let t = t.trim().trim_start_matches('[').trim_end_matches(']');
                t.split(',').map(|i| i.trim().to_owned()).filter(|i| !i.is_empty()).collect()
            }
            Self::Map(_) | Self::Null => Vec::new(),
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(t) => Some(t),
            _ => None,
        }
    }

    /// Sets the value at a path as `--set` names it: dots between keys, a number chooses a list's entry.
    ///
    /// # Errors
    /// Where the path names an entry that a list does not have, or goes deeper than [`MAX_DEPTH`].
    pub fn set(&mut self, path: &[&str], value: &str) -> Result<(), String> {
        let Some((first, rest)) = path.split_first() else {
            *self = Self::Text(value.to_owned());
            return Ok(());
        };
        if path.len() > MAX_DEPTH {
            return Err(format!("the key is deeper than {MAX_DEPTH} levels"));
        }
        if let (Self::List(items), Ok(index)) = (&mut *self, first.parse::<usize>()) {
            let have = items.len();
            return match items.get_mut(index) {
                Some(item) => item.set(rest, value),
                None => Err(format!("entry {index} of a list that has {have}")),
            };
        }
        match self {
            Self::List(items) => {
                if let Some(item) = items.iter_mut().find(|i| i.get(first).is_some()) {
                    return item.set(path, value);
                }
                let mut new = Self::Map(Vec::new());
                new.set(path, value)?;
                // `- alert` becomes `- alert: {...}` when one of its members is set.
                match items.iter_mut().find(|i| i.text() == Some(*first)) {
                    Some(item) => *item = new,
                    None => items.push(new),
                }
                Ok(())
            }
            Self::Map(members) => {
                let at = match members.iter().rposition(|(k, _)| k == first) {
                    Some(at) => at,
                    None => {
                        members.push(((*first).to_owned(), Self::Null));
                        members.len() - 1
                    }
                };
                members[at].1.set(rest, value)
            }
            Self::Null | Self::Text(_) => {
                *self = Self::Map(Vec::new());
                self.set(path, value)
            }
        }
    }

    /// Every dotted path in the tree with its value, lists of mappings read as mappings; for the check of names.
    pub fn paths(&self) -> Vec<(String, &Self)> {
        let mut out = Vec::new();
        self.collect(&mut String::new(), &mut out);
        out
    }

    fn collect<'a>(&'a self, prefix: &mut String, out: &mut Vec<(String, &'a Self)>) {
        match self {
            Self::Map(members) => {
                for (key, value) in members {
                    let len = prefix.len();
                    if len > 0 {
                        prefix.push('.');
                    }
                    prefix.push_str(key);
                    out.push((prefix.clone(), value));
                    value.collect(prefix, out);
                    prefix.truncate(len);
                }
            }
            Self::List(items) => items.iter().for_each(|i| i.collect(prefix, out)),
            Self::Null | Self::Text(_) => {}
        }
    }
}

/// The line (from 1) on which a dotted path stands in YAML text, as near as indentation tells; None where it is not found.
pub fn line_of(text: &str, path: &str) -> Option<usize> {
    let mut lines = text.lines().enumerate().filter_map(|(n, line)| {
        let body = line.trim_start_matches([' ', '-']);
        let content = !body.is_empty() && !body.starts_with(['#', '%']) && line != "---";
        content.then(|| (n + 1, line.len() - body.len(), body))
    });
    let mut parent: Option<usize> = None;
    let mut found = None;
    for key in path.split('.') {
        let mut level = None; // the column of the parent's members: that of the first one
        let (number, column) = loop {
            let (number, column, body) = lines.next()?;
            if parent.is_some_and(|p| column <= p) {
                return None; // the parent's section is over
            }
            let member = *level.get_or_insert(column) == column;
            let named =
                body.trim_start_matches(['"', '\'']).strip_prefix(key).map(|rest| rest.trim_start_matches(['"', '\'']));
            if member && named.is_some_and(|rest| rest.starts_with(':') || rest.trim().is_empty()) {
                break (number, column);
            }
        };
        parent = Some(column);
        found = Some(number);
    }
    found
}

struct Seed<'c> {
    left: &'c Cell<usize>,
    depth: usize,
}

impl Seed<'_> {
    fn spend<E: de::Error>(&self) -> Result<(), E> {
        if self.depth > MAX_DEPTH {
            return Err(E::custom(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                Err(E::custom(format!("more than {MAX_NODES} values (aliases are counted as often as they stand)")))
            }
        }
    }
    fn inner(&self) -> Seed<'_> {
        Seed { left: self.left, depth: self.depth + 1 }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;
    fn deserialize<D: de::Deserializer<'de>>(self, d: D) -> Result<Node, D::Error> {
        self.spend()?;
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_some<D: de::Deserializer<'de>>(self, d: D) -> Result<Node, D::Error> {
        d.deserialize_any(self)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Node, E> {
        Ok(Node::Text(v.to_string()))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Node, E> {
        Ok(Node::Text(v.to_string()))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Node, E> {
        Ok(Node::Text(v.to_string()))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Node, E> {
        Ok(Node::Text(v.to_string()))
    }
    fn visit_str<E>(self, v: &str) -> Result<Node, E> {
        Ok(Node::Text(v.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.inner())? {
            items.push(item);
        }
        Ok(Node::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key_seed(self.inner())? {
            let key = match key {
                Node::Text(t) => t,
                _ => return Err(de::Error::custom("a key that is not a plain word")),
            };
            members.push((key, map.next_value_seed(self.inner())?));
        }
        Ok(Node::Map(members))
    }
    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Node, A::Error> {
        // `!include file.yaml` and other tags: kept under the tag's name, so that the check of names reports it.
        let inner = self.inner();
        let (tag, value) = data.variant::<String>()?;
        let value = value.newtype_variant_seed(inner)?;
        Ok(Node::Map(vec![(format!("!{}", tag.trim_start_matches('!')), value)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suricata_yaml_reads_as_text() {
        let tree = Node::parse(
            "%YAML 1.1\n---\nvars:\n  address-groups:\n    HOME_NET: \"[10.0.0.0/8,!10.1.0.0/16]\"\noutputs:\n  - fast:\n      enabled: no\n  - eve-log:\n      types:\n        - alert\n        - dns:\n            version: 2\n",
        )
        .unwrap();
        assert_eq!(tree.at("vars.address-groups.HOME_NET").unwrap().text(), Some("[10.0.0.0/8,!10.1.0.0/16]"));
        assert_eq!(tree.at("outputs.fast.enabled").unwrap().text(), Some("no"));
        assert_eq!(tree.at("outputs.eve-log.types.dns.version").unwrap().text(), Some("2"));
        assert!(tree.paths().iter().any(|(p, _)| p == "outputs.eve-log.types.dns.version"));
        assert_eq!(tree.at("outputs.nothing"), None);
    }

    #[test]
    fn set_reaches_keys_list_entries_and_what_is_not_there_yet() {
        let mut tree = Node::parse("outputs:\n  - fast:\n  - eve-log:\n      types:\n        - alert\n").unwrap();
        for (path, value) in [
            ("outputs.1.eve-log.community-id", "true"),
            ("outputs.eve-log.types.alert.payload", "yes"),
            ("stream.midstream", "true"),
            ("stream", "x"),
        ] {
            tree.set(&path.split('.').collect::<Vec<_>>(), value).unwrap();
        }
        assert_eq!(tree.at("outputs.eve-log.community-id").unwrap().text(), Some("true"));
        assert_eq!(tree.at("outputs.eve-log.types.alert.payload").unwrap().text(), Some("yes"));
        assert_eq!(tree.at("stream").unwrap().text(), Some("x"));
        assert!(tree.set(&["outputs", "7", "x"], "y").unwrap_err().contains("entry 7 of a list that has 2"));
        assert!(tree.set(&["k"; MAX_DEPTH + 1], "y").is_err());
    }

    #[test]
    fn each_cap_is_hit() {
        let bomb = (0..9).fold(String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"), |s, i| {
            let list = vec![format!("*a{i}"); 10].join(",");
            format!("{s}a{}: &a{} [{list}]\n", i + 1, i + 1)
        });
        assert!(bomb.len() < 1000);
        let e = Node::parse(&bomb).unwrap_err();
        assert!(e.contains("50000 values") || e.contains("repetition"), "{e}");
        let e = Node::parse(&format!("a: {}{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1))).unwrap_err();
        assert!(e.contains("deeper than"), "{e}");
        assert!(Node::parse(&" ".repeat(MAX_BYTES + 1)).unwrap_err().contains("bytes"));
        let many = format!("a: [{}]", "x,".repeat(MAX_NODES));
        assert!(Node::parse(&many).unwrap_err().contains("values"));
        let e = Node::parse("a: &a [*a]").unwrap_err();
        assert!(!e.is_empty());
    }

    #[test]
    fn mistakes_name_line_and_column() {
        let e = Node::parse("a:\n  b: [1, 2\nc: d\n").unwrap_err();
        assert!(e.contains("line 3"), "{e}");
        assert!(Node::parse("a: 1\n---\nb: 2\n").unwrap_err().contains("second YAML document"));
        assert_eq!(Node::parse("").unwrap(), Node::Null);
        assert_eq!(Node::parse("x: !include other.yaml").unwrap().at("x.!include").unwrap().text(), Some("other.yaml"));
    }

    #[test]
    fn lines_are_found_by_path() {
        let text = "%YAML 1.1\n---\nvars:\n  a:\n    x: 1\nflow:\n  a:\n    x: 1\noutputs:\n  - eve-log:\n      types:\n        - alert:\n            payload: yes\n";
        assert_eq!(line_of(text, "flow.a.x"), Some(8));
        assert_eq!(line_of(text, "outputs.eve-log.types.alert.payload"), Some(13));
        assert_eq!(line_of(text, "flow.b"), None);
        let text =
            "outputs:\n  - eve-log:\n      types:\n        - stats: # of eve\n\n  - stats:\n      enabled: yes\n";
        assert_eq!(line_of(text, "outputs.stats.enabled"), Some(7));
        assert_eq!(line_of(text, "outputs.eve-log.types.stats"), Some(4));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(s in "[ -~\n]{0,300}") {
            if let Ok(tree) = Node::parse(&s) {
                for (path, _) in tree.paths() {
                    let _ = line_of(&s, &path);
                }
            }
        }
    }
}
