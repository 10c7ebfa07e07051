//! What a directory's person does.

use std::path::Path;

use countersign_format::directory::DirectoryServer;
use countersign_store::Lock;
use countersign_terminal::{Failure, Output, Report, Table};
use serde::Serialize;

use super::lock;
use crate::config::DirectoryConfig;
use crate::directory::Directory;
use crate::role_dir::{Role, RoleDir};

pub mod add;
pub mod init;
pub mod publish;
pub mod remove;
pub mod show;

/// What the next version will say.
#[derive(Serialize)]
struct Prepared {
    servers: Vec<DirectoryServer>,
}

impl Report for Prepared {
    fn print(&self, output: &Output) {
        output.print_table(&server_table(&self.servers));
        output.note("Next: patchrepo directory publish.");
    }
}

fn server_table(servers: &[DirectoryServer]) -> Table {
    let mut table = Table::new(["DISTRIBUTION", "URL"]);
    for server in servers {
        for url in &server.urls {
            table.row([server.distribution.as_str(), url]);
        }
    }
    table
}

/// Keeps other processes from changing the directory, and opens it.
fn open_locked(path: &Path, output: &Output) -> Result<(Directory, Lock), Failure> {
    let (directory, _) = RoleDir::open::<DirectoryConfig>(path, Role::Directory)?;
    let lock = lock(&directory, output)?;
    Ok((Directory::open(path)?, lock))
}
