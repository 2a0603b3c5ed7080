// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the control plane promises, on both databases. One file a question.

mod lanes;
mod picture;
mod register;
mod tokens;
mod warnings;

use std::path::Path;

use lagewarte_base::id::ConstituentId;

use super::{
    Control, load,
    testing::{Db, each_db},
};

fn id(s: &str) -> ConstituentId {
    s.parse().expect("a test's own id")
}

/// A small register: five constituents, two sensors (one serves two), contacts.
const CONSTITUENTS: &str = "id,name,kind,ags,population\n\
    a,Stadt A,municipality,09162000,1000\nb,Markt B,municipality,09162001,\nc,Gemeinde C,municipality,01001000,7\n\
    d,Gemeinde D,municipality,01001001,8\nit,IT-Haus,provider,09162000,\n";
const NETWORKS: &str = "constituent,cidr\na,10.1.0.0/16\nb,10.2.0.0/16\nb,2001:db8:b::/48\n";
const SENSORS: &str = "id,name,constituent,serves,interval_s\n\
    2aa0da23-9f2f-559d-a1ec-ab1df848ba64,gw-a,a,,10\n,gw-it,it,b;c,\n";
const CONTACTS: &str = "constituent,name,role,mail,phone\n\
    a,Anna,IT,it@a.example,1\na,Bert,Leitung,chef@a.example,\nb,Cem,IT,it@b.example,2\nc,Dora,Leitung,,030 1\n";

fn write(dir: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        std::fs::write(dir.join(name), text).expect("writes to a temporary folder");
    }
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let all = [
        ("constituents.csv", CONSTITUENTS),
        ("networks.csv", NETWORKS),
        ("sensors.csv", SENSORS),
        ("contacts.csv", CONTACTS),
    ];
    write(dir.path(), &all);
    dir
}

/// A fresh database with the small register.
async fn loaded(db: &Db) -> Control {
    let c = db.control().await;
    let dir = folder();
    c.load_register(&load::read(dir.path()).expect("is well-formed"), false, "test", 1).await.expect("loads");
    c
}
