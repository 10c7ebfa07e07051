//! Makes every step of a transaction fail once, before and after it is done.

use countersign_store::crash::{Failure, with_failure, with_failures};

use super::kit::{Machine, Patch};
use crate::transaction::ApplyError;

/// ENOSPC, EIO, EROFS, EMFILE, EACCES.
const ERRORS: [i32; 5] = [28, 5, 30, 24, 13];

fn first() -> Patch {
    Patch::new("acme", "1.0.0")
        .file("opt/acme/replaced", "one, and much that stays")
        .file("opt/acme/removed/file", "one")
        .file("opt/acme/becomes-directory", "one")
        .directory("opt/acme/var", 0o750)
}

fn second() -> Patch {
    first()
        .next("1.1.0")
        .file("opt/acme/replaced", "two, and much that stays")
        .without("opt/acme/removed/file")
        .without("opt/acme/becomes-directory")
        .file("opt/acme/becomes-directory/inner", "two")
        .directory("opt/acme/var", 0o700)
        .link("opt/acme/created", "var")
}

type Case = (&'static str, fn(&mut Machine), Work);
type Work = fn(&mut Machine) -> Result<(), String>;

fn two_versions(machine: &mut Machine) {
    machine.install(first().full());
    machine.install(second().since(&first()));
}

fn install(machine: &mut Machine) -> Result<(), String> {
    finish(machine.prepare(vec![first().full()]))
}

fn upgrade(machine: &mut Machine) -> Result<(), String> {
    let changes = [("opt/acme/replaced", "opt/acme/replaced")];
    finish(machine.prepare(vec![second().changes_since(&first(), &changes)]))
}

fn remove(machine: &mut Machine) -> Result<(), String> {
    finish(machine.prepare_remove("acme"))
}

fn roll_back(machine: &mut Machine) -> Result<(), String> {
    finish(machine.prepare_rollback(Some(1)))
}

fn finish(
    prepared: Result<crate::transaction::Prepared<'_>, crate::transaction::PrepareError>,
) -> Result<(), String> {
    let prepared = prepared.map_err(|error| format!("prepare: {}", chain(&error)))?;
    match prepared.apply(&mut crate::report::Silent) {
        Ok(_) => Ok(()),
        Err(error @ ApplyError::UndoFailed { .. }) => panic!("{}", chain(&error)),
        Err(error) => Err(format!("apply: {}", chain(&error))),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    crate::transaction::error::chain(error)
}

#[test]
fn one_failing_call_anywhere_leaves_the_old_state_or_the_new() {
    let cases: [Case; 4] = [
        ("install", |_| {}, install),
        ("upgrade", |machine| drop(machine.install(first().full())), upgrade),
        ("remove", |machine| drop(machine.install(first().full())), remove),
        ("rollback", two_versions, roll_back),
    ];
    let inject = |(name, set_up, work): Case| {
        let mut injected = 0;
        for (errno, done) in ERRORS.into_iter().flat_map(|errno| [(errno, false), (errno, true)]) {
            for after in 0.. {
                let mut machine = Machine::new();
                set_up(&mut machine);
                if !fails_once(&mut machine, work, Failure { after, errno, done }, name) {
                    break;
                }
                injected += 1;
            }
        }
        println!("{name}: {injected} failing calls");
        injected
    };
    let total: u32 = std::thread::scope(|scope| {
        let threads = cases.map(|case| scope.spawn(move || inject(case)));
        threads.map(|thread| thread.join().expect("nothing else went wrong")).iter().sum()
    });
    println!("{total} failing calls in all, each with every error, not done and done");
    assert!(total > 700, "{total}");
}

/// Whether the work came so far that the call failed. If it did, the machine is as before, with
/// nothing left over, and the same work goes well then.
fn fails_once(machine: &mut Machine, work: Work, failure: Failure, name: &str) -> bool {
    let old = (machine.snapshot(), machine.installed());
    let (result, failed) = with_failure(failure, || work(machine));
    let Some(failed) = failed else {
        assert!(result.is_ok(), "{name}: {result:?}");
        return false;
    };
    let what = format!("{name}, {failed} with {failure:?}: {result:?}");
    match &result {
        // only what comes after the commit may fail unsaid
        Ok(()) => assert_eq!(failed, "transaction.clean", "{what}"),
        Err(error) => {
            assert_eq!((machine.snapshot(), machine.installed()), old, "{what}");
            assert!(error.contains(&format!("os error {}", failure.errno)), "{what}");
            assert!(error.contains(" /"), "it names the path: {what}");
        }
    }
    machine.recover();
    assert!(machine.staged().is_empty(), "{what}");
    if result.is_err() {
        assert_eq!((machine.snapshot(), machine.installed()), old, "{what}");
        work(machine).unwrap_or_else(|error| panic!("{what}, again: {error}"));
    }
    true
}

/// Where putting back fails too, that is said, and the next start goes on with it.
#[test]
fn an_undo_that_fails_is_told_apart_and_ended_at_the_next_start() {
    let (mut undoing, mut later) = (0, 0);
    for done in [false, true] {
        for after in 0.. {
            let mut machine = Machine::new();
            machine.install(first().full());
            let old = (machine.snapshot(), machine.installed());
            // the last step that is placed, and then one of those that undo
            let place = Failure { after: last_step(), errno: 5, done: false };
            let undo = Failure { after, errno: 28, done };
            let (result, failed) = with_failures(&[place, undo], || {
                let prepared = machine.prepare(vec![second().since(&first())]).expect("prepared");
                prepared.apply(&mut crate::report::Silent)
            });
            let [_, second] = failed.as_slice() else {
                assert!(matches!(result, Err(ApplyError::RolledBack { .. })), "{result:?}");
                break;
            };
            match (*second, result) {
                ("transaction.undo" | "transaction.flush", Err(ApplyError::UndoFailed { .. })) => {
                    undoing += 1;
                }
                ("transaction.clean", Err(ApplyError::RolledBack { .. })) => later += 1,
                (second, result) => panic!("{second} failed: {result:?}"),
            }
            machine.recover();
            assert_eq!((machine.snapshot(), machine.installed()), old, "{second}");
            assert!(machine.staged().is_empty());
            machine.install(second_version());
        }
    }
    println!("{undoing} failures of an undo, {later} after it");
    assert!(undoing > 10 && later > 0, "{undoing} {later}");
}

fn second_version() -> crate::transaction::PlannedPatch {
    second().since(&first())
}

/// How many steps of the upgrade go well before the last one that is placed.
fn last_step() -> u32 {
    let mut found = 0;
    for after in 0.. {
        let mut machine = Machine::new();
        machine.install(first().full());
        let failure = Failure { after, errno: 5, done: false };
        let (_, failed) = with_failure(failure, || upgrade(&mut machine));
        match failed {
            Some("transaction.metadata") => found = after,
            None => break,
            Some(_) => {}
        }
    }
    found
}

#[test]
fn a_directory_that_cannot_be_moved_is_removed_and_made_anew() {
    const EXDEV: i32 = 18;
    let mut reached = 0;
    for after in 0.. {
        let mut machine = Machine::new();
        machine.install(first().full());
        let failure = Failure { after, errno: EXDEV, done: false };
        let (result, failed) = with_failure(failure, || remove(&mut machine));
        if failed == Some("transaction.remove-directory") {
            reached += 1;
            assert_eq!(result, Ok(()));
            assert!(!machine.exists("opt"));
            machine.rollback(None);
            assert!(machine.exists("opt/acme/var"));
        }
        if failed.is_none() {
            break;
        }
    }
    assert!(reached > 3, "{reached}");
}

/// A state that was lost, or another state of the same root, had transactions of the same numbers.
#[test]
fn backups_of_another_state_are_not_put_back() {
    let mut reached = 0;
    for after in 0.. {
        let mut machine = Machine::new();
        machine.install(first().full());
        for slot in 1..30 {
            machine.write(&format!(".patchctl/backup/2/{slot}"), "of another state");
            machine.write(&format!(".patchctl/staging/2/{slot}"), "of another state");
        }
        let old = (machine.snapshot(), machine.installed());
        let failure = Failure { after, errno: 5, done: false };
        let (result, failed) = with_failure(failure, || remove(&mut machine));
        match (result, failed) {
            (Ok(()), None) => break,
            (Ok(()), Some(failed)) => assert_eq!(failed, "transaction.clean"),
            (Err(error), failed) => {
                assert!(error.contains("os error 5"), "{failed:?}: {error}");
                reached += 1;
                assert_eq!((machine.snapshot(), machine.installed()), old, "{failed:?}");
            }
        }
        let kept = if machine.exists(".patchctl/backup/2.other-1") { "2.other-1" } else { "2" };
        let kept = machine.read(&format!(".patchctl/backup/{kept}/7"));
        assert_eq!(kept, "of another state", "somebody may need it");
    }
    assert!(reached > 5, "{reached}");
}
