//! Going back, and back from going back.

use super::kit::{Machine, Patch, name};
use crate::db::history::TransactionState;
use crate::hooks::Action;
use crate::transaction::{PrepareError, kept_backups, rollback_changes};

fn version(number: u32) -> Patch {
    let text = format!("content {number}");
    Patch::new("acme", &format!("1.{number}.0"))
        .file("opt/acme/changes", &text)
        .file("opt/acme/same", "same")
        .config("etc/acme.conf", &text)
        .file(&format!("opt/acme/only-{number}/file"), &text)
        .directory(&format!("opt/acme/empty-{number}"), 0o700)
}

type State = (std::collections::BTreeMap<String, String>, Vec<String>);

fn state(machine: &Machine) -> State {
    (machine.snapshot(), machine.installed())
}

#[test]
fn goes_back_to_every_earlier_state_and_forth_again() {
    let mut machine = Machine::new();
    let mut states = vec![state(&machine)];
    machine.install(version(0).full());
    states.push(state(&machine));
    machine.install(version(1).since(&version(0)));
    states.push(state(&machine));
    machine.install(Patch::new("other", "1.0.0").file("opt/other", "other").full());
    states.push(state(&machine));
    machine.install(version(2).full());
    states.push(state(&machine));
    machine.remove("acme");
    states.push(state(&machine));
    assert_eq!(kept_backups(&machine.database).expect("read"), [5, 4, 3, 2, 1]);
    for to in [3, 5, 1, 4, 2, 0, 5, 0, 3] {
        let outcome = machine.rollback(Some(to));
        let expected = &states[usize::try_from(to).expect("small")];
        assert_eq!(state(&machine), *expected, "back to {to}");
        let record = machine.database.transaction(outcome.transaction).expect("read");
        let record = record.expect("recorded");
        assert_eq!((record.action, record.rolled_back_to), (Action::Rollback, Some(to)));
        assert_eq!(record.state, TransactionState::Done);
    }
}

#[test]
fn the_last_transaction_is_undone_and_redone() {
    let mut machine = Machine::new();
    machine.install(version(0).full());
    let old = state(&machine);
    machine.install(version(1).since(&version(0)));
    let new = state(&machine);
    let changes = rollback_changes(&machine.database, None).expect("read");
    let text: Vec<_> = changes
        .iter()
        .map(|change| (change.name.to_string(), change.new.as_ref().map(ToString::to_string)))
        .collect();
    assert_eq!(text, [("acme".into(), Some("1.0.0".into()))]);
    machine.rollback(None);
    assert_eq!(state(&machine), old);
    assert_eq!(
        machine.database.held_back().expect("read"),
        [(name("acme"), "1.1.0".parse().expect("a version"))]
    );
    machine.rollback(None);
    assert_eq!(state(&machine), new);
    assert_eq!(machine.database.held_back().expect("read"), []);
}

#[test]
fn an_empty_history_has_nothing_to_go_back_to() {
    let mut machine = Machine::new();
    assert!(matches!(machine.prepare_rollback(None), Err(PrepareError::Empty)));
    machine.install(version(0).full());
    assert!(matches!(machine.prepare_rollback(Some(7)), Err(PrepareError::NoSuchTransaction(7))));
    assert!(matches!(machine.prepare_rollback(Some(1)), Err(PrepareError::Empty)));
    machine.rollback(None);
    assert_eq!(machine.version("acme"), None);
}

#[test]
fn a_damaged_backup_is_found_before_anything_changes() {
    let mut machine = Machine::new();
    machine.install(version(0).full());
    machine.install(version(1).since(&version(0)));
    let before = state(&machine);
    let backups = machine.path(".patchctl/backup/2");
    let mut damaged = 0;
    for entry in std::fs::read_dir(&backups).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.is_file() && std::fs::read(&path).expect("read") == b"content 0" {
            std::fs::write(&path, "content X").expect("written");
            damaged += 1;
        }
    }
    assert!(damaged > 0);
    let error = machine.prepare_rollback(None).expect_err("refused");
    assert!(matches!(error, PrepareError::BackupDamaged { transaction: 2, .. }), "{error}");
    assert_eq!(state(&machine), before);
    assert!(machine.staged().is_empty());
}

#[test]
fn a_rolled_back_file_is_no_alias_of_its_backup() {
    let mut machine = Machine::new();
    machine.install(version(0).full());
    machine.install(version(1).since(&version(0)));
    machine.rollback(None);
    // written in place, as an editor may
    std::fs::write(machine.path("opt/acme/changes"), "edited in place").expect("written");
    machine.rollback(Some(2));
    machine.rollback(Some(1));
    assert_eq!(machine.read("opt/acme/changes"), "content 0");
}
