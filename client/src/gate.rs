//! What a patch must pass before a machine takes it, gate by gate (SPEC §4.2).
//!
//! The gates are evaluated in full, in one place: what stops a patch is the first of them that does
//! not let it through, and `why` tells them all.

use std::fmt;

use countersign_format::entry::{Release, bucket};
use countersign_format::hash::Hash32;
use countersign_format::name::Platform;
use countersign_format::text::RingName;
use countersign_format::time::Timestamp;

use crate::db::index::Decision;
use crate::standing::Standing;

/// The last of the places in a rollout: where its machine takes part, all do.
const LAST_PLACE: u16 = 9_999;

/// What a gate says of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It lets the patch through.
    Yes,
    /// It stops the patch, and nothing that is known now will change that.
    No,
    /// It stops the patch until a date that is known.
    Waits,
}

/// Why a patch may not be installed: what the first gate says that stops it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Gate {
    /// It may be installed.
    #[error("offered")]
    Open,
    /// The collection revoked it.
    #[error("revoked: {0}")]
    Revoked(String),
    /// It is for other machines.
    #[error("for {0}")]
    Platform(Platform),
    /// The distribution has not released it to this ring.
    #[error("not released to ring {0}")]
    NotReleased(String),
    /// The distribution withdrew it from this ring.
    #[error("withdrawn: {0}")]
    Withdrawn(String),
    /// Its time has not come.
    #[error("released from {0} on")]
    NotStarted(Timestamp),
    /// The rollout has not come to this machine.
    #[error("its rollout has not reached this machine")]
    Rollout,
}

/// One gate with what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateState<'a> {
    /// The collection's log has it.
    Known {
        /// Leaf index of its entry.
        leaf: u64,
    },
    /// Whether the collection revoked it, and why.
    Revocation(Option<&'a str>),
    /// Whether it is for machines like this one.
    Platform {
        /// What it is for.
        patch: &'a Platform,
        /// What this machine is.
        machine: &'a Platform,
    },
    /// What the distribution decided for this ring last.
    Release {
        /// The ring.
        ring: &'a RingName,
        /// The decision that stands; none where it was never released to the ring.
        standing: Option<Standing<'a>>,
    },
    /// When its release starts; at once where no date is given.
    Start {
        /// The date.
        start: Option<Timestamp>,
        /// When this is asked.
        now: Timestamp,
    },
    /// How far its rollout has come.
    Rollout {
        /// This machine's place, 0 to 9,999.
        bucket: u16,
        /// The release.
        release: &'a Release,
        /// When this is asked.
        now: Timestamp,
    },
    /// By when machines should have it. It stops nothing.
    Deadline(Option<Timestamp>),
}

/// A patch and what its gates look at.
#[derive(Debug, Clone, Copy)]
pub struct Approach<'a> {
    /// Leaf index of its entry.
    pub leaf: u64,
    /// Its archive.
    pub archive: &'a Hash32,
    /// What it is for.
    pub platform: &'a Platform,
    /// What this machine is.
    pub machine: &'a Platform,
    /// This machine's identity in rollouts.
    pub machine_id: &'a str,
    /// This machine's ring.
    pub ring: &'a RingName,
    /// Why the collection revoked it, if it did.
    pub revoked: Option<&'a str>,
    /// What the distribution decided for the ring last.
    pub standing: Option<Standing<'a>>,
    /// When this is asked.
    pub now: Timestamp,
}

impl<'a> Approach<'a> {
    /// All gates in order. Start, rollout and deadline are those of a release and are there only
    /// where one stands.
    pub fn gates(&self) -> Vec<GateState<'a>> {
        let mut gates = self.before_release().to_vec();
        if let Some(Standing { decision: Decision::Release(release), .. }) = self.standing {
            gates.extend(self.of_release(release));
        }
        gates
    }

    /// What the first gate says that stops the patch.
    pub fn first_obstacle(&self) -> Gate {
        let is_first = |gate: GateState<'a>| gate.obstacle();
        let first = self.before_release().into_iter().find_map(is_first);
        let release = || match self.standing?.decision {
            Decision::Release(release) if first.is_none() => Some(release),
            _ => None,
        };
        let Some(release) = release() else { return first.unwrap_or(Gate::Open) };
        self.of_release(release).into_iter().find_map(is_first).unwrap_or(Gate::Open)
    }

    /// As [`Self::first_obstacle`], where it takes the archive's hash only to find this machine's
    /// place in a rollout that has not come to all: it need not be known before.
    pub fn is_open<E>(&self, archive: impl FnOnce() -> Result<Hash32, E>) -> Result<bool, E> {
        if self.before_release().iter().any(|gate| gate.obstacle().is_some()) {
            return Ok(false);
        }
        match self.standing.map(|standing| standing.decision) {
            Some(Decision::Release(release)) if !release.admits(LAST_PLACE, self.now) => {
                let archive = &archive()?;
                Ok(Approach { archive, ..*self }.first_obstacle() == Gate::Open)
            }
            _ => Ok(true),
        }
    }

    fn before_release(&self) -> [GateState<'a>; 4] {
        let &Self { leaf, platform: patch, machine, ring, standing, .. } = self;
        [
            GateState::Known { leaf },
            GateState::Revocation(self.revoked),
            GateState::Platform { patch, machine },
            GateState::Release { ring, standing },
        ]
    }

    fn of_release(&self, release: &'a Release) -> [GateState<'a>; 3] {
        let bucket = bucket(self.machine_id, self.archive);
        let now = self.now;
        [
            GateState::Start { start: release.start, now },
            GateState::Rollout { bucket, release, now },
            GateState::Deadline(release.deadline),
        ]
    }
}

impl GateState<'_> {
    /// Its name, which does not change between releases.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Known { .. } => "known",
            Self::Revocation(_) => "revocation",
            Self::Platform { .. } => "platform",
            Self::Release { .. } => "release",
            Self::Start { .. } => "start",
            Self::Rollout { .. } => "rollout",
            Self::Deadline(_) => "deadline",
        }
    }

    /// Whether it lets the patch through.
    pub fn answer(&self) -> Answer {
        match (self.obstacle(), self.changes()) {
            (None, _) => Answer::Yes,
            (Some(_), None) => Answer::No,
            (Some(_), Some(_)) => Answer::Waits,
        }
    }

    /// When what it says changes by itself, if that is known.
    pub fn changes(&self) -> Option<Timestamp> {
        match self {
            Self::Start { start, now } => start.filter(|start| start > now),
            Self::Rollout { bucket, release, now } => {
                release.opens(*bucket).filter(|opens| opens > now)
            }
            Self::Deadline(deadline) => *deadline,
            _ => None,
        }
    }

    /// What it says to a patch that it stops.
    pub fn obstacle(&self) -> Option<Gate> {
        match self {
            Self::Revocation(Some(reason)) => Some(Gate::Revoked((*reason).to_owned())),
            Self::Platform { patch, machine } if !patch.fits(machine) => {
                Some(Gate::Platform((*patch).clone()))
            }
            Self::Release { ring, standing } => match standing.map(|standing| standing.decision) {
                None => Some(Gate::NotReleased(ring.to_string())),
                Some(Decision::Withdraw(withdraw)) => {
                    Some(Gate::Withdrawn(withdraw.reason.to_string()))
                }
                Some(Decision::Release(_)) => None,
            },
            Self::Start { start: Some(start), now } if start > now => {
                Some(Gate::NotStarted(*start))
            }
            Self::Rollout { bucket, release, now } if !release.admits(*bucket, *now) => {
                Some(Gate::Rollout)
            }
            _ => None,
        }
    }
}

impl fmt::Display for GateState<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known { leaf } => write!(formatter, "entry {leaf} of the collection's log"),
            Self::Revocation(None) => formatter.write_str("not revoked"),
            Self::Revocation(Some(reason)) => write!(formatter, "revoked: {reason}"),
            Self::Platform { patch, machine } => {
                write!(formatter, "for {patch}; this machine is {machine}")
            }
            Self::Release { ring, standing: None } => {
                write!(formatter, "not released to ring {ring}")
            }
            Self::Release { ring, standing: Some(Standing { leaf, decision }) } => match decision {
                Decision::Release(_) => {
                    write!(formatter, "released to ring {ring} by entry {leaf}")
                }
                Decision::Withdraw(withdraw) => {
                    let reason = &withdraw.reason;
                    write!(formatter, "withdrawn from ring {ring} by entry {leaf}: {reason}")
                }
            },
            Self::Start { start: None, .. } => formatter.write_str("at once"),
            Self::Start { start: Some(start), .. } => write!(formatter, "from {start} on"),
            Self::Rollout { bucket, release, now } => {
                write_rollout(formatter, *bucket, release, *now)
            }
            Self::Deadline(None) => formatter.write_str("none"),
            Self::Deadline(Some(deadline)) => {
                write!(formatter, "should be installed by {deadline}")
            }
        }
    }
}

fn write_rollout(
    formatter: &mut fmt::Formatter<'_>,
    bucket: u16,
    release: &Release,
    now: Timestamp,
) -> fmt::Result {
    let part = |share: u16| match share {
        10_000 => "all machines".to_owned(),
        share => format!("{}.{:02} % of the machines", share / 100, share % 100),
    };
    let share = release.share(now);
    write!(formatter, "to {}", part(share))?;
    if share == 10_000 {
        return Ok(());
    }
    let full = u16::from(release.percent) * 100;
    if let (true, Some(start)) = (share < full, release.start) {
        write!(formatter, " now, to {} by {}", part(full), start.plus(release.ramp))?;
    }
    let place = format!("{}.{:02} %", bucket / 100, bucket % 100);
    write!(formatter, "; this one has its place at {place}")
}

#[cfg(test)]
mod tests;
