#!/usr/bin/env python3
# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""CPU seconds that two programs take for the packets of one capture, without what they take to load their rules.

    against.py [--turns N] [--work FOLDER] CAPTURE -- OURS ARGUMENTS... -- THEIRS ARGUMENTS...

`{capture}` and `{out}` in the arguments are as in cpu.py. Each turn runs both on the capture and on one that is three times
the capture, each time later by its length and two hours: half of the difference is what the packets cost.

Purpose: a peer that loads for longer than it reads. A run on a few packets taken off a run on all is the difference of two
large numbers, each of which a busy machine moves by a tenth; here the same error stands against twice the packets.

Never: compare different rules, captures or settings. Limits: classic captures (pcap, microseconds or nanoseconds, little
endian); flows of one time are over before those of the next begin; FOLDER keeps the long capture, of three times the size.
"""
import argparse
import os
import statistics
import struct
import sys
import tempfile

from cpu import run

GAP = 7200


def threefold(capture, path):
    """Writes the capture three times, one after the other in time."""
    with open(capture, "rb") as file:
        data = file.read()
    if data[:4] not in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"):
        sys.exit(f"{capture}: no classic capture in little endian; convert it with editcap -F pcap")
    places, at = [], 24
    while at + 16 <= len(data):
        seconds, _, length = struct.unpack_from("<III", data, at)
        places.append((at, seconds))
        at += 16 + length
    if not places:
        sys.exit(f"{capture}: no packet in it")
    span = max(s for _, s in places) - min(s for _, s in places) + GAP
    with open(path, "wb") as file:
        file.write(data)
        for time in (1, 2):
            later = bytearray(data)
            for at, seconds in places:
                struct.pack_into("<I", later, at, (seconds + time * span) & 0xFFFFFFFF)
            file.write(memoryview(later)[24:])


def commands(words):
    """The two commands: behind the first `--`, which argparse may have taken, and behind the second."""
    words = words[1:] if words[:1] == ["--"] else words
    second = words.index("--") if "--" in words else 0
    if not second or not words[second + 1 :]:
        sys.exit("which programs? end with: -- OURS ARGUMENTS... -- THEIRS ARGUMENTS...")
    return words[:second], words[second + 1 :]


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description="CPU seconds of two programs for the packets of one capture.")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--work", default=tempfile.gettempdir())
    parser.add_argument("capture")
    parser.add_argument("commands", nargs=argparse.REMAINDER, help="-- OURS ARGUMENTS -- THEIRS ARGUMENTS")
    options = parser.parse_args()
    both = commands(options.commands)
    long = os.path.join(options.work, "threefold.pcap")
    threefold(options.capture, long)
    packets = ([], [])
    for turn in range(options.turns):
        for side in (0, 1) if turn % 2 == 0 else (1, 0):
            once, thrice = (run(both[side], c)["cpu_s"] for c in (options.capture, long))
            packets[side].append((thrice - once) / 2)
        print(f"turn {turn + 1}: {packets[0][-1]:.2f} to {packets[1][-1]:.2f}", flush=True)
    for what, of in (("least", min), ("median", statistics.median), ("mean", statistics.mean)):
        ours, theirs = of(packets[0]), of(packets[1])
        print(f"{what:<7} {ours:.2f} to {theirs:.2f}: {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
