// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `byte_test`, `byte_jump`, `byte_extract`, `byte_math`: numbers out of bytes. Suricata user guide, "Payload Keywords".
//!
//! Must never let a variable be read that nothing before it fills.

use super::{meta::once, wanted};
use crate::{
    ast::{
        Base, Bitmask, ByteExtract, ByteJump, ByteMath, ByteTest, Compare, JumpFrom, Oper, Operand, Order, PayloadTest,
        Reading, Value,
    },
    draft::Draft,
};

/// Options that several of the keywords have, as far as they were read.
#[derive(Default)]
struct Common {
    relative: Option<()>,
    endian: Option<Order>,
    string: Option<()>,
    base: Option<Base>,
    bitmask: Option<Bitmask>,
}

impl Common {
    /// Reads one option; false where it is none of these.
    fn read(&mut self, name: &str, value: Option<&str>) -> Result<bool, String> {
        let twice = |e| format!("{name}: {e}");
        match (name, value) {
            ("relative", None) => once(&mut self.relative, ()).map_err(twice)?,
            ("big", None) | ("endian", Some("big")) => once(&mut self.endian, Order::Big).map_err(twice)?,
            ("little", None) | ("endian", Some("little")) => once(&mut self.endian, Order::Little).map_err(twice)?,
            ("dce", None) | ("endian", Some("dce")) => once(&mut self.endian, Order::Call).map_err(twice)?,
            ("string", None) => once(&mut self.string, ()).map_err(twice)?,
            ("string", Some(base)) => {
                once(&mut self.string, ()).map_err(twice)?;
                let base = number_base(base).ok_or_else(|| format!("{base:?} is none of hex, dec, oct"))?;
                once(&mut self.base, base).map_err(twice)?;
            }
            ("hex" | "dec" | "oct", None) => {
                if let Some(base) = number_base(name) {
                    once(&mut self.base, base).map_err(twice)?;
                }
            }
            ("bitmask", Some(mask)) => {
                let mask = Bitmask(unsigned(mask, u32::MAX.into())?);
                once(&mut self.bitmask, mask).map_err(twice)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn reading(&self, d: &Draft<'_>, bytes: Value, offset: Value) -> Result<Reading, String> {
        let digits = match (self.string, self.base) {
            (Some(()), base) => Some(base.unwrap_or(Base::Unsaid)),
            (None, Some(_)) => {
                return Err(String::from("hex, dec and oct say how a string is read: write `string` too"));
            }
            (None, None) => None,
        };
        let most = match digits {
            None => 8,
            Some(Base::Hex) => 14,
            Some(Base::Dec) => 20,
            Some(Base::Oct | Base::Unsaid) => 23,
        };
        if bytes.number().is_some_and(|n| n > most) {
            return Err(format!("a number of that kind has at most {most} bytes"));
        }
        let relative = self.relative.is_some();
        let order = self.endian.unwrap_or_default();
        if order == Order::Call && d.here().is_none_or(|at| at.buffer.name != "dcerpc.stub_data") {
            return Err(String::from(
                "the byte order of a call is known in dcerpc.stub_data only; write big or little",
            ));
        }
        Ok(Reading { bytes, offset, relative, order, digits })
    }
}

fn number_base(word: &str) -> Option<Base> {
    Some(match word {
        "hex" => Base::Hex,
        "dec" => Base::Dec,
        "oct" => Base::Oct,
        _ => return None,
    })
}

/// The fields between commas, each as a name and what follows it after a blank.
fn fields(value: Option<&str>) -> Result<Vec<(&str, Option<&str>)>, String> {
    let v = wanted(value)?;
    Ok(v.split(',')
        .map(|f| match f.trim().split_once(char::is_whitespace) {
            Some((name, rest)) => (name, Some(rest.trim())),
            None => (f.trim(), None),
        })
        .collect())
}

/// The fields that stand by their place, without names.
fn positional<'v>(fields: &[(&'v str, Option<&'v str>)], at: usize, what: &str) -> Result<&'v str, String> {
    match fields.get(at) {
        Some((v, None)) if !v.is_empty() => Ok(v),
        Some((v, _)) => Err(format!("{what} is wanted, not {v:?}")),
        None => Err(format!("it ends before {what}")),
    }
}

/// A whole number, decimal or with 0x, up to `most`.
pub(crate) fn unsigned(text: &str, most: u64) -> Result<u64, String> {
    let t = text.trim();
    let n = match t.strip_prefix("0x").or_else(|| t.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => u64::from_str_radix(hex, 16).ok(),
        None if t.bytes().all(|b| b.is_ascii_digit()) => t.parse().ok(),
        _ => None,
    };
    n.filter(|n| *n <= most).ok_or_else(|| format!("{t:?} is not a whole number from 0 to {most}"))
}

fn signed(text: &str, most: u32) -> Result<i64, String> {
    let (minus, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let n = unsigned(digits, most.into()).map_err(|e| format!("{e} (or its negative)"))?;
    let n = i64::from(u32::try_from(n).unwrap_or(most));
    Ok(if minus { -n } else { n })
}

/// The largest offset, either sign (as far as a stream's window can ever reach, and further).
const MAX_OFFSET: u32 = i32::MAX as u32;

impl Draft<'_> {
    /// A place: a number, or a variable that was filled before.
    pub(crate) fn place(&self, text: &str, most: u32) -> Result<Value, String> {
        match text.bytes().next() {
            Some(b) if b.is_ascii_digit() || b == b'-' || b == b'+' => Ok(Value::Number(signed(text, most)?)),
            _ => self.variable(text).map(Value::Variable),
        }
    }

    fn operand(&self, text: &str) -> Result<Operand, String> {
        match text.bytes().next() {
            Some(b) if b.is_ascii_digit() => unsigned(text, u64::MAX).map(Operand::Number),
            // A negative number is compared as its 64 bits, as C has it.
            Some(b'-') => Ok(Operand::Number(signed(text, MAX_OFFSET)?.cast_unsigned())),
            _ => self.variable(text).map(Operand::Variable),
        }
    }

    fn variable(&self, name: &str) -> Result<u16, String> {
        let at = self.variables.iter().position(|n| n == name);
        at.and_then(|i| u16::try_from(i).ok())
            .ok_or_else(|| format!("no byte_extract or byte_math before it fills a variable {name:?}"))
    }

    fn new_variable(&mut self, name: &str) -> Result<u16, String> {
        let word = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if !word {
            return Err(format!("{name:?} is not a variable's name: a letter, then letters, digits, _ . and -"));
        }
        if self.variables.iter().any(|n| n == name) {
            return Err(format!("the variable {name} is filled twice"));
        }
        self.variables.push(name.to_owned());
        u16::try_from(self.variables.len() - 1).map_err(|_| String::from("too many variables"))
    }
}

/// `byte_test:4,!&,0x80,12,relative,string,dec,bitmask 0x0f`
pub(crate) fn byte_test(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let f = fields(value)?;
    let bytes = d.place(positional(&f, 0, "the number of bytes")?, 23)?;
    let op = positional(&f, 1, "an operator")?;
    let (negated, op) = match op.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, op),
    };
    let compare = match op {
        "=" => Compare::Eq,
        "<" => Compare::Lt,
        "<=" => Compare::Le,
        ">" => Compare::Gt,
        ">=" => Compare::Ge,
        "&" => Compare::And,
        "^" => Compare::Xor,
        other => return Err(format!("{other:?} is none of the operators = < <= > >= & ^, before which ! may stand")),
    };
    let against = d.operand(positional(&f, 2, "the value to test against")?)?;
    let offset = d.place(positional(&f, 3, "the offset")?, MAX_OFFSET)?;
    let mut common = Common::default();
    for (name, v) in f.iter().skip(4) {
        if !common.read(name, *v)? {
            return Err(format!("{name:?} is none of relative, big, little, dce, string, hex, dec, oct, bitmask"));
        }
    }
    let read = common.reading(d, bytes, offset)?;
    // No bytes of a string are as many digits as there are.
    if bytes.number().is_some_and(|n| n < i64::from(read.digits.is_none())) {
        return Err(String::from("a number has at least one byte"));
    }
    d.push(PayloadTest::ByteTest(ByteTest { read, negated, compare, against, bitmask: common.bitmask }));
    Ok(())
}

/// `byte_jump:4,0,relative,multiplier 2,little,string,dec,align,from_beginning,post_offset -4,bitmask 0xff`
pub(crate) fn byte_jump(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let f = fields(value)?;
    let bytes = d.place(positional(&f, 0, "the number of bytes")?, 23)?;
    let offset = d.place(positional(&f, 1, "the offset")?, MAX_OFFSET)?;
    let mut common = Common::default();
    let (mut multiplier, mut align, mut from, mut post_offset) = (None, None, None, None);
    for (name, v) in f.iter().skip(2) {
        if common.read(name, *v)? {
            continue;
        }
        let twice = |e| format!("{name}: {e}");
        match (*name, *v) {
            ("align", None) => once(&mut align, ()).map_err(twice)?,
            ("from_beginning", None) => once(&mut from, JumpFrom::Beginning).map_err(twice)?,
            ("from_end", None) => once(&mut from, JumpFrom::End).map_err(twice)?,
            ("multiplier", Some(n)) => once(&mut multiplier, factor(n)?).map_err(twice)?,
            ("post_offset", Some(n)) => once(&mut post_offset, signed(n, 65_535)?).map_err(twice)?,
            _ => {
                return Err(format!(
                    "{name:?} is none of relative, multiplier, big, little, dce, string, hex, dec, oct, align, from_beginning, from_end, post_offset, bitmask"
                ));
            }
        }
    }
    let jump = ByteJump {
        read: common.reading(d, bytes, offset)?,
        multiplier: multiplier.unwrap_or(1),
        align: align.is_some(),
        from: from.unwrap_or(JumpFrom::Number),
        post_offset: post_offset.and_then(|n| i32::try_from(n).ok()).unwrap_or(0),
        bitmask: common.bitmask,
    };
    if bytes.number().is_some_and(|n| n < 0) {
        return Err(String::from("the number of bytes is 0 or more"));
    }
    d.push(PayloadTest::ByteJump(jump));
    Ok(())
}

fn factor(text: &str) -> Result<u32, String> {
    let n = unsigned(text, 65_535)?;
    u32::try_from(n).ok().filter(|n| *n > 0).ok_or_else(|| String::from("a multiplier is at least 1"))
}

/// `byte_extract:2,0,name,relative,multiplier 2,little,string,dec,align 4`
pub(crate) fn byte_extract(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let f = fields(value)?;
    let bytes = Value::Number(count(positional(&f, 0, "the number of bytes")?)?);
    let offset = d.place(positional(&f, 1, "the offset")?, 65_535)?;
    let name = positional(&f, 2, "the variable's name")?;
    let mut common = Common::default();
    let (mut multiplier, mut align) = (None, None);
    for (name, v) in f.iter().skip(3) {
        if *name != "bitmask" && common.read(name, *v)? {
            continue;
        }
        let twice = |e| format!("{name}: {e}");
        match (*name, *v) {
            ("multiplier", Some(n)) => once(&mut multiplier, factor(n)?).map_err(twice)?,
            ("align", Some("2")) => once(&mut align, 2).map_err(twice)?,
            ("align", Some("4")) => once(&mut align, 4).map_err(twice)?,
            _ => {
                return Err(format!(
                    "{name:?} is none of relative, multiplier, big, little, dce, string, hex, dec, oct, align 2, align 4"
                ));
            }
        }
    }
    let read = common.reading(d, bytes, offset)?;
    let into = d.new_variable(name)?;
    let (multiplier, align) = (multiplier.unwrap_or(1), align.unwrap_or(1));
    d.push(PayloadTest::ByteExtract(ByteExtract { read, multiplier, align, into }));
    Ok(())
}

fn count(text: &str) -> Result<i64, String> {
    match unsigned(text, 23)? {
        0 => Err(String::from("a number has at least one byte")),
        n => Ok(i64::try_from(n).unwrap_or(0)),
    }
}

/// `byte_math:bytes 4, offset 0, oper +, rvalue 248, result name, relative, endian little, string dec, bitmask 0xff`
pub(crate) fn byte_math(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let f = fields(value)?;
    let mut common = Common::default();
    let (mut bytes, mut offset, mut oper, mut rvalue, mut result) = (None, None, None, None, None);
    for (name, v) in f {
        if !matches!(name, "big" | "little" | "dce" | "hex" | "dec" | "oct") && common.read(name, v)? {
            continue;
        }
        let twice = |e| format!("{name}: {e}");
        match (name, v) {
            ("bytes", Some(v)) => once(&mut bytes, d.place(v, 23)?).map_err(twice)?,
            ("offset", Some(v)) => once(&mut offset, d.place(v, 65_535)?).map_err(twice)?,
            ("oper", Some(v)) => {
                let op = match v {
                    "+" => Oper::Add,
                    "-" => Oper::Sub,
                    "*" => Oper::Mul,
                    "/" => Oper::Div,
                    "<<" => Oper::Left,
                    ">>" => Oper::Right,
                    other => return Err(format!("{other:?} is none of + - * / << >>")),
                };
                once(&mut oper, op).map_err(twice)?;
            }
            ("rvalue", Some(v)) => {
                let operand = d.operand(v)?;
                match operand {
                    Operand::Number(0) if v != "0" => {}
                    Operand::Number(n) if n == 0 || n > u32::MAX.into() => {
                        return Err(format!("the rvalue is from 1 to {}", u32::MAX));
                    }
                    _ => {}
                }
                once(&mut rvalue, operand).map_err(twice)?;
            }
            ("result", Some(v)) => once(&mut result, v).map_err(twice)?,
            _ => {
                return Err(format!(
                    "{name:?} is none of bytes, offset, oper, rvalue, result, relative, endian, string, bitmask"
                ));
            }
        }
    }
    let bytes = bytes.ok_or("it wants bytes")?;
    if bytes.number().is_some_and(|n| n < 1) {
        return Err(String::from("a number has at least one byte"));
    }
    let read = common.reading(d, bytes, offset.ok_or("it wants offset")?)?;
    let oper = oper.ok_or("it wants oper")?;
    let rvalue = rvalue.ok_or("it wants rvalue")?;
    let into = d.new_variable(result.ok_or("it wants result")?)?;
    d.push(PayloadTest::ByteMath(ByteMath { read, oper, rvalue, bitmask: common.bitmask, into }));
    Ok(())
}
