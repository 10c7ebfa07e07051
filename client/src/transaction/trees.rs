//! Directories that are not there and come whole: all that is for them is staged as it will lie in
//! them, and one rename puts a directory in place with everything below it.
//!
//! Archives are staged before it is known what becomes of each file. Where that was guessed wrong,
//! files are moved within staging, and what does not belong into a tree is taken out of it: it then
//! holds exactly what the journal says.

use std::collections::HashMap;

use countersign_format::relpath::RelPath;

use super::decide::Decision;
use super::facts::Decided;
use super::goal::{Source, Want};
use super::unpack::StagedFile;
use super::{PrepareError, Prepared};
use crate::object::Kind;
use crate::root::DirPath;
use crate::stage::{self, Spot, StageError};

/// The directories that steps create.
#[derive(Debug, Default)]
pub(super) struct Trees {
    tops: Vec<Top>,
    /// With which of the topmost each directory comes.
    directories: HashMap<RelPath, usize>,
}

/// A directory that is created in one that is there, and the slot that holds it with all in it.
#[derive(Debug)]
struct Top {
    path: RelPath,
    area: usize,
    slot: u64,
}

/// Where what a step creates lies staged.
#[derive(Debug)]
pub(super) struct Berth {
    pub area: usize,
    pub spot: Spot,
    /// Whether it comes with a directory above it.
    pub is_within: bool,
}

impl Trees {
    /// Where to stage what is created at a path; none where that is a slot of its own.
    pub fn berth(&self, path: &RelPath) -> Option<Berth> {
        let above = || self.directories.get(DirPath::of(path).as_path()?);
        let top = &self.tops[*self.directories.get(path).or_else(above)?];
        let is_within = top.path != *path;
        let spot = Spot::in_tree(top.slot, &top.path, path);
        Some(Berth { area: top.area, spot, is_within })
    }
}

/// What is created by a decision.
fn created(decided: &Decided) -> Option<&Want> {
    decided.goal.want.as_ref().filter(|_| decided.decision == Decision::Create)
}

fn is_directory(want: &Want) -> bool {
    want.expected.kind() == Kind::Directory
}

impl Prepared<'_> {
    /// Finds the directories that come whole, and makes sure that no more is staged in them than
    /// belongs there.
    pub(super) fn find_trees(&mut self, decided: &mut [Decided]) -> Result<Trees, PrepareError> {
        let mut trees = Trees::default();
        for decided in &*decided {
            let path = &decided.goal.path;
            if !created(decided).is_some_and(is_directory) {
                continue;
            }
            let above = DirPath::of(path);
            let known = above.as_path().and_then(|above| trees.directories.get(above)).copied();
            let top = if let Some(known) = known {
                known
            } else {
                let area = self.area_of(&above)?;
                let slot = self.areas.tree(area, path);
                trees.tops.push(Top { path: path.clone(), area, slot });
                trees.tops.len() - 1
            };
            trees.directories.insert(path.clone(), top);
        }
        for decided in &mut *decided {
            self.take_out(decided, &trees)?;
        }
        self.weed(decided, &trees)?;
        Ok(trees)
    }

    /// Moves a file that lies in a tree in which it does not belong to a slot of its own.
    fn take_out(&mut self, decided: &mut Decided, trees: &Trees) -> Result<(), PrepareError> {
        let creates = decided.decision == Decision::Create;
        let Decided { goal, .. } = decided;
        let Some(Want { source: Source::Staged(staged), .. }) = &mut goal.want else {
            return Ok(());
        };
        let berth = trees.berth(&goal.path).filter(|_| creates);
        let is_there = berth.is_some_and(|berth| (berth.area, &berth.spot) == staged.place());
        if is_there || staged.spot.below.is_none() {
            return Ok(());
        }
        let spot = Spot::from(self.areas.slot());
        staged
            .spot
            .move_to(&spot, self.areas.get(staged.area))
            .map_err(|source| StageError::Object { path: goal.path.to_string(), source })?;
        staged.spot = spot;
        Ok(())
    }

    fn weed(&self, decided: &[Decided], trees: &Trees) -> Result<(), PrepareError> {
        let belongs: HashMap<&str, bool> = decided
            .iter()
            .filter_map(|decided| {
                let want = created(decided)?;
                Some((decided.goal.path.as_str(), is_directory(want)))
            })
            .collect();
        for Top { path, area, slot } in &trees.tops {
            stage::weed(self.areas.get(*area), *slot, path, |path| belongs.get(path).copied())
                .map_err(|source| StageError::Object { path: path.to_string(), source })?;
        }
        Ok(())
    }
}

impl StagedFile {
    /// The area and the spot in it.
    pub fn place(&self) -> (usize, &Spot) {
        (self.area, &self.spot)
    }
}
