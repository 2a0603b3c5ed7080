// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The scope of a question: on whose behalf the stores are asked. No query about constituents' data runs without one.
//!
//! Must never have a default: whoever asks has to say for whom.

use lagewarte_base::id::ConstituentId;

/// For whom a query is asked; decides which rows it can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// An analyst of the Landes-CERT: the whole Land.
    Land,
    /// One constituent: its own rows only.
    Constituent(ConstituentId),
    /// The aggregator itself: picture, warning workflow, delivery, checks.
    System,
}

impl Scope {
    /// The constituent whose rows alone may be seen; None where all may.
    pub fn only(&self) -> Option<&ConstituentId> {
        match self {
            Self::Constituent(c) => Some(c),
            Self::Land | Self::System => None,
        }
    }
    /// Whether rows of `owner` may be seen.
    pub fn sees(&self, owner: &ConstituentId) -> bool {
        self.only().is_none_or(|c| c == owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constituent_sees_itself_only() {
        let (a, b): (ConstituentId, ConstituentId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let scope = Scope::Constituent(a.clone());
        assert!(scope.sees(&a) && !scope.sees(&b));
        assert_eq!((scope.only(), Scope::Land.only(), Scope::System.only()), (Some(&a), None, None));
    }
}
