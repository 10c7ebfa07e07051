//! The real programs, built once by the cargo that runs the tests.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// One of the two programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    /// The endpoint.
    Patchctl,
    /// The repository's side.
    Patchrepo,
}

impl Program {
    /// The name of its file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Patchctl => "patchctl",
            Self::Patchrepo => "patchrepo",
        }
    }
}

/// Where the freshly built programs are.
#[derive(Debug)]
pub struct Programs {
    directory: PathBuf,
}

impl Programs {
    /// Builds both programs the first time, with the profile and into the directory of the running
    /// test, so that what is tested is what the source says.
    pub fn get() -> &'static Self {
        static PROGRAMS: OnceLock<Programs> = OnceLock::new();
        PROGRAMS.get_or_init(Self::build)
    }

    /// The directory in which both are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file of one program.
    pub fn path(&self, program: Program) -> PathBuf {
        self.directory.join(program.name())
    }

    fn build() -> Self {
        let directory = profile_directory();
        if let Err(messages) = build(workspace(), &["patchctl", "patchrepo"]) {
            panic!("the programs cannot be built:\n{messages}");
        }
        Self { directory }
    }
}

/// Builds programs from the source tree at `source`, with the profile and into the directory of the
/// running program. Returns what cargo says if it fails.
pub fn build(source: &Path, programs: &[&str]) -> Result<(), String> {
    let directory = profile_directory();
    let target = directory.parent().expect("the target directory is above the profile's");
    let profile = directory.file_name().expect("it has a name").to_string_lossy();
    let profile = if profile == "debug" { "dev" } else { &profile };
    // the same packages as `cargo test --workspace` selects, so that nothing is built twice with
    // other features
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // what cargo tells this crate's tests of this crate; build scripts would take it for news of
    // theirs, and build again what they have built
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    let output = command
        .current_dir(source)
        .args(["build", "--quiet"])
        .args(programs.iter().flat_map(|program| ["--bin", program]))
        .args(["--profile", profile])
        .arg("--target-dir")
        .arg(target)
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
    }
}

/// The root of the source tree.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies below the workspace")
}

/// `target/debug` or the like: where the running program was built.
fn profile_directory() -> PathBuf {
    let running = env::current_exe().expect("the running program has a path");
    let directory = running.parent().expect("a file is in a directory");
    let directory = if directory.ends_with("deps") { directory.parent() } else { Some(directory) };
    directory.expect("cargo builds into target/PROFILE/deps").to_owned()
}
