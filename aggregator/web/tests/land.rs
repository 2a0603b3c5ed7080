// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The fictional Land: as its script makes it, without fault, and clearly nobody's.

mod common;

use std::{collections::BTreeSet, process::Command};

use common::{Land, land_dir, map};
use lagewarte_store::{Scope, control::register::ConstituentKind};

#[test]
fn the_files_are_what_the_script_makes() {
    let out = Command::new("python3").arg(land_dir().join("make.py")).arg("--check").output().expect("python3 runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_the_size_and_the_parts_that_the_demo_needs() {
    let land = Land::start().await;
    let all = land.control.constituents(&Scope::System).await.expect("answers");
    let of = |k| all.iter().filter(|c| c.kind == k).count();
    assert_eq!((of(ConstituentKind::Municipality), of(ConstituentKind::Kreis)), (62, 6));
    for k in
        [ConstituentKind::Provider, ConstituentKind::Utility, ConstituentKind::Hospital, ConstituentKind::Zweckverband]
    {
        assert_eq!(of(k), 1, "{k}");
    }
    assert!(all.iter().all(|c| c.ags.land() == "97"), "a Land key that no Land has");
    let sensors = land.control.sensors(&Scope::System).await.expect("answers");
    assert_eq!(sensors.len(), 10);
    assert_eq!(sensors.iter().filter(|s| s.serves.len() == 2).count(), 1);

    // Every municipality is on the map once, and nobody else.
    let map = map();
    let on_map: BTreeSet<_> = map.areas.iter().map(|a| a.ags).collect();
    assert_eq!(on_map.len(), map.areas.len());
    let municipalities = all.iter().filter(|c| c.kind == ConstituentKind::Municipality);
    assert_eq!(on_map, municipalities.map(|c| c.ags).collect());
    // Eight Kreise border on one another, and the Land on the sea: one closed line.
    assert!(map.kreis_borders.matches('M').count() >= 8);
    assert_eq!(map.areas.iter().map(|a| &a.kreis_name).collect::<BTreeSet<_>>().len(), 8);

    // Nobody real is reached: reserved names (RFC 2606), numbers kept for fiction, private addresses.
    for c in land.control.contacts(&Scope::System).await.expect("answers") {
        assert!(c.mail.ends_with(".example") && c.phone.starts_with("+49 30 23125 "), "{c:?}");
    }
    for n in land.control.networks(&Scope::System).await.expect("answers") {
        assert!(n.cidr.to_string().starts_with("10."), "{n:?}");
    }
}
