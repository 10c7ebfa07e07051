//! Paths beneath a root, with symlinks planted in them.

use std::collections::HashMap;
use std::os::unix::fs::{chown, lchown, symlink};

use super::*;

fn path(text: &str) -> RelPath {
    text.parse().expect("a path")
}

fn resolve(root: &Root, text: &str) -> Result<(String, usize), RootError> {
    let resolved = Resolver::new(root).resolve(&path(text))?;
    Ok((resolved.path.to_string(), resolved.absent))
}

#[test]
fn symlinked_directories_lead_beneath_the_root() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(directory.path().join("usr/lib")).expect("made");
    symlink("usr/lib", directory.path().join("lib")).expect("made");
    symlink("/usr", directory.path().join("absolute")).expect("made");
    symlink("../../../../usr", directory.path().join("up")).expect("made");
    symlink("loop", directory.path().join("loop")).expect("made");
    std::fs::write(directory.path().join("file"), b"").expect("written");
    let root = Root::open(directory.path()).expect("opened");
    let good = [
        ("lib/x", "usr/lib/x", 0),
        ("absolute/lib/x", "usr/lib/x", 0),
        ("up/lib/x", "usr/lib/x", 0),
        ("lib/new/deep/x", "usr/lib/new/deep/x", 2),
        ("lib", "lib", 0),
        ("x", "x", 0),
    ];
    for (given, leads, absent) in good {
        let resolved = resolve(&root, given).expect(given);
        assert_eq!(resolved, (leads.to_owned(), absent), "{given}");
    }
    assert!(matches!(resolve(&root, "loop/x"), Err(RootError::TooManyLinks(_))));
    assert!(matches!(resolve(&root, "file/x"), Err(RootError::NotDirectory { .. })));
}

#[test]
fn a_planted_symlink_is_not_followed() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(directory.path().join("home/user")).expect("made");
    std::fs::create_dir_all(directory.path().join("etc")).expect("made");
    let link = directory.path().join("home/user/app");
    symlink("/etc", &link).expect("made");
    let root = Root::open(directory.path()).expect("opened");
    assert!(resolve(&root, "home/user/app/x").is_ok(), "owned by who installs");
    if !root.is_privileged() {
        eprintln!("skipped: giving a symlink away needs root");
        return;
    }
    lchown(&link, Some(1000), Some(1000)).expect("given away");
    let error = resolve(&root, "home/user/app/x").expect_err("refused");
    assert!(matches!(error, RootError::UntrustedLink { owner: 1000, .. }), "{error}");
    chown(directory.path().join("etc"), Some(1000), Some(1000)).expect("given away");
    assert!(resolve(&root, "etc/x").is_ok(), "a real directory's owner may be anybody");
}

#[test]
fn the_kernel_refuses_symlinks_in_resolved_paths() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("real")).expect("made");
    symlink("real", directory.path().join("link")).expect("made");
    let root = Root::open(directory.path()).expect("opened");
    assert!(root.open_directory(&path("real").into()).is_ok());
    assert!(root.open_directory(&path("link").into()).is_err());
    assert!(root.open_directory(&DirPath::ROOT).is_ok());
    assert_eq!(root.look(&path("link")).expect("looked").map(|found| found.kind), Some(Kind::Link));
    assert_eq!(root.look(&path("none/x")).expect("looked"), None);
}

#[test]
fn resolves_what_a_plan_will_make() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("v1")).expect("made");
    symlink("v1", directory.path().join("current")).expect("made");
    let root = Root::open(directory.path()).expect("opened");
    let becomes = HashMap::from([(path("current"), Becomes::Directory)]);
    let mut walker = Resolver::with(&root, becomes);
    let resolved = walker.resolve(&path("current/x")).expect("resolved");
    assert_eq!(resolved, Resolved { path: path("current/x"), absent: 1 });
}
