#!/bin/sh
# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
#
# Checks the dashboards against Grafana's own schema (npm @grafana/schema). Needs npm and its registry.
# Literal types are widened, since a JSON text has no enums; names and shapes are checked as they are.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private":true,"type":"module"}' > package.json
npm install --silent --no-audit --no-fund @grafana/schema@11.6.0 typescript@5.8.3
for file in "$here"/grafana/*.json; do
    name=$(basename "$file" .json)
    {
        echo "import type { Dashboard } from '@grafana/schema';"
        echo "type Loose<T> = T extends string ? string : T extends number ? number : T extends (infer U)[] ? Loose<U>[]"
        echo "  : T extends object ? { [K in keyof T]: Loose<T[K]> } : T;"
        echo "export const dashboard: Loose<Partial<Dashboard>> ="
        cat "$file"
    } > "$name.ts"
done
npx tsc --noEmit --strict --skipLibCheck --moduleResolution bundler --module esnext --target es2022 ./*.ts
echo "dashboards fit @grafana/schema"
