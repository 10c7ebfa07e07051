//! Transactions that remove and install at once.

use super::kit::{Machine, Patch, name, without_privilege};
use crate::hooks::Action;
use crate::transaction::{Change, PrepareError};

fn old() -> Patch {
    Patch::new("oldacme", "1.0.0")
        .program("usr/bin/acme", "old\n")
        .config("etc/acme.conf", "shared = 1\n")
        .file("opt/oldacme/library", "library\n")
}

fn new() -> Patch {
    Patch::new("acme", "2.0.0")
        .program("usr/bin/acme", "new\n")
        .config("etc/acme.conf", "shared = 2\n")
        .file("opt/acme/library", "library\n")
}

fn replace(patch: &Patch) -> Change {
    Change { install: vec![patch.full()], remove: vec![name("oldacme")], ..Change::default() }
}

#[test]
fn a_path_passes_from_what_goes_to_what_comes() {
    let mut machine = Machine::new();
    machine.install(old().full());
    let before = machine.snapshot();
    let prepared = machine.prepare_change(replace(&new())).expect("prepared");
    assert!(prepared.notices().is_empty(), "{:?}", prepared.notices());
    let outcome = prepared.apply(&mut crate::report::Silent).expect("applied");
    assert_eq!(outcome.changes.len(), 2);
    assert_eq!(machine.read("usr/bin/acme"), "new\n");
    assert_eq!(machine.read("etc/acme.conf"), "shared = 2\n");
    assert!(!machine.exists("opt/oldacme"), "what only the old one had is gone");
    assert_eq!((machine.version("oldacme"), machine.version("acme")), (None, Some("2.0.0".into())));
    let record = machine.database.transaction(outcome.transaction).expect("read").expect("there");
    assert_eq!(record.action, Action::Install);
    machine.rollback(None);
    assert_eq!(machine.snapshot(), before);
    assert_eq!((machine.version("oldacme"), machine.version("acme")), (Some("1.0.0".into()), None));
    machine.rollback(None);
    assert_eq!(machine.read("usr/bin/acme"), "new\n", "a rollback can be rolled back");
    assert_eq!((machine.version("oldacme"), machine.version("acme")), (None, Some("2.0.0".into())));
}

#[test]
fn a_configuration_that_passes_on_keeps_its_local_changes() {
    let mut machine = Machine::new();
    machine.install(old().full());
    machine.write("etc/acme.conf", "shared = mine\n");
    machine
        .prepare_change(replace(&new()))
        .expect("prepared")
        .apply(&mut crate::report::Silent)
        .expect("applied");
    assert_eq!(machine.read("etc/acme.conf"), "shared = mine\n");
    assert_eq!(machine.read("etc/acme.conf.patchctl-new"), "shared = 2\n");
}

#[test]
fn what_goes_is_at_rest_before_what_comes_begins() {
    if without_privilege("running hooks inside a root") {
        return;
    }
    let mut machine = Machine::with_shell();
    let note =
        |patch: Patch, kind| patch.hook(kind, &format!("echo {kind} $PATCHCTL_NAME >> /log"));
    machine.install(note(old(), "pre-remove").full());
    let new = note(note(new(), "pre-install"), "post-install");
    machine
        .prepare_change(replace(&new))
        .expect("prepared")
        .apply(&mut crate::report::Silent)
        .expect("applied");
    assert_eq!(machine.read("log"), "pre-remove oldacme\npre-install acme\npost-install acme\n");
}

#[test]
fn a_change_that_contradicts_itself_is_refused() {
    let mut machine = Machine::new();
    machine.install(old().full());
    let install = vec![old().next("1.1.0").full()];
    let both = Change { install, remove: vec![name("oldacme")], ..Change::default() };
    assert!(matches!(machine.prepare_change(both), Err(PrepareError::Twice(_))));
    let twice = Change { remove: vec![name("oldacme"), name("oldacme")], ..Change::default() };
    assert!(matches!(machine.prepare_change(twice), Err(PrepareError::Twice(_))));
    assert!(matches!(machine.prepare_change(Change::default()), Err(PrepareError::Empty)));
    assert_eq!(machine.version("oldacme").as_deref(), Some("1.0.0"));
}

#[test]
fn without_the_removal_the_owner_is_in_the_way() {
    let mut machine = Machine::new();
    machine.install(old().full());
    let alone = Change { install: vec![new().full()], ..Change::default() };
    let Err(PrepareError::Refused(refusals)) = machine.prepare_change(alone) else {
        panic!("two owners of one file")
    };
    assert_eq!(refusals.len(), 2);
}
