// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! From settings and command line to a pipeline: what `replay` and `run` share.
//!
//! Must never change a value on its way: what a user set is what runs, or an error says why not.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use lagewarte_app::{
    dns::Choices as DnsChoices,
    tls::{Choices as TlsChoices, log::Part as TlsPart},
};
use lagewarte_base::fs::{Fs as _, RealFs};
use lagewarte_capture::{CaptureFile, Filter, Next, Source};
use lagewarte_decode::{Checksum, Decoder, RawFrame};
use lagewarte_detect::{Cache, Engine, Output};
use lagewarte_flow::{
    AppProto, Config as Flow, FullPolicy, Pickup, Timeouts,
    defrag::{self, ByHost, Policy},
};
use lagewarte_rules::{
    Classification, Options as RuleOptions, Refusal, RuleSet, Variables,
    country::Countries,
    dataset::{DataSets, Declared, Kind as DataKind},
    reputation::Reputations,
};

use crate::{
    cli::{self, Checksums, Runmode},
    config::{
        Settings,
        settings::{MAX_RULE_FILES, StateTimeouts, Tls as TlsSettings},
    },
    filestore::Folder,
    pipeline::{Anomalies, Options},
};

/// Packets looked at to see whether a capture's checksums mean anything (`-k auto`, Suricata's number).
const AUTO_PACKETS: usize = 1000;

/// The pipeline's options, without rules.
pub fn options(settings: &Settings, engine: &cli::Engine, in_iface: Option<&str>) -> Options {
    let eve = &settings.eve;
    let defaults = Flow::default();
    let timeouts = |given: StateTimeouts, default: Timeouts| Timeouts {
        new: given.new.unwrap_or(default.new),
        established: given.established.unwrap_or(default.established),
        closed: given.closed.unwrap_or(default.closed),
    };
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let workers = match (engine.workers, engine.runmode) {
        (Some(n), _) => n.into(),
        (None, Some(Runmode::Single)) => 1,
        (None, _) => settings.workers.unwrap_or_else(cores),
    };
    let [decode, stream, applayer] = eve.anomaly;
    Options {
        workers,
        decoder: Decoder { checksums: engine.checksums != Some(Checksums::None), ..settings.network.decoder },
        defrag: fragments(settings),
        flow: Flow {
            memcap: settings.flow_memcap,
            default: timeouts(settings.timeouts.default, defaults.default),
            tcp: timeouts(settings.timeouts.tcp, defaults.tcp),
            udp: timeouts(settings.timeouts.udp, defaults.udp),
            icmp: timeouts(settings.timeouts.icmp, defaults.icmp),
            vlan_tracking: settings.vlan_tracking,
            depth_tracking: settings.network.depth_tracking,
            full: FullPolicy::parse(&settings.flow_policy).unwrap_or_default(),
            pickup: Pickup { midstream: settings.midstream, async_oneside: settings.async_oneside },
            stream: streams(settings),
            community_id: eve.community_id,
            records: eve.flow,
            netflow: eve.netflow,
            ethernet: eve.ethernet,
            in_iface: in_iface.map(str::to_owned),
        },
        app: Arc::new(application(settings, in_iface)),
        anomalies: Anomalies { decode, stream, applayer, packethdr: eve.packethdr },
        pcap_cnt: in_iface.is_none(),
        compress_ipv6: eve.compress_ipv6,
        engine: None,
        live: None,
    }
}

/// Opens the folder of stored files, where files are stored. `base` is where a relative one begins.
///
/// # Errors
///
/// A folder that cannot be used.
pub fn file_store(settings: &Settings, base: &Path, options: &mut Options) -> anyhow::Result<()> {
    let wanted = &settings.file_store;
    if !wanted.enabled {
        return Ok(());
    }
    let depth = settings.stream.depth;
    let files = &mut Arc::make_mut(&mut options.app).files;
    files.store = Some(Arc::new(Folder::open(wanted, base)?));
    files.force_store = wanted.force;
    // As Suricata documents it: 0, or more than the depth of all streams.
    files.store_depth = wanted.stream_depth.filter(|d| *d == 0 || *d > depth);
    Ok(())
}

fn streams(settings: &Settings) -> lagewarte_flow::StreamConfig {
    let mut c = settings.stream.config();
    for (net, system) in &settings.network.systems {
        c.hosts.add(*net, lagewarte_flow::Policy::parse(system).unwrap_or_default()); // every system has one
    }
    c
}

fn fragments(settings: &Settings) -> defrag::Config {
    let n = &settings.network;
    let mut c = defrag::Config {
        memcap: n.defrag_memcap,
        trackers: n.trackers,
        max_frags: n.max_frags,
        timeout: ByHost::new(n.timeout),
        policy: ByHost::new(Policy::default()),
        vlan_tracking: settings.vlan_tracking,
    };
    for (net, seconds) in &n.timeouts {
        c.timeout.add(*net, *seconds);
    }
    for (net, system) in &n.systems {
        c.policy.add(*net, Policy::of_host(system).unwrap_or_default()); // every system has one: a test holds it
    }
    c
}

/// The application layer's choices.
fn application(settings: &Settings, in_iface: Option<&str>) -> lagewarte_app::Config {
    let eve = &settings.eve;
    let mut app = lagewarte_app::Config::default();
    app.types.clone_from(&eve.types);
    app.anomalies = eve.anomaly[2];
    app.pcap_cnt = in_iface.is_none();
    app.in_iface = in_iface.map(str::to_owned);
    app.community_id = eve.community_id;
    app.ethernet = eve.ethernet;
    for (name, choice) in &settings.protocols {
        // What Suricata's file calls otherwise than its events.
        let name = match name.as_str() {
            "ftp-data" | "ftpdata" => "ftp-data",
            "ikev2" => "ike",
            other => other,
        };
        let Some(proto) = AppProto::by_name(name) else { continue };
        let mine = app.of_mut(proto);
        mine.stream_depth = choice.stream_depth.or(mine.stream_depth);
        mine.encrypted = choice.encrypted;
        let [both, tcp, udp] = choice.enabled;
        mine.tcp.mode = tcp.or(both).unwrap_or(mine.tcp.mode);
        mine.udp.mode = udp.or(both).unwrap_or(mine.udp.mode);
        let [both, tcp, udp] = &choice.ports;
        for (over, ports) in
            [(&mut mine.tcp, tcp.as_ref().or(both.as_ref())), (&mut mine.udp, udp.as_ref().or(both.as_ref()))]
        {
            if let Some(ports) = ports {
                over.ports.clone_from(ports);
            }
        }
    }
    app.tls = tls(&eve.tls);
    app.http = settings.http;
    app.smtp = settings.smtp.clone();
    let choices = settings.choices;
    (app.dnp3, app.ike, app.mqtt) = (choices.dnp3, choices.ike, choices.mqtt);
    (app.pgsql, app.rdp, app.ssh) = (choices.pgsql, choices.rdp, choices.ssh);
    (app.smb, app.dcerpc) = (choices.smb, choices.dcerpc);
    app.websocket = choices.websocket;
    app.http_written = eve.http.clone();
    app.dhcp.extended = eve.dhcp_extended;
    app.files.hashes = eve.file_hashes;
    app.files.magic = eve.file_magic || settings.file_store.enabled && settings.file_store.magic;
    if app.files.magic {
        lagewarte_app::file::magic::prepare();
    }
    app.xff = settings.xff.clone();
    let dns = &eve.dns;
    app.dns = DnsChoices {
        version: if dns.version == Some(2) { 2 } else { 3 },
        requests: dns.requests.unwrap_or(true),
        responses: dns.responses.unwrap_or(true),
        detailed: dns.formats.is_empty() || dns.formats.iter().any(|f| f == "detailed"),
        grouped: dns.formats.is_empty() || dns.formats.iter().any(|f| f == "grouped"),
        types: (!dns.types.is_empty())
            .then(|| dns.types.iter().filter_map(|t| lagewarte_app::dns::names::rrtype_by_name(t)).collect()),
    };
    app
}

/// Which fields TLS events have.
fn tls(wanted: &TlsSettings) -> TlsChoices {
    let mut c = match (wanted.custom.is_empty(), wanted.extended) {
        (false, _) => TlsChoices::none(),
        (true, Some(false)) => TlsChoices::basic(),
        (true, _) => TlsChoices::default(),
    };
    for part in wanted.custom.iter().filter_map(|name| TlsPart::by_name(name)) {
        c.set(part, true);
    }
    if wanted.custom.is_empty() {
        for (part, on) in [(TlsPart::Ja3, wanted.ja3), (TlsPart::Ja3s, wanted.ja3), (TlsPart::Ja4, wanted.ja4)] {
            if let Some(on) = on {
                c.set(part, on);
            }
        }
    }
    c.session_resumption = wanted.session_resumption.unwrap_or(true);
    c
}

/// A rule set compiled, with what was refused on the way.
pub struct Rules {
    /// Ready to run.
    pub engine: Arc<Engine>,
    /// Rules loaded.
    pub loaded: usize,
    /// Rules refused, in the order of their files.
    pub refused: Vec<Refusal>,
    /// SHA-256 of the set.
    pub sha256: [u8; 32],
}

/// Loads the rules of command line and configuration; `before` is the set that they follow, where one is in force, and
/// `cache` the directory of what is known from the last loading.
///
/// # Errors
///
/// Where a classification file cannot be read or the set cannot be compiled.
pub fn rules(
    settings: &Settings,
    engine: &cli::Engine,
    options: &Options,
    before: Option<&Engine>,
    cache: Option<&Path>,
) -> anyhow::Result<Rules> {
    let mut files: Vec<PathBuf> = engine.only_rules.clone();
    if files.is_empty() {
        files.clone_from(&settings.rule_files);
        files.extend(engine.more_rules.iter().cloned());
    }
    let (files, nothing) = written_out(files);
    // Threads that end with the loading: what they let go of is everybody's again, not kept for the next time.
    let threads = rayon::ThreadPoolBuilder::new().build().context("starting threads to load the rules")?;
    threads.install(|| compiled(settings, &files, nothing, options, before, cache))
}

fn compiled(
    settings: &Settings,
    files: &[PathBuf],
    nothing: Vec<Refusal>,
    options: &Options,
    before: Option<&Engine>,
    cache: Option<&Path>,
) -> anyhow::Result<Rules> {
    let rule_options = rule_options(settings, before.map(Engine::data))?;
    let mut set = load(files, &rule_options);
    if let Some(path) = &settings.threshold_file {
        thresholds(&mut set, path, &rule_options)?;
    }
    let refused = nothing.into_iter().chain(set.refused.iter().cloned()).collect();
    let (loaded, sha256) = (set.rules.len(), set.sha256);
    let output = output(settings, options);
    let engine = match cache {
        Some(dir) => cached(set, output, before, dir),
        None => Engine::with(set, output, before, None),
    };
    let engine = engine.map_err(anyhow::Error::msg).context("compiling the rules")?;
    Ok(Rules { engine: Arc::new(engine), loaded, refused, sha256 })
}

/// A set compiled with what is known from the last loading. Whatever is wrong with that is told, and no more.
fn cached(set: RuleSet, output: Output, before: Option<&Engine>, dir: &Path) -> Result<Engine, String> {
    let (cache, why) = Cache::open(RealFs, dir);
    if let Some(why) = why {
        tracing::warn!("the matchers kept on disk are not used, and written anew: {why}");
    }
    let engine = Engine::with(set, output, before, Some(&cache))?;
    let closed = cache.close();
    if let Err(e) = &closed.written {
        let dir = dir.display();
        tracing::warn!("matchers cannot be kept for the next loading (detect.sgh-mpm-caching-path, {dir}): {e}");
    }
    tracing::info!(known = closed.found, new = closed.compiled, "matchers compiled");
    Ok(engine)
}

fn output(settings: &Settings, options: &Options) -> Output {
    let eve = &settings.eve;
    Output {
        payload: eve.payload,
        payload_printable: eve.payload_printable,
        packet: eve.packet,
        verdict: eve.verdict,
        tagged_packets: eve.tagged_packets,
        action_order: settings.action_order,
        metadata: eve.metadata,
        rule_text: eve.rule_text,
        references: eve.references,
        app_layer: eve.app_layer,
        flow: eve.alert_flow,
        flow_metadata: eve.flow_metadata,
        payload_length: eve.payload_length,
        profile: false,
        ethernet: eve.ethernet,
        community_id: eve.community_id,
        in_iface: options.flow.in_iface.clone(),
        pcap_cnt: options.pcap_cnt,
        packet_alert_max: u16::try_from(settings.packet_alert_max).unwrap_or(u16::MAX),
        guess_transaction: settings.guess_transaction,
    }
}

/// Largest `threshold-file`. Threat: a wrong path (a capture, a device) read whole.
const MAX_THRESHOLD_FILE: usize = 64 << 20;

/// Applies `threshold-file` to a rule set. One that is not there is told, as of the classification.
fn thresholds(set: &mut RuleSet, path: &Path, options: &RuleOptions) -> anyhow::Result<()> {
    let bytes = match RealFs.read(path, 0, MAX_THRESHOLD_FILE) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            tracing::warn!(file = %path.display(), "threshold-file: not there; nothing is suppressed by it");
            return Ok(());
        }
        Err(e) => return Err(e).with_context(|| format!("threshold-file: cannot read {}", path.display())),
    };
    let text = String::from_utf8_lossy(&bytes);
    lagewarte_rules::thresholds::apply(set, &path.display().to_string(), &text, &options.variables);
    Ok(())
}

/// Rule files as they would run: with the patterns tried that only the matcher can judge.
pub fn load(files: &[PathBuf], options: &lagewarte_rules::Options) -> lagewarte_rules::RuleSet {
    let mut set = lagewarte_rules::load(files, options);
    lagewarte_detect::vet(&mut set);
    set
}

/// Variables, classes and references that rules are read against; `before` are the data sets that these follow.
///
/// # Errors
///
/// Where a file that the configuration names cannot be read.
pub fn rule_options(settings: &Settings, before: Option<&DataSets>) -> anyhow::Result<RuleOptions> {
    let mut variables = Variables::suricata();
    for (name, value) in &settings.vars.addresses {
        variables.set_address(name, value);
    }
    for (name, value) in &settings.vars.ports {
        variables.set_port(name, value);
    }
    let mut classification = Classification::default();
    for (path, classes) in [(&settings.classification_file, true), (&settings.reference_config_file, false)] {
        let Some(path) = path else { continue };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                tracing::warn!(file = %path.display(), "not there; the built-in names are used");
                continue;
            }
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        };
        let odd = if classes { classification.read_classes(&text) } else { classification.read_references(&text) };
        for (line, what) in odd.iter().take(20) {
            tracing::warn!(file = %path.display(), line, "{what}");
        }
    }
    let countries = settings.countries.as_deref().map(|path| Countries::read(path).map(Arc::new));
    let countries = countries.transpose().map_err(anyhow::Error::msg).context("geoip-database")?;
    let reputations = settings.reputation_categories.as_deref().map(|categories| {
        let (all, odd) = Reputations::read(categories, &settings.reputation_files)?;
        odd.iter().take(20).for_each(|what| tracing::warn!("{what}"));
        Ok(Arc::new(all))
    });
    let reputations = reputations.transpose().map_err(|e: String| anyhow::Error::msg(e)).context("reputations")?;
    Ok(RuleOptions { variables, classification, data: data_sets(settings, before)?, countries, reputations })
}

/// Data sets of the configuration.
fn data_sets(settings: &Settings, before: Option<&DataSets>) -> anyhow::Result<DataSets> {
    let mut sets = DataSets::default();
    if let Some(before) = before {
        sets.follow(before); // before the first is declared
    }
    (sets.anywhere, sets.memcap) = (settings.data_files_anywhere, settings.data_memcap);
    for s in &settings.data_sets {
        let told = || format!("datasets.{}", s.name);
        let kind = Some(DataKind::parse(&s.kind).map_err(anyhow::Error::msg).with_context(told)?);
        let how = Declared { kind, load: s.load.clone(), memcap: s.memcap, ..Declared::default() };
        sets.declare(&s.name, &how, false, None).map_err(anyhow::Error::msg).with_context(told)?;
    }
    Ok(sets)
}

/// Writes `*` and `?` in the last part of paths out, sorted. What fits no file is refused, like a file that is not there.
fn written_out(files: Vec<PathBuf>) -> (Vec<PathBuf>, Vec<Refusal>) {
    let (mut out, mut refused) = (Vec::new(), Vec::new());
    for file in files {
        let pattern = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !pattern.contains(['*', '?']) {
            out.push(file);
            continue;
        }
        let dir = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let names = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.file_name());
        let mut found: Vec<PathBuf> =
            names.filter(|n| fits(pattern.as_bytes(), n.as_encoded_bytes())).map(|n| dir.join(n)).collect();
        found.sort();
        found.truncate(MAX_RULE_FILES);
        if found.is_empty() {
            let reason = "no file has such a name; check default-rule-path and the pattern".to_owned();
            refused.push(Refusal {
                file: file.display().to_string(),
                line: 0,
                sid: None,
                keyword: String::new(),
                reason,
            });
        }
        out.append(&mut found);
    }
    (out, refused)
}

/// Whether a name fits a pattern of `*` (any bytes) and `?` (one byte).
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(b) if *b == b'?' || *b == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// A capture file behind the filter of command line or configuration.
///
/// # Errors
///
/// Where the file cannot be opened or the filter is wrong.
pub fn capture(path: &Path, settings: &Settings, engine: &cli::Engine) -> anyhow::Result<CaptureFile> {
    let text = if engine.bpf.is_empty() { settings.bpf.clone() } else { Some(engine.bpf.join(" ")) };
    let filter = text.as_deref().map(Filter::new).transpose()?;
    Ok(CaptureFile::open(path, filter)?)
}

/// Whether a capture's checksums are to be tested: as told, else by a look at its first packets: where a tenth or more
/// are wrong, the card was to fill them in (as Suricata's `auto`).
///
/// # Errors
///
/// Where the file cannot be opened.
pub fn checksums(path: &Path, settings: &Settings, engine: &cli::Engine) -> anyhow::Result<bool> {
    match (engine.checksums, settings.pcap_checksums) {
        (Some(Checksums::None), _) => return Ok(false),
        (Some(Checksums::All), _) => return Ok(true),
        (None, Some(set)) => return Ok(set),
        _ => {}
    }
    let mut file = CaptureFile::open(path, None)?;
    let decoder = Decoder::default();
    let (mut good, mut bad) = (0u32, 0u32);
    for index in 1..=AUTO_PACKETS {
        let Next::Frame(f) = file.next()? else { break };
        let raw =
            RawFrame { index: index as u64, time: f.time, linktype: f.linktype, wire_len: f.wire_len, data: f.data };
        match decoder.decode(raw).checksum {
            Checksum::Good => good += 1,
            Checksum::Bad => bad += 1,
            Checksum::Untested => {}
        }
    }
    Ok(bad == 0 || bad * 10 < good + bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names() {
        for (pattern, name, want) in [
            ("*.rules", "a.rules", true),
            ("*.rules", "a.rule", false),
            ("*", "", true),
            ("a?c*", "abcd", true),
            ("a?c*", "ac", false),
            ("*a*b", "xaxxab", true),
            ("**", "x", true),
            ("a", "ab", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), want, "{pattern} {name}");
        }
    }

    #[test]
    fn rule_files_are_written_out_in_order_and_what_is_not_there_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["b.rules", "a.rules", "c.txt"] {
            std::fs::write(dir.path().join(name), "").expect("a file");
        }
        let (files, refused) = written_out(vec![dir.path().join("*.rules"), dir.path().join("no*"), "plain".into()]);
        assert_eq!(files, [dir.path().join("a.rules"), dir.path().join("b.rules"), "plain".into()]);
        assert_eq!(refused.len(), 1);
        assert!(refused[0].file.ends_with("no*"));
        for n in 0..=MAX_RULE_FILES {
            std::fs::write(dir.path().join(format!("many{n}")), "").expect("a file");
        }
        assert_eq!(written_out(vec![dir.path().join("many*")]).0.len(), MAX_RULE_FILES);
    }

    #[test]
    fn rules_that_are_read_again_go_on_with_the_data_sets_of_those_before() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            engine: cli::Engine,
        }
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("own.rules");
        let rules_text = "alert dns any any -> any any (dns.query; dataset:set,seen,type string; sid:1;)\n\
                          alert dns any any -> any any (dns.query; dataset:set,own; sid:2;)\n";
        std::fs::write(&file, rules_text).expect("a file");
        let line = <Line as clap::Parser>::parse_from(["sensor", "-S", file.to_str().expect("a path")]);
        let settings =
            crate::config::load(None, &["datasets.own.type=string".to_owned()], crate::config::Strictness::Warn)
                .expect("settings")
                .settings;
        let options = options(&settings, &line.engine, None);
        let load = |before| rules(&settings, &line.engine, &options, before, None).expect("rules").engine;
        let set = |engine: &Engine, name| {
            let how = Declared { kind: Some(DataKind::String), ..Declared::default() };
            engine.data().declare(name, &how, false, None).expect("a set that is declared")
        };
        let first = load(None);
        // One of the rules, one of the operator.
        for name in ["seen", "own"] {
            assert!(set(&first, name).put(b"amt.example", true), "{name}");
            assert!(set(&load(Some(&first)), name).has(b"amt.example"), "{name}");
            assert!(!set(&load(None), name).has(b"amt.example"), "{name}");
        }
    }
}
