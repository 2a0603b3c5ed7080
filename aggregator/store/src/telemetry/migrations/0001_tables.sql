-- SPDX-FileCopyrightText: Lagewarte contributors
-- SPDX-License-Identifier: EUPL-1.2
-- Version 1: the tables of events and of operation, and the hourly rollup. Frozen: a change is a new file.
-- Partitions and expiry go by the time of receipt; the rollup goes by the hour of the event, which extraction bounds.
CREATE TABLE IF NOT EXISTS alert (
    sensor UUID COMMENT 'Sensor, from its certificate.',
    epoch UInt64 COMMENT 'Life of the sensor''s spool; with nonce, sensor and seq the event''s id.',
    nonce UInt64 COMMENT 'Random bits of that life.',
    seq UInt64 COMMENT 'Position in the epoch, from 1.',
    constituent LowCardinality(String) COMMENT 'Owner of the event, as the sensor''s signed assignment has it; in quarantine as claimed.',
    ags LowCardinality(String) COMMENT 'The owner''s AGS at the time of receipt; empty where it has none.',
    kreis LowCardinality(String) COMMENT 'First five digits of the AGS.',
    class LowCardinality(String) COMMENT 'What release profiles and quotas decide by: alert, health, flow, anomaly, protocol, file.',
    event_type LowCardinality(String) COMMENT 'EVE event_type.',
    event_us DateTime64(6, 'UTC') COMMENT 'Event time: the packet''s timestamp.' CODEC(Delta(8), ZSTD(1)),
    observed_us DateTime64(6, 'UTC') COMMENT 'Sensor''s clock when the packet was read.' CODEC(Delta(8), ZSTD(1)),
    spooled_us DateTime64(6, 'UTC') COMMENT 'Sensor''s clock when the record was handed to the spool.' CODEC(Delta(8), ZSTD(1)),
    sent_us DateTime64(6, 'UTC') COMMENT 'Sensor''s clock when the batch was sent.' CODEC(Delta(8), ZSTD(1)),
    received_us DateTime64(6, 'UTC') COMMENT 'Aggregator''s clock at receipt; partitions and expiry go by it.' CODEC(Delta(8), ZSTD(1)),
    ruleset LowCardinality(String) COMMENT 'SHA-256 of the active rule set, hex; empty where no rules run.',
    profile LowCardinality(String) COMMENT 'Release profile under which the event left, name@version.',
    late Bool COMMENT 'Older than 15 minutes when it came: completes the picture, never triggers.',
    src_ip IPv6 COMMENT 'Source address; a pseudonym where the profile says so.',
    dest_ip IPv6 COMMENT 'Destination address; a pseudonym where the profile says so.',
    src_port UInt16 COMMENT 'Source port; 0 where the protocol has none.',
    dest_port UInt16 COMMENT 'Destination port; 0 where the protocol has none.',
    proto LowCardinality(String) COMMENT 'Transport protocol as EVE names it.',
    inner LowCardinality(String) COMMENT 'Which side is the constituent''s: src, dest, both or none.',
    external_ip IPv6 COMMENT 'The address that is not the constituent''s; :: where there is none.',
    flow_id UInt64 COMMENT 'Joins the events of one flow at one sensor.',
    community_id String COMMENT 'Community ID v1 over the addresses as they stand here.' CODEC(ZSTD(1)),
    app_proto LowCardinality(String) COMMENT 'Application protocol as EVE names it.',
    signature_id UInt32 COMMENT 'sid of the rule.',
    gid UInt32 COMMENT 'Generator id of the rule.',
    rev UInt32 COMMENT 'Revision of the rule.',
    signature LowCardinality(String) COMMENT 'Message of the rule.',
    category LowCardinality(String) COMMENT 'Class of the rule, in words.',
    severity UInt8 COMMENT 'Priority of the rule: 1 is the highest; 0 where it has none.',
    action LowCardinality(String) COMMENT 'allowed or blocked.',
    direction LowCardinality(String) COMMENT 'to_server or to_client: the packet that fired.',
    metadata Map(LowCardinality(String), Array(String)) COMMENT 'Metadata of the rule.' CODEC(ZSTD(1)),
    eve String COMMENT 'The event as it came: one EVE JSON object.' CODEC(ZSTD(1)),
    segment String COMMENT 'Insert that brought the row.' CODEC(ZSTD(1)),
    INDEX received_us_skip received_us TYPE minmax GRANULARITY 1,
    INDEX segment_skip segment TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX src_ip_skip src_ip TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX dest_ip_skip dest_ip TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX community_id_skip community_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX external_ip_skip external_ip TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX signature_id_skip signature_id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toYYYYMMDD(received_us)
ORDER BY (constituent, event_us, sensor, seq)
TTL toDateTime(received_us) + INTERVAL 180 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS flow (
    sensor UUID COMMENT 'Sensor, from its certificate.',
    epoch UInt64 COMMENT 'Life of the sensor''s spool; with nonce, sensor and seq the event''s id.',
    nonce UInt64 COMMENT 'Random bits of that life.',
    seq UInt64 COMMENT 'Position in the epoch, from 1.',
    constituent LowCardinality(String) COMMENT 'Owner of the event, as the sensor''s signed assignment has it; in quarantine as claimed.',
    ags LowCardinality(String) COMMENT 'The owner''s AGS at the time of receipt; empty where it has none.',
    kreis LowCardinality(String) COMMENT 'First five digits of the AGS.',
    class LowCardinality(String) COMMENT 'What release profiles and quotas decide by: alert, health, flow, anomaly, protocol, file.',
    event_type LowCardinality(String) COMMENT 'EVE event_type.',
    event_us DateTime64(6, 'UTC') COMMENT 'Event time: the packet''s timestamp.' CODEC(Delta(8), ZSTD(1)),
    observed_us DateTime64(6, 'UTC') COMMENT 'Sensor''s clock when the packet was read.' CODEC(Delta(8), ZSTD(1)),
    spooled_us DateTime64(6, 'UTC') COMMENT 'Sensor''s clock when the record was handed to the spool.' CODEC(Delta(8), ZSTD(1)),
    sent_us DateTime64(6, 'UTC') COMMENT 'Sensor''s clock when the batch was sent.' CODEC(Delta(8), ZSTD(1)),
    received_us DateTime64(6, 'UTC') COMMENT 'Aggregator''s clock at receipt; partitions and expiry go by it.' CODEC(Delta(8), ZSTD(1)),
    ruleset LowCardinality(String) COMMENT 'SHA-256 of the active rule set, hex; empty where no rules run.',
    profile LowCardinality(String) COMMENT 'Release profile under which the event left, name@version.',
    late Bool COMMENT 'Older than 15 minutes when it came: completes the picture, never triggers.',
    src_ip IPv6 COMMENT 'Source address; a pseudonym where the profile says so.',
    dest_ip IPv6 COMMENT 'Destination address; a pseudonym where the profile says so.',
    src_port UInt16 COMMENT 'Source port; 0 where the protocol has none.',
    dest_port UInt16 COMMENT 'Destination port; 0 where the protocol has none.',
    proto LowCardinality(String) COMMENT 'Transport protocol as EVE names it.',
    inner LowCardinality(String) COMMENT 'Which side is the constituent''s: src, dest, both or none.',
    external_ip IPv6 COMMENT 'The address that is not the constituent''s; :: where there is none.',
    flow_id UInt64 COMMENT 'Joins the events of one flow at one sensor.',
    community_id String COMMENT 'Community ID v1 over the addresses as they stand here.' CODEC(ZSTD(1)),
    app_proto LowCardinality(String) COMMENT 'Application protocol as EVE names it.',
    state LowCardinality(String) COMMENT 'State of the flow at its end: new, established, closed.',
    end_reason LowCardinality(String) COMMENT 'Why the flow ended: timeout, forced, shutdown.',
    pkts_toserver UInt64 COMMENT 'Packets to the server.',
    pkts_toclient UInt64 COMMENT 'Packets to the client.',
    bytes_toserver UInt64 COMMENT 'Bytes to the server.',
    bytes_toclient UInt64 COMMENT 'Bytes to the client.',
    age_s UInt64 COMMENT 'Duration of the flow, seconds.',
    alerted Bool COMMENT 'Whether a rule fired in the flow.',
    eve String COMMENT 'The event as it came: one EVE JSON object.' CODEC(ZSTD(1)),
    segment String COMMENT 'Insert that brought the row.' CODEC(ZSTD(1)),
    INDEX received_us_skip received_us TYPE minmax GRANULARITY 1,
    INDEX segment_skip segment TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX src_ip_skip src_ip TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX dest_ip_skip dest_ip TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX community_id_skip community_id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toYYYYMMDD(received_us)
ORDER BY (constituent, event_us, sensor, seq)
TTL toDateTime(received_us) + INTERVAL 14 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS record (
    sensor UUID COMMENT 'Sensor, from its certificate.',
    epoch UInt64 COMMENT 'Life of the sensor''s spool; with nonce, sensor and seq the event''s id.',
    nonce UInt64 COMMENT 'Random bits of that life.',
    seq UInt64 COMMENT 'Position in the epoch, from 1.',
    constituent LowCardinality(String) COMMENT 'Owner of the event, as the sensor''s signed assignment has it; in quarantine as claimed.',
    ags LowCardinality(String) COMMENT 'The owner''s AGS at the time of receipt; empty where it has none.',
    kreis LowCardinality(String) COMMENT 'First five digits of the AGS.',
    class LowCardinality(String) COMMENT 'What release profiles and quotas decide by: alert, health, flow, anomaly, protocol, file.',
    event_type LowCardinality(String) COMMENT 'EVE event_type.',
    event_us DateTime64(6, 'UTC') COMMENT 'Event time: the packet''s timestamp.' CODEC(Delta(8), ZSTD(1)),
    observed_us DateTime64(6, 'UTC') COMMENT 'Sensor''s clock when the packet was read.' CODEC(Delta(8), ZSTD(1)),
    spooled_us DateTime64(6, 'UTC') COMMENT 'Sensor''s clock when the record was handed to the spool.' CODEC(Delta(8), ZSTD(1)),
    sent_us DateTime64(6, 'UTC') COMMENT 'Sensor''s clock when the batch was sent.' CODEC(Delta(8), ZSTD(1)),
    received_us DateTime64(6, 'UTC') COMMENT 'Aggregator''s clock at receipt; partitions and expiry go by it.' CODEC(Delta(8), ZSTD(1)),
    ruleset LowCardinality(String) COMMENT 'SHA-256 of the active rule set, hex; empty where no rules run.',
    profile LowCardinality(String) COMMENT 'Release profile under which the event left, name@version.',
    late Bool COMMENT 'Older than 15 minutes when it came: completes the picture, never triggers.',
    src_ip IPv6 COMMENT 'Source address; a pseudonym where the profile says so.',
    dest_ip IPv6 COMMENT 'Destination address; a pseudonym where the profile says so.',
    src_port UInt16 COMMENT 'Source port; 0 where the protocol has none.',
    dest_port UInt16 COMMENT 'Destination port; 0 where the protocol has none.',
    proto LowCardinality(String) COMMENT 'Transport protocol as EVE names it.',
    inner LowCardinality(String) COMMENT 'Which side is the constituent''s: src, dest, both or none.',
    external_ip IPv6 COMMENT 'The address that is not the constituent''s; :: where there is none.',
    flow_id UInt64 COMMENT 'Joins the events of one flow at one sensor.',
    community_id String COMMENT 'Community ID v1 over the addresses as they stand here.' CODEC(ZSTD(1)),
    app_proto LowCardinality(String) COMMENT 'Application protocol as EVE names it.',
    anomaly_type LowCardinality(String) COMMENT 'decode, stream or applayer.',
    anomaly_event LowCardinality(String) COMMENT 'Name of the anomaly.',
    http_hostname String COMMENT 'Host of an HTTP request.' CODEC(ZSTD(1)),
    tls_sni String COMMENT 'Server name of a TLS hello.' CODEC(ZSTD(1)),
    eve String COMMENT 'The event as it came: one EVE JSON object.' CODEC(ZSTD(1)),
    segment String COMMENT 'Insert that brought the row.' CODEC(ZSTD(1)),
    INDEX received_us_skip received_us TYPE minmax GRANULARITY 1,
    INDEX segment_skip segment TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX src_ip_skip src_ip TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX dest_ip_skip dest_ip TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX community_id_skip community_id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toYYYYMMDD(received_us)
ORDER BY (constituent, event_us, sensor, seq)
TTL toDateTime(received_us) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS health (
    sensor UUID COMMENT 'Sensor, from its certificate.',
    epoch UInt64 COMMENT 'Life of the sensor''s spool; with nonce, sensor and seq the event''s id.',
    nonce UInt64 COMMENT 'Random bits of that life.',
    seq UInt64 COMMENT 'Position in the epoch, from 1.',
    constituent LowCardinality(String) COMMENT 'Owner of the event, as the sensor''s signed assignment has it; in quarantine as claimed.',
    ags LowCardinality(String) COMMENT 'The owner''s AGS at the time of receipt; empty where it has none.',
    kreis LowCardinality(String) COMMENT 'First five digits of the AGS.',
    class LowCardinality(String) COMMENT 'What release profiles and quotas decide by: alert, health, flow, anomaly, protocol, file.',
    event_type LowCardinality(String) COMMENT 'EVE event_type.',
    event_us DateTime64(6, 'UTC') COMMENT 'Event time: the packet''s timestamp.' CODEC(Delta(8), ZSTD(1)),
    observed_us DateTime64(6, 'UTC') COMMENT 'Sensor''s clock when the packet was read.' CODEC(Delta(8), ZSTD(1)),
    spooled_us DateTime64(6, 'UTC') COMMENT 'Sensor''s clock when the record was handed to the spool.' CODEC(Delta(8), ZSTD(1)),
    sent_us DateTime64(6, 'UTC') COMMENT 'Sensor''s clock when the batch was sent.' CODEC(Delta(8), ZSTD(1)),
    received_us DateTime64(6, 'UTC') COMMENT 'Aggregator''s clock at receipt; partitions and expiry go by it.' CODEC(Delta(8), ZSTD(1)),
    ruleset LowCardinality(String) COMMENT 'SHA-256 of the active rule set, hex; empty where no rules run.',
    profile LowCardinality(String) COMMENT 'Release profile under which the event left, name@version.',
    late Bool COMMENT 'Older than 15 minutes when it came: completes the picture, never triggers.',
    version LowCardinality(String) COMMENT 'Software version of the sensor.',
    interval_s UInt32 COMMENT 'Seconds between two reports.',
    uptime_s UInt64 COMMENT 'Seconds since the sensor''s start.',
    kernel_packets UInt64 COMMENT 'Packets that the kernel handed over since the start.',
    kernel_drops UInt64 COMMENT 'Packets that the kernel dropped since the start.',
    decoder_pkts UInt64 COMMENT 'Packets decoded since the start.',
    decoder_bytes UInt64 COMMENT 'Bytes decoded since the start.',
    rules_loaded UInt64 COMMENT 'Rules in force.',
    rules_refused UInt64 COMMENT 'Rules refused at the last load.',
    spool_state LowCardinality(String) COMMENT 'normal, warning, full or recovering.',
    spool_records UInt64 COMMENT 'Records waiting in the spool.',
    spool_bytes UInt64 COMMENT 'Bytes waiting in the spool.',
    lag_us Int64 COMMENT 'How far the sensor is behind its line, microseconds.',
    eve String COMMENT 'The event as it came: one EVE JSON object.' CODEC(ZSTD(1)),
    segment String COMMENT 'Insert that brought the row.' CODEC(ZSTD(1)),
    INDEX received_us_skip received_us TYPE minmax GRANULARITY 1,
    INDEX segment_skip segment TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toYYYYMMDD(received_us)
ORDER BY (sensor, event_us, seq)
TTL toDateTime(received_us) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS quarantine (
    sensor UUID COMMENT 'Sensor, from its certificate.',
    epoch UInt64 COMMENT 'Life of the sensor''s spool; with nonce, sensor and seq the event''s id.',
    nonce UInt64 COMMENT 'Random bits of that life.',
    seq UInt64 COMMENT 'Position in the epoch, from 1.',
    constituent LowCardinality(String) COMMENT 'Owner of the event, as the sensor''s signed assignment has it; in quarantine as claimed.',
    class LowCardinality(String) COMMENT 'What release profiles and quotas decide by: alert, health, flow, anomaly, protocol, file.',
    event_type LowCardinality(String) COMMENT 'EVE event_type.',
    event_us DateTime64(6, 'UTC') COMMENT 'Event time: the packet''s timestamp.' CODEC(Delta(8), ZSTD(1)),
    received_us DateTime64(6, 'UTC') COMMENT 'Aggregator''s clock at receipt; partitions and expiry go by it.' CODEC(Delta(8), ZSTD(1)),
    reason LowCardinality(String) COMMENT 'Why it was not taken, or will not come; a bounded set of words.',
    detail String COMMENT 'What exactly was wrong.' CODEC(ZSTD(1)),
    eve String COMMENT 'The event as it came: one EVE JSON object.' CODEC(ZSTD(1)),
    segment String COMMENT 'Insert that brought the row.' CODEC(ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toYYYYMMDD(received_us)
ORDER BY (sensor, epoch, nonce, seq)
TTL toDateTime(received_us) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS gap (
    sensor UUID COMMENT 'Sensor, from its certificate.',
    epoch UInt64 COMMENT 'Life of the sensor''s spool; with nonce, sensor and seq the event''s id.',
    nonce UInt64 COMMENT 'Random bits of that life.',
    received_us DateTime64(6, 'UTC') COMMENT 'Aggregator''s clock at receipt; partitions and expiry go by it.' CODEC(Delta(8), ZSTD(1)),
    reason LowCardinality(String) COMMENT 'Why it was not taken, or will not come; a bounded set of words.',
    from_seq UInt64 COMMENT 'First missing sequence number.',
    to_seq UInt64 COMMENT 'Last missing sequence number.',
    segment String COMMENT 'Insert that brought the row.' CODEC(ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toYYYYMMDD(received_us)
ORDER BY (sensor, epoch, nonce, from_seq)
TTL toDateTime(received_us) + INTERVAL 180 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS segment (
    lane UInt32 COMMENT 'Ingest lane that wrote the segment.',
    rows UInt64 COMMENT 'Rows of the segment over all tables.',
    first_received_us DateTime64(6, 'UTC') COMMENT 'Earliest receipt in the segment.' CODEC(Delta(8), ZSTD(1)),
    last_received_us DateTime64(6, 'UTC') COMMENT 'Latest receipt in the segment.' CODEC(Delta(8), ZSTD(1)),
    durable_us DateTime64(6, 'UTC') COMMENT 'Aggregator''s clock when the store had answered for every table.' CODEC(Delta(8), ZSTD(1)),
    segment String COMMENT 'Insert that brought the row.' CODEC(ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toYYYYMMDD(durable_us)
ORDER BY (durable_us, segment)
TTL toDateTime(durable_us) + INTERVAL 180 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS alert_1h (
    constituent LowCardinality(String) COMMENT 'Owner.',
    ags LowCardinality(String) COMMENT 'AGS of the owner at the time of receipt.',
    kreis LowCardinality(String) COMMENT 'First five digits of the AGS.',
    signature_id UInt32 COMMENT 'sid of the rule.',
    hour DateTime('UTC') COMMENT 'Hour of the events.',
    alerts UInt64 COMMENT 'Alerts; sum them, rows are merged in the background.'
) ENGINE = SummingMergeTree(alerts)
PARTITION BY toYYYYMM(hour)
ORDER BY (constituent, hour, signature_id, ags, kreis)
TTL hour + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- Deduplicated with its source: both tables have the window, and the insert asks for it.
CREATE MATERIALIZED VIEW IF NOT EXISTS alert_1h_view TO alert_1h AS
SELECT constituent, ags, kreis, signature_id, toStartOfHour(event_us) AS hour, count() AS alerts
FROM alert
GROUP BY constituent, ags, kreis, signature_id, hour;
