// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What can be odd about HTTP/1: Suricata's app-layer events of `http`. Numbers are places in [`NAMES`].

macro_rules! events {
    ($($variant:ident = $name:literal,)*) => {
        /// An event of HTTP/1.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each variant is documented by its event name in Suricata's http-events.rules")]
        pub enum Event { $($variant,)* }
        /// As EVE writes them, by number; rules write them in lower case.
        pub const NAMES: &[&str] = &[$($name,)*];
    };
}

events! {
    GzipDecompressionFailed = "GZIP_DECOMPRESSION_FAILED",
    RequestFieldMissingColon = "REQUEST_FIELD_MISSING_COLON",
    ResponseFieldMissingColon = "RESPONSE_FIELD_MISSING_COLON",
    InvalidRequestChunkLen = "INVALID_REQUEST_CHUNK_LEN",
    InvalidResponseChunkLen = "INVALID_RESPONSE_CHUNK_LEN",
    InvalidTransferEncodingInRequest = "INVALID_TRANSFER_ENCODING_VALUE_IN_REQUEST",
    InvalidTransferEncodingInResponse = "INVALID_TRANSFER_ENCODING_VALUE_IN_RESPONSE",
    InvalidContentLengthInRequest = "INVALID_CONTENT_LENGTH_FIELD_IN_REQUEST",
    InvalidContentLengthInResponse = "INVALID_CONTENT_LENGTH_FIELD_IN_RESPONSE",
    DuplicateContentLengthInRequest = "DUPLICATE_CONTENT_LENGTH_FIELD_IN_REQUEST",
    DuplicateContentLengthInResponse = "DUPLICATE_CONTENT_LENGTH_FIELD_IN_RESPONSE",
    ContinueAlreadySeen = "100_CONTINUE_ALREADY_SEEN",
    UnableToMatchResponse = "UNABLE_TO_MATCH_RESPONSE_TO_REQUEST",
    RequestHeaderInvalid = "REQUEST_HEADER_INVALID",
    ResponseHeaderInvalid = "RESPONSE_HEADER_INVALID",
    MissingHostHeader = "MISSING_HOST_HEADER",
    HostHeaderAmbiguous = "HOST_HEADER_AMBIGUOUS",
    InvalidRequestFieldFolding = "INVALID_REQUEST_FIELD_FOLDING",
    InvalidResponseFieldFolding = "INVALID_RESPONSE_FIELD_FOLDING",
    RequestFieldTooLong = "REQUEST_FIELD_TOO_LONG",
    ResponseFieldTooLong = "RESPONSE_FIELD_TOO_LONG",
    RequestTooManyHeaders = "REQUEST_TOO_MANY_HEADERS",
    ResponseTooManyHeaders = "RESPONSE_TOO_MANY_HEADERS",
    RequestLineInvalid = "REQUEST_LINE_INVALID",
    UriHostInvalid = "REQUEST_URI_HOST_INVALID",
    HeaderHostInvalid = "REQUEST_HEADER_HOST_INVALID",
    MethodDelimNonCompliant = "METHOD_DELIM_NON_COMPLIANT",
    UriDelimNonCompliant = "URI_DELIM_NON_COMPLIANT",
    RequestLineLeadingWhitespace = "REQUEST_LINE_LEADING_WHITESPACE",
    TooManyEncodingLayers = "TOO_MANY_ENCODING_LAYERS",
    AbnormalCeHeader = "ABNORMAL_CE_HEADER",
    AuthUnrecognized = "REQUEST_AUTH_UNRECOGNIZED",
    RequestHeaderRepetition = "REQUEST_HEADER_REPETITION",
    ResponseHeaderRepetition = "RESPONSE_HEADER_REPETITION",
    ResponseMultipartByteranges = "RESPONSE_MULTIPART_BYTERANGES",
    ResponseAbnormalTransferEncoding = "RESPONSE_ABNORMAL_TRANSFER_ENCODING",
    ResponseChunkedOldProto = "RESPONSE_CHUNKED_OLD_PROTO",
    ResponseInvalidProtocol = "RESPONSE_INVALID_PROTOCOL",
    ResponseInvalidStatus = "RESPONSE_INVALID_STATUS",
    RequestLineMissingProtocol = "REQUEST_LINE_MISSING_PROTOCOL",
    RequestLineIncomplete = "REQUEST_LINE_INCOMPLETE",
    DoubleEncodedUri = "DOUBLE_ENCODED_URI",
    RequestBodyUnexpected = "REQUEST_BODY_UNEXPECTED",
    ResponseBodyUnexpected = "RESPONSE_BODY_UNEXPECTED",
    RequestServerPortMismatch = "REQUEST_SERVER_PORT_TCP_PORT_MISMATCH",
    LzmaMemlimitReached = "LZMA_MEMLIMIT_REACHED",
    CompressionBomb = "COMPRESSION_BOMB",
    CompressionBombDoubleLzma = "COMPRESSION_BOMB_DOUBLE_LZMA",
    RangeInvalid = "RANGE_INVALID",
    RequestChunkExtension = "REQUEST_CHUNK_EXTENSION",
    ResponseChunkExtension = "RESPONSE_CHUNK_EXTENSION",
    MultipartGenericError = "MULTIPART_GENERIC_ERROR",
    MultipartNoFiledata = "MULTIPART_NO_FILEDATA",
    MultipartInvalidHeader = "MULTIPART_INVALID_HEADER",
    FileNameTooLong = "FILE_NAME_TOO_LONG",
    InvalidAuthorityPort = "INVALID_AUTHORITY_PORT",
    InvalidServerPort = "INVALID_SERVER_PORT_IN_REQUEST",
}
