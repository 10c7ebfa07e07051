//! Taking a patch in: packing a tree, or checking an archive that was packed elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use countersign_format::archive::{ArchiveReader, Checked, WriteOptions, write_archive};
use countersign_format::entry::{ArchiveReference, PatchEntry};
use countersign_format::hash::Hash32;
use countersign_format::limits::MAX_HOOK;
use countersign_format::manifest::{FileEntry, HookPath, Hooks, Manifest, ManifestParts};
use countersign_format::name::{PatchName, PatchVersion, Platform, Requirement};
use countersign_format::relpath::RelPath;
use countersign_format::time::Timestamp;
use countersign_format::tree::{Difference, Tree};
use countersign_format::{archive::Announced, layout};

use super::deltas::{Made, OldFiles};
use super::draft::Staging;
use super::{Collection, CollectionError, Draft, PatchSpec};
use crate::index::PatchIndex;
use crate::patch_selector::PatchSelector;
use crate::role_dir;
use crate::tree_scan::{self, Settings};

/// A patch to be taken in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Addition {
    /// What is said of it.
    pub spec: PatchSpec,
    /// What an incremental patch is made against, or checked against.
    pub against: Option<Against>,
    /// Compression level, 1 to 22; unless said 12, or 19 for changes of at most 64 MiB.
    pub level: Option<i32>,
    /// Modification time of everything in the archive, in seconds since 1970.
    pub time: u64,
}

/// Compression level of archives.
pub const LEVEL: i32 = 12;
/// Compression level of incremental patches of at most [`MAX_CHANGES`]: they are made to be small.
pub const LEVEL_OF_CHANGES: i32 = 19;
/// Most bytes of files and deltas that are compressed at [`LEVEL_OF_CHANGES`]: half a minute's work.
pub const MAX_CHANGES: u64 = 64 * 1024 * 1024;

/// What an incremental patch goes on from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Against {
    /// The tree as it was before.
    Tree(PathBuf),
    /// A full patch that was published or taken in.
    Patch(PatchSelector),
}

/// Archives of at most so many bytes are read into memory and not copied by the system.
const SMALL: u64 = 1024 * 1024;

/// Who is told how far packing is, in bytes of the tree. Both are told by several threads.
#[derive(Clone, Copy)]
pub struct PackProgress<'a> {
    /// So many more bytes were hashed.
    pub hashed: &'a (dyn Fn(u64) + Sync),
    /// So many more bytes were packed.
    pub packed: &'a (dyn Fn(u64) + Sync),
}

/// A patch that is packed and checked, and that nobody sees yet. Dropped, it is gone.
#[derive(Debug)]
pub struct Packed {
    staging: Staging,
    entry: PatchEntry,
    manifest: Manifest,
}

impl Packed {
    /// How many of its files come as changes to others.
    pub fn deltas(&self) -> u64 {
        self.manifest.deltas.as_ref().map_or(0, |deltas| deltas.files.len() as u64)
    }
}

impl FromStr for Against {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if Path::new(text).is_dir() {
            return Ok(Self::Tree(text.into()));
        }
        text.parse().map(Self::Patch).map_err(|error| format!("no directory, and {error}"))
    }
}

impl Collection {
    /// Prepares a patch: packs `source`, the tree that is to be installed, or copies and checks it
    /// if it is an archive.
    pub fn pack(
        &self,
        source: &Path,
        addition: &Addition,
        now: Timestamp,
        progress: PackProgress<'_>,
    ) -> Result<Packed, CollectionError> {
        let incoming = self.directory.incoming();
        let staging = Draft::staging(&incoming);
        let (announced, manifest) = if source.is_dir() {
            self.pack_tree(source, addition, &staging, progress)?
        } else {
            self.take_archive(source, addition, &staging)?
        };
        let entry = entry(&addition.spec, &announced, now);
        Ok(Packed { staging, entry, manifest })
    }

    /// Takes prepared patches in, all or none. Whoever does holds the role's lock.
    pub fn add(&self, packed: &[Packed]) -> Result<Vec<Draft>, CollectionError> {
        let incoming = self.directory.incoming();
        let drafts = Draft::clean(&incoming)?;
        let published = self.published_index()?;
        let waiting = drafts.iter().map(|draft| (&draft.entry, draft.tree()));
        let mut held: BTreeMap<(&PatchName, &PatchVersion), Vec<(&PatchEntry, Hash32)>> =
            BTreeMap::new();
        for (entry, tree) in waiting {
            held.entry((&entry.name, &entry.version)).or_default().push((entry, tree));
        }
        for Packed { entry, manifest, .. } in packed {
            let same = held.entry((&entry.name, &entry.version)).or_default();
            self.check_new(&published, same, entry, manifest)?;
            same.push((entry, manifest.tree));
        }
        let staged = packed.iter().map(|it| (&it.staging, it.entry.clone(), it.manifest.tree));
        Draft::create_all(staged.collect(), &drafts, &incoming)
    }

    fn pack_tree(
        &self,
        source: &Path,
        addition: &Addition,
        staging: &Staging,
        progress: PackProgress<'_>,
    ) -> Result<(Announced, Manifest), CollectionError> {
        let (spec, against) = (&addition.spec, addition.against.as_ref());
        let (name, version, base) = (name(addition)?, version(spec)?, base(addition)?);
        let scanned = tree_scan::scan(source, &spec.settings(), progress.hashed)?;
        let before = against.map(|against| self.tree_of(against, spec)).transpose()?;
        let (tree, difference) = match &before {
            None => {
                let tree = Tree::from_entries(scanned.clone());
                (tree, Difference { files: scanned, remove: Vec::new() })
            }
            Some(before) => {
                let tree = tree_after(before, scanned, &spec.remove)?;
                let difference = before.difference(&tree);
                (tree, difference)
            }
        };
        if difference.files.is_empty() && difference.remove.is_empty() {
            return Err(CollectionError::NothingToPack(source.to_owned()));
        }
        let (hooks, contents) = read_hooks(spec)?;
        let Difference { files, remove } = difference;
        let platform = spec.platform.clone().unwrap_or_else(Platform::any);
        let made = match (&before, against) {
            (Some(before), Some(against)) if self.makes_deltas(&name, base.as_ref(), spec)? => {
                Made::make(before, &files, source, &self.old_files(against, spec)?, staging)?
            }
            _ => Made::default(),
        };
        let (tree, deltas) = (tree.hash(), made.deltas.clone());
        let parts =
            ManifestParts { name, version, base, platform, tree, files, deltas, remove, hooks };
        let manifest = Manifest::new(parts)?;
        if let Some(before) = &before {
            before.apply(&manifest)?;
        }
        let open = |entry: &FileEntry| {
            let file = match made.open(&entry.path)? {
                Some(delta) => {
                    delta.take(manifest.delta(&entry.path).map_or(0, |delta| delta.bytes))
                }
                // a file that is longer than it was is noticed
                None => File::open(source.join(&entry.path))?.take(u64::MAX),
            };
            Ok(Counted { file, progress: progress.packed })
        };
        let path = staging.archive();
        let file = File::create(&path).map_err(CollectionError::io("make", &path))?;
        let mut file = BufWriter::new(file);
        let level = addition.level.unwrap_or_else(|| level_for(&manifest));
        let options = WriteOptions { level, time: addition.time };
        let announced = write_archive(&manifest, &contents, open, options, &mut file)
            .map_err(|source| CollectionError::Pack { path: path.clone(), source })?;
        file.flush().map_err(CollectionError::io("write", &path))?;
        Ok((announced, manifest))
    }

    fn take_archive(
        &self,
        source: &Path,
        addition: &Addition,
        staging: &Staging,
    ) -> Result<(Announced, Manifest), CollectionError> {
        let checked = copy_checked(source, &staging.archive())?;
        let (announced, manifest) = (checked.announced().clone(), checked.into_manifest());
        let spec = &addition.spec;
        agrees("name", spec.name.as_ref(), &manifest.name)?;
        agrees("version", spec.version.as_ref(), &manifest.version)?;
        agrees("platform", spec.platform.as_ref(), &manifest.platform)?;
        if let Some(said) = &spec.base {
            match &manifest.base {
                Some(base) => agrees("base", Some(said), base)?,
                None => agrees("base", Some(&said.to_string()), &"none".to_owned())?,
            }
        }
        if let Some(against) = &addition.against {
            let before = self.tree_of(against, spec)?;
            before.apply(&manifest)?;
            manifest.deltas.as_ref().map(|deltas| deltas.bases(&before)).transpose()?;
        }
        Ok((announced, manifest))
    }

    /// The tree that an incremental patch goes on from.
    fn tree_of(&self, against: &Against, spec: &PatchSpec) -> Result<Tree, CollectionError> {
        match against {
            Against::Tree(root) => {
                // a config file may be new
                let is_there = |path: &&RelPath| root.join(path).is_file();
                let settings = spec.settings();
                let config_files = settings.config_files.iter().filter(is_there).cloned().collect();
                let settings = Settings { config_files, ..settings };
                Ok(Tree::from_entries(tree_scan::scan(root, &settings, &|_| ())?))
            }
            Against::Patch(selector) => {
                let path = self.full_archive(selector, spec.platform.as_ref())?;
                Ok(Tree::of(&read_manifest(&path)?)?)
            }
        }
    }

    /// Whether files of a patch come as changes to others: where it is said, or else where it is for
    /// one version only of those that are here. On another one changes may not fit.
    fn makes_deltas(
        &self,
        name: &PatchName,
        base: Option<&Requirement>,
        spec: &PatchSpec,
    ) -> Result<bool, CollectionError> {
        let (None, Some(base)) = (spec.deltas, base) else {
            return Ok(spec.deltas == Some(true));
        };
        let published = self.published_of(name)?.into_iter().map(|patch| patch.entry.version);
        let drafts = self.drafts()?.into_iter().filter(|draft| draft.entry.name == *name);
        let versions = published.chain(drafts.map(|draft| draft.entry.version));
        let meant: BTreeSet<PatchVersion> =
            versions.filter(|version| base.matches(version)).collect();
        Ok(meant.len() <= 1)
    }

    fn old_files(&self, against: &Against, spec: &PatchSpec) -> Result<OldFiles, CollectionError> {
        Ok(match against {
            Against::Tree(root) => OldFiles::Tree(root.clone()),
            Against::Patch(selector) => {
                OldFiles::Archive(self.full_archive(selector, spec.platform.as_ref())?)
            }
        })
    }

    /// The archive of the full patch that a person means, published or not.
    pub(super) fn full_archive(
        &self,
        selector: &PatchSelector,
        platform: Option<&Platform>,
    ) -> Result<PathBuf, CollectionError> {
        let any = Platform::any();
        let is_meant = |base: Option<&Requirement>, of: &Platform| {
            base.is_none() && (of == &any || of == platform.unwrap_or(&any))
        };
        for patch in self.select_published(selector)? {
            if is_meant(patch.entry.base.as_ref(), &patch.entry.platform) {
                return Ok(self.published_archive(&patch));
            }
        }
        for draft in self.drafts()?.iter().filter(|draft| draft.is_meant(selector)) {
            if is_meant(draft.entry.base.as_ref(), &draft.entry.platform) {
                return Ok(draft.archive());
            }
        }
        Err(CollectionError::NoFullPatch(selector.clone()))
    }

    /// Refuses what readers would pass over, and what contradicts another patch to that version.
    /// `waiting` are those to it that were taken in.
    fn check_new(
        &self,
        published: &PatchIndex,
        waiting: &[(&PatchEntry, Hash32)],
        entry: &PatchEntry,
        manifest: &Manifest,
    ) -> Result<(), CollectionError> {
        let identity = entry.identity();
        let same = published.named(&entry.name, &entry.version)?;
        if let Some(patch) = same.iter().find(|patch| patch.entry.identity() == identity) {
            return Err(CollectionError::Published { identity, index: patch.index });
        }
        let archive = layout::archive(&entry.archive.sha256);
        if self.directory.public().join(&archive).exists() {
            return Err(CollectionError::ArchivePublished(archive));
        }
        if waiting.iter().any(|(waiting, _)| waiting.identity() == identity) {
            return Err(CollectionError::Incoming(identity));
        }
        let on_it = waiting.iter().filter(|(waiting, _)| waiting.platform == entry.platform);
        let mut trees: Vec<Hash32> = on_it.map(|(_, tree)| *tree).collect();
        for patch in same.iter().filter(|patch| patch.entry.platform == entry.platform) {
            trees.push(self.published_tree(patch)?);
        }
        match trees.into_iter().find(|tree| *tree != manifest.tree) {
            Some(other) => Err(CollectionError::OtherTree { made: manifest.tree, other }),
            None => Ok(()),
        }
    }
}

/// Copies an archive and checks the copy: what is checked is what is taken in.
fn copy_checked(source: &Path, path: &Path) -> Result<Checked, CollectionError> {
    let original = File::open(source).map_err(CollectionError::io("copy", source))?;
    let mut bytes = Vec::new();
    let read = (&original).take(SMALL + 1).read_to_end(&mut bytes);
    read.map_err(CollectionError::io("copy", source))?;
    // a file of our own: who may write to the other one may not write to it
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o644);
    let mut copy = options.open(path).map_err(CollectionError::io("make", path))?;
    copy.write_all(&bytes).map_err(CollectionError::io("write", path))?;
    let checked = if bytes.len() as u64 <= SMALL {
        ArchiveReader::open_unannounced(bytes.as_slice()).and_then(ArchiveReader::finish)
    } else {
        io::copy(&mut &original, &mut copy).map_err(CollectionError::io("copy", source))?;
        let file = File::open(path).map_err(CollectionError::io("read", path))?;
        ArchiveReader::open_unannounced(BufReader::new(file)).and_then(ArchiveReader::finish)
    };
    checked.map_err(CollectionError::archive(source))
}

/// The manifest of an archive of the collection's own, which was checked when it was taken in.
pub(super) fn read_manifest(path: &Path) -> Result<Manifest, CollectionError> {
    let file = File::open(path).map_err(CollectionError::io("read", path))?;
    let reader = ArchiveReader::open_unannounced(BufReader::new(file));
    Ok(reader.map_err(CollectionError::archive(path))?.manifest().clone())
}

/// The tree after the patch: the scanned one, or where `remove` is given the one before with what
/// was scanned laid over it.
fn tree_after(
    before: &Tree,
    scanned: Vec<FileEntry>,
    remove: &[RelPath],
) -> Result<Tree, CollectionError> {
    if remove.is_empty() {
        return Ok(Tree::from_entries(scanned));
    }
    if let Some(path) = remove.iter().find(|path| before.get(path).is_none()) {
        return Err(CollectionError::RemoveNotThere(path.clone()));
    }
    let kept = before.iter().filter(|(path, _)| !remove.contains(path));
    let kept = kept.map(|(path, kind)| FileEntry { path: path.clone(), kind: kind.clone() });
    Ok(Tree::from_entries(kept.chain(scanned)))
}

fn level_for(manifest: &Manifest) -> i32 {
    let bytes = |entry: &FileEntry| {
        manifest.delta(&entry.path).map_or_else(|| entry.size(), |delta| delta.bytes)
    };
    let is_small = || manifest.files.iter().map(bytes).sum::<u64>() <= MAX_CHANGES;
    if manifest.base.is_some() && is_small() { LEVEL_OF_CHANGES } else { LEVEL }
}

fn name(addition: &Addition) -> Result<PatchName, CollectionError> {
    match (&addition.spec.name, &addition.against) {
        (Some(name), _) => Ok(name.clone()),
        (None, Some(Against::Patch(selector))) => Ok(selector.name.clone()),
        _ => Err(CollectionError::NotSaid("name")),
    }
}

fn version(spec: &PatchSpec) -> Result<PatchVersion, CollectionError> {
    spec.version.clone().ok_or(CollectionError::NotSaid("version"))
}

/// What must be installed: what is said, or exactly the version that the patch is made against.
fn base(addition: &Addition) -> Result<Option<Requirement>, CollectionError> {
    match (&addition.spec.base, &addition.against) {
        (Some(base), Some(_)) => Ok(Some(base.clone())),
        (None, Some(Against::Patch(selector))) => {
            let exactly = format!("={}", selector.version).parse();
            Ok(Some(exactly.expect("a version behind `=` is a requirement")))
        }
        (None, Some(Against::Tree(_))) => Err(CollectionError::NotSaid("base")),
        (None, None) if addition.spec.remove.is_empty() => Ok(None),
        (_, None) => Err(CollectionError::BaseWithoutAgainst),
    }
}

fn entry(spec: &PatchSpec, announced: &Announced, now: Timestamp) -> PatchEntry {
    PatchEntry {
        name: announced.name.clone(),
        version: announced.version.clone(),
        base: announced.base.clone(),
        platform: announced.platform.clone(),
        summary: spec.summary.clone().unwrap_or_default(),
        severity: spec.severity.unwrap_or_default(),
        advisories: spec.advisories.clone(),
        requires: spec.requires.clone(),
        conflicts: spec.conflicts.clone(),
        archive: ArchiveReference {
            sha256: announced.sha256,
            size: announced.size,
            unpacked: announced.unpacked,
            files: announced.files,
        },
        restart: spec.restart.clone(),
        reboot: spec.reboot,
        collected: now,
        evidence: Vec::new(),
    }
}

fn read_hooks(spec: &PatchSpec) -> Result<(Hooks, BTreeMap<HookPath, Vec<u8>>), CollectionError> {
    let (mut hooks, mut contents) = (Hooks::default(), BTreeMap::new());
    for (name, file) in spec.hooks.each() {
        let bytes = role_dir::read_file(file, usize::try_from(MAX_HOOK).expect("1 MiB"))?;
        let path: HookPath = format!("hooks/{name}").parse().expect("a short name");
        contents.insert(path.clone(), bytes);
        let hook = match name {
            "pre-install" => &mut hooks.pre_install,
            "post-install" => &mut hooks.post_install,
            "check" => &mut hooks.check,
            _ => &mut hooks.pre_remove,
        };
        *hook = Some(path);
    }
    Ok((hooks, contents))
}

fn agrees<T: PartialEq + ToString>(
    field: &'static str,
    said: Option<&T>,
    found: &T,
) -> Result<(), CollectionError> {
    match said {
        Some(said) if said != found => Err(CollectionError::Disagrees {
            field,
            said: said.to_string(),
            found: found.to_string(),
        }),
        _ => Ok(()),
    }
}

/// A file that tells how much of it was read.
struct Counted<'a> {
    file: io::Take<File>,
    progress: &'a dyn Fn(u64),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        (self.progress)(read as u64);
        Ok(read)
    }
}
