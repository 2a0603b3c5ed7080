-- SPDX-FileCopyrightText: Lagewarte contributors
-- SPDX-License-Identifier: EUPL-1.2
-- Version 3: rollups of every traffic table at 1 min, 5 min and 1 h, by sensor too; the hourly one of version 1 goes over
-- into the new one, for the hours whose raw rows have expired. No aggregator of an older version may insert meanwhile.
-- What a line `-- if` guards is left out where its table or column is not there: so each statement can be repeated.
-- if column alert_1h.hour
DROP VIEW IF EXISTS alert_1h_view SYNC;

-- if column alert_1h.hour
RENAME TABLE alert_1h TO alert_1h_v1;

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
ORDER BY (constituent, bucket, sensor, signature_id, signature, category, severity, ags, kreis)
TTL bucket + INTERVAL 7 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

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
ORDER BY (constituent, bucket, sensor, signature_id, signature, category, severity, ags, kreis)
TTL bucket + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

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
ORDER BY (constituent, bucket, sensor, signature_id, signature, category, severity, ags, kreis)
TTL bucket + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

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
ORDER BY (constituent, bucket, sensor, proto, app_proto, ags, kreis)
TTL bucket + INTERVAL 7 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

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
ORDER BY (constituent, bucket, sensor, proto, app_proto, ags, kreis)
TTL bucket + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

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
ORDER BY (constituent, bucket, sensor, proto, app_proto, ags, kreis)
TTL bucket + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

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
ORDER BY (constituent, bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis)
TTL bucket + INTERVAL 7 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

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
ORDER BY (constituent, bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis)
TTL bucket + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

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
ORDER BY (constituent, bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis)
TTL bucket + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- What is there already is counted once, from the start: a repeated migration begins again with empty rollups.
-- if table alert_1h_v1
TRUNCATE TABLE alert_1m SYNC;

-- if table alert_1h_v1
INSERT INTO alert_1m (constituent, bucket, sensor, signature_id, signature, category, severity, ags, kreis, alerts, late_alerts, last_us)
SELECT constituent, toStartOfMinute(event_us) AS bucket, sensor, signature_id, signature, category, severity, ags, kreis, count() AS alerts, countIf(late) AS late_alerts, max(event_us) AS last_us
FROM alert WHERE event_us >= received_us - INTERVAL 7 DAY
GROUP BY constituent, bucket, sensor, signature_id, signature, category, severity, ags, kreis
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0;

-- if table alert_1h_v1
TRUNCATE TABLE alert_5m SYNC;

-- if table alert_1h_v1
INSERT INTO alert_5m (constituent, bucket, sensor, signature_id, signature, category, severity, ags, kreis, alerts, late_alerts, last_us)
SELECT constituent, toStartOfFiveMinutes(event_us) AS bucket, sensor, signature_id, signature, category, severity, ags, kreis, count() AS alerts, countIf(late) AS late_alerts, max(event_us) AS last_us
FROM alert WHERE event_us >= received_us - INTERVAL 90 DAY
GROUP BY constituent, bucket, sensor, signature_id, signature, category, severity, ags, kreis
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0;

-- if table alert_1h_v1
TRUNCATE TABLE alert_1h SYNC;

-- if table alert_1h_v1
INSERT INTO alert_1h (constituent, bucket, sensor, signature_id, signature, category, severity, ags, kreis, alerts, late_alerts, last_us)
SELECT constituent, toStartOfHour(event_us) AS bucket, sensor, signature_id, signature, category, severity, ags, kreis, count() AS alerts, countIf(late) AS late_alerts, max(event_us) AS last_us
FROM alert WHERE event_us >= received_us - INTERVAL 400 DAY
GROUP BY constituent, bucket, sensor, signature_id, signature, category, severity, ags, kreis
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0;

-- if table alert_1h_v1
TRUNCATE TABLE flow_1m SYNC;

-- if table alert_1h_v1
INSERT INTO flow_1m (constituent, bucket, sensor, proto, app_proto, ags, kreis, flows, alerted_flows, packets_toserver, packets_toclient, octets_toserver, octets_toclient)
SELECT constituent, toStartOfMinute(event_us) AS bucket, sensor, proto, app_proto, ags, kreis, count() AS flows, countIf(alerted) AS alerted_flows, sum(pkts_toserver) AS packets_toserver, sum(pkts_toclient) AS packets_toclient, sum(bytes_toserver) AS octets_toserver, sum(bytes_toclient) AS octets_toclient
FROM flow WHERE event_us >= received_us - INTERVAL 7 DAY
GROUP BY constituent, bucket, sensor, proto, app_proto, ags, kreis
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0;

-- if table alert_1h_v1
TRUNCATE TABLE flow_5m SYNC;

-- if table alert_1h_v1
INSERT INTO flow_5m (constituent, bucket, sensor, proto, app_proto, ags, kreis, flows, alerted_flows, packets_toserver, packets_toclient, octets_toserver, octets_toclient)
SELECT constituent, toStartOfFiveMinutes(event_us) AS bucket, sensor, proto, app_proto, ags, kreis, count() AS flows, countIf(alerted) AS alerted_flows, sum(pkts_toserver) AS packets_toserver, sum(pkts_toclient) AS packets_toclient, sum(bytes_toserver) AS octets_toserver, sum(bytes_toclient) AS octets_toclient
FROM flow WHERE event_us >= received_us - INTERVAL 90 DAY
GROUP BY constituent, bucket, sensor, proto, app_proto, ags, kreis
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0;

-- if table alert_1h_v1
TRUNCATE TABLE flow_1h SYNC;

-- if table alert_1h_v1
INSERT INTO flow_1h (constituent, bucket, sensor, proto, app_proto, ags, kreis, flows, alerted_flows, packets_toserver, packets_toclient, octets_toserver, octets_toclient)
SELECT constituent, toStartOfHour(event_us) AS bucket, sensor, proto, app_proto, ags, kreis, count() AS flows, countIf(alerted) AS alerted_flows, sum(pkts_toserver) AS packets_toserver, sum(pkts_toclient) AS packets_toclient, sum(bytes_toserver) AS octets_toserver, sum(bytes_toclient) AS octets_toclient
FROM flow WHERE event_us >= received_us - INTERVAL 400 DAY
GROUP BY constituent, bucket, sensor, proto, app_proto, ags, kreis
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0;

-- if table alert_1h_v1
TRUNCATE TABLE record_1m SYNC;

-- if table alert_1h_v1
INSERT INTO record_1m (constituent, bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis, events)
SELECT constituent, toStartOfMinute(event_us) AS bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis, count() AS events
FROM record WHERE event_us >= received_us - INTERVAL 7 DAY
GROUP BY constituent, bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0;

-- if table alert_1h_v1
TRUNCATE TABLE record_5m SYNC;

-- if table alert_1h_v1
INSERT INTO record_5m (constituent, bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis, events)
SELECT constituent, toStartOfFiveMinutes(event_us) AS bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis, count() AS events
FROM record WHERE event_us >= received_us - INTERVAL 90 DAY
GROUP BY constituent, bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0;

-- if table alert_1h_v1
TRUNCATE TABLE record_1h SYNC;

-- if table alert_1h_v1
INSERT INTO record_1h (constituent, bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis, events)
SELECT constituent, toStartOfHour(event_us) AS bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis, count() AS events
FROM record WHERE event_us >= received_us - INTERVAL 400 DAY
GROUP BY constituent, bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0;

-- if table alert_1h_v1
INSERT INTO alert_1h (constituent, bucket, signature_id, ags, kreis, alerts, last_us)
SELECT constituent, hour AS bucket, signature_id, ags, kreis, sum(alerts) - any(raw.alerts) AS alerts, toDateTime64(hour, 6, 'UTC') AS last_us
FROM (SELECT constituent, ags, kreis, signature_id, hour, sum(alerts) AS alerts FROM alert_1h_v1 GROUP BY constituent, ags, kreis, signature_id, hour) AS old
LEFT JOIN (SELECT constituent, ags, kreis, signature_id, toStartOfHour(event_us) AS hour, count() AS alerts FROM alert GROUP BY constituent, ags, kreis, signature_id, hour) AS raw
USING (constituent, ags, kreis, signature_id, hour)
GROUP BY constituent, bucket, signature_id, ags, kreis, hour, raw.alerts
HAVING sum(old.alerts) > any(raw.alerts)
SETTINGS insert_deduplicate = 0, async_insert = 0, max_partitions_per_insert_block = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS alert_1m_view TO alert_1m AS
SELECT constituent, toStartOfMinute(event_us) AS bucket, sensor, signature_id, signature, category, severity, ags, kreis, count() AS alerts, countIf(late) AS late_alerts, max(event_us) AS last_us
FROM alert WHERE event_us >= received_us - INTERVAL 7 DAY
GROUP BY constituent, bucket, sensor, signature_id, signature, category, severity, ags, kreis;

CREATE MATERIALIZED VIEW IF NOT EXISTS alert_5m_view TO alert_5m AS
SELECT constituent, toStartOfFiveMinutes(event_us) AS bucket, sensor, signature_id, signature, category, severity, ags, kreis, count() AS alerts, countIf(late) AS late_alerts, max(event_us) AS last_us
FROM alert WHERE event_us >= received_us - INTERVAL 90 DAY
GROUP BY constituent, bucket, sensor, signature_id, signature, category, severity, ags, kreis;

CREATE MATERIALIZED VIEW IF NOT EXISTS alert_1h_view TO alert_1h AS
SELECT constituent, toStartOfHour(event_us) AS bucket, sensor, signature_id, signature, category, severity, ags, kreis, count() AS alerts, countIf(late) AS late_alerts, max(event_us) AS last_us
FROM alert WHERE event_us >= received_us - INTERVAL 400 DAY
GROUP BY constituent, bucket, sensor, signature_id, signature, category, severity, ags, kreis;

CREATE MATERIALIZED VIEW IF NOT EXISTS flow_1m_view TO flow_1m AS
SELECT constituent, toStartOfMinute(event_us) AS bucket, sensor, proto, app_proto, ags, kreis, count() AS flows, countIf(alerted) AS alerted_flows, sum(pkts_toserver) AS packets_toserver, sum(pkts_toclient) AS packets_toclient, sum(bytes_toserver) AS octets_toserver, sum(bytes_toclient) AS octets_toclient
FROM flow WHERE event_us >= received_us - INTERVAL 7 DAY
GROUP BY constituent, bucket, sensor, proto, app_proto, ags, kreis;

CREATE MATERIALIZED VIEW IF NOT EXISTS flow_5m_view TO flow_5m AS
SELECT constituent, toStartOfFiveMinutes(event_us) AS bucket, sensor, proto, app_proto, ags, kreis, count() AS flows, countIf(alerted) AS alerted_flows, sum(pkts_toserver) AS packets_toserver, sum(pkts_toclient) AS packets_toclient, sum(bytes_toserver) AS octets_toserver, sum(bytes_toclient) AS octets_toclient
FROM flow WHERE event_us >= received_us - INTERVAL 90 DAY
GROUP BY constituent, bucket, sensor, proto, app_proto, ags, kreis;

CREATE MATERIALIZED VIEW IF NOT EXISTS flow_1h_view TO flow_1h AS
SELECT constituent, toStartOfHour(event_us) AS bucket, sensor, proto, app_proto, ags, kreis, count() AS flows, countIf(alerted) AS alerted_flows, sum(pkts_toserver) AS packets_toserver, sum(pkts_toclient) AS packets_toclient, sum(bytes_toserver) AS octets_toserver, sum(bytes_toclient) AS octets_toclient
FROM flow WHERE event_us >= received_us - INTERVAL 400 DAY
GROUP BY constituent, bucket, sensor, proto, app_proto, ags, kreis;

CREATE MATERIALIZED VIEW IF NOT EXISTS record_1m_view TO record_1m AS
SELECT constituent, toStartOfMinute(event_us) AS bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis, count() AS events
FROM record WHERE event_us >= received_us - INTERVAL 7 DAY
GROUP BY constituent, bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis;

CREATE MATERIALIZED VIEW IF NOT EXISTS record_5m_view TO record_5m AS
SELECT constituent, toStartOfFiveMinutes(event_us) AS bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis, count() AS events
FROM record WHERE event_us >= received_us - INTERVAL 90 DAY
GROUP BY constituent, bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis;

CREATE MATERIALIZED VIEW IF NOT EXISTS record_1h_view TO record_1h AS
SELECT constituent, toStartOfHour(event_us) AS bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis, count() AS events
FROM record WHERE event_us >= received_us - INTERVAL 400 DAY
GROUP BY constituent, bucket, sensor, class, event_type, anomaly_type, anomaly_event, app_proto, ags, kreis;

-- if table alert_1h_v1
DROP TABLE IF EXISTS alert_1h_v1 SYNC;

ALTER TABLE alert ADD INDEX IF NOT EXISTS event_us_skip event_us TYPE minmax GRANULARITY 1;

ALTER TABLE alert ADD INDEX IF NOT EXISTS sensor_skip sensor TYPE bloom_filter(0.01) GRANULARITY 1;

ALTER TABLE alert MATERIALIZE INDEX event_us_skip;

ALTER TABLE alert MATERIALIZE INDEX sensor_skip;

ALTER TABLE flow ADD INDEX IF NOT EXISTS event_us_skip event_us TYPE minmax GRANULARITY 1;

ALTER TABLE flow ADD INDEX IF NOT EXISTS sensor_skip sensor TYPE bloom_filter(0.01) GRANULARITY 1;

ALTER TABLE flow MATERIALIZE INDEX event_us_skip;

ALTER TABLE flow MATERIALIZE INDEX sensor_skip;

ALTER TABLE record ADD INDEX IF NOT EXISTS event_us_skip event_us TYPE minmax GRANULARITY 1;

ALTER TABLE record ADD INDEX IF NOT EXISTS sensor_skip sensor TYPE bloom_filter(0.01) GRANULARITY 1;

ALTER TABLE record MATERIALIZE INDEX event_us_skip;

ALTER TABLE record MATERIALIZE INDEX sensor_skip;

-- What was begun and must be done again where it was cut short; what the size cap took.
CREATE TABLE IF NOT EXISTS rebuild (
    id UUID COMMENT 'The rebuild; one row when it begins, one when it is done.',
    source LowCardinality(String) COMMENT 'Raw table whose rollups are built again.',
    sensor UUID COMMENT 'Whose rows; the nil UUID for all sensors.',
    from_us DateTime64(6, 'UTC') COMMENT 'Earliest event time.',
    to_us DateTime64(6, 'UTC') COMMENT 'Latest event time.',
    done Bool COMMENT 'Whether it is done.',
    at_us DateTime64(6, 'UTC') COMMENT 'When.'
) ENGINE = MergeTree
PARTITION BY toYYYYMM(at_us)
ORDER BY (id, done)
TTL toDateTime(at_us) + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS eviction (
    name LowCardinality(String) COMMENT 'Table.',
    partition String COMMENT 'Partition that was dropped.',
    rows UInt64 COMMENT 'Rows in it.',
    bytes UInt64 COMMENT 'Bytes on disk that it held.',
    until_us DateTime64(6, 'UTC') COMMENT 'End of the time that the partition covers: receipt for raw tables, bucket for rollups.',
    at_us DateTime64(6, 'UTC') COMMENT 'When.'
) ENGINE = MergeTree
PARTITION BY toYYYYMM(at_us)
ORDER BY (at_us, name, partition)
TTL toDateTime(at_us) + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;
