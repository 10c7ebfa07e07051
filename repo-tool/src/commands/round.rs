//! What collections and distributions have in common: gathering the signatures of others.

use std::path::Path;

use countersign_terminal::{ExitStatus, Failure, Output, Report};
use serde::Serialize;

use super::{Delivered, DestinationArgs};
use crate::role_dir;
use crate::round::{
    Cosignatures, Imported, MAX_ROUND_FILE, RoundError, Signatures, SigningRequest, Standing,
};

/// The report of `export`.
#[derive(Serialize)]
struct Exported {
    role: String,
    /// What is to be signed, in words.
    items: Vec<String>,
    /// Who may sign.
    keys: Vec<String>,
    #[serde(flatten)]
    delivered: Delivered,
}

impl Report for Exported {
    fn print(&self, output: &Output) {
        output.note(format!("To be signed: {}.", self.items.join(", ")));
        output.note(format!("By: {}.", self.keys.join(", ")));
        output.note(format!(
            "Next: take the file to them (patchrepo sign), then patchrepo {} import.",
            self.role
        ));
    }
}

/// The report of `discard` of a round.
#[derive(Serialize)]
pub struct RoundDiscarded {
    /// Entries that were about to be published.
    pub entries: usize,
}

impl Report for RoundDiscarded {
    fn print(&self, output: &Output) {
        output.note(match self.entries {
            0 => "No publication has begun.".to_owned(),
            1 => "The publication of 1 entry is given up.".to_owned(),
            count => format!("The publication of {count} entries is given up."),
        });
    }
}

/// Delivers what others are to sign.
pub fn deliver(
    request: Option<SigningRequest>,
    destination: &DestinationArgs,
    output: &Output,
) -> Result<ExitStatus, Failure> {
    let request = request.ok_or(RoundError::NothingMissing)?;
    let delivered = destination.deliver(&request.to_bytes(), output)?;
    output.report(&Exported {
        role: request.role.to_string(),
        items: request.items.iter().map(ToString::to_string).collect(),
        keys: request.keys.iter().map(|vkey| vkey.name.to_string()).collect(),
        delivered,
    });
    Ok(ExitStatus::Done)
}

/// Reads a file of signatures.
pub fn read_signatures(path: &Path) -> Result<Signatures, Failure> {
    Ok(Signatures::parse(&role_dir::read_file(path, MAX_ROUND_FILE)?)?)
}

/// What may be brought to a distribution.
pub enum Brought {
    /// Of the holder of a server's key.
    Signatures(Signatures),
    /// Of a witness.
    Cosignatures(Box<Cosignatures>),
}

/// Reads a file of signatures or of a witness.
pub fn read_brought(path: &Path) -> Result<Brought, Failure> {
    let bytes = role_dir::read_file(path, MAX_ROUND_FILE)?;
    Ok(if Cosignatures::is_one(&bytes) {
        Brought::Cosignatures(Box::new(Cosignatures::parse(&bytes)?))
    } else {
        Brought::Signatures(Signatures::parse(&bytes)?)
    })
}

/// Who has signed what.
#[derive(Serialize)]
pub struct StandingReport {
    /// How many lines were new, after `import`.
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<usize>,
    signatures: Vec<Standing>,
    complete: bool,
}

impl StandingReport {
    /// After `import` with what came.
    pub fn new(imported: Option<Imported>, signatures: Vec<Standing>) -> Self {
        let complete = signatures.iter().all(Standing::is_met);
        Self { new: imported.map(|imported| imported.new), signatures, complete }
    }
}

impl Report for StandingReport {
    fn print(&self, output: &Output) {
        if let Some(new) = self.new {
            output.note(format!("{new} new signature{}.", if new == 1 { "" } else { "s" }));
        }
        for Standing { item, threshold, signed, at_hand, missing } in &self.signatures {
            output.print_heading(item);
            let count = signed.len();
            output.print_line(if count > *threshold as usize {
                format!("  {count} signed, {threshold} needed")
            } else {
                format!("  {count} of {threshold} needed")
            });
            for (word, names) in [("signed", signed), ("at hand", at_hand), ("not signed", missing)]
            {
                for name in names {
                    output.print_line(format!("  {word:<10}  {name}"));
                }
            }
        }
        output.note(if self.complete {
            "All that is needed is there or at hand."
        } else {
            "Signatures of others are needed: export, sign, import."
        });
    }
}
