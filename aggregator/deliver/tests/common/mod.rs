// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What both tests need: a small register, a released warning, Python with the independent readers.

use std::{path::PathBuf, process::Command};

use lagewarte_base::{
    id::{ConstituentId, Uuid},
    tlp::Tlp,
};
use lagewarte_store::control::{
    Control,
    campaigns::{CampaignKind, Evidence, Found, Member, MemberEvidence, Signature},
    load,
    tokens::LinkKey,
};
use lagewarte_warn::{CertContact, Links, WarnConfig, Warner};

/// A constituent's id.
pub(crate) fn id(s: &str) -> ConstituentId {
    s.parse().expect("a test's own id")
}

/// `LAGEWARTE_PYTHON`, else the project's environment in the cache, else `python3`; with aiosmtpd and feedparser.
pub(crate) fn python(module: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache")));
    let own = cache.map(|c| c.join("lagewarte/venv/bin/python")).filter(|p| p.exists());
    let python = std::env::var_os("LAGEWARTE_PYTHON").map(PathBuf::from).or(own).unwrap_or_else(|| "python3".into());
    let has = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    assert!(
        has.is_ok_and(|o| o.status.success()),
        "{} has no module {module}; type: cargo xtask test (it makes the environment), \
         or set LAGEWARTE_PYTHON to a Python that has it",
        python.display()
    );
    python
}

/// A script of this test.
pub(crate) fn tool(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools")).join(name)
}

/// Whom to call.
pub(crate) fn contact() -> CertContact {
    CertContact { name: "CERT Auenmark".into(), phone: "+49 30 23125 110".into(), mail: "cert@land.example".into() }
}

/// Links of the tests' site.
pub(crate) fn links() -> Links {
    Links::new("https://lage.example", LinkKey::new(&[9; 32]))
}

/// Fills a database: three constituents (`mails` are the contacts: constituent, address).
pub(crate) async fn register(control: &Control, mails: &[(&str, &str)]) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let contacts: String =
        mails.iter().enumerate().map(|(i, (c, mail))| format!("{c},Kontakt {i},IT,{mail},\n")).collect();
    for (file, text) in [
        (
            "constituents.csv",
            "id,name,kind,ags,population\nseestadt,\"Stadt <See> & Söhne\",municipality,97111000,\n\
             bergdorf,Gemeinde Bergdorf,municipality,97111001,\ntalheim,Gemeinde Talheim,municipality,97111002,\n"
                .to_owned(),
        ),
        ("networks.csv", "constituent,cidr\n".to_owned()),
        ("sensors.csv", "id,name,constituent,serves,interval_s\n".to_owned()),
        ("contacts.csv", format!("constituent,name,role,mail,phone\n{contacts}")),
    ] {
        std::fs::write(dir.path().join(file), text).expect("writes");
    }
    control.load_register(&load::read(dir.path()).expect("well-formed"), false, "t", 1).await.expect("loads");
}

/// A warning of a campaign over `who`, released by a person at 40 s under `tlp`.
pub(crate) async fn warning(control: &Control, who: &[&str], rule: &str, tlp: Tlp) -> Uuid {
    let member = |c: &&str| Member {
        constituent: id(c),
        first_us: 1_795_240_000_000_000,
        last_us: 1_795_240_000_000_000,
        late: false,
        pictured_us: 10_000_000,
        evidence: MemberEvidence {
            alerts: 1,
            hosts: vec![format!("10.5.5.{}", c.len())],
            key: "k".into(),
            external: vec!["203.0.113.7".into()],
            events: vec![],
        },
    };
    let found = Found {
        kind: CampaignKind::Signature,
        key: rule.into(),
        title: "t".into(),
        evidence: Evidence {
            signatures: vec![Signature {
                id: 1,
                text: rule.into(),
                severity: 1,
                kind: String::new(),
                advice: String::new(),
            }],
            ..Evidence::default()
        },
        late: false,
        members: who.iter().map(member).collect(),
    };
    let campaign = control.put_campaign(&found, 10_000_000).await.expect("stored").id;
    let warner = Warner::new(control.clone(), links(), WarnConfig::default(), contact());
    warner.step(20_000_000).await.expect("drafts");
    let scope = lagewarte_store::Scope::System;
    let w = control.warning_of(&scope, campaign).await.expect("answers").expect("was drafted").id;
    warner.release(w, "Anna", Some(tlp), 40_000_000).await.expect("releases");
    w
}
