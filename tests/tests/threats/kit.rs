//! A machine with an installed patch, the repository that it trusts, and an attacker who owns the
//! web server.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use countersign_fixtures::{AuthorityKeys, PatchSpec, Payload, Repository, Server};
use countersign_format::entry::PatchEntry;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::note::{Note, SignatureLine};
use countersign_format::signature::{cosign, sign_note};
use countersign_tests::lab::present;
use countersign_tests::tree::{Snapshot, snapshot};
use countersign_tests::{Background, Lab, Outcome, Proxy};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

pub const COLLECTION: &str = "patches.example.org/collection";
pub const DISTRIBUTION: &str = "patches.example.org/distribution";
pub const DAY: u64 = 86_400;
/// What a message about either log's head begins with.
pub const COLLECTION_HEAD: &str = "layer 1 (index): collection/checkpoint is refused";
pub const DISTRIBUTION_HEAD: &str = "layer 1 (index): distribution/checkpoint is refused";

/// A machine on which `acme-agent` 1.0.0 is installed, over HTTP.
pub struct Scene {
    pub lab: Lab,
    /// What the repository published when the machine looked last.
    pub honest: Repository,
    /// Before the web server; the machine knows no other way to it.
    pub proxy: Proxy,
    _server: Background,
}

/// All of a machine that no refused command may change.
#[derive(PartialEq, Eq, Debug)]
pub struct Standing {
    /// What is installed.
    files: Snapshot,
    /// The client's settings and backups.
    records: [Snapshot; 2],
    /// The rows of its state but for authority notes, which are kept as soon as they verify.
    state: String,
    /// When an update last ended well.
    updated: Option<i64>,
}

/// A patch of `acme-agent`.
pub fn agent(version: &str) -> PatchSpec {
    PatchSpec::full("acme-agent", version, &Payload::new().file("opt/acme/agent", version))
}

/// A repository in which 1.0.0 is released.
pub fn repository() -> Repository {
    released(present().build(), "1.0.0")
}

/// A repository in which 1.0.0 is released, and whose collection has a second key: so many of the
/// two must sign.
pub fn with_two_keys(threshold: u32) -> (Repository, Server) {
    let alice = Server::new("patches.example.org/collection/alice", 1);
    let mut two = present().build();
    two.authority.collection.keys.push(alice.listed());
    two.authority.collection.threshold = threshold;
    two.collections.push(alice.clone());
    two.publish_authority(&authority_keys());
    (released(two, "1.0.0"), alice)
}

/// The same with one more version, ten seconds later.
pub fn released(mut repository: Repository, version: &str) -> Repository {
    repository.wait(10);
    let index = repository.collect(&agent(version));
    repository.release(&[index]);
    repository.publish();
    repository
}

/// The keys that every authority begins with.
pub fn authority_keys() -> AuthorityKeys {
    AuthorityKeys::numbered(1, 3)
}

pub fn collection() -> Server {
    Server::new(COLLECTION, 1)
}

pub fn distribution() -> Server {
    Server::new(DISTRIBUTION, 1)
}

/// The note of the patch that is entry `index` of the collection's log.
pub fn patch_note(repository: &Repository, index: usize) -> RepoPath {
    let entry = PatchEntry::parse(&repository.collection.entries()[index]).expect("a patch");
    layout::patch_note(&entry.archive.sha256)
}

pub fn head(log: Log) -> RepoPath {
    layout::checkpoint(log)
}

/// A server's plain signature on a text.
pub fn signed(server: &Server, text: &str) -> SignatureLine {
    sign_note(&server.signer(), text).expect("a key in memory signs")
}

/// A server's timestamped signature on a text, now.
pub fn cosigned(server: &Server, text: &str, repository: &Repository) -> SignatureLine {
    cosign(&server.signer(), text, repository.now).expect("a key in memory signs")
}

impl Scene {
    /// The machine, and a repository as [`repository`] makes it.
    pub fn new() -> Self {
        Self::with(repository())
    }

    /// The machine and this repository.
    pub fn with(honest: Repository) -> Self {
        let lab = Lab::new();
        lab.publish(&honest);
        let server = lab.serve("public");
        let proxy = Proxy::to(server.address());
        lab.enroll(proxy.url());
        lab.endpoint("install acme-agent@1.0.0").done();
        Self { lab, honest, proxy, _server: server }
    }

    /// As [`Self::new`], and version 1.1.0 is known to the machine and not installed.
    pub fn with_offer() -> Self {
        let mut scene = Self::new();
        scene.honest = scene.next();
        scene.serve(&scene.honest);
        scene.lab.endpoint("update").done();
        scene
    }

    /// What the honest repository publishes next: version 1.1.0.
    pub fn next(&self) -> Repository {
        released(self.honest.clone(), "1.1.0")
    }

    /// Lets the web server serve these files and no others.
    pub fn serve(&self, repository: &Repository) {
        let public = self.lab.path("public");
        fs::remove_dir_all(&public).expect("a test's directory can be removed");
        repository.write_to(&public);
    }

    /// A mirror that the machine asks before the web server, since the directory names it: its
    /// directory, as honest as can be, and its server.
    pub fn mirror(&self) -> (PathBuf, Background) {
        let directory = self.lab.path("mirror");
        self.honest.write_to(&directory);
        let server = self.lab.serve("mirror");
        let mut listed = self.honest.clone();
        listed.publish_directory(1, &[server.url()]);
        self.serve(&listed);
        // it asks for the directory once a day
        let tomorrow = listed.now.plus(DAY + 60).seconds().to_string();
        self.lab.endpoint("update").env("COUNTERSIGN_CLOCK", tomorrow).done();
        (directory, server)
    }

    /// Where the web server is.
    pub fn url(&self) -> &str {
        self.proxy.url()
    }

    /// Requires that the machine refuses what `served` makes of the repository when it runs
    /// `command`: with this exit code, these words and a hint, and nothing changed.
    #[track_caller]
    pub fn refuses(
        &self,
        served: &Repository,
        command: &str,
        code: i32,
        words: &[&str],
    ) -> Outcome {
        self.serve(served);
        self.refuses_now(command, code, words)
    }

    /// The same with what is served already.
    #[track_caller]
    pub fn refuses_now(&self, command: &str, code: i32, words: &[&str]) -> Outcome {
        let before = self.standing();
        let outcome = self.lab.endpoint(command).exits(code);
        let outcome = words.iter().fold(outcome, |outcome, word| outcome.says(word)).says("hint:");
        self.is_as(&before, &outcome);
        outcome
    }

    /// Requires that the machine is as it was.
    #[track_caller]
    pub fn is_as(&self, before: &Standing, outcome: &Outcome) {
        assert!(self.standing() == *before, "the machine was changed by\n{outcome}");
    }

    /// Requires that an update ended well and that nothing came of it: the machine is as it was, but
    /// knows when it looked last.
    #[track_caller]
    pub fn learned_nothing(&self, before: &Standing, outcome: &Outcome) {
        let after = Standing { updated: before.updated, ..self.standing() };
        assert!(after == *before, "the machine was changed by\n{outcome}");
    }

    /// All of the machine that no refused command may change.
    pub fn standing(&self) -> Standing {
        let endpoint = self.lab.path("endpoint");
        let records = ["etc/patchctl", ".patchctl"];
        let database = open(&endpoint.join("var/lib/patchctl/state.db"));
        let updated = database.query_row("SELECT updated FROM source", [], |row| row.get(0));
        Standing {
            files: self.lab.installed(),
            records: records.map(|path| snapshot(&endpoint.join(path), &["staging"])),
            state: dump(&database),
            updated: updated.expect("a source"),
        }
    }

    /// The version of the authority note that the machine trusts.
    pub fn authority_version(&self) -> u64 {
        let status = self.lab.endpoint("status").json();
        status["sources"][0]["authority_version"].as_u64().expect("a version")
    }

    /// The cases of evidence that the machine keeps.
    pub fn evidence(&self) -> Vec<PathBuf> {
        let directory = self.lab.path("endpoint/var/lib/patchctl/evidence");
        let cases = fs::read_dir(directory).into_iter().flatten().flatten();
        cases.map(|case| case.path()).collect()
    }

    /// Requires one case of evidence: these two notes.
    #[track_caller]
    pub fn keeps_evidence(&self, before: &[u8], found: &[u8]) {
        let cases = self.evidence();
        let [case] = cases.as_slice() else { panic!("one case, not {cases:?}") };
        let read = |name: &str| fs::read(case.join(name)).expect("a note");
        assert_eq!((read("held"), read("found")), (before.to_vec(), found.to_vec()));
    }

    /// Serves what the honest repository publishes next, and requires that the machine takes it.
    pub fn heals(&self) {
        self.serve(&self.next());
        self.lab.endpoint("update").done();
        self.lab.endpoint("upgrade").done().says("1.1.0");
    }
}

/// A client's state, to be looked at.
fn open(database: &Path) -> Connection {
    let opened = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY);
    opened.expect("a state")
}

/// The rows of a client's state, table by table, but for authority notes, and for the directory,
/// which vouches for nothing.
fn dump(connection: &Connection) -> String {
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let mut statement = connection.prepare(names).expect("a schema");
    let names = statement.query_map([], |row| row.get::<_, String>(0)).expect("tables");
    let mut text = String::new();
    for name in names.map(|name| name.expect("a name")) {
        if ["authority_note", "directory_note"].contains(&name.as_str()) {
            continue;
        }
        // its other columns follow from the authority notes, and say when it looked last
        let columns = match name.as_str() {
            "source" => "id, name, anchor, distribution",
            // the others are for asking a server whether it has anything new
            "log" => "source, log, origin, size, frontier, tail, checkpoint",
            _ => "*",
        };
        let select = format!("SELECT {columns} FROM {name}");
        let mut statement = connection.prepare(&select).expect("a table");
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            let value = |column| match row.get_ref(column).expect("a value") {
                ValueRef::Blob(bytes) | ValueRef::Text(bytes) => bytes.escape_ascii().to_string(),
                other => format!("{other:?}"),
            };
            let values: Vec<String> = (0..columns).map(value).collect();
            writeln!(text, "{name}: {}", values.join(" | ")).expect("a String takes all");
        }
    }
    text
}

/// The signature lines of a note but for those of which `drop` says so.
pub fn without(note: &Note, drop: impl Fn(&SignatureLine) -> bool) -> Note {
    let lines = note.signatures().iter().filter(|line| !drop(line)).cloned().collect();
    Note::new(note.text().to_owned(), lines)
}
