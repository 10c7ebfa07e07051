//! What is published: found by the index, read from the log.

use std::path::PathBuf;

use countersign_format::hash::Hash32;
use countersign_format::layout::{self, Log};
use countersign_format::name::PatchName;

use super::add::read_manifest;
use super::{Collection, CollectionError};
use crate::catalogue::{Catalogue, Patch};
use crate::index::PatchIndex;
use crate::patch_selector::PatchSelector;
use crate::publish::{PublishError, read_head};

impl Collection {
    /// The published patches that `selector` means.
    pub fn select_published(
        &self,
        selector: &PatchSelector,
    ) -> Result<Vec<Patch>, CollectionError> {
        let mut found = self.published_index()?.named(&selector.name, &selector.version)?;
        found.retain(|patch| selector.admits(&patch.entry.platform, patch.entry.base.as_ref()));
        Ok(found)
    }

    /// All published patches.
    pub fn published(&self) -> Result<Vec<Patch>, CollectionError> {
        let sink = self.public_sink();
        let size = read_head(&sink, Log::Collection)?.map_or(0, |head| head.size);
        Ok(Catalogue::read(&sink, size)?.patches().cloned().collect())
    }

    /// The archive of a published patch.
    pub fn published_archive(&self, patch: &Patch) -> PathBuf {
        self.directory.public().join(layout::archive(&patch.entry.archive.sha256))
    }

    /// All published patches of one component.
    pub(super) fn published_of(&self, name: &PatchName) -> Result<Vec<Patch>, CollectionError> {
        Ok(self.published_index()?.of_name(name)?)
    }

    /// The tree that a published patch leads to.
    pub(super) fn published_tree(&self, patch: &Patch) -> Result<Hash32, CollectionError> {
        Ok(read_manifest(&self.published_archive(patch))?.tree)
    }

    /// Where the log says what.
    pub(super) fn published_index(&self) -> Result<PatchIndex, PublishError> {
        PatchIndex::open(&self.directory.state(), self.public_sink())
    }
}
