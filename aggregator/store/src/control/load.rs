// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Loading the register from a folder of CSV files: all of it or nothing of it, again and again.
//!
//! `constituents.csv` (id, name, kind, ags, population, and if wished ags_from), `networks.csv` (constituent, cidr), `sensors.csv` (id, name,
//! constituent, serves, interval_s), `contacts.csv` (constituent, name, role, mail, phone): UTF-8, comma, first line the
//! column names in any order. Every fault is reported with file, line and column, at most [`MAX_FAULTS`] of them. What
//! is in the register and no longer in the files is reported and kept; with `prune` networks, contacts and the lists of
//! whom a sensor serves follow the files. Must never delete a constituent or a sensor: they have a history. A changed
//! AGS is dated: from the day in ags_from (a Gebietsreform has one), else from the load. Networks of different constituents that overlap are reported: shared lines are lawful, mistakes are not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    str::FromStr,
};

use ipnet::IpNet;
use lagewarte_base::{ags::Ags, id::ConstituentId, time::Timestamp};
use serde::Serialize;
use uuid::Uuid;

use super::{
    Control, ControlError, Result, audit,
    db::{Tx, vals},
    register::{Constituent, ConstituentKind, Contact, Network, Sensor, SensorState},
};
use crate::Scope;

/// Largest file read. Threat: the wrong file (a database dump) named as the register.
pub const MAX_FILE_BYTES: u64 = 16 << 20;
/// Most faults reported at once: more are not read by anybody.
pub const MAX_FAULTS: usize = 50;
/// Longest text in a cell. Threat: a cell that breaks pages, mails and the audit.
pub const MAX_CELL_CHARS: usize = 200;
/// Shortest and longest interval of health events, in seconds.
pub const INTERVAL_S: std::ops::RangeInclusive<u32> = 1..=3600;
/// Interval where the file leaves it empty.
pub const DEFAULT_INTERVAL_S: u32 = 30;

/// One fault of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// File name.
    pub file: String,
    /// Line, from 1; 0 where the file as a whole is meant.
    pub line: u64,
    /// Column name; empty where the line as a whole is meant.
    pub column: String,
    /// What is wrong and what would be right.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.column.is_empty() {
            write!(f, ": column {}", self.column)?;
        }
        write!(f, ": {}", self.what)
    }
}

/// The files' content, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegisterFiles {
    constituents: Vec<FileConstituent>,
    networks: Vec<Network>,
    sensors: Vec<FileSensor>,
    contacts: Vec<Contact>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FileConstituent {
    constituent: Constituent,
    /// Since when its AGS is in force, where the file says it.
    ags_from_us: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FileSensor {
    id: Option<Uuid>,
    name: String,
    constituent: ConstituentId,
    serves: BTreeSet<ConstituentId>,
    interval_s: u32,
}

/// What a load changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// New rows, by kind of thing.
    pub added: BTreeMap<&'static str, u64>,
    /// Changed rows.
    pub changed: BTreeMap<&'static str, u64>,
    /// Rows as they were.
    pub unchanged: BTreeMap<&'static str, u64>,
    /// In the register, no longer in the files, and kept.
    pub missing: Vec<String>,
    /// In the register, no longer in the files, and removed (`prune`).
    pub removed: Vec<String>,
    /// Changed AGS: constituent, old, new.
    pub ags_changes: Vec<(ConstituentId, Ags, Ags)>,
    /// Overlapping networks of different constituents, in sentences.
    pub overlaps: Vec<String>,
}

struct Reader {
    faults: Vec<Fault>,
}

struct Line<'a> {
    file: &'static str,
    line: u64,
    columns: &'a [&'static str],
    cells: Vec<String>,
}

impl Reader {
    fn fault(&mut self, file: &str, line: u64, column: &str, what: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            let what = what.into();
            self.faults.push(Fault { file: file.into(), line, column: column.into(), what });
        }
    }

    /// The lines of a file; the last `optional` of its columns may be left out.
    fn lines<'a>(
        &mut self,
        dir: &Path,
        file: &'static str,
        columns: &'a [&'static str],
        optional: usize,
    ) -> Vec<Line<'a>> {
        let path = dir.join(file);
        let text = match std::fs::metadata(&path) {
            Ok(m) if m.len() > MAX_FILE_BYTES => {
                self.fault(file, 0, "", "is larger than 16 MiB; this is not a register");
                return Vec::new();
            }
            Ok(_) => match std::fs::read(&path) {
                Ok(raw) => raw,
                Err(e) => {
                    self.fault(file, 0, "", format!("cannot be read: {e}"));
                    return Vec::new();
                }
            },
            Err(e) => {
                self.fault(file, 0, "", format!("cannot be read: {e}; the folder needs all four files"));
                return Vec::new();
            }
        };
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text); // spreadsheets write a byte order mark
        let mut csv = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
        let head: Vec<String> = match csv.headers() {
            Ok(h) => h.iter().map(str::to_owned).collect(),
            Err(e) => {
                self.fault(file, 1, "", e.to_string());
                return Vec::new();
            }
        };
        let must = &columns[..columns.len().saturating_sub(optional)];
        let wanted = must.join(",");
        let position: Vec<Option<usize>> = columns.iter().map(|c| head.iter().position(|h| h == c)).collect();
        let known = head.iter().all(|h| columns.contains(&h.as_str()));
        let once = head.len() == position.iter().flatten().count();
        if !known || !once || position.iter().take(must.len()).any(Option::is_none) {
            self.fault(file, 1, "", format!("the first line must name the columns {wanted}"));
            return Vec::new();
        }
        let mut lines = Vec::new();
        for record in csv.records() {
            match record {
                Ok(r) => {
                    let line = r.position().map_or(0, csv::Position::line);
                    let cell = |p: &Option<usize>| p.and_then(|p| r.get(p)).unwrap_or_default().to_owned();
                    let l = Line { file, line, columns, cells: position.iter().map(cell).collect() };
                    for (column, text) in columns.iter().zip(&l.cells) {
                        if text.chars().any(char::is_control) {
                            self.fault(file, line, column, "holds a control character");
                        }
                        // A list of whom a sensor serves may be long; its items are checked one by one.
                        if *column != "serves" && text.chars().count() > MAX_CELL_CHARS {
                            self.fault(file, line, column, format!("is longer than {MAX_CELL_CHARS} characters"));
                        }
                    }
                    lines.push(l);
                }
                Err(e) => {
                    let line = e.position().map_or(0, csv::Position::line);
                    let what = match e.kind() {
                        csv::ErrorKind::Utf8 { .. } => "is not UTF-8; save the table as UTF-8".to_owned(),
                        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                            format!("has {len} columns, {expected_len} are wanted: {wanted}")
                        }
                        _ => e.to_string(),
                    };
                    self.fault(file, line, "", what);
                }
            }
        }
        lines
    }

    /// A cell read as `T`; a fault and None where it is none.
    fn cell<T: FromStr>(&mut self, l: &Line<'_>, column: &str) -> Option<T>
    where
        T::Err: fmt::Display,
    {
        match l.text(column).parse() {
            Ok(v) => Some(v),
            Err(e) => {
                self.fault(l.file, l.line, column, format!("{e}"));
                None
            }
        }
    }

    fn filled(&mut self, l: &Line<'_>, column: &str) -> Option<String> {
        let text = l.text(column);
        if text.is_empty() {
            self.fault(l.file, l.line, column, "is empty");
            return None;
        }
        Some(text.to_owned())
    }

    fn once<K: Ord + Clone + fmt::Display>(&mut self, seen: &mut BTreeMap<K, u64>, k: &K, l: &Line<'_>, column: &str) {
        if let Some(first) = seen.get(k) {
            self.fault(l.file, l.line, column, format!("{k} stands on line {first} already"));
        } else {
            seen.insert(k.clone(), l.line);
        }
    }
}

impl Line<'_> {
    fn text(&self, column: &str) -> &str {
        self.columns.iter().position(|c| *c == column).and_then(|p| self.cells.get(p)).map_or("", String::as_str)
    }
}

/// Reads and checks the four files of a folder.
///
/// # Errors
/// Every fault found, at most [`MAX_FAULTS`].
pub fn read(dir: &Path) -> Result<RegisterFiles, Vec<Fault>> {
    let mut r = Reader { faults: Vec::new() };
    let mut files = RegisterFiles::default();

    let mut ids = BTreeMap::new();
    for l in r.lines(dir, "constituents.csv", &["id", "name", "kind", "ags", "population", "ags_from"], 1) {
        let id: Option<ConstituentId> = r.cell(&l, "id");
        if let Some(id) = &id {
            r.once(&mut ids, id, &l, "id");
        }
        let (name, kind, ags) = (r.filled(&l, "name"), r.cell::<ConstituentKind>(&l, "kind"), r.cell::<Ags>(&l, "ags"));
        let population = match l.text("population") {
            "" => Some(None),
            text => match text.parse::<u32>() {
                Ok(n) => Some(Some(i64::from(n))),
                Err(_) => {
                    r.fault(l.file, l.line, "population", format!("{text:?} is no number of inhabitants"));
                    None
                }
            },
        };
        let ags_from_us = match l.text("ags_from") {
            "" => None,
            day => {
                let midnight = Timestamp::parse_eve(&format!("{day}T00:00:00.000000+0000"));
                if midnight.is_none() || day.len() != 10 {
                    r.fault(l.file, l.line, "ags_from", format!("{day:?} is no day; 2026-01-01 would be"));
                }
                midnight.map(Timestamp::micros)
            }
        };
        if let (Some(id), Some(name), Some(kind), Some(ags), Some(population)) = (id, name, kind, ags, population) {
            let constituent = Constituent { id, name, kind, ags, population };
            files.constituents.push(FileConstituent { constituent, ags_from_us });
        }
    }

    // Who is meant must stand in constituents.csv: a typing mistake must not warn nobody.
    let member = |r: &mut Reader, l: &Line<'_>, column: &str, text: &str| -> Option<ConstituentId> {
        match text.parse::<ConstituentId>() {
            Ok(c) if ids.contains_key(&c) => Some(c),
            Ok(c) => {
                r.fault(l.file, l.line, column, format!("{c} does not stand in constituents.csv"));
                None
            }
            Err(e) => {
                r.fault(l.file, l.line, column, e.to_string());
                None
            }
        }
    };

    let mut seen = BTreeMap::new();
    for l in r.lines(dir, "networks.csv", &["constituent", "cidr"], 0) {
        let constituent = member(&mut r, &l, "constituent", l.text("constituent"));
        let Ok(cidr) = l.text("cidr").parse::<IpNet>() else {
            let what = format!("{:?} is no network; 10.1.0.0/16 or 2001:db8::/48 would be", l.text("cidr"));
            r.fault(l.file, l.line, "cidr", what);
            continue;
        };
        if cidr != cidr.trunc() {
            let what = format!("{cidr} has host bits; the network is {}", cidr.trunc());
            r.fault(l.file, l.line, "cidr", what);
        }
        if let Some(constituent) = constituent {
            r.once(&mut seen, &format!("{cidr} of {constituent}"), &l, "cidr");
            files.networks.push(Network { constituent, cidr });
        }
    }

    let (mut seen, mut names) = (BTreeMap::new(), BTreeMap::new());
    for l in r.lines(dir, "sensors.csv", &["id", "name", "constituent", "serves", "interval_s"], 0) {
        let id = match l.text("id") {
            "" => Some(None),
            _ => r.cell::<Uuid>(&l, "id").map(Some),
        };
        if let Some(Some(id)) = &id {
            r.once(&mut seen, id, &l, "id");
        }
        let name = r.filled(&l, "name");
        if let Some(name) = &name {
            r.once(&mut names, name, &l, "name");
        }
        let constituent = member(&mut r, &l, "constituent", l.text("constituent"));
        let served = l.text("serves").split(';').map(str::trim).filter(|s| !s.is_empty());
        let mut serves: BTreeSet<_> = served.filter_map(|s| member(&mut r, &l, "serves", s)).collect();
        let interval_s = match l.text("interval_s") {
            "" => Some(DEFAULT_INTERVAL_S),
            text => text.parse().ok().filter(|s| INTERVAL_S.contains(s)),
        };
        if interval_s.is_none() {
            r.fault(l.file, l.line, "interval_s", "is no number of seconds from 1 to 3600");
        }
        if let (Some(id), Some(name), Some(constituent), Some(interval_s)) = (id, name, constituent, interval_s) {
            serves.insert(constituent.clone());
            files.sensors.push(FileSensor { id, name, constituent, serves, interval_s });
        }
    }

    let mut seen = BTreeMap::new();
    for l in r.lines(dir, "contacts.csv", &["constituent", "name", "role", "mail", "phone"], 0) {
        let constituent = member(&mut r, &l, "constituent", l.text("constituent"));
        let name = r.filled(&l, "name");
        let (mail, phone) = (l.text("mail").to_owned(), l.text("phone").to_owned());
        if !mail.is_empty() && !plausible_mail(&mail) {
            r.fault(l.file, l.line, "mail", format!("{mail:?} is no mail address"));
        }
        if mail.is_empty() && phone.is_empty() {
            r.fault(l.file, l.line, "mail", "neither mail nor phone: this contact cannot be reached");
        }
        if let (Some(constituent), Some(name)) = (constituent, name) {
            r.once(&mut seen, &format!("{name} of {constituent}"), &l, "name");
            files.contacts.push(Contact { constituent, name, role: l.text("role").to_owned(), mail, phone });
        }
    }

    if r.faults.is_empty() { Ok(files) } else { Err(r.faults) }
}

/// One `@`, no blanks or commas, something on both sides: what a mail server needs to say the rest (RFC 5321 sizes).
fn plausible_mail(mail: &str) -> bool {
    let Some((local, domain)) = mail.rsplit_once('@') else { return false };
    let label = |l: &str| !l.is_empty() && l.chars().all(|c| c.is_alphanumeric() || c == '-');
    !local.is_empty()
        && local.len() <= 64
        && domain.len() <= 253
        && domain.split('.').all(label)
        && !local.chars().any(|c| c.is_whitespace() || c.is_control() || "@,;<>()[]\\\"".contains(c))
}

/// Overlapping networks of different constituents, in sentences. Networks are few thousands, sorted: near linear.
fn overlaps(networks: &[Network]) -> Vec<String> {
    let mut sorted: Vec<&Network> = networks.iter().collect();
    sorted.sort_by_key(|n| (n.cidr.network(), n.cidr.prefix_len()));
    let mut found = Vec::new();
    for (i, n) in sorted.iter().enumerate() {
        for m in sorted.get(i + 1..).unwrap_or_default() {
            if !n.cidr.contains(&m.cidr) {
                break; // sorted by address: what follows a network without lying in it lies behind it
            }
            if n.constituent != m.constituent {
                found.push(format!("{} of {} lies in {} of {}", m.cidr, m.constituent, n.cidr, n.constituent));
            }
        }
    }
    found
}

impl LoadReport {
    fn count(&mut self, kind: &'static str, before: bool, written: u64) {
        let counter = match (before, written > 0) {
            (false, _) => &mut self.added,
            (true, true) => &mut self.changed,
            (true, false) => &mut self.unchanged,
        };
        *counter.entry(kind).or_default() += 1;
    }
    /// Whether anything was written.
    pub fn is_noop(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

impl Control {
    /// Puts the files' content into the register, in one transaction.
    ///
    /// # Errors
    /// [`ControlError::Refused`] where a sensor's id and name belong to two sensors of the register.
    pub async fn load_register(
        &self,
        files: &RegisterFiles,
        prune: bool,
        who: &str,
        now_us: i64,
    ) -> Result<LoadReport> {
        let mut report = LoadReport { overlaps: overlaps(&files.networks), ..LoadReport::default() };
        let mut tx = self.pool.begin().await?;
        for c in &files.constituents {
            constituent(&mut tx, c, now_us, &mut report).await?;
        }
        for n in &files.networks {
            let sql = "INSERT INTO network (constituent, cidr) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            let new = tx.execute(sql, vals![&n.constituent, n.cidr.to_string()]).await? > 0;
            report.count("network", !new, 0);
        }
        for c in &files.contacts {
            let sql = "SELECT role FROM contact WHERE constituent = $1 AND name = $2";
            let before = tx.row(sql, vals![&c.constituent, &c.name]).await?.is_some();
            let sql = "INSERT INTO contact (constituent, name, role, mail, phone) VALUES ($1, $2, $3, $4, $5) \
                       ON CONFLICT (constituent, name) DO UPDATE SET role = excluded.role, mail = excluded.mail, \
                       phone = excluded.phone WHERE contact.role <> excluded.role OR contact.mail <> excluded.mail \
                       OR contact.phone <> excluded.phone";
            let n = tx.execute(sql, vals![&c.constituent, &c.name, &c.role, &c.mail, &c.phone]).await?;
            report.count("contact", before, n);
        }
        let mut serves: BTreeSet<(String, String)> = BTreeSet::new();
        for s in &files.sensors {
            let id = sensor(&mut tx, s, &mut report).await?;
            serves.extend(s.serves.iter().map(|c| (id.to_string(), c.to_string())));
        }
        self.disappeared(&mut tx, files, &serves, prune, &mut report).await?;
        if !report.is_noop() {
            let sum = |m: &BTreeMap<_, u64>| m.values().sum::<u64>();
            let (added, changed) = (sum(&report.added), sum(&report.changed));
            let what = format!("register loaded: {added} added, {changed} changed, {} removed", report.removed.len());
            audit::note(&mut tx, now_us, who, &what).await?;
            tx.register_changed().await?;
        }
        tx.commit().await?;
        Ok(report)
    }

    async fn disappeared(
        &self,
        tx: &mut Tx,
        files: &RegisterFiles,
        serves: &BTreeSet<(String, String)>,
        prune: bool,
        report: &mut LoadReport,
    ) -> Result<()> {
        let ids: BTreeSet<&str> = files.constituents.iter().map(|c| c.constituent.id.as_str()).collect();
        for r in tx.rows("SELECT id FROM constituent ORDER BY id", vec![]).await? {
            let id = r.text("id")?;
            if !ids.contains(id.as_str()) {
                report.missing.push(format!("constituent {id}"));
            }
        }
        let names: BTreeSet<&str> = files.sensors.iter().map(|s| s.name.as_str()).collect();
        for r in tx.rows("SELECT name FROM sensor WHERE state <> $1 ORDER BY name", vals![SensorState::Revoked]).await?
        {
            let name = r.text("name")?;
            if !names.contains(name.as_str()) {
                report.missing.push(format!("sensor {name} (revoke it with: register revoke {name})"));
            }
        }
        let networks: BTreeSet<_> =
            files.networks.iter().map(|n| (n.constituent.to_string(), n.cidr.to_string())).collect();
        let contacts: BTreeSet<_> =
            files.contacts.iter().map(|c| (c.constituent.to_string(), c.name.clone())).collect();
        for (kind, select, delete, wanted) in [
            (
                "network",
                "SELECT constituent AS a, cidr AS b FROM network ORDER BY constituent, cidr",
                "DELETE FROM network WHERE constituent = $1 AND cidr = $2",
                &networks,
            ),
            (
                "contact",
                "SELECT constituent AS a, name AS b FROM contact ORDER BY constituent, name",
                "DELETE FROM contact WHERE constituent = $1 AND name = $2",
                &contacts,
            ),
            (
                "assignment",
                "SELECT sensor AS a, constituent AS b FROM sensor_constituent ORDER BY sensor, constituent",
                "DELETE FROM sensor_constituent WHERE sensor = $1 AND constituent = $2",
                serves,
            ),
        ] {
            for r in tx.rows(select, vec![]).await? {
                let row = (r.text("a")?, r.text("b")?);
                if wanted.contains(&row) {
                    continue;
                }
                let name = format!("{kind} {} of {}", row.1, row.0);
                if prune {
                    tx.execute(delete, vals![row.0, row.1]).await?;
                    report.removed.push(name);
                } else {
                    report.missing.push(name);
                }
            }
        }
        Ok(())
    }

    /// The assignment that the register means for a sensor, to be signed elsewhere and laid down beside it.
    ///
    /// # Errors
    /// [`ControlError::Missing`] for an unknown sensor; [`ControlError::Refused`] where two constituents behind it claim
    /// the same network.
    pub async fn assignment(&self, sensor: &Sensor, version: u64) -> Result<lagewarte_base::assignment::Assignment> {
        use lagewarte_base::assignment::{Assignment, Owner};
        let mut owners: BTreeMap<&ConstituentId, Vec<IpNet>> = sensor.serves.iter().map(|c| (c, Vec::new())).collect();
        for n in self.networks(&Scope::System).await? {
            if let Some(list) = owners.get_mut(&n.constituent) {
                list.push(n.cidr);
            }
        }
        let owner =
            |(c, networks): (&ConstituentId, Vec<IpNet>)| Owner { constituent: c.clone(), networks, vlans: vec![] };
        let assignment = Assignment {
            name: sensor.name.clone(),
            version,
            sensor: sensor.id,
            default: sensor.constituent.clone(),
            owners: owners.into_iter().map(owner).collect(),
        };
        match assignment.fault() {
            Some(fault) => Err(ControlError::Refused(format!("sensor {}: {fault}", sensor.name))),
            None => Ok(assignment),
        }
    }
}

async fn constituent(tx: &mut Tx, file: &FileConstituent, now_us: i64, report: &mut LoadReport) -> Result<()> {
    let FileConstituent { constituent: c, ags_from_us } = file;
    if ags_from_us.is_some_and(|from| from > now_us) {
        return Err(ControlError::Refused(format!(
            "constituents.csv: the AGS {} of {} is in force from a day to come; load it on that day",
            c.ags, c.id
        )));
    }
    let before = tx.row("SELECT ags FROM constituent WHERE id = $1", vals![&c.id]).await?;
    let old: Option<Ags> = before.map(|r| r.parse("ags")).transpose()?;
    let sql = "INSERT INTO constituent (id, name, kind, ags, population) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (id) DO UPDATE SET name = excluded.name, kind = excluded.kind, ags = excluded.ags, \
               population = excluded.population WHERE constituent.name <> excluded.name \
               OR constituent.kind <> excluded.kind OR constituent.ags <> excluded.ags \
               OR COALESCE(constituent.population, -1) <> COALESCE(excluded.population, -1)";
    let n = tx.execute(sql, vals![&c.id, &c.name, c.kind, c.ags, c.population]).await?;
    report.count("constituent", old.is_some(), n);
    if old == Some(c.ags)
        && let Some(from) = ags_from_us
    {
        // The day was not known when the AGS came, or was wrong: it is put right, but never before the one it followed.
        let sql = "UPDATE constituent_ags SET from_us = $2 WHERE constituent = $1 AND from_us <> $2 \
                   AND from_us = (SELECT MAX(a.from_us) FROM constituent_ags a WHERE a.constituent = $1) \
                   AND NOT EXISTS (SELECT 1 FROM constituent_ags b WHERE b.constituent = $1 AND b.from_us >= $2 \
                   AND b.from_us <> constituent_ags.from_us)";
        let n = tx.execute(sql, vals![&c.id, *from]).await?;
        report.count("AGS date", true, n);
    }
    if old != Some(c.ags) {
        let sql = "INSERT INTO constituent_ags (constituent, ags, from_us) VALUES ($1, $2, $3) \
                   ON CONFLICT (constituent, from_us) DO UPDATE SET ags = excluded.ags";
        tx.execute(sql, vals![&c.id, c.ags, ags_from_us.unwrap_or(now_us)]).await?;
        report.ags_changes.extend(old.map(|old| (c.id.clone(), old, c.ags)));
    }
    Ok(())
}

async fn sensor(tx: &mut Tx, s: &FileSensor, report: &mut LoadReport) -> Result<Uuid> {
    let by_name = tx.row("SELECT id FROM sensor WHERE name = $1", vals![&s.name]).await?;
    let by_name: Option<Uuid> = by_name.map(|r| r.parse("id")).transpose()?;
    let by_id = match s.id {
        Some(id) => tx.row("SELECT id FROM sensor WHERE id = $1", vals![id]).await?.is_some(),
        None => by_name.is_some(),
    };
    if let (Some(id), Some(other)) = (s.id, by_name.filter(|n| Some(*n) != s.id)) {
        return Err(ControlError::Refused(format!(
            "sensors.csv: sensor {} has the id {id}, but the register knows that name as {other}; \
             leave the id empty to keep it, or give the new sensor another name",
            s.name
        )));
    }
    let id = s.id.or(by_name).unwrap_or_else(Uuid::new_v4);
    let sql = "INSERT INTO sensor (id, name, constituent, interval_s, state) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (id) DO UPDATE SET name = excluded.name, constituent = excluded.constituent, \
               interval_s = excluded.interval_s WHERE sensor.name <> excluded.name \
               OR sensor.constituent <> excluded.constituent OR sensor.interval_s <> excluded.interval_s";
    let vals = vals![id, &s.name, &s.constituent, i64::from(s.interval_s), SensorState::Invited];
    let n = tx.execute(sql, vals).await?;
    report.count("sensor", by_id, n);
    for c in &s.serves {
        let sql = "INSERT INTO sensor_constituent (sensor, constituent) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        let new = tx.execute(sql, vals![id, c]).await? > 0;
        report.count("assignment", !new, 0);
    }
    Ok(id)
}
