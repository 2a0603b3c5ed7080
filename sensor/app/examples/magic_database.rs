// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Makes the database by which the kind of files is told (`src/file/magic/database.bin`) from a folder of rule texts of
//! file(1), in the form that pure-magic reads: the folder `src/magdir` of the crate source of `magic-db`.
//!
//! The crate itself is not a dependency: what it is built with is under the GPL alone. Of its rules `der` cannot be read by
//! pure-magic, as its authors say. The outcome is the same in effect each time, but not byte by byte (hash tables).
//!
//! `cargo run -p lagewarte-app --example magic_database -- FOLDER OUT`

use std::{env, fs, path::PathBuf, process::ExitCode};

use pure_magic::{MagicDb, MagicSource};

fn main() -> ExitCode {
    let [folder, out] = match <[String; 2]>::try_from(env::args().skip(1).collect::<Vec<_>>()) {
        Ok(both) => both.map(PathBuf::from),
        Err(_) => {
            eprintln!("usage: magic_database FOLDER OUT");
            return ExitCode::from(2);
        }
    };
    match make(&folder).and_then(|bytes| Ok(fs::write(out, bytes)?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn make(folder: &PathBuf) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut files = fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    files.retain(|f| f.file_name().is_some_and(|n| n != "der"));
    files.sort();
    let changed = env::temp_dir().join(format!("magic-{}", std::process::id()));
    fs::create_dir_all(&changed)?;
    let mut sources = Vec::new();
    for file in files {
        let text = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
        let copy = changed.join(file.file_name().unwrap_or_default());
        fs::write(&copy, closing_zeros(&text))?;
        sources.push(MagicSource::open(&copy)?);
    }
    fs::remove_dir_all(&changed)?;
    let mut database = MagicDb::new();
    database.load_bulk(sources.into_iter());
    database.verify()?;
    let mut bytes = Vec::new();
    database.serialize(&mut bytes)?;
    println!("{} bytes", bytes.len());
    Ok(bytes)
}

/// Pure-magic 0.4 drops a zero at the end of a text that is looked for: by `0 string CO\0` every file that begins with "CO" is
/// a CMP archive. Here the zero becomes a test of its own, one level below, with all that hung on the text.
fn closing_zeros(text: &str) -> String {
    let mut out = String::new();
    let mut deeper = false;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        match line.as_bytes().first() {
            Some(b'>') if deeper => out.push('>'),
            Some(b'0'..=b'9') => {
                let split = split(line);
                deeper = split.is_some();
                if let Some((above, zero)) = split {
                    out.push_str(&above);
                    // A change of the strength belongs to the rule's first line.
                    while let Some(strength) = lines.next_if(|l| l.starts_with("!:strength")) {
                        out.push_str(strength);
                        out.push('\n');
                    }
                    out.push_str(&zero);
                    continue;
                }
            }
            _ => {}
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

// The two lines for a rule's first one, where that looks for a text with one zero at its end.
fn split(line: &str) -> Option<(String, String)> {
    let (offset, rest) = line.split_once([' ', '\t'])?;
    let (kind, rest) = rest.trim_start().split_once([' ', '\t'])?;
    let rest = rest.trim_start();
    let end = rest
        .char_indices()
        .scan(false, |escaped, (i, c)| {
            let ends = !*escaped && c.is_ascii_whitespace();
            *escaped = c == '\\' && !*escaped;
            Some((i, ends))
        })
        .find_map(|(i, ends)| ends.then_some(i))
        .unwrap_or(rest.len());
    let (test, message) = rest.split_at(end);
    let looked = test.strip_suffix("\\0")?;
    // An operator; a backslash before the last; a further zero, after which the text still has one at its end.
    if looked.starts_with(['=', '<', '>', '!', '&', '^'])
        || ["\\", "\\0", "\\00", "\\000", "\\x00"].iter().any(|z| looked.ends_with(z))
    {
        return None;
    }
    if !["string", "string/b", "string/t"].contains(&kind) || looked.is_empty() {
        return None;
    }
    let offset: usize = offset.parse().ok()?;
    let zero = offset + length(looked);
    Some((format!("{offset}\t{kind}\t{looked}\n"), format!(">{zero}\tbyte\t0\t{}\n", message.trim_start())))
}

// Bytes that a text with escapes means: `\n`, octal `\101`, hexadecimal `\x41`.
fn length(text: &str) -> usize {
    let (mut rest, mut n) = (text, 0);
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        n += c.len_utf8();
        if c == '\\' {
            let digits = |s: &str, most, radix| s.chars().take(most).take_while(|c| c.is_digit(radix)).count();
            let taken = match rest.strip_prefix('x') {
                Some(hex) => 1 + digits(hex, 2, 16),
                None => digits(rest, 3, 8).max(rest.chars().next().map_or(0, char::len_utf8)),
            };
            rest = &rest[taken..];
        }
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_at_the_end_becomes_a_test_of_its_own() {
        for (text, want) in [
            (
                "0\tstring\tCO\\0 CMP archive\n>4\tbyte\tx\t%d\n!:ext co\n",
                "0\tstring\tCO\n>2\tbyte\t0\tCMP archive\n>>4\tbyte\tx\t%d\n!:ext co\n",
            ),
            (
                "8 string/b A\\x41\\101\\ b\\0\tM\n!:strength +3\n!:mime a/b\n",
                "8\tstring/b\tA\\x41\\101\\ b\n!:strength +3\n>13\tbyte\t0\tM\n!:mime a/b\n",
            ),
            // As they were: no zero, one that another follows, another kind of test, and what stands below them.
            ("0\tstring\tCO CMP\n>4\tbyte\tx\n", "0\tstring\tCO CMP\n>4\tbyte\tx\n"),
            ("0\tstring\tCO\\0\\0 CMP\n", "0\tstring\tCO\\0\\0 CMP\n"),
            ("0\tsearch/9\tCO\\0 CMP\n", "0\tsearch/9\tCO\\0 CMP\n"),
            ("0\tstring\t>\\0 CMP\n", "0\tstring\t>\\0 CMP\n"),
            (
                "0\tstring\tA\\0 M\n>1\tbyte\t1\n0\tbyte\t2\n>1\tbyte\t3\n",
                "0\tstring\tA\n>1\tbyte\t0\tM\n>>1\tbyte\t1\n0\tbyte\t2\n>1\tbyte\t3\n",
            ),
        ] {
            assert_eq!(closing_zeros(text), want);
        }
    }
}
