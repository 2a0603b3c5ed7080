// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What a configuration says, as plain values for the rooms that act on it.
//!
//! Must never hold a value that nothing reads; the table in [`super::keys`] and this struct are kept together by a test.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use lagewarte_app::{Encrypted, Mode};
use lagewarte_base::{
    fs::{Fs as _, RealFs},
    signed::PublicKey,
};
use lagewarte_rules::ast::Action;
use lagewarte_uplink::{Hours, HoursError, Proxy};

use super::{
    Fault,
    filestore::FileStore,
    mail,
    network::{self, Network},
    node::Node,
    protocols,
    shadow::{self, Shadow},
    stream::Stream,
    xff,
};

/// Most worker threads: more than any gateway has cores.
pub const MAX_WORKERS: usize = 256;
/// Most rule files after `*` is written out.
pub const MAX_RULE_FILES: usize = 1000;

/// All settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file they came from.
    pub file: Option<PathBuf>,
    /// Variables of the rules.
    pub vars: Vars,
    /// Rule files in the order of the configuration, joined with `default-rule-path`; `*` not yet written out.
    pub rule_files: Vec<PathBuf>,
    /// `classification-file`.
    pub classification_file: Option<PathBuf>,
    /// `reference-config-file`.
    pub reference_config_file: Option<PathBuf>,
    /// `geoip-database`.
    pub countries: Option<PathBuf>,
    /// `reputation-categories-file`.
    pub reputation_categories: Option<PathBuf>,
    /// `reputation-files`, in `default-reputation-path`.
    pub reputation_files: Vec<PathBuf>,
    /// `datasets`: those of the operator.
    pub data_sets: Vec<DataSet>,
    /// `datasets.defaults.memcap`.
    pub data_memcap: Option<u64>,
    /// `datasets.rules.allow-absolute-filenames`.
    pub data_files_anywhere: bool,
    /// `threshold-file`.
    pub threshold_file: Option<PathBuf>,
    /// `action-order`, checked: each action once.
    pub action_order: [Action; 4],
    /// `packet-alert-max`.
    pub packet_alert_max: usize,
    /// `detect.guess-applayer-tx`.
    pub guess_transaction: bool,
    /// `detect.sgh-mpm-caching` and its path: [`Self::matchers`].
    pub matcher_cache: (Option<bool>, Option<PathBuf>),
    /// Interface to listen on.
    pub interface: Option<String>,
    /// Capture filter.
    pub bpf: Option<String>,
    /// `pcap-file.checksum-checks`: None is `auto`.
    pub pcap_checksums: Option<bool>,
    /// `vlan.use-for-tracking`.
    pub vlan_tracking: bool,
    /// Tunnels and fragments.
    pub network: Network,
    /// `flow.memcap`, bytes.
    pub flow_memcap: u64,
    /// `flow-timeouts`.
    pub timeouts: Timeouts,
    /// `flow.memcap-policy`, one of the table's words.
    pub flow_policy: String,
    /// `stream`, beside the two below.
    pub stream: Stream,
    /// `stream.midstream`.
    pub midstream: bool,
    /// `stream.async-oneside`.
    pub async_oneside: bool,
    /// `app-layer.protocols`, by name, in the file's order.
    pub protocols: Vec<(String, Protocol)>,
    /// `app-layer.protocols.http.libhtp.default-config`.
    pub http: lagewarte_app::http1::Choices,
    /// `app-layer.protocols.smtp` and `types.smtp`.
    pub smtp: lagewarte_app::smtp::Choices,
    /// `app-layer.protocols` of those with a choice or two.
    pub choices: protocols::Choices,
    /// `xff` of outputs.
    pub xff: lagewarte_app::xff::Choices,
    /// `outputs.file-store`.
    pub file_store: FileStore,
    /// What is written.
    pub eve: Eve,
    /// `stats.enabled`.
    pub stats: bool,
    /// Worker threads; None is one a core.
    pub workers: Option<usize>,
    /// `lagewarte:`.
    pub own: Own,
}

/// `vars:` in the rules' own language, in the file's order; the rule compiler resolves names and negation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vars {
    /// Address variables.
    pub addresses: Vec<(String, String)>,
    /// Port variables.
    pub ports: Vec<(String, String)>,
}

/// Seconds of silence by state for one protocol; None: the flow table's own default (Suricata's).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateTimeouts {
    /// Before anything came back.
    pub new: Option<u32>,
    /// Both directions seen.
    pub established: Option<u32>,
    /// After FIN or RST.
    pub closed: Option<u32>,
}

/// `flow-timeouts`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Protocols without an entry of their own.
    pub default: StateTimeouts,
    /// TCP.
    pub tcp: StateTimeouts,
    /// UDP.
    pub udp: StateTimeouts,
    /// ICMP and ICMPv6.
    pub icmp: StateTimeouts,
}

/// `app-layer.protocols.<name>`: what is not said is None.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protocol {
    /// `enabled`: for both transports, over TCP, over UDP.
    pub enabled: [Option<Mode>; 3],
    /// `detection-ports.dp`: the same.
    pub ports: [Option<Vec<(u16, u16)>>; 3],
    /// `stream-depth`.
    pub stream_depth: Option<u64>,
    /// `encryption-handling`.
    pub encrypted: Encrypted,
}

/// One set of `datasets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSet {
    /// Its name.
    pub name: String,
    /// `type`
    pub kind: String,
    /// `load`
    pub load: Option<PathBuf>,
    /// `memcap`
    pub memcap: Option<u64>,
}

/// `outputs.eve-log.types.dns`: what is not said is None.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// `version`.
    pub version: Option<u32>,
    /// `requests`.
    pub requests: Option<bool>,
    /// `responses`.
    pub responses: Option<bool>,
    /// `formats`.
    pub formats: Vec<String>,
    /// `types`: record types.
    pub types: Vec<String>,
}

/// `outputs.eve-log.types.tls`: what is not said is None.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// `extended`.
    pub extended: Option<bool>,
    /// `session-resumption`.
    pub session_resumption: Option<bool>,
    /// `custom`: fields.
    pub custom: Vec<String>,
    /// `ja3`.
    pub ja3: Option<bool>,
    /// `ja4`.
    pub ja4: Option<bool>,
}

/// `outputs.eve-log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eve {
    /// Whether anything is written.
    pub enabled: bool,
    /// File name in the output directory.
    pub filename: String,
    /// Seed of community_id, None where it is off.
    pub community_id: Option<u16>,
    /// `ethernet`.
    pub ethernet: bool,
    /// Alerts.
    pub alert: bool,
    /// `alert.payload`.
    pub payload: bool,
    /// `alert.payload-printable`.
    pub payload_printable: bool,
    /// `alert.verdict`.
    pub verdict: bool,
    /// `alert.tagged-packets`.
    pub tagged_packets: bool,
    /// `alert.packet`.
    pub packet: bool,
    /// `alert.metadata` and `alert.metadata.rule.metadata`.
    pub metadata: bool,
    /// `alert.metadata.rule.raw`.
    pub rule_text: bool,
    /// `ipv6-compress`.
    pub compress_ipv6: bool,
    /// `types.alert.metadata.rule.reference`.
    pub references: bool,
    /// `alert.metadata.app-layer`.
    pub app_layer: bool,
    /// `alert.metadata.flow`.
    pub alert_flow: bool,
    /// `metadata`.
    pub flow_metadata: bool,
    /// `alert.payload-length`.
    pub payload_length: bool,
    /// Flow records.
    pub flow: bool,
    /// Anomalies: from decoding, from streams, from application layers.
    pub anomaly: [bool; 3],
    /// `anomaly.packethdr`.
    pub packethdr: bool,
    /// Stats.
    pub stats: bool,
    /// Every event type that is listed and not disabled; None where there is no list: all.
    pub types: Option<Vec<String>>,
    /// `types.dns`.
    pub dns: Dns,
    /// `types.tls`.
    pub tls: Tls,
    /// `types.http`, and `types.alert.http-body`.
    pub http: lagewarte_app::http1::Written,
    /// `types.dhcp.extended`.
    pub dhcp_extended: bool,
    /// Records by direction, where they are listed.
    pub netflow: bool,
    /// `types.files.force-hash`.
    pub file_hashes: lagewarte_app::file::Hashes,
    /// `types.files.force-magic`.
    pub file_magic: bool,
}

/// `lagewarte:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// State directory.
    pub state_dir: PathBuf,
    /// Keys that may sign assignment and profile.
    pub trusted_keys: Vec<PublicKey>,
    /// Record of what left.
    pub release_log: Option<PathBuf>,
    /// Health interval; None: as enrolled.
    pub interval: Option<Duration>,
    /// Metrics listener.
    pub metrics: Option<SocketAddr>,
    /// Quota of the spool, bytes.
    pub spool_quota: u64,
    /// The comparison with a Suricata on the same line.
    pub shadow: Option<Shadow>,
    /// The line to the aggregator.
    pub uplink: UplinkSettings,
}

/// `lagewarte.uplink:`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UplinkSettings {
    /// `http://HOST:PORT`, checked.
    pub proxy: Option<String>,
    /// File with the proxy's `user:password`.
    pub proxy_auth_file: Option<PathBuf>,
    /// Cap in bytes a second.
    pub rate: Option<u64>,
    /// When bulk is sent.
    pub bulk_hours: Hours,
}

impl UplinkSettings {
    /// The proxy with what it wants to know, if there is one.
    ///
    /// # Errors
    /// Where the file cannot be read, or does not hold a user and a password.
    pub fn proxy(&self) -> anyhow::Result<Option<Proxy>> {
        let Some(address) = &self.proxy else { return Ok(None) };
        let mut credentials = None;
        if let Some(path) = &self.proxy_auth_file {
            let what = || {
                format!(
                    "lagewarte.uplink.proxy-auth-file: {}: one line user:password is wanted there, readable for the sensor",
                    path.display()
                )
            };
            let bytes = RealFs.read(path, 0, MAX_PROXY_AUTH).with_context(what)?;
            credentials = Some(String::from_utf8(bytes).with_context(what)?);
        }
        Proxy::new(address, credentials.as_deref()).context("lagewarte.uplink.proxy").map(Some)
    }
}

/// Suricata's order.
const ACTIONS: [Action; 4] = [Action::Pass, Action::Drop, Action::Reject, Action::Alert];

/// An order of actions in which each has its place; None where the list is no such order.
fn action_order(names: &[String]) -> Option<[Action; 4]> {
    let named = |n: &String| ACTIONS.into_iter().find(|a| a.name() == n);
    let order: [Action; 4] = names.iter().filter_map(named).collect::<Vec<_>>().try_into().ok()?;
    (names.len() == 4 && ACTIONS.iter().all(|a| order.contains(a))).then_some(order)
}

/// Most bytes of the proxy's credentials. Threat: a wrong path filling the memory.
const MAX_PROXY_AUTH: usize = 1024;

impl Settings {
    /// Reads a tree whose names and types have been checked; a value that is malformed all the same counts as absent.
    pub fn read(tree: &Node, base: Option<&Path>) -> Self {
        let r = Reader { tree, base };
        let default_rules = r.path("default-rule-path").or_else(|| base.map(Path::to_owned)).unwrap_or_default();
        let default_reputations =
            r.path("default-reputation-path").or_else(|| base.map(Path::to_owned)).unwrap_or_default();
        let state_dir = r.path("lagewarte.state-dir").unwrap_or_else(|| "/var/lib/lagewarte-sensor".into());
        Self {
            file: None,
            vars: Vars { addresses: r.pairs("vars.address-groups"), ports: r.pairs("vars.port-groups") },
            rule_files: r.list("rule-files").into_iter().map(|f| default_rules.join(f)).collect(),
            classification_file: r.path("classification-file"),
            reference_config_file: r.path("reference-config-file"),
            countries: r.path("geoip-database"),
            reputation_categories: r.path("reputation-categories-file"),
            reputation_files: r.list("reputation-files").into_iter().map(|f| default_reputations.join(f)).collect(),
            data_sets: r.data_sets(),
            data_memcap: r.size("datasets.defaults.memcap"),
            data_files_anywhere: r.flag("datasets.rules.allow-absolute-filenames").unwrap_or(false),
            threshold_file: r.path("threshold-file"),
            action_order: action_order(&r.list("action-order")).unwrap_or(ACTIONS),
            packet_alert_max: r.number("packet-alert-max").unwrap_or(15) as usize,
            guess_transaction: r.flag("detect.guess-applayer-tx").unwrap_or(false),
            matcher_cache: (r.flag("detect.sgh-mpm-caching"), r.path("detect.sgh-mpm-caching-path")),
            interface: r.text("af-packet.interface").or_else(|| r.text("pcap.interface")).filter(|i| i != "default"),
            bpf: r.text("af-packet.bpf-filter"),
            pcap_checksums: r.flag("pcap-file.checksum-checks"),
            vlan_tracking: r.flag("vlan.use-for-tracking").unwrap_or(true),
            network: Network::read(tree),
            flow_memcap: r.size("flow.memcap").unwrap_or(128 << 20),
            timeouts: Timeouts {
                default: r.timeouts("default"),
                tcp: r.timeouts("tcp"),
                udp: r.timeouts("udp"),
                icmp: r.timeouts("icmp"),
            },
            flow_policy: r.text("flow.memcap-policy").unwrap_or_else(|| "auto".into()),
            stream: Stream::read(tree),
            midstream: r.flag("stream.midstream").unwrap_or(false),
            async_oneside: r.flag("stream.async-oneside").unwrap_or(false),
            protocols: r.protocols(),
            http: r.http().0,
            smtp: mail::read(tree),
            choices: protocols::read(tree),
            xff: xff::read(tree),
            file_store: FileStore::read(tree),
            eve: Eve::read(&r),
            stats: r.flag("stats.enabled").unwrap_or(true),
            workers: r.number("lagewarte.workers").or_else(|| r.number("af-packet.threads")).map(|n| n as usize),
            own: Own {
                shadow: Shadow::read(tree, base, &state_dir),
                state_dir,
                trusted_keys: r
                    .list("lagewarte.trusted-keys")
                    .iter()
                    .filter_map(|k| PublicKey::parse(k).ok())
                    .collect(),
                release_log: r.path("lagewarte.release-log"),
                interval: r.number("lagewarte.interval").map(|s| Duration::from_secs(s.into())),
                metrics: r.text("lagewarte.metrics.listen").and_then(|l| l.parse().ok()),
                spool_quota: r.size("lagewarte.spool.quota").unwrap_or(2 << 30),
                uplink: UplinkSettings {
                    proxy: r.text("lagewarte.uplink.proxy"),
                    proxy_auth_file: r.path("lagewarte.uplink.proxy-auth-file"),
                    rate: r.size("lagewarte.uplink.rate"),
                    bulk_hours: hours(&r).unwrap_or_default(),
                },
            },
        }
    }

    /// Where what compiling decides is kept between loadings; None: nowhere. `own` is the directory in which a command keeps
    /// what is its own, where it has one.
    pub fn matchers(&self, own: Option<&Path>) -> Option<PathBuf> {
        let (wanted, path) = &self.matcher_cache;
        let path = path.clone().or_else(|| Some(own?.join("matchers")));
        path.filter(|_| *wanted != Some(false))
    }

    /// What is out of bounds: what types alone do not say.
    pub fn faults(&self, tree: &Node) -> Vec<Fault> {
        let r = Reader { tree, base: None };
        let mut faults = network::faults(tree);
        faults.extend(shadow::faults(tree));
        let mut fault = |key: &str, what: String| faults.push(Fault { key: key.into(), line: None, what });
        let order = r.list("action-order");
        if !order.is_empty() && action_order(&order).is_none() {
            fault("action-order", String::from("each of pass, drop, reject and alert is wanted, once"));
        }
        let mut within = |key: &str, value: Option<u64>, low: u64, high: u64| {
            if let Some(v) = value.filter(|v| !(low..=high).contains(v)) {
                fault(key, format!("{v} is out of bounds: {low} to {high}"));
            }
        };
        let number = |key| r.number(key).map(u64::from);
        within("lagewarte.interval", number("lagewarte.interval"), 1, 3600);
        within("lagewarte.workers", number("lagewarte.workers"), 1, MAX_WORKERS as u64);
        within("af-packet.threads", number("af-packet.threads"), 1, MAX_WORKERS as u64);
        within("lagewarte.spool.quota", r.size("lagewarte.spool.quota"), 16 << 20, 1 << 50);
        within("lagewarte.file-store.quota", r.size("lagewarte.file-store.quota"), 1 << 20, 1 << 50);
        within("outputs.file-store.version", number("outputs.file-store.version"), 2, 2);
        within("outputs.file-store.max-open-files", number("outputs.file-store.max-open-files"), 0, 65_536);
        within("lagewarte.uplink.rate", r.size("lagewarte.uplink.rate"), 1 << 10, 1 << 40);
        within("flow.memcap", r.size("flow.memcap"), 1 << 20, 1 << 40);
        within("stream.memcap", r.size("stream.memcap"), 1 << 20, 1 << 40);
        within("stream.reassembly.memcap", r.size("stream.reassembly.memcap"), 1 << 20, 1 << 40);
        within("stream.reassembly.toserver-chunk-size", r.size("stream.reassembly.toserver-chunk-size"), 1, 1 << 20);
        within("stream.reassembly.toclient-chunk-size", r.size("stream.reassembly.toclient-chunk-size"), 1, 1 << 20);
        within("stream.reassembly.max-regions", number("stream.reassembly.max-regions"), 2, 1024);
        within("packet-alert-max", number("packet-alert-max"), 1, 1024);
        within("outputs.eve-log.community-id-seed", number("outputs.eve-log.community-id-seed"), 0, 65535);
        for key in r.list("lagewarte.trusted-keys") {
            if let Err(e) = PublicKey::parse(&key) {
                fault("lagewarte.trusted-keys", format!("{:?}: {e}", key.chars().take(60).collect::<String>()));
            }
        }
        if let Some(Err(e)) = self.own.uplink.proxy.as_ref().map(|p| Proxy::new(p, None)) {
            fault("lagewarte.uplink.proxy", e.to_string());
        }
        if self.own.uplink.proxy.is_none() && self.own.uplink.proxy_auth_file.is_some() {
            fault("lagewarte.uplink.proxy-auth-file", "there is no lagewarte.uplink.proxy that it could be for".into());
        }
        if let Err(e) = hours(&r) {
            fault("lagewarte.uplink.bulk-hours", e.to_string());
        }
        for (key, what) in r.http().1 {
            fault(&key, what);
        }
        for h in r.list("outputs.eve-log.types.files.force-hash") {
            if !["md5", "sha1", "sha256"].contains(&h.as_str()) {
                fault("outputs.eve-log.types.files.force-hash", format!("{h:?} is none of md5, sha1, sha256"));
            }
        }
        if let Some(t) = r.text("outputs.eve-log.types.http.dump-all-headers")
            && !["none", "request", "response", "both"].contains(&t.as_str())
        {
            fault("outputs.eve-log.types.http.dump-all-headers", format!("{t:?} is none of request, response, both"));
        }
        let name = &self.eve.filename;
        if name.is_empty() || name == ".." || name.contains('\0') {
            fault("outputs.eve-log.filename", format!("{name:?} is no file name"));
        }
        let interfaces = match tree.get("af-packet") {
            Some(Node::List(items)) => {
                items.iter().filter_map(|i| i.get("interface")?.text()).filter(|i| *i != "default").count()
            }
            _ => 1,
        };
        if interfaces > 1 {
            fault(
                "af-packet.interface",
                format!("{interfaces} interfaces; this release listens on one: start one sensor for each"),
            );
        }
        faults
    }
}

impl Eve {
    fn read(r: &Reader<'_>) -> Self {
        let key = |k: &str| format!("outputs.eve-log.{k}");
        let listed = r.tree.at("outputs.eve-log.types");
        // Without a list every type is written; an entry may be a plain name or a section that can be disabled.
        let on = |name: &str| match listed {
            None | Some(Node::Null) => true,
            Some(types) => {
                let named = matches!(types, Node::List(items) if items.iter().any(|i| i.text() == Some(name)));
                named || types.get(name).is_some() && r.flag(&key(&format!("types.{name}.enabled"))).unwrap_or(true)
            }
        };
        let everything = matches!(listed, None | Some(Node::Null));
        // Where types are listed, they are written short unless asked otherwise, as in Suricata.
        let extended = |name: &str| r.flag(&key(&format!("types.{name}.extended"))).unwrap_or(everything);
        let alert = |k: &str| r.flag(&key(&format!("types.alert.{k}"))).unwrap_or(false);
        // `metadata: no` leaves out all of its parts.
        let all = r.flag(&key("types.alert.metadata")).unwrap_or(true);
        let with = |k: &str| all && r.flag(&key(&format!("types.alert.metadata.{k}"))).unwrap_or(true);
        let anomaly = |k: &str| on("anomaly") && r.flag(&key(&format!("types.anomaly.types.{k}"))).unwrap_or(true);
        let seed = r.number(&key("community-id-seed")).and_then(|s| u16::try_from(s).ok()).unwrap_or(0);
        Self {
            enabled: r.flag(&key("enabled")).unwrap_or(true),
            filename: r.text(&key("filename")).unwrap_or_else(|| "eve.json".into()),
            community_id: r.flag(&key("community-id")).unwrap_or(false).then_some(seed),
            ethernet: r.flag(&key("ethernet")).unwrap_or(false),
            compress_ipv6: r.flag(&key("ipv6-compress")).unwrap_or(false),
            alert: on("alert"),
            payload: alert("payload"),
            payload_printable: alert("payload-printable"),
            verdict: alert("verdict"),
            tagged_packets: alert("tagged-packets"),
            packet: alert("packet"),
            metadata: with("rule.metadata"),
            rule_text: alert("metadata.rule.raw"),
            references: alert("metadata.rule.reference"),
            app_layer: with("app-layer"),
            alert_flow: with("flow"),
            flow_metadata: r.flag(&key("metadata")).unwrap_or(true),
            payload_length: alert("payload-length"),
            flow: on("flow"),
            anomaly: [anomaly("decode"), anomaly("stream"), anomaly("applayer")],
            packethdr: r.flag(&key("types.anomaly.packethdr")).unwrap_or(false),
            stats: on("stats"),
            types: listed.filter(|l| !matches!(l, Node::Null)).map(|l| {
                let mut names = Vec::new();
                match l {
                    Node::List(items) => {
                        for i in items {
                            match i {
                                Node::Text(t) => names.push(t.clone()),
                                Node::Map(members) => names.extend(members.iter().map(|(k, _)| k.clone())),
                                _ => {}
                            }
                        }
                    }
                    Node::Map(members) => names.extend(members.iter().map(|(k, _)| k.clone())),
                    _ => {}
                }
                names.retain(|n| on(n));
                names
            }),
            tls: Tls {
                extended: r.flag(&key("types.tls.extended")),
                session_resumption: r.flag(&key("types.tls.session-resumption")),
                custom: r.list(&key("types.tls.custom")),
                ja3: r.flag(&key("types.tls.ja3")),
                ja4: r.flag(&key("types.tls.ja4")),
            },
            dns: Dns {
                version: r.number(&key("types.dns.version")),
                requests: r.flag(&key("types.dns.requests")).or_else(|| r.flag(&key("types.dns.query"))),
                responses: r.flag(&key("types.dns.responses")).or_else(|| r.flag(&key("types.dns.answer"))),
                formats: r.list(&key("types.dns.formats")),
                types: r.list(&key("types.dns.types")),
            },
            http: lagewarte_app::http1::Written {
                extended: extended("http"),
                custom: r.list(&key("types.http.custom")),
                dump: match r.text(&key("types.http.dump-all-headers")).as_deref() {
                    Some("both") => [true; 2],
                    Some("request") => [true, false],
                    Some("response") => [false, true],
                    _ => [false; 2],
                },
                body: alert("http-body"),
                body_printable: alert("http-body-printable"),
            },
            dhcp_extended: extended("dhcp"),
            netflow: !everything && on("netflow"),
            file_magic: r.flag(&key("types.files.force-magic")).unwrap_or(false),
            file_hashes: {
                let list = r.list(&key("types.files.force-hash"));
                let has = |name: &str| list.iter().any(|h| h == name);
                lagewarte_app::file::Hashes { md5: has("md5"), sha1: has("sha1"), sha256: has("sha256") }
            },
        }
    }
}

fn hours(r: &Reader<'_>) -> Result<Hours, HoursError> {
    Hours::parse(r.list("lagewarte.uplink.bulk-hours").iter().map(String::as_str))
}

/// Reads a flag as Suricata does; None where it is none.
pub fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Some(true),
        "no" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Reads what is to be done with a protocol; None where it is none of `yes`, `no`, `detection-only`.
pub fn mode(text: &str) -> Option<Mode> {
    match (text, flag(text)) {
        ("detection-only", _) => Some(Mode::DetectionOnly),
        (_, Some(true)) => Some(Mode::On),
        (_, Some(false)) => Some(Mode::Off),
        _ => None,
    }
}

/// Reads a port or a range of ports, `53` or `5060:5061`.
pub fn port_range(text: &str) -> Option<(u16, u16)> {
    let t = text.trim();
    match t.split_once(':').or_else(|| t.split_once('-')) {
        Some((a, b)) => Some((a.trim().parse().ok()?, b.trim().parse().ok()?)),
        None => t.parse().ok().map(|p| (p, p)),
    }
}

/// Reads a size as Suricata does: a number, perhaps with `kb`, `mb`, `gb` (powers of 1024) or `kib`, `mib`, `gib`.
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "" | "b" => 0,
        "kb" | "kib" => 10,
        "mb" | "mib" => 20,
        "gb" | "gib" => 30,
        _ => return None,
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    let part = match part {
        "" => 0,
        p => (format!("0.{p}").parse::<f64>().ok()? * (1u64 << shift) as f64) as u64,
    };
    whole.checked_add(part)
}

struct Reader<'a> {
    tree: &'a Node,
    base: Option<&'a Path>,
}

impl Reader<'_> {
    fn text(&self, path: &str) -> Option<String> {
        self.tree.at(path)?.text().filter(|t| !t.is_empty()).map(str::to_owned)
    }
    fn flag(&self, path: &str) -> Option<bool> {
        flag(&self.text(path)?)
    }
    fn number(&self, path: &str) -> Option<u32> {
        self.text(path)?.parse().ok()
    }
    fn size(&self, path: &str) -> Option<u64> {
        size(&self.text(path)?)
    }
    /// Relative paths are read from the configuration's directory, not from wherever the process was started.
    fn path(&self, path: &str) -> Option<PathBuf> {
        let given = PathBuf::from(self.text(path)?);
        Some(self.base.map_or_else(|| given.clone(), |b| b.join(&given)))
    }
    fn list(&self, path: &str) -> Vec<String> {
        self.tree.at(path).map(Node::list).unwrap_or_default()
    }
    fn pairs(&self, path: &str) -> Vec<(String, String)> {
        match self.tree.at(path) {
            Some(Node::Map(members)) => {
                members.iter().filter_map(|(k, v)| Some((k.clone(), v.text()?.to_owned()))).collect()
            }
            _ => Vec::new(),
        }
    }
    // The choices, and what is wrong with them.
    fn http(&self) -> (lagewarte_app::http1::Choices, Vec<(String, String)>) {
        const AT: &str = "app-layer.protocols.http.libhtp.default-config";
        let (mut choices, mut faults) = (lagewarte_app::http1::Choices::default(), Vec::new());
        for (name, value) in self.pairs(AT) {
            if name != "personality"
                && let Err(e) = choices.set(&name, &value)
            {
                faults.push((format!("{AT}.{name}"), e));
            }
        }
        (choices, faults)
    }
    fn protocols(&self) -> Vec<(String, Protocol)> {
        let Some(Node::Map(members)) = self.tree.at("app-layer.protocols") else { return Vec::new() };
        let of = |name: &str| {
            let key = |k: &str| format!("app-layer.protocols.{name}.{k}");
            let enabled = |k: &str| self.text(&key(k)).and_then(|t| mode(&t));
            let ports = |k: &str| {
                let list = self.list(&key(k));
                (!list.is_empty()).then(|| list.iter().filter_map(|p| port_range(p)).collect())
            };
            Protocol {
                enabled: [enabled("enabled"), enabled("tcp.enabled"), enabled("udp.enabled")],
                ports: [ports("detection-ports.dp"), ports("tcp.detection-ports.dp"), ports("udp.detection-ports.dp")],
                stream_depth: self.size(&key("stream-depth")),
                encrypted: match self.text(&key("encryption-handling")).as_deref() {
                    Some("bypass") => Encrypted::Bypass,
                    Some("full") => Encrypted::Full,
                    _ => Encrypted::TrackOnly,
                },
            }
        };
        members.iter().map(|(name, _)| (name.clone(), of(name))).collect()
    }
    fn data_sets(&self) -> Vec<DataSet> {
        let Some(Node::Map(members)) = self.tree.at("datasets") else { return Vec::new() };
        let of = |name: &str| {
            let key = |k: &str| format!("datasets.{name}.{k}");
            DataSet {
                name: name.to_owned(),
                kind: self.text(&key("type")).unwrap_or_default(),
                load: self.path(&key("load")),
                memcap: self.size(&key("memcap")),
            }
        };
        let sets =
            members.iter().filter(|(name, v)| matches!(v, Node::Map(_)) && name != "rules" && name != "defaults");
        sets.map(|(name, _)| of(name)).collect()
    }
    fn timeouts(&self, protocol: &str) -> StateTimeouts {
        let of = |state: &str| self.number(&format!("flow-timeouts.{protocol}.{state}"));
        StateTimeouts { new: of("new"), established: of("established"), closed: of("closed") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_flags_read_as_suricata_reads_them() {
        for (text, want) in [
            ("128mb", Some(128 << 20)),
            ("64 KB", Some(64 << 10)),
            ("1gb", Some(1 << 30)),
            ("1.5kb", Some(1536)),
            ("4096", Some(4096)),
            ("", None),
            ("many", None),
            ("5 apples", None),
            ("99999999999999999999gb", None),
            ("18446744073709551615gb", None),
        ] {
            assert_eq!(size(text), want, "{text}");
        }
        assert_eq!(
            [flag("yes"), flag("True"), flag("off"), flag("0"), flag("maybe")],
            [Some(true), Some(true), Some(false), Some(false), None]
        );
    }
}
