//! Several places that serve one repository, tried in order.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::source::Source;
use crate::statistics::Statistics;

/// Sources of one repository in the order of preference. One that failed is asked after all
/// others from then on.
#[derive(Debug)]
pub struct Mirrors {
    sources: Vec<Arc<Source>>,
    failures: Mutex<Vec<Passed>>,
}

/// A source that was passed over, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passed {
    /// The source's name.
    pub source: String,
    /// The error and its causes, from the outermost on.
    pub why: String,
    index: usize,
}

/// An error after which another server may do better.
pub trait Failover: Error {
    /// Whether the fault lies with the server, so that the next one is to be tried. A full disk,
    /// for one, is the same with any server.
    fn is_worth_another_server(&self) -> bool;
}

/// No source succeeded.
#[derive(Debug)]
pub struct AllFailed<E> {
    /// The sources that were asked, in the order they were, each with what went wrong.
    pub failures: Vec<(String, E)>,
}

impl Mirrors {
    /// Sources in the order in which they are to be tried.
    pub fn new(sources: Vec<Source>) -> Self {
        Self { sources: sources.into_iter().map(Arc::new).collect(), failures: Mutex::default() }
    }

    /// All sources, in the order given.
    pub fn sources(&self) -> &[Arc<Source>] {
        &self.sources
    }

    /// Does `attempt` with one source after the other until it succeeds, and says with which.
    pub async fn try_each<T, E: Failover>(
        &self,
        attempt: impl AsyncFn(&Arc<Source>) -> Result<T, E>,
    ) -> Result<(T, &Source), AllFailed<E>> {
        let mut failures = Vec::new();
        for index in self.order() {
            let source = &self.sources[index];
            match attempt(source).await {
                Ok(value) => return Ok((value, source)),
                Err(error) => {
                    let go_on = error.is_worth_another_server();
                    if go_on {
                        self.remember(index, &error);
                    }
                    failures.push((source.name().to_owned(), error));
                    if !go_on {
                        break;
                    }
                }
            }
        }
        Err(AllFailed { failures })
    }

    /// The sources that failed so far, each with its first failure, in the order they failed.
    pub fn failures(&self) -> Vec<Passed> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was asked of all sources together.
    pub fn statistics(&self) -> Statistics {
        self.sources
            .iter()
            .map(|source| source.statistics())
            .fold(Statistics::default(), |sum, one| sum + one)
    }

    /// Indexes of the sources: those that never failed, then the others.
    fn order(&self) -> Vec<usize> {
        let failures = self.failures();
        let failed = |index: &usize| failures.iter().any(|passed| passed.index == *index);
        let (bad, good): (Vec<_>, Vec<_>) = (0..self.sources.len()).partition(failed);
        good.into_iter().chain(bad).collect()
    }

    fn remember(&self, index: usize, error: &dyn Error) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.iter().all(|passed| passed.index != index) {
            let source = self.sources[index].name().to_owned();
            failures.push(Passed { source, why: chain(error), index });
        }
    }
}

/// An error and its causes on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

impl<E> AllFailed<E> {
    /// The error of the source that was asked last; none where there was no source.
    pub fn into_last(mut self) -> Option<E> {
        self.failures.pop().map(|(_, error)| error)
    }
}

impl<E: Error> fmt::Display for AllFailed<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.failures.as_slice() {
            [] => formatter.write_str("no server to ask"),
            [(source, error)] => write!(formatter, "{source}: {}", chain(error)),
            several => {
                write!(formatter, "none of {} servers would do", several.len())?;
                for (source, error) in several {
                    write!(formatter, "; {source}: {}", chain(error))?;
                }
                Ok(())
            }
        }
    }
}

impl<E: Error> Error for AllFailed<E> {}
