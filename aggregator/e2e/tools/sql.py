# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Asks a running aggregator's embedded ClickHouse, as Grafana would. Arguments: DATA_DIR QUERY [USER]. Prints rows as JSON.

Never: write. An independent client (clickhouse-connect), so that the aggregator's own queries are not their own witness.
"""
import glob
import json
import os
import re
import sys
import urllib.request

import clickhouse_connect


def place(data_dir):
    """Port and passwords of a running engine."""
    (credentials,) = glob.glob(os.path.join(data_dir, "**", "credentials.json"), recursive=True)
    with open(credentials, encoding="utf-8") as file:
        passwords = json.load(file)
    with open(os.path.join(os.path.dirname(credentials), "config.xml"), encoding="utf-8") as file:
        port = int(re.search(r"<http_port>(\d+)</http_port>", file.read())[1])
    if port == 0:
        raise SystemExit("the aggregator's configuration must give clickhouse.http-port, so that others find the engine")
    return port, passwords


def client(data_dir):
    """Connected as the read-only user `grafana`."""
    port, passwords = place(data_dir)
    return clickhouse_connect.get_client(
        host="127.0.0.1", port=port, username="grafana", password=passwords["grafana"], database="lagewarte")


def as_user(data_dir, query, user):
    """Rows of a question asked as another of the engine's users, who are let in by header only."""
    port, passwords = place(data_dir)
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/", data=f"{query} FORMAT JSONCompact".encode(),
        headers={"X-ClickHouse-User": user, "X-ClickHouse-Key": passwords[user]})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["data"]


if __name__ == "__main__":
    data_dir, query, *user = sys.argv[1:]
    rows = as_user(data_dir, query, *user) if user else client(data_dir).query(query).result_rows
    print(json.dumps([[str(cell) for cell in row] for row in rows]))
