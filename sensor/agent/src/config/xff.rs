// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `xff` of `outputs.eve-log` and of its types: of a type what it says itself, else what is said of all.

use lagewarte_app::xff::{Choices, Xff};

use super::{node::Node, settings::flag};

/// Reads a tree; what cannot be read counts as absent.
pub fn read(tree: &Node) -> Choices {
    let of = |kind: &str| {
        let own = format!("outputs.eve-log.types.{kind}.xff");
        let at = if tree.at(&own).is_some() { own } else { "outputs.eve-log.xff".to_owned() };
        let text = |key: &str| tree.at(&format!("{at}.{key}")).and_then(Node::text);
        text("enabled").and_then(flag).unwrap_or(false).then(|| {
            let stock = Xff::default();
            Xff {
                overwrite: text("mode") == Some("overwrite"),
                forward: text("deployment") == Some("forward"),
                header: text("header").filter(|h| !h.is_empty()).map_or(stock.header, str::to_owned),
            }
        })
    };
    Choices { alert: of("alert"), http: of("http"), files: of("files") }
}
