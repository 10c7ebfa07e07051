//! The directory's keys: one, or while it is being replaced several, each with a number.

use std::path::Path;

use countersign_format::key::{KeyError, KeyName, Vkey};
use countersign_store::durable::Access;

use super::DirectoryToolError;
use crate::config::{self, ConfigError};
use crate::key_store::{FoundKey, KeyLocation, Passphrases, SigningKey, generate};
use crate::role_dir::{RoleDir, RoleDirError};
use crate::server::Elsewhere;

/// Makes the key with this number, or remembers that it lives at `signer`, and writes the public key
/// to `directory.pub`.
pub(super) fn make_key(
    directory: &RoleDir,
    (name, number): (&KeyName, u32),
    signer: Option<&KeyLocation>,
    passphrases: &Passphrases,
) -> Result<Vkey, DirectoryToolError> {
    let name = numbered(name, number)?;
    let key = if let Some(location) = signer {
        let key = FoundKey::open(location, passphrases)?.named(&name).vkey();
        let elsewhere = Elsewhere { signer: location.clone().absolute(), key: key.clone() };
        let path = Path::new("keys").join(format!("{}.toml", stem(number)));
        directory.write(&path, config::print(&elsewhere).as_bytes(), Access::Private)?;
        key
    } else {
        let file = directory.keys().join(format!("{}.pem", stem(number)));
        Vkey::server(name, generate(&KeyLocation::File(file), passphrases)?)
    };
    directory.write(Path::new("directory.pub"), format!("{key}\n").as_bytes(), Access::Public)?;
    Ok(key)
}

/// The numbers of the keys that are there, the oldest first.
pub(super) fn numbers(directory: &RoleDir) -> Result<Vec<u32>, DirectoryToolError> {
    let path = directory.keys();
    let failed = |source| RoleDirError::Io { action: "list", path: path.clone(), source };
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(&path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        numbers.extend(name.to_str().and_then(number_of));
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// Opens all keys that are there; an error if there is none.
pub(super) fn open(
    directory: &RoleDir,
    name: &KeyName,
    passphrases: &Passphrases,
) -> Result<Vec<SigningKey>, DirectoryToolError> {
    let numbers = numbers(directory)?;
    if numbers.is_empty() {
        return Err(DirectoryToolError::NoKey(directory.keys()));
    }
    let open = |number: u32| {
        let elsewhere = directory.keys().join(format!("{}.toml", stem(number)));
        match config::read::<Elsewhere>(&elsewhere) {
            Ok(Elsewhere { signer, key }) => Ok(SigningKey::open(&signer, &key, passphrases)?),
            Err(ConfigError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                let file = directory.keys().join(format!("{}.pem", stem(number)));
                let found = FoundKey::open(&KeyLocation::File(file), passphrases)?;
                Ok(found.named(&numbered(name, number)?))
            }
            Err(error) => Err(error.into()),
        }
    };
    numbers.into_iter().map(open).collect()
}

/// The name of the key with this number: the first has the directory's own.
fn numbered(name: &KeyName, number: u32) -> Result<KeyName, KeyError> {
    if number == 1 { Ok(name.clone()) } else { format!("{name}/{number}").parse() }
}

fn stem(number: u32) -> String {
    if number == 1 { "directory".to_owned() } else { format!("directory-{number}") }
}

fn number_of(file: &str) -> Option<u32> {
    let (stem, ending) = file.split_once('.')?;
    let is_key = ["pem", "toml"].contains(&ending);
    match stem.strip_prefix("directory").filter(|_| is_key)? {
        "" => Some(1),
        rest => rest.strip_prefix('-')?.parse().ok().filter(|number| *number > 1),
    }
}
