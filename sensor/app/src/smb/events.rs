// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What can be wrong with SMB.

/// Names, by number (Suricata, `smb-events.rules`).
pub const NAMES: &[&str] = &[
    "malformed_data",
    "record_overflow",
    "malformed_ntlmssp_request",
    "duplicate_negotiate",
    "negotiate_malformed_dialects",
    "file_overlap",
    "request_to_client",
    "response_to_server",
    "negotiate_max_read_size_too_large",
    "negotiate_max_write_size_too_large",
    "read_request_too_large",
    "read_response_too_large",
    "read_queue_size_exceeded",
    "read_queue_cnt_exceeded",
    "write_request_too_large",
    "write_queue_size_exceeded",
    "write_queue_cnt_exceeded",
];

/// The events, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Event {
    MalformedData,
    RecordOverflow,
    MalformedNtlmsspRequest,
    DuplicateNegotiate,
    NegotiateMalformedDialects,
    FileOverlap,
    RequestToClient,
    ResponseToServer,
    NegotiateMaxReadSizeTooLarge,
    NegotiateMaxWriteSizeTooLarge,
    ReadRequestTooLarge,
    ReadResponseTooLarge,
    ReadQueueSizeExceeded,
    ReadQueueCntExceeded,
    WriteRequestTooLarge,
    WriteQueueSizeExceeded,
    WriteQueueCntExceeded,
}
