-- SPDX-FileCopyrightText: Lagewarte contributors
-- SPDX-License-Identifier: EUPL-1.2
-- Warnings: one a campaign; who is addressed; each delivery; each acknowledgement; each with its time.

CREATE TABLE warning (
    id TEXT PRIMARY KEY,
    campaign TEXT NOT NULL UNIQUE REFERENCES campaign (id),
    kind TEXT NOT NULL,
    tlp TEXT NOT NULL,
    level BIGINT NOT NULL,
    reasons TEXT NOT NULL,
    title TEXT NOT NULL,
    summary TEXT NOT NULL,
    state TEXT NOT NULL,
    late BIGINT NOT NULL,
    pictured_us BIGINT NOT NULL,
    drafted_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL,
    released_us BIGINT,
    released_by TEXT,
    policy TEXT,
    withdrawn_us BIGINT,
    withdrawn_by TEXT,
    withdrawn_why TEXT
);

CREATE TABLE warning_constituent (
    warning TEXT NOT NULL REFERENCES warning (id),
    constituent TEXT NOT NULL REFERENCES constituent (id),
    text TEXT NOT NULL,
    hosts TEXT NOT NULL,
    late BIGINT NOT NULL,
    pictured_us BIGINT NOT NULL,
    released_us BIGINT,
    PRIMARY KEY (warning, constituent)
);
CREATE INDEX warning_constituent_who ON warning_constituent (constituent);

CREATE TABLE delivery (
    id TEXT PRIMARY KEY,
    warning TEXT NOT NULL,
    constituent TEXT NOT NULL,
    channel TEXT NOT NULL,
    recipient TEXT NOT NULL,
    state TEXT NOT NULL,
    queued_us BIGINT NOT NULL,
    next_us BIGINT NOT NULL,
    claimed_by TEXT,
    first_served_us BIGINT,
    delivered_us BIGINT,
    attempts BIGINT NOT NULL,
    error TEXT NOT NULL,
    UNIQUE (warning, constituent, channel, recipient),
    FOREIGN KEY (warning, constituent) REFERENCES warning_constituent (warning, constituent)
);
CREATE INDEX delivery_due ON delivery (state, next_us);

CREATE TABLE acknowledgement (
    warning TEXT NOT NULL,
    constituent TEXT NOT NULL,
    acknowledged_us BIGINT NOT NULL,
    via TEXT NOT NULL,
    who TEXT NOT NULL,
    PRIMARY KEY (warning, constituent),
    FOREIGN KEY (warning, constituent) REFERENCES warning_constituent (warning, constituent)
);
