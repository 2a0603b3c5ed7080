// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Who sees what, over HTTP: every route with every kind of token, presented in every way.
//!
//! A token opens its own feed and page and nothing else; without one there is nothing, and the refusal does not tell
//! what exists.

mod common;

use std::{collections::BTreeMap, sync::Arc};

use common::{Answer, HIT, Land, MINUTE, id, now};
use lagewarte_store::{
    Scope,
    control::tokens::{NewToken, TokenKind},
};
use uuid::Uuid;

/// How a token is presented.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Cookie,
    Bearer,
    Path,
}

/// A route and what opens it. `{t}` in the path is the token.
struct Route {
    method: &'static str,
    path: String,
    way: Way,
    /// Tokens by name with the status they get; every other gets `else_`.
    opens: Vec<(&'static str, u16)>,
    else_: u16,
    /// What a known reader of the other kind gets.
    foreign: u16,
}

const UNKNOWN: &str = "6a8f2c1e-0000-4000-8000-000000000000";

fn routes(land: &Land) -> Vec<Route> {
    use Way::{Bearer, Cookie, Path};
    let page = |method, path: &str, opens: &[(&'static str, u16)]| Route {
        method,
        path: path.into(),
        way: Cookie,
        opens: opens.to_vec(),
        else_: 401,
        foreign: 404,
    };
    let other = |method, path: &str, way, opens: &[(&'static str, u16)], else_| Route {
        method,
        path: path.into(),
        way,
        opens: opens.to_vec(),
        else_,
        foreign: else_,
    };
    let (ssh, draft, campaign) = (land.ssh, land.draft, land.campaign);
    let feeds = [("feed rabenfurt", 200), ("feed torfwerder", 200)];
    vec![
        page("GET", "/lage", &[("cert", 200)]),
        page("GET", "/lage?auto=1", &[("cert", 200)]),
        page("GET", &format!("/lage/kampagne/{campaign}"), &[("cert", 200)]),
        page("GET", &format!("/lage/kampagne/{UNKNOWN}"), &[("cert", 404)]),
        page("GET", "/lage/kampagne/x", &[("cert", 404)]),
        page("GET", &format!("/lage/warnung/{ssh}"), &[("cert", 200)]),
        page("GET", &format!("/lage/warnung/{draft}"), &[("cert", 200)]),
        page("GET", &format!("/lage/warnung/{UNKNOWN}"), &[("cert", 404)]),
        // Without the form's token nothing happens, not even for the CERT.
        page("POST", &format!("/lage/warnung/{draft}/freigeben"), &[("cert", 400)]),
        page("POST", &format!("/lage/warnung/{ssh}/zurueckziehen"), &[("cert", 400)]),
        page("GET", "/ich", &feeds),
        page("POST", &format!("/ich/warnung/{ssh}/quittieren"), &[("feed rabenfurt", 400), ("feed torfwerder", 400)]),
        other("GET", "/feed/{t}/atom.xml", Path, &feeds, 401),
        other("GET", "/feed/atom.xml", Bearer, &feeds, 401),
        other("GET", "/feed/atom.xml", Cookie, &[], 401),
        other("GET", &format!("/w/{ssh}/{{t}}"), Path, &[("ack rabenfurt", 200)], 404),
        other("GET", &format!("/w/{draft}/{{t}}"), Path, &[], 404),
        other("GET", &format!("/w/{UNKNOWN}/{{t}}"), Path, &[], 404),
        other("POST", &format!("/w/{draft}/{{t}}"), Path, &[], 404),
        other("GET", "/api/v1/lage", Bearer, &[("cert", 200)], 401),
        other("GET", "/api/v1/lage", Cookie, &[], 401),
        other("GET", "/api/v1/warnings", Bearer, &[("api rabenfurt", 200), ("api torfwerder", 200)], 401),
        other("GET", "/api/v1/warnings", Cookie, &[], 401),
        other(
            "POST",
            &format!("/api/v1/warnings/{draft}/acknowledge"),
            Bearer,
            &[("api rabenfurt", 404), ("api torfwerder", 404)],
            401,
        ),
        other(
            "POST",
            &format!("/api/v1/warnings/{ssh}/acknowledge"),
            Bearer,
            &[("api rabenfurt", 200), ("api torfwerder", 404)],
            401,
        ),
        other(
            "GET",
            "/anmelden?token={t}",
            Path,
            &[("cert", 303), ("feed rabenfurt", 303), ("feed torfwerder", 303)],
            401,
        ),
        // There is nothing else, for nobody.
        other("GET", "/lage/", Cookie, &[], 404),
        other("GET", "/ich/rabenfurt", Cookie, &[], 404),
        other("GET", "/metrics", Cookie, &[], 404),
        other("GET", "/static/../Cargo.toml", Cookie, &[], 404),
        other("DELETE", "/lage", Cookie, &[], 404),
    ]
}

/// One token of every kind, good and bad; the first is none at all.
async fn tokens(land: &Land) -> BTreeMap<&'static str, Option<String>> {
    let now = now();
    let issue = async |kind, constituent: Option<&str>, sensor: Option<Uuid>, expires_us| {
        let new = NewToken { kind, constituent: constituent.map(id), sensor, expires_us, label: "t".into() };
        land.control.issue_token(&new, "test", now).await.expect("issued").text()
    };
    let sensor = land.control.sensor_named("gw-rabenfurt").await.expect("there").id;
    let expired = issue(TokenKind::Cert, None, None, Some(now)).await;
    let revoked = issue(TokenKind::Feed, Some("rabenfurt"), None, None).await;
    let all = land.control.tokens(&Scope::Constituent(id("rabenfurt"))).await.expect("answers");
    let newest = all.iter().filter(|t| t.kind == TokenKind::Feed && t.label == "t").max_by_key(|t| t.created_us);
    land.control.revoke_token(&newest.expect("just issued").sha256, "test", now).await.expect("revoked");
    let ack = |w, c: &str| land.links.key().acknowledgement(w, &id(c)).text();
    BTreeMap::from([
        ("none", None),
        ("garbage", Some("A".repeat(43))),
        ("short", Some("abc".into())),
        ("cert", Some(land.cert.clone())),
        ("feed rabenfurt", Some(land.feed("rabenfurt").into())),
        ("feed torfwerder", Some(land.feed("torfwerder").into())),
        ("api rabenfurt", Some(land.api("rabenfurt").into())),
        ("api torfwerder", Some(land.api("torfwerder").into())),
        ("ack rabenfurt", Some(ack(land.ssh, "rabenfurt"))),
        // Well made by the key, but for a warning that was not released, and for somebody not addressed.
        ("ack of a draft", Some(ack(land.draft, "auenstadt"))),
        ("ack of nobody", Some(ack(land.ssh, "torfwerder"))),
        ("enrol", Some(issue(TokenKind::Enrol, None, Some(sensor), None).await)),
        ("expired", Some(expired)),
        ("revoked", Some(revoked)),
    ])
}

fn expected(route: &Route, token: &str) -> u16 {
    if let Some((_, status)) = route.opens.iter().find(|(t, _)| *t == token) {
        return *status;
    }
    // Whoever is logged in as somebody else learns no more than that the page is not theirs.
    let known = route.way == Way::Cookie && (token == "cert" || token.starts_with("feed "));
    if known { route.foreign } else { route.else_ }
}

async fn present(land: &Land, route: &Route, token: Option<&str>) -> Answer {
    let (mut path, mut headers) = (route.path.clone(), Vec::new());
    match (route.way, token) {
        (Way::Path, t) => path = path.replace("{t}", t.unwrap_or("")),
        (Way::Cookie, Some(t)) => headers.push(Land::cookie(t)),
        (Way::Bearer, Some(t)) => headers.push(Land::bearer(t)),
        (_, None) => {}
    }
    land.ask(route.method, &path, &headers, "").await
}

/// Words that a reader may not find: names, addresses and ids of others.
fn secrets(land: &Land, token: &str) -> Vec<String> {
    let mut all = vec!["203.0.113.66".into(), "10.77.".into(), land.ssh.to_string(), land.campaign.to_string()];
    all.push("Passwörter werden durchprobiert".into());
    for c in ["Hohenlind", "Kranichwerth", "Kreiskrankenhaus", "Auenstadt", "Reiherau", "Tiefenlohe", "Torfwerder"] {
        all.push(c.into());
    }
    all.push(land.draft.to_string());
    match token {
        t if t.ends_with("rabenfurt") => all.retain(|s| {
            // Its own warning, with its own host and the attacker's address.
            !["203.0.113.66", "10.77.", "Passwörter werden durchprobiert"].contains(&s.as_str())
                && *s != land.ssh.to_string()
        }),
        t if t.ends_with("torfwerder") => all.retain(|s| s != "Torfwerder"),
        _ => all.push("Rabenfurt".into()),
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_with_every_token() {
    let land = Arc::new(Land::start().await);
    let mut tasks = tokio::task::JoinSet::new();
    for (name, token) in tokens(&land).await {
        let land = Arc::clone(&land);
        tasks.spawn(async move {
            let mut wrong = Vec::new();
            for route in routes(&land) {
                // An empty segment is no route at all: hyper gives the fallback.
                if token.is_none() && route.way == Way::Path {
                    continue;
                }
                let answer = present(&land, &route, token.as_deref()).await;
                let want = expected(&route, name);
                if answer.status != want {
                    wrong.push(format!(
                        "{} {} by {:?} as {name}: {} for {want}",
                        route.method, route.path, route.way, answer.status
                    ));
                }
                let cert = name == "cert" && answer.status < 400;
                for secret in secrets(&land, name).iter().filter(|_| !cert) {
                    if answer.body.contains(secret.as_str()) {
                        wrong.push(format!("{} {} as {name} tells {secret}", route.method, route.path));
                    }
                }
                // A refusal never shows what was presented.
                let shown = token.as_deref().is_some_and(|t| answer.status >= 400 && answer.body.contains(t));
                if shown {
                    wrong.push(format!("{} {} as {name} shows the token", route.method, route.path));
                }
            }
            wrong
        });
    }
    let mut wrong = Vec::new();
    while let Some(done) = tasks.join_next().await {
        wrong.extend(done.expect("no panic"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // After all that, the only thing done is what rabenfurt's own API token did.
    let w = land.control.warning(&Scope::Land, land.ssh).await.expect("answers").expect("there");
    let answered: Vec<_> =
        w.addressed.iter().filter(|a| a.acknowledged.is_some()).map(|a| a.constituent.as_str()).collect();
    assert_eq!(answered, ["kranichwerth", "rabenfurt"]);
    let d = land.control.warning(&Scope::Land, land.draft).await.expect("answers").expect("there");
    assert!(d.released_us.is_none() && w.withdrawn_us.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_exists_and_what_does_not_look_the_same_to_others() {
    let land = Land::start().await;
    for cookie in [vec![], vec![Land::cookie(land.feed("torfwerder"))]] {
        for (there, not) in [
            (format!("/lage/warnung/{}", land.ssh), format!("/lage/warnung/{UNKNOWN}")),
            (format!("/lage/kampagne/{}", land.campaign), format!("/lage/kampagne/{UNKNOWN}")),
        ] {
            let (a, b) = (land.get(&there, &cookie).await, land.get(&not, &cookie).await);
            assert_eq!((a.status, &a.body), (b.status, &b.body), "{there}");
        }
    }
    let token = "B".repeat(43);
    let (a, b) = (
        land.get(&format!("/w/{}/{token}", land.ssh), &[]).await,
        land.get(&format!("/w/{UNKNOWN}/{token}"), &[]).await,
    );
    assert_eq!((a.status, a.body), (b.status, b.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_constituents_view_holds_its_own_and_nothing_of_others() {
    let land = Land::start().await;
    let own = land.get("/ich", &[Land::cookie(land.feed("rabenfurt"))]).await;
    assert!(own.body.contains("Passwörter werden durchprobiert") && own.body.contains("10.77.4.5"));
    let feed = land.get(&format!("/feed/{}/atom.xml", land.feed("rabenfurt")), &[]).await;
    assert!(feed.body.contains(&format!("urn:uuid:{}", land.ssh)) && feed.body.contains("10.77.4.5"), "{}", feed.body);
    assert_eq!(feed.header("content-type"), "application/atom+xml; charset=utf-8");
    let api = land.get("/api/v1/warnings", &[Land::bearer(land.api("rabenfurt"))]).await;
    let api: serde_json::Value = serde_json::from_str(&api.body).expect("JSON");
    assert_eq!(api["warnings"].as_array().map(Vec::len), Some(1));
    assert_eq!(api["warnings"][0]["id"], format!("urn:uuid:{}", land.ssh));
    // A neighbour in the same campaign has another host, and knows nothing of this one.
    let other = land.get(&format!("/feed/{}/atom.xml", land.feed("kranichwerth")), &[]).await;
    assert!(other.body.contains("10.77.2.5") && !other.body.contains("10.77.4.5"));
    for (c, n) in HIT.iter().zip(1..) {
        assert_eq!(own.body.contains(&format!("10.77.{n}.5")), *c == "rabenfurt");
    }
    // Whoever is in no campaign has an empty feed and no warning.
    let empty = land.get(&format!("/feed/{}/atom.xml", land.feed("torfwerder")), &[]).await;
    assert!(empty.status == 200 && !empty.body.contains("<entry>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_fetch_of_a_feed_is_kept_and_a_known_document_is_not_sent_again() {
    let land = Land::start().await;
    let path = format!("/feed/{}/atom.xml", land.feed("rabenfurt"));
    let served = async || {
        let w = land.control.warning(&Scope::Land, land.ssh).await.expect("answers").expect("there");
        let a = w.addressed.into_iter().find(|a| a.constituent == id("rabenfurt")).expect("addressed");
        a.deliveries.iter().find_map(|d| d.first_served_us)
    };
    assert_eq!(served().await, None);
    let first = land.get(&path, &[]).await;
    assert_eq!(served().await, Some(now()));
    land.clock.advance(MINUTE);
    let again = land.get(&path, &[format!("If-None-Match: {}", first.header("etag"))]).await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_eq!(served().await, Some(now()), "the first time counts");
    // Somebody else's fetch is not this one's.
    land.get(&format!("/feed/{}/atom.xml", land.feed("torfwerder")), &[]).await;
    let w = land.control.warning(&Scope::Land, land.ssh).await.expect("answers").expect("there");
    assert_eq!(w.addressed.iter().flat_map(|a| &a.deliveries).filter(|d| d.first_served_us.is_some()).count(), 1);
}
