//! Another way to the version that a plan leads to, when one of its patches turns out not to fit.

use countersign_format::hash::Hash32;

use super::Step;
use super::ways::Ways;
use crate::catalogue::Offer;

impl Step {
    /// The cheapest way to the same version without the patches of `unfit`; none where there is none,
    /// or where what stands at its end asks for something else than what was planned with.
    #[must_use]
    pub fn without(&self, unfit: &[Hash32], offers: &[Offer]) -> Option<Self> {
        let is_fit = |offer: &&Offer| !unfit.contains(&offer.entry().archive.sha256);
        let offers: Vec<Offer> = offers.iter().filter(is_fit).cloned().collect();
        let ways = Ways::new(self.from.as_ref(), &offers);
        if !ways.lead_to(&self.to) {
            return None;
        }
        let links: Vec<Offer> =
            ways.to(&self.to).into_iter().map(|at| offers[at].clone()).collect();
        let (last, planned) = (links.last()?.entry(), self.links.last()?.entry());
        let asks_the_same =
            (&last.requires, &last.conflicts) == (&planned.requires, &planned.conflicts);
        asks_the_same.then(|| Self { links, ..self.clone() })
    }
}
