//! `patchrepo collection add`.

use std::path::{Path, PathBuf};

use clap::Args;
use countersign_format::archive::MAX_LEVEL;
use countersign_format::entry::Severity;
use countersign_format::manifest::Owner;
use countersign_format::name::{PatchName, PatchVersion, Platform, Requirement};
use countersign_format::relpath::RelPath;
use countersign_format::text::{AdvisoryId, Line};
use countersign_format::time::Timestamp;
use countersign_terminal::{ExitStatus, Failure, OrFail as _, Output, Report, Unit, bytes};
use serde::Serialize;

use super::PatchLine;
use crate::collection::{
    Addition, Against, Collection, CollectionError, Draft, PackProgress, Packed, PatchSpec,
};
use crate::commands::say::say_unlisted;
use crate::commands::{lock, now};
use crate::known_authority::KnownAuthority;
use crate::side_by_side::side_by_side;
use crate::tree_scan;

/// The file beside a tree that says what the flags say.
const SPEC: &str = "patch.toml";

/// What is taken in.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// The collection's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// A directory with the files as they are to be installed, or archives
    #[arg(value_name = "TREE|FILE.patch", required = true)]
    sources: Vec<PathBuf>,
    /// Make an incremental patch against this tree, or against a full patch that is here already
    #[arg(long, value_name = "TREE|NAME@VERSION")]
    against: Option<Against>,
    /// Read what is said of the patch from FILE; patch.toml beside the tree if there is one
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    #[command(flatten)]
    said: SaidArgs,
    /// Compression, 1 to 22; 12 unless said, and 19 for small incremental patches
    #[arg(long, value_name = "LEVEL",
        value_parser = clap::value_parser!(i32).range(1..=i64::from(MAX_LEVEL)))]
    level: Option<i32>,
}

/// What is said of a patch by flags.
#[derive(Args, Debug)]
#[command(next_help_heading = "What is said of the patch")]
struct SaidArgs {
    /// The component
    #[arg(long)]
    name: Option<PatchName>,
    /// The version that it has afterwards (SemVer)
    #[arg(long)]
    version: Option<PatchVersion>,
    /// What must be installed for an incremental patch, such as >=2.1.0,<2.1.1
    #[arg(long, value_name = "REQUIREMENT")]
    base: Option<Requirement>,
    /// The machines that it is for, such as linux-x86_64; any unless said
    #[arg(long)]
    platform: Option<Platform>,
    /// One line for people
    #[arg(long, value_name = "TEXT")]
    summary: Option<Line>,
    /// none, low, medium, high or critical
    #[arg(long)]
    severity: Option<Severity>,
    /// An advisory that it closes, such as CVE-2026-0001
    #[arg(long = "advisory", value_name = "ID")]
    advisories: Vec<AdvisoryId>,
    /// A component that must be there, such as libacme=^1.4
    #[arg(long, value_name = "NAME=REQUIREMENT", value_parser = requirement)]
    requires: Vec<(PatchName, Requirement)>,
    /// A component that must not be there, such as oldacme=*
    #[arg(long, value_name = "NAME=REQUIREMENT", value_parser = requirement)]
    conflicts: Vec<(PatchName, Requirement)>,
    /// A service that must be restarted afterwards
    #[arg(long, value_name = "SERVICE")]
    restart: Vec<Line>,
    /// The machine must be restarted afterwards
    #[arg(long)]
    reboot: bool,
    /// A path that goes away; the tree then holds only what is new or changed
    #[arg(long, value_name = "PATH", requires = "against")]
    remove: Vec<RelPath>,
    /// Whether files may come as changes to those before; yes where the base is one version only
    #[arg(long, value_name = "BOOL", requires = "against")]
    deltas: Option<bool>,
    /// A program that the patch runs: pre-install, post-install, check or pre-remove
    #[arg(long = "hook", value_name = "HOOK=FILE", value_parser = hook)]
    hooks: Vec<(String, PathBuf)>,
    /// A file that an administrator is expected to change
    #[arg(long = "config-file", value_name = "PATH")]
    config_files: Vec<RelPath>,
    /// Who owns the files; root:root unless said
    #[arg(long, value_name = "USER:GROUP")]
    owner: Option<Owner>,
}

#[derive(Serialize)]
struct Added {
    patches: Vec<AddedPatch>,
}

#[derive(Serialize)]
struct AddedPatch {
    #[serde(flatten)]
    line: PatchLine,
    size: u64,
    unpacked: u64,
    files: u64,
    /// How many of the files come as changes to others.
    deltas: u64,
}

impl Report for Added {
    fn print(&self, output: &Output) {
        for patch in &self.patches {
            let PatchLine { name, version, base, .. } = &patch.line;
            let what =
                base.as_ref().map_or("full patch".into(), |base| format!("patch for {base}"));
            let files = if patch.files == 1 { "file" } else { "files" };
            let changes = match patch.deltas {
                0 => String::new(),
                deltas => format!(" ({deltas} as changes)"),
            };
            output.print_line(format!(
                "{name}@{version}: {what}, {} {files}{changes}, {} ({} unpacked)",
                patch.files,
                bytes(patch.size),
                bytes(patch.unpacked)
            ));
        }
        output.note("Next: patchrepo collection test, or publish.");
    }
}

/// Takes each in and says what it is.
pub fn run(arguments: &AddArgs, output: &Output) -> Result<ExitStatus, Failure> {
    let collection = Collection::open(&arguments.directory)?;
    let mut additions = Vec::new();
    for source in &arguments.sources {
        let addition = Addition {
            spec: arguments.spec_of(source)?,
            against: arguments.against.clone(),
            level: arguments.level,
            time: source_date_epoch()?,
        };
        additions.push((source.as_path(), addition));
    }
    let now = now()?;
    let packed = side_by_side(&additions, |(source, addition)| {
        pack(&collection, source, addition, now, output)
    });
    let packed = packed.into_iter().collect::<Result<Vec<_>, _>>()?;
    let _lock = lock(collection.directory(), output)?;
    let drafts = collection.add(&packed)?;
    if let Some(known) = KnownAuthority::held(collection.directory())? {
        say_unlisted(&known, collection.directory(), output);
    }
    let patches = drafts.iter().zip(&packed).map(|(draft, it)| AddedPatch::new(draft, it));
    let patches = patches.collect();
    output.report(&Added { patches });
    Ok(ExitStatus::Done)
}

fn pack(
    collection: &Collection,
    source: &Path,
    addition: &Addition,
    now: Timestamp,
    output: &Output,
) -> Result<Packed, CollectionError> {
    if !source.is_dir() {
        // an archive is copied, not packed
        let progress = PackProgress { hashed: &|_| (), packed: &|_| () };
        return collection.pack(source, addition, now, progress);
    }
    let label = source.display().to_string();
    // every file is read twice: to hash it, and to pack it
    let task = output.progress().task(&label, Some(2 * tree_scan::size(source)), Unit::Bytes);
    let advance = |bytes| task.advance(bytes);
    let progress = PackProgress { hashed: &advance, packed: &advance };
    collection.pack(source, addition, now, progress)
}

impl AddedPatch {
    fn new(draft: &Draft, packed: &Packed) -> Self {
        let reference = draft.entry.archive;
        Self {
            line: PatchLine::new(None, &draft.entry),
            size: reference.size,
            unpacked: reference.unpacked,
            files: reference.files,
            deltas: packed.deltas(),
        }
    }
}

impl AddArgs {
    fn spec_of(&self, source: &Path) -> Result<PatchSpec, Failure> {
        let beside = source.join("..").join(SPEC);
        let read = match &self.spec {
            Some(path) => PatchSpec::read(path)?,
            None if source.is_dir() && beside.is_file() => PatchSpec::read(&beside)?,
            None => PatchSpec::default(),
        };
        Ok(read.with(self.said.to_spec()?))
    }
}

impl SaidArgs {
    fn to_spec(&self) -> Result<PatchSpec, Failure> {
        let mut spec = PatchSpec {
            name: self.name.clone(),
            version: self.version.clone(),
            base: self.base.clone(),
            platform: self.platform.clone(),
            summary: self.summary.clone(),
            severity: self.severity,
            advisories: self.advisories.clone(),
            requires: self.requires.iter().cloned().collect(),
            conflicts: self.conflicts.iter().cloned().collect(),
            restart: self.restart.clone(),
            reboot: self.reboot,
            remove: self.remove.clone(),
            config_files: self.config_files.clone(),
            owner: self.owner.clone(),
            deltas: self.deltas,
            ..PatchSpec::default()
        };
        for (name, file) in &self.hooks {
            spec.hooks.set(name, file.clone()).or_fail(ExitStatus::Usage)?;
        }
        Ok(spec)
    }
}

/// Splits at the first `=`, which no name has.
fn requirement(text: &str) -> Result<(PatchName, Requirement), String> {
    let (name, requirement) = text.split_once('=').ok_or("not of the form NAME=REQUIREMENT")?;
    let name = name.parse().map_err(|error| format!("{error}"))?;
    Ok((name, requirement.parse().map_err(|error| format!("{error}"))?))
}

fn hook(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("not of the form HOOK=FILE")?;
    Ok((name.into(), file.into()))
}

/// The modification time of everything packed, as the reproducible-builds project has it.
fn source_date_epoch() -> Result<u64, Failure> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(0),
        Ok(text) => text
            .parse()
            .map_err(|_| Failure::usage(format!("SOURCE_DATE_EPOCH is no number: {text:?}"))),
    }
}
