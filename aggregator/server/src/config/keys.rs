// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The table of configuration keys: name, default, example, what it is. The documentation is made of it.

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Name, with dots between sections.
    pub name: &'static str,
    /// Default as YAML; empty where there is none.
    pub default: &'static str,
    /// An example as YAML, other than the default.
    pub example: &'static str,
    /// What it is, in a sentence or two.
    pub what: &'static str,
}

const fn key(name: &'static str, default: &'static str, example: &'static str, what: &'static str) -> Key {
    Key { name, default, example, what }
}

/// Every key.
pub const KEYS: &[Key] = &[
    key(
        "data-dir",
        "/var/lib/lagewarte-aggregator",
        "/srv/lagewarte",
        "Folder for everything the aggregator keeps: embedded engine, control database, journal, CA, link key. \
         Back it up.",
    ),
    key(
        "http.listen",
        "127.0.0.1:8080",
        "127.0.0.1:8181",
        "Address and port of the site. Plain HTTP: put a reverse proxy with TLS before it.",
    ),
    key(
        "http.public-url",
        "",
        "https://lage.example.de",
        "How readers reach the site; stands in feeds and mails. Without it: `http://` and the listen address.",
    ),
    key(
        "site.map",
        "",
        "/etc/lagewarte/map.geojson",
        "GeoJSON file with one polygon per municipality (property `ags`) for the Lagebild.",
    ),
    key("metrics.listen", "127.0.0.1:9464", "127.0.0.1:9100", "Address and port of `/metrics` for Prometheus."),
    key("uplink.listen", "0.0.0.0:7443", "0.0.0.0:443", "Where sensors deliver events (gRPC, mutual TLS)."),
    key(
        "uplink.names",
        "[localhost]",
        "[sensoren.example.de, 192.0.2.1]",
        "DNS names and addresses under which sensors reach this host; they stand in the server's certificate.",
    ),
    key(
        "uplink.public-url",
        "",
        "https://sensoren.example.de:7443",
        "Address that sensors are told at enrolment. Without it: the first of `uplink.names` and the port.",
    ),
    key("enrolment.listen", "0.0.0.0:7444", "0.0.0.0:8444", "Where sensors enrol with a one-time token."),
    key(
        "enrolment.public-url",
        "",
        "https://sensoren.example.de:7444",
        "Address in enrolment tokens. Without it: the first of `uplink.names` and the port.",
    ),
    key(
        "foreign.listen",
        "",
        "0.0.0.0:7445",
        "Where foreign sensors send EVE over HTTPS. Without it they cannot. See [foreign-sensors.md](foreign-sensors.md).",
    ),
    key(
        "foreign.classes",
        "[alert, health]",
        "[alert, health, flow]",
        "Classes of events taken from foreign sensors: alert, health, flow, anomaly, protocol, file.",
    ),
    key(
        "clickhouse.url",
        "",
        "https://lagewarte@clickhouse.example.de:8443/lagewarte",
        "A ClickHouse server, `http[s]://[user[:password]@]host[:port][/database]`. Without it: the embedded engine. \
         `CLICKHOUSE_URL` goes first, and keeps the password out of the file.",
    ),
    key(
        "clickhouse.library",
        "",
        "/opt/lagewarte/libchdb.so",
        "The embedded engine's library. Without it: the cache that `cargo xtask engine` fills.",
    ),
    key(
        "clickhouse.http-port",
        "0",
        "18123",
        "Port of the embedded engine on 127.0.0.1, for Grafana; 0 is any free one.",
    ),
    key(
        "clickhouse.shards",
        "[]",
        "[https://lagewarte@ch1.example.de:8443, https://lagewarte@ch2.example.de:8443]",
        "The servers of a sharded store, one replica of each shard, instead of `clickhouse.url`; the order is for ever. \
         See [clickhouse.md](clickhouse.md).",
    ),
    key("clickhouse.cluster", "lagewarte", "land", "Name of the cluster in the servers' `remote_servers`."),
    key(
        "clickhouse.max-gib",
        "",
        "500",
        "Size of the store in GiB, on each shard; beyond it the oldest partitions go, in the order that \
         [clickhouse.md](clickhouse.md) gives. Without it: until a tenth of the disk is free.",
    ),
    key(
        "clickhouse.backup-path",
        "",
        "/var/lib/clickhouse/backups/lagewarte",
        "Folder on a server's own machine into which `backup` lets it write; below its `backups.allowed_path`. The \
         embedded engine needs none.",
    ),
    key(
        "control.url",
        "",
        "postgres://lagewarte@db.example.de/lagewarte",
        "Control database: `sqlite:PATH` or `postgres://…`. Without it: `control.db` in the data directory.",
    ),
    key(
        "ingest.flush-ms",
        "100",
        "250",
        "A journal segment is closed so many milliseconds after its first event; 1 to 10000.",
    ),
    key("ingest.flush-rows", "20000", "50000", "Or at so many rows; 1 to 1000000."),
    key("ingest.certificate-days", "90", "30", "Validity of a sensor's certificate in days; 1 to 397."),
    key(
        "ingest.constituent-events",
        "20000",
        "5000",
        "Events a second that are taken of one constituent. Over it, its sensors wait and their spools keep; foreign \
         senders are told to come again.",
    ),
    key("ingest.constituent-bytes", "33554432", "8388608", "The same in bytes a second."),
    key("picture.interval-ms", "500", "1000", "Milliseconds between two looks at what is new; 50 to 60000."),
    key(
        "picture.campaign.k",
        "3",
        "5",
        "From how many constituents on the same signature or external address is a campaign; 2 or more.",
    ),
    key("picture.campaign.window", "1h", "30m", "Within what time, by the events' own clocks; 1m to 24h."),
    key(
        "picture.campaign.close-after",
        "24h",
        "48h",
        "How long without an alert until a campaign is closed; not shorter than the window, 168h at most.",
    ),
    key("warn.tlp", "TLP:AMBER", "TLP:GREEN", "Label of a draft; whoever releases may choose another."),
    key(
        "warn.policies",
        "[]",
        "[{name: sofort, min-level: 3, kinds: [ssh_bruteforce], signatures: [1100101], k: 3, tlp: 'TLP:AMBER'}]",
        "Named policies that release without a person; every condition of one must hold. `name` and `tlp` are needed; \
         `min-level` is 1 to 4 (default 1), `kinds` and `signatures` are lists (default: all), `k` is the fewest \
         constituents (default 1). Late events are never released by a policy. See [warnungen.md](warnungen.md).",
    ),
    key(
        "mail.smtp",
        "",
        "smtp+starttls://mail.example.de:587",
        "Mail server: `smtp+starttls://`, `smtps://`, or `smtp://` to this host. Without section `mail` no mail is sent, \
         and mails wait.",
    ),
    key(
        "mail.from",
        "",
        "Landes-CERT <warnung@cert.example.de>",
        "Sender of the warnings. Needed where section `mail` is there, as `mail.smtp` is.",
    ),
    key("mail.user", "", "lagewarte", "User at the mail server."),
    key("mail.password-file", "", "/etc/lagewarte/mail-password", "File with the password."),
    key("mail.ca-file", "", "/etc/lagewarte/mail-ca.pem", "CA of the mail server, where it is not a public one."),
    key("mail.allow-plain", "false", "true", "Allows `smtp://` to another host: warnings go unencrypted."),
    key(
        "mail.attempts",
        "12",
        "6",
        "How often a mail is tried before it is given up; the pause doubles from 15 seconds to an hour.",
    ),
    key("contact.name", "Landes-CERT", "CERT Auenmark", "Whom municipalities call: stands in every warning."),
    key("contact.phone", "(Telefonnummer eintragen)", "+49 30 23125 110", "Phone number in every warning."),
    key("contact.mail", "''", "cert@example.de", "Mail address; replies to warnings go there."),
];

/// `docs/aggregator-config.md`.
pub fn documentation() -> String {
    let mut out = String::from(
        "# Configuration of the aggregator\n\n\
         Made from the table of keys in `aggregator/server/src/config/keys.rs`; a test holds that it is current.\n\n\
         The file is YAML. It is read from `--config FILE`, else from `/etc/lagewarte/aggregator.yaml`; where there is\n\
         none, the defaults hold. Every key is optional. Unknown keys are refused. `lagewarte-aggregator config` says\n\
         whether a file is right. An example with every key is `aggregator/server/lagewarte-aggregator.yaml`.\n\n\
         | Key | Default | Example | What it is |\n|---|---|---|---|\n",
    );
    for k in KEYS {
        let code = |t: &str| if t.is_empty() { String::new() } else { format!("`{t}`") };
        out.push_str(&format!("| `{}` | {} | {} | {} |\n", k.name, code(k.default), code(k.example), k.what));
    }
    out.push_str(
        "\n## Environment\n\n\
         | Variable | What it is |\n|---|---|\n\
         | `CLICKHOUSE_URL` | before `clickhouse.url` |\n\
         | `LAGEWARTE_CONTROL_URL` | before `control.url` |\n\
         | `LAGEWARTE_ENGINE` | before `clickhouse.library` |\n\
         | `LAGEWARTE_LOG` | what is logged, as `info`, `debug` or `lagewarte_ingest=debug,info`; default `info` |\n",
    );
    out
}
