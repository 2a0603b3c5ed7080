// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Audit: who did what, when. Rows are only ever added. Must never hold a secret.

use uuid::Uuid;

use super::{
    Control, Result,
    db::{Tx, vals},
};

/// Longest `who` and `what` kept. Threat: text from outside (a name in a form) growing the table without bound.
pub const MAX_TEXT: usize = 1000;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Entry {
    /// When.
    pub at_us: i64,
    /// A person's name, `policy:NAME`, `sensor:UUID`, or the aggregator's part that acted.
    pub who: String,
    /// What, in a sentence.
    pub what: String,
}

const INSERT: &str = "INSERT INTO audit (id, at_us, who, what) VALUES ($1, $2, $3, $4)";

pub(super) async fn note(tx: &mut Tx, at_us: i64, who: &str, what: &str) -> Result<()> {
    tx.execute(INSERT, vals![Uuid::new_v4(), at_us, cut(who), cut(what)]).await.map(|_| ())
}

fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect()
}

impl Control {
    /// Adds an entry; overlong texts are cut at [`MAX_TEXT`].
    ///
    /// # Errors
    /// Where the database does not take it.
    pub async fn note(&self, at_us: i64, who: &str, what: &str) -> Result<()> {
        self.pool.execute(INSERT, vals![Uuid::new_v4(), at_us, cut(who), cut(what)]).await.map(|_| ())
    }

    /// The newest entries first, at most `limit`.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn audit(&self, limit: u32) -> Result<Vec<Entry>> {
        let sql = "SELECT at_us, who, what FROM audit ORDER BY at_us DESC, id LIMIT $1";
        let rows = self.pool.rows(sql, vals![i64::from(limit)]).await?;
        rows.iter().map(|r| Ok(Entry { at_us: r.int("at_us")?, who: r.text("who")?, what: r.text("what")? })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::testing::{Db, each_db};

    #[tokio::test(flavor = "multi_thread")]
    async fn entries_come_newest_first_and_are_cut() {
        each_db(async |db: Db| {
            let c = db.control().await;
            c.note(1, "a", "first").await.unwrap();
            c.note(2, "b\r\n", &"x".repeat(MAX_TEXT + 1)).await.unwrap();
            let all = c.audit(10).await.unwrap();
            assert_eq!(all.iter().map(|e| (e.at_us, e.who.as_str())).collect::<Vec<_>>(), [(2, "b  "), (1, "a")]);
            assert_eq!(all[0].what.len(), MAX_TEXT);
            assert_eq!(c.audit(1).await.unwrap().len(), 1);
        })
        .await;
    }
}
