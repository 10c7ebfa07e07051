//! Checkpoints: the text that says how large a log is and what its root is
//! (C2SP `tlog-checkpoint`; SPEC §4).

use std::fmt;

use crate::hash::Hash32;
use crate::key::{KeyError, KeyName};
use crate::limits::MAX_TREE_SIZE;

/// A log's head. Its text is origin, size and root, a line each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: KeyName,
    /// Entries in the log.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash32,
}

/// Why a text is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Fewer than three lines, an empty line, or no final newline.
    #[error("checkpoint is not three non-empty lines or more")]
    Lines,
    /// The origin is no name.
    #[error("checkpoint has no valid origin")]
    Origin(#[source] KeyError),
    /// The size is no decimal number in its one form, or beyond [`MAX_TREE_SIZE`].
    #[error("checkpoint size {0:?} is not a number up to {MAX_TREE_SIZE}")]
    Size(String),
    /// The root is not the base64 of 32 bytes.
    #[error("checkpoint root is not base64 of 32 bytes")]
    Root,
}

impl Checkpoint {
    /// Reads a checkpoint's text. Extension lines are allowed and carry no meaning here.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?.split('\n');
        let mut line =
            || lines.next().filter(|line| !line.is_empty()).ok_or(CheckpointError::Lines);
        let (origin, size, root) = (line()?, line()?, line()?);
        if lines.any(str::is_empty) {
            return Err(CheckpointError::Lines);
        }
        Ok(Self {
            origin: origin.parse().map_err(CheckpointError::Origin)?,
            size: parse_decimal(size)
                .filter(|size| *size <= MAX_TREE_SIZE)
                .ok_or_else(|| CheckpointError::Size(size.chars().take(40).collect()))?,
            root: Hash32::from_base64(root).map_err(|_| CheckpointError::Root)?,
        })
    }
}

/// Reads a decimal number without sign or leading zeros.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}\n{}\n{}", self.origin, self.size, self.root.to_base64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn reads_the_specifications_example() {
        let checkpoint = Checkpoint::parse(TEXT).expect("a checkpoint");
        assert_eq!(checkpoint.size, 20_852_163);
        assert_eq!(checkpoint.to_string(), TEXT);
        assert!(Checkpoint::parse(&format!("{TEXT}extension\n")).is_ok());
    }

    #[test]
    fn refuses_what_is_not_exact() {
        let size = |size: &str| Checkpoint::parse(&TEXT.replace("20852163", size));
        for bad in ["+1", "01", "-1", "1.0", " 1", "9007199254740992", "18446744073709551616"] {
            assert_eq!(size(bad), Err(CheckpointError::Size(bad.into())), "{bad}");
        }
        assert!(size("9007199254740991").is_ok());
        assert_eq!(Checkpoint::parse(TEXT.trim_end()), Err(CheckpointError::Lines));
        assert_eq!(Checkpoint::parse("a\n1\n"), Err(CheckpointError::Lines));
        assert_eq!(Checkpoint::parse(&format!("{TEXT}\nx\n")), Err(CheckpointError::Lines));
        assert_eq!(Checkpoint::parse(&TEXT.replace("2I=", "2J=")), Err(CheckpointError::Root));
        let origin = Checkpoint::parse(&TEXT.replace("behind-the", "behind the"));
        assert!(matches!(origin, Err(CheckpointError::Origin(_))));
    }
}
