// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Levels of municipality, Kreis and Land, each with the reasons that led to it, and each change kept.
//!
//! Four levels as the BSI names its IT-Bedrohungslage: 1 grau, 2 gelb, 3 orange, 4 rot. Must never stand without
//! reasons, nor stand for what nobody can see: `visible` of `total` says how much of the area is seen.

use std::{collections::BTreeMap, fmt};

use lagewarte_base::id::ConstituentId;
use serde::{Deserialize, Serialize};

use super::{
    Control, ControlError, Result,
    db::{Row, Val, vals},
    words,
};

/// A level of the IT threat situation (BSI, IT-Bedrohungslage): 1 to 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub enum Level {
    /// 1, grau: nothing beyond the usual.
    Grey = 1,
    /// 2, gelb: unusual activity, watch.
    Yellow = 2,
    /// 3, orange: business-critical, act.
    Orange = 3,
    /// 4, rot: extremely critical.
    Red = 4,
}

impl Level {
    /// All, lowest first.
    pub const ALL: [Self; 4] = [Self::Grey, Self::Yellow, Self::Orange, Self::Red];
    /// 1 to 4.
    pub const fn number(self) -> i64 {
        self as i64
    }
    /// The BSI's German word.
    pub const fn german(self) -> &'static str {
        match self {
            Self::Grey => "grau",
            Self::Yellow => "gelb",
            Self::Orange => "orange",
            Self::Red => "rot",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number(), self.german())
    }
}

impl TryFrom<i64> for Level {
    type Error = String;
    fn try_from(n: i64) -> Result<Self, String> {
        Self::ALL.into_iter().find(|l| l.number() == n).ok_or_else(|| format!("{n} is no level: 1, 2, 3 or 4"))
    }
}

impl From<Level> for i64 {
    fn from(l: Level) -> i64 {
        l.number()
    }
}

impl From<Level> for Val {
    fn from(l: Level) -> Self {
        l.number().into()
    }
}

impl Row {
    pub(super) fn level(&self, column: &str) -> Result<Level> {
        Level::try_from(self.int(column)?).map_err(ControlError::Corrupt)
    }
}

words! {
    /// What a level is of.
    Area {
        /// One municipality, by AGS (8 digits).
        Municipality = "municipality",
        /// One Kreis, by the first 5 digits.
        Kreis = "kreis",
        /// The Land, by the first 2 digits.
        Land = "land",
    }
}

/// Why an area has its level: the published rule, what it found, and the sentence for the reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredReason")]
pub struct Reason {
    /// The rule of `docs/lagebild.md` (G0 to G3, R0 to R3, L0 to L3), or [`Reason::SIGHT`]; empty where an older version
    /// wrote the sentence alone.
    pub rule: String,
    /// Whose standing it is; None where the rule is about the area.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constituent: Option<ConstituentId>,
    /// What the rule looked at, by name: counts, thresholds, times (`*_us`), titles.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, Fact>,
    /// German, one sentence or two.
    pub text: String,
}

impl Reason {
    /// The rule's name of the sentence that says how much of the area is visible.
    pub const SIGHT: &'static str = "sight";

    /// About the area itself.
    pub fn new<const N: usize>(rule: &str, facts: [(&str, Fact); N], text: String) -> Self {
        let facts = facts.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect();
        Self { rule: rule.to_owned(), constituent: None, facts, text }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Something that a rule looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fact {
    /// A count, a threshold, a time in µs.
    Number(i64),
    /// A name or title.
    Text(String),
}

impl From<i64> for Fact {
    fn from(n: i64) -> Self {
        Self::Number(n)
    }
}
impl From<usize> for Fact {
    fn from(n: usize) -> Self {
        Self::Number(i64::try_from(n).unwrap_or(i64::MAX))
    }
}
impl From<u64> for Fact {
    fn from(n: u64) -> Self {
        Self::Number(i64::try_from(n).unwrap_or(i64::MAX))
    }
}
impl From<&str> for Fact {
    fn from(s: &str) -> Self {
        Self::Text(s.to_owned())
    }
}

/// How reasons stand in the database: version 0.1.0's first stores held the sentence alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredReason {
    Sentence(String),
    Full {
        rule: String,
        #[serde(default)]
        constituent: Option<ConstituentId>,
        #[serde(default)]
        facts: BTreeMap<String, Fact>,
        text: String,
    },
}

impl From<StoredReason> for Reason {
    fn from(s: StoredReason) -> Self {
        match s {
            StoredReason::Sentence(text) => Self::new("", [], text),
            StoredReason::Full { rule, constituent, facts, text } => Self { rule, constituent, facts, text },
        }
    }
}

/// The level of an area.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AreaLevel {
    /// Kind of area.
    pub area: Area,
    /// Its key, by kind.
    pub key: String,
    /// The level.
    pub level: Level,
    /// Why, the rule's own first.
    pub reasons: Vec<Reason>,
    /// How many of the area's constituents are seen.
    pub visible: i64,
    /// How many it has.
    pub total: i64,
    /// Since when the level is this one.
    pub since_us: i64,
}

/// One change of a level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LevelChange {
    /// Kind of area.
    pub area: Area,
    /// Its key.
    pub key: String,
    /// When.
    pub at_us: i64,
    /// To which level.
    pub level: Level,
    /// From which; None for the first.
    pub previous: Option<Level>,
    /// Why.
    pub reasons: Vec<Reason>,
}

impl Control {
    /// Stores levels as of `now_us`. `since_us` of the rows is ignored: it moves only where the level changes, and then
    /// the change is kept as well. Gives the changes.
    ///
    /// # Errors
    /// [`ControlError::Refused`] for a level without reasons.
    pub async fn put_levels(&self, rows: &[AreaLevel], now_us: i64) -> Result<Vec<LevelChange>> {
        if let Some(bare) = rows.iter().find(|l| l.reasons.is_empty()) {
            return Err(ControlError::Refused(format!("the level of {} {} has no reasons", bare.area, bare.key)));
        }
        let mut tx = self.pool.begin().await?;
        let mut changes = Vec::new();
        for l in rows {
            let reasons = serde_json::to_string(&l.reasons).unwrap_or_default(); // text and numbers always serialise
            let old = tx.row("SELECT level FROM level WHERE area = $1 AND key = $2", vals![l.area, &l.key]).await?;
            let previous = old.map(|r| r.level("level")).transpose()?;
            let sql = "INSERT INTO level (area, key, level, reasons, visible, total, since_us) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (area, key) DO UPDATE SET \
                       since_us = CASE WHEN level.level = excluded.level THEN level.since_us ELSE excluded.since_us END, \
                       level = excluded.level, reasons = excluded.reasons, visible = excluded.visible, \
                       total = excluded.total";
            tx.execute(sql, vals![l.area, &l.key, l.level, &reasons, l.visible, l.total, now_us]).await?;
            if previous != Some(l.level) {
                let sql = "INSERT INTO level_change (area, key, at_us, level, previous, reasons) \
                           VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (area, key, at_us) DO UPDATE SET \
                           level = excluded.level, reasons = excluded.reasons";
                let was = previous.map(Level::number);
                tx.execute(sql, vals![l.area, &l.key, now_us, l.level, was, &reasons]).await?;
                changes.push(LevelChange {
                    area: l.area,
                    key: l.key.clone(),
                    at_us: now_us,
                    level: l.level,
                    previous,
                    reasons: l.reasons.clone(),
                });
            }
        }
        tx.commit().await?;
        Ok(changes)
    }

    /// All levels, Land first, then Kreise, then municipalities, by key. They are of areas, not of constituents' data:
    /// every reader of the Lagebild sees all of them.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn levels(&self) -> Result<Vec<AreaLevel>> {
        let sql = "SELECT area, key, level, reasons, visible, total, since_us FROM level ORDER BY length(key), key";
        let level = |r: &Row| {
            Ok(AreaLevel {
                area: r.parse("area")?,
                key: r.text("key")?,
                level: r.level("level")?,
                reasons: r.json("reasons")?,
                visible: r.int("visible")?,
                total: r.int("total")?,
                since_us: r.int("since_us")?,
            })
        };
        self.pool.rows(sql, vec![]).await?.iter().map(level).collect()
    }

    /// Changes of levels since a moment, newest first, at most `limit`.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn level_changes(&self, since_us: i64, limit: u32) -> Result<Vec<LevelChange>> {
        let sql = "SELECT area, key, at_us, level, previous, reasons FROM level_change WHERE at_us >= $1 \
                   ORDER BY at_us DESC, length(key), key LIMIT $2";
        let change = |r: &Row| {
            Ok(LevelChange {
                area: r.parse("area")?,
                key: r.text("key")?,
                at_us: r.int("at_us")?,
                level: r.level("level")?,
                previous: r.opt_int("previous")?.map(Level::try_from).transpose().map_err(ControlError::Corrupt)?,
                reasons: r.json("reasons")?,
            })
        };
        self.pool.rows(sql, vals![since_us, i64::from(limit)]).await?.iter().map(change).collect()
    }
}
