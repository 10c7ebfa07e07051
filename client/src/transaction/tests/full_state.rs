//! The state database cannot be written, at every point at which it is written.

use super::kit::{Machine, Patch};
use crate::transaction::{ApplyError, PrepareError};

/// Small pages, so that the file grows often.
const PAGE: u32 = 512;

fn first() -> Patch {
    let one = Patch::new("acme", "1.0.0").directory("opt/acme/var", 0o750);
    (0..8).fold(one, |patch, at| patch.file(&format!("opt/acme/{at}"), &format!("one {at}")))
}

fn second() -> Patch {
    let next = first().next("1.1.0").without("opt/acme/0").config("etc/acme.conf", "two");
    (1..8).fold(next, |patch, at| patch.file(&format!("opt/acme/{at}"), &format!("two {at}")))
}

type Work = fn(&mut Machine) -> Result<(), String>;

/// What is done, and whether to a machine that has the second version.
const WORKS: [(Work, bool); 3] = [(upgrade, false), (remove, false), (roll_back, true)];

fn upgrade(machine: &mut Machine) -> Result<(), String> {
    finish(machine.prepare(vec![second().since(&first())]))
}

fn remove(machine: &mut Machine) -> Result<(), String> {
    finish(machine.prepare_remove("acme"))
}

fn roll_back(machine: &mut Machine) -> Result<(), String> {
    finish(machine.prepare_rollback(Some(1)))
}

fn finish(prepared: Result<crate::transaction::Prepared<'_>, PrepareError>) -> Result<(), String> {
    let chain = crate::transaction::error::chain;
    let applied = prepared.map_err(|error| chain(&error))?.apply(&mut crate::report::Silent);
    match applied {
        Ok(_) => Ok(()),
        Err(error @ ApplyError::UndoFailed { .. }) => panic!("{}", chain(&error)),
        Err(error) => Err(chain(&error)),
    }
}

fn machine(has_second: bool) -> Machine {
    let mut machine = Machine::new();
    let pages = format!("PRAGMA page_size = {PAGE}; VACUUM;");
    machine.database.connection().execute_batch(&pages).expect("smaller pages");
    machine.install(first().full());
    if has_second {
        machine.install(second().since(&first()));
    }
    machine
}

fn pages(machine: &Machine) -> u64 {
    let count = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    let pages = machine.database.connection().query_row("PRAGMA page_count", [], count);
    pages.expect("a number").unsigned_abs()
}

/// Requires that work which fails leaves everything as it was, and goes well once it can be
/// written again.
fn is_whole_after(
    machine: &mut Machine,
    work: Work,
    spoil: impl FnOnce(&Machine),
    mend: impl FnOnce(&Machine),
) -> bool {
    let old = (machine.snapshot(), machine.installed());
    spoil(machine);
    let result = work(machine);
    mend(machine);
    let Err(error) = result else { return false };
    assert_eq!((machine.snapshot(), machine.installed()), old, "{error}");
    machine.recover();
    assert_eq!((machine.snapshot(), machine.installed()), old, "{error}");
    assert!(machine.staged().is_empty(), "{error}");
    work(machine).unwrap_or_else(|again| panic!("after {error}: {again}"));
    true
}

#[test]
fn a_state_that_cannot_grow_leaves_everything_as_it_was() {
    let mut total = 0;
    for (work, has_second) in WORKS {
        for more in 0.. {
            let mut machine = machine(has_second);
            let most = (pages(&machine) + more) * u64::from(PAGE);
            let bound = |most| move |machine: &Machine| machine.database.bound(most).expect("set");
            if !is_whole_after(&mut machine, work, bound(Some(most)), bound(None)) {
                break;
            }
            total += 1;
        }
    }
    println!("the state was full at {total} points");
    assert!(total > 10, "{total}");
}

#[test]
fn a_statement_that_fails_leaves_everything_as_it_was() {
    let machine_now = machine(false);
    let connection = machine_now.database.connection();
    let mut query = connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        .expect("tables");
    let tables: Vec<String> = query
        .query_map([], |row| row.get(0))
        .expect("read")
        .collect::<Result<_, _>>()
        .expect("text");
    let mut failed = 0;
    for (work, has_second) in WORKS {
        for (table, event) in tables
            .iter()
            .flat_map(|table| ["INSERT", "UPDATE", "DELETE"].map(|event| (table, event)))
        {
            let mut machine = machine(has_second);
            let spoil = |machine: &Machine| {
                let trigger = format!(
                    "CREATE TEMP TRIGGER spoiled BEFORE {event} ON main.{table}
                     BEGIN SELECT RAISE(ABORT, 'as if the disk were broken'); END"
                );
                machine.database.connection().execute_batch(&trigger).expect("made");
            };
            let mend = |machine: &Machine| {
                machine.database.connection().execute_batch("DROP TRIGGER spoiled").expect("gone");
            };
            failed += u32::from(is_whole_after(&mut machine, work, spoil, mend));
        }
    }
    println!("{failed} kinds of statement failed");
    assert!(failed > 20, "{failed}");
}
