//! Which server of a repository is asked first: what the directory says of them, seen from this
//! machine (SPEC §6).

use countersign_format::directory::ServerUrl;
use countersign_format::hash::Hash32;
use countersign_format::text::RegionName;

/// The URLs of a directory in the order in which `machine`, which is in `region`, tries them: those
/// of its region before the others; of each, those with a weight before those without, which keep
/// the directory's order.
///
/// Among those with a weight each machine draws its own order, in which a URL is first as often as
/// its weight's share says. A draw depends on nothing but the machine and the URL, so the order is
/// the same at every start, and a URL that comes or goes leaves the others as they were.
pub fn order<'u>(
    urls: &'u [ServerUrl],
    region: Option<&RegionName>,
    machine: &str,
) -> Vec<&'u ServerUrl> {
    let mut ordered: Vec<_> = urls.iter().collect();
    let key = |one: &ServerUrl| {
        let is_elsewhere = region.is_none() || one.region.as_ref() != region;
        (is_elsewhere, one.weight.is_none(), draw(one, machine))
    };
    ordered.sort_by(|one, other| {
        let ((far, last, drawn), (other_far, other_last, other_drawn)) = (key(one), key(other));
        (far, last).cmp(&(other_far, other_last)).then(drawn.total_cmp(&other_drawn))
    });
    ordered
}

/// How long the machine would wait for the URL if each arrived at random at the rate of its weight:
/// the first to arrive is any of them by its share. Zero without a weight.
fn draw(one: &ServerUrl, machine: &str) -> f64 {
    let Some(weight) = one.weight else { return 0.0 };
    let Hash32(hash) = Hash32::of(format!("{machine}\n{}", one.url).as_bytes());
    let bits = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    // within 0 and 1, and neither
    let chance = (f64::from(bits) + 0.5) / (f64::from(u32::MAX) + 1.0);
    -chance.ln() / f64::from(weight.get())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU16;

    use super::*;

    fn url(url: &str, weight: u16, region: &str) -> ServerUrl {
        let region = (!region.is_empty()).then(|| region.parse().expect("a region"));
        ServerUrl { url: url.into(), weight: NonZeroU16::new(weight), region }
    }

    fn names<'u>(urls: &'u [ServerUrl], region: &str, machine: &str) -> Vec<&'u str> {
        let region = (!region.is_empty()).then(|| region.parse().expect("a region"));
        order(urls, region.as_ref(), machine).iter().map(|one| one.url.as_str()).collect()
    }

    /// How many of 10,000 machines have each URL at `place`.
    fn shares(urls: &[ServerUrl], place: usize) -> BTreeMap<&str, u32> {
        let mut shares = BTreeMap::new();
        for machine in 0..10_000_u32 {
            let machine = format!("{:032x}", u128::from(machine) * 0x9e37_79b9_7f4a_7c15);
            *shares.entry(names(urls, "", &machine)[place]).or_default() += 1;
        }
        shares
    }

    #[test]
    fn machines_spread_by_weight() {
        let urls = [url("a", 10, ""), url("b", 30, ""), url("c", 60, ""), url("d", 0, "")];
        // five standard deviations of 10,000 draws are below 250
        let first = shares(&urls, 0);
        for (name, expected) in [("a", 1_000), ("b", 3_000), ("c", 6_000)] {
            let found = first[name];
            assert!(u32::abs_diff(found, expected) < 250, "{name}: {found}");
        }
        assert_eq!(first.get("d"), None);
        assert_eq!(shares(&urls, 3), [("d", 10_000)].into());
        // where c fails, those it leaves spread by their weights too: 3/40 + 6/10 * 1/4 …
        let without = shares(&urls[..2], 0);
        assert!(u32::abs_diff(without["a"], 2_500) < 250, "{without:?}");
    }

    #[test]
    fn a_machine_keeps_its_order_whatever_else_is_listed() {
        let urls: Vec<_> = (1..=16).map(|n| url(&format!("https://m{n}/"), 5 * n, "")).collect();
        for machine in ["00", "5f", "c3"] {
            let all = names(&urls, "", machine);
            assert_eq!(all, names(&urls, "", machine));
            let mut kept = all.clone();
            kept.retain(|name| *name != "https://m7/");
            let fewer: Vec<_> =
                urls.iter().filter(|one| one.url != "https://m7/").cloned().collect();
            assert_eq!(names(&fewer, "", machine), kept);
        }
        assert_ne!(names(&urls, "", "00"), names(&urls, "", "5f"));
    }

    #[test]
    fn the_own_region_comes_first_and_the_order_of_the_note_holds_without_weights() {
        let urls = [url("far", 60_000, "us"), url("any", 0, ""), url("near", 1, "eu")];
        let urls = [&urls[..], &[url("near too", 0, "eu"), url("last", 0, "us")]].concat();
        assert_eq!(names(&urls, "eu", "1"), ["near", "near too", "far", "any", "last"]);
        assert_eq!(names(&urls, "asia", "1"), names(&urls, "", "1"));
        assert_eq!(names(&urls, "us", "1"), ["far", "last", "near", "any", "near too"]);
        let plain: Vec<_> = ["c", "a", "b"].map(|name| url(name, 0, "")).to_vec();
        assert_eq!(names(&plain, "", "1"), ["c", "a", "b"]);
    }
}
