// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The one table of columns: DDL, extraction from envelope and EVE JSON, and `docs/columns.md` follow from it.
//!
//! A new column is one line here and one migration; old events can be backfilled from `eve`. Must never hold SQL that
//! differs between the embedded engine and a server. Field names and meaning: Suricata user guide, "EVE JSON Output".

use std::fmt::Write as _;

use Source as S;
use Table as T;
use Type::{Bool, I64, Id, Ip, Name, NameLists, Text, Time, U8, U16, U32, U64};

/// A table that takes rows. What materialized views fill is in [`super::rollup`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// `event_type` alert.
    Alert = 1,
    /// `event_type` flow and netflow.
    Flow = 2,
    /// Anomalies, protocol transactions, files.
    Record = 3,
    /// `event_type` stats: what a sensor says of itself.
    Health = 4,
    /// Events that could not be taken, with the reason.
    Quarantine = 5,
    /// Sequence numbers that will never arrive, with the reason.
    Gap = 6,
    /// Completed inserts; written last, so that a segment without a row here has to be replayed.
    Segment = 7,
}

impl Table {
    /// Every table, in the order in which a segment is inserted.
    pub const ALL: [Self; 7] =
        [Self::Alert, Self::Flow, Self::Record, Self::Health, Self::Quarantine, Self::Gap, Self::Segment];

    /// The table's name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Flow => "flow",
            Self::Record => "record",
            Self::Health => "health",
            Self::Quarantine => "quarantine",
            Self::Gap => "gap",
            Self::Segment => "segment",
        }
    }

    /// The table with this number, as journals hold it.
    pub fn from_number(n: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|t| *t as u8 == n)
    }

    /// Sorting key. Events lie by owner and event time, since that is how they are asked for.
    pub const fn order_by(self) -> &'static str {
        match self {
            Self::Segment => "(durable_us, segment)",
            Self::Gap => "(sensor, epoch, nonce, from_seq)",
            Self::Quarantine => "(sensor, epoch, nonce, seq)",
            Self::Health => "(sensor, event_us, seq)",
            Self::Alert | Self::Flow | Self::Record => "(constituent, event_us, sensor, seq)",
        }
    }

    /// Days that rows are kept after receipt: by purpose, whole partitions are dropped. `docs/columns.md` publishes it.
    pub const fn days(self) -> u32 {
        match self {
            Self::Alert => 180,
            Self::Flow => 14,
            Self::Record | Self::Health | Self::Quarantine => 30,
            Self::Gap | Self::Segment => 180,
        }
    }

    /// What partitions and expiry go by: the time of receipt, never the event's own.
    pub const fn clock(self) -> &'static str {
        match self {
            Self::Segment => "durable_us",
            _ => "received_us",
        }
    }

    /// Skip indexes: addresses and ids are looked up across all owners, which the sorting key cannot serve.
    pub const fn indexes(self) -> &'static [(&'static str, &'static str)] {
        const RECEIVED: (&str, &str) = ("received_us", "minmax");
        const SEGMENT: (&str, &str) = ("segment", "bloom_filter(0.01)");
        const SRC: (&str, &str) = ("src_ip", "bloom_filter(0.01)");
        const DEST: (&str, &str) = ("dest_ip", "bloom_filter(0.01)");
        const COMMUNITY: (&str, &str) = ("community_id", "bloom_filter(0.01)");
        // Partitions go by receipt: without this a day of events is looked for in every one of them.
        const EVENT: (&str, &str) = ("event_us", "minmax");
        // What is stored of a sensor is asked at its every new epoch.
        const SENSOR: (&str, &str) = ("sensor", "bloom_filter(0.01)");
        match self {
            Self::Alert => &[
                RECEIVED,
                SEGMENT,
                SRC,
                DEST,
                COMMUNITY,
                ("external_ip", "bloom_filter(0.01)"),
                ("signature_id", "bloom_filter(0.01)"),
                EVENT,
                SENSOR,
            ],
            Self::Flow | Self::Record => &[RECEIVED, SEGMENT, SRC, DEST, COMMUNITY, EVENT, SENSOR],
            Self::Health => &[RECEIVED, SEGMENT],
            Self::Quarantine | Self::Gap | Self::Segment => &[],
        }
    }

    /// The table's columns, in the order of the DDL and of every insert.
    pub fn columns(self) -> impl Iterator<Item = &'static Column> {
        COLUMNS.iter().filter(move |c| c.tables.contains(&self))
    }
}

/// A column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// UUID.
    Id,
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 64 bits.
    I64,
    /// True or false.
    Bool,
    /// Microseconds, UTC.
    Time,
    /// Text of many values.
    Text,
    /// Text of few values (dictionary-encoded).
    Name,
    /// IPv6; IPv4 as mapped address; `::` where there is none.
    Ip,
    /// Names with lists of values, as `alert.metadata`.
    NameLists,
}

impl Type {
    /// The type in ClickHouse.
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Id => "UUID",
            Self::U8 => "UInt8",
            Self::U16 => "UInt16",
            Self::U32 => "UInt32",
            Self::U64 => "UInt64",
            Self::I64 => "Int64",
            Self::Bool => "Bool",
            Self::Time => "DateTime64(6, 'UTC')",
            Self::Text => "String",
            Self::Name => "LowCardinality(String)",
            Self::Ip => "IPv6",
            Self::NameLists => "Map(LowCardinality(String), Array(String))",
        }
    }

    const fn codec(self) -> &'static str {
        match self {
            Self::Time => " CODEC(Delta(8), ZSTD(1))",
            Self::Text | Self::NameLists => " CODEC(ZSTD(1))",
            _ => "",
        }
    }
}

/// Where a column's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is a field of the envelope, of the register or of the segment, under its own name"
)]
pub enum Source {
    Sensor,
    Epoch,
    Nonce,
    Seq,
    Constituent,
    Ags,
    Kreis,
    Class,
    EventType,
    EventTime,
    Observed,
    Spooled,
    Sent,
    Received,
    Ruleset,
    Profile,
    /// Whether the event was old when it came.
    Late,
    /// The address of the side that is not the constituent's.
    External,
    /// Which side is the constituent's.
    Inner,
    /// The EVE JSON as it came.
    Raw,
    /// A member of the EVE JSON by its path; absent is the type's zero.
    Json(&'static [&'static str]),
    /// The same, and an event without it is poisoned.
    Required(&'static [&'static str]),
    Segment,
    Reason,
    Detail,
    ToSeq,
    Lane,
    Rows,
    FirstReceived,
    LastReceived,
    Durable,
}

/// One column.
#[derive(Debug)]
pub struct Column {
    /// Name in the database.
    pub name: &'static str,
    /// Type.
    pub ty: Type,
    /// Where its value comes from.
    pub source: Source,
    /// The tables that have it.
    pub tables: &'static [Table],
    /// What it says, with its unit; the comment in the database and the documentation.
    pub doc: &'static str,
}

const EVENTS: &[T] = &[T::Alert, T::Flow, T::Record, T::Health];
const NAMED: &[T] = &[T::Alert, T::Flow, T::Record, T::Health, T::Quarantine];
const TRAFFIC: &[T] = &[T::Alert, T::Flow, T::Record];
const BY_SENSOR: &[T] = &[T::Alert, T::Flow, T::Record, T::Health, T::Quarantine, T::Gap];
const ALERT: &[T] = &[T::Alert];
const FLOW: &[T] = &[T::Flow];
const RECORD: &[T] = &[T::Record];
const HEALTH: &[T] = &[T::Health];

const fn col(name: &'static str, ty: Type, source: Source, tables: &'static [Table], doc: &'static str) -> Column {
    Column { name, ty, source, tables, doc }
}

/// Every column of every table.
pub const COLUMNS: &[Column] = &[
    col("sensor", Id, S::Sensor, BY_SENSOR, "Sensor, from its certificate."),
    col("epoch", U64, S::Epoch, BY_SENSOR, "Life of the sensor's spool; with nonce, sensor and seq the event's id."),
    col("nonce", U64, S::Nonce, BY_SENSOR, "Random bits of that life."),
    col("seq", U64, S::Seq, NAMED, "Position in the epoch, from 1."),
    col(
        "constituent",
        Name,
        S::Constituent,
        NAMED,
        "Owner of the event, as the sensor's signed assignment has it; in quarantine as claimed.",
    ),
    col("ags", Name, S::Ags, EVENTS, "The owner's AGS at the time of receipt; empty where it has none."),
    col("kreis", Name, S::Kreis, EVENTS, "First five digits of the AGS."),
    col(
        "class",
        Name,
        S::Class,
        NAMED,
        "What release profiles and quotas decide by: alert, health, flow, anomaly, protocol, file.",
    ),
    col("event_type", Name, S::EventType, NAMED, "EVE event_type."),
    col("event_us", Time, S::EventTime, NAMED, "Event time: the packet's timestamp."),
    col("observed_us", Time, S::Observed, EVENTS, "Sensor's clock when the packet was read."),
    col("spooled_us", Time, S::Spooled, EVENTS, "Sensor's clock when the record was handed to the spool."),
    col("sent_us", Time, S::Sent, EVENTS, "Sensor's clock when the batch was sent."),
    col("received_us", Time, S::Received, BY_SENSOR, "Aggregator's clock at receipt; partitions and expiry go by it."),
    col("ruleset", Name, S::Ruleset, EVENTS, "SHA-256 of the active rule set, hex; empty where no rules run."),
    col("profile", Name, S::Profile, EVENTS, "Release profile under which the event left, name@version."),
    col("late", Bool, S::Late, EVENTS, "Older than 15 minutes when it came: completes the picture, never triggers."),
    col("src_ip", Ip, S::Json(&["src_ip"]), TRAFFIC, "Source address; a pseudonym where the profile says so."),
    col("dest_ip", Ip, S::Json(&["dest_ip"]), TRAFFIC, "Destination address; a pseudonym where the profile says so."),
    col("src_port", U16, S::Json(&["src_port"]), TRAFFIC, "Source port; 0 where the protocol has none."),
    col("dest_port", U16, S::Json(&["dest_port"]), TRAFFIC, "Destination port; 0 where the protocol has none."),
    col("proto", Name, S::Json(&["proto"]), TRAFFIC, "Transport protocol as EVE names it."),
    col("inner", Name, S::Inner, TRAFFIC, "Which side is the constituent's: src, dest, both or none."),
    col("external_ip", Ip, S::External, TRAFFIC, "The address that is not the constituent's; :: where there is none."),
    col("flow_id", U64, S::Json(&["flow_id"]), TRAFFIC, "Joins the events of one flow at one sensor."),
    col(
        "community_id",
        Text,
        S::Json(&["community_id"]),
        TRAFFIC,
        "Community ID v1 over the addresses as they stand here.",
    ),
    col("app_proto", Name, S::Json(&["app_proto"]), TRAFFIC, "Application protocol as EVE names it."),
    col(
        "pseudonym_key",
        Name,
        S::Json(&["lagewarte", "key"]),
        TRAFFIC,
        "Id of the key behind the pseudonyms; empty where addresses are clear.",
    ),
    col("signature_id", U32, S::Required(&["alert", "signature_id"]), ALERT, "sid of the rule."),
    col("gid", U32, S::Json(&["alert", "gid"]), ALERT, "Generator id of the rule."),
    col("rev", U32, S::Json(&["alert", "rev"]), ALERT, "Revision of the rule."),
    col("signature", Name, S::Required(&["alert", "signature"]), ALERT, "Message of the rule."),
    col("category", Name, S::Json(&["alert", "category"]), ALERT, "Class of the rule, in words."),
    col(
        "severity",
        U8,
        S::Json(&["alert", "severity"]),
        ALERT,
        "Priority of the rule: 1 is the highest; 0 where it has none.",
    ),
    col("action", Name, S::Json(&["alert", "action"]), ALERT, "allowed or blocked."),
    col("direction", Name, S::Json(&["direction"]), ALERT, "to_server or to_client: the packet that fired."),
    col("metadata", NameLists, S::Json(&["alert", "metadata"]), ALERT, "Metadata of the rule."),
    col("state", Name, S::Json(&["flow", "state"]), FLOW, "State of the flow at its end: new, established, closed."),
    col("end_reason", Name, S::Json(&["flow", "reason"]), FLOW, "Why the flow ended: timeout, forced, shutdown."),
    col("pkts_toserver", U64, S::Json(&["flow", "pkts_toserver"]), FLOW, "Packets to the server."),
    col("pkts_toclient", U64, S::Json(&["flow", "pkts_toclient"]), FLOW, "Packets to the client."),
    col("bytes_toserver", U64, S::Json(&["flow", "bytes_toserver"]), FLOW, "Bytes to the server."),
    col("bytes_toclient", U64, S::Json(&["flow", "bytes_toclient"]), FLOW, "Bytes to the client."),
    col("age_s", U64, S::Json(&["flow", "age"]), FLOW, "Duration of the flow, seconds."),
    col("alerted", Bool, S::Json(&["flow", "alerted"]), FLOW, "Whether a rule fired in the flow."),
    col("anomaly_type", Name, S::Json(&["anomaly", "type"]), RECORD, "decode, stream or applayer."),
    col("anomaly_event", Name, S::Json(&["anomaly", "event"]), RECORD, "Name of the anomaly."),
    col("http_hostname", Text, S::Json(&["http", "hostname"]), RECORD, "Host of an HTTP request."),
    col("tls_sni", Text, S::Json(&["tls", "sni"]), RECORD, "Server name of a TLS hello."),
    col("version", Name, S::Json(&["stats", "lagewarte", "version"]), HEALTH, "Software version of the sensor."),
    col("interval_s", U32, S::Json(&["stats", "lagewarte", "interval_s"]), HEALTH, "Seconds between two reports."),
    col("uptime_s", U64, S::Json(&["stats", "uptime"]), HEALTH, "Seconds since the sensor's start."),
    col(
        "kernel_packets",
        U64,
        S::Json(&["stats", "capture", "kernel_packets"]),
        HEALTH,
        "Packets that the kernel handed over since the start.",
    ),
    col(
        "kernel_drops",
        U64,
        S::Json(&["stats", "capture", "kernel_drops"]),
        HEALTH,
        "Packets that the kernel dropped since the start.",
    ),
    col("decoder_pkts", U64, S::Json(&["stats", "decoder", "pkts"]), HEALTH, "Packets decoded since the start."),
    col("decoder_bytes", U64, S::Json(&["stats", "decoder", "bytes"]), HEALTH, "Bytes decoded since the start."),
    col("rules_loaded", U64, S::Json(&["stats", "lagewarte", "rules_loaded"]), HEALTH, "Rules in force."),
    col(
        "rules_refused",
        U64,
        S::Json(&["stats", "lagewarte", "rules_refused"]),
        HEALTH,
        "Rules refused at the last load.",
    ),
    col(
        "spool_state",
        Name,
        S::Json(&["stats", "lagewarte", "spool", "state"]),
        HEALTH,
        "normal, warning, full or recovering.",
    ),
    col(
        "spool_records",
        U64,
        S::Json(&["stats", "lagewarte", "spool", "records"]),
        HEALTH,
        "Records waiting in the spool.",
    ),
    col("spool_bytes", U64, S::Json(&["stats", "lagewarte", "spool", "bytes"]), HEALTH, "Bytes waiting in the spool."),
    col(
        "lag_us",
        I64,
        S::Json(&["stats", "lagewarte", "lag_us"]),
        HEALTH,
        "How far the sensor is behind its line, microseconds.",
    ),
    col(
        "reason",
        Name,
        S::Reason,
        &[T::Quarantine, T::Gap],
        "Why it was not taken, or will not come; a bounded set of words.",
    ),
    col("detail", Text, S::Detail, &[T::Quarantine], "What exactly was wrong."),
    col("from_seq", U64, S::Seq, &[T::Gap], "First missing sequence number."),
    col("to_seq", U64, S::ToSeq, &[T::Gap], "Last missing sequence number."),
    col("lane", U32, S::Lane, &[T::Segment], "Ingest lane that wrote the segment."),
    col("rows", U64, S::Rows, &[T::Segment], "Rows of the segment over all tables."),
    col("first_received_us", Time, S::FirstReceived, &[T::Segment], "Earliest receipt in the segment."),
    col("last_received_us", Time, S::LastReceived, &[T::Segment], "Latest receipt in the segment."),
    col(
        "durable_us",
        Time,
        S::Durable,
        &[T::Segment],
        "Aggregator's clock when the store had answered for every table.",
    ),
    col("eve", Text, S::Raw, NAMED, "The event as it came: one EVE JSON object."),
    col(
        "segment",
        Text,
        S::Segment,
        &[T::Alert, T::Flow, T::Record, T::Health, T::Quarantine, T::Gap, T::Segment],
        "Insert that brought the row.",
    ),
];

/// Inserts that a table remembers to recognise a repeated one. A lane replays only its last segments; this covers
/// every lane of several aggregators many times over.
pub const DEDUP_WINDOW: u32 = 10_000;

/// Settings that make an acknowledged insert survive a power cut and a repeated one count once.
pub fn table_settings() -> String {
    format!(
        "ttl_only_drop_parts = 1, non_replicated_deduplication_window = {DEDUP_WINDOW}, fsync_after_insert = 1, \
         fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1"
    )
}

/// The `CREATE TABLE` of a table, as the columns have it now. Migrations must arrive at the same (held by a test).
pub fn create_table(table: Table) -> String {
    let mut sql = format!("CREATE TABLE IF NOT EXISTS {} (\n", table.name());
    for c in table.columns() {
        // Writing to a String cannot fail.
        let _ = writeln!(sql, "    {} {} COMMENT '{}'{},", c.name, c.ty.sql(), c.doc.replace('\'', "''"), c.ty.codec());
    }
    for (column, kind) in table.indexes() {
        let _ = writeln!(sql, "    INDEX {column}_skip {column} TYPE {kind} GRANULARITY 1,");
    }
    sql.truncate(sql.trim_end_matches(",\n").len());
    let clock = table.clock();
    let _ = write!(
        sql,
        "\n) ENGINE = MergeTree\nPARTITION BY toYYYYMMDD({clock})\nORDER BY {}\nTTL toDateTime({clock}) + INTERVAL {} DAY\nSETTINGS {}",
        table.order_by(),
        table.days(),
        table_settings(),
    );
    sql
}

/// `docs/columns.md`.
pub fn documentation() -> String {
    let mut md = String::from(
        "<!-- SPDX-FileCopyrightText: Lagewarte contributors -->\n<!-- SPDX-License-Identifier: EUPL-1.2 -->\n\
         # Tables and columns of the telemetry store\n\n\
         Made from the table of columns in `aggregator/store/src/telemetry/columns.rs`. Do not edit: run\n\
         `UPDATE_DOCS=1 cargo test -p lagewarte-store --lib documentation_is_up_to_date`.\n\n\
         Times are microseconds, UTC. Partitions are days of receipt, and whole days expire: a row outlives its days by one at\n\
         most, which a legal longest storage needs.\n",
    );
    for t in Table::ALL {
        let _ = write!(md, "\n## {}\n\nKept {} days. Sorted by `{}`.\n\n", t.name(), t.days(), t.order_by());
        md.push_str("| column | type | from | meaning |\n| --- | --- | --- | --- |\n");
        for c in t.columns() {
            let from = match c.source {
                S::Json(path) | S::Required(path) => format!("`{}`", path.join(".")),
                other => format!("{other:?}").to_lowercase(),
            };
            let _ = writeln!(md, "| `{}` | {} | {from} | {} |", c.name, c.ty.sql(), c.doc);
        }
    }
    md.push_str(&super::rollup::documentation());
    md
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn documentation_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/columns.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, documentation()).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == documentation(),
            "docs/columns.md is old: UPDATE_DOCS=1 cargo test -p lagewarte-store --lib documentation"
        );
    }

    #[test]
    fn a_column_stands_once_in_a_table_and_every_event_table_keeps_the_contract() {
        for t in Table::ALL {
            let mut names: Vec<_> = t.columns().map(|c| c.name).collect();
            let n = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), n, "{t:?}");
            assert!(names.contains(&t.clock()), "{t:?}");
            assert_eq!(t.columns().last().map(|c| c.name), Some("segment"), "{t:?}: Rows appends the segment");
            for (column, _) in t.indexes() {
                assert!(names.contains(column), "{t:?} {column}");
            }
        }
        let contract = "sensor epoch nonce seq constituent ags kreis class event_type event_us observed_us spooled_us \
                        sent_us received_us segment ruleset profile late eve";
        for t in [Table::Alert, Table::Flow, Table::Record, Table::Health] {
            for name in contract.split_whitespace() {
                assert!(t.columns().any(|c| c.name == name), "{t:?} lacks {name}");
            }
        }
    }

    #[test]
    fn numbers_in_journals_name_one_table() {
        for t in Table::ALL {
            assert_eq!(Table::from_number(t as u8), Some(t));
        }
        assert_eq!(Table::from_number(0), None);
    }
}
