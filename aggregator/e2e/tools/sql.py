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

import clickhouse_connect


def client(data_dir, user="grafana"):
    """Connected as the read-only user `grafana`, or as another of the engine's users."""
    (credentials,) = glob.glob(os.path.join(data_dir, "**", "credentials.json"), recursive=True)
    folder = os.path.dirname(credentials)
    with open(credentials, encoding="utf-8") as file:
        password = json.load(file)[user]
    with open(os.path.join(folder, "config.xml"), encoding="utf-8") as file:
        port = int(re.search(r"<http_port>(\d+)</http_port>", file.read())[1])
    if port == 0:
        raise SystemExit("the aggregator's configuration must give clickhouse.http-port, so that others find the engine")
    return clickhouse_connect.get_client(host="127.0.0.1", port=port, username=user, password=password, database="lagewarte")


if __name__ == "__main__":
    rows = client(sys.argv[1], *sys.argv[3:4]).query(sys.argv[2]).result_rows
    print(json.dumps([[str(cell) for cell in row] for row in rows]))
