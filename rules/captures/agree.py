#!/usr/bin/env python3
# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Compares what the sensor reads in our own captures with what tshark reads.

    agree.py --sensor PATH [CAPTURE...] [-v]

Purpose: fields of HTTP, TLS, QUIC, DNS, SMTP, FTP, SMB and DCE/RPC against an independent reader, flow by flow. Each protocol is a row of
`TABLE`: how tshark names what we compare, and how our EVE event does. A difference that has a reason stands in `KNOWN` with
that reason; every other one fails. A known one that is gone is named, so that the list stays true.

Never: decide who is right. Limits: needs tshark; captures without loss, since both readers treat lost segments in their own way.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
AGGREGATE = "\x1f"

# Differences that have a reason: (capture's beginning, protocol, what): reason. "*" stands for any.
NO_PARSER = "neither POP3 nor IMAP is parsed, so what follows STARTTLS is not"
KNOWN = {
    ("captures/quic/versions", "quic", "only sensor"): "tshark takes the hello behind a retry for a repetition of the first",
    ("", "http", "host"): "tshark repeats the request's host at the answer; the sensor has it once",
    ("captures/background", "tls", "only tshark"): NO_PARSER,
    ("sets/tests/1100201", "tls", "*"): NO_PARSER,
    ("sets/tests/1100703", "tls", "*"): NO_PARSER,
}

FIELDS = """frame.number ip.src ipv6.src ip.dst ipv6.dst tcp.srcport tcp.dstport udp.srcport udp.dstport
http.request.method http.request.uri http.host http.user_agent http.response.code
tls.handshake.type tls.handshake.extensions_server_name tls.handshake.ja3 tls.handshake.ja3s tls.handshake.ciphersuite
tls.handshake.random tls.handshake.extension.type x509af.serialNumber
dns.id dns.flags.response dns.qry.name dns.flags.rcode dns.count.queries
smtp.req.command smtp.req.parameter
ftp.request.command ftp.request.arg ftp.response.code
smb.cmd smb.flags.response smb.path smb2.cmd smb2.flags.response smb2.tree smb2.filename
ntlmssp.auth.username ntlmssp.auth.domain
dcerpc.pkt_type dcerpc.cn_call_id dcerpc.opnum""".split()
FILTER = "http || tls.handshake || dns || smtp || ftp || smb || smb2 || dcerpc"
# A request to try again is a server hello by its type (RFC 8446, 4.1.3).
RETRY = "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"


def address(text):
    """One spelling for each address."""
    return text.lower() if ":" not in text else ":".join(f"{int(p or '0', 16):x}" for p in expand(text).split(":"))


def expand(text):
    """IPv6 with all eight groups."""
    head, _, tail = text.partition("::")
    if "::" not in text:
        return text
    left, right = head.split(":") if head else [], tail.split(":") if tail else []
    return ":".join(left + ["0"] * (8 - len(left) - len(right)) + right)


class Frame:
    """One packet as tshark tells it."""

    def __init__(self, line):
        self.values = dict(zip(FIELDS, line.split("\t")))
        source = self.first("ip.src") or self.first("ipv6.src")
        target = self.first("ip.dst") or self.first("ipv6.dst")
        self.udp = bool(self.first("udp.srcport"))
        ports = [self.first(f"{'udp' if self.udp else 'tcp'}.{side}port") or "0" for side in ("src", "dst")]
        self.source, self.target = (address(source), int(ports[0])), (address(target), int(ports[1]))

    def all(self, name):
        """Every value of a field."""
        text = self.values.get(name, "")
        return text.split(AGGREGATE) if text else []

    def first(self, name):
        """The first value, or nothing."""
        return next(iter(self.all(name)), "")

    def way(self):
        """From the sender to the receiver."""
        return (self.source, self.target)

    def back(self):
        """The other way."""
        return (self.target, self.source)


def name(text):
    """A DNS name; of one with bytes that are no text only the labels behind them: each reader writes such bytes its own way."""
    text = "" if text == "<Root>" else text.lower()
    odd = [m.end() for m in re.finditer(r"[^a-z0-9._-]", text)]
    return text if not odd else text[odd[-1]:].partition(".")[2]


def way(event):
    """Source and destination of an event."""
    return ((address(event["src_ip"]), event.get("src_port", 0)), (address(event["dest_ip"]), event.get("dest_port", 0)))


# ------------------------------------------------------------ one function a protocol and reader: flow -> Counter of values


def http_theirs(frames):
    seen = collections.defaultdict(collections.Counter)
    for f in frames:
        for method, uri in zip(f.all("http.request.method"), f.all("http.request.uri")):
            seen[f.way()]["request", method, uri] += 1
        for host in f.all("http.host"):
            seen[f.way()]["host", host.lower().rsplit(":", 1)[0] if host.count(":") == 1 else host.lower()] += 1
        for agent in f.all("http.user_agent"):
            seen[f.way()]["agent", agent] += 1
        for code in f.all("http.response.code"):
            if code not in ("100", "101"):
                seen[f.back()]["status", code] += 1
    return seen


def http_ours(events):
    seen = collections.defaultdict(collections.Counter)
    for e in of(events, "http"):
        h, flow = e["http"], seen[way(e)]
        if "http_method" in h:
            flow["request", h["http_method"], h.get("url", "")] += 1
        if "hostname" in h:
            flow["host", h["hostname"].lower()] += 1
        if "http_user_agent" in h:
            flow["agent", h["http_user_agent"]] += 1
        if h.get("status") not in (None, 101):
            flow["status", str(h["status"])] += 1
    return seen


def tls_theirs(frames):
    """Of each flow the first hellos and the first certificate; only flows of which an event must come: where both sides
    said hello, and where a client that knows of tickets (extension 35) got no answer, as Suricata has it."""
    flows = {}
    for f in frames:
        if f.udp:
            continue
        types = f.all("tls.handshake.type")
        if "1" in types:
            flow = flows.setdefault(f.way(), {})
            for key, name in (("sni", "tls.handshake.extensions_server_name"), ("ja3", "tls.handshake.ja3")):
                if "client" not in flow and f.first(name):
                    flow[key] = f.first(name)
            flow["client"] = True
            if "35" in f.all("tls.handshake.extension.type"):
                flow["tickets"] = True
        if "2" in types and f.first("tls.handshake.random").replace(":", "") != RETRY:
            flow = flows.setdefault(f.back(), {})
            if "server" not in flow and f.first("tls.handshake.ja3s"):
                flow["ja3s"] = f.first("tls.handshake.ja3s")
            flow["server"] = True
        if "11" in types and f.back() in flows and "client" in flows[f.back()] and f.all("x509af.serialNumber"):
            flow = flows[f.back()]
            flow.setdefault("serial", f.first("x509af.serialNumber").removeprefix("0x").replace(":", "").lower())
    return {key: collections.Counter({(k, v): 1 for k, v in flow.items() if v is not True})
            for key, flow in flows.items() if "client" in flow and ("server" in flow or "tickets" in flow)}


def tls_ours(events):
    seen = {}
    for e in of(events, "tls"):
        t = e["tls"]
        found = {"sni": t.get("sni"), "ja3": t.get("ja3", {}).get("hash"), "ja3s": t.get("ja3s", {}).get("hash"),
                 "serial": t.get("serial", "").replace(":", "").lower() or None}
        seen[way(e)] = collections.Counter({(k, v): 1 for k, v in found.items() if v})
    return seen


def quic_theirs(frames):
    seen = collections.defaultdict(collections.Counter)
    for f in frames:
        if f.udp and f.first("tls.handshake.type") == "1" and f.first("tls.handshake.extensions_server_name"):
            seen[f.way()]["sni", f.first("tls.handshake.extensions_server_name")] += 1
            if f.first("tls.handshake.ja3"):
                seen[f.way()]["ja3", f.first("tls.handshake.ja3")] += 1
    return seen


def quic_ours(events):
    seen = collections.defaultdict(collections.Counter)
    for e in of(events, "quic"):
        if "sni" in e["quic"]:
            seen[way(e)]["sni", e["quic"]["sni"]] += 1
        if "ja3" in e["quic"]:
            seen[way(e)]["ja3", e["quic"]["ja3"]["hash"]] += 1
    return seen


def dns_theirs(frames):
    seen = collections.defaultdict(collections.Counter)
    for f in frames:
        for number, (ident, response) in enumerate(zip(f.all("dns.id"), f.all("dns.flags.response"))):
            names = f.all("dns.qry.name")
            answer = response in ("1", "True")
            asked = name(names[number]) if number < len(names) else ""
            key = f.back() if answer else f.way()
            rcode = f.first("dns.flags.rcode") if answer else ""
            seen[key]["response" if answer else "request", int(ident, 0), asked, rcode] += 1
    return seen


RCODES = {"NOERROR": "0", "FORMERR": "1", "SERVFAIL": "2", "NXDOMAIN": "3", "NOTIMP": "4", "REFUSED": "5"}


def dns_ours(events):
    seen = collections.defaultdict(collections.Counter)
    for e in of(events, "dns"):
        d = e["dns"]
        answer = d["type"] == "response"
        source, target = way(e)
        # Whichever way the event is written: the client is the side with the question.
        key = (target, source) if answer and source[1] == 53 else (source, target)
        asked = name(d.get("queries", [{}])[0].get("rrname", ""))
        rcode = RCODES.get(d.get("rcode", "NOERROR"), d.get("rcode", "")) if answer else ""
        seen[key]["response" if answer else "request", d["id"], asked, rcode] += 1
    return seen


def smtp_theirs(frames):
    seen = collections.defaultdict(collections.Counter)
    for f in frames:
        for command, parameter in zip(f.all("smtp.req.command"), f.all("smtp.req.parameter")):
            word, value = command.upper(), parameter.strip()
            if word in ("EHLO", "HELO"):
                seen[f.way()]["helo", value] = 1
            elif word == "MAIL":
                seen[f.way()]["from", value.split(":", 1)[-1].split(">")[0].strip() + ">"] += 1
            elif word == "RCPT":
                seen[f.way()]["to", value.split(":", 1)[-1].split(">")[0].strip() + ">"] += 1
    return seen


def smtp_ours(events):
    seen = collections.defaultdict(collections.Counter)
    for e in of(events, "smtp"):
        s, flow = e["smtp"], seen[way(e)]
        if "helo" in s:
            flow["helo", s["helo"]] = 1
        if "mail_from" in s:
            flow["from", s["mail_from"]] += 1
        for to in s.get("rcpt_to", []):
            flow["to", to] += 1
    return seen


def ftp_theirs(frames):
    seen = collections.defaultdict(collections.Counter)
    for f in frames:
        for number, command in enumerate(f.all("ftp.request.command")):
            arguments = f.all("ftp.request.arg")
            seen[f.way()]["command", command.upper(), arguments[number] if number < len(arguments) else ""] += 1
    return seen


def ftp_ours(events):
    seen = collections.defaultdict(collections.Counter)
    for e in of(events, "ftp"):
        if "command" in e["ftp"]:
            seen[way(e)]["command", e["ftp"]["command"].upper(), e["ftp"].get("command_data", "")] += 1
    return seen


def asked(frame, version):
    """The commands of a frame that asks in SMB, as numbers."""
    answers = frame.all(f"{version}.flags.response")
    return [] if not answers or answers[0] in ("1", "True") else [int(c, 0) for c in frame.all(f"{version}.cmd")]


def smb_theirs(frames):
    seen = collections.defaultdict(collections.Counter)
    for f in frames:
        one, two = asked(f, "smb"), asked(f, "smb2")
        flow = seen[f.way()]
        # tshark shows path, tree and file at everything that belongs to them: only what names them counts, and comes last.
        if 0x75 in one:
            flow["tree", (f.all("smb.path") or [""])[-1]] += 1
        if 3 in two:
            flow["tree", (f.all("smb2.tree") or [""])[-1]] += 1
        if two == [5]:
            flow["create", f.first("smb2.filename")] += 1
        if one or two:
            for user, domain in zip(f.all("ntlmssp.auth.username"), f.all("ntlmssp.auth.domain")):
                flow["user", user.replace("NULL", ""), domain.replace("NULL", "")] += 1
    return seen


def smb_ours(events):
    seen = collections.defaultdict(collections.Counter)
    for e in of(events, "smb"):
        s, flow = e["smb"], seen[way(e)]
        if "TREE_CONNECT" in s["command"]:
            flow["tree", s.get("share", s.get("named_pipe"))] += 1
        if s["command"] == "SMB2_COMMAND_CREATE":
            flow["create", s.get("filename", s.get("directory")).replace("<share_root>", "")] += 1
        if "ntlmssp" in s:
            flow["user", s["ntlmssp"]["user"], s["ntlmssp"]["domain"]] += 1
    return seen


def dcerpc_theirs(frames):
    seen = collections.defaultdict(collections.Counter)
    for f in frames:
        operations = f.all("dcerpc.opnum")
        for kind, call in zip(f.all("dcerpc.pkt_type"), f.all("dcerpc.cn_call_id")):
            if kind == "0" and operations:
                seen[f.way()]["request", int(call), int(operations.pop(0))] += 1
            elif kind in ("11", "14"):
                seen[f.way()]["bind", int(call)] += 1
    return seen


def dcerpc_ours(events):
    seen = collections.defaultdict(collections.Counter)
    for e in of(events, "smb") + of(events, "dcerpc"):
        call = e.get("dcerpc") or e["smb"].get("dcerpc") or {}
        if call.get("request") == "REQUEST":
            operation = call["opnum"] if "opnum" in call else call["req"]["opnum"]
            seen[way(e)]["request", call.get("call_id"), operation] += 1
        elif call.get("request") in ("BIND", "ALTER_CONTEXT"):
            seen[way(e)]["bind", call.get("call_id")] += 1
    return seen


TABLE = {"http": (http_theirs, http_ours), "tls": (tls_theirs, tls_ours), "quic": (quic_theirs, quic_ours),
         "dns": (dns_theirs, dns_ours), "smtp": (smtp_theirs, smtp_ours), "ftp": (ftp_theirs, ftp_ours),
         "smb": (smb_theirs, smb_ours), "dcerpc": (dcerpc_theirs, dcerpc_ours)}


# ------------------------------------------------------------ running


def of(events, kind):
    """Events of a type."""
    return [e for e in events if e["event_type"] == kind]


def sensor_events(sensor, capture):
    """What the sensor writes about a capture."""
    with tempfile.TemporaryDirectory(prefix="agree-") as folder:
        done = subprocess.run([sensor, "replay", "-r", capture, "-l", folder], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"agree.py: {sensor} replay -r {capture}: exit {done.returncode}: {done.stderr.strip()[-500:]}")
        with open(os.path.join(folder, "eve.json"), encoding="utf-8") as file:
            return [json.loads(line) for line in file]


def tshark_frames(capture, events):
    """What tshark reads, with the ports that the sensor found TLS, QUIC or HTTP on as hints: tshark goes by port."""
    hints = {(e["proto"].lower(), e["dest_port"], kind) for kind in ("tls", "quic", "http", "smtp", "ftp") for e in of(events, kind)}
    # TLS behind STARTTLS: tshark finds it itself, and must not take the mail before it for TLS.
    hints -= {(proto, port, "tls") for proto, port, kind in hints if kind == "smtp"}
    command = ["tshark", "-n", "-r", capture, "-Y", FILTER, "-T", "fields", "-E", "occurrence=a", "-E", f"aggregator={AGGREGATE}"]
    for transport, port, kind in sorted(hints):
        command += ["-d", f"{transport}.port=={port},{kind}"]
    for field in FIELDS:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        sys.exit(f"agree.py: tshark on {capture}: {done.stderr.strip()[-500:]}")
    return [Frame(line) for line in done.stdout.splitlines()]


def compare(capture, sensor):
    """Differences of a capture, and how many values agree, by protocol."""
    events = sensor_events(sensor, capture)
    frames = tshark_frames(capture, events)
    for protocol, (theirs, ours) in TABLE.items():
        left, right = theirs(frames), ours(events)
        differences, agreed = [], 0
        for flow in left.keys() | right.keys():
            a, b = left.get(flow, collections.Counter()), right.get(flow, collections.Counter())
            agreed += sum((a & b).values())
            differences += [("only tshark", flow, value) for value in (a - b)] + [("only sensor", flow, value) for value in (b - a)]
        yield protocol, agreed, differences


def captures():
    """Every committed capture."""
    for top in (HERE, os.path.join(HERE, "..", "sets", "tests")):
        for folder, _, files in sorted(os.walk(top)):
            for name in sorted(files):
                if name.endswith(".pcap"):
                    yield os.path.normpath(os.path.join(folder, name))


def reason(name, protocol, side, value):
    """The key in KNOWN that explains a difference, or None."""
    for key in KNOWN:
        beginning, of_protocol, what = key
        if name.startswith(beginning) and of_protocol in ("*", protocol) and what in ("*", side, value[0]):
            return key
    return None


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description="Compares the sensor's reading of captures with tshark's.")
    parser.add_argument("captures", nargs="*", help="default: every committed capture")
    parser.add_argument("--sensor", required=True)
    parser.add_argument("-v", "--verbose", action="store_true", help="also print what is known")
    options = parser.parse_args()
    agreed, known, unknown, used = collections.Counter(), 0, 0, set()
    root = os.path.normpath(os.path.join(HERE, ".."))
    for capture in options.captures or captures():
        name = os.path.relpath(os.path.abspath(capture), root)
        for protocol, same, differences in compare(capture, options.sensor):
            agreed[protocol] += same
            for side, flow, value in differences:
                key = reason(name, protocol, side, value)
                if key is None:
                    unknown += 1
                else:
                    known += 1
                    used.add(key)
                if key is None or options.verbose:
                    text = " ".join(str(v) for v in value)
                    print(f"{name}: {protocol}: {side}: {flow[0][0]} {flow[0][1]} -> {flow[1][0]} {flow[1][1]}: {text}"
                          + (f" ({KNOWN[key]})" if key else ""))
    for key in [] if options.captures else KNOWN.keys() - used:
        print(f"no longer a difference, take it out of KNOWN: {key}")
    print("agreed: " + ", ".join(f"{p} {n}" for p, n in sorted(agreed.items())) + f"; {known} known differences, {unknown} unknown")
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
