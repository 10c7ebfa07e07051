//! Files that come as changes to others.

use std::fs;

use countersign_format::archive::ArchiveError;
use countersign_format::manifest::BasesError;

use super::kit::{Machine, Patch};
use crate::report::Silent;
use crate::transaction::{BaseError, PlannedPatch, PrepareError};
use crate::verify::verify_installed;

const AGENT: &str = "opt/acme/agent";
const OLD_LIBRARY: &str = "opt/acme/lib.so.1";
const NEW_LIBRARY: &str = "opt/acme/lib.so.2";

fn first() -> Patch {
    Patch::new("acme", "1.0.0")
        .program(AGENT, &format!("the agent, one {}", "~".repeat(3000)))
        .file(OLD_LIBRARY, "a library, as it was first")
        .file("opt/acme/same", "same")
        .config("etc/acme.conf", "setting = 1\n")
}

fn second() -> Patch {
    first()
        .next("1.1.0")
        .program(AGENT, &format!("the agent, two {} and more", "~".repeat(3000)))
        .without(OLD_LIBRARY)
        .file(NEW_LIBRARY, "a library, as it is second")
}

fn third() -> Patch {
    second()
        .next("1.2.0")
        .program(AGENT, &format!("the agent, III {} and more!", "~".repeat(3000)))
        .file(NEW_LIBRARY, "a library, as it is finally")
}

fn to_second() -> PlannedPatch {
    second().changes_since(&first(), &[(AGENT, AGENT), (NEW_LIBRARY, OLD_LIBRARY)])
}

fn to_third() -> PlannedPatch {
    third().changes_since(&second(), &[(AGENT, AGENT), (NEW_LIBRARY, NEW_LIBRARY)])
}

fn assert_is(machine: &Machine, version: &str, agent: &str, library: &str) {
    assert_eq!(machine.version("acme").as_deref(), Some(version));
    assert!(machine.read(AGENT).starts_with(agent));
    assert_eq!(machine.read(NEW_LIBRARY), library);
    assert!(!machine.path(OLD_LIBRARY).exists());
    assert!(machine.staged().is_empty(), "staging is cleaned");
    let found = verify_installed(&machine.database, &machine.root, &[], &mut Silent);
    assert_eq!(found.expect("compared"), []);
}

/// Why a patch does not fit a machine on which nothing is different afterwards.
fn misfit(machine: &mut Machine, patches: Vec<PlannedPatch>) -> BaseError {
    let before = machine.snapshot();
    let error = machine.prepare(patches).expect_err("refused");
    assert_eq!(machine.snapshot(), before);
    assert!(machine.staged().is_empty(), "staging is cleaned");
    match error {
        PrepareError::Delta { source, .. } => *source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn changes_make_the_files() {
    let mut machine = Machine::new();
    machine.install(first().full());
    machine.install(to_second());
    assert_is(&machine, "1.1.0", "the agent, two", "a library, as it is second");
    machine.install(to_third());
    assert_is(&machine, "1.2.0", "the agent, III", "a library, as it is finally");
    machine.rollback(Some(1));
    assert_eq!(machine.read(OLD_LIBRARY), "a library, as it was first");
}

#[test]
fn in_a_chain_what_was_staged_is_the_base() {
    let mut machine = Machine::new();
    machine.install(first().full());
    machine.try_install(vec![to_second(), to_third()]).expect("applied");
    assert_is(&machine, "1.2.0", "the agent, III", "a library, as it is finally");
    // where nothing was before, and where something else was
    let mut machine = Machine::new();
    machine.try_install(vec![first().full(), to_second(), to_third()]).expect("applied");
    assert_is(&machine, "1.2.0", "the agent, III", "a library, as it is finally");
}

#[test]
fn what_was_changed_here_is_no_base() {
    let mut machine = Machine::new();
    machine.install(first().full());
    // as long as before, and otherwise
    for content in ["a library, as IT was first", "another"] {
        machine.write(OLD_LIBRARY, content);
        let error = misfit(&mut machine, vec![to_second()]);
        assert!(matches!(error, BaseError::Changed(path) if path.as_str() == OLD_LIBRARY));
    }
    fs::remove_file(machine.path(OLD_LIBRARY)).expect("removed");
    let error = misfit(&mut machine, vec![to_second()]);
    assert!(matches!(error, BaseError::NotThere { .. }), "{error:?}");
    // the right content, but not there
    machine.write("elsewhere", "a library, as it was first");
    machine.link(OLD_LIBRARY, "../../elsewhere");
    let error = misfit(&mut machine, vec![to_second()]);
    assert!(matches!(error, BaseError::NotThere { .. }), "{error:?}");
    fs::remove_file(machine.path(OLD_LIBRARY)).expect("removed");
    fs::create_dir(machine.path(OLD_LIBRARY)).expect("made");
    let error = misfit(&mut machine, vec![to_second()]);
    assert!(matches!(error, BaseError::NotThere { .. }), "{error:?}");
    // the full patch needs none of it
    fs::remove_dir(machine.path(OLD_LIBRARY)).expect("removed");
    machine.install(second().full());
    assert_is(&machine, "1.1.0", "the agent, two", "a library, as it is second");
}

#[test]
fn changes_to_another_tree_do_not_fit() {
    let other = first().file(OLD_LIBRARY, "a library of another make");
    let mut machine = Machine::new();
    machine.install(other.full());
    let error = misfit(&mut machine, vec![to_second()]);
    assert!(matches!(error, BaseError::Tree(BasesError::Others { .. })), "{error:?}");
    let mut machine = Machine::new();
    machine.install(first().without(OLD_LIBRARY).full());
    let error = misfit(&mut machine, vec![to_second()]);
    assert!(matches!(error, BaseError::Tree(BasesError::NotThere(_))), "{error:?}");
}

#[test]
fn changes_that_make_something_else_are_refused() {
    let mut machine = Machine::new();
    machine.install(first().full());
    // the delta of another file, though as long
    let wrong = second().program(AGENT, &format!("the agent, bad {} and more", "~".repeat(3000)));
    let patch = second().with_changes_of(&wrong, &first(), AGENT);
    let before = machine.snapshot();
    match machine.prepare(vec![patch]).expect_err("refused") {
        PrepareError::Archive { source, .. } => {
            assert!(matches!(*source, ArchiveError::Content { .. }), "{source:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(machine.snapshot(), before);
    assert!(machine.staged().is_empty(), "staging is cleaned");
}
