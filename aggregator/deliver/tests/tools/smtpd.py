# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""A real SMTP server for the delivery tests: keeps every mail, refuses by recipient. Arguments: FOLDER [CERT KEY].

Listens on 127.0.0.1:$PORT and prints `ready`; each mail taken is one line in FOLDER/mails.ndjson. A recipient whose local part begins with `never` is
refused with 550, `later` with 451 the first time, `login` with 530. With CERT and KEY it wants STARTTLS. It ends with its
standard input.
"""
import base64
import email
import email.policy
import json
import os
import ssl
import sys
import threading

from aiosmtpd.controller import Controller

folder = sys.argv[1]
refused_once = set()


class Server:
    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802, the library's name
        if address.startswith("never"):
            return "550 5.1.1 no such mailbox"
        if address.startswith("login"):
            return "530 5.7.0 authentication required"
        if address.startswith("later") and address not in refused_once:
            refused_once.add(address)
            return "451 4.7.1 greylisted, come back"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, session, envelope):  # noqa: N802, the library's name
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        text, html = mail.get_body(preferencelist=("plain",)), mail.get_body(preferencelist=("html",))
        with open(os.path.join(folder, "mails.ndjson"), "a", encoding="utf-8") as file:
            file.write(json.dumps({
                "rcpt": envelope.rcpt_tos,
                "mail_from": envelope.mail_from,
                "tls": session.ssl is not None,
                "headers": {k.lower(): str(v) for k, v in mail.items()},
                "type": mail.get_content_type(),
                "text": text.get_content(),
                "html": html.get_content(),
                "raw": base64.b64encode(envelope.content).decode(),
            }) + "\n")
        return "250 kept"


options = {}
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    options = {"tls_context": context, "require_starttls": True}
controller = Controller(Server(), hostname="127.0.0.1", port=int(os.environ["PORT"]), **options)
controller.start()
print("ready", flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()
