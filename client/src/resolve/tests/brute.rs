//! Random small worlds, compared with trying out everything.

use super::*;
use countersign_format::name::Requirement;

/// Numbers from a fixed seed (xorshift).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// What is there: a version a name.
type Set = BTreeMap<PatchName, PatchVersion>;
/// What versions ask for: the other name, in which versions, whether these have to be there.
type Asked = Vec<(PatchName, Requirement, bool)>;

/// A world and the same once more in the plainest form.
struct Case {
    world: World,
    installed: Set,
    candidates: BTreeMap<PatchName, Vec<PatchVersion>>,
    asked: BTreeMap<(PatchName, PatchVersion), Asked>,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let (mut offers, mut installed) = (Vec::new(), Vec::new());
        for name in NAMES {
            let here = dice.below(2) * (1 + dice.below(3));
            for major in 1..=3 {
                let mut text = format!("{name} {major}.0.0");
                for other in NAMES.iter().filter(|other| **other != name) {
                    let word = match dice.below(8) {
                        0 | 1 => "needs",
                        2 if dice.below(2) == 0 => "refuses",
                        _ => continue,
                    };
                    let requirement = match dice.below(4) {
                        0 => "*".into(),
                        1 => format!(">={}", 1 + dice.below(3)),
                        _ => format!("^{}", 1 + dice.below(3)),
                    };
                    text = format!("{text} | {word} {other} {requirement}");
                }
                if major == here {
                    installed.push(text.clone());
                }
                if dice.below(5) == 0 {
                    text += " | unreleased";
                }
                offers.push(text);
            }
        }
        let texts = |texts: &[String]| texts.iter().map(|text| offer(text)).collect::<Vec<_>>();
        let strings: Vec<&str> = offers.iter().map(String::as_str).collect();
        let here: Vec<&str> = installed.iter().map(String::as_str).collect();
        let mut case = Self {
            world: World::new(&strings).having(&here),
            installed: Set::new(),
            candidates: BTreeMap::new(),
            asked: BTreeMap::new(),
        };
        for is in texts(&installed) {
            case.installed.insert(is.entry().name.clone(), is.version().clone());
        }
        for is in texts(&offers) {
            let entry = is.entry();
            let installed = case.installed.get(&entry.name);
            if installed == Some(&entry.version)
                || is.is_open() && installed.is_none_or(|installed| entry.version > *installed)
            {
                let candidates = case.candidates.entry(entry.name.clone()).or_default();
                candidates.push(entry.version.clone());
            }
            let needs = entry.requires.iter().map(|(name, asked)| (name, asked, true));
            let refuses = entry.conflicts.iter().map(|(name, asked)| (name, asked, false));
            let all = needs.chain(refuses);
            let all = all.map(|(name, asked, must)| (name.clone(), asked.clone(), must));
            case.asked.insert((entry.name.clone(), entry.version.clone()), all.collect());
        }
        case
    }

    /// Whether all that is there gets what it asks for, apart from what it did not get before.
    fn is_sound(&self, set: &Set) -> bool {
        let gets = |set: &Set, (name, asked, must): &(PatchName, Requirement, bool)| {
            set.get(name).is_some_and(|version| asked.matches(version)) == *must
        };
        set.iter().all(|(name, version)| {
            let is_old = self.installed.get(name) == Some(version);
            let asked = &self.asked[&(name.clone(), version.clone())];
            asked.iter().all(|asked| gets(set, asked) || is_old && !gets(&self.installed, asked))
        })
    }

    /// Every sound set that keeps what is installed.
    fn all(&self) -> Vec<Set> {
        let mut sets = vec![Set::new()];
        for name in NAMES.map(name) {
            let candidates = self.candidates.get(&name).cloned().unwrap_or_default();
            let mut next = Vec::new();
            for set in &sets {
                if !self.installed.contains_key(&name) {
                    next.push(set.clone());
                }
                for version in &candidates {
                    let mut with = set.clone();
                    with.insert(name.clone(), version.clone());
                    next.push(with);
                }
            }
            sets = next;
        }
        sets.retain(|set| self.is_sound(set));
        sets
    }

    fn after(&self, plan: &Plan) -> Set {
        let mut set = self.installed.clone();
        set.extend(plan.steps.iter().map(|step| (step.name.clone(), step.to.clone())));
        set
    }
}

const CASES: u64 = 500;

#[test]
fn an_installation_is_found_wherever_there_is_one_and_is_the_best() {
    let (mut found, mut refused) = (0, 0);
    for seed in 1..=CASES {
        let case = Case::new(seed);
        let [wish, other] = ["a", "b"].map(name);
        let mut fulfilling = case.all();
        fulfilling.retain(|set| set.contains_key(&wish) && set.contains_key(&other));
        let plan = match case.world.resolve(&wishes("a b"), Mode::Install) {
            Ok(plan) => plan,
            Err(error) => {
                assert!(fulfilling.is_empty(), "seed {seed}: {error}, but {:?}", fulfilling[0]);
                assert!(!matches!(error, ResolveError::TooLarge { .. }), "seed {seed}");
                refused += 1;
                continue;
            }
        };
        found += 1;
        let set = case.after(&plan);
        assert!(fulfilling.contains(&set), "seed {seed}: {plan:?}");
        // one of the two is as new as it can be, and with it the other
        let best = |sets: &[Set], name: &PatchName| sets.iter().map(|set| set[name].clone()).max();
        let first = |first: &PatchName, then: &PatchName| {
            let newest = best(&fulfilling, first).expect("there are some");
            let those: Vec<Set> =
                fulfilling.iter().filter(|set| set[first] == newest).cloned().collect();
            set[first] == newest && Some(&set[then]) == best(&those, then).as_ref()
        };
        assert!(first(&wish, &other), "seed {seed}: {set:?}");
        // of what was not asked for the first by name stays if anything lets it
        fulfilling
            .retain(|other| other[&wish] == set[&wish] && other[&name("b")] == set[&name("b")]);
        for (kept, version) in case.installed.iter().filter(|(name, _)| **name > other) {
            if fulfilling.iter().any(|set| set[kept] == *version) {
                assert_eq!(set[kept], *version, "seed {seed}");
            }
            fulfilling.retain(|other| other[kept] == set[kept]);
        }
        // and nothing comes along that nothing needs
        for step in plan.steps.iter().filter(|step| step.from.is_none() && step.is_dependency) {
            let is_needed = set.iter().any(|(name, version)| {
                let asked = &case.asked[&(name.clone(), version.clone())];
                asked.iter().any(|(name, _, must)| *must && *name == step.name)
            });
            assert!(is_needed, "seed {seed}: {}", step.name);
        }
    }
    assert!(found > CASES / 5 && refused > CASES / 10, "{found} found, {refused} refused");
}

#[test]
fn an_upgrade_leaves_nothing_behind_that_could_be_newer() {
    let mut upgraded = 0;
    for seed in 1..=CASES {
        let case = Case::new(seed);
        let all: Vec<String> = case.installed.keys().map(ToString::to_string).collect();
        let plan = case.world.resolve(&wishes(&all.join(" ")), Mode::Upgrade).expect("a plan");
        let set = case.after(&plan);
        let mut sets = case.all();
        assert!(sets.contains(&set), "seed {seed}: {plan:?}");
        upgraded += u64::from(!plan.steps.is_empty());
        for name in case.installed.keys() {
            let newest = sets.iter().map(|set| &set[name]).max().expect("there is one");
            assert_eq!(set[name], *newest, "seed {seed}: {name}");
            sets.retain(|other| other[name] == set[name]);
            // what is offered and not taken is told
            let offered = case.candidates[name].iter().max().expect("what is installed");
            let told = plan.skipped.iter().any(|skipped| skipped.name == *name);
            assert_eq!(told, set[name] != *offered, "seed {seed}: {name}");
        }
    }
    assert!(upgraded > CASES / 3, "{upgraded}");
}

#[test]
fn no_way_is_cheaper_than_the_one_that_is_taken() {
    for seed in 1..=CASES {
        let mut dice = Dice::new(seed);
        let mut offers = Vec::new();
        for to in 2..=6 {
            if dice.below(2) == 0 {
                offers.push(format!("acme {to}.0.0 | {}", 20 + dice.below(80)));
            }
            for base in 1..to {
                if dice.below(2) == 0 {
                    offers.push(format!("acme {to}.0.0<-={base}.0.0 | {}", 1 + dice.below(40)));
                }
            }
        }
        let texts: Vec<&str> = offers.iter().map(String::as_str).collect();
        let world = World::new(&texts).having(&["acme 1.0.0"]);
        let plan = world.resolve(&wishes("acme"), Mode::Upgrade).expect("a plan");
        let mut cheapest = BTreeMap::new();
        let offers: Vec<Offer> = offers.iter().map(|text| offer(text)).collect();
        walk(&offers, &version("1.0.0"), 0, true, &mut cheapest);
        let Some((newest, bytes)) = cheapest.last_key_value() else {
            assert!(plan.steps.is_empty(), "seed {seed}");
            continue;
        };
        assert_eq!((&plan.steps[0].to, plan.download()), (newest, *bytes), "seed {seed}");
    }
}

/// Walks every way on from a version.
fn walk(
    offers: &[Offer],
    at: &PatchVersion,
    bytes: u64,
    is_start: bool,
    cheapest: &mut BTreeMap<PatchVersion, u64>,
) {
    for offer in offers.iter().filter(|offer| offer.version() > at) {
        let leads_on = match &offer.entry().base {
            Some(base) => base.matches(at),
            None => is_start,
        };
        if leads_on {
            let bytes = bytes + offer.entry().archive.size;
            let best = cheapest.entry(offer.version().clone()).or_insert(bytes);
            *best = bytes.min(*best);
            walk(offers, offer.version(), bytes, false, cheapest);
        }
    }
}
