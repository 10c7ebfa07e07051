//! Preparing the next version: admitting and retiring keys, and what else may change.

use countersign_format::authority::{AuthorityNote, DistributionRole, LogRole, ServerKey};
use countersign_format::issue::{Acceptance, Grant, OrdinaryKey, Request};
use countersign_format::key::{KeyName, SignatureType, Vkey};
use countersign_format::layout::Log;
use countersign_format::text::DistributionName;
use countersign_format::time::Timestamp;
use serde::Serialize;

use super::{Authority, AuthorityError, DISTRIBUTION_MAX_AGE, Draft, KeySelector};
use crate::config::Span;
use crate::history;
use crate::key_store::Passphrases;

/// Under which log a key is admitted.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    /// For a distribution's key: the distribution's name in the note.
    pub distribution: Option<DistributionName>,
    /// The log's name, for a role that has no key yet; the server's name unless given.
    pub origin: Option<KeyName>,
}

/// Which key is retired, and from where on.
#[derive(Debug, Clone)]
pub struct Retirement {
    /// The key's name.
    pub id: KeyName,
    /// Which of the identity's keys; may be left out where only one is in use.
    pub epoch: Option<u32>,
    /// Index of its log from which on its signatures no longer count.
    pub until: u64,
    /// Why, for the history.
    pub reason: String,
}

/// What else the next version may say differently.
#[derive(Debug, Clone, Default)]
pub struct NoteChange {
    /// For how long it is valid, from now on.
    pub valid_for: Option<Span>,
    /// How many authority keys must sign the versions after it.
    pub threshold: Option<u32>,
    /// Authority keys to list.
    pub add_keys: Vec<Vkey>,
    /// Authority keys to list no longer.
    pub drop_keys: Vec<KeySelector>,
    /// What changes of the collection.
    pub collection: LogChange,
    /// What changes of one distribution.
    pub distribution: Option<(DistributionName, LogChange)>,
    /// Directory keys to list.
    pub add_directory_keys: Vec<Vkey>,
    /// Directory keys to list no longer.
    pub drop_directory_keys: Vec<KeySelector>,
    /// Witnesses to list; server keys are taken as witness keys.
    pub add_witnesses: Vec<Vkey>,
    /// Witnesses to list no longer.
    pub drop_witnesses: Vec<KeySelector>,
    /// How many witnesses must cosign.
    pub quorum: Option<u32>,
}

/// What changes of a log.
#[derive(Debug, Clone, Default)]
pub struct LogChange {
    /// A new log, after a fork: clients read it anew.
    pub origin: Option<KeyName>,
    /// How many of its keys must sign.
    pub threshold: Option<u32>,
    /// How old, in seconds, a signature may be.
    pub max_age: Option<u64>,
}

#[derive(Serialize)]
struct KeyDetails<'a> {
    id: &'a KeyName,
    epoch: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl Authority {
    /// Lists a server's key in the next version, after its acceptance proved that the server holds
    /// it. The key must come of a grant of this authority. `file` is the acceptance's name.
    pub fn admit(
        &self,
        acceptance: &[u8],
        file: &str,
        admission: &Admission,
        now: Timestamp,
    ) -> Result<(ServerKey, Draft), AuthorityError> {
        if let Some(what) = not_an_acceptance(acceptance) {
            return Err(AuthorityError::NoAcceptance(what));
        }
        let acceptance = Acceptance::verify(acceptance, file)?;
        let granted = |acceptance: &Acceptance| -> Result<bool, AuthorityError> {
            Ok(self.grants()?.iter().any(|grant| {
                grant.role == acceptance.role && grant.partial_key().binding == binding(acceptance)
            }))
        };
        if !granted(&acceptance)? {
            return Err(AuthorityError::NotGranted {
                id: acceptance.id,
                epoch: acceptance.epoch,
                role: acceptance.role,
            });
        }
        let draft = self.draft(now)?;
        self.list(acceptance.server_key(), acceptance.role, draft, admission, now)
    }

    /// Lists an ordinary key in the next version, after its holder proved to have it. Nothing binds
    /// it to the identity but the authority's signatures: that it is the server's own, and born in
    /// the hardware it is said to be in, is for people to make sure of. `file` is the proof's name.
    pub fn admit_ordinary(
        &self,
        request: &[u8],
        file: &str,
        admission: &Admission,
        now: Timestamp,
    ) -> Result<(ServerKey, Draft), AuthorityError> {
        let asked = OrdinaryKey::verify(request, file)?;
        let draft = self.draft(now)?;
        let same = |key: &&ServerKey| key.vkey == asked.vkey;
        if let Some(listed) = server_keys(draft.note()).map(|(_, key)| key).find(same) {
            let (id, epoch) = (listed.id.clone(), listed.epoch);
            return Err(AuthorityError::ListedAlready { id, epoch });
        }
        let epoch = self.next_epoch(&asked.id, asked.role, draft.note())?;
        self.list(asked.server_key(epoch), asked.role, draft, admission, now)
    }

    fn list(
        &self,
        key: ServerKey,
        role: Log,
        mut draft: Draft,
        admission: &Admission,
        now: Timestamp,
    ) -> Result<(ServerKey, Draft), AuthorityError> {
        draft.edit(|note| list(note, role, &key, admission))?;
        self.save(&draft)?;
        let details = KeyDetails { id: &key.id, epoch: key.epoch, until: None, reason: None };
        history::record(self.directory(), now, "admit", &details)?;
        Ok((key, draft))
    }

    /// Retires a server's key in the next version, or an already retired one at a lower index.
    /// Refused where too few keys would be left, and where the published index would be raised.
    pub fn retire(
        &self,
        retirement: &Retirement,
        now: Timestamp,
    ) -> Result<(ServerKey, Draft), AuthorityError> {
        let mut draft = self.draft(now)?;
        let key = draft.edit(|note| retire(note, retirement))?;
        self.save(&draft)?;
        let details = KeyDetails {
            id: &key.id,
            epoch: key.epoch,
            until: key.until,
            reason: Some(&retirement.reason),
        };
        history::record(self.directory(), now, "retire", &details)?;
        Ok((key, draft))
    }

    /// Changes what else the next version says.
    pub fn change(&self, change: &NoteChange, now: Timestamp) -> Result<Draft, AuthorityError> {
        let draft = self.changed(change, now)?;
        self.save(&draft)?;
        Ok(draft)
    }

    /// As [`Self::change`], and lists a new signing key, whose file is made in the authority's own
    /// directory. There is no file if the change is refused.
    pub fn change_with_new_key(
        &self,
        change: &NoteChange,
        passphrases: &Passphrases,
        now: Timestamp,
    ) -> Result<Draft, AuthorityError> {
        let key = self.draw_signing_key()?;
        let mut change = change.clone();
        change.add_keys.push(key.vkey.clone());
        let draft = self.changed(&change, now)?;
        self.check(&draft)?;
        key.save(self.directory(), passphrases)?;
        self.save(&draft)?;
        Ok(draft)
    }

    fn changed(&self, change: &NoteChange, now: Timestamp) -> Result<Draft, AuthorityError> {
        let mut draft = self.draft(now)?;
        draft.edit(|note| apply(note, change, now))?;
        Ok(draft)
    }

    /// Saves the draft if it may follow what is published.
    pub(super) fn save(&self, draft: &Draft) -> Result<(), AuthorityError> {
        self.check(draft)?;
        Ok(draft.save(self.directory())?)
    }

    fn check(&self, draft: &Draft) -> Result<(), AuthorityError> {
        if let Some(chain) = self.chain() {
            chain.check_successor(draft.note())?;
        }
        Ok(())
    }
}

/// Which of the other files of the ceremony this is: all have names that are easily mixed up.
fn not_an_acceptance(bytes: &[u8]) -> Option<&'static str> {
    let is_request = Request::parse(bytes).is_ok();
    let is_grant = || Grant::parse(bytes).is_ok();
    if is_request { Some("request") } else { is_grant().then_some("grant") }
}

/// All server keys of a note, with the log that they sign.
pub(super) fn server_keys(note: &AuthorityNote) -> impl Iterator<Item = (Log, &ServerKey)> {
    let collection = note.collection.keys.iter().map(|key| (Log::Collection, key));
    let distributions = note.distributions.iter().flat_map(|role| &role.log.keys);
    collection.chain(distributions.map(|key| (Log::Distribution, key)))
}

fn binding(acceptance: &Acceptance) -> countersign_format::implicit_key::Binding {
    acceptance.server_key().binding().expect("an acceptance carries both points")
}

/// Adds `key` to its role, or makes the role if it is the first.
fn list(
    note: &mut AuthorityNote,
    role: Log,
    key: &ServerKey,
    admission: &Admission,
) -> Result<(), AuthorityError> {
    let log = match (role, &admission.distribution) {
        (Log::Collection, None) => &mut note.collection,
        (Log::Collection, Some(_)) => return Err(AuthorityError::NoDistributionsKey),
        (Log::Distribution, name) => {
            let name = name.clone().unwrap_or_else(default_distribution);
            distribution(note, &name, key)
        }
    };
    // a retired one too: what was retired never comes back
    if log.keys.iter().any(|listed| listed.vkey == key.vkey) {
        return Err(AuthorityError::ListedAlready { id: key.id.clone(), epoch: key.epoch });
    }
    let same = log.keys.iter().filter(|listed| listed.id == key.id);
    if let Some(newest) = same.map(|listed| listed.epoch).max().filter(|it| *it > key.epoch) {
        let (id, epoch) = (key.id.clone(), key.epoch);
        return Err(AuthorityError::OlderEpoch { id, epoch, newest });
    }
    if log.keys.is_empty() {
        log.origin = admission.origin.clone().unwrap_or_else(|| key.id.clone());
    } else if let Some(origin) = admission.origin.as_ref().filter(|origin| **origin != log.origin) {
        return Err(AuthorityError::OtherOrigin {
            origin: origin.clone(),
            listed: log.origin.clone(),
        });
    }
    log.keys.push(key.clone());
    Ok(())
}

/// The name of a distribution where there is only one.
pub(super) fn default_distribution() -> DistributionName {
    "main".parse().expect("a plain word")
}

fn distribution<'n>(
    note: &'n mut AuthorityNote,
    name: &DistributionName,
    key: &ServerKey,
) -> &'n mut LogRole {
    let index = note.distributions.iter().position(|role| role.name == *name);
    let index = index.unwrap_or_else(|| {
        let log = LogRole {
            origin: key.id.clone(),
            threshold: 1,
            max_age: DISTRIBUTION_MAX_AGE,
            keys: Vec::new(),
        };
        note.distributions.push(DistributionRole { name: name.clone(), log });
        note.distributions.len() - 1
    });
    &mut note.distributions[index].log
}

fn retire(note: &mut AuthorityNote, retirement: &Retirement) -> Result<ServerKey, AuthorityError> {
    let distributions = note.distributions.iter_mut().map(|distribution| &mut distribution.log);
    let mut logs = distributions.chain([&mut note.collection]);
    let holds = |log: &&mut LogRole| log.keys.iter().any(|key| retirement.names(key));
    let log = logs.find(holds).ok_or_else(|| AuthorityError::NoSuchKey(retirement.id.clone()))?;
    // a theft may turn out to be older than thought: what is retired is meant where nothing else is
    let is_in_use = log.active().any(|key| retirement.names(key));
    let is_meant = |key: &ServerKey| key.until.is_none() == is_in_use && retirement.names(key);
    if log.keys.iter().filter(|key| is_meant(key)).count() > 1 {
        return Err(AuthorityError::SeveralKeys(retirement.id.clone()));
    }
    let left = log.active().count() - usize::from(is_in_use);
    if left < log.threshold as usize {
        return Err(AuthorityError::TooFewLeft {
            id: retirement.id.clone(),
            left,
            threshold: log.threshold,
        });
    }
    let key = log.keys.iter_mut().find(|key| is_meant(key)).expect("found above");
    if key.until == Some(retirement.until) {
        let (id, until) = (retirement.id.clone(), retirement.until);
        return Err(AuthorityError::RetiredAlready { id, until });
    }
    key.until = Some(retirement.until);
    Ok(key.clone())
}

impl Retirement {
    fn names(&self, key: &ServerKey) -> bool {
        key.id == self.id && self.epoch.is_none_or(|epoch| epoch == key.epoch)
    }
}

fn apply(
    note: &mut AuthorityNote,
    change: &NoteChange,
    now: Timestamp,
) -> Result<(), AuthorityError> {
    if let Some(span) = change.valid_for {
        note.expires = now.plus(span.0);
    }
    change_keys(&mut note.authority.keys, &change.add_keys, &change.drop_keys)?;
    change_keys(&mut note.directory.keys, &change.add_directory_keys, &change.drop_directory_keys)?;
    let witness = |vkey: &Vkey| Vkey { kind: SignatureType::Cosignature, ..vkey.clone() };
    let witnesses: Vec<Vkey> = change.add_witnesses.iter().map(witness).collect();
    change_keys(&mut note.witnesses.keys, &witnesses, &change.drop_witnesses)?;
    note.authority.threshold = change.threshold.unwrap_or(note.authority.threshold);
    note.witnesses.quorum = change.quorum.unwrap_or(note.witnesses.quorum);
    change.collection.apply(&mut note.collection);
    if let Some((name, change)) = &change.distribution {
        let role = note.distributions.iter_mut().find(|role| role.name == *name);
        let role = role.ok_or_else(|| AuthorityError::NoSuchDistribution(name.clone()))?;
        change.apply(&mut role.log);
    }
    Ok(())
}

fn change_keys(
    keys: &mut Vec<Vkey>,
    add: &[Vkey],
    drop: &[KeySelector],
) -> Result<(), AuthorityError> {
    for selector in drop {
        match keys.iter().filter(|key| selector.means(key)).count() {
            0 => return Err(AuthorityError::NoSuchKey(selector.name().clone())),
            1 => keys.retain(|key| !selector.means(key)),
            _ => return Err(AuthorityError::SameName(selector.name().clone())),
        }
    }
    keys.extend_from_slice(add);
    Ok(())
}

impl LogChange {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.origin.is_none() && self.threshold.is_none() && self.max_age.is_none()
    }

    fn apply(&self, log: &mut LogRole) {
        if let Some(origin) = &self.origin {
            log.origin = origin.clone();
        }
        log.threshold = self.threshold.unwrap_or(log.threshold);
        log.max_age = self.max_age.unwrap_or(log.max_age);
    }
}
