// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What is odd about a segment in its session: a closed list, named as Suricata's stream events.

macro_rules! stream_events {
    ($($variant:ident = $name:literal,)*) => {
        /// What is odd about a segment in its session; named as Suricata's stream events.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each variant is documented by its event name in the Suricata user guide")]
        pub enum StreamEvent { $($variant,)* }
        impl StreamEvent {
            /// Every event.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// Full name, e.g. `stream.fin_but_no_session`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => concat!("stream.", $name),)* }
            }
        }
    };
}

stream_events! {
    HandshakeAsyncWrongSeq = "3whs_async_wrong_seq",
    HandshakeRightSeqWrongAckEvasion = "3whs_right_seq_wrong_ack_evasion",
    SynackInWrongDirection = "3whs_synack_in_wrong_direction",
    SynackResendWithDiffAck = "3whs_synack_resend_with_diff_ack",
    SynackResendWithDiffSeq = "3whs_synack_resend_with_diff_seq",
    SynackToserverOnSynRecv = "3whs_synack_toserver_on_syn_recv",
    SynackWithWrongAck = "3whs_synack_with_wrong_ack",
    SynackFlood = "3whs_synack_flood",
    SynFlood = "3whs_syn_flood",
    SynResendDiffSeqOnSynRecv = "3whs_syn_resend_diff_seq_on_syn_recv",
    SynToclientOnSynRecv = "3whs_syn_toclient_on_syn_recv",
    WrongSeqWrongAck = "3whs_wrong_seq_wrong_ack",
    FourWaySynackWithWrongAck = "4whs_synack_with_wrong_ack",
    FourWaySynackWithWrongSyn = "4whs_synack_with_wrong_syn",
    FourWayWrongSeq = "4whs_wrong_seq",
    FourWayInvalidAck = "4whs_invalid_ack",
    ClosewaitAckOutOfWindow = "closewait_ack_out_of_window",
    ClosewaitFinOutOfWindow = "closewait_fin_out_of_window",
    ClosewaitPktBeforeLastAck = "closewait_pkt_before_last_ack",
    ClosewaitInvalidAck = "closewait_invalid_ack",
    ClosingAckWrongSeq = "closing_ack_wrong_seq",
    ClosingInvalidAck = "closing_invalid_ack",
    EstPacketOutOfWindow = "est_packet_out_of_window",
    EstPktBeforeLastAck = "est_pkt_before_last_ack",
    EstSynackResend = "est_synack_resend",
    EstSynackResendWithDiffAck = "est_synack_resend_with_diff_ack",
    EstSynackResendWithDiffSeq = "est_synack_resend_with_diff_seq",
    EstSynackToserver = "est_synack_toserver",
    EstSynResend = "est_syn_resend",
    EstSynResendDiffSeq = "est_syn_resend_diff_seq",
    EstSynToclient = "est_syn_toclient",
    EstInvalidAck = "est_invalid_ack",
    FinInvalidAck = "fin_invalid_ack",
    Fin1AckWrongSeq = "fin1_ack_wrong_seq",
    Fin1FinWrongSeq = "fin1_fin_wrong_seq",
    Fin1InvalidAck = "fin1_invalid_ack",
    Fin2AckWrongSeq = "fin2_ack_wrong_seq",
    Fin2FinWrongSeq = "fin2_fin_wrong_seq",
    Fin2InvalidAck = "fin2_invalid_ack",
    FinButNoSession = "fin_but_no_session",
    FinOutOfWindow = "fin_out_of_window",
    FinSyn = "fin_syn",
    LastackAckWrongSeq = "lastack_ack_wrong_seq",
    LastackInvalidAck = "lastack_invalid_ack",
    RstButNoSession = "rst_but_no_session",
    TimewaitAckWrongSeq = "timewait_ack_wrong_seq",
    TimewaitInvalidAck = "timewait_invalid_ack",
    ShutdownSynResend = "shutdown_syn_resend",
    PktInvalidTimestamp = "pkt_invalid_timestamp",
    PktInvalidAck = "pkt_invalid_ack",
    PktBrokenAck = "pkt_broken_ack",
    PktBadWindowUpdate = "pkt_bad_window_update",
    PktRetransmission = "pkt_retransmission",
    PktSpuriousRetransmission = "pkt_spurious_retransmission",
    RstInvalidAck = "rst_invalid_ack",
    RstWithData = "rst_with_data",
    SuspectedRstInject = "suspected_rst_inject",
    ReassemblySegmentBeforeBaseSeq = "reassembly_segment_before_base_seq",
    ReassemblySeqGap = "reassembly_seq_gap",
    ReassemblyOverlapDifferentData = "reassembly_overlap_different_data",
    ReassemblyDepthReached = "reassembly_depth_reached",
    ReassemblyInsertMemcap = "reassembly_insert_memcap",
    ReassemblyInsertLimit = "reassembly_insert_limit",
    ReassemblyUrgentOobLimitReached = "reassembly_urgent_oob_limit_reached",
}

/// A set of stream events of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamEvents(u128);

impl StreamEvents {
    /// Adds one.
    pub const fn set(&mut self, e: StreamEvent) {
        self.0 |= 1 << e as u8;
    }
    /// Whether it is there.
    pub const fn has(self, e: StreamEvent) -> bool {
        self.0 >> (e as u8) & 1 == 1
    }
    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// Those there are.
    pub fn iter(self) -> impl Iterator<Item = StreamEvent> {
        StreamEvent::ALL.iter().copied().filter(move |&e| self.has(e))
    }
}

const _: () = assert!(StreamEvent::ALL.len() <= 128, "StreamEvents holds 128 bits");
