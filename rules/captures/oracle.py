#!/usr/bin/env python3
# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Checks the captures of the own rules, and compares them with a real Suricata where one is named.

    oracle.py [--suricata PATH] [--json OUT] [CASE...]

Purpose: first the form (each alerting rule has a case, each case both
captures, valid checksums, sizes), then, with Suricata, the content: the
capture `fires.pcap` raises exactly the stated alerts of its rule and nothing
of any other own rule, `quiet.pcap` and `background.pcap` raise nothing.

Never: write into the repository, and never call a comparison passed that did
not run: without Suricata it says so.

Limits: PATH must accept Suricata's options (-r -S -l -k --set). The
environment variable SURICATA serves in place of --suricata.
"""

import argparse
import collections
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

from packets import read_pcap, wrong_checksums

HERE = os.path.dirname(os.path.abspath(__file__))
SETS = os.path.normpath(os.path.join(HERE, "..", "sets"))
TESTS = os.path.join(SETS, "tests")
BACKGROUND = os.path.join(HERE, "background.pcap")
BACKGROUND_HOME = "[10.0.0.0/8,192.168.0.0/16,fc00::/7]"
LARGEST_CAPTURE = 300_000
# The part of the language that the own rules keep to: it is decided packet by packet.
KEYWORDS = {"msg", "sid", "rev", "gid", "classtype", "reference", "priority", "metadata", "target", "content", "nocase", "offset", "depth",
            "distance", "within", "startswith", "endswith", "flow", "flags", "dsize", "itype", "icode", "ttl", "flowbits", "threshold",
            "detection_filter"}
PROTOCOLS = {"ip", "tcp", "udp", "icmp", "tcp-pkt"}
LARGEST_TOTAL = 5_000_000


def rules():
    """The lines of all own rules, and the sids of those that can alert."""
    lines = []
    for path in sorted(glob.glob(os.path.join(SETS, "*.rules"))):
        with open(path, encoding="utf-8") as file:
            lines += [line for line in file.read().splitlines() if line and not line.startswith("#")]
    alerting = {int(re.search(r"sid:(\d+);", line)[1]) for line in lines if "flowbits:noalert;" not in line}
    return lines, alerting


def check_rules():
    """Mistakes in the rule files: language, classes, comments, doubled sids."""
    with open(os.path.join(SETS, "classification.config"), encoding="utf-8") as file:
        classes = set(re.findall(r"^config classification: ([a-z-]+),[^,]+,[1-4]$", file.read(), re.M))
    mistakes, seen = [], set()
    for path in sorted(glob.glob(os.path.join(SETS, "*.rules"))):
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        for number, line in enumerate(lines, 1):
            if not line or line.startswith("#"):
                continue
            where = f"{os.path.basename(path)}:{number}"
            head, _, body = line.partition("(")
            options = re.findall(r"\s*([a-z_.-]+)(?::((?:\"[^\"]*\"|[^;\"])*))?;", body.rstrip(")"))
            names = [name for name, _ in options]
            values = dict(options)
            if head.split()[1] not in PROTOCOLS:
                mistakes.append(f"{where}: protocol {head.split()[1]}")
            mistakes += [f"{where}: keyword {name}" for name in names if name not in KEYWORDS]
            mistakes += [f"{where}: no {name}" for name in ("msg", "sid", "rev", "classtype") if name not in names]
            if values.get("classtype") not in classes:
                mistakes.append(f"{where}: class {values.get('classtype')} is not in classification.config")
            if not 1_000_000 <= int(values.get("sid", 0)) <= 1_999_999 or values.get("sid") in seen:
                mistakes.append(f"{where}: sid {values.get('sid')} is outside the private range or doubled")
            seen.add(values.get("sid"))
            if not lines[number - 2].startswith("# "):
                mistakes.append(f"{where}: no comment above the rule")
    return mistakes


def check_form(cases, alerting):
    """Mistakes that can be seen without an engine."""
    mistakes, total = check_rules(), 0
    covered = set()
    for folder, case in cases.items():
        covered.add(case["sid"])
        if not os.path.basename(folder).startswith(f"{case['sid']}-"):
            mistakes.append(f"{folder}: folder name and sid differ")
        if case["fires"] < 1:
            mistakes.append(f"{folder}: a case must fire at least once")
        for name in ("fires", "quiet"):
            if case["origin"].get(name) not in ("recorded", "built"):
                mistakes.append(f"{folder}: origin of {name} is not stated")
            path = os.path.join(folder, name + ".pcap")
            if not os.path.exists(path):
                mistakes.append(f"{path}: missing")
                continue
            size = os.path.getsize(path)
            total += size
            if size > LARGEST_CAPTURE:
                mistakes.append(f"{path}: {size} bytes are too many")
            packets = read_pcap(path)
            if not packets:
                mistakes.append(f"{path}: empty")
            mistakes += [f"{path}: packet {n}: {what}" for n, what in wrong_checksums(packets)]
    mistakes += [f"sid {sid}: no case" for sid in sorted(alerting - covered)]
    mistakes += [f"sid {sid}: a case without a rule" for sid in sorted(covered - alerting)]
    if total > LARGEST_TOTAL:
        mistakes.append(f"all captures together: {total} bytes are too many")
    return mistakes, total


def alerts(suricata, rule_file, capture, home_net):
    """Alerts by sid of one Suricata run."""
    with tempfile.TemporaryDirectory() as out:
        command = [suricata, "-r", capture, "-S", rule_file, "-l", out, "-k", "all",
                   "--set", f"vars.address-groups.HOME_NET={home_net}", "--set", "vars.address-groups.EXTERNAL_NET=!$HOME_NET",
                   "--set", f"classification-file={os.path.join(SETS, 'classification.config')}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        told = done.stdout + done.stderr
        if done.returncode != 0 or re.search(r"^E: ", told, re.M):
            raise RuntimeError(f"Suricata failed on {capture}: {told.strip()[-800:]}")
        counts = collections.Counter()
        with open(os.path.join(out, "eve.json"), encoding="utf-8") as file:
            for line in file:
                event = json.loads(line)
                if event["event_type"] == "alert":
                    counts[event["alert"]["signature_id"]] += 1
        return dict(counts)


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description="Checks the captures of the own rules, with Suricata as oracle.")
    parser.add_argument("--suricata", default=os.environ.get("SURICATA"), help="program that takes Suricata's options")
    parser.add_argument("--json", help="write the comparison to this file")
    parser.add_argument("cases", nargs="*", help="beginnings of case names; default all")
    options = parser.parse_args()
    lines, alerting = rules()
    cases = {}
    for path in sorted(glob.glob(os.path.join(TESTS, "*", "case.json"))):
        with open(path, encoding="utf-8") as file:
            cases[os.path.dirname(path)] = json.load(file)
    mistakes, total = check_form(cases, alerting)
    for mistake in mistakes:
        print(mistake)
    recorded = sum(case["origin"]["fires"] == "recorded" for case in cases.values())
    print(f"form: {len(lines)} rules, {len(alerting)} alerting, {len(cases)} cases, {recorded} positives from real clients, "
          f"{total} bytes, {len(mistakes)} mistakes")
    if not options.suricata:
        print("comparison with Suricata: NOT RUN, no --suricata and no SURICATA given")
        return 1 if mistakes else 0
    chosen = {f: c for f, c in cases.items() if not options.cases or any(os.path.basename(f).startswith(w) for w in options.cases)}
    agreed, results = 0, []
    with tempfile.NamedTemporaryFile("w", suffix=".rules", encoding="utf-8") as rule_file:
        rule_file.write("\n".join(lines) + "\n")
        rule_file.flush()
        runs = [(os.path.join(f, n + ".pcap"), c["home_net"], {c["sid"]: c["fires"]} if n == "fires" else {})
                for f, c in chosen.items() for n in ("fires", "quiet")]
        if not options.cases and os.path.exists(BACKGROUND):
            runs.append((BACKGROUND, BACKGROUND_HOME, {}))
        for capture, home_net, expected in runs:
            if not os.path.exists(capture):
                continue  # already counted as a mistake of form
            found = alerts(options.suricata, rule_file.name, capture, home_net)
            agreed += found == expected
            name = os.path.relpath(capture, os.path.join(HERE, ".."))
            results.append({"capture": name, "expected": expected, "suricata": found})
            if found != expected:
                print(f"{name}: expected {expected}, Suricata says {found}")
    print(f"comparison with Suricata: {agreed} of {len(runs)} captures agree")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    return 0 if agreed == len(runs) and not mistakes else 1


if __name__ == "__main__":
    sys.exit(main())
