//! An endpoint that is updated by the library, from repositories in memory.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::fmt::Write as _;
use std::path::PathBuf;

use countersign_fixtures::Repository;
use countersign_format::time::Timestamp;
use countersign_store::{Mirrors, Source};
use patchctl::config::SourceConfig;
use patchctl::db::Database;
use patchctl::db::source::NewSource;
use patchctl::places::{NamedPlaces, Places};
use patchctl::report::Silent;
use patchctl::trust::{Heads, Trust};
use patchctl::update::{AttemptError, UpdateError, Updated, Updater};
use tempfile::TempDir;

/// An enrolled machine.
pub struct Endpoint {
    _directory: TempDir,
    pub places: Places,
    pub config: SourceConfig,
    pub database: Database,
}

impl Endpoint {
    /// Enrolled with the repository's first authority note, nothing fetched yet.
    pub fn new(repository: &Repository) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let root = Some(directory.path().to_owned());
        let places = NamedPlaces { root, ..NamedPlaces::default() }.settle(&PathBuf::from("/"));
        std::fs::create_dir_all(&places.state).expect("a state directory");
        let mut database = Database::create(&places.database()).expect("a database");
        let config = SourceConfig {
            name: "lab".parse().expect("a name"),
            url: "/nowhere".parse().expect("a place"),
            authority: repository.enrolment_fingerprint(),
            distribution: "main".parse().expect("a name"),
            ring: "stable".parse().expect("a name"),
            priority: patchctl::config::USUAL_PRIORITY,
            network: patchctl::config::SourceNetwork::default(),
        };
        let note = repository.enrolment();
        let SourceConfig { name, distribution, authority, .. } = &config;
        let machine = "00112233445566778899aabbccddeeff";
        let anchor = *authority;
        let new = NewSource { name, distribution, anchor, version: 1, note: &note, machine };
        database.enroll(&new, &[]).expect("enrolled");
        Self { _directory: directory, places, config, database }
    }

    /// Enrolled and updated.
    pub fn updated(repository: &Repository) -> Self {
        let mut endpoint = Self::new(repository);
        endpoint.update(repository).expect("an honest repository");
        endpoint
    }

    /// Updates from one server at the time of the repository's last signature.
    pub fn update(&mut self, repository: &Repository) -> Result<Updated, UpdateError> {
        self.update_at(repository.now, &[("server", repository)])
    }

    /// Updates from several servers, at a time of the test's choice.
    pub fn update_at(
        &mut self,
        now: Timestamp,
        servers: &[(&str, &Repository)],
    ) -> Result<Updated, UpdateError> {
        let source =
            |(name, repository): &(&str, &Repository)| Source::memory(name, &repository.memory());
        self.update_from(now, servers.iter().map(source).collect())
    }

    /// Updates from any kind of servers.
    pub fn update_from(
        &mut self,
        now: Timestamp,
        servers: Vec<Source>,
    ) -> Result<Updated, UpdateError> {
        let mirrors = Mirrors::new(servers);
        let Self { database, places, config, .. } = self;
        let updater = Updater { database, places, config, now };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(updater.run(&mirrors, &mut Silent))
    }

    /// Updates from one server, which must refuse, and returns why. All that is trusted must be as
    /// before, authority notes excepted.
    #[track_caller]
    pub fn refuses(&mut self, repository: &Repository) -> AttemptError {
        self.refuses_at(repository.now, repository)
    }

    /// As [`Self::refuses`], at a time of the test's choice.
    #[track_caller]
    pub fn refuses_at(&mut self, now: Timestamp, repository: &Repository) -> AttemptError {
        let before = self.dump();
        let refused = self.update_at(now, &[("server", repository)]);
        assert_eq!(self.dump(), before, "a refusal changes nothing that is trusted");
        only_failure(refused)
    }

    /// Everything in the state, except for authority notes and what follows from them.
    pub fn dump(&self) -> String {
        let path = self.places.database();
        let connection = rusqlite::Connection::open(path).expect("the state");
        let mut statement = connection
            .prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            .expect("a schema");
        let tables = statement.query_map([], |row| row.get::<_, String>(0)).expect("tables");
        let mut dump = String::new();
        for table in tables.map(|table| table.expect("a name")) {
            if table == "authority_note" || table == "directory_note" {
                continue;
            }
            let columns = if table == "source" { "id, name, anchor, updated" } else { "*" };
            let select = format!("SELECT {columns} FROM {table}");
            let mut rows = connection.prepare(&select).expect("a table");
            let count = rows.column_count();
            let mut rows = rows.query([]).expect("rows");
            while let Some(row) = rows.next().expect("a row") {
                dump.push_str(&table);
                for column in 0..count {
                    let value: rusqlite::types::Value = row.get(column).expect("a value");
                    write!(dump, " {value:?}").expect("a String takes all");
                }
                dump.push('\n');
            }
        }
        dump
    }

    pub fn trust(&self) -> Trust {
        Trust::load(&self.database, &self.config).expect("an untouched state")
    }

    pub fn heads(&self) -> Heads {
        Heads::load(&self.database, &self.trust()).expect("an untouched state")
    }

    /// The cases of evidence that are kept.
    pub fn evidence(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.places.evidence()).into_iter().flatten();
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }
}

/// The error of the only server that was asked.
#[track_caller]
pub fn only_failure(refused: Result<Updated, UpdateError>) -> AttemptError {
    match refused {
        Err(UpdateError::Servers { mut failed, .. }) => {
            assert_eq!(failed.failures.len(), 1, "{failed}");
            failed.failures.pop().expect("one").1
        }
        Err(error) => panic!("{error}"),
        Ok(updated) => panic!("accepted: {updated:?}"),
    }
}
