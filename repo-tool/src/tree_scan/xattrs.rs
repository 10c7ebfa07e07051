//! Extended attributes of a file that go into archives: `user.*` and `security.capability`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use countersign_format::limits::MAX_XATTRS;
use rustix::buffer::spare_capacity;
use rustix::fs::{lgetxattr, llistxattr};
use rustix::io::Errno;

/// The attributes; none where the file system knows none. Others, such as SELinux labels, belong
/// to the machine and are left out.
pub(super) fn read(path: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut names = Vec::with_capacity(MAX_XATTRS);
    match llistxattr(path, spare_capacity(&mut names)) {
        Ok(_) => {}
        Err(Errno::NOTSUP) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.into()),
    }
    let mut attributes = BTreeMap::new();
    for name in names.split(|byte| *byte == 0) {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        if !name.starts_with("user.") && name != "security.capability" {
            continue;
        }
        let mut value = Vec::with_capacity(MAX_XATTRS);
        lgetxattr(path, name, spare_capacity(&mut value))?;
        value.shrink_to_fit();
        attributes.insert(name.to_owned(), value);
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{XattrFlags, setxattr};

    use super::*;

    #[test]
    fn a_users_attributes_are_read() {
        let file = tempfile::NamedTempFile::new_in(".").expect("a file");
        if setxattr(file.path(), "user.origin", b"a\0b", XattrFlags::empty()).is_err() {
            return; // this file system has none
        }
        let expected = BTreeMap::from([("user.origin".to_owned(), b"a\0b".to_vec())]);
        assert_eq!(read(file.path()).expect("read"), expected);
    }
}
