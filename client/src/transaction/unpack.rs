//! Reads archives into staging and folds chains of patches.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::Seek as _;

use countersign_format::archive::{Announced, ArchiveError, ArchiveReader};
use countersign_format::manifest::{FileEntry, FileKind, HookPath, Hooks, Manifest};
use countersign_format::name::PatchName;
use countersign_format::relpath::RelPath;
use countersign_format::tree::Tree;

use super::delta::{BaseError, BaseFiles};
use super::read_ahead::{Origin, Piece, WholeArchive, read_whole};
use super::stager::{Contents, Stager};
use super::{Component, Link, PlannedPatch, PrepareError, installed_component};
use crate::db::Database;
use crate::db::installed::{Installed, InstalledHook};
use crate::hooks::{Action, HookKind};
use crate::object::Found;
use crate::report::Reporter;
use crate::root::{DirPath, Resolved, Resolver, Root};
use crate::stage::{Areas, Ownership, Spot, StageError};

/// A file in staging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StagedFile {
    pub area: usize,
    pub spot: Spot,
    /// What it was when it was complete.
    pub found: Found,
}

/// A component after all its archives were read.
#[derive(Debug)]
pub(super) struct Unpacked {
    pub component: Component,
    pub tree: Tree,
    pub staged: BTreeMap<RelPath, StagedFile>,
}

/// The files of each component that are put in place, where not all of them are.
pub(super) type Wanted = BTreeMap<PatchName, HashSet<RelPath>>;

/// A patch, and its archive where that was left open behind the manifest.
struct Opened {
    patch: PlannedPatch,
    reader: Option<ArchiveReader<File>>,
}

/// What a plan takes on the file systems that it comes to.
#[derive(Default)]
struct Needed {
    /// Bytes of each object, by the area.
    sizes: HashMap<usize, Vec<u64>>,
    /// The directories that are counted, where they really lead.
    directories: HashSet<RelPath>,
}

/// Everything that unpacking needs.
pub(super) struct Unpacker<'u, 'r> {
    pub database: &'u Database,
    pub root: &'r Root,
    pub transaction: i64,
    pub areas: &'u mut Areas<'r>,
    pub ownership: &'u Ownership,
    /// All files where it says nothing; every archive is read to its end all the same.
    pub wanted: Option<&'u Wanted>,
    /// Whether a `pre-install` of the plan may create owners; found out from the manifests.
    pub awaits_owners: bool,
    pub reporter: &'u mut dyn Reporter,
}

impl Unpacker<'_, '_> {
    /// Checks that the plan's files fit on their file systems, then unpacks them all.
    pub fn unpack(&mut self, patches: Vec<PlannedPatch>) -> Result<Vec<Unpacked>, PrepareError> {
        let opened = self.check_space(patches)?;
        let mut unpacked: Vec<Unpacked> = Vec::new();
        let mut known: HashMap<PatchName, usize> = HashMap::new();
        for patch in opened {
            let name = &patch.patch.announced.name;
            let at = if let Some(at) = known.get(name) {
                *at
            } else {
                known.insert(name.clone(), unpacked.len());
                unpacked.push(self.start(name)?);
                unpacked.len() - 1
            };
            self.add(&mut unpacked[at], patch)?;
        }
        if unpacked.iter().any(|unpacked| !unpacked.staged.is_empty()) {
            self.areas.begin_flush();
        }
        Ok(unpacked)
    }

    /// The component as it is installed, if it is.
    fn start(&self, name: &PatchName) -> Result<Unpacked, PrepareError> {
        let mut component = installed_component(self.database, name, Action::Install)?;
        if component.was.is_some() {
            component.action = Action::Upgrade;
        }
        let tree = Tree::from_entries(component.old_files.iter().map(|file| file.entry.clone()));
        Ok(Unpacked { component, tree, staged: BTreeMap::new() })
    }

    /// Reads the manifests ahead of everything else: they say how much goes where, and whether hooks
    /// may create owners. What they say is believed for this estimate only. An archive that comes
    /// alone stays open behind its manifest; of many, each takes memory while it is open.
    fn check_space(&mut self, patches: Vec<PlannedPatch>) -> Result<Vec<Opened>, PrepareError> {
        let mut needed = Needed::default();
        let mut walker = Resolver::new(self.root);
        let is_alone = patches.len() == 1;
        let mut opened = Vec::with_capacity(patches.len());
        for patch in patches {
            let reader = open(&patch)?;
            self.awaits_owners |= reader.manifest().hooks.pre_install.is_some();
            let (name, wanted) = (&patch.announced.name, self.wanted);
            let is_wanted = |entry: &&FileEntry| is_wanted(wanted, name, &entry.path);
            for entry in reader.manifest().files.iter().filter(is_wanted) {
                self.count(&mut walker, entry, &mut needed)?;
            }
            opened.push(Opened { reader: is_alone.then_some(reader), patch });
        }
        for (area, sizes) in needed.sizes {
            require_space(self.areas, area, &sizes)?;
        }
        Ok(opened)
    }

    /// Counts an entry of a manifest, and the directories above it that are not there as yet, in the
    /// area that it will most likely be placed from. Where it leads is decided later, when the whole
    /// plan is known; a wrong guess costs one copy.
    fn count(
        &mut self,
        walker: &mut Resolver<'_>,
        entry: &FileEntry,
        needed: &mut Needed,
    ) -> Result<(), StageError> {
        let resolved = walker.resolve(&entry.path).ok();
        let above = resolved.as_ref().map_or(DirPath::ROOT, |resolved| DirPath::of(&resolved.path));
        let note = &mut note_area(self.database, self.transaction);
        let sizes = needed.sizes.entry(self.areas.for_directory(&above, note)?).or_default();
        let is_directory = matches!(entry.kind, FileKind::Directory { .. });
        let Some(Resolved { path, absent }) =
            resolved.filter(|known| is_directory || known.absent > 0)
        else {
            sizes.push(entry.size());
            return Ok(());
        };
        let mut directories = above;
        if !is_directory {
            sizes.push(entry.size());
        } else if needed.directories.insert(path) {
            // one that is there takes nothing, but only those below one that is not are told apart here
            sizes.push(u64::from(absent > 0));
        }
        for _ in 0..absent {
            let Some(path) = directories.as_path().cloned() else { break };
            directories = DirPath::of(&path);
            if !needed.directories.insert(path) {
                break;
            }
            sizes.push(1);
        }
        Ok(())
    }

    fn add(&mut self, into: &mut Unpacked, opened: Opened) -> Result<(), PrepareError> {
        let Opened { patch, reader } = opened;
        let component = &mut into.component;
        let before = component.becomes.as_ref().or(component.was.as_ref());
        check_base(&patch.announced, before)?;
        let old = before.map(|before| before.version.clone());
        let reader = reader.map_or_else(|| open(&patch), Ok)?;
        let bases = BaseFiles::new(reader.manifest(), &into.tree, &into.staged, self.areas)
            .map_err(|source| base_error(source, &patch.announced))?;
        let (staged, whole) = self.stage_members(reader, &patch.announced, bases)?;
        let PlannedPatch { announced, signers, .. } = patch;
        let manifest = whole.manifest;
        into.tree = into.tree.apply(&manifest).map_err(|source| PrepareError::Tree {
            name: announced.name.clone(),
            version: announced.version.clone(),
            source: Box::new(source),
        })?;
        let hooks = assign_hooks(&manifest.hooks, &whole.hooks);
        self.fold(into, &manifest, staged)?;
        let component = &mut into.component;
        component.becomes = Some(Installed {
            name: announced.name.clone(),
            version: announced.version.clone(),
            platform: announced.platform.clone(),
            tree: manifest.tree,
            archive: announced.sha256,
            installer: self.root.user(),
            transaction: self.transaction,
        });
        component.new_hooks.clone_from(&hooks);
        component.links.push(Link {
            old,
            version: announced.version.clone(),
            archive: announced.sha256,
            hooks,
            signers,
        });
        Ok(())
    }

    /// Writes the files that an archive brings into staging while it is read.
    fn stage_members(
        &mut self,
        reader: ArchiveReader<File>,
        announced: &Announced,
        bases: BaseFiles<'_>,
    ) -> Result<(Vec<(RelPath, StagedFile)>, WholeArchive), PrepareError> {
        let manifest = reader.shared_manifest();
        let (wanted, name) = (self.wanted, &announced.name);
        let origin = Origin { announced, bases, root: self.root };
        let mut contents = Contents::of(&manifest);
        let mut stager = Stager::new(self, announced, &manifest);
        let is_wanted = |entry: &FileEntry| is_wanted(wanted, name, &entry.path);
        let make = |piece: &Piece| stager.begin(piece);
        let fill = |piece: &Piece, files| contents.fill(piece, files);
        let whole = read_whole(reader, origin, is_wanted, make, fill)?;
        Ok((stager.into_staged(contents), whole))
    }

    /// Takes over what one link brought, and drops from staging what it made of no use.
    fn fold(
        &self,
        into: &mut Unpacked,
        manifest: &Manifest,
        staged: Vec<(RelPath, StagedFile)>,
    ) -> Result<(), PrepareError> {
        let mut dropped: Vec<(RelPath, StagedFile)> = Vec::new();
        if manifest.base.is_none() {
            dropped.extend(std::mem::take(&mut into.staged));
        }
        for (path, file) in staged {
            if let Some(old) = into.staged.insert(path.clone(), file) {
                dropped.push((path, old));
            }
        }
        let gone: Vec<RelPath> = into
            .staged
            .keys()
            .filter(|path| {
                let kind = into.tree.get(path);
                !matches!(kind, Some(FileKind::File(_)))
            })
            .cloned()
            .collect();
        for path in gone {
            if let Some(file) = into.staged.remove(&path) {
                dropped.push((path, file));
            }
        }
        for (path, file) in dropped {
            file.spot
                .remove(self.areas.get(file.area))
                .map_err(|source| StageError::Object { path: path.to_string(), source })?;
        }
        Ok(())
    }
}

fn is_wanted(wanted: Option<&Wanted>, name: &PatchName, path: &RelPath) -> bool {
    wanted.is_none_or(|wanted| wanted.get(name).is_some_and(|paths| paths.contains(path)))
}

/// Writes down a new working area of a transaction.
pub(super) fn note_area(
    database: &Database,
    transaction: i64,
) -> impl FnMut(usize, &DirPath) -> Result<(), StageError> + '_ {
    move |area, at| Ok(crate::journal::add_area(database.connection(), transaction, area, at)?)
}

/// Begins to read an archive, from its open file and no other.
fn open(patch: &PlannedPatch) -> Result<ArchiveReader<File>, PrepareError> {
    let announced = &patch.announced;
    let failed = |source| PrepareError::File { name: announced.name.clone(), source };
    let mut archive = patch.archive.try_clone().map_err(failed)?;
    archive.rewind().map_err(failed)?;
    ArchiveReader::open(archive, announced).map_err(|source| archive_error(source, announced))
}

pub(super) fn archive_error(source: ArchiveError, announced: &Announced) -> PrepareError {
    PrepareError::Archive {
        name: announced.name.clone(),
        version: announced.version.clone(),
        source: Box::new(source),
    }
}

pub(super) fn base_error(source: BaseError, announced: &Announced) -> PrepareError {
    PrepareError::Delta {
        name: announced.name.clone(),
        version: announced.version.clone(),
        archive: announced.sha256,
        source: Box::new(source),
    }
}

fn check_base(announced: &Announced, before: Option<&Installed>) -> Result<(), PrepareError> {
    let Some(base) = &announced.base else { return Ok(()) };
    if before.is_some_and(|before| base.matches(&before.version)) {
        return Ok(());
    }
    Err(PrepareError::Base {
        name: announced.name.clone(),
        version: announced.version.clone(),
        base: base.to_string(),
        found: before.map(|before| before.version.clone()),
    })
}

/// Space on one file system for files of these sizes: each is rounded up to whole blocks.
pub(super) fn require_space(
    areas: &Areas<'_>,
    area: usize,
    sizes: &[u64],
) -> Result<(), PrepareError> {
    let area = areas.get(area);
    let free = area.free()?;
    let at = || area.at().as_str().to_owned();
    let bytes = sizes.iter().fold(0_u64, |sum, size| {
        sum.saturating_add(size.div_ceil(free.block).saturating_mul(free.block))
    });
    if bytes > free.bytes {
        let (needed, available) = (bytes, free.bytes);
        return Err(PrepareError::Space { at: at(), unit: "bytes", needed, available });
    }
    match free.files {
        Some(available) if sizes.len() as u64 > available => {
            let needed = sizes.len() as u64;
            Err(PrepareError::Space { at: at(), unit: "files", needed, available })
        }
        _ => Ok(()),
    }
}

pub(super) fn content_error(
    error: std::io::Error,
    entry: &FileEntry,
    announced: &Announced,
) -> PrepareError {
    match ArchiveError::from_io(error) {
        Ok(source) => archive_error(source, announced),
        Err(source) => StageError::Object { path: entry.path.to_string(), source }.into(),
    }
}

pub(super) fn hook_error(
    error: std::io::Error,
    hook: &HookPath,
    announced: &Announced,
) -> PrepareError {
    match ArchiveError::from_io(error) {
        Ok(source) => archive_error(source, announced),
        Err(source) => PrepareError::HookContent {
            name: announced.name.clone(),
            hook: hook.to_string(),
            source,
        },
    }
}

/// The content of each hook that the manifest names; several may be one file.
fn assign_hooks(hooks: &Hooks, contents: &HashMap<HookPath, Vec<u8>>) -> Vec<InstalledHook> {
    [
        (HookKind::PreInstall, &hooks.pre_install),
        (HookKind::PostInstall, &hooks.post_install),
        (HookKind::Check, &hooks.check),
        (HookKind::PreRemove, &hooks.pre_remove),
    ]
    .into_iter()
    .filter_map(|(kind, path)| {
        let content = contents.get(path.as_ref()?)?.clone();
        Some(InstalledHook { kind, content })
    })
    .collect()
}
