-- SPDX-FileCopyrightText: Lagewarte contributors
-- SPDX-License-Identifier: EUPL-1.2
-- Register: who is who, which sensor speaks for whom, tokens, audit. TEXT and BIGINT only (SQLite and PostgreSQL).
-- Times are microseconds since the Unix epoch. Applied once, in order, never edited afterwards.

-- One row a counter: 'write' serialises writers, 'register' grows with each change of the register.
CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    n BIGINT NOT NULL
);
INSERT INTO counter (name, n) VALUES ('write', 0), ('register', 0);

CREATE TABLE constituent (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    ags TEXT NOT NULL,
    population BIGINT
);

-- The AGS is a dated attribute: municipalities merge and move between Kreise.
CREATE TABLE constituent_ags (
    constituent TEXT NOT NULL REFERENCES constituent (id),
    ags TEXT NOT NULL,
    from_us BIGINT NOT NULL,
    PRIMARY KEY (constituent, from_us)
);

CREATE TABLE network (
    constituent TEXT NOT NULL REFERENCES constituent (id),
    cidr TEXT NOT NULL,
    PRIMARY KEY (constituent, cidr)
);

CREATE TABLE contact (
    constituent TEXT NOT NULL REFERENCES constituent (id),
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    mail TEXT NOT NULL,
    phone TEXT NOT NULL,
    PRIMARY KEY (constituent, name)
);

CREATE TABLE sensor (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    constituent TEXT NOT NULL REFERENCES constituent (id),
    interval_s BIGINT NOT NULL,
    state TEXT NOT NULL,
    cert_serial TEXT,
    cert_not_after_us BIGINT
);

CREATE TABLE sensor_constituent (
    sensor TEXT NOT NULL REFERENCES sensor (id),
    constituent TEXT NOT NULL REFERENCES constituent (id),
    PRIMARY KEY (sensor, constituent)
);

CREATE TABLE token (
    sha256 TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    constituent TEXT REFERENCES constituent (id),
    sensor TEXT REFERENCES sensor (id),
    warning TEXT,
    created_us BIGINT NOT NULL,
    expires_us BIGINT,
    used_us BIGINT,
    revoked_us BIGINT,
    label TEXT NOT NULL
);

CREATE TABLE audit (
    id TEXT PRIMARY KEY,
    at_us BIGINT NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at_us);
