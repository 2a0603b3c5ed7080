// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Address lists of a rule header: `10.0.0.0/8`, `[a,b,!c]`, `$HOME_NET`, `!$HOME_NET`, ranges, nested, negated.
//!
//! A list is flattened: everything asked for, less everything negated, whatever the nesting (as Suricata does). A negation
//! inside a negated group is refused: Suricata and set logic disagree on what it means. A negation speaks of its own
//! address family only. Must never look anything up by name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    limits::{MAX_ADDRESSES, MAX_NESTING},
    vars::Variables,
};

/// Addresses of both families as sorted, disjoint, inclusive ranges.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AddressSet {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    /// Whether a negation took part in it: decides how Suricata categorises a rule.
    pub negated: bool,
    any: bool,
}

impl AddressSet {
    /// Every address.
    pub fn any() -> Self {
        Self { v4: vec![(0, u32::MAX)], v6: vec![(0, u128::MAX)], negated: false, any: true }
    }

    /// Whether every address is in it.
    pub const fn is_any(&self) -> bool {
        self.any
    }

    /// Whether this address is in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.any
            || match ip {
                IpAddr::V4(a) => inside(&self.v4, u32::from(a)),
                IpAddr::V6(a) => inside(&self.v6, u128::from(a)),
            }
    }

    /// Whether the two have an address in common.
    pub fn meets(&self, other: &Self) -> bool {
        self.v4.iter().any(|r| meets(*r, &other.v4)) || self.v6.iter().any(|r| meets(*r, &other.v6))
    }

    /// Whether each of its addresses is in the other, too.
    pub fn within(&self, other: &Self) -> bool {
        self.v4.iter().all(|r| within(*r, &other.v4)) && self.v6.iter().all(|r| within(*r, &other.v6))
    }

    /// IPv4 ranges, both ends included, ascending.
    pub fn v4(&self) -> &[(u32, u32)] {
        &self.v4
    }

    /// IPv6 ranges, both ends included, ascending.
    pub fn v6(&self) -> &[(u128, u128)] {
        &self.v6
    }

    /// Parses a header field.
    ///
    /// # Errors
    /// A sentence for the rule's writer.
    pub fn parse(text: &str, vars: &Variables) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("any") {
            return Ok(Self::any());
        }
        let (core, flipped) = unwrap_negations(text, |name| vars.address(name))?;
        let mut wanted = Parts::default();
        let mut unwanted = Parts::default();
        walk(core, flipped, 0, &|name| vars.address(name), &mut |item, negated| {
            let into = if negated { &mut unwanted } else { &mut wanted };
            single(item, into)?;
            if into.v4.len() + into.v6.len() > MAX_ADDRESSES {
                return Err(format!("more than {MAX_ADDRESSES} entries in an address list"));
            }
            Ok(())
        })?;
        let negated = !unwanted.v4.is_empty() || !unwanted.v6.is_empty();
        // What is negated only is negated within its own family: `!10.0.0.0/8` holds no IPv6 address, as in Suricata.
        if wanted.v4.is_empty() && !unwanted.v4.is_empty() {
            wanted.v4.push((0, u32::MAX));
        }
        if wanted.v6.is_empty() && !unwanted.v6.is_empty() {
            wanted.v6.push((0, u128::MAX));
        }
        if wanted.v4.is_empty() && wanted.v6.is_empty() {
            return Err(format!("the address list {text:?} is empty"));
        }
        let v4 = subtract(merge(wanted.v4), &merge(unwanted.v4));
        let v6 = subtract(merge(wanted.v6), &merge(unwanted.v6));
        if v4.is_empty() && v6.is_empty() {
            return Err(format!("no address is left in {text:?} after its negations"));
        }
        let any = v4 == [(0, u32::MAX)] && v6 == [(0, u128::MAX)];
        Ok(Self { v4, v6, negated, any })
    }
}

#[derive(Default)]
struct Parts {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

/// Walks a list, nested lists and variables: each single entry goes to `leaf` with whether it is negated.
///
/// # Errors
/// Nested deeper than [`MAX_NESTING`], a negation inside a negated group, or what `resolve` and `leaf` refuse.
pub(crate) fn walk<'a>(
    text: &'a str,
    negated: bool,
    depth: usize,
    resolve: &impl Fn(&str) -> Result<&'a str, String>,
    leaf: &mut impl FnMut(&str, bool) -> Result<(), String>,
) -> Result<(), String> {
    if depth > MAX_NESTING {
        return Err(format!("the list is nested more than {MAX_NESTING} deep (a variable naming itself?)"));
    }
    for item in split_list(text)? {
        let (not, item) = match item.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, item),
        };
        let negated = once_negated(item, negated, not)?;
        if item.starts_with('[') {
            walk(item, negated, depth + 1, resolve, leaf)?;
        } else if let Some(name) = item.strip_prefix('$') {
            walk(resolve(name)?, negated, depth + 1, resolve, leaf)?;
        } else {
            leaf(item, negated)?;
        }
    }
    Ok(())
}

/// `!!x`, `!$EXTERNAL_NET` where that is `!x`: a field that is one negated thing, however wrapped, is turned round as a
/// whole. Returns what is inside and whether it is negated.
pub(crate) fn unwrap_negations<'a>(
    text: &'a str,
    resolve: impl Fn(&str) -> Result<&'a str, String>,
) -> Result<(&'a str, bool), String> {
    let (mut text, mut flipped) = (text.trim(), false);
    for _ in 0..=MAX_NESTING {
        let items = split_list(text)?;
        let [item] = items[..] else { return Ok((text, flipped)) };
        if let Some(rest) = item.strip_prefix('!') {
            flipped = !flipped;
            text = rest.trim_start();
        } else if let Some(name) = item.strip_prefix('$') {
            text = resolve(name)?.trim();
        } else if item.starts_with('[') {
            text = item;
        } else {
            return Ok((item, flipped));
        }
    }
    Err(format!("the list is nested more than {MAX_NESTING} deep (a variable naming itself?)"))
}

/// Refuses a negation inside a negated group.
fn once_negated(item: &str, outer: bool, inner: bool) -> Result<bool, String> {
    if inner && (outer || item.starts_with('!')) {
        return Err(format!(
            "{item:?} is negated inside a negated group, which Suricata does not read as set logic does; write the ranges out"
        ));
    }
    Ok(outer || inner)
}

/// Splits `[a,b,[c,d]]`, `a,b` or `a` at its outermost commas; a trailing comma is allowed.
fn split_list(text: &str) -> Result<Vec<&str>, String> {
    let text = text.trim();
    let (inner, listed) = match text.strip_prefix('[') {
        Some(rest) => match closing(rest) {
            Some(at) if at + 1 == rest.len() => (&rest[..at], true),
            Some(_) => (text, false),
            None => return Err(format!("`[` without `]` in {text:?}")),
        },
        None => (text, false),
    };
    let mut items = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (i, c) in inner.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.checked_sub(1).ok_or_else(|| format!("`]` without `[` in {text:?}"))?,
            ',' if depth == 0 => {
                items.push(inner[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    if depth != 0 {
        return Err(format!("`[` without `]` in {text:?}"));
    }
    let last = inner[start..].trim();
    if !last.is_empty() || (items.is_empty() && !listed) {
        items.push(last);
    }
    if items.iter().any(|i| i.is_empty()) {
        return Err(format!("an empty entry in the list {text:?}"));
    }
    Ok(items)
}

// Where the `]` stands that closes a `[` just before the text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (i, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' if depth == 0 => return Some(i),
            ']' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn single(item: &str, into: &mut Parts) -> Result<(), String> {
    let bad = || {
        format!("{item:?} is not an address, a network (10.0.0.0/8, 2001:db8::/32), a range (a-b), `any` or a variable")
    };
    if item.eq_ignore_ascii_case("any") {
        into.v4.push((0, u32::MAX));
        into.v6.push((0, u128::MAX));
        return Ok(());
    }
    if let Some((from, to)) = item.split_once('-') {
        match (from.trim().parse().map_err(|_| bad())?, to.trim().parse().map_err(|_| bad())?) {
            (IpAddr::V4(a), IpAddr::V4(b)) if a <= b => into.v4.push((u32::from(a), u32::from(b))),
            (IpAddr::V6(a), IpAddr::V6(b)) if a <= b => into.v6.push((u128::from(a), u128::from(b))),
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                return Err(format!("the range {item:?} ends before it begins"));
            }
            _ => return Err(format!("the range {item:?} mixes IPv4 and IPv6")),
        }
        return Ok(());
    }
    let (address, mask) = match item.split_once('/') {
        Some((a, m)) => (a, Some(m)),
        None => (item, None),
    };
    match address.parse().map_err(|_| bad())? {
        IpAddr::V4(a) => {
            let bits = match mask {
                None => 32,
                Some(m) if m.contains('.') => {
                    let m = u32::from(m.parse::<Ipv4Addr>().map_err(|_| bad())?);
                    if m.leading_ones() != m.count_ones() {
                        return Err(format!("the netmask of {item:?} has holes"));
                    }
                    m.count_ones()
                }
                Some(m) => m.parse().ok().filter(|b| *b <= 32).ok_or_else(bad)?,
            };
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            let net = u32::from(a) & mask;
            into.v4.push((net, net | !mask));
        }
        IpAddr::V6(a) => {
            let bits: u32 = match mask {
                None => 128,
                Some(m) => m.parse().ok().filter(|b| *b <= 128).ok_or_else(bad)?,
            };
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            let net = u128::from(a) & mask;
            into.v6.push((net, net | !mask));
        }
    }
    Ok(())
}

/// Sorted, disjoint, adjacent ones joined.
pub(crate) fn merge<T: Copy + Ord + Step>(mut ranges: Vec<(T, T)>) -> Vec<(T, T)> {
    ranges.sort_unstable();
    let mut out: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (a, b) in ranges {
        match out.last_mut() {
            Some(last) if a <= last.1 || last.1.next() == Some(a) => last.1 = last.1.max(b),
            _ => out.push((a, b)),
        }
    }
    out
}

/// Removes `less` from `from`; both sorted and disjoint.
pub(crate) fn subtract<T: Copy + Ord + Step>(from: Vec<(T, T)>, less: &[(T, T)]) -> Vec<(T, T)> {
    let mut out = Vec::with_capacity(from.len());
    for (start, end) in from {
        // What is left of this range begins here; None once it is used up.
        let mut rest = Some(start);
        for &(c, d) in less {
            let Some(a) = rest else { break };
            if d < a || c > end {
                continue;
            }
            if let Some(before) = c.prev().filter(|_| c > a) {
                out.push((a, before));
            }
            rest = d.next().filter(|n| *n <= end);
        }
        if let Some(a) = rest {
            out.push((a, end));
        }
    }
    out
}

/// Whether `x` lies in one of the sorted, disjoint ranges.
pub(crate) fn inside<T: Copy + Ord>(ranges: &[(T, T)], x: T) -> bool {
    within((x, x), ranges)
}

// Whether a range has a number in common with sorted, disjoint ones.
fn meets<T: Copy + Ord>((from, to): (T, T), ranges: &[(T, T)]) -> bool {
    last_end(ranges, to).is_some_and(|end| from <= end)
}

// Whether a range lies in one of sorted, disjoint ones, of which adjacent ones are joined.
fn within<T: Copy + Ord>((from, to): (T, T), ranges: &[(T, T)]) -> bool {
    last_end(ranges, from).is_some_and(|end| to <= end)
}

// Where the last of the ranges ends that begins at `x` or before.
fn last_end<T: Copy + Ord>(ranges: &[(T, T)], x: T) -> Option<T> {
    let i = ranges.partition_point(|(a, _)| *a <= x);
    Some(ranges.get(i.checked_sub(1)?)?.1)
}

/// Neighbours of a number.
pub(crate) trait Step: Sized {
    fn next(self) -> Option<Self>;
    fn prev(self) -> Option<Self>;
}

macro_rules! step {
    ($($t:ty),*) => {$(
        impl Step for $t {
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn prev(self) -> Option<Self> {
                self.checked_sub(1)
            }
        }
    )*};
}
step!(u16, u32, u128);

/// The text of a range, for canonical output.
pub(crate) fn v4_text((a, b): (u32, u32)) -> String {
    format!("{}-{}", Ipv4Addr::from(a), Ipv4Addr::from(b))
}

/// The text of a range, for canonical output.
pub(crate) fn v6_text((a, b): (u128, u128)) -> String {
    format!("{}-{}", Ipv6Addr::from(a), Ipv6Addr::from(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vars() -> Variables {
        let mut v = Variables::suricata();
        v.set_address("NEST", "[10.0.0.0/8,!10.1.0.0/16]");
        v.set_address("LOOP", "$LOOP");
        v
    }

    fn has(list: &str, ip: &str) -> bool {
        AddressSet::parse(list, &vars()).unwrap().contains(ip.parse().unwrap())
    }

    #[test]
    fn lists_hold_what_they_say() {
        for (list, inside, outside) in [
            ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.0.0.0/255.255.0.0", "10.0.9.9", "10.1.0.0"),
            ("10.0.0.1-10.0.0.5", "10.0.0.5", "10.0.0.6"),
            ("[10.0.0.1, 10.0.0.3]", "10.0.0.3", "10.0.0.2"),
            ("[10.0.0.0/8,!10.1.0.0/16]", "10.2.0.0", "10.1.0.0"),
            ("[!10.1.0.0/16,10.0.0.0/8]", "10.0.255.255", "10.1.255.255"),
            ("!10.0.0.1", "10.0.0.2", "10.0.0.1"),
            ("!10.0.0.1", "10.0.0.2", "2001:db8::1"),
            ("[2001:db8::/32,!10.0.0.1]", "10.0.0.2", "2001:db9::1"),
            ("![10.0.0.1,10.0.0.2]", "10.0.0.3", "10.0.0.2"),
            ("$HOME_NET", "192.168.1.1", "1.1.1.1"),
            ("!$HOME_NET", "1.1.1.1", "192.168.1.1"),
            ("$EXTERNAL_NET", "1.1.1.1", "10.1.1.1"),
            ("[$HOME_NET,!10.0.0.1]", "10.0.0.2", "10.0.0.1"),
            ("!$EXTERNAL_NET", "10.1.1.1", "1.1.1.1"),
            ("!!10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("$NEST", "10.2.2.2", "10.1.2.2"),
            ("[[10.0.0.1],10.0.0.2]", "10.0.0.1", "10.0.0.3"),
            ("[10.1.0.0/16,[10.0.0.0/8,!10.1.0.0/16]]", "10.2.0.0", "10.1.0.0"),
            ("[10.0.0.1,]", "10.0.0.1", "10.0.0.2"),
            ("2001:db8::/32", "2001:db8:ffff::", "2001:db9::"),
            ("::/0", "::1", "127.0.0.1"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
        ] {
            assert!(has(list, inside), "{list} holds {inside}");
            assert!(!has(list, outside), "{list} does not hold {outside}");
        }
        assert!(AddressSet::parse("[0.0.0.0/0,::/0]", &vars()).unwrap().is_any());
        assert!(AddressSet::parse("any", &vars()).unwrap().is_any());
    }

    #[test]
    fn lists_that_mean_nothing_are_refused() {
        for bad in [
            "10.0.0.1/33",
            "10.0.0.256",
            "10.0.0.5-10.0.0.1",
            "10.0.0.1-::1",
            "[]",
            "[10.0.0.1",
            "10.0.0.1]",
            "[,10.0.0.1]",
            "[10.0.0.1,,10.0.0.2]",
            "!any",
            "[10.0.0.1,!any]",
            "[10.0.0.1,!10.0.0.0/8]",
            "!0.0.0.0/0,!::/0",
            "fe80::1/129",
            "10.1",
            "$FOO_NET",
            "![10.0.0.0/8,!10.1.0.0/16]",
            "!$NEST",
            "[10.0.0.1,!$EXTERNAL_NET]",
            "$LOOP",
            "[$LOOP,10.0.0.1]",
            "host.example",
            "10.0.0.0/255.0.255.0",
            "",
        ] {
            assert!(AddressSet::parse(bad, &vars()).is_err(), "{bad}");
        }
    }

    #[test]
    fn long_lists_are_capped() {
        let long = vec!["10.0.0.1"; MAX_ADDRESSES + 1].join(",");
        assert!(AddressSet::parse(&format!("[{long}]"), &vars()).unwrap_err().contains("entries"));
        let deep = format!("{}10.0.0.1{}", "[".repeat(MAX_NESTING + 2), "]".repeat(MAX_NESTING + 2));
        assert!(AddressSet::parse(&deep, &vars()).unwrap_err().contains("nested"));
    }

    proptest! {
        #[test]
        fn no_text_panics(s in "[0-9a-f:.,!$/\\[\\] -]{0,60}") {
            let _ = AddressSet::parse(&s, &vars());
        }
        #[test]
        fn membership_is_set_logic(
            yes in prop::collection::vec((0u16..300, 0u16..300), 1..8),
            no in prop::collection::vec((0u16..300, 0u16..300), 0..8),
            x in 0u16..320,
        ) {
            let order = |(a, b): (u16, u16)| (a.min(b), a.max(b));
            let yes: Vec<_> = yes.into_iter().map(order).collect();
            let no: Vec<_> = no.into_iter().map(order).collect();
            let is = |r: &[(u16, u16)]| r.iter().any(|(a, b)| *a <= x && x <= *b);
            let set = subtract(merge(yes.clone()), &merge(no.clone()));
            prop_assert_eq!(inside(&set, x), is(&yes) && !is(&no));
        }
        #[test]
        fn sets_meet_and_lie_within_each_other_as_their_members_do(
            a in prop::collection::vec((0u16..40, 0u16..6), 1..6),
            b in prop::collection::vec((0u16..40, 0u16..20), 1..4),
        ) {
            let set = |r: Vec<(u16, u16)>| {
                let list: Vec<String> = r.iter().map(|(from, n)| format!("10.0.0.{from}-10.0.0.{}", from + n)).collect();
                AddressSet::parse(&format!("[{}]", list.join(",")), &vars()).unwrap()
            };
            let (a, b) = (set(a), set(b));
            let both = |x: u8| (a.contains(Ipv4Addr::new(10, 0, 0, x).into()), b.contains(Ipv4Addr::new(10, 0, 0, x).into()));
            prop_assert_eq!(a.meets(&b), (0..=255).any(|x| both(x) == (true, true)));
            prop_assert_eq!(a.within(&b), !(0..=255).any(|x| both(x) == (true, false)));
        }
    }
}
