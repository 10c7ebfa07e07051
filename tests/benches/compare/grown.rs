//! A repository with all its roles and a log of any size: the entries are true, the archives that
//! they speak of exist nowhere.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use countersign_fixtures::{PatchSpec, Payload};
use countersign_format::checkpoint::Checkpoint;
use countersign_format::entry::{
    CollectionEntry, DistributionEntry, IndexRange, Release, TreeHead,
};
use countersign_format::key::KeyName;
use countersign_format::layout::Log;
use countersign_format::signature::Signer;
use countersign_format::time::Timestamp;
use countersign_store::{DirectoryWriter, HttpOptions, Location, Source};
use patchrepo::blocking::block_on;
use patchrepo::key_store::{PassphraseArgs, Passphrases, SigningKey};
use patchrepo::known_authority::KnownAuthority;
use patchrepo::publish::{LogCopy, Publisher};
use patchrepo::role_dir::RoleDir;
use patchrepo::server;

use crate::items::{Item, items};
use crate::measure::{Workshop, run};

/// Entries that are appended at once: bounds memory.
const PIECE: usize = 64 * 1024;
/// Sizes are rounded up to this in their last bundle, so that all publish into a bundle as full.
const IN_BUNDLE: u64 = 100;

/// The directories of all roles.
pub struct Grown {
    pub repository: PathBuf,
    size: u64,
}

impl Grown {
    /// Whose collection's log has about `size` entries. Where `all` are released, no mirror could
    /// copy them.
    pub fn new(workshop: &Workshop, size: u64, all: bool) -> Self {
        let name = format!("grown-{size}{}", if all { "" } else { "-held" });
        let repository = workshop.path(&name);
        let size = size + (IN_BUNDLE + 256 - size % 256) % 256;
        let grown = Self { repository, size };
        if !grown.repository.exists() {
            grown.make(workshop, all);
        }
        grown
    }

    /// One of the roles' directories.
    pub fn role(&self, role: &str) -> PathBuf {
        self.repository.join(role)
    }

    fn make(&self, workshop: &Workshop, all: bool) {
        let patchrepo = |words: &str, role: &str| {
            let mut command = workshop.program("patchrepo");
            run(command.args(words.split(' ')).arg(self.role(role)));
        };
        let mut init = workshop.program("patchrepo");
        init.arg("init").arg(&self.repository).args(["--name", "example.org", "--no-passphrase"]);
        run(&mut init);
        patchrepo("collection refresh --force", "collection");
        patchrepo("distribution sync", "distribution");
        patchrepo("distribution publish", "distribution");
        self.collect();
        self.hold();
        if all {
            self.release();
        }
        patchrepo("collection refresh --force", "collection");
        patchrepo("distribution sync", "distribution");
        patchrepo("distribution publish", "distribution");
        patchrepo("distribution refresh --force", "distribution");
    }

    /// Appends to the collection's log.
    fn collect(&self) {
        let at = self.role("collection");
        let server = Server::open(&at, Log::Collection);
        let mut sink = DirectoryWriter::new(&at.join("public"));
        let mut publisher = server.publisher(&mut sink, Log::Collection);
        let all = items(self.size - publisher.size(), false);
        let entries: Vec<Vec<u8>> = all.iter().map(entry).collect();
        for piece in entries.chunks(PIECE) {
            server.append(&mut publisher, piece.to_vec());
        }
    }

    /// Lets the distribution hold them.
    fn hold(&self) {
        let head = self.head();
        let at = self.role("distribution");
        let mut sink = DirectoryWriter::new(&at.join("collection"));
        let mut copy = LogCopy::open(&mut sink, Log::Collection, &head.origin).expect("a copy");
        let place = Location::Directory(self.role("collection").join("public"));
        let source = Source::open(&place, &HttpOptions::default());
        block_on(copy.follow(&source, &head, true, &mut |_, _| ())).expect("the log is whole");
        let note = std::fs::read(self.role("collection").join("public/collection/checkpoint"));
        let note = countersign_format::note::Note::parse(&note.expect("published"), 1 << 16);
        copy.commit(&note.expect("a note")).expect("the copy can be written");
    }

    /// Appends one release of all to the distribution's log.
    fn release(&self) {
        let Checkpoint { origin, size, root } = self.head();
        let release = Release {
            of: TreeHead { origin, size, root },
            patches: vec![IndexRange { start: 1, end: size }],
            ring: "stable".parse().expect("a ring"),
            start: None,
            ramp: 0,
            percent: 100,
            deadline: None,
        };
        let entry = DistributionEntry::Release(release).to_bytes().expect("an entry");
        let at = self.role("distribution");
        let server = Server::open(&at, Log::Distribution);
        let mut sink = DirectoryWriter::new(&at.join("public"));
        let mut publisher = server.publisher(&mut sink, Log::Distribution);
        server.append(&mut publisher, vec![entry]);
    }

    fn head(&self) -> Checkpoint {
        let sink = DirectoryWriter::new(&self.role("collection").join("public"));
        let head = patchrepo::publish::read_head(&sink, Log::Collection);
        head.expect("it can be read").expect("it is published")
    }

    /// Entries of both logs, as the distribution serves them.
    pub fn served(&self) -> [u64; 2] {
        Log::BOTH.map(|log| {
            let sink = DirectoryWriter::new(&self.role("distribution").join("public"));
            let head = patchrepo::publish::read_head(&sink, log).expect("it can be read");
            head.map_or(0, |head| head.size)
        })
    }
}

/// One that signs.
struct Server {
    directory: RoleDir,
    origin: KeyName,
    signers: Vec<SigningKey>,
}

impl Server {
    fn open(at: &Path, log: Log) -> Self {
        let (directory, config) = server::open(at, log).expect("it was made");
        let known = KnownAuthority::learn(&directory, &config, log).expect("it is listed");
        let authority = known.chain().newest();
        let role = authority.log_role(log, &authority.distributions[0]);
        let passphrases = Passphrases::new(&PassphraseArgs::default());
        let signers = server::open_signers(&directory, role, &passphrases).expect("its keys");
        Self { directory, origin: role.origin.clone(), signers }
    }

    fn publisher<'s>(&self, sink: &'s mut DirectoryWriter, log: Log) -> Publisher<'s> {
        Publisher::open(sink, &self.directory.state(), log, &self.origin).expect("its log")
    }

    fn append(&self, publisher: &mut Publisher<'_>, entries: Vec<Vec<u8>>) {
        let signers: Vec<&dyn Signer> = self.signers.iter().map(|it| it as &dyn Signer).collect();
        publisher.prepare(entries, now()).expect("they can be appended");
        publisher.commit(&signers).expect("they can be published");
        publisher.finish().expect("it ends");
    }
}

fn entry(item: &Item) -> Vec<u8> {
    let mut entry = PatchSpec::full(&item.name, &item.version, &Payload::new()).entry;
    entry.summary = item.summary.parse().expect("a line of words");
    entry.collected = now();
    entry.archive.sha256 = item.sha256;
    (entry.archive.size, entry.archive.unpacked) = (item.size, item.unpacked);
    CollectionEntry::Patch(Box::new(entry)).to_bytes().expect("an entry")
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    Timestamp::from_seconds(since.as_secs()).expect("a time")
}

/// Writes an archive with one small file.
pub fn write_archive(name: &str, version: &str, at: &Path) {
    let payload = Payload::new().file("opt/acme/agent", format!("{name} {version}\n"));
    let (bytes, _) = PatchSpec::full(name, version, &payload).archive();
    std::fs::write(at, bytes).expect("an archive can be written");
}

/// A command of `patchrepo` on a directory.
pub fn patchrepo(workshop: &Workshop, words: &str, directory: &Path) -> Command {
    let mut command = workshop.program("patchrepo");
    command.args(words.split(' ')).arg(directory);
    command
}
