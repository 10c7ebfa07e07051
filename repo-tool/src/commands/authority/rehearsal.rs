//! `patchrepo authority publish --dry-run`.

use std::path::Path;

use countersign_format::layout;
use countersign_format::policy::{Clock, Verdict};
use countersign_store::Location;
use countersign_terminal::{ExitStatus, Failure, Output, Report, Table, Tone};
use serde::Serialize;

use super::Prepared;
use crate::authority::{Authority, AuthorityError, Draft};
use crate::commands::trust::{exit_of_get, open_source};
use crate::commands::{block_on, now};
use crate::rehearsal::{
    Count, KeyChange, Notes, Of, RehearsalError, Rehearsed, RoleChange, key_changes, rehearse,
    role_changes, served_note,
};

/// What publishing the next version would come to.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    prepared: Prepared,
    /// Whether all that must have signed, and their signatures verify.
    complete: bool,
    roles: Vec<RoleChange>,
    keys: Vec<KeyChange>,
    repositories: Vec<Rehearsed>,
}

impl Report for Shown {
    fn print(&self, output: &Output) {
        self.prepared.print(output);
        output.print_field("sha256", self.prepared.sha256);
        output.print_field("in words", &self.prepared.words);
        output.print_line("");
        output.print_table(&self.role_table());
        output.print_line("");
        output.print_table(&self.key_table());
        for rehearsed in &self.repositories {
            output.print_line("");
            print_repository(rehearsed, output);
        }
    }
}

impl Shown {
    fn role_table(&self) -> Table {
        let mut table = Table::new(["ROLE", "MUST SIGN NOW", "AFTER"]);
        let keys = |of: Option<Of>| match of {
            Some(Of { found, needed }) => format!("{needed} of {found}"),
            None => "-".to_owned(),
        };
        for change in &self.roles {
            table.row([change.role.clone(), keys(change.now), keys(change.after)]);
        }
        table
    }

    fn key_table(&self) -> Table {
        let mut table = Table::new(["ROLE", "NOW", "AFTER", "KEY"]);
        for change in &self.keys {
            let said = |counts: Option<_>| counts.map_or("-".to_owned(), |one| format!("{one}"));
            let (now, after) = (said(change.now), said(change.after));
            table.row([&change.role, &now, &after, &change.key]);
        }
        table
    }
}

fn print_repository(rehearsed: &Rehearsed, output: &Output) {
    let Rehearsed { repository, version, files, patches, problems, .. } = rehearsed;
    let whose = match &rehearsed.distribution {
        Some(_) => "Clients of",
        None => "Distributions that read",
    };
    output.print_heading(format!("{whose} {repository}, now at version {version}:"));
    let mut table = Table::new(["FILE", "SIGNED BY", "NOW", "AFTER"]);
    for file in files {
        for Count { role, now, after } in &file.counts {
            let said = |of: &Option<Of>| of.map_or("-".to_owned(), |of| of.to_string());
            table.row([file.file.as_str(), role, &said(now), &said(after)]);
        }
    }
    if rehearsed.distribution.is_some() {
        let (all, lost) = (patches.released, patches.lost.len());
        let after = format!("{} of {all}", all - lost as u64);
        table.row(["released patches", "both", &format!("{all} of {all}"), &after]);
    }
    output.print_table(&table);
    for lost in patches.lost.iter().skip(1) {
        output.detail(format!("also lost: {}, entry {}", lost.patch, lost.index));
    }
    for problem in problems {
        output.print_toned_field("problem", Tone::Bad, &problem.what);
        output.print_field("do", problem.remedy);
    }
    if problems.is_empty() {
        output.print_line("They go on: all that is served would be accepted.");
    }
}

/// Shows it. The lock is not taken: nothing is written.
pub(super) fn run(
    directory: &Path,
    repositories: &[Location],
    output: &Output,
) -> Result<ExitStatus, Failure> {
    let authority = Authority::open(directory)?;
    let draft = authority.prepared()?.ok_or(AuthorityError::NothingPrepared)?;
    draft.note().check().map_err(AuthorityError::Incomplete)?;
    if let Some(chain) = authority.chain() {
        chain.check_successor(draft.note()).map_err(AuthorityError::Successor)?;
    }
    let successor = authority.successor(&draft);
    let mut rehearsals = Vec::new();
    for location in repositories {
        rehearsals.push(judge(&authority, &draft, location)?);
    }
    let shown = Shown {
        prepared: Prepared::new(&authority, &draft).without_next(),
        complete: successor.is_ok(),
        roles: role_changes(authority.newest(), draft.note()),
        keys: key_changes(authority.newest(), draft.note()),
        repositories: rehearsals,
    };
    output.report(&shown);
    verdict(successor.err(), &shown.repositories)
}

fn verdict(
    unfinished: Option<AuthorityError>,
    repositories: &[Rehearsed],
) -> Result<ExitStatus, Failure> {
    if let Some(error) = unfinished {
        return Err(error.into());
    }
    let worst = repositories.iter().filter_map(Rehearsed::verdict).max();
    let exit = match worst {
        None => return Ok(ExitStatus::Done),
        Some(Verdict::Expired) => ExitStatus::Expired,
        Some(Verdict::Rollback) => ExitStatus::RollbackOrFork,
        Some(Verdict::Signature) => ExitStatus::Signature,
    };
    Err(Failure::new(exit, "clients would refuse what is served")
        .hint("each problem says what to do before the version is published"))
}

fn judge(authority: &Authority, draft: &Draft, location: &Location) -> Result<Rehearsed, Failure> {
    let Some(first) = authority.first_version()? else {
        let error = "version 1 is not published yet, so there are no clients";
        return Err(Failure::usage(error));
    };
    let source = open_source(location)?;
    let clock = Clock::local(now()?);
    let judged = block_on(async {
        let served = served_note(&source, &first).await?;
        if served.version >= draft.note().version {
            return Ok(Err(served.version));
        }
        let notes = Notes { now: &served, after: draft.note(), clock };
        rehearse(&source, notes).await.map(Ok)
    })?;
    judged.map_err(rehearsal_failure)?.map_err(|version| {
        let file = layout::authority(version);
        let error = format!("{location} serves {file} already, signed as it must be");
        Failure::new(ExitStatus::RollbackOrFork, error).hint(
            "either this directory was restored from a backup (copy the newer notes into public/ \
             and discard the draft), or others hold enough of the authority's keys",
        )
    })
}

/// Why a repository could not be judged, as a person reads it.
pub(super) fn rehearsal_failure(error: RehearsalError) -> Failure {
    let exit = match &error {
        RehearsalError::Get(error) => exit_of_get(error),
        RehearsalError::Authority(_) => ExitStatus::Signature,
        RehearsalError::Missing { .. } => ExitStatus::Unreachable,
        _ => ExitStatus::Failed,
    };
    Failure::new(exit, error)
}
