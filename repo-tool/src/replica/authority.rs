//! Copying the chain of authority notes.

use countersign_format::hash::Hash32;
use countersign_format::layout;
use countersign_format::limits::MAX_AUTHORITY_NOTE;
use countersign_format::policy::{Chain, Clock, check_unexpired};
use countersign_store::authority::{Anchor, AuthorityError, Step, Walk};
use countersign_store::{HttpOptions, Location, Sink as _, Source};

use super::{Replica, ReplicaError};

impl Replica {
    /// Copies every authority note that the copy lacks and the source has, and returns the way
    /// along the chain. A note is kept as soon as it is verified. One that cannot be accepted is
    /// kept once a later one is: whoever reads the copy passes it over in the same way. Until then it
    /// may be anybody's, and what is kept under a number is kept for good.
    ///
    /// The newest accepted note must not have expired by `clock`.
    pub async fn copy_authority(
        &mut self,
        anchor: &Anchor,
        clock: Clock,
    ) -> Result<Walk, ReplicaError> {
        let held = Source::open(&Location::Directory(self.root.clone()), &HttpOptions::default());
        let mut walk = match Walk::begin(&held, anchor).await {
            Err(AuthorityError::NotFound { .. }) => Walk::begin(&self.source, anchor).await?,
            begun => begun?,
        };
        let (version, fingerprint) = (walk.chain().newest().version, walk.chain().fingerprint());
        self.copy_up_to(version, fingerprint).await?;
        while walk.step(&held).await? != Step::End {}
        let source = self.source.clone();
        let mut waiting = Vec::new();
        loop {
            match walk.step(&source).await? {
                Step::End => break,
                // too long to be read at all, and so to be kept
                Step::PassedOver { bytes, .. } if bytes.is_empty() => {}
                Step::PassedOver { version, bytes } => waiting.push((version, bytes)),
                Step::Accepted { version, bytes } => {
                    waiting.push((version, bytes));
                    for (version, bytes) in waiting.drain(..) {
                        self.keep_authority(version, &bytes)?;
                    }
                }
            }
        }
        self.writer.sync()?;
        let newest = walk.chain().newest();
        check_unexpired(newest, layout::authority(newest.version).as_str(), clock)?;
        Ok(walk)
    }

    /// Copies the notes up to the one that is trusted, for those who trust an earlier one: each
    /// follows the one before, and they lead to that one.
    async fn copy_up_to(&mut self, last: u64, fingerprint: Hash32) -> Result<(), ReplicaError> {
        let path = layout::authority(last);
        if self.writer.size(&path)?.is_some() {
            return Ok(());
        }
        let first = layout::authority(1);
        let bytes = self.get_required(&first, MAX_AUTHORITY_NOTE).await?;
        let mut walk = Walk::after(Chain::enroll(&bytes, first.as_str())?);
        let mut notes = vec![(1, bytes)];
        while notes.last().is_some_and(|(version, _)| *version < last) {
            match walk.step(&self.source).await? {
                Step::End => break,
                Step::Accepted { version, bytes } | Step::PassedOver { version, bytes } => {
                    notes.push((version, bytes));
                }
            }
        }
        if walk.chain().fingerprint() != fingerprint {
            let source_name = self.source.name().to_owned();
            return Err(ReplicaError::OtherAnchor { source_name, version: last });
        }
        // the trusted one last: it says that those before it are there
        for (version, bytes) in notes {
            if version == last {
                self.writer.sync()?;
            }
            self.keep_authority(version, &bytes)?;
        }
        self.writer.sync()?;
        Ok(())
    }

    fn keep_authority(&mut self, version: u64, bytes: &[u8]) -> Result<(), ReplicaError> {
        self.writer.put_immutable(&layout::authority(version), bytes)?;
        Ok(())
    }
}
