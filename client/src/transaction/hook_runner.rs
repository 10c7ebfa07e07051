//! Runs the hooks of a transaction, in order, and keeps what they said.

use std::io::Write as _;
use std::path::PathBuf;

use countersign_format::name::{PatchName, PatchVersion};
use countersign_store::crash::{crash_point, step};

use super::error::Failure;
use super::{Component, Context};
use crate::db::change::{put_hook_run, put_notice};
use crate::db::history::Notice;
use crate::db::installed::InstalledHook;
use crate::db::{Database, DatabaseError};
use crate::hooks::{Action, HookCall, HookEnvironment, HookEnvironmentError, HookKind, HookRun};
use crate::object;
use crate::report::{Event, Reporter};
use crate::root::{DirPath, Root};
use crate::stage::{Areas, StageError};

/// How often a person must ask before a running hook is killed: the first time it is let end.
pub const INTERRUPTS: u32 = 2;

/// A hook that is to run.
#[derive(Debug)]
pub(super) struct Call<'c> {
    pub call: HookCall,
    pub content: &'c [u8],
}

/// The hooks of one kind that a transaction runs, in the order of its components and links.
pub(super) fn calls(components: &[Component], kind: HookKind) -> Vec<Call<'_>> {
    let mut calls = Vec::new();
    for component in components {
        let name = &component.name;
        if kind == HookKind::PreRemove {
            if component.becomes.is_none() && !component.lets_go {
                let old = component.was.as_ref().map(|was| was.version.clone());
                calls.extend(call(name, kind, component.action, &component.old_hooks, old, None));
            }
            continue;
        }
        // a check judges what is there in the end, so only the last link's is asked
        let skipped =
            if kind == HookKind::Check { component.links.len().saturating_sub(1) } else { 0 };
        for link in component.links.iter().skip(skipped) {
            let (old, new) = (link.old.clone(), Some(link.version.clone()));
            calls.extend(call(name, kind, component.action, &link.hooks, old, new));
        }
    }
    calls
}

/// The `post-install` of each version that was put back.
pub(super) fn recovery_calls<'c>(
    name: &PatchName,
    hooks: &'c [InstalledHook],
    failed: Option<PatchVersion>,
    back: PatchVersion,
) -> Option<Call<'c>> {
    call(name, HookKind::PostInstall, Action::Recover, hooks, failed, Some(back))
}

fn call<'c>(
    name: &PatchName,
    kind: HookKind,
    action: Action,
    hooks: &'c [InstalledHook],
    old: Option<PatchVersion>,
    new: Option<PatchVersion>,
) -> Option<Call<'c>> {
    let hook = hooks.iter().find(|hook| hook.kind == kind)?;
    let call = HookCall { name: name.clone(), kind, action, old, new };
    Some(Call { call, content: &hook.content })
}

/// What running hooks needs.
pub(super) struct HookRunner<'h, 'r> {
    pub database: &'h Database,
    pub root: &'r Root,
    pub areas: &'h mut Areas<'r>,
    pub transaction: i64,
    pub context: Context<'h>,
    pub reporter: &'h mut dyn Reporter,
}

/// Why a hook could not be started at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error(transparent)]
    Environment(#[from] HookEnvironmentError),
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl HookRunner<'_, '_> {
    /// Runs all of `calls`; stops at the first that does not end well.
    pub fn run_all(&mut self, calls: &[Call<'_>]) -> Result<(), Failure> {
        for call in calls {
            let run = self.run(call, INTERRUPTS).map_err(|error| match error {
                RunError::Stage(error) => Failure::Stage(error),
                RunError::Database(error) => Failure::Database(error),
                RunError::Environment(error) => Failure::Step {
                    what: "run hooks under",
                    path: String::new(),
                    source: std::io::Error::other(error),
                },
            })?;
            if !run.outcome.is_success() {
                return Err(Failure::Hook(Box::new(run)));
            }
        }
        Ok(())
    }

    /// Runs the hooks that put old versions back to work. One that does not end well is noted; the
    /// files are back all the same.
    pub fn run_recovery(&mut self, calls: &[Call<'_>]) -> Result<Vec<Notice>, RunError> {
        let mut notices = Vec::new();
        // what was asked before was to undo: only a further word stops what that takes
        let further = INTERRUPTS.max((self.context.interrupts)().saturating_add(1));
        for call in calls {
            let run = self.run(call, further)?;
            if !run.outcome.is_success() {
                let name = run.call.name.to_string();
                let notice = Notice::RecoveryHookFailed { name, outcome: run.outcome.to_string() };
                put_notice(self.database.connection(), self.transaction, &notice)?;
                notices.push(notice);
            }
        }
        Ok(notices)
    }

    fn run(&mut self, call: &Call<'_>, stop_at: u32) -> Result<HookRun, RunError> {
        let (name, hook) = (call.call.name.to_string(), call.call.kind.as_str());
        let environment = HookEnvironment::new(self.root, &[&name])?;
        let program = self.write_program(call)?;
        self.reporter.report(&Event::HookStarted { name: &name, hook });
        crash_point("transaction.hook");
        let must_stop = || (self.context.interrupts)() >= stop_at;
        let run = environment.run(&program, call.call.clone(), self.context.hooks, &must_stop);
        let (success, took) = (run.outcome.is_success(), run.took);
        self.reporter.report(&Event::HookEnded { name: &name, hook, success, took });
        put_hook_run(self.database.connection(), self.transaction, &run)?;
        Ok(run)
    }

    /// Hooks are run from the root's own working area, which a `chroot` can see and nobody else can
    /// write to.
    fn write_program(&mut self, call: &Call<'_>) -> Result<PathBuf, StageError> {
        let mut note = super::unpack::note_area(self.database, self.transaction);
        let area = self.areas.for_directory(&DirPath::ROOT, &mut note)?;
        let name = format!("hook-{}", self.areas.slot());
        let area = self.areas.get(area);
        step("transaction.hook-program", || {
            object::remove_all(area.staging(), &name)?;
            let mut file = object::create_file(area.staging(), &*name, object::OWNER_ONLY)?;
            file.write_all(call.content)?;
            object::set_metadata(&file, None, 0o700)
        })
        .map_err(|source| StageError::Object { path: name.clone(), source })?;
        let staging = format!("staging/{}/{name}", self.transaction);
        Ok(PathBuf::from(crate::stage::AREA).join(staging))
    }
}
