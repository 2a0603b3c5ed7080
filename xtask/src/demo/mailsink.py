# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""A real SMTP server that keeps every mail as one JSON line. Arguments: PORT FILE. Prints 'ready' when it listens."""
import asyncio, email, email.policy, json, sys, time

from aiosmtpd.controller import Controller

port, path = int(sys.argv[1]), sys.argv[2]


class Sink:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        body = mail.get_body(preferencelist=("plain",))
        with open(path, "a", encoding="utf-8") as f:
            f.write(json.dumps({
                "received_us": time.time_ns() // 1000,
                "to": envelope.rcpt_tos,
                "from": envelope.mail_from,
                "subject": mail["subject"],
                "message_id": mail["message-id"],
                "text": body.get_content() if body else "",
            }) + "\n")
        return "250 kept"


Controller(Sink(), hostname="127.0.0.1", port=port).start()
print("ready", flush=True)
asyncio.new_event_loop().run_forever()
