//! `patchctl files NAME`.

use clap::Args;
use countersign_format::manifest::FileKind;
use countersign_format::name::PatchName;
use countersign_terminal::{ExitStatus, Failure, Output, Report};
use patchctl::db::installed::InstalledFile;
use patchctl::verify::VerifyError;
use serde::Serialize;

use crate::explain::{Explain as _, OrExplain as _};
use crate::session::Session;

/// List the files that an installed patch brought
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  patchctl files acme-agent\n  patchctl files acme-agent --json"
)]
pub struct FilesArgs {
    /// Which
    name: PatchName,
}

#[derive(Serialize)]
struct FilesReport {
    name: String,
    version: String,
    files: Vec<FileReport>,
}

#[derive(Serialize)]
struct FileReport {
    path: String,
    kind: &'static str,
    mode: Option<String>,
    owner: Option<String>,
    size: Option<u64>,
    sha256: Option<String>,
    target: Option<String>,
    config: bool,
}

impl From<&InstalledFile> for FileReport {
    fn from(file: &InstalledFile) -> Self {
        let mut report = Self {
            path: format!("/{}", file.entry.path),
            kind: "directory",
            mode: None,
            owner: None,
            size: None,
            sha256: None,
            target: None,
            config: false,
        };
        match &file.entry.kind {
            FileKind::File(meta) => {
                report.kind = "file";
                report.mode = Some(format!("{:04o}", meta.mode.bits()));
                report.owner = Some(meta.owner.as_str().to_owned());
                report.size = Some(meta.size);
                report.sha256 = Some(meta.sha256.to_string());
                report.config = meta.config;
            }
            FileKind::Directory { mode, owner } => {
                report.mode = Some(format!("{:04o}", mode.bits()));
                report.owner = Some(owner.as_str().to_owned());
            }
            FileKind::Link { target } => {
                report.kind = "link";
                report.target = Some(target.as_str().to_owned());
            }
        }
        report
    }
}

impl Report for FilesReport {
    fn print(&self, output: &Output) {
        for file in &self.files {
            match &file.target {
                Some(target) => output.print_line(format!("{} -> {target}", file.path)),
                None => output.print_line(&file.path),
            }
        }
    }
}

/// Lists.
pub fn run(session: &Session<'_>, arguments: &FilesArgs) -> Result<ExitStatus, Failure> {
    let database = session.open_to_read()?;
    let name = &arguments.name;
    let installed = database.find_installed(name).or_explain()?;
    let installed = installed.ok_or_else(|| {
        let hint = format!(
            "see what is offered: patchctl show {name}; its files are known once it is installed: \
             patchctl install {name}"
        );
        VerifyError::NotInstalled(name.clone()).explain().hint(hint)
    })?;
    let files = database.installed_files(name).or_explain()?;
    session.output.report(&FilesReport {
        name: name.to_string(),
        version: installed.version.to_string(),
        files: files.iter().map(FileReport::from).collect(),
    });
    Ok(ExitStatus::Done)
}
