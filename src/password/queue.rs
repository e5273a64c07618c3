//! What waits for the hashing workers, and what they have found.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// No answer is kept back for longer while the workers go on.
const TOGETHER: Duration = Duration::from_millis(80);

/// Tells somebody what was found for him.
pub type Answer = Box<dyn FnOnce() + Send>;

/// Jobs, first come, first served, and answers, several at a time where more jobs wait.
///
/// A hash goes through more memory than the processor's caches hold, so that what is run
/// after it starts with none of its code and data there: beside its hash, a log-in by itself
/// takes 1.05 ms of processor time, and 0.5 where some go on together.
pub struct Queue<J> {
    inner: Mutex<Inner<J>>,
    changed: Condvar,
    places: usize,
}

struct Inner<J> {
    jobs: VecDeque<J>,
    /// With when each was found.
    answers: Vec<(Instant, Answer)>,
    is_closed: bool,
}

impl<J> Queue<J> {
    /// For so many jobs at a time.
    pub fn new(places: usize) -> Self {
        let (jobs, answers) = (VecDeque::with_capacity(places), Vec::new());
        let inner = Inner { jobs, answers, is_closed: false };
        Queue { inner: Mutex::new(inner), changed: Condvar::new(), places }
    }

    /// `false`: there is no place left.
    #[must_use]
    pub fn push(&self, job: J) -> bool {
        let mut inner = self.lock();
        if inner.jobs.len() >= self.places {
            return false;
        }
        inner.jobs.push_back(job);
        self.changed.notify_one();
        true
    }

    /// The next job, as soon as there is one. `None`: no more will come.
    pub fn pop(&self) -> Option<J> {
        let mut inner = self.lock();
        loop {
            if let Some(job) = inner.jobs.pop_front() {
                return Some(job);
            }
            // Who has nothing to do keeps nobody waiting.
            inner.tell();
            if inner.is_closed {
                return None;
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives `answer`, which it took so long to find: now, or together with the next one, if
    /// there will be one soon.
    pub fn answer(&self, answer: Answer, taken: Duration) {
        let mut inner = self.lock();
        inner.answers.push((Instant::now(), answer));
        let first = inner.answers[0].0;
        if inner.jobs.is_empty() || first.elapsed() + taken > TOGETHER {
            inner.tell();
        }
    }

    /// Whoever waits for a job is told that none will come.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Inner<J>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J> Inner<J> {
    fn tell(&mut self) {
        self.answers.drain(..).for_each(|(_, answer)| answer());
    }
}

impl<J> fmt::Debug for Queue<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("places", &self.places).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    fn answer(said: &Sender<u32>, number: u32) -> Answer {
        let said = said.clone();
        Box::new(move || said.send(number).unwrap())
    }

    fn said(answers: &Receiver<u32>) -> Vec<u32> {
        answers.try_iter().collect()
    }

    #[test]
    fn whoever_is_alone_gets_his_answer_at_once() {
        let (queue, (say, answers)) = (Queue::new(9), channel());
        assert!(queue.push("job"));
        queue.pop();
        queue.answer(answer(&say, 1), SOON);
        assert_eq!(said(&answers), [1]);
    }

    #[test]
    fn while_others_wait_answers_are_given_together_and_in_order() {
        let (queue, (say, answers)) = (Queue::new(9), channel());
        for number in 1..=3 {
            assert!(queue.push(number));
        }
        for number in 1..=2 {
            assert_eq!(queue.pop(), Some(number));
            queue.answer(answer(&say, number), SOON);
            assert!(said(&answers).is_empty());
        }
        assert_eq!(queue.pop(), Some(3));
        queue.answer(answer(&say, 3), SOON);
        assert_eq!(said(&answers), [1, 2, 3]);
    }

    #[test]
    fn what_takes_long_is_not_waited_for() {
        let (queue, (say, answers)) = (Queue::new(9), channel());
        for number in 1..=3 {
            assert!(queue.push(number));
        }
        queue.pop();
        queue.answer(answer(&say, 1), SOON);
        queue.pop();
        queue.answer(answer(&say, 2), TOGETHER);
        assert_eq!(said(&answers), [1, 2], "the next would take as long");
    }

    #[test]
    fn nobody_waits_for_a_worker_who_has_nothing_to_do() {
        let (queue, (say, answers)) = (Arc::new(Queue::new(9)), channel());
        assert!(queue.push("mine") && queue.push("given up meanwhile"));
        queue.pop();
        queue.answer(answer(&say, 1), SOON);
        assert!(said(&answers).is_empty());
        queue.pop();
        let worker = thread::spawn({
            let queue = queue.clone();
            move || queue.pop()
        });
        assert_eq!(answers.recv(), Ok(1));
        queue.close();
        assert_eq!(worker.join().unwrap(), None);
    }

    #[test]
    fn a_worker_who_waits_gets_the_next_job() {
        let (queue, (say, done)) = (Arc::new(Queue::new(9)), channel());
        let worker = thread::spawn({
            let queue = queue.clone();
            move || {
                while let Some(number) = queue.pop() {
                    say.send(number).unwrap();
                }
            }
        });
        // In some of these rounds he has come to wait, in others not yet.
        for number in 0..1_000 {
            assert!(queue.push(number));
            assert_eq!(done.recv_timeout(Duration::from_secs(10)), Ok(number));
        }
        queue.close();
        worker.join().unwrap();
    }

    #[test]
    fn beyond_its_places_a_job_is_refused_and_what_waits_is_done_before_the_end() {
        let queue = Queue::new(2);
        assert!(queue.push(1) && queue.push(2) && !queue.push(3));
        queue.close();
        assert_eq!([queue.pop(), queue.pop(), queue.pop()], [Some(1), Some(2), None]);
    }
}
