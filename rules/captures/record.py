#!/usr/bin/env python3
# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Records the captures of this project: real clients against real servers.

    record.py --list           names of all scenarios
    record.py NAME...          records these (a prefix such as 1100101 is enough)
    record.py --all            records everything, background included

Purpose: each scenario builds a network of its own (see lab.py), starts real
servers in it (servers.py), runs real clients (scenarios.py), and records at the gateway.
The result goes to rules/sets/tests/<case>/fires.pcap or quiet.pcap, or to
background.pcap, tls/ and quic/ in this folder. What no client can be made to send is in build.py.

Never: touch the host's network. Namespaces and files are removed at the end,
also after a failure. A capture that has a wrong checksum, is too large or is
empty is not kept.

Limits: needs root and the programs below; says which are missing and the
apt command that brings them.
"""

import argparse
import os
import signal
import sys
import tempfile

import scenarios  # noqa: F401 -- fills the registry
import scenarios_tls  # noqa: F401 -- the same
from lab import Lab, LabError, missing
from packets import read_pcap, retime, write_pcap, wrong_checksums
from stage import SCENARIOS, Stage

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.join(HERE, "..", "sets", "tests")
LARGEST_CAPTURE = 300_000
LARGEST_BACKGROUND = 400_000
# 2026-03-02 08:00 UTC, a Monday: the hour of the background.
BACKGROUND_START_US = 1_772_438_400_000_000
HOUR_US = 3_600_000_000

TOOLS = {
    "ip": "iproute2", "ss": "iproute2", "ethtool": "ethtool", "tcpdump": "tcpdump", "sysctl": "procps", "setpriv": "util-linux",
    "curl": "curl", "nginx": "nginx-light", "openssl": "openssl", "dig": "bind9-dnsutils", "dnsmasq": "dnsmasq-base",
    "ssh": "openssh-client", "sshd": "openssh-server", "smbclient": "smbclient", "smbd": "samba", "swaks": "swaks", "nmap": "nmap",
    "ping": "iputils-ping", "hydra": "hydra", "xfreerdp": "freerdp2-x11", "xrdp": "xrdp", "Xvfb": "xvfb", "dovecot": "dovecot-imapd",
    "/usr/lib/dovecot/pop3": "dovecot-pop3d", "fetchmail": "fetchmail", "php": "php-cli", "iodine": "iodine", "iodined": "iodine",
    "ptunnel": "ptunnel", "chronyd": "chrony", "ngircd": "ngircd", "atftpd": "atftpd", "tftp": "tftp-hpa", "telnet": "inetutils-telnet",
    "telnetd": "inetutils-telnetd", "inetutils-inetd": "inetutils-inetd",
    "/usr/lib/python3/dist-packages/aiosmtpd": "python3-aiosmtpd", "/usr/lib/python3/dist-packages/pyftpdlib": "python3-pyftpdlib",
}

# Scenarios of protocols: they need little, and their captures lie in this folder.
PROTOCOLS = ("tls/", "quic/")
PROTOCOL_TOOLS = ("ip", "ss", "ethtool", "tcpdump", "sysctl", "curl", "openssl")

# ------------------------------------------------------------ running


def output_path(name):
    """Where a scenario's capture belongs."""
    if name == "background":
        return os.path.join(HERE, "background.pcap")
    if name.startswith(PROTOCOLS):
        return os.path.join(HERE, name + ".pcap")
    return os.path.normpath(os.path.join(TESTS, name + ".pcap"))


def record(name):
    """Records one scenario; returns a line about the result."""
    function, interface, bpf = SCENARIOS[name]
    handle, raw = tempfile.mkstemp(suffix=".pcap", prefix="lagewarte-")
    os.close(handle)
    try:
        with Lab() as lab:
            stage = Stage(lab, interface, bpf, raw)
            try:
                function(stage)
            finally:
                stage.stop()
        packets = read_pcap(raw)
    finally:
        os.unlink(raw)
    if not packets:
        raise LabError(f"{name}: nothing was recorded")
    wrong = wrong_checksums(packets)
    if wrong:
        raise LabError(f"{name}: {len(wrong)} wrong checksums, first {wrong[0]}; is transmit offload still on?")
    if name == "background":
        packets = retime(packets, BACKGROUND_START_US, HOUR_US)
    size = 24 + sum(16 + len(p.frame) for p in packets)
    if size > (LARGEST_BACKGROUND if name == "background" else LARGEST_CAPTURE):
        raise LabError(f"{name}: {size} bytes are too many for a committed capture")
    path = output_path(name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    write_pcap(path, packets)
    return f"{name}: {len(packets)} packets, {size} bytes"


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description="Records captures with real clients and servers in network namespaces.")
    parser.add_argument("names", nargs="*", help="scenario names or their beginnings")
    parser.add_argument("--list", action="store_true", help="list the scenarios and what they do")
    parser.add_argument("--all", action="store_true", help="record all of them")
    options = parser.parse_args()
    if options.list or not (options.names or options.all):
        for name, (function, _, _) in SCENARIOS.items():
            print(f"{name:40} {(function.__doc__ or '').strip().splitlines()[0] if function.__doc__ else ''}")
        return 0
    chosen = [n for n in SCENARIOS if options.all or any(n.startswith(w) for w in options.names)]
    for word in options.names:
        if not any(n.startswith(word) for n in SCENARIOS):
            print(f"record.py: no scenario begins with {word!r}; see --list", file=sys.stderr)
            return 2
    little = all(n.startswith(PROTOCOLS) for n in chosen)
    lacking = missing({t: TOOLS[t] for t in PROTOCOL_TOOLS} if little else TOOLS)
    if lacking:
        print("record.py: missing: " + ", ".join(sorted(lacking)), file=sys.stderr)
        print("  apt-get install -y --no-install-recommends " + " ".join(sorted(set(lacking.values()))), file=sys.stderr)
        return 2
    # An ending by signal must pass through the lab's clean-up as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = 0
    for name in chosen:
        try:
            print(record(name), flush=True)
        except (LabError, OSError) as error:
            failed += 1
            print(f"record.py: {name}: {error}", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
