// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! From the expression's text to its tree.

use super::{Class, Node};

/// Modifiers that change what the text means.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// `i`
    pub caseless: bool,
    /// `s`
    pub dot_all: bool,
    /// `m`
    pub lines: bool,
    /// `x`
    pub spaced: bool,
}

struct Parser<'t> {
    text: &'t [u8],
    at: usize,
    flags: Flags,
    groups: usize,
    names: Vec<(Vec<u8>, usize)>,
    depth: usize,
}

/// The tree, and how many groups it captures.
pub(crate) fn parse(text: &[u8], flags: Flags) -> Option<(Node, usize)> {
    let mut p = Parser { text, at: 0, flags, groups: 0, names: Vec::new(), depth: 0 };
    let node = p.alternatives()?;
    (p.at == text.len()).then_some((node, p.groups + 1))
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
    fn next(&mut self) -> Option<u8> {
        let b = self.peek()?;
        self.at += 1;
        Some(b)
    }
    fn eat(&mut self, word: &[u8]) -> bool {
        let is = self.text.get(self.at..).is_some_and(|t| t.starts_with(word));
        if is {
            self.at += word.len();
        }
        is
    }

    fn alternatives(&mut self) -> Option<Node> {
        self.depth += 1;
        if self.depth > 60 {
            return None;
        }
        let flags = self.flags;
        let (mut all, mut cat) = (Vec::new(), Vec::new());
        loop {
            match self.peek() {
                None | Some(b')') => break,
                Some(b'|') => {
                    self.at += 1;
                    all.push(Node::Cat(std::mem::take(&mut cat)));
                }
                Some(b'#' | b' ' | b'\t' | b'\n' | b'\r') if self.flags.spaced => self.at += 1,
                Some(_) => {
                    if self.eat(b"\\Q") {
                        while !self.eat(b"\\E") {
                            let Some(b) = self.next() else { break };
                            cat.push(self.literal(b));
                        }
                        continue;
                    }
                    let atom = self.atom()?;
                    let atom = self.repeated(atom);
                    cat.push(atom);
                }
            }
        }
        self.flags = flags;
        self.depth -= 1;
        all.push(Node::Cat(cat));
        Some(if all.len() == 1 { all.pop()? } else { Node::Alt(all) })
    }

    fn repeated(&mut self, mut atom: Node) -> Node {
        loop {
            let from = self.at;
            let (least, most) = match self.peek() {
                Some(b'*') => (0, u32::MAX),
                Some(b'+') => (1, u32::MAX),
                Some(b'?') => (0, 1),
                Some(b'{') => match self.counts() {
                    Some(c) => c,
                    None => {
                        self.at = from;
                        return atom;
                    }
                },
                _ => return atom,
            };
            if self.at == from {
                self.at += 1;
            }
            // Possessive ones are taken as greedy: what matches possessively matches greedily too.
            let lazy = self.eat(b"?");
            if !lazy {
                self.eat(b"+");
            }
            atom = Node::Repeat(Box::new(atom), least, most, lazy);
        }
    }

    fn counts(&mut self) -> Option<(u32, u32)> {
        self.at += 1;
        let number = |p: &mut Self| {
            let from = p.at;
            while p.peek().is_some_and(|b| b.is_ascii_digit()) {
                p.at += 1;
            }
            std::str::from_utf8(&p.text[from..p.at]).ok().filter(|t| !t.is_empty()).and_then(|t| t.parse().ok())
        };
        let least = number(self)?;
        let most = if self.eat(b",") { number(self).unwrap_or(u32::MAX) } else { least };
        self.eat(b"}").then_some((least, most))
    }

    fn literal(&self, b: u8) -> Node {
        let mut class = Class::none();
        class.add(b, b);
        class.written = Some(b);
        if self.flags.caseless {
            class.either_case();
        }
        Node::Class(Box::new(class))
    }

    fn set(class: Class) -> Node {
        Node::Class(Box::new(class))
    }

    fn atom(&mut self) -> Option<Node> {
        Some(match self.next()? {
            b'.' => {
                let mut class = Class::none();
                class.add(0, 255);
                class.has[usize::from(b'\n')] = self.flags.dot_all;
                Self::set(class)
            }
            b'^' => Node::Start(self.flags.lines),
            b'$' => Node::End(self.flags.lines),
            b'[' => self.bracket()?,
            b'(' => self.group()?,
            b'\\' => self.escape()?,
            b => self.literal(b),
        })
    }

    fn group(&mut self) -> Option<Node> {
        let mut number = None;
        let mut look = None;
        let kept = self.flags;
        if self.eat(b"?") {
            if self.eat(b"#") {
                while self.next()? != b')' {}
                return Some(Node::Empty);
            }
            let looks: [(&[u8], bool, bool); 4] =
                [(b"=", true, false), (b"!", true, true), (b"<=", false, false), (b"<!", false, true)];
            if let Some((_, ahead, negated)) = looks.into_iter().find(|(w, ..)| self.eat(w)) {
                look = Some((ahead, negated));
            } else if self.eat(b"P=") {
                let name = self.name(b')')?;
                return self.back(&name);
            } else if self.eat(b"P<") || self.eat(b"<") {
                let name = self.name(b'>')?;
                self.groups += 1;
                self.names.push((name, self.groups));
                number = Some(self.groups);
            } else if !self.eat(b">") {
                let mut on = true;
                loop {
                    match self.next()? {
                        b'-' => on = false,
                        b'i' => self.flags.caseless = on,
                        b's' => self.flags.dot_all = on,
                        b'm' => self.flags.lines = on,
                        b'x' => self.flags.spaced = on,
                        b':' => break,
                        b')' => return Some(Node::Empty),
                        _ => return None,
                    }
                }
            }
        } else {
            self.groups += 1;
            number = Some(self.groups);
        }
        let node = Box::new(self.alternatives()?);
        self.flags = kept;
        if !self.eat(b")") {
            return None;
        }
        Some(match look {
            Some((ahead, negated)) => Node::Look { ahead, negated, node },
            None => Node::Group(number, node),
        })
    }

    fn name(&mut self, end: u8) -> Option<Vec<u8>> {
        let from = self.at;
        while self.next()? != end {}
        Some(self.text[from..self.at - 1].to_vec())
    }

    fn back(&self, name: &[u8]) -> Option<Node> {
        let (_, number) = self.names.iter().find(|(n, _)| n == name)?;
        Some(Node::Back(*number, self.flags.caseless))
    }

    fn escape(&mut self) -> Option<Node> {
        let b = self.next()?;
        let mut class = Class::none();
        Some(match b {
            b'b' => Node::Word(false),
            b'B' => Node::Word(true),
            b'A' => Node::Start(false),
            b'z' | b'Z' => Node::End(false),
            b'R' | b'N' | b'h' | b'H' | b'v' | b'V' | b'd' | b'D' | b's' | b'S' | b'w' | b'W' => {
                kind(&mut class, b);
                Self::set(class)
            }
            b'1'..=b'9' => {
                let number = usize::from(b - b'0');
                if self.groups < number && !self.peek().is_some_and(|b| b.is_ascii_digit()) {
                    return None;
                }
                Node::Back(number, self.flags.caseless)
            }
            b'k' if self.eat(b"<") || self.eat(b"{") || self.eat(b"'") => {
                let end = match self.text[self.at - 1] {
                    b'<' => b'>',
                    b'{' => b'}',
                    _ => b'\'',
                };
                let name = self.name(end)?;
                self.back(&name)?
            }
            b'g' | b'G' | b'p' | b'P' | b'X' | b'C' | b'K' | b'k' => return None,
            _ => {
                let b = self.byte(b)?;
                self.literal(b)
            }
        })
    }

    // The byte that an escape writes; its letter was taken.
    fn byte(&mut self, b: u8) -> Option<u8> {
        Some(match b {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'f' => 12,
            b'v' => 11,
            b'a' => 7,
            b'e' => 27,
            b'0' => {
                let mut n = 0u8;
                for _ in 0..2 {
                    if let Some(d @ b'0'..=b'7') = self.peek() {
                        n = n.wrapping_mul(8).wrapping_add(d - b'0');
                        self.at += 1;
                    }
                }
                n
            }
            b'x' => {
                let braced = self.eat(b"{");
                let mut n = 0u32;
                for _ in 0..2 {
                    if let Some(d) = self.peek().and_then(|b| char::from(b).to_digit(16)) {
                        n = n * 16 + d;
                        self.at += 1;
                    }
                }
                if braced && !self.eat(b"}") {
                    return None;
                }
                u8::try_from(n).ok()?
            }
            b => b,
        })
    }

    fn bracket(&mut self) -> Option<Node> {
        let mut class = Class::none();
        let negated = self.eat(b"^");
        let mut first = true;
        loop {
            let b = self.next()?;
            if b == b']' && !first {
                break;
            }
            first = false;
            if b == b'[' && self.peek() == Some(b':') {
                let from = self.at;
                let rest = &self.text[from + 1..];
                if let Some(end) = rest.windows(2).position(|w| w == b":]") {
                    named(&mut class, &rest[..end])?;
                    self.at = from + 1 + end + 2;
                    continue;
                }
            }
            let Some(low) = self.member(&mut class, b)? else { continue };
            // A range, unless the hyphen is the last.
            if self.peek() == Some(b'-') && self.text.get(self.at + 1).is_some_and(|b| *b != b']') {
                let back = self.at;
                self.at += 1;
                let b = self.next()?;
                match self.member(&mut class, b)? {
                    Some(high) if high >= low => {
                        class.add(low, high);
                        continue;
                    }
                    Some(_) => return None,
                    None => self.at = back.max(self.at),
                }
                class.add(b'-', b'-');
            }
            class.add(low, low);
        }
        if self.flags.caseless {
            class.either_case();
        }
        if negated {
            class.invert();
        }
        Some(Self::set(class))
    }

    // One member of a bracket: a byte, or a kind that was added to the class.
    fn member(&mut self, class: &mut Class, b: u8) -> Option<Option<u8>> {
        if b != b'\\' {
            return Some(Some(b));
        }
        let b = self.next()?;
        Some(match b {
            b'd' | b'D' | b's' | b'S' | b'w' | b'W' | b'h' | b'H' => {
                kind(class, b);
                None
            }
            b'b' => Some(8),
            _ => Some(self.byte(b)?),
        })
    }
}

fn kind(class: &mut Class, letter: u8) {
    let mut add = |test: fn(u8) -> bool, inverted: bool| {
        (0..=255u8).filter(|b| test(*b) != inverted).for_each(|b| class.add(b, b));
    };
    let inverted = letter.is_ascii_uppercase();
    match letter.to_ascii_lowercase() {
        b'd' => add(|b| b.is_ascii_digit(), inverted),
        b's' => add(|b| matches!(b, 9..=13 | 32), inverted),
        b'w' => add(|b| b.is_ascii_alphanumeric() || b == b'_', inverted),
        b'h' => add(|b| matches!(b, 9 | 32), inverted),
        b'n' => add(|b| b != b'\n', false),
        b'r' => add(|b| matches!(b, 10 | 13), false),
        _ => add(|b| matches!(b, 10..=13), inverted),
    }
}

fn named(class: &mut Class, name: &[u8]) -> Option<()> {
    let test: fn(u8) -> bool = match name {
        b"alpha" => |b| b.is_ascii_alphabetic(),
        b"digit" => |b| b.is_ascii_digit(),
        b"alnum" => |b| b.is_ascii_alphanumeric(),
        b"upper" => |b| b.is_ascii_uppercase(),
        b"lower" => |b| b.is_ascii_lowercase(),
        b"space" => |b| matches!(b, 9..=13 | 32),
        b"blank" => |b| matches!(b, 9 | 32),
        b"punct" => |b| b.is_ascii_punctuation(),
        b"xdigit" => |b| b.is_ascii_hexdigit(),
        b"word" => |b| b.is_ascii_alphanumeric() || b == b'_',
        b"print" => |b| (32..127).contains(&b),
        b"graph" => |b| (33..127).contains(&b),
        b"cntrl" => |b| b < 32 || b == 127,
        b"ascii" => |b| b < 128,
        _ => return None,
    };
    (0..=255u8).filter(|b| test(*b)).for_each(|b| class.add(b, b));
    Some(())
}
