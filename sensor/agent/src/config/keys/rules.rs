// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Part of the table of keys: rules, data sets, and the parts of Suricata's engine that are built differently here.

use super::{
    Key,
    Kind::{Flag, List, Number, Size, Text},
    Why::{BuiltDifferently, NotYet},
    off, on,
};

pub(super) static KEYS: &[Key] = &[
    on(
        "vars.address-groups.*",
        Text,
        "",
        "[192.0.2.0/24,!192.0.2.1]",
        "Address variable of the rules: addresses, networks, lists in brackets, `!` for not, `$OTHER` for another variable.",
    ),
    on("vars.port-groups.*", Text, "", "[80,8000:8100,!8080]", "Port variable of the rules, in the same language."),
    on(
        "default-rule-path",
        Text,
        "directory of the configuration",
        "/tmp/rules",
        "Directory of the rule files that are named without one.",
    ),
    on(
        "rule-files",
        List,
        "",
        "[a.rules]",
        "Rule files, each a path or a name in `default-rule-path`; `*` and `?` in the last part are expanded.",
    ),
    on("classification-file", Text, "built in", "/tmp/classification.config", "Names and priorities for `classtype`."),
    on("reference-config-file", Text, "built in", "/tmp/reference.config", "Prefixes for `reference`."),
    on(
        "geoip-database",
        Text,
        "",
        "/tmp/country.mmdb",
        "Database of countries in MaxMind's format, for `geoip` in rules. Read whole when rules are read; nobody is asked.",
    ),
    on(
        "reputation-categories-file",
        Text,
        "",
        "/tmp/categories.txt",
        "Categories of reputations, for `iprep` in rules: `number,short name,description` on each line.",
    ),
    on(
        "default-reputation-path",
        Text,
        "directory of the configuration",
        "/tmp/iprep",
        "Directory of the reputation files that are named without one.",
    ),
    on(
        "reputation-files",
        List,
        "",
        "[bad.list]",
        "Lists of reputations: `address or network,number of the category,score from 0 to 127` on each line.",
    ),
    on("packet-alert-max", Number, "15", "32", "Most alerts of one packet, 1 to 1024."),
    on(
        "threshold-file",
        Text,
        "",
        "/tmp/threshold.config",
        "File with `suppress`, `threshold` (`event_filter`) and `rate_filter` lines: what the operator changes of rules that others wrote.",
    ),
    on(
        "action-order",
        List,
        "[pass, drop, reject, alert]",
        "[alert, pass, drop, reject]",
        "Order in which rules are looked at, by their action. A pass rule keeps back alerts only of rules that come after it.",
    ),
    on(
        "datasets.rules.allow-absolute-filenames",
        Flag,
        "no",
        "yes",
        "Whether `dataset` and `datarep` in rules may name files outside the rule file's folder. Rules come from others: leave it off.",
    ),
    on("datasets.defaults.memcap", Size, "100mb", "1mb", "Most bytes of a data set of which nothing else is said."),
    on(
        "datasets.*.type",
        Text,
        "",
        "string",
        "What a data set holds: string, md5, sha256, ipv4 or ip. Rules use it by its name.",
    ),
    on("datasets.*.load", Text, "", "/tmp/list.csv", "File that is read into the set: an entry a line, base64 or hex."),
    on("datasets.*.memcap", Size, "100mb", "2mb", "Most bytes of the set. A file that holds more is refused."),
    off(
        "datasets.*.{hashsize,state,save,format,value_key,array_key,enrichment_key,remove_key,limits}",
        NotYet,
        "Tables grow as needed; sets are not written to files. JSON beside entries is declared in the rule.",
    ),
    off("datasets.{rules.allow-write,limits.**}", NotYet, "Rules never write files."),
    off("{mpm-algo,spm-algo,asn1-max-frames}", BuiltDifferently, "Choice of matchers."),
    on(
        "detect.guess-applayer-tx",
        Flag,
        "no",
        "yes",
        "Whether an alert on the bytes of a stream shows what the flow's transaction says, where there is only one that it can be about; it is then marked `tx_guessed`.",
    ),
    off("detect.**", BuiltDifferently, "Grouping and prefilter of the rule engine."),
    off(
        "{pcre,engine-analysis,profiling,legacy,luajit,security,plugins}.**",
        BuiltDifferently,
        "Limits and tools of Suricata's own engine.",
    ),
    off(
        "{plugins,exception-policy,suricata-version,coredump,host-mode,run-as,daemon-directory,umask,max-pending-packets,runmode,autofp-scheduler,default-packet-size,pid-file,sensor-name,unix-command}",
        BuiltDifferently,
        "Process and queue settings.",
    ),
    off(
        "{coredump,run-as,unix-command,magic-file,host,ippair}.**",
        BuiltDifferently,
        "Process and host-table settings.",
    ),
];
