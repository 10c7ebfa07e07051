//! Emptying the cache.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use countersign_format::hash::Hash32;
use countersign_format::layout;
use rustix::fs::{Mode, OFlags};

use super::ObtainError;
use crate::object::{self, Size};

/// What the cache holds of patches.
pub fn cached(cache: &Path) -> Result<Size, ObtainError> {
    look(cache, "measure", |folder, name| object::measure(folder, name))
}

/// Removes every patch from the cache. Nothing else that may lie beside them is touched.
pub fn clear(cache: &Path) -> Result<Size, ObtainError> {
    look(cache, "empty", |folder, name| {
        let size = object::measure(folder, name)?;
        object::remove_all(folder, name)?;
        Ok(size)
    })
}

fn look(
    cache: &Path,
    doing: &'static str,
    act: impl FnOnce(&OwnedFd, &str) -> io::Result<Size>,
) -> Result<Size, ObtainError> {
    let failed = |source| ObtainError::Cache { doing, path: cache.to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = match rustix::fs::open(cache, flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(Size::default()),
        open => open.map_err(|error| failed(error.into()))?,
    };
    act(&open, folder_of_patches()).map_err(failed)
}

/// The folder that all archives and notes are below.
fn folder_of_patches() -> &'static str {
    static FOLDER: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let path = layout::archive(&Hash32([0; 32]));
        path.as_str().split('/').next().unwrap_or_default().to_owned()
    });
    &FOLDER
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn patches_go_and_what_lies_beside_them_stays() {
        let cache = tempfile::tempdir().expect("a directory");
        assert_eq!(clear(&cache.path().join("absent")).expect("well"), Size::default());
        let archive = cache.path().join(layout::archive(&Hash32([7; 32])).as_str());
        fs::create_dir_all(archive.parent().expect("a folder")).expect("made");
        fs::write(&archive, vec![1; 10_000]).expect("written");
        fs::write(cache.path().join("mine"), "mine").expect("written");
        let there = cached(cache.path()).expect("measured");
        assert_eq!((there.files, there.bytes >= 10_000), (1, true));
        assert_eq!(clear(cache.path()).expect("emptied"), there);
        assert!(!archive.exists());
        assert!(cache.path().join("mine").exists());
        assert_eq!(cached(cache.path()).expect("measured"), Size::default());
    }
}
