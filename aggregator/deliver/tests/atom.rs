// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The feed, read by two independent readers: valid Atom, own warnings only, nothing the channel may not carry.
#![expect(clippy::unwrap_used, reason = "helpers of tests: what fails here fails the test")]

mod common;

use common::{contact, id, links, python, register, tool, warning};
use lagewarte_base::tlp::Tlp;
use lagewarte_deliver::atom::{self, AtomDocument, MAX_ENTRIES};
use lagewarte_store::{
    Scope,
    control::{
        Control,
        testing::{Db, each_db},
    },
};
use serde_json::Value;

async fn feed(c: &Control, who: &str) -> (AtomDocument, Value) {
    let scope = Scope::Constituent(id(who));
    let warnings = c.warnings(&scope, 1000).await.unwrap();
    let own = c.constituent(&id(who)).await.unwrap();
    let doc = atom::feed(&own, &warnings, &links(), &contact(), "https://lage.example/feed/x/atom.xml");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("atom.xml");
    std::fs::write(&file, &doc.xml).unwrap();
    let out = std::process::Command::new(python("feedparser")).arg(tool("readfeed.py")).arg(&file).output().unwrap();
    assert!(out.status.success(), "{}\n{}", String::from_utf8_lossy(&out.stderr), doc.xml);
    (doc, serde_json::from_slice(&out.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn independent_readers_see_exactly_the_constituents_warnings() {
    each_db(async |db: Db| {
        let c = db.control().await;
        register(&c, &[]).await;
        let (empty, seen) = feed(&c, "seestadt").await;
        assert!(empty.warnings.is_empty() && seen["entries"] == Value::Array(vec![]), "an empty feed is valid too");

        // A rule's name with everything that XML could stumble over.
        let ugly = "ET <b>&amp; \"x\" 'y' ]]> \u{7}\u{fffe}";
        let first = warning(&c, &["seestadt", "bergdorf"], ugly, Tlp::Amber).await;
        let red = warning(&c, &["seestadt"], "red", Tlp::Red).await;
        let other = warning(&c, &["talheim"], "other", Tlp::Green).await;

        let (doc, seen) = feed(&c, "seestadt").await;
        assert_eq!(doc.warnings, [first], "not {red} (label), not {other} (another's)");
        assert_eq!(
            (seen["version"].as_str(), seen["title"].as_str()),
            (Some("atom10"), Some("Warnungen für Stadt <See> & Söhne"))
        );
        assert_eq!(seen["author"]["email"], "cert@land.example");
        let e = &seen["entries"][0];
        assert_eq!(e["id"], format!("urn:uuid:{first}"));
        assert_eq!(
            (e["published"].as_str(), e["updated"].as_str()),
            (Some("1970-01-01T00:00:40.000000Z"), Some("1970-01-01T00:00:40.000000Z"))
        );
        assert_eq!(e["parsed"].as_array().unwrap()[..6], [1970, 1, 1, 0, 0, 40].map(Value::from));
        assert_eq!(e["tags"], serde_json::json!(["TLP:AMBER", "3"]));
        assert_eq!(e["content_type"], "text/html");
        let acknowledge = links().acknowledge(first, &id("seestadt"));
        let wanted = serde_json::json!([
            ["alternate", null, "https://lage.example/ich"],
            ["related", "quittieren", acknowledge],
        ]);
        assert_eq!(e["links"], wanted);
        let content = e["content"].as_str().unwrap();
        assert!(content.contains("<strong>Was ist geschehen?</strong>") && content.contains("10.5.5.8"), "{content}");
        assert!(content.contains("ET &lt;b&gt;&amp;amp;"), "the rule's name stays text: {content}");
        assert!(content.contains(&format!("href=\"{acknowledge}\"")));
        let summary = e["summary"].as_str().unwrap();
        assert!(summary.contains("ET <b>&amp; \"x\" 'y' ]]>") && summary.contains("2 Einrichtungen"), "{summary}");

        let (_, bergdorf) = feed(&c, "bergdorf").await;
        assert!(bergdorf["entries"][0]["content"].as_str().unwrap().contains("10.5.5.8"), "same length of name");
        for (doc, strangers) in
            [(doc.xml, ["bergdorf", "talheim"]), (feed(&c, "talheim").await.0.xml, ["seestadt", "bergdorf"])]
        {
            assert!(strangers.iter().all(|s| !doc.to_lowercase().contains(s)), "{doc}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_warning_says_so_and_asks_for_nothing() {
    each_db(async |db: Db| {
        let c = db.control().await;
        register(&c, &[]).await;
        let w = warning(&c, &["seestadt"], "x", Tlp::Green).await;
        c.withdraw_warning(w, "Anna", "Fehlalarm: eigener Test", 50_000_000).await.unwrap();
        let (_, seen) = feed(&c, "seestadt").await;
        let e = &seen["entries"][0];
        assert!(e["title"].as_str().unwrap().starts_with("Zurückgezogen: "));
        assert_eq!(e["updated"], "1970-01-01T00:00:50.000000Z");
        assert!(e["content"].as_str().unwrap().contains("Fehlalarm: eigener Test"));
        assert_eq!(e["links"].as_array().unwrap().len(), 1, "no link to acknowledge");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_has_its_most_entries() {
    let db = Db::Sqlite(tempfile::tempdir().unwrap());
    let c = db.control().await;
    register(&c, &[]).await;
    for i in 0..=MAX_ENTRIES {
        warning(&c, &["seestadt"], &format!("rule {i}"), Tlp::Green).await;
    }
    let (doc, seen) = feed(&c, "seestadt").await;
    assert_eq!((doc.warnings.len(), seen["entries"].as_array().unwrap().len()), (MAX_ENTRIES, MAX_ENTRIES));
}
