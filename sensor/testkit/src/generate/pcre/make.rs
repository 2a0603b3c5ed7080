// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A string that an expression matches.
//!
//! What stands in a look-around is not made but hoped for: the matcher says afterwards whether it worked, and another
//! seed is tried where it did not.

use super::{Class, Node, Pcre};
use crate::generate::rng::Rng;

/// What was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Made {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// They must stand at the begin.
    pub start: bool,
    /// They must stand at the end.
    pub end: bool,
}

struct Maker<'a> {
    rng: &'a mut Rng,
    free: bool,
    wishes: Vec<&'a [u8]>,
    groups: Vec<Vec<u8>>,
    out: Made,
}

/// Makes one; with `free` alternatives and lengths are drawn, else the first and shortest are taken. `wishes` are strings
/// that are put where a repetition allows them.
pub(crate) fn make(pcre: &Pcre, rng: &mut Rng, free: bool, wishes: &[Vec<u8>]) -> Made {
    let wishes = wishes.iter().map(Vec::as_slice).collect();
    let mut m = Maker { rng, free, wishes, groups: vec![Vec::new(); pcre.groups + 9], out: Made::default() };
    m.node(&pcre.node);
    m.out.start |= pcre.anchored;
    m.out
}

/// A byte of the class that reads well: one that was written, a letter, a digit, what prints, anything.
pub(crate) fn nice(class: &Class, rng: &mut Rng, free: bool) -> Option<u8> {
    if let Some(b) = class.written {
        return Some(b);
    }
    let kinds: [fn(u8) -> bool; 5] =
        [|b| b.is_ascii_lowercase(), |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_graphic(), |b| b == b' ', |_| true];
    kinds.into_iter().find_map(|kind| {
        let all: Vec<u8> = (0..=255).filter(|b| class.holds(*b) && kind(*b)).collect();
        let at = if free { rng.below(all.len()) } else { 0 };
        all.get(at).copied()
    })
}

impl Maker<'_> {
    fn node(&mut self, node: &Node) {
        match node {
            Node::Empty | Node::Word(_) | Node::Look { .. } => {}
            Node::Class(class) => {
                let b = nice(class, self.rng, self.free);
                self.out.bytes.extend(b);
            }
            Node::Start(lines) => {
                if self.out.bytes.is_empty() {
                    self.out.start |= !lines;
                } else if *lines && !self.out.bytes.ends_with(b"\n") {
                    self.out.bytes.extend(b"\r\n");
                }
            }
            Node::End(lines) => {
                if *lines {
                    self.out.bytes.push(b'\n');
                } else {
                    self.out.end = true;
                }
            }
            Node::Group(number, inner) => {
                let from = self.out.bytes.len();
                self.node(inner);
                if let Some(slot) = number.and_then(|n| self.groups.get_mut(n)) {
                    *slot = self.out.bytes[from..].to_vec();
                }
            }
            Node::Back(number, _) => {
                let bytes = self.groups.get(*number).cloned().unwrap_or_default();
                self.out.bytes.extend(bytes);
            }
            Node::Cat(nodes) => nodes.iter().for_each(|n| self.node(n)),
            Node::Alt(nodes) => {
                let at = if self.free { self.rng.below(nodes.len()) } else { 0 };
                if let Some(n) = nodes.get(at) {
                    self.node(n);
                }
            }
            Node::Repeat(inner, least, most, _) => self.repeat(inner, *least, *most),
        }
    }

    fn repeat(&mut self, inner: &Node, least: u32, most: u32) {
        let mut left = most;
        let mut done = 0;
        if let Some(class) = only_class(inner) {
            let mut granted = Vec::new();
            self.wishes.retain(|w| {
                let len = w.len() as u32; // a content is short
                let fits = len <= left && w.iter().all(|b| class.holds(*b));
                if fits {
                    left -= len;
                    done += len;
                    granted.extend_from_slice(w);
                }
                !fits
            });
            self.out.bytes.extend(granted);
        }
        let mut times = least.saturating_sub(done);
        if self.free && times < left {
            let room = (left - times).min(if self.rng.below(4) == 0 { 24 } else { 3 });
            times += self.rng.below(room as usize + 1) as u32;
        }
        for _ in 0..times.min(4000) {
            self.node(inner);
        }
    }
}

fn only_class(node: &Node) -> Option<&Class> {
    match node {
        Node::Class(c) => Some(c),
        Node::Group(_, inner) => only_class(inner),
        Node::Cat(nodes) => match nodes.as_slice() {
            [one] => only_class(one),
            _ => None,
        },
        _ => None,
    }
}
