// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Transforms of a buffer, there and back.

/// What a rule sees of `bytes`. None where the transform is not known here.
pub(crate) fn forward(transforms: &[String], bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = bytes.to_vec();
    for t in transforms {
        out = match t.as_str() {
            "dotprefix" => [b".", out.as_slice()].concat(),
            "to_lowercase" | "header_lowercase" => out.to_ascii_lowercase(),
            "to_uppercase" => out.to_ascii_uppercase(),
            "strip_whitespace" => out.into_iter().filter(|b| !space(*b)).collect(),
            "compress_whitespace" => {
                let mut last = false;
                out.retain(|b| !(std::mem::replace(&mut last, space(*b)) && space(*b)));
                out
            }
            "url_decode" => decode(&out),
            _ => return None,
        };
    }
    Some(out)
}

/// Bytes of which the rule sees `bytes`. None where there are none, or it is not known how.
pub(crate) fn back(transforms: &[String], bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = bytes.to_vec();
    for t in transforms.iter().rev() {
        out = match t.as_str() {
            "dotprefix" => out.strip_prefix(b".").filter(|b| !b.is_empty())?.to_vec(),
            "url_decode" => out
                .iter()
                .flat_map(|b| match b {
                    b'%' | b'+' => format!("%{b:02x}").into_bytes(),
                    b => vec![*b],
                })
                .collect(),
            _ => out,
        };
    }
    (forward(transforms, &out)? == bytes).then_some(out)
}

const fn space(b: u8) -> bool {
    matches!(b, 9..=13 | 32)
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut i) = (Vec::new(), 0);
    while let Some(b) = bytes.get(i) {
        let hex = |k: usize| bytes.get(k).and_then(|b| char::from(*b).to_digit(16));
        match (b, hex(i + 1), hex(i + 2)) {
            (b'%', Some(h), Some(l)) => {
                out.push((h * 16 + l) as u8); // two digits make a byte
                i += 3;
                continue;
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(*b),
        }
        i += 1;
    }
    out
}
