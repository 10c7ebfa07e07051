//! Manifests as JSON has them, before their members are known to fit together.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr as _;

use data_encoding::BASE64;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::file::excerpt;
use super::{
    Delta, Deltas, FileEntry, FileError, FileKind, FileMeta, Hooks, ManifestError, ManifestParts,
    Mode, Owner, Xattrs,
};
use crate::base64;
use crate::hash::Hash32;
use crate::limits::{MAX_ARCHIVE, MAX_FILES};
use crate::name::{PatchName, PatchVersion, Platform, Requirement};
use crate::relpath::RelPath;

/// A manifest as JSON has it.
#[derive(Deserialize, Serialize)]
pub(super) struct RawManifest {
    name: PatchName,
    version: PatchVersion,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<Requirement>,
    platform: Platform,
    tree: Hash32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bases: Option<Hash32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "bounded")]
    files: Vec<RawFile>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "bounded")]
    remove: Vec<RelPath>,
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    hooks: Hooks,
}

impl TryFrom<RawManifest> for ManifestParts {
    type Error = ManifestError;

    fn try_from(raw: RawManifest) -> Result<Self, ManifestError> {
        let mut deltas = BTreeMap::new();
        let convert = |mut raw: RawFile| {
            let path = raw.path.clone();
            if let Some(delta) = raw.delta.take() {
                deltas.insert(path.clone(), Delta { from: delta.from, bytes: delta.bytes });
            }
            match raw.into_kind() {
                Ok(kind) => Ok(FileEntry { path, kind }),
                Err(reason) => Err(ManifestError::File { path, reason }),
            }
        };
        let files = raw.files.into_iter().map(convert).collect::<Result<_, _>>()?;
        let deltas = match raw.bases {
            Some(bases) => Some(Deltas { bases, files: deltas }),
            None if deltas.is_empty() => None,
            None => return Err(ManifestError::Bases),
        };
        Ok(Self {
            name: raw.name,
            version: raw.version,
            base: raw.base,
            platform: raw.platform,
            tree: raw.tree,
            files,
            deltas,
            remove: raw.remove,
            hooks: raw.hooks,
        })
    }
}

impl From<ManifestParts> for RawManifest {
    fn from(parts: ManifestParts) -> Self {
        let mut deltas = parts.deltas;
        let bases = deltas.as_ref().map(|deltas| deltas.bases);
        let mut convert = |entry: FileEntry| {
            let delta = deltas.as_mut().and_then(|deltas| deltas.files.remove(&entry.path));
            let delta = delta.map(|Delta { from, bytes }| RawDelta { from, bytes });
            RawFile { delta, ..RawFile::from(entry) }
        };
        Self {
            name: parts.name,
            version: parts.version,
            base: parts.base,
            platform: parts.platform,
            tree: parts.tree,
            bases,
            files: parts.files.into_iter().map(&mut convert).collect(),
            remove: parts.remove,
            hooks: parts.hooks,
        }
    }
}

/// Reads an array, and stops at the first element beyond [`MAX_FILES`].
fn bounded<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Bounded<T>(std::marker::PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
        type Value = Vec<T>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Vec<T>, A::Error> {
            let mut read = Vec::new();
            while let Some(value) = values.next_element()? {
                if read.len() as u64 == MAX_FILES {
                    return Err(serde::de::Error::custom(format_args!(
                        "more than {MAX_FILES} elements"
                    )));
                }
                read.push(value);
            }
            Ok(read)
        }
    }

    deserializer.deserialize_seq(Bounded(std::marker::PhantomData))
}

/// How many elements `files` has; none where that cannot be said. Holds none of them in memory.
pub(super) fn count_files(manifest: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Counts {
        #[serde(default)]
        files: Count,
    }

    #[derive(Default)]
    struct Count(u64);

    impl<'de> Deserialize<'de> for Count {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_seq(Self(0))
        }
    }

    impl<'de> Visitor<'de> for Count {
        type Value = Self;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut values: A) -> Result<Self, A::Error> {
            while values.next_element::<IgnoredAny>()?.is_some() {
                self.0 += 1;
            }
            Ok(self)
        }
    }

    serde_json::from_slice(manifest).ok().map(|counts: Counts| counts.files.0)
}

/// A file as JSON has it.
#[derive(Deserialize, Serialize)]
struct RawFile {
    path: RelPath,
    #[serde(default, skip_serializing_if = "is_false")]
    dir: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Hash32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    config: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delta: Option<RawDelta>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<String, String>,
}

/// A file's delta as JSON has it.
#[derive(Deserialize, Serialize)]
struct RawDelta {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<RelPath>,
    bytes: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes this")]
fn is_false(value: &bool) -> bool {
    !value
}

impl RawFile {
    /// The one kind that the members say, and no member of another kind.
    fn into_kind(self) -> Result<FileKind, FileError> {
        let no_file_members = || {
            absent("size", self.size.is_none())?;
            absent("sha256", self.sha256.is_none())?;
            absent("config", !self.config)?;
            absent("xattrs", self.xattrs.is_empty())
        };
        if let Some(target) = &self.target {
            absent("dir", !self.dir)?;
            absent("mode", self.mode.is_none())?;
            absent("owner", self.owner.is_none())?;
            no_file_members()?;
            return Ok(FileKind::Link { target: target.parse()? });
        }
        let mode: Mode = present("mode", self.mode.as_deref())?.parse()?;
        let owner = self.owner.as_deref().map_or(Ok(Owner::ROOT), Owner::from_str)?;
        if self.dir {
            no_file_members()?;
            return Ok(FileKind::Directory { mode, owner });
        }
        let size = present("size", self.size)?;
        if size > MAX_ARCHIVE {
            return Err(FileError::Size(size));
        }
        let sha256 = present("sha256", self.sha256)?;
        let xattrs = decode_xattrs(self.xattrs)?;
        Ok(FileKind::File(FileMeta { mode, size, sha256, config: self.config, owner, xattrs }))
    }

    fn new(path: RelPath) -> Self {
        Self {
            path,
            dir: false,
            mode: None,
            size: None,
            sha256: None,
            target: None,
            config: false,
            delta: None,
            owner: None,
            xattrs: BTreeMap::new(),
        }
    }
}

fn present<T>(member: &'static str, value: Option<T>) -> Result<T, FileError> {
    value.ok_or(FileError::Kind(member, "missing"))
}

fn absent(member: &'static str, is_absent: bool) -> Result<(), FileError> {
    if is_absent { Ok(()) } else { Err(FileError::Kind(member, "out of place")) }
}

fn decode_xattrs(values: BTreeMap<String, String>) -> Result<Xattrs, FileError> {
    let decode = |(name, value): (String, String)| match base64::decode(&value) {
        Some(bytes) => Ok((name, bytes)),
        None => Err(FileError::XattrValue(excerpt(&name))),
    };
    Xattrs::new(values.into_iter().map(decode).collect::<Result<_, _>>()?)
}

impl From<FileEntry> for RawFile {
    fn from(entry: FileEntry) -> Self {
        let unless_root = |owner: Owner| (owner != Owner::ROOT).then(|| owner.to_string());
        let raw = Self::new(entry.path);
        match entry.kind {
            FileKind::File(file) => Self {
                mode: Some(file.mode.to_string()),
                size: Some(file.size),
                sha256: Some(file.sha256),
                config: file.config,
                owner: unless_root(file.owner),
                xattrs: (file.xattrs.iter())
                    .map(|(name, value)| (name.clone(), BASE64.encode(value)))
                    .collect(),
                ..raw
            },
            FileKind::Directory { mode, owner } => {
                Self { dir: true, mode: Some(mode.to_string()), owner: unless_root(owner), ..raw }
            }
            FileKind::Link { target } => Self { target: Some(target.to_string()), ..raw },
        }
    }
}

impl Serialize for FileEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawFile::from(self.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FileEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawFile::deserialize(deserializer)?;
        let path = raw.path.clone();
        match raw.into_kind() {
            Ok(kind) => Ok(Self { path, kind }),
            Err(error) => Err(serde::de::Error::custom(format_args!("{error}: {path:?}"))),
        }
    }
}
