// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The register: files, reloading, revisions, sensors.

use uuid::Uuid;

use super::*;
use crate::{
    Scope,
    control::{
        ControlError,
        register::{Sensor, SensorState},
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_load_changes_nothing_and_what_disappears_is_reported_and_kept() {
    each_db(async |db: Db| {
        let c = db.control().await;
        let dir = folder();
        let files = load::read(dir.path()).unwrap();
        let first = c.load_register(&files, false, "anna", 1).await.unwrap();
        let added = [("assignment", 4), ("constituent", 5), ("contact", 4), ("network", 3), ("sensor", 2)];
        assert_eq!(first.added.into_iter().collect::<Vec<_>>(), added);
        let (revision, audit) = (c.register_revision().await.unwrap(), c.audit(99).await.unwrap());
        let again = c.load_register(&files, false, "anna", 2).await.unwrap();
        assert!(again.is_noop() && again.missing.is_empty(), "{again:?}");
        assert_eq!(again.unchanged.values().sum::<u64>(), 18);
        assert_eq!((c.register_revision().await.unwrap(), c.audit(99).await.unwrap()), (revision, audit));

        // Fewer lines: everything missing is named, nothing is gone.
        write(
            dir.path(),
            &[
                ("constituents.csv", "id,name,kind,ags,population\na,Stadt A neu,municipality,09162009,1000\n"),
                ("networks.csv", "constituent,cidr\n"),
                ("sensors.csv", "id,name,constituent,serves,interval_s\n,gw-a,a,,20\n"),
                ("contacts.csv", "constituent,name,role,mail,phone\na,Anna,IT,neu@a.example,1\n"),
            ],
        );
        let files = load::read(dir.path()).unwrap();
        let fewer = c.load_register(&files, false, "anna", 3).await.unwrap();
        assert_eq!(fewer.changed.into_iter().collect::<Vec<_>>(), [("constituent", 1), ("contact", 1), ("sensor", 1)]);
        assert_eq!(fewer.ags_changes, [(id("a"), "09162000".parse().unwrap(), "09162009".parse().unwrap())]);
        assert_eq!(fewer.missing.len(), 4 + 1 + 3 + 3 + 3, "{:?}", fewer.missing);
        assert!(fewer.missing.iter().any(|m| m.starts_with("sensor gw-it")));
        assert_eq!(c.contacts(&Scope::Land).await.unwrap().len(), 4);
        assert_eq!(c.constituents(&Scope::Land).await.unwrap().len(), 5);
        let gw = c.sensor_named("gw-a").await.unwrap();
        assert_eq!((gw.id.to_string().as_str(), gw.interval_s), ("2aa0da23-9f2f-559d-a1ec-ab1df848ba64", 20));
        assert!(c.register_revision().await.unwrap() > revision);
        for (at, ags) in [(0, "09162000"), (1, "09162000"), (2, "09162000"), (3, "09162009"), (99, "09162009")] {
            assert_eq!(c.ags_at(&id("a"), at).await.unwrap().unwrap().as_str(), ags, "at {at}");
        }

        let pruned = c.load_register(&files, true, "anna", 4).await.unwrap();
        assert_eq!((pruned.removed.len(), pruned.missing.len()), (9, 5), "{pruned:?}");
        assert_eq!(c.contacts(&Scope::Land).await.unwrap().len(), 1);
        assert_eq!(c.networks(&Scope::Land).await.unwrap().len(), 0);
        assert_eq!(c.constituents(&Scope::Land).await.unwrap().len(), 5, "constituents have a history");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ags_is_in_force_from_the_day_that_the_file_names() {
    each_db(async |db: Db| {
        let c = db.control().await;
        let dir = tempfile::tempdir().unwrap();
        let load = async |line: &str, now_us: i64| {
            let text = format!("id,name,kind,ags,population,ags_from\n{line}\n");
            let rest = [
                ("networks.csv", "constituent,cidr\n"),
                ("sensors.csv", "id,name,constituent,serves,interval_s\n"),
                ("contacts.csv", "constituent,name,role,mail,phone\n"),
            ];
            write(dir.path(), &[("constituents.csv", text.as_str()), rest[0], rest[1], rest[2]]);
            c.load_register(&load::read(dir.path()).unwrap(), false, "anna", now_us).await
        };
        const DAY: i64 = 86_400_000_000;
        let at = async |day: i64| c.ags_at(&id("a"), day * DAY).await.unwrap().unwrap().to_string();
        load("a,A,municipality,09162000,,1970-01-03", 100 * DAY).await.unwrap();
        load("a,A,municipality,09162009,,1970-01-21", 100 * DAY).await.unwrap();
        assert_eq!(
            (at(3).await, at(19).await, at(20).await),
            ("09162000".into(), "09162000".into(), "09162009".into())
        );
        // A wrong day is put right; one before the AGS that it followed is not taken.
        load("a,A,municipality,09162009,,1970-01-11", 101 * DAY).await.unwrap();
        assert_eq!((at(9).await, at(10).await), ("09162000".into(), "09162009".into()));
        load("a,A,municipality,09162009,,1970-01-02", 101 * DAY).await.unwrap();
        assert_eq!((at(9).await, at(10).await), ("09162000".into(), "09162009".into()));
        let early = load("a,A,municipality,09162001,,1970-06-01", 101 * DAY).await.unwrap_err().to_string();
        assert!(early.contains("a day to come"), "{early}");
    })
    .await;
}

#[test]
fn every_fault_has_its_file_line_and_column() {
    let cases: &[(&str, &str, &str)] = &[
        ("constituents.csv", "id,name,kind,ags\n", "constituents.csv:1: the first line must name the columns"),
        (
            "constituents.csv",
            "id,name,kind,ags,population,ags_from\na,x,municipality,09162000,,1.1.2026\n",
            "constituents.csv:2: column ags_from: \"1.1.2026\" is no day",
        ),
        (
            "constituents.csv",
            "id,name,kind,ags,population\nA,x,municipality,09162000,\n",
            "constituents.csv:2: column id: \"A\"",
        ),
        (
            "constituents.csv",
            "id,name,kind,ags,population\na,,municipality,09162000,\n",
            "constituents.csv:2: column name: is empty",
        ),
        (
            "constituents.csv",
            "id,name,kind,ags,population\na,x,stadt,09162000,\n",
            "constituents.csv:2: column kind: \"stadt\" is none of",
        ),
        (
            "constituents.csv",
            "id,name,kind,ags,population\na,x,kreis,9162000,\n",
            "constituents.csv:2: column ags: \"9162000\" is not an AGS",
        ),
        (
            "constituents.csv",
            "id,name,kind,ags,population\na,x,kreis,09162000,-3\n",
            "constituents.csv:2: column population: \"-3\"",
        ),
        (
            "constituents.csv",
            "id,name,kind,ags,population\na,x,kreis,09162000,\na,x,kreis,09162000,\n",
            "constituents.csv:3: column id: a stands on line 2 already",
        ),
        (
            "constituents.csv",
            "id,name,kind,ags,population\na,\"x\ny\",kreis,09162000,\n",
            "constituents.csv:2: column name: holds a control character",
        ),
        ("constituents.csv", "id,name,kind,ags,population\na,x\n", "constituents.csv:2: has 2 columns, 5 are wanted"),
        (
            "networks.csv",
            "constituent,cidr\nz,10.0.0.0/8\n",
            "networks.csv:2: column constituent: z does not stand in constituents.csv",
        ),
        (
            "networks.csv",
            "constituent,cidr\na,10.0.0.0/33\n",
            "networks.csv:2: column cidr: \"10.0.0.0/33\" is no network",
        ),
        (
            "networks.csv",
            "constituent,cidr\na,10.0.0.1/8\n",
            "networks.csv:2: column cidr: 10.0.0.1/8 has host bits; the network is 10.0.0.0/8",
        ),
        (
            "networks.csv",
            "constituent,cidr\na,10.0.0.0/8\na,10.0.0.0/8\n",
            "networks.csv:3: column cidr: 10.0.0.0/8 of a stands on line 2",
        ),
        ("sensors.csv", "id,name,constituent,serves,interval_s\nx,gw,a,,\n", "sensors.csv:2: column id"),
        (
            "sensors.csv",
            "id,name,constituent,serves,interval_s\n,gw,a,b;z,\n",
            "sensors.csv:2: column serves: z does not stand",
        ),
        (
            "sensors.csv",
            "id,name,constituent,serves,interval_s\n,gw,a,,0\n",
            "sensors.csv:2: column interval_s: is no number",
        ),
        (
            "sensors.csv",
            "id,name,constituent,serves,interval_s\n,gw,a,,9\n,gw,b,,9\n",
            "sensors.csv:3: column name: gw stands on line 2",
        ),
        (
            "contacts.csv",
            "constituent,name,role,mail,phone\na,n,r,not-a-mail,\n",
            "contacts.csv:2: column mail: \"not-a-mail\" is no mail address",
        ),
        ("contacts.csv", "constituent,name,role,mail,phone\na,n,r,\"a@b.de,c@d.de\",\n", "contacts.csv:2: column mail"),
        (
            "contacts.csv",
            "constituent,name,role,mail,phone\na,n,r,,\n",
            "contacts.csv:2: column mail: neither mail nor phone",
        ),
        (
            "contacts.csv",
            "constituent,name,role,mail,phone\na,n,r,a@b.de,\na,n,r,c@b.de,\n",
            "contacts.csv:3: column name: n of a stands on line 2",
        ),
    ];
    for (file, text, want) in cases {
        let dir = folder();
        write(dir.path(), &[(file, text)]);
        let faults = load::read(dir.path()).unwrap_err();
        assert!(faults.iter().any(|f| f.to_string().starts_with(want)), "{text:?}: {faults:?}");
    }
    let dir = folder();
    std::fs::write(dir.path().join("contacts.csv"), b"constituent,name,role,mail,phone\na,M\xfcller,r,a@b.de,\n")
        .unwrap();
    assert!(load::read(dir.path()).unwrap_err()[0].to_string().contains("contacts.csv:2: is not UTF-8"));
    std::fs::remove_file(dir.path().join("contacts.csv")).unwrap();
    assert!(load::read(dir.path()).unwrap_err()[0].to_string().contains("contacts.csv: cannot be read"));
    let long = format!("constituent,name,role,mail,phone\na,{},r,a@b.de,\n", "x".repeat(load::MAX_CELL_CHARS + 1));
    write(dir.path(), &[("contacts.csv", &long)]);
    assert!(load::read(dir.path()).unwrap_err()[0].to_string().contains("column name: is longer than 200"));
    std::fs::File::create(dir.path().join("contacts.csv")).unwrap().set_len(load::MAX_FILE_BYTES + 1).unwrap();
    assert!(load::read(dir.path()).unwrap_err()[0].to_string().contains("larger than 16 MiB"));
    let many: String = (0..200).map(|i| format!("z{i},10.0.0.0/8\n")).collect();
    write(dir.path(), &[("contacts.csv", CONTACTS), ("networks.csv", &format!("constituent,cidr\n{many}"))]);
    assert_eq!(load::read(dir.path()).unwrap_err().len(), load::MAX_FAULTS);
}

#[test]
fn a_byte_order_mark_and_any_order_of_columns_are_fine() {
    let dir = folder();
    write(dir.path(), &[("networks.csv", "\u{feff}cidr,constituent\n 10.9.0.0/16 , a \n")]);
    assert!(load::read(dir.path()).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_is_all_or_nothing() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        let before = c.constituents(&Scope::Land).await.unwrap();
        let dir = folder();
        // The files are well-formed, but a sensor's name is the register's other sensor: only the database knows.
        write(
            dir.path(),
            &[
                ("constituents.csv", &CONSTITUENTS.replace("Stadt A", "Stadt Anders")),
                ("sensors.csv", &SENSORS.replace("2aa0da23-9f2f", "00000000-0000")),
            ],
        );
        let e = c.load_register(&load::read(dir.path()).unwrap(), false, "anna", 2).await.unwrap_err();
        assert!(matches!(&e, ControlError::Refused(w) if w.contains("gw-a")), "{e}");
        assert_eq!(c.constituents(&Scope::Land).await.unwrap(), before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_of_two_constituents_that_overlap_are_reported() {
    each_db(async |db: Db| {
        let c = db.control().await;
        let dir = folder();
        let text = "constituent,cidr\na,10.0.0.0/8\nb,10.1.0.0/16\na,10.1.2.0/24\nb,192.0.2.0/24\nc,192.0.2.0/24\n\
                    c,2001:db8::/32\na,2001:db8:1::/48\na,11.0.0.0/8\n";
        write(dir.path(), &[("networks.csv", text)]);
        let report = c.load_register(&load::read(dir.path()).unwrap(), false, "anna", 1).await.unwrap();
        assert_eq!(
            report.overlaps,
            [
                "10.1.0.0/16 of b lies in 10.0.0.0/8 of a",
                "10.1.2.0/24 of a lies in 10.1.0.0/16 of b",
                "192.0.2.0/24 of c lies in 192.0.2.0/24 of b",
                "2001:db8:1::/48 of a lies in 2001:db8::/32 of c",
            ]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_speaks_for_whom_it_serves_until_it_is_revoked() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        let gw = c.sensor_named("gw-it").await.unwrap();
        assert_eq!(gw.state, SensorState::Invited);
        assert_eq!(gw.serves.iter().map(ConstituentId::as_str).collect::<Vec<_>>(), ["b", "c", "it"]);
        c.activate_sensor(gw.id, "0a1b", 99, 5).await.unwrap();
        let d = c.directory().await.unwrap();
        assert_eq!(d.sensors[&gw.id].cert_serial.as_deref(), Some("0a1b"));
        let may = |d: &super::super::register::Directory, who: &str| d.may_speak(gw.id, &id(who));
        assert!(may(&d, "b") && may(&d, "it") && !may(&d, "a"));
        assert_eq!(d.sensors_of(&id("b")).map(|s| s.name.as_str()).collect::<Vec<_>>(), ["gw-it"]);
        assert_eq!(d.ags(&id("c")).unwrap().as_str(), "01001000");
        // A constituent sees the sensor, not the others behind it.
        let seen = c.sensors(&Scope::Constituent(id("b"))).await.unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].serves.iter().map(ConstituentId::as_str).collect::<Vec<_>>(), ["b"]);
        assert!(c.sensors(&Scope::Constituent(id("d"))).await.unwrap().is_empty());

        c.revoke_sensor(gw.id, "anna", 6).await.unwrap();
        let revoked = c.directory().await.unwrap();
        assert!(!may(&revoked, "b") && revoked.revision > d.revision);
        assert!(matches!(c.activate_sensor(gw.id, "0c", 99, 7).await, Err(ControlError::Refused(_))));
        let nobody = Uuid::nil();
        assert!(matches!(c.activate_sensor(nobody, "0c", 9, 7).await, Err(ControlError::Missing { .. })));
        assert!(matches!(c.revoke_sensor(nobody, "anna", 7).await, Err(ControlError::Missing { .. })));
        assert!(c.sensor(nobody).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_is_added_once_and_its_assignment_follows_the_register() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        let new = Sensor {
            id: Uuid::from_u128(7),
            name: "gw-b".into(),
            constituent: id("b"),
            serves: [id("a"), id("b")].into(),
            interval_s: 30,
            state: SensorState::Invited,
            cert_serial: None,
            cert_not_after_us: None,
        };
        c.add_sensor(&new, "anna", 2).await.unwrap();
        assert_eq!(c.sensor(new.id).await.unwrap(), Some(new.clone()));
        assert!(matches!(c.add_sensor(&new, "anna", 3).await, Err(ControlError::Refused(_))));
        let stray = Sensor { id: Uuid::from_u128(8), name: "gw-z".into(), constituent: id("z"), ..new.clone() };
        assert!(matches!(c.add_sensor(&stray, "anna", 3).await, Err(ControlError::Missing { .. })));
        let a = c.assignment(&new, 4).await.unwrap();
        assert_eq!((a.version, a.default.as_str(), a.owners.len()), (4, "b", 2));
        let owner = |ip: &str| a.owner(None, &[ip.parse().unwrap()]).as_str().to_owned();
        assert_eq!(
            (owner("10.1.2.3"), owner("2001:db8:b::1"), owner("10.3.0.1")),
            ("a".into(), "b".into(), "b".into())
        );
    })
    .await;
}
