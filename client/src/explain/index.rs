//! Errors of enrolling, updating, and of what is trusted.

use countersign_format::policy::{Layer, PolicyError, Refusal, UncountedReason, Verdict};
use countersign_store::authority::{AuthorityError, PassedOver};
use countersign_store::error::SetupError;
use countersign_store::follow::FollowError;
use countersign_store::{Cause, GetError, SecretError};
use countersign_terminal::{ExitStatus, Failure};
use patchctl::enroll::EnrollError;
use patchctl::trust::TrustError;
use patchctl::update::{AttemptError, UpdateError};

use super::{Explain, Servers, io_exit, one_line, privilege_hint, worst};

impl Explain for PolicyError {
    fn exit(&self) -> ExitStatus {
        match self.verdict() {
            Verdict::Signature => ExitStatus::Signature,
            Verdict::Expired => ExitStatus::Expired,
            Verdict::Rollback => ExitStatus::RollbackOrFork,
        }
    }

    fn hint(&self) -> Option<String> {
        let is_ahead = |refusal: &Refusal| match refusal {
            Refusal::TooFew(shortfalls) => shortfalls
                .iter()
                .flat_map(|shortfall| &shortfall.uncounted)
                .any(|line| matches!(line.reason, UncountedReason::Ahead { .. })),
            _ => false,
        };
        let text = match (self.verdict(), self.layer) {
            _ if is_ahead(&self.refusal) => "set this machine's clock; nothing was changed",
            (Verdict::Expired, _) => {
                "run patchctl update; if it stays, the publisher has stopped or somebody holds news \
                 back: tell the repository's operators"
            }
            (Verdict::Rollback, _) => {
                "the server shows an older state than was seen before: use another one, and tell \
                 the repository's operators"
            }
            (Verdict::Signature, Layer::Archive) => {
                "nothing was installed; do not use this patch, and tell the repository's operators: \
                 a server may have been taken over"
            }
            (Verdict::Signature, Layer::Index | Layer::Authority | Layer::Directory) => {
                "nothing was changed; do not trust this server, and tell the repository's \
                 operators: it may have been taken over"
            }
        };
        Some(text.into())
    }
}

impl Explain for TrustError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::NotEnrolled(_) | Self::OtherDistribution { .. } => ExitStatus::Configuration,
            Self::OtherAnchor { .. } | Self::AnchorLost(_) | Self::NoDistribution { .. } => {
                ExitStatus::Signature
            }
            Self::Policy(error) => error.exit(),
            Self::BelowFloor { .. } => ExitStatus::RollbackOrFork,
            Self::NeverUpdated(_) => ExitStatus::Expired,
            Self::Database(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NotEnrolled(name) => {
                return Some(format!(
                    "remove sources.d/{name}.toml, then: patchctl enroll URL --authority …"
                ));
            }
            Self::OtherAnchor { .. } | Self::AnchorLost(_) | Self::BelowFloor { .. } => {
                "somebody changed the state or the settings: restore both from a backup"
            }
            Self::OtherDistribution { name, .. } => {
                return Some(format!(
                    "to change it, remove sources.d/{name}.toml, then: patchctl enroll URL \
                     --distribution NAME"
                ));
            }
            Self::NoDistribution { .. } => {
                "the authority has dropped this distribution: enrol with another one"
            }
            Self::NeverUpdated(_) => "run patchctl update",
            Self::Policy(error) => return error.hint(),
            Self::Database(error) => return error.hint(),
        };
        Some(text.into())
    }
}

impl Explain for GetError {
    fn exit(&self) -> ExitStatus {
        match &self.cause {
            Cause::Local(source) => io_exit(source),
            Cause::Setup(_) => ExitStatus::Configuration,
            _ => ExitStatus::Unreachable,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match &self.cause {
            Cause::Local(_) => return privilege_hint(self.exit()),
            Cause::Setup(SetupError::Secret(SecretError::Plain { .. })) => {
                "use an https URL; or, where the network is safe, say \
                 allow_plain_credentials = true in the source's file"
            }
            Cause::Setup(SetupError::Secret(_)) => {
                "make it a file of root or your own with chmod 600; nothing was sent"
            }
            Cause::Setup(_) => {
                "look at proxy, ca_file, client_certificate and client_key: patchctl config explain"
            }
            Cause::Status { status: 401 | 403, .. } => {
                "the server wants to know who asks: give the source a credentials_file or a \
                 client_certificate"
            }
            Cause::Status { status: 407, .. } => {
                "the proxy wants to know who asks: http://NAME:PASSWORD@… as proxy in the settings"
            }
            Cause::Tls(_) => "look at the server's certificate, and at ca_file in the settings",
            _ if self.is_unreachable() => "look at the network and the server, then try again",
            _ => "the server does not serve what it must: tell its operators",
        };
        Some(text.into())
    }
}

impl Explain for AuthorityError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::Get(error) => error.exit(),
            Self::Policy(error) => error.exit(),
            Self::NotFound { .. } | Self::TooManyPassedOver { .. } => ExitStatus::Signature,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Get(error) => error.hint(),
            Self::Policy(error) => error.hint(),
            Self::NotFound { .. } => {
                Some("compare the hash with what the repository's operators told you".into())
            }
            Self::TooManyPassedOver { .. } => Some("tell the repository's operators".into()),
        }
    }
}

impl Explain for AttemptError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::Get(error) => error.exit(),
            Self::Authority(error) => error.exit(),
            Self::Trust(error) => error.exit(),
            Self::NoCheckpoint { .. } => ExitStatus::Unreachable,
            Self::Smaller { .. } | Self::Fork { .. } => ExitStatus::RollbackOrFork,
            Self::Follow(error) => follow_exit(error),
            Self::AuthorityHidden { .. } | Self::OtherAuthority { .. } => ExitStatus::Expired,
            Self::Spool(error) => io_exit(&error.source),
            Self::Database(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Spool(_) => return privilege_hint(self.exit()),
            Self::Get(error) => return error.hint(),
            Self::Authority(error) => return error.hint(),
            Self::Trust(error) => return error.hint(),
            Self::Database(error) => return error.hint(),
            Self::NoCheckpoint { .. } => "is this the base URL of a repository?",
            Self::Smaller { .. } => {
                "the server is stale, or shows an old state on purpose: use another one"
            }
            Self::Fork { .. } => {
                "nothing was changed; send the evidence to the repository's operators: a key is in \
                 wrong hands, or a server alters what it serves"
            }
            Self::Follow(_) => "the server does not serve what it must: tell its operators",
            Self::AuthorityHidden { .. } | Self::OtherAuthority { .. } => {
                "the server may be hiding that a key was retired: use another one"
            }
        };
        Some(text.into())
    }
}

fn follow_exit(error: &FollowError) -> ExitStatus {
    match error {
        FollowError::Get(error) => error.exit(),
        FollowError::Missing { .. }
        | FollowError::Bundle { .. }
        | FollowError::TooFar { .. }
        | FollowError::TooMuch { .. } => ExitStatus::Unreachable,
        FollowError::Smaller { .. } | FollowError::Root { .. } => ExitStatus::RollbackOrFork,
        FollowError::Taker(_) => ExitStatus::Failed,
    }
}

impl Explain for UpdateError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::Trust(error) => error.exit(),
            Self::Servers { failed, .. } => worst(failed).0,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Trust(error) => error.hint(),
            Self::Servers { failed, .. } => worst(failed).1.and_then(Explain::hint),
        }
    }

    fn explain(self) -> Failure {
        match self {
            Self::Trust(error) => error.explain(),
            Self::Servers { failed, passed_over } => {
                let line = |PassedOver { version, why }: &PassedOver| {
                    format!("authority/{version} is passed over: {}", one_line(why))
                };
                let also = passed_over.iter().map(line).collect();
                Servers::failure_also("cannot update", failed, also)
            }
        }
    }
}

impl Explain for EnrollError {
    fn exit(&self) -> ExitStatus {
        match self {
            Self::Authority(error) => error.exit(),
            Self::Policy(error) => error.exit(),
            Self::Offline | Self::NoDistribution { .. } | Self::WhichDistribution(_) => {
                ExitStatus::Usage
            }
            Self::Taken(_) | Self::Random(_) => ExitStatus::Failed,
            Self::Config(error) => error.exit(),
            Self::Database(error) => error.exit(),
            Self::Update(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Authority(error) => return error.hint(),
            Self::Policy(_) => "compare the note with what the repository's operators gave you",
            Self::Offline => "give the note itself: --authority FILE",
            Self::NoDistribution { .. } | Self::WhichDistribution(_) => {
                "name one: --distribution NAME"
            }
            Self::Taken(name) => {
                return Some(format!(
                    "name the new one: --name NAME; or remove sources.d/{name}.toml first"
                ));
            }
            Self::Random(_) => return None,
            Self::Config(error) => return error.hint(),
            Self::Database(error) => return error.hint(),
            Self::Update(error) => return error.hint(),
        };
        Some(text.into())
    }

    fn explain(self) -> Failure {
        if let Self::Update(error) = self {
            return error.explain();
        }
        let (exit, hint) = (self.exit(), self.hint());
        Failure::new(exit, self).maybe_hint(hint)
    }
}
