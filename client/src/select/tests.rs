use countersign_format::entry::{ArchiveReference, PatchEntry};
use countersign_format::hash::Hash32;
use countersign_format::name::Platform;
use countersign_format::time::Timestamp;

use super::*;
use crate::db::index::IndexedPatch;

fn version(text: &str) -> PatchVersion {
    text.parse().expect("a version")
}

/// A patch `VERSION` or `VERSION<-BASE` with an archive of so many bytes.
fn offer(text: &str, size: u64) -> Offer {
    let (to, base) = match text.split_once("<-") {
        Some((to, base)) => (to, Some(base.parse().expect("a requirement"))),
        None => (text, None),
    };
    let entry = PatchEntry {
        name: "acme".parse().expect("a name"),
        version: version(to),
        base,
        platform: Platform::any(),
        summary: "".parse().expect("a line"),
        severity: Severity::None,
        advisories: Vec::new(),
        requires: BTreeMap::new(),
        conflicts: BTreeMap::new(),
        archive: ArchiveReference {
            sha256: Hash32::of(text.as_bytes()),
            size,
            unpacked: size,
            files: 1,
        },
        restart: Vec::new(),
        reboot: false,
        collected: Timestamp::EPOCH,
        evidence: Vec::new(),
    };
    let patch = IndexedPatch { leaf: 0, entry, bytes: Vec::new() };
    Offer { source: 0, patch, gate: Gate::Open }
}

fn component(installed: Option<&str>, offers: &[(&str, u64)]) -> Component {
    Component {
        name: "acme".parse().expect("a name"),
        installed: installed.map(version),
        offers: offers.iter().map(|(text, size)| offer(text, *size)).collect(),
        held_back: BTreeSet::new(),
    }
}

fn wish(version: Option<&str>, allow_downgrade: bool) -> Wish {
    Wish { version: version.map(self::version), allow_downgrade }
}

/// The way that is chosen, as `VERSION` and `VERSION<-BASE`.
fn way(component: &Component, wish: &Wish) -> Option<String> {
    let choice = component.choose(wish, &Filter::default());
    let Outcome::Step(step) = choice.outcome else { return None };
    let link = |offer: &Offer| match &offer.entry().base {
        Some(base) => format!("{}<-{base}", offer.version()),
        None => offer.version().to_string(),
    };
    Some(step.links.iter().map(link).collect::<Vec<_>>().join(" "))
}

fn skipped(component: &Component, wish: &Wish) -> Option<SkipReason> {
    component.choose(wish, &Filter::default()).skipped.map(|skipped| skipped.why)
}

#[test]
fn the_newest_version_and_the_cheapest_way_to_it() {
    let all = [
        ("1.0.0", 100),
        ("2.0.0", 100),
        ("3.0.0", 100),
        ("2.0.0<-=1.0.0", 10),
        ("3.0.0<-=2.0.0", 10),
        ("3.0.0<-=1.0.0", 25),
    ];
    let newest = wish(None, false);
    let from = |installed| way(&component(installed, &all), &newest);
    assert_eq!(from(None).as_deref(), Some("3.0.0"));
    assert_eq!(from(Some("1.0.0")).as_deref(), Some("2.0.0<-=1.0.0 3.0.0<-=2.0.0"));
    assert_eq!(from(Some("2.0.0")).as_deref(), Some("3.0.0<-=2.0.0"));
    assert_eq!(from(Some("0.9.0")).as_deref(), Some("3.0.0"));
    assert_eq!(from(Some("3.0.0")), None);
    // a full patch below and an incremental one from there can be cheaper than the full one
    let mixed = [("2.0.0", 50), ("3.0.0", 100), ("3.0.0<-=2.0.0", 10)];
    assert_eq!(way(&component(None, &mixed), &newest).as_deref(), Some("2.0.0 3.0.0<-=2.0.0"));
    // and is never taken in the middle of a chain
    let detour = [("2.0.0<-=1.0.0", 1), ("3.0.0", 100)];
    assert_eq!(way(&component(Some("1.0.0"), &detour), &newest).as_deref(), Some("3.0.0"));
}

#[test]
fn what_is_not_offered_is_no_link() {
    let mut component = component(Some("1.0.0"), &[("2.0.0<-=1.0.0", 1), ("2.0.0", 100)]);
    component.offers[0].gate = Gate::Rollout;
    assert_eq!(way(&component, &wish(None, false)).as_deref(), Some("2.0.0"));
    component.offers[1].gate = Gate::Revoked("it breaks".into());
    let choice = component.choose(&wish(None, false), &Filter::default());
    assert_eq!((choice.outcome, choice.skipped), (Outcome::Nothing, None));
    component.installed = None;
    let choice = component.choose(&wish(Some("2.0.0"), false), &Filter::default());
    assert!(matches!(choice.outcome, Outcome::NotOffered(Some(_))), "{choice:?}");
    let choice = component.choose(&wish(Some("9.0.0"), false), &Filter::default());
    assert_eq!(choice.outcome, Outcome::NotOffered(None));
}

#[test]
fn an_offered_version_that_cannot_be_reached_is_told() {
    let component = component(Some("1.0.0"), &[("2.0.0<-=1.0.0", 1), ("3.0.0<-=2.5.0", 1)]);
    assert_eq!(way(&component, &wish(None, false)).as_deref(), Some("2.0.0<-=1.0.0"));
    assert_eq!(
        skipped(&component, &wish(None, false)),
        Some(SkipReason::NoPath(Some(version("1.0.0"))))
    );
}

#[test]
fn versions_go_down_only_where_that_is_allowed() {
    let component = component(Some("2.0.0"), &[("1.0.0", 1)]);
    assert_eq!(way(&component, &wish(None, false)), None);
    assert_eq!(skipped(&component, &wish(None, false)), None);
    let down = Some(SkipReason::Downgrade(version("2.0.0")));
    assert_eq!(skipped(&component, &wish(Some("1.0.0"), false)), down);
    for wish in [wish(None, true), wish(Some("1.0.0"), true)] {
        assert_eq!(way(&component, &wish).as_deref(), Some("1.0.0"));
    }
}

#[test]
fn versions_that_were_rolled_back_wait_for_a_newer_one_or_a_name() {
    let mut component = component(Some("1.0.0"), &[("2.0.0", 1)]);
    component.held_back = BTreeSet::from([version("2.0.0")]);
    assert_eq!(skipped(&component, &wish(None, false)), Some(SkipReason::HeldBack));
    assert_eq!(way(&component, &wish(Some("2.0.0"), false)).as_deref(), Some("2.0.0"));
    component.offers.push(offer("2.0.1", 1));
    assert_eq!(way(&component, &wish(None, false)).as_deref(), Some("2.0.1"));
}

#[test]
fn prereleases_are_for_those_who_have_or_name_them() {
    let offers = [("1.0.0", 1), ("2.0.0-rc.1", 1)];
    let newest = wish(None, false);
    assert_eq!(way(&component(None, &offers), &newest).as_deref(), Some("1.0.0"));
    let named = wish(Some("2.0.0-rc.1"), false);
    assert_eq!(way(&component(None, &offers), &named).as_deref(), Some("2.0.0-rc.1"));
    let brave = component(Some("2.0.0-beta.1"), &offers);
    assert_eq!(way(&brave, &newest).as_deref(), Some("2.0.0-rc.1"));
}

#[test]
fn all_that_lies_between_is_closed_and_filters_see_it() {
    let mut component = component(Some("1.0.0"), &[("1.1.0", 50), ("1.2.0", 50)]);
    component.offers[0].patch.entry.severity = Severity::High;
    component.offers[0].patch.entry.advisories = vec!["CVE-2026-0001".parse().expect("an id")];
    let choose = |filter: &Filter| component.choose(&wish(None, false), filter).outcome;
    let Outcome::Step(step) = choose(&Filter::default()) else { panic!("a step") };
    assert_eq!((step.to, step.severity), (version("1.2.0"), Severity::High));
    let wanted = [
        (Filter { severity: Some(Severity::High), ..Filter::default() }, true),
        (Filter { severity: Some(Severity::Critical), ..Filter::default() }, false),
        (Filter { security: true, ..Filter::default() }, true),
        (
            Filter {
                advisories: ["CVE-2026-0001".parse().expect("an id")].into(),
                ..Filter::default()
            },
            true,
        ),
        (
            Filter {
                advisories: ["CVE-2026-0002".parse().expect("an id")].into(),
                ..Filter::default()
            },
            false,
        ),
    ];
    for (filter, expected) in wanted {
        assert_eq!(matches!(choose(&filter), Outcome::Step(_)), expected, "{filter:?}");
    }
}

#[test]
fn a_set_whose_members_contradict_each_other_is_told() {
    let mut needs = offer("1.0.0", 1).patch.entry;
    let library: PatchName = "libacme".parse().expect("a name");
    needs.requires.insert(library.clone(), "^1.4".parse().expect("a requirement"));
    let (acme, one) = (needs.name.clone(), version("1.0.0"));
    let found = |there: Option<&PatchVersion>| {
        let mut set = Set::from([(&acme, (&one, Some(&needs)))]);
        if let Some(version) = there {
            set.insert(&library, (version, None));
        }
        contradictions(&set)
    };
    assert_eq!(found(Some(&version("1.5.0"))), []);
    assert_eq!(found(None).len(), 1);
    let why = &found(Some(&version("2.0.0")))[0].1;
    assert_eq!(why.to_string(), "needs libacme ^1.4, there is 2.0.0");
    let mut set = needs.clone();
    set.requires.clear();
    set.conflicts.insert(library.clone(), "^2".parse().expect("a requirement"));
    let two = version("2.0.0");
    let set = Set::from([(&acme, (&one, Some(&set))), (&library, (&two, None))]);
    assert_eq!(contradictions(&set)[0].1.to_string(), "conflicts with libacme 2.0.0");
}
