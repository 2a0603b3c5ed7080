// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Port lists of a rule header: `80`, `[80,8080]`, `1024:`, `:1024`, `[80:90,!85]`, `$HTTP_PORTS`, `!$HTTP_PORTS`.
//!
//! Flattened like addresses ([`crate::address`]), with the same refusal of a negation inside a negated group.

use crate::{
    address::{inside, merge, subtract, unwrap_negations, walk},
    limits::MAX_ADDRESSES,
    vars::Variables,
};

/// Ports as sorted, disjoint, inclusive ranges.
#[derive(Clone, Debug, PartialEq, Eq, Default, Hash)]
pub struct PortSet {
    ranges: Vec<(u16, u16)>,
}

impl PortSet {
    /// Every port.
    pub fn any() -> Self {
        Self { ranges: vec![(0, u16::MAX)] }
    }

    /// Whether every port is in it.
    pub fn is_any(&self) -> bool {
        self.ranges == [(0, u16::MAX)]
    }

    /// Whether this port is in it.
    pub fn contains(&self, port: u16) -> bool {
        inside(&self.ranges, port)
    }

    /// The ranges, both ends included, ascending.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.ranges
    }

    /// Parses a header field.
    ///
    /// # Errors
    /// A sentence for the rule's writer.
    pub fn parse(text: &str, vars: &Variables) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("any") {
            return Ok(Self::any());
        }
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        let (core, flipped) = unwrap_negations(text, |name| vars.port(name))?;
        walk(core, flipped, 0, &|name| vars.port(name), &mut |item, negated| {
            let into = if negated { &mut unwanted } else { &mut wanted };
            into.push(single(item)?);
            if into.len() > MAX_ADDRESSES {
                return Err(format!("more than {MAX_ADDRESSES} entries in a port list"));
            }
            Ok(())
        })?;
        if wanted.is_empty() {
            if unwanted.is_empty() {
                return Err(format!("the port list {text:?} is empty"));
            }
            wanted.push((0, u16::MAX));
        }
        let ranges = subtract(merge(wanted), &merge(unwanted));
        if ranges.is_empty() {
            return Err(format!("no port is left in {text:?} after its negations"));
        }
        Ok(Self { ranges })
    }
}

fn single(item: &str) -> Result<(u16, u16), String> {
    let bad = || format!("{item:?} is not a port (0 to 65535), a range (80:90, :1024, 1024:), `any` or a variable");
    let number = |s: &str, open: u16| {
        let s = s.trim();
        if s.is_empty() { Ok(open) } else { s.parse::<u16>().map_err(|_| bad()) }
    };
    if item.eq_ignore_ascii_case("any") {
        return Ok((0, u16::MAX));
    }
    match item.split_once(':') {
        None => item.parse().map(|p| (p, p)).map_err(|_| bad()),
        Some((a, b)) => {
            let (a, b) = (number(a, 0)?, number(b, u16::MAX)?);
            if a > b { Err(format!("the port range {item:?} ends before it begins")) } else { Ok((a, b)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vars() -> Variables {
        let mut v = Variables::suricata();
        v.set_port("LOOP", "$LOOP");
        v
    }

    #[test]
    fn lists_hold_what_they_say() {
        for (list, inside, outside) in [
            ("80", 80, 81),
            ("0", 0, 1),
            ("[80,81]", 81, 82),
            ("80,82", 82, 81),
            ("80:90", 90, 91),
            (":80", 0, 81),
            ("1024:", 65535, 1023),
            ("!80", 81, 80),
            ("![80,81]", 82, 81),
            ("[80:90,!85]", 86, 85),
            ("[!85,80:90]", 80, 85),
            ("$HTTP_PORTS", 80, 81),
            ("!$HTTP_PORTS", 81, 80),
            ("[$HTTP_PORTS, 8080]", 8080, 8081),
            ("[80,[81,83]]", 83, 82),
            ("[80,!81]", 80, 81),
        ] {
            let set = PortSet::parse(list, &vars()).unwrap();
            assert!(set.contains(inside), "{list} holds {inside}");
            assert!(!set.contains(outside), "{list} does not hold {outside}");
        }
        for any in ["any", ":", "0:65535", "[any]"] {
            assert!(PortSet::parse(any, &vars()).unwrap().is_any(), "{any}");
        }
    }

    #[test]
    fn lists_that_mean_nothing_are_refused() {
        for bad in [
            "65536",
            "90:80",
            "80-90",
            "http",
            "[80",
            "80]",
            "[]",
            "[80,!80]",
            "[85,!80:90]",
            "!any",
            "!0:65535",
            "$FOO",
            "![80,!81]",
            "[80:90,![85,!86]]",
            "$LOOP",
            "-1",
            "",
        ] {
            assert!(PortSet::parse(bad, &vars()).is_err(), "{bad}");
        }
        let long = vec!["80"; MAX_ADDRESSES + 1].join(",");
        assert!(PortSet::parse(&format!("[{long}]"), &vars()).unwrap_err().contains("entries"));
    }

    proptest! {
        #[test]
        fn no_text_panics(s in "[0-9:,!$a-z\\[\\] -]{0,60}") {
            let _ = PortSet::parse(&s, &vars());
        }
    }
}
