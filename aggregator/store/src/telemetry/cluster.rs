// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A store of several shards: the same tables on each, and a second database that asks all of them.
//!
//! Every shard has the database of a single node, made by the same migrations. Beside it stands `…_all`, with one
//! Distributed table for each, so that every question's text stays as it is: only the database differs. Nothing is
//! inserted through a Distributed table: a segment goes to its sensor's shard, and is deduplicated there. The DDL for
//! replicated shards follows from the same table of columns. Must never hold a text that a single node does not know.

use std::fmt::Write as _;

use super::{
    columns::{DEDUP_WINDOW, Table, create_table},
    migrate::{OWN, own_tables, versions},
    rollup::Rollup,
};

/// Seconds that a replicated table remembers an insert. The server's default of an hour would be over after a night
/// in which a journal waited.
const DEDUP_SECONDS: u32 = 30 * 86_400;

/// The database whose tables ask all shards.
pub fn read_database(database: &str) -> String {
    format!("{database}_all")
}

/// What makes the database that asks all shards, on each node. Can be repeated, also after the tables have changed.
pub fn distributed(database: &str, cluster: &str) -> Vec<String> {
    let all = read_database(database);
    let tables = Table::ALL.iter().map(|t| t.name().to_owned()).chain(Rollup::all().map(Rollup::name));
    let tables = tables.chain(OWN.iter().map(|t| (*t).to_owned()));
    let one = |t: String| {
        format!(
            "CREATE OR REPLACE TABLE {all}.{t} AS {database}.{t} ENGINE = Distributed('{cluster}', '{database}', '{t}')"
        )
    };
    std::iter::once(format!("CREATE DATABASE IF NOT EXISTS {all}")).chain(tables.map(one)).collect()
}

/// The whole DDL of a cluster, for an administrator to read and run once: `ON CLUSTER`, replicated where wanted. With
/// `replicated`, each replica's macros give `{shard}` and `{replica}`.
pub fn ddl(database: &str, cluster: &str, replicated: bool) -> Vec<String> {
    let mut out = vec![format!("CREATE DATABASE IF NOT EXISTS {database} ON CLUSTER {cluster}")];
    let tables = own_tables()
        .into_iter()
        .chain(Table::ALL.into_iter().map(create_table))
        .chain(Rollup::all().map(Rollup::create_table));
    out.extend(tables.map(|sql| on_cluster(&sql, database, cluster, replicated)));
    out.extend(Rollup::all().map(|r| {
        let from = format!("\nFROM {} ", r.source.name());
        r.create_view()
            .replacen(
                &format!("{} TO {} AS", r.view(), r.name()),
                &format!("{database}.{} ON CLUSTER {cluster} TO {database}.{} AS", r.view(), r.name()),
                1,
            )
            .replacen(&from, &format!("\nFROM {database}.{} ", r.source.name()), 1)
    }));
    let all = read_database(database);
    for statement in distributed(database, cluster) {
        let named = statement.replacen(&format!("{all} "), &format!("{all} ON CLUSTER {cluster} "), 1);
        let named = named.replacen(" AS ", &format!(" ON CLUSTER {cluster} AS "), 1);
        out.push(if named.starts_with("CREATE DATABASE") {
            format!("{statement} ON CLUSTER {cluster}")
        } else {
            named
        });
    }
    // On one replica of each shard: the table is replicated. Then the aggregator finds nothing left to do.
    for (version, sha256) in versions() {
        out.push(format!("INSERT INTO {database}.schema_version VALUES ({version}, '{sha256}', now64(6))"));
    }
    out
}

/// `remote_servers` and macros of a cluster, as an example to fill in.
pub fn configuration(cluster: &str, shards: usize) -> String {
    let mut xml = format!("<clickhouse>\n  <remote_servers>\n    <{cluster}>\n      <secret>SECRET</secret>\n");
    for n in 1..=shards {
        // Writing to a String cannot fail.
        let _ = writeln!(
            xml,
            "      <shard><internal_replication>true</internal_replication>\
             <replica><host>SHARD-{n}</host><port>9440</port><secure>1</secure></replica></shard>"
        );
    }
    let _ = write!(
        xml,
        "    </{cluster}>\n  </remote_servers>\n  <!-- of its own on each node -->\n  \
         <macros><shard>1</shard><replica>NODE</replica></macros>\n</clickhouse>"
    );
    xml
}

fn on_cluster(create: &str, database: &str, cluster: &str, replicated: bool) -> String {
    const HEAD: &str = "CREATE TABLE IF NOT EXISTS ";
    let rest = create.strip_prefix(HEAD).unwrap_or(create);
    let name = rest.split(' ').next().unwrap_or_default();
    let sql = create.replacen(&format!("{HEAD}{name}"), &format!("{HEAD}{database}.{name} ON CLUSTER {cluster}"), 1);
    if !replicated {
        return sql;
    }
    let path = format!("('/clickhouse/tables/{{shard}}/{database}/{name}', '{{replica}}')");
    let window = format!("non_replicated_deduplication_window = {DEDUP_WINDOW}");
    let replicated_window = format!(
        "replicated_deduplication_window = {DEDUP_WINDOW}, replicated_deduplication_window_seconds = {DEDUP_SECONDS}"
    );
    let engine = |sql: String, name: &str| {
        sql.replacen(&format!("ENGINE = {name}"), &format!("ENGINE = Replicated{name}{path}"), 1)
    };
    let sql = engine(sql, "MergeTree");
    engine(sql, "AggregatingMergeTree").replacen(&window, &replicated_window, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicated_ddl_names_every_table_once_and_leaves_nothing_of_a_single_node() {
        let all = ddl("lagewarte", "land", true);
        let tables: Vec<_> = all.iter().filter(|s| s.starts_with("CREATE TABLE IF NOT EXISTS")).collect();
        // Nine rollups; beside them schema_version, rebuild, eviction and fence.
        assert_eq!(tables.len(), Table::ALL.len() + 9 + 4);
        for sql in tables {
            assert!(sql.contains(" ON CLUSTER land"), "{sql}");
            assert_eq!(sql.matches("ENGINE = Replicated").count(), 1, "{sql}");
            assert!(sql.contains("'/clickhouse/tables/{shard}/lagewarte/") && sql.contains("'{replica}'"), "{sql}");
            assert!(!sql.contains("non_replicated"), "{sql}");
        }
        let views = all.iter().filter(|s| s.starts_with("CREATE MATERIALIZED VIEW"));
        assert!(views.clone().all(|v| v.contains(" ON CLUSTER land TO lagewarte.") && v.contains("\nFROM lagewarte.")));
        assert_eq!(views.count(), 9);
        let distributed: Vec<_> = all.iter().filter(|s| s.contains("Distributed(")).collect();
        assert_eq!(distributed.len(), Table::ALL.len() + 9 + 3);
        assert!(distributed.iter().all(|s| s.contains(" ON CLUSTER land AS ")), "{distributed:?}");
        assert!(!ddl("lagewarte", "land", false).iter().any(|s| s.contains("Replicated")));
    }
}
