// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! From a rule to its flows: who talks to whom, what is said, what must have been said before, and how often.

use std::collections::HashMap;

use lagewarte_base::time::Timestamp;

use super::{
    address::{Set, Variables, ip, pick, port},
    dialogue::{App, Buffers, Step, compose, passes, solutions, views},
    flow::{self, Flow, Transport},
    miss,
    model::{Model, Why},
    text::Text,
};
use crate::Capture;

/// What was made for one purpose.
#[derive(Clone, Debug)]
pub struct Case {
    /// Empty for a hit; else what was changed.
    pub changed: String,
    /// One, or as many as the rule counts.
    pub flows: Vec<Flow>,
}

impl Case {
    /// Writes the flows, one after the other, behind what is in the capture.
    pub fn write(&self, capture: &mut Capture) {
        for flow in &self.flows {
            let last = capture.packets.last().map_or(1_700_000_000_000_000, |p| p.time.micros());
            flow::write(capture, flow, Timestamp::from_micros(last + 2000));
        }
    }
}

/// What was made of a rule.
#[derive(Clone, Debug)]
pub struct Made {
    /// Must fire.
    pub hit: Case,
    /// Must not. None where nothing decisive could be changed.
    pub miss: Option<Case>,
}

/// A rule as the generator knows it.
pub(crate) struct Known {
    pub(crate) text: Text,
    pub(crate) model: Result<Model, Why>,
}

/// Makes flows for the rules of a set; it knows all of them, for the bits that one sets and another asks for.
pub struct Generator {
    rules: Vec<Known>,
    setters: HashMap<String, Vec<usize>>,
    variables: Variables,
}

/// Where a rule's packets go, and what they carry.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) app: App,
    pub(crate) transport: Transport,
    pub(crate) to_server: bool,
    pub(crate) buffers: Buffers,
    pub(crate) variant: usize,
    pub(crate) steps: Vec<Step>,
}

/// The lists of a rule's header, by role.
pub(crate) struct Ends {
    pub(crate) client: Set,
    pub(crate) client_port: Set,
    pub(crate) server: Set,
    pub(crate) server_port: Set,
}

const DEEPEST: u8 = 3;
const WORK: u32 = 2_000_000;
const MOST_FLOWS: u32 = 300;

impl Generator {
    /// Reads rules, one a line.
    pub fn new<'r>(rules: impl Iterator<Item = &'r str>, variables: Variables) -> Self {
        let mut out = Self { rules: Vec::new(), setters: HashMap::new(), variables };
        for text in rules.filter_map(Text::cut) {
            let model = Model::read(&text);
            if let Ok(m) = &model {
                for bit in &m.sets {
                    out.setters.entry(bit.clone()).or_default().push(out.rules.len());
                }
            }
            out.rules.push(Known { text, model });
        }
        out
    }

    /// How many rules were read.
    pub const fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether none was read.
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The sid of rule `at`.
    pub fn sid(&self, at: usize) -> Option<u32> {
        self.rules.get(at)?.text.sid()
    }

    /// Flows for rule `at`, with addresses of their own. `index` must be another one for each call, and leaves room for two.
    ///
    /// # Errors
    ///
    /// The reason why none was made.
    pub fn make(&self, at: usize, index: u32) -> Result<Made, Why> {
        super::work::begin(WORK);
        let rule = self.rules.get(at).ok_or_else(|| "no such rule".to_owned())?;
        let model = rule.model.as_ref().map_err(Clone::clone)?;
        if model.silent || rule.text.action == "pass" {
            return Err("it makes no alert".to_owned());
        }
        if model.times > MOST_FLOWS {
            return Err(format!("it counts to more than {MOST_FLOWS}"));
        }
        let plan = self.plan(rule)?;
        let (mut before, mut ends) = (Vec::new(), vec![self.ends(rule, plan.to_server)?]);
        for bits in &model.needs {
            self.before(bits, &plan, &mut before, &mut ends, 0)?;
        }
        let flow = self.flow(model, &plan, &before, &ends, index)?;
        let hit = Case { changed: String::new(), flows: repeated(&flow, model.times) };
        let other = self.flow(model, &plan, &before, &ends, index + 1)?;
        let miss = miss::change(model, &plan, &ends[0], &before, &other, index)
            .map(|(changed, flow)| Case { changed, flows: repeated(&flow, model.times) });
        Ok(Made { hit, miss })
    }

    fn ends(&self, rule: &Known, to_server: bool) -> Result<Ends, Why> {
        let t = &rule.text;
        let address = |s: &str| Set::addresses(s, &self.variables).ok_or_else(|| format!("addresses {s:.40}"));
        let ports = |s: &str| Set::ports(s, &self.variables).ok_or_else(|| format!("ports {s:.40}"));
        let (src, dest) = (address(&t.src)?, address(&t.dest)?);
        let (src_port, dest_port) = (ports(&t.src_port)?, ports(&t.dest_port)?);
        Ok(if to_server {
            Ends { client: src, client_port: src_port, server: dest, server_port: dest_port }
        } else {
            Ends { client: dest, client_port: dest_port, server: src, server_port: src_port }
        })
    }

    // What one rule's match needs to be said.
    fn plan(&self, rule: &Known) -> Result<Plan, Why> {
        let model = rule.model.as_ref().map_err(Clone::clone)?;
        let app = App::of(&rule.text.proto, model)?;
        let to_server = to_server(model);
        let transport = transport(&rule.text.proto, app, model);
        let all = solutions(app, model, 6)?;
        for variant in 0..if app == App::Http { 8 } else { 4 } {
            for buffers in &all {
                let Some(steps) = compose(app, buffers, model, to_server, variant) else { continue };
                if passes(model, &views(app, &steps, buffers, to_server)) {
                    let buffers = buffers.clone();
                    return Ok(Plan { app, transport, to_server, buffers, variant, steps });
                }
            }
        }
        let mut names: Vec<&str> = model.groups.iter().map(|g| g.buffer.as_str()).collect();
        names.sort_unstable();
        Err(format!("no message holds all of it together: {}", names.join(" ")))
    }

    // What must be said before, so that one of `bits` is set.
    fn before(
        &self,
        bits: &[String],
        target: &Plan,
        steps: &mut Vec<Step>,
        ends: &mut Vec<Ends>,
        depth: u8,
    ) -> Result<(), Why> {
        let setters = bits.iter().filter_map(|b| self.setters.get(b)).flatten().take(12);
        for at in setters {
            let Some(rule) = self.rules.get(*at) else { continue };
            let Ok(model) = &rule.model else { continue };
            if depth >= DEEPEST && !model.needs.is_empty() {
                continue;
            }
            let Ok(plan) = self.plan(rule) else { continue };
            let Ok(mine) = self.ends(rule, plan.to_server) else { continue };
            if plan.transport != target.transport {
                continue;
            }
            let (mut new, count) = (Vec::new(), ends.len());
            ends.push(mine);
            let deeper = model.needs.iter().all(|b| self.before(b, target, &mut new, ends, depth + 1).is_ok());
            if deeper && endpoints(ends, target.app, 0).is_some() {
                steps.extend(new);
                steps.extend(plan.steps);
                return Ok(());
            }
            ends.truncate(count);
        }
        Err("flowbits: no flow sets the bit".to_owned())
    }

    fn flow(&self, model: &Model, plan: &Plan, before: &[Step], ends: &[Ends], index: u32) -> Result<Flow, Why> {
        let [client, server] = endpoints(ends, plan.app, index).ok_or_else(|| "no address or port fits".to_owned())?;
        let server = if model.header.iter().any(|(n, _)| n == "sameip") { (client.0, server.1) } else { server };
        Ok(Flow {
            transport: plan.transport,
            client,
            server,
            steps: before.iter().chain(&plan.steps).cloned().collect(),
            from_client: plan.to_server,
            header: model.header.clone(),
            answered: model.flow.iter().any(|w| w == "established"),
        })
    }
}

/// Client and server that fit all of the rules.
fn endpoints(ends: &[Ends], app: App, index: u32) -> Option<[crate::Endpoint; 2]> {
    let all = |part: fn(&Ends) -> &Set| ends.iter().map(part).collect::<Vec<_>>();
    let client = pick(&all(|e| &e.client), index * 2, true)?;
    let server = pick(&all(|e| &e.server), index * 2 + 1, false)?;
    let own = u16::try_from(20_000 + index % 40_000).ok()?;
    let client_port = port(&all(|e| &e.client_port), own)?;
    let server_port = port(&all(|e| &e.server_port), app.port())?;
    Some([(ip(client), client_port), (ip(server), server_port)])
}

fn repeated(flow: &Flow, times: u32) -> Vec<Flow> {
    (0..times.max(1))
        .map(|i| {
            let mut flow = flow.clone();
            // The same addresses, so that they are counted together.
            flow.client.1 = flow.client.1.wrapping_add(if times > 1 { i as u16 } else { 0 }); // few
            flow
        })
        .collect()
}

fn to_server(model: &Model) -> bool {
    let says = |words: [&str; 2]| model.flow.iter().any(|w| words.contains(&w.as_str()));
    if says(["to_server", "from_client"]) {
        return true;
    }
    let answers = [
        "http.stat_code",
        "http.stat_msg",
        "http.response_line",
        "http.response_body",
        "http.location",
        "http.server",
        "tls.cert_subject",
        "tls.cert_issuer",
        "tls.cert_serial",
        "tls.certs",
        "tls.cert_fingerprint",
        "ftp.reply",
    ];
    !says(["to_client", "from_server"]) && !model.groups.iter().any(|g| answers.contains(&g.buffer.as_str()))
}

fn transport(proto: &str, app: App, model: &Model) -> Transport {
    let value = |name: &str| model.header.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let established = model.flow.iter().any(|w| w == "established");
    match proto {
        "icmp" => Transport::Icmp,
        "udp" => Transport::Udp,
        _ if app == App::Dns && proto != "tcp" => Transport::Udp,
        "ip" if app == App::Raw => match value("ip_proto").map(|v| v.trim_matches(['!', '<', '>', ' '])) {
            Some("1" | "icmp") => Transport::Icmp,
            Some("6" | "tcp") => Transport::Tcp,
            None if established => Transport::Tcp,
            Some("17" | "udp") | None => Transport::Udp,
            Some(n) => n.parse().map_or(Transport::Udp, Transport::Ip),
        },
        _ => match value("flags").or_else(|| value("tcp.flags")) {
            Some(f) if !established && !f.split(',').next().unwrap_or_default().contains('A') => Transport::Segment,
            _ if model.flow.iter().any(|w| w == "not_established") => Transport::Segment,
            _ if ["seq", "tcp.seq", "ack", "tcp.ack"].iter().any(|n| value(n).is_some()) => Transport::Segment,
            _ => Transport::Tcp,
        },
    }
}
