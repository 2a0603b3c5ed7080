# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""A bad wire: carries frames between two interfaces and drops, duplicates and reorders some of them.

Arguments: IF_A IF_B MODE_FILE SEED. MODE_FILE holds JSON, read again five times a second:
{"drop": 0.01, "duplicate": 0.05, "reorder": 0.1}, each the part of frames that it befalls. Prints its counts as JSON when
it is told to stop (SIGTERM). Where the kernel has no netem, this is what stands between two network namespaces.

Never: look above the link layer, or run on an interface that is not the test's own.
"""
import ctypes
import fcntl
import json
import random
import select
import signal
import socket
import struct
import sys
import time

SIOCETHTOOL = 0x8946
# Transmit checksums, scatter-gather, segmentation offloads: a frame must lie on the wire as its receiver checks it.
ETHTOOL_OFF = (0x17, 0x19, 0x1F, 0x24, 0x2C)


def no_offload(name):
    """Switches transmit offloads off on an interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for command in ETHTOOL_OFF:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP", name.encode(), ctypes.addressof(value))
            try:
                fcntl.ioctl(s, SIOCETHTOOL, request)
            except OSError:
                pass  # a veth has not all of them


def carry(a, b, mode_file, seed):
    """Until SIGTERM."""
    chance = random.Random(seed)
    counts = {"carried": 0, "dropped": 0, "duplicated": 0, "reordered": 0}
    ends = {}
    for name, other in ((a, b), (b, a)):
        no_offload(name)
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        s.bind((name, 0))
        s.setblocking(False)
        ends[name] = s
    other = {ends[a]: ends[b], ends[b]: ends[a]}
    held = []
    mode, read_at = {}, 0.0
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))

    def send(to, frame):
        try:
            to.send(frame)
        except OSError:
            counts["dropped"] += 1  # its queue is full: as on a wire

    while not stop:
        now = time.monotonic()
        if now - read_at > 0.2:
            read_at = now
            try:
                with open(mode_file, encoding="utf-8") as file:
                    mode = json.load(file)
            except (OSError, ValueError):
                pass  # being written
        for due, to, frame in [h for h in held if h[0] <= now]:
            send(to, frame)
        held = [h for h in held if h[0] > now]
        ready, _, _ = select.select(list(other), [], [], 0.005 if held else 0.1)
        for s in ready:
            for _ in range(64):
                try:
                    frame, address = s.recvfrom(65536)
                except OSError:
                    break
                if address[2] == socket.PACKET_OUTGOING:
                    continue
                to = other[s]
                if chance.random() < mode.get("drop", 0):
                    counts["dropped"] += 1
                    continue
                counts["carried"] += 1
                if chance.random() < mode.get("reorder", 0):
                    counts["reordered"] += 1
                    held.append((now + chance.uniform(0.001, 0.03), to, frame))
                else:
                    send(to, frame)
                if chance.random() < mode.get("duplicate", 0):
                    counts["duplicated"] += 1
                    send(to, frame)
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        no_offload(sys.argv[1])
    else:
        carry(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
