// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A rule's text cut into header and options, and the bytes that a `content` writes.
//!
//! Must never share code with the rule loader: that the two read a rule alike is one of the things the flows show.

/// A rule, cut but not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    /// `alert`, `pass` and so on.
    pub action: String,
    /// The header's protocol, in lower case.
    pub proto: String,
    /// Source addresses.
    pub src: String,
    /// Source ports.
    pub src_port: String,
    /// Destination addresses.
    pub dest: String,
    /// Destination ports.
    pub dest_port: String,
    /// Name in lower case, and value (empty where there is none), in the rule's order.
    pub options: Vec<(String, String)>,
}

impl Text {
    /// Cuts a rule. None where its form is not a rule's.
    pub(crate) fn cut(rule: &str) -> Option<Self> {
        let (head, body) = rule.trim().split_once('(')?;
        let body = body.strip_suffix(')')?;
        let mut words = words(head).into_iter();
        let mut word = || words.next();
        let (action, proto, src, src_port) = (word()?, word()?.to_lowercase(), word()?, word()?);
        word()?; // the arrow
        Some(Self { action, proto, src, src_port, dest: word()?, dest_port: word()?, options: options(body) })
    }

    /// The first value of an option.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The rule's number.
    pub(crate) fn sid(&self) -> Option<u32> {
        self.first("sid")?.trim().parse().ok()
    }
}

// Words of the header; blanks inside a list belong to it.
fn words(head: &str) -> Vec<String> {
    let (mut out, mut word, mut depth) = (Vec::new(), String::new(), 0usize);
    for c in head.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c.is_whitespace() {
            if depth == 0 && !word.is_empty() {
                out.push(std::mem::take(&mut word));
            }
        } else {
            word.push(c);
        }
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}

fn options(body: &str) -> Vec<(String, String)> {
    let (mut out, mut option, mut escaped) = (Vec::new(), String::new(), false);
    for c in body.chars() {
        if c == ';' && !escaped {
            let (name, value) = option.split_once(':').unwrap_or((&option, ""));
            if !name.trim().is_empty() {
                out.push((name.trim().to_lowercase(), value.trim().to_owned()));
            }
            option.clear();
        } else {
            option.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    out
}

/// What stands between quotes, and whether a `!` stands before it.
pub(crate) fn quoted(value: &str) -> (bool, &str) {
    let value = value.trim();
    let (negated, value) = value.strip_prefix('!').map_or((false, value), |v| (true, v.trim()));
    (negated, value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value))
}

/// The bytes that a content's text writes: `|41 42|` in hex, a backslash before what would end it.
pub(crate) fn bytes(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut hex, mut digits, mut escaped) = (Vec::new(), false, String::new(), false);
    for b in text.bytes() {
        match b {
            b'|' if !escaped => {
                hex = !hex;
                if !digits.is_empty() {
                    return None;
                }
            }
            _ if hex => {
                if b.is_ascii_whitespace() {
                    continue;
                }
                digits.push(char::from(b));
                if digits.len() == 2 {
                    out.push(u8::from_str_radix(&digits, 16).ok()?);
                    digits.clear();
                }
            }
            b'\\' if !escaped => {
                escaped = true;
                continue;
            }
            _ => out.push(b),
        }
        escaped = false;
    }
    (!hex).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_cut_at_its_own_semicolons_only() {
        let rule =
            r#"alert tcp [10.0.0.0/8, !10.1.0.0/16] any -> $HOME_NET 80 (msg:"a\; b"; content:"x|3a 20|\"y"; sid:7;)"#;
        let t = Text::cut(rule).expect("a rule");
        assert_eq!(t.src, "[10.0.0.0/8,!10.1.0.0/16]");
        assert_eq!(t.options[0].1, r#""a\; b""#);
        assert_eq!(t.sid(), Some(7));
        assert_eq!(bytes(quoted(&t.options[1].1).1).as_deref(), Some(b"x: \"y".as_slice()));
        assert_eq!(bytes("|4|"), None);
    }
}
