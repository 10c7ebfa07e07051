//! Carrying out a plan that was kept: exactly what it says, or a list of what has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use countersign_format::name::PatchName;

use crate::catalogue::Offer;
use crate::plan::{PlanError, PlanOptions, Planner, Supply, now};
use crate::plan_file::{LogGrounds, PatchRecord, PlanDocument, SkippedRecord, StepRecord};
use crate::resolve::{Line, Mode, Plan, Wish};
use crate::trust::Head;

impl Planner<'_> {
    /// The plan of a document, if everything is still as when it was made and nothing else would be
    /// done for it; otherwise [`PlanError::Changed`] with all that is not. What is only done by a
    /// word needs it here too: [`PlanError::Unsaid`].
    pub fn again(&self, document: &PlanDocument, root: &Path) -> Result<Plan, PlanError> {
        let mut changed = self.changed_machine(document, root);
        changed.extend(self.changed_sources(document));
        changed.extend(self.changed_components(document));
        let mut patches: BTreeMap<PatchName, Vec<Offer>> = BTreeMap::new();
        for step in &document.steps {
            let here = patches.entry(step.name.clone()).or_default();
            for record in &step.patches {
                match self.find(&step.name, record)? {
                    Some(offer) if offer.is_open() => here.push(offer),
                    Some(offer) => {
                        let why = offer.gate;
                        changed.push(format!("{} {}: {why}", step.name, record.version));
                    }
                    None => changed.push(format!(
                        "{} {}: {} has no such patch any more",
                        step.name, record.version, record.source
                    )),
                }
            }
        }
        if let Some(lines) = Line::chain(changed) {
            return Err(PlanError::Changed(lines));
        }
        let lines = match self.only(document, patches) {
            Ok(mut plan) if document.says(&plan, self.catalogue) => {
                self.must_be_said(&plan)?;
                // what it passed over then is passed over now
                plan.skipped = document.skipped.iter().map(SkippedRecord::skipped).collect();
                return Ok(plan);
            }
            Ok(_) => vec!["what would be done for it now is not what it says".to_owned()],
            Err(error @ PlanError::Database(_)) => return Err(error),
            Err(error) => causes(&error),
        };
        Err(PlanError::Changed(Line::chain(lines).expect("at least one line")))
    }

    /// What is planned where there is nothing but the document's own patches.
    fn only(
        &self,
        document: &PlanDocument,
        patches: BTreeMap<PatchName, Vec<Offer>>,
    ) -> Result<Plan, PlanError> {
        if document.steps.is_empty() {
            let names: Vec<PatchName> =
                document.removals.iter().map(|removal| removal.name.clone()).collect();
            return self.remove(&names, false);
        }
        let wish = |step: &StepRecord| (step.name.clone(), Wish { version: Some(step.to.clone()) });
        let wishes = document.steps.iter().map(wish).collect();
        let goes_down = |step: &StepRecord| step.from.as_ref().is_some_and(|from| step.to < *from);
        let options = PlanOptions {
            allow_downgrade: document.steps.iter().any(goes_down),
            allow_removals: !document.removals.is_empty(),
            ..PlanOptions::default()
        };
        let planner = Planner { options, ..self.clone() };
        let mut plan = planner.plan(wishes, Supply { patches, is_all: true }, Mode::Install)?;
        // all of them were wished for just now; why each was the document knows
        for record in &document.steps {
            let step = plan.steps.iter_mut().find(|step| step.name == record.name);
            if let Some(step) = step {
                step.is_dependency = record.dependency;
            }
        }
        Ok(plan)
    }

    fn find(&self, name: &PatchName, record: &PatchRecord) -> Result<Option<Offer>, PlanError> {
        let offers = self.catalogue.offers_named(self.database, name)?;
        let is_it = |offer: &Offer| {
            let source = self.catalogue.sources()[offer.source].config.name.as_str();
            source == record.source
                && offer.patch.leaf == record.index
                && offer.entry().archive.sha256 == record.archive
        };
        Ok(offers.into_iter().find(is_it))
    }

    fn changed_machine(&self, document: &PlanDocument, root: &Path) -> Vec<String> {
        let mut changed = Vec::new();
        let machine = &self.catalogue.machine().id;
        if document.machine != *machine {
            changed.push(format!("it is for machine {}, this is {machine}", document.machine));
        }
        if document.root != root {
            changed.push(format!(
                "it is for the root {}, not for {}",
                document.root.display(),
                root.display()
            ));
        }
        changed
    }

    /// Logs only grow, so one that is smaller or another is of another state.
    fn changed_sources(&self, document: &PlanDocument) -> Vec<String> {
        let mut changed = Vec::new();
        for grounds in &document.sources {
            let name = &grounds.name;
            let mut sources = self.catalogue.sources().iter();
            let Some(source) = sources.find(|source| source.config.name.as_str() == name) else {
                changed.push(format!("source {name} is no longer configured"));
                continue;
            };
            if source.config.authority != grounds.authority {
                changed.push(format!("source {name} begins with another authority note"));
            }
            if source.trust.authority().version < grounds.authority_version {
                changed.push(format!("source {name} is at an older authority note"));
            }
            let logs = [
                ("collection", &grounds.collection, &source.heads.collection),
                ("distribution", &grounds.distribution, &source.heads.distribution),
            ];
            for (log, then, is) in logs {
                if then.as_ref().is_some_and(|then| !goes_on_from(is, then)) {
                    changed
                        .push(format!("the {log} log of {name} is not the one it was made from"));
                }
            }
        }
        changed
    }

    fn changed_components(&self, document: &PlanDocument) -> Vec<String> {
        let mut changed = Vec::new();
        let is = |name: &PatchName| self.installed.get(name).map(|is| is.version.to_string());
        let word = |version: Option<String>| version.unwrap_or_else(|| "not installed".to_owned());
        let names: BTreeSet<&PatchName> =
            self.installed.keys().chain(document.installed.keys()).collect();
        for name in names {
            let (then, now) = (document.installed.get(name).map(ToString::to_string), is(name));
            if then != now {
                changed.push(format!("{name} was {}, it is {}", word(then), word(now)));
            }
        }
        let undone = |step: &&StepRecord| {
            self.held_back.get(&step.name).is_some_and(|undone| undone.contains(&step.to))
        };
        for StepRecord { name, to, .. } in document.steps.iter().filter(undone) {
            changed.push(format!("{name} {to} was undone by a rollback"));
        }
        let gone = document.removals.iter().map(|removal| &removal.name);
        for name in document.steps.iter().map(|step| &step.name).chain(gone) {
            if let Some(hold) = self.holds.get(name).filter(|hold| hold.since >= document.made_at) {
                changed.push(format!("{name} is held since {}", hold.since));
            }
        }
        if document.made_at > now(self.catalogue) {
            changed.push(format!("it was made at {}, which is yet to come", document.made_at));
        }
        changed
    }
}

/// What an error says, and its causes.
fn causes(error: &dyn std::error::Error) -> Vec<String> {
    let mut lines = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        lines.push(cause.to_string());
        next = cause.source();
    }
    lines
}

/// Whether a log that is held is the one that was held, or what became of it.
fn goes_on_from(head: &Head, then: &LogGrounds) -> bool {
    let root = head.held.as_ref().map(|log| log.held.frontier.root());
    root.is_some() && head.size() > then.size || head.size() == then.size && root == Some(then.root)
}
