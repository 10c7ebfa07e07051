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
pub mod renew;
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
    let mut table = Table::new(["DISTRIBUTION", "URL", "WEIGHT", "REGION"]).right(2);
    for server in servers {
        for one in &server.urls {
            let weight = one.weight.map(|weight| weight.to_string()).unwrap_or_default();
            let region = one.region.as_ref().map(ToString::to_string).unwrap_or_default();
            table.row([server.distribution.to_string(), one.url.clone(), weight, region]);
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
