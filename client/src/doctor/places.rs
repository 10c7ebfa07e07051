//! Room on the disks, and who can write to what is believed.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Finding, Patient, shown};
use crate::db::exposure;

/// Less free room than this, in bytes, is a problem: not even an update may succeed.
const LEAST_BYTES: u64 = 16 * 1024 * 1024;
/// Less free room than this, in bytes, is worth a word.
const FEW_BYTES: u64 = 256 * 1024 * 1024;
/// Fewer free inodes than this are a problem.
const LEAST_INODES: u64 = 1_000;
/// Fewer free inodes than this are worth a word.
const FEW_INODES: u64 = 20_000;

pub(super) fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = disks(patient);
    findings.extend(permissions(patient));
    findings
}

/// One finding a file system.
fn disks(patient: &Patient<'_>) -> Vec<Finding> {
    let places = patient.places;
    let mut found: BTreeMap<u64, Vec<&Path>> = BTreeMap::new();
    for path in [&places.root, &places.state, &places.cache] {
        let there = path.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("/"));
        let device = there.metadata().map_or(0, |found| found.dev());
        found.entry(device).or_default().push(there);
    }
    found.into_values().map(|paths| disk(paths[0])).collect()
}

fn disk(path: &Path) -> Finding {
    let found = match rustix::fs::statvfs(path) {
        Ok(found) => found,
        Err(error) => {
            let text = format!("cannot look at the file system of {}: {error}", shown(path));
            return Finding::problem("disk", text, "see whether it is mounted and sound");
        }
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    // file systems that make inodes as they need them say that there are none at all
    let inodes = (found.f_files > 0).then_some(found.f_favail);
    let mut text = format!("{}: {} MiB free", shown(path), free / 1024 / 1024);
    if let Some(inodes) = inodes {
        text = format!("{text}, {inodes} inodes");
    }
    let below = |bytes, few| free < bytes || inodes.is_some_and(|inodes| inodes < few);
    let read_only = found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY);
    let advice = "make room: patchctl clean removes fetched archives and old backups";
    match () {
        () if read_only => {
            Finding::problem("disk", format!("{text}, mounted read-only"), "remount it writable")
        }
        () if below(LEAST_BYTES, LEAST_INODES) => Finding::problem("disk", text, advice),
        () if below(FEW_BYTES, FEW_INODES) => Finding::warning("disk", text, advice),
        () => Finding::ok("disk", text),
    }
}

/// Whoever can write to the settings or to the state decides what this machine trusts.
fn permissions(patient: &Patient<'_>) -> Vec<Finding> {
    let places = patient.places;
    let mut paths: Vec<PathBuf> = vec![places.state.clone(), places.database()];
    paths.extend(places.config.parent().map(Path::to_owned));
    paths.push(places.config.clone());
    paths.push(places.sources());
    let sources = std::fs::read_dir(places.sources()).into_iter().flatten().flatten();
    paths.extend(sources.map(|entry| entry.path()));
    paths.extend([places.evidence(), places.cache.clone()]);
    let judged = paths.iter().filter_map(|path| match exposure(path) {
        Ok(None) => None,
        Ok(Some((owner, mode))) => Some(Finding::problem(
            "permissions",
            format!(
                "{} is owned by user {owner} with mode {mode:04o}: others can change it",
                shown(path)
            ),
            "make sure that nobody did; then: chown root, chmod go-w",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Finding::warning(
            "permissions",
            format!("cannot look at {}: {error}", shown(path)),
            "run it as root to look at everything",
        )),
    });
    let findings: Vec<Finding> = judged.collect();
    if findings.is_empty() {
        let text = "settings, state and cache can be changed by nobody else";
        return vec![Finding::ok("permissions", text)];
    }
    findings
}
