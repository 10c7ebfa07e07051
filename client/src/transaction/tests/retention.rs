//! What is kept for rollbacks, and what is not.

use std::fs;

use super::kit::{Machine, Patch};
use crate::transaction::{
    Freed, PrepareError, Retention, drop_backups, droppable, kept_backups, retain,
};

fn version(number: u32) -> Patch {
    Patch::new("acme", &format!("1.{number}.0"))
        .file("opt/program", &format!("{number}").repeat(100_000))
        .file("opt/same", "same")
}

/// A machine on which versions 0 to `last` were installed one after another.
fn machine(last: u32, retention: Retention) -> Machine {
    let mut machine = Machine::new();
    machine.retention = retention;
    for number in 0..=last {
        machine.install(version(number).full());
    }
    machine
}

fn backups(machine: &Machine) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(machine.path(".patchctl/backup")).expect("listed") {
        let path = entry.expect("an entry").path();
        let files = fs::read_dir(&path).expect("listed").count();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        found.push(format!("{name}: {files}"));
    }
    found.sort();
    found
}

#[test]
fn the_oldest_go_after_each_transaction() {
    let mut machine = machine(4, Retention { transactions: Some(2), ..Retention::UNBOUNDED });
    assert_eq!(kept_backups(&machine.database).expect("read"), [5, 4]);
    assert_eq!(backups(&machine), ["4: 1", "5: 1"]);
    assert!(matches!(machine.prepare_rollback(Some(2)), Err(PrepareError::BackupsDropped(3))));
    let history = machine.database.history().expect("read");
    assert_eq!(history.len(), 5, "the history says all of it");
    assert_eq!(history.iter().filter(|record| record.kept).count(), 2);
    machine.rollback(Some(3));
    assert_eq!(machine.version("acme").as_deref(), Some("1.2.0"));
    // the rollback is a transaction itself, and the one before it is still there
    assert_eq!(kept_backups(&machine.database).expect("read"), [6, 5]);
    machine.rollback(None);
    assert_eq!(machine.version("acme").as_deref(), Some("1.4.0"));
}

#[test]
fn what_is_freed_is_what_was_said_and_what_there_was() {
    let machine = machine(2, Retention::UNBOUNDED);
    let said = droppable(&machine.database, &machine.root, 2).expect("measured");
    let freed = drop_backups(&machine.database, &machine.root, 2).expect("dropped");
    assert_eq!(said, freed);
    assert_eq!((freed.transactions.as_slice(), freed.size.files), ([2].as_slice(), 1));
    assert!((100_000..200_000).contains(&freed.size.bytes), "{freed:?}");
    let again = drop_backups(&machine.database, &machine.root, 2).expect("nothing is left");
    assert_eq!(again, Freed { transactions: vec![2], ..Freed::default() });
}

#[test]
fn size_bounds_what_is_kept() {
    let machine = machine(3, Retention { size: Some(250_000), ..Retention::UNBOUNDED });
    assert_eq!(kept_backups(&machine.database).expect("read"), [4, 3]);
}

#[test]
fn local_changes_outlive_every_retention() {
    let mut machine = machine(0, Retention::NOTHING);
    machine.write("opt/program", "patched by hand");
    let outcome = machine.install(version(1).full());
    let [crate::db::history::Notice::KeptAside { copy, .. }] = &outcome.notices[..] else {
        panic!("{:?}", outcome.notices)
    };
    assert_eq!(kept_backups(&machine.database).expect("read"), [0; 0]);
    let freed = retain(&machine.database, &machine.root, Retention::NOTHING, u64::MAX);
    assert_eq!(freed.expect("nothing is left"), Freed::default());
    assert_eq!(machine.read(copy), "patched by hand");
    assert!(matches!(machine.prepare_rollback(None), Err(PrepareError::BackupsDropped(2))));
}

#[test]
fn what_a_crash_left_of_dropped_backups_goes_at_the_next_start() {
    let mut machine = machine(2, Retention::UNBOUNDED);
    crate::journal::backups_dropped(machine.database.connection(), 2).expect("said");
    assert_eq!(backups(&machine), ["1: 0", "2: 1", "3: 1"]);
    machine.recover();
    assert_eq!(backups(&machine), ["1: 0", "3: 1"]);
    machine.rollback(None);
    assert_eq!(machine.version("acme").as_deref(), Some("1.1.0"));
}

#[test]
fn dropping_behind_a_rollback_does_not_take_what_it_brought_back() {
    let mut machine = machine(3, Retention::UNBOUNDED);
    machine.rollback(Some(1));
    for transaction in [2, 3, 4] {
        drop_backups(&machine.database, &machine.root, transaction).expect("dropped");
    }
    assert_eq!(machine.read("opt/program"), "0".repeat(100_000));
    machine.rollback(None);
    assert_eq!(machine.version("acme").as_deref(), Some("1.3.0"));
    assert_eq!(machine.read("opt/program"), "3".repeat(100_000));
}
