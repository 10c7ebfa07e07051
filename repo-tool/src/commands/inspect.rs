//! `patchrepo inspect`.

use std::fs::File;
use std::path::Path;

use clap::Args;
use countersign_format::layout::Place;
use countersign_format::policy::Chain;
use countersign_store::authority::{Anchor, AnchorText, Walk};
use countersign_store::{Get, Got, HttpOptions, Location, Source};
use countersign_terminal::{ExitStatus, Failure, OrFail as _, Output, Report};
use serde::Serialize;

use super::block_on;
use super::trust::{authority_failure, exit_of, exit_of_get, read_anchor};
use crate::inspect::{
    Field, InspectError, Inspected, KnownKeys, MAX_INSPECTED, Verdict, inspect, inspect_file,
};

/// Show what a file of a repository is, what it says, and who signed it
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo inspect /srv/distribution/public/collection/checkpoint\n  \
    patchrepo inspect acme-agent.patch\n  \
    patchrepo inspect https://patches.example.org/collection/checkpoint --authority authority.txt\n\n\
    Without --authority the lines are shown and not verified, but for authority notes, which carry\n\
    their own keys. With it, a line of a known key that is wrong makes the exit status 10.")]
pub struct InspectArgs {
    /// The file, or the URL of a file of a repository
    #[arg(value_name = "FILE|URL")]
    what: String,
    /// The authority note to trust: a file, or its text's SHA-256
    #[arg(long, value_name = "FILE|sha256:HEX")]
    authority: Option<AnchorText>,
}

#[derive(Serialize)]
struct Shown<'a> {
    file: &'a str,
    #[serde(flatten)]
    what: Inspected,
}

impl Report for Shown<'_> {
    fn print(&self, output: &Output) {
        output.print_heading(format!("{}: {}", self.file, self.what.kind));
        for Field { name, value } in &self.what.fields {
            output.print_field(name, value);
        }
        for line in &self.what.signatures {
            output.print_field("line", line);
        }
    }
}

/// Where a file is in a repository, as its path says.
struct InRepository<'a> {
    base: &'a str,
    place: Place,
}

/// Shows.
pub fn run(arguments: &InspectArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let what = arguments.what.as_str();
    let found = in_repository(what);
    let keys = known_keys(arguments.authority.as_ref(), found.as_ref())?;
    let inspected = if what.contains("://") {
        let found = found.ok_or_else(|| no_file_of_a_repository(what))?;
        inspect(&fetch(&found, what)?, Some(found.place), &keys)
    } else {
        let failed = |error| Failure::new(ExitStatus::Failed, format!("{what}: {error}"));
        let mut file = File::open(what).map_err(failed)?;
        inspect_file(&mut file, found.map(|found| found.place), &keys)
    };
    let shown = Shown { file: what, what: inspected.map_err(|error| failure(what, error))? };
    let is_wrong = shown.what.signatures.iter().any(|line| line.verdict == Verdict::Wrong);
    output.report(&shown);
    Ok(if is_wrong { ExitStatus::Signature } else { ExitStatus::Done })
}

fn in_repository(what: &str) -> Option<InRepository<'_>> {
    let splits = std::iter::once(0).chain(what.match_indices('/').map(|(at, _)| at + 1));
    let split = |at: usize| {
        let base = if at == 0 { "." } else { &what[..at] };
        Place::parse(&what[at..]).map(|place| InRepository { base, place })
    };
    // the shortest suffix that is a path of a repository, as in a mirror of a mirror's directory
    splits.rev().find_map(split)
}

/// The keys of the trusted note, or of the newest that follows it where the file is part of a
/// repository.
fn known_keys(
    anchor: Option<&AnchorText>,
    found: Option<&InRepository<'_>>,
) -> Result<KnownKeys, Failure> {
    let Some(anchor) = anchor else { return Ok(KnownKeys::none()) };
    let anchor = read_anchor(anchor)?;
    if let Some(found) = found {
        let source = open(found.base)?;
        let walked = block_on(async { Walk::begin(&source, &anchor).await?.finish(&source).await });
        let walk = walked?.map_err(authority_failure)?;
        return Ok(KnownKeys::of(walk.chain().newest()));
    }
    match anchor {
        Anchor::Note { bytes, file } => {
            let chain = Chain::enroll(&bytes, &file);
            let chain = chain.map_err(|error| Failure::new(exit_of(&error), error))?;
            Ok(KnownKeys::of(chain.newest()))
        }
        Anchor::Fingerprint(_) => Err(Failure::usage(
            "a fingerprint is looked for in a repository, and the file is part of none",
        )
        .hint("give --authority the file of the note")),
    }
}

fn fetch(found: &InRepository<'_>, what: &str) -> Result<Vec<u8>, Failure> {
    let source = open(found.base)?;
    let request = Get::up_to(MAX_INSPECTED);
    let got = block_on(source.get(&found.place.path(), &request))?;
    match got.map_err(|error| Failure::new(exit_of_get(&error), error))? {
        Got::Whole { bytes, .. } | Got::Part { bytes, .. } => Ok(bytes),
        Got::NotFound | Got::NotModified => {
            Err(Failure::new(ExitStatus::Failed, format!("there is no {what}")))
        }
    }
}

fn open(base: &str) -> Result<Source, Failure> {
    let location: Location = base.parse().or_fail(ExitStatus::Usage)?;
    Ok(Source::open(&location, &HttpOptions::default()))
}

fn no_file_of_a_repository(what: &str) -> Failure {
    Failure::usage(format!("{what} is not the URL of a file of a repository"))
        .hint("give a URL such as https://patches.example.org/collection/checkpoint")
}

fn failure(what: &str, error: InspectError) -> Failure {
    let hint = match &error {
        InspectError::Read(_) if Path::new(what).is_dir() => {
            Some("a whole repository is checked with: patchrepo verify")
        }
        _ => None,
    };
    let error = CannotShow { what: what.to_owned(), source: error };
    Failure::new(ExitStatus::Failed, error).maybe_hint(hint)
}

/// An error about a file, with the file's name before it.
#[derive(Debug, thiserror::Error)]
#[error("cannot show {what}")]
struct CannotShow {
    what: String,
    source: InspectError,
}
