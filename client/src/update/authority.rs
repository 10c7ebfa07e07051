//! Following the chain of authority notes.

use countersign_format::layout;
use countersign_format::limits::{MAX_AUTHORITY_NOTE, MAX_PASSED_OVER};
use countersign_store::{Get, Got, Source};

use super::error::{self, AttemptError};
use super::Attempt;

impl Attempt<'_, '_> {
    /// Takes every authority note that follows, `next` being the answer for the first one. Each is
    /// kept as soon as it verifies. One that does not is passed over and named.
    pub(super) async fn walk(
        &mut self,
        server: &Source,
        next: Got,
    ) -> Result<(), AttemptError> {
        let mut version = self.trust.authority().version + 1;
        let mut got = next;
        let mut passed_over = Vec::new();
        while let Got::Whole { bytes, .. } = &got {
            let path = layout::authority(version);
            match self.trust.chain().follow(bytes, path.as_str(), version) {
                Ok(chain) => {
                    self.updater.database.accept_authority(self.trust.id(), version, bytes)?;
                    self.trust.take(chain);
                    self.passed_over.append(&mut passed_over);
                }
                Err(refusal) => passed_over.push((version, error::chain(&refusal))),
            }
            if passed_over.len() as u64 >= MAX_PASSED_OVER {
                break;
            }
            version += 1;
            let request = Get::up_to(MAX_AUTHORITY_NOTE as u64);
            got = server.get(&layout::authority(version), &request).await?;
        }
        self.passed_over.append(&mut passed_over);
        Ok(())
    }
}
