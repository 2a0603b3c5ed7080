// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Looks up what a protocol's number is called. The tables stand with their protocols; those that rules ask by, too, are in
//! `lagewarte_event::names`.

/// The name of a number; None where it has none.
pub(crate) fn name<K: Copy + PartialEq>(table: &[(K, &'static str)], number: K) -> Option<&'static str> {
    table.iter().find(|(n, _)| *n == number).map(|(_, name)| *name)
}
