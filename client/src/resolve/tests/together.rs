//! Several names: what goes together, and what comes first.

use super::*;

#[test]
fn what_is_required_comes_along_and_comes_first() {
    let world = World::new(&[
        "app 2.0.0 | needs libacme ^2 | needs ztool *",
        "libacme 1.0.0",
        "libacme 2.0.0",
        "libacme 2.1.0 | needs base >=1",
        "ztool 1.0.0",
        "base 1.0.0",
        "unrelated 1.0.0",
    ]);
    let all = "+base 1.0.0, +libacme 2.1.0, +ztool 1.0.0, app 2.0.0";
    assert_eq!(world.install("app"), all);
    // what is there and suffices is not touched
    let has = world.having(&["libacme 2.0.0", "ztool 0.1.0"]);
    assert_eq!(has.install("app"), "app 2.0.0");
    assert_eq!(has.install("app libacme"), "+base 1.0.0, libacme 2.1.0, app 2.0.0");
}

#[test]
fn circles_are_in_the_order_of_names() {
    let world = World::new(&["b 1.0.0 | needs c *", "c 1.0.0 | needs b *", "a 1.0.0 | needs c *"]);
    assert_eq!(world.install("a"), "+b 1.0.0, +c 1.0.0, a 1.0.0");
}

#[test]
fn an_upgrade_brings_what_newer_versions_need() {
    let world = World::new(&["app 2.0.0 | needs libacme ^2", "libacme 2.0.0"]);
    let world = world.having(&["app 1.0.0 | needs libacme ^1", "libacme 1.0.0"]);
    assert_eq!(world.upgrade(), "libacme 2.0.0, app 2.0.0");
    let world = World::new(&["app 2.0.0 | needs libacme ^2", "libacme 2.0.0"]);
    assert_eq!(world.having(&["app 1.0.0"]).upgrade(), "+libacme 2.0.0, app 2.0.0");
}

#[test]
fn what_would_break_what_is_installed_is_skipped_and_told() {
    let world = World::new(&["libacme 2.0.0 | high", "libacme 1.1.0", "tool 1.1.0"]);
    let world = world.having(&["libacme 1.0.0", "tool 1.0.0", "old 1.0.0 | needs libacme ^1"]);
    assert_eq!(
        world.upgrade(),
        "libacme 1.1.0, tool 1.1.0, [libacme 2.0.0: old 1.0.0 needs libacme ^1]"
    );
    let skipped = world.resolve(&wishes("libacme"), Mode::Upgrade).expect("a plan").skipped;
    assert_eq!(skipped[0].severity, Severity::High, "a security patch is never held back silently");
}

#[test]
fn the_graver_of_two_that_exclude_each_other_is_taken() {
    let world = World::new(&["a 2.0.0 | refuses b >=2", "b 2.0.0 | high"]);
    let world = world.having(&["a 1.0.0", "b 1.0.0"]);
    assert_eq!(world.upgrade(), "b 2.0.0, [a 2.0.0: conflicts with b 2.0.0]");
    // one that is demanded is not traded for a newer one of the other
    assert_eq!(world.install("a@2.0.0 b"), "a 2.0.0, [b 2.0.0: conflicts with a 2.0.0]");
}

#[test]
fn nothing_is_removed_unless_that_is_allowed() {
    let world = World::new(&["new 1.0.0 | refuses old *", "other 1.0.0"]);
    let world = world.having(&["old 1.0.0", "user 1.0.0 | needs old *"]);
    assert_eq!(
        world.install("new"),
        "new 1.0.0 cannot be installed\nnew 1.0.0 conflicts with old 1.0.0"
    );
    let allowed = |what: &str| {
        let request = Request { allow_removals: true, ..wishes(what) };
        shown(world.resolve(&request, Mode::Install))
    };
    assert_eq!(allowed("new"), "new 1.0.0, -old, -user");
    // and only what is in the way goes
    assert_eq!(allowed("other"), "other 1.0.0");
    let held = world.clone().holding("user", None);
    let refused =
        shown(held.resolve(&Request { allow_removals: true, ..wishes("new") }, Mode::Install));
    assert!(
        refused.contains("new 1.0.0 cannot be installed"),
        "what is held does not go: {refused}"
    );
    // what is asked for does not go
    assert!(allowed("new old").contains("cannot be installed"), "{}", allowed("new old"));
}

#[test]
fn conflicts_count_both_ways() {
    let world = World::new(&["new 1.0.0"]).having(&["old 1.0.0 | refuses new *"]);
    let expected = "new 1.0.0 cannot be installed\nnew 1.0.0 conflicts with old 1.0.0";
    assert_eq!(world.install("new"), expected);
    let both = World::new(&["a 1.0.0 | refuses b *", "b 1.0.0"]);
    assert!(
        both.install("a b").contains("b 1.0.0 conflicts with a 1.0.0"),
        "{}",
        both.install("a b")
    );
}

#[test]
fn what_did_not_go_together_before_is_no_reason_against_anything() {
    let world = World::new(&["tool 1.1.0", "b 1.1.0"]);
    let world = world.having(&["tool 1.0.0", "a 1.0.0 | needs gone ^1 | refuses b *", "b 1.0.0"]);
    assert_eq!(world.upgrade(), "b 1.1.0, tool 1.1.0");
}

#[test]
fn more_than_can_be_weighed_is_refused() {
    let mut world = World::default();
    for number in 0..=MAX_NAMES {
        world = world.having(&[&format!("n{number} 1.0.0")]);
    }
    let refused = world.resolve(&wishes("n1"), Mode::Upgrade);
    assert!(matches!(refused, Err(ResolveError::TooLarge { what: "names", .. })), "{refused:?}");
}
