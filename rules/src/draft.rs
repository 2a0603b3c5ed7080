// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A rule being built: what the options said so far, and the checks that need them all.
//!
//! Must never let a rule through that can never match, or whose options contradict each other: its writer meant something
//! else.

mod check;

use std::sync::Arc;

use crate::{
    Options,
    ast::{
        Base64, BufferTest, Content, FlowState, FlowTest, Flowbit, PacketTest, Pairs, PayloadTest, Proto, SpokenTest,
        Target, Threshold, TransactionTest, Transform,
    },
    buffers::Buffer,
    classification::Classification,
    country::Countries,
    dataset::DataSets,
    hooks,
    marks::{Flowint, Xbit},
    reputation::Reputations,
    tags::Tag,
};

/// A rule being built.
pub(crate) struct Draft<'a> {
    /// Who knows the countries of addresses.
    pub(crate) countries: Option<&'a Arc<Countries>>,
    /// What lists say of addresses.
    pub(crate) reputations: Option<&'a Reputations>,
    pub(crate) data: &'a DataSets,
    /// The rule file, as it was given.
    pub(crate) file: &'a str,
    pub(crate) classification: &'a Classification,
    pub(crate) proto: Proto,
    /// `=>`: the rule looks at both directions of a transaction.
    pub(crate) both_ways: bool,
    pub(crate) msg: Option<String>,
    pub(crate) sid: Option<u32>,
    pub(crate) rev: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) priority: Option<u32>,
    pub(crate) class: Option<Class>,
    pub(crate) links: Vec<String>,
    pub(crate) metadata: Pairs,
    pub(crate) target: Option<Target>,
    pub(crate) noalert: bool,
    pub(crate) bypass: bool,
    pub(crate) alert: bool,
    pub(crate) flow: FlowTest,
    pub(crate) flow_state: Option<FlowState>,
    pub(crate) packet: Vec<PacketTest>,
    pub(crate) payload: Vec<Placed>,
    /// Where the next test goes; None: the payload.
    pub(crate) sticky: Option<At>,
    /// Whether the next test goes to what the last `base64_decode` decoded.
    pub(crate) decoded: bool,
    /// What is made of buffers before they are looked at; the first is nothing.
    pub(crate) chains: Vec<Vec<Transform>>,
    /// Names of the numbers that are taken out of bytes.
    pub(crate) variables: Vec<String>,
    /// Sticky keywords so far.
    pub(crate) stickies: usize,
    /// EVE names of the application protocols that the rule is about, and who said so.
    pub(crate) protocols: Option<(&'static [&'static str], String)>,
    pub(crate) spoken: Vec<SpokenTest>,
    pub(crate) transaction: Vec<TransactionTest>,
    pub(crate) layer_events: Vec<String>,
    /// `fast_pattern` of the contents, by position in `payload`; checked once all modifiers are known.
    pub(crate) fast: Vec<(usize, Fast)>,
    pub(crate) rawbytes: Vec<usize>,
    pub(crate) flowbits: Vec<Flowbit>,
    pub(crate) flowints: Vec<Flowint>,
    pub(crate) xbits: Vec<Xbit>,
    pub(crate) threshold: Option<Threshold>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) unlogged: bool,
    pub(crate) warnings: Vec<(&'static str, String)>,
}

/// A test, and where it looks.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) test: PayloadTest,
    /// None: the payload.
    pub(crate) at: Option<At>,
    /// It is about what the `base64_decode` before it decoded.
    pub(crate) decoded: bool,
}

/// A buffer that a rule looks into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) buffer: &'static Buffer,
    /// Tells mentions of a buffer with several instances from each other.
    pub(crate) instance: usize,
    /// What is made of it, by the number in [`Draft::chains`].
    pub(crate) chain: usize,
}

/// What a rule looks for, by where it looks.
#[derive(Default)]
pub(crate) struct Places {
    pub(crate) payload: Vec<PayloadTest>,
    /// In transactions.
    pub(crate) buffers: Vec<BufferTest>,
    /// In headers.
    pub(crate) headers: Vec<BufferTest>,
    /// In frames.
    pub(crate) frames: Vec<BufferTest>,
}

/// A classtype, looked up.
pub(crate) struct Class {
    pub(crate) name: String,
    pub(crate) category: String,
    pub(crate) priority: u32,
}

/// The forms of `fast_pattern`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fast {
    Whole,
    Only,
    Chop(usize, usize),
}

impl<'a> Draft<'a> {
    pub(crate) fn new(proto: Proto, options: &'a Options, file: &'a str) -> Self {
        Self {
            countries: options.countries.as_ref(),
            reputations: options.reputations.as_deref(),
            data: &options.data,
            file,
            classification: &options.classification,
            proto,
            both_ways: false,
            msg: None,
            sid: None,
            rev: None,
            gid: None,
            priority: None,
            class: None,
            links: Vec::new(),
            metadata: Pairs::default(),
            target: None,
            noalert: false,
            bypass: false,
            alert: false,
            flow: FlowTest::default(),
            flow_state: None,
            packet: Vec::new(),
            payload: Vec::new(),
            sticky: None,
            decoded: false,
            chains: vec![Vec::new()],
            variables: Vec::new(),
            stickies: 0,
            protocols: None,
            spoken: Vec::new(),
            transaction: Vec::new(),
            layer_events: Vec::new(),
            fast: Vec::new(),
            rawbytes: Vec::new(),
            flowbits: Vec::new(),
            flowints: Vec::new(),
            xbits: Vec::new(),
            threshold: None,
            tags: Vec::new(),
            unlogged: false,
            warnings: Vec::new(),
        }
    }

    /// The content that a modifier changes: the nearest one before it.
    pub(crate) fn last_content(&mut self) -> Result<&mut Content, String> {
        self.payload
            .iter_mut()
            .rev()
            .find_map(|t| match &mut t.test {
                PayloadTest::Content(c) => Some(c),
                _ => None,
            })
            .ok_or_else(|| String::from("it must follow the `content` that it changes"))
    }

    /// Where the rule looks at present.
    pub(crate) const fn here(&self) -> Option<At> {
        self.sticky
    }

    /// Adds a test where the rule looks at present. A relative one stays with the match that it refers to.
    pub(crate) fn push(&mut self, test: PayloadTest) {
        let stays = test.relative() && !matches!(test, PayloadTest::Content(_)) && self.sticky.is_none();
        let before = self.payload.iter().rfind(|t| matches!(t.test, PayloadTest::Content(_) | PayloadTest::Pcre(_)));
        let at = if stays { before.and_then(|t| t.at) } else { self.here() };
        self.place_test(test, at);
    }

    /// Adds a test there.
    pub(crate) fn place_test(&mut self, test: PayloadTest, at: Option<At>) {
        self.payload.push(Placed { test, at, decoded: self.decoded });
    }

    /// Whether nothing is looked for yet in the sticky buffer that is open.
    pub(crate) fn nothing_in(&self, at: At) -> bool {
        !self.payload.iter().any(|t| t.at == Some(at))
    }

    /// Notes that the rule is about one of these protocols.
    pub(crate) fn about(&mut self, protocols: &'static [&'static str], who: &str) -> Result<(), String> {
        match &self.protocols {
            None => self.protocols = Some((protocols, who.to_owned())),
            Some((had, _)) if protocols.iter().all(|p| had.contains(p)) => {
                self.protocols = Some((protocols, who.to_owned()));
            }
            Some((had, _)) if had.iter().all(|p| protocols.contains(p)) => {}
            // What both have in common, of the two lists the smaller: there is no third.
            Some((had, by)) => {
                return Err(format!(
                    "it belongs to {}, and {by} says {}: the rule could never match",
                    protocols.join(" or "),
                    had.join(" or ")
                ));
            }
        }
        Ok(())
    }

    /// A hook behind the rule's protocol: when it is looked at (user guide, "Firewall Mode Design", explicit rule hooks).
    pub(crate) fn hook(&mut self, name: &str) -> Result<(), String> {
        let of_flows = matches!(
            self.proto,
            Proto::Ip
                | Proto::Ipv4
                | Proto::Ipv6
                | Proto::Tcp
                | Proto::TcpPkt
                | Proto::Udp
                | Proto::Icmp
                | Proto::Icmpv4
                | Proto::Icmpv6
                | Proto::Sctp
        );
        let hook = match name {
            "flow_start" if of_flows => {
                self.packet.push(PacketTest::FlowStart);
                return Ok(());
            }
            "all" | "pre_flow" | "pre_stream" => {
                return Err(format!("the hook {name} is for a firewall; this sensor only listens"));
            }
            _ if of_flows => {
                return Err(format!(
                    "the hook {name:?} is not told apart by this version; rules on packets of flows have flow_start"
                ));
            }
            _ if self.proto != Proto::App => {
                return Err(format!(
                    "the hook {name:?} is not told apart by this version: what the rule is about has no transactions"
                ));
            }
            _ => hooks::find(name, self.protocols.as_ref().map_or(&[], |(all, _)| all))?,
        };
        let to_server = hook.to_server;
        let other = if to_server { self.flow.to_client } else { self.flow.to_server };
        if other {
            return Err(format!(
                "the hook {name} is of the other direction than the rule's flow: it could never match"
            ));
        }
        self.flow.present = true;
        (self.flow.to_server, self.flow.to_client) = (to_server, !to_server);
        self.transaction.push(TransactionTest::Hook { name: hook.name, repeats: hook.repeats });
        Ok(())
    }

    /// What the rule looks for, by where it looks.
    pub(crate) fn places(&mut self) -> Places {
        let mut payload = Vec::new();
        let mut buffers: Vec<(At, Vec<PayloadTest>)> = Vec::new();
        for Placed { test, at, decoded } in std::mem::take(&mut self.payload) {
            let tests = match at {
                None => &mut payload,
                Some(at) => {
                    let i = buffers.iter().position(|(had, _)| *had == at).unwrap_or_else(|| {
                        buffers.push((at, Vec::new()));
                        buffers.len() - 1
                    });
                    &mut buffers[i].1 // found or pushed above
                }
            };
            match (decoded, tests.last_mut()) {
                (true, Some(PayloadTest::Base64(Base64 { tests, .. }))) => tests.push(test),
                _ => tests.push(test),
            }
        }
        let mut places = Places { payload, ..Places::default() };
        places.payload.shrink_to_fit();
        for (at, mut tests) in buffers {
            tests.shrink_to_fit();
            let transforms = self.chains.get(at.chain).cloned().unwrap_or_default();
            let test = BufferTest { buffer: at.buffer, transforms, tests };
            if at.buffer.frame {
                places.frames.push(test);
            } else if at.buffer.protocols.is_empty() {
                places.headers.push(test);
            } else {
                places.buffers.push(test);
            }
        }
        places
    }

    /// Where in `payload` that content stands.
    pub(crate) fn last_content_at(&self) -> Option<usize> {
        self.payload.iter().rposition(|t| matches!(t.test, PayloadTest::Content(_)))
    }
}
