//! Whether there is room for a plan, estimated before the first byte is fetched. What is needed
//! exactly, mount by mount, is known once the archives are here.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A file system that is too small.
#[derive(Debug, thiserror::Error)]
pub enum SpaceError {
    /// It has less room than is needed.
    #[error("the file system of {} has {available} bytes free, {needed} are needed", at.display())]
    TooSmall {
        /// A directory on it.
        at: PathBuf,
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// It cannot be looked at.
    #[error("cannot look at the file system of {}", at.display())]
    Look {
        /// A directory on it.
        at: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Checks that there is room for `fetched` bytes in the cache and `unpacked` bytes below the root,
/// which may be one file system.
pub fn check(cache: &Path, fetched: u64, root: &Path, unpacked: u64) -> Result<(), SpaceError> {
    let cache = FileSystem::of(cache)?;
    let root = FileSystem::of(root)?;
    if cache.device == root.device {
        return root.must_have(fetched.saturating_add(unpacked));
    }
    cache.must_have(fetched)?;
    root.must_have(unpacked)
}

struct FileSystem {
    at: PathBuf,
    device: u64,
    available: u64,
}

impl FileSystem {
    /// That of a directory, or of the nearest one above that is there.
    fn of(path: &Path) -> Result<Self, SpaceError> {
        let at = path.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("/")).to_owned();
        let look = || -> io::Result<(u64, u64)> {
            let found = rustix::fs::statvfs(&at)?;
            Ok((at.metadata()?.dev(), found.f_bavail.saturating_mul(found.f_frsize)))
        };
        match look() {
            Ok((device, available)) => Ok(Self { at, device, available }),
            Err(source) => Err(SpaceError::Look { at, source }),
        }
    }

    fn must_have(&self, needed: u64) -> Result<(), SpaceError> {
        if needed > self.available {
            let (at, available) = (self.at.clone(), self.available);
            return Err(SpaceError::TooSmall { at, needed, available });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_with_what_there_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let absent = directory.path().join("cache/that/is/made/later");
        assert!(check(&absent, 1, directory.path(), 1).is_ok());
        let error =
            check(&absent, 1, directory.path(), u64::MAX).expect_err("no disk is that large");
        let SpaceError::TooSmall { at, needed, available } = error else { panic!("{error}") };
        assert_eq!((at.as_path(), needed), (directory.path(), u64::MAX));
        assert!(available > 0);
    }
}
