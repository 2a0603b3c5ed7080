# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Says of a soak whether the contract held, by code that shares nothing with the product: files and SQL.

Argument: JSON {"engine": DIR of the engine, "run": {"sensors": [{"id", "base", "fed", "ledgers", "spool"}], "syncs"}}.
Answers one JSON object; `failures` is a list of sentences, empty where

- every line fed is stored exactly once,
- every number that a ledger ever reserved is stored once, in quarantine, or within a gap that has a reason, and no number
  is two of these; numbers above the last one given out count as `crash` or lie in a spool that ended cleanly,
- no alert was dropped,
- every rollup equals its raw table,
- every insert the engine remembers was synced: files and directories.

Never: write, or believe the product's own counters.
"""
import json
import os
import struct
import sys
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sql import as_user, client  # noqa: E402, an independent client (clickhouse-connect) as the read-only user

a = json.loads(sys.argv[1])
ch = client(a["engine"])
rows = lambda sql, **p: ch.query(sql, parameters=p).result_rows
failures = []


def fail(text):
    if len(failures) < 40:
        failures.append(text)


# Lines, by their signature ids.
lines_fed = lines_stored = lines_twice = 0
for s in a["run"]["sensors"]:
    low, high = s["base"] + 1, s["base"] + s["fed"]
    n, distinct = rows("SELECT count(), uniqExact(signature_id) FROM alert WHERE signature_id BETWEEN {l:UInt32} AND {h:UInt32}",
                       l=low, h=high)[0]
    lines_fed += s["fed"]
    lines_stored += distinct
    lines_twice += n - distinct
    if distinct != s["fed"]:
        lost = rows("SELECT arraySlice(arrayFilter(x -> x NOT IN (SELECT signature_id FROM alert WHERE signature_id BETWEEN {l:UInt32} "
                    "AND {h:UInt32}), range({l:UInt32}, {h:UInt32} + 1)), 1, 5)", l=low, h=high)[0][0]
        fail(f"sensor {s['id']}: {s['fed']} lines fed, {distinct} stored; the first missing: {[x - s['base'] for x in lost]}")
    if n != distinct:
        fail(f"sensor {s['id']}: {n - distinct} lines are stored twice")


def spooled(folder):
    """Numbers of sound records that still lie in a spool, by epoch; read from the bytes of its segments."""
    held = {}
    places = [os.path.join(at, name) for at, _, names in os.walk(folder) for name in sorted(names)]
    for path in places:
        if not path.endswith(".spool"):
            continue
        with open(path, "rb") as f:
            data = f.read()
        if data[:8] != b"LWSPOOL1":
            continue
        counter, nonce = struct.unpack(">QQ", data[8:24])
        at, numbers = 36, held.setdefault(f"{counter}-{nonce:016x}", set())
        while at + 27 <= len(data):
            kind, length, seq = struct.unpack(">BIQ", data[at + 2:at + 15])
            end = at + 27 + length
            if data[at:at + 2] == b"\xc5\x1a" and end <= len(data) and zlib.crc32(
                    data[at + 2:at + 23] + data[at + 27:end]) == struct.unpack(">I", data[at + 23:at + 27])[0]:
                if 1 <= kind <= 3:
                    numbers.add(seq)
                at = end
            else:
                at += 1
    return held


# Numbers, by epoch: each exactly one of stored, quarantined, in a gap.
reserved_total = stored_total = twice = 0
by_reason, waiting = {}, 0
for s in a["run"]["sensors"]:
    held = spooled(s["spool"])
    epochs = {}
    for table in ("alert", "flow", "record", "health", "quarantine"):
        for epoch, nonce, numbers, segments in rows(
                f"SELECT epoch, nonce, groupArray(seq), groupArray(segment) FROM {table} WHERE sensor = {{s:UUID}} "
                "GROUP BY 1, 2", s=s["id"]):
            seen = epochs.setdefault(f"{epoch}-{nonce:016x}", {})
            for n, segment in zip(numbers, segments):
                place = f"{table} (segment {segment})"
                if n in seen:
                    twice += 1
                    fail(f"sensor {s['id']} epoch {epoch}: number {n} is in {seen[n]} and in {place}")
                seen[n] = place
    gaps = {}
    for epoch, nonce, low, high, reason in rows(
            "SELECT DISTINCT epoch, nonce, from_seq, to_seq, toString(reason) FROM gap WHERE sensor = {s:UUID}", s=s["id"]):
        gaps.setdefault(f"{epoch}-{nonce:016x}", []).append((low, high, reason))
    for key, reserved in s["ledgers"].items():
        seen, holes = epochs.get(key, {}), sorted(gaps.get(key, []))
        reserved_total += reserved
        stored_total += len(seen)
        for low, high, reason in holes:
            both = [n for n in seen if low <= n <= high]
            if both:
                fail(f"sensor {s['id']} epoch {key}: {len(both)} numbers are stored and lie in the gap {low} to {high} ({reason})")
            by_reason[reason] = by_reason.get(reason, 0) + high - low + 1
        at = 1
        covered = sorted([(n, n) for n in seen] + [(low, high) for low, high, _ in holes] + [(n, n) for n in held.get(key, ())])
        waiting += sum(1 for n in held.get(key, ()) if n not in seen)
        for low, high in covered:
            if low > at:
                fail(f"sensor {s['id']} epoch {key}: numbers {at} to {low - 1} of {reserved} are nowhere")
            at = max(at, high + 1)
        if at <= reserved:
            # Reserved ahead and never given out: only the epoch that ran last may end so, and only by a kill at the end.
            # Alerts and bulk have a spool each, so there are two such epochs at most.
            newest = sorted(s["ledgers"], key=lambda k: int(k.split("-")[0]))[-2:]
            if key not in newest:
                fail(f"sensor {s['id']} epoch {key}: numbers {at} to {reserved} are nowhere")
            else:
                by_reason["reserved, spool still open"] = by_reason.get("reserved, spool still open", 0) + reserved - at + 1
    for key in epochs:
        if key not in s["ledgers"]:
            fail(f"sensor {s['id']}: epoch {key} is in the store and was never seen in its ledger")
unwanted = {r: n for r, n in by_reason.items() if r not in ("crash", "reserved, spool still open")}
if unwanted:
    fail(f"numbers were dropped for other reasons than a crash: {unwanted}")

# Rollups against raw.
rollups = {}
for (name,) in rows("SELECT name FROM system.tables WHERE database = 'lagewarte' AND match(name, '_(1m|5m|1h)$')"):
    raw, step = name.rsplit("_", 1)
    columns = [c for (c,) in rows("SELECT name FROM system.columns WHERE database = 'lagewarte' AND table = {t:String}", t=name)]
    measure = {"alert": "alerts", "flow": "flows", "record": "records"}.get(raw)
    if measure is None or measure not in columns:
        continue
    bucket = "bucket" if "bucket" in columns else "hour"
    start = {"1m": "toStartOfMinute", "5m": "toStartOfFiveMinutes", "1h": "toStartOfHour"}[step]
    differ = rows(
        f"SELECT count() FROM (SELECT toString(constituent) c, sensor s, {bucket} b, sum({measure}) n FROM {name} GROUP BY 1, 2, 3) r "
        f"FULL JOIN (SELECT toString(constituent) c, sensor s, {start}(event_us) b, count() n FROM {raw} GROUP BY 1, 2, 3) w "
        "ON r.c = w.c AND r.s = w.s AND r.b = w.b WHERE r.n != w.n")[0][0]
    counted = rows(f"SELECT sum({measure}) FROM {name}")[0][0]
    rollups[name] = counted
    if differ:
        fail(f"{name} differs from {raw} in {differ} buckets")
if not any(n.startswith("alert_") for n in rollups):
    fail("no rollup of alerts was found to compare")

# Every insert the engine remembers was synced.
inserts, unsynced = 0, 0
try:
    inserts, unsynced = map(int, as_user(
        a["engine"], "SELECT count(), countIf(ProfileEvents['FileSync'] = 0 OR ProfileEvents['DirectorySync'] = 0) FROM system.query_log "
        "WHERE type = 'QueryFinish' AND query_kind = 'Insert' AND user = 'ingest' AND written_rows > 0", "ingest")[0])
except Exception as e:  # noqa: BLE001, the reason belongs in the verdict
    fail(f"the engine's query log cannot be read: {str(e)[:200]}")
if inserts == 0:
    fail("the engine remembers no insert: nothing can be said of syncs")
if unsynced:
    fail(f"{unsynced} of {inserts} inserts were not synced")
lives = [x for x in a["run"]["syncs"] if x[0] > 0]
for done, files, directories in lives:
    if files < done or directories < done:
        fail(f"a life of the engine had {done} inserts, {files} file syncs, {directories} directory syncs")

print(json.dumps({
    "failures": failures,
    "lines_fed": lines_fed,
    "lines_stored_once": lines_stored,
    "lines_stored_twice": lines_twice,
    "numbers_reserved": reserved_total,
    "numbers_stored": stored_total,
    "numbers_stored_twice": twice,
    "numbers_dropped_by_reason": by_reason,
    "numbers_waiting_in_a_spool": waiting,
    "alerts_dropped": lines_fed - lines_stored,
    "rollups": rollups,
    "inserts_in_query_log": inserts,
    "inserts_not_synced": unsynced,
    "engine_lives": len(lives),
}))
