// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The connection, and the insert of one segment: idempotent, synced, in raw tables and rollup alike.
//!
//! A segment's id is the deduplication token of each of its inserts, so that a replay counts once. Must never send
//! other rows under a token that was used (they would be lost silently), insert for a lane that was shut out, or report a
//! segment durable before the store has answered for all its tables.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use clickhouse::{Client, Compression};
use lagewarte_base::{
    clock::{Clock, SystemClock},
    time::Timestamp,
};

use super::{
    choose::Horizons,
    columns::{Column, Source, Table},
    fence::{FENCED, lane_of, query_id},
    rows::{Rows, Value, encode},
};

/// Name of the database.
pub const DATABASE: &str = "lagewarte";
/// How long a chunk may take to be sent, and an insert to be answered. Threat: a store that hangs a lane for ever.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
const END_TIMEOUT: Duration = Duration::from_secs(120);

/// Where the store is and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    /// `http://` or `https://`, host and port.
    pub url: String,
    /// User.
    pub user: String,
    /// Password.
    pub password: String,
    /// Database.
    pub database: String,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({} as {} to {})", self.url, self.user, self.database)
    }
}

impl Connection {
    /// As `CLICKHOUSE_URL`, with the password in it: [`Connection::parse`] reads it back.
    pub fn with_password(&self) -> String {
        let (scheme, host) = self.url.split_once("://").unwrap_or(("http", &self.url));
        let escaped = |text: &str| -> String {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            let byte = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
            text.bytes().map(byte).collect()
        };
        format!("{scheme}://{}:{}@{host}/{}", escaped(&self.user), escaped(&self.password), self.database)
    }

    /// Reads `CLICKHOUSE_URL`: `http[s]://[user[:password]@]host[:port][/database]`; user and password may be
    /// percent-encoded. Default user `default`, database `lagewarte`.
    ///
    /// # Errors
    /// Says what is wrong; never repeats the password.
    pub fn parse(url: &str) -> Result<Self, TelemetryError> {
        let wrong = |what: &str| {
            Err(TelemetryError::Url(format!("{what}; wanted: http[s]://[user[:password]@]host[:port][/database]")))
        };
        let Some((scheme, rest)) = url.split_once("://") else { return wrong("no ://") };
        if !matches!(scheme, "http" | "https") {
            return wrong("the scheme is neither http nor https");
        }
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, host) = authority.rsplit_once('@').unwrap_or(("default", authority));
        if host.is_empty() || host.contains(['?', '#', '@', ' ']) {
            return wrong("no host");
        }
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (Some(user), Some(password)) = (percent_decoded(user), percent_decoded(password)) else {
            return wrong("user or password is not percent-encoded UTF-8");
        };
        let database = database.trim_end_matches('/');
        let database = if database.is_empty() { DATABASE } else { database };
        if !database.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return wrong("the database's name has other characters than letters, digits and _");
        }
        Ok(Self { url: format!("{scheme}://{host}"), user, password, database: database.to_owned() })
    }
}

fn percent_decoded(s: &str) -> Option<String> {
    let mut out = Vec::with_capacity(s.len());
    let mut bytes = s.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let pair = [bytes.next()?, bytes.next()?];
            out.extend(hex::decode(pair).ok()?);
        } else {
            out.push(b);
        }
    }
    String::from_utf8(out).ok()
}

/// What went wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `CLICKHOUSE_URL` (or `clickhouse.url`) cannot be read.
    #[error("clickhouse.url / CLICKHOUSE_URL: {0}")]
    Url(String),
    /// The store did not answer, or refused.
    #[error("the telemetry store failed at {what}: {source}")]
    Store {
        /// What was asked.
        what: String,
        /// Its answer.
        source: clickhouse::error::Error,
    },
    /// The schema is of a newer program.
    #[error(
        "the telemetry store has schema {found}, this program knows {known}: update this program, or restore the store's backup"
    )]
    Newer {
        /// Version in the store.
        found: u32,
        /// Newest version here.
        known: u32,
    },
    /// A migration was edited after it had been applied.
    #[error("migration {0} in the store is not the one of this program: a released migration must not change")]
    Changed(u32),
    /// There are rows that a restore would replace.
    #[error("the telemetry store holds {0} rows, which a restore would replace; say --replace if that is meant")]
    Holds(u64),
    /// The segment's lane is shut out: another aggregator took it over. Its owner must stop.
    #[error("lane {lane} of ingest, lease {fence}, was taken over by another aggregator")]
    Fenced {
        /// Journal and lane.
        lane: String,
        /// The lease that was lost.
        fence: u64,
    },
    /// Statements of a lane that was shut out still run.
    #[error("{left} inserts of the lane {lane} do not end; look at system.processes, and end them")]
    Running {
        /// Journal and lane.
        lane: String,
        /// How many.
        left: u64,
    },
    /// The asker may not see this.
    #[error("{0} is not for a constituent's eyes")]
    Forbidden(&'static str),
}

impl TelemetryError {
    pub(super) fn store(what: impl Into<String>) -> impl FnOnce(clickhouse::error::Error) -> Self {
        let what = what.into();
        move |source| Self::Store { what, source }
    }
}

/// The telemetry store. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry {
    client: Client,
    database: String,
    clock: Arc<dyn Clock>,
    horizons: Arc<RwLock<Horizons>>,
    /// The nodes of a sharded store; empty where there is one node, which is this.
    nodes: Arc<[Self]>,
    /// Name under which the nodes know one another.
    cluster: Option<String>,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Telemetry({})", self.database)
    }
}

impl Telemetry {
    /// Connects lazily: nothing is sent before the first question. Call [`Telemetry::migrate`] once at start.
    pub fn new(connection: &Connection) -> Self {
        Self::with_clock(connection, Arc::new(SystemClock))
    }

    /// The same with a clock of one's own, for tests.
    pub fn with_clock(connection: &Connection, clock: Arc<dyn Clock>) -> Self {
        let client = Client::default()
            .with_url(&connection.url)
            .with_user(&connection.user)
            .with_password(&connection.password)
            .with_database(&connection.database)
            .with_compression(Compression::Lz4)
            // A failed question is an HTTP error, never half an answer with an exception at its end.
            .with_setting("wait_end_of_query", "1");
        Self {
            client,
            database: connection.database.clone(),
            clock,
            horizons: Arc::default(),
            nodes: Arc::default(),
            cluster: None,
        }
    }

    /// A store of several shards, one connection to each, whose `remote_servers` name them as `cluster`. A segment goes to
    /// the shard of its lane, which is the sensor's; questions go to the first node, whose database `…_all` asks all.
    ///
    /// # Errors
    /// [`TelemetryError::Url`] where there is no node, or where they do not name the same database.
    pub fn sharded(nodes: &[Connection], cluster: &str) -> Result<Self, TelemetryError> {
        let Some(first) = nodes.first() else {
            return Err(TelemetryError::Url("clickhouse.shards is empty".into()));
        };
        if nodes.iter().any(|n| n.database != first.database) {
            return Err(TelemetryError::Url("clickhouse.shards: every shard must name the same database".into()));
        }
        if cluster.is_empty() || !cluster.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(TelemetryError::Url(
                "clickhouse.cluster: its name has other characters than letters, digits and _".into(),
            ));
        }
        let database = super::cluster::read_database(&first.database);
        let mut reader = Self::new(&Connection { database, ..first.clone() });
        // A subquery on a distributed table means all shards, wherever it stands.
        reader.client = reader.client.with_setting("distributed_product_mode", "global");
        reader.nodes = nodes.iter().map(Self::new).collect();
        reader.cluster = Some(cluster.to_owned());
        Ok(reader)
    }

    /// The node to which the rows of a lane belong.
    pub(super) fn node_of(&self, lane: u32) -> &Self {
        let nodes = self.shards();
        nodes.get(lane as usize % nodes.len()).unwrap_or(self)
    }
    pub(super) fn cluster_name(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// Every node that holds rows: this one, or those of a sharded store.
    pub(super) fn shards(&self) -> &[Self] {
        if self.nodes.is_empty() { std::slice::from_ref(self) } else { &self.nodes }
    }
    pub(super) fn horizons(&self) -> Horizons {
        // A panic elsewhere leaves no half-changed map: it is replaced whole.
        self.horizons.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    pub(super) fn set_horizons(&self, horizons: Horizons) {
        *self.horizons.write().unwrap_or_else(PoisonError::into_inner) = horizons;
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }
    pub(super) fn database(&self) -> &str {
        &self.database
    }
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Inserts a segment and returns when it is durable: every row in its table and in the rollup, once, however often
    /// this is called with the same rows. Must be retried unchanged until it succeeds.
    ///
    /// # Errors
    /// The store's answer; some tables may then be ahead of others until the same segment is inserted again.
    pub async fn insert_segment(&self, rows: &Rows) -> Result<Timestamp, TelemetryError> {
        let node = self.node_of(rows.lane());
        for table in Table::ALL {
            for part in rows.parts().iter().filter(|p| p.table == table) {
                node.insert_part(rows.segment(), table, &part.columns, &part.bytes).await?;
            }
        }
        let now = self.now();
        let received = rows.received().unwrap_or((now, now));
        node.insert_segment_row(lane_of(rows.segment()), rows.segment(), rows.lane(), rows.len(), received).await
    }

    pub(super) async fn insert_part(
        &self,
        segment: &str,
        table: Table,
        columns: &str,
        bytes: &[u8],
    ) -> Result<(), TelemetryError> {
        let token = format!("{segment}/{}", table.name());
        self.insert_rows(lane_of(segment), table, columns, bytes, &token).await
    }

    /// Inserts rows under `token`, where the lane is not shut out: the engine itself looks, in the same statement.
    pub(super) async fn insert_rows(
        &self,
        (lane, fence): (String, u64),
        table: Table,
        columns: &str,
        bytes: &[u8],
        token: &str,
    ) -> Result<(), TelemetryError> {
        let name = table.name();
        let fail = |e: clickhouse::error::Error| match &e {
            clickhouse::error::Error::BadResponse(text) if text.contains(FENCED) => {
                TelemetryError::Fenced { lane: lane.clone(), fence }
            }
            _ => TelemetryError::Store { what: format!("insert of {token} into {name}"), source: e },
        };
        let sql = format!(
            "INSERT INTO {name} ({columns}) SELECT {columns} FROM input('{}') WHERE throwIf((SELECT count() FROM fence \
             WHERE lane = {{lane:String}} AND below > {{fence:UInt64}}) > 0, '{FENCED}') = 0 FORMAT RowBinary",
            structure(table, columns).replace('\'', "\\'")
        );
        let mut insert = self
            .client
            .insert_formatted_with(sql)
            .with_timeouts(Some(SEND_TIMEOUT), Some(END_TIMEOUT))
            .with_setting("query_id", query_id(&lane, fence))
            .with_setting("param_lane", lane.clone())
            .with_setting("param_fence", fence.to_string())
            .with_setting("insert_deduplication_token", token);
        for (key, value) in INSERT_SETTINGS {
            insert = insert.with_setting(*key, *value);
        }
        // In pieces, so that a large segment is neither copied nor compressed whole.
        for chunk in bytes.chunks(256 << 10) {
            insert.send(chunk.to_vec().into()).await.map_err(fail)?;
        }
        insert.end().await.map_err(fail)
    }

    /// The row that says that a segment is whole, written by `owner`.
    pub(super) async fn insert_segment_row(
        &self,
        owner: (String, u64),
        segment: &str,
        lane: u32,
        rows: u64,
        received: (Timestamp, Timestamp),
    ) -> Result<Timestamp, TelemetryError> {
        let durable = self.now();
        let (columns, bytes) = segment_row(segment, lane, rows, received, durable);
        let token = format!("{segment}/{}", Table::Segment.name());
        self.insert_rows(owner, Table::Segment, &columns, &bytes, &token).await?;
        Ok(durable)
    }
}

/// What every insert of rows asks of the engine.
const INSERT_SETTINGS: &[(&str, &str)] = &[
    ("insert_deduplicate", "1"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    // Asynchronous inserts are on by default in the engine; acknowledged must mean written.
    ("async_insert", "0"),
    // One segment, one block: the token then stands for the same rows at every replay.
    ("max_insert_block_size", "10000000"),
    ("min_insert_block_size_rows", "10000000"),
    ("min_insert_block_size_bytes", "1073741824"),
    ("max_insert_threads", "1"),
];

/// Names and types of the columns of an insert, as `input` wants them. A column that a journal names and this program
/// does not know any more is a text to it; the engine then says what is wrong.
fn structure(table: Table, columns: &str) -> String {
    let ty = |name: &str| table.columns().find(|c| c.name == name).map_or("String", |c| c.ty.sql());
    columns.split(", ").map(|name| format!("{name} {}", ty(name))).collect::<Vec<_>>().join(", ")
}

fn segment_row(
    segment: &str,
    lane: u32,
    rows: u64,
    (first, last): (Timestamp, Timestamp),
    durable: Timestamp,
) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut names = Vec::new();
    for column in Table::Segment.columns() {
        let column: &Column = column;
        let value = match column.source {
            Source::Lane => Value::Unsigned(u64::from(lane)),
            Source::Rows => Value::Unsigned(rows),
            Source::FirstReceived => Value::Time(first),
            Source::LastReceived => Value::Time(last),
            Source::Durable => Value::Time(durable),
            Source::Segment => Value::Text(segment.as_bytes()),
            _ => continue, // no other column stands in this table
        };
        names.push(column.name);
        encode(&mut bytes, column, &value);
    }
    (names.join(", "), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_a_server_are_read_and_the_password_is_not_shown() {
        let c = Connection::parse("https://lw:p%40ss%3aw@ch.example:8443/land_09").unwrap();
        assert_eq!((c.url.as_str(), c.user.as_str(), c.password.as_str()), ("https://ch.example:8443", "lw", "p@ss:w"));
        assert_eq!(c.database, "land_09");
        assert!(!format!("{c:?}").contains("p@ss"));
        let c = Connection::parse("http://127.0.0.1:8123").unwrap();
        assert_eq!((c.user.as_str(), c.password.as_str(), c.database.as_str()), ("default", "", "lagewarte"));
    }

    #[test]
    fn what_is_no_url_is_refused_without_repeating_it() {
        for bad in
            ["", "127.0.0.1:8123", "tcp://a", "http://", "http://u:s3cret@", "http://u:%zz@h", "http://u:s3cret@h/a;b"]
        {
            let e = Connection::parse(bad).unwrap_err().to_string();
            assert!(e.contains("wanted: http") && !e.contains("s3cret"), "{bad}: {e}");
        }
    }
}
