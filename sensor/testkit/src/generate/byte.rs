// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `byte_test`, `byte_jump`, `byte_extract`, `byte_math`: reading them, and numbers in bytes.

use std::collections::BTreeMap;

use super::model::Num;

/// What is done with the number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Compared: negated, operator, with what.
    Test(bool, char, Num),
    /// Jumped by: multiplied, from the begin, from the end, aligned, then moved on.
    Jump {
        /// `multiplier`
        times: i64,
        /// `from_beginning`
        begin: bool,
        /// `from_end`
        end: bool,
        /// `align`
        align: bool,
        /// `post_offset`
        post: i64,
    },
    /// Kept under a name, multiplied.
    Keep(String, i64),
    /// Calculated with and kept.
    Math(char, Num, String),
}

/// Where the next relative match is counted from, after one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// As before.
    Stays,
    /// Behind the number.
    Behind,
    /// There.
    To(usize),
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ByteTest {
    /// Bytes that hold the number; or the variable with it.
    pub count: Num,
    /// Where.
    pub offset: Num,
    /// From the end of the match before.
    pub relative: bool,
    /// `little`
    pub little: bool,
    /// `string`: digits to this base.
    pub digits: Option<u32>,
    /// `bitmask`
    pub mask: Option<u64>,
    /// What with it.
    pub(crate) used: Use,
}

/// Reads the value of the option `name`.
pub(crate) fn read(name: &str, value: &str) -> Option<ByteTest> {
    let parts: Vec<&str> = value.split(',').map(str::trim).collect();
    let mut b = ByteTest {
        count: Num::read(parts.first()?),
        offset: Num::Is(0),
        relative: false,
        little: false,
        digits: None,
        mask: None,
        used: Use::Keep(String::new(), 1),
    };
    let rest = match name {
        "byte_test" => {
            let (negated, op) = parts.get(1)?.strip_prefix('!').map_or((false, *parts.get(1)?), |o| (true, o));
            let op = match op.trim() {
                "<=" => 'l',
                ">=" => 'g',
                "" => '=',
                o => o.chars().next()?,
            };
            b.used = Use::Test(negated, op, Num::read(parts.get(2)?));
            b.offset = Num::read(parts.get(3)?);
            4
        }
        "byte_jump" => {
            b.used = Use::Jump { times: 1, begin: false, end: false, align: false, post: 0 };
            b.offset = Num::read(parts.get(1)?);
            2
        }
        "byte_extract" => {
            b.used = Use::Keep((*parts.get(2)?).to_owned(), 1);
            b.offset = Num::read(parts.get(1)?);
            3
        }
        _ => return math(&parts, b),
    };
    for part in &parts[rest.min(parts.len())..] {
        let (key, v) = part.split_once(' ').map_or((*part, ""), |(k, v)| (k, v.trim()));
        match (key, &mut b.used) {
            ("relative", _) => b.relative = true,
            ("little", _) => b.little = true,
            ("big", _) => {}
            ("string", _) => b.digits = Some(b.digits.unwrap_or(10)),
            ("hex", _) => b.digits = Some(16),
            ("dec", _) => b.digits = Some(10),
            ("oct", _) => b.digits = Some(8),
            ("bitmask", _) => b.mask = u64::from_str_radix(v.trim_start_matches("0x"), 16).ok(),
            ("multiplier", Use::Jump { times, .. } | Use::Keep(_, times)) => *times = v.parse().ok()?,
            ("from_beginning", Use::Jump { begin, .. }) => *begin = true,
            ("from_end", Use::Jump { end, .. }) => *end = true,
            ("align", Use::Jump { align, .. }) => *align = true,
            ("post_offset", Use::Jump { post, .. }) => *post = v.parse().ok()?,
            _ => return None,
        }
    }
    Some(b)
}

fn math(parts: &[&str], mut b: ByteTest) -> Option<ByteTest> {
    let (mut op, mut right, mut kept) = (None, None, None);
    for part in parts {
        let (key, v) = part.split_once(' ').map_or((*part, ""), |(k, v)| (k, v.trim()));
        match key {
            "bytes" => b.count = Num::read(v),
            "offset" => b.offset = Num::read(v),
            "oper" => op = v.chars().next(),
            "rvalue" => right = Some(Num::read(v)),
            "result" => kept = Some(v.to_owned()),
            "relative" => b.relative = true,
            "endian" => b.little = v == "little",
            _ => return None,
        }
    }
    b.used = Use::Math(op?, right?, kept?);
    Some(b)
}

impl ByteTest {
    /// The number in `bytes`.
    pub(crate) fn number(&self, bytes: &[u8]) -> Option<i64> {
        let n = match self.digits {
            Some(base) => {
                let text = std::str::from_utf8(bytes).ok()?.trim_start();
                let text = if base == 16 { text.trim_start_matches("0x") } else { text };
                let end = text.find(|c: char| !c.is_digit(base)).unwrap_or(text.len());
                i64::from_str_radix(&text[..end], base).ok()?
            }
            None if bytes.len() <= 8 => {
                let fold = |n: u64, b: &u8| n << 8 | u64::from(*b);
                let n = if self.little { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) };
                i64::try_from(n).ok()?
            }
            None => return None,
        };
        Some(match self.mask {
            Some(mask) if mask != 0 => (n & i64::try_from(mask).ok()?) >> mask.trailing_zeros(),
            _ => n,
        })
    }

    /// `n` in as many bytes. None where it does not fit.
    pub(crate) fn written(&self, n: i64, count: usize) -> Option<Vec<u8>> {
        let n = self.mask.filter(|m| *m != 0).map_or(n, |m| n << m.trailing_zeros());
        if let Some(base) = self.digits {
            let text = match base {
                16 => format!("{n:x}"),
                8 => format!("{n:o}"),
                _ => n.to_string(),
            };
            let text = format!("{text:0>count$}");
            return (text.len() == count && n >= 0).then(|| text.into_bytes());
        }
        let all = u64::try_from(n).ok()?.to_be_bytes();
        let mut bytes = all.get(8usize.checked_sub(count)?..)?.to_vec();
        if all[..8 - count].iter().any(|b| *b != 0) {
            return None;
        }
        if self.little {
            bytes.reverse();
        }
        Some(bytes)
    }

    /// Numbers that are worth trying.
    pub(crate) fn tries(&self, variables: &BTreeMap<String, i64>) -> Vec<i64> {
        match &self.used {
            Use::Test(_, _, with) => {
                let v = value(with, variables).unwrap_or(0);
                vec![v, v + 1, v - 1, 0, v * 2, v ^ 1, 255, v & 0xff, i64::from(u32::MAX)]
            }
            Use::Jump { .. } => vec![0, 1, 2, 4, 8, 16, 32, 64],
            Use::Keep(..) | Use::Math(..) => vec![4, 8, 1, 2, 16, 0, 32, 10, 64],
        }
    }

    /// Whether the number passes, and what it changes: the place of the next match, a variable.
    pub(crate) fn apply(&self, n: i64, end: usize, len: usize, variables: &mut BTreeMap<String, i64>) -> Option<Moved> {
        match &self.used {
            Use::Test(negated, op, with) => {
                let v = value(with, variables)?;
                let ok = match op {
                    '<' => n < v,
                    '>' => n > v,
                    'l' => n <= v,
                    'g' => n >= v,
                    '&' => n & v != 0,
                    '^' => n ^ v != 0,
                    _ => n == v,
                };
                (ok != *negated).then_some(Moved::Stays)
            }
            Use::Jump { times, begin, end: from_end, align, post } => {
                let mut by = n.checked_mul(*times)?;
                if *align {
                    by = (by + 3) & !3;
                }
                let from = if *begin {
                    0
                } else if *from_end {
                    len
                } else {
                    end
                };
                let to = i64::try_from(from).ok()?.checked_add(by)?.checked_add(*post)?;
                usize::try_from(to).ok().map(Moved::To)
            }
            Use::Keep(name, times) => {
                variables.insert(name.clone(), n.checked_mul(*times)?);
                Some(Moved::Behind)
            }
            Use::Math(op, with, name) => {
                let v = value(with, variables)?;
                let result = match op {
                    '+' => n.checked_add(v)?,
                    '-' => n.checked_sub(v)?,
                    '*' => n.checked_mul(v)?,
                    '/' => n.checked_div(v)?,
                    _ => return None,
                };
                variables.insert(name.clone(), result);
                Some(Moved::Behind)
            }
        }
    }
}

/// The number, or the variable's.
pub(crate) fn value(n: &Num, variables: &BTreeMap<String, i64>) -> Option<i64> {
    match n {
        Num::Is(n) => Some(*n),
        Num::Var(name) => variables.get(name).copied(),
    }
}
