// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Choices of HTTP/1: `app-layer.protocols.http.libhtp.default-config` and what EVE writes of HTTP.

use crate::{codec, file::Pieces, http1::uri};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// How URIs are normalised.
    pub uri: uri::Choices,
    /// Inspection of request bodies.
    pub request: Pieces,
    /// Inspection of response bodies.
    pub response: Pieces,
    /// Content codings.
    pub codec: codec::Limits,
}

impl Default for Choices {
    /// Suricata's stock file.
    fn default() -> Self {
        const STOCK: u64 = 100 * 1024;
        Self {
            uri: uri::Choices::default(),
            request: Pieces { limit: STOCK, least: 32 * 1024, back: 4 * 1024 },
            response: Pieces { limit: STOCK, least: 40 * 1024, back: 16 * 1024 },
            codec: codec::Limits::default(),
        }
    }
}

/// Names of `libhtp.default-config` that [`Choices::set`] honours.
pub const HONOURED: &[&str] = &[
    "personality",
    "request-body-limit",
    "response-body-limit",
    "request-body-minimal-inspect-size",
    "request-body-inspect-window",
    "response-body-minimal-inspect-size",
    "response-body-inspect-window",
    "response-body-decompress-layer-limit",
    "http-body-inline",
    "double-decode-path",
    "double-decode-query",
    "query-plusspace-decode",
    "uri-include-all",
    "path-convert-backslash-separators",
    "path-convert-lowercase",
    "path-separators-compress",
    "path-separators-decode",
    "path-u-encoding-decode",
    "path-nul-raw-terminates",
    "path-nul-encoded-terminates",
    "lzma-enabled",
    "lzma-memlimit",
    "compression-bomb-limit",
];

impl Choices {
    /// Sets one choice by its name under `default-config`. Ok(false): there is no such choice here. Err: what is wrong
    /// with the value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, String> {
        match name {
            "personality" if value.eq_ignore_ascii_case("ids") => {}
            "personality" => return Err(format!("personality {value:?} is not supported; IDS is")),
            "request-body-limit" => self.request.limit = size(value)?,
            "response-body-limit" => self.response.limit = size(value)?,
            "request-body-minimal-inspect-size" => self.request.least = small(value)?,
            "request-body-inspect-window" => self.request.back = small(value)?,
            "response-body-minimal-inspect-size" => self.response.least = small(value)?,
            "response-body-inspect-window" => self.response.back = small(value)?,
            "response-body-decompress-layer-limit" => {
                self.codec.layers = value.parse().map_err(|_| format!("{value:?} is no number of layers"))?;
                if self.codec.layers > MAX_LAYERS {
                    return Err(format!("more than {MAX_LAYERS} layers are never undone"));
                }
            }
            "http-body-inline" => {} // only what inline mode does differs
            "double-decode-path" => self.uri.double_decode_path = truth(value)?,
            "double-decode-query" => self.uri.double_decode_query = truth(value)?,
            "query-plusspace-decode" => self.uri.query_plusspace_decode = truth(value)?,
            "uri-include-all" => self.uri.include_all = truth(value)?,
            "path-convert-backslash-separators" => self.uri.backslash = truth(value)?,
            "path-convert-lowercase" => self.uri.lowercase = truth(value)?,
            "path-separators-compress" => self.uri.compress = truth(value)?,
            "path-separators-decode" => self.uri.decode_separators = truth(value)?,
            "path-u-encoding-decode" => self.uri.u_encoding = truth(value)?,
            "path-nul-raw-terminates" | "path-nul-encoded-terminates" => self.uri.nul_terminates = truth(value)?,
            "lzma-enabled" => self.codec.lzma = truth(value)?,
            "lzma-memlimit" => self.codec.lzma_memory = small(value)?,
            "compression-bomb-limit" => self.codec.bomb_bytes = size(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Layers of content coding that are undone at most, whatever the configuration says. Threat: each layer multiplies work.
pub const MAX_LAYERS: usize = 16;

fn truth(v: &str) -> Result<bool, String> {
    match v.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Ok(true),
        "no" | "false" | "off" | "0" => Ok(false),
        _ => Err(format!("{v:?} is neither yes nor no")),
    }
}

fn size(v: &str) -> Result<u64, String> {
    let t = v.trim().to_ascii_lowercase();
    let split = t.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(t.len());
    let (number, unit) = t.split_at(split);
    let factor: u64 = match unit.trim() {
        "" | "b" => 1,
        "kb" | "kib" | "k" => 1 << 10,
        "mb" | "mib" | "m" => 1 << 20,
        "gb" | "gib" | "g" => 1 << 30,
        _ => return Err(format!("{v:?} is no size; write e.g. 100kb")),
    };
    let n: f64 = number.parse().map_err(|_| format!("{v:?} is no size; write e.g. 100kb"))?;
    Ok((n * factor as f64) as u64) // a size of a configuration file; `as` saturates
}

fn small(v: &str) -> Result<usize, String> {
    const MOST: u64 = 64 << 20;
    match size(v)? {
        n if n <= MOST => Ok(n as usize), // fits
        _ => Err(format!("{v:?} is more than 64mb")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read() {
        let mut c = Choices::default();
        for name in HONOURED {
            let value = match *name {
                "personality" => "IDS",
                "response-body-decompress-layer-limit" => "3",
                n if n.ends_with("limit") || n.ends_with("size") || n.ends_with("window") => "1mb",
                _ => "yes",
            };
            assert_eq!(c.set(name, value), Ok(true), "{name}");
        }
        assert_eq!((c.codec.layers, c.request.limit, c.response.back), (3, 1 << 20, 1 << 20));
        assert!(c.codec.lzma && c.uri.double_decode_path && c.uri.include_all);
        assert_eq!(c.set("no-such-thing", "1"), Ok(false));
        for (name, value) in [
            ("personality", "Apache_2"),
            ("request-body-limit", "much"),
            ("lzma-enabled", "perhaps"),
            ("lzma-memlimit", "1gb"),
            ("response-body-decompress-layer-limit", "17"),
        ] {
            assert!(c.set(name, value).is_err(), "{name}");
        }
    }
}
