-- SPDX-FileCopyrightText: Lagewarte contributors
-- SPDX-License-Identifier: EUPL-1.2
-- Version 5: rollups lie by blocks of time first, then by owner, so that a state's day is read without its week. Their rows
-- are copied, not counted again: an hour outlives its raw rows. No aggregator of an older version may insert meanwhile.
-- A crash leaves NAME_v4; the copy is then made anew. Replicated tables keep their order: they answer the same, and more slowly.

-- if sorted alert_1m.constituent
DROP VIEW IF EXISTS alert_1m_view SYNC;

-- if sorted alert_1m.constituent
RENAME TABLE alert_1m TO alert_1m_v4;

CREATE TABLE IF NOT EXISTS alert_1m (
    constituent LowCardinality(String) COMMENT 'Owner of the event, as the sensor''s signed assignment has it; in quarantine as claimed.',
    bucket DateTime('UTC') COMMENT 'Start of the bucket, by event time.' CODEC(Delta(4), ZSTD(1)),
    sensor UUID COMMENT 'Sensor, from its certificate.',
    signature_id UInt32 COMMENT 'sid of the rule.',
    signature LowCardinality(String) COMMENT 'Message of the rule.',
    category LowCardinality(String) COMMENT 'Class of the rule, in words.',
    severity UInt8 COMMENT 'Priority of the rule: 1 is the highest; 0 where it has none.',
    ags LowCardinality(String) COMMENT 'The owner''s AGS at the time of receipt; empty where it has none.',
    kreis LowCardinality(String) COMMENT 'First five digits of the AGS.',
    alerts SimpleAggregateFunction(sum, UInt64) COMMENT 'Alerts.',
    late_alerts SimpleAggregateFunction(sum, UInt64) COMMENT 'Alerts that were late when they came.',
    last_us SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'Latest event of the bucket.' CODEC(ZSTD(1))
) ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(bucket)
PRIMARY KEY (toStartOfHour(bucket), constituent)
ORDER BY (toStartOfHour(bucket), constituent, bucket, sensor, signature_id, signature, category, severity, ags, kreis)
TTL bucket + INTERVAL 7 DAY
SETTINGS index_granularity = 2048, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- if table alert_1m_v4
TRUNCATE TABLE alert_1m SYNC;

-- if table alert_1m_v4
INSERT INTO alert_1m SELECT * FROM alert_1m_v4
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0, max_execution_time = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS alert_1m_view TO alert_1m AS
SELECT constituent, toStartOfMinute(event_us) AS bucket, sensor, signature_id, signature, category, severity, ags, kreis, count() AS alerts, countIf(late) AS late_alerts, max(event_us) AS last_us
FROM alert WHERE event_us >= received_us - INTERVAL 7 DAY
GROUP BY constituent, bucket, sensor, signature_id, signature, category, severity, ags, kreis;

-- if table alert_1m_v4
DROP TABLE IF EXISTS alert_1m_v4 SYNC;

-- if sorted alert_5m.constituent
DROP VIEW IF EXISTS alert_5m_view SYNC;

-- if sorted alert_5m.constituent
RENAME TABLE alert_5m TO alert_5m_v4;

CREATE TABLE IF NOT EXISTS alert_5m (
    constituent LowCardinality(String) COMMENT 'Owner of the event, as the sensor''s signed assignment has it; in quarantine as claimed.',
    bucket DateTime('UTC') COMMENT 'Start of the bucket, by event time.' CODEC(Delta(4), ZSTD(1)),
    sensor UUID COMMENT 'Sensor, from its certificate.',
    signature_id UInt32 COMMENT 'sid of the rule.',
    signature LowCardinality(String) COMMENT 'Message of the rule.',
    category LowCardinality(String) COMMENT 'Class of the rule, in words.',
    severity UInt8 COMMENT 'Priority of the rule: 1 is the highest; 0 where it has none.',
    ags LowCardinality(String) COMMENT 'The owner''s AGS at the time of receipt; empty where it has none.',
    kreis LowCardinality(String) COMMENT 'First five digits of the AGS.',
    alerts SimpleAggregateFunction(sum, UInt64) COMMENT 'Alerts.',
    late_alerts SimpleAggregateFunction(sum, UInt64) COMMENT 'Alerts that were late when they came.',
    last_us SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'Latest event of the bucket.' CODEC(ZSTD(1))
) ENGINE = AggregatingMergeTree
PARTITION BY toStartOfInterval(bucket, INTERVAL 3 DAY)
PRIMARY KEY (toStartOfInterval(bucket, toIntervalHour(6)), constituent)
ORDER BY (toStartOfInterval(bucket, toIntervalHour(6)), constituent, bucket, sensor, signature_id, signature, category, severity, ags, kreis)
TTL bucket + INTERVAL 90 DAY
SETTINGS index_granularity = 2048, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- if table alert_5m_v4
TRUNCATE TABLE alert_5m SYNC;

-- if table alert_5m_v4
INSERT INTO alert_5m SELECT * FROM alert_5m_v4
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0, max_execution_time = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS alert_5m_view TO alert_5m AS
SELECT constituent, toStartOfFiveMinutes(event_us) AS bucket, sensor, signature_id, signature, category, severity, ags, kreis, count() AS alerts, countIf(late) AS late_alerts, max(event_us) AS last_us
FROM alert WHERE event_us >= received_us - INTERVAL 90 DAY
GROUP BY constituent, bucket, sensor, signature_id, signature, category, severity, ags, kreis;

-- if table alert_5m_v4
DROP TABLE IF EXISTS alert_5m_v4 SYNC;

-- if sorted alert_1h.constituent
DROP VIEW IF EXISTS alert_1h_view SYNC;

-- if sorted alert_1h.constituent
RENAME TABLE alert_1h TO alert_1h_v4;

CREATE TABLE IF NOT EXISTS alert_1h (
    constituent LowCardinality(String) COMMENT 'Owner of the event, as the sensor''s signed assignment has it; in quarantine as claimed.',
    bucket DateTime('UTC') COMMENT 'Start of the bucket, by event time.' CODEC(Delta(4), ZSTD(1)),
    sensor UUID COMMENT 'Sensor, from its certificate.',
    signature_id UInt32 COMMENT 'sid of the rule.',
    signature LowCardinality(String) COMMENT 'Message of the rule.',
    category LowCardinality(String) COMMENT 'Class of the rule, in words.',
    severity UInt8 COMMENT 'Priority of the rule: 1 is the highest; 0 where it has none.',
    ags LowCardinality(String) COMMENT 'The owner''s AGS at the time of receipt; empty where it has none.',
    kreis LowCardinality(String) COMMENT 'First five digits of the AGS.',
    alerts SimpleAggregateFunction(sum, UInt64) COMMENT 'Alerts.',
    late_alerts SimpleAggregateFunction(sum, UInt64) COMMENT 'Alerts that were late when they came.',
    last_us SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'Latest event of the bucket.' CODEC(ZSTD(1))
) ENGINE = AggregatingMergeTree
PARTITION BY toMonday(bucket)
PRIMARY KEY (toStartOfInterval(bucket, toIntervalHour(6)), constituent)
ORDER BY (toStartOfInterval(bucket, toIntervalHour(6)), constituent, bucket, sensor, signature_id, signature, category, severity, ags, kreis)
TTL bucket + INTERVAL 400 DAY
SETTINGS index_granularity = 2048, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- if table alert_1h_v4
TRUNCATE TABLE alert_1h SYNC;

-- if table alert_1h_v4
INSERT INTO alert_1h SELECT * FROM alert_1h_v4
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0, max_execution_time = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS alert_1h_view TO alert_1h AS
SELECT constituent, toStartOfHour(event_us) AS bucket, sensor, signature_id, signature, category, severity, ags, kreis, count() AS alerts, countIf(late) AS late_alerts, max(event_us) AS last_us
FROM alert WHERE event_us >= received_us - INTERVAL 400 DAY
GROUP BY constituent, bucket, sensor, signature_id, signature, category, severity, ags, kreis;

-- if table alert_1h_v4
DROP TABLE IF EXISTS alert_1h_v4 SYNC;

-- if sorted flow_1m.constituent
DROP VIEW IF EXISTS flow_1m_view SYNC;

-- if sorted flow_1m.constituent
RENAME TABLE flow_1m TO flow_1m_v4;

CREATE TABLE IF NOT EXISTS flow_1m (
    constituent LowCardinality(String) COMMENT 'Owner of the event, as the sensor''s signed assignment has it; in quarantine as claimed.',
    bucket DateTime('UTC') COMMENT 'Start of the bucket, by event time.' CODEC(Delta(4), ZSTD(1)),
    sensor UUID COMMENT 'Sensor, from its certificate.',
    proto LowCardinality(String) COMMENT 'Transport protocol as EVE names it.',
    app_proto LowCardinality(String) COMMENT 'Application protocol as EVE names it.',
    ags LowCardinality(String) COMMENT 'The owner''s AGS at the time of receipt; empty where it has none.',
    kreis LowCardinality(String) COMMENT 'First five digits of the AGS.',
    flows SimpleAggregateFunction(sum, UInt64) COMMENT 'Flows.',
    alerted_flows SimpleAggregateFunction(sum, UInt64) COMMENT 'Flows in which a rule fired.',
    packets_toserver SimpleAggregateFunction(sum, UInt64) COMMENT 'Packets to the server.',
    packets_toclient SimpleAggregateFunction(sum, UInt64) COMMENT 'Packets to the client.',
    octets_toserver SimpleAggregateFunction(sum, UInt64) COMMENT 'Bytes to the server.',
    octets_toclient SimpleAggregateFunction(sum, UInt64) COMMENT 'Bytes to the client.'
) ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(bucket)
PRIMARY KEY (toStartOfHour(bucket), constituent)
ORDER BY (toStartOfHour(bucket), constituent, bucket, sensor, proto, app_proto, ags, kreis)
TTL bucket + INTERVAL 7 DAY
SETTINGS index_granularity = 2048, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- if table flow_1m_v4
TRUNCATE TABLE flow_1m SYNC;

-- if table flow_1m_v4
INSERT INTO flow_1m SELECT * FROM flow_1m_v4
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0, max_execution_time = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS flow_1m_view TO flow_1m AS
SELECT constituent, toStartOfMinute(event_us) AS bucket, sensor, proto, app_proto, ags, kreis, count() AS flows, countIf(alerted) AS alerted_flows, sum(pkts_toserver) AS packets_toserver, sum(pkts_toclient) AS packets_toclient, sum(bytes_toserver) AS octets_toserver, sum(bytes_toclient) AS octets_toclient
FROM flow WHERE event_us >= received_us - INTERVAL 7 DAY
GROUP BY constituent, bucket, sensor, proto, app_proto, ags, kreis;

-- if table flow_1m_v4
DROP TABLE IF EXISTS flow_1m_v4 SYNC;

-- if sorted flow_5m.constituent
DROP VIEW IF EXISTS flow_5m_view SYNC;

-- if sorted flow_5m.constituent
RENAME TABLE flow_5m TO flow_5m_v4;

CREATE TABLE IF NOT EXISTS flow_5m (
    constituent LowCardinality(String) COMMENT 'Owner of the event, as the sensor''s signed assignment has it; in quarantine as claimed.',
    bucket DateTime('UTC') COMMENT 'Start of the bucket, by event time.' CODEC(Delta(4), ZSTD(1)),
    sensor UUID COMMENT 'Sensor, from its certificate.',
    proto LowCardinality(String) COMMENT 'Transport protocol as EVE names it.',
    app_proto LowCardinality(String) COMMENT 'Application protocol as EVE names it.',
    ags LowCardinality(String) COMMENT 'The owner''s AGS at the time of receipt; empty where it has none.',
    kreis LowCardinality(String) COMMENT 'First five digits of the AGS.',
    flows SimpleAggregateFunction(sum, UInt64) COMMENT 'Flows.',
    alerted_flows SimpleAggregateFunction(sum, UInt64) COMMENT 'Flows in which a rule fired.',
    packets_toserver SimpleAggregateFunction(sum, UInt64) COMMENT 'Packets to the server.',
    packets_toclient SimpleAggregateFunction(sum, UInt64) COMMENT 'Packets to the client.',
    octets_toserver SimpleAggregateFunction(sum, UInt64) COMMENT 'Bytes to the server.',
    octets_toclient SimpleAggregateFunction(sum, UInt64) COMMENT 'Bytes to the client.'
) ENGINE = AggregatingMergeTree
PARTITION BY toStartOfInterval(bucket, INTERVAL 3 DAY)
PRIMARY KEY (toStartOfInterval(bucket, toIntervalHour(6)), constituent)
ORDER BY (toStartOfInterval(bucket, toIntervalHour(6)), constituent, bucket, sensor, proto, app_proto, ags, kreis)
TTL bucket + INTERVAL 90 DAY
SETTINGS index_granularity = 2048, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- if table flow_5m_v4
TRUNCATE TABLE flow_5m SYNC;

-- if table flow_5m_v4
INSERT INTO flow_5m SELECT * FROM flow_5m_v4
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0, max_execution_time = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS flow_5m_view TO flow_5m AS
SELECT constituent, toStartOfFiveMinutes(event_us) AS bucket, sensor, proto, app_proto, ags, kreis, count() AS flows, countIf(alerted) AS alerted_flows, sum(pkts_toserver) AS packets_toserver, sum(pkts_toclient) AS packets_toclient, sum(bytes_toserver) AS octets_toserver, sum(bytes_toclient) AS octets_toclient
FROM flow WHERE event_us >= received_us - INTERVAL 90 DAY
GROUP BY constituent, bucket, sensor, proto, app_proto, ags, kreis;

-- if table flow_5m_v4
DROP TABLE IF EXISTS flow_5m_v4 SYNC;

-- if sorted flow_1h.constituent
DROP VIEW IF EXISTS flow_1h_view SYNC;

-- if sorted flow_1h.constituent
RENAME TABLE flow_1h TO flow_1h_v4;

CREATE TABLE IF NOT EXISTS flow_1h (
    constituent LowCardinality(String) COMMENT 'Owner of the event, as the sensor''s signed assignment has it; in quarantine as claimed.',
    bucket DateTime('UTC') COMMENT 'Start of the bucket, by event time.' CODEC(Delta(4), ZSTD(1)),
    sensor UUID COMMENT 'Sensor, from its certificate.',
    proto LowCardinality(String) COMMENT 'Transport protocol as EVE names it.',
    app_proto LowCardinality(String) COMMENT 'Application protocol as EVE names it.',
    ags LowCardinality(String) COMMENT 'The owner''s AGS at the time of receipt; empty where it has none.',
    kreis LowCardinality(String) COMMENT 'First five digits of the AGS.',
    flows SimpleAggregateFunction(sum, UInt64) COMMENT 'Flows.',
    alerted_flows SimpleAggregateFunction(sum, UInt64) COMMENT 'Flows in which a rule fired.',
    packets_toserver SimpleAggregateFunction(sum, UInt64) COMMENT 'Packets to the server.',
    packets_toclient SimpleAggregateFunction(sum, UInt64) COMMENT 'Packets to the client.',
    octets_toserver SimpleAggregateFunction(sum, UInt64) COMMENT 'Bytes to the server.',
    octets_toclient SimpleAggregateFunction(sum, UInt64) COMMENT 'Bytes to the client.'
) ENGINE = AggregatingMergeTree
PARTITION BY toMonday(bucket)
PRIMARY KEY (toStartOfInterval(bucket, toIntervalHour(6)), constituent)
ORDER BY (toStartOfInterval(bucket, toIntervalHour(6)), constituent, bucket, sensor, proto, app_proto, ags, kreis)
TTL bucket + INTERVAL 400 DAY
SETTINGS index_granularity = 2048, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- if table flow_1h_v4
TRUNCATE TABLE flow_1h SYNC;

-- if table flow_1h_v4
INSERT INTO flow_1h SELECT * FROM flow_1h_v4
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0, max_execution_time = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS flow_1h_view TO flow_1h AS
SELECT constituent, toStartOfHour(event_us) AS bucket, sensor, proto, app_proto, ags, kreis, count() AS flows, countIf(alerted) AS alerted_flows, sum(pkts_toserver) AS packets_toserver, sum(pkts_toclient) AS packets_toclient, sum(bytes_toserver) AS octets_toserver, sum(bytes_toclient) AS octets_toclient
FROM flow WHERE event_us >= received_us - INTERVAL 400 DAY
GROUP BY constituent, bucket, sensor, proto, app_proto, ags, kreis;

-- if table flow_1h_v4
DROP TABLE IF EXISTS flow_1h_v4 SYNC;

-- if sorted record_1m.constituent
DROP VIEW IF EXISTS record_1m_view SYNC;

-- if sorted record_1m.constituent
RENAME TABLE record_1m TO record_1m_v4;

CREATE TABLE IF NOT EXISTS record_1m (
    constituent LowCardinality(String) COMMENT 'Owner of the event, as the sensor''s signed assignment has it; in quarantine as claimed.',
    bucket DateTime('UTC') COMMENT 'Start of the bucket, by event time.' CODEC(Delta(4), ZSTD(1)),
    sensor UUID COMMENT 'Sensor, from its certificate.',
    class LowCardinality(String) COMMENT 'What release profiles and quotas decide by: alert, health, flow, anomaly, protocol, file.',
    event_type LowCardinality(String) COMMENT 'EVE event_type.',
    anomaly_type LowCardinality(String) COMMENT 'decode, stream or applayer.',
    anomaly_event LowCardinality(String) COMMENT 'Name of the anomaly.',
    app_proto LowCardinality(String) COMMENT 'Application protocol as EVE names it.',
    ags LowCardinality(String) COMMENT 'The owner''s AGS at the time of receipt; empty where it has none.',
    kreis LowCardinality(String) COMMENT 'First five digits of the AGS.',
    events SimpleAggregateFunction(sum, UInt64) COMMENT 'Events.'
) ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(bucket)
PRIMARY KEY (toStartOfHour(bucket), constituent)
ORDER BY (toStartOfHour(bucket), constituent, bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis)
TTL bucket + INTERVAL 7 DAY
SETTINGS index_granularity = 2048, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- if table record_1m_v4
TRUNCATE TABLE record_1m SYNC;

-- if table record_1m_v4
INSERT INTO record_1m SELECT * FROM record_1m_v4
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0, max_execution_time = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS record_1m_view TO record_1m AS
SELECT constituent, toStartOfMinute(event_us) AS bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis, count() AS events
FROM record WHERE event_us >= received_us - INTERVAL 7 DAY
GROUP BY constituent, bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis;

-- if table record_1m_v4
DROP TABLE IF EXISTS record_1m_v4 SYNC;

-- if sorted record_5m.constituent
DROP VIEW IF EXISTS record_5m_view SYNC;

-- if sorted record_5m.constituent
RENAME TABLE record_5m TO record_5m_v4;

CREATE TABLE IF NOT EXISTS record_5m (
    constituent LowCardinality(String) COMMENT 'Owner of the event, as the sensor''s signed assignment has it; in quarantine as claimed.',
    bucket DateTime('UTC') COMMENT 'Start of the bucket, by event time.' CODEC(Delta(4), ZSTD(1)),
    sensor UUID COMMENT 'Sensor, from its certificate.',
    class LowCardinality(String) COMMENT 'What release profiles and quotas decide by: alert, health, flow, anomaly, protocol, file.',
    event_type LowCardinality(String) COMMENT 'EVE event_type.',
    anomaly_type LowCardinality(String) COMMENT 'decode, stream or applayer.',
    anomaly_event LowCardinality(String) COMMENT 'Name of the anomaly.',
    app_proto LowCardinality(String) COMMENT 'Application protocol as EVE names it.',
    ags LowCardinality(String) COMMENT 'The owner''s AGS at the time of receipt; empty where it has none.',
    kreis LowCardinality(String) COMMENT 'First five digits of the AGS.',
    events SimpleAggregateFunction(sum, UInt64) COMMENT 'Events.'
) ENGINE = AggregatingMergeTree
PARTITION BY toStartOfInterval(bucket, INTERVAL 3 DAY)
PRIMARY KEY (toStartOfInterval(bucket, toIntervalHour(6)), constituent)
ORDER BY (toStartOfInterval(bucket, toIntervalHour(6)), constituent, bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis)
TTL bucket + INTERVAL 90 DAY
SETTINGS index_granularity = 2048, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- if table record_5m_v4
TRUNCATE TABLE record_5m SYNC;

-- if table record_5m_v4
INSERT INTO record_5m SELECT * FROM record_5m_v4
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0, max_execution_time = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS record_5m_view TO record_5m AS
SELECT constituent, toStartOfFiveMinutes(event_us) AS bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis, count() AS events
FROM record WHERE event_us >= received_us - INTERVAL 90 DAY
GROUP BY constituent, bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis;

-- if table record_5m_v4
DROP TABLE IF EXISTS record_5m_v4 SYNC;

-- if sorted record_1h.constituent
DROP VIEW IF EXISTS record_1h_view SYNC;

-- if sorted record_1h.constituent
RENAME TABLE record_1h TO record_1h_v4;

CREATE TABLE IF NOT EXISTS record_1h (
    constituent LowCardinality(String) COMMENT 'Owner of the event, as the sensor''s signed assignment has it; in quarantine as claimed.',
    bucket DateTime('UTC') COMMENT 'Start of the bucket, by event time.' CODEC(Delta(4), ZSTD(1)),
    sensor UUID COMMENT 'Sensor, from its certificate.',
    class LowCardinality(String) COMMENT 'What release profiles and quotas decide by: alert, health, flow, anomaly, protocol, file.',
    event_type LowCardinality(String) COMMENT 'EVE event_type.',
    anomaly_type LowCardinality(String) COMMENT 'decode, stream or applayer.',
    anomaly_event LowCardinality(String) COMMENT 'Name of the anomaly.',
    app_proto LowCardinality(String) COMMENT 'Application protocol as EVE names it.',
    ags LowCardinality(String) COMMENT 'The owner''s AGS at the time of receipt; empty where it has none.',
    kreis LowCardinality(String) COMMENT 'First five digits of the AGS.',
    events SimpleAggregateFunction(sum, UInt64) COMMENT 'Events.'
) ENGINE = AggregatingMergeTree
PARTITION BY toMonday(bucket)
PRIMARY KEY (toStartOfInterval(bucket, toIntervalHour(6)), constituent)
ORDER BY (toStartOfInterval(bucket, toIntervalHour(6)), constituent, bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis)
TTL bucket + INTERVAL 400 DAY
SETTINGS index_granularity = 2048, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- if table record_1h_v4
TRUNCATE TABLE record_1h SYNC;

-- if table record_1h_v4
INSERT INTO record_1h SELECT * FROM record_1h_v4
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0, max_execution_time = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS record_1h_view TO record_1h AS
SELECT constituent, toStartOfHour(event_us) AS bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis, count() AS events
FROM record WHERE event_us >= received_us - INTERVAL 400 DAY
GROUP BY constituent, bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis;

-- if table record_1h_v4
DROP TABLE IF EXISTS record_1h_v4 SYNC;
