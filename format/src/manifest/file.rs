//! What a manifest says of one path: a file, a directory or a symlink (SPEC §7).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use data_encoding::BASE64;

use crate::hash::{Hash32, Hasher};
use crate::limits::{MAX_ARCHIVE, MAX_LINK_TARGET, MAX_XATTRS};
use crate::relpath::RelPath;

/// Longest name of a user or group: what Linux's useradd takes.
pub const MAX_OWNER_NAME: usize = 32;
/// Longest name of an extended attribute: `XATTR_NAME_MAX` of Linux.
pub const MAX_XATTR_NAME: usize = 255;

/// Why one file of a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Not four octal digits.
    #[error("mode is not four octal digits: {0:?}")]
    Mode(String),
    /// Not `name:group` of POSIX names.
    #[error("owner is not `name:group`: {0:?}")]
    Owner(String),
    /// A symlink's target is empty, too long, or has a control character.
    #[error("link target is empty, over {MAX_LINK_TARGET} bytes, or has a control character")]
    LinkTarget,
    /// The members say several kinds at once, or none.
    #[error(
        "a file has mode, size and sha256; a directory dir and mode; a symlink target: {0} is {1}"
    )]
    Kind(&'static str, &'static str),
    /// A file is larger than an archive may be.
    #[error("size is {0}, the limit is {MAX_ARCHIVE}")]
    Size(u64),
    /// An extended attribute that is neither `user.*` nor `security.capability`.
    #[error("extended attribute is neither user.* nor security.capability: {0:?}")]
    XattrName(String),
    /// An extended attribute's value is not base64.
    #[error("extended attribute {0:?} is not base64")]
    XattrValue(String),
    /// The extended attributes have more than [`MAX_XATTRS`] bytes together.
    #[error("extended attributes have {0} bytes together, the limit is {MAX_XATTRS}")]
    XattrSize(usize),
}

/// Permission bits, set-id and sticky bits among them: at most `7777` octal. Written as four
/// octal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mode(u16);

impl Mode {
    /// The mode of bits, such as the lower twelve of `st_mode`; none for more than twelve bits.
    pub fn from_bits(bits: u32) -> Option<Self> {
        u16::try_from(bits).ok().filter(|bits| *bits <= 0o7777).map(Self)
    }

    /// The twelve bits.
    pub fn bits(self) -> u32 {
        self.0.into()
    }

    /// Whether the set-user-id or the set-group-id bit is set.
    pub fn has_set_id(self) -> bool {
        self.0 & 0o6000 != 0
    }
}

impl FromStr for Mode {
    type Err = FileError;

    fn from_str(text: &str) -> Result<Self, FileError> {
        let octal = text.len() == 4 && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let bits = if octal { u16::from_str_radix(text, 8).ok() } else { None };
        bits.map(Self).ok_or_else(|| FileError::Mode(excerpt(text)))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04o}", self.0)
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Who owns a file: `name:group`, both `[A-Za-z_][A-Za-z0-9_.-]*` of at most [`MAX_OWNER_NAME`]
/// bytes. `root:root` unless said otherwise.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Owner(Cow<'static, str>);

impl Owner {
    /// `root:root`.
    pub const ROOT: Self = Self(Cow::Borrowed("root:root"));

    /// `name:group` as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The user's name.
    pub fn user(&self) -> &str {
        self.0.split_once(':').map_or("", |(user, _)| user)
    }

    /// The group's name.
    pub fn group(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, group)| group)
    }
}

impl Default for Owner {
    fn default() -> Self {
        Self::ROOT
    }
}

impl FromStr for Owner {
    type Err = FileError;

    fn from_str(text: &str) -> Result<Self, FileError> {
        if text == Self::ROOT.as_str() {
            return Ok(Self::ROOT);
        }
        match text.split_once(':') {
            Some((user, group)) if is_account(user) && is_account(group) => {
                Ok(Self(Cow::Owned(text.into())))
            }
            _ => Err(FileError::Owner(excerpt(text))),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn is_account(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() <= MAX_OWNER_NAME
        && bytes.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte))
}

/// Where a symlink points, as it stands in the link: UTF-8 without control characters, 1 to
/// [`MAX_LINK_TARGET`] bytes. May be absolute or lead upwards; nothing is ever written through it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkTarget(Box<str>);

impl LinkTarget {
    /// The target as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LinkTarget {
    type Err = FileError;

    fn from_str(text: &str) -> Result<Self, FileError> {
        if text.is_empty() || text.len() > MAX_LINK_TARGET || text.chars().any(char::is_control) {
            return Err(FileError::LinkTarget);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for LinkTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Extended attributes of a file: `user.*` and `security.capability`, at most [`MAX_XATTRS`]
/// bytes of values and names together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Xattrs(BTreeMap<String, Vec<u8>>);

impl Xattrs {
    /// Checks names and sizes.
    pub fn new(values: BTreeMap<String, Vec<u8>>) -> Result<Self, FileError> {
        let name_is_good = |name: &str| {
            let known = name == "security.capability"
                || name.strip_prefix("user.").is_some_and(|rest| !rest.is_empty());
            known && name.len() <= MAX_XATTR_NAME && !name.chars().any(char::is_control)
        };
        if let Some(name) = values.keys().find(|name| !name_is_good(name)) {
            return Err(FileError::XattrName(excerpt(name)));
        }
        let size = values.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > MAX_XATTRS {
            return Err(FileError::XattrSize(size));
        }
        Ok(Self(values))
    }

    /// The field of the tree listing: the SHA-256 of one line `BASE64-OF-VALUE NAME\n` an
    /// attribute, in byte order of names.
    pub fn hash(&self) -> Hash32 {
        let mut hasher = Hasher::new();
        for (name, value) in &self.0 {
            hasher.update(format!("{} {name}\n", BASE64.encode(value)).as_bytes());
        }
        hasher.finish()
    }
}

impl Deref for Xattrs {
    type Target = BTreeMap<String, Vec<u8>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// One path of a manifest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileEntry {
    /// Where it goes, relative to the root.
    pub path: RelPath,
    /// What it is.
    pub kind: FileKind,
}

/// What a path of a manifest is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// A regular file.
    File(FileMeta),
    /// A directory that the patch declares. Directories above files need no declaration.
    Directory {
        /// Its permission bits.
        mode: Mode,
        /// Its owner.
        owner: Owner,
    },
    /// A symlink.
    Link {
        /// Where it points.
        target: LinkTarget,
    },
}

/// What a manifest says of a regular file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileMeta {
    /// Permission bits.
    pub mode: Mode,
    /// Bytes of content.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: Hash32,
    /// Whether an administrator is expected to change it.
    pub config: bool,
    /// Who owns it.
    pub owner: Owner,
    /// Its extended attributes.
    pub xattrs: Xattrs,
}

impl FileEntry {
    /// Bytes of content: 0 unless this is a regular file.
    pub fn size(&self) -> u64 {
        self.as_file().map_or(0, |file| file.size)
    }

    /// What is said of a regular file; none for directories and symlinks.
    pub fn as_file(&self) -> Option<&FileMeta> {
        match &self.kind {
            FileKind::File(file) => Some(file),
            FileKind::Directory { .. } | FileKind::Link { .. } => None,
        }
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, FileKind::Directory { .. })
    }
}

pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}
