//! How fresh what is known of a source is. A state of its own: nothing that a command finds out in
//! an index is worth more than the index is.

use countersign_format::authority::LogRole;
use countersign_format::key::PublicKey;
use countersign_format::layout::{self, Log};
use countersign_format::policy::{
    PolicyError, Refusal, Shortfall, Uncounted, UncountedReason, Verdict,
};
use countersign_format::time::Timestamp;

use crate::trust::{Head, Heads, Trust, TrustError};

/// How fresh what is known of a source is.
#[derive(Debug)]
pub enum Freshness {
    /// All of it is as new as it must be.
    Fresh {
        /// When it no longer is, unless an update brings newer signatures.
        until: Timestamp,
    },
    /// A log's head is older than it may be: somebody holds news back, or nobody has updated.
    Stale {
        /// The log.
        log: Log,
        /// When it became too old.
        since: Timestamp,
        /// Age of the head in seconds.
        age: u64,
        /// The limit in seconds.
        limit: u64,
        /// What the policy says of it.
        refusal: TrustError,
    },
    /// Nothing was ever fetched.
    NeverUpdated(TrustError),
    /// The newest authority note that is known has expired.
    AuthorityExpired {
        /// When.
        since: Timestamp,
        /// What the policy says of it.
        refusal: TrustError,
    },
    /// What is held was signed later than the local clock says it is: nothing can be said.
    ClockWrong {
        /// How many seconds the clock is behind, at least.
        behind: u64,
        /// What the policy says of it.
        refusal: TrustError,
    },
    /// What is held is not what a client accepts: somebody changed it, or whose keys count.
    Refused(TrustError),
}

impl Freshness {
    /// Judges what is held of a source with the time `local` on the clock.
    pub fn judge(trust: &Trust, heads: &Heads, local: Timestamp) -> Self {
        match trust.check_fresh(heads, local) {
            Ok(()) => Self::Fresh { until: fresh_until(trust, heads) },
            Err(refusal @ TrustError::NeverUpdated(_)) => Self::NeverUpdated(refusal),
            Err(TrustError::Policy(error)) => Self::of_policy(error, trust, heads, local),
            Err(refusal) => Self::Refused(refusal),
        }
    }

    fn of_policy(error: PolicyError, trust: &Trust, heads: &Heads, local: Timestamp) -> Self {
        let stale = Overdue::of(&error);
        let behind = ahead_of_clock(&error.refusal);
        let expired = match error.refusal {
            Refusal::Expired { expires, .. } => Some(expires),
            _ => None,
        };
        let refusal = TrustError::Policy(error);
        if let Some(behind) = behind {
            return Self::ClockWrong { behind, refusal };
        }
        if let Some(since) = expired {
            return Self::AuthorityExpired { since, refusal };
        }
        match (stale, trust.clock(heads, local)) {
            (Some(Overdue { log, age, limit }), Ok(clock)) => {
                let over = age.saturating_sub(limit);
                let now = clock.now().seconds();
                let since = Timestamp::from_seconds(now.saturating_sub(over));
                let since = since.unwrap_or(Timestamp::EPOCH);
                Self::Stale { log, since, age, limit, refusal }
            }
            _ => Self::Refused(refusal),
        }
    }

    /// Whether all is as new as it must be.
    pub fn is_fresh(&self) -> bool {
        matches!(self, Self::Fresh { .. })
    }

    /// The word for it, which does not change between releases.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Fresh { .. } => "fresh",
            Self::Stale { .. } => "stale",
            Self::NeverUpdated(_) => "never-updated",
            Self::AuthorityExpired { .. } => "authority-expired",
            Self::ClockWrong { .. } => "clock-wrong",
            Self::Refused(_) => "refused",
        }
    }

    /// Since when it is not fresh, where that is known.
    pub fn since(&self) -> Option<Timestamp> {
        match self {
            Self::Stale { since, .. } | Self::AuthorityExpired { since, .. } => Some(*since),
            _ => None,
        }
    }

    /// Why it is not fresh.
    pub fn into_refusal(self) -> Option<TrustError> {
        match self {
            Self::Fresh { .. } => None,
            Self::Stale { refusal, .. }
            | Self::NeverUpdated(refusal)
            | Self::AuthorityExpired { refusal, .. }
            | Self::ClockWrong { refusal, .. }
            | Self::Refused(refusal) => Some(refusal),
        }
    }

    /// Why it is not fresh.
    pub fn refusal(&self) -> Option<&TrustError> {
        match self {
            Self::Fresh { .. } => None,
            Self::Stale { refusal, .. }
            | Self::NeverUpdated(refusal)
            | Self::AuthorityExpired { refusal, .. }
            | Self::ClockWrong { refusal, .. }
            | Self::Refused(refusal) => Some(refusal),
        }
    }
}

/// When a role signed a log's head, and how old that may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadAge {
    /// The log.
    pub log: Log,
    /// When as many of the role's unretired keys had signed as its threshold asks for.
    pub signed: Timestamp,
    /// How old it may grow, in seconds.
    pub max_age: u64,
}

impl HeadAge {
    /// Of what is held of a log, by whoever runs it; none before the first update.
    pub fn of(trust: &Trust, head: &Head) -> Option<Self> {
        Self::by(trust.log_role(head.log).ok()?, head)
    }

    fn by(role: &LogRole, head: &Head) -> Option<Self> {
        let is_own = |key: &PublicKey| {
            role.keys.iter().any(|listed| listed.until.is_none() && listed.vkey.key == *key)
        };
        let mut times: Vec<Timestamp> =
            head.newest.iter().filter(|(key, _)| is_own(key)).map(|(_, time)| *time).collect();
        times.sort_by(|left, right| right.cmp(left));
        let signed = *times.get(role.threshold.saturating_sub(1) as usize)?;
        Some(Self { log: head.log, signed, max_age: role.max_age })
    }

    /// When it is too old.
    pub fn until(&self) -> Timestamp {
        self.signed.plus(self.max_age)
    }
}

/// When the first of what must be fresh no longer is.
fn fresh_until(trust: &Trust, heads: &Heads) -> Timestamp {
    let authority = trust.authority();
    let distribution = trust.distribution().ok().map(|role| &role.log);
    let signed = [
        HeadAge::by(&authority.collection, &heads.collection),
        distribution.and_then(|role| HeadAge::by(role, &heads.collection)),
        distribution.and_then(|role| HeadAge::by(role, &heads.distribution)),
    ];
    signed.iter().flatten().map(HeadAge::until).fold(authority.expires, Timestamp::min)
}

/// A head whose signatures are too old.
struct Overdue {
    log: Log,
    age: u64,
    limit: u64,
}

impl Overdue {
    /// What a refusal says, if it is about age: of the role that is longest overdue the key that is
    /// so for the shortest time.
    fn of(error: &PolicyError) -> Option<Self> {
        let Refusal::TooFew(shortfalls) = &error.refusal else { return None };
        if error.verdict() != Verdict::Expired {
            return None;
        }
        let log =
            Log::BOTH.into_iter().find(|log| layout::checkpoint(*log).as_str() == error.file)?;
        let too_old = |line: &Uncounted| match line.reason {
            UncountedReason::TooOld { age, max_age } => Some((age, max_age)),
            _ => None,
        };
        let over = |(age, limit): &(u64, u64)| age.saturating_sub(*limit);
        let of_role =
            |shortfall: &Shortfall| shortfall.uncounted.iter().filter_map(too_old).min_by_key(over);
        let (age, limit) = shortfalls.iter().filter_map(of_role).max_by_key(over)?;
        Some(Self { log, age, limit })
    }
}

fn ahead_of_clock(refusal: &Refusal) -> Option<u64> {
    let Refusal::TooFew(shortfalls) = refusal else { return None };
    let lines = shortfalls.iter().flat_map(|shortfall| &shortfall.uncounted);
    let ahead = lines.filter_map(|line| match line.reason {
        UncountedReason::Ahead { seconds, .. } => Some(seconds),
        _ => None,
    });
    ahead.max()
}
