# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Counts what happened in the demo, by other code than what is counted: the sensors' own release logs against SQL.

Argument: a JSON object {"data": DIR of the aggregator, "tools": DIR of sql.py, "released": [FILE…], "mails": FILE,
"acknowledged": {constituent: FILE}, "start_us": N}. Answers one JSON object.
"""
import json, os, sqlite3, sys

a = json.loads(sys.argv[1])
sys.path.insert(0, a["tools"])
from sql import client  # noqa: E402, an independent client (clickhouse-connect) as the read-only user

ch = client(a["data"])


def lines(path):
    try:
        with open(path, encoding="utf-8") as f:
            for line in f:
                if line.endswith("\n"):  # a process killed in mid-line leaves half of one
                    yield json.loads(line)
    except FileNotFoundError:
        return


def quantiles(values):
    v = sorted(values)
    at = lambda q: round(v[min(len(v) - 1, int(q * len(v)))] / 1000, 1) if v else None
    return {"n": len(v), "p50": at(0.50), "p99": at(0.99)}


# What left the sensors, as each wrote it down for its own municipality.
produced = {}
for path in a["released"]:
    for r in lines(path):
        produced[r["id"]] = r["class"]

# What is in the store. The id is put together here again from its four columns.
stored, copies = {}, 0
gaps = []
EVENTS = ("alert", "flow", "record", "health")
for table in EVENTS:
    for sensor, epoch, nonce, seq, klass in ch.query(f"SELECT sensor, epoch, nonce, seq, toString(class) FROM {table}").result_rows:
        key = f"{sensor}:{epoch}-{nonce:016x}:{seq}"
        copies += key in stored
        stored[key] = klass
quarantined = {f"{s}:{e}-{n:016x}:{q}": r for s, e, n, q, r in ch.query(
    "SELECT sensor, epoch, nonce, seq, toString(reason) FROM quarantine").result_rows}
for sensor, epoch, nonce, low, high, reason in ch.query(
        "SELECT DISTINCT sensor, epoch, nonce, from_seq, to_seq, toString(reason) FROM gap").result_rows:
    gaps.append((f"{sensor}:{epoch}-{nonce:016x}:", low, high, reason))


def gap_of(key):
    head, seq = key.rsplit(":", 1)
    return next((r for p, low, high, r in gaps if p == head + ":" and low <= int(seq) <= high), None)


missing = [k for k in produced if k not in stored and k not in quarantined]
dropped = {}
for k in missing:
    reason = gap_of(k) or "UNEXPLAINED"
    dropped[reason] = dropped.get(reason, 0) + 1
for k, r in quarantined.items():
    dropped["quarantine." + r] = dropped.get("quarantine." + r, 0) + 1

alerts_by_sid = {}
for constituent, sid, n in ch.query("SELECT toString(constituent), signature_id, count() FROM alert GROUP BY 1, 2").result_rows:
    alerts_by_sid.setdefault(str(sid), {})[constituent] = n
before_start = ch.query(
    "SELECT count() FROM alert WHERE event_us < fromUnixTimestamp64Micro({t:Int64})", parameters={"t": a["start_us"]}).result_rows[0][0]
rollup = ch.query("SELECT sum(alerts) FROM alert_1h").result_rows[0][0] if "alert_1h" in [
    r[0] for r in ch.query("SHOW TABLES").result_rows] else None

# Hops of each alert and health event; durable is the segment's.
hops = {"read_to_spooled": [], "spooled_to_sent": [], "sent_to_received": [], "received_to_durable": [], "read_to_durable": []}
us = lambda c: f"toUnixTimestamp64Micro({c})"
for o, sp, se, re, du in ch.query(
        f"SELECT {us('e.observed_us')}, {us('e.spooled_us')}, {us('e.sent_us')}, {us('e.received_us')}, {us('s.durable_us')} FROM "
        "(SELECT observed_us, spooled_us, sent_us, received_us, segment FROM alert UNION ALL "
        " SELECT observed_us, spooled_us, sent_us, received_us, segment FROM flow) e "
        "JOIN segment s ON s.segment = e.segment").result_rows:
    for name, x, y in (("read_to_spooled", o, sp), ("spooled_to_sent", sp, se), ("sent_to_received", se, re),
                       ("received_to_durable", re, du), ("read_to_durable", o, du)):
        hops[name].append(y - x)

db = sqlite3.connect(f"file:{os.path.join(a['data'], 'control.db')}?mode=ro", uri=True)
warned, feed, mail_db, acked = {}, {}, {}, {}
steps = {"pictured_to_released": [], "released_to_first_served": [], "released_to_delivered": [], "first_served_to_acknowledged": []}
warnings = db.execute("SELECT id, title, kind, state, pictured_us, released_us FROM warning").fetchall()
for w, c, pictured, released in db.execute("SELECT warning, constituent, pictured_us, released_us FROM warning_constituent"):
    warned.setdefault(w, []).append(c)
    if released:
        steps["pictured_to_released"].append(released - pictured)
for w, c, channel, state, served, delivered, released in db.execute(
        "SELECT d.warning, d.constituent, d.channel, d.state, d.first_served_us, d.delivered_us, c.released_us FROM delivery d "
        "JOIN warning_constituent c ON c.warning = d.warning AND c.constituent = d.constituent"):
    if channel == "feed" and served:
        feed.setdefault(w, []).append(c)
        steps["released_to_first_served"].append(served - released)
    if channel == "mail" and delivered:
        mail_db.setdefault(w, []).append(c)
        steps["released_to_delivered"].append(delivered - released)
acks = db.execute("SELECT warning, constituent, acknowledged_us FROM acknowledgement").fetchall()
for w, c, at in acks:
    acked.setdefault(w, []).append(c)
    row = db.execute("SELECT first_served_us FROM delivery WHERE warning = ? AND constituent = ? AND channel = 'feed'", (w, c)).fetchone()
    if row and row[0]:
        steps["first_served_to_acknowledged"].append(at - row[0])
contacts = {}
for c, m in db.execute("SELECT constituent, mail FROM contact"):
    contacts[m] = c
mails = {}
for m in lines(a["mails"]):
    for to in m["to"]:
        mails.setdefault(contacts.get(to, to), set()).add(m["subject"])

print(json.dumps({
    "events_produced": len(produced),
    "events_stored": len(stored),
    "events_stored_not_logged": len([k for k in stored if k not in produced]),
    "events_dropped": sum(dropped.values()),
    "dropped_by_reason": dropped,
    "duplicates": copies,
    "alerts_produced": sum(c == "alert" for c in produced.values()),
    "alerts_stored": sum(c == "alert" for c in stored.values()),
    "alerts_missing": [k for k in missing if produced[k] == "alert"],
    "alerts_by_sid": alerts_by_sid,
    "alerts_in_background_hour": before_start,
    "rollup_alerts": rollup,
    "gaps": [{"epoch": p, "from": low, "to": high, "reason": r} for p, low, high, r in gaps],
    "warnings": len(warnings),
    "acknowledgements": len(acks),
    "warning": [{"id": w, "title": t, "kind": k, "state": s, "warned": sorted(warned.get(w, [])), "by_feed": sorted(feed.get(w, [])),
                 "by_mail": sorted(set(mail_db.get(w, []))), "acknowledged": sorted(acked.get(w, []))} for w, t, k, s, _, _ in warnings],
    "mails_received": {c: sorted(s) for c, s in sorted(mails.items())},
    "read_by_municipality": {c: [w["title"] for w in lines(f)] for c, f in a["acknowledged"].items()},
    "latency_ms": {k: quantiles(v) for k, v in {**hops, **steps}.items()},
}))
