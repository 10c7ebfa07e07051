//! Owners of files by name, looked up in the root's own `etc/passwd` and `etc/group`.
//!
//! The files are read by hand and not through the C library: names must mean what they mean under
//! the install root, not on the machine that installs. A name that is not there is an error; there
//! is no fall back to a number, since numbers mean other users on other machines.

use std::collections::HashMap;

/// Largest `etc/passwd` or `etc/group` that is read, in bytes: about 200,000 users.
pub const MAX_OWNER_FILE: u64 = 16 * 1024 * 1024;

/// Users and groups of a root, by name.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    users: HashMap<String, u32>,
    groups: HashMap<String, u32>,
}

/// Why an owner has no number under this root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    /// Not `user:group`.
    #[error("owner {0:?} is not user:group")]
    Form(String),
    /// No such user.
    #[error("user {0:?} is not in etc/passwd under the root")]
    User(String),
    /// No such group.
    #[error("group {0:?} is not in etc/group under the root")]
    Group(String),
}

impl Owners {
    /// Reads the texts of `etc/passwd` and `etc/group`. Lines that make no sense are passed over,
    /// as the C library does; the first line of a name counts.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        Self { users: numbers(passwd), groups: numbers(group) }
    }

    /// The user's and the group's numbers of an owner written `user:group`. `root` is 0 even where
    /// the files do not say so, as in an image that is being built.
    pub fn find(&self, owner: &str) -> Result<(u32, u32), OwnerError> {
        let (user, group) =
            owner.split_once(':').ok_or_else(|| OwnerError::Form(owner.to_owned()))?;
        let uid = number(&self.users, user).ok_or_else(|| OwnerError::User(user.to_owned()))?;
        let gid = number(&self.groups, group).ok_or_else(|| OwnerError::Group(group.to_owned()))?;
        Ok((uid, gid))
    }
}

fn number(numbers: &HashMap<String, u32>, name: &str) -> Option<u32> {
    if name == "root" { Some(0) } else { numbers.get(name).copied() }
}

/// `name:password:number:…` lines.
fn numbers(text: &[u8]) -> HashMap<String, u32> {
    let mut found = HashMap::new();
    for line in String::from_utf8_lossy(text).lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(_), Some(number)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        if let (false, true, Ok(number)) = (name.is_empty(), digits, number.parse()) {
            found.entry(name.to_owned()).or_insert(number);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_root() {
        let owners = Owners::parse(
            b"root:x:0:0::/root:/bin/sh\nacme:x:990:991::/:/bin/false\nacme:x:1:1::/:\nodd:x:-1:0\n",
            b"root:x:0:\nacme:x:991:\n# note\nbroken\n:x:5:\n",
        );
        assert_eq!(owners.find("acme:acme"), Ok((990, 991)));
        assert_eq!(owners.find("root:acme"), Ok((0, 991)));
        assert_eq!(owners.find("odd:root"), Err(OwnerError::User("odd".into())));
        assert_eq!(owners.find("acme:wheel"), Err(OwnerError::Group("wheel".into())));
        assert_eq!(owners.find("acme"), Err(OwnerError::Form("acme".into())));
        assert_eq!(owners.find(":root"), Err(OwnerError::User(String::new())));
        assert_eq!(owners.find("0:0"), Err(OwnerError::User("0".into())), "numbers are no names");
        assert_eq!(Owners::default().find("root:root"), Ok((0, 0)));
    }
}
