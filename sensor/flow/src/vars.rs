// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What rules captured on a flow (`pcre:"/.../,flow:name"`), as EVE shows it.
//!
//! Must never grow without bound: limits [`MAX_FLOWVARS`], [`MAX_FLOWVAR`].

use lagewarte_event::eve::JsonWriter;

/// Most captures of one flow; what comes later is not kept. Threat: a rule that captures on each of a million requests.
pub const MAX_FLOWVARS: usize = 16;
/// Longest capture, in bytes; the rest is cut. Threat: a group that takes a whole body.
pub const MAX_FLOWVAR: usize = 256;

/// Names and what was captured, in the order of capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowVars(Vec<(String, String)>);

impl FlowVars {
    /// Keeps a capture; one of the same name takes the place of the older. False where there is no room.
    pub fn set(&mut self, name: &str, value: &[u8]) -> bool {
        let value = printable(value.get(..MAX_FLOWVAR).unwrap_or(value));
        if let Some((_, had)) = self.0.iter_mut().find(|(n, _)| n == name) {
            *had = value;
            return true;
        }
        let room = self.0.len() < MAX_FLOWVARS;
        if room {
            self.0.push((name.to_owned(), value));
        }
        room
    }
    /// Whether nothing was captured.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Writes `flowvars`, where there are any.
    pub fn write(&self, w: &mut JsonWriter) {
        if !self.is_empty() {
            w.key("flowvars").open_array();
            for (name, value) in &self.0 {
                w.open().key(name).string(value).close();
            }
            w.close_array();
        }
    }
    /// Writes `metadata` with them, where there are any.
    pub fn write_metadata(&self, w: &mut JsonWriter) {
        if !self.is_empty() {
            w.key("metadata").open();
            self.write(w);
            w.close();
        }
    }
}

/// As Suricata prints bytes: what is not printable ASCII is a dot, line ends stay.
pub fn printable(bytes: &[u8]) -> String {
    bytes.iter().map(|&b| if matches!(b, 0x20..=0x7e | b'\r' | b'\n') { char::from(b) } else { '.' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_are_kept_up_to_a_cap() {
        let mut vars = FlowVars::default();
        assert!(vars.set("a", b"x\0y") && vars.set("b", &[b'z'; 2 * MAX_FLOWVAR]) && vars.set("a", b"new"));
        let mut w = JsonWriter::new();
        w.open();
        vars.write_metadata(&mut w);
        w.close();
        let long = "z".repeat(MAX_FLOWVAR);
        assert_eq!(w.finish(), format!(r#"{{"metadata":{{"flowvars":[{{"a":"new"}},{{"b":"{long}"}}]}}}}"#));
        for n in 0..2 * MAX_FLOWVARS {
            vars.set(&n.to_string(), b"v");
        }
        assert_eq!(vars.0.len(), MAX_FLOWVARS);
        assert!(!vars.set("more", b"v") && vars.set("a", b"v"));
    }
}
