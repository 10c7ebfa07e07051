//! Which keys are to go: what a rotation begins with, and remembers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use countersign_format::authority::AuthorityNote;
use countersign_format::json::{self, JsonError};
use countersign_format::key::Vkey;
use countersign_format::limits::MAX_AUTHORITY_NOTE;
use countersign_format::text::{DistributionName, TextError};
use countersign_format::time::Timestamp;
use countersign_store::durable::{self, Access};
use countersign_terminal::{ExitStatus, Failure};
use serde::{Deserialize, Serialize};

use crate::authority::KeySelector;
use crate::life::{Listed, listed};
use crate::role_dir::{RoleDir, RoleDirError};

const FILE: &str = "state/rotation";
const TYPE: &str = "rotation/v1";

/// A role, by the name that people call it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum RoleName {
    /// The authority's own keys.
    Authority,
    /// The collection.
    Collection,
    /// A distribution.
    Distribution(DistributionName),
    /// The witnesses.
    Witness,
    /// The directory.
    Directory,
}

/// What a person wants.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// All keys of all roles are to be replaced.
    pub all: bool,
    /// All keys of these roles.
    pub roles: Vec<RoleName>,
    /// These keys.
    pub keys: Vec<KeySelector>,
    /// These go without a successor.
    pub retire: Vec<KeySelector>,
}

/// A rotation under way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// When it was begun.
    pub begun: Timestamp,
    /// The newest version then.
    pub version: u64,
    /// Where what is served is looked at.
    pub repositories: Vec<String>,
    /// Where servers have their directories, for the commands that are shown.
    pub places: BTreeMap<RoleName, String>,
    /// The keys that are to go.
    pub leaving: Vec<Leaving>,
    /// All keys that were listed then: what is not among them is new.
    pub before: Vec<Vkey>,
}

/// A key that is to go.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Leaving {
    /// Its role.
    pub role: RoleName,
    /// The key.
    pub key: Vkey,
    /// Counts the keys of a server.
    pub epoch: Option<u32>,
    /// Whether it is an implicit key, made together with the authority.
    pub implicit: bool,
    /// Whether another takes its place.
    pub succeeded: bool,
}

/// Why no rotation begins, or none goes on.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The authority's directory.
    #[error(transparent)]
    RoleDir(#[from] RoleDirError),
    /// `state/rotation` is not what it was written as.
    #[error("{FILE} is malformed")]
    Malformed(#[source] JsonError),
    /// One is under way.
    #[error("a rotation is under way since {0}")]
    UnderWay(Timestamp),
    /// None is.
    #[error("no rotation is under way")]
    None,
    /// Nothing is to go.
    #[error("no key is to go")]
    Nothing,
    /// No such key is listed and in use.
    #[error("no key {0} is listed and in use")]
    NoSuchKey(KeySelector),
    /// Several keys are meant.
    #[error("several keys in use are called {0}")]
    SameName(KeySelector),
    /// A role has no key in use.
    #[error("the authority lists no key of the {0}")]
    NoKeys(RoleName),
    /// Too few would be left.
    #[error("the {role} would have {left} keys in use, and {threshold} must sign")]
    TooFewLeft {
        /// The role.
        role: RoleName,
        /// How many would be left.
        left: usize,
        /// How many must sign.
        threshold: u32,
    },
    /// A name is no role's.
    #[error("{0:?} is no role")]
    NoRole(String),
    /// A distribution's name is none.
    #[error(transparent)]
    Distribution(#[from] TextError),
}

impl Plan {
    /// What is to go of the keys that `newest` lists.
    pub fn new(
        newest: &AuthorityNote,
        wish: &Wish,
        repositories: Vec<String>,
        now: Timestamp,
    ) -> Result<Self, RotationError> {
        let all = in_use(newest)?;
        check_wish(wish, &all)?;
        let mut leaving = Vec::new();
        for (role, one) in &all {
            let retired = wish.retire.iter().any(|selector| selector.means(&one.vkey));
            let replaced = wish.all
                || wish.roles.contains(role)
                || wish.keys.iter().any(|selector| selector.means(&one.vkey));
            if retired || replaced {
                leaving.push(Leaving {
                    role: role.clone(),
                    key: one.vkey.clone(),
                    epoch: one.epoch,
                    implicit: is_implicit(newest, &one.vkey),
                    succeeded: !retired,
                });
            }
        }
        if leaving.is_empty() {
            return Err(RotationError::Nothing);
        }
        let before = listed(newest).into_iter().map(|one| one.vkey).collect();
        let (begun, version) = (now, newest.version);
        let places = BTreeMap::new();
        let plan = Self { begun, version, repositories, places, leaving, before };
        plan.check_left(newest)?;
        Ok(plan)
    }

    /// Reads the rotation that is under way.
    pub fn load(directory: &RoleDir) -> Result<Option<Self>, RotationError> {
        let bytes = directory.read(Path::new(FILE), 2 * MAX_AUTHORITY_NOTE)?;
        let parse = |bytes: Vec<u8>| json::parse(&bytes, TYPE).map_err(RotationError::Malformed);
        bytes.map(parse).transpose()
    }

    /// Remembers it.
    pub fn save(&self, directory: &RoleDir) -> Result<(), RotationError> {
        let bytes = json::print_pretty(TYPE, self);
        Ok(directory.write(Path::new(FILE), &bytes, Access::Public)?)
    }

    /// Forgets it. The notes stay as they are.
    pub fn forget(directory: &RoleDir) -> Result<(), RotationError> {
        let path = directory.path().join(FILE);
        durable::remove(directory.path(), Path::new(FILE))
            .map_err(|source| RoleDirError::Io { action: "remove", path, source }.into())
    }

    /// Whether keys of a role go.
    pub fn concerns(&self, role: &RoleName) -> bool {
        self.leaving.iter().any(|one| one.role == *role)
    }

    /// The keys of `role` in use in `note` that were not listed when this was begun.
    pub fn new_keys(&self, note: &AuthorityNote, role: &RoleName) -> Vec<Vkey> {
        let keys = in_use(note).unwrap_or_default().into_iter();
        let is_new =
            |(of, one): &(RoleName, Listed)| of == role && !self.before.contains(&one.vkey);
        keys.filter(is_new).map(|(_, one)| one.vkey).collect()
    }

    /// Those that are to go and that `note` still lists as in use.
    pub fn still_in_use<'p>(&'p self, note: &AuthorityNote) -> Vec<&'p Leaving> {
        let keys = in_use(note).unwrap_or_default();
        let is_used = |leaving: &&Leaving| {
            keys.iter().any(|(role, one)| *role == leaving.role && one.vkey == leaving.key)
        };
        self.leaving.iter().filter(is_used).collect()
    }

    /// Where a person has the directory of a role, or what stands for it.
    pub fn place(&self, role: &RoleName) -> String {
        let stands_for = || match role {
            RoleName::Distribution(_) => "DISTRIBUTION".to_owned(),
            role => role.to_string().to_uppercase(),
        };
        self.places.get(role).cloned().unwrap_or_else(stands_for)
    }

    fn check_left(&self, newest: &AuthorityNote) -> Result<(), RotationError> {
        let all = in_use(newest)?;
        for role in self.leaving.iter().map(|one| &one.role) {
            let used = all.iter().filter(|(of, _)| of == role).count();
            let gone = self.leaving.iter().filter(|one| one.role == *role && !one.succeeded);
            let (left, threshold) = (used - gone.count(), threshold_of(newest, role));
            if left < threshold as usize {
                return Err(RotationError::TooFewLeft { role: role.clone(), left, threshold });
            }
        }
        Ok(())
    }
}

/// Every key in use, with its role.
fn in_use(note: &AuthorityNote) -> Result<Vec<(RoleName, Listed)>, RotationError> {
    let used = listed(note).into_iter().filter(|one| one.until.is_none());
    used.map(|one| Ok((one.role.parse()?, one))).collect()
}

fn check_wish(wish: &Wish, all: &[(RoleName, Listed)]) -> Result<(), RotationError> {
    for selector in wish.keys.iter().chain(&wish.retire) {
        match all.iter().filter(|(_, one)| selector.means(&one.vkey)).count() {
            0 => return Err(RotationError::NoSuchKey(selector.clone())),
            1 => {}
            _ => return Err(RotationError::SameName(selector.clone())),
        }
    }
    let has_none = |role: &&RoleName| !all.iter().any(|(of, _)| of == *role);
    wish.roles.iter().find(has_none).map_or(Ok(()), |role| Err(RotationError::NoKeys(role.clone())))
}

fn is_implicit(note: &AuthorityNote, vkey: &Vkey) -> bool {
    let logs = note.distributions.iter().map(|role| &role.log).chain([&note.collection]);
    logs.flat_map(|log| &log.keys).any(|key| key.vkey == *vkey && key.kgc.is_some())
}

fn threshold_of(note: &AuthorityNote, role: &RoleName) -> u32 {
    match role {
        RoleName::Authority => note.authority.threshold,
        RoleName::Collection => note.collection.threshold,
        RoleName::Distribution(name) => note.distribution(name).map_or(0, |one| one.log.threshold),
        RoleName::Witness => note.witnesses.quorum,
        RoleName::Directory => 0,
    }
}

impl FromStr for RoleName {
    type Err = RotationError;

    fn from_str(text: &str) -> Result<Self, RotationError> {
        Ok(match text {
            "authority" => Self::Authority,
            "collection" => Self::Collection,
            "distribution" => Self::Distribution("main".parse()?),
            "witness" => Self::Witness,
            "directory" => Self::Directory,
            other => {
                let name = other.strip_prefix("distribution");
                let name = name.and_then(|rest| rest.strip_prefix([' ', '/']));
                let name = name.ok_or_else(|| RotationError::NoRole(other.to_owned()))?;
                Self::Distribution(name.parse()?)
            }
        })
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority => formatter.write_str("authority"),
            Self::Collection => formatter.write_str("collection"),
            Self::Distribution(name) => write!(formatter, "distribution {name}"),
            Self::Witness => formatter.write_str("witness"),
            Self::Directory => formatter.write_str("directory"),
        }
    }
}

impl From<RoleName> for String {
    fn from(role: RoleName) -> Self {
        role.to_string()
    }
}

impl TryFrom<String> for RoleName {
    type Error = RotationError;

    fn try_from(text: String) -> Result<Self, RotationError> {
        text.parse()
    }
}

impl From<RotationError> for Failure {
    fn from(error: RotationError) -> Self {
        let hint = match &error {
            RotationError::UnderWay(_) => Some(
                "see how far it is: patchrepo authority rotate DIR; give it up, the notes staying \
                 as they are: patchrepo authority rotate DIR --forget",
            ),
            RotationError::None | RotationError::Nothing => Some(
                "begin one: patchrepo authority rotate DIR --role collection (or distribution, \
                 authority, directory, witness, all), --key NAME, or --retire NAME",
            ),
            RotationError::SameName(_) => {
                Some("say which one: NAME+ID, as authority show begins it")
            }
            RotationError::TooFewLeft { .. } => Some("replace it: --key in place of --retire"),
            _ => None,
        };
        match error {
            RotationError::RoleDir(error) => error.into(),
            error => Self::new(ExitStatus::Failed, error).maybe_hint(hint),
        }
    }
}
