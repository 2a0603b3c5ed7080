-- SPDX-FileCopyrightText: Lagewarte contributors
-- SPDX-License-Identifier: EUPL-1.2
-- Version 4: ingest lanes that may insert no more. Each insert of a segment asks this table in the same statement.
CREATE TABLE IF NOT EXISTS fence (
    lane String COMMENT 'Journal and lane.',
    below UInt64 COMMENT 'Lives of the lane with a lower fencing number are shut out.',
    at_us DateTime64(6, 'UTC') COMMENT 'When.'
) ENGINE = MergeTree
ORDER BY (lane, below)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
