//! The jobs that wait for the hashing workers, and the answers that wait for the callers.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest time that an answer is kept back while the workers continue.
const TOGETHER: Duration = Duration::from_millis(80);

/// Sends a result to its caller.
pub type Answer = Box<dyn FnOnce() + Send>;

/// A queue of jobs, first come, first served. It returns several answers together if more jobs
/// wait.
///
/// A hash uses more memory than the processor's caches hold, so the code and data that run after it
/// are not in the caches any more. A log-in alone takes 1.05 ms of processor time beside its hash;
/// if several continue together, each takes 0.5 ms.
pub struct Queue<J> {
    inner: Mutex<Inner<J>>,
    changed: Condvar,
    places: usize,
}

/// What a worker does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<J> {
    Job(J),
    /// Nothing came for a while.
    Idle,
    /// The queue is closed and empty.
    Closed,
}

struct Inner<J> {
    jobs: VecDeque<J>,
    /// Each answer with the time at which it was found.
    answers: Vec<(Instant, Answer)>,
    is_closed: bool,
}

impl<J> Queue<J> {
    /// Creates a queue with room for this number of jobs.
    pub fn new(places: usize) -> Self {
        let (jobs, answers) = (VecDeque::with_capacity(places), Vec::new());
        let inner = Inner { jobs, answers, is_closed: false };
        Queue { inner: Mutex::new(inner), changed: Condvar::new(), places }
    }

    /// Adds a job. It returns `false` if there is no room left.
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

    /// Waits for the next job. After `patience` without one it returns [`Next::Idle`].
    pub fn pop(&self, patience: Duration) -> Next<J> {
        let mut inner = self.lock();
        loop {
            if let Some(job) = inner.jobs.pop_front() {
                return Next::Job(job);
            }
            // A worker without a job does not keep callers waiting.
            inner.tell();
            if inner.is_closed {
                return Next::Closed;
            }
            let waited = self.changed.wait_timeout(inner, patience);
            let (waited, over) = waited.unwrap_or_else(PoisonError::into_inner);
            inner = waited;
            if over.timed_out() && inner.jobs.is_empty() && !inner.is_closed {
                return Next::Idle;
            }
        }
    }

    /// Sends `answer`, which took the time `taken` to find. It sends it now, or together with the
    /// next one if that will be found soon.
    pub fn answer(&self, answer: Answer, taken: Duration) {
        let mut inner = self.lock();
        inner.answers.push((Instant::now(), answer));
        let first = inner.answers[0].0;
        if inner.jobs.is_empty() || first.elapsed() + taken > TOGETHER {
            inner.tell();
        }
    }

    /// Closes the queue. Workers that wait for a job get `None`.
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
    const LONG: Duration = Duration::from_secs(10);

    fn answer(said: &Sender<u32>, number: u32) -> Answer {
        let said = said.clone();
        Box::new(move || said.send(number).unwrap())
    }

    fn said(answers: &Receiver<u32>) -> Vec<u32> {
        answers.try_iter().collect()
    }

    #[test]
    fn a_single_caller_gets_the_answer_at_once() {
        let (queue, (say, answers)) = (Queue::new(9), channel());
        assert!(queue.push("job"));
        queue.pop(LONG);
        queue.answer(answer(&say, 1), SOON);
        assert_eq!(said(&answers), [1]);
    }

    #[test]
    fn answers_are_given_together_and_in_order_while_others_wait() {
        let (queue, (say, answers)) = (Queue::new(9), channel());
        for number in 1..=3 {
            assert!(queue.push(number));
        }
        for number in 1..=2 {
            assert_eq!(queue.pop(LONG), Next::Job(number));
            queue.answer(answer(&say, number), SOON);
            assert!(said(&answers).is_empty());
        }
        assert_eq!(queue.pop(LONG), Next::Job(3));
        queue.answer(answer(&say, 3), SOON);
        assert_eq!(said(&answers), [1, 2, 3]);
    }

    #[test]
    fn an_answer_does_not_wait_for_a_slow_job() {
        let (queue, (say, answers)) = (Queue::new(9), channel());
        for number in 1..=3 {
            assert!(queue.push(number));
        }
        queue.pop(LONG);
        queue.answer(answer(&say, 1), SOON);
        queue.pop(LONG);
        queue.answer(answer(&say, 2), TOGETHER);
        assert_eq!(said(&answers), [1, 2], "an answer waits for a job that would take as long");
    }

    #[test]
    fn a_worker_without_a_job_sends_the_answers_that_wait() {
        let (queue, (say, answers)) = (Arc::new(Queue::new(9)), channel());
        assert!(queue.push("mine") && queue.push("given up meanwhile"));
        queue.pop(LONG);
        queue.answer(answer(&say, 1), SOON);
        assert!(said(&answers).is_empty());
        queue.pop(LONG);
        let worker = thread::spawn({
            let queue = queue.clone();
            move || queue.pop(LONG)
        });
        assert_eq!(answers.recv(), Ok(1));
        queue.close();
        assert_eq!(worker.join().unwrap(), Next::Closed);
    }

    #[test]
    fn a_waiting_worker_gets_the_next_job() {
        let (queue, (say, done)) = (Arc::new(Queue::new(9)), channel());
        let worker = thread::spawn({
            let queue = queue.clone();
            move || {
                while let Next::Job(number) = queue.pop(LONG) {
                    say.send(number).unwrap();
                }
            }
        });
        // In some of these rounds the worker already waits, and in others not yet.
        for number in 0..1_000 {
            assert!(queue.push(number));
            assert_eq!(done.recv_timeout(Duration::from_secs(10)), Ok(number));
        }
        queue.close();
        worker.join().unwrap();
    }

    #[test]
    fn a_full_queue_refuses_a_job_and_a_closed_one_still_hands_out_its_jobs() {
        let queue = Queue::new(2);
        assert!(queue.push(1) && queue.push(2) && !queue.push(3));
        queue.close();
        assert_eq!([(); 3].map(|()| queue.pop(LONG)), [Next::Job(1), Next::Job(2), Next::Closed]);
    }

    #[test]
    fn a_worker_hears_that_nothing_came_for_a_while() {
        let queue = Queue::new(1);
        assert_eq!(queue.pop(Duration::ZERO), Next::Idle);
        assert!(queue.push(1));
        assert_eq!([(); 2].map(|()| queue.pop(Duration::ZERO)), [Next::Job(1), Next::Idle]);
        queue.close();
        assert_eq!(queue.pop(Duration::ZERO), Next::Closed);
    }
}
