-- SPDX-FileCopyrightText: Lagewarte contributors
-- SPDX-License-Identifier: EUPL-1.2
-- Ingest on several aggregators: leases of lanes, and which lane each sensor's events go through.

INSERT INTO counter (name, n) VALUES ('fence', 0);

CREATE TABLE ingest_lane (
    journal TEXT NOT NULL,
    lane BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    aggregator TEXT NOT NULL,
    state TEXT NOT NULL,
    beat BIGINT NOT NULL,
    taken_us BIGINT NOT NULL,
    fenced_by BIGINT,
    PRIMARY KEY (fence)
);
CREATE INDEX ingest_lane_state ON ingest_lane (state);

CREATE TABLE ingest_sensor (
    sensor TEXT PRIMARY KEY,
    fence BIGINT NOT NULL REFERENCES ingest_lane (fence),
    wanted_by BIGINT,
    connected BIGINT NOT NULL
);
CREATE INDEX ingest_sensor_fence ON ingest_sensor (fence);
