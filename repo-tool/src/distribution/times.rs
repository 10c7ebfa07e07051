//! The newest time seen of each signer of the collection's log: what keeps an older head from being
//! taken for a newer one, also if the private copy is lost.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use countersign_format::authority::PointText;
use countersign_format::json;
use countersign_format::key::PublicKey;
use countersign_format::policy::{Counted, SignerTimes};
use countersign_format::time::Timestamp;
use countersign_store::Sink;
use countersign_store::durable::{Access, Temporary};
use serde::{Deserialize, Serialize};

use super::DistributionError;
use crate::role_dir::RoleDir;

const FILE: &str = "state/collection-times";
const TYPE: &str = "signer-times/v1";
/// Largest of these files: a few hundred keys.
const MAX_FILE: usize = 64 * 1024;

#[derive(Serialize, Deserialize)]
struct Times {
    signers: Vec<(PointText, Timestamp)>,
}

/// Reads the times that are kept.
pub(super) fn read(directory: &RoleDir) -> Result<SignerTimes, DistributionError> {
    let Some(bytes) = directory.read(Path::new(FILE), MAX_FILE)? else {
        return Ok(SignerTimes::new());
    };
    let damaged = || DistributionError::Damaged(directory.path().join(FILE));
    let times: Times = json::parse(&bytes, TYPE).map_err(|_| damaged())?;
    let parse = |(key, time): (PointText, Timestamp)| {
        PublicKey::from_bytes(&key.0).map(|key| (key, time)).map_err(|_| damaged())
    };
    times.signers.into_iter().map(parse).collect()
}

/// Keeps the times of the signatures that `counted`, where they are newer than those in `times`,
/// durably with the next files that `sink` shows.
pub(super) fn put_along(
    directory: &RoleDir,
    mut times: SignerTimes,
    counted: &[Counted],
    sink: &mut dyn Sink,
) -> Result<(), DistributionError> {
    let before = times.clone();
    for signature in counted {
        if let Some(time) = signature.time {
            let newest = times.entry(signature.key.clone()).or_insert(time);
            *newest = time.max(*newest);
        }
    }
    if times == before {
        return Ok(());
    }
    let signers = times.iter().map(|(key, time)| (PointText(*key.as_bytes()), *time)).collect();
    let bytes = json::print_line(TYPE, &Times { signers });
    let path = directory.path().join(FILE);
    let write = |file: &mut File| file.write_all(&bytes);
    let file = Temporary::create(directory.path(), FILE.as_ref(), Access::Private, write)
        .map_err(DistributionError::io("write", &path))?;
    Ok(sink.put_along(file)?)
}
