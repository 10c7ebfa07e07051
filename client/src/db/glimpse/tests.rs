use super::*;

const ENTRY: &str = "{\"type\":\"patch/v1\",\"name\":\"acme\",\"version\":\"1.0.0\",\
    \"base\":\"^1\",\"platform\":\"linux-x86_64\",\"summary\":\"Closes a hole\",\
    \"severity\":\"high\",\"advisories\":[\"CVE-2026-0001\",\"X-2\"],\"requires\":{\"b\":\"*\"},\
    \"archive\":{\"sha256\":\"abababababababababababababababababababababababababababababababab\",\
    \"size\":10,\"unpacked\":0,\"files\":1},\"restart\":[],\"reboot\":true,\
    \"collected\":\"2026-11-22T10:00:00Z\",\"later\":{\"a\":[1,[],{},null,false]}}\n";

fn line(summary: &str) -> String {
    ENTRY.replace("Closes a hole", summary)
}

/// What is read quickly is what is read thoroughly, and what the whole entry says; nothing is read
/// quickly that is refused otherwise.
fn judge(line: &str) -> bool {
    let Some(quick) = quick::read(line) else { return false };
    let thorough = Glimpse::thorough(line);
    let thorough = thorough.unwrap_or_else(|error| panic!("{line}: {error}"));
    assert_eq!(Glimpse { archive: None, ..quick.clone() }, thorough, "{line}");
    if let Ok(entry) = PatchEntry::parse(line.as_bytes()) {
        assert_eq!(quick.name, entry.name.as_str());
        assert_eq!(quick.version, entry.version.to_string());
        assert_eq!(quick.platform, entry.platform.as_str());
        assert_eq!((&*quick.summary, quick.severity), (entry.summary.as_str(), entry.severity));
        let advisories: Vec<_> = entry.advisories.iter().map(ToString::to_string).collect();
        assert_eq!(quick.advisories, advisories);
        assert_eq!(quick.archive().expect("a hash"), entry.archive.sha256);
    }
    true
}

#[test]
fn lines_as_they_are_written_are_read_quickly() {
    assert!(PatchEntry::parse(ENTRY.as_bytes()).is_ok());
    assert!(judge(ENTRY));
    assert!(judge(&line("Schließt eine Lücke 漢字")));
    let hash = ENTRY.split('"').find(|word| word.starts_with("abab")).expect("a hash");
    let least = format!(
        "{{\"type\":\"patch/v1\",\"collected\":\"2026-11-22T10:00:00Z\",\"archive\":{{\"files\":1,\
         \"unpacked\":1,\"size\":1,\"sha256\":\"{hash}\"}},\"version\":\"1.0.0\",\"name\":\"a\"}}\n"
    );
    assert!(PatchEntry::parse(least.as_bytes()).is_ok());
    assert!(judge(&least));
}

/// Every text that is one change away from an entry.
#[test]
fn quick_and_thorough_agree() {
    let (mut tried, mut quick) = (0, 0);
    let mut judge = |text: Vec<u8>| {
        let Ok(text) = String::from_utf8(text) else { return };
        tried += 1;
        quick += u32::from(judge(&text));
    };
    for at in 0..ENTRY.len() {
        judge(ENTRY.as_bytes()[..at].to_vec());
        let mut shorter = ENTRY.as_bytes().to_vec();
        shorter.remove(at);
        judge(shorter);
        for byte in b"\"\\{}[]:,019-.eE+tfn \n\t\x00\x1fa" {
            let mut changed = ENTRY.as_bytes().to_vec();
            changed[at] = *byte;
            judge(changed);
            let mut longer = ENTRY.as_bytes().to_vec();
            longer.insert(at, *byte);
            judge(longer);
        }
    }
    assert!(tried > 20_000 && quick > 3_000, "{tried} {quick}");
}

#[test]
fn what_is_written_otherwise_is_read_thoroughly() {
    let escaped = line("Closes \\u0061 \\\"hole\\\"");
    for text in [&escaped, &ENTRY.replace(",\"base\"", ", \"base\"")] {
        assert_eq!(quick::read(text), None);
        let glimpse = Glimpse::of(text).expect("an entry");
        let entry = PatchEntry::parse(text.as_bytes()).expect("an entry");
        assert_eq!(glimpse.summary, entry.summary.as_str());
        assert_eq!(glimpse.archive().expect("an archive"), entry.archive.sha256);
    }
    let deep = |depth: usize| {
        let value = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        ENTRY.replace("[1,[],{},null,false]", &value)
    };
    assert!(judge(&deep(10)));
    assert_eq!(quick::read(&deep(100_000)), None);
    for twice in ["\"name\":\"b\"", "\"archive\":{}", "\"severity\":\"low\""] {
        judge(&ENTRY.replacen("\"type\"", &format!("{twice},\"type\""), 1));
    }
}

fn found(lines: &str, text: &str) -> Vec<u64> {
    let lowercase = text.to_lowercase();
    let mut found = Vec::new();
    Search::new(&lowercase)
        .each_in(64, lines, |leaf, line| {
            if Glimpse::of(line)?.has(&lowercase) {
                found.push(leaf);
            }
            Ok(())
        })
        .expect("entries");
    found
}

#[test]
fn a_search_finds_what_any_look_at_every_line_finds() {
    let plain = ["Closes a Hole", "x", "a hole, a HOLE", "corde re"];
    let other = ["\\u0043loses", "a \\\"b\\\" c", "ÄRGER", "10 \u{212a}", "Closes a Hole"];
    for summaries in
        [&plain[..], &other, &[plain, [other[0], other[1], other[2], other[3]]].concat()]
    {
        let lines: Vec<String> =
            summaries.iter().flat_map(|summary| ["null\n".to_owned(), line(summary)]).collect();
        for text in [
            "hole", "hol3", "CLOSES", "\"b\"", "ärger", "10 k", "cve-2026", "acm", "abab",
            "patch/v1", "", "null", "\n", "e", "\"name\"", "corde", "x-2",
        ] {
            let lowercase = text.to_lowercase();
            let expected: Vec<u64> = (64..)
                .zip(&lines)
                .filter(|(_, line)| line.starts_with('{'))
                .filter(|(_, line)| Glimpse::of(line).expect("an entry").has(&lowercase))
                .map(|(leaf, _)| leaf)
                .collect();
            assert_eq!(found(&lines.concat(), text), expected, "{text}");
        }
    }
    let lines = [line("Closes a hole"), line("x")].concat();
    assert_eq!(found(&lines, "HOLE"), [64]);
    assert!(found(&lines, "sha256").is_empty(), "in the entry, and not in what is searched");
}
