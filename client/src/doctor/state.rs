//! The state database, what transactions left, and what waits for an administrator.

use std::path::Path;

use super::{Finding, Patient, line, shown};
use crate::db::{Database, DatabaseError};
use crate::stage::AREA;
use crate::transaction::NEW_CONFIG;

pub(super) fn examine(patient: &Patient<'_>, database: &Database) -> Vec<Finding> {
    let mut findings = vec![integrity(database)];
    let parts = [
        transaction(database),
        staging(patient, database),
        holds(patient, database),
        new_configs(patient, database),
    ];
    for part in parts {
        match part {
            Ok(part) => findings.extend(part),
            Err(error) => findings.push(Finding::problem(
                "state",
                line(&error),
                "restore the state from a backup",
            )),
        }
    }
    findings
}

fn integrity(database: &Database) -> Finding {
    let path = shown(database.path()).to_string();
    let found = match database.integrity() {
        Ok(found) if found.is_empty() => {
            return Finding::ok("state", format!("{path} is whole"));
        }
        Ok(found) => found.join("; "),
        Err(error) => line(&error),
    };
    Finding::problem(
        "state",
        format!("{path} is damaged: {found}"),
        "restore it from a backup, and look at the disk; to begin anew, move it and the sources' \
         files away and enrol again, which forgets what is installed and which versions were seen",
    )
}

fn transaction(database: &Database) -> Result<Vec<Finding>, DatabaseError> {
    let Some(number) = database.unfinished()? else {
        return Ok(vec![Finding::ok("transaction", "none is unfinished")]);
    };
    let record = database.transaction(number)?;
    let what = record.map(|record| record.command).unwrap_or_default();
    Ok(vec![Finding::problem(
        "transaction",
        format!("transaction {number} ({what}) is under way or was interrupted"),
        "if no patchctl is running, any command that changes something puts it right, such as \
         patchctl update. If that ends with exit 9, what it names could not be put back and is \
         neither old nor new: mend the disk, the mount or the permissions that it names and run it \
         again; the old files are in the working areas until it succeeds. Do not remove them",
    )])
}

/// Staging of transactions that ended, or of none that is known.
fn staging(patient: &Patient<'_>, database: &Database) -> Result<Vec<Finding>, DatabaseError> {
    let unfinished = database.unfinished()?.map(|number| number.to_string());
    let mut left = Vec::new();
    for area in areas(patient.places.root.as_path(), database)? {
        let entries = std::fs::read_dir(area.join("staging")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let foreign = names.filter(|name| unfinished.as_ref() != Some(name));
        left.extend(foreign.map(|name| area.join("staging").join(name)));
    }
    if left.is_empty() {
        return Ok(vec![Finding::ok("staging", "nothing is left over")]);
    }
    let paths: Vec<String> = left.iter().map(|path| shown(path).to_string()).collect();
    Ok(vec![Finding::warning(
        "staging",
        format!("left over: {}", paths.join(", ")),
        "the next command that changes something removes what is this state's; what stays is \
         another state's, or was left by one that is gone",
    )])
}

fn areas(root: &Path, database: &Database) -> Result<Vec<std::path::PathBuf>, DatabaseError> {
    let known = database.areas()?;
    let mut areas: Vec<_> = known.iter().map(|path| root.join(path).join(AREA)).collect();
    areas.push(root.join(AREA));
    areas.sort();
    areas.dedup();
    Ok(areas)
}

fn holds(patient: &Patient<'_>, database: &Database) -> Result<Vec<Finding>, DatabaseError> {
    let holds = database.holds()?;
    let (counting, ended): (Vec<_>, Vec<_>) =
        holds.into_iter().partition(|hold| hold.counts(patient.now));
    let mut findings: Vec<Finding> = ended
        .into_iter()
        .map(|hold| {
            let until = hold.until.map(|until| until.to_string()).unwrap_or_default();
            let name = hold.name;
            Finding::warning(
                "holds",
                format!("the hold of {name} ended on {until}"),
                format!("hold it anew, or forget it: patchctl unhold {name}"),
            )
        })
        .collect();
    if findings.is_empty() {
        findings.push(Finding::ok("holds", format!("{} in force, none has ended", counting.len())));
    }
    Ok(findings)
}

/// Shipped configuration files that lie beside changed ones, for somebody to merge.
fn new_configs(patient: &Patient<'_>, database: &Database) -> Result<Vec<Finding>, DatabaseError> {
    let mut waiting = Vec::new();
    for path in database.config_files()? {
        let mut beside = patient.places.root.join(&path).into_os_string();
        beside.push(NEW_CONFIG);
        if Path::new(&beside).symlink_metadata().is_ok() {
            waiting.push(format!("/{path}{NEW_CONFIG}"));
        }
    }
    Ok(vec![match waiting.as_slice() {
        [] => Finding::ok("configuration", "no new configuration file waits to be merged"),
        paths => Finding::warning(
            "configuration",
            format!("to be merged: {}", paths.join(", ")),
            "take over what is new, then remove it",
        ),
    }])
}

/// Statements that contradict each other.
pub(super) fn evidence(patient: &Patient<'_>) -> Finding {
    let directory = patient.places.evidence();
    let cases = match std::fs::read_dir(&directory) {
        Ok(entries) => entries.flatten().count(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => {
            let text = format!("cannot look at {}: {error}", shown(&directory));
            return Finding::warning("evidence", text, "run it as root to look at everything");
        }
    };
    match cases {
        0 => Finding::ok("evidence", "no statements that contradict each other were seen"),
        cases => Finding::problem(
            "evidence",
            format!("{cases} in {}: a server showed two histories", shown(&directory)),
            "send it to the repository's operators: it proves that keys were misused; move it away \
             once that is settled",
        ),
    }
}
