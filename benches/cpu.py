#!/usr/bin/env python3
# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""CPU seconds, wall seconds and memory of a whole process on one capture, several times.

    cpu.py [--runs N] [--json] CAPTURE -- PROGRAM ARGUMENTS...

`{capture}` and `{out}` in the arguments become the capture and a fresh folder. For our sensor:

    cpu.py big.pcap -- target/release/lagewarte-sensor replay -r {capture} -l {out} -S rules/sets/web.rules -k none

Purpose: the same measurement for us and for a peer. CPU seconds (user + system of the process and its children) are what a
shared machine distorts least; the median of the runs is the figure. The events written are counted, so that nobody is
fast by doing nothing.

Never: compare different rules or captures. Limits: one process at a time; the capture should be in the page cache, which
the first, uncounted run sees to.
"""
import argparse
import collections
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time


def run(command, capture):
    """One run's figures."""
    with tempfile.TemporaryDirectory() as out:
        filled = [a.replace("{capture}", capture).replace("{out}", out) for a in command]
        begun = time.monotonic()
        process = subprocess.Popen(filled, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        told = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
        if status != 0:
            sys.exit(f"{filled} ended with {status}:\n{told.decode(errors='replace')[-2000:]}")
        events = collections.Counter()
        path = os.path.join(out, "eve.json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                events.update(json.loads(line)["event_type"] for line in file)
    return {"cpu_s": usage.ru_utime + usage.ru_stime, "wall_s": wall, "peak_mib": usage.ru_maxrss / 1024, "events": dict(events)}


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description="CPU seconds of a whole process on one capture.")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("capture")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- PROGRAM ARGUMENTS")
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("which program? end with: -- PROGRAM ARGUMENTS")
    run(command, options.capture)
    runs = [run(command, options.capture) for _ in range(options.runs)]
    size = os.path.getsize(options.capture)
    cpu = statistics.median(r["cpu_s"] for r in runs)
    report = {
        "capture_mb": round(size / 1e6, 1),
        "cpu_s": round(cpu, 3),
        "cpu_s_all": [round(r["cpu_s"], 3) for r in runs],
        "mb_per_cpu_s": round(size / 1e6 / cpu, 1) if cpu else None,
        "wall_s": round(statistics.median(r["wall_s"] for r in runs), 3),
        "peak_mib": round(max(r["peak_mib"] for r in runs), 1),
        "events": runs[-1]["events"],
    }
    print(json.dumps(report) if options.json else "\n".join(f"{k:<14} {v}" for k, v in report.items()))


if __name__ == "__main__":
    main()
