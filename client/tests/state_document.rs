//! The examples of `docs/state.md` are run as they stand.

use std::collections::BTreeSet;
use std::path::Path;

use patchctl::db::MIGRATIONS;
use rusqlite::Connection;

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/state.md");
    std::fs::read_to_string(path).expect("the document")
}

/// A database of the newest schema with content, as another user's shell would open it.
fn state() -> Connection {
    let file = format!("tests/schema/{}.sql", MIGRATIONS.len());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let connection = Connection::open_in_memory().expect("a database");
    let text = std::fs::read_to_string(path).expect("a schema");
    connection.execute_batch(&text).expect("content");
    connection.pragma_update(None, "query_only", true).expect("set");
    connection.pragma_update(None, "trusted_schema", false).expect("set");
    connection
}

#[test]
fn every_query_of_the_document_finds_something() {
    let (document, state) = (document(), state());
    let blocks: Vec<&str> = document
        .split("```sql\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect();
    assert!(blocks.len() >= 5);
    for block in blocks {
        let mut statement = state.prepare(block).unwrap_or_else(|error| panic!("{block}: {error}"));
        let mut rows = statement.query([]).expect("rows");
        let first = rows.next().unwrap_or_else(|error| panic!("{block}: {error}"));
        assert!(first.is_some(), "nothing found by {block}");
    }
}

#[test]
fn the_document_names_every_column_of_every_view_and_every_table() {
    let (document, state) = (document(), state());
    let words: BTreeSet<&str> = document.split('`').skip(1).step_by(2).collect();
    for view in ["v_installed", "v_available", "v_history", "v_files"] {
        let section = document.split(&format!("### `{view}`")).nth(1).expect("a section");
        let table = section.split("```sql").next().expect("a table of columns");
        let statement = state.prepare(&format!("SELECT * FROM {view}")).expect("a view");
        for column in statement.column_names() {
            assert!(table.contains(&format!("`{column}`")), "{view}.{column}");
        }
    }
    let mut statement = state
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .expect("a schema");
    let tables = statement.query_map([], |row| row.get::<_, String>(0)).expect("tables");
    for table in tables.map(|table| table.expect("a name")) {
        let known = words.contains(table.as_str()) || table.starts_with("txn_");
        assert!(known, "{table} is not in the document");
    }
}
