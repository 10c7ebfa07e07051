//! `patchrepo authority rotate`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use countersign_format::key::{KeyName, Vkey};
use countersign_format::policy::Clock;
use countersign_format::time::Timestamp;
use countersign_store::Location;
use countersign_terminal::{ExitStatus, Failure, OrFail as _, Output, Report, Tone};
use serde::Serialize;

use super::open_locked;
use crate::authority::{Authority, AuthorityError, KeySelector};
use crate::commands::trust::open_source;
use crate::commands::{block_on, now};
use crate::rotation::{
    Instruction, Leaving, Observed, Plan, Progress, RoleName, RotationError, State, Step, Wish,
    observe, steps,
};

/// Show how to replace or retire keys, step by step: what is done, what to type next and where
///
/// With --role, --key or --retire it begins and remembers what is to go; without, it shows how far
/// that is. It reads the authority's notes and what the repositories serve, and changes neither:
/// you type the commands that it shows. Clients go on through every step.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    patchrepo authority rotate /srv/authority --role collection --repository /srv/public\n  \
    patchrepo authority rotate /srv/authority --role all --at collection=/srv/collection\n  \
    patchrepo authority rotate /srv/authority --retire patches.example.org/collection/alice\n  \
    patchrepo authority rotate /srv/authority\n\n\
    Whoever thinks that a key is stolen does not rotate: see docs/recovery.md.")]
pub struct RotateArgs {
    /// The authority's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Begin to replace all keys of a role: authority, collection, distribution (of the name main),
    /// distribution/NAME, directory, witness, or all; may be repeated
    #[arg(long, value_name = "ROLE")]
    role: Vec<RoleArgument>,
    /// Begin to replace this key; may be repeated
    #[arg(long, value_name = "NAME[+ID]")]
    key: Vec<KeySelector>,
    /// Begin to retire this key without a successor; may be repeated
    #[arg(long, value_name = "NAME[+ID]")]
    retire: Vec<KeySelector>,
    /// What clients are served; the distribution's public/ beside this directory unless given
    #[arg(long, value_name = "URL|DIR")]
    repository: Vec<Location>,
    /// Where a role has its directory, for the commands that are shown; may be repeated
    #[arg(long, value_name = "ROLE=DIR")]
    at: Vec<PlaceArgument>,
    /// Forget what was begun; the notes stay as they are
    #[arg(long, conflicts_with_all = ["role", "key", "retire", "repository", "at"])]
    forget: bool,
}

/// A role, or all.
#[derive(Clone, Debug)]
enum RoleArgument {
    All,
    One(RoleName),
}

/// `ROLE=DIR`.
#[derive(Clone, Debug)]
struct PlaceArgument(RoleName, String);

impl FromStr for RoleArgument {
    type Err = RotationError;

    fn from_str(text: &str) -> Result<Self, RotationError> {
        if text == "all" { Ok(Self::All) } else { Ok(Self::One(text.parse()?)) }
    }
}

impl FromStr for PlaceArgument {
    type Err = RotationError;

    fn from_str(text: &str) -> Result<Self, RotationError> {
        let parts = text.split_once('=').filter(|(_, place)| !place.is_empty());
        let (role, place) = parts.ok_or_else(|| RotationError::NoRole(text.to_owned()))?;
        Ok(Self(role.parse()?, place.to_owned()))
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    begun: Timestamp,
    version: u64,
    done: bool,
    keys: &'a [Leaving],
    steps: &'a [Step],
}

impl Report for Shown<'_> {
    fn print(&self, output: &Output) {
        output.print_heading(format!("Keys that are to go, since {}:", self.begun));
        for one in self.keys {
            let selector = KeySelector::of(&one.key);
            let how = if one.succeeded { "" } else { ", without a successor" };
            output.print_line(format!("  {}: {selector}{how}", one.role));
        }
        output.print_line("");
        for (number, step) in (1..).zip(self.steps) {
            let (tone, word) = match step.progress {
                Progress::Done => (Tone::Good, "done"),
                Progress::Next => (Tone::Attention, "next"),
                Progress::Later => (Tone::Plain, "later"),
            };
            output.print_item(&format!("step {number}"), tone, word, &step.title);
            if step.progress == Progress::Next {
                print_next(step, output);
            }
        }
        if self.done {
            output.print_line("");
            output.print_line("All is done. Destroy the secrets of the keys that went.");
        }
    }
}

fn print_next(step: &Step, output: &Output) {
    for detail in &step.detail {
        output.print_line(format!("      {detail}"));
    }
    let mut machine = "";
    for Instruction { on, command } in &step.commands {
        if on != machine {
            output.print_line(format!("      {on}:"));
            machine = on;
        }
        output.print_line(format!("        {command}"));
    }
}

/// Begins, or shows how far it is.
pub fn run(arguments: &RotateArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let (authority, _lock) = open_locked(&arguments.directory, output)?;
    let directory = authority.directory();
    let held = Plan::load(directory)?;
    if arguments.forget {
        held.ok_or(RotationError::None)?;
        Plan::forget(directory)?;
        output.note("Forgotten. What was published and prepared stays as it is.");
        return Ok(ExitStatus::Done);
    }
    let begins = [&arguments.key, &arguments.retire].iter().any(|keys| !keys.is_empty())
        || !arguments.role.is_empty();
    let mut plan = match held {
        Some(plan) if begins => return Err(RotationError::UnderWay(plan.begun).into()),
        Some(plan) => plan,
        None => begin(arguments, &authority)?,
    };
    let before = plan.clone();
    take_places(&mut plan, arguments)?;
    if begins || plan != before {
        plan.save(directory)?;
    }
    let steps = judge(&plan, &authority, &arguments.directory)?;
    let done = steps.iter().all(|step| step.progress == Progress::Done);
    if done {
        Plan::forget(directory)?;
    }
    let Plan { begun, version, leaving, .. } = &plan;
    output.report(&Shown { begun: *begun, version: *version, done, keys: leaving, steps: &steps });
    if !done {
        output
            .note("Type what stands under `next`, then ask again: patchrepo authority rotate DIR.");
    }
    Ok(ExitStatus::Done)
}

fn begin(arguments: &RotateArgs, authority: &Authority) -> Result<Plan, Failure> {
    let newest = authority.newest().ok_or("the authority has published nothing");
    let newest = newest.or_fail(ExitStatus::Failed)?;
    let one = |role: &RoleArgument| match role {
        RoleArgument::All => None,
        RoleArgument::One(role) => Some(role.clone()),
    };
    let wish = Wish {
        all: arguments.role.iter().any(|role| matches!(role, RoleArgument::All)),
        roles: arguments.role.iter().filter_map(one).collect(),
        keys: arguments.key.clone(),
        retire: arguments.retire.clone(),
    };
    let mut plan = Plan::new(newest, &wish, Vec::new(), now()?)?;
    plan.places = beside(&arguments.directory);
    if arguments.repository.is_empty() {
        let public = arguments.directory.with_file_name("distribution").join("public");
        if !public.is_dir() {
            return Err(Failure::usage("nothing says what clients are served")
                .hint("say where the repository is: --repository URL|DIR"));
        }
        plan.repositories.push(public.display().to_string());
    }
    Ok(plan)
}

/// The directories of other roles beside the authority's, as `patchrepo init` makes them.
fn beside(directory: &Path) -> BTreeMap<RoleName, String> {
    let main = RoleName::Distribution("main".parse().expect("a plain word"));
    let roles = [
        (RoleName::Collection, "collection"),
        (main, "distribution"),
        (RoleName::Directory, "directory"),
    ];
    let place = |(role, name): (RoleName, &str)| {
        let path = directory.with_file_name(name);
        path.join("config.toml").is_file().then(|| (role, path.display().to_string()))
    };
    roles.into_iter().filter_map(place).collect()
}

fn take_places(plan: &mut Plan, arguments: &RotateArgs) -> Result<(), Failure> {
    if !arguments.repository.is_empty() {
        for place in &arguments.repository {
            open_source(place)?;
        }
        plan.repositories = arguments.repository.iter().map(ToString::to_string).collect();
    }
    for PlaceArgument(role, place) in &arguments.at {
        plan.places.insert(role.clone(), place.clone());
    }
    Ok(())
}

fn judge(plan: &Plan, authority: &Authority, directory: &Path) -> Result<Vec<Step>, Failure> {
    let newest = authority.newest().ok_or(AuthorityError::NothingPrepared)?;
    let first = authority.first_version()?.unwrap_or_default();
    let clock = Clock::local(now()?);
    let mut repositories: Vec<Observed> = Vec::new();
    for place in &plan.repositories {
        let location: Location = place.parse().or_fail(ExitStatus::Configuration)?;
        let mut observed = match open_source(&location) {
            Ok(source) => block_on(observe(&source, plan, newest, &first, clock))?,
            Err(failure) => {
                let found = Err(failure.error().to_string());
                Observed { place: place.clone(), found }
            }
        };
        observed.place.clone_from(place);
        repositories.push(observed);
    }
    let draft = authority.prepared()?;
    let standings = draft.as_ref().map(|draft| authority.standing(draft)).unwrap_or_default();
    let granted = authority.grants()?.into_iter().map(|grant| (grant.id, grant.epoch));
    let granted: Vec<(KeyName, u32)> = granted.collect();
    let local: Vec<Vkey> = authority.local_keys();
    let state = State {
        directory: &directory.display().to_string(),
        newest,
        draft: draft.as_ref().map(|draft| (draft.note(), &standings[..])),
        granted: &granted,
        local: &local,
        repositories: &repositories,
    };
    Ok(steps(plan, &state))
}
