# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""TLS and QUIC in all their versions, for the parsers' golden events.

Purpose: OpenSSL's and curl's clients against OpenSSL's server, and aioquic against itself. Each function is one capture
in `tls/` or `quic/` of this folder.

Never: use a key or a name of anyone; all certificates are made for the recording.
"""

import os
import sys

from lab import CITIZEN, PARTNER, SRV, run
from stage import scenario

NAME = "amt.musterstadt.example"


def authority(lab):
    """A root, an intermediate, a server's and a client's certificate; returns nothing, the files have these names."""
    def make(name, subject, signer, extensions, days):
        request = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", lab.path(name + ".key"), "-subj", subject]
        if signer is None:
            run(request + ["-x509", "-days", str(days), "-out", lab.path(name + ".pem")])
            return
        run(request + ["-out", lab.path(name + ".csr")])
        text = lab.write(name + ".ext", extensions)
        run(["openssl", "x509", "-req", "-in", lab.path(name + ".csr"), "-CA", lab.path(signer + ".pem"), "-CAkey", lab.path(signer + ".key"),
             "-CAcreateserial", "-days", str(days), "-extfile", text, "-out", lab.path(name + ".pem")])

    make("root", "/C=DE/O=Musterland/CN=Musterland Root", None, "", 3650)
    make("ca", "/C=DE/ST=Musterland/O=Musterland/OU=IT/CN=Musterland CA 1", "root", "basicConstraints=CA:TRUE\n", 1800)
    make("server", f"/C=DE/L=Musterstadt/O=Stadt Musterstadt/CN={NAME}", "ca",
         f"subjectAltName=DNS:{NAME},DNS:*.musterstadt.example,IP:{SRV},email:edv@musterstadt.example,URI:https://{NAME}/\n", 365)
    make("client", "/C=DE/O=Kreis Rabenfurt/CN=fachverfahren", "ca", "extendedKeyUsage=clientAuth\n", 365)
    with open(lab.path("chain.pem"), "w", encoding="utf-8") as out:
        for name in ("ca", "root"):
            with open(lab.path(name + ".pem"), encoding="utf-8") as file:
                out.write(file.read())


def server(lab, port, *options):
    """OpenSSL's server: answers each request with a page about the connection."""
    lab.daemon("srv", "openssl", "s_server", "-accept", str(port), "-cert", lab.path("server.pem"), "-key", lab.path("server.key"),
               "-cert_chain", lab.path("chain.pem"), "-www", "-quiet", *options, tcp=port)


def client(s, port, *options, request="GET / HTTP/1.0\r\n\r\n"):
    """OpenSSL's client: one request, then the end."""
    s.client("net", "openssl", "s_client", "-connect", f"{SRV}:{port}", "-ign_eof", *options, stdin=request, ok=None)


@scenario("tls/versions", "g-srv", "tcp")
def versions(s):
    """TLS 1.0, 1.1, 1.2 with SNI and ALPN, 1.2 without either, 1.3, and 1.3 where the server asks for another group."""
    authority(s.lab)
    weak = ("-cipher", "ALL:@SECLEVEL=0")
    server(s.lab, 443, *weak, "-tls1", "-alpn", "http/1.1")
    server(s.lab, 8443, "-tls1_3", "-groups", "P-384", "-alpn", "h2,http/1.1")
    server(s.lab, 9443, "-alpn", "h2,http/1.1", "-no_tls1_3")
    server(s.lab, 10443, *weak, "-tls1_1")
    s.source("net", CITIZEN)
    s.start()
    client(s, 443, *weak, "-tls1", "-servername", NAME)
    client(s, 10443, *weak, "-tls1_1", "-servername", NAME)
    client(s, 9443, "-tls1_2", "-servername", NAME, "-alpn", "h2,http/1.1")
    client(s, 9443, "-tls1_2", "-noservername")
    client(s, 8443, "-tls1_3", "-servername", NAME, "-groups", "P-384:X25519", "-alpn", "h2,http/1.1")
    client(s, 8443, "-tls1_3", "-servername", NAME, "-groups", "X25519:P-384")
    s.curl("-k", "--http1.1", "--tls-max", "1.2", "--resolve", f"{NAME}:9443:{SRV}", f"https://{NAME}:9443/")
    s.curl("-k", "--http1.1", "--resolve", f"{NAME}:8443:{SRV}", f"https://{NAME}:8443/")


@scenario("tls/resumed", "g-srv", "tcp port 443 or tcp port 8443 or tcp port 9443")
def resumed(s):
    """A session taken up again with a ticket, with a session id, and in TLS 1.3."""
    authority(s.lab)
    server(s.lab, 443, "-no_tls1_3")
    server(s.lab, 8443, "-no_tls1_3", "-no_ticket")
    server(s.lab, 9443, "-tls1_3")
    s.start()
    for port in (443, 8443, 9443):
        client(s, port, "-servername", NAME, "-sess_out", s.lab.path("session"))
        client(s, port, "-servername", NAME, "-sess_in", s.lab.path("session"))


@scenario("tls/client-certificate", "g-srv", "tcp port 443 or tcp port 8443")
def client_certificate(s):
    """The server asks for a certificate: one client has one, one has none."""
    authority(s.lab)
    server(s.lab, 443, "-no_tls1_3", "-verify", "3")
    s.source("net", PARTNER)
    s.start()
    client(s, 443, "-servername", NAME, "-cert", s.lab.path("client.pem"), "-key", s.lab.path("client.key"), "-cert_chain", s.lab.path("ca.pem"))
    client(s, 443, "-servername", NAME)


@scenario("tls/refused", "g-srv", "tcp port 443")
def refused(s):
    """A client that only speaks TLS 1.3 meets a server that does not; one offers a cipher that no one has; one says nothing sensible."""
    authority(s.lab)
    server(s.lab, 443, "-tls1_2")
    s.start()
    client(s, 443, "-tls1_3", "-servername", NAME)
    client(s, 443, "-tls1_2", "-servername", NAME, "-cipher", "PSK")
    s.client("net", sys.executable, "-c", "import socket; c=socket.create_connection(('%s',443)); c.send(b'\\x16\\x03\\x01\\x00\\x05\\x01\\x00\\x00\\x01\\x03'); c.recv(100)" % SRV, ok=None)


@scenario("tls/byte-by-byte", "g-srv", "tcp port 443")
def byte_by_byte(s):
    """A relay on the client's side sends the client's bytes one segment each, and the hello in records of seven bytes."""
    authority(s.lab)
    server(s.lab, 443, "-no_tls1_3", "-alpn", "http/1.1")
    s.lab.write("relay.py", RELAY)
    s.lab.daemon("net", sys.executable, s.lab.path("relay.py"), SRV, tcp=4433)
    s.start()
    s.client("net", "openssl", "s_client", "-connect", "127.0.0.1:4433", "-ign_eof", "-servername", NAME, "-alpn", "http/1.1",
             stdin="GET / HTTP/1.0\r\n\r\n", ok=None)


RELAY = """
import socket, sys, threading
listen = socket.create_server(("127.0.0.1", 4433))
while True:
    here, _ = listen.accept()
    there = socket.create_connection((sys.argv[1], 443))
    there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    def back():
        while data := there.recv(4096):
            here.sendall(data)
        here.close()
    threading.Thread(target=back, daemon=True).start()
    first = True
    while data := here.recv(65536):
        if first:
            # One record with the hello: the same message in records of seven bytes (RFC 5246, 6.2.1).
            body = data[5:]
            data = b"".join(data[:3] + len(body[i:i+7]).to_bytes(2, "big") + body[i:i+7] for i in range(0, len(body), 7))
            first = False
            for at in range(0, len(data)):
                there.send(data[at:at+1])
        else:
            there.sendall(data)
    there.close()
"""


def aioquic(s, name, source, *arguments, where, udp=None):
    """Runs Python with aioquic in a namespace: `LAGEWARTE_AIOQUIC` names the interpreter."""
    python = os.environ.get("LAGEWARTE_AIOQUIC", sys.executable)
    path = s.lab.write(name, source)
    if udp:
        return s.lab.daemon(where, python, path, *arguments, udp=udp)
    return s.client(where, python, path, *arguments, ok=None)


QUIC_SERVER = """
import asyncio, sys
from aioquic.asyncio import serve
from aioquic.asyncio.server import QuicServer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicProtocolVersion as V
async def main():
    c = QuicConfiguration(is_client=False, alpn_protocols=["h3"], supported_versions=[V.VERSION_2, V.VERSION_1])
    c.load_cert_chain(sys.argv[1], sys.argv[2])
    await serve("10.20.1.10", 443, configuration=c)
    await serve("10.20.1.10", 8443, configuration=c, retry=True)
    await asyncio.Future()
asyncio.run(main())
"""
QUIC_CLIENT = """
import asyncio, ssl, sys
from aioquic.asyncio import connect
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicProtocolVersion as V
async def main():
    version = {"1": V.VERSION_1, "2": V.VERSION_2}[sys.argv[2]]
    c = QuicConfiguration(is_client=True, alpn_protocols=sys.argv[4].split(","), server_name=sys.argv[3],
                          supported_versions=[version], original_version=version, verify_mode=ssl.CERT_NONE)
    async with connect("10.20.1.10", int(sys.argv[1]), configuration=c) as p:
        await p.ping()
asyncio.run(main())
"""


@scenario("quic/versions", "g-srv", "udp port 443 or udp port 8443")
def quic_versions(s):
    """QUIC 1 and QUIC 2, one connection each; QUIC 1 with a retry; and one whose hello does not fit into one packet."""
    authority(s.lab)
    aioquic(s, "server.py", QUIC_SERVER, s.lab.path("server.pem"), s.lab.path("server.key"), where="srv", udp=443)
    s.source("net", CITIZEN)
    s.start()
    long = ",".join(["h3"] + [f"muster-{n:03}" for n in range(120)])
    for port, version, protocols in ((443, "1", "h3"), (443, "2", "h3,h3-29"), (8443, "1", "h3"), (443, "1", long)):
        aioquic(s, "client.py", QUIC_CLIENT, str(port), version, NAME, protocols, where="net")
