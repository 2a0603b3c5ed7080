# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Asks a running aggregator's embedded ClickHouse, as Grafana would. Arguments: DATA_DIR QUERY. Prints rows as JSON.

Never: write. An independent client (clickhouse-connect), so that the aggregator's own queries are not their own witness.
"""
import glob
import json
import os
import re
import sys

import clickhouse_connect


def client(data_dir):
    """Connected as the read-only user `grafana`."""
    (credentials,) = glob.glob(os.path.join(data_dir, "**", "credentials.json"), recursive=True)
    folder = os.path.dirname(credentials)
    with open(credentials, encoding="utf-8") as file:
        password = json.load(file)["grafana"]
    with open(os.path.join(folder, "config.xml"), encoding="utf-8") as file:
        port = int(re.search(r"<http_port>(\d+)</http_port>", file.read())[1])
    if port == 0:
        raise SystemExit("the aggregator's configuration must give clickhouse.http-port, so that others find the engine")
    return clickhouse_connect.get_client(host="127.0.0.1", port=port, username="grafana", password=password, database="lagewarte")


if __name__ == "__main__":
    rows = client(sys.argv[1]).query(sys.argv[2]).result_rows
    print(json.dumps([[str(cell) for cell in row] for row in rows]))
