// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The reference of the configuration (`docs/sensor-config.md`), written from the table of keys.
//!
//! Must never be edited by hand: a test compares the file with what this writes.

use std::fmt::Write as _;

use super::keys::{self, Key, Kind, Use};

/// The whole reference as Markdown.
pub fn markdown() -> String {
    let mut out = String::from(INTRO);
    out.push_str(
        "\n## Keys of our own\n\nUnknown or malformed keys under `lagewarte:` are refused by every command.\n\n",
    );
    table(&mut out, |k| k.pattern.starts_with("lagewarte."));
    out.push_str("\n## Keys of Suricata that are honoured\n\n");
    table(&mut out, |k| !k.pattern.starts_with("lagewarte.") && matches!(k.used, Use::Honoured(..)));
    out.push_str("\n## Keys of Suricata that are known and without effect\n\nEach is named on stderr when it stands in a file.\n\n");
    out.push_str("| key | why | |\n|---|---|---|\n");
    for key in keys::all() {
        if let Use::Ignored(why) = key.used {
            let _ = writeln!(out, "| `{}` | {} | {} |", key.pattern, why.text(), key.doc); // a String takes everything
        }
    }
    out
}

const INTRO: &str = "<!-- SPDX-FileCopyrightText: Lagewarte contributors -->
<!-- SPDX-License-Identifier: EUPL-1.2 -->
# Configuration of the sensor

The sensor reads one YAML file (`-c FILE`) with Suricata's keys and its own under `lagewarte:`. `--set KEY=VALUE` changes
one value, as Suricata's option does: dots between keys, a number for an entry of a list. Relative paths are read from
the file's directory. `lagewarte-sensor config check -c FILE` tries a file without starting anything.

- `replay` warns of Suricata keys that it does not know, and goes on. `run`, `tail` and `config check` refuse them.
- Keys that are known and without effect are named on stderr, with the reason.
- A pattern such as `a.{b,c}.*` stands for `a.b.` and `a.c.` and any one name; `**` stands for everything beneath.
- A file may have 1 MiB, 24 levels and 50,000 values. Includes are refused.

This page is written from the table of keys in the program (`lagewarte-sensor config reference`).
";

fn table(out: &mut String, wanted: impl Fn(&Key) -> bool) {
    out.push_str("| key | value | default | |\n|---|---|---|---|\n");
    for key in keys::all().filter(|k| wanted(k)) {
        if let Use::Honoured(kind, default, _) = key.used {
            let default = if default.is_empty() { "none".into() } else { format!("`{default}`") };
            let _ = writeln!(out, "| `{}` | {} | {default} | {} |", key.pattern, kind_text(kind), key.doc);
        }
    }
}

fn kind_text(kind: Kind) -> String {
    match kind {
        Kind::Flag => "yes, no",
        Kind::Number => "number",
        Kind::Size => "size (kb, mb, gb)",
        Kind::Seconds => "seconds",
        Kind::Text => "text",
        Kind::List => "list",
        Kind::FlagOrAuto => "yes, no, auto",
        Kind::FlagOrDetection => "yes, no, detection-only",
        Kind::NumberOrAuto => "number, auto",
        Kind::Listen => "address:port",
        Kind::Section => "section",
        Kind::OneOf(words) => return words.replace(' ', ", "),
    }
    .to_owned()
}
