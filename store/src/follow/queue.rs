//! Reading files side by side and handing them out in order.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use countersign_format::layout::Log;
use countersign_format::limits::MAX_BUNDLE;
use countersign_format::pack::{max_pack_length, pack_span};

use super::cover::{Part, Step, best_cover};
use super::{FollowError, Held, WIDTH, tail};
use crate::source::{Get, Got, Source};

/// How many files are asked for side by side: enough to hide a server's answer time.
const AT_ONCE: usize = 4;
/// How many entries the files have that are asked for side by side, or wait to be taken: bounds the
/// memory that they take. Two of the largest packs.
const ENTRIES_AT_ONCE: u64 = 2 << 16;

/// What came of a step.
pub(super) enum Piece {
    /// The entries.
    Entries(Vec<Vec<u8>>),
    /// The entries as a bundle has them.
    Bundle(Vec<u8>),
    /// A pack.
    Pack(Vec<u8>),
}

/// None for a file that is not there.
type Answer = Result<Option<Piece>, FollowError>;

/// The files between two heads. Those that are asked for ahead are kept until it is their turn.
pub(super) struct Queue<'s> {
    source: &'s Source,
    log: Log,
    size: u64,
    /// Where to read on in the unfinished bundle of which entries are held.
    tail: u64,
    jobs: VecDeque<Job<'s>>,
}

struct Job<'s> {
    step: Step,
    state: State<'s>,
}

enum State<'s> {
    Waiting,
    Running(Pin<Box<dyn Future<Output = Answer> + 's>>),
    Done(Answer),
}

impl<'s> Queue<'s> {
    /// The files that lead from what is held to the head of `size` entries.
    pub(super) fn new(source: &'s Source, log: Log, from: &Held, size: u64) -> Self {
        let jobs = best_cover(from.frontier.size(), size).into_iter().map(Job::new).collect();
        Self { source, log, size, tail: from.tail, jobs }
    }

    /// The next file, once it is there. Of what is missing, the files that have the same entries.
    pub(super) async fn next(&mut self) -> Result<Option<(Step, Piece)>, FollowError> {
        while !self.jobs.is_empty() {
            let (step, answer) = poll_fn(|context| self.poll_first(context)).await;
            if let Some(piece) = answer? {
                return Ok(Some((step, piece)));
            }
            let Some(steps) = step.otherwise(self.size) else {
                let (log, size, path) = (self.log, self.size, step.path(self.log));
                let source_name = self.source.name().to_owned();
                return Err(FollowError::Missing { source_name, path, log, size });
            };
            steps.into_iter().rev().for_each(|step| self.jobs.push_front(Job::new(step)));
        }
        Ok(None)
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

    /// The answer of the first file.
    fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<(Step, Answer)> {
        self.poll(context);
        match self.jobs.pop_front() {
            Some(Job { step, state: State::Done(answer) }) => Poll::Ready((step, answer)),
            Some(unanswered) => {
                self.jobs.push_front(unanswered);
                Poll::Pending
            }
            None => unreachable!("asked for the first of none"),
        }
    }

    /// Asks for the first file in any case, and for others as far as the bounds allow.
    fn poll(&mut self, context: &mut Context<'_>) {
        let (mut files, mut entries) = (0, 0);
        for job in &mut self.jobs {
            files += 1;
            entries += job.step.entries.end - job.step.entries.start;
            if files > 1 && (files > AT_ONCE || entries > ENTRIES_AT_ONCE) {
                return;
            }
            if let State::Waiting = job.state {
                let asked = ask(self.source, self.log, self.tail, job.step.clone());
                job.state = State::Running(Box::pin(asked));
            }
            if let State::Running(future) = &mut job.state
                && let Poll::Ready(answer) = future.as_mut().poll(context)
            {
                job.state = State::Done(answer);
            }
        }
    }
}

impl Job<'_> {
    fn new(step: Step) -> Self {
        Self { step, state: State::Waiting }
    }
}

/// Reads the file of a step. In the bundle of which entries are held, the rest begins at byte `tail`.
async fn ask(source: &Source, log: Log, tail: u64, step: Step) -> Answer {
    let path = step.path(log);
    match step.part {
        Part::Tail { size } => {
            let entries = tail::read(source, &path, size, size - step.entries.start).await?;
            Ok(entries.map(Piece::Entries))
        }
        Part::Pack { level, .. } => {
            let limit = max_pack_length(pack_span(level));
            match source.get(&path, &Get::up_to(limit)).await? {
                Got::Whole { bytes, .. } | Got::Part { bytes, .. } => Ok(Some(Piece::Pack(bytes))),
                Got::NotFound | Got::NotModified => Ok(None),
            }
        }
        Part::Bundle { .. } => {
            let mut request = Get::up_to(MAX_BUNDLE as u64);
            let is_rest = !step.entries.start.is_multiple_of(WIDTH);
            if is_rest {
                request = request.range(tail, None);
            }
            match source.get(&path, &request).await? {
                Got::Whole { mut bytes, .. } if is_rest => {
                    let tail = usize::try_from(tail).expect("a bundle fits in memory");
                    Ok(Some(Piece::Bundle(bytes.split_off(tail.min(bytes.len())))))
                }
                Got::Whole { bytes, .. } | Got::Part { bytes, .. } => {
                    Ok(Some(Piece::Bundle(bytes)))
                }
                Got::NotFound | Got::NotModified => Ok(None),
            }
        }
    }
}
