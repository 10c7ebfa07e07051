//! What a plan does that is never done without a word. A plan that was kept may have been written by
//! anybody: whoever carries it out says the words, whatever it was made with.

use std::collections::BTreeSet;
use std::fmt;

use countersign_format::name::PatchName;

use crate::catalogue::Offer;
use crate::config::SourceName;
use crate::plan::{PlanError, PlanOptions, Planner};
use crate::resolve::{Line, Plan, Step};

/// A word that something needs, which is an option of the command line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// A component goes to an older version.
    Downgrade,
    /// An installed component goes.
    Removals,
    /// A patch is not of the strongest source that has its name.
    Source(SourceName),
}

impl fmt::Display for Word {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Downgrade => formatter.write_str("--allow-downgrade"),
            Self::Removals => formatter.write_str("--allow-removals"),
            Self::Source(name) => write!(formatter, "--source {name}"),
        }
    }
}

impl Word {
    fn is_said(&self, options: &PlanOptions) -> bool {
        match self {
            Self::Downgrade => options.allow_downgrade,
            Self::Removals => options.allow_removals,
            Self::Source(name) => options.sources.contains(name),
        }
    }
}

impl Planner<'_> {
    /// The words that a plan needs, each once.
    pub fn words(&self, plan: &Plan) -> Result<BTreeSet<Word>, PlanError> {
        Ok(self.needs(plan)?.into_iter().map(|(word, _)| word).collect())
    }

    /// Checks that the options say every word that a plan needs.
    pub(crate) fn must_be_said(&self, plan: &Plan) -> Result<(), PlanError> {
        let mut needs = self.needs(plan)?;
        needs.retain(|(word, _)| !word.is_said(&self.options));
        let (words, lines): (BTreeSet<Word>, Vec<String>) = needs.into_iter().unzip();
        Line::chain(lines).map_or(Ok(()), |line| Err(PlanError::Unsaid(words, line)))
    }

    /// What needs a word, and what is said of it.
    fn needs(&self, plan: &Plan) -> Result<Vec<(Word, String)>, PlanError> {
        let mut needs = Vec::new();
        for step in &plan.steps {
            needs.extend(down(step));
            needs.extend(self.weaker(&step.name, &step.links)?);
        }
        let gone = plan
            .removals
            .iter()
            .map(|removal| (Word::Removals, format!("{} {} goes", removal.name, removal.version)));
        needs.extend(gone);
        Ok(needs)
    }

    fn weaker(&self, name: &PatchName, links: &[Offer]) -> Result<Vec<(Word, String)>, PlanError> {
        let all = self.catalogue.offers_named(self.database, name)?;
        let strongest = all.iter().map(|offer| self.catalogue.priority(offer)).min();
        let is_weaker = |link: &&Offer| Some(self.catalogue.priority(link)) != strongest;
        let need = |link: &Offer| {
            let source = self.catalogue.sources()[link.source].config.name.clone();
            let text = format!("{name} {} is of {source}, a weaker source", link.version());
            (Word::Source(source), text)
        };
        Ok(links.iter().filter(is_weaker).map(need).collect())
    }
}

fn down(step: &Step) -> Option<(Word, String)> {
    let from = step.from.as_ref().filter(|from| step.to < **from)?;
    Some((Word::Downgrade, format!("{} goes down from {from} to {}", step.name, step.to)))
}
