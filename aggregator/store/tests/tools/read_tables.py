# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Reads every table with clickhouse-connect, as the read-only user. Arguments: PORT PASSWORD. Prints JSON.

Never: use the project's own client, or write. What it prints is held against what was sent by the test that runs it.
"""
import ipaddress
import json
import sys
import uuid

import clickhouse_connect

client = clickhouse_connect.get_client(
    host="127.0.0.1", port=int(sys.argv[1]), username="grafana", password=sys.argv[2], database="lagewarte")
out = {}
for (name,) in client.query("SHOW TABLES").result_rows:
    if name.endswith("_view") or name == "schema_version":
        continue
    result = client.query(f"SELECT * FROM {name}")  # every column, so that every type is read
    out[name] = {"rows": len(result.result_rows), "columns": len(result.column_names)}
names = "sensor, seq, constituent, event_us, src_ip, dest_port, late, signature_id, metadata, eve"
(alert,) = client.query(f"SELECT {names} FROM alert WHERE seq = 1").named_results()
assert isinstance(alert["sensor"], uuid.UUID) and isinstance(alert["src_ip"], (ipaddress.IPv4Address, ipaddress.IPv6Address))
out["first"] = {
    "sensor": str(alert["sensor"]), "constituent": alert["constituent"], "event_us": round(alert["event_us"].timestamp() * 1e6),
    "src_ip": str(getattr(alert["src_ip"], "ipv4_mapped", None) or alert["src_ip"]), "dest_port": alert["dest_port"],
    "late": alert["late"], "signature_id": alert["signature_id"], "kind": alert["metadata"]["lagewarte_kind"],
    "eve_type": json.loads(alert["eve"])["event_type"]}
out["rollup"] = client.query("SELECT sum(alerts), toString(max(last_us)) FROM alert_5m").result_rows[0][0]
frame = client.query("SELECT constituent, sum(alerts) AS n FROM alert_1h GROUP BY constituent ORDER BY constituent").result_rows
out["by_constituent"] = [[c, n] for c, n in frame]
try:
    client.command("INSERT INTO alert_1h (constituent) VALUES ('x')")
    out["writes"] = True
except clickhouse_connect.driver.exceptions.DatabaseError:
    out["writes"] = False
print(json.dumps(out))
