-- SPDX-FileCopyrightText: Lagewarte contributors
-- SPDX-License-Identifier: EUPL-1.2
-- Version 2: under which key an inner address is a pseudonym, so that a warning can say how to resolve it.
ALTER TABLE alert ADD COLUMN IF NOT EXISTS pseudonym_key LowCardinality(String) COMMENT 'Id of the key behind the pseudonyms; empty where addresses are clear.' AFTER app_proto;

ALTER TABLE flow ADD COLUMN IF NOT EXISTS pseudonym_key LowCardinality(String) COMMENT 'Id of the key behind the pseudonyms; empty where addresses are clear.' AFTER app_proto;

ALTER TABLE record ADD COLUMN IF NOT EXISTS pseudonym_key LowCardinality(String) COMMENT 'Id of the key behind the pseudonyms; empty where addresses are clear.' AFTER app_proto;
