// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What rules ask of files, and which files they store. All tests of a rule are about one and the same file.
//!
//! Must never judge a file by its hash that did not come whole.

use lagewarte_app::{
    State,
    file::{Asked, File, FileState, Hashes, store::Keep},
};
use lagewarte_flow::Direction;
use lagewarte_rules::{
    ast::{FileTest, Rule, StoreFiles, StoreScope, StoreWay, TransactionTest},
    hashlist::HashKind,
};

/// What a rule asks of files; None where it asks nothing.
#[derive(Clone, Debug)]
pub(crate) struct FileRule {
    tests: Vec<FileTest>,
    store: Option<StoreFiles>,
}

impl FileRule {
    pub(crate) fn new(rule: &Rule) -> Option<Self> {
        let of_rule = rule.transaction.iter().filter_map(|t| match t {
            TransactionTest::File(test) => Some(test.clone()),
            _ => None,
        });
        let (stores, tests): (Vec<FileTest>, Vec<FileTest>) = of_rule.partition(|t| matches!(t, FileTest::Store(_)));
        let store = stores.iter().find_map(|t| match t {
            FileTest::Store(what) => Some(*what),
            _ => None,
        });
        (store.is_some() || !tests.is_empty()).then_some(Self { tests, store })
    }

    /// Notes what the application layer must do for it.
    pub(crate) fn asks(&self, asked: &mut Asked) {
        asked.store |= self.store.is_some();
        for t in &self.tests {
            asked.magic |= matches!(t, FileTest::Magic { .. });
            if let FileTest::Hash { list, .. } = t {
                let kind = list.kind();
                asked.hashes = asked.hashes.or(Hashes {
                    md5: kind == HashKind::Md5,
                    sha1: kind == HashKind::Sha1,
                    sha256: kind == HashKind::Sha256,
                });
            }
        }
    }

    /// Whether a file of the transaction that goes this way meets all that is asked.
    pub(crate) fn holds(&self, state: &State, place: usize, direction: Direction) -> bool {
        state.files(place).is_some_and(|all| all.towards(direction).any(|f| self.fits(f)))
    }

    fn fits(&self, f: &File) -> bool {
        self.tests.iter().all(|t| fits(t, f))
    }

    /// The rule matched on a transaction, looking this way: marks what it stores, of the transaction or of the flow.
    pub(crate) fn store(&self, state: &mut State, place: usize, of_flow: &mut Keep, looked: Direction) {
        let Some(what) = self.store else { return };
        for d in [Direction::ToServer, Direction::ToClient] {
            let meant = match what.way {
                StoreWay::Rule => d == looked,
                StoreWay::ToServer => d == Direction::ToServer,
                StoreWay::ToClient => d == Direction::ToClient,
                StoreWay::Both => true,
            };
            match what.scope {
                _ if !meant => {}
                StoreScope::Flow => of_flow.add(d),
                StoreScope::Tx => {
                    if let Some(core) = state.core_mut(place) {
                        core.keep.add(d);
                    }
                }
                StoreScope::File => {
                    let all = state.files_mut(place).into_iter().flat_map(|all| all.iter_mut());
                    all.filter(|f| f.direction() == d && self.fits(f)).for_each(File::keep);
                }
            }
        }
    }
}

fn fits(test: &FileTest, f: &File) -> bool {
    match test {
        FileTest::Name { text, ends, negated } => {
            let name = &f.name;
            let there = match ends {
                true => {
                    let tail = name.len().checked_sub(text.len()).and_then(|at| name.get(at..));
                    tail.is_some_and(|t| t.eq_ignore_ascii_case(text))
                }
                false => stands_in(text, name),
            };
            there != *negated
        }
        FileTest::Magic { text, negated } => {
            f.magic.words().is_some_and(|words| stands_in(text, words.as_bytes()) != *negated)
        }
        FileTest::Size(test) => test.matches(f.size),
        FileTest::Hash { list, negated } => {
            if f.state != FileState::Closed {
                return false;
            }
            let d = f.digests();
            let hash = match list.kind() {
                HashKind::Md5 => d.md5.as_ref().map(<[u8; 16]>::as_slice),
                HashKind::Sha1 => d.sha1.as_ref().map(<[u8; 20]>::as_slice),
                HashKind::Sha256 => d.sha256.as_ref().map(<[u8; 32]>::as_slice),
            };
            hash.is_some_and(|h| list.has(h) != *negated)
        }
        FileTest::Store(_) => true,
    }
}

// In either case; the text is not empty.
fn stands_in(text: &[u8], whole: &[u8]) -> bool {
    whole.windows(text.len().max(1)).any(|w| w.eq_ignore_ascii_case(text))
}
