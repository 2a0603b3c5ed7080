// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Whether and where an expression matches, by backtracking, with a limit on the work.

use super::{Node, Pcre};

/// From, to.
pub(crate) type Match = (usize, usize);

const WORK: u32 = 20_000;

struct Matcher<'a> {
    text: &'a [u8],
    base: usize,
    work: u32,
    groups: Vec<Option<Match>>,
}

/// The first match at each place from `from` on (with `R` counted from there, `^` included), as far as the work allows.
pub(crate) fn find(pcre: &Pcre, text: &[u8], from: usize) -> Vec<Match> {
    let base = if pcre.relative { from } else { 0 };
    let mut m = Matcher { text, base, work: WORK, groups: vec![None; pcre.groups + 9] };
    let mut out = Vec::new();
    let last = if pcre.at_start() { base } else { text.len() };
    for at in base..=last {
        m.groups.fill(None);
        let mut end = None;
        if at <= text.len()
            && m.go(&pcre.node, at, &mut |_, e| {
                end = Some(e);
                true
            })
            && let Some(end) = end
        {
            out.push((at, end));
        }
        if m.work == 0 {
            break;
        }
    }
    out
}

type Then<'k, 'a> = &'k mut dyn FnMut(&mut Matcher<'a>, usize) -> bool;

impl<'a> Matcher<'a> {
    fn go(&mut self, node: &Node, at: usize, then: Then<'_, 'a>) -> bool {
        self.work = self.work.saturating_sub(1);
        if self.work == 0 || !super::super::work::spend(1) {
            return false;
        }
        match node {
            Node::Empty => then(self, at),
            Node::Class(c) => self.text.get(at).is_some_and(|b| c.holds(*b)) && then(self, at + 1),
            Node::Start(lines) => {
                (at == self.base || (*lines && at > self.base && self.text[at - 1] == b'\n')) && then(self, at)
            }
            Node::End(lines) => {
                let rest = &self.text[at..];
                (rest.is_empty() || rest == b"\n" || (*lines && rest.first() == Some(&b'\n'))) && then(self, at)
            }
            Node::Word(not) => {
                let word = |i: Option<usize>| {
                    i.filter(|i| *i >= self.base)
                        .and_then(|i| self.text.get(i))
                        .is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
                };
                ((word(at.checked_sub(1)) != word(Some(at))) != *not) && then(self, at)
            }
            Node::Group(number, inner) => self.go(inner, at, &mut |m, end| {
                let Some(n) = *number else { return then(m, end) };
                let was = m.groups.get(n).copied().flatten();
                if let Some(slot) = m.groups.get_mut(n) {
                    *slot = Some((at, end));
                }
                let ok = then(m, end);
                if !ok && let Some(slot) = m.groups.get_mut(n) {
                    *slot = was;
                }
                ok
            }),
            Node::Back(number, caseless) => {
                let Some((a, b)) = self.groups.get(*number).copied().flatten() else { return false };
                let (was, len) = (&self.text[a..b], b - a);
                let same = self
                    .text
                    .get(at..at + len)
                    .is_some_and(|now| if *caseless { now.eq_ignore_ascii_case(was) } else { now == was });
                same && then(self, at + len)
            }
            Node::Cat(nodes) => self.cat(nodes, at, then),
            Node::Alt(nodes) => nodes.iter().any(|n| self.go(n, at, then)),
            Node::Repeat(inner, least, most, lazy) => self.repeat((inner, *least, *most, *lazy), 0, at, then),
            Node::Look { ahead, negated, node } => {
                let found = if *ahead {
                    self.go(node, at, &mut |_, _| true)
                } else {
                    (self.base..=at).any(|from| self.go(node, from, &mut |_, end| end == at))
                };
                found != *negated && then(self, at)
            }
        }
    }

    fn cat(&mut self, nodes: &[Node], at: usize, then: Then<'_, 'a>) -> bool {
        match nodes.split_first() {
            None => then(self, at),
            Some((first, rest)) => self.go(first, at, &mut |m, end| m.cat(rest, end, then)),
        }
    }

    fn repeat(&mut self, what: (&Node, u32, u32, bool), done: u32, at: usize, then: Then<'_, 'a>) -> bool {
        let (inner, least, most, lazy) = what;
        if let Node::Class(c) = inner {
            // The common case, without a frame for each byte.
            let run = self.text[at..].iter().take(most as usize).take_while(|b| c.holds(**b)).count();
            let least = least as usize;
            if run < least {
                return false;
            }
            super::super::work::spend(run as u32 / 8); // work is a count, not exact
            return if lazy {
                (least..=run).any(|n| then(self, at + n))
            } else {
                (least..=run).rev().any(|n| then(self, at + n))
            };
        }
        if done > 300 {
            return false;
        }
        if (lazy || done >= most) && done >= least && then(self, at) {
            return true;
        }
        let more = done < most
            && self.go(inner, at, &mut |m, end| (end > at || done < least) && m.repeat(what, done + 1, end, then));
        more || (!lazy && done < most && done >= least && then(self, at))
    }
}
