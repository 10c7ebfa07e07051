//! What can go wrong with an authority, and what a person can do about it.

use countersign_format::authority::{self, PointText};
use countersign_format::hash::Hash32;
use countersign_format::implicit_key::ImplicitKeyError;
use countersign_format::issue::IssueError;
use countersign_format::json::JsonError;
use countersign_format::key::{KeyError, KeyName};
use countersign_format::layout::Log;
use countersign_format::note::NoteError;
use countersign_format::policy::{ChainError, PolicyError};
use countersign_format::signature::SignError;
use countersign_format::text::DistributionName;
use countersign_store::WriteError;
use countersign_terminal::{ExitStatus, Failure};

use crate::key_store::{KeyLocation, KeyStoreError, SecretError, SigningKeyError};
use crate::role_dir::RoleDirError;

/// Why an authority did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Its directory.
    #[error(transparent)]
    RoleDir(#[from] RoleDirError),
    /// A key file.
    #[error(transparent)]
    KeyStore(#[from] KeyStoreError),
    /// A key that signs.
    #[error(transparent)]
    SigningKey(Box<SigningKeyError>),
    /// No secret could be made.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A key's name would be too long.
    #[error(transparent)]
    Name(#[from] KeyError),
    /// The published notes do not verify, or the next one does not yet.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A request, grant or acceptance is refused.
    #[error(transparent)]
    Message(#[from] IssueError),
    /// Publishing could not write.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Signing failed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The next version may not follow the published one.
    #[error("the next version may not follow the published one")]
    Successor(#[from] ChainError),
    /// The next version lacks something.
    #[error("the next version is not complete")]
    Incomplete(#[source] authority::AuthorityError),
    /// Threshold and number of keys do not go together.
    #[error(
        "threshold {threshold} is not within 1 to the {count} keys, of which at most {} are made at once",
        super::MAX_NEW_KEYS
    )]
    Keys {
        /// The threshold.
        threshold: u32,
        /// The number of keys.
        count: usize,
    },
    /// `next` is no note.
    #[error("the prepared version (next) is no note")]
    Draft(#[source] NoteError),
    /// The text of `next` is no authority note.
    #[error("the prepared version (next) is no authority note")]
    DraftText(#[source] JsonError),
    /// A file for those who are to sign is malformed.
    #[error("this is no file of a version that is to be signed")]
    RequestFile(#[source] JsonError),
    /// What came back is of another text than the one that is prepared.
    #[error("the file is of the text sha256:{found}, prepared is sha256:{expected}")]
    OtherDraft {
        /// Of the text that came.
        found: Hash32,
        /// Of the text that is prepared.
        expected: Hash32,
    },
    /// What came back is of another version than the one that is prepared.
    #[error("the file is of version {found}, prepared is version {expected}")]
    OtherVersion {
        /// What came.
        found: u64,
        /// What is prepared.
        expected: u64,
    },
    /// A signature is of nobody who is to sign.
    #[error("{0} is none of the authority's keys, by the published version or the next")]
    ForeignLine(KeyName),
    /// There is no next version.
    #[error("no next version is prepared")]
    NothingPrepared,
    /// The first version cannot be given up.
    #[error("version 1 cannot be discarded, there is nothing to begin again from")]
    FirstVersion,
    /// Nobody has signed the next version.
    #[error("version {version} is not signed yet, not by any of {missing}")]
    Unsigned {
        /// The version.
        version: u64,
        /// The keys that may sign.
        missing: String,
    },
    /// What was brought back as signed is something else.
    #[error("{0} is neither what `patchrepo sign` writes for a version nor a copy of `next`")]
    NothingSigned(String, #[source] Box<AuthorityError>),
    /// A signature that was brought back is not good.
    #[error("the signature of {name} in {file} is not on this text")]
    BadSignature {
        /// Whose it is said to be.
        name: KeyName,
        /// The file.
        file: String,
        /// What the verification says.
        source: Box<PolicyError>,
    },
    /// What is to be admitted is no acceptance.
    #[error("this is a server's {0}, and not its acceptance")]
    NoAcceptance(&'static str),
    /// The request's commitment is not acceptable.
    #[error("request is refused")]
    Request(#[source] ImplicitKeyError),
    /// An ordinary key asks to be listed; there is nothing to grant.
    #[error("this asks for an ordinary key to be listed, and not for a partial key")]
    OrdinaryKey,
    /// A commitment came a second time, for somebody else.
    #[error("this commitment was granted to {id} as {role}")]
    CommitmentReused {
        /// Whom it was granted to.
        id: KeyName,
        /// As what.
        role: Log,
    },
    /// An identity asks for a second role.
    #[error("{id} holds keys as {role} and can have no other role")]
    OtherRole {
        /// The identity.
        id: KeyName,
        /// The role that it has.
        role: Log,
    },
    /// `master.pem` is not the secret that belongs to the configured public point.
    #[error("keys/master.pem does not belong to the public point {0}")]
    OtherMaster(PointText),
    /// The accepted key comes of no grant of this authority.
    #[error("no key of {id}, epoch {epoch}, was granted for {role} with these points")]
    NotGranted {
        /// The identity.
        id: KeyName,
        /// The epoch.
        epoch: u32,
        /// The role.
        role: Log,
    },
    /// The key stands in the next version already.
    #[error("the key of {id}, epoch {epoch}, is listed already")]
    ListedAlready {
        /// The identity.
        id: KeyName,
        /// The epoch.
        epoch: u32,
    },
    /// The identity has a newer key, so this acceptance was superseded, or is shown again.
    #[error("epoch {epoch} of {id} is older than its listed key of epoch {newest}")]
    OlderEpoch {
        /// The identity.
        id: KeyName,
        /// The epoch of the key that is not listed.
        epoch: u32,
        /// The newest epoch that is.
        newest: u32,
    },
    /// A distribution was named for a collection's key.
    #[error("this is a collection's key and belongs to no distribution")]
    NoDistributionsKey,
    /// An origin was given that is not the role's.
    #[error("the log is {listed}, not {origin}")]
    OtherOrigin {
        /// The origin that was given.
        origin: KeyName,
        /// The role's origin.
        listed: KeyName,
    },
    /// No such key is listed.
    #[error("no such key of the name {0} is listed")]
    NoSuchKey(KeyName),
    /// The key is retired at that index already.
    #[error("the key of {id} is retired from index {until} on already")]
    RetiredAlready {
        /// The key's name.
        id: KeyName,
        /// The index.
        until: u64,
    },
    /// A signature on the draft is not of its text: somebody changed it since.
    #[error("the signature of {0} is not on this text: it was changed since they signed it")]
    ChangedSince(KeyName),
    /// Readers ask for one version after the other, and would never find this one.
    #[error("`next` says that it is version {found}, and the next one is version {expected}")]
    Number {
        /// What it says.
        found: u64,
        /// What follows the newest that is published.
        expected: u64,
    },
    /// No such distribution is listed.
    #[error("no distribution of the name {0} is listed")]
    NoSuchDistribution(DistributionName),
    /// Several keys of the identity may be meant.
    #[error("{0} has several keys")]
    SeveralKeys(KeyName),
    /// Several keys have the name.
    #[error("several keys have the name {0}")]
    SameName(KeyName),
    /// Retiring the key would leave too few.
    #[error("without {id} only {left} keys would be in use, the threshold is {threshold}")]
    TooFewLeft {
        /// The key's name.
        id: KeyName,
        /// Keys left in use.
        left: usize,
        /// How many must sign.
        threshold: u32,
    },
    /// A key signs that is not listed for the authority.
    #[error("{0} is none of the authority's keys, by the published version or the next")]
    ForeignKey(KeyLocation),
}

impl AuthorityError {
    /// What a person can do about it.
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Incomplete(_) => Some(
                "admit what is missing (patchrepo authority admit) or change it (authority change)",
            ),
            Self::NothingPrepared => {
                Some("prepare one: patchrepo authority admit, retire or change")
            }
            Self::ChangedSince(_) | Self::Number { .. } => Some(
                "sign nothing; find out who changed it, then begin again: authority change --discard",
            ),
            Self::NothingSigned(..) => {
                Some("take the file that a holder's `patchrepo sign -o` wrote")
            }
            Self::BadSignature { .. } => Some(
                "it was changed on its way, or signed elsewhere: ask the holder, and let them sign again",
            ),
            Self::NoAcceptance(_) => Some(
                "bring the file that the server's `accept` wrote; a request is answered with authority \
                 issue, and the grant goes to the server",
            ),
            Self::Request(_) => Some(
                "it was changed on its way, or made by another program: compare its fingerprint with \
                 what the server's people saw, and fetch it again",
            ),
            Self::Unsigned { .. } | Self::Policy(_) => {
                Some("see who is still to sign: patchrepo authority show DIR --next")
            }
            Self::FirstVersion => Some(
                "admit what is missing; where something is listed that must not be, begin anew in \
                 another directory (authority init), and the servers with it",
            ),
            Self::OrdinaryKey => Some("list it: patchrepo authority admit --ordinary-key"),
            Self::CommitmentReused { .. } => Some("let the server make a new request"),
            Self::NotGranted { .. } => {
                Some("answer the server's request first: patchrepo authority issue")
            }
            Self::OlderEpoch { .. } => Some("take the acceptance of the server's newest request"),
            Self::SeveralKeys(_) => Some("say which one with --epoch"),
            Self::OtherDraft { .. } => Some(
                "compare both fingerprints with what was exported: if the one that is prepared is \
                 another, it was changed since: export it again, and let everybody sign. If the file's \
                 is, somebody changed it on its way: ask its holder what they signed, and find out who",
            ),
            Self::OtherVersion { .. } => {
                Some("look for the file that was signed last; this one is of another occasion")
            }
            Self::SameName(_) => Some("say which one: NAME+ID, as authority show begins it"),
            Self::TooFewLeft { .. } => {
                Some("admit the key that replaces it first; both changes go into the same version")
            }
            Self::OtherOrigin { .. } => Some("a log is replaced with: patchrepo authority change"),
            _ => None,
        }
    }
}

impl From<SigningKeyError> for AuthorityError {
    fn from(error: SigningKeyError) -> Self {
        Self::SigningKey(Box::new(error))
    }
}

impl From<AuthorityError> for Failure {
    fn from(error: AuthorityError) -> Self {
        let hint = error.hint();
        let exit = match error {
            AuthorityError::RoleDir(error) => return error.into(),
            AuthorityError::KeyStore(error) => return error.into(),
            AuthorityError::SigningKey(error) => return (*error).into(),
            AuthorityError::Policy(_)
            | AuthorityError::BadSignature { .. }
            | AuthorityError::Unsigned { .. }
            | AuthorityError::Message(IssueError::Policy(_)) => ExitStatus::Signature,
            AuthorityError::Keys { .. } => ExitStatus::Usage,
            _ => ExitStatus::Failed,
        };
        Self::new(exit, error).maybe_hint(hint)
    }
}
