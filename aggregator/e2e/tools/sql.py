# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Asks a running aggregator's embedded ClickHouse, as Grafana would. Arguments: DATA_DIR QUERY. Prints rows as JSON.

Never: write. An independent client (clickhouse-connect), so that the aggregator's own queries are not their own witness.
"""
import glob
import json
import os
import sys

import clickhouse_connect


def client(data_dir):
    """Connected as the read-only user `grafana`."""
    (credentials,) = glob.glob(os.path.join(data_dir, "**", "credentials.json"), recursive=True)
    folder = os.path.dirname(credentials)
    with open(credentials, encoding="utf-8") as file:
        password = json.load(file)["grafana"]
    ports = glob.glob(os.path.join(folder, "http.port*"))
    with open(max(ports, key=os.path.getmtime), encoding="utf-8") as file:
        port = int(file.read())
    return clickhouse_connect.get_client(host="127.0.0.1", port=port, username="grafana", password=password, database="lagewarte")


if __name__ == "__main__":
    rows = client(sys.argv[1]).query(sys.argv[2]).result_rows
    print(json.dumps([[str(cell) for cell in row] for row in rows]))
