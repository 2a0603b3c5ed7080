// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What can be odd about SSH: Suricata's app-layer events of `ssh`.

/// Names, by number.
pub const NAMES: &[&str] = &["invalid_banner", "long_banner", "invalid_record", "long_kex_record"];

/// The events, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// What a side begins with is no banner.
    InvalidBanner,
    /// A banner longer than one may be.
    LongBanner,
    /// A packet whose lengths do not fit, or an offer that cannot be read.
    InvalidRecord,
    /// A packet longer than is read.
    LongKexRecord,
}
