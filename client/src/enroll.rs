//! Binding a machine to a repository: from then on it believes what the authority note says that it
//! was given, and nobody else.

use countersign_format::authority::AuthorityNote;
use countersign_format::policy::{Chain, PolicyError};
use countersign_format::text::{DistributionName, RingName};
use countersign_format::time::Timestamp;
use countersign_store::authority::{Anchor, AuthorityError, find};
use countersign_store::crash::crash_point;
use countersign_store::{HttpOptions, Location, Mirrors, Source};

use crate::config::{ConfigError, SourceConfig, SourceName, SourceNetwork};
use crate::db::DatabaseError;
use crate::db::source::NewSource;
use crate::first_boot::{self, FirstBootError};
use crate::machine;
use crate::places::Places;
use crate::report::Reporter;
use crate::state::State;
use crate::update::{UpdateError, Updated, Updater};

/// What a machine is to be bound to.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// Where the repository is.
    pub url: Location,
    /// The authority note, or its hash, had by another way than from the repository.
    pub anchor: Anchor,
    /// Whose word counts; the only distribution there is unless it is named.
    pub distribution: Option<DistributionName>,
    /// The ring that the machine is in.
    pub ring: RingName,
    /// What the source is called on this machine; after the authority unless it is named.
    pub name: Option<SourceName>,
    /// The source's priority.
    pub priority: u16,
    /// How the source's servers are talked to.
    pub network: SourceNetwork,
    /// Whether the first update is left for later.
    pub offline: bool,
}

/// An enrolment that is checked as far as can be without the state.
#[derive(Debug, Clone)]
pub struct CheckedEnrolment {
    /// What the source's file will say.
    pub config: SourceConfig,
    /// The name of the authority.
    pub authority: String,
    /// The version of its note that trust begins with.
    pub version: u64,
    note: Vec<u8>,
    offline: bool,
}

/// Why a machine is not bound.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The authority note is not to be had or does not verify.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The authority note does not verify.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A note is looked for by its hash, and there is no network to look for it.
    #[error("the authority note is only known by its hash, and --offline forbids looking for it")]
    Offline,
    /// The authority lists no such distribution.
    #[error("the authority lists no distribution {name}, but {}", list(listed))]
    NoDistribution {
        /// What was asked for.
        name: DistributionName,
        /// What there is.
        listed: Vec<DistributionName>,
    },
    /// The authority lists several distributions, and none was named.
    #[error("the authority lists several distributions: {}", list(.0))]
    WhichDistribution(Vec<DistributionName>),
    /// There is a source of that name already.
    #[error("this machine is enrolled with a source {0} already")]
    Taken(SourceName),
    /// The settings cannot be read or written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No random numbers.
    #[error("no random numbers for this machine's identity")]
    Random(#[source] getrandom::Error),
    /// The state database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The first update failed; the machine is not bound.
    #[error("the first update failed, so this machine is not enrolled")]
    Update(#[source] UpdateError),
}

fn list(names: &[DistributionName]) -> String {
    let names: Vec<_> = names.iter().map(DistributionName::as_str).collect();
    if names.is_empty() { "none at all".into() } else { names.join(", ") }
}

impl Enrolment {
    /// Finds the authority note, verifies that it is signed by its own threshold, and settles
    /// what is not said.
    pub async fn check(
        self,
        places: &Places,
        http: &HttpOptions,
    ) -> Result<CheckedEnrolment, EnrollError> {
        let (note, file) = match self.anchor {
            Anchor::Note { bytes, file } => (bytes, file),
            Anchor::Fingerprint(_) if self.offline => return Err(EnrollError::Offline),
            Anchor::Fingerprint(wanted) => {
                let options = self.network.http(http, &self.url, &self.url);
                let (version, bytes) = find(&Source::open(&self.url, &options), &wanted).await?;
                (bytes, format!("authority/{version}"))
            }
        };
        let chain = Chain::enroll(&note, &file)?;
        let authority: &AuthorityNote = chain.newest();
        let config = SourceConfig {
            name: self.name.unwrap_or_else(|| usual_name(authority)),
            url: self.url,
            authority: chain.fingerprint(),
            distribution: choose(self.distribution, authority)?,
            ring: self.ring,
            priority: self.priority,
            network: self.network,
        };
        if SourceConfig::read_all(places)?.iter().any(|other| other.name == config.name) {
            return Err(EnrollError::Taken(config.name));
        }
        let (authority, version) = (authority.name.to_string(), authority.version);
        Ok(CheckedEnrolment { config, authority, version, note, offline: self.offline })
    }
}

impl CheckedEnrolment {
    /// Puts the enrolment into a machine image, for each machine made from it to do it at its first
    /// boot. Nothing is fetched.
    pub fn prepare_image(&self, places: &Places) -> Result<(), FirstBootError> {
        first_boot::prepare(places, &self.config, &self.note)
    }

    /// Binds the machine: the source is taken into the state, updated for the first time, and its
    /// file is written. If the update fails nothing of it stays.
    pub async fn enroll(
        &self,
        state: &mut State,
        places: &Places,
        http: &HttpOptions,
        now: Timestamp,
        reporter: &mut dyn Reporter,
    ) -> Result<Option<Updated>, EnrollError> {
        let SourceConfig { name, distribution, authority, .. } = &self.config;
        let machine = machine::new_id().map_err(EnrollError::Random)?;
        let others: Vec<SourceName> =
            SourceConfig::read_all(places)?.into_iter().map(|other| other.name).collect();
        // another process may have enrolled while this one waited for the state
        if others.contains(name) {
            return Err(EnrollError::Taken(name.clone()));
        }
        let database = &mut state.database;
        let new = NewSource {
            name,
            distribution,
            anchor: *authority,
            version: self.version,
            note: &self.note,
            machine: &machine,
        };
        let enrolled = database.enroll(&new, &others)?;
        crash_point("enroll.state");
        if self.offline {
            self.config.write(places)?;
            return Ok(None);
        }
        let url = &self.config.url;
        let mirrors = Mirrors::new(vec![Source::open(url, &self.config.http(http, url))]);
        let config = &self.config;
        let updated = Updater { database, places, config, now }.run(&mirrors, reporter).await;
        let written = updated.map_err(EnrollError::Update).and_then(|updated| {
            crash_point("enroll.updated");
            Ok(self.config.write(places).map(|()| updated)?)
        });
        // what was known before is no more wrong for it
        if written.is_err() && !enrolled.is_known {
            state.database.forget_source(enrolled.id)?;
        }
        written.map(Some)
    }
}

/// The authority's name without its last part: `patches.example.org/authority` is the source
/// `patches.example.org`.
fn usual_name(authority: &AuthorityNote) -> SourceName {
    let name = authority.name.as_str();
    SourceName::resembling(name.rsplit_once('/').map_or(name, |(before, _)| before))
}

fn choose(
    named: Option<DistributionName>,
    authority: &AuthorityNote,
) -> Result<DistributionName, EnrollError> {
    let listed = || authority.distributions.iter().map(|role| role.name.clone()).collect();
    match (named, authority.distributions.as_slice()) {
        (Some(name), _) if authority.distribution(&name).is_some() => Ok(name),
        (Some(name), _) => Err(EnrollError::NoDistribution { name, listed: listed() }),
        (None, [only]) => Ok(only.name.clone()),
        (None, _) => Err(EnrollError::WhichDistribution(listed())),
    }
}
