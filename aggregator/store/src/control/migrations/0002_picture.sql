-- SPDX-FileCopyrightText: Lagewarte contributors
-- SPDX-License-Identifier: EUPL-1.2
-- Picture: coverage by sensor, campaigns with their evidence, levels with their reasons.

CREATE TABLE coverage (
    sensor TEXT PRIMARY KEY REFERENCES sensor (id),
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    last_seen_us BIGINT,
    lag_us BIGINT,
    loss_ppm BIGINT,
    ruleset TEXT NOT NULL,
    since_us BIGINT NOT NULL
);

-- closed_us is 0 while the campaign is open: at most one open campaign of a kind and key.
CREATE TABLE campaign (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    title TEXT NOT NULL,
    evidence TEXT NOT NULL,
    first_us BIGINT NOT NULL,
    last_us BIGINT NOT NULL,
    pictured_us BIGINT NOT NULL,
    late BIGINT NOT NULL,
    closed_us BIGINT NOT NULL
);
CREATE UNIQUE INDEX campaign_open ON campaign (kind, key) WHERE closed_us = 0;

CREATE TABLE campaign_constituent (
    campaign TEXT NOT NULL REFERENCES campaign (id),
    constituent TEXT NOT NULL REFERENCES constituent (id),
    evidence TEXT NOT NULL,
    first_us BIGINT NOT NULL,
    last_us BIGINT NOT NULL,
    pictured_us BIGINT NOT NULL,
    late BIGINT NOT NULL,
    PRIMARY KEY (campaign, constituent)
);
CREATE INDEX campaign_constituent_who ON campaign_constituent (constituent);

CREATE TABLE level (
    area TEXT NOT NULL,
    key TEXT NOT NULL,
    level BIGINT NOT NULL,
    reasons TEXT NOT NULL,
    visible BIGINT NOT NULL,
    total BIGINT NOT NULL,
    since_us BIGINT NOT NULL,
    PRIMARY KEY (area, key)
);

-- One row for each change of a level: what changed, when, why.
CREATE TABLE level_change (
    area TEXT NOT NULL,
    key TEXT NOT NULL,
    at_us BIGINT NOT NULL,
    level BIGINT NOT NULL,
    previous BIGINT,
    reasons TEXT NOT NULL,
    PRIMARY KEY (area, key, at_us)
);
