//! Databases of every earlier schema are brought up to date with all that they hold.
//!
//! `schema/N.sql` is a database of `user_version` N, as the release wrote it that had this schema,
//! with content in every table. Whoever adds a migration makes the file of the new version by
//! `cargo test -p patchctl --test schema -- --ignored`, and puts content into the new tables by hand.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use common::Machine;
use patchctl::db::{Database, MIGRATIONS};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// Every row of every table, as literals of SQL, by table.
type Content = BTreeMap<String, Vec<String>>;

fn dump_of(version: usize) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/schema/{version}.sql"))
}

/// A database of an earlier schema.
fn load(version: usize, path: &Path) {
    let file = dump_of(version);
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; see the test's header", file.display()));
    let connection = Connection::open(path).expect("a database");
    connection.execute_batch(&text).unwrap_or_else(|error| panic!("{version}.sql: {error}"));
}

fn schema(connection: &Connection) -> Vec<(String, String, String)> {
    let mut statement = connection
        .prepare(
            "SELECT type, name, sql FROM sqlite_schema
             WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type, name",
        )
        .expect("a schema");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    rows.expect("rows").map(|row| row.expect("a row")).collect()
}

/// The rows of a table, with the named columns or all there are.
fn rows(connection: &Connection, table: &str, columns: &str) -> Vec<String> {
    let mut statement =
        connection.prepare(&format!("SELECT {columns} FROM {table}")).expect("a table");
    let count = statement.column_count();
    let mut rows = statement.query([]).expect("rows");
    let mut content = Vec::new();
    while let Some(row) = rows.next().expect("a row") {
        let values: Vec<_> =
            (0..count).map(|at| literal(row.get_ref(at).expect("a value"))).collect();
        content.push(values.join(", "));
    }
    content.sort();
    content
}

fn literal(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => {
            format!("'{}'", String::from_utf8_lossy(text).replace('\'', "''"))
        }
        ValueRef::Blob(bytes) => {
            bytes.iter().fold("X'".to_owned(), |mut text, byte| {
                write!(text, "{byte:02X}").expect("a String takes all");
                text
            }) + "'"
        }
    }
}

fn columns(connection: &Connection, table: &str) -> String {
    let statement = connection.prepare(&format!("SELECT * FROM {table}")).expect("a table");
    statement.column_names().collect::<Vec<_>>().join(", ")
}

fn tables(connection: &Connection) -> Vec<String> {
    let of = |(kind, name, _): (String, String, String)| (kind == "table").then_some(name);
    schema(connection).into_iter().filter_map(of).collect()
}

/// Columns as the newest schema has them: what was a table of patches is a view of texts.
fn as_now(table: &str, columns: &str) -> String {
    if table != "patch" {
        return columns.to_owned();
    }
    let text = "CAST(rtrim(CAST(entry AS TEXT), char(10)) AS TEXT)";
    columns.replace("archive", "lower(hex(archive))").replace("entry", text)
}

#[test]
fn every_earlier_schema_is_migrated_with_its_content() {
    let directory = tempfile::tempdir().expect("a directory");
    let fresh = directory.path().join("fresh.db");
    drop(Database::create(&fresh).expect("created"));
    let newest = schema(&Connection::open(&fresh).expect("opened"));
    for version in 1..=MIGRATIONS.len() {
        let path = directory.path().join(format!("{version}.db"));
        load(version, &path);
        let old = Connection::open(&path).expect("opened");
        let selected: Vec<_> =
            tables(&old).into_iter().map(|table| (columns(&old, &table), table)).collect();
        let before: Content = selected
            .iter()
            .map(|(columns, table)| (table.clone(), rows(&old, table, &as_now(table, columns))))
            .collect();
        let empty: Vec<_> = before.iter().filter(|(_, rows)| rows.is_empty()).collect();
        assert!(empty.is_empty(), "{version}.sql has nothing in {empty:?}");
        drop(old);

        let mut database = Database::open_for_write(&path).expect("an older schema opens");
        database.migrate().unwrap_or_else(|error| panic!("from {version}: {error}"));
        drop(database);
        drop(Database::open_read_only(&path).expect("up to date"));
        let migrated = Connection::open(&path).expect("opened");
        assert_eq!(schema(&migrated), newest, "from {version}");
        for (columns, table) in &selected {
            assert_eq!(rows(&migrated, table, columns), before[table], "{table} from {version}");
        }
        let check: String =
            migrated.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
        assert_eq!(check, "ok", "from {version}");
        for view in ["v_installed", "v_available", "v_history", "v_files"] {
            rows(&migrated, view, "*");
        }
    }
}

#[test]
fn the_program_migrates_when_it_writes_and_says_so_when_it_only_reads() {
    let machine = Machine::enrolled(&common::two_versions());
    let path = machine.root("var/lib/patchctl/state.db");
    for version in 1..MIGRATIONS.len() {
        std::fs::remove_file(&path).expect("removed");
        load(version, &path);
        machine.run(&["history"]).code(1).says("patchctl update");
        // whatever becomes of the command, the state is brought up to date first
        machine.run(&["unhold", "acme-agent"]);
        machine.run(&["history"]).success().says("acme-agent");
    }
}

#[test]
fn what_is_newer_stays_as_it_is() {
    let machine = Machine::enrolled(&common::two_versions());
    let path = machine.root("var/lib/patchctl/state.db");
    let newer = Connection::open(&path).expect("opened");
    newer.pragma_update(None, "user_version", 999).expect("set");
    drop(newer);
    let before = std::fs::read(&path).expect("a state");
    for command in [&["status"][..], &["update"], &["install", "acme-agent", "--yes"], &["check"]] {
        machine.run(command).code(1).says("newer patchctl");
    }
    assert_eq!(std::fs::read(&path).expect("a state"), before);
}

/// Writes the file of the newest schema from the one before.
#[test]
#[ignore = "for whoever adds a migration"]
fn write_the_newest() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state.db");
    load(MIGRATIONS.len() - 1, &path);
    let mut database = Database::open_for_write(&path).expect("opened");
    database.migrate().expect("migrated");
    drop(database);
    let connection = Connection::open(&path).expect("opened");
    let mut text = format!(
        "PRAGMA application_id = {};\nPRAGMA user_version = {};\n\
         PRAGMA foreign_keys = OFF;\nBEGIN;\n",
        0x4353_7374,
        MIGRATIONS.len()
    );
    let schema = schema(&connection);
    let kinds: BTreeSet<_> = schema.iter().map(|(kind, ..)| kind.as_str()).collect();
    assert!(kinds.is_subset(&["index", "table", "trigger", "view"].into()), "{kinds:?}");
    for wanted in ["table", "index", "view", "trigger"] {
        for (_, _, sql) in schema.iter().filter(|(kind, ..)| kind == wanted) {
            writeln!(text, "{sql};").expect("a String takes all");
        }
    }
    for table in tables(&connection) {
        let columns = columns(&connection, &table);
        for row in rows(&connection, &table, &columns) {
            writeln!(text, "INSERT INTO {table} ({columns}) VALUES ({row});").expect("a String");
        }
    }
    text.push_str("COMMIT;\n");
    std::fs::write(dump_of(MIGRATIONS.len()), text).expect("written");
}
