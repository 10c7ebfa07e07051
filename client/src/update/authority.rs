//! Following the chain of authority notes.

use countersign_store::Source;
use countersign_store::authority::{AuthorityError, Step, Walk};
use countersign_store::crash::crash_point;

use super::Attempt;
use super::error::AttemptError;

impl Attempt<'_, '_> {
    /// Takes every authority note that follows, `first` being the step that was made side by side
    /// with other requests. Each is kept as soon as it verifies.
    pub(super) async fn take_authority(
        &mut self,
        server: &Source,
        mut walk: Walk,
        first: Result<Step, AuthorityError>,
    ) -> Result<(), AttemptError> {
        let mut step = first?;
        while step != Step::End {
            if let Step::Accepted { version, bytes } = &step {
                crash_point("update.chain");
                self.updater.database.accept_authority(self.trust.id(), *version, bytes)?;
                crash_point("update.authority");
                self.trust.take(walk.chain().clone());
            }
            step = walk.step(server).await?;
        }
        self.passed_over = walk.passed_over().to_vec();
        Ok(())
    }
}
