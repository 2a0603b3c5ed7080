// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Numbers out of bytes: `byte_test`, `byte_jump`, `byte_extract`, `byte_math`.
//!
//! Must never read outside the bytes, and never overflow: arithmetic wraps at 64 bits, as it does in Suricata.

use lagewarte_rules::ast::{
    Base, ByteExtract, ByteJump, ByteMath, ByteTest, Compare, JumpFrom, Oper, Operand, Order, Reading, Value,
};

/// The numbers that a rule has taken out of bytes so far, by the rule's own numbers.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    kept: Vec<u64>,
    /// Whether the call that is looked into has the lowest byte first.
    pub(crate) little: bool,
}

impl Variables {
    /// Forgets all, and makes room for so many.
    pub(crate) fn reset(&mut self, most: u16) {
        self.kept.clear();
        self.kept.resize(most.into(), 0);
    }
    fn set(&mut self, variable: u16, n: u64) {
        if let Some(slot) = self.kept.get_mut(usize::from(variable)) {
            *slot = n;
        }
    }
    fn get(&self, variable: u16) -> u64 {
        self.kept.get(usize::from(variable)).copied().unwrap_or(0)
    }
    /// A place or a length. A variable too large for any place is one that nothing reaches.
    pub(crate) fn value(&self, v: Value) -> i64 {
        match v {
            Value::Number(n) => n,
            Value::Variable(i) => i64::try_from(self.get(i)).unwrap_or(i64::MAX / 4),
        }
    }
    fn operand(&self, o: Operand) -> u64 {
        match o {
            Operand::Number(n) => n,
            Operand::Variable(i) => self.get(i),
        }
    }
}

/// Most digits that are read, whatever a variable says.
const MAX_DIGITS: usize = 23;

// The number, and where it ends. `end`: where the match before ended.
fn read(r: &Reading, bytes: &[u8], end: usize, vars: &Variables) -> Option<(u64, usize)> {
    let base = if r.relative { i64::try_from(end).ok()? } else { 0 };
    let from = usize::try_from(base.checked_add(vars.value(r.offset))?).ok()?;
    let count = usize::try_from(vars.value(r.bytes)).ok()?;
    if count == 0 {
        let rest = bytes.get(from..)?;
        return match r.digits {
            // As many digits as there are.
            Some(base) => digits(rest.get(..MAX_DIGITS).unwrap_or(rest), base).map(|(n, used)| (n, from + used)),
            None => Some((0, from)),
        };
    }
    let raw = bytes.get(from..from.checked_add(count)?)?;
    match r.digits {
        Some(base) if count <= MAX_DIGITS => digits(raw, base).map(|(n, used)| (n, from + used)),
        None if count <= 8 => {
            let fold = |n: u64, b: &u8| n << 8 | u64::from(*b);
            let little = match r.order {
                Order::Big => false,
                Order::Little => true,
                Order::Call => vars.little,
            };
            let n = if little { raw.iter().rev().fold(0, fold) } else { raw.iter().fold(0, fold) };
            Some((n, from + count))
        }
        _ => None,
    }
}

// As C's strtoull: blanks, a sign, 0x before hex; the number and how many bytes it took. None without a digit.
fn digits(raw: &[u8], base: Base) -> Option<(u64, usize)> {
    let blank = |b: &u8| matches!(b, b' ' | b'\t'..=b'\r');
    let mut at = raw.iter().take_while(|b| blank(b)).count();
    let minus = raw.get(at) == Some(&b'-');
    if matches!(raw.get(at), Some(b'-' | b'+')) {
        at += 1;
    }
    let rest = raw.get(at..)?;
    let hex = matches!(rest, [b'0', b'x' | b'X', d, ..] if d.is_ascii_hexdigit());
    let radix = match base {
        Base::Hex => 16,
        Base::Dec => 10,
        Base::Oct => 8,
        Base::Unsaid if hex => 16,
        Base::Unsaid if rest.first() == Some(&b'0') => 8,
        Base::Unsaid => 10,
    };
    if radix == 16 && hex {
        at += 2;
    }
    let mut n: u64 = 0;
    let start = at;
    while let Some(d) = raw.get(at).and_then(|b| char::from(*b).to_digit(radix)) {
        // Too large for 64 bits: no number at all.
        n = n.checked_mul(radix.into())?.checked_add(d.into())?;
        at += 1;
    }
    (at > start).then_some((if minus { n.wrapping_neg() } else { n }, at))
}

/// Whether a number in the bytes compares as the rule asks.
pub(crate) fn test(t: &ByteTest, bytes: &[u8], end: usize, vars: &Variables) -> bool {
    let Some((n, _)) = read(&t.read, bytes, end, vars) else { return false };
    let n = t.bitmask.map_or(n, |m| m.of(n));
    let against = vars.operand(t.against);
    let holds = match t.compare {
        Compare::Eq => n == against,
        Compare::Lt => n < against,
        Compare::Le => n <= against,
        Compare::Gt => n > against,
        Compare::Ge => n >= against,
        Compare::And => n & against != 0,
        Compare::Xor => n ^ against != 0,
    };
    holds != t.negated
}

/// Where a jump leads, at most to the end; None where it leads out of the bytes.
pub(crate) fn jump(j: &ByteJump, bytes: &[u8], end: usize, vars: &Variables) -> Option<usize> {
    let (n, behind) = read(&j.read, bytes, end, vars)?;
    let n = j.bitmask.map_or(n, |m| m.of(n));
    let mut n = i64::try_from(n).ok()?.checked_mul(j.multiplier.into())?;
    if j.align {
        n = n.checked_add(3)? & !3;
    }
    let from = match j.from {
        JumpFrom::Number => behind,
        JumpFrom::Beginning => 0,
        JumpFrom::End => bytes.len(),
    };
    let to = i64::try_from(from).ok()?.checked_add(n)?.checked_add(j.post_offset.into())?;
    usize::try_from(to).ok().filter(|to| *to <= bytes.len())
}

/// Keeps a number, and says where it ends; None where there is none.
pub(crate) fn extract(e: &ByteExtract, bytes: &[u8], end: usize, vars: &mut Variables) -> Option<usize> {
    let (n, behind) = read(&e.read, bytes, end, vars)?;
    let n = n.wrapping_mul(e.multiplier.into());
    let align = u64::from(e.align.max(1));
    vars.set(e.into, n.div_ceil(align).wrapping_mul(align));
    Some(behind)
}

/// Calculates with a number, and says where it ends; None where there is none, or nothing to divide by. A mask is for the
/// result (so Suricata does it; its guide can be read either way).
pub(crate) fn math(m: &ByteMath, bytes: &[u8], end: usize, vars: &mut Variables) -> Option<usize> {
    let (n, behind) = read(&m.read, bytes, end, vars)?;
    let by = vars.operand(m.rvalue);
    let n = match m.oper {
        Oper::Add => n.wrapping_add(by),
        Oper::Sub => n.wrapping_sub(by),
        Oper::Mul => n.wrapping_mul(by),
        Oper::Div => n.checked_div(by)?,
        Oper::Left => u32::try_from(by).ok().and_then(|by| n.checked_shl(by)).unwrap_or(0),
        Oper::Right => u32::try_from(by).ok().and_then(|by| n.checked_shr(by)).unwrap_or(0),
    };
    vars.set(m.into, m.bitmask.map_or(n, |mask| mask.of(n)));
    Some(behind)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digits_are_read_as_c_reads_them() {
        for (text, base, want) in [
            ("12x", Base::Dec, Some((12, 2))),
            (" \t7", Base::Dec, Some((7, 3))),
            ("-1", Base::Dec, Some((u64::MAX, 2))),
            ("0x1F", Base::Hex, Some((31, 4))),
            ("1f", Base::Hex, Some((31, 2))),
            ("0x", Base::Hex, Some((0, 1))),
            ("18", Base::Oct, Some((1, 1))),
            ("010", Base::Unsaid, Some((8, 3))),
            ("0x10", Base::Unsaid, Some((16, 4))),
            ("10", Base::Unsaid, Some((10, 2))),
            ("x", Base::Dec, None),
            ("-", Base::Dec, None),
            ("", Base::Dec, None),
            ("18446744073709551615", Base::Dec, Some((u64::MAX, 20))),
            ("18446744073709551616", Base::Dec, None),
        ] {
            assert_eq!(digits(text.as_bytes(), base), want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_read_in_both_orders(raw in prop::collection::vec(any::<u8>(), 1..9), little: bool, call: bool) {
            let count = i64::try_from(raw.len()).unwrap();
            let r = Reading {
                bytes: Value::Number(count),
                offset: Value::Number(0),
                relative: false,
                order: if call { Order::Call } else if little { Order::Little } else { Order::Big },
                digits: None,
            };
            let mut wide = [0; 8];
            let want = if little {
                wide[..raw.len()].copy_from_slice(&raw);
                u64::from_le_bytes(wide)
            } else {
                wide[8 - raw.len()..].copy_from_slice(&raw);
                u64::from_be_bytes(wide)
            };
            prop_assert_eq!(read(&r, &raw, 0, &Variables { little, ..Variables::default() }), Some((want, raw.len())));
        }
        #[test]
        fn no_place_panics(
            raw: Vec<u8>, count in -1i64..30, offset: i64, end in 0usize..40, relative: bool, text: bool, n: u64,
        ) {
            let digits = text.then_some(Base::Unsaid);
            let read = Reading {
                bytes: Value::Number(count), offset: Value::Number(offset), relative, order: Order::Big, digits,
            };
            let mut vars = Variables::default();
            vars.reset(1);
            vars.set(0, n);
            let at_variable = Reading { offset: Value::Variable(0), ..read };
            for read in [read, at_variable] {
                for from in [JumpFrom::Number, JumpFrom::Beginning, JumpFrom::End] {
                    let j = ByteJump { read, multiplier: 9, align: true, from, post_offset: -3, bitmask: None };
                    if let Some(to) = jump(&j, &raw, end, &vars) {
                        prop_assert!(to <= raw.len());
                    }
                }
                for oper in [Oper::Add, Oper::Sub, Oper::Mul, Oper::Div, Oper::Left, Oper::Right] {
                    math(&ByteMath { read, oper, rvalue: Operand::Number(n), bitmask: None, into: 0 }, &raw, end, &mut vars);
                }
                extract(&ByteExtract { read, multiplier: 7, align: 4, into: 0 }, &raw, end, &mut vars);
            }
        }
    }
}
