// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Writes a register as the CSV files that `lagewarte-aggregator register load` reads. Must never know more of the
//! register than its columns.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context;

/// A constituent with one network and one contact.
#[derive(Clone, Copy, Debug)]
pub struct Constituent {
    /// Its id; also the beginning of its contact's mail address: `it@ID.example`.
    pub id: &'static str,
    /// Its AGS.
    pub ags: &'static str,
    /// Its networks.
    pub networks: &'static [&'static str],
}

/// A sensor.
#[derive(Clone, Copy, Debug)]
pub struct SensorRow {
    /// Its name.
    pub name: &'static str,
    /// Its id.
    pub id: &'static str,
    /// Whom it serves; the first is its own.
    pub serves: &'static [&'static str],
}

/// Writes the four files.
///
/// # Errors
/// Where they cannot be written.
pub fn write(dir: &Path, constituents: &[Constituent], sensors: &[SensorRow]) -> anyhow::Result<()> {
    fs::create_dir_all(dir)?;
    let (mut c, mut n, mut k) = (
        "id,name,kind,ags,population\n".to_owned(),
        "constituent,cidr\n".to_owned(),
        "constituent,name,role,mail,phone\n".to_owned(),
    );
    for x in constituents {
        writeln!(c, "{0},Gemeinde {0},municipality,{1},12000", x.id, x.ags)?;
        for net in x.networks {
            writeln!(n, "{},{net}", x.id)?;
        }
        writeln!(k, "{0},Uwe Gerken,IT-Verantwortung,it@{0}.example,+49 30 23125 001", x.id)?;
    }
    let mut s = "id,name,constituent,serves,interval_s\n".to_owned();
    for x in sensors {
        let first = x.serves.first().context("a sensor serves somebody")?;
        writeln!(s, "{},{},{first},{},1", x.id, x.name, x.serves.join(";"))?;
    }
    for (file, text) in [("constituents.csv", c), ("networks.csv", n), ("contacts.csv", k), ("sensors.csv", s)] {
        fs::write(dir.join(file), text)?;
    }
    Ok(())
}
