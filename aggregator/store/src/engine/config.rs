// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The engine's two configuration files and the seed of its system database.
//!
//! Least privilege: `ingest` writes the database `lagewarte` and nothing else, `grafana` reads it and changes nothing.
//! The engine's own `default` user has no password and cannot have one in this mode, so no HTTP rule leads to it:
//! a request must name `ingest` or `grafana` to reach a handler. Loopback only. Must never be edited by hand: written at
//! every start.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use sha2::{Digest, Sha256};

use super::{Passwords, Peers};
use crate::telemetry::DATABASE;

/// The `system` database would lose its tables' names at a restart, and with them the query log, were it not on disk.
const SYSTEM_SQL: &str = "ATTACH DATABASE _ UUID '6c1d3a52-8f0e-4b6c-9a41-2f70d2f3c0a1' ENGINE = Atomic\n";
/// Days that the engine keeps its own logs.
const LOG_DAYS: u32 = 7;

/// Writes everything that the engine reads at its start. `port` 0 lets the system choose.
pub(super) fn write(dir: &Path, port: u16, passwords: &Passwords, peers: Option<&Peers>) -> io::Result<()> {
    for sub in ["data/metadata", "data/tmp", "data/user_files", "data/format_schemas", "backups"] {
        fs::create_dir_all(dir.join(sub))?;
    }
    let system = dir.join("data/metadata/system.sql");
    if !system.exists() {
        private(&system, SYSTEM_SQL)?;
    }
    let dir_text = xml(&dir.to_string_lossy());
    private(&dir.join("config.xml"), &config(&dir_text, port, peers))?;
    private(&dir.join("users.xml"), &users(passwords))?;
    credentials(dir, None, passwords)
}

/// For the operator, for Grafana's provisioning and for commands beside the aggregator: good until the next start, where
/// the engine does not keep them. The URL is there once the engine answers.
pub(super) fn credentials(dir: &Path, port: Option<u16>, passwords: &Passwords) -> io::Result<()> {
    let url = port.map(|p| format!("\"url\":\"http://127.0.0.1:{p}\",")).unwrap_or_default();
    let (ingest, grafana) = (&passwords.ingest, &passwords.grafana);
    private(&dir.join("credentials.json"), &format!("{{{url}\"ingest\":\"{ingest}\",\"grafana\":\"{grafana}\"}}\n"))
}

/// Writes a file that only its owner may read, replacing an older one in one step.
fn private(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn xml(s: &str) -> String {
    s.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn config(dir: &str, port: u16, peers: Option<&Peers>) -> String {
    let log = |name: &str| {
        format!(
            "<{name}><database>system</database><table>{name}</table><ttl>event_date + INTERVAL {LOG_DAYS} DAY</ttl>\
             <partition_by>event_date</partition_by><flush_interval_milliseconds>7500</flush_interval_milliseconds></{name}>"
        )
    };
    format!(
        "<clickhouse>
<path>{dir}/data/</path>
<tmp_path>{dir}/data/tmp/</tmp_path>
<user_files_path>{dir}/data/user_files/</user_files_path>
<format_schema_path>{dir}/data/format_schemas/</format_schema_path>
<users_config>{dir}/users.xml</users_config>
<listen_host>127.0.0.1</listen_host>
<http_port>{port}</http_port>
<keep_alive_timeout>3</keep_alive_timeout>
<max_server_memory_usage_to_ram_ratio>0.5</max_server_memory_usage_to_ram_ratio>
<mark_cache_size>268435456</mark_cache_size>
<max_concurrent_queries>100</max_concurrent_queries>
<backups><allowed_path>{dir}/backups/</allowed_path></backups>
{}
{}
{}
<http_handlers>
<rule><url>/ping</url><methods>GET</methods><handler><type>ping</type></handler></rule>
<rule><headers><X-ClickHouse-User><![CDATA[regex:(ingest|grafana)]]></X-ClickHouse-User></headers><handler><type>dynamic_query_handler</type><query_param_name>query</query_param_name></handler></rule>
<rule><headers><Authorization><![CDATA[regex:Basic Z3JhZmFuYT[op].*]]></Authorization></headers><handler><type>dynamic_query_handler</type><query_param_name>query</query_param_name></handler></rule>
</http_handlers>
</clickhouse>
",
        log("query_log"),
        log("part_log"),
        peers.map(cluster).unwrap_or_default(),
    )
}

/// The other engines of a sharded store, and the port on which they ask this one.
fn cluster(peers: &Peers) -> String {
    let shard = |port: &u16| {
        format!(
            "<shard><internal_replication>true</internal_replication><replica><host>127.0.0.1</host><port>{port}</port></replica></shard>"
        )
    };
    format!(
        "<tcp_port>{}</tcp_port><remote_servers><{name}><secret>{}</secret>{}</{name}></remote_servers>",
        peers.tcp_port,
        xml(&peers.secret),
        peers.shards.iter().map(shard).collect::<String>(),
        name = xml(&peers.cluster),
    )
}

fn users(p: &Passwords) -> String {
    let hash = |password: &str| hex::encode(Sha256::digest(password));
    let user = |name: &str, password: &str, profile: &str, grants: &[String]| {
        let grants: String = grants.iter().map(|g| format!("<query>{g}</query>")).collect();
        format!(
            "<{name}><password_sha256_hex>{}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks>\
             <profile>{profile}</profile><quota>default</quota><grants>{grants}</grants></{name}>",
            hash(password)
        )
    };
    let all = crate::telemetry::cluster::read_database(DATABASE);
    let ingest = user(
        "ingest",
        &p.ingest,
        "ingest",
        &[
            format!(
                "GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, ALTER, TRUNCATE, OPTIMIZE, INSERT, SELECT, SHOW, BACKUP ON {DATABASE}.*"
            ),
            // The distributed tables of a sharded store.
            format!("GRANT CREATE DATABASE, CREATE TABLE, DROP TABLE, INSERT, SELECT, SHOW ON {all}.*"),
            "GRANT TABLE ENGINE ON Distributed".into(),
            "GRANT TABLE ENGINE ON MergeTree".into(),
            "GRANT TABLE ENGINE ON SummingMergeTree".into(),
            "GRANT TABLE ENGINE ON AggregatingMergeTree".into(),
            "GRANT SELECT ON system.parts".into(),
            "GRANT SELECT ON system.disks".into(),
            "GRANT SELECT ON system.columns".into(),
            "GRANT SELECT ON system.tables".into(),
            "GRANT SELECT ON system.events".into(),
            // To end the inserts of a lane that is taken over; its own statements only.
            "GRANT SELECT ON system.processes".into(),
            "GRANT SELECT ON system.metrics".into(),
            "GRANT SELECT ON system.query_log".into(),
        ],
    );
    let grafana = user(
        "grafana",
        &p.grafana,
        "grafana",
        &[format!("GRANT SELECT, SHOW ON {DATABASE}.*"), format!("GRANT SELECT, SHOW ON {all}.*")],
    );
    format!(
        "<clickhouse>
<profiles>
<default><async_insert>0</async_insert></default>
<ingest><async_insert>0</async_insert><distributed_foreground_insert>1</distributed_foreground_insert></ingest>
<grafana>
<readonly>2</readonly><allow_ddl>0</allow_ddl><max_execution_time>30</max_execution_time>
<max_memory_usage>1000000000</max_memory_usage><max_result_rows>1000000</max_result_rows><max_threads>2</max_threads>
<constraints>
<readonly><const/></readonly><allow_ddl><const/></allow_ddl><max_memory_usage><max>1000000000</max></max_memory_usage>
<max_execution_time><min>1</min><max>60</max></max_execution_time><max_threads><max>2</max></max_threads>
<max_result_rows><min>1</min><max>1000000</max></max_result_rows>
</constraints>
</grafana>
</profiles>
<quotas><default/></quotas>
<users>
<default><no_password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default>
{ingest}
{grafana}
</users>
</clickhouse>
"
    )
}
