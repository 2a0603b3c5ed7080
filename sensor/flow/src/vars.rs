// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What rules captured on a flow (`pcre:"/.../,flow:name"`) or measured of it (`entropy`), as EVE shows it.
//!
//! Must never grow without bound: limits [`MAX_FLOWVARS`], [`MAX_FLOWVAR`], [`MAX_MEASURED`].

use lagewarte_event::eve::JsonWriter;

/// Most captures of one flow; what comes later is not kept. Threat: a rule that captures on each of a million requests.
pub const MAX_FLOWVARS: usize = 16;
/// Longest capture, in bytes; the rest is cut. Threat: a group that takes a whole body.
pub const MAX_FLOWVAR: usize = 256;

/// Most buffers of one flow of which an entropy is kept. Threat: a rule set that measures all that there are.
pub const MAX_MEASURED: usize = 16;

/// Names and what was captured, in the order of capture; buffers and their entropies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowVars(Vec<(String, String)>, Vec<(&'static str, f64)>);

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
    /// Keeps the entropy of a buffer; the last one counts. False where there is no room.
    pub fn measure(&mut self, buffer: &'static str, entropy: f64) -> bool {
        if let Some((_, had)) = self.1.iter_mut().find(|(n, _)| *n == buffer) {
            *had = entropy;
            return true;
        }
        let room = self.1.len() < MAX_MEASURED;
        if room {
            self.1.push((buffer, entropy));
        }
        room
    }
    /// Whether nothing was captured or measured.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty() && self.1.is_empty()
    }
    /// Writes `flowvars` and `entropy`, where there are any.
    pub fn write(&self, w: &mut JsonWriter) {
        if !self.0.is_empty() {
            w.key("flowvars").open_array();
            for (name, value) in &self.0 {
                w.open().key(name).string(value).close();
            }
            w.close_array();
        }
        if !self.1.is_empty() {
            w.key("entropy").open();
            for (buffer, n) in &self.1 {
                w.key(buffer).f64(*n);
            }
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
        assert!(vars.is_empty());
        assert!(vars.set("a", b"x\0y") && vars.set("b", &[b'z'; 2 * MAX_FLOWVAR]) && vars.set("a", b"new"));
        assert!(vars.measure("file_data", 4.0) && vars.measure("file_data", 4.25));
        let mut w = JsonWriter::new();
        w.open();
        vars.write(&mut w);
        w.close();
        let long = "z".repeat(MAX_FLOWVAR);
        let want = format!(r#"{{"flowvars":[{{"a":"new"}},{{"b":"{long}"}}],"entropy":{{"file_data":4.25}}}}"#);
        assert_eq!(w.finish(), want);
        for n in 0..2 * MAX_FLOWVARS {
            vars.set(&n.to_string(), b"v");
        }
        assert_eq!(vars.0.len(), MAX_FLOWVARS);
        assert!(!vars.set("more", b"v") && vars.set("a", b"v"));
        for n in 0..2 * MAX_MEASURED {
            vars.measure(Box::leak(n.to_string().into_boxed_str()), 1.0);
        }
        assert_eq!(vars.1.len(), MAX_MEASURED);
        assert!(!vars.measure("more", 1.0) && vars.measure("file_data", 5.0) && !vars.is_empty());
    }
}
