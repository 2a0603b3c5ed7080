// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Part of the table of keys: our own keys, under `lagewarte:`.

use super::{
    Key,
    Kind::{List, Listen, Number, NumberOrAuto, Seconds, Size, Text},
    on,
};

pub(super) static KEYS: &[Key] = &[
    on(
        "lagewarte.state-dir",
        Text,
        "/var/lib/lagewarte-sensor",
        "/tmp/s",
        "Directory of the identity, the signed assignment and profile, the pseudonym keys and the spool. `run` and `tail` hold it locked.",
    ),
    on(
        "lagewarte.trusted-keys",
        List,
        "",
        "[MCowBQYDK2VwAyEA]",
        "Public keys (base64, from `lagewarte-sensor keys new`) that may sign this sensor's assignment and release profile.",
    ),
    on(
        "lagewarte.release-log",
        Text,
        "",
        "/tmp/released.ndjson",
        "File that gets one JSON line for every event handed to the spool: the municipality's own record of what left.",
    ),
    on(
        "lagewarte.interval",
        Seconds,
        "as enrolled, else 30",
        "10",
        "Seconds between health events, 1 to 3600. Three missed ones and the CERT sees the sensor as blind.",
    ),
    on(
        "lagewarte.workers",
        NumberOrAuto,
        "auto",
        "3",
        "Worker threads, 1 to 256; `auto` is one a core. `--workers` on the command line is stronger.",
    ),
    on(
        "lagewarte.metrics.listen",
        Listen,
        "",
        "127.0.0.1:9475",
        "Address and port of the Prometheus metrics; empty: none. Local addresses only are wise: the counters name no addresses, but they show how busy the line is.",
    ),
    on(
        "lagewarte.spool.quota",
        Size,
        "2gb",
        "64mb",
        "Most bytes of the spool on disk. Flow, anomaly, file and protocol records may fill 80 % of it, health 90 %, alerts all: what does not fit is refused and counted, alerts last.",
    ),
    on(
        "lagewarte.file-store.quota",
        Size,
        "1gb",
        "64mb",
        "Most bytes of the files that `outputs.file-store` keeps. When it is reached no further file is stored, and each is counted (`file_store.not_stored`): remove what is no longer needed.",
    ),
    on(
        "lagewarte.shadow.eve",
        Text,
        "",
        "/tmp/eve.json",
        "The `eve.json` of a Suricata that listens to the same line. With it `run` compares alerts, writes a report a day and keeps the packets of what differs; see [sensor.md](sensor.md). Only `run` reads it.",
    ),
    on(
        "lagewarte.shadow.dir",
        Text,
        "shadow in the state directory",
        "/tmp/shadow",
        "Folder of reports and packets, for the sensor's user only. Nothing of it leaves this host.",
    ),
    on(
        "lagewarte.shadow.ring",
        Size,
        "1gb",
        "64mb",
        "Bytes on disk of the last packets of the line, from 16mb; the oldest go first. It should hold a grace and the flows that began before it. 0: no packets are kept.",
    ),
    on(
        "lagewarte.shadow.grace",
        Seconds,
        "60",
        "90",
        "How long an alert waits for its partner on the other side, 1 to 3600 seconds. Longer than the other engine may take to write a line, and than it may write none.",
    ),
    on(
        "lagewarte.shadow.keep",
        Size,
        "512mb",
        "64mb",
        "Most bytes of all days together, from 1mb; the oldest day goes first. The packets of one day take a quarter of it at most.",
    ),
    on("lagewarte.shadow.keep-days", Number, "30", "7", "How many days are kept, today with them, 1 to 3660."),
    on(
        "lagewarte.shadow.ignore",
        List,
        "",
        "[2200001]",
        "Rules (sids) that are not compared: those that only one side has.",
    ),
    on(
        "lagewarte.uplink.proxy",
        Text,
        "",
        "http://proxy.example:3128",
        "HTTP proxy, `http://HOST:PORT`, through which the sensor speaks to its aggregator (CONNECT). What goes through it stays encrypted and verified end to end.",
    ),
    on(
        "lagewarte.uplink.proxy-auth-file",
        Text,
        "",
        "/tmp/proxy-auth",
        "File with `user:password` for the proxy (Basic), one line; readable for the sensor only.",
    ),
    on(
        "lagewarte.uplink.rate",
        Size,
        "no cap",
        "64kb",
        "Most bytes a second on the line, from 1kb; over more than a second it holds. Alerts and health are sent first.",
    ),
    on(
        "lagewarte.uplink.bulk-hours",
        List,
        "always",
        "[22:00-06:00]",
        "Hours of the day, in German legal time, in which everything but alerts and health is sent, up to 16 ranges; over midnight is meant where the end is before the beginning. Outside of them it waits in the spool, whose quota should suffice for a day.",
    ),
];
