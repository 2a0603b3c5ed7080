// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the configuration says of mail: `app-layer.protocols.smtp` and `outputs.eve-log.types.smtp`.
//!
//! Must never change what is not named: defaults are the application layer's.

use lagewarte_app::smtp::Choices;

use super::{node::Node, settings};

/// Reads a tree; what cannot be read counts as absent.
pub fn read(tree: &Node) -> Choices {
    let mut c = Choices::default();
    let at = |path: &str| tree.at(path);
    let text = |path: &str| at(path).and_then(Node::text);
    let mime = |key: &str| format!("app-layer.protocols.smtp.mime.{key}");
    let seen = |key: &str| format!("app-layer.protocols.smtp.inspected-tracker.{key}");
    let log = |key: &str| format!("outputs.eve-log.types.smtp.{key}");
    for (key, value) in [
        (mime("decode-mime"), &mut c.decode),
        ("app-layer.protocols.smtp.raw-extraction".to_owned(), &mut c.raw),
        (mime("decode-base64"), &mut c.mime.base64),
        (mime("decode-quoted-printable"), &mut c.mime.quoted_printable),
        (mime("extract-urls"), &mut c.mime.urls),
        (mime("log-url-scheme"), &mut c.mime.log_scheme),
        (mime("body-md5"), &mut c.mime.body_md5),
        (log("extended"), &mut c.log.extended),
    ] {
        if let Some(flag) = text(&key).and_then(settings::flag) {
            *value = flag;
        }
    }
    if let Some(n) = text(&mime("header-value-depth")).and_then(|t| t.parse::<u16>().ok()) {
        c.mime.value_depth = n.into();
    }
    if let Some(list) = at(&mime("extract-urls-schemes")) {
        let scheme = |name: &str| match name {
            "mailto" => "mailto:".to_owned(),
            other => format!("{}://", other.to_ascii_lowercase()),
        };
        c.mime.schemes = texts(list).into_iter().map(scheme).collect();
    }
    let size = |key: &str| text(&seen(key)).and_then(settings::size);
    if let Some(n) = size("content-limit") {
        c.pieces.limit = n;
    }
    if let Some(n) = size("content-inspect-min-size").and_then(|n| usize::try_from(n).ok()) {
        c.pieces.least = n;
    }
    if let Some(n) = size("content-inspect-window").and_then(|n| usize::try_from(n).ok()) {
        c.pieces.back = n;
    }
    if let Some(list) = at(&log("custom")) {
        c.log.custom = texts(list).into_iter().map(str::to_owned).collect();
    }
    let md5 = at(&log("md5")).map(texts).unwrap_or_default();
    c.log.md5_subject = md5.contains(&"subject");
    c.log.md5_body = md5.contains(&"body");
    c
}

/// The texts of a list, or of what `--set` can give: `a,b` or `[a,b]`.
fn texts(node: &Node) -> Vec<&str> {
    match node {
        Node::List(items) => items.iter().filter_map(Node::text).collect(),
        Node::Text(t) => {
            let t = t.trim().trim_start_matches('[').trim_end_matches(']');
            t.split(',').map(str::trim).filter(|t| !t.is_empty()).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suricatas_section_reads() {
        let yaml = "app-layer:\n  protocols:\n    smtp:\n      mime:\n        decode-mime: yes\n        extract-urls-schemes: [http, https, mailto]\n        \
                    header-value-depth: 100\n        body-md5: auto\n      inspected-tracker:\n        content-limit: 1kb\n\
                    outputs:\n  - eve-log:\n      types:\n        - smtp:\n            extended: yes\n            custom: [received, date]\n            md5: [subject]\n";
        let c = read(&Node::parse(yaml).unwrap());
        assert_eq!(c.mime.schemes, ["http://", "https://", "mailto:"]);
        assert_eq!((c.mime.value_depth, c.pieces.limit, c.mime.body_md5), (100, 1024, false));
        assert!(c.log.extended && c.log.md5_subject && !c.log.md5_body);
        assert_eq!(c.log.custom, ["received", "date"]);
        assert_eq!(read(&Node::Null), Choices::default());
    }
}
