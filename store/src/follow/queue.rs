//! Reading files side by side and handing them out in order.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use countersign_format::layout::Log;

use super::ask::{Piece, ask};
use super::cover::{Step, best_cover, cover_of_bundles};
use super::memory::{Memory, Share};
use super::{FollowError, Held};
use crate::source::Source;

/// How many files are asked for side by side: enough to hide a server's answer time.
const AT_ONCE: usize = 4;

/// None for a file that is not there, or is not good for anything.
pub(super) type Answer = Result<Option<Piece>, FollowError>;

/// The files between two heads. Those that are asked for ahead are kept until it is their turn.
pub(super) struct Queue<'s> {
    source: &'s Source,
    log: Log,
    size: u64,
    /// Where to read on in the unfinished bundle of which entries are held.
    tail: u64,
    memory: Memory,
    jobs: VecDeque<Job<'s>>,
    /// How many of them were asked for.
    asked: usize,
}

struct Job<'s> {
    step: Step,
    state: State<'s>,
}

enum State<'s> {
    Waiting,
    Running(Pin<Box<dyn Future<Output = Answer> + 's>>, Share),
    Done(Answer, Share),
}

impl<'s> Queue<'s> {
    /// The files that lead from what is held to the head of `size` entries, packs among them where
    /// `with_packs`.
    pub(super) fn new(
        (source, log): (&'s Source, Log),
        (from, size): (&Held, u64),
        with_packs: bool,
        memory: Memory,
    ) -> Self {
        let held = from.frontier.size();
        let steps =
            if with_packs { best_cover(held, size) } else { cover_of_bundles(held..size, size) };
        let jobs = steps.into_iter().map(Job::new).collect();
        Self { source, log, size, tail: from.tail, memory, jobs, asked: 0 }
    }

    /// The next file, once it is there, and its share of the memory, to be kept until it is read. Of
    /// what is missing, the files that have the same entries.
    pub(super) async fn next(&mut self) -> Result<Option<(Step, Piece, Share)>, FollowError> {
        while !self.jobs.is_empty() {
            self.ask_for_first().await;
            let (step, answer, share) = poll_fn(|context| self.poll_first(context)).await;
            if let Some(piece) = answer? {
                return Ok(Some((step, piece, share)));
            }
            let Some(steps) = step.otherwise(self.size) else {
                let (log, size, path) = (self.log, self.size, step.path(self.log));
                let source_name = self.source.name().to_owned();
                return Err(FollowError::Missing { source_name, path, log, size });
            };
            self.put_first(steps);
        }
        Ok(None)
    }

    /// Reads the bundles of what a pack was to have, from what is held by now up to the entry `end`.
    pub(super) fn instead(&mut self, held: &Held, end: u64) {
        self.tail = held.tail;
        self.put_first(cover_of_bundles(held.frontier.size()..end, self.size));
    }

    fn put_first(&mut self, steps: VecDeque<Step>) {
        steps.into_iter().rev().for_each(|step| self.jobs.push_front(Job::new(step)));
    }

    /// Lets what is under way go on.
    pub(super) async fn look(&mut self) {
        tokio::task::yield_now().await;
        poll_fn(|context| {
            self.poll(context);
            Poll::Ready(())
        })
        .await;
    }

    /// Asks for the first file, whatever else has to be asked for again.
    async fn ask_for_first(&mut self) {
        let first = self.jobs.front().expect("called with jobs");
        if !matches!(first.state, State::Waiting) {
            return;
        }
        let mut share = self.memory.share(&first.step);
        if share.is_none() {
            // another log may wait for what was taken ahead here
            self.jobs.iter_mut().for_each(|job| job.state = State::Waiting);
            self.asked = 0;
            share = Some(self.memory.wait(&self.jobs[0].step).await);
        }
        self.start(0, share.expect("waited for"));
    }

    fn start(&mut self, at: usize, share: Share) {
        let job = &mut self.jobs[at];
        let asked = ask(self.source, self.log, self.tail, job.step.clone());
        job.state = State::Running(Box::pin(asked), share);
        self.asked += 1;
    }

    /// The answer of the first file.
    fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<(Step, Answer, Share)> {
        self.poll(context);
        match self.jobs.pop_front() {
            Some(Job { step, state: State::Done(answer, share) }) => {
                self.asked -= 1;
                Poll::Ready((step, answer, share))
            }
            Some(unanswered) => {
                self.jobs.push_front(unanswered);
                Poll::Pending
            }
            None => unreachable!("asked for the first of none"),
        }
    }

    /// Lets all that was asked for go on, and asks for the next files as far as the bounds allow.
    fn poll(&mut self, context: &mut Context<'_>) {
        for at in 0..self.jobs.len().min(AT_ONCE) {
            if let State::Waiting = self.jobs[at].state {
                let Some(share) = self.memory.share(&self.jobs[at].step) else { break };
                self.start(at, share);
            }
        }
        // those that are behind what was put first, too: a server does not wait for who does not read
        let asked = self.jobs.iter_mut().filter(|job| !matches!(job.state, State::Waiting));
        for job in asked.take(self.asked) {
            if let State::Running(future, _) = &mut job.state
                && let Poll::Ready(answer) = future.as_mut().poll(context)
            {
                job.finish(answer);
            }
        }
    }

    /// Bytes of files that wait to be taken.
    #[cfg(test)]
    fn waiting(&self) -> u64 {
        let length = |job: &Job<'_>| match &job.state {
            State::Done(Ok(Some(piece)), _) => piece.length(),
            _ => 0,
        };
        self.jobs.iter().map(length).sum()
    }
}

impl Job<'_> {
    fn new(step: Step) -> Self {
        Self { step, state: State::Waiting }
    }

    fn finish(&mut self, answer: Answer) {
        if let State::Running(_, share) = std::mem::replace(&mut self.state, State::Waiting) {
            self.state = State::Done(answer, share);
        }
    }
}

#[cfg(test)]
mod tests;
