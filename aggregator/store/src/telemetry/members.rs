// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The members of an EVE object that columns are made of, read in one pass over its text.
//!
//! All of the text is checked to be JSON, but only what a table's columns name is kept, borrowed from the text where it has
//! no escapes: no tree is built of what nobody reads. As with any JSON reader, the last of several members of one name
//! counts. Must never keep more of a list than its column takes, or be handed a text that is nested deeper than
//! [`super::extract::MAX_DEPTH`].

use std::{borrow::Cow, fmt, sync::LazyLock};

use lagewarte_event::Class;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{
    columns::{Column, Source, Table, Type},
    extract::{MAX_LISTS, MAX_NAME},
};

/// A member as it stands in the text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Member<'a> {
    /// Not there, or null.
    #[default]
    Absent,
    Bool(bool),
    Unsigned(u64),
    /// Below zero.
    Signed(i64),
    Text(Cow<'a, str>),
    /// Texts, as the value of a name in [`Member::Lists`].
    List(Vec<Cow<'a, str>>),
    /// Names with lists of texts, where a column wants them.
    Lists(Vec<Named<'a>>),
    /// Of a type that no column has, or more than a column takes.
    Other,
}

/// A name and its texts.
pub(super) type Named<'a> = (Cow<'a, str>, Vec<Cow<'a, str>>);

impl Member<'_> {
    /// The text; None where it is none.
    pub(super) fn text(&self) -> Option<&str> {
        if let Member::Text(t) = self { Some(t) } else { None }
    }
}

/// What the columns of a table want of an event's text.
pub(super) struct Plan {
    pub(super) table: Table,
    root: Node,
    /// The table's columns in their order, each with the place of its member.
    pub(super) columns: Vec<(&'static Column, usize)>,
    event_type: usize,
    src_ip: usize,
    dest_ip: usize,
    inner: usize,
}

/// A name on the way to members. Nodes are numbered in depth first order; a member's place is its node's number.
#[derive(Default)]
struct Node {
    name: &'static str,
    wanted: Wanted,
    children: Vec<Self>,
    place: usize,
    /// One beyond the last number below.
    end: usize,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Wanted {
    /// It is passed over, but has to be JSON.
    #[default]
    Nothing,
    Value,
    /// A text, or a list of texts.
    List,
    /// An object of such.
    Lists,
}

/// What is wanted whatever the table: the class of an event and its sides.
const ALWAYS: [&[&str]; 4] = [&["event_type"], &["src_ip"], &["dest_ip"], &["lagewarte", "inner"]];

static PLANS: LazyLock<[Plan; 4]> =
    LazyLock::new(|| [Table::Alert, Table::Flow, Table::Health, Table::Record].map(Plan::new));

impl Plan {
    /// That of the table to which events of this class go.
    pub(super) fn of(class: Class) -> &'static Self {
        let [alert, flow, health, record] = &*PLANS;
        match class {
            Class::Alert => alert,
            Class::Flow => flow,
            Class::Health => health,
            Class::Anomaly | Class::Protocol | Class::File | Class::Unspecified => record,
        }
    }

    fn new(table: Table) -> Self {
        let mut root = Node::default();
        for path in ALWAYS {
            root.want(path, Wanted::Value);
        }
        for column in table.columns() {
            let wanted = if column.ty == Type::NameLists { Wanted::Lists } else { Wanted::Value };
            root.want(path_of(column), wanted);
        }
        root.number(0);
        // A column that is not of the text has the root's place, which is never filled.
        let columns = table.columns().map(|c| (c, root.find(path_of(c)))).collect();
        let [event_type, src_ip, dest_ip, inner] = ALWAYS.map(|path| root.find(path));
        Self { table, root, columns, event_type, src_ip, dest_ip, inner }
    }

    /// Reads a text; None where it is JSON, but no object.
    pub(super) fn read<'a>(&self, text: &'a str) -> serde_json::Result<Option<Members<'a>>> {
        let mut found = vec![Member::Absent; self.root.end];
        let mut json = serde_json::Deserializer::from_str(text);
        let is_object = Inside { node: &self.root, found: &mut found }.deserialize(&mut json)?;
        json.end()?;
        Ok(is_object.then_some(Members(found)))
    }
}

fn path_of(column: &Column) -> &'static [&'static str] {
    match column.source {
        Source::Json(path) | Source::Required(path) => path,
        _ => &[],
    }
}

impl Node {
    fn want(&mut self, path: &[&'static str], wanted: Wanted) {
        let Some((name, rest)) = path.split_first() else { return };
        let at = self.children.iter().position(|c| c.name == *name).unwrap_or_else(|| {
            self.children.push(Self { name, ..Self::default() });
            self.children.len() - 1
        });
        let child = &mut self.children[at];
        if rest.is_empty() {
            child.wanted = wanted;
        }
        child.want(rest, wanted);
    }

    fn number(&mut self, place: usize) -> usize {
        self.place = place;
        self.end = self.children.iter_mut().fold(place + 1, |next, child| child.number(next));
        self.end
    }

    fn find(&self, path: &[&str]) -> usize {
        let node = path.iter().try_fold(self, |node, name| node.children.iter().find(|c| c.name == *name));
        node.map_or(0, |n| n.place)
    }
}

/// What was found in a text, for a [`Plan`].
pub(super) struct Members<'a>(Vec<Member<'a>>);

impl<'a> Members<'a> {
    /// The member at a column's place.
    pub(super) fn at(&self, place: usize) -> &Member<'a> {
        self.0.get(place).unwrap_or(&Member::Absent)
    }
    /// `event_type`.
    pub(super) fn event_type(&self, plan: &Plan) -> &Member<'a> {
        self.at(plan.event_type)
    }
    /// `src_ip` and `dest_ip`.
    pub(super) fn addresses(&self, plan: &Plan) -> [&Member<'a>; 2] {
        [self.at(plan.src_ip), self.at(plan.dest_ip)]
    }
    /// `lagewarte.inner`.
    pub(super) fn inner(&self, plan: &Plan) -> &Member<'a> {
        self.at(plan.inner)
    }
}

/// A value whose members a node names; gives whether it is an object.
struct Inside<'p, 'f, 'a> {
    node: &'p Node,
    found: &'f mut [Member<'a>],
}

impl<'a> DeserializeSeed<'a> for Inside<'_, '_, 'a> {
    type Value = bool;
    fn deserialize<D: Deserializer<'a>>(self, d: D) -> Result<bool, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Inside<'_, '_, 'a> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<bool, A::Error> {
        let Inside { node, found } = self;
        while let Some(name) = map.next_key_seed(Name(&node.children))? {
            let Some(child) = name else {
                map.next_value_seed(Read(Wanted::Nothing))?;
                continue;
            };
            if !child.children.is_empty() {
                // Of two objects of one name the last counts, whole.
                for member in &mut found[child.place + 1..child.end] {
                    *member = Member::Absent;
                }
                map.next_value_seed(Inside { node: child, found: &mut *found })?;
            } else {
                found[child.place] = map.next_value_seed(Read(child.wanted))?;
            }
        }
        Ok(true)
    }
    fn visit_seq<A: SeqAccess<'a>>(self, seq: A) -> Result<bool, A::Error> {
        Read(Wanted::Nothing).visit_seq(seq).map(|_| false)
    }
    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_bool<E: Error>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_str<E: Error>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }
}

/// A member's name: which of these nodes has it.
struct Name<'p>(&'p [Node]);

impl<'p, 'a> DeserializeSeed<'a> for Name<'p> {
    type Value = Option<&'p Node>;
    fn deserialize<D: Deserializer<'a>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for Name<'p> {
    type Value = Option<&'p Node>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|n| n.name == name))
    }
}

/// Any value.
struct Read(Wanted);

impl<'a> DeserializeSeed<'a> for Read {
    type Value = Member<'a>;
    fn deserialize<D: Deserializer<'a>>(self, d: D) -> Result<Member<'a>, D::Error> {
        d.deserialize_any(self)
    }
}

impl Read {
    fn text<'a>(&self, text: Cow<'a, str>) -> Member<'a> {
        match self.0 {
            Wanted::Nothing => Member::Other,
            Wanted::Value | Wanted::Lists => Member::Text(text),
            Wanted::List => Member::List(vec![text]),
        }
    }
}

impl<'a> Visitor<'a> for Read {
    type Value = Member<'a>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E: Error>(self) -> Result<Member<'a>, E> {
        Ok(Member::Absent)
    }
    fn visit_bool<E: Error>(self, b: bool) -> Result<Member<'a>, E> {
        Ok(Member::Bool(b))
    }
    fn visit_u64<E: Error>(self, n: u64) -> Result<Member<'a>, E> {
        Ok(Member::Unsigned(n))
    }
    fn visit_i64<E: Error>(self, n: i64) -> Result<Member<'a>, E> {
        Ok(Member::Signed(n))
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<Member<'a>, E> {
        Ok(Member::Other) // no column takes one
    }
    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<Member<'a>, E> {
        Ok(self.text(Cow::Borrowed(text)))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Member<'a>, E> {
        if self.0 == Wanted::Nothing {
            return Ok(Member::Other); // not copied
        }
        Ok(self.text(Cow::Owned(text.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Member<'a>, A::Error> {
        let (mut texts, mut fits) = (Vec::new(), self.0 == Wanted::List);
        while let Some(one) = seq.next_element_seed(Read(if fits { Wanted::Value } else { Wanted::Nothing }))? {
            match one {
                Member::Text(text) if fits && texts.len() < MAX_LISTS => texts.push(text),
                _ => fits = false,
            }
        }
        Ok(if fits { Member::List(texts) } else { Member::Other })
    }
    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Member<'a>, A::Error> {
        let (mut lists, mut fits): (Vec<Named<'a>>, _) = (Vec::new(), self.0 == Wanted::Lists);
        while let Some(name) = map.next_key_seed(Read(if fits { Wanted::Value } else { Wanted::Nothing }))? {
            let list = map.next_value_seed(Read(if fits { Wanted::List } else { Wanted::Nothing }))?;
            match (name, list) {
                (Member::Text(name), Member::List(texts)) if fits && name.len() <= MAX_NAME => {
                    match lists.iter().position(|(n, _)| *n == name) {
                        Some(earlier) => lists[earlier].1 = texts,
                        None if lists.len() < MAX_LISTS => lists.push((name, texts)),
                        None => fits = false,
                    }
                }
                _ => fits = false,
            }
        }
        Ok(if fits { Member::Lists(lists) } else { Member::Other })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<Members<'_>> {
        Plan::of(Class::Alert).read(text).unwrap()
    }

    fn at<'a>(members: &Members<'a>, name: &str) -> Member<'a> {
        let plan = Plan::of(Class::Alert);
        members.at(plan.columns.iter().find(|(c, _)| c.name == name).unwrap().1).clone()
    }

    #[test]
    fn members_are_found_by_path_and_nowhere_else() {
        let text = r#"{"x":{"src_ip":"no"},"src_ip":"203.0.113.7","src_port":7,"alert":{"gid":-1,"rev":1.5,"signature":"a\u00e4\n"},
            "gid":9,"lagewarte":{"key":true},"proto":null,"app_proto":["tls"],"direction":{"a":1}}"#;
        let members = read(text).unwrap();
        for (column, wanted) in [
            ("src_ip", Member::Text("203.0.113.7".into())),
            ("src_port", Member::Unsigned(7)),
            ("gid", Member::Signed(-1)),
            ("rev", Member::Other),
            ("signature", Member::Text("aä\n".into())),
            ("pseudonym_key", Member::Bool(true)),
            ("proto", Member::Absent),
            ("dest_ip", Member::Absent),
            ("app_proto", Member::Other),
            ("direction", Member::Other),
            ("segment", Member::Absent),
        ] {
            assert_eq!(at(&members, column), wanted, "{column}");
        }
        assert!(matches!(at(&members, "src_ip"), Member::Text(Cow::Borrowed(_))), "without escapes nothing is copied");
    }

    #[test]
    fn of_members_of_one_name_the_last_counts() {
        let members = read(r#"{"proto":"TCP","alert":{"gid":1,"rev":2},"proto":"UDP","alert":{"rev":3}}"#).unwrap();
        assert_eq!(at(&members, "proto"), Member::Text("UDP".into()));
        assert_eq!((at(&members, "gid"), at(&members, "rev")), (Member::Absent, Member::Unsigned(3)));
        let members = read(r#"{"alert":{"gid":1},"alert":7,"proto":"TCP","proto":null}"#).unwrap();
        assert_eq!((at(&members, "gid"), at(&members, "proto")), (Member::Absent, Member::Absent));
        let members = read(r#"{"alert":{"metadata":{"a":["x"],"b":"y","a":["z"]}}}"#).unwrap();
        let wanted = vec![("a".into(), vec!["z".into()]), ("b".into(), vec!["y".into()])];
        assert_eq!(at(&members, "metadata"), Member::Lists(wanted));
    }

    #[test]
    fn what_is_passed_over_is_json_all_the_same() {
        let plan = Plan::of(Class::Protocol);
        for wrong in [
            r#"{"x":"\ud800"}"#,
            r#"{"x":1e999}"#,
            r#"{"x":[1,]}"#,
            r#"{"x":{"y" 1}}"#,
            r#"{"\ud800":1}"#,
            "{\"x\":\"\u{1}\"}",
            r#"{"x":01}"#,
            "{}{}",
            "",
        ] {
            assert!(plan.read(wrong).is_err(), "{wrong}");
        }
        for other in ["1", "-1", "1.5", "null", "true", "\"a\"", "\"\\n\"", "[{}]"] {
            assert!(plan.read(other).is_ok_and(|m| m.is_none()), "{other}");
        }
    }

    proptest! {
        /// What a tree of the whole text says, by another program than ours.
        #[test]
        fn a_plan_finds_what_a_tree_has(port in any::<i64>(), text in "\\PC{0,30}", x in any::<f64>(), nest in any::<bool>()) {
            let inner = serde_json::json!({"signature": text, "gid": x, "category": port});
            let alert = if nest { inner } else { serde_json::json!([inner]) };
            let json = serde_json::json!({"a": {text.clone(): port}, "src_port": port, "alert": alert, "proto": [text.clone()]});
            let written = json.to_string();
            let members = read(&written).unwrap();
            prop_assert_eq!(at(&members, "src_port"), u64::try_from(port).map_or(Member::Signed(port), Member::Unsigned));
            let signature = json["alert"]["signature"].as_str().map_or(Member::Absent, |t| Member::Text(t.into()));
            prop_assert_eq!(at(&members, "signature"), signature);
            prop_assert_eq!(at(&members, "proto"), Member::Other);
        }

        #[test]
        fn whatever_a_tree_refuses_is_refused(text in "[\\[\\]{}\",:0-9a-z\\\\ .eE+-]{0,40}") {
            let tree = serde_json::from_str::<serde_json::Value>(&text);
            let plan = Plan::of(Class::Flow).read(&text);
            prop_assert_eq!(tree.is_ok(), plan.is_ok());
            prop_assert_eq!(tree.is_ok_and(|t| t.is_object()), plan.is_ok_and(|m| m.is_some()));
        }
    }
}
