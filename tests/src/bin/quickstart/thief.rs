//! What whoever took the distribution's host and key can do with both: everything that the
//! distribution's own programs can, and whatever else the key can be made to sign.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use countersign_fixtures::{PatchSpec, Payload};
use countersign_format::authority::AuthorityNote;
use countersign_format::entry::{
    ArchiveReference, CollectionEntry, DistributionEntry, IndexRange, PatchEntry, Release, TreeHead,
};
use countersign_format::key::KeyName;
use countersign_format::layout::{self, Log, RepoPath};
use countersign_format::limits::MAX_NOTE;
use countersign_format::note::{Note, SignatureLine};
use countersign_format::policy::collection_lines;
use countersign_format::signature;
use countersign_format::time::Timestamp;
use countersign_store::DirectoryWriter;
use patchrepo::key_store::{Passphrases, SigningKey};
use patchrepo::publish::Publisher;
use patchrepo::server;

use crate::stage::NotAsTold;

/// One who sits on the distribution's host.
pub struct Thief {
    host: PathBuf,
    key: SigningKey,
    authority: AuthorityNote,
}

/// What a forged patch claims to be.
pub struct Malware {
    entry: PatchEntry,
    archive: Vec<u8>,
}

/// The malicious patch: it looks like the project's next version.
pub fn malware(name: &str, version: &str) -> Result<Malware, NotAsTold> {
    let payload = Payload::new().file("usr/bin/patchctl", "#!/bin/sh\necho this machine is mine\n");
    let patch = PatchSpec::full(name, version, &payload);
    let (archive, announced) = patch.archive();
    let archive_reference = ArchiveReference {
        sha256: announced.sha256,
        size: announced.size,
        unpacked: announced.unpacked,
        files: announced.files,
    };
    let entry = PatchEntry { archive: archive_reference, collected: now()?, ..patch.entry };
    Ok(Malware { entry, archive })
}

impl Thief {
    /// Takes the directory of a distribution with all that is in it.
    pub fn take(host: &Path) -> Result<Self, NotAsTold> {
        let (directory, _) = server::open(host, Log::Distribution)?;
        let note = read_note(host, &layout::authority(1))?;
        let authority = AuthorityNote::parse(note.text())?;
        let listed = &authority.distributions[0].log;
        let mut keys = server::open_signers(&directory, listed, &Passphrases::default())?;
        let key = keys.swap_remove(0);
        Ok(Self { host: host.to_owned(), key, authority })
    }

    /// Puts the malicious archive where good ones are, filled up to the length of each. Their notes
    /// stay as they are.
    pub fn swap_archives(&self, malware: &Malware) -> Result<usize, NotAsTold> {
        let mut swapped = 0;
        for directory in fs::read_dir(self.public().join("patches"))? {
            for file in fs::read_dir(directory?.path())? {
                let path = file?.path();
                if path.extension().is_some_and(|ending| ending == "patch") {
                    let length = usize::try_from(path.metadata()?.len())?;
                    let mut archive = malware.archive.clone();
                    archive.resize(length, 0);
                    fs::write(&path, archive)?;
                    swapped += 1;
                }
            }
        }
        Ok(swapped)
    }

    /// Publishes the malicious archive with a note that has the stolen key's signature in both
    /// places, and returns the note's path below `public/`.
    pub fn publish_patch(&self, malware: &Malware) -> Result<RepoPath, NotAsTold> {
        let text = String::from_utf8(malware.entry_bytes()?)?;
        let first = signature::sign_note(&self.key, &text)?;
        let note = Note::new(text, vec![first.clone()]);
        let second = signature::countersign(&self.key, &note, &[first])?;
        let path = layout::patch_note(&malware.entry.archive.sha256);
        self.write(&path, &note.with([second]).to_bytes())?;
        self.write(&layout::archive(&malware.entry.archive.sha256), &malware.archive)?;
        Ok(path)
    }

    /// The same, with the collection's genuine signature lines of another patch instead.
    pub fn graft_signatures(&self, malware: &Malware, from: &Path) -> Result<(), NotAsTold> {
        let genuine = Note::parse(&fs::read(from)?, MAX_NOTE)?;
        let lines: Vec<SignatureLine> =
            collection_lines(&genuine, &self.authority).into_iter().cloned().collect();
        let note = Note::new(String::from_utf8(malware.entry_bytes()?)?, lines.clone());
        let second = signature::countersign(&self.key, &note, &lines)?;
        let path = layout::patch_note(&malware.entry.archive.sha256);
        self.write(&path, &note.with([second]).to_bytes())
    }

    /// Appends the malicious patch to the collection's log and signs the new head with the stolen
    /// key, in the collection's place too. Returns the head.
    pub fn forge_index(&self, malware: &Malware) -> Result<TreeHead, NotAsTold> {
        let role = &self.authority.collection;
        let scratch = self.host.join("scratch");
        fs::create_dir_all(&scratch)?;
        let mut writer = DirectoryWriter::new(&self.public());
        Publisher::adopt(&writer, &scratch, Log::Collection, role)?;
        let mut publisher = Publisher::open(&mut writer, &scratch, Log::Collection, &role.origin)?;
        publisher.prepare(vec![malware.entry_bytes()?], now()?)?;
        publisher.commit(&[&self.key])?;
        publisher.finish()?;
        let head = publisher.head().clone();
        Ok(TreeHead { origin: head.origin, size: head.size, root: head.root })
    }

    /// Puts the genuine collection's signature lines of the head before onto the forged head.
    pub fn graft_head(&self, genuine: &[u8]) -> Result<(), NotAsTold> {
        let path = layout::checkpoint(Log::Collection);
        let forged = read_note(&self.host, &path)?;
        let genuine = Note::parse(genuine, MAX_NOTE)?;
        let name = &self.authority.collection.origin;
        let theirs = genuine.signatures().iter().filter(|line| line.name == *name).cloned();
        self.write(&path, &forged.with(theirs).to_bytes())
    }

    /// Releases the last entry of the collection's log of that head, in the distribution's own log
    /// and with its own key: a genuine release, of a patch that the collection never signed.
    pub fn release_last(&self, head: TreeHead) -> Result<(), NotAsTold> {
        let origin: KeyName = self.authority.distributions[0].log.origin.clone();
        let mut writer = DirectoryWriter::new(&self.public());
        let state = self.host.join("state");
        let mut publisher = Publisher::open(&mut writer, &state, Log::Distribution, &origin)?;
        let last = IndexRange { start: head.size - 1, end: head.size };
        let release = Release {
            of: head,
            patches: vec![last],
            ring: "stable".parse()?,
            start: None,
            ramp: 0,
            percent: 100,
            deadline: None,
        };
        let entry = DistributionEntry::Release(release).to_bytes()?;
        publisher.prepare(vec![entry], now()?)?;
        publisher.commit(&[&self.key])?;
        publisher.finish()?;
        Ok(())
    }

    fn public(&self) -> PathBuf {
        self.host.join("public")
    }

    fn write(&self, path: &RepoPath, bytes: &[u8]) -> Result<(), NotAsTold> {
        let path = self.public().join(path);
        fs::create_dir_all(path.parent().expect("below public/"))?;
        Ok(fs::write(path, bytes)?)
    }
}

impl Malware {
    fn entry_bytes(&self) -> Result<Vec<u8>, NotAsTold> {
        Ok(CollectionEntry::Patch(Box::new(self.entry.clone())).to_bytes()?)
    }
}

fn read_note(host: &Path, path: &RepoPath) -> Result<Note, NotAsTold> {
    Ok(Note::parse(&fs::read(host.join("public").join(path))?, MAX_NOTE)?)
}

fn now() -> Result<Timestamp, NotAsTold> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(Timestamp::from_seconds(since.as_secs())?)
}
