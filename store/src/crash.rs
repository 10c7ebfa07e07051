//! Named points at which a test kills the process, and named steps that a test makes fail.
//!
//! Without `debug_assertions` a point is nothing and a step is the operation alone. With them a step
//! is two places: its name just before it is done, and its name with `.done` just after, as if it
//! had been done and nobody was told. The environment of the process says what happens where:
//!
//! - `COUNTERSIGN_CRASH_LIST=FILE` appends the name of each point, step and done step that is
//!   reached to FILE;
//! - `COUNTERSIGN_CRASH_AT=NAME` or `NAME:N` kills the process with SIGKILL when that place is
//!   reached for the first or Nth time; with `COUNTERSIGN_CRASH_WITH=stop` or `abort` it gets SIGSTOP
//!   or SIGABRT there instead, so that a test can look at the process or at what it leaves behind;
//! - `COUNTERSIGN_FAIL_AT=NAME` or `NAME:N` lets the step fail, with the error number of
//!   `COUNTERSIGN_FAIL_WITH` (5, EIO, unless given), and with `COUNTERSIGN_FAIL_DONE=1` only after
//!   it was done.
//!
//! Within one process, [`with_failures`] makes steps of the calling thread fail, and [`with_crash`]
//! ends what the thread does at any of these places, as far as the disk can tell.

use std::io;

/// Kills the process here where a test wants that.
#[inline]
pub fn crash_point(name: &'static str) {
    #[cfg(debug_assertions)]
    injected::reach(name, false);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

/// Does `operation`, or fails where a test wants that.
#[inline]
pub fn step<T>(name: &'static str, operation: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    #[cfg(debug_assertions)]
    {
        injected::reach(name, false);
        injected::step(name, || {
            let done = operation()?;
            injected::reach(name, true);
            Ok(done)
        })
    }
    #[cfg(not(debug_assertions))]
    {
        let _ = name;
        operation()
    }
}

/// What a thread does for the one that starts it: steps of both fail by one plan of [`with_failures`]
/// of the latter.
pub fn in_part<T>(body: impl FnOnce() -> T) -> impl FnOnce() -> T {
    #[cfg(debug_assertions)]
    {
        injected::in_part(body)
    }
    #[cfg(not(debug_assertions))]
    body
}

#[cfg(debug_assertions)]
pub use injected::{Ended, Failure, with_crash, with_failure, with_failures};

#[cfg(debug_assertions)]
mod injected {
    use std::cell::{Cell, RefCell};
    use std::collections::{HashMap, VecDeque};
    use std::env;
    use std::ffi::OsString;
    use std::fs::OpenOptions;
    use std::io::{self, Write as _};
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

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
        let (value, failed) = with_failures(&[failure], body);
        (value, failed.first().copied())
    }

    /// Calls `body` while some steps of this thread are to fail, each counted from the one that
    /// failed before it, and returns what it returned along with the names of those that did.
    pub fn with_failures<T>(
        failures: &[Failure],
        body: impl FnOnce() -> T,
    ) -> (T, Vec<&'static str>) {
        let ahead = failures.iter().copied().collect();
        let planned = Arc::new(Mutex::new(Planned { ahead, failed: Vec::new() }));
        PLANNED.set(Arc::clone(&planned));
        let value = body();
        PLANNED.take();
        let failed = std::mem::take(&mut lock(&planned).failed);
        (value, failed)
    }

    pub(super) fn in_part<T>(body: impl FnOnce() -> T) -> impl FnOnce() -> T {
        let planned = PLANNED.with_borrow(Arc::clone);
        move || {
            PLANNED.set(planned);
            body()
        }
    }

    fn lock(planned: &Mutex<Planned>) -> MutexGuard<'_, Planned> {
        planned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[derive(Default)]
    struct Planned {
        ahead: VecDeque<Failure>,
        failed: Vec<&'static str>,
    }

    /// How something ended that was to be cut off.
    #[derive(Debug)]
    pub enum Ended<T> {
        /// By itself, with fewer places on its way.
        Whole(T),
        /// At this place.
        Crashed(String),
    }

    /// Calls `body` and cuts it off at the place of this thread that comes after `after` others, as
    /// a kill would: nothing that follows is done. What is in memory is dropped, which a kill does
    /// not do, so nothing under test may do more on a drop than close files.
    pub fn with_crash<T>(after: u32, body: impl FnOnce() -> T) -> Ended<T> {
        CRASH.set(Some(after));
        let ended = catch_unwind(AssertUnwindSafe(body));
        CRASH.set(None);
        match ended {
            Ok(value) => Ended::Whole(value),
            Err(panic) => match panic.downcast::<Crash>() {
                Ok(crash) => Ended::Crashed(crash.0),
                Err(panic) => resume_unwind(panic),
            },
        }
    }

    struct Crash(String);

    thread_local! {
        static PLANNED: RefCell<Arc<Mutex<Planned>>> = RefCell::default();
        static CRASH: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// What the environment asks for.
    struct Plan {
        list: Option<OsString>,
        crash: Option<(String, u32)>,
        signal: Signal,
        fail: Option<(String, u32)>,
        errno: i32,
        done: bool,
    }

    /// How often each place was reached. A name's points and steps count together.
    static REACHED: Mutex<Option<HashMap<Place, u32>>> = Mutex::new(None);

    /// A name, and whether its step was done.
    type Place = (&'static str, bool);

    fn plan() -> &'static Plan {
        static PLAN: OnceLock<Plan> = OnceLock::new();
        PLAN.get_or_init(|| Plan {
            list: env::var_os("COUNTERSIGN_CRASH_LIST"),
            crash: place("COUNTERSIGN_CRASH_AT"),
            signal: match env::var("COUNTERSIGN_CRASH_WITH").as_deref() {
                Ok("stop") => Signal::STOP,
                Ok("abort") => Signal::ABORT,
                _ => Signal::KILL,
            },
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

    pub(super) fn reach(name: &'static str, done: bool) {
        end_thread_here(name, done);
        let plan = plan();
        if plan.list.is_none() && plan.crash.is_none() && plan.fail.is_none() {
            return;
        }
        let count = count((name, done));
        let shown = shown(name, done);
        if let Some(list) = &plan.list {
            let opened = OpenOptions::new().create(true).append(true).open(list);
            let written = opened.and_then(|mut file| writeln!(file, "{shown}"));
            written.expect("COUNTERSIGN_CRASH_LIST names a file that can be written");
        }
        if plan.crash.as_ref().is_some_and(|(at, nth)| *at == shown && *nth == count) {
            kill_process(getpid(), plan.signal).expect("a process may kill itself");
        }
    }

    fn end_thread_here(name: &str, done: bool) {
        match CRASH.get() {
            None => {}
            Some(0) => {
                CRASH.set(None);
                // no panic, which would be reported, but its unwinding
                resume_unwind(Box::new(Crash(shown(name, done))));
            }
            Some(after) => CRASH.set(Some(after - 1)),
        }
    }

    fn shown(name: &str, done: bool) -> String {
        if done { format!("{name}.done") } else { name.to_owned() }
    }

    fn count(place: Place) -> u32 {
        let mut reached = REACHED.lock().unwrap_or_else(PoisonError::into_inner);
        let count = reached.get_or_insert_default().entry(place).or_default();
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
        PLANNED.with_borrow(|planned| {
            let mut planned = lock(planned);
            let next = planned.ahead.front_mut()?;
            if next.after > 0 {
                next.after -= 1;
                return None;
            }
            let Failure { errno, done, .. } = planned.ahead.pop_front()?;
            planned.failed.push(name);
            Some((errno, done))
        })
    }

    fn from_environment(name: &'static str) -> Option<(i32, bool)> {
        let plan = plan();
        let (at, nth) = plan.fail.as_ref()?;
        let reached = REACHED.lock().unwrap_or_else(PoisonError::into_inner);
        let count = reached.as_ref()?.get(&(name, false))?;
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

    #[test]
    fn several_steps_fail_each_counted_from_the_one_before() {
        let failure = |after| Failure { after, errno: 5, done: false };
        let fails = |name| step(name, || Ok(())).is_err();
        let (failing, names) = with_failures(&[failure(1), failure(0), failure(9)], || {
            ["first", "second", "third", "fourth"].map(fails)
        });
        assert_eq!(failing, [false, true, true, false]);
        assert_eq!(names, ["second", "third"]);
    }

    #[test]
    fn a_thread_that_takes_part_fails_by_the_same_plan() {
        let failure = Failure { after: 1, errno: 5, done: false };
        let fails = |name| step(name, || Ok(())).is_err();
        let (failing, failed) = with_failure(failure, || {
            std::thread::scope(|scope| {
                let apart = scope.spawn(move || fails("apart")).join().expect("no panic");
                let first = fails("first");
                let part = scope.spawn(in_part(move || fails("part"))).join().expect("no panic");
                [apart, first, part, fails("last")]
            })
        });
        assert_eq!((failing, failed), ([false, false, true, false], Some("part")));
    }

    #[test]
    fn what_is_cut_off_has_done_what_came_before_and_no_more() {
        let run = |after| {
            let mut log = Vec::new();
            let ended = with_crash(after, || {
                crash_point("begun");
                step("only", || {
                    log.push("only");
                    Ok(())
                })
            });
            match ended {
                Ended::Crashed(place) => (Some(place), log.len()),
                Ended::Whole(result) => (result.err().map(|error| error.to_string()), log.len()),
            }
        };
        assert_eq!(run(0), (Some("begun".into()), 0));
        assert_eq!(run(1), (Some("only".into()), 0));
        assert_eq!(run(2), (Some("only.done".into()), 1));
        assert_eq!(run(3), (None, 1));
    }
}
