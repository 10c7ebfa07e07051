//! Runs one hook: a program of the patch's own that the publisher signed with it.
//!
//! A hook gets a clean environment, no input, a bounded record of its output, a time limit, and a
//! process group of its own that is killed when it ends, so that what it left running in the
//! background does not outlive it. A service that it starts through the service manager, or that
//! detaches into a session of its own, is meant to stay and does.
//!
//! Under a root other than `/` a hook runs inside that root by `chroot`, which needs privilege.
//! What it sees as its root is therefore always `/`, and `PATCHCTL_ROOT` says so.

use std::io::{self, PipeReader, Read as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use countersign_format::name::{PatchName, PatchVersion};
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

/// The search path that hooks run with.
pub const HOOK_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where coreutils' `chroot` is looked for.
const CHROOT: [&str; 4] = ["/usr/sbin/chroot", "/usr/bin/chroot", "/sbin/chroot", "/bin/chroot"];

/// How often a running hook is looked at where its output says nothing.
const LOOK: Duration = Duration::from_millis(20);

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

fn start(mut command: Command) -> io::Result<(Child, PipeReader)> {
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let child = command.spawn()?;
    // the command holds the pipe's writing ends; without them gone the pipe would never end
    drop(command);
    rustix::io::ioctl_fionbio(&reader, true)?;
    Ok((child, reader))
}

/// The output as far as it is kept.
struct Output {
    kept: Vec<u8>,
    truncated: bool,
    limit: usize,
}

impl Output {
    fn take(&mut self, bytes: &[u8]) {
        let room = self.limit - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.truncated |= bytes.len() > room;
    }

    /// Reads once; false at the end of the pipe or when there is nothing to read now.
    fn read(&mut self, pipe: &mut PipeReader) -> io::Result<bool> {
        let mut chunk = [0; 16 * 1024];
        match pipe.read(&mut chunk) {
            Ok(length) => {
                self.take(&chunk[..length]);
                Ok(length > 0)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }
}

fn watch(
    mut child: Child,
    mut pipe: PipeReader,
    (started, limit): (Instant, Duration),
    must_stop: &dyn Fn() -> bool,
    output: &mut Output,
) -> io::Result<HookOutcome> {
    let group = Pid::from_child(&child);
    let mut cut_short = None;
    while !has_ended(group)? {
        cut_short = if must_stop() {
            Some(HookOutcome::Interrupted)
        } else {
            (started.elapsed() >= limit).then_some(HookOutcome::TimedOut(limit))
        };
        if cut_short.is_some() {
            break;
        }
        wait_for_output(&pipe)?;
        if !output.read(&mut pipe)? {
            std::thread::sleep(LOOK.min(limit.saturating_sub(started.elapsed())) / 4);
        }
    }
    // The leader is not reaped yet, so its process group's number cannot have been given to
    // somebody else. Absent where all of the group has ended.
    let _ = rustix::process::kill_process_group(group, Signal::KILL);
    let status = child.wait()?;
    // what still writes has left the group for good and is not waited for
    for _ in 0..64 {
        if !output.read(&mut pipe)? {
            break;
        }
    }
    Ok(cut_short.unwrap_or_else(|| outcome(status)))
}

/// Whether the process has ended, without reaping it.
fn has_ended(pid: Pid) -> io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    Ok(rustix::process::waitid(WaitId::Pid(pid), options)?.is_some())
}

fn wait_for_output(pipe: &PipeReader) -> io::Result<()> {
    let mut waited = [PollFd::new(pipe, PollFlags::IN)];
    let timeout = rustix::event::Timespec::try_from(LOOK).map_err(io::Error::other)?;
    match rustix::event::poll(&mut waited, Some(&timeout)) {
        Err(rustix::io::Errno::INTR) | Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn outcome(status: ExitStatus) -> HookOutcome {
    match (status.code(), status.signal()) {
        (Some(0), _) => HookOutcome::Success,
        (Some(code), _) => HookOutcome::Exit(code),
        (None, signal) => HookOutcome::Signal(signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn run(script: &str, limits: HookLimits) -> HookRun {
        run_until(script, limits, &|| false)
    }

    fn run_until(script: &str, limits: HookLimits, must_stop: &dyn Fn() -> bool) -> HookRun {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join("hook");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).expect("set");
        let call = HookCall {
            name: "acme".parse().expect("a name"),
            kind: HookKind::Check,
            action: Action::Upgrade,
            old: Some("1.0.0".parse().expect("a version")),
            new: Some("1.1.0".parse().expect("a version")),
        };
        let environment = HookEnvironment { inside: None };
        for _ in 0..100 {
            let run = environment.run(&program, call.clone(), limits, must_stop);
            // another test's child may hold the script open for writing for an instant
            if run.outcome != HookOutcome::NotRun("Text file busy (os error 26)".into()) {
                return run;
            }
            std::thread::sleep(LOOK);
        }
        panic!("the hook's file stays busy");
    }

    fn limits(milliseconds: u64, output: usize) -> HookLimits {
        HookLimits { time: Duration::from_millis(milliseconds), output }
    }

    #[test]
    fn tells_a_hook_what_it_must_know_and_nothing_else() {
        let run = run("env | sort; echo to stderr >&2; pwd", limits(60_000, 4096));
        assert_eq!(run.outcome, HookOutcome::Success);
        let output = String::from_utf8(run.output).expect("text");
        for line in [
            "PATCHCTL_ACTION=upgrade",
            "PATCHCTL_NAME=acme",
            "PATCHCTL_NEW_VERSION=1.1.0",
            "PATCHCTL_OLD_VERSION=1.0.0",
            "PATCHCTL_ROOT=/",
            "to stderr",
            "/",
        ] {
            assert!(output.lines().any(|found| found == line), "{line} in {output}");
        }
        assert!(!output.contains("CARGO"), "the caller's environment must not leak: {output}");
    }

    #[test]
    fn says_how_a_hook_failed() {
        assert_eq!(run("exit 3", limits(60_000, 10)).outcome, HookOutcome::Exit(3));
        assert_eq!(run("kill -9 $$", limits(60_000, 10)).outcome, HookOutcome::Signal(9));
        let hung = run("echo begun; sleep 600", limits(300, 100));
        assert_eq!(hung.outcome, HookOutcome::TimedOut(Duration::from_millis(300)));
        assert_eq!(hung.output, b"begun\n");
    }

    #[test]
    fn is_killed_when_a_person_asks_for_it() {
        let asked = std::cell::Cell::new(0);
        let third_look = || asked.replace(asked.get() + 1) >= 2;
        let run = run_until("echo begun; sleep 600", limits(600_000, 100), &third_look);
        assert_eq!(run.outcome, HookOutcome::Interrupted);
        assert!(!run.outcome.is_success());
    }

    #[test]
    fn keeps_a_bounded_beginning_of_a_flood() {
        let run = run("echo first; while :; do echo flood; done", limits(300, 1000));
        assert!(matches!(run.outcome, HookOutcome::TimedOut(_)));
        assert_eq!(run.output.len(), 1000);
        assert!(run.truncated);
        assert!(run.output.starts_with(b"first\nflood\n"));
        // many times what a pipe holds, then a good end
        let flood = "i=0; while [ $i -lt 20000 ]; do echo 0123456789abcdef; i=$((i+1)); done";
        let whole = self::run(flood, limits(60_000, 100));
        assert_eq!((whole.outcome, whole.truncated), (HookOutcome::Success, true));
    }

    #[test]
    fn leaves_no_children() {
        let directory = tempfile::tempdir().expect("a directory");
        let pid = directory.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; exit 0", pid.display());
        let run = run(&script, limits(60_000, 100));
        assert_eq!(run.outcome, HookOutcome::Success);
        let child: i32 =
            std::fs::read_to_string(&pid).expect("read").trim().parse().expect("a number");
        // killed, though perhaps not yet reaped by whoever inherited it
        let gone = || match std::fs::read_to_string(format!("/proc/{child}/stat")) {
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        for _ in 0..200 {
            if gone() {
                return;
            }
            std::thread::sleep(LOOK);
        }
        panic!("process {child} still runs");
    }
}
