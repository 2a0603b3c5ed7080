// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Addresses and ports out of a rule's lists: which belong to it, and one that does or does not.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

/// Values of the variables, with the `$` left off.
#[derive(Clone, Debug, Default)]
pub struct Variables(pub BTreeMap<String, String>);

impl Variables {
    /// Those of a configuration as it is delivered, as far as they matter here.
    pub fn usual() -> Self {
        let home = "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]";
        let mut all = BTreeMap::new();
        all.insert("HOME_NET".to_owned(), home.to_owned());
        for name in ["EXTERNAL_NET", "AIM_SERVERS"] {
            all.insert(name.to_owned(), format!("!{home}"));
        }
        for name in ["HTTP", "SMTP", "SQL", "DNS", "TELNET", "DC"] {
            all.insert(format!("{name}_SERVERS"), home.to_owned());
        }
        let ports = [
            ("HTTP", "80"),
            ("SHELLCODE", "!80"),
            ("ORACLE", "1521"),
            ("SSH", "22"),
            ("FILE_DATA", "[80,110,143]"),
            ("FTP", "21"),
            ("MODBUS", "502"),
            ("DNP3", "20000"),
            ("VXLAN", "4789"),
            ("GENEVE", "6081"),
            ("TEREDO", "3544"),
        ];
        for (name, value) in ports {
            all.insert(format!("{name}_PORTS"), value.to_owned());
        }
        Self(all)
    }
}

/// A list of addresses or ports, as ranges of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// All.
    Any,
    /// From, to; both included.
    Range(u32, u32),
    /// Those of the positive ones (or all, where there is none) less those of the negated ones.
    List(Vec<(bool, Self)>),
}

impl Set {
    /// Whether `n` belongs to it.
    pub(crate) fn has(&self, n: u32) -> bool {
        match self {
            Self::Any => true,
            Self::Range(a, b) => (*a..=*b).contains(&n),
            Self::List(items) => {
                let mut wanted = items.iter().filter(|(negated, _)| !negated).peekable();
                (wanted.peek().is_none() || wanted.any(|(_, s)| s.has(n)))
                    && !items.iter().any(|(negated, s)| *negated && s.has(n))
            }
        }
    }

    /// Numbers that it names: the first and last of its ranges.
    pub(crate) fn named(&self, out: &mut Vec<u32>) {
        match self {
            Self::Any => {}
            Self::Range(a, b) => out.extend([*a, *b]),
            Self::List(items) => items.iter().for_each(|(_, s)| s.named(out)),
        }
    }

    /// Reads a list of IPv4 addresses. None where it holds something else.
    pub(crate) fn addresses(text: &str, variables: &Variables) -> Option<Self> {
        read(
            text,
            variables,
            &|word| {
                let number = |s: &str| s.parse::<Ipv4Addr>().ok().map(u32::from);
                if let Some((net, bits)) = word.split_once('/') {
                    let mask = u32::MAX.checked_shl(32 - bits.parse::<u32>().ok().filter(|b| *b <= 32)?).unwrap_or(0);
                    let net = number(net)? & mask;
                    return Some(Self::Range(net, net | !mask));
                }
                if let Some((a, b)) = word.split_once('-') {
                    return Some(Self::Range(number(a)?, number(b)?));
                }
                number(word).map(|n| Self::Range(n, n))
            },
            0,
        )
    }

    /// Reads a list of ports.
    pub(crate) fn ports(text: &str, variables: &Variables) -> Option<Self> {
        read(
            text,
            variables,
            &|word| {
                let (a, b) = word.split_once(':').unwrap_or((word, word));
                let (a, b) = (if a.is_empty() { "0" } else { a }, if b.is_empty() { "65535" } else { b });
                Some(Self::Range(a.parse().ok()?, b.parse().ok()?))
            },
            0,
        )
    }
}

fn read(text: &str, variables: &Variables, one: &dyn Fn(&str) -> Option<Set>, depth: u8) -> Option<Set> {
    let text = text.trim();
    if depth > 8 {
        return None;
    }
    if let Some(rest) = text.strip_prefix('!') {
        return Some(Set::List(vec![(true, read(rest, variables, one, depth + 1)?)]));
    }
    if let Some(name) = text.strip_prefix('$') {
        return read(variables.0.get(name)?, variables, one, depth + 1);
    }
    if text.eq_ignore_ascii_case("any") {
        return Some(Set::Any);
    }
    let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) else { return one(text) };
    let (mut items, mut level, mut from) = (Vec::new(), 0i32, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '[' => level += 1,
            ']' => level -= 1,
            ',' if level == 0 => {
                let word = inner[from..at].trim();
                let (negated, word) = word.strip_prefix('!').map_or((false, word), |w| (true, w));
                items.push((negated, read(word, variables, one, depth + 1)?));
                from = at + 1;
            }
            _ => {}
        }
    }
    Some(Set::List(items))
}

/// An address of the set, its own for each `index` where the set is large enough; `inner` says which side is tried first.
pub(crate) fn pick(sets: &[&Set], index: u32, inner: bool) -> Option<u32> {
    let home = 0x0a00_0000 + (index % 0x00ff_ff00) + 1; // 10.0.0.1 and on
    let outer = 0x2d00_0000 + (index % 0x00ff_ff00) + 1; // 45.0.0.1 and on
    let mut tries = if inner { vec![home, outer] } else { vec![outer, home] };
    let mut named = Vec::new();
    sets.iter().for_each(|s| s.named(&mut named));
    let turn = index as usize % named.len().max(1);
    named.rotate_left(turn);
    tries.extend(named.iter().flat_map(|n| [*n, n.wrapping_add(1), n.wrapping_sub(1)]));
    tries.into_iter().find(|n| sets.iter().all(|s| s.has(*n)))
}

/// A port of the set: `usual` where it fits, else what the set names, else any.
pub(crate) fn port(sets: &[&Set], usual: u16) -> Option<u16> {
    let mut tries = vec![u32::from(usual)];
    sets.iter().for_each(|s| s.named(&mut tries));
    tries.extend([8081, 4444, 50_001, 1023, 7]);
    let wider: Vec<u32> = tries.iter().flat_map(|n| [*n, n.wrapping_add(1), n.wrapping_sub(1)]).collect();
    let fits = |n: &u32| *n != 0 && *n <= 65_535 && sets.iter().all(|s| s.has(*n));
    tries.into_iter().chain(wider).find(fits).and_then(|n| u16::try_from(n).ok())
}

/// As the packet builder wants it.
pub(crate) const fn ip(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_inside_and_outside() {
        let v = Variables::usual();
        let set = |t: &str| Set::addresses(t, &v).expect("a list");
        assert_eq!(pick(&[&set("$EXTERNAL_NET")], 0, true).map(ip), "45.0.0.1".parse().ok());
        let part = set("[$HOME_NET,!10.0.0.0/16]");
        assert!(pick(&[&part], 9, true).is_some_and(|n| part.has(n) && n >> 16 != 0x0a00));
        assert_eq!(pick(&[&set("[1.2.3.4,5.6.7.0/24]")], 0, true).map(ip), "1.2.3.4".parse().ok());
        assert_eq!(pick(&[&set("![0.0.0.0/1,128.0.0.0/1]")], 0, true), None);
        assert!(Set::addresses("2001:db8::/32", &v).is_none());
    }

    #[test]
    fn a_port_is_the_usual_one_where_it_fits() {
        let v = Variables::usual();
        let set = |t: &str| Set::ports(t, &v).expect("a list");
        assert_eq!(port(&[&set("any")], 80), Some(80));
        assert_eq!(port(&[&set("[21,1024:,!1024]")], 80), Some(21));
        assert_eq!(port(&[&set("!80")], 80), Some(8081));
    }
}
