//! The same news with other programs: one more in a repository that has so many.

use std::cell::Cell;

use crate::Options;
use crate::measure::{Measured, Workshop, measure};
use crate::peers::{Keeper, first_new, has, item, keepers, kept};
use crate::publish::AT_MOST;
use crate::table::Table;

/// Prints a table for each size at which the others are measured, with what we took in its first row.
pub fn run(workshop: &Workshop, options: &Options, ours: &[(u64, Measured)]) {
    for &(size, ours) in ours.iter().filter(|(size, _)| *size <= AT_MOST) {
        let mut table = Table::new(format!("publish one more, {size} entries"));
        table.row("patchrepo, all five commands", ours);
        for keeper in keepers(options) {
            table.row(&keeper.name(), add_one(workshop, options, &*keeper, size));
        }
        table.print();
    }
}

fn add_one(workshop: &Workshop, options: &Options, keeper: &dyn Keeper, size: u64) -> Measured {
    let place = kept(workshop, keeper, size);
    let next = Cell::new(first_new(keeper, &place, size));
    let prepare = || next.set(next.get() + 1);
    let item = || item(next.get() - 1);
    let command = || keeper.add(&place, &[item()]);
    measure(options.runs, prepare, command, || {
        assert!(has(keeper, &place, &item()), "{} has not published it", keeper.name());
    })
}
