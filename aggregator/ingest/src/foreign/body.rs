// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! From a request's body to single events: decompressed, split, taken out of what a shipper wraps around them.
//!
//! Taken are NDJSON, JSON objects one after the other, and a JSON array of objects. An event is an object with an
//! `event_type`, or such an object (or its text) in `message`, `log` or `event.original`: what Vector, Fluent Bit and
//! Logstash send of a line that they did not parse. Must never hold more than [`MAX_DECODED`] of a body, whatever its
//! compression says. Limits: [`MAX_BODY`], [`MAX_DECODED`], [`MAX_EVENTS`], [`ZSTD_WINDOW_LOG`].

use std::io::Read;

use serde_json::{Map, Value, value::RawValue};

/// Largest body on the wire, bytes. Threat: a sender that fills the memory.
pub const MAX_BODY: usize = 4 << 20;
/// Largest body after decompression, bytes. Threat: a few bytes that expand without end.
pub const MAX_DECODED: usize = 8 << 20;
/// Most events in a body. Threat: millions of empty objects.
pub const MAX_EVENTS: usize = 20_000;
/// Largest window of a zstd frame, as a power of two: 8 MiB, that of level 19. Threat: a frame that asks for gigabytes.
pub const ZSTD_WINDOW_LOG: u32 = 23;
/// Where shippers put a line that they did not parse.
const WRAPPERS: [&[&str]; 4] = [&["message"], &["log"], &["event", "original"], &["event.original"]];

/// Why a body is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is larger than {MAX_BODY} bytes, or {MAX_DECODED} decompressed; send smaller batches")]
    TooLarge,
    #[error("more than {MAX_EVENTS} events; send smaller batches")]
    TooMany,
    #[error("Content-Encoding is none of identity, gzip, zstd")]
    Encoding,
    #[error("the body is not what its Content-Encoding says")]
    Damaged,
    #[error("the JSON array is damaged; nothing of it was taken")]
    Array,
}

/// One thing that was sent.
#[derive(Debug, PartialEq)]
pub(super) enum Sent {
    Event(Map<String, Value>),
    /// No EVE object: kept as it came.
    Other(Vec<u8>),
}

/// Undoes the compression.
pub(super) fn decode(encoding: &str, body: &[u8]) -> Result<Vec<u8>, BodyError> {
    let read = |r: &mut dyn Read| {
        let mut out = Vec::new();
        r.take(MAX_DECODED as u64 + 1).read_to_end(&mut out).map_err(|_| BodyError::Damaged)?;
        if out.len() > MAX_DECODED { Err(BodyError::TooLarge) } else { Ok(out) }
    };
    match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => read(&mut &*body),
        "gzip" | "x-gzip" => read(&mut flate2::read::MultiGzDecoder::new(body)),
        "zstd" => {
            let mut decoder = zstd::Decoder::with_buffer(body).map_err(|_| BodyError::Damaged)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|_| BodyError::Damaged)?;
            read(&mut decoder)
        }
        _ => Err(BodyError::Encoding),
    }
}

/// Splits a body into what was sent.
pub(super) fn split(body: &[u8]) -> Result<Vec<Sent>, BodyError> {
    let text = body.trim_ascii();
    if text.first() == Some(&b'[') {
        let items: Vec<&RawValue> = serde_json::from_slice(text).map_err(|_| BodyError::Array)?;
        if items.len() > MAX_EVENTS {
            return Err(BodyError::TooMany);
        }
        return Ok(items.into_iter().map(|i| one(i.get().as_bytes())).collect());
    }
    let mut out = Vec::new();
    for line in text.split(|b| *b == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        // Some shippers send objects without a line break between them.
        let mut at = 0;
        let mut values = serde_json::Deserializer::from_slice(line).into_iter::<&RawValue>();
        while let Some(Ok(value)) = values.next() {
            at = values.byte_offset();
            out.push(one(value.get().as_bytes()));
            if out.len() > MAX_EVENTS {
                return Err(BodyError::TooMany);
            }
        }
        // What is damaged costs its line and nothing else.
        let rest = line.get(at..).unwrap_or_default().trim_ascii();
        if !rest.is_empty() {
            out.push(Sent::Other(rest.to_vec()));
        }
        if out.len() > MAX_EVENTS {
            return Err(BodyError::TooMany);
        }
    }
    Ok(out)
}

fn one(text: &[u8]) -> Sent {
    let other = || Sent::Other(text.to_vec());
    let Ok(Value::Object(object)) = serde_json::from_slice(text) else { return other() };
    if is_eve(&object) {
        return Sent::Event(object);
    }
    for path in WRAPPERS {
        let Some((first, rest)) = path.split_first() else { continue };
        let inner = rest.iter().try_fold(object.get(*first), |at, name| at.map(|v| v.get(*name))).flatten();
        let inner = match inner {
            Some(Value::String(line)) => serde_json::from_str(line).ok(),
            Some(value @ Value::Object(_)) => Some(value.clone()),
            _ => None,
        };
        if let Some(Value::Object(inner)) = inner
            && is_eve(&inner)
        {
            return Sent::Event(inner);
        }
    }
    other()
}

fn is_eve(object: &Map<String, Value>) -> bool {
    object.get("event_type").is_some_and(Value::is_string)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    const EVE: &str = r#"{"event_type":"alert","alert":{"signature_id":1}}"#;

    fn events(body: &str) -> usize {
        let sent = split(body.as_bytes()).unwrap();
        sent.iter().filter(|s| matches!(s, Sent::Event(e) if e.contains_key("alert"))).count()
    }

    #[test]
    fn what_the_shippers_send_is_understood() {
        let quoted = serde_json::to_string(EVE).unwrap();
        for (shipper, body) in [
            ("NDJSON", format!("{EVE}\n{EVE}\r\n\n")),
            (
                "Fluent Bit json_lines of lines not parsed",
                format!("{{\"date\":1.5,\"log\":{quoted}}}\n{{\"log\":{quoted}}}"),
            ),
            ("Fluent Bit json_stream", format!("{EVE}{EVE}")),
            ("Fluent Bit json, parsed", format!("[{},{EVE}]", EVE.replacen('{', "{\"date\":1700000000.25,", 1))),
            (
                "Vector, lines not parsed",
                format!(
                    "[{{\"file\":\"/var/log/suricata/eve.json\",\"host\":\"h\",\"message\":{quoted},\"source_type\":\"file\"}},{EVE}]"
                ),
            ),
            (
                "Logstash json_batch",
                format!(
                    "[{{\"@timestamp\":\"x\",\"@version\":\"1\",\"event\":{{\"original\":{quoted}}}}},{{\"message\":{quoted}}}]"
                ),
            ),
            ("ECS with dots", format!("{{\"event.original\":{quoted}}}\n{{\"message\":{EVE}}}")),
        ] {
            assert_eq!(events(&body), 2, "{shipper}");
        }
    }

    #[test]
    fn what_is_damaged_costs_its_line_only() {
        let sent = split(format!("{EVE}\n{{\"event_type\":\"al\nnot json\n{EVE} tail\n[1]\n{EVE}").as_bytes()).unwrap();
        assert_eq!(sent.iter().filter(|s| matches!(s, Sent::Event(_))).count(), 3);
        let others: Vec<_> =
            sent.iter().filter_map(|s| if let Sent::Other(o) = s { Some(o.as_slice()) } else { None }).collect();
        assert_eq!(others, [&b"{\"event_type\":\"al"[..], b"not json", b"tail", b"[1]"]);
        assert_eq!(split(b"[{},"), Err(BodyError::Array));
        assert_eq!(split(b" \n "), Ok(vec![]));
    }

    #[test]
    fn bombs_and_masses_are_refused() {
        let zeros = vec![b' '; MAX_DECODED + 1];
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gz.write_all(&zeros).unwrap();
        let gz = gz.finish().unwrap();
        assert!(gz.len() < 20_000);
        assert_eq!(decode("gzip", &gz), Err(BodyError::TooLarge));
        let z = zstd::encode_all(&zeros[..], 3).unwrap();
        assert_eq!(decode("zstd", &z), Err(BodyError::TooLarge));
        assert_eq!(decode("", &zeros), Err(BodyError::TooLarge));
        let mut wide = zstd::Encoder::new(Vec::new(), 1).unwrap();
        wide.window_log(ZSTD_WINDOW_LOG + 1).unwrap();
        wide.write_all(&zeros[..1000]).unwrap();
        assert_eq!(
            decode("zstd", &wide.finish().unwrap()),
            Err(BodyError::Damaged),
            "a window that we do not allocate"
        );
        assert_eq!(decode("br", b"x"), Err(BodyError::Encoding));
        assert_eq!(decode("gzip", b"x"), Err(BodyError::Damaged));
        assert_eq!(decode("GZIP", &gz_of(EVE.as_bytes())).as_deref(), Ok(EVE.as_bytes()));
        assert_eq!(split("{}\n".repeat(MAX_EVENTS + 1).as_bytes()), Err(BodyError::TooMany));
        assert_eq!(split("{}".repeat(MAX_EVENTS + 1).as_bytes()), Err(BodyError::TooMany));
        assert_eq!(split(format!("[{}{{}}]", "{},".repeat(MAX_EVENTS)).as_bytes()), Err(BodyError::TooMany));
        assert_eq!(split("x\n".repeat(MAX_EVENTS + 1).as_bytes()), Err(BodyError::TooMany));
    }

    fn gz_of(bytes: &[u8]) -> Vec<u8> {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(bytes).unwrap();
        gz.finish().unwrap()
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = split(&bytes);
            for encoding in ["", "gzip", "zstd"] {
                let _ = decode(encoding, &bytes);
            }
        }
    }
}
