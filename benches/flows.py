#!/usr/bin/env python3
# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Rule by rule: does the generated flow fire, does the near miss stay quiet, and do our sensor and Suricata agree?

    flows.py RULES --generator target/release/examples/generate --sensor target/release/lagewarte-sensor
             [--suricata PATH [--suricata-config YAML]] [--set KEY=VALUE]... [--work DIR] [--json OUT]

The generator (`cargo build --release -p lagewarte-testkit --example generate`) writes one capture with a flow and a near
miss for each rule; both programs read it once with all the rules. Counted, over the rules that our sensor loads: for how
many a flow was made, for how many it fired, and on how many flows both say the same of the rule that the flow is for.

Never: call a comparison made that was not. Without Suricata it says so, ends with 3, and shows our side alone.

Limits: Suricata is started with its LD_LIBRARY_PATH as the environment has it. Both need HOME_NET
[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12] and EXTERNAL_NET !$HOME_NET: the usual configuration of both.
"""
import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile

ADDRESS_GROUPS = {
    "HOME_NET": "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]",
    "EXTERNAL_NET": "!$HOME_NET",
    **{f"{name}_SERVERS": "$HOME_NET" for name in ("HTTP", "SMTP", "SQL", "DNS", "TELNET", "DC")},
    "AIM_SERVERS": "$EXTERNAL_NET",
}


def run(command):
    """Runs it; ends where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    if done.returncode != 0:
        sys.exit(f"{command[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout + done.stderr


def key(proto, src, sport, dest, dport):
    """A flow, whichever way round; ports only where the protocol has them."""
    ports = (sport, dport) if proto in ("TCP", "UDP") else (0, 0)
    return tuple(sorted([(src, ports[0]), (dest, ports[1])]))


def alerts(path):
    """How often each sid fired on each flow."""
    counts = collections.Counter()
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if '"event_type":"alert"' not in line:
                continue
            event = json.loads(line)
            flow = key(event.get("proto"), event["src_ip"], event.get("src_port", 0), event["dest_ip"], event.get("dest_port", 0))
            counts[event["alert"]["signature_id"], flow] += 1
    return counts


def refused(sensor, rules):
    """Sids that our sensor does not load, with the keyword."""
    done = subprocess.run([sensor, "rules", "check", "--json", rules], capture_output=True, text=True, check=False)
    return {r["sid"]: r["keyword"] for r in json.loads(done.stdout)["refused"]}


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description="Generated flows: ours against Suricata's alerts, rule by rule.")
    parser.add_argument("rules")
    parser.add_argument("--generator", required=True)
    parser.add_argument("--sensor", required=True)
    parser.add_argument("--suricata", default=os.environ.get("SURICATA"))
    parser.add_argument("--suricata-config")
    parser.add_argument("--set", action="append", default=[], help="for our sensor")
    parser.add_argument("--work", help="keep captures and events here")
    parser.add_argument("--json", help="write every difference to this file")
    options = parser.parse_args()
    work = options.work or tempfile.mkdtemp(prefix="flows-")
    print(run([options.generator, options.rules, work]).strip().splitlines()[-1])
    with open(os.path.join(work, "index.jsonl"), encoding="utf-8") as file:
        index = [json.loads(line) for line in file]
    capture = os.path.join(work, "flows.pcap")
    not_ours = refused(options.sensor, options.rules)
    sets = [f"vars.address-groups.{name}={value}" for name, value in ADDRESS_GROUPS.items()] + options.set
    command = [options.sensor, "replay", "-k", "all", "--runmode", "single", "-r", capture, "-S", options.rules, "-l", os.path.join(work, "ours")]
    run(command + [word for value in sets for word in ("--set", value)])
    ours = alerts(os.path.join(work, "ours", "eve.json"))
    theirs = None
    if options.suricata and os.path.exists(options.suricata):
        out = os.path.join(work, "theirs")
        os.makedirs(out, exist_ok=True)
        if os.path.exists(os.path.join(out, "eve.json")):
            os.unlink(os.path.join(out, "eve.json"))
        command = [options.suricata, "-k", "all", "--runmode", "single", "-r", capture, "-S", options.rules, "-l", out]
        run(command + (["-c", options.suricata_config] if options.suricata_config else []))
        theirs = alerts(os.path.join(out, "eve.json"))
    report(index, not_ours, ours, theirs, options.json)
    if theirs is None:
        print("NOT COMPARED: no Suricata (--suricata PATH or the variable SURICATA)", file=sys.stderr)
        sys.exit(3)


def report(index, not_ours, ours, theirs, path):
    """Counts and differences."""
    totals, why, classes, differences = collections.Counter(), collections.Counter(), collections.Counter(), []
    for entry in index:
        sid = entry["sid"]
        if sid in not_ours:
            totals["rules that ours refuses"] += 1
            continue
        totals["rules loaded"] += 1
        if "why" in entry:
            why[re.sub(r":.*", "", entry["why"])] += 1
            totals["rules that make no alert"] += entry["why"] == "it makes no alert"
            continue
        totals["flows made"] += 1
        for kind in ("hit", "miss"):
            case = entry[kind]
            if case is None:
                totals["no near miss"] += 1
                continue
            flows = {key(*flow) for flow in case["flows"]}
            mine = sum(ours[sid, flow] for flow in flows)
            totals[f"ours: {kind} fired"] += mine > 0
            if theirs is None:
                continue
            other = sum(theirs[sid, flow] for flow in flows)
            totals[f"Suricata: {kind} fired"] += other > 0
            totals[f"{kind}: compared"] += 1
            totals[f"{kind}: both say the same"] += (mine > 0) == (other > 0)
            totals[f"{kind}: with the same count"] += mine == other
            if (mine > 0) != (other > 0):
                side = "only ours" if mine else "only Suricata"
                classes[kind, side] += 1
                differences.append({"sid": sid, "kind": kind, "side": side, "changed": case["changed"], "flows": case["flows"][:2]})
    for name, count in totals.items():
        print(f"{count:>8}  {name}")
    for name, count in why.most_common():
        print(f"{count:>8}  no flow: {name}")
    for (kind, side), count in classes.items():
        print(f"{count:>8}  {kind}: {side} fired")
    if theirs is not None:
        pairs = set(ours) | {pair for pair in theirs if pair[0] not in not_ours}
        same = sum(ours[pair] > 0 and theirs[pair] > 0 for pair in pairs)
        print(f"{len(pairs):>8}  (sid, flow) pairs of any rule, {same} on both sides")
        wanted, compared = (sum(totals[f"{kind}: {what}"] for kind in ("hit", "miss")) for what in ("both say the same", "compared"))
        able = totals["rules loaded"] - totals["rules that make no alert"]
        print(f"fired in Suricata: {totals['Suricata: hit fired'] / max(able, 1):.4f} of the loaded rules that alert")
        print(f"agreement on flows and near misses: {wanted / max(compared, 1):.4f}")
    if path:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(differences, file, indent=1)


if __name__ == "__main__":
    main()
