//! Killing a program at each of its named points, and running it again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::lab::Lab;
use crate::run::{Outcome, Run};
use crate::tree::{copy, replace};

/// A place in a program's run at which it is killed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Point {
    /// The name in the source.
    pub name: String,
    /// The how manieth time it is reached, from 1.
    pub count: u32,
}

impl std::fmt::Display for Point {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.name, self.count)
    }
}

/// Of a point that is reached more often, the first, second and last time are tried and these many
/// in between.
const BETWEEN: u32 = 3;

/// The named points of the programs, by the test that kills a program at each. That each test does is
/// for [`covers`] to see; that no name of the source is missing here, for `crash_coverage.rs`.
pub const COVERED: &[(&str, &[&str])] = &[
    (
        "crash_endpoint::install_upgrade_rollback_and_remove",
        &[
            "transaction.backed-up",
            "transaction.backups-dropped",
            "transaction.before-backup",
            "transaction.checked",
            "transaction.commit",
            "transaction.committed",
            "transaction.journalled",
            "transaction.placed",
            "transaction.staged",
            "transaction.verified",
        ],
    ),
    ("crash_endpoint::while_it_puts_things_back", &["transaction.undone"]),
    ("crash_operations::hooks", &["transaction.hook"]),
    (
        "crash_endpoint::update",
        &["update.authority", "update.chain", "update.committed", "update.folded"],
    ),
    (
        "crash_publisher",
        &[
            "authority.shown",
            "distribution.collection-head",
            "distribution.marked",
            "distribution.patches",
            "mirror.heads",
            "mirror.staged",
            "publish.checkpoint",
            "publish.cleaned",
            "publish.flushed",
            "publish.finished",
            "publish.head",
            "publish.marked",
            "publish.patches",
            "publish.sealed",
            "publish.staged",
            "sync.checkpoint",
            "sync.entries",
            "sync.patch",
            "sync.times",
        ],
    ),
    (
        "thresholds",
        &["publish.abandoned", "publish.journal", "round.imported", "round.signed", "sign.head"],
    ),
    ("crash_operations::enrolment", &["enroll.state", "enroll.updated", "first-boot.enrolled"]),
    (
        "crash_operations::witnesses",
        &[
            "distribution.collection-candidate",
            "publish.candidate",
            "round.witnessed",
            "witness.recorded",
        ],
    ),
    ("crash_operations::restart", &["restart.journal", "restart.log", "restart.record"]),
];

/// The names of the points at which this process has killed a program.
static KILLED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Requires that this process has killed a program at each point that [`COVERED`] says of `test`.
pub fn covers(test: &str) {
    let (_, names) = COVERED.iter().find(|(name, _)| *name == test).expect("it is in the table");
    let killed = KILLED.lock().unwrap_or_else(PoisonError::into_inner);
    let missed: Vec<_> = names.iter().filter(|name| !killed.contains(**name)).collect();
    assert!(missed.is_empty(), "{test} killed nothing at {missed:?}, but at {killed:?}");
}

/// Runs a program that is killed at `point`.
#[track_caller]
pub fn kill(run: Run, point: &Point) -> Outcome {
    let outcome = run.env("COUNTERSIGN_CRASH_AT", point.to_string()).outcome();
    assert_eq!(outcome.code, None, "it was not killed at {point}\n{outcome}");
    KILLED.lock().unwrap_or_else(PoisonError::into_inner).insert(point.name.clone());
    outcome
}

/// Kills `run` at every point that it reaches, each time beginning with the directory `state` of
/// the laboratory as it is now, and calls `check` with the point after each. At the end the
/// directory is as one run that was not disturbed leaves it. Returns how many points were tried.
pub fn at_every_point(
    lab: &Lab,
    state: &str,
    run: impl Fn() -> Run,
    check: impl FnMut(&Point),
) -> usize {
    at_every_point_of(lab, state, 0, run, check)
}

/// As [`at_every_point`], of a run that ends with `code` where nothing disturbs it.
pub fn at_every_point_of(
    lab: &Lab,
    state: &str,
    code: i32,
    run: impl Fn() -> Run,
    mut check: impl FnMut(&Point),
) -> usize {
    let (state, template) = (lab.path(state), lab.path("template"));
    copy(&state, &template).expect("a test's directory can be copied");
    let points = points(lab, run(), code);
    let after = lab.path("after");
    copy(&state, &after).expect("a test's directory can be copied");
    for point in &points {
        replace(&template, &state).expect("a test's directory can be replaced");
        kill(run(), point);
        check(point);
    }
    replace(&after, &state).expect("a test's directory can be replaced");
    for directory in [&template, &after] {
        fs::remove_dir_all(directory).expect("a test's directory can be removed");
    }
    points.len()
}

/// The points that a run reaches, each name's first, second and last time and some in between, in
/// the order in which they are reached. The run must exit with `code`.
pub fn points_in_order(list: &Path, run: Run, code: i32) -> Vec<Point> {
    run.env("COUNTERSIGN_CRASH_LIST", list).exits(code);
    let text = fs::read_to_string(list).unwrap_or_default();
    let tried = chosen(list);
    fs::remove_file(list).expect("it was just written");
    let mut counts = BTreeMap::<&str, u32>::new();
    let mut points = Vec::new();
    for name in text.lines() {
        let count = counts.entry(name).or_default();
        *count += 1;
        points.push(Point { name: name.to_owned(), count: *count });
    }
    points.retain(|point| tried.contains(point));
    points
}

/// Calls `work` with each item and its number, some side by side: starting programs is most of what
/// these tests wait for.
pub fn side_by_side<T: Sync>(items: &[T], work: impl Fn(usize, &T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let take = || {
            while let Some((at, item)) = {
                let at = next.fetch_add(1, Ordering::Relaxed);
                items.get(at).map(|item| (at, item))
            } {
                work(at, item);
            }
        };
        let threads = [scope.spawn(take), scope.spawn(take)];
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

/// The points that a run reaches.
fn points(lab: &Lab, run: Run, code: i32) -> Vec<Point> {
    let list = lab.path("reached");
    run.env("COUNTERSIGN_CRASH_LIST", &list).exits(code);
    let points = chosen(&list);
    fs::remove_file(&list).expect("it was just written");
    points
}

fn chosen(list: &Path) -> Vec<Point> {
    let text = fs::read_to_string(list).unwrap_or_default();
    let mut counts = BTreeMap::<&str, u32>::new();
    for name in text.lines() {
        *counts.entry(name).or_default() += 1;
    }
    assert!(!counts.is_empty(), "no point was reached: these tests need debug assertions");
    let mut points = Vec::new();
    for (name, total) in counts {
        let stride = (total / (BETWEEN + 1)).max(1);
        let is_tried = |count: &u32| *count <= 2 || *count == total || count.is_multiple_of(stride);
        let tried = (1..=total).filter(is_tried);
        points.extend(tried.map(|count| Point { name: name.to_owned(), count }));
    }
    points
}
