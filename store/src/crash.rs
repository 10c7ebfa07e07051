//! Named points at which a test kills the process, and named steps that a test makes fail.
//!
//! Without `debug_assertions` a point is nothing and a step is the operation alone. With them the
//! environment of the process says what happens where:
//!
//! - `COUNTERSIGN_CRASH_LIST=FILE` appends the name of each point and step that is reached to FILE;
//! - `COUNTERSIGN_CRASH_AT=NAME` or `NAME:N` kills the process with SIGKILL when the point or step
//!   is reached for the first or Nth time, before the step is done;
//! - `COUNTERSIGN_FAIL_AT=NAME` or `NAME:N` lets the step fail, with the error number of
//!   `COUNTERSIGN_FAIL_WITH` (5, EIO, unless given), and with `COUNTERSIGN_FAIL_DONE=1` only after
//!   it was done.
//!
//! Within one process, [`with_failure`] does the same to the steps of the calling thread.

use std::io;

/// Kills the process here where a test wants that.
#[inline]
pub fn crash_point(name: &'static str) {
    #[cfg(debug_assertions)]
    injected::reach(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

/// Does `operation`, or fails where a test wants that.
#[inline]
pub fn step<T>(name: &'static str, operation: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    #[cfg(debug_assertions)]
    {
        injected::reach(name);
        injected::step(name, operation)
    }
    #[cfg(not(debug_assertions))]
    {
        let _ = name;
        operation()
    }
}

#[cfg(debug_assertions)]
pub use injected::{Failure, with_failure};

#[cfg(debug_assertions)]
mod injected {
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::env;
    use std::ffi::OsString;
    use std::fs::OpenOptions;
    use std::io::{self, Write as _};
    use std::sync::{Mutex, OnceLock, PoisonError};

    use rustix::process::{Signal, getpid, kill_process};

    /// Which step of a thread is to fail, and how.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Failure {
        /// How many steps go well before, whatever their names.
        pub after: u32,
        /// The error number, such as 28 for ENOSPC.
        pub errno: i32,
        /// Whether the step is done before it fails.
        pub done: bool,
    }

    /// Calls `body` while one step of this thread is to fail, and returns what it returned along
    /// with the name of the step that failed, if `body` came so far.
    pub fn with_failure<T>(
        failure: Failure,
        body: impl FnOnce() -> T,
    ) -> (T, Option<&'static str>) {
        PLANNED.set(Some(Planned { failure, failed: None }));
        let value = body();
        let planned = PLANNED.take();
        (value, planned.and_then(|planned| planned.failed))
    }

    struct Planned {
        failure: Failure,
        failed: Option<&'static str>,
    }

    thread_local! {
        static PLANNED: RefCell<Option<Planned>> = const { RefCell::new(None) };
    }

    /// What the environment asks for.
    struct Plan {
        list: Option<OsString>,
        crash: Option<(String, u32)>,
        fail: Option<(String, u32)>,
        errno: i32,
        done: bool,
    }

    /// How often each name was reached. A name's points and steps count together.
    static REACHED: Mutex<Option<HashMap<&'static str, u32>>> = Mutex::new(None);

    fn plan() -> &'static Plan {
        static PLAN: OnceLock<Plan> = OnceLock::new();
        PLAN.get_or_init(|| Plan {
            list: env::var_os("COUNTERSIGN_CRASH_LIST"),
            crash: place("COUNTERSIGN_CRASH_AT"),
            fail: place("COUNTERSIGN_FAIL_AT"),
            errno: env::var("COUNTERSIGN_FAIL_WITH")
                .ok()
                .and_then(|number| number.parse().ok())
                .unwrap_or(5),
            done: env::var_os("COUNTERSIGN_FAIL_DONE").is_some(),
        })
    }

    fn place(variable: &str) -> Option<(String, u32)> {
        let value = env::var(variable).ok()?;
        Some(match value.rsplit_once(':') {
            Some((name, count)) => (name.to_owned(), count.parse().ok()?),
            None => (value, 1),
        })
    }

    pub(super) fn reach(name: &'static str) {
        let plan = plan();
        if plan.list.is_none() && plan.crash.is_none() && plan.fail.is_none() {
            return;
        }
        let count = count(name);
        if let Some(list) = &plan.list {
            let opened = OpenOptions::new().create(true).append(true).open(list);
            let written = opened.and_then(|mut file| writeln!(file, "{name}"));
            written.expect("COUNTERSIGN_CRASH_LIST names a file that can be written");
        }
        if plan.crash.as_ref().is_some_and(|(at, nth)| at == name && *nth == count) {
            kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
        }
    }

    fn count(name: &'static str) -> u32 {
        let mut reached = REACHED.lock().unwrap_or_else(PoisonError::into_inner);
        let count = reached.get_or_insert_default().entry(name).or_default();
        *count += 1;
        *count
    }

    pub(super) fn step<T>(
        name: &'static str,
        operation: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let Some((errno, done)) = planned(name).or_else(|| from_environment(name)) else {
            return operation();
        };
        if done {
            operation()?;
        }
        Err(io::Error::from_raw_os_error(errno))
    }

    fn planned(name: &'static str) -> Option<(i32, bool)> {
        PLANNED.with_borrow_mut(|planned| {
            let planned = planned.as_mut().filter(|planned| planned.failed.is_none())?;
            if planned.failure.after > 0 {
                planned.failure.after -= 1;
                return None;
            }
            planned.failed = Some(name);
            Some((planned.failure.errno, planned.failure.done))
        })
    }

    fn from_environment(name: &str) -> Option<(i32, bool)> {
        let plan = plan();
        let (at, nth) = plan.fail.as_ref()?;
        let reached = REACHED.lock().unwrap_or_else(PoisonError::into_inner);
        let count = reached.as_ref()?.get(name)?;
        (at == name && count == nth).then_some((plan.errno, plan.done))
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn one_step_fails_before_or_after_it_is_done() {
        for done in [false, true] {
            let mut log = Vec::new();
            let failure = Failure { after: 1, errno: 28, done };
            let (result, failed) = with_failure(failure, || {
                for name in ["first", "second", "third"] {
                    step(name, || {
                        log.push(name);
                        Ok(())
                    })?;
                }
                io::Result::Ok(())
            });
            assert_eq!(result.expect_err("it fails").raw_os_error(), Some(28));
            assert_eq!(failed, Some("second"));
            assert_eq!(log, if done { vec!["first", "second"] } else { vec!["first"] });
        }
        let unreached = Failure { after: 3, errno: 28, done: false };
        let (result, failed) = with_failure(unreached, || step("only", || Ok(1)));
        assert_eq!((result.expect("it goes well"), failed), (1, None));
    }
}
