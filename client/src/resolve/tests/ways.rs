//! One name: which version, and which way there.

use super::*;

/// The way that is chosen, as `VERSION` and `VERSION<-BASE`.
fn way(world: &World, request: &Request) -> String {
    let plan = world.resolve(request, Mode::Upgrade).expect("a plan");
    let link = |offer: &Offer| match &offer.entry().base {
        Some(base) => format!("{}<-{base}", offer.version()),
        None => offer.version().to_string(),
    };
    plan.links().map(link).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_newest_version_and_the_cheapest_way_to_it() {
    let world = World::new(&[
        "acme 1.0.0",
        "acme 2.0.0",
        "acme 3.0.0",
        "acme 2.0.0<-=1.0.0 | 10",
        "acme 3.0.0<-=2.0.0 | 10",
        "acme 3.0.0<-=1.0.0 | 25",
    ]);
    let from = |text: &str| way(&world.clone().having(&[text]), &wishes("acme"));
    assert_eq!(from("acme 1.0.0"), "2.0.0<-=1.0.0 3.0.0<-=2.0.0");
    assert_eq!(from("acme 2.0.0"), "3.0.0<-=2.0.0");
    assert_eq!(from("acme 0.9.0"), "3.0.0");
    assert_eq!(from("acme 3.0.0"), "");
    assert_eq!(world.install("acme"), "acme 3.0.0");
    // a full patch below and an incremental one from there can be cheaper than the full one
    let mixed = World::new(&["acme 2.0.0 | 50", "acme 3.0.0", "acme 3.0.0<-=2.0.0 | 10"]);
    let plan = mixed.resolve(&wishes("acme"), Mode::Install).expect("a plan");
    assert_eq!((plan.links().count(), plan.download()), (2, 60));
    // and is never taken in the middle of a chain
    let detour = World::new(&["acme 2.0.0<-=1.0.0 | 1", "acme 3.0.0"]).having(&["acme 1.0.0"]);
    assert_eq!(way(&detour, &wishes("acme")), "3.0.0");
}

#[test]
fn what_is_not_offered_is_no_link_and_what_is_installed_stays() {
    let mut world =
        World::new(&["acme 2.0.0<-=1.0.0 | 1 | unreleased", "acme 2.0.0"]).having(&["acme 1.0.0"]);
    assert_eq!(way(&world, &wishes("acme")), "2.0.0");
    world.at("acme").offers[1].gate = Gate::Revoked("it breaks".into());
    assert_eq!(world.upgrade(), "");
    // whatever became of its patch
    let gone = World::new(&["acme 1.0.0 | revoked"]).having(&["acme 1.0.0"]);
    assert_eq!((gone.upgrade(), gone.install("acme")), (String::new(), String::new()));
}

#[test]
fn an_offered_version_that_cannot_be_reached_is_told() {
    let world = World::new(&["acme 2.0.0<-=1.0.0", "acme 3.0.0<-=2.5.0"]).having(&["acme 1.0.0"]);
    assert_eq!(world.upgrade(), "acme 2.0.0, [acme 3.0.0: no patch leads to it from 1.0.0]");
}

#[test]
fn versions_go_down_only_where_that_is_allowed() {
    let world = World::new(&["acme 1.0.0", "acme 1.5.0"]).having(&["acme 2.0.0"]);
    assert_eq!(world.upgrade(), "");
    let refused = "acme 1.0.0 cannot be installed\nacme 1.0.0: older than the installed 2.0.0";
    assert_eq!(world.install("acme@1.0.0"), refused);
    let down = |what: &str| Request { allow_downgrade: true, ..wishes(what) };
    // what is no longer offered gives way to the newest that is
    assert_eq!(shown(world.resolve(&down("acme"), Mode::Upgrade)), "acme 1.5.0");
    assert_eq!(shown(world.resolve(&down("acme@1.0.0"), Mode::Install)), "acme 1.0.0");
    let mut world = world;
    world.at("acme").offers.push(offer("acme 2.0.0"));
    assert_eq!(shown(world.resolve(&down("acme"), Mode::Upgrade)), "");
}

#[test]
fn versions_that_were_rolled_back_wait_for_a_newer_one_or_a_name() {
    let mut world = World::new(&["acme 2.0.0"]).having(&["acme 1.0.0"]);
    world.at("acme").held_back = BTreeSet::from([version("2.0.0")]);
    assert!(world.upgrade().starts_with("[acme 2.0.0: held back"), "{}", world.upgrade());
    assert_eq!(world.install("acme@2.0.0"), "acme 2.0.0");
    world.at("acme").offers.push(offer("acme 2.0.1"));
    assert_eq!(world.upgrade(), "acme 2.0.1");
}

#[test]
fn prereleases_are_for_those_who_have_or_name_them() {
    let world = World::new(&["acme 1.0.0", "acme 2.0.0-rc.1"]);
    assert_eq!(world.install("acme"), "acme 1.0.0");
    assert_eq!(world.install("acme@2.0.0-rc.1"), "acme 2.0.0-rc.1");
    assert_eq!(world.having(&["acme 2.0.0-beta.1"]).upgrade(), "acme 2.0.0-rc.1");
}

#[test]
fn what_is_held_stays_and_a_pin_is_reached_and_not_passed() {
    let offers = ["acme 1.0.0", "acme 1.5.0", "acme 2.0.0", "acme 3.0.0"];
    let world = World::new(&offers).having(&["acme 1.0.0"]);
    let held = "[acme 3.0.0: held (year-end freeze)]";
    assert_eq!(world.clone().holding("acme", None).upgrade(), held);
    let pinned = |pin| world.clone().holding("acme", Some(pin));
    let beyond = "[acme 3.0.0: pinned to 2.0.0 (year-end freeze)]";
    assert_eq!(pinned("2.0.0").upgrade(), format!("acme 2.0.0, {beyond}"));
    // on the way to a version that is not there yet
    assert_eq!(pinned("1.9.0").upgrade().split(',').next(), Some("acme 1.5.0"));
    // a name does not end a hold
    let refused = "acme 3.0.0 cannot be installed\nacme 3.0.0: pinned to 2.0.0 (year-end freeze)";
    assert_eq!(pinned("2.0.0").install("acme@3.0.0"), refused);
    // what is not installed is installed as pinned; what is held stays away
    let fresh = World::new(&offers);
    assert_eq!(
        fresh.clone().holding("acme", Some("2.0.0")).install("acme").split(',').next(),
        Some("acme 2.0.0")
    );
    assert!(fresh.holding("acme", None).install("acme").contains("held"));
    // what is beyond the pin stays, and goes down to it and not below where that is allowed
    let beyond = World::new(&["acme 1.0.0", "acme 1.5.0"]).having(&["acme 2.0.0"]);
    let beyond = beyond.holding("acme", Some("1.5.0"));
    assert_eq!(beyond.upgrade(), "");
    let down = Request { allow_downgrade: true, ..wishes("acme") };
    assert_eq!(shown(beyond.resolve(&down, Mode::Upgrade)), "acme 1.5.0");
}

#[test]
fn all_that_lies_between_is_closed_and_filters_see_it() {
    let world = World::new(&["acme 1.1.0 | high | CVE-2026-0001", "acme 1.2.0"]);
    let world = world.having(&["acme 1.0.0"]);
    let plan = |filter: Filter| {
        let request = Request { filter, ..wishes("acme") };
        world.resolve(&request, Mode::Upgrade).expect("a plan")
    };
    let step = &plan(Filter::default()).steps[0];
    assert_eq!((&step.to, step.severity), (&version("1.2.0"), Severity::High));
    let closing =
        |id: &str| Filter { advisories: [id.parse().expect("an id")].into(), ..Filter::default() };
    let of = |severity| Filter { severity: Some(severity), ..Filter::default() };
    let wanted = [
        (of(Severity::High), 1),
        (of(Severity::Critical), 0),
        (Filter { security: true, ..Filter::default() }, 1),
        (closing("CVE-2026-0001"), 1),
        (closing("CVE-2026-0002"), 0),
    ];
    for (filter, steps) in wanted {
        assert_eq!(plan(filter.clone()).steps.len(), steps, "{filter:?}");
    }
    // what is not wanted is not installed for the first time either
    let security = Request { filter: of(Severity::Low), ..wishes("other") };
    let other = World::new(&["other 1.0.0"]);
    assert_eq!(shown(other.resolve(&security, Mode::Install)), "");
}
