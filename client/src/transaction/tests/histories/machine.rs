//! A real machine beside the model of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::Path;

use countersign_format::manifest::FileKind;

use super::super::kit::Machine;
use super::model::{Disk, Model, Object, Tree};
use crate::db::history::Notice;
use crate::report::Silent;
use crate::transaction::Outcome;
use crate::verify::verify_installed;

/// What a machine has for hooks to run with; no patch has anything to do with it.
const SYSTEM: [&str; 5] = [".patchctl", "bin", "lib", "lib64", "usr"];

/// What lies below a directory.
pub(super) fn disk(root: &Path) -> Disk {
    let mut found = Disk::new();
    collect(root, "", &SYSTEM, &mut found);
    found
}

fn collect(root: &Path, below: &str, without: &[&str], found: &mut Disk) {
    for entry in fs::read_dir(root.join(below)).expect("listed") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        if without.contains(&name.as_str()) {
            continue;
        }
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        found.insert(path.clone(), object(&root.join(&path)));
        if found[&path].is_directory() {
            collect(root, &path, &[], found);
        }
    }
}

fn object(path: &Path) -> Object {
    let status = fs::symlink_metadata(path).expect("there");
    let (mode, owner) = (status.permissions().mode() & 0o7777, status.uid());
    if status.is_dir() {
        Object::Directory { mode, owner }
    } else if status.is_symlink() {
        Object::Link(fs::read_link(path).expect("a link").to_str().expect("UTF-8").into())
    } else {
        Object::File { mode, owner, content: fs::read_to_string(path).expect("text") }
    }
}

/// Makes a disk what another one is, as a person would: nothing else is touched.
pub(super) fn rework(root: &Path, from: &Disk, to: &Disk) {
    for path in from.keys().rev() {
        let (old, new) = (&from[path], to.get(path));
        let stays = new.is_some_and(|new| {
            old == new
                || (old.is_file() && new.is_file())
                || (old.is_directory() && new.is_directory())
        });
        if !stays {
            let at = root.join(path);
            let gone = if old.is_directory() { fs::remove_dir(&at) } else { fs::remove_file(&at) };
            gone.unwrap_or_else(|error| panic!("{path}: {error}"));
        }
    }
    for (path, new) in to.iter().filter(|(path, new)| from.get(*path) != Some(*new)) {
        let at = root.join(path);
        match new {
            Object::Link(target) => symlink(target, &at).expect("linked"),
            Object::Directory { mode, .. } => {
                if !at.is_dir() {
                    fs::create_dir(&at).expect("made");
                }
                fs::set_permissions(&at, fs::Permissions::from_mode(*mode)).expect("set");
            }
            Object::File { mode, owner, content } => {
                let old = fs::read_to_string(&at).unwrap_or_default();
                if old != *content || !at.exists() {
                    fs::write(&at, content).expect("written");
                }
                if fs::symlink_metadata(&at).expect("there").uid() != *owner {
                    lchown(&at, Some(*owner), None).expect("given away");
                }
                fs::set_permissions(&at, fs::Permissions::from_mode(*mode)).expect("set");
            }
        }
    }
}

/// Says how the machine is not what the model says.
pub(super) fn compare(machine: &Machine, model: &Model) -> Result<(), String> {
    same("on disk", &disk(&machine.path("")), &model.disk)?;
    let database = &machine.database;
    let installed = database.installed().expect("read");
    let versions: BTreeMap<String, String> =
        installed.iter().map(|is| (is.name.to_string(), is.version.to_string())).collect();
    let expected = model
        .installed
        .iter()
        .map(|(name, (version, _))| (name.clone(), version.clone()))
        .collect();
    same("installed", &versions, &expected)?;
    for is in &installed {
        let files = database.installed_files(&is.name).expect("read");
        let found: BTreeMap<String, String> =
            files.iter().map(|file| (file.resolved.to_string(), shown(&file.entry.kind))).collect();
        same("files of the database", &found, &shown_tree(&model.installed[is.name.as_str()].1))?;
    }
    let held_back: BTreeSet<(String, String)> = database
        .held_back()
        .expect("read")
        .into_iter()
        .map(|(name, version)| (name.to_string(), version.to_string()))
        .collect();
    same("held back", &held_back, &model.held_back)?;
    let holds = database.holds().expect("read").into_iter().map(|hold| hold.name.to_string());
    same("holds", &holds.collect(), &model.holds)?;
    same("made directories", &made(machine), &model.made)?;
    let deviating: BTreeSet<(String, String)> =
        verify_installed(database, &machine.root, &[], &mut Silent)
            .expect("verified")
            .into_iter()
            .map(|difference| (difference.name.to_string(), difference.path.to_string()))
            .collect();
    same("found by verify", &deviating, &model.deviating())?;
    let staged = machine.staged();
    if staged.is_empty() { Ok(()) } else { Err(format!("staging is left: {staged:?}")) }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: &T, must: &T) -> Result<(), String> {
    if is == must {
        return Ok(());
    }
    let lines = |value: &T| -> Vec<String> {
        format!("{value:#?}")
            .replace(": File {\n", ": File { ")
            .lines()
            .map(str::to_owned)
            .collect()
    };
    let (is, must) = (lines(is), lines(must));
    let only = |left: &[String], right: &[String]| -> String {
        let lines = left.iter().filter(|line| !right.contains(line));
        lines.map(String::as_str).collect::<Vec<_>>().join("\n")
    };
    Err(format!("{what}: is\n{}\nmust be\n{}", only(&is, &must), only(&must, &is)))
}

fn shown(kind: &FileKind) -> String {
    match kind {
        FileKind::File(meta) => {
            format!("file {:o} {} {}", meta.mode.bits(), meta.size, meta.config)
        }
        FileKind::Directory { mode, .. } => format!("directory {:o}", mode.bits()),
        FileKind::Link { target } => format!("link {target}"),
    }
}

fn shown_tree(tree: &Tree) -> BTreeMap<String, String> {
    let shown = |path: &String| match &tree[path].object {
        Object::File { mode, content, .. } => {
            format!("file {mode:o} {} {}", content.len(), tree[path].config)
        }
        Object::Directory { mode, .. } => format!("directory {mode:o}"),
        Object::Link(target) => format!("link {target}"),
    };
    tree.keys().map(|path| (path.clone(), shown(path))).collect()
}

fn made(machine: &Machine) -> BTreeSet<String> {
    let connection = machine.database.connection();
    let mut query = connection.prepare("SELECT path FROM created_directory").expect("a table");
    let rows = query.query_map([], |row| row.get(0)).expect("read");
    rows.collect::<Result<_, _>>().expect("text")
}

/// What was kept aside must be what was told, in copies that are what was there.
pub(super) fn compare_aside(
    machine: &Machine,
    notices: &[Notice],
    must: &BTreeMap<String, Disk>,
) -> Result<(), String> {
    let mut found = BTreeMap::new();
    for notice in notices {
        let Notice::KeptAside { path, copy } = notice else { continue };
        let at = machine.path(copy);
        let mut whole = Disk::from([(String::new(), object(&at))]);
        if whole[""].is_directory() {
            let mut inner = Disk::new();
            collect(&at, "", &[], &mut inner);
            whole.extend(inner.into_iter().map(|(path, object)| (format!("/{path}"), object)));
        }
        found.insert(path.clone(), whole);
    }
    same("kept aside", &found, must)
}

/// The notices of a transaction, as the history has them.
pub(super) fn notices(machine: &Machine, outcome: Option<&Outcome>, id: i64) -> Vec<Notice> {
    let stored = machine.database.notices(id).expect("read");
    if let Some(outcome) = outcome {
        assert_eq!(outcome.notices, stored, "what is said is what is written down");
    }
    stored
}
