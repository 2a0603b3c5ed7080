// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What can be wrong with the template's protocol.

/// Names, by number.
pub const NAMES: &[&str] = &["unexpected"];

/// The events, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// A line that does not belong where it stands.
    Unexpected,
}
