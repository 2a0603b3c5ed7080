// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! How much work one rule may cost: layouts, checks and expressions draw on one account, and say no when it is empty.

use std::cell::Cell;

thread_local! {
    static LEFT: Cell<u32> = const { Cell::new(0) };
}

/// Opens the account for a rule.
pub(super) fn begin(units: u32) {
    LEFT.set(units);
}

/// Takes from it; false where nothing is left.
pub(super) fn spend(units: u32) -> bool {
    LEFT.set(LEFT.get().saturating_sub(units));
    LEFT.get() > 0
}
