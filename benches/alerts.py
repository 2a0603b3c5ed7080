#!/usr/bin/env python3
# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Alerts by sid against another sensor's on the same capture and rules.

    alerts.py OURS/eve.json EXPECTED.json [--show N]

EXPECTED holds `alerts_by_sid` (sid to count) and may name `unstable` sids, whose count moves from run to run; or it is
another sensor's eve.json. Prints the share of sids with the same count over the union of both sides, and each difference.

Purpose: the figure "same alerts". Never: weigh a sid by its count, or leave out a sid that only one side has. Limits: one
process; events are read line by line.
"""
import argparse
import collections
import json


def counts(path):
    """Alerts by sid of an eve.json, or of a file that holds them; and the unstable sids."""
    with open(path, encoding="utf-8") as file:
        first = file.readline()
        whole = first + file.read() if '"event_type"' not in first else None
    if whole is not None and whole.strip():
        held = json.loads(whole)
        return collections.Counter({int(s): n for s, n in held["alerts_by_sid"].items()}), set(held.get("unstable", []))
    found = collections.Counter()
    with open(path, encoding="utf-8") as file:
        for line in file:
            if '"event_type":"alert"' in line:
                found[json.loads(line)["alert"]["signature_id"]] += 1
    return found, set()


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description="Alerts by sid against another sensor's.")
    parser.add_argument("ours")
    parser.add_argument("expected")
    parser.add_argument("--show", type=int, default=50, help="differences to print")
    options = parser.parse_args()
    (ours, _), (theirs, unstable) = counts(options.ours), counts(options.expected)
    unstable = {int(s) for s in unstable}
    sids = sorted((set(ours) | set(theirs)) - unstable)
    same = [s for s in sids if ours[s] == theirs[s]]
    print(f"{len(same)} of {len(sids)} sids the same ({100 * len(same) / max(len(sids), 1):.1f} %), "
          f"{sum(ours.values())} alerts of ours, {sum(theirs.values())} of theirs")
    other = sorted((s for s in sids if ours[s] != theirs[s]), key=lambda s: -abs(ours[s] - theirs[s]))
    for sid in other[: options.show]:
        print(f"{sid:>10}  ours {ours[sid]:>6}  theirs {theirs[sid]:>6}")


if __name__ == "__main__":
    main()
