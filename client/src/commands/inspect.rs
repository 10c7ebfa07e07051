//! `patchctl inspect FILE|URL`.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;

use clap::Args;
use countersign_format::archive::ArchiveReader;
use countersign_format::authority::AuthorityNote;
use countersign_format::checkpoint::Checkpoint;
use countersign_format::directory::DirectoryNote;
use countersign_format::entry::PatchEntry;
use countersign_format::layout::Place;
use countersign_format::limits::MAX_AUTHORITY_NOTE;
use countersign_format::manifest::Manifest;
use countersign_format::note::Note;
use countersign_format::proof::Proof;
use countersign_store::{Get, Got, Location, Source};
use countersign_terminal::{ExitStatus, Failure, OrFail as _};

use crate::explain::{OrExplain as _, io_exit};
use crate::session::{Session, block_on};

mod report;
mod signers;

use report::{InspectReport, Inspected};
use signers::Signers;

/// What a zstd frame begins with (RFC 8878 §3.1.1).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Show an archive, a note, a checkpoint, a proof or an authority note, and who signed it
///
/// On an enrolled machine signers are told by the authority's word, and patch notes and checkpoints
/// are judged as an installation would judge them.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchctl inspect acme-agent.patch\n  \
    patchctl inspect acme-agent.note --json\n  \
    patchctl inspect https://patches.example.org/collection/checkpoint")]
pub struct InspectArgs {
    /// A file, or the URL of a file of a repository
    #[arg(value_name = "FILE|URL")]
    what: String,
}

/// Shows.
pub fn run(session: &Session<'_>, arguments: &InspectArgs) -> Result<ExitStatus, Failure> {
    let what = &arguments.what;
    let inspected = if what.contains("://") {
        inspect_bytes(session, what, &fetch(session, what)?)?
    } else {
        inspect_file(session, what)?
    };
    session.output.report(&InspectReport { file: what.clone(), what: inspected });
    Ok(ExitStatus::Done)
}

fn inspect_file(session: &Session<'_>, path: &str) -> Result<Inspected, Failure> {
    let failed = |error: io::Error| Failure::new(io_exit(&error), format!("{path}: {error}"));
    let mut file = File::open(path).map_err(failed)?;
    let mut start = Vec::new();
    (&mut file).take(ZSTD.len() as u64).read_to_end(&mut start).map_err(failed)?;
    file.rewind().map_err(failed)?;
    if start == ZSTD {
        return inspect_archive(Path::new(path), file);
    }
    let mut bytes = Vec::new();
    file.take(MAX_AUTHORITY_NOTE as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    inspect_bytes(session, path, &bytes)
}

/// Reads the whole archive, so that all of its own rules are checked.
fn inspect_archive(path: &Path, mut file: File) -> Result<Inspected, Failure> {
    let read = || -> Result<Manifest, countersign_format::archive::ArchiveError> {
        let mut reader = ArchiveReader::open_unannounced(&file)?;
        while reader.next_member()?.is_some() {}
        Ok(reader.finish()?.into_manifest())
    };
    let manifest = read().or_fail(ExitStatus::Failed)?;
    let failed =
        |error: io::Error| Failure::new(io_exit(&error), format!("{}: {error}", path.display()));
    file.rewind().map_err(failed)?;
    let (size, sha256) = patchctl::object::hash(&mut file).map_err(failed)?;
    Ok(Inspected::archive(&manifest, size, &sha256))
}

fn inspect_bytes(session: &Session<'_>, what: &str, bytes: &[u8]) -> Result<Inspected, Failure> {
    let signers = Signers::load(session);
    if let Ok(proof) = Proof::parse(bytes) {
        return Ok(Inspected::proof(&proof, &signers));
    }
    let note = Note::parse(bytes, MAX_AUTHORITY_NOTE).map_err(|error| {
        Failure::new(ExitStatus::Failed, error)
            .hint(format!("{what} is no archive, no note and no proof"))
    })?;
    let text = note.text();
    Ok(if let Ok(entry) = PatchEntry::parse(text.as_bytes()) {
        Inspected::patch_note(what, &entry, &note, &signers)
    } else if let Ok(authority) = AuthorityNote::parse(text) {
        Inspected::authority(&authority, &note, &signers)
    } else if let Ok(directory) = DirectoryNote::parse(text) {
        Inspected::directory(&directory, &note, &signers)
    } else if let Ok(checkpoint) = Checkpoint::parse(text) {
        Inspected::checkpoint(&checkpoint, &note, &signers)
    } else {
        Inspected::other(&note, &signers)
    })
}

/// Fetches a small file of a repository.
fn fetch(session: &Session<'_>, url: &str) -> Result<Vec<u8>, Failure> {
    let wrong = || {
        Failure::usage(format!("{url} is no file of a repository"))
            .hint("give a URL such as https://patches.example.org/collection/checkpoint")
    };
    if session.arguments.offline {
        return Err(Failure::usage("a URL needs the network, which --offline forbids"));
    }
    let slashes = url.match_indices('/').map(|(at, _)| at);
    let split = |at: usize| Place::parse(&url[at + 1..]).map(|place| (&url[..=at], place));
    let (base, place) = slashes.filter_map(split).next_back().ok_or_else(wrong)?;
    if matches!(place, Place::Archive(_)) {
        return Err(Failure::usage("an archive is inspected as a file: fetch it first"));
    }
    let location: Location = base.parse().map_err(|_| wrong())?;
    let source = Source::open(&location, &session.config.http);
    let request = Get::up_to(MAX_AUTHORITY_NOTE as u64);
    match block_on(source.get(&place.path(), &request)).or_explain()? {
        Got::Whole { bytes, .. } => Ok(bytes),
        _ => Err(Failure::new(ExitStatus::NotFound, format!("there is no {url}"))),
    }
}
