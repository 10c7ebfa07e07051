//! Looking at the heads that a server has, before they are cosigned.

use countersign_format::authority::{AuthorityNote, DistributionRole};
use countersign_format::checkpoint::Checkpoint;
use countersign_format::hash::Hash32;
use countersign_format::key::{SignatureType, Vkey};
use countersign_format::layout::{self, Log};
use countersign_format::limits::MAX_NOTE;
use countersign_format::note::Note;
use countersign_format::policy::{CheckpointContext, Clock, Counted, verify_first_checkpoint};
use countersign_format::time::Timestamp;
use countersign_store::follow::{FollowError, Held, LogReader};

use super::WitnessError;
use super::record::Witnessed;
use crate::publish::SignedHead;
use crate::replica::{Fork, Replica, ReplicaError, newest_times, time_of};
use crate::role_dir::RoleDir;

/// A head that a server has, signed by the log's own keys.
#[derive(Clone, Debug)]
pub struct Found {
    source_name: String,
    log: Log,
    bytes: Vec<u8>,
    checkpoint: Checkpoint,
    note: Note,
    signers: String,
}

/// What heads are looked at with.
pub(super) struct Look<'a> {
    pub(super) directory: &'a RoleDir,
    pub(super) replica: &'a Replica,
    pub(super) authority: &'a AuthorityNote,
    pub(super) distribution: &'a DistributionRole,
    pub(super) now: Timestamp,
    /// The witness's own key.
    pub(super) key: &'a Vkey,
    /// A person says that the published heads are the newest that were ever cosigned here.
    pub(super) adopts: bool,
    /// Heads whose entries, as other servers gave them, do not lead to their roots.
    pub(super) unproven: &'a [Found],
}

impl Look<'_> {
    /// Fetches a log's head, checks that it is signed and extends the one that was cosigned last,
    /// and returns what is to be recorded before it is cosigned.
    pub(super) async fn at(&self, log: Log) -> Result<Witnessed, WitnessError> {
        let origin = &self.authority.log_role(log, self.distribution).origin;
        let held = Witnessed::load(self.directory, origin)?;
        let found = self.find(log, &held).await?;
        if !self.adopts {
            self.check_record(log, &held, &found).await?;
        }
        self.replica
            .check_forward(log, &held.head.checkpoint(), &found.checkpoint)
            .or_else(|error| self.keep_fork(&held.note, &found, error))?;
        let reached = self.follow(&held, &found).await?;
        let time = held.time(self.now)?;
        let text = String::from_utf8_lossy(&found.note.to_bytes()).into_owned();
        Ok(Witnessed::new(SignedHead::new(&found.checkpoint, time), &reached, text))
    }

    /// The head that the server has, signed by the log's own keys.
    async fn find(&self, log: Log, held: &Witnessed) -> Result<Found, WitnessError> {
        let note = Note::parse(held.note.as_bytes(), MAX_NOTE).ok();
        let newest = note.map(|note| newest_times(&note, self.authority, self.distribution));
        let newest = newest.unwrap_or_default();
        let found = read_signed(self.replica, log, |file, bytes| {
            let context = CheckpointContext {
                file,
                log,
                authority: self.authority,
                distribution: self.distribution,
                clock: Clock::local(self.now),
                newest: &newest,
            };
            let signed = verify_first_checkpoint(&bytes, &context)?;
            let (checkpoint, note) = (signed.checkpoint.clone(), signed.note.clone());
            let (source_name, signers) = (self.source_name(), names(&signed.counted));
            Ok(Found { source_name, log, bytes, checkpoint, note, signers })
        });
        Ok(found.await?)
    }

    /// Refuses to go on from a record that is behind what this witness itself has signed: it was
    /// restored from a backup, and nobody knows what else was cosigned since.
    async fn check_record(
        &self,
        log: Log,
        held: &Witnessed,
        found: &Found,
    ) -> Result<(), WitnessError> {
        let published = self.replica.get(&layout::checkpoint(log), MAX_NOTE).await?;
        let published = published.and_then(|bytes| Note::parse(&bytes, MAX_NOTE).ok());
        for note in published.iter().chain([&found.note]) {
            let Ok(signed) = Checkpoint::parse(note.text()) else { continue };
            let own =
                note.signatures().iter().filter_map(|line| time_of(note.text(), line, self.key));
            let Some(time) = own.max().filter(|_| signed.origin == held.head.origin) else {
                continue;
            };
            if signed.size > held.head.size || time > held.head.time {
                let (origin, recorded, signed) = (signed.origin, held.head.size, signed.size);
                let since = held.head.time;
                return Err(WitnessError::Behind { origin, signed, time, recorded, since });
            }
        }
        Ok(())
    }

    /// Folds the entries between into what is held. They are a server's: where they do not lead to
    /// the signed root, that proves nothing about the head.
    async fn follow(&self, held: &Witnessed, found: &Found) -> Result<Held, WitnessError> {
        let reader = LogReader::new(self.replica.source(), found.log);
        match self.follow_with(&reader, held, found).await? {
            // packs are trusted for nothing, and say nothing against a head
            Err(error) if error.may_be_packs() => {
                self.follow_with(&reader.packs(false), held, found).await?
            }
            followed => followed,
        }
        .or_else(|error| match error {
            FollowError::Root { .. } => self.keep_unproven(found, error),
            error => Err(ReplicaError::from(error).into()),
        })
    }

    async fn follow_with(
        &self,
        reader: &LogReader<'_>,
        held: &Witnessed,
        found: &Found,
    ) -> Result<Result<Held, FollowError>, WitnessError> {
        let from = held.held();
        let mut frontier = from.frontier.clone();
        let mut contradicted = None;
        let mut take = |_, _: &[u8], leaf: &Hash32| {
            frontier.push(*leaf);
            let (size, root) = (frontier.size(), frontier.root());
            let is_other = |other: &&Found| {
                let Checkpoint { origin, size: at, root: its } = &other.checkpoint;
                *origin == found.checkpoint.origin && *at == size && *its != root
            };
            let other = self.unproven.iter().find(is_other);
            contradicted = contradicted.take().or(other.map(|other| (other, root)));
            Ok(())
        };
        let followed = reader.follow(&from, &found.checkpoint, &mut take).await;
        let Some((other, named)) = contradicted.filter(|_| followed.is_ok()) else {
            return Ok(followed);
        };
        let Found { source_name, log, checkpoint, .. } = other.clone();
        let fork = Fork {
            source_name,
            log,
            size: checkpoint.size,
            found: checkpoint.root,
            named,
            other: format!("the head at {}", found.source_name),
        };
        let theirs = String::from_utf8_lossy(&found.bytes);
        self.keep_fork(&theirs, other, ReplicaError::Fork(Box::new(fork)))
    }

    /// Keeps two statements that contradict each other, if that is what `error` says.
    fn keep_fork<T>(
        &self,
        held: &str,
        found: &Found,
        error: ReplicaError,
    ) -> Result<T, WitnessError> {
        if error.is_fork() {
            let size = found.checkpoint.size;
            self.replica.keep_contradiction(found.log, size, held.as_bytes(), &found.bytes)?;
            let evidence = self.replica.evidence();
            return Err(WitnessError::Fork { source: Box::new(error), evidence });
        }
        Err(error.into())
    }

    /// Keeps a signed head whose entries lead elsewhere, for who looks into it.
    fn keep_unproven<T>(&self, found: &Found, error: FollowError) -> Result<T, WitnessError> {
        let name = format!("{}-{}-unproven", found.log, found.checkpoint.size);
        self.replica.keep_evidence(&[(name.clone(), &found.bytes)])?;
        Err(WitnessError::Unproven {
            found: Box::new(found.clone()),
            source: Box::new(error),
            kept: self.replica.evidence().join(name),
        })
    }

    fn source_name(&self) -> String {
        self.replica.source().name().to_owned()
    }
}

impl Found {
    /// What is known of it, and from where.
    pub(super) fn describe(&self) -> String {
        let Self { source_name, log, checkpoint, signers, .. } = self;
        let size = checkpoint.size;
        format!("{source_name}: the {log} log's head of {size} entries, which {signers} signed,")
    }
}

/// Whose signatures counted.
fn names(counted: &[Counted]) -> String {
    let timed = counted.iter().filter(|line| line.form == SignatureType::Cosignature);
    timed.map(|line| line.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Which distribution's repository it is: the one whose log's head lies there.
pub(super) async fn read_distribution<'a>(
    replica: &Replica,
    authority: &'a AuthorityNote,
) -> Result<&'a DistributionRole, WitnessError> {
    let found = read_signed(replica, Log::Distribution, |_, bytes| Ok(bytes)).await?;
    let note = Note::parse(&found, MAX_NOTE).ok();
    let origin = note.and_then(|note| Checkpoint::parse(note.text()).ok()).map(|head| head.origin);
    let listed = authority.distributions.iter();
    let role = listed.into_iter().find(|role| Some(&role.log.origin) == origin.as_ref());
    role.ok_or_else(|| {
        let source = replica.source().name().to_owned();
        let origin = origin.map_or_else(|| "nothing".to_owned(), |origin| origin.to_string());
        WitnessError::OtherOrigin { source_name: source, origin }
    })
}

/// Reads the head that waits for witnesses, or else the published one, and has it judged.
async fn read_signed<T>(
    replica: &Replica,
    log: Log,
    judge: impl Fn(&str, Vec<u8>) -> Result<T, ReplicaError>,
) -> Result<T, ReplicaError> {
    let candidate = layout::candidate(log);
    let (path, bytes) = if let Some(bytes) = replica.get(&candidate, MAX_NOTE).await? {
        (candidate, bytes)
    } else {
        let path = layout::checkpoint(log);
        let bytes = replica.get_required(&path, MAX_NOTE).await?;
        (path, bytes)
    };
    let name = replica.source().name().trim_end_matches('/');
    judge(&format!("{name}/{path}"), bytes)
}
