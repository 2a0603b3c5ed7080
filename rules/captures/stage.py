# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""What every scenario works with: the registry of scenarios, and the stage.

Never: decide where a capture goes; record.py does that.
"""

from lab import PARTNER, SRV

SCENARIOS = {}


def scenario(name, interface, bpf):
    """Registers a scenario: its file, the gateway's interface to record on, and the filter."""

    def register(function):
        SCENARIOS[name] = (function, interface, bpf)
        return function

    return register


class Stage:
    """What a scenario works with: the lab, and `start()` once its servers are up."""

    def __init__(self, lab, interface, bpf, path):
        self.lab = lab
        self.client, self.source = lab.client, lab.source
        self.recording = lab.record(interface, bpf, path)
        self.running = False

    def start(self):
        """Begins the recording."""
        self.recording.__enter__()
        self.running = True

    def stop(self):
        """Ends it, if it ran."""
        if self.running:
            self.recording.__exit__()
            self.running = False

    def curl(self, *arguments, where="net", ok=(0,)):
        """One curl run, quiet, without the user's configuration."""
        return self.client(where, "curl", "-q", "-sS", "--max-time", "20", *arguments, ok=ok)

    def ssh(self, *command, where="net", stdin=None):
        """One SSH logon with the key."""
        return self.client(where, "ssh", "-F", "none", "-i", self.lab.path("ssh-user"), "-o", "StrictHostKeyChecking=no",
                           "-o", f"UserKnownHostsFile={self.lab.path('known')}", "-o", "LogLevel=ERROR", f"root@{SRV}", *command, stdin=stdin)

    def smb(self, *arguments, where="net", protocol="SMB3"):
        """One smbclient run as guest on the share `akten`."""
        return self.client(where, "smbclient", f"//{SRV}/akten", "-N", "-m", protocol, "-s", "/dev/null",
                           f"--option=client min protocol={'NT1' if protocol == 'NT1' else 'SMB2'}", "-c", *arguments)

    def dig(self, *arguments, server=PARTNER, where="pc"):
        """One DNS question."""
        return self.client(where, "dig", "+tries=1", "+time=3", f"@{server}", *arguments, ok=None)
