# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""A small network of its own for recording: a town hall, a gateway, the Internet.

    net (Internet)  ----  gw (gateway, records)  ----  srv (servers of the town hall)
                                   |
                                   +----------------  pc  (workstations of the town hall)

Purpose: four network namespaces joined by veth pairs, real daemons inside
them, and tcpdump on one interface of the gateway.

Never: touch an interface, address or process of the host. Everything lives
in namespaces named `lw<pid>-…` and in one temporary folder, and both are
removed at the end, also after a failure.

Limits: Linux, root, IPv4 forwarding and IPv6 forwarding inside namespaces.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time

# Address plan; README.md of this folder explains who is who.
SRV = "10.20.1.10"
SRV_MORE = [f"10.20.1.{n}" for n in range(11, 41)]
PC = "10.20.2.21"
PC_MORE = ["10.20.2.22", "10.20.2.23"]
ATTACKER = "203.0.113.66"
ATTACKER2 = "198.51.100.23"
CITIZEN = "203.0.113.10"
PARTNER = "198.51.100.80"
SRV6, PC6 = "fd42:20:1::10", "fd42:20:2::21"
ATTACKER6, CITIZEN6 = "2001:db8:66::66", "2001:db8:66::10"

# The name of the recording machine must not end up in a capture.
HOST_NAMES = {"net": "aussen", "gw": "gateway", "srv": "rathaus", "pc": "platz7"}

WAIT_FOR_PORT_S = 20
CLIENT_LIMIT_S = 45


class LabError(Exception):
    """Something that a person has to put right; the text says how."""


def run(command, check=True, limit=CLIENT_LIMIT_S, stdin=None):
    """Runs a command, returns the completed process (output as text). A command over its limit is ended with its children."""
    with subprocess.Popen(command, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True) as process:
        try:
            out, err = process.communicate(stdin, timeout=limit)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise LabError(f"{' '.join(command)}: not finished after {limit} s") from error
            raise
    if check and process.returncode != 0:
        raise LabError(f"{' '.join(command)}: exit {process.returncode}: {(err or out).strip()}")
    return subprocess.CompletedProcess(command, process.returncode, out, err)


class Lab:
    """The network. Use as a context manager; it cleans up whatever happens."""

    def __init__(self):
        self.prefix = f"lw{os.getpid()}-"
        self.daemons = []
        self.folder = None

    def __enter__(self):
        if os.geteuid() != 0:
            raise LabError("network namespaces need root: run this with sudo")
        self.folder = tempfile.mkdtemp(prefix="lagewarte-lab-")
        os.chmod(self.folder, 0o755)
        self.write("hosts", f"127.0.0.1 localhost\n{SRV} rathaus\n{PC} platz7\n{ATTACKER} aussen\n10.20.1.1 gateway\n")
        # Nothing listens there: a look-up fails at once instead of after a time limit.
        self.write("resolv.conf", "nameserver 127.0.0.1\n")
        try:
            self._build()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        self.stop_daemons()
        for name in ("net", "gw", "srv", "pc"):
            run(["ip", "netns", "del", self.prefix + name], check=False)
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _link(self, gw_if, host, host_if, gw_addresses, host_addresses, via, via6):
        gw = self.prefix + "gw"
        inside = self.prefix + host
        run(["ip", "link", "add", gw_if, "netns", gw, "type", "veth", "peer", "name", host_if, "netns", inside])
        for space, interface, addresses in ((gw, gw_if, gw_addresses), (inside, host_if, host_addresses)):
            # Without this the recorded checksums are those that the kernel leaves to the card.
            run(["ip", "netns", "exec", space, "ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro", "off"])
            for address in addresses:
                run(["ip", "-n", space, "addr", "add", address, "dev", interface] + (["nodad"] if ":" in address else []))
            run(["ip", "-n", space, "link", "set", interface, "up"])
        run(["ip", "-n", inside, "route", "add", "default", "via", via])
        run(["ip", "-n", inside, "-6", "route", "add", "default", "via", via6])

    def _build(self):
        for name in ("net", "gw", "srv", "pc"):
            space = self.prefix + name
            run(["ip", "netns", "add", space])
            run(["ip", "-n", space, "link", "set", "lo", "up"])
        for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            run(["ip", "netns", "exec", self.prefix + "gw", "sysctl", "-qw", f"{key}=1"])
        self._link("g-net", "net", "eth0", ["203.0.113.1/24", "198.51.100.1/24", "2001:db8:66::1/64"],
                   [f"{a}/24" for a in (ATTACKER, CITIZEN, ATTACKER2, PARTNER)] + [f"{a}/64" for a in (ATTACKER6, CITIZEN6)],
                   "203.0.113.1", "2001:db8:66::1")
        self._link("g-srv", "srv", "eth0", ["10.20.1.1/24", "fd42:20:1::1/64"],
                   [f"{a}/24" for a in [SRV] + SRV_MORE] + [f"{SRV6}/64"], "10.20.1.1", "fd42:20:1::1")
        self._link("g-pc", "pc", "eth0", ["10.20.2.1/24", "fd42:20:2::1/64"],
                   [f"{a}/24" for a in [PC] + PC_MORE] + [f"{PC6}/64"], "10.20.2.1", "fd42:20:2::1")

    def source(self, where, address):
        """The address that clients in `where` (net or pc) speak from, from now on."""
        gateway = {"net": "203.0.113.1", "pc": "10.20.2.1"}[where]
        gateway6 = {"net": "2001:db8:66::1", "pc": "fd42:20:2::1"}[where]
        six = ":" in address
        run(["ip", "-n", self.prefix + where] + (["-6"] if six else [])
            + ["route", "replace", "default", "via", gateway6 if six else gateway, "src", address])

    # ------------------------------------------------------------ processes

    def path(self, name):
        """A path in the temporary folder."""
        return os.path.join(self.folder, name)

    def write(self, name, text, mode=0o644):
        """A file in the temporary folder; returns its path."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def inside(self, where, command):
        """The command line that runs `command` in namespace `where`, with that place's host name and name resolution.

        The bind mounts live in a mount namespace that ends with the command.
        """
        script = (f"hostname {HOST_NAMES[where]} && mount --bind {self.path('hosts')} /etc/hosts"
                  f" && mount --bind {self.path('resolv.conf')} /etc/resolv.conf && exec \"$@\"")
        named = ["unshare", "--uts", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
        return ["ip", "netns", "exec", self.prefix + where] + named + list(command)

    def client(self, where, *command, ok=(0,), stdin=None, limit=CLIENT_LIMIT_S):
        """Runs a client to its end; `ok=None` accepts any exit code. Returns its output."""
        done = run(self.inside(where, command), check=False, limit=limit, stdin=stdin)
        if ok is not None and done.returncode not in ok:
            raise LabError(f"{' '.join(command)}: exit {done.returncode}: {(done.stderr + done.stdout).strip()[-600:]}")
        return done.stdout + done.stderr

    def daemon(self, where, *command, tcp=None, udp=None, env=None):
        """Starts a server and waits until its port is bound in that namespace."""
        log = open(self.path(f"daemon-{len(self.daemons)}.log"), "wb")
        process = subprocess.Popen(self.inside(where, command), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                   start_new_session=True, env={**os.environ, **(env or {})})
        self.daemons.append(process)
        deadline = time.monotonic() + WAIT_FOR_PORT_S
        while (tcp and not self.bound(where, "-t", tcp)) or (udp and not self.bound(where, "-u", udp)):
            if process.poll() is not None or time.monotonic() > deadline:
                with open(log.name, "rb") as file:
                    text = file.read()[-800:].decode(errors="replace")
                raise LabError(f"{command[0]} did not open port {tcp or udp}: {text}")
            time.sleep(0.05)
        return process

    def bound(self, where, kind, port):
        """Whether a TCP (`-t`) or UDP (`-u`) port is bound in a namespace."""
        return str(port) in run(self.inside(where, ["ss", "-Hln", kind, f"sport = :{port}"])).stdout

    def stop_daemons(self):
        """Ends every server of this lab, with its children."""
        for process in reversed(self.daemons):
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, number)
                except ProcessLookupError:
                    break
                try:
                    process.wait(timeout=3)
                except subprocess.TimeoutExpired:
                    continue
        self.daemons = []

    # ------------------------------------------------------------ recording

    def record(self, interface, bpf, path):
        """A context manager: tcpdump on an interface of the gateway."""
        return Recording(self, interface, bpf, path)


class Recording:
    """tcpdump in the gateway's namespace, stopped when all has been written."""

    def __init__(self, lab, interface, bpf, path):
        self.lab, self.interface, self.bpf, self.path = lab, interface, bpf, path

    def __enter__(self):
        command = ["tcpdump", "-i", self.interface, "-U", "--immediate-mode", "-s", "0", "-Z", "root", "-w", self.path, self.bpf]
        self.process = subprocess.Popen(self.lab.inside("gw", command), stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        while line and "listening on" not in line:
            line = self.process.stderr.readline()
        if not line:
            raise LabError(f"tcpdump did not start on {self.interface} with filter {self.bpf!r}")
        return self

    def __exit__(self, *_):
        # The file is complete when it no longer grows: the last FIN or ICMP may lag behind the client's exit.
        size, quiet = -1, 0
        while quiet < 6:
            time.sleep(0.1)
            now = os.path.getsize(self.path) if os.path.exists(self.path) else 0
            quiet = quiet + 1 if now == size else 0
            size = now
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=10)


def missing(tools):
    """The programs of `tools` (name to Debian package) that this host does not have."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin"
    return {name: package for name, package in tools.items()
            if not (os.path.exists(name) if name.startswith("/") else shutil.which(name, path=path))}


