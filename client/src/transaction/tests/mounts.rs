//! Roots that several file systems make up, and file systems that are too small.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::kit::{Machine, Patch};
use crate::report::Silent;
use crate::transaction::{PrepareError, Refusal};
use crate::verify::verify_installed;

/// Something mounted for one test.
struct Mount(PathBuf);

impl Mount {
    /// None, and a word why, where this machine lets nobody mount anything.
    fn new(at: PathBuf, arguments: &[&str]) -> Option<Self> {
        std::fs::create_dir_all(&at).expect("made");
        Self::over(at, arguments)
    }

    fn over(at: PathBuf, arguments: &[&str]) -> Option<Self> {
        let done = Command::new("mount").args(arguments).arg(&at).output();
        if done.is_ok_and(|output| output.status.success()) {
            return Some(Self(at));
        }
        eprintln!("skipped: nothing can be mounted here");
        None
    }

    fn memory(at: PathBuf, size: &str) -> Option<Self> {
        Self::new(at, &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
    }

    /// One that has room for this many files and directories, its own included.
    fn with_inodes(at: PathBuf, inodes: u64) -> Option<Self> {
        Self::memory(at, &format!("64m,nr_inodes={inodes}"))
    }

    fn bind(from: &Path, at: PathBuf) -> Option<Self> {
        Self::over(at, &["--bind", from.to_str().expect("UTF-8")])
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn patch() -> Patch {
    Patch::new("acme", "1.0.0")
        .file("opt/acme/one", "one")
        .file("srv/acme/one", "one")
        .file("etc/acme", "one")
        .link("opt/acme/link", "one")
}

#[test]
fn each_mount_has_its_own_working_area() {
    let mut machine = Machine::new();
    // a bind mount of the same file system is another mount all the same
    std::fs::create_dir_all(machine.path("elsewhere")).expect("made");
    std::fs::create_dir_all(machine.path("srv")).expect("made");
    let Some(_opt) = Mount::memory(machine.path("opt"), "8m") else { return };
    let Some(_srv) = Mount::bind(&machine.path("elsewhere"), machine.path("srv")) else { return };
    let empty = machine.snapshot().len();
    machine.install(patch().full());
    let old = machine.snapshot();
    let next = patch()
        .next("1.1.0")
        .file("opt/acme/one", "two")
        .without("srv/acme/one")
        .file("srv/acme/two/deep", "two")
        .without("opt/acme/link")
        .file("opt/acme/link/inner", "inner");
    let inode = |path: &str| {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::symlink_metadata(machine.path(path)).expect("there").ino()
    };
    let (replaced, removed) = (inode("opt/acme/one"), inode("srv/acme/one"));
    machine.install(next.since(&patch()));
    // what was there is the very object, which needs no second copy of it
    for (area, inode) in [("opt", replaced), ("srv", removed)] {
        use std::os::unix::fs::DirEntryExt as _;
        let kept = std::fs::read_dir(machine.path(&format!("{area}/.patchctl/backup/2")));
        let mut kept = kept.expect("listed").map(|entry| entry.expect("an entry").ino());
        assert!(kept.any(|kept| kept == inode), "{area}");
    }
    for area in ["opt/.patchctl", "srv/.patchctl", ".patchctl"] {
        assert!(machine.exists(&format!("{area}/backup/2")), "{area}");
    }
    let wrong = verify_installed(&machine.database, &machine.root, &[], &mut Silent);
    assert_eq!(wrong.expect("compared"), []);
    machine.rollback(None);
    assert_eq!(visible(machine.snapshot()), visible(old));
    machine.rollback(Some(0));
    assert_eq!(visible(machine.snapshot()).len(), empty);
}

/// A snapshot without what lies in working areas, and without what a bind mount shows twice.
fn visible(snapshot: std::collections::BTreeMap<String, String>) -> Vec<(String, String)> {
    let hidden = |path: &str| path.contains(".patchctl") || path.starts_with("elsewhere/");
    snapshot.into_iter().filter(|(path, _)| !hidden(path)).collect()
}

#[test]
fn a_file_system_that_is_too_small_is_refused_before_the_first_byte() {
    let mut machine = Machine::new();
    let Some(_opt) = Mount::memory(machine.path("opt"), "1m") else { return };
    let large = Patch::new("acme", "1.0.0")
        .file("etc/acme", "small")
        .file("opt/acme/large", &"0123456789abcdef".repeat(100_000));
    let before = machine.snapshot();
    let error = machine.prepare(vec![large.full()]).expect_err("refused");
    let PrepareError::Space { at, unit, needed, available } = &error else { panic!("{error}") };
    assert_eq!((&**at, *unit), ("opt", "bytes"));
    assert!(*needed >= 1_600_000 && *available <= 1_048_576, "{error}");
    assert_eq!(visible(machine.snapshot()), visible(before));
}

#[test]
fn directories_that_are_made_count_as_what_is_needed() {
    let mut machine = Machine::new();
    // the mount's own, the working area's five, and some more
    let Some(_opt) = Mount::with_inodes(machine.path("opt"), 16) else { return };
    let deep = Patch::new("acme", "1.0.0")
        .file("opt/acme/1/2/3/4/5/6/one", "one")
        .file("opt/acme/1/2/3/4/5/6/two", "two")
        .directory("opt/acme/1/2/3/4/5", 0o755)
        .link("opt/acme/1/2/3/link", "4")
        .file("opt/acme/1/x/y/z", "z");
    let error = machine.prepare(vec![deep.full()]).expect_err("refused");
    let PrepareError::Space { at, unit, needed, .. } = &error else { panic!("{error}") };
    // four files, and acme, 1 to 6, x, y
    assert_eq!((&**at, *unit, *needed), ("opt", "files", 4 + 7 + 2));
}

#[test]
fn what_is_mounted_on_a_path_is_not_replaced() {
    let mut machine = Machine::new();
    machine.write("etc/hosts", "mounted over");
    machine.write("var/hosts", "given by a container");
    let source = machine.path("var/hosts");
    let Some(_hosts) = Mount::bind(&source, machine.path("etc/hosts")) else { return };
    let error = machine
        .prepare(vec![Patch::new("acme", "1.0.0").file("etc/hosts", "new").full()])
        .expect_err("refused");
    let PrepareError::Refused(refusals) = error else { panic!("{error}") };
    assert_eq!(refusals, [Refusal::MountPoint { path: "etc/hosts".into() }]);
}
