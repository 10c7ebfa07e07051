//! The project's own release trees: the programs as they were built, their manuals and documents.

use std::fs;
use std::path::{Path, PathBuf};

use countersign_tests::programs::{self, workspace};

use crate::stage::{NotAsTold, Stage};

/// The version that is running.
pub const OLD: &str = env!("CARGO_PKG_VERSION");

/// The version after it, for which nothing but the number changes.
pub fn next_version() -> String {
    let (rest, patch) = OLD.rsplit_once('.').expect("versions have three parts");
    let patch: u32 = patch.parse().expect("the third part is a number");
    format!("{rest}.{}", patch + 1)
}

/// Fills `release-<version>` with what a release of the programs in `bin` consists of.
pub fn tree(stage: &Stage, version: &str, bin: &Path) -> Result<(), NotAsTold> {
    let root = stage.path(&format!("release-{version}"));
    let programs = root.join("usr/bin");
    fs::create_dir_all(&programs)?;
    for name in ["patchctl", "patchrepo"] {
        fs::copy(bin.join(name), programs.join(name))?;
        // without debugging information, where the C compiler's tools are at hand
        let strip = format!("strip -g {}", programs.join(name).display());
        let _ = stage.quietly(&strip);
        let manuals = root.join("usr/share/man/man1");
        fs::create_dir_all(&manuals)?;
        let program = programs.join(name);
        stage.quietly(&format!("{} man {}", program.display(), manuals.display()))?;
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

/// Builds the next version from a copy of the source in which the number was raised, into
/// `bin-<version>`.
pub fn build_next(stage: &Stage) -> Result<PathBuf, NotAsTold> {
    let version = next_version();
    let source = stage.path("source");
    copy_source(workspace(), &source)?;
    let manifest = source.join("Cargo.toml");
    let text = fs::read_to_string(&manifest)?;
    let raised =
        text.replacen(&format!("version = \"{OLD}\""), &format!("version = \"{version}\""), 1);
    if raised == text {
        return Err(format!("Cargo.toml does not say version {OLD}").into());
    }
    fs::write(&manifest, raised)?;
    programs::build(&source)?;
    let bin = stage.path(&format!("bin-{version}"));
    fs::create_dir(&bin)?;
    for name in ["patchctl", "patchrepo"] {
        fs::copy(countersign_tests::Programs::get().directory().join(name), bin.join(name))?;
    }
    // cargo has put the new programs in the place of the old; put those back
    programs::build(workspace())?;
    Ok(bin)
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
