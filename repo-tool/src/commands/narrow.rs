//! `--platform` and `--base`, which narrow `NAME@VERSION` down.

use clap::Args;
use countersign_format::name::Platform;

use crate::patch_selector::{BaseSelector, PatchSelector};

/// Which of the patches that `NAME@VERSION` names are meant; all unless said.
#[derive(Args, Debug, Clone, Default)]
pub struct NarrowArgs {
    /// Only those for this platform, such as linux-x86_64 or any
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Only that with this base, as it is written; none for the full patch
    #[arg(long, value_name = "REQUIREMENT|none")]
    base: Option<BaseSelector>,
}

impl NarrowArgs {
    /// The selector, narrowed down.
    pub fn narrow(&self, selector: &PatchSelector) -> PatchSelector {
        let Self { platform, base } = self.clone();
        PatchSelector { platform, base, ..selector.clone() }
    }

    /// All selectors, narrowed down.
    pub fn narrow_all(&self, selectors: &[PatchSelector]) -> Vec<PatchSelector> {
        selectors.iter().map(|selector| self.narrow(selector)).collect()
    }
}
