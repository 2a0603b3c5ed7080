// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Rule files to a rule set: read, parse in parallel, drop doubled sids, hash.
//!
//! Must never stop at a bad rule: it is refused and the next one is read. A file that cannot be read is a refusal too.
//! Limits: [`crate::limits::MAX_FILE_BYTES`].

use std::{
    borrow::Cow,
    collections::HashMap,
    io::Read,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::{
    Refusal, RuleSet,
    address::{AddressSet, v4_text, v6_text},
    ast::{Action, Direction, Meta, PacketTest, Place, Proto, Rule},
    buffers,
    classification::Classification,
    country::Countries,
    dataset::DataSets,
    draft::Draft,
    keywords, lex,
    limits::{MAX_FILE_BYTES, MAX_FLOWBITS},
    port::PortSet,
    registry,
    reputation::Reputations,
    vars::Variables,
};

/// What rules are read against.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address and port variables.
    pub variables: Variables,
    /// Classes and reference systems.
    pub classification: Classification,
    /// Data sets; those that the operator declares are in it before rules are read.
    pub data: DataSets,
    /// Who knows the countries of addresses (`geoip`); None: nobody.
    pub countries: Option<Arc<Countries>>,
    /// What lists say of addresses (`iprep`); None: there are none.
    pub reputations: Option<Arc<Reputations>>,
}

impl Default for Options {
    /// As a stock configuration has them.
    fn default() -> Self {
        Self {
            variables: Variables::suricata(),
            classification: Classification::default(),
            data: DataSets::default(),
            countries: None,
            reputations: None,
        }
    }
}

/// What `rules check` reports.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// Rules that would run.
    pub loaded: usize,
    /// Rules that would not.
    pub refused: Vec<Refusal>,
    /// Rules that would run but look wrong.
    pub warnings: Vec<Refusal>,
    /// The set's hash, in hex, as events carry it.
    pub sha256: String,
}

impl Report {
    /// What became of a set.
    pub fn of(set: RuleSet) -> Self {
        Self { loaded: set.rules.len(), refused: set.refused, warnings: set.warnings, sha256: hex::encode(set.sha256) }
    }
}

/// What would load and what not, and why; patterns of `pcre` are the engine's to judge.
pub fn check<P: AsRef<Path>>(files: &[P], options: &Options) -> Report {
    Report::of(load(files, options))
}

/// Reads rule files, in this order.
pub fn load<P: AsRef<Path>>(files: &[P], options: &Options) -> RuleSet {
    let mut texts = Vec::new();
    let mut unreadable = Vec::new();
    for path in files {
        let path = path.as_ref();
        match read(path) {
            Ok(bytes) => texts.push((path.display().to_string(), bytes)),
            Err(reason) => unreadable.push(Refusal {
                file: path.display().to_string(),
                line: 0,
                sid: None,
                keyword: String::new(),
                reason,
            }),
        }
    }
    let borrowed: Vec<(&str, &[u8])> = texts.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
    let mut set = parse(&borrowed, options);
    unreadable.append(&mut set.refused);
    set.refused = unreadable;
    set
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(path)
        .map_err(|e| format!("the rule file cannot be opened: {e}; check the path and its permissions"))?;
    let size = file.metadata().map_or(0, |m| m.len()).min(MAX_FILE_BYTES);
    let mut bytes = Vec::with_capacity(usize::try_from(size).map_or(0, |n| n + 1)); // one more is asked for at the end
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| format!("the rule file cannot be read: {e}"))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("the file is larger than {MAX_FILE_BYTES} bytes; is it a rule file?"));
    }
    Ok(bytes)
}

/// Reads rules out of named texts.
pub fn parse(files: &[(&str, &[u8])], options: &Options) -> RuleSet {
    let cache = Cache::default();
    let mut parsed = Vec::new();
    for (name, bytes) in files {
        let file: Arc<str> = Arc::from(*name);
        let lines = lex::logical_lines(bytes);
        let one = |l: &lex::Logical<'_>| {
            let place = Place { file: Arc::clone(&file), line: l.line };
            match &l.text {
                Ok(text) => rule(text, place, options, &cache),
                Err(reason) => Err(refuse(&place, None, "", reason.clone())),
            }
        };
        // Rules that declare data sets come one after the other: the first declares, those behind it use.
        let declares =
            |l: &lex::Logical<'_>| l.text.as_ref().is_ok_and(|t| t.contains("dataset") || t.contains("datarep"));
        let done: Vec<Option<Parsed>> =
            lines.par_iter().map(|l| if declares(l) { None } else { Some(one(l)) }).collect();
        parsed.extend(done.into_iter().zip(&lines).map(|(done, l)| done.unwrap_or_else(|| one(l))));
    }
    let mut set = RuleSet { data: options.data.settled(), ..RuleSet::default() };
    let mut at: HashMap<(u32, u32), usize> = HashMap::new();
    let mut slots: Vec<Option<Arc<Rule>>> = Vec::with_capacity(parsed.len());
    for one in parsed {
        match one {
            Err(refusal) => set.refused.push(refusal),
            Ok((rule, mut warnings)) => {
                set.warnings.append(&mut warnings);
                let key = (rule.meta.gid, rule.meta.sid);
                let double = at.get(&key).and_then(|i| slots.get_mut(*i)).filter(|s| s.is_some());
                match double {
                    Some(slot) if slot.as_ref().is_some_and(|had| had.meta.rev >= rule.meta.rev) => {
                        let had = slot.as_ref().map_or(&rule.place, |r| &r.place);
                        let reason = format!(
                            "the sid {} is already used at {}:{} with the same or a higher rev; give it a sid of its own or a higher rev",
                            key.1, had.file, had.line
                        );
                        set.refused.push(refuse(&rule.place, Some(key.1), "sid", reason));
                        continue;
                    }
                    Some(slot) => {
                        if let Some(had) = slot.take() {
                            let reason = format!(
                                "replaced by rev {} of the same sid at {}:{}",
                                rule.meta.rev, rule.place.file, rule.place.line
                            );
                            set.refused.push(refuse(&had.place, Some(key.1), "rev", reason));
                        }
                    }
                    None => {}
                }
                at.insert(key, slots.len());
                slots.push(Some(rule));
            }
        }
    }
    set.rules = slots.into_iter().flatten().collect();
    cap_flowbits(&mut set);
    set.seal();
    set
}

// Rules whose flowbits would be one name too many are refused.
fn cap_flowbits(set: &mut RuleSet) {
    let mut names: std::collections::HashSet<String> = std::collections::HashSet::new();
    let mut refused = Vec::new();
    set.rules.retain(|r| {
        let marks = r.flowints.iter().map(|f| &f.name).chain(r.xbits.iter().map(|x| &x.name));
        for n in r.flowbits.iter().flat_map(|f| &f.names).chain(marks) {
            if !names.contains(n) {
                if names.len() == MAX_FLOWBITS {
                    let reason = format!(
                        "more than {MAX_FLOWBITS} different names of flowbits, counters and marks in the rule set"
                    );
                    refused.push(refuse(&r.place, Some(r.meta.sid), "flowbits", reason));
                    return false;
                }
                names.insert(n.clone());
            }
        }
        true
    });
    set.refused.append(&mut refused);
}

fn refuse(place: &Place, sid: Option<u32>, keyword: &str, reason: String) -> Refusal {
    Refusal { file: place.file.to_string(), line: place.line, sid, keyword: keyword.to_owned(), reason }
}

// Header fields repeat in almost every rule of a set.
#[derive(Default)]
struct Cache {
    addresses: Mutex<HashMap<String, Result<Arc<AddressSet>, String>>>,
    ports: Mutex<HashMap<String, Result<Arc<PortSet>, String>>>,
}

fn cached<T>(
    map: &Mutex<HashMap<String, Result<Arc<T>, String>>>,
    text: &str,
    parse: impl FnOnce() -> Result<T, String>,
) -> Result<Arc<T>, String> {
    if let Some(had) = map.lock().unwrap_or_else(PoisonError::into_inner).get(text) {
        return had.clone();
    }
    let made = parse().map(Arc::new);
    map.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned(), made.clone());
    made
}

type Parsed = Result<(Arc<Rule>, Vec<Refusal>), Refusal>;

fn rule(text: &str, place: Place, options: &Options, cache: &Cache) -> Parsed {
    let sid = lex::sid_hint(text);
    let bad = |keyword: &str, reason: String| refuse(&place, sid, keyword, reason);
    let parts = lex::parts(text).map_err(|e| bad("", e))?;
    let configures = parts.action.eq_ignore_ascii_case("config");
    let action = action(parts.action).map_err(|e| bad("", e))?;
    // Keywords of application protocols say more to the writer than their protocol does: looked at first.
    if let Some((name, _)) =
        parts.options.iter().find(|(n, _)| registry::find(n).is_none() && buffers::find(n).is_none())
    {
        return Err(bad(name, registry::refusal(name)));
    }
    let (word, hook) = parts.proto.split_once(':').map_or((parts.proto, None), |(word, hook)| (word, Some(hook)));
    let proto = proto(word).map_err(|e| bad("", e))?;
    let vars = &options.variables;
    let addresses = |t: &str| cached(&cache.addresses, t, || AddressSet::parse(t, vars)).map_err(|e| bad("", e));
    let ports = |t: &str| cached(&cache.ports, t, || PortSet::parse(t, vars)).map_err(|e| bad("", e));
    let (src, dest) = (addresses(parts.src)?, addresses(parts.dest)?);
    let (src_port, dest_port) = (ports(parts.src_port)?, ports(parts.dest_port)?);
    let direction = match parts.direction {
        "->" => Direction::Forward,
        "<>" => Direction::Both,
        "=>" => Direction::Transaction,
        other => return Err(bad("", format!("the direction {other:?} is none of ->, <>, =>"))),
    };
    let any_ports = src_port.is_any() && dest_port.is_any();
    if matches!(proto, Proto::Icmp | Proto::Icmpv4 | Proto::Icmpv6 | Proto::Igmp) && !any_ports {
        return Err(bad("", String::from("ICMP and IGMP have no ports: the rule could never match; write any")));
    }
    if matches!(proto, Proto::Arp | Proto::Ether) && !(src.is_any() && dest.is_any() && any_ports) {
        return Err(bad(
            "",
            String::from("the header of a rule on ARP or Ethernet names no address and no port: write any"),
        ));
    }
    let file = Arc::clone(&place.file);
    let mut draft = Draft::new(proto, options, &file);
    if proto == Proto::App
        && let Some(p) = buffers::protocol(word)
    {
        draft.protocols = Some((p.protocols, String::from("the header")));
    }
    draft.both_ways = direction == Direction::Transaction;
    for (name, value) in &parts.options {
        if let Some((buffer, form)) = buffers::find(name) {
            keywords::app::buffer(&mut draft, buffer, form, *value).map_err(|e| bad(name, e))?;
        }
        let Some(k) = registry::find(name) else { continue }; // a buffer, or refused above
        (k.apply)(&mut draft, *value).map_err(|e| bad(k.name, e))?;
    }
    if let Some(name) = hook {
        draft.hook(name).map_err(|e| bad("", e))?;
    }
    draft.check().map_err(|(k, e)| bad(k, e))?;
    if configures && !draft.unlogged {
        let e = "a config rule says with `config` what is to be done; without it nothing would be";
        return Err(bad("", e.to_owned()));
    }
    draft.metadata.shrink_to_fit();
    let places = draft.places();
    if proto == Proto::Arp
        && !(places.payload.is_empty() && draft.packet.iter().all(|t| matches!(t, PacketTest::DecodeEvent(_))))
    {
        return Err(bad("", String::from("an ARP message has no payload and none of the headers that this looks at")));
    }
    // What a frame carries is asked of rules on what it carries: those on frames look at the frame's own header.
    if proto == Proto::Ether
        && !(places.payload.is_empty()
            && places.headers.iter().all(|h| h.buffer.name == "ether.hdr")
            && draft.packet.iter().all(|t| matches!(t, PacketTest::DecodeEvent(_))))
    {
        return Err(bad("", String::from("a rule on Ethernet frames looks at ether.hdr and decoder events only")));
    }
    if action == Action::Pass && draft.threshold.is_some() {
        let e = "a pass rule with a threshold would pass some packets and not others; give the threshold to the alerts";
        return Err(bad("threshold", e.to_owned()));
    }
    let sid = draft.sid.ok_or_else(|| bad("sid", String::from("every rule needs a sid")))?;
    let class_priority = draft.class.as_ref().map(|c| c.priority);
    let warnings = draft.warnings.into_iter().map(|(k, reason)| refuse(&place, Some(sid), k, reason)).collect();
    let (classtype, category) = match draft.class {
        Some(c) => (Some(c.name), c.category),
        None => (None, String::new()),
    };
    let rule = Rule {
        place,
        action,
        proto,
        src,
        src_port,
        direction,
        dest,
        dest_port,
        meta: Meta {
            gid: draft.gid.unwrap_or(1),
            sid,
            rev: draft.rev.unwrap_or(0),
            msg: draft.msg.unwrap_or_default(),
            classtype,
            category,
            priority: draft.priority.or(class_priority).unwrap_or(DEFAULT_PRIORITY),
            links: draft.links,
            metadata: draft.metadata,
            target: draft.target,
        },
        flow: draft.flow,
        packet: draft.packet,
        payload: places.payload,
        protocols: draft.protocols.map(|(p, _)| p),
        spoken: draft.spoken,
        buffers: places.buffers,
        frames: places.frames,
        headers: places.headers,
        variables: u16::try_from(draft.variables.len()).unwrap_or(u16::MAX),
        transaction: draft.transaction,
        layer_events: draft.layer_events,
        flowbits: draft.flowbits,
        flowints: draft.flowints,
        xbits: draft.xbits,
        noalert: draft.noalert || configures,
        bypass: draft.bypass,
        alert: draft.alert,
        threshold: draft.threshold,
        suppress: Vec::new(),
        rate: None,
        tags: draft.tags,
        unlogged: draft.unlogged,
        text: text.to_owned(),
    };
    Ok((Arc::new(rule), warnings))
}

const DEFAULT_PRIORITY: u32 = 3;

fn action(word: &str) -> Result<Action, String> {
    Ok(match word.to_ascii_lowercase().as_str() {
        "alert" => Action::Alert,
        "pass" => Action::Pass,
        "drop" => Action::Drop,
        "reject" | "rejectsrc" | "rejectdst" | "rejectboth" => Action::Reject,
        "config" => Action::Alert, // it acts, and reports nothing
        _ => {
            return Err(format!(
                "{word:?} is none of the actions alert, pass, drop, reject, rejectsrc, rejectdst, rejectboth, config"
            ));
        }
    })
}

// Application protocols of the language that are not recognised yet.
const APP_PROTOCOLS: &[&str] = &["irc", "jabber", "msn"];

fn proto(word: &str) -> Result<Proto, String> {
    let lower = word.to_ascii_lowercase();
    Ok(match lower.as_str() {
        "ip" => Proto::Ip,
        "ipv4" | "ip4" => Proto::Ipv4,
        "ipv6" | "ip6" => Proto::Ipv6,
        "tcp" => Proto::Tcp,
        "tcp-pkt" => Proto::TcpPkt,
        "udp" => Proto::Udp,
        "icmp" => Proto::Icmp,
        "icmpv4" => Proto::Icmpv4,
        "icmpv6" => Proto::Icmpv6,
        "pkthdr" => Proto::Pkthdr,
        "arp" => Proto::Arp,
        "ether" => Proto::Ether,
        "igmp" => Proto::Igmp,
        "sctp" => Proto::Sctp,
        "tcp-stream" => Proto::TcpStream,
        app if buffers::protocol(app).is_some() => Proto::App,
        app if APP_PROTOCOLS.contains(&app) => {
            return Err(format!("the application protocol {app} is not recognised by this version"));
        }
        other => {
            return Err(format!(
                "{other:?} is none of the protocols ip, ipv4, ipv6, tcp, tcp-pkt, tcp-stream, udp, icmp, icmpv4, icmpv6, igmp, sctp, arp, ether, pkthdr, nor an application protocol"
            ));
        }
    })
}

// Over what was loaded, in the order of loading (which breaks ties): the text, what its variables meant, its grade.
pub(crate) fn hash(rules: &[Arc<Rule>]) -> [u8; 32] {
    let mut sets: HashMap<*const AddressSet, [u8; 32]> = HashMap::new();
    let mut digest = |a: &Arc<AddressSet>| {
        *sets.entry(Arc::as_ptr(a)).or_insert_with(|| {
            let mut h = Sha256::new();
            for r in a.v4() {
                h.update(v4_text(*r));
                h.update(b",");
            }
            for r in a.v6() {
                h.update(v6_text(*r));
                h.update(b",");
            }
            h.finalize().into()
        })
    };
    let texts: Vec<Cow<'_, [u8]>> = rules.par_iter().map(|r| normal(&r.text)).collect();
    let mut h = Sha256::new();
    h.update(b"lagewarte rule set 1\n");
    for (r, text) in rules.iter().zip(texts) {
        h.update(text);
        h.update(digest(&r.src));
        h.update(digest(&r.dest));
        for p in [&r.src_port, &r.dest_port] {
            for (a, b) in p.ranges() {
                h.update(a.to_be_bytes());
                h.update(b.to_be_bytes());
            }
            h.update(b";");
        }
        h.update(r.meta.priority.to_be_bytes());
        h.update(&r.meta.category);
        h.update(b"\n");
    }
    h.finalize().into()
}

// Runs of blanks outside quotes are one blank: layout is not content. Most texts have none and stay as they are.
fn normal(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    let (mut quoted, mut escaped, mut blank) = (false, false, false);
    // What was changed, and from where on nothing has been.
    let (mut out, mut from) = (Vec::new(), 0);
    for (i, b) in bytes.iter().enumerate() {
        quoted ^= *b == b'"' && !escaped;
        escaped = *b == b'\\' && !escaped;
        let before = std::mem::replace(&mut blank, !quoted && b.is_ascii_whitespace());
        if blank && (before || *b != b' ') {
            out.extend_from_slice(bytes.get(from..i).unwrap_or_default());
            if !before {
                out.push(b' ');
            }
            from = i + 1;
        }
    }
    if from == 0 {
        return Cow::Borrowed(bytes);
    }
    out.extend_from_slice(bytes.get(from..).unwrap_or_default());
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::normal;

    /// The same, letter by letter.
    fn plainly(text: &str) -> String {
        let mut out = String::new();
        let (mut quoted, mut escaped) = (false, false);
        for c in text.chars() {
            quoted ^= c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            match !quoted && c.is_ascii_whitespace() {
                true if out.ends_with(' ') => {}
                true => out.push(' '),
                false => out.push(c),
            }
        }
        out
    }

    proptest! {
        #[test]
        fn layout_outside_of_quotes_is_one_blank(text in "[a \t\n\"\\\\é]{0,40}") {
            prop_assert_eq!(normal(&text).into_owned(), plainly(&text).into_bytes());
        }
    }

    #[test]
    fn a_text_without_layout_is_not_copied() {
        let text = r#"alert ip any any -> any any (msg:"a  b \" "; sid:1;)"#;
        assert!(matches!(normal(text), std::borrow::Cow::Borrowed(t) if t == text.as_bytes()));
        assert_eq!(&*normal("a\t\t(b:\"c  d\";  e;)"), b"a (b:\"c  d\"; e;)");
    }
}
