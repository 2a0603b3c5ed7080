// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Whether a buffer passes a rule's tests: the generator's own reading of them, written from the user guide.
//!
//! Limits: backtracking stops after a fixed amount of work and then says no.

use std::collections::BTreeMap;

use super::{
    byte::{Moved, value},
    model::{Content, Num, Test},
    pcre,
};

const WORK: u32 = 4_000;

/// Variables and their values.
pub(crate) type Values = BTreeMap<String, i64>;

/// Whether all tests pass, in the rule's order.
pub(crate) fn passes(buffer: &[u8], tests: &[Test]) -> bool {
    let mut work = WORK;
    step(buffer, tests, 0, &Values::new(), &mut work)
}

/// Where a content may be: first place of its begin, last place of its end.
pub(crate) fn window(c: &Content, len: usize, last: usize, values: &Values) -> Option<(usize, usize)> {
    let n = |n: &Option<Num>| n.as_ref().map(|n| value(n, values));
    let size = i64::try_from(c.bytes.len()).ok()?;
    let all = i64::try_from(len).ok()?;
    let (mut from, mut to) = (0i64, all);
    if c.distance.is_some() || c.within.is_some() {
        from = i64::try_from(last).ok()? + n(&c.distance).unwrap_or(Some(0))?;
        if let Some(within) = n(&c.within) {
            to = to.min(from + within?);
        }
        from = from.max(0);
    }
    if let Some(offset) = n(&c.offset) {
        from = from.max(offset?);
    }
    if let Some(depth) = n(&c.depth) {
        to = to.min(n(&c.offset).unwrap_or(Some(0))? + depth?);
    }
    if c.starts {
        to = to.min(size);
        if from > 0 {
            return None;
        }
    }
    if c.ends {
        from = from.max(all - size);
    }
    (to >= 0).then_some(())?;
    Some((usize::try_from(from).ok()?, usize::try_from(to).ok()?))
}

fn same(c: &Content, there: &[u8]) -> bool {
    if c.nocase { there.eq_ignore_ascii_case(&c.bytes) } else { there == c.bytes }
}

fn step(buffer: &[u8], tests: &[Test], last: usize, values: &Values, work: &mut u32) -> bool {
    let Some((test, rest)) = tests.split_first() else { return true };
    *work = work.saturating_sub(1);
    if *work == 0 || !super::work::spend(1 + (buffer.len() / 32) as u32) {
        return false;
    }
    match test {
        Test::Content(c) => {
            let Some((from, to)) = window(c, buffer.len(), last, values) else {
                return c.negated && step(buffer, rest, last, values, work);
            };
            let to = to.min(buffer.len());
            let size = c.bytes.len();
            let mut places = (from..(to + 1).saturating_sub(size)).filter(|at| same(c, &buffer[*at..at + size]));
            if c.negated {
                return places.next().is_none() && step(buffer, rest, last, values, work);
            }
            places.any(|at| step(buffer, rest, at + size, values, work))
        }
        Test::Pcre(p) => {
            let from = if p.relative { last } else { 0 };
            if from > buffer.len() {
                return p.negated && step(buffer, rest, last, values, work);
            }
            let found = pcre::find(p, buffer, from);
            if p.negated {
                return found.is_empty() && step(buffer, rest, last, values, work);
            }
            found.into_iter().any(|(_, end)| step(buffer, rest, end, values, work))
        }
        Test::Reach(negated, relative, at) => {
            let Some(at) = value(at, values).and_then(|n| usize::try_from(n).ok()) else { return false };
            let from = if *relative { last } else { 0 };
            (from.saturating_add(at) <= buffer.len()) != *negated && step(buffer, rest, last, values, work)
        }
        Test::Size(i) => i64::try_from(buffer.len()).is_ok_and(|n| i.has(n)) && step(buffer, rest, last, values, work),
        Test::Byte(b) => {
            let mut values = values.clone();
            let Some((at, count)) = place(b, last, &values) else { return false };
            let Some(number) = buffer.get(at..at + count).and_then(|bytes| b.number(bytes)) else { return false };
            match b.apply(number, at + count, buffer.len(), &mut values) {
                None => false,
                Some(Moved::Stays) => step(buffer, rest, last, &values, work),
                Some(Moved::Behind) => step(buffer, rest, at + count, &values, work),
                Some(Moved::To(to)) => to <= buffer.len() && step(buffer, rest, to, &values, work),
            }
        }
    }
}

/// Where a byte test reads, and how many bytes.
pub(crate) fn place(b: &super::byte::ByteTest, last: usize, values: &Values) -> Option<(usize, usize)> {
    let from = if b.relative { i64::try_from(last).ok()? } else { 0 };
    let at = usize::try_from(from.checked_add(value(&b.offset, values)?)?).ok()?;
    Some((at, usize::try_from(value(&b.count, values)?).ok()?))
}
