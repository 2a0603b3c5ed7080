// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Tokens: scope, end of life, once means once, no secret in the database.

use super::*;
use crate::{
    Scope,
    control::tokens::{LinkKey, NewToken, Secret, TokenKind},
};

fn new(kind: TokenKind, constituent: Option<&str>, expires_us: Option<i64>) -> NewToken {
    NewToken { kind, constituent: constituent.map(id), sensor: None, expires_us, label: "for a test".into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_its_own_and_only_while_it_lives() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        let feed = c.issue_token(&new(TokenKind::Feed, Some("a"), Some(100)), "anna", 1).await.unwrap().text();
        let cert = c.issue_token(&new(TokenKind::Cert, None, None), "anna", 2).await.unwrap().text();
        let views = &[TokenKind::Feed, TokenKind::Cert];
        let scope = async |secret: &str, at| c.check_token(secret, views, at).await.unwrap().and_then(|t| t.scope());
        assert_eq!(scope(&feed, 99).await, Some(Scope::Constituent(id("a"))));
        assert_eq!(scope(&feed, 100).await, None, "expired");
        assert_eq!(scope(&cert, 100).await, Some(Scope::Land));
        assert!(c.check_token(&cert, &[TokenKind::Feed], 3).await.unwrap().is_none(), "other kind");
        for wrong in ["", "x", &feed[1..], &"A".repeat(43), &format!("{feed}A"), &"é".repeat(43), "' OR 1=1 --"] {
            assert_eq!(scope(wrong, 3).await, None, "{wrong}");
        }
        let all = c.tokens(&Scope::Land).await.unwrap();
        assert_eq!(all.iter().map(|t| t.kind).collect::<Vec<_>>(), [TokenKind::Cert, TokenKind::Feed]);
        assert_eq!(c.tokens(&Scope::Constituent(id("b"))).await.unwrap().len(), 0);
        assert!(c.revoke_token("abc", "anna", 4).await.is_err(), "a short prefix could hit many");
        assert_eq!(c.revoke_token(&all[1].sha256[..12], "anna", 4).await.unwrap(), 1);
        assert_eq!(scope(&feed, 5).await, None, "revoked");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_take_a_one_time_token_at_once_one_gets_it() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        let sensor = c.sensor_named("gw-a").await.unwrap().id;
        let enrol = NewToken { sensor: Some(sensor), ..new(TokenKind::Enrol, None, Some(100)) };
        for _ in 0..5 {
            let secret = c.issue_token(&enrol, "anna", 1).await.unwrap();
            let takes: Vec<_> = (0..16)
                .map(|_| {
                    let (c, secret) = (c.clone(), secret.clone());
                    tokio::spawn(async move { c.take_token(&secret, TokenKind::Enrol, 2).await.unwrap() })
                })
                .collect();
            let mut got = Vec::new();
            for t in takes {
                got.extend(t.await.unwrap());
            }
            assert_eq!(got.len(), 1);
            assert_eq!((got[0].sensor, got[0].used_us), (Some(sensor), Some(2)));
        }
        let late = c.issue_token(&enrol, "anna", 1).await.unwrap();
        assert!(c.take_token(&late, TokenKind::Enrol, 100).await.unwrap().is_none(), "expired");
        assert!(c.take_token(&late, TokenKind::Feed, 2).await.unwrap().is_none(), "other kind");
        assert!(c.check_token(&late.text(), TokenKind::ALL, 2).await.unwrap().is_none(), "opens no view");
        c.revoke_sensor(sensor, "anna", 3).await.unwrap();
        assert!(c.take_token(&late, TokenKind::Enrol, 4).await.unwrap().is_none(), "its sensor is revoked");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_nobody_does_not_exist() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        for bad in [
            new(TokenKind::Feed, None, None),
            new(TokenKind::Api, None, None),
            new(TokenKind::Enrol, Some("a"), None),
            new(TokenKind::Cert, Some("a"), None),
            new(TokenKind::Ack, Some("a"), None),
        ] {
            assert!(c.issue_token(&bad, "anna", 1).await.is_err(), "{bad:?}");
        }
        assert!(c.issue_token(&new(TokenKind::Feed, Some("z"), None), "anna", 1).await.is_err(), "unknown constituent");
        assert!(c.tokens(&Scope::Land).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_files_of_the_database() {
    // SQLite only: its files can be read byte by byte.
    let dir = tempfile::tempdir().unwrap();
    let c = Control::open(&format!("sqlite:{}", dir.path().join("c.db").display())).await.unwrap();
    let secret = c.issue_token(&new(TokenKind::Cert, None, None), "anna", 1).await.unwrap();
    let hash = c.tokens(&Scope::Land).await.unwrap()[0].sha256.clone();
    let all: Vec<u8> =
        std::fs::read_dir(dir.path()).unwrap().flat_map(|f| std::fs::read(f.unwrap().path()).unwrap()).collect();
    let holds = |needle: &[u8]| all.windows(needle.len()).any(|w| w == needle);
    assert!(holds(hash.as_bytes()), "the control: the hash is there");
    assert!(!holds(secret.text().as_bytes()) && !holds(secret.bytes()));
    assert!(!format!("{secret:?}").contains(&secret.text()));
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(dir.path().join("c.db")).unwrap().permissions().mode() & 0o077, 0);
}

#[test]
fn acknowledgement_secrets_are_stable_and_differ_by_warning_constituent_and_key() {
    let (k1, k2) = (LinkKey::new(&[1; 32]), LinkKey::new(&[2; 32]));
    let (w1, w2) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
    let s = k1.acknowledgement(w1, &id("a"));
    assert_eq!(s, k1.acknowledgement(w1, &id("a")));
    for other in [k1.acknowledgement(w2, &id("a")), k1.acknowledgement(w1, &id("b")), k2.acknowledgement(w1, &id("a"))]
    {
        assert_ne!(s, other);
    }
    assert_eq!(Secret::parse(&s.text()), Some(s));
}

#[test]
fn the_link_key_is_made_once_private_and_never_replaced() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("link.key");
    let w = uuid::Uuid::nil();
    let first = LinkKey::load_or_create(&path).unwrap().acknowledgement(w, &id("a"));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(LinkKey::load_or_create(&path).unwrap().acknowledgement(w, &id("a")), first);
    std::fs::write(&path, "garbage").unwrap();
    assert!(LinkKey::load_or_create(&path).unwrap_err().to_string().contains("restore it from the backup"));
}
