//! What was done in a role's directory and why: `state/history`, one JSON object a line.

use std::fs::OpenOptions;
use std::io::Write as _;

use countersign_format::time::Timestamp;
use serde::Serialize;

use crate::role_dir::{RoleDir, RoleDirError};

#[derive(Serialize)]
struct Record<'a, T> {
    time: Timestamp,
    action: &'a str,
    #[serde(flatten)]
    details: &'a T,
}

/// Appends that `action` was done, with `details`, which serialize as an object.
pub fn record(
    directory: &RoleDir,
    time: Timestamp,
    action: &str,
    details: &impl Serialize,
) -> Result<(), RoleDirError> {
    let path = directory.state().join("history");
    let mut line =
        serde_json::to_vec(&Record { time, action, details }).expect("details are plain objects");
    line.push(b'\n');
    let append = || {
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(&line)?;
        file.sync_all()
    };
    append().map_err(|source| RoleDirError::Io { action: "write", path: path.clone(), source })
}
