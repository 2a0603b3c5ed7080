// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What is odd about a mail session, with Suricata's names.

/// One event. Those of the message follow in the order of [`super::mime::Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "each variant is documented by its event name in the Suricata user guide")]
pub enum Event {
    InvalidReply,
    UnableToMatchReplyWithRequest,
    MaxCommandLineLenExceeded,
    MaxReplyLineLenExceeded,
    InvalidPipelinedSequence,
    BdatChunkLenExceeded,
    NoServerWelcomeMessage,
    TlsRejected,
    DataCommandRejected,
    DuplicateFields,
}

/// The number of the first event of the message.
pub const MIME: u8 = 10;

/// Names by number.
pub const NAMES: &[&str] = &[
    "INVALID_REPLY",
    "UNABLE_TO_MATCH_REPLY_WITH_REQUEST",
    "MAX_COMMAND_LINE_LEN_EXCEEDED",
    "MAX_REPLY_LINE_LEN_EXCEEDED",
    "INVALID_PIPELINED_SEQUENCE",
    "BDAT_CHUNK_LEN_EXCEEDED",
    "NO_SERVER_WELCOME_MESSAGE",
    "TLS_REJECTED",
    "DATA_COMMAND_REJECTED",
    "DUPLICATE_FIELDS",
    "MIME_PARSE_FAILED",
    "MIME_MALFORMED_MSG",
    "MIME_INVALID_BASE64",
    "MIME_INVALID_QP",
    "MIME_LONG_LINE",
    "MIME_LONG_ENC_LINE",
    "MIME_LONG_HEADER_NAME",
    "MIME_LONG_HEADER_VALUE",
    "MIME_LONG_BOUNDARY",
    "MIME_LONG_FILENAME",
];
