# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""A real SMTP server that keeps every mail as one JSON line. Arguments: PORT FILE. Prints 'ready' when it listens.

Never: change, drop or forward a mail. Limits: loopback only, no TLS, no authentication.
"""
import asyncio
import base64
import email
import email.policy
import json
import sys
import time

from aiosmtpd.controller import Controller


class Sink:
    """Takes everything."""

    def __init__(self, path):
        self.path = path

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802, the library's name
        """One mail, written before it is confirmed."""
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        text = mail.get_body(preferencelist=("plain",))
        html = mail.get_body(preferencelist=("html",))
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({
                "received_us": time.time_ns() // 1000,
                "to": envelope.rcpt_tos,
                "from": envelope.mail_from,
                "subject": mail["subject"],
                "message_id": mail["message-id"],
                "text": text.get_content() if text else "",
                "html": html.get_content() if html else "",
                "raw": base64.b64encode(envelope.content).decode(),
            }, ensure_ascii=False) + "\n")
        return "250 kept"


if __name__ == "__main__":
    Controller(Sink(sys.argv[2]), hostname="127.0.0.1", port=int(sys.argv[1])).start()
    print("ready", flush=True)
    asyncio.new_event_loop().run_forever()
