//! Makes every step of a transaction fail once, before and after it is done.

use countersign_store::crash::{Failure, with_failure};

use super::kit::{Machine, Patch};
use crate::transaction::ApplyError;

/// ENOSPC, EIO, EROFS, EMFILE, EACCES.
const ERRORS: [i32; 5] = [28, 5, 30, 24, 13];

fn first() -> Patch {
    Patch::new("acme", "1.0.0")
        .file("opt/acme/replaced", "one")
        .file("opt/acme/removed/file", "one")
        .file("opt/acme/becomes-directory", "one")
        .directory("opt/acme/var", 0o750)
}

fn second() -> Patch {
    first()
        .next("1.1.0")
        .file("opt/acme/replaced", "two")
        .without("opt/acme/removed/file")
        .without("opt/acme/becomes-directory")
        .file("opt/acme/becomes-directory/inner", "two")
        .directory("opt/acme/var", 0o700)
        .link("opt/acme/created", "var")
}

type Case = (&'static str, fn(&mut Machine), Work);
type Work = fn(&mut Machine) -> Result<(), String>;

fn upgrade(machine: &mut Machine) -> Result<(), String> {
    finish(machine.prepare(vec![second().since(&first())]))
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
    let cases: [Case; 3] = [
        ("upgrade", |_| {}, upgrade),
        ("remove", |_| {}, remove),
        ("rollback", |machine| drop(machine.install(second().since(&first()))), roll_back),
    ];
    let mut injected = 0;
    for (name, set_up, work) in cases {
        for done in [false, true] {
            for after in 0.. {
                let errno = ERRORS[after as usize % ERRORS.len()];
                let mut machine = Machine::new();
                machine.install(first().full());
                set_up(&mut machine);
                let old = (machine.snapshot(), machine.installed());
                let failure = Failure { after, errno, done };
                let (result, failed) = with_failure(failure, || work(&mut machine));
                let Some(failed) = failed else {
                    assert!(result.is_ok(), "{name}: {result:?}");
                    break;
                };
                injected += 1;
                let what = format!("{name}, {failed} fails ({errno}, done: {done}): {result:?}");
                let now = (machine.snapshot(), machine.installed());
                match &result {
                    // only what comes after the commit may fail unsaid
                    Ok(()) => assert_eq!(failed, "transaction.clean", "{what}"),
                    Err(error) => {
                        assert_eq!(now, old, "{what}");
                        assert!(error.contains(&format!("os error {errno}")), "{what}");
                    }
                }
                machine.recover();
                assert!(machine.staged().is_empty(), "{what}");
                if result.is_err() {
                    assert_eq!((machine.snapshot(), machine.installed()), old, "{what}");
                    work(&mut machine).unwrap_or_else(|error| panic!("{what}, again: {error}"));
                }
            }
        }
    }
    println!("{injected} failures injected");
    assert!(injected > 100, "{injected}");
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
