//! A lab with all roles, and a reader that accepts what clients accept and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use countersign_fixtures::pack_entries;
use countersign_format::archive;
use countersign_format::authority::AuthorityNote;
use countersign_format::entry::{CollectionEntry, DistributionEntry, PatchEntry};
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::merkle::{Frontier, leaf_hash};
use countersign_format::note::Note;
use countersign_format::policy::{
    Chain, CheckpointContext, Clock, PatchContext, SignerTimes, verify_checkpoint, verify_patch,
};
use countersign_format::text::RingName;
use countersign_format::tile::{parse_entries, tile_width};
use countersign_format::time::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::collection::{Addition, Collection, PackProgress, Revocation};
use crate::key_store::{NewPassphraseArgs, Passphrases};
use crate::lab;
use crate::patch_selector::PatchSelector;

mod anew;
mod attacks;
mod authority;
mod faults;
mod flow;
mod restart;

pub(super) struct Lab {
    base: TempDir,
}

/// What a reader sees of a repository whose every signature, hash and root it has checked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct View {
    /// Entries of the collection's log.
    collection: u64,
    /// The distribution's log, in words.
    decisions: Vec<String>,
    /// What is released to the ring `stable`.
    released: BTreeSet<String>,
}

pub(super) fn at(minutes: u64) -> Timestamp {
    let start: Timestamp = "2026-11-23T10:00:00Z".parse().expect("a time");
    start.plus(minutes * 60)
}

pub(super) fn unencrypted() -> Passphrases {
    let arguments = NewPassphraseArgs { no_passphrase: true, ..NewPassphraseArgs::default() };
    Passphrases::for_new_keys(&arguments)
}

pub(super) fn selector(text: &str) -> PatchSelector {
    text.parse().expect("a selector")
}

pub(super) fn stable() -> RingName {
    "stable".parse().expect("a ring")
}

pub(super) fn release() -> Action {
    Action::Release(Terms::default())
}

pub(super) fn withdraw(reason: &str) -> Action {
    Action::Withdraw { reason: reason.parse().expect("a line") }
}

impl Lab {
    pub(super) fn new() -> Self {
        // the order of calls is under test, not the disk
        let memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let base = memory.expect("a directory");
        let name = "example.org".parse().expect("a name");
        lab::init(&base.path().join("repo"), &name, &unencrypted(), at(0)).expect("made");
        Self { base }
    }

    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.base.path().join(path)
    }

    pub(super) fn copy(&self, from: &str, to: &str) {
        let both = [self.path(from), self.path(to)];
        let status = std::process::Command::new("cp").arg("-a").args(both).status();
        assert!(status.expect("cp runs").success());
    }

    /// Puts a directory back that [`Self::copy`] kept.
    pub(super) fn restore(&self, kept: &str, to: &str) {
        fs::remove_dir_all(self.path(to)).expect("removed");
        self.copy(kept, to);
    }

    /// Collects and publishes full patches of a component in these versions.
    pub(super) fn collect(&self, versions: &[&str], now: Timestamp) {
        let collection = Collection::open(&self.path("repo/collection")).expect("opened");
        for version in versions {
            let tree = self.path(format!("tree-{version}"));
            fs::create_dir_all(&tree).expect("made");
            fs::write(tree.join("agent"), format!("agent {version}")).expect("written");
            let text = format!("name = \"acme\"\nversion = \"{version}\"\nsummary = \"New\"\n");
            let spec = toml::from_str(&text).expect("a patch.toml");
            let addition = Addition { spec, ..Addition::default() };
            let progress = PackProgress { hashed: &|_| (), packed: &|_| () };
            let packed = collection.pack(&tree, &addition, now, progress).expect("packed");
            collection.add(&[packed]).expect("taken in");
        }
        let mut session = collection.session(&unencrypted()).expect("a session");
        session.publish(&collection.drafts().expect("listed"), now).expect("published");
    }

    pub(super) fn revoke(&self, patch: &str, now: Timestamp) {
        let collection = Collection::open(&self.path("repo/collection")).expect("opened");
        let reason = "breaks the spooler".parse().expect("a line");
        let revocation = Revocation { patches: selector(patch), reason };
        let mut session = collection.session(&unencrypted()).expect("a session");
        session.revoke(&revocation, now).expect("revoked");
    }

    pub(super) fn distribution(&self) -> Distribution {
        Distribution::open(&self.path("repo/distribution")).expect("opened")
    }

    pub(super) fn sync(&self, now: Timestamp) -> Result<Synced, DistributionError> {
        let distribution = self.distribution();
        let place = distribution.collection_place(None)?;
        let known = distribution.learn(&place, now)?;
        distribution.sync(&known, &place, now, &mut |_, _| ())
    }

    pub(super) fn decide(
        &self,
        patches: &[&str],
        ring: &RingName,
        action: &Action,
    ) -> Result<Decided, DistributionError> {
        let selectors = patches.iter().map(|patch| selector(patch)).collect();
        self.distribution().decide(&Selection::Patches(selectors), ring, action)
    }

    pub(super) fn release(&self, patches: &[&str]) {
        self.decide(patches, &stable(), &release()).expect("decided");
    }

    pub(super) fn publish(&self, now: Timestamp) -> Result<Publication, DistributionError> {
        self.distribution().session(&unencrypted(), now)?.publish()
    }

    pub(super) fn read(&self, path: &RepoPath) -> Option<Vec<u8>> {
        fs::read(self.path("repo/distribution/public").join(path)).ok()
    }

    /// The newest authority note that the distribution serves.
    pub(super) fn authority(&self) -> AuthorityNote {
        let first = self.read(&layout::authority(1)).expect("the first note");
        let mut chain = Chain::enroll(&first, "authority/1").expect("enrolled");
        for version in 2.. {
            let Some(bytes) = self.read(&layout::authority(version)) else { break };
            chain = chain.follow(&bytes, "authority", version).expect("the next note");
        }
        (**chain.newest()).clone()
    }

    /// What a reader sees at `now`. Fails if it would refuse anything, or if there is nothing.
    pub(super) fn view(&self, now: Timestamp) -> View {
        let authority = self.authority();
        let patches = self.log(Log::Collection, &authority, now).expect("a collection's head");
        let decisions = self.log(Log::Distribution, &authority, now).unwrap_or_default();
        let mut view = View { collection: patches.len() as u64, ..View::default() };
        let (mut standing, mut first) = (BTreeSet::new(), BTreeMap::new());
        for (index, bytes) in (0..).zip(&decisions) {
            let entry = DistributionEntry::parse(bytes).expect("an entry");
            let (word, ring, ranges) = match &entry {
                DistributionEntry::Release(release) => ("release", &release.ring, &release.patches),
                DistributionEntry::Withdraw(it) => ("withdraw", &it.ring, &it.patches),
                DistributionEntry::Authority(reference) => {
                    view.decisions.push(format!("authority {}", reference.version));
                    continue;
                }
            };
            for patch in ranges.iter().flat_map(|range| range.indexes()) {
                if word == "release" {
                    first.entry(patch).or_insert(index);
                }
                match (word, ring.as_str()) {
                    ("release", "stable") => standing.insert(patch),
                    ("withdraw", "stable") => standing.remove(&patch),
                    _ => false,
                };
            }
            let ranges: Vec<_> =
                ranges.iter().map(|it| format!("{}..{}", it.start, it.end)).collect();
            view.decisions.push(format!("{word} {ring} {}", ranges.join(" ")));
        }
        for (patch, released) in first {
            let bytes = &patches[usize::try_from(patch).expect("small")];
            let entry = self.check_patch(&authority, bytes, patch, released);
            if standing.contains(&patch) {
                view.released.insert(format!("{}@{}", entry.name, entry.version));
            }
        }
        view
    }

    /// Whether clients accept both heads by the newest note that they are served.
    pub(super) fn is_accepted(&self, now: Timestamp) -> bool {
        let authority = self.authority();
        Log::BOTH.iter().all(|log| {
            let path = layout::checkpoint(*log);
            let context = CheckpointContext {
                file: path.as_str(),
                log: *log,
                authority: &authority,
                distribution: &authority.distributions[0],
                clock: Clock::local(now),
                newest: &SignerTimes::new(),
            };
            self.read(&path).is_some_and(|head| verify_checkpoint(&head, &context).is_ok())
        })
    }

    /// The entries of a log whose head a client accepts.
    fn log(&self, log: Log, authority: &AuthorityNote, now: Timestamp) -> Option<Vec<Vec<u8>>> {
        let path = layout::checkpoint(log);
        let context = CheckpointContext {
            file: path.as_str(),
            log,
            authority,
            distribution: &authority.distributions[0],
            clock: Clock::local(now),
            newest: &SignerTimes::new(),
        };
        let signed = verify_checkpoint(&self.read(&path)?, &context).expect("a good head");
        let size = signed.checkpoint.size;
        let (mut frontier, mut all) = (Frontier::empty(), Vec::new());
        for index in 0..size.div_ceil(256) {
            let width = tile_width(size, 0, index);
            let bundle = self.read(&layout::bundle(log, index, width)).expect("a bundle");
            if width == 256 {
                let pack = self.read(&layout::pack(log, 0, index)).expect("a pack");
                let entries = parse_entries(&bundle, 256).expect("entries");
                assert_eq!(pack_entries(&pack).expect("a pack"), entries);
            }
            assert!(self.read(&layout::tile(log, 0, index, width)).is_some());
            for entry in parse_entries(&bundle, width.into()).expect("entries") {
                frontier.push(leaf_hash(entry));
                all.push(entry.to_vec());
            }
        }
        assert_eq!(frontier.root(), signed.checkpoint.root);
        Some(all)
    }

    fn check_patch(
        &self,
        authority: &AuthorityNote,
        bytes: &[u8],
        index: u64,
        released: u64,
    ) -> PatchEntry {
        let CollectionEntry::Patch(entry) = CollectionEntry::parse(bytes).expect("an entry") else {
            panic!("{index} is released and no patch");
        };
        let path = layout::patch_note(&entry.archive.sha256);
        let context = PatchContext { file: path.as_str(), authority, entry: bytes, index };
        let note = self.read(&path).expect("the note of a released patch");
        verify_patch(&note, &context, &authority.distributions[0], released)
            .expect("both signatures");
        let archive = self.read(&layout::archive(&entry.archive.sha256)).expect("the archive");
        archive::check(&archive, &entry.announced()).expect("what was announced");
        *entry
    }

    /// The bytes of all files below a directory.
    pub(super) fn files(&self, path: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        fn walk(path: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in fs::read_dir(path).expect("listed") {
                let path = entry.expect("listed").path();
                if path.is_dir() {
                    walk(&path, files);
                } else {
                    files.insert(path.clone(), fs::read(&path).expect("read"));
                }
            }
        }
        let mut files = BTreeMap::new();
        walk(&self.path(path), &mut files);
        files
    }

    /// Changes a note that the collection published.
    pub(super) fn edit_note(&self, path: &RepoPath, edit: impl FnOnce(Note) -> Note) {
        let path = self.path("repo/collection/public").join(path);
        let bytes = fs::read(&path).expect("read");
        let note = edit(Note::parse(&bytes, usize::MAX).expect("a note"));
        fs::write(path, note.to_bytes()).expect("written");
    }
}

pub(super) fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}
