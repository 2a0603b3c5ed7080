#!/usr/bin/env python3
# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Replays damaged captures and reports what the sensor does not survive.

    mutate.py --sensor PATH [--count N] [--seed N] [--jobs N] [--keep DIR] [CAPTURE or FOLDER ...]

Purpose: takes captures (default: the committed ones), damages each copy with a few of these, and runs `SENSOR replay` on it:
bytes flipped, bytes of a packet set to extremes, packets cut, doubled, reordered, dropped, a piece of one packet copied into
another. Where a folder has a `case.json` (as the conformance cases do) its rules, configuration and arguments are used.
A finding is: an exit code other than 0, a panic in what it says, more than `--seconds` of wall time, an `eve.json` that is not
JSON. Reported besides: peak memory (from the kernel, of the process), CPU seconds.

The same seed, captures and count give the same mutations. Findings are kept in `--keep` with the command that shows them.

Never: change a capture in place. Limits: pcap and pcapng with one interface; captures over 20 MB are left out and counted.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import random
import shlex
import struct
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
DEFAULT = os.path.join(HERE, "..", "rules")
LARGEST = 20 << 20
CAPTURES = (".pcap", ".pcapng", ".cap")


def read(path):
    """Link type and packets (seconds, microseconds, bytes) of a capture."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:4] == b"\x0a\x0d\x0d\x0a":
        return read_pcapng(data)
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">"}.get(data[:4])
    if order is None:
        raise ValueError("no pcap")
    nano = data[:4] in (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d")
    (link,) = struct.unpack_from(order + "I", data, 20)
    packets, at = [], 24
    while at + 16 <= len(data):
        seconds, fraction, length, _ = struct.unpack_from(order + "IIII", data, at)
        packets.append((seconds, fraction // 1000 if nano else fraction, data[at + 16:at + 16 + length]))
        at += 16 + length
    return link & 0xFFFF, packets


def read_pcapng(data):
    """Enhanced and simple packet blocks of a pcapng file."""
    order = "<" if data[8:12] == b"\x4d\x3c\x2b\x1a" else ">"
    link, unit, packets, at = 1, 1_000_000, [], 0
    while at + 12 <= len(data):
        kind, length = struct.unpack_from(order + "II", data, at)
        if length < 12 or at + length > len(data):
            break
        body = data[at + 8:at + length - 4]
        if kind == 1:
            (link,) = struct.unpack_from(order + "H", body)
            option = 8
            while option + 4 <= len(body):
                code, size = struct.unpack_from(order + "HH", body, option)
                if code == 9 and size == 1:
                    value = body[option + 4]
                    unit = 2 ** (value & 0x7F) if value & 0x80 else 10 ** value
                option += 4 + (size + 3) // 4 * 4
        elif kind == 6:
            _, high, low, captured = struct.unpack_from(order + "IIII", body)
            time = high << 32 | low
            packets.append((time // unit, time % unit * 1_000_000 // unit, body[20:20 + captured]))
        elif kind == 3:
            packets.append((0, 0, body[4:]))
        at += length
    return link, packets


def write(path, link, packets):
    """A pcap file."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link))
        for seconds, micros, data in packets:
            file.write(struct.pack("<IIII", seconds & 0xFFFFFFFF, micros, len(data), len(data)) + data)


def mutate(packets, rng):
    """A damaged copy, and what was done to it."""
    packets, done = list(packets), []
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        if not packets:
            break
        i = rng.randrange(len(packets))
        seconds, micros, data = packets[i]
        kind = rng.choice(("flip", "flip", "extreme", "cut", "double", "reorder", "drop", "splice", "many"))
        done.append(kind)
        if kind in ("flip", "extreme", "many") and data:
            changed = bytearray(data)
            for _ in range(rng.randrange(20, 200) if kind == "many" else rng.choice((1, 1, 2, 8))):
                at = rng.randrange(len(changed))
                changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF)) if kind == "extreme" else changed[at] ^ (1 << rng.randrange(8))
            packets[i] = (seconds, micros, bytes(changed))
        elif kind == "cut":
            packets[i] = (seconds, micros, data[:rng.randrange(len(data) + 1)])
        elif kind == "double":
            packets[i:i] = [packets[i]] * rng.choice((1, 1, 3, 50))
        elif kind == "reorder":
            j = min(len(packets) - 1, i + rng.randrange(1, 8))
            part = packets[i:j + 1]
            rng.shuffle(part)
            packets[i:j + 1] = part
        elif kind == "drop":
            del packets[i:i + rng.choice((1, 1, 2, 10))]
        elif kind == "splice" and len(data) > 1:
            other = packets[rng.randrange(len(packets))][2]
            at, length = rng.randrange(len(data)), rng.randrange(1, 64)
            start = rng.randrange(len(other) + 1)
            packets[i] = (seconds, micros, data[:at] + other[start:start + length] + data[at + length:])
    return packets, done


class Source:
    """A capture with the arguments that belong to it."""

    def __init__(self, path):
        self.path = path
        self.folder = os.path.dirname(os.path.abspath(path))
        self.arguments = []
        case = os.path.join(self.folder, "case.json")
        if os.path.exists(case):
            with open(case, encoding="utf-8") as file:
                described = json.load(file)
            for option, key in (("-S", "rules"), ("-c", "config")):
                name = described.get(key)
                if isinstance(name, str) and os.path.exists(os.path.join(self.folder, name)):
                    self.arguments += [option, os.path.join(self.folder, name)]
            arguments = described.get("args")
            if isinstance(arguments, list):
                self.arguments += [a.replace("${CASE}", self.folder) for a in arguments]
        self.link, self.packets = read(path)


def sources(paths):
    """Every capture under the paths, and how many were left out."""
    found, skipped = [], 0
    for path in paths:
        files = [path] if os.path.isfile(path) else [os.path.join(d, f) for d, _, fs in os.walk(path) for f in fs if f.endswith(CAPTURES)]
        for file in sorted(files):
            if os.path.getsize(file) > LARGEST:
                skipped += 1
                continue
            try:
                source = Source(file)
            except (ValueError, struct.error):
                skipped += 1
                continue
            if source.packets:
                found.append(source)
            else:
                skipped += 1
    return found, skipped


class Result:
    """What a run did."""

    def __init__(self, fault, peak, cpu):
        self.fault, self.peak, self.cpu = fault, peak, cpu


def run(sensor, arguments, cwd, capture, folder, seconds):
    """Replays one file."""
    out = os.path.join(folder, "out")
    os.makedirs(out, exist_ok=True)
    log = os.path.join(folder, "log")
    command = [sensor, "replay", "-r", capture, "-l", out, *arguments]
    with open(log, "wb") as stderr:
        process = subprocess.Popen(command, stdout=stderr, stderr=stderr, stdin=subprocess.DEVNULL, cwd=cwd)
    late = threading.Event()

    def end():
        late.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.start()
    _, status, usage = os.wait4(process.pid, 0)
    timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    with open(log, errors="replace", encoding="utf-8") as file:
        said = file.read()
    fault = None
    if late.is_set():
        fault = f"not finished after {seconds} s"
    elif process.returncode != 0:
        fault = f"exit {process.returncode}: {said.strip()[-300:]}"
    elif "panicked" in said:
        fault = said[said.index("panicked") - 60:][:400]
    else:
        try:
            with open(os.path.join(out, "eve.json"), encoding="utf-8") as file:
                for line in file:
                    json.loads(line)
        except (OSError, ValueError) as error:
            fault = f"eve.json: {error}"
    return Result(fault, usage.ru_maxrss, usage.ru_utime + usage.ru_stime), command


def work():
    """Replays what is asked for, a line of JSON each. For the kernel the peak of a process begins with the size of the one that
    started it: one that holds no captures."""
    for line in sys.stdin:
        result, command = run(*json.loads(line))
        print(json.dumps([result.fault, result.peak, result.cpu, command]), flush=True)


class Worker(threading.local):
    """A process that replays, for each thread."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--worker"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def run(self, *what):
        """What `run` gives."""
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        fault, peak, cpu, command = json.loads(self.process.stdout.readline())
        return Result(fault, peak, cpu), command


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description="Replays damaged captures and reports what the sensor does not survive.")
    parser.add_argument("paths", nargs="*", default=[DEFAULT])
    parser.add_argument("--sensor", required=True)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60, help="wall time of one run")
    parser.add_argument("--most-mb", type=int, default=1024, help="peak memory of one run that is a finding")
    parser.add_argument("--keep", help="folder for findings; default: a new temporary one")
    options = parser.parse_args()
    options.sensor = os.path.abspath(options.sensor)
    found, skipped = sources(options.paths)
    if not found:
        print("mutate.py: no capture found", file=sys.stderr)
        return 2
    keep = options.keep or tempfile.mkdtemp(prefix="mutate-findings-")
    os.makedirs(keep, exist_ok=True)
    kinds, peaks, cpu, findings = collections.Counter(), [], 0.0, 0
    worker = Worker()

    def one(number):
        # Round by round, so that every capture has its turn; the number alone decides the damage.
        source = found[number % len(found)]
        packets, done = mutate(source.packets, random.Random(f"{options.seed}:{number}"))
        with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
            capture = os.path.join(folder, "damaged.pcap")
            write(capture, source.link, packets)
            result, command = worker.run(options.sensor, source.arguments, source.folder, capture, folder, options.seconds)
            if result.fault is None and result.peak > options.most_mb << 10:
                result.fault = f"peak memory {result.peak >> 10} MB"
            if result.fault:
                kept = os.path.join(keep, f"{options.seed}-{number}.pcap")
                write(kept, source.link, packets)
                command[command.index("-r") + 1] = kept
                command[command.index("-l") + 1] = keep
                result.fault += f"\n    {source.path} ({', '.join(done)})\n    {shlex.join(command)}"
        return number, done, result

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for number, done, result in pool.map(one, range(options.count)):
            kinds.update(done)
            cpu += result.cpu
            peaks.append((result.peak, found[number % len(found)].path))
            if result.fault:
                findings += 1
                print(f"{number}: {result.fault}", flush=True)
    peak, where = max(peaks)
    print(f"{options.count} mutations of {len(found)} captures ({skipped} left out), seed {options.seed}: "
          + ", ".join(f"{k} {n}" for k, n in sorted(kinds.items())))
    print(f"findings {findings}; peak memory {peak / 1024:.0f} MB ({where}); CPU {cpu:.0f} s")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(work() if sys.argv[1:] == ["--worker"] else main())
