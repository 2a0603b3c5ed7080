#!/usr/bin/env python3
# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Packet builder and small pcap tools (standard library only).

    build.py --list                          the captures that are built, not recorded
    build.py NAME... | --all                 builds them
    build.py retarget IN OUT --map A=B ...   other addresses, checksums adjusted
    build.py retime IN OUT --start S --span N  flows spread over N seconds from second S
    build.py merge OUT IN...                 several captures in order of time
    build.py verify FILE...                  checks every checksum

Purpose: captures of what no client can be made to send, byte-exact and the
same on every run: full TCP handshake, correct lengths and checksums.

Never: send anything. The payloads carry the marks that the rules look for and
no working exploit.

Limits: those of packets.py.
"""

import argparse
import os
import struct
import sys

import packets
from lab import ATTACKER, PARTNER, PC, SRV

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.join(HERE, "..", "sets", "tests")
# 2026-03-02 09:00 UTC.
START_US = 1_772_442_000_000_000

BUILT = {}


def built(name):
    """Registers a function that returns the packets of a capture."""

    def register(function):
        BUILT[name] = function
        return function

    return register


def smb1(command, parameters, data, tree=2048, user=2048, multiplex=64, answer=False):
    """An SMB1 message (MS-CIFS 2.2.3.1) with its NetBIOS session header; texts are in the OEM character set."""
    flags = 0x98 if answer else 0x18
    header = b"\xffSMB" + struct.pack("<BIBHH8xHHHHH", command, 0, flags, 0x4007, 0, 0, tree, 0xFEFF, user, multiplex)
    body = header + struct.pack("<B", len(parameters) // 2) + parameters + struct.pack("<H", len(data)) + data
    return struct.pack(">I", len(body)) + body


@built("1100304-smb-eternalblue/fires")
def eternalblue():
    """From an infected workstation: session, tree, and the NT Trans with the telling data count. Filler instead of the exploit."""
    session = packets.TcpSession(START_US, PC, 49721, SRV, 445)
    dialects = b"\x02NT LM 0.12\0"
    session.send("c", smb1(0x72, b"", dialects, tree=0, user=0))
    session.send("s", smb1(0x72, struct.pack("<HBHHIIIIQHB", 0, 3, 50, 1, 16644, 65536, 0, 0x8000E3FD, 0, 0, 0), b"", tree=0, user=0, answer=True))
    words = struct.pack("<BBHHHHIHHII", 0xFF, 0, 0, 4356, 10, 0, 0, 0, 0, 0, 0xD0)
    session.send("c", smb1(0x73, words, b"\0\0Windows 2000 2195\0Windows 2000 5.0\0", tree=0, user=0))
    session.send("s", smb1(0x73, struct.pack("<BBHH", 0xFF, 0, 0, 1), b"Windows 7\0Windows 7\0\0", tree=0, answer=True))
    session.send("c", smb1(0x75, struct.pack("<BBHHH", 0xFF, 0, 0, 8, 1), b"\0\\\\10.20.1.10\\IPC$\0?????\0", tree=0))
    session.send("s", smb1(0x75, struct.pack("<BBHH", 0xFF, 0, 0, 1), b"IPC\0\0", answer=True))
    # NT_TRANSACT (MS-CIFS 2.2.4.62.1): max setup, reserved, total parameters, total data, maxima, counts, offsets, setup.
    words = struct.pack("<BHIIIIIIIIBH", 1, 0, 30, 0x000103D0, 30, 0, 30, 75, 976, 104, 1, 0) + b"\0\0"
    session.send("c", smb1(0xA0, words, bytes(30) + bytes(976)))
    session.send("s", smb1(0xA0, b"", b"", answer=True))
    return session.close()


@built("1100603-meterpreter-stage/fires")
def meterpreter_stage():
    """Two connections to port 4444; each is answered by a length and the shape of a Windows library, without code."""
    result = []
    library = b"MZ\xe8\0\0\0\0[RE\x55\x89\xe5" + bytes(65) + b"!This program cannot be run in DOS mode.\r\r\n$" + bytes(200) + b"PE\0\0" + bytes(700)
    for index in range(2):
        session = packets.TcpSession(START_US + index * 5_000_000, PC, 49801 + index, ATTACKER, 4444)
        session.send("s", struct.pack("<I", len(library)) + library)
        session.send("c", bytes(range(32)))
        result.extend(session.close())
    return result


def pool_line(method, agent):
    """A JSON-RPC request to a mining pool or another service."""
    return (f'{{"id":1,"jsonrpc":"2.0","method":"{method}","params":{{"login":"48edfHu7V9Z84YzzMa6fUueoELZ9ZRXq9VetWzYGzKt52XU5xvqgzYnDK9UR",'
            f'"pass":"x","agent":"{agent}"}}}}\n').encode()


@built("1100605-coin-miner/fires")
def coin_miner():
    """One login at a pool on port 3333."""
    session = packets.TcpSession(START_US, PC, 50111, ATTACKER, 3333)
    session.send("c", pool_line("login", "XMRig/6.21.0 (Windows NT 10.0; Win64; x64)"))
    session.send("s", b'{"id":1,"jsonrpc":"2.0","error":null,"result":{"id":"1","status":"OK"}}\n')
    return session.close()


@built("1100605-coin-miner/quiet")
def json_rpc():
    """A specialist application speaks JSON-RPC with its maker on the same port, with a login of its own."""
    session = packets.TcpSession(START_US, PC, 50112, PARTNER, 3333)
    session.send("c", pool_line("login", "Fachverfahren/4.2"))
    session.send("s", b'{"id":1,"jsonrpc":"2.0","result":"OK"}\n')
    session.send("c", pool_line("status", "Fachverfahren/4.2"))
    session.send("s", b'{"id":1,"jsonrpc":"2.0","result":"frei"}\n')
    return session.close()


def icmp_error(time, router, kind, code, rest, target):
    """An ICMP message about a UDP datagram of ours to `target`, quoting it (RFC 792)."""
    quoted = packets.udp(time, SRV, 33434, target, 33434, b"\0" * 8).frame[14:14 + 28]
    return packets.icmp(time, router, SRV, kind, code, rest, quoted)


@built("1100205-icmp-redirect/fires")
def icmp_redirect():
    """Two redirects for a host (code 1) and one for a network (code 0), all to the attacker."""
    gateway = bytes(int(part) for part in ATTACKER.split("."))
    return [icmp_error(START_US + index * 1_000_000, ATTACKER, 5, code, gateway, PARTNER) for index, code in enumerate((1, 1, 0))]


@built("1100205-icmp-redirect/quiet")
def icmp_errors():
    """What a traceroute brings: time exceeded, port and host unreachable."""
    return [icmp_error(START_US + index * 300_000, PARTNER, kind, code, bytes(4), PARTNER)
            for index, (kind, code) in enumerate(((11, 0), (11, 0), (3, 3), (3, 1), (3, 0)))]


def build(name):
    """Builds one capture; returns a line about the result."""
    made = BUILT[name]()
    wrong = packets.wrong_checksums(made)
    if wrong:
        raise ValueError(f"{name}: wrong checksum in packet {wrong[0][0]}: {wrong[0][1]}")
    path = os.path.normpath(os.path.join(TESTS, name + ".pcap"))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    packets.write_pcap(path, made)
    return f"{name}: {len(made)} packets, {os.path.getsize(path)} bytes"


def tools(arguments):
    """The subcommands that work on files."""
    parser = argparse.ArgumentParser(prog="build.py")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("retarget", help="replace addresses")
    one.add_argument("input")
    one.add_argument("output")
    one.add_argument("--map", action="append", required=True, metavar="OLD=NEW")
    two = commands.add_parser("retime", help="spread the flows over a span")
    two.add_argument("input")
    two.add_argument("output")
    two.add_argument("--start", type=int, required=True, help="first second (Unix time)")
    two.add_argument("--span", type=int, required=True, help="seconds")
    three = commands.add_parser("merge", help="several captures into one, in order of time")
    three.add_argument("output")
    three.add_argument("inputs", nargs="+")
    four = commands.add_parser("verify", help="check all checksums")
    four.add_argument("inputs", nargs="+")
    options = parser.parse_args(arguments)
    if options.command == "retarget":
        for entry in options.map:
            if "=" not in entry:
                parser.error(f"--map {entry}: expected OLD=NEW")
        mapping = dict(entry.split("=", 1) for entry in options.map)
        packets.write_pcap(options.output, packets.retarget(packets.read_pcap(options.input), mapping))
    elif options.command == "retime":
        moved = packets.retime(packets.read_pcap(options.input), options.start * 1_000_000, options.span * 1_000_000)
        packets.write_pcap(options.output, moved)
    elif options.command == "merge":
        everything = [packet for path in options.inputs for packet in packets.read_pcap(path)]
        packets.write_pcap(options.output, sorted(everything, key=lambda packet: packet.time))
    else:
        bad = 0
        for path in options.inputs:
            for number, what in packets.wrong_checksums(packets.read_pcap(path)):
                print(f"{path}: packet {number}: {what}")
                bad += 1
        print(f"{len(options.inputs)} files, {bad} wrong checksums")
        return 1 if bad else 0
    return 0


def main():
    """Command line."""
    arguments = sys.argv[1:]
    try:
        if arguments and arguments[0] in ("retarget", "retime", "merge", "verify"):
            return tools(arguments)
        if not arguments or arguments == ["--list"]:
            for name, function in BUILT.items():
                print(f"{name:40} {function.__doc__}")
            return 0
        for name in BUILT if arguments == ["--all"] else arguments:
            if name not in BUILT:
                print(f"build.py: no capture is called {name!r}; see --list", file=sys.stderr)
                return 2
            print(build(name))
    except (OSError, ValueError) as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
