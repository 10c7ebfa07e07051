use super::*;

fn places(directory: &tempfile::TempDir) -> Places {
    let named = NamedPlaces { root: Some(directory.path().into()), ..NamedPlaces::default() };
    named.settle(Path::new("/"))
}

fn config(text: &str) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.toml");
    std::fs::write(&path, text).expect("written");
    Config::read(&path, true)
}

#[test]
fn settings_are_read_and_absent_ones_are_usual() {
    assert_eq!(config("").expect("empty"), Config::default());
    let found =
        config("lock_timeout = \"90s\"\ndownloads = 2\nproxy = \"http://p:1\"\nroot = \"/r\"");
    let found = found.expect("settings");
    assert_eq!(found.lock_timeout, Duration::from_secs(90));
    assert_eq!(found.downloads, 2);
    assert_eq!(found.http.proxy.as_deref(), Some("http://p:1"));
    assert_eq!(found.places.root, Some("/r".into()));
    let missing = Path::new("/nonexistent/config.toml");
    assert_eq!(Config::read(missing, false).expect("none"), Config::default());
    assert!(matches!(Config::read(missing, true), Err(ConfigError::File { .. })));
}

#[test]
fn a_mistyped_setting_is_refused_with_what_was_meant() {
    let error = config("lock-timeout = \"90s\"").expect_err("mistyped");
    let ConfigError::UnknownKey { key, suggestion, .. } = error else { panic!("{error}") };
    assert_eq!((key.as_str(), suggestion), ("lock-timeout", Some("lock_timeout")));
    assert!(matches!(config("downloads = \"4\""), Err(ConfigError::Form { .. })));
    assert!(matches!(config("downloads = 0"), Err(ConfigError::Value { key: "downloads", .. })));
    for span in ["", "5", "5 min", "-1s", "99999999999h"] {
        let text = format!("lock_timeout = {span:?}");
        assert!(matches!(config(&text), Err(ConfigError::Value { .. })), "{span}");
    }
}

#[test]
fn sources_come_back_as_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let places = places(&directory);
    assert_eq!(SourceConfig::read_all(&places).expect("none"), []);
    let source = |name: &str, url: &str| SourceConfig {
        name: name.parse().expect("a name"),
        url: url.parse().expect("a place"),
        authority: Hash32::of(b"note"),
        distribution: "main".parse().expect("a name"),
        ring: "stable".parse().expect("a name"),
        priority: if name == "a" { 1 } else { USUAL_PRIORITY },
    };
    let sources =
        [source("a", "https://patches.example.org/"), source("b", "/srv/with \"quotes\"")];
    for source in sources.iter().rev() {
        source.write(&places).expect("written");
    }
    std::fs::write(places.sources().join("README"), "not a source").expect("written");
    assert_eq!(SourceConfig::read_all(&places).expect("two"), sources);
    std::fs::write(places.sources().join("Bad Name.toml"), "").expect("written");
    assert!(matches!(SourceConfig::read_all(&places), Err(ConfigError::Value { .. })));
}

#[test]
fn names_are_made_of_what_there_is() {
    assert_eq!(
        SourceName::resembling("Patches.example.org:8080").as_str(),
        "patches.example.org-8080"
    );
    assert_eq!(SourceName::resembling("./..").as_str(), "source");
    assert!(".hidden".parse::<SourceName>().is_err());
}

#[test]
fn a_priority_is_a_number_from_1_to_999() {
    let directory = tempfile::tempdir().expect("a directory");
    let places = places(&directory);
    std::fs::create_dir_all(places.sources()).expect("made");
    let hash = Hash32::of(b"note");
    let priority = |line: &str| {
        let text = format!("url = \"/r\"\nauthority = \"{hash}\"\ndistribution = \"main\"\n{line}");
        std::fs::write(places.sources().join("a.toml"), text).expect("written");
        SourceConfig::read_all(&places).map(|sources| sources[0].priority)
    };
    assert_eq!(priority("").expect("the usual one"), 99);
    assert_eq!(priority("priority = 999").expect("the weakest"), 999);
    for bad in ["0", "1000"] {
        let error = priority(&format!("priority = {bad}")).expect_err("out of bounds");
        assert!(matches!(error, ConfigError::Value { key: "priority", .. }), "{error}");
    }
    assert!(matches!(priority("priority = -1"), Err(ConfigError::Form { .. })));
}
