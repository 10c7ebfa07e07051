//! A machine to install on and patches to install.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Seek as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use countersign_format::archive::{WriteOptions, write_archive};
use countersign_format::delta::DeltaWriter;
use countersign_format::hash::Hash32;
use countersign_format::manifest::{
    Bases, Delta, Deltas, FileEntry, FileKind, FileMeta, HookPath, Hooks, Manifest, ManifestParts,
    Mode, Owner, Xattrs,
};
use countersign_format::name::PatchName;
use countersign_format::relpath::RelPath;
use countersign_format::tree::Tree;

use crate::db::Database;
use crate::hooks::HookLimits;
use crate::report::Silent;
use crate::root::Root;
use crate::transaction::{
    ApplyError, Change, ConfigPolicy, Context, Mending, Outcome, PlannedPatch, PrepareError,
    Prepared, Recovered, Retention, Scope, prepare_adopt, prepare_change, prepare_mend,
    prepare_rollback, recover,
};

/// A patch in the making.
#[derive(Clone, Debug)]
pub(super) struct Patch {
    name: String,
    version: String,
    entries: BTreeMap<String, FileKind>,
    contents: BTreeMap<String, Vec<u8>>,
    hooks: BTreeMap<&'static str, String>,
}

fn meta(content: &[u8], mode: u32, config: bool) -> FileKind {
    FileKind::File(FileMeta {
        mode: Mode::from_bits(mode).expect("a mode"),
        size: content.len() as u64,
        sha256: Hash32::of(content),
        config,
        owner: Owner::ROOT,
        xattrs: Xattrs::default(),
    })
}

impl Patch {
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            entries: BTreeMap::new(),
            contents: BTreeMap::new(),
            hooks: BTreeMap::new(),
        }
    }

    pub fn version(&self) -> String {
        self.version.clone()
    }

    /// The next version, with everything of this one but its hooks.
    pub fn next(&self, version: &str) -> Self {
        Self { version: version.into(), hooks: BTreeMap::new(), ..self.clone() }
    }

    pub fn file(self, path: &str, content: &str) -> Self {
        self.entry(path, content, 0o644, false)
    }

    pub fn config(self, path: &str, content: &str) -> Self {
        self.entry(path, content, 0o640, true)
    }

    pub fn program(self, path: &str, content: &str) -> Self {
        self.entry(path, content, 0o755, false)
    }

    pub fn entry(mut self, path: &str, content: &str, mode: u32, config: bool) -> Self {
        self.entries.insert(path.into(), meta(content.as_bytes(), mode, config));
        self.contents.insert(path.into(), content.into());
        self
    }

    pub fn directory(mut self, path: &str, mode: u32) -> Self {
        let mode = Mode::from_bits(mode).expect("a mode");
        self.entries.insert(path.into(), FileKind::Directory { mode, owner: Owner::ROOT });
        self
    }

    pub fn link(mut self, path: &str, target: &str) -> Self {
        let target = target.parse().expect("a target");
        self.entries.insert(path.into(), FileKind::Link { target });
        self
    }

    pub fn owned(mut self, path: &str, owner: &str) -> Self {
        match self.entries.get_mut(path) {
            Some(
                FileKind::File(FileMeta { owner: is, .. }) | FileKind::Directory { owner: is, .. },
            ) => {
                *is = owner.parse().expect("an owner");
            }
            _ => panic!("no {path}"),
        }
        self
    }

    pub fn attribute(self, path: &str, name: &str, value: &str) -> Self {
        self.attributes(path, &[(name, value.as_bytes())])
    }

    pub fn attributes(mut self, path: &str, values: &[(&str, &[u8])]) -> Self {
        let Some(FileKind::File(meta)) = self.entries.get_mut(path) else { panic!("no {path}") };
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec()));
        let values = values.collect::<BTreeMap<_, _>>();
        meta.xattrs = Xattrs::new(values).expect("attributes");
        self
    }

    pub fn without(mut self, path: &str) -> Self {
        self.entries.remove(path).expect("it is there");
        self
    }

    pub fn hook(mut self, kind: &'static str, script: &str) -> Self {
        self.hooks.insert(kind, format!("#!/bin/sh\n{script}\n"));
        self
    }

    /// Size and hash of each file, by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, (u64, Hash32))> {
        self.entries.iter().filter_map(|(path, kind)| match kind {
            FileKind::File(meta) => Some((path.as_str(), (meta.size, meta.sha256))),
            _ => None,
        })
    }

    fn tree(&self) -> Tree {
        Tree::from_entries(self.entries.iter().map(|(path, kind)| FileEntry {
            path: path.parse().expect("a path"),
            kind: kind.clone(),
        }))
    }

    /// A full patch.
    pub fn full(&self) -> PlannedPatch {
        self.plan(&Tree::default(), None, &[])
    }

    /// An incremental patch from exactly `old`.
    pub fn since(&self, old: &Self) -> PlannedPatch {
        self.plan(&old.tree(), Some(format!("={}", old.version)), &[])
    }

    /// An incremental patch from `old` that says it needs something else.
    pub fn since_base(&self, old: &Self, base: &str) -> PlannedPatch {
        self.plan(&old.tree(), Some(base.into()), &[])
    }

    /// An incremental patch from exactly `old`, with files of it as changes to files of that.
    pub fn changes_since(&self, old: &Self, changes: &[(&str, &str)]) -> PlannedPatch {
        let delta = |(path, from): &(&str, &str)| DeltaFile {
            path: path.parse().expect("a path"),
            from: from.parse().expect("a path"),
            bytes: delta(&old.contents[*from], &self.contents[*path]),
        };
        let deltas: Vec<DeltaFile> = changes.iter().map(delta).collect();
        self.plan(&old.tree(), Some(format!("={}", old.version)), &deltas)
    }

    /// An incremental patch with one file as changes to itself that make that of `other` of it.
    pub fn with_changes_of(&self, other: &Self, old: &Self, path: &str) -> PlannedPatch {
        let at: RelPath = path.parse().expect("a path");
        let bytes = delta(&old.contents[path], &other.contents[path]);
        let delta = DeltaFile { path: at.clone(), from: at, bytes };
        self.plan(&old.tree(), Some(format!("={}", old.version)), &[delta])
    }

    fn plan(&self, old: &Tree, base: Option<String>, deltas: &[DeltaFile]) -> PlannedPatch {
        let tree = self.tree();
        let difference = old.difference(&tree);
        let hook = |kind: &str| {
            let path = format!("hooks/{kind}");
            self.hooks.contains_key(kind).then(|| path.parse::<HookPath>().expect("a hook"))
        };
        let manifest = Manifest::new(ManifestParts {
            name: self.name.parse().expect("a name"),
            version: self.version.parse().expect("a version"),
            base: base.map(|base| base.parse().expect("a requirement")),
            platform: "any".parse().expect("a platform"),
            tree: tree.hash(),
            files: difference.files,
            deltas: said_of(deltas, old),
            remove: difference.remove,
            hooks: Hooks {
                pre_install: hook("pre-install"),
                post_install: hook("post-install"),
                check: hook("check"),
                pre_remove: hook("pre-remove"),
            },
        })
        .expect("a manifest");
        let hooks = self
            .hooks
            .iter()
            .map(|(kind, script)| {
                (format!("hooks/{kind}").parse().expect("a hook"), script.clone().into_bytes())
            })
            .collect();
        let mut archive = tempfile::tempfile().expect("a file");
        let open = |entry: &FileEntry| {
            let delta = deltas.iter().find(|delta| delta.path == entry.path);
            let whole = || &self.contents[entry.path.as_str()];
            Ok(Cursor::new(delta.map_or_else(whole, |delta| &delta.bytes).clone()))
        };
        let announced =
            write_archive(&manifest, &hooks, open, WriteOptions::default(), &mut archive)
                .expect("written");
        archive.rewind().expect("rewound");
        PlannedPatch::unsigned(announced, archive)
    }
}

/// A file that comes as changes to another.
struct DeltaFile {
    path: RelPath,
    from: RelPath,
    bytes: Vec<u8>,
}

/// A file as changes to another, byte by byte as far as both go.
fn delta(old: &[u8], new: &[u8]) -> Vec<u8> {
    let (like, own) = new.split_at(old.len().min(new.len()));
    let mut writer = DeltaWriter::new(Vec::new());
    writer.copy(0, &old[..like.len()], like).expect("in memory");
    writer.literal(own).expect("in memory");
    writer.finish().expect("in memory").0
}

fn said_of(deltas: &[DeltaFile], old: &Tree) -> Option<Deltas> {
    let files = deltas.iter().map(|DeltaFile { path, from, bytes }| {
        let from = (path != from).then(|| from.clone());
        (path.clone(), Delta { from, bytes: bytes.len() as u64 })
    });
    let bases = Bases::find(deltas.iter().map(|delta| &delta.from), old).expect("files of the old");
    (!deltas.is_empty()).then(|| Deltas { bases: bases.hash(), files: files.collect() })
}

/// A patch whose archive has a flipped byte in the middle of what it announces.
pub(super) fn spoiled(patch: PlannedPatch) -> PlannedPatch {
    use std::os::unix::fs::FileExt as _;
    let at = patch.announced.size / 2;
    let mut byte = [0];
    patch.archive.read_exact_at(&mut byte, at).expect("read");
    patch.archive.write_all_at(&[byte[0] ^ 1], at).expect("written");
    patch
}

/// The same patch once more: an archive that costs nothing to make again.
pub(super) fn duplicate(patch: &PlannedPatch) -> PlannedPatch {
    use std::os::unix::fs::FileExt as _;
    let mut bytes = vec![0; patch.announced.size.try_into().expect("small")];
    patch.archive.read_exact_at(&mut bytes, 0).expect("read");
    let archive = tempfile::tempfile().expect("a file");
    archive.write_all_at(&bytes, 0).expect("written");
    PlannedPatch::unsigned(patch.announced.clone(), archive)
}

/// A machine: a root and a state of its own.
#[derive(Debug)]
pub(super) struct Machine {
    directory: Option<tempfile::TempDir>,
    base: PathBuf,
    pub database: Database,
    pub root: Root,
    pub limits: HookLimits,
    pub retention: Retention,
}

/// A directory in memory where there is such a place; what is in memory may be mounted so that
/// nothing can be run there.
pub(super) fn temporary(runs_programs: bool) -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let is_closed = rustix::fs::statvfs(memory)
        .is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC));
    let directory = if runs_programs && is_closed {
        tempfile::tempdir()
    } else {
        tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir())
    };
    directory.expect("a directory")
}

fn clock() -> u64 {
    1_795_000_000
}

impl Machine {
    /// A machine in memory where there is such a place: flushing is then quick.
    pub fn new() -> Self {
        Self::on(temporary(false))
    }

    /// A machine whose hooks have a shell.
    pub fn with_shell() -> Self {
        let machine = Self::on(temporary(true));
        machine.add_shell();
        machine
    }

    fn on(directory: tempfile::TempDir) -> Self {
        let mut machine = Self::create(directory.path());
        machine.directory = Some(directory);
        machine
    }

    /// Makes a machine below a directory that outlives it.
    pub fn create(base: &Path) -> Self {
        fs::create_dir(base.join("root")).expect("made");
        drop(Database::create(&base.join("state.db")).expect("a database"));
        Self::open(base)
    }

    /// Opens a machine as a process does that starts anew.
    pub fn open(base: &Path) -> Self {
        Self {
            directory: None,
            base: base.to_owned(),
            database: Database::open_for_write(&base.join("state.db")).expect("a database"),
            root: Root::open(&base.join("root")).expect("a root"),
            limits: HookLimits::default(),
            retention: Retention::UNBOUNDED,
        }
    }

    fn context(&self) -> Context<'static> {
        let retention = self.retention;
        Context {
            command: "test",
            allow_stale: false,
            clock: &clock,
            hooks: self.limits,
            retention,
            interrupts: &|| 0,
        }
    }

    pub fn prepare(&mut self, patches: Vec<PlannedPatch>) -> Result<Prepared<'_>, PrepareError> {
        self.prepare_change(Change { install: patches, ..Change::default() })
    }

    pub fn prepare_change(&mut self, change: Change) -> Result<Prepared<'_>, PrepareError> {
        let context = self.context();
        prepare_change(&mut self.database, &self.root, change, context, &mut Silent)
    }

    pub fn try_install(&mut self, patches: Vec<PlannedPatch>) -> Result<Outcome, ApplyError> {
        self.prepare(patches).expect("prepared").apply(&mut Silent)
    }

    /// Installs, with shipped configuration in the place of what has local changes.
    pub fn install_new_config(&mut self, patch: PlannedPatch) -> Outcome {
        let change =
            Change { install: vec![patch], config: ConfigPolicy::New, ..Change::default() };
        self.prepare_change(change).expect("prepared").apply(&mut Silent).expect("applied")
    }

    pub fn install(&mut self, patch: PlannedPatch) -> Outcome {
        self.try_install(vec![patch]).expect("applied")
    }

    pub fn prepare_adopt(&mut self, patch: PlannedPatch) -> Result<Prepared<'_>, PrepareError> {
        let context = self.context();
        prepare_adopt(&mut self.database, &self.root, vec![patch], context, &mut Silent)
    }

    pub fn adopt(&mut self, patch: PlannedPatch) -> Outcome {
        self.prepare_adopt(patch).expect("prepared").apply(&mut Silent).expect("applied")
    }

    pub fn prepare_mend(
        &mut self,
        patch: PlannedPatch,
        scope: Scope,
        config: ConfigPolicy,
    ) -> Result<Prepared<'_>, PrepareError> {
        let context = self.context();
        let mending = Mending { patches: vec![patch], scope, config };
        prepare_mend(&mut self.database, &self.root, mending, context, &mut Silent)
    }

    pub fn repair(&mut self, patch: PlannedPatch) -> Outcome {
        let prepared = self.prepare_mend(patch, Scope::Differing, ConfigPolicy::Keep);
        prepared.expect("prepared").apply(&mut Silent).expect("applied")
    }

    pub fn prepare_remove(&mut self, name: &str) -> Result<Prepared<'_>, PrepareError> {
        self.prepare_change(Change { remove: vec![self::name(name)], ..Change::default() })
    }

    pub fn remove(&mut self, name: &str) -> Outcome {
        self.prepare_remove(name).expect("prepared").apply(&mut Silent).expect("applied")
    }

    pub fn prepare_rollback(&mut self, to: Option<i64>) -> Result<Prepared<'_>, PrepareError> {
        let context = self.context();
        prepare_rollback(&mut self.database, &self.root, to, context)
    }

    pub fn rollback(&mut self, to: Option<i64>) -> Outcome {
        self.prepare_rollback(to).expect("prepared").apply(&mut Silent).expect("applied")
    }

    pub fn recover(&mut self) -> Vec<Recovered> {
        let context = self.context();
        recover(&mut self.database, &self.root, context, &mut Silent).expect("recovered")
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.base.join("root").join(path)
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, content).expect("written");
    }

    pub fn link(&self, path: &str, target: &str) {
        symlink(target, self.path(path)).expect("linked");
    }

    pub fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }

    pub fn version(&self, name: &str) -> Option<String> {
        let found = self.database.find_installed(&self::name(name)).expect("read");
        found.map(|installed| installed.version.to_string())
    }

    /// Everything below the root but the working area: path, kind, mode, owner, content.
    pub fn snapshot(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut ahead = vec![String::new()];
        while let Some(at) = ahead.pop() {
            for entry in fs::read_dir(self.path(&at)).expect("listed") {
                let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
                let path = if at.is_empty() { name } else { format!("{at}/{name}") };
                if path == ".patchctl" {
                    continue;
                }
                let status = fs::symlink_metadata(self.path(&path)).expect("there");
                let (mode, user) = (status.permissions().mode(), status.uid());
                let content = if status.is_dir() {
                    ahead.push(path.clone());
                    String::new()
                } else if status.is_symlink() {
                    fs::read_link(self.path(&path)).expect("a link").display().to_string()
                } else {
                    let content = fs::read(self.path(&path)).expect("read");
                    String::from_utf8(content)
                        .unwrap_or_else(|error| Hash32::of(error.as_bytes()).to_string())
                };
                found.insert(path, format!("{mode:o} {user} {content}"));
            }
        }
        found
    }

    /// What is installed, as the database has it.
    pub fn installed(&self) -> Vec<String> {
        let installed = self.database.installed().expect("read");
        let mut all = Vec::new();
        for component in installed {
            all.push(format!("{} {} {}", component.name, component.version, component.tree));
            for file in self.database.installed_files(&component.name).expect("read") {
                all.push(format!("{:?} {}", file.entry, file.resolved));
            }
        }
        all
    }

    /// Names below the working area, without the backups.
    pub fn staged(&self) -> Vec<String> {
        let Ok(staging) = fs::read_dir(self.path(".patchctl/staging")) else { return Vec::new() };
        staging
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect()
    }

    /// A shell and what it needs, so that hooks can run inside the root.
    pub fn add_shell(&self) {
        self.add_program(Path::new("/bin/sh"));
    }

    fn add_program(&self, program: &Path) {
        let listed = std::process::Command::new("ldd").arg(program).output().expect("ldd");
        let listed = String::from_utf8(listed.stdout).expect("text");
        let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
        for file in libraries.map(Path::new).chain([program]) {
            let relative = file.strip_prefix("/").expect("absolute");
            let target = self.path(relative.to_str().expect("UTF-8"));
            fs::create_dir_all(target.parent().expect("a parent")).expect("made");
            fs::copy(file, target).expect("copied");
        }
    }
}

pub(super) fn name(text: &str) -> PatchName {
    text.parse().expect("a name")
}

/// Says that a test does nothing without privilege. True where it must be skipped.
pub(super) fn without_privilege(what: &str) -> bool {
    let without = !rustix::process::geteuid().is_root();
    if without {
        eprintln!("skipped: {what} needs root");
    }
    without
}
