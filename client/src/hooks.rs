//! Runs one hook: a program of the patch's own that the publisher signed with it.
//!
//! A hook gets a clean environment, no input, a bounded record of its output, a time limit, and a
//! process group of its own that is killed when it ends, so that what it left running in the
//! background does not outlive it. A service that it starts through the service manager, or that
//! detaches into a session of its own, is meant to stay and does.
//!
//! Under a root other than `/` a hook runs inside that root by `chroot`, which needs privilege.
//! What it sees as its root is therefore always `/`, and `PATCHCTL_ROOT` says so.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use countersign_format::name::{PatchName, PatchVersion};

mod process;

use process::{Output, start, watch};

/// The search path that hooks run with.
pub const HOOK_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where coreutils' `chroot` is looked for.
const CHROOT: [&str; 4] = ["/usr/sbin/chroot", "/usr/bin/chroot", "/sbin/chroot", "/bin/chroot"];

/// Bounds on a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookLimits {
    /// How long a hook may run.
    pub time: Duration,
    /// How many bytes of its output are kept, from the beginning.
    pub output: usize,
}

impl Default for HookLimits {
    fn default() -> Self {
        Self { time: Duration::from_secs(600), output: 64 * 1024 }
    }
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookKind {
    /// Before the first file of a plan is put in place.
    PreInstall,
    /// After the last.
    PostInstall,
    /// After every `post-install`: says whether the new version works.
    Check,
    /// Before the files of a patch that is removed go.
    PreRemove,
}

impl HookKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::PreInstall, Self::PostInstall, Self::Check, Self::PreRemove];

    /// The word for it in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreInstall => "pre-install",
            Self::PostInstall => "post-install",
            Self::Check => "check",
            Self::PreRemove => "pre-remove",
        }
    }

    /// The kind of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl std::fmt::Display for HookKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What a transaction does, as hooks are told in `PATCHCTL_ACTION`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A name is installed that was not there.
    Install,
    /// A name goes to another version.
    Upgrade,
    /// A name is removed.
    Remove,
    /// A rollback brings back what was.
    Rollback,
    /// Files of an installed version are put right.
    Repair,
    /// An installed version is placed again.
    Reinstall,
    /// What was there is taken over; no hook is run.
    Adopt,
    /// A transaction did not end well and the old version is put back to work.
    Recover,
}

impl Action {
    const ALL: [Self; 8] = [
        Self::Install,
        Self::Upgrade,
        Self::Remove,
        Self::Rollback,
        Self::Repair,
        Self::Reinstall,
        Self::Adopt,
        Self::Recover,
    ];

    /// The action of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }

    /// The word that hooks get.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Upgrade => "upgrade",
            Self::Remove => "remove",
            Self::Rollback => "rollback",
            Self::Repair => "repair",
            Self::Reinstall => "reinstall",
            Self::Adopt => "adopt",
            Self::Recover => "recover",
        }
    }
}

/// What a hook is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCall {
    /// The patch whose hook it is.
    pub name: PatchName,
    /// Which hook.
    pub kind: HookKind,
    /// What is going on.
    pub action: Action,
    /// The version that was, if any.
    pub old: Option<PatchVersion>,
    /// The version that comes, if any.
    pub new: Option<PatchVersion>,
}

/// How a hook ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRun {
    /// What it was told.
    pub call: HookCall,
    /// How it ended.
    pub outcome: HookOutcome,
    /// The beginning of its output, both streams as they came.
    pub output: Vec<u8>,
    /// Whether there was more output than is kept.
    pub truncated: bool,
    /// How long it ran.
    pub took: Duration,
}

/// How a hook ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookOutcome {
    /// Exit status 0.
    Success,
    /// Another exit status.
    Exit(i32),
    /// Killed by a signal.
    Signal(i32),
    /// It ran past the time limit and was killed.
    TimedOut(Duration),
    /// It was killed because a person asked for it.
    Interrupted,
    /// It could not be run.
    NotRun(String),
}

impl HookOutcome {
    /// Whether the hook ended well.
    pub fn is_success(&self) -> bool {
        *self == Self::Success
    }
}

impl std::fmt::Display for HookOutcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Success => formatter.write_str("success"),
            Self::Exit(status) => write!(formatter, "exit status {status}"),
            Self::Signal(signal) => write!(formatter, "killed by signal {signal}"),
            Self::TimedOut(limit) => {
                write!(formatter, "still running after {} s", limit.as_secs_f64())
            }
            Self::Interrupted => formatter.write_str("killed, as was asked for"),
            Self::NotRun(reason) => write!(formatter, "cannot be run: {reason}"),
        }
    }
}

/// Why hooks cannot be run under a root at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookEnvironmentError {
    /// Another root than `/` and no privilege to change to it.
    #[error("hooks of {names} need privilege to run inside {}", root.display())]
    Privilege {
        /// The patches whose hooks would run.
        names: String,
        /// The install root.
        root: PathBuf,
    },
    /// There is no `chroot` program.
    #[error("hooks under {} need the chroot program of coreutils, which is not there", .0.display())]
    NoChroot(PathBuf),
}

/// How programs are started under a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookEnvironment {
    /// `chroot` and the root; none for the whole system.
    inside: Option<(PathBuf, PathBuf)>,
}

impl HookEnvironment {
    /// How hooks run under `root`; `names` are the patches that have some.
    pub fn new(root: &crate::root::Root, names: &[&str]) -> Result<Self, HookEnvironmentError> {
        if root.is_whole_system() {
            return Ok(Self { inside: None });
        }
        let path = root.path().to_owned();
        if !root.is_privileged() {
            return Err(HookEnvironmentError::Privilege { names: names.join(", "), root: path });
        }
        match CHROOT.iter().map(PathBuf::from).find(|program| program.exists()) {
            Some(chroot) => Ok(Self { inside: Some((chroot, path)) }),
            None => Err(HookEnvironmentError::NoChroot(path)),
        }
    }

    /// Runs the executable file at `program`, a path beneath the root, and waits for its end, or
    /// until `must_stop` says that it is to be killed.
    pub fn run(
        &self,
        program: &Path,
        call: HookCall,
        limits: HookLimits,
        must_stop: &dyn Fn() -> bool,
    ) -> HookRun {
        let started = Instant::now();
        let mut command = self.command(program);
        set_environment(&mut command, &call);
        let mut output = Output { kept: Vec::new(), truncated: false, limit: limits.output };
        let outcome = match start(command) {
            Ok((child, pipe)) => watch(child, pipe, (started, limits.time), must_stop, &mut output)
                .unwrap_or_else(|error| HookOutcome::NotRun(error.to_string())),
            Err(error) => HookOutcome::NotRun(error.to_string()),
        };
        let Output { kept, truncated, .. } = output;
        HookRun { call, outcome, output: kept, truncated, took: started.elapsed() }
    }

    fn command(&self, program: &Path) -> Command {
        let absolute = Path::new("/").join(program);
        match &self.inside {
            None => Command::new(absolute),
            Some((chroot, root)) => {
                let mut command = Command::new(chroot);
                command.arg(root).arg(absolute);
                command
            }
        }
    }
}

fn set_environment(command: &mut Command, call: &HookCall) {
    let text = |version: &Option<PatchVersion>| {
        version.as_ref().map(ToString::to_string).unwrap_or_default()
    };
    command
        .env_clear()
        .env("PATH", HOOK_PATH)
        .env("LC_ALL", "C.UTF-8")
        .env("PATCHCTL_ROOT", "/")
        .env("PATCHCTL_NAME", call.name.as_str())
        .env("PATCHCTL_OLD_VERSION", text(&call.old))
        .env("PATCHCTL_NEW_VERSION", text(&call.new))
        .env("PATCHCTL_ACTION", call.action.as_str())
        .current_dir("/")
        .process_group(0);
}

#[cfg(test)]
mod tests;
