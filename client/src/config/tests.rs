use std::path::Path;

use countersign_format::hash::Hash32;
use countersign_store::{HttpOptions, Proxies, ProxyAddress};

use super::definitions::definition;
use super::*;
use crate::places::Places;

fn places(directory: &tempfile::TempDir) -> Places {
    let named = NamedPlaces { root: Some(directory.path().into()), ..NamedPlaces::default() };
    named.settle(Path::new("/"))
}

/// What the file `config.toml` alone says.
fn config(text: &str) -> Result<Config, ConfigError> {
    Lab::new().file("etc/patchctl/config.toml", text).read().map(|(config, _)| config)
}

struct Lab {
    directory: tempfile::TempDir,
    given: Given,
}

impl Lab {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { directory, given: Given::default() }
    }

    fn file(self, path: &str, text: &str) -> Self {
        let path = self.directory.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, text).expect("written");
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.given.environment.push((name.into(), value.into()));
        self
    }

    fn read(&self) -> Result<(Config, Settings), ConfigError> {
        Settings::read(&places(&self.directory), Path::new("/srv"), &self.given)
    }

    /// Who said a setting, the strongest first, and what.
    fn said(&self, name: &str) -> Vec<(String, String)> {
        let (_, settings) = self.read().expect("settings");
        let definition = definition(name).expect("a setting");
        let root = format!("{}/", self.directory.path().display());
        let said = settings.said(definition);
        said.map(|said| (said.origin.to_string().replace(&root, ""), said.value.clone())).collect()
    }
}

#[test]
fn settings_are_read_and_absent_ones_are_usual() {
    assert_eq!(config("").expect("empty"), Config::default());
    assert_eq!(Lab::new().read().expect("no file").0, Config::default());
    let found =
        config("lock_timeout = \"90s\"\ndownloads = 2\nproxy = \"http://p:1\"\nroot = \"/r\"");
    let found = found.expect("settings");
    assert_eq!(found.lock_timeout, Duration::from_secs(90));
    assert_eq!(found.downloads, 2);
    assert_eq!(found.http.proxies, Proxies::all("http://p:1".parse().expect("an address")));
    assert_eq!(found.places.root, Some("/r".into()));
    let mut named = Lab::new();
    named.given.file_is_named = true;
    assert!(matches!(named.read(), Err(ConfigError::File { .. })));
}

#[test]
fn the_nearer_layer_wins_and_the_others_are_remembered() {
    let lab = Lab::new()
        .file("usr/lib/patchctl/config.toml", "tries = 2\ndownloads = 1\nrate_limit = \"1MiB\"")
        .file("etc/patchctl/config.toml", "# of this site\ndownloads = 2")
        .file("etc/patchctl/conf.d/90-late.toml", "downloads = 4")
        .file("etc/patchctl/conf.d/10-early.toml", "downloads = 3\nlock_timeout = \"1s\"")
        .file("etc/patchctl/conf.d/README", "downloads = 9");
    assert_eq!(lab.read().expect("settings").0.downloads, 4);
    let mut lab = lab.variable("PATCHCTL_DOWNLOADS", "5").variable("PATCHCTL_TRIES", "");
    lab.given.options.push(("lock_timeout", "--lock-timeout", "2s".into()));
    let (config, _) = lab.read().expect("settings");
    assert_eq!((config.downloads, config.http.tries), (5, 2));
    assert_eq!(config.lock_timeout, Duration::from_secs(2));
    assert_eq!(config.http.rate_limit.map(|limit| limit.rate()), Some(1024 * 1024));
    let pair = |origin: &str, value: &str| (origin.to_owned(), value.to_owned());
    assert_eq!(
        lab.said("downloads"),
        [
            pair("PATCHCTL_DOWNLOADS in the environment", "5"),
            pair("etc/patchctl/conf.d/90-late.toml, line 1", "4"),
            pair("etc/patchctl/conf.d/10-early.toml, line 1", "3"),
            pair("etc/patchctl/config.toml, line 2", "2"),
            pair("usr/lib/patchctl/config.toml, line 2", "1"),
        ]
    );
    assert_eq!(lab.said("lock_timeout")[0], pair("--lock-timeout", "2s"));
}

#[test]
fn a_mistyped_setting_is_refused_with_what_was_meant() {
    let error = config("\nlock-timeout = \"90s\"").expect_err("mistyped");
    let ConfigError::UnknownKey { key, suggestion, line, .. } = error else { panic!("{error}") };
    assert_eq!((key.as_str(), suggestion, line), ("lock-timeout", Some("lock_timeout"), 2));
    for (text, key) in [
        ("downloads = 0", "downloads"),
        ("downloads = 17", "downloads"),
        ("tries = -1", "tries"),
        ("downloads = [1]", "downloads"),
        ("lock_timeout = 5", "lock_timeout"),
        ("lock_timeout = \"2d\"", "lock_timeout"),
        ("rate_limit = \"1KiB\"", "rate_limit"),
        ("ca_file = \"\"", "ca_file"),
        ("proxy = \"socks5://p:1\"", "proxy"),
    ] {
        let error = config(text).expect_err(text);
        let ConfigError::Value { key: found, origin: Origin::File(_, 1), .. } = error else {
            panic!("{text}: {error}");
        };
        assert_eq!(found, key);
    }
    let error = config("downloads = 2\nproxy = \"http://me:secret@proxy:3128").expect_err("no end");
    assert!(matches!(error, ConfigError::Form { line: 2, .. }), "{error:?}");
    let cause = std::error::Error::source(&error).expect("why").to_string();
    assert!(!cause.contains("secret") && !format!("{error:?}").contains("secret"), "{cause}");
    // also where a nearer layer would win
    let lab = Lab::new().file("etc/patchctl/config.toml", "downloads = 99");
    assert!(lab.variable("PATCHCTL_DOWNLOADS", "2").read().is_err());
    let error = config("client_key = \"k.pem\"").expect_err("half");
    assert!(matches!(error, ConfigError::Half { missing: "client_certificate", .. }), "{error}");
}

#[test]
fn variables_that_are_no_settings_are_warned_of_and_those_of_hooks_are_not() {
    let lab = Lab::new()
        .variable("PATCHCTL_DOWNLAODS", "2")
        .variable("PATCHCTL_ROOT", "/elsewhere")
        .variable("PATCHCTL_NAME", "acme")
        .variable("OTHER", "x");
    let (config, settings) = lab.read().expect("settings");
    assert_eq!(config, Config::default());
    assert_eq!(
        settings.warnings,
        ["PATCHCTL_DOWNLAODS in the environment is no setting; did you mean PATCHCTL_DOWNLOADS?"]
    );
    let error = Lab::new().variable("PATCHCTL_TRIES", "many").read().expect_err("no number");
    assert!(error.to_string().starts_with("PATCHCTL_TRIES in the environment: tries is not"));
}

#[test]
fn proxies_of_the_environment_count_where_the_settings_say_none() {
    let lab = Lab::new()
        .variable("HTTP_PROXY", "upper:1")
        .variable("http_proxy", "http://lower:1")
        .variable("https_proxy", "http://me:secret@tunnel:2")
        .variable("NO_PROXY", "localhost");
    let (config, _) = lab.read().expect("settings");
    let shown = |proxy: &Option<ProxyAddress>| proxy.as_ref().map(ToString::to_string);
    assert_eq!(shown(&config.http.proxies.http).as_deref(), Some("http://lower:1"));
    assert_eq!(shown(&config.http.proxies.https).as_deref(), Some("http://…@tunnel:2"));
    assert_eq!(config.http.proxies.bypass.as_deref(), Some("localhost"));
    assert_eq!(lab.said("proxy")[0].0, "https_proxy in the environment");
    let lab = lab.file("etc/patchctl/config.toml", "proxy = \"none\"");
    assert_eq!(lab.read().expect("settings").0.http.proxies.https, None);
    assert_eq!(lab.said("proxy")[0].1, "none");
    let odd = Lab::new().variable("http_proxy", "socks5://p:1");
    assert!(odd.read().expect("settings").1.warnings[0].contains("http_proxy"));
}

#[test]
fn relative_paths_count_from_the_file_that_has_them() {
    let lab = Lab::new().file("etc/patchctl/conf.d/a.toml", "ca_file = \"ca.pem\"");
    let config = lab.read().expect("settings").0;
    let expected = lab.directory.path().join("etc/patchctl/conf.d/ca.pem");
    assert_eq!(config.http.ca_file, Some(expected));
    let config = lab.variable("PATCHCTL_CA_FILE", "ca.pem").read().expect("settings").0;
    assert_eq!(config.http.ca_file, Some("/srv/ca.pem".into()));
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
        network: SourceNetwork::default(),
    };
    let sources =
        [source("a", "https://patches.example.org/"), source("b", "/srv/with \"quotes\"")];
    for source in sources.iter().rev() {
        source.write(&places).expect("written");
    }
    std::fs::write(places.sources().join("README"), "not a source").expect("written");
    assert_eq!(SourceConfig::read_all(&places).expect("two"), sources);
    std::fs::write(places.sources().join("Bad Name.toml"), "").expect("written");
    assert!(matches!(SourceConfig::read_all(&places), Err(ConfigError::FileName { .. })));
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

/// The one source of a machine, as its file has it besides what each has.
fn source(url: &str, lines: &str) -> Result<SourceConfig, ConfigError> {
    let directory = tempfile::tempdir().expect("a directory");
    let places = places(&directory);
    std::fs::create_dir_all(places.sources()).expect("made");
    let hash = Hash32::of(b"note");
    let text = format!("url = {url:?}\nauthority = \"{hash}\"\ndistribution = \"main\"\n{lines}");
    std::fs::write(places.sources().join("a.toml"), text).expect("written");
    SourceConfig::read_all(&places).map(|mut sources| sources.remove(0))
}

#[test]
fn a_source_has_a_network_of_its_own() {
    let lines = "proxy = \"none\"\nca_file = \"/ca.pem\"\ncredentials_file = \"token\"";
    let source = source("https://a.example/r/", lines).expect("a source");
    let usual = HttpOptions {
        proxies: Proxies::all("http://p:1".parse().expect("an address")),
        ..HttpOptions::default()
    };
    let http = |url: &str| source.http(&usual, &url.parse().expect("a place"));
    assert_eq!(http("https://a.example/").proxies, Proxies::default());
    assert_eq!(http("https://a.example/").ca_file, Some("/ca.pem".into()));
    let credentials = http("https://a.example/other/").credentials.expect("its own server");
    assert!(credentials.path.ends_with("sources.d/token") && !credentials.allow_plain);
    for other in ["https://b.example/", "http://a.example/", "https://a.example:444/", "/srv"] {
        assert_eq!(http(other).credentials, None, "{other}");
    }
}

#[test]
fn half_a_certificate_of_a_source_is_refused() {
    let error = source("https://a.example/", "client_key = \"k\"").expect_err("half");
    assert!(matches!(error, ConfigError::Value { key: "client_key", .. }), "{error}");
    let error = source("https://a.example/", "credential_file = \"k\"").expect_err("mistyped");
    let ConfigError::UnknownKey { suggestion: Some("credentials_file"), .. } = error else {
        panic!("{error}");
    };
}

#[test]
fn one_line_of_a_source_is_changed_and_the_others_stay() {
    let directory = tempfile::tempdir().expect("a directory");
    let places = places(&directory);
    std::fs::create_dir_all(places.sources()).expect("made");
    let path = places.sources().join("a.toml");
    let name: SourceName = "a".parse().expect("a name");
    std::fs::write(&path, "# mine\nring = \"stable\" # not canary\nurl = \"/r\"").expect("written");
    SourceConfig::rewrite(&places, &name, "ring", &"canary".into()).expect("changed");
    SourceConfig::rewrite(&places, &name, "priority", &toml::Value::Integer(7)).expect("added");
    let text = std::fs::read_to_string(&path).expect("read");
    assert_eq!(text, "# mine\nring = \"canary\" # not canary\nurl = \"/r\"\npriority = 7\n");
    SourceConfig::remove(&places, &name).expect("removed");
    assert!(SourceConfig::remove(&places, &name).is_err());
}

/// The rows of the table below a heading of `docs/configuration.md`: keys, meaning, usual value.
fn documented(heading: &str) -> Vec<String> {
    let text = include_str!("../../../docs/configuration.md");
    let section = text.split("\n## ").find(|section| section.starts_with(heading));
    let lines = section.expect("a section").lines().filter(|line| line.starts_with("| `"));
    lines.map(ToOwned::to_owned).collect()
}

#[test]
fn every_setting_is_documented_as_it_is_defined() {
    let defined = definitions::DEFINITIONS.iter().map(|definition| {
        let definitions::Definition { name, usual, help, .. } = definition;
        format!("| `{name}` | {help} | {usual} |")
    });
    let defined: Vec<String> = defined.collect();
    assert_eq!(documented("Settings"), defined, "put this there:\n{}", defined.join("\n"));
}

#[test]
fn every_key_of_a_source_is_documented() {
    let rows = documented("Sources").join("\n");
    for key in SOURCE_KEYS {
        assert!(rows.contains(&format!("`{key}`")), "{key}");
    }
}

#[test]
fn what_is_kept_for_rollbacks_is_bounded_as_said() {
    let said = config("keep_transactions = 3\nkeep_age = \"30d\"\nkeep_size = \"2GiB\"\n");
    let retention = said.expect("settings").retention;
    let expected = (Some(3), Some(30 * 86_400), Some(2 << 30));
    assert_eq!((retention.transactions, retention.age, retention.size), expected);
    let none = config("keep_transactions = \"none\"\nkeep_age = \"none\"\nkeep_size = \"none\"\n");
    assert_eq!(none.expect("settings").retention, Retention::UNBOUNDED);
    assert_eq!(config("").expect("settings").retention.transactions, Some(10));
    for bad in ["keep_transactions = -1", "keep_age = 30", "keep_size = \"much\""] {
        assert!(matches!(config(bad), Err(ConfigError::Value { .. })), "{bad}");
    }
}
