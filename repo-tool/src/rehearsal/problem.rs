//! What clients would refuse, and what to do before it comes to that.

use countersign_format::layout::Log;
use countersign_format::policy::{PolicyError, Refusal, Role, Verdict};
use countersign_format::text::DistributionName;
use countersign_store::mirrors::chain;
use serde::Serialize;

use super::{PatchCount, said};

/// Something that clients would refuse.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    /// What, and why.
    pub what: String,
    /// What to do before the version is published.
    pub remedy: &'static str,
    /// What kind of refusal it is.
    #[serde(skip)]
    pub verdict: Verdict,
}

const SIGN_FIRST: &str = "list the new key in a version of its own; when that is published let it \
    sign (patchrepo collection refresh DIR --force, distribution sync DIR, distribution publish \
    DIR); retire the old key in the version after. patchrepo authority rotate shows each step. \
    Where a stolen key cannot wait, publish, and do the same at once: until then clients refuse \
    updates";
const COSIGN_FIRST: &str = "list the new key in a version of its own; when that is published let \
    it sign (patchrepo distribution refresh DIR --force); retire the old key in the version after. \
    patchrepo authority rotate shows each step. Where a stolen key cannot wait, publish, and \
    refresh at once: until then clients refuse updates";
const WITNESS_FIRST: &str = "let the witnesses cosign first: publish a version that lists them and \
    asks for no more than before, then patchrepo witness run, distribution import DIR LINES, \
    distribution refresh DIR --force; ask for the quorum in the version after";
const NEW_LOG: &str = "this is how a log begins anew: be ready to run patchrepo collection restart \
    or distribution restart, sync and publish at once; until then clients refuse updates";
const REFRESH: &str = "the heads are too old already: patchrepo collection refresh DIR, \
    distribution sync DIR, distribution refresh DIR";

impl Problem {
    pub(super) fn of_head(log: Log, error: &PolicyError) -> Self {
        let remedy = match &error.refusal {
            Refusal::Origin { .. } => NEW_LOG,
            _ if error.verdict() == Verdict::Expired => REFRESH,
            Refusal::TooFew(lacking) => {
                let lacks = |role: fn(&Role) -> bool| lacking.iter().any(|one| role(&one.role));
                if lacks(|role| *role == Role::Collection) {
                    SIGN_FIRST
                } else if lacks(|role| matches!(role, Role::Distribution(_))) {
                    COSIGN_FIRST
                } else {
                    WITNESS_FIRST
                }
            }
            _ => "find out who wrote it before anything else: patchrepo verify",
        };
        let what = format!("clients would refuse the {log}'s head: {}", said(error));
        Self { what, remedy, verdict: error.verdict() }
    }

    pub(super) fn of_directory(error: &PolicyError) -> Self {
        Self {
            what: format!("clients would not follow the directory: {}", said(error)),
            remedy: "list the new key besides the old one, then patchrepo directory publish DIR \
                and distribution refresh DIR; drop the old key in the version after",
            verdict: error.verdict(),
        }
    }

    pub(super) fn of_patches(patches: &PatchCount) -> Option<Self> {
        let first = patches.lost.first()?;
        let count = patches.lost.len();
        let what = format!(
            "clients would refuse {count} released {}, the first of them {}: {}",
            if count == 1 { "patch" } else { "patches" },
            first.patch,
            first.why
        );
        let remedy = "retire from a later index on, or publish them again under new versions; \
            revoke what nobody of yours made (patchrepo collection revoke)";
        Some(Self { what, remedy, verdict: Verdict::Signature })
    }

    pub(super) fn expired(error: &PolicyError) -> Self {
        let remedy = "prepare it anew: patchrepo authority change DIR --valid-for 365d";
        Self { what: chain(error), remedy, verdict: Verdict::Expired }
    }

    pub(super) fn dropped(name: &DistributionName) -> Self {
        Self {
            what: format!("distribution {name} would be listed no longer: its clients stand alone"),
            remedy: "enrol them with another distribution first (patchctl sources)",
            verdict: Verdict::Signature,
        }
    }
}
