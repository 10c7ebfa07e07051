//! The project's own release trees: the programs as they were built, their manuals and documents.

use std::fs;
use std::path::Path;

use countersign_tests::programs::{self, workspace};
use countersign_tests::{Program, Programs, tree};

use crate::stage::{NotAsTold, Stage};

/// The version that is running.
pub const OLD: &str = env!("CARGO_PKG_VERSION");

/// The version after it.
pub fn next_version() -> String {
    let (rest, patch) = OLD.rsplit_once('.').expect("versions have three parts");
    let patch: u32 = patch.parse().expect("the third part is a number");
    format!("{rest}.{}", patch + 1)
}

/// Fills `release-<version>` with what a release consists of: the programs as they were built,
/// their manuals and the documents.
pub fn first_tree(stage: &Stage) -> Result<(), NotAsTold> {
    let root = stage.path(&format!("release-{OLD}"));
    for name in ["patchctl", "patchrepo"] {
        place(stage, &root, name, &stage.path("bin").join(name))?;
    }
    let documents = root.join("usr/share/doc/countersign");
    fs::create_dir_all(&documents)?;
    for entry in fs::read_dir(workspace())?.chain(fs::read_dir(workspace().join("docs"))?) {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "md") {
            fs::copy(&path, documents.join(path.file_name().expect("a file has a name")))?;
        }
    }
    Ok(())
}

/// Fills `release-<next version>`: the release before with a newly built client, whose version was
/// raised in a copy of the source.
pub fn next_tree(stage: &Stage) -> Result<(), NotAsTold> {
    let version = next_version();
    let source = stage.path("source");
    copy_source(workspace(), &source)?;
    let manifest = source.join("client/Cargo.toml");
    let text = fs::read_to_string(&manifest)?;
    let raised = text.replacen("version.workspace = true", &format!("version = \"{version}\""), 1);
    if raised == text {
        return Err("client/Cargo.toml does not take the workspace's version".into());
    }
    fs::write(&manifest, raised)?;
    programs::build(&source, &["patchctl"])?;
    let root = stage.path(&format!("release-{version}"));
    tree::copy(&stage.path(&format!("release-{OLD}")), &root)?;
    place(stage, &root, "patchctl", &Programs::get().path(Program::Patchctl))?;
    // cargo has put the new program in the place of the old; put that back
    programs::build(workspace(), &["patchctl"])?;
    Ok(())
}

/// Puts a program and its manuals into a release.
fn place(stage: &Stage, root: &Path, name: &str, built: &Path) -> Result<(), NotAsTold> {
    let (programs, manuals) = (root.join("usr/bin"), root.join("usr/share/man/man1"));
    fs::create_dir_all(&programs)?;
    fs::create_dir_all(&manuals)?;
    let program = programs.join(name);
    fs::copy(built, &program)?;
    // without symbols, where the C compiler's tools are at hand
    let _ = stage.quietly(&format!("strip {}", program.display()));
    stage.quietly(&format!("{} man {}", program.display(), manuals.display()))?;
    Ok(())
}

/// Copies a source tree without what is hidden or was built.
fn copy_source(from: &Path, to: &Path) -> Result<(), NotAsTold> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_built = entry.path().join("CACHEDIR.TAG").exists() || name == "target";
        if is_built || name.to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_source(&entry.path(), &to.join(&name))?;
        } else {
            fs::copy(entry.path(), to.join(&name))?;
        }
    }
    Ok(())
}
