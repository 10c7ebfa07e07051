//! The patch-testing stage: a command runs against the unpacked patch, and what came of it is kept
//! as a document that the log entry names.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use countersign_format::entry::{Evidence, PatchEntry};
use countersign_format::hash::Hash32;
use countersign_format::json;
use countersign_format::name::{PatchName, PatchVersion, Platform, Requirement};
use countersign_format::time::Timestamp;
use countersign_format::tree::Tree;
use countersign_store::durable::Access;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;

use super::unpack::unpack;
use super::{Collection, CollectionError, Draft};

const TYPE: &str = "test/v1";
/// How often a running test is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How far a test may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TestLimits {
    /// How long it may run.
    pub time: Duration,
    /// How many bytes it may print.
    pub output: u64,
}

impl Default for TestLimits {
    fn default() -> Self {
        Self { time: Duration::from_secs(600), output: 64 * 1024 * 1024 }
    }
}

/// How a test ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The command exited with 0.
    Passed,
    /// The command exited otherwise, or was killed.
    Failed,
    /// It ran for longer than it might.
    TooSlow,
    /// It printed more than it might.
    TooMuchOutput,
}

/// The document of a test: `test/v1`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TestRecord {
    /// The component.
    pub name: PatchName,
    /// The version.
    pub version: PatchVersion,
    /// What must be installed for an incremental patch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Requirement>,
    /// The machines that the patch is for.
    pub platform: Platform,
    /// SHA-256 of the archive that was tested.
    pub archive: Hash32,
    /// SHA-256 of the full patch below it, for an incremental one that was tested on one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<Hash32>,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// What it exited with, unless it was killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// The signal that killed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// The machine that it ran on.
    pub host: String,
    /// What it printed on both its streams.
    pub output: TestOutput,
}

/// What a test printed; kept in `evidence/` under its hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct TestOutput {
    /// Its SHA-256.
    pub sha256: Hash32,
    /// Its bytes.
    pub size: u64,
}

/// A test that was run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestRun {
    /// Its document.
    pub record: TestRecord,
    /// What it printed.
    pub output: Vec<u8>,
}

impl Collection {
    /// Runs `command` against a patch that was taken in. Nothing is kept of it before
    /// [`Self::keep_test`].
    ///
    /// The command runs in the directory of the unpacked patch. It is told of the patch by the
    /// environment: `PATCH_NAME`, `PATCH_VERSION`, `PATCH_PLATFORM`, `PATCH_BASE` (empty for a full
    /// patch), `PATCH_ARCHIVE`, `PATCH_ROOT`, `PATCH_HOOKS` (a directory), and `PATCH_COMPLETE`: 1
    /// where all of the component is there, 0 for an incremental patch whose base is not known here.
    pub fn test(
        &self,
        draft: &Draft,
        command: &[String],
        limits: TestLimits,
        clock: impl Fn() -> Timestamp,
    ) -> Result<TestRun, CollectionError> {
        let staging = Draft::staging(&self.directory.incoming());
        let within = staging.directory()?;
        let (root, hooks) = (within.join("root"), within.join("hooks"));
        for folder in [&root, &hooks] {
            fs::create_dir(folder).map_err(CollectionError::io("make", folder))?;
        }
        let on = self.unpack_base(draft, &root, &hooks)?;
        unpack(&draft.archive(), &root, &hooks)?;
        let is_complete = draft.entry.base.is_none() || on.is_some();
        let log = within.join("output");
        let file = File::create_new(&log).map_err(CollectionError::io("make", &log))?;
        let mut prepared = prepare(draft, command, &root, &hooks, is_complete);
        let started = clock();
        let (outcome, status) = run(&mut prepared, &file, limits)
            .map_err(|source| CollectionError::Command { command: command[0].clone(), source })?;
        let finished = clock();
        let output = fs::read(&log).map_err(CollectionError::io("read", &log))?;
        let PatchEntry { name, version, base, platform, archive, .. } = draft.entry.clone();
        let record = TestRecord {
            name,
            version,
            base,
            platform,
            archive: archive.sha256,
            on,
            command: command.to_vec(),
            outcome,
            exit: status.code(),
            signal: status.signal(),
            started,
            finished,
            host: host(),
            output: TestOutput { sha256: Hash32::of(&output), size: output.len() as u64 },
        };
        Ok(TestRun { record, output })
    }

    /// Keeps the document of a test and returns its SHA-256. One that passed becomes evidence in
    /// the patch's entry; after one that failed the patch is not published. Whoever keeps it holds
    /// the role's lock.
    pub fn keep_test(&self, draft: &Draft, run: &TestRun) -> Result<Hash32, CollectionError> {
        let TestRun { record, output } = run;
        let relative = Path::new("evidence").join(format!("{}.log", record.output.sha256));
        self.directory.write(&relative, output, Access::Public)?;
        let document = json::print_pretty(TYPE, record);
        let sha256 = Hash32::of(&document);
        let relative = Path::new("evidence").join(format!("{sha256}.json"));
        self.directory.write(&relative, &document, Access::Public)?;
        let identity = draft.entry.identity();
        let mut draft = draft.reload()?.ok_or(CollectionError::Gone(identity))?;
        if record.outcome == Outcome::Passed {
            let kind = TYPE.parse().expect("a short word");
            draft.entry.evidence.push(Evidence { kind, sha256 });
            draft.set_failed(None)?;
        } else {
            draft.set_failed(Some(sha256))?;
        }
        Ok(sha256)
    }

    /// For an incremental patch: unpacks the newest full patch that it goes on from, if there is
    /// one here.
    fn unpack_base(
        &self,
        draft: &Draft,
        root: &Path,
        hooks: &Path,
    ) -> Result<Option<Hash32>, CollectionError> {
        let Some(base) = &draft.entry.base else { return Ok(None) };
        let manifest = super::add::read_manifest(&draft.archive())?;
        let mut candidates = self.published_of(&draft.entry.name)?;
        candidates.retain(|patch| {
            let PatchEntry { base: of, platform, version, .. } = &patch.entry;
            of.is_none() && *platform == draft.entry.platform && base.matches(version)
        });
        candidates.sort_by(|left, right| right.entry.version.cmp(&left.entry.version));
        for patch in candidates {
            let archive = self.published_archive(&patch);
            let before = Tree::of(&super::add::read_manifest(&archive)?)?;
            if before.apply(&manifest).is_ok() {
                unpack(&archive, root, hooks)?;
                // only the patch's own hooks are of interest
                fs::remove_dir_all(hooks)
                    .and_then(|()| fs::create_dir(hooks))
                    .map_err(CollectionError::io("empty", hooks))?;
                return Ok(Some(patch.entry.archive.sha256));
            }
        }
        Ok(None)
    }
}

fn prepare(
    draft: &Draft,
    command: &[String],
    root: &Path,
    hooks: &Path,
    is_complete: bool,
) -> Command {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let entry = &draft.entry;
    let base = entry.base.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut prepared = Command::new(&command[0]);
    prepared
        .args(&command[1..])
        .current_dir(root)
        .env("PATCH_NAME", entry.name.as_str())
        .env("PATCH_VERSION", entry.version.to_string())
        .env("PATCH_PLATFORM", entry.platform.as_str())
        .env("PATCH_BASE", base)
        .env("PATCH_ARCHIVE", absolute(&draft.archive()))
        .env("PATCH_ROOT", absolute(root))
        .env("PATCH_HOOKS", absolute(hooks))
        .env("PATCH_COMPLETE", if is_complete { "1" } else { "0" })
        .stdin(Stdio::null());
    prepared
}

/// Runs the command in a process group of its own, which is killed when it goes too far.
fn run(
    command: &mut Command,
    output: &File,
    limits: TestLimits,
) -> io::Result<(Outcome, ExitStatus)> {
    let mut child =
        command.process_group(0).stdout(output.try_clone()?).stderr(output.try_clone()?).spawn()?;
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            // what it left running must not outlive the test
            kill_group(&child);
            let outcome = if status.success() { Outcome::Passed } else { Outcome::Failed };
            return Ok((outcome, status));
        }
        let excess = match () {
            () if started.elapsed() > limits.time => Some(Outcome::TooSlow),
            () if output.metadata()?.len() > limits.output => Some(Outcome::TooMuchOutput),
            () => None,
        };
        if let Some(outcome) = excess {
            kill_group(&child);
            return Ok((outcome, child.wait()?));
        }
        thread::sleep(LOOK_AGAIN);
    }
}

fn kill_group(child: &Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        // nobody may be left in it
        let _ = kill_process_group(group, Signal::KILL);
    }
}

fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
