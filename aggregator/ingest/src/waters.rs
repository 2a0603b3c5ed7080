// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the store holds of epochs that a journal does not know: one question for all that ask at once.
//!
//! A whole fleet that comes back brings thousands of unknown epochs within seconds, and a question costs the engine nearly
//! the same for one of them as for hundreds. So whoever asks while a question runs waits for its end, and then one of those
//! who wait asks for all. Nobody waits for company: alone, a question is put at once. Must never answer with a question
//! that was put before the asker came: between the two, events of it may have become durable. Limits: [`MAX_EPOCHS`] in one
//! question; the askers are connections, which are bounded themselves.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lagewarte_store::{
    Scope,
    telemetry::{MAX_EPOCHS, Telemetry, TelemetryError},
};
use tokio::sync::oneshot;

use crate::journal::Key;

/// Why there is no answer: the store's own word, for each who waited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unanswered(String);

struct Waiting {
    key: Key,
    answer: oneshot::Sender<Result<u64, Unanswered>>,
}

type Answers = Result<HashMap<Key, u64>, TelemetryError>;
/// How the store is asked.
type Question = Box<dyn Fn(Vec<Key>) -> Pin<Box<dyn Future<Output = Answers> + Send>> + Send + Sync>;

/// Who waits for an answer, and whose turn it is to ask.
pub(crate) struct Waters {
    question: Question,
    waiting: Mutex<Vec<Waiting>>,
    turn: tokio::sync::Mutex<()>,
}

impl Waters {
    pub(crate) fn new(telemetry: Telemetry) -> Self {
        Self::asking(Box::new(move |keys| {
            let telemetry = telemetry.clone();
            Box::pin(async move { telemetry.high_water(&Scope::System, &keys).await })
        }))
    }

    fn asking(question: Question) -> Self {
        Self { question, waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The highest number of this epoch that the store holds; 0 where it holds none.
    pub(crate) async fn of(&self, key: Key) -> Result<u64, Unanswered> {
        loop {
            let (answer, mut answered) = oneshot::channel();
            self.waiting().push(Waiting { key, answer });
            loop {
                let turn = tokio::select! {
                    biased;
                    answer = &mut answered => match answer {
                        Ok(answer) => return answer,
                        Err(_) => break, // whoever asked for it went away meanwhile
                    },
                    turn = self.turn.lock() => turn,
                };
                self.ask().await;
                drop(turn);
            }
        }
    }

    /// Asks for those who wait, and tells them.
    async fn ask(&self) {
        let asked: Vec<Waiting> = {
            let mut waiting = self.waiting();
            waiting.retain(|w| !w.answer.is_closed());
            let first = waiting.len().min(MAX_EPOCHS);
            waiting.drain(..first).collect()
        };
        let answers = (self.question)(asked.iter().map(|w| w.key).collect()).await;
        let answers = answers.map_err(|e| Unanswered(e.to_string()));
        for w in asked {
            let answer = answers.as_ref().map(|a| a.get(&w.key).copied().unwrap_or(0)).map_err(Clone::clone);
            let _ = w.answer.send(answer); // it has gone
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use lagewarte_base::id::{Epoch, Uuid};

    use super::*;

    fn key(n: u64) -> Key {
        (Uuid::from_u128(n.into()), Epoch { counter: n, nonce: 7 })
    }

    type Asked = Arc<Mutex<Vec<Vec<Key>>>>;

    /// A store that takes a second, and holds ten numbers of each even epoch; it fails at the questions that `fails` names.
    fn store(fails: fn(usize) -> bool) -> (Arc<Waters>, Asked) {
        let asked = Asked::default();
        let noted = Arc::clone(&asked);
        let question: Question = Box::new(move |keys| {
            let number = {
                let mut noted = noted.lock().unwrap();
                noted.push(keys.clone());
                noted.len()
            };
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if fails(number) {
                    return Err(TelemetryError::Holds(4711));
                }
                Ok(keys.into_iter().filter(|k| k.1.counter % 2 == 0).map(|k| (k, k.1.counter * 10)).collect())
            })
        });
        (Arc::new(Waters::asking(question)), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_fleet_that_asks_at_once_costs_a_few_questions_and_each_gets_its_own_answer() {
        let (waters, asked) = store(|_| false);
        let all: Vec<_> = (1..=1_000)
            .map(|n| {
                let waters = Arc::clone(&waters);
                tokio::spawn(async move { (n, waters.of(key(n)).await) })
            })
            .collect();
        for one in all {
            let (n, answer) = one.await.unwrap();
            assert_eq!(answer, Ok(if n % 2 == 0 { n * 10 } else { 0 }));
        }
        let sizes: Vec<usize> = asked.lock().unwrap().iter().map(Vec::len).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 1_000, "each is asked for once");
        assert!(sizes.len() <= 12 && sizes.iter().all(|n| *n <= MAX_EPOCHS), "{sizes:?}");
        assert_eq!(waters.of(key(2)).await, Ok(20), "alone");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_while_a_question_runs_is_not_answered_by_it() {
        let (waters, asked) = store(|_| false);
        let first = tokio::spawn({
            let waters = Arc::clone(&waters);
            async move { waters.of(key(2)).await }
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(waters.of(key(2)).await, Ok(20));
        assert_eq!(first.await.unwrap(), Ok(20));
        assert_eq!(asked.lock().unwrap().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asked_for_others_may_go_and_a_failure_is_told_to_all() {
        let (waters, asked) = store(|n| n == 2);
        let ask = |n| {
            let waters = Arc::clone(&waters);
            tokio::spawn(async move { waters.of(key(n)).await })
        };
        let gone = ask(2);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let waiting = [ask(4), ask(6), ask(8)];
        tokio::time::sleep(Duration::from_millis(100)).await;
        gone.abort();
        let mut answers = Vec::new();
        for w in waiting {
            answers.push(w.await.unwrap());
        }
        assert!(answers.iter().all(|a| a.as_ref().is_err_and(|e| e.0.contains("4711"))), "{answers:?}");
        assert_eq!(asked.lock().unwrap().iter().map(Vec::len).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(ask(4).await.unwrap(), Ok(40), "and the next is asked anew");
    }
}
