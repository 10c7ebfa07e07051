//! Opening the state database.

use super::*;

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state.db");
    (directory, path)
}

#[test]
fn first_use_is_only_what_create_makes() {
    let (_directory, path) = temporary();
    assert!(matches!(Database::open_for_write(&path), Err(DatabaseError::Missing(_))));
    assert!(matches!(Database::open_read_only(&path), Err(DatabaseError::Missing(_))));
    drop(Database::create(&path).expect("created"));
    assert!(matches!(Database::create(&path), Err(DatabaseError::Exists(_))));
    let database = Database::open_for_write(&path).expect("opened");
    let synchronous: i64 =
        database.connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).expect("a value");
    assert_eq!(synchronous, 3, "EXTRA");
    let keys: i64 = database
        .connection
        .query_row("PRAGMA foreign_keys", [], |row| row.get(0))
        .expect("a value");
    assert_eq!(keys, 1);
    assert!(!path.with_extension("db.new").exists());
}

#[test]
fn empty_torn_and_foreign_files_are_refused() {
    let (_directory, path) = temporary();
    std::fs::write(&path, b"").expect("written");
    assert!(matches!(Database::open_for_write(&path), Err(DatabaseError::Corrupt { .. })));
    assert!(matches!(Database::open_read_only(&path), Err(DatabaseError::Corrupt { .. })));
    std::fs::write(&path, vec![7; 8192]).expect("written");
    assert!(matches!(Database::open_for_write(&path), Err(DatabaseError::Corrupt { .. })));
    std::fs::remove_file(&path).expect("removed");
    let other = Connection::open(&path).expect("opened");
    other.execute_batch("CREATE TABLE t (a); PRAGMA user_version = 1").expect("made");
    drop(other);
    assert!(matches!(Database::open_for_write(&path), Err(DatabaseError::Corrupt { .. })));
}

#[test]
fn a_truncated_database_is_refused() {
    let (_directory, path) = temporary();
    drop(Database::create(&path).expect("created"));
    let whole = std::fs::read(&path).expect("read");
    for length in [1, 50, 99, 100, 4096] {
        std::fs::write(&path, &whole[..length]).expect("written");
        assert!(
            matches!(Database::open_for_write(&path), Err(DatabaseError::Corrupt { .. })),
            "{length} bytes"
        );
    }
}

#[test]
fn a_newer_schema_is_refused() {
    let (_directory, path) = temporary();
    let database = Database::create(&path).expect("created");
    database.connection.pragma_update(None, "user_version", 99).expect("set");
    drop(database);
    for result in [Database::open_for_write(&path), Database::open_read_only(&path)] {
        assert!(matches!(result, Err(DatabaseError::Newer { found: 99, .. })));
    }
}

#[test]
fn a_crash_while_creating_leaves_no_database() {
    let (_directory, path) = temporary();
    std::fs::write(path.with_extension("db.new"), b"torn").expect("written");
    assert!(matches!(Database::open_for_write(&path), Err(DatabaseError::Missing(_))));
    Database::create(&path).expect("created over the remains");
}

#[test]
fn a_bound_database_grows_no_further() {
    let (_directory, path) = temporary();
    let database = Database::create(&path).expect("created");
    let large = "INSERT INTO txn (command, started, state, action)
         VALUES (hex(zeroblob(500000)), 0, 'done', 'install')";
    database.bound(Some(400_000)).expect("bound");
    let error = database.connection.execute(large, []).expect_err("too large");
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DiskFull));
    database.bound(None).expect("unbound");
    assert_eq!(database.connection.execute(large, []).expect("written"), 1);
}

/// What a machine that was killed in the middle of a commit holds.
fn interrupted() -> (tempfile::TempDir, PathBuf) {
    let (directory, path) = temporary();
    let mut database = Database::create(&path).expect("created");
    database.connection.pragma_update(None, "cache_size", 1).expect("set");
    let transaction = database.begin().expect("begun");
    for _ in 0..100 {
        let insert = "INSERT INTO txn (command, started, state, action)
             VALUES (hex(zeroblob(5000)), 0, 'done', 'install')";
        transaction.execute(insert, []).expect("written");
    }
    let copy = directory.path().join("killed");
    std::fs::create_dir(&copy).expect("made");
    for name in ["state.db", "state.db-journal"] {
        std::fs::copy(path.with_file_name(name), copy.join(name)).expect("copied");
    }
    (directory, copy.join("state.db"))
}

#[test]
fn what_a_killed_writer_left_does_not_keep_others_from_reading() {
    let (_directory, path) = interrupted();
    let database = Database::open_read_only(&path).expect("opened");
    assert_eq!(database.history().expect("read"), []);
}

#[test]
fn a_state_that_others_can_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (directory, path) = temporary();
    drop(Database::create(&path).expect("created"));
    for (exposed, mode) in [(directory.path(), 0o777), (path.as_path(), 0o646)] {
        let before = std::fs::metadata(exposed).expect("there").permissions();
        let set = |to| std::fs::set_permissions(exposed, to).expect("set");
        set(PermissionsExt::from_mode(mode));
        let error = Database::open_for_write(&path).expect_err("refused");
        assert!(matches!(error, DatabaseError::Exposed { .. }), "{error}");
        set(before);
    }
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(1000), None).expect("given away");
        let error = Database::open_for_write(&path).expect_err("refused");
        assert!(matches!(error, DatabaseError::Exposed { owner: 1000, .. }), "{error}");
    }
}

fn new_source<'a>(
    name: &'a crate::config::SourceName,
    distribution: &'a countersign_format::text::DistributionName,
    anchor: u8,
) -> source::NewSource<'a> {
    let anchor = countersign_format::hash::Hash32([anchor; 32]);
    source::NewSource { name, distribution, anchor, version: 1, note: b"note", machine: "m" }
}

#[test]
fn of_two_records_of_a_repository_the_newer_times_count() {
    use countersign_format::layout::Log;
    let (_directory, path) = temporary();
    drop(Database::create(&path).expect("created"));
    let mut database = Database::open_for_write(&path).expect("opened");
    let [a, b] = ["a", "b"].map(|name| name.parse().expect("a name"));
    let main = "main".parse().expect("a name");
    let one = database.enroll(&new_source(&a, &main, 1), &[]).expect("enrolled").id;
    let two =
        database.enroll(&new_source(&b, &main, 1), std::slice::from_ref(&a)).expect("enrolled").id;
    assert_ne!(one, two);
    // updated under one name only, then both are removed and one is added again
    // the base point of the curve
    let mut point = [0x66; 32];
    point[0] = 0x58;
    let key = countersign_format::key::PublicKey::from_bytes(&point).expect("a point");
    let time =
        |seconds| countersign_format::time::Timestamp::from_seconds(seconds).expect("a time");
    let transaction = database.begin().expect("begun");
    source::put_signer_time(&transaction, one, Log::Collection, &key, time(10)).expect("put");
    source::put_signer_time(&transaction, two, Log::Collection, &key, time(99)).expect("put");
    transaction.commit().expect("committed");
    database.accept_authority(two, 7, b"newer").expect("accepted");
    let again = database.enroll(&new_source(&a, &main, 1), &[]).expect("enrolled");
    assert!(again.is_known);
    let times = database.signer_times(again.id, Log::Collection).expect("times");
    assert_eq!(times.get(&key), Some(&time(99)));
    let records = database.sources().expect("sources");
    let record = records.iter().find(|record| record.id == again.id).expect("a record");
    assert_eq!((record.floor, record.name.as_str()), (7, "a"));
}

#[test]
fn a_record_that_makes_room_for_another_takes_no_name_away() {
    let (_directory, path) = temporary();
    drop(Database::create(&path).expect("created"));
    let mut database = Database::open_for_write(&path).expect("opened");
    let [a, taken] = ["a", "a.1"].map(|name| name.parse().expect("a name"));
    let main = "main".parse().expect("a name");
    database.enroll(&new_source(&a, &main, 1), &[]).expect("enrolled");
    let other = database
        .enroll(&new_source(&taken, &main, 2), std::slice::from_ref(&a))
        .expect("enrolled")
        .id;
    database.enroll(&new_source(&a, &main, 3), std::slice::from_ref(&taken)).expect("enrolled");
    let records = database.sources().expect("sources");
    assert_eq!(records.len(), 3, "{records:?}");
    let kept = records.iter().find(|record| record.name == taken).expect("it stays");
    assert_eq!(kept.id, other);
}
