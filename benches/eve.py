#!/usr/bin/env python3
# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Events field for field against Suricata's on the same captures.

    eve.py CAPTURE_OR_FOLDER... --work DIR --sensor target/release/lagewarte-sensor --suricata PATH --config YAML
           [--rules FILE] [--only REGEX] [--show N] [--ignore REGEX] [--json OUT]

Each capture is read once by both programs with one configuration, which both understand; `--work` keeps what they wrote, and
Suricata is not run again where its events are there (ours are made anew). Events are matched by type and flow, whichever way
round, then by likeness; a matched pair is compared leaf by leaf. Printed is a table of classes: an event or a field that one
side alone has, or a value that differs; how often, in how many captures, with an example. With `--rules` the alerts are counted
by sid instead.

Never: leave out a difference because it is known. What does not count (`flow_id`, the number of the packet) stands in SKIPPED;
`--ignore` hides classes from the print, and says how many. Limits: events of one flow that are many are matched in their order.
"""
import argparse
import collections
import json
import os
import re
import subprocess
import sys

SKIPPED = {"flow_id", "parent_id", "pcap_cnt", "in_iface"}
# Of more pairs than this likeness is not measured.
PAIRS = 40000
# What tells events of a type apart before they are matched.
WHAT = {"anomaly": "event", "smb": "command", "ftp": "command"}
WAYS = {"src_ip", "dest_ip", "src_port", "dest_port"}


def flat(value, path, out):
    """Leaves by dotted path; what stands in lists of objects is gathered under one path."""
    if isinstance(value, dict):
        for name, inner in value.items():
            flat(inner, f"{path}.{name}" if path else name, out)
    elif isinstance(value, list) and any(isinstance(v, dict) for v in value):
        for inner in value:
            flat(inner, path + "[]", out)
    else:
        value = json.dumps(value, sort_keys=True)
        out[path] = f"{out[path]} | {value}" if path in out else value


def events(path):
    """Events of an eve.json by what they are and the flow that they belong to."""
    found = collections.defaultdict(list)
    if not os.path.exists(path):
        return found
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        for number, line in enumerate(file):
            if not line.strip():
                continue
            try:
                event = json.loads(line, strict=False)
            except ValueError:
                found[("unreadable",)].append((number, {"line": line[:200]}))
                continue
            kind = event.pop("event_type", "none")
            if kind == "stats":
                continue
            ends = sorted([(str(event.get("src_ip")), event.get("src_port", 0)), (str(event.get("dest_ip")), event.get("dest_port", 0))])
            what = str((event.get(kind) or {}).get(WHAT[kind], "")) if kind in WHAT else ""
            count = event.get("pcap_cnt", 0)
            leaves = {}
            flat(event, "", leaves)
            for name in SKIPPED:
                leaves.pop(name, None)
            where = count if kind == "anomaly" and not ends[0][1] else 0
            found[kind, what, str(event.get("proto")), tuple(ends), where].append((count, leaves))
    return found


def pairs(ours, theirs):
    """Matches events of one kind and flow: those alike first. Returns the pairs and what is left on either side."""
    done, mine, other = [], list(ours), list(theirs)
    same = collections.defaultdict(list)
    for entry in other:
        same[tuple(sorted(entry[1].items()))].append(entry)
    rest = []
    for entry in mine:
        waiting = same.get(tuple(sorted(entry[1].items())))
        if waiting:
            done.append((entry, waiting.pop(0)))
        else:
            rest.append(entry)
    mine, other = rest, [e for waiting in same.values() for e in waiting]
    if len(mine) * len(other) <= PAIRS:
        scored = []
        for i, one in enumerate(mine):
            for j, two in enumerate(other):
                like = sum(two[1].get(name) == value for name, value in one[1].items())
                scored.append((-like, abs(one[0] - two[0]), i, j))
        used = set(), set()
        for _, _, i, j in sorted(scored):
            if i not in used[0] and j not in used[1]:
                used[0].add(i)
                used[1].add(j)
                done.append((mine[i], other[j]))
        return done, [e for i, e in enumerate(mine) if i not in used[0]], [e for j, e in enumerate(other) if j not in used[1]]
    mine.sort(key=lambda e: e[0])
    other.sort(key=lambda e: e[0])
    short = min(len(mine), len(other))
    return done + list(zip(mine, other)), mine[short:], other[short:]


class Table:
    """Classes of differences."""

    def __init__(self):
        self.counts, self.captures = collections.Counter(), collections.defaultdict(set)
        self.values, self.example = collections.defaultdict(collections.Counter), {}
        self.totals = collections.Counter()

    def add(self, kind, how, path, capture, ours="", theirs=""):
        """One difference."""
        name = (kind, how, path)
        self.counts[name] += 1
        self.captures[name].add(capture)
        pair = (ours[:120], theirs[:120])
        self.values[name][pair] += 1
        self.example.setdefault((name, pair), capture)

    def compare(self, capture, ours, theirs):
        """All events of a capture."""
        for key in set(ours) | set(theirs):
            kind, what = key[0], key[1] if len(key) > 1 else ""
            done, mine, other = pairs(ours.get(key, []), theirs.get(key, []))
            self.totals["events of ours"] += len(done) + len(mine)
            self.totals["events of theirs"] += len(done) + len(other)
            for side, rest in (("event only ours", mine), ("event only theirs", other)):
                for entry in rest:
                    detail = what or f"{key[2]} {entry[1].get('app_proto', '')}" if len(key) > 1 else ""
                    self.add(kind, side, detail, capture, repr(key[3:4]) if len(key) > 1 else entry[1]["line"])
            for one, two in done:
                one, two = dict(one[1]), dict(two[1])
                same = one == two
                self.totals["pairs"] += 1
                self.totals["pairs alike"] += same
                if same:
                    continue
                if one.get("src_ip") == two.get("dest_ip") and one.get("src_port") == two.get("dest_port"):
                    if one.get("src_ip") != two.get("src_ip") or one.get("src_port") != two.get("src_port"):
                        self.add(kind, "other way", what, capture, f"{one.get('src_ip')}:{one.get('src_port')}")
                        for name in WAYS:
                            one.pop(name, None)
                            two.pop(name, None)
                for path in set(one) | set(two):
                    if path not in two:
                        self.add(kind, "only ours", path, capture, one[path])
                    elif path not in one:
                        self.add(kind, "only theirs", path, capture, "", two[path])
                    elif one[path] != two[path]:
                        self.add(kind, "differs", path, capture, one[path], two[path])

    def show(self, ignored, most, values):
        """Prints the table, the commonest first."""
        hidden = 0
        for name in sorted(self.counts, key=lambda n: -len(self.captures[n])):
            if ignored and ignored.search(" ".join(name)):
                hidden += 1
                continue
            most -= 1
            if most < 0:
                break
            print(f"{self.counts[name]:>7} in {len(self.captures[name]):>4}  {name[0]:<10} {name[1]:<17} {name[2]}")
            for pair, count in self.values[name].most_common(values):
                print(f"{'':>10}{count:>6} x  {pair[0]!s:.120}  <>  {pair[1]!s:.120}   [{self.example[name, pair]}]")
        for name, count in self.totals.items():
            print(f"{count:>8}  {name}")
        print(f"{len(self.counts):>8}  classes, {hidden} hidden")


def alerts(found):
    """Alerts by sid."""
    counts = collections.Counter()
    for key, held in found.items():
        if key[0] == "alert":
            counts.update(int(leaves["alert.signature_id"]) for _, leaves in held)
    return counts


def run(command, out, program):
    """Runs it; says where it failed."""
    os.makedirs(out, exist_ok=True)
    path = os.path.join(out, "eve.json")
    if os.path.exists(path):
        os.unlink(path)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace", timeout=300)
    except subprocess.TimeoutExpired:
        print(f"{program} took more than 300 s: {' '.join(command)}", file=sys.stderr)
        return
    if done.returncode != 0:
        print(f"{program} ended with {done.returncode}: {' '.join(command)}\n{done.stderr[-500:]}", file=sys.stderr)


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description="Events field for field against Suricata's.")
    parser.add_argument("captures", nargs="+")
    parser.add_argument("--work", required=True)
    parser.add_argument("--sensor", required=True)
    parser.add_argument("--suricata", required=True)
    parser.add_argument("--config", required=True)
    parser.add_argument("--rules", help="compare alerts of these rules by sid instead")
    parser.add_argument("--only", help="captures whose name has this")
    parser.add_argument("--show", type=int, default=200, help="classes to print")
    parser.add_argument("--values", type=int, default=3, help="pairs of values of each class to print")
    parser.add_argument("--ignore", help="classes not to print: TYPE HOW PATH")
    parser.add_argument("--kept", action="store_true", help="take our events of the run before, too")
    parser.add_argument("--json", help="write every class with its captures to this file")
    options = parser.parse_args()
    paths = []
    for given in options.captures:
        paths += [os.path.join(given, n) for n in sorted(os.listdir(given))] if os.path.isdir(given) else [given]
    only = re.compile(options.only or "")
    paths = [p for p in paths if only.search(os.path.basename(p))]
    common = ["-c", options.config, "-k", "none", "--runmode", "single"] + (["-S", options.rules] if options.rules else [])
    table, sids = Table(), []
    for path in paths:
        name = os.path.basename(path)
        mine, other = os.path.join(options.work, "ours", name), os.path.join(options.work, "theirs", name)
        if not (options.kept and os.path.exists(mine)):
            run([options.sensor, "replay"] + common + ["-r", path, "-l", mine], mine, "ours")
        if not os.path.exists(other):
            run([options.suricata] + common + ["-r", path, "-l", other], other, "Suricata")
        ours, theirs = events(os.path.join(mine, "eve.json")), events(os.path.join(other, "eve.json"))
        if options.rules:
            one, two = alerts(ours), alerts(theirs)
            sids += [(sid, name, one[sid], two[sid]) for sid in set(one) | set(two)]
        else:
            table.compare(name, ours, theirs)
    print(f"{len(paths):>8}  captures")
    if options.rules:
        by_sid = collections.defaultdict(list)
        for sid, name, one, two in sids:
            if one != two:
                by_sid[sid].append((name, one, two))
        print(f"{len(sids):>8}  pairs of sid and capture, {sum(one == two for _, _, one, two in sids)} with the same count")
        for sid, held in sorted(by_sid.items(), key=lambda item: -len(item[1]))[: options.show]:
            print(f"{sid:>10} differs in {len(held)}: " + "; ".join(f"{n} ours {a} theirs {b}" for n, a, b in held[: options.values]))
    else:
        table.show(re.compile(options.ignore) if options.ignore else None, options.show, options.values)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump([{"class": n, "count": c, "captures": sorted(table.captures[n])} for n, c in table.counts.most_common()], file, indent=1)


if __name__ == "__main__":
    main()
