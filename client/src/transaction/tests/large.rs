//! Archives that are larger than what is read at a time, so that threads of their own read and write them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use countersign_format::hash::Hash32;
use countersign_store::crash::{Failure, with_failure};

use super::kit::{Machine, Patch, spoiled};
use crate::db::Database;
use crate::report::{Event, Reporter};
use crate::transaction::PrepareError;
use crate::transaction::error::chain;

/// Text that does not compress to nothing.
fn text(seed: &str, length: usize) -> String {
    let mut text = String::with_capacity(length + 64);
    while text.len() < length {
        write!(text, "{}", Hash32::of(format!("{seed}/{}", text.len()).as_bytes()))
            .expect("a String");
    }
    text.truncate(length);
    text
}

/// Files that go over several pieces, many that share one, and some of no bytes among them.
fn large() -> Patch {
    let patch = Patch::new("acme", "1.0.0")
        .file("opt/acme/a-huge", &text("huge", 3_000_000))
        .file("opt/acme/b-empty", "")
        .file("opt/acme/c-piece", &text("piece", 256 * 1024))
        .file("opt/acme/z-last", &text("last", 700_001))
        .file("opt/acme/zz-empty", "");
    (0..300).fold(patch, |patch, number| {
        let name = format!("opt/acme/many/{number:03}");
        patch.file(&name, &text(&name, number * 7))
    })
}

#[test]
fn what_comes_in_pieces_is_put_together_right() {
    let mut machine = Machine::new();
    machine.install(large().full());
    let patch = large();
    for (path, file) in patch.files() {
        let content = machine.read(path);
        assert_eq!((content.len() as u64, Hash32::of(content.as_bytes())), file, "{path}");
    }
    assert_eq!(patch.files().count(), 305);
}

#[test]
fn a_spoiled_archive_is_noticed_behind_what_was_written() {
    let mut machine = Machine::new();
    machine.write("opt/mine", "mine");
    let old = machine.snapshot();
    let error = machine.prepare(vec![spoiled(large().full())]).expect_err("refused");
    assert!(matches!(error, PrepareError::Archive { .. }), "{}", chain(&error));
    assert_eq!(machine.snapshot(), old);
    assert!(machine.staged().is_empty());
    machine.install(large().full());
}

#[test]
fn reading_ends_where_writing_fails() {
    let mut machine = Machine::new();
    let old = machine.snapshot();
    let mut tried = BTreeMap::<_, u32>::new();
    for after in (0..).step_by(41) {
        let failure = Failure { after, errno: 28, done: false };
        let (prepared, failed) = with_failure(failure, || {
            let prepared = machine.prepare(vec![large().full()]);
            prepared.and_then(crate::transaction::Prepared::discard).map_err(|error| chain(&error))
        });
        let Some(failed) = failed else { break };
        let error = prepared.expect_err(failed);
        assert!(error.contains("os error 28"), "{failed}: {error}");
        assert_eq!(machine.snapshot(), old, "{failed}");
        machine.recover();
        assert!(machine.staged().is_empty(), "{failed}");
        *tried.entry(failed).or_default() += 1;
    }
    // files are made on one thread and filled on another
    assert!(tried["transaction.stage"] > 3 && tried["transaction.write"] > 3, "{tried:?}");
    machine.install(large().full());
}

/// Reads the state as another process does, whenever something is flushed.
struct Reader(std::path::PathBuf, Vec<Result<usize, String>>);

impl Reporter for Reader {
    fn report(&mut self, event: &Event<'_>) {
        if *event == Event::Flushing {
            let installed = Database::open_read_only(&self.0).and_then(|state| state.installed());
            let installed = installed.map(|installed| installed.len());
            self.1.push(installed.map_err(|error| chain(&error)));
        }
    }
}

#[test]
fn the_state_is_read_while_files_are_placed() {
    let mut machine = Machine::new();
    // the rows of the commit have no room in it
    machine.database.connection().pragma_update(None, "cache_size", 10).expect("set");
    let patch = (0..2000).fold(Patch::new("acme", "1.0.0"), |patch, number| {
        patch.file(&format!("opt/acme/{number:04}"), "")
    });
    let mut reader = Reader(machine.database.path().to_owned(), Vec::new());
    let prepared = machine.prepare(vec![patch.full()]).expect("prepared");
    prepared.apply(&mut reader).expect("applied");
    assert_eq!(reader.1, [Ok(0), Ok(0)]);
    assert_eq!(machine.version("acme").as_deref(), Some("1.0.0"));
}
