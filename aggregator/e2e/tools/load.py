# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Load for the latency measurement: captures that give a known number of alerts a second, and the figures afterwards.

    load.py rules OUT.rules CAMPAIGNS
    load.py capture OUT.pcap OCTET RATE SECONDS CAMPAIGNS OFFSET_S
    load.py report DATA_DIR

`capture`: RATE packets a second for SECONDS, each firing the noisy rule once, evenly spaced; and CAMPAIGNS marked packets,
spread over the time and OFFSET_S later at each further town hall, each firing a rule of its own: a campaign. `report`: p50,
p99 and the largest value of every hop, in milliseconds, asked of ClickHouse and of the control plane's SQLite.

Never: write anywhere but OUT. Limits: one machine's clock for all times; quantiles over all events, no sampling.
"""
import glob
import json
import os
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "rules", "captures"))
import packets  # noqa: E402

NOISE_SID, CAMPAIGN_SID = 9_800_000, 9_810_000
NOISE_PORT, CAMPAIGN_PORT = 9000, 10_000
WARM_UP_S = 3


def rules(out, campaigns):
    """One noisy rule, and one rule a campaign."""
    with open(out, "w", encoding="utf-8") as file:
        file.write(f'alert udp any any -> any {NOISE_PORT} (msg:"LOAD noise"; content:"lagewarte load"; classtype:network-scan; sid:{NOISE_SID}; rev:1;)\n')
        for n in range(campaigns):
            file.write(f'alert udp any any -> any {CAMPAIGN_PORT + n} (msg:"LOAD campaign {n}"; content:"lagewarte campaign"; '
                       f'classtype:attempted-admin; sid:{CAMPAIGN_SID + n}; rev:1;)\n')


def capture(out, octet, rate, seconds, campaigns, offset):
    """The traffic of one town hall."""
    start, made = 1_772_442_000_000_000, []
    inner, noisy = f"10.{octet}.1.10", f"203.0.113.{octet}"
    for n in range(int(rate * seconds)):
        made.append(packets.udp(start + int(n * 1e6 / rate), noisy, 20_000 + n % 40_000, inner, NOISE_PORT, b"lagewarte load %06d" % n))
    for n in range(campaigns):
        at = WARM_UP_S + (seconds - WARM_UP_S - 5) * n / max(1, campaigns) + offset
        made.append(packets.udp(start + int(at * 1e6), f"198.51.100.{octet}", 4000 + n, inner, CAMPAIGN_PORT + n, b"lagewarte campaign %d" % n))
    made.sort(key=lambda p: p.time)
    packets.write_pcap(out, made)


def figures(values):
    """Milliseconds."""
    ordered = sorted(values)
    if not ordered:
        return {"n": 0}
    at = lambda q: round(ordered[min(len(ordered) - 1, int(q * len(ordered)))] / 1000, 1)  # noqa: E731
    return {"n": len(ordered), "p50": at(0.5), "p99": at(0.99), "max": at(1)}


def report(data_dir):
    """Every hop."""
    import sql  # needs clickhouse-connect, which the other commands do not

    us = lambda column: f"toUnixTimestamp64Micro({column})"  # noqa: E731
    client = sql.client(data_dir)
    events = client.query(
        f"SELECT signature_id, toString(constituent), {us('a.event_us')}, {us('a.observed_us')}, {us('a.spooled_us')}, {us('a.sent_us')}, "
        f"{us('a.received_us')}, {us('s.durable_us')} FROM alert a JOIN segment s ON s.segment = a.segment").result_rows
    times = [row[2:] for row in events]
    names = ["packet>read", "read>spooled", "spooled>sent", "sent>received", "received>durable"]
    hops = {name: figures([t[n + 1] - t[n] for t in times]) for n, name in enumerate(names)}
    hops["packet>durable"] = figures([t[5] - t[0] for t in times])
    seconds = (max(t[0] for t in times) - min(t[0] for t in times)) / 1e6 if len(times) > 1 else 0

    # A campaign is complete with its last constituent's packet: from there on the clock runs.
    complete = {}
    for row in events:
        if row[0] >= CAMPAIGN_SID:
            complete[row[0]] = max(complete.get(row[0], 0), row[2])
    (path,) = [p for p in glob.glob(os.path.join(data_dir, "**", "*"), recursive=True)
               if os.path.isfile(p) and open(p, "rb").read(16) == b"SQLite format 3\0"]
    control = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    steps = {name: [] for name in ("pictured>released", "released>first served", "first served>acknowledged", "released>delivered", "packet>pictured",
                                   "packet>first served", "packet>mail delivered")}
    for key, pictured, released, served, delivered, acknowledged in control.execute(
            "SELECT c.key, wc.pictured_us, wc.released_us, f.first_served_us, m.delivered_us, a.acknowledged_us FROM warning w "
            "JOIN campaign c ON c.id = w.campaign JOIN warning_constituent wc ON wc.warning = w.id "
            "LEFT JOIN delivery f ON f.warning = w.id AND f.constituent = wc.constituent AND f.channel = 'feed' "
            "LEFT JOIN delivery m ON m.warning = w.id AND m.constituent = wc.constituent AND m.channel = 'mail' "
            "LEFT JOIN acknowledgement a ON a.warning = w.id AND a.constituent = wc.constituent"):
        digits = "".join(ch if ch.isdigit() else " " for ch in str(key)).split()
        begun = next((complete[int(d)] for d in digits if int(d) in complete), None)
        if begun is None:
            continue  # the noise is a campaign too, one without a moment of completion
        for name, early, late in (("pictured>released", pictured, released), ("released>first served", released, served),
                                  ("first served>acknowledged", served, acknowledged), ("released>delivered", released, delivered),
                                  ("packet>pictured", begun, pictured), ("packet>first served", begun, served),
                                  ("packet>mail delivered", begun, delivered)):
            if early and late:
                steps[name].append(late - early)
    print(json.dumps({
        "alerts": len(events), "seconds": round(seconds, 1), "alerts_per_s": round(len(events) / seconds, 1) if seconds else None,
        "campaigns_completed": len(complete), "hops_ms": hops, "warnings_ms": {name: figures(v) for name, v in steps.items()},
    }))


def main():
    """Command line."""
    command, a = sys.argv[1], sys.argv[2:]
    if command == "rules":
        rules(a[0], int(a[1]))
    elif command == "capture":
        capture(a[0], int(a[1]), float(a[2]), float(a[3]), int(a[4]), float(a[5]))
    elif command == "report":
        report(a[0])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
