//! Why a version is taken or not: behind the gates of its patches the ones of this machine — holds,
//! rollbacks, and whether it goes together with what is installed.

use countersign_format::name::{PatchName, PatchVersion};
use countersign_format::time::Timestamp;

use crate::catalogue::{Answer, Catalogue, Gate, Offer};
use crate::db::hold::Hold;
use crate::db::installed::{HeldBack, Installed};
use crate::db::{Database, DatabaseError};
use crate::plan::{PlanError, PlanOptions, Planner};
use crate::resolve::ResolveError;

/// What one of this machine's own gates says of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineGate {
    /// Its name, which does not change between releases: `hold`, `rollback`, `requirements` or
    /// `installed`.
    pub name: &'static str,
    /// Whether it lets the version through; none where it cannot be said.
    pub answer: Option<Answer>,
    /// What is known.
    pub known: String,
    /// When that changes by itself.
    pub changes: Option<Timestamp>,
}

/// What is known of a component besides its patches.
#[derive(Debug)]
pub struct Circumstances<'a> {
    database: &'a Database,
    catalogue: &'a Catalogue,
    name: &'a PatchName,
    now: Timestamp,
    /// What is installed of it.
    pub installed: Option<Installed>,
    hold: Option<Hold>,
    held_back: Vec<HeldBack>,
}

impl<'a> Circumstances<'a> {
    /// Reads them.
    pub fn of(
        database: &'a Database,
        catalogue: &'a Catalogue,
        name: &'a PatchName,
        now: Timestamp,
    ) -> Result<Self, DatabaseError> {
        let mut held_back = database.held_back_by()?;
        held_back.retain(|held| held.name == *name);
        Ok(Self {
            database,
            catalogue,
            name,
            now,
            installed: database.find_installed(name)?,
            hold: database.holds()?.into_iter().find(|hold| hold.name == *name),
            held_back,
        })
    }

    /// This machine's gates before a version, of which these are the patches.
    pub fn gates(
        &self,
        version: &PatchVersion,
        offers: &[&Offer],
    ) -> Result<Vec<MachineGate>, DatabaseError> {
        let is_open = offers.iter().any(|offer| offer.is_open());
        Ok(vec![
            self.hold(version),
            self.rollback(version),
            self.requirements(version, is_open)?,
            self.installed(version),
        ])
    }

    /// The newest version that `upgrade` or `install` by name would go to, or stay at.
    pub fn chosen(&self) -> Result<Option<PatchVersion>, DatabaseError> {
        let planner = Planner::new(self.database, self.catalogue, PlanOptions::default())?;
        let plan = match &self.installed {
            Some(_) => planner.upgrade(std::slice::from_ref(self.name)),
            None => planner.install(&[(self.name.clone(), None)], Vec::new()),
        };
        let step = match plan {
            Ok(plan) => plan.steps.into_iter().find(|step| step.name == *self.name),
            Err(PlanError::Database(error)) => return Err(error),
            Err(_) => None,
        };
        let installed = self.installed.as_ref().map(|installed| installed.version.clone());
        Ok(step.map(|step| step.to).or(installed))
    }

    fn is_installed(&self, version: &PatchVersion) -> bool {
        self.installed.as_ref().is_some_and(|installed| installed.version == *version)
    }

    fn hold(&self, version: &PatchVersion) -> MachineGate {
        let gate = |answer, known, changes| MachineGate {
            name: "hold",
            answer: Some(answer),
            known,
            changes,
        };
        let Some(hold) = &self.hold else { return gate(Answer::Yes, "not held".into(), None) };
        let mut known = match &hold.version {
            Some(pin) => format!("pinned to {pin} since {}", hold.since),
            None => format!("held as it is since {}", hold.since),
        };
        if let Some(reason) = &hold.reason {
            known = format!("{known}: {reason}");
        }
        if !hold.counts(self.now) {
            let ended = hold.until.map(|until| until.to_string()).unwrap_or_default();
            return gate(Answer::Yes, format!("{known}; the hold ended on {ended}"), None);
        }
        let is_kept = hold.version.as_ref() != Some(version) && !self.is_installed(version);
        match (is_kept, hold.until) {
            (false, until) => gate(Answer::Yes, known, until),
            (true, Some(until)) => gate(Answer::Waits, known, Some(until)),
            (true, None) => gate(Answer::No, format!("{known}, without an end"), None),
        }
    }

    fn rollback(&self, version: &PatchVersion) -> MachineGate {
        let undone = self.held_back.iter().find(|held| held.version == *version);
        let (answer, known) = match undone {
            None => (Answer::Yes, "not undone by a rollback".to_owned()),
            Some(HeldBack { transaction, .. }) => (
                Answer::No,
                format!(
                    "held back since rollback {transaction} undid it, until a newer version comes, \
                     or: patchctl unhold {name}, or patchctl install {name}@{version}",
                    name = self.name
                ),
            ),
        };
        MachineGate { name: "rollback", answer: Some(answer), known, changes: None }
    }

    fn requirements(
        &self,
        version: &PatchVersion,
        is_open: bool,
    ) -> Result<MachineGate, DatabaseError> {
        let gate =
            |answer, known| Ok(MachineGate { name: "requirements", answer, known, changes: None });
        if self.is_installed(version) {
            return gate(Some(Answer::Yes), "it is there".into());
        }
        if !is_open {
            return gate(None, "only looked at once a patch of it passes all of the above".into());
        }
        let planner = Planner::new(self.database, self.catalogue, PlanOptions::default())?;
        match planner.install(&[(self.name.clone(), Some(version.clone()))], Vec::new()) {
            Ok(plan) => {
                let links = plan.steps.iter().find(|step| step.name == *self.name);
                let patches = links.map_or(0, |step| step.links.len());
                let patches = match patches {
                    1 => "1 patch".to_owned(),
                    several => format!("{several} patches"),
                };
                let others: Vec<_> = plan
                    .steps
                    .iter()
                    .filter(|step| step.name != *self.name)
                    .map(|step| format!("{} {}", step.name, step.to))
                    .collect();
                let along = match others.as_slice() {
                    [] => String::new(),
                    others => format!(", along with {}", others.join(", ")),
                };
                gate(Some(Answer::Yes), format!("{patches} from {}{along}", self.from()))
            }
            Err(PlanError::Database(error)) => Err(error),
            Err(PlanError::Resolve(ResolveError::Impossible(is))) => {
                gate(Some(Answer::No), is.reason.to_string())
            }
            Err(error) => gate(Some(Answer::No), error.to_string()),
        }
    }

    fn installed(&self, version: &PatchVersion) -> MachineGate {
        let (answer, known) = match &self.installed {
            None => (Answer::No, "not installed".to_owned()),
            Some(installed) if installed.version == *version => {
                (Answer::Yes, format!("installed by transaction {}", installed.transaction))
            }
            Some(installed) => (Answer::No, format!("{} is installed", installed.version)),
        };
        MachineGate { name: "installed", answer: Some(answer), known, changes: None }
    }

    fn from(&self) -> String {
        let installed = self.installed.as_ref();
        installed.map_or("nothing installed".into(), |installed| installed.version.to_string())
    }
}

/// The first thing that stops a version: what each of its patches says first, the least stopped one
/// first, and then what this machine says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Nothing stops it.
    None,
    /// It is there already.
    Installed,
    /// Its patches do not pass their gates.
    Patch(Gate),
    /// This machine stops it.
    Machine(MachineGate),
}

/// What stops a version.
pub fn obstacle(offers: &[&Offer], gates: &[MachineGate]) -> Obstacle {
    let is_installed =
        |gate: &MachineGate| gate.name == "installed" && gate.answer == Some(Answer::Yes);
    if gates.iter().any(is_installed) {
        return Obstacle::Installed;
    }
    if !offers.iter().any(|offer| offer.is_open()) {
        // a patch for another platform says least of why this machine does not get it
        let is_other = |offer: &&&Offer| matches!(offer.gate, Gate::Platform(_));
        let nearest = offers.iter().min_by_key(|offer| is_other(offer));
        return nearest.map_or(Obstacle::None, |offer| Obstacle::Patch(offer.gate.clone()));
    }
    let stops = |gate: &&MachineGate| {
        gate.name != "installed" && gate.answer.is_some_and(|answer| answer != Answer::Yes)
    };
    gates.iter().find(stops).map_or(Obstacle::None, |gate| Obstacle::Machine(gate.clone()))
}
