//! The order of steps: what is required comes first.

use std::collections::BTreeSet;

use super::Step;

/// Sorts steps so that what others require comes before them, ties by name. What requires each other
/// in a circle is in the order of names.
pub(super) fn in_order(mut steps: Vec<Step>) -> Vec<Step> {
    steps.sort_by(|one, other| one.name.cmp(&other.name));
    let needs: Vec<BTreeSet<usize>> = (0..steps.len()).map(|at| reach(&steps, at)).collect();
    let is_before =
        |first: usize, then: usize| needs[then].contains(&first) && !needs[first].contains(&then);
    let mut left: Vec<usize> = (0..steps.len()).collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let is_next = |then: &usize| !left.iter().any(|first| is_before(*first, *then));
        let next = left.iter().position(is_next).expect("being before is no circle");
        order.push(left.remove(next));
    }
    let mut steps: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| steps[at].take()).collect()
}

/// The steps that one requires, and those that these require.
fn reach(steps: &[Step], from: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut queue = vec![from];
    while let Some(at) = queue.pop() {
        for needed in steps[at].links.last().iter().flat_map(|link| link.entry().requires.keys()) {
            let found = steps.binary_search_by(|step| step.name.cmp(needed));
            if let Ok(found) = found
                && reached.insert(found)
            {
                queue.push(found);
            }
        }
    }
    reached
}
