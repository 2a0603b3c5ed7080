// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What a client can make the site hold or do, and what every answer carries.

mod common;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use common::{Land, id, nowhere};
use lagewarte_store::Scope;
use lagewarte_web::{Limits, MAX_BODY};

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_security_headers() {
    let land = Land::start().await;
    for (path, headers) in [
        ("/", vec![]),
        ("/lage", vec![Land::cookie(&land.cert)]),
        ("/ich", vec![]),
        ("/nowhere", vec![]),
        ("/static/lagewarte.css", vec![]),
        ("/api/v1/warnings", vec![]),
        ("/healthz", vec![]),
    ] {
        let a = land.get(path, &headers).await;
        let csp = a.header("content-security-policy");
        assert!(
            csp.starts_with("default-src 'none'; style-src 'self';") && csp.contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert!(!csp.contains("unsafe") && !csp.contains("script"), "{path}: {csp}");
        assert_eq!(a.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(a.header("referrer-policy"), "no-referrer", "{path}");
        let cache = if path.starts_with("/static/") { "public, max-age=300" } else { "no-store" };
        assert_eq!(a.header("cache-control"), cache, "{path}");
        assert!(!a.body.contains("style=") && !a.body.contains("<script"), "{path}: nothing inline");
    }
    let a = land.get("/healthz", &[]).await;
    assert_eq!((a.status, a.body.as_str()), (200, "ok\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_cookie_is_kept_from_scripts_and_other_sites() {
    let land = Land::start().await;
    let a = land.post("/anmelden", &[], &format!("token={}", land.cert)).await;
    assert_eq!((a.status, a.header("location")), (303, "/lage"));
    assert_eq!(
        a.header("set-cookie"),
        format!("lagewarte={}; Path=/; HttpOnly; SameSite=Lax; Max-Age=43200", land.cert)
    );
    let a = land.post("/abmelden", &[], "").await;
    assert_eq!(a.header("set-cookie"), "lagewarte=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
    // Behind TLS the cookie is bound to it and to the host.
    let land = Land::start_with("https", Limits::default(), &nowhere()).await;
    let a = land.post("/anmelden", &[], &format!("token={}", land.feed("rabenfurt"))).await;
    assert_eq!(a.header("location"), "/ich");
    assert!(a.header("set-cookie").starts_with("__Host-lagewarte=") && a.header("set-cookie").ends_with("; Secure"));
    assert_eq!(a.header("strict-transport-security"), "max-age=31536000");
    let with = format!("Cookie: __Host-lagewarte={}", land.feed("rabenfurt"));
    assert_eq!(land.get("/ich", &[with]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_from_elsewhere_changes_nothing() {
    let land = Land::start().await;
    let cert = [Land::cookie(&land.cert)];
    let (path, page) = (format!("/lage/warnung/{}/freigeben", land.draft), format!("/lage/warnung/{}", land.draft));
    let csrf = land.get(&page, &cert).await.field("csrf");
    let own = land.get("/ich", &[Land::cookie(land.feed("rabenfurt"))]).await.field("csrf");
    assert_ne!(csrf, own);
    for body in [
        format!("csrf={own}&who=A&tlp=TLP:AMBER"),
        "csrf=&who=A&tlp=TLP:AMBER".into(),
        "who=A&tlp=TLP:AMBER".into(),
        format!("csrf={csrf}&who=&tlp=TLP:AMBER"),
        format!("csrf={csrf}&who={}&tlp=TLP:AMBER", "A".repeat(201)),
        format!("csrf={csrf}&who=A%0AB&tlp=TLP:AMBER"),
        format!("csrf={csrf}&who=A&tlp=TLP:WHITE"),
        format!("csrf={csrf}&who=A&tlp=TLP:AMBER&x={}", "y".repeat(MAX_BODY)),
    ] {
        let a = land.post(&path, &cert, &body).await;
        assert_eq!(a.status, 400, "{}", body.chars().take(120).collect::<String>());
        let w = land.control.warning(&Scope::Land, land.draft).await.expect("answers").expect("there");
        assert_eq!(w.released_us, None);
    }
    let a = land.post(&path, &cert, &format!("csrf={csrf}&who=A.+Analystin&tlp=TLP:GREEN")).await;
    assert_eq!((a.status, a.header("location")), (303, page.as_str()));
    let w = land.control.warning(&Scope::Land, land.draft).await.expect("answers").expect("there");
    assert_eq!((w.tlp.as_str(), w.released_by.as_deref()), ("TLP:GREEN", Some("A. Analystin")));
    assert!(w.addressed.iter().all(|a| a.released_us.is_some()));
    // A label that contradicts what went out is refused with its reason.
    let a = land.post(&path, &cert, &format!("csrf={csrf}&who=A&tlp=TLP:RED")).await;
    assert_eq!(a.status, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_warning_is_said_to_be_withdrawn_everywhere() {
    let land = Land::start().await;
    let cert = [Land::cookie(&land.cert)];
    let csrf = land.get(&format!("/lage/warnung/{}", land.ssh), &cert).await.field("csrf");
    let path = format!("/lage/warnung/{}/zurueckziehen", land.ssh);
    assert_eq!(land.post(&path, &cert, &format!("csrf={csrf}&who=A&why=")).await.status, 400);
    assert_eq!(land.post(&path, &cert, &format!("csrf={csrf}&who=A&why=Fehlalarm+%26+so")).await.status, 303);
    for (path, headers) in [
        ("/ich".to_owned(), vec![Land::cookie(land.feed("rabenfurt"))]),
        (land.link(land.ssh, "rabenfurt"), vec![]),
        (format!("/lage/warnung/{}", land.ssh), cert.to_vec()),
    ] {
        let a = land.get(&path, &headers).await;
        assert!(a.status == 200 && a.body.contains("Fehlalarm &amp; so"), "{path}: {}", a.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_a_link_never_acknowledges_and_pressing_twice_is_once() {
    let land = Land::start().await;
    let link = land.link(land.ssh, "rabenfurt");
    let answered = async || {
        let w = land
            .control
            .warning(&Scope::Constituent(id("rabenfurt")), land.ssh)
            .await
            .expect("answers")
            .expect("there");
        w.addressed[0].acknowledged.as_ref().map(|a| a.acknowledged_us)
    };
    for method in ["GET", "HEAD", "OPTIONS", "PUT"] {
        land.ask(method, &link, &[], "").await;
        assert_eq!(answered().await, None, "{method}");
    }
    assert_eq!(land.post(&link, &[], "").await.status, 303);
    let first = answered().await;
    assert!(first.is_some());
    land.clock.advance(5_000_000);
    assert_eq!(land.post(&link, &[], "").await.status, 303);
    assert_eq!(answered().await, first);
    assert!(land.get(&link, &[]).await.body.contains("✓ Quittiert"));
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_bodies_over_the_bound_are_refused_and_slow_ones_cut() {
    let limits = Limits { head_time: Duration::from_millis(300), ..Limits::default() };
    let land = Land::start_with("http", limits, &nowhere()).await;
    let a = land.get("/", &[format!("X-Long: {}", "y".repeat(limits.head_bytes))]).await;
    assert_eq!(a.status, 431);
    let a = land.ask("POST", "/api/v1/warnings/x/acknowledge", &[], &"y".repeat(MAX_BODY + 1)).await;
    assert_eq!(a.status, 413);
    // A head that never ends: the site closes, whatever the client waits for.
    let address = land.address;
    let rest = tokio::task::spawn_blocking(move || {
        let mut s = TcpStream::connect(address).expect("listens");
        s.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        s.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").expect("takes it");
        let mut rest = Vec::new();
        s.read_to_end(&mut rest).map(|_| rest)
    });
    let rest = rest.await.expect("no panic").expect("closed by the site, not by the test's patience");
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
    assert_eq!(land.get("/healthz", &[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_bound_wait_for_a_place() {
    let limits = Limits { connections: 2, head_time: Duration::from_secs(60), ..Limits::default() };
    let land = Land::start_with("http", limits, &nowhere()).await;
    // Two that answered once and stay open hold both places.
    let keep = || {
        let mut s = TcpStream::connect(land.address).expect("listens");
        s.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("takes it");
        let mut first = [0; 12];
        s.read_exact(&mut first).expect("answers");
        assert_eq!(&first, b"HTTP/1.1 200");
        s
    };
    let (one, two) = (keep(), keep());
    let mut third = TcpStream::connect(land.address).expect("the kernel queues it");
    third.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("takes it");
    third.set_read_timeout(Some(Duration::from_millis(200))).expect("a socket");
    assert!(third.read(&mut [0; 12]).is_err(), "no place, no answer");
    drop(one);
    third.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    let mut first = [0; 12];
    third.read_exact(&mut first).expect("a place is free now");
    assert_eq!(&first, b"HTTP/1.1 200");
    drop(two);
}
