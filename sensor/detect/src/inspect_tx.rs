// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the engine does with the transactions of a flow. Must never look twice at what did not change.

use std::sync::Arc;

use lagewarte_app::{Config as AppConfig, FlowApp, LayerEvents, State, file::store::Keep};
use lagewarte_decode::Packet;
use lagewarte_flow::FlowRef;
use lagewarte_rules::ast::{Action, Direction as HeaderDirection};

use crate::{
    alert::{About, Candidate, Context, Kept, TxPart},
    app::Verdict,
    engine::{Engine, MAX_CANDIDATES, Scratch},
    entry::Entry,
    gate::Gate,
    transactions::AppGroup,
};

impl Engine {
    /// Inspects the transactions of a packet's flow, in the packet's direction. `app` is what the flow speaks.
    pub fn inspect_transactions(
        &self,
        p: &Packet<'_>,
        flow: &mut FlowRef<'_>,
        app: &mut FlowApp,
        config: &AppConfig,
        s: &mut Scratch,
        out: &mut Vec<Candidate>,
    ) {
        let direction = flow.direction;
        let mut context: Option<Arc<Context>> = None;
        let (mut keep, mut news) = (Keep::default(), false);
        s.work.made_headers.clear(); // where a flow ends this may be the first that is asked of the packet
        let zone = p.ip.map(|ip| self.zones.of(ip.src, ip.dst));
        for state in app.states_mut() {
            let group = zone.and_then(|zone| self.transactions.of(state.proto(), direction, zone));
            for place in 0..state.len() {
                let Some(core) = state.core_mut(place) else { continue };
                if core.inspected(direction) {
                    continue;
                }
                let (revision, complete) = (core.revision(direction), core.progress(direction) == lagewarte_app::DONE);
                let more = core.take_more(direction);
                let marks = &mut core.marks[direction.index()]; // an index of two
                let Some(group) = group.filter(|_| !flow.flow.detect.settled) else {
                    marks.done |= complete;
                    news |= complete;
                    continue;
                };
                if marks.engine != self.id {
                    *marks = lagewarte_app::Marks { engine: self.id, ..lagewarte_app::Marks::default() };
                }
                let seen = revision.wrapping_add(1).max(1);
                let changed = marks.seen != seen;
                if !(changed || more && group.repeats()) {
                    continue;
                }
                news = true;
                let mut marks = std::mem::take(marks);
                s.counters.transactions += 1;
                s.found.clear();
                s.work.made.clear();
                let scan = (&mut s.seen, &mut s.work.made);
                if changed {
                    group.candidates(state, place, direction, &mut marks, scan, &mut s.found);
                } else {
                    group.again(&marks, &mut s.found);
                }
                let found = std::mem::take(&mut s.found);
                let mut part: Option<Arc<TxPart>> = None;
                for &i in &found {
                    let Some(entry) = self.entries.get(i as usize) else { continue };
                    let Some(rule) = entry.app.as_deref() else { continue };
                    s.counters.verified += 1;
                    if entry.turn_first {
                        s.take_turn();
                    }
                    let watch = self.watch(i);
                    // What is not there yet may come while the transaction lasts.
                    let later = if complete { Verdict::Never } else { Verdict::Wait };
                    let payload = self.gates.get(i as usize).is_some_and(Gate::payload);
                    let mut verdict =
                        if !entry.around(p, Some(flow), Some(state.proto()), LayerEvents::default(), &mut s.work)
                            || payload && rule.has_other_number(state, place, direction)
                        {
                            Verdict::Never
                        } else if !entry.remembered(Some(flow)) || !entry.may_be_in_payload(p, flow) {
                            later
                        } else {
                            if entry.in_turn {
                                s.take_turn();
                            }
                            rule.inspect(state, place, (direction, flow.flow.client), &mut s.work, &mut s.counters)
                        };
                    // What it asks of the payload is asked of the packet in whose context the rest was found, and of
                    // the stream as far as it is held.
                    let sealed = flow.sealed && payload;
                    if verdict == Verdict::Match
                        && !(!sealed
                            && (entry.in_payload(p, &mut s.work, &mut s.counters) || entry.in_parts(flow, &mut s.work))
                            && state.core(place).is_some_and(|c| entry.marks.tx_hold(&c.bits))
                            && entry.marks.hold(p, &self.hosts, s))
                    {
                        verdict = later;
                    }
                    let both_ways = entry.rule.direction == HeaderDirection::Transaction;
                    if verdict == Verdict::Match
                        && both_ways
                        && let Some(core) = state.core_mut(place)
                    {
                        if core.fired.contains(&(self.id, i)) {
                            verdict = Verdict::Never; // the look at the other direction found it
                        } else {
                            core.fired.push((self.id, i));
                        }
                    }
                    watch.stop(verdict == Verdict::Match);
                    // A hook at what goes on may be met again, and its end is no more of it.
                    if rule.repeats && complete && AppGroup::met(&marks, i) {
                        verdict = Verdict::Never;
                    }
                    let noted = if rule.repeats && !complete && verdict == Verdict::Match {
                        AppGroup::meet(&mut marks, i)
                    } else {
                        group.note(&mut marks, i, verdict)
                    };
                    if !noted {
                        s.counters.crowded += 1;
                    }
                    if verdict != Verdict::Match {
                        continue;
                    }
                    if let Some(core) = state.core_mut(place) {
                        entry.marks.tx_mark(&mut core.bits, &mut s.counters);
                        core.logged |= entry.rule.unlogged;
                    }
                    if let Some(files) = &rule.files {
                        files.store(state, place, &mut keep, direction);
                    }
                    let made =
                        part.get_or_insert_with(|| Arc::new(self.output.transaction(state, place, direction, config)));
                    let about = About { transaction: Some(Arc::clone(made)), frame: None };
                    if !self.fire((i, entry), p, flow, &mut context, about, s, out) {
                        break;
                    }
                }
                s.found = found;
                if let Some(files) = state.files_mut(place).filter(|_| changed) {
                    files.looked(direction);
                }
                marks.seen = seen;
                marks.done = complete;
                if complete {
                    marks.rules = Vec::new();
                }
                if let Some(core) = state.core_mut(place) {
                    core.marks[direction.index()] = marks;
                }
            }
        }
        app.keep.join(keep);
        app.news |= news;
        Self::measured(&mut s.work.finds, Some(flow.flow));
        if let Some(c) = context {
            self.remember(&c, Some(flow.flow), flow.flow.detect.passed);
        }
        s.counters.pcre_limited += std::mem::take(&mut s.work.finds.limited);
    }

    /// Names the transaction of alerts that were found in payload. Of a datagram it is the first that was not looked at in
    /// the packet's direction, for rules on an application protocol. Of a stream it is not known which transaction the
    /// bytes belong to: where that is to be guessed, the only one that was not looked at, for any rule. To be called before
    /// [`Self::inspect_transactions`].
    pub fn name_transactions(&self, flow: &FlowRef<'_>, app: &FlowApp, config: &AppConfig, out: &mut [Candidate]) {
        let datagram = flow.flow.proto == 17;
        if out.is_empty() || !(datagram || self.output.guess_transaction) {
            return;
        }
        let fresh = |state: &State, place: &usize| {
            state.core(*place).is_some_and(|c| !(c.inspected(flow.direction) || c.finished() && c.logged))
        };
        let mut found = app.states().flat_map(|s| (0..s.len()).filter(move |n| fresh(s, n)).map(move |n| (s, n)));
        let Some((state, place)) = found.next() else { return };
        if !datagram && found.next().is_some() {
            return;
        }
        let mut part: Option<Arc<TxPart>> = None;
        for c in out {
            if !datagram || self.entries.get(c.place() as usize).is_some_and(|e| e.rule.of_protocols) {
                let made = part.get_or_insert_with(|| {
                    let mut made = self.output.transaction(state, place, flow.direction, config);
                    made.guessed = !datagram;
                    Arc::new(made)
                });
                c.name(made);
            }
        }
    }

    /// A rule matched on a transaction or a frame: it acts, and is reported. False where nothing after it is.
    #[expect(clippy::too_many_arguments, reason = "one match with what it is made of")]
    pub(crate) fn fire(
        &self,
        (place, entry): (u32, &Entry),
        p: &Packet<'_>,
        flow: &mut FlowRef<'_>,
        context: &mut Option<Arc<Context>>,
        about: About,
        s: &mut Scratch,
        out: &mut Vec<Candidate>,
    ) -> bool {
        let rule = &entry.rule;
        entry.change(flow, &mut s.counters);
        let kept = Kept::take(&mut s.work.finds, Some(flow));
        entry.marks.mark(p, &self.hosts, s);
        self.tag(entry, p, Some(flow), s);
        if rule.bypass {
            flow.flow.bypass();
        }
        if rule.action != Action::Alert {
            flow.flow.detect.settled = true; // actions are on the flow
            flow.flow.detect.passed |= rule.action == Action::Pass;
        }
        let reported = rule.action != Action::Pass || rule.alert;
        if reported && !rule.noalert {
            if out.len() >= MAX_CANDIDATES {
                s.counters.dropped += 1;
            } else {
                let stream = flow.flow.stream.take();
                let context =
                    context.get_or_insert_with(|| Arc::new(self.output.context(p, Some(flow), stream.as_deref())));
                flow.flow.stream = stream;
                let info = Arc::clone(&entry.info);
                out.push(Candidate::new(p, place, info, Arc::clone(context), about, kept, &self.output));
                s.counters.matches += 1;
                if !rule.conditional {
                    flow.flow.alerted = true;
                }
            }
        }
        rule.action != Action::Pass
    }
}
