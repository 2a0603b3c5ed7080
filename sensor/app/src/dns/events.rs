// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What can be wrong with a DNS message, as `app-layer-event:dns.<name>` and EVE name it.

/// Names, by number.
pub const NAMES: &[&str] = &[
    "malformed_data",
    "not_a_request",
    "not_a_response",
    "z_flag_set",
    "invalid_opcode",
    "name_too_long",
    "infinite_loop",
    "too_many_labels",
    "invalid_additionals",
    "invalid_authorities",
];

/// The events, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// Questions or answers cannot be read to their end.
    MalformedData,
    /// A response on its way to the server.
    NotRequest,
    /// A request on its way to the client.
    NotResponse,
    /// The reserved bit is set.
    ZFlagSet,
    /// An opcode that is not assigned.
    InvalidOpcode,
    /// A name longer than [`super::parser::MAX_NAME`].
    NameTooLong,
    /// Pointers in a circle.
    InfiniteLoop,
    /// More labels than [`super::parser::MAX_LABELS`].
    TooManyLabels,
    /// The additional section cannot be read.
    InvalidAdditionals,
    /// The authority section cannot be read.
    InvalidAuthorities,
}
