//! What a command trusts, as it is told on the command line: `--authority`, and the errors of
//! reading and verifying with it.

use clap::Args;
use countersign_format::policy::{PolicyError, Verdict};
use countersign_store::authority::{Anchor, AnchorText, AuthorityError, PassedOver};
use countersign_store::{GetError, HttpOptions, Location, Source};
use countersign_terminal::{ExitStatus, Failure, Output};

/// What the chain of authority notes begins with.
#[derive(Args, Debug, Clone)]
pub struct AuthorityArgs {
    /// The authority note to trust, had out of band: a file, or its text's SHA-256
    #[arg(long, value_name = "FILE|sha256:HEX")]
    pub authority: AnchorText,
}

impl AuthorityArgs {
    /// Reads the file, if it is one.
    pub fn read(&self) -> Result<Anchor, Failure> {
        read_anchor(&self.authority)
    }
}

/// Reads what the chain begins with.
pub fn read_anchor(anchor: &AnchorText) -> Result<Anchor, Failure> {
    anchor.read().map_err(|source| {
        let AnchorText::File(path) = anchor else {
            unreachable!("only a file is read");
        };
        Failure::new(ExitStatus::Failed, format!("cannot read {}: {source}", path.display()))
            .hint("give the file of an authority note, or sha256: and the SHA-256 of its text")
    })
}

/// Opens the repository at `place`, which must be there if it is a directory.
pub fn open_source(place: &Location) -> Result<Source, Failure> {
    if let Location::Directory(path) = place
        && !path.is_dir()
    {
        let error = format!("{} is not a directory", path.display());
        return Err(Failure::new(ExitStatus::Unreachable, error));
    }
    Ok(Source::open(place, &HttpOptions::default()))
}

/// The exit status of a file that the policy refuses.
pub fn exit_of(error: &PolicyError) -> ExitStatus {
    match error.verdict() {
        Verdict::Expired => ExitStatus::Expired,
        Verdict::Rollback => ExitStatus::RollbackOrFork,
        Verdict::Signature => ExitStatus::Signature,
    }
}

/// The exit status of a file that could not be read.
pub fn exit_of_get(error: &GetError) -> ExitStatus {
    if error.is_unreachable() { ExitStatus::Unreachable } else { ExitStatus::Failed }
}

/// Why the chain of authority notes could not be read, with what to do about it.
pub fn authority_failure(error: AuthorityError) -> Failure {
    let (exit, hint) = match &error {
        AuthorityError::Get(error) => (exit_of_get(error), None),
        AuthorityError::Policy(error) => (exit_of(error), None),
        AuthorityError::NotFound { .. } => (
            ExitStatus::Signature,
            Some("the fingerprint is another authority's, or the repository is not complete"),
        ),
        AuthorityError::TooManyPassedOver { .. } => (ExitStatus::Signature, None),
    };
    Failure::new(exit, error).maybe_hint(hint)
}

/// Warns of authority notes that were passed over.
pub fn warn_passed_over(passed_over: &[PassedOver], output: &Output) {
    for PassedOver { version, why } in passed_over {
        let mut text = format!("authority/{version} is passed over: {why}");
        let mut next = std::error::Error::source(why);
        while let Some(cause) = next {
            text = format!("{text}: {cause}");
            next = cause.source();
        }
        output.warning(text);
    }
}
