#!/usr/bin/env python3
# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Floods that are made to fill a sensor's memory, and what they take of it.

    floods.py --sensor PATH [--scale N] [--json FILE] [FLOOD ...]

Purpose: writes a capture for each flood (half-open connections, connections picked up and left, headers without end,
decompression bombs, fragments of datagrams that never come whole, tiny segments out of order), replays it with small configured caps,
and compares the process's peak memory (from the kernel) with a stated bound: what the sensor takes for a capture of one packet, plus the
caps that the flood can fill, plus `SLACK`. A flood must also show that it reached what it was made for: the counter named with it.

`--scale` divides the number of packets; 1 is millions. Never: keep a capture, once it was replayed. Limits: files, not a live
line: a file waits where a live line would shed, so that queues are no part of the bound.
"""

import argparse
import json
import lzma
import os
import random
import struct
import subprocess
import sys
import tempfile
import zlib

MB = 1 << 20
# What nothing accounts for: queues of packets and events, hash tables that grow by doubling, allocators' own.
SLACK = 48 * MB
# The caps that are set here, in bytes.
CAPS = {
    "flow.memcap": 16 * MB,
    "stream.memcap": 16 * MB,
    "stream.reassembly.memcap": 32 * MB,
    "defrag.memcap": 16 * MB,
}
# Caps of the application layer that are constants of the program: held bytes over all flows, and parsed state of one protocol.
HELD, PARSED = 64 * MB, 64 * MB
# 64 MiB of zeros as a brotli stream (RFC 7932) of 53 bytes.
BROTLI = bytes.fromhex(
    "cfffff7ff82700e2b14020f7fe9ffffffff04f00c4610180eefd3fffffffe19f0088c32200ddfbfffcffffc73f0110870500baf7ff"
)
SYN, ACK, SYNACK, PUSH = 0x02, 0x10, 0x12, 0x18


class Capture:
    """A pcap file, written packet by packet; a packet each microsecond."""

    def __init__(self, path):
        self.file = open(path, "wb", buffering=MB)  # closed by close()
        self.file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 101))
        self.count = 0

    def raw(self, packet):
        """One IP packet."""
        seconds, micros = divmod(self.count, 1_000_000)
        self.file.write(struct.pack("<IIII", 1_700_000_000 + seconds, micros, len(packet), len(packet)) + packet)
        self.count += 1

    def ip(self, source, target, proto, payload, ident=0, fragment=0):
        """An IPv4 packet. Checksums are left out: the sensor is told not to look at them."""
        head = struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(payload), ident, fragment, 64, proto, 0, source, target)
        self.raw(head + payload)

    def tcp(self, source, target, flags, seq, ack, data=b""):
        """A segment; ends are (address, port)."""
        head = struct.pack(">HHIIBBHHH", source[1], target[1], seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, 65535, 0, 0)
        self.ip(source[0], target[0], 6, head + data)

    def open(self, client, server):
        """A handshake: the client's first byte has number 1001, the server's 5001."""
        self.tcp(client, server, SYN, 1000, 0)
        self.tcp(server, client, SYNACK, 5000, 1001)
        self.tcp(client, server, ACK, 1001, 5001)

    def close(self):
        """Ends the file."""
        self.file.close()


def client(number):
    """An end of its own for each number."""
    return 0x0A000000 + number // 50_000, 1024 + number % 50_000


SERVER = (0xC0000201, 80)


def half_open(capture, scale):
    """A million connections of which only the SYN comes."""
    for n in range(1_000_000 // scale):
        capture.tcp(client(n), SERVER, SYN, n, 0)


def left_open(capture, scale):
    """Connections that are opened, say a byte and are left."""
    for n in range(300_000 // scale):
        capture.open(client(n), SERVER)
        capture.tcp(client(n), SERVER, PUSH, 1001, 5001, b"x")
        capture.tcp(SERVER, client(n), ACK, 5001, 1002)


def headers(capture, scale):
    """Requests whose header goes on and on, on many connections at once."""
    ends = [client(n) for n in range(max(1, 4000 // scale))]
    for end in ends:
        capture.open(end, SERVER)
    line = b"GET / HTTP/1.1\r\nHost: h\r\n"
    places = [1001] * len(ends)
    for turn in range(40):
        for n, end in enumerate(ends):
            data = (line if turn == 0 else b"") + b"".join(b"X-%d-%d: %s\r\n" % (turn, i, b"a" * 80) for i in range(14))
            capture.tcp(end, SERVER, PUSH, places[n], 5001, data)
            places[n] += len(data)
            capture.tcp(SERVER, end, ACK, 5001, places[n])


def one_header(capture, scale):
    """Requests with one header line that never ends."""
    ends = [client(n) for n in range(max(1, 4000 // scale))]
    for end in ends:
        capture.open(end, SERVER)
    places = [1001] * len(ends)
    for turn in range(40):
        for n, end in enumerate(ends):
            data = (b"GET / HTTP/1.1\r\nX: " if turn == 0 else b"") + b"a" * 1400
            capture.tcp(end, SERVER, PUSH, places[n], 5001, data)
            places[n] += len(data)
            capture.tcp(SERVER, end, ACK, 5001, places[n])


def bomb(coding, body):
    """Many connections that each answer with a bomb, left open behind it."""

    def write(capture, scale):
        ask = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
        answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s" % (coding, len(body) + 1, body)
        for n in range(max(1, 400 // scale)):
            end = client(n)
            capture.open(end, SERVER)
            capture.tcp(end, SERVER, PUSH, 1001, 5001, ask)
            capture.tcp(SERVER, end, ACK, 5001, 1001 + len(ask))
            at = 5001
            for start in range(0, len(answer), 1400):
                piece = answer[start:start + 1400]
                capture.tcp(SERVER, end, PUSH, at, 1001 + len(ask), piece)
                at += len(piece)
                capture.tcp(end, SERVER, ACK, 1001 + len(ask), at)

    return write


def zeros(size=64 * MB):
    """Many bytes that pack well."""
    return bytes(size)


def gzip_bomb():
    """64 MiB of zeros, packed twice: what comes out of the first layer is a bomb again."""
    return packed(packed(zeros(), 31), 31)


def packed(data, bits):
    """zlib's formats by window bits: 31 gzip, 15 zlib, -15 raw deflate."""
    coder = zlib.compressobj(9, zlib.DEFLATED, bits)
    return coder.compress(data) + coder.flush()


def fragments(capture, scale):
    """Two million first halves of datagrams whose other half never comes."""
    for n in range(2_000_000 // scale):
        capture.ip(0x0A000000 + n // 65_536, SERVER[0], 17, b"fragment", ident=n % 65_536, fragment=0x2000)


def many_fragments(capture, scale):
    """Datagrams in pieces of eight bytes, every second one missing."""
    for n in range(max(1, 400 // scale)):
        for piece in range(0, 8000, 2):
            capture.ip(0x0A000000 + n, SERVER[0], 17, b"fragment", ident=n, fragment=0x2000 | piece)


def tiny_segments(capture, scale):
    """Streams in segments of one byte, in any order, of which the first byte never comes."""
    rng = random.Random(1)
    ends = [client(n) for n in range(200)]
    for end in ends:
        capture.open(end, SERVER)
    for _ in range(2_000_000 // scale):
        end = ends[rng.randrange(len(ends))]
        capture.tcp(end, SERVER, PUSH, 1002 + 2 * rng.randrange(20_000), 5001, b"x")


def http2_streams(capture, scale):
    """Connections of HTTP/2 that open streams and end none."""
    ends = [client(n) for n in range(max(1, 1000 // scale))]
    for end in ends:
        capture.open(end, SERVER)
        data = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
        for stream in range(1, 1600, 2):
            block = b"\x82\x84\x86\x41\x01h\x40\x01a\x20" + b"v" * 32
            data += len(block).to_bytes(3, "big") + b"\x01\x04" + stream.to_bytes(4, "big") + block
        at = 1001
        for start in range(0, len(data), 1400):
            piece = data[start:start + 1400]
            capture.tcp(end, SERVER, PUSH, at, 5001, piece)
            at += len(piece)
            capture.tcp(SERVER, end, ACK, 5001, at)


STREAMS = ("flow.memcap", "stream.memcap", "stream.reassembly.memcap")
# Name: how it is made, caps that it can fill (names, or bytes), counter of `stats` that must not be 0.
FLOODS = {
    "half-open": (half_open, ("flow.memcap", "stream.memcap"), "flow.evicted"),
    "left-open": (left_open, (*STREAMS, HELD), "flow.evicted"),
    "headers": (headers, (*STREAMS, HELD, PARSED), "app_layer.held"),
    "one-header": (one_header, (*STREAMS, HELD, PARSED), "app_layer.held"),
    "gzip-bomb": (lambda c, s: bomb(b"gzip, gzip", gzip_bomb())(c, s), (*STREAMS, HELD, PARSED), "app_layer.tx.http"),
    "deflate-bomb": (lambda c, s: bomb(b"deflate", packed(zeros(), 15))(c, s), (*STREAMS, HELD, PARSED), "app_layer.tx.http"),
    "brotli-bomb": (bomb(b"br", BROTLI), (*STREAMS, HELD, PARSED), "app_layer.tx.http"),
    "lzma-bomb": (
        lambda c, s: bomb(b"lzma", lzma.compress(zeros(), lzma.FORMAT_ALONE))(c, s), (*STREAMS, HELD, PARSED), "app_layer.tx.http"
    ),
    "fragments": (fragments, ("defrag.memcap",), "defrag.memcap_reached"),
    "many-fragments": (many_fragments, ("defrag.memcap",), "defrag.max_frags_reached"),
    "tiny-segments": (tiny_segments, STREAMS, "tcp.segment_memcap_drop"),
    "http2-streams": (http2_streams, (*STREAMS, HELD, PARSED), "app_layer.tx.http2"),
}


def made(write, path, scale):
    """Writes a flood's capture; how many packets. In a process of its own: the peak of this one is the least that the kernel
    says of its children."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        capture = Capture(path)
        write(capture, scale)
        capture.close()
        os.write(theirs, b"%d" % capture.count)
        os._exit(0)
    os.close(theirs)
    count = os.read(ours, 32)
    os.close(ours)
    os.waitpid(child, 0)
    return int(count or 0)


def replay(sensor, folder, capture):
    """Peak memory in bytes, CPU seconds, and the counters at the end."""
    config = os.path.join(folder, "sensor.yaml")
    rules = os.path.join(folder, "a.rules")
    with open(rules, "w", encoding="utf-8") as file:
        # Streams and bodies are kept for rules only where some look into them.
        file.write('alert tcp any any -> any any (content:"never seen"; sid:1;)\n')
        file.write('alert http any any -> any any (file.data; content:"never seen"; sid:2;)\n')
    with open(config, "w", encoding="utf-8") as file:
        file.write("outputs:\n  - eve-log:\n      types: [alert, stats]\napp-layer:\n  protocols:\n    http:\n      libhtp:\n        default-config:\n          lzma-enabled: yes\n")
    sets = [part for key, size in CAPS.items() for part in ("--set", f"{key}={size}")]
    command = [sensor, "replay", "-r", capture, "-l", folder, "-c", config, "-S", rules, "-k", "none", "--runmode=single", *sets]
    with open(os.path.join(folder, "log"), "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        with open(os.path.join(folder, "log"), errors="replace", encoding="utf-8") as log:
            raise SystemExit(f"exit {process.returncode}: {log.read()[-500:]}")
    stats = {}
    with open(os.path.join(folder, "eve.json"), encoding="utf-8") as file:
        for line in file:
            event = json.loads(line)
            if event["event_type"] == "stats":
                stats = event["stats"]
    return usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime, stats


def counter(stats, name):
    """A counter by its dotted name; 0 where it does not stand there."""
    for part in name.split("."):
        stats = stats.get(part, 0) if isinstance(stats, dict) else 0
    return stats


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description="Floods that are made to fill a sensor's memory.")
    parser.add_argument("floods", nargs="*", help=", ".join(FLOODS))
    parser.add_argument("--sensor", required=True)
    parser.add_argument("--scale", type=int, default=1, help="divides the number of packets")
    parser.add_argument("--json", help="file for the figures")
    options = parser.parse_args()
    sensor = os.path.abspath(options.sensor)
    unknown = [name for name in options.floods if name not in FLOODS]
    if unknown or options.scale < 1:
        parser.error(f"no such flood: {', '.join(unknown)}" if unknown else "--scale is 1 or more")

    def measure(write):
        with tempfile.TemporaryDirectory(prefix="floods-") as folder:
            path = os.path.join(folder, "flood.pcap")
            return (made(write, path, options.scale), *replay(sensor, folder, path))

    _, base, _, _ = measure(lambda capture, _: capture.tcp(client(0), SERVER, SYN, 0, 0))
    print(f"one packet: {base / MB:.0f} MB\n\n| flood | packets | CPU s | peak MB | bound MB | reached |\n|---|---|---|---|---|---|")
    figures, failed = [], 0
    for name in options.floods or FLOODS:
        write, caps, reached = FLOODS[name]
        packets, peak, cpu, stats = measure(write)
        bound = base + SLACK + sum(CAPS.get(c, c) for c in caps)
        times = counter(stats, reached)
        bad = peak > bound or (times == 0 and options.scale == 1)
        failed += bad
        print(f"| {name} | {packets:,} | {cpu:.1f} | {peak / MB:.0f} | {bound / MB:.0f} | `{reached}` {times:,} |{' FAILED' if bad else ''}", flush=True)
        figures.append({"flood": name, "packets": packets, "cpu_s": cpu, "peak": peak, "bound": bound, "reached": {reached: times}})
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
