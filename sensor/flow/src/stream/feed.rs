// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A TCP packet of a flow: through its session, and what the session believes into the stream.

use lagewarte_decode::{Checksum, Packet, Tcp, flag};

use super::{Memory, Stored, Urgent, config::URGENT_LIMIT};
use crate::{
    config::{Config, Exception, Target},
    flow::{Direction, Flow},
    stream::Stream,
    tcp::{Session, Step, StreamEvent, TcpState},
};

/// What a TCP packet was to its flow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fed {
    pub(crate) step: Step,
    /// Its payload lies in the stream.
    pub(crate) added: bool,
    /// A cap was hit, or the handshake is missing: what then happens to the packet.
    pub(crate) exception: Option<Exception>,
    /// The sender turned out to be the other one of client and server.
    pub(crate) turned: bool,
}

/// Feeds a packet.
pub(crate) fn feed(
    f: &mut Flow,
    direction: Direction,
    p: &Packet<'_>,
    segment: &Tcp<'_>,
    cfg: &Config,
    m: &mut Memory,
) -> Fed {
    let mut fed = Fed::default();
    let has = |f: u8| segment.flags & f != 0;
    if p.checksum == Checksum::Bad && cfg.stream.checksum_validation {
        m.counters.invalid_checksum += 1;
        return fed;
    }
    if has(flag::SYN) {
        if has(flag::ACK) { m.counters.synack += 1 } else { m.counters.syn += 1 }
    }
    m.counters.rst += u64::from(has(flag::RST));
    m.counters.urg += u64::from(has(flag::URG));
    let mut direction = direction;
    match &mut f.tcp {
        Some(session) => fed.step = session.packet(direction, segment, p.payload.len(), cfg.pickup),
        None if !f.unfollowed => {
            let (session, first) = Session::begin(segment, p.payload.len(), cfg.pickup);
            fed.step = first;
            let missing = !has(flag::RST) && has(flag::ACK);
            if missing && (session.is_some() || !cfg.pickup.midstream) {
                m.counters.midstream_exceptions += u64::from(!f.exceptions.has(Target::Midstream));
                f.exceptions.set(Target::Midstream);
                fed.exception = Some(cfg.stream.midstream_policy);
            }
            if let Some((session, reversed)) = session {
                if !m.session_begins() {
                    f.unfollowed = true;
                    f.exceptions.set(Target::SessionMemcap);
                    fed.exception = Some(cfg.stream.memcap_policy);
                    fed.step = Step::default();
                    return fed;
                }
                m.counters.midstream_pickups += u64::from(session.midstream);
                if reversed == (direction == Direction::ToServer) {
                    f.turn();
                    direction = direction.reverse();
                    fed.turned = true;
                }
                f.tcp = Some(Box::new(session));
            }
        }
        None => {}
    }
    if let Some(session) = &f.tcp {
        f.state = session.state.flow_state();
    }
    store(f, direction, p, segment, cfg, m, &mut fed);
    fed
}

fn store(
    f: &mut Flow,
    direction: Direction,
    p: &Packet<'_>,
    segment: &Tcp<'_>,
    cfg: &Config,
    m: &mut Memory,
    fed: &mut Fed,
) {
    let step = &mut fed.step;
    let Some(session) = &f.tcp else { return };
    let payload = if step.data { p.payload } else { &[] };
    if f.stream.is_none() && payload.is_empty() {
        return;
    }
    let new = f.stream.is_none();
    let stream = f.stream.get_or_insert_with(|| {
        let [c, s] = [f.client, f.server].map(|a| cfg.stream.hosts.of(a));
        // Who receives resolves the overlap.
        Box::new(Stream::new([s, c]))
    });
    for (d, first) in [Direction::ToServer, Direction::ToClient].into_iter().zip(session.first()) {
        if let Some(first) = first {
            stream.half_mut(d).begin(first, cfg.stream.depth);
            stream.half_mut(d).set_inline(cfg.stream.inline);
            stream.half_mut(d).watch(cfg.stream.raw && !f.app.sealed, cfg.stream.chunk[d.index()]); // an index of two
            // A side may have said goodbye before there was a byte of the other.
            if let Some(fin) = session.fin(d).filter(|_| new) {
                stream.half_mut(d).fin(fin.wrapping_sub(1));
            }
        }
    }
    let has = |f: u8| segment.flags & f != 0;
    let seq = segment.seq.wrapping_add(u32::from(has(flag::SYN)));
    let end = seq.wrapping_add(p.payload.len() as u32); // below 2^16
    // What a SYN carried is handed on behind the handshake, as in Suricata.
    if step.acks && has(flag::ACK) && !has(flag::SYN) {
        let other = stream.half_mut(direction.reverse());
        other.acknowledge(segment.ack);
        if other.begins_gap() && !f.app.over {
            step.events.set(StreamEvent::ReassemblySeqGap);
            m.counters.reassembly_gap += 1;
        }
    }
    if !payload.is_empty() {
        let mine = stream.half_mut(direction);
        let was_deep = mine.too_deep();
        let done = urgent(mine, seq, payload, segment, cfg, m, step);
        fed.added = !done.refused && !done.before;
        for (is, event) in [
            (done.different, StreamEvent::ReassemblyOverlapDifferentData),
            (done.refused && !done.limit, StreamEvent::ReassemblyInsertMemcap),
            (done.limit, StreamEvent::ReassemblyInsertLimit),
            (done.before, StreamEvent::ReassemblySegmentBeforeBaseSeq),
            // Of an open session a segment that comes twice is nothing odd.
            (done.overlap && !done.added && !done.refused && session.state.closing(), StreamEvent::PktRetransmission),
            (mine.too_deep() && !was_deep, StreamEvent::ReassemblyDepthReached),
        ] {
            if is {
                step.events.set(event);
            }
        }
        m.counters.overlap += u64::from(done.overlap);
        m.counters.overlap_diff_data += u64::from(done.different);
        m.counters.depth_reached += u64::from(mine.too_deep() && !was_deep);
        if done.refused && !done.limit {
            f.exceptions.set(Target::ReassemblyMemcap);
            fed.exception = Some(cfg.stream.reassembly_policy);
        }
    }
    let mine = stream.half_mut(direction);
    if step.fin {
        mine.fin(end);
    }
    if cfg.pickup.async_oneside && session.alone(direction) {
        mine.acknowledge(end.wrapping_add(u32::from(step.fin))); // nobody else will
    }
    if step.reset || session.state == TcpState::Closed {
        stream.finish();
    }
}

/// Stores a payload, with what the policy says of its urgent byte.
fn urgent(
    half: &mut super::Half,
    seq: u32,
    payload: &[u8],
    segment: &Tcp<'_>,
    cfg: &Config,
    m: &mut Memory,
    step: &mut Step,
) -> Stored {
    let pointer = match segment.header {
        [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, a, b, ..] if segment.flags & flag::URG != 0 => {
            usize::from(u16::from_be_bytes([*a, *b]))
        }
        _ => 0,
    };
    // The pointer says where normal data goes on: the byte before it is the urgent one.
    let Some((at, _)) = pointer.checked_sub(1).and_then(|i| payload.get(i).map(|b| (i, b))) else {
        return half.store(seq, payload, m);
    };
    let mut policy = cfg.stream.urgent;
    if policy == Urgent::Oob && half.urgent_seen() >= URGENT_LIMIT {
        step.events.set(StreamEvent::ReassemblyUrgentOobLimitReached);
        policy = cfg.stream.urgent_over;
    }
    match policy {
        Urgent::Inline => half.store(seq, payload, m),
        Urgent::Drop => Stored { refused: false, before: true, ..Stored::default() },
        Urgent::Gap => {
            let (a, b) = (payload.get(..at).unwrap_or_default(), payload.get(at + 1..).unwrap_or_default());
            let first = half.store(seq, a, m);
            first.join(half.store(seq.wrapping_add(pointer as u32), b, m)) // a pointer is below 2^16
        }
        Urgent::Oob => {
            m.counters.urgent_oob_data += 1;
            half.urgent(seq.wrapping_add(at as u32)); // below 2^16
            half.store(seq, payload, m)
        }
    }
}
