// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `pcre`: its syntax tree, a string that it matches, and whether it matches a given one.
//!
//! The matcher is for checking what was generated: it backtracks with a limit, and knows what rules use of PCRE.

mod make;
mod matches;
mod parse;

pub(crate) use make::make;
pub(crate) use matches::find;

/// A part of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// Nothing.
    Empty,
    /// One byte out of these.
    Class(Box<Class>),
    /// `^`; true: at the begin of any line.
    Start(bool),
    /// `$`; true: at the end of any line.
    End(bool),
    /// `\b`; true: `\B`.
    Word(bool),
    /// A group, captured under a number.
    Group(Option<usize>, Box<Self>),
    /// What a group captured; true: in either case.
    Back(usize, bool),
    /// One after the other.
    Cat(Vec<Self>),
    /// One of these.
    Alt(Vec<Self>),
    /// At least, at most, lazily.
    Repeat(Box<Self>, u32, u32, bool),
    /// Something ahead (or behind), that must be there (or must not).
    Look {
        /// Forward.
        ahead: bool,
        /// Must not be.
        negated: bool,
        /// What.
        node: Box<Self>,
    },
}

/// A set of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    /// By value.
    pub has: [bool; 256],
    /// The one that was written, where only one was.
    pub written: Option<u8>,
}

impl Class {
    const fn none() -> Self {
        Self { has: [false; 256], written: None }
    }
    fn add(&mut self, from: u8, to: u8) {
        (from..=to).for_each(|b| self.has[usize::from(b)] = true);
    }
    fn invert(&mut self) {
        self.has.iter_mut().for_each(|b| *b = !*b);
    }
    fn either_case(&mut self) {
        for b in 0..=255u8 {
            let other = if b.is_ascii_lowercase() { b.to_ascii_uppercase() } else { b.to_ascii_lowercase() };
            if self.has[usize::from(b)] {
                self.has[usize::from(other)] = true;
            }
        }
    }
    /// Whether it holds the byte.
    pub(crate) fn holds(&self, b: u8) -> bool {
        self.has[usize::from(b)]
    }
}

/// An expression with its modifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pcre {
    /// The tree.
    pub node: Node,
    /// Captured groups.
    pub groups: usize,
    /// `!`
    pub negated: bool,
    /// `R`: from the end of the match before.
    pub relative: bool,
    /// `A`: at the begin only.
    pub anchored: bool,
    /// The buffer that a letter names.
    pub letter: Option<char>,
}

impl Pcre {
    /// Reads a `pcre` option's value. None where it holds what is not known here.
    pub(crate) fn read(value: &str) -> Option<Self> {
        let (negated, text) = super::text::quoted(value);
        let text = text.strip_prefix('/')?;
        let (body, modifiers) = text.rsplit_once('/')?;
        let modifiers = modifiers.split(',').next().unwrap_or_default();
        let mut flags = parse::Flags::default();
        let mut out = Self { node: Node::Empty, groups: 0, negated, relative: false, anchored: false, letter: None };
        for c in modifiers.chars() {
            match c {
                'i' => flags.caseless = true,
                's' => flags.dot_all = true,
                'm' => flags.lines = true,
                'x' => flags.spaced = true,
                'A' => out.anchored = true,
                'R' => out.relative = true,
                'E' | 'G' | 'O' | ' ' => {}
                'U' | 'I' | 'P' | 'Q' | 'H' | 'D' | 'M' | 'C' | 'S' | 'Y' | 'V' | 'W' | 'B' | 'Z' => {
                    out.letter = Some(c);
                }
                _ => return None,
            }
        }
        (out.node, out.groups) = parse::parse(body.as_bytes(), flags)?;
        Some(out)
    }

    /// Whether it can match at the begin only.
    pub(crate) fn at_start(&self) -> bool {
        self.anchored || starts(&self.node)
    }

    /// Whether it can match at the end only.
    pub(crate) fn at_end(&self) -> bool {
        ends(&self.node)
    }
}

fn starts(node: &Node) -> bool {
    match node {
        Node::Start(lines) => !lines,
        Node::Cat(nodes) => nodes.first().is_some_and(starts),
        Node::Alt(nodes) => nodes.iter().all(starts),
        Node::Group(_, node) => starts(node),
        _ => false,
    }
}

fn ends(node: &Node) -> bool {
    match node {
        Node::End(lines) => !lines,
        Node::Cat(nodes) => nodes.last().is_some_and(ends),
        Node::Alt(nodes) => nodes.iter().any(ends),
        Node::Group(_, node) => ends(node),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::rng::Rng;

    fn read(text: &str) -> Pcre {
        crate::generate::work::begin(u32::MAX);
        Pcre::read(text).expect(text)
    }

    #[test]
    fn what_is_made_matches() {
        for text in [
            r#""/^\/[a-f0-9]{3,5}\.php\?id=\d+(?:&x=[^&\r\n]+)?$/U""#,
            r#""/(?P<v>[A-Z]{3})\s*=\s*(?P=v)\x3b/""#,
            r#""/^(GET|POST)\s\/(?!index)\w+/i""#,
            r#""/(a|b|)c*?d++\Qx.y\E[[:digit:]\-]{2}/""#,
            r#""/foo(?=bar)bar.{2,}?$/s""#,
            r#""/[]a]\/\"{2}{x/""#,
            r#""/(?i)HeLLo(?-i:W)/R""#,
            r#""/\.(?:exe|dll)\x20HTTP\/1\.[01]\r?$/m""#,
        ] {
            let p = read(text);
            for seed in 0..20 {
                let made = make(&p, &mut Rng(seed), seed > 0, &[]);
                if text.contains("(?!") && !made.bytes.is_empty() && find(&p, &made.bytes, 0).is_empty() {
                    continue;
                }
                assert!(!find(&p, &made.bytes, 0).is_empty(), "{text} does not match {:?}", made.bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn the_matcher_says_no() {
        for (text, no) in [
            (r#""/^a$/""#, "ab"),
            (r#""/a(?!b)/""#, "ab"),
            (r#""/(.)\1/""#, "abab"),
            (r#""/a.b/""#, "a\nb"),
            (r#""/A/""#, "a"),
            (r#""/\bfoo\b/""#, "xfoo"),
            (r#""/(?<!x)foo/""#, "xfoo"),
        ] {
            assert!(find(&read(text), no.as_bytes(), 0).is_empty(), "{text} on {no}");
        }
        assert!(!find(&read(r#""/^b/R""#), b"ab", 1).is_empty());
    }

    #[test]
    fn a_wish_goes_where_it_may_stand() {
        let p = read(r#""/^[a-z]{3}\?[^&]+&x=\d{2}$/""#);
        let made = make(&p, &mut Rng(1), true, &[b"password=".to_vec()]);
        assert!(made.bytes.windows(9).any(|w| w == b"password="), "{:?}", made.bytes.escape_ascii());
        assert!(!find(&p, &made.bytes, 0).is_empty());
    }
}
