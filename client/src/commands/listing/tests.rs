use super::*;

/// A step closes all that the versions between close, which is more than one entry says.
#[test]
fn steps_close_more_advisories_than_any_entry_has() {
    let mut listing = Listing::default();
    for name in ["acme", "other"] {
        let entry = format!(r#"{{"name":"{name}","version":"2.0.0","summary":"of {name}"}}"#);
        let glimpse = serde_json::from_str(&entry).expect("a part of an entry");
        let seen = Seen { source: 0, leaf: 0, glimpse: &glimpse, is_open: true };
        listing.take(&seen).expect("taken");
    }
    let advisory = |number| parse::<AdvisoryId>("", &format!("CVE-2026-{number:05}"));
    let advisories: BTreeSet<_> =
        (0..8000).map(|number| advisory(number).expect("an advisory")).collect();
    let step = Step {
        name: "acme".parse().expect("a name"),
        from: None,
        to: "2.0.0".parse().expect("a version"),
        links: Vec::new(),
        severity: Severity::Critical,
        advisories: advisories.clone(),
        opens: BTreeSet::new(),
        is_dependency: false,
    };
    assert!(listing.take_steps(&[step]).is_ok());
    let lines: Vec<ListLine<'_>> = listing.lines().collect();
    let shown = lines[0].advisories;
    assert!(shown.len() > usize::from(u16::MAX), "{}", shown.len());
    assert_eq!(shown.split_ascii_whitespace().count(), advisories.len());
    let texts = lines.iter().map(|line| (line.name, line.available, line.summary));
    let expected = [("acme", Some("2.0.0"), "of acme"), ("other", Some("2.0.0"), "of other")];
    assert_eq!(texts.collect::<Vec<_>>(), expected);
}
