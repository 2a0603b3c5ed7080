// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Keywords on TCP sessions. Suricata user guide, "Flow Keywords" (`stream_size`) and the stream engine's events.

use super::{number, wanted};
use crate::{
    ast::{Number, PacketTest, StreamSide},
    draft::Draft,
};

/// Events that the stream engine raises, as `stream-event` names them.
pub const STREAM_EVENTS: &[&str] = &[
    "3whs_async_wrong_seq",
    "3whs_right_seq_wrong_ack_evasion",
    "3whs_synack_in_wrong_direction",
    "3whs_synack_resend_with_diff_ack",
    "3whs_synack_resend_with_diff_seq",
    "3whs_synack_toserver_on_syn_recv",
    "3whs_synack_with_wrong_ack",
    "3whs_synack_flood",
    "3whs_syn_flood",
    "3whs_syn_resend_diff_seq_on_syn_recv",
    "3whs_syn_toclient_on_syn_recv",
    "3whs_wrong_seq_wrong_ack",
    "4whs_synack_with_wrong_ack",
    "4whs_synack_with_wrong_syn",
    "4whs_wrong_seq",
    "4whs_invalid_ack",
    "closewait_ack_out_of_window",
    "closewait_fin_out_of_window",
    "closewait_pkt_before_last_ack",
    "closewait_invalid_ack",
    "closing_ack_wrong_seq",
    "closing_invalid_ack",
    "est_packet_out_of_window",
    "est_pkt_before_last_ack",
    "est_synack_resend",
    "est_synack_resend_with_diff_ack",
    "est_synack_resend_with_diff_seq",
    "est_synack_toserver",
    "est_syn_resend",
    "est_syn_resend_diff_seq",
    "est_syn_toclient",
    "est_invalid_ack",
    "fin_invalid_ack",
    "fin1_ack_wrong_seq",
    "fin1_fin_wrong_seq",
    "fin1_invalid_ack",
    "fin2_ack_wrong_seq",
    "fin2_fin_wrong_seq",
    "fin2_invalid_ack",
    "fin_but_no_session",
    "fin_out_of_window",
    "fin_syn",
    "lastack_ack_wrong_seq",
    "lastack_invalid_ack",
    "rst_but_no_session",
    "timewait_ack_wrong_seq",
    "timewait_invalid_ack",
    "shutdown_syn_resend",
    "pkt_invalid_timestamp",
    "pkt_invalid_ack",
    "pkt_broken_ack",
    "pkt_bad_window_update",
    "pkt_retransmission",
    "pkt_spurious_retransmission",
    "rst_invalid_ack",
    "rst_with_data",
    "suspected_rst_inject",
    "reassembly_segment_before_base_seq",
    "reassembly_seq_gap",
    "reassembly_overlap_different_data",
    "reassembly_depth_reached",
    "reassembly_insert_memcap",
    "reassembly_insert_limit",
    "reassembly_urgent_oob_limit_reached",
];

/// Events of Suricata's stream engine that this one never raises: inline mode, or a part that is built differently here.
const NEVER_RAISED: &[&str] = &[
    "3whs_ack_in_wrong_dir",
    "3whs_ack_data_inject",
    "3whs_synack_tfo_data_ignored",
    "wrong_thread",
    "reassembly_no_segment",
    "reassembly_insert_invalid",
];

pub(crate) fn stream_event(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let name = v.strip_prefix("stream.").unwrap_or(v);
    // The rules that are distributed with Suricata write two of the names longer than its events are called.
    let name = match name {
        "3whs_synack_resend_with_different_ack" => "3whs_synack_resend_with_diff_ack",
        "est_synack_resend_with_different_ack" => "est_synack_resend_with_diff_ack",
        other => other,
    };
    if NEVER_RAISED.contains(&name) {
        return Err(format!("{name:?} is an event of inline mode or of another engine; it is never raised here"));
    }
    if !STREAM_EVENTS.contains(&name) {
        return Err(format!("{name:?} is not an event of the stream engine"));
    }
    d.packet.push(PacketTest::StreamEvent(name.to_owned()));
    Ok(())
}

// `side,op,number`
pub(crate) fn stream_size(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let mut parts = v.split(',').map(str::trim);
    let (Some(side), Some(op), Some(n), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(String::from("it wants side,operator,number, as in stream_size:server,>,500"));
    };
    let side = match side.to_ascii_lowercase().as_str() {
        "client" => StreamSide::Client,
        "server" => StreamSide::Server,
        "both" => StreamSide::Both,
        "either" => StreamSide::Either,
        other => return Err(format!("{other:?} is none of client, server, both, either")),
    };
    let n = number(n, 0, u32::MAX)?;
    let test = match op {
        "=" => Number::Eq(n),
        "!=" => Number::Ne(n),
        "<" => Number::Lt(n),
        "<=" => Number::Le(n),
        ">" => Number::Gt(n),
        ">=" => Number::Ge(n),
        other => return Err(format!("{other:?} is none of the operators = != < <= > >=")),
    };
    d.packet.push(PacketTest::StreamSize(side, test));
    Ok(())
}
