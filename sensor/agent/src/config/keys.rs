// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The table of configuration keys: every key this sensor knows, whether it honours it, and why not where it does not.
//!
//! It drives the check of names and types and the reference `docs/sensor-config.md`. Names and defaults are Suricata's
//! (Suricata user guide, "Suricata.yaml") except under `lagewarte:`. Must never list a key as honoured that nothing reads:
//! a test moves each one and looks for the change.

use lagewarte_base::spelling::distance;

/// How a key's text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `yes`/`no` (also true/false, on/off, 1/0).
    Flag,
    /// A whole number.
    Number,
    /// Bytes: a number with `kb`, `mb` or `gb`.
    Size,
    /// A whole number of seconds.
    Seconds,
    /// Any text, a path or a name.
    Text,
    /// A list of texts.
    List,
    /// `yes`, `no` or `auto`.
    FlagOrAuto,
    /// `yes`, `no` or `detection-only`.
    FlagOrDetection,
    /// A number or `auto`.
    NumberOrAuto,
    /// `address:port`.
    Listen,
    /// One of these words, separated by spaces.
    OneOf(&'static str),
    /// A value, or a section of members: `- alert` and `- alert: {...}`.
    Section,
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Read and acted on. Kind, default as text, value of an example that differs from the default.
    Honoured(Kind, &'static str, &'static str),
    /// Known as Suricata's and without effect here.
    Ignored(Why),
}

/// Why a known key has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its output or protocol record is not written by this release.
    NotYet,
    /// It tunes a part that is built differently here.
    BuiltDifferently,
    /// It belongs to a way of capture that this sensor does not have.
    OtherCapture,
    /// It belongs to blocking traffic: this sensor only listens.
    ListensOnly,
    /// It is set on the command line or by the service unit.
    Elsewhere,
}

impl Why {
    /// In words, for messages and the reference.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotYet => "this release has no such output or protocol record",
            Self::BuiltDifferently => "it tunes a part that is built differently here",
            Self::OtherCapture => "this sensor does not capture that way",
            Self::ListensOnly => "this sensor listens and never blocks traffic",
            Self::Elsewhere => "set it on the command line or in the service unit",
        }
    }
}

/// One entry: `a.{b,c}.*` stands for several keys; `**` at the end for everything beneath.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted path with braces for alternatives and `*` for any one name.
    pub pattern: &'static str,
    /// What becomes of it.
    pub used: Use,
    /// A sentence for the reference.
    pub doc: &'static str,
}

const fn on(pattern: &'static str, kind: Kind, default: &'static str, example: &'static str, doc: &'static str) -> Key {
    Key { pattern, used: Use::Honoured(kind, default, example), doc }
}
const fn off(pattern: &'static str, why: Why, doc: &'static str) -> Key {
    Key { pattern, used: Use::Ignored(why), doc }
}

use Kind::{Flag, FlagOrAuto, FlagOrDetection, List, Listen, Number, NumberOrAuto, Seconds, Section, Size, Text};
use Why::{BuiltDifferently, Elsewhere, ListensOnly, NotYet, OtherCapture};

/// The table, in the order of the reference.
pub const KEYS: &[Key] = &[
    // Our own.
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
    // Rules.
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
        "What a data set holds: string, md5 or sha256. Rules use it by its name.",
    ),
    on("datasets.*.load", Text, "", "/tmp/list.csv", "File that is read into the set: an entry a line, base64 or hex."),
    on("datasets.*.memcap", Size, "100mb", "2mb", "Most bytes of the set. A file that holds more is refused."),
    off(
        "datasets.*.{hashsize,state,save,format,value_key,array_key,enrichment_key,remove_key,limits}",
        NotYet,
        "Tables grow as needed; sets are not written to files, and hold no JSON beside their entries.",
    ),
    off("datasets.{rules.allow-write,limits.**}", NotYet, "Rules never write files."),
    off("{mpm-algo,spm-algo,asn1-max-frames}", BuiltDifferently, "Choice of matchers."),
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
    // Capture.
    on(
        "af-packet.interface",
        Text,
        "",
        "eth0",
        "Interface that `run` listens on where `-i` names none. One interface in this release.",
    ),
    on(
        "af-packet.bpf-filter",
        Text,
        "",
        "tcp port 80",
        "Filter in the language of tcpdump; what it refuses is not seen at all.",
    ),
    on("af-packet.threads", NumberOrAuto, "auto", "2", "Worker threads, as `lagewarte.workers`."),
    off(
        "af-packet.{cluster-id,cluster-type,defrag,use-mmap,mmap-locked,tpacket-v3,ring-size,block-size,block-timeout,use-emergency-flush,buffer-size,disable-promisc,checksum-checks,copy-mode,copy-iface,rollover}",
        BuiltDifferently,
        "Tuning of the capture ring.",
    ),
    on("pcap.interface", Text, "", "eth1", "As `af-packet.interface`."),
    off(
        "pcap.{buffer-size,bpf-filter,checksum-checks,threads,promisc,snaplen}",
        BuiltDifferently,
        "Tuning of libpcap; use `af-packet`.",
    ),
    on(
        "pcap-file.checksum-checks",
        FlagOrAuto,
        "auto",
        "no",
        "Whether packets of a capture file with wrong checksums are left out; `-k` on the command line is stronger.",
    ),
    on("vlan.use-for-tracking", Flag, "yes", "no", "Whether the VLAN belongs to a flow's identity."),
    off("livedev.use-for-tracking", BuiltDifferently, "One interface, so it makes no difference."),
    off("{pfring,netmap,dpdk,napatech,nflog,af-xdp,capture}.**", OtherCapture, "Other ways of capture."),
    off("{nfq,ipfw,capture}", OtherCapture, "Other ways of capture."),
    off("{nfq,ipfw}.**", ListensOnly, "Inline modes."),
    off(
        "threading.{set-cpu-affinity,detect-thread-ratio,stack-size,autopin}",
        BuiltDifferently,
        "Use `lagewarte.workers`.",
    ),
    off("threading.cpu-affinity.**", BuiltDifferently, "Use `CPUAffinity=` in the service unit."),
    // Flow and stream.
    on(
        "flow.memcap",
        Size,
        "128mb",
        "16mb",
        "Most bytes of the flow table over all workers. When it is full the oldest flow goes first, and is counted.",
    ),
    on(
        "flow.memcap-policy",
        Kind::OneOf("auto ignore pass-packet drop-packet"),
        "auto",
        "ignore",
        "What happens to a packet that needs a flow when the table is full: `auto` ends the flow that was idle longest; `ignore` and `pass-packet` let it go on without a flow; `drop-packet` does not look at it.",
    ),
    off(
        "flow.{hash-size,prealloc,emergency-recovery,managers,recyclers,rate-tracking}",
        BuiltDifferently,
        "The table grows as needed, up to the cap.",
    ),
    on(
        "flow-timeouts.{default,tcp,udp,icmp}.{new,established,closed}",
        Seconds,
        "as Suricata",
        "7",
        "Seconds of silence after which a flow ends, by protocol and state; on packet time.",
    ),
    off(
        "flow-timeouts.{default,tcp,udp,icmp}.{bypassed,emergency-new,emergency-established,emergency-closed,emergency-bypassed}",
        BuiltDifferently,
        "No bypass, and a full table evicts at once.",
    ),
    on(
        "stream.midstream",
        Flag,
        "no",
        "yes",
        "Whether a TCP flow whose handshake was not seen may become established.",
    ),
    on(
        "stream.async-oneside",
        Flag,
        "no",
        "yes",
        "Whether a TCP flow of which only one side is seen may become established.",
    ),
    on(
        "stream.memcap",
        Size,
        "64mb",
        "16mb",
        "Most bytes of TCP sessions over all workers. A session beyond it is not followed, and is counted.",
    ),
    on(
        "stream.{memcap-policy,midstream-policy}",
        Kind::OneOf("auto ignore pass-packet pass-flow drop-packet drop-flow reject bypass"),
        "auto",
        "pass-flow",
        "What happens to a packet whose session is beyond the cap, or whose handshake was not seen. `auto` and `ignore`: it goes on as far as it goes; the words of one packet: no rule looks at it; the others: no rule looks at its flow. Nothing is dropped.",
    ),
    on("stream.checksum-validation", Flag, "yes", "no", "Whether segments with a wrong checksum change nothing."),
    on(
        "stream.reassembly.memcap",
        Size,
        "256mb",
        "32mb",
        "Most bytes of stream buffers over all workers. What is beyond it shows as a gap, and is counted.",
    ),
    on(
        "stream.reassembly.memcap-policy",
        Kind::OneOf("auto ignore pass-packet pass-flow drop-packet drop-flow reject bypass"),
        "auto",
        "pass-packet",
        "As `stream.memcap-policy`, for that cap.",
    ),
    on("stream.reassembly.depth", Size, "1mb", "0", "Bytes of each direction that are put together; 0 is all."),
    on("stream.reassembly.raw", Flag, "yes", "no", "Whether rules look into the bytes of streams."),
    on(
        "stream.reassembly.{toserver-chunk-size,toclient-chunk-size}",
        Size,
        "2560",
        "1000",
        "Acknowledged bytes of a direction that rules wait for before they look, unless the protocol is parsed and the other side answers, or the session ends.",
    ),
    on(
        "stream.reassembly.max-regions",
        Number,
        "8",
        "4",
        "Parts of a stream with large gaps between them that are stored at most.",
    ),
    on(
        "stream.reassembly.urgent.policy",
        Kind::OneOf("oob inline drop gap"),
        "oob",
        "inline",
        "What becomes of urgent data: the byte is not part of the stream, or is, or the segment is not looked at, or the byte is missing.",
    ),
    on(
        "stream.reassembly.urgent.oob-limit-policy",
        Kind::OneOf("inline drop gap"),
        "drop",
        "inline",
        "The same once 65536 urgent bytes were taken out of a direction.",
    ),
    on(
        "stream.inline",
        FlagOrAuto,
        "no",
        "yes",
        "Whether bytes are parsed as they come and not when they are acknowledged (`auto`: no). Nothing is blocked either way; a segment that was lost behind the sensor is then taken for received.",
    ),
    off("stream.{bypass,drop-invalid}", ListensOnly, "Inline modes."),
    off(
        "stream.{prealloc-sessions,max-synack-queued,max-syn-queued,max-sessions,liberal-timestamps}",
        BuiltDifferently,
        "Tuning of the session table; the queues of the handshake have fixed limits.",
    ),
    off(
        "stream.reassembly.**",
        BuiltDifferently,
        "Tuning of buffers; chunk sizes are not randomised: the same capture gives the same events.",
    ),
    on(
        "host-os-policy.{windows,bsd,bsd-right,old-linux,linux,old-solaris,solaris,hpux10,hpux11,irix,macos,vista,windows2k3,first,last}",
        List,
        "",
        "[10.0.0.0/8]",
        "Networks whose hosts put overlapping data together like this system; the longest prefix decides. Others: bsd.",
    ),
    on("defrag.memcap", Size, "32mb", "64mb", "Most memory of fragments that wait for others; the oldest make room."),
    on("defrag.trackers", Number, "65535", "1000", "Most datagrams of which fragments wait."),
    on("defrag.max-frags", Number, "65535", "1000", "Most fragments that wait."),
    on(
        "defrag.timeout",
        Seconds,
        "60",
        "30",
        "Seconds after its last fragment at which a datagram is given up; on packet time.",
    ),
    on("defrag.host-config", Section, "", "", "Networks with a timeout of their own: named sections."),
    on("defrag.host-config.*.timeout", Seconds, "", "30", "Seconds for the networks of this section."),
    on("defrag.host-config.*.address", List, "", "[10.0.0.0/8]", "Its networks; the longest prefix decides."),
    off("defrag.{hash-size,prealloc}", BuiltDifferently, "Memory is taken as it is needed."),
    on(
        "decoder.{teredo,vxlan,geneve}.enabled",
        Flag,
        "yes",
        "no",
        "Whether packets in this tunnel are looked at. GRE, ERSPAN and IP in IP always are.",
    ),
    on(
        "decoder.{teredo,vxlan,geneve}.ports",
        List,
        "3544, 4789, 6081",
        "[1234]",
        "UDP ports on which the tunnel is looked for, at most four; `$NAME` of `vars.port-groups` is written out.",
    ),
    on(
        "decoder.max-layers",
        Number,
        "16",
        "8",
        "Most headers of a frame that are followed, tunnels included (at most 64); more is an event.",
    ),
    on(
        "decoder.recursion-level.use-for-tracking",
        Flag,
        "yes",
        "no",
        "Whether the number of tunnels around a packet tells flows apart.",
    ),
    off(
        "decoder.{vxlan,erspan,vntag}.**",
        BuiltDifferently,
        "ERSPAN and VN-tag are always read; reserved bits of VXLAN are ignored.",
    ),
    on(
        "app-layer.protocols.*.enabled",
        FlagOrDetection,
        "yes",
        "no",
        "Whether a protocol is recognised and, where this release has a parser, parsed; `detection-only`: recognised.",
    ),
    on(
        "app-layer.protocols.*.{tcp,udp}.enabled",
        FlagOrDetection,
        "as the protocol",
        "detection-only",
        "The same over one transport.",
    ),
    on(
        "app-layer.protocols.*.{detection-ports.dp,tcp.detection-ports.dp,udp.detection-ports.dp}",
        List,
        "as Suricata",
        "[5353]",
        "Ports on which a content is believed that alone is too weak to tell the protocol; `a:b` is a range.",
    ),
    on(
        "app-layer.protocols.http.libhtp.default-config.{request-body-limit,response-body-limit}",
        Size,
        "100kb",
        "1mb",
        "How much of a body is inspected; 0: all.",
    ),
    on(
        "app-layer.protocols.http.libhtp.default-config.{request-body-minimal-inspect-size,response-body-minimal-inspect-size}",
        Size,
        "32kb, 40kb",
        "1mb",
        "How much of an unfinished body must have come before it is inspected.",
    ),
    on(
        "app-layer.protocols.http.libhtp.default-config.{request-body-inspect-window,response-body-inspect-window}",
        Size,
        "4kb, 16kb",
        "1mb",
        "How much of what was inspected is inspected again with what follows.",
    ),
    on(
        "app-layer.protocols.http.libhtp.default-config.response-body-decompress-layer-limit",
        Number,
        "2",
        "3",
        "Layers of content coding that are undone, of requests and responses.",
    ),
    on(
        "app-layer.protocols.http.libhtp.default-config.{double-decode-path,double-decode-query,query-plusspace-decode,uri-include-all,path-convert-lowercase,path-nul-raw-terminates,path-nul-encoded-terminates}",
        Flag,
        "no",
        "yes",
        "Normalisation of URIs, as Suricata's.",
    ),
    on(
        "app-layer.protocols.http.libhtp.default-config.{path-convert-backslash-separators,path-separators-compress,path-separators-decode,path-u-encoding-decode}",
        Flag,
        "yes",
        "no",
        "Normalisation of URIs, as Suricata's.",
    ),
    on("app-layer.protocols.http.libhtp.default-config.lzma-enabled", Flag, "no", "yes", "Whether lzma is undone."),
    on(
        "app-layer.protocols.http.libhtp.default-config.{lzma-memlimit,compression-bomb-limit}",
        Size,
        "1mb",
        "2mb",
        "Memory for an lzma dictionary; size beyond which a body that grows too much is a bomb.",
    ),
    off(
        "app-layer.protocols.http.libhtp.default-config.**",
        BuiltDifferently,
        "One personality: IDS. Nothing is randomised, so that a capture gives the same events twice.",
    ),
    off("app-layer.protocols.http.libhtp.server-config.**", NotYet, "One configuration for all servers."),
    on(
        "app-layer.protocols.smtp.mime.{decode-mime,decode-base64,decode-quoted-printable,extract-urls}",
        Flag,
        "yes",
        "no",
        "Whether mails are read, their encodings undone, and URLs in their text looked for.",
    ),
    on(
        "app-layer.protocols.smtp.mime.{log-url-scheme,body-md5}",
        FlagOrAuto,
        "no",
        "yes",
        "Whether URLs are written with their scheme, and whether the MD5 of a mail's body is made (`auto`: no).",
    ),
    on(
        "app-layer.protocols.smtp.mime.extract-urls-schemes",
        List,
        "[http]",
        "[http, https]",
        "Schemes of URLs that are looked for.",
    ),
    on(
        "app-layer.protocols.smtp.mime.header-value-depth",
        Number,
        "2000",
        "1000",
        "Bytes of a header field's value that are kept, at most 65535.",
    ),
    on(
        "app-layer.protocols.smtp.inspected-tracker.{content-limit,content-inspect-min-size,content-inspect-window}",
        Size,
        "100000, 32768, 4096",
        "1000",
        "How much of an attachment `file.data` sees, in pieces of which size, with how much look-back.",
    ),
    off("app-layer.protocols.smtp.raw-extraction", NotYet, "A mail as a whole is no file."),
    on(
        "app-layer.protocols.mqtt.max-msg-length",
        Size,
        "192kb",
        "1kb",
        "Bytes of an MQTT message beyond which it is known by its kind and length only, up to 192kb.",
    ),
    on(
        "app-layer.protocols.dnp3.{max-points,max-objects}",
        Number,
        "16384, 2048",
        "7",
        "Most points and objects of a DNP3 fragment; a fragment with more is not read to its end.",
    ),
    on(
        "app-layer.protocols.*.stream-depth",
        Size,
        "as stream.reassembly.depth",
        "2mb",
        "How much of each direction of a stream is put together once it is known to speak this; 0: all.",
    ),
    on("app-layer.protocols.ssh.hassh", Flag, "yes", "no", "Whether SSH's fingerprints (hassh) are made."),
    on(
        "app-layer.protocols.websocket.max-payload-size",
        Size,
        "64kb",
        "1kb",
        "Bytes of a WebSocket message that are kept and inflated at most, up to 16mb.",
    ),
    off("app-layer.protocols.*.**", NotYet, "Parsers of application protocols come with a later release."),
    off("app-layer.error-policy", ListensOnly, "Inline policy."),
    // Outputs.
    on("outputs.eve-log.enabled", Flag, "yes", "no", "Whether events are written at all (`replay`)."),
    on(
        "outputs.eve-log.filename",
        Text,
        "eve.json",
        "out.json",
        "Name of the file in the output directory (`replay`).",
    ),
    on(
        "outputs.eve-log.community-id",
        Flag,
        "no",
        "yes",
        "Whether events carry a `community_id` (version 1). In `run` it is always made, over what the release profile lets through.",
    ),
    on(
        "outputs.eve-log.community-id-seed",
        Number,
        "0",
        "7",
        "Its seed, 0 to 65535; the same on all sensors that shall be compared.",
    ),
    on(
        "outputs.eve-log.ethernet",
        Flag,
        "no",
        "yes",
        "Whether events carry MAC addresses. They never leave the sensor.",
    ),
    on("outputs.eve-log.types", Section, "all", "[alert]", "Event types that are written. Without this list: all."),
    on(
        "outputs.eve-log.types.{alert,flow,anomaly,stats,dns,mdns,llmnr,tls,quic}",
        Section,
        "yes",
        "",
        "One event type; its settings beneath.",
    ),
    on(
        "outputs.eve-log.types.{alert,flow,anomaly,stats,dns,mdns,llmnr,tls,quic}.enabled",
        Flag,
        "yes",
        "no",
        "Whether it is written.",
    ),
    on("outputs.eve-log.types.dns.version", Number, "3", "2", "Form of DNS events: 3, or 2 for older readers."),
    on("outputs.eve-log.types.dns.{requests,responses}", Flag, "yes", "no", "Which DNS messages are written."),
    on(
        "outputs.eve-log.types.dns.formats",
        List,
        "[detailed, grouped]",
        "[grouped]",
        "How answers are written: each record, or by type.",
    ),
    on(
        "outputs.eve-log.types.{http,files}",
        Section,
        "yes",
        "",
        "HTTP transactions (1 and 2), files; their settings beneath.",
    ),
    on("outputs.eve-log.types.{http,files}.enabled", Flag, "yes", "no", "Whether it is written."),
    on(
        "outputs.eve-log.types.http.dump-all-headers",
        Text,
        "none",
        "both",
        "Whether all header fields are written: of the `request`, the `response`, or `both`.",
    ),
    off(
        "outputs.eve-log.types.http.{extended,custom,xff}",
        NotYet,
        "The extended fields are always written, others cannot be added one by one.",
    ),
    off("outputs.eve-log.types.http.xff.**", NotYet, "`X-Forwarded-For` is written as it came."),
    on(
        "outputs.eve-log.types.files.force-hash",
        List,
        "none",
        "[md5, sha256]",
        "Hashes that `fileinfo` carries: md5, sha1, sha256.",
    ),
    off("outputs.eve-log.types.files.force-magic", NotYet, "The kind of a file is not told by its content."),
    on("outputs.eve-log.types.dns.types", List, "all", "[a]", "Record types of which DNS events are written."),
    on(
        "outputs.eve-log.types.tls.{extended,session-resumption,ja3,ja4}",
        Flag,
        "yes",
        "no",
        "Which fields TLS events have: more than the names; whether resumed sessions are written; the fingerprints.",
    ),
    on("outputs.eve-log.types.tls.custom", List, "", "[subject, sni]", "Fields of TLS events, instead of `extended`."),
    on(
        "outputs.eve-log.types.alert.{payload,payload-printable,packet,verdict}",
        Flag,
        "no",
        "yes",
        "Whether alerts carry the packet's payload (base64), its printable form, the packet, the verdict. Without a wider release profile neither payload nor packet leaves.",
    ),
    off("outputs.eve-log.types.alert.payload-buffer-size", BuiltDifferently, "The payload is that of one packet."),
    on(
        "outputs.eve-log.types.alert.metadata",
        Section,
        "yes",
        "no",
        "Whether alerts carry flow and application metadata.",
    ),
    on(
        "outputs.eve-log.types.anomaly.types.{decode,stream,applayer}",
        Flag,
        "yes",
        "no",
        "Which kinds of anomaly are written.",
    ),
    on(
        "outputs.eve-log.types.anomaly.packethdr",
        Flag,
        "no",
        "yes",
        "Whether an anomaly carries the head of its packet.",
    ),
    on(
        "outputs.eve-log.types.{bittorrent-dht,dhcp,dnp3,doh2,enip,http2,ike,krb5,ldap,modbus,mqtt,nfs,ntp,pgsql,pop3,rdp,rfb,sip,snmp,ssh,tftp,websocket}",
        Section,
        "yes",
        "",
        "Records of one protocol.",
    ),
    on(
        "outputs.eve-log.types.{bittorrent-dht,dhcp,dnp3,doh2,enip,http2,ike,krb5,ldap,modbus,mqtt,nfs,ntp,pgsql,pop3,rdp,rfb,sip,snmp,ssh,tftp,websocket}.enabled",
        Flag,
        "yes",
        "no",
        "Whether they are written.",
    ),
    on("outputs.eve-log.types.arp", Section, "no", "", "ARP messages; not written unless they are listed."),
    on("outputs.eve-log.types.arp.enabled", Flag, "yes where listed", "no", "Whether they are written."),
    on("outputs.eve-log.types.ike.extended", Flag, "no", "yes", "Whether an IKE exchange's type is written in words."),
    on("outputs.eve-log.types.mqtt.passwords", Flag, "yes", "no", "Whether CONNECT's password is written."),
    on("outputs.eve-log.types.pgsql.passwords", Flag, "no", "yes", "Whether passwords in clear are written."),
    on(
        "outputs.eve-log.types.{smtp,ftp}",
        Section,
        "yes",
        "",
        "Mails; FTP commands with their replies, and transfers.",
    ),
    on("outputs.eve-log.types.{smtp,ftp}.enabled", Flag, "yes", "no", "Whether they are written."),
    on(
        "outputs.eve-log.types.smtp.extended",
        Flag,
        "no",
        "yes",
        "Whether bcc, message-id, subject, x-mailer and user-agent of a mail are written.",
    ),
    on(
        "outputs.eve-log.types.smtp.custom",
        List,
        "",
        "[received]",
        "Further header fields of a mail that are written.",
    ),
    on("outputs.eve-log.types.smtp.md5", List, "", "[subject]", "MD5 of the subject, the body (with `body-md5`)."),
    on(
        "outputs.eve-log.types.alert.tagged-packets",
        Flag,
        "no",
        "yes",
        "Whether packets that a rule's `tag` asks for are written, as events of type `packet`.",
    ),
    on(
        "outputs.eve-log.types.alert.metadata.{flow,app-layer}",
        Flag,
        "yes",
        "no",
        "Whether alerts carry the flow's counters, and what its transaction says.",
    ),
    on(
        "outputs.eve-log.types.alert.metadata.rule.metadata",
        Flag,
        "yes",
        "no",
        "Whether alerts carry the rule's metadata.",
    ),
    on("outputs.eve-log.types.alert.metadata.rule.raw", Flag, "no", "yes", "Whether alerts carry the rule's text."),
    off("outputs.eve-log.types.alert.metadata.rule.reference", NotYet, "References are in the rule's text."),
    on(
        "outputs.eve-log.metadata",
        Flag,
        "yes",
        "no",
        "Whether alerts carry flowbits and counters that rules set on the flow.",
    ),
    on(
        "outputs.eve-log.types.alert.payload-length",
        Flag,
        "no",
        "yes",
        "Whether alerts carry the number of bytes that `payload` shows.",
    ),
    off(
        "outputs.eve-log.types.alert.{xff,http-body,http-body-printable,websocket-payload,websocket-payload-printable,http,tls,ssh,smtp,dnp3}",
        NotYet,
        "Needs application protocols or verdicts.",
    ),
    off("outputs.eve-log.types.alert.xff.**", NotYet, "Needs HTTP."),
    off(
        "outputs.eve-log.types.stats.{totals,threads,deltas,null-values,filename}",
        BuiltDifferently,
        "One record of totals.",
    ),
    off("outputs.eve-log.types.flow.**", NotYet, "Details of flow records."),
    off("outputs.eve-log.types.drop", ListensOnly, "Nothing is dropped."),
    off("outputs.eve-log.types.drop.**", ListensOnly, "Nothing is dropped."),
    off(
        "outputs.eve-log.types.{dcerpc,frame,ftp_data,metadata,netflow,smb,telnet}",
        NotYet,
        "Records of application protocols come with a later release.",
    ),
    off(
        "outputs.eve-log.types.{dcerpc,frame,ftp_data,metadata,netflow,smb,telnet}.**",
        NotYet,
        "Records of application protocols come with a later release.",
    ),
    off(
        "outputs.eve-log.{filetype,append,pcap-file,prefix,level,facility,identity,ipv6-compress,pcap-file-format,sensor-name,threaded,buffer-size,rotate-interval,filemode,suricata-version}",
        BuiltDifferently,
        "Events go to a regular file (`replay`) or to the spool (`run`).",
    ),
    off("outputs.eve-log.{xff,redis,level}.**", NotYet, "Needs HTTP, or another kind of output."),
    off(
        "outputs.{fast,file-store,alert-debug,alert-prelude,http-body-data,http-log,lua,pcap-log,stats,syslog,tcp-data,tls-log,tls-store,drop,unified2-alert,dns-log,file-log}.**",
        BuiltDifferently,
        "EVE is the only output.",
    ),
    off("default-log-dir", Elsewhere, "`replay -l OUTDIR`."),
    off("logging.**", Elsewhere, "Log level by `LAGEWARTE_LOG` (error, warn, info, debug), log on stderr."),
    on(
        "stats.enabled",
        Flag,
        "yes",
        "no",
        "Whether `stats` records are written (`replay`). In `run` health events always leave.",
    ),
    off(
        "stats.{interval,decoder-events,decoder-events-prefix,stream-events,exception-policy}",
        BuiltDifferently,
        "`lagewarte.interval`, and one record at the end of `replay`.",
    ),
    off("stats.exception-policy.**", BuiltDifferently, "Exception policies."),
];

impl Key {
    /// Whether this entry covers a dotted path.
    pub fn covers(&self, path: &str) -> bool {
        matches(self.pattern, path) == Match::Whole
    }
}

/// What the table says of a path.
#[derive(Clone, Copy, Debug)]
pub enum Known {
    /// An entry covers it.
    Key(&'static Key),
    /// Entries stand beneath it.
    Section,
    /// Nothing does.
    Unknown,
}

/// Looks a dotted path up.
pub fn look_up(path: &str) -> Known {
    let mut section = false;
    for key in KEYS {
        match matches(key.pattern, path) {
            // Keys that are honoured stand beneath it: what the rest of the section is, is said of its own keys.
            Match::Whole if section && key.pattern.ends_with("**") => return Known::Section,
            Match::Whole => return Known::Key(key),
            Match::Above => section = true,
            Match::No => {}
        }
    }
    if section { Known::Section } else { Known::Unknown }
}

/// The nearest known key to a misspelt one, by edit distance; None where none is near.
pub fn nearest(path: &str) -> Option<String> {
    KEYS.iter()
        .filter(|k| matches!(k.used, Use::Honoured(..)))
        .flat_map(|k| expand(k.pattern))
        .filter(|name| !name.contains('*'))
        .filter_map(|name| Some((distance(path, &name)?, name)))
        .min()
        .filter(|(d, _)| *d <= 3)
        .map(|(_, name)| name)
}

/// Writes a pattern's braces out.
pub fn expand(pattern: &str) -> Vec<String> {
    let Some((before, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
    let Some((choice, after)) = rest.split_once('}') else { return vec![pattern.to_owned()] };
    let tails = expand(after);
    choice.split(',').flat_map(|c| tails.iter().map(move |t| format!("{before}{c}{t}"))).collect()
}

#[derive(PartialEq, Eq)]
enum Match {
    Whole,
    Above,
    No,
}

fn matches(pattern: &str, path: &str) -> Match {
    let mut wanted = pattern.split('.');
    for have in path.split('.') {
        match wanted.next() {
            Some("**") => return Match::Whole,
            Some("*") => {}
            Some(w) if w == have => {}
            Some(w) if w.strip_prefix('{').is_some_and(|w| w.trim_end_matches('}').split(',').any(|w| w == have)) => {}
            _ => return Match::No,
        }
    }
    if wanted.next().is_none() { Match::Whole } else { Match::Above }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_by_name_star_braces_and_section() {
        for (path, want) in [
            ("vars.address-groups.HOME_NET", "vars.address-groups.*"),
            (
                "outputs.eve-log.types.alert.payload",
                "outputs.eve-log.types.alert.{payload,payload-printable,packet,verdict}",
            ),
            (
                "app-layer.protocols.http.libhtp.default-config.personality",
                "app-layer.protocols.http.libhtp.default-config.**",
            ),
        ] {
            let Known::Key(key) = look_up(path) else { panic!("{path} is not known") };
            assert_eq!(key.pattern, want);
        }
        for section in ["vars", "vars.address-groups", "lagewarte", "outputs.eve-log", "app-layer.protocols"] {
            assert!(matches!(look_up(section), Known::Section), "{section}");
        }
        for unknown in ["lagewarte.state-dri", "var", "vars.address-groups.A.b", "outputs.eve-log.types.alrt"] {
            assert!(matches!(look_up(unknown), Known::Unknown), "{unknown}");
        }
    }

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        assert_eq!(nearest("lagewarte.state-dri").as_deref(), Some("lagewarte.state-dir"));
        assert_eq!(nearest("lagewarte.something.else.entirely"), None);
    }

    #[test]
    fn no_key_stands_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for name in KEYS.iter().flat_map(|k| expand(k.pattern)) {
            assert!(seen.insert(name.clone()), "{name} stands twice");
        }
    }
}
