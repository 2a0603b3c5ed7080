// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What can be odd about HTTP/2: Suricata's app-layer events of `http2`. Numbers are places in [`NAMES`].

/// As EVE and rules write them, by number.
pub const NAMES: &[&str] = &[
    "invalid_frame_header",
    "invalid_client_magic",
    "invalid_frame_data",
    "invalid_header",
    "invalid_frame_length",
    "extra_header_data",
    "long_frame_data",
    "failed_decompression",
    "authority_host_mismatch",
    "userinfo_in_uri",
    "data_stream_zero",
    "too_many_frames",
    "dns_request_too_long",
    "dns_response_too_long",
    "stream_id_reuse",
    "invalid_range",
    "header_integer_overflow",
    "too_many_streams",
    "reassembly_limit_reached",
];

/// The events, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// A frame whose head cannot be one.
    InvalidFrameHeader,
    /// The client's first bytes are not the preface.
    InvalidClientMagic,
    /// A frame whose content cannot be read.
    InvalidFrameData,
    /// A header block that cannot be decoded.
    InvalidHeader,
    /// A frame of another length than its kind has.
    InvalidFrameLength,
    /// A header block goes on where none was open.
    ExtraHeaderData,
    /// A frame, or a header block, that is longer than is read.
    LongFrameData,
    /// A body's coding could not be undone.
    FailedDecompression,
    /// `:authority` and `host` differ.
    AuthorityHostMismatch,
    /// `:authority` names a user.
    UserinfoInUri,
    /// DATA on stream 0.
    DataStreamZero,
    /// More frames of one stream than are kept account of.
    TooManyFrames,
    /// A DNS message in a request that is longer than one may be.
    DnsRequestTooLong,
    /// The same in a response.
    DnsResponseTooLong,
    /// A client begins a stream with a number that was used before (RFC 9113, 5.1.1).
    StreamIdReuse,
    /// A `content-range` that is none.
    InvalidRange,
    /// A number in a header block that is larger than any length or index (RFC 7541, 5.1).
    HeaderIntegerOverflow,
    /// More streams are open than are kept.
    TooManyStreams,
    /// A header block of several frames that is longer than is kept.
    ReassemblyLimitReached,
}
