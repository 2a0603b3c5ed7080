// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What rules remember beyond a packet: counters of a flow, and marks on hosts, pairs of hosts and transactions.
//!
//! Must never hold an operation that the engine does not honour. Meanings follow the Suricata user guide, "Flow Keywords"
//! (`flowint`, `hostbits`) and "Xbits Keyword".

/// One `flowint` keyword. Tests come before the rule matches, changes after.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flowint {
    /// The counter.
    pub name: String,
    /// What is done with it.
    pub op: FlowintOp,
    /// With what; of no meaning for `isset` and `isnotset`.
    pub value: Operand,
}

/// What a `flowint` keyword does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowintOp {
    /// `=`: gives it a value.
    Set,
    /// `+`: adds; a counter that is not set begins at 0.
    Add,
    /// `-`: subtracts; nothing happens to a counter that is not set.
    Sub,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// It has a value.
    Isset,
    /// It has none.
    Isnotset,
}

impl FlowintOp {
    /// Whether it changes the counter (and tests nothing).
    pub const fn changes(self) -> bool {
        matches!(self, Self::Set | Self::Add | Self::Sub)
    }
}

/// The value of a `flowint` keyword.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// As written.
    Number(u32),
    /// Another counter's; 0 where that is not set.
    Counter(String),
}

/// One `xbits` or `hostbits` keyword. Tests come before the rule matches, changes after.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Xbit {
    /// Which keyword it was.
    pub keyword: &'static str,
    /// What it does.
    pub op: XbitOp,
    /// The mark; `xbits` and `hostbits` share their names.
    pub name: String,
    /// Whose mark.
    pub track: XbitTrack,
    /// Seconds of packet time that a mark lasts once set.
    pub expire: u32,
}

/// What an `xbits` or `hostbits` keyword does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum XbitOp {
    /// Set it, or make it last anew.
    Set,
    /// Clear it.
    Unset,
    /// Turn it round.
    Toggle,
    /// It is set.
    Isset,
    /// It is not set.
    Isnotset,
}

impl XbitOp {
    /// Whether it changes the mark (and tests nothing).
    pub const fn changes(self) -> bool {
        matches!(self, Self::Set | Self::Unset | Self::Toggle)
    }
}

/// Whose mark an `xbits` keyword means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum XbitTrack {
    /// `ip_src`: of the packet's source.
    Src,
    /// `ip_dst`: of the packet's destination.
    Dst,
    /// `ip_pair`: of both addresses, either way round.
    Pair,
    /// `tx`: of the transaction.
    Tx,
}

/// How a rule uses one kind of memory: rules that write are looked at before rules that read.
pub(crate) const fn rank(writes: bool, reads: bool) -> u8 {
    match (writes, reads) {
        (true, false) => 0,
        (true, true) => 1,
        (false, true) => 2,
        (false, false) => 3,
    }
}
