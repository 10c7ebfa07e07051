use super::*;
use crate::tree::Tree;

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// An incremental manifest (its `tree` cannot be checked alone) with the given further members.
fn incremental(members: &str) -> Result<Manifest, ManifestError> {
    let text = format!(
        "{{\"type\":\"manifest/v1\",\"name\":\"acme\",\"version\":\"2.1.1\",\
         \"base\":\">=2.1.0, <2.1.1\",\"platform\":\"any\",\"tree\":\"{EMPTY}\"{members}}}\n"
    );
    Manifest::parse(text.as_bytes())
}

fn with_files(files: &str) -> Result<Manifest, ManifestError> {
    incremental(&format!(",\"files\":[{}]", files.replace('E', EMPTY)))
}

fn path(text: &str) -> RelPath {
    text.parse().expect("a path")
}

const FILE: &str = r#"{"path":"a","mode":"0644","size":0,"sha256":"E"}"#;

#[test]
fn prints_what_it_reads() {
    let files = FILE.replace('E', EMPTY);
    let text = format!(
        "{{\"type\":\"manifest/v1\",\"name\":\"acme\",\"version\":\"2.1.1\",\"base\":\"^2\",\
         \"platform\":\"linux-x86_64\",\"tree\":\"{EMPTY}\",\"files\":[{files},\
         {{\"path\":\"b\",\"mode\":\"4755\",\"size\":9,\"sha256\":\"{EMPTY}\",\"config\":true,\
         \"owner\":\"acme:staff\",\"xattrs\":{{\"security.capability\":\"AQ==\"}}}},\
         {{\"path\":\"c\",\"dir\":true,\"mode\":\"0750\"}},{{\"path\":\"d\",\"target\":\"../x\"}}],\
         \"remove\":[\"e\"],\"hooks\":{{\"pre-install\":\"hooks/run\",\"check\":\"hooks/check\"}}}}\n"
    );
    let manifest = Manifest::parse(text.as_bytes()).expect("a manifest");
    assert_eq!(String::from_utf8(manifest.to_json()).expect("UTF-8"), text);
    assert_eq!(manifest.unpacked(), 9);
    assert_eq!(manifest.file_count(), 4);
    let file = manifest.files[1].as_file().expect("a file");
    assert!(file.config && file.mode.has_set_id());
    assert_eq!((file.owner.user(), file.owner.group()), ("acme", "staff"));
    assert_eq!(manifest.hooks.paths().len(), 2);
}

#[test]
fn a_full_patch_names_the_tree_of_its_files() {
    let full = |tree: &str| {
        Manifest::parse(
            format!(
                "{{\"type\":\"manifest/v1\",\"name\":\"acme\",\"version\":\"1.0.0\",\
                 \"platform\":\"any\",\"tree\":\"{tree}\"}}\n"
            )
            .as_bytes(),
        )
    };
    assert!(full(EMPTY).is_ok());
    let named = Hash32([0x11; 32]);
    let made = Hash32::of(b"");
    assert_eq!(full(&"11".repeat(32)), Err(ManifestError::Tree { named, made }));
}

#[test]
fn paths_are_in_order_and_apart() {
    let link = |at: &str| format!("{{\"path\":\"{at}\",\"target\":\"x\"}}");
    let order = |at: &str| Err(ManifestError::Order { list: "files", path: path(at) });
    assert_eq!(with_files(&format!("{},{}", link("b"), link("a"))), order("a"));
    assert_eq!(with_files(&format!("{},{}", link("a"), link("a"))), order("a"));
    // `a-` sorts between `a` and `a/b`
    assert_eq!(
        with_files(&format!("{},{},{}", link("a"), link("a-"), link("a/b"))),
        Err(ManifestError::BelowNonDirectory { path: path("a/b"), above: path("a") })
    );
    // in byte order `a.b` stands between
    assert_eq!(
        with_files(&format!("{},{},{}", link("a"), link("a.b"), link("a/b/c"))),
        Err(ManifestError::BelowNonDirectory { path: path("a/b/c"), above: path("a") })
    );
    assert!(with_files(&format!("{},{},{}", link("a"), link("a.b/c"), link("a0/c"))).is_ok());
    let directory = r#"{"path":"a","dir":true,"mode":"0755"}"#;
    assert!(with_files(&format!("{directory},{}", link("a/b"))).is_ok());
    assert_eq!(
        incremental(",\"remove\":[\"b\",\"a\"]"),
        Err(ManifestError::Order { list: "remove", path: path("a") })
    );
    assert_eq!(
        incremental(&format!(",\"files\":[{}],\"remove\":[\"a\"]", link("a"))),
        Err(ManifestError::RemovedAndBrought(path("a")))
    );
}

#[test]
fn the_clients_own_directories_are_no_payload() {
    for bad in [".patchctl", ".patchctl/journal", "opt/.patchctl/x"] {
        let reserved = Err(ManifestError::Reserved(path(bad)));
        assert_eq!(with_files(&format!(r#"{{"path":"{bad}","target":"x"}}"#)), reserved);
        assert_eq!(incremental(&format!(",\"remove\":[\"{bad}\"]")), reserved);
    }
    assert!(with_files(r#"{"path":"opt/.patchctl2","target":"x"}"#).is_ok());
}

#[test]
fn a_full_patch_removes_nothing() {
    let text = format!(
        "{{\"type\":\"manifest/v1\",\"name\":\"acme\",\"version\":\"1.0.0\",\"platform\":\"any\",\
         \"tree\":\"{EMPTY}\",\"remove\":[\"a\"]}}\n"
    );
    assert_eq!(Manifest::parse(text.as_bytes()), Err(ManifestError::RemoveWithoutBase(path("a"))));
}

#[test]
fn members_fit_one_kind() {
    let cases = [
        (r#"{"path":"a"}"#, FileError::Kind("mode", "missing")),
        (r#"{"path":"a","mode":"0644","sha256":"E"}"#, FileError::Kind("size", "missing")),
        (r#"{"path":"a","mode":"0644","size":0}"#, FileError::Kind("sha256", "missing")),
        (r#"{"path":"a","dir":true}"#, FileError::Kind("mode", "missing")),
        (
            r#"{"path":"a","dir":true,"mode":"0755","size":0}"#,
            FileError::Kind("size", "out of place"),
        ),
        (
            r#"{"path":"a","dir":true,"mode":"0755","config":true}"#,
            FileError::Kind("config", "out of place"),
        ),
        (r#"{"path":"a","target":"b","config":true}"#, FileError::Kind("config", "out of place")),
        (r#"{"path":"a","target":"b","mode":"0777"}"#, FileError::Kind("mode", "out of place")),
        (r#"{"path":"a","target":"b","owner":"a:b"}"#, FileError::Kind("owner", "out of place")),
        (r#"{"path":"a","target":"b","dir":true}"#, FileError::Kind("dir", "out of place")),
        (r#"{"path":"a","target":""}"#, FileError::LinkTarget),
        (r#"{"path":"a","target":"b\u0000"}"#, FileError::LinkTarget),
        (r#"{"path":"a","dir":true,"mode":"755"}"#, FileError::Mode("755".into())),
        (r#"{"path":"a","dir":true,"mode":"10755"}"#, FileError::Mode("10755".into())),
        (r#"{"path":"a","dir":true,"mode":"+755"}"#, FileError::Mode("+755".into())),
        (
            r#"{"path":"a","dir":true,"mode":"0755","owner":"root"}"#,
            FileError::Owner("root".into()),
        ),
        (
            r#"{"path":"a","dir":true,"mode":"0755","owner":"a:b:c"}"#,
            FileError::Owner("a:b:c".into()),
        ),
        (
            r#"{"path":"a","mode":"0644","size":1099511627777,"sha256":"E"}"#,
            FileError::Size((1 << 40) + 1),
        ),
        (
            r#"{"path":"a","mode":"0644","size":0,"sha256":"E","xattrs":{"trusted.x":""}}"#,
            FileError::XattrName("trusted.x".into()),
        ),
        (
            r#"{"path":"a","mode":"0644","size":0,"sha256":"E","xattrs":{"user.x":"A"}}"#,
            FileError::XattrValue("user.x".into()),
        ),
    ];
    for (file, reason) in cases {
        assert_eq!(
            with_files(file),
            Err(ManifestError::File { path: path("a"), reason }),
            "{file}"
        );
    }
}

#[test]
fn sums_are_bounded() {
    let file = |at: &str| {
        format!("{{\"path\":\"{at}\",\"mode\":\"0644\",\"size\":1099511627776,\"sha256\":\"E\"}}")
    };
    assert!(with_files(&file("a")).is_ok());
    assert_eq!(with_files(&format!("{},{}", file("a"), file("b"))), Err(ManifestError::TooMuch));
    let attributes = [("user.x".to_string(), vec![0; MAX_XATTR_VALUES])].into();
    assert_eq!(Xattrs::new(attributes), Err(FileError::XattrSize(MAX_XATTR_VALUES + 6)));
}

const MAX_XATTR_VALUES: usize = crate::limits::MAX_XATTRS;

#[test]
fn unsafe_paths_and_hooks_are_refused() {
    for at in ["../a", "/a", "", "a//b", "a/", "a\\u0000", "a\\n"] {
        let files = with_files(&format!("{{\"path\":\"{at}\",\"target\":\"x\"}}"));
        assert!(matches!(files, Err(ManifestError::Json(JsonError::Shape(_)))), "{at}");
    }
    for at in ["hooks/", "hooks/a/b", "files/a", "hooks/..", "/hooks/a", "hooks//a", "hooks"] {
        let hooks = incremental(&format!(",\"hooks\":{{\"check\":\"{at}\"}}"));
        assert!(matches!(hooks, Err(ManifestError::Json(JsonError::Shape(_)))), "{at}");
    }
}

#[test]
fn duplicate_members_are_refused_at_every_depth() {
    let twice = [
        ",\"name\":\"acme\"",
        ",\"later\":1,\"later\":1",
        ",\"files\":[{\"path\":\"a\",\"path\":\"a\",\"target\":\"x\"}]",
        ",\"hooks\":{\"check\":\"hooks/a\",\"check\":\"hooks/a\"}",
    ];
    for members in twice {
        let read = incremental(members);
        assert!(matches!(read, Err(ManifestError::Json(JsonError::Duplicate(_)))), "{members}");
    }
    assert!(incremental(",\"later\":{\"a\":[]}").is_ok());
}

#[test]
fn the_log_entry_is_agreed_with() {
    let manifest = with_files(FILE).expect("a manifest");
    let announced = Announced {
        name: "acme".parse().expect("a name"),
        version: "2.1.1".parse().expect("a version"),
        base: Some(">=2.1.0, <2.1.1".parse().expect("a requirement")),
        platform: Platform::any(),
        size: 1,
        sha256: Hash32([0; 32]),
        unpacked: 0,
        files: 1,
    };
    assert_eq!(manifest.agrees_with(&announced), Ok(()));
    let field = |announced: &Announced| match manifest.agrees_with(announced) {
        Err(ManifestError::Disagrees { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    let name = "acne".parse().expect("a name");
    assert_eq!(field(&Announced { name, ..announced.clone() }), "name");
    let version = "2.1.2".parse().expect("a version");
    assert_eq!(field(&Announced { version, ..announced.clone() }), "version");
    assert_eq!(field(&Announced { base: None, ..announced.clone() }), "base");
    let platform = "linux-x86_64".parse().expect("a platform");
    assert_eq!(field(&Announced { platform, ..announced.clone() }), "platform");
    assert_eq!(field(&Announced { unpacked: 1, ..announced.clone() }), "unpacked size");
    assert_eq!(field(&Announced { files: 2, ..announced }), "number of files");
}

#[test]
fn more_files_than_announced_are_counted_and_not_read() {
    let bytes =
        format!("{{\"type\":\"manifest/v1\",\"files\":[{}]}}\n", vec!["{}"; 1000].join(","));
    // none of these is a file, which nobody comes to see
    let refused = Manifest::parse_announced(bytes.as_bytes(), 1);
    assert!(matches!(refused, Err(ManifestError::Disagrees { field: "number of files", .. })));
    let refused = Manifest::parse_announced(bytes.as_bytes(), 1000);
    assert!(matches!(refused, Err(ManifestError::Json(JsonError::Shape(_)))));
    let good = with_files(FILE).expect("a manifest").to_json();
    assert!(Manifest::parse_announced(&good, 1).is_ok());
}

/// A file of three bytes that comes as a delta, with these members of the delta.
fn with_delta(members: &str, more: &str) -> Result<Manifest, ManifestError> {
    incremental(&format!(
        ",\"bases\":\"{EMPTY}\",\"files\":[{{\"path\":\"a\",\"mode\":\"0644\",\"size\":3,\
         \"sha256\":\"{EMPTY}\",\"delta\":{{{members}}}{more}}}]"
    ))
}

#[test]
fn deltas_are_said_of_files() {
    let refused = |manifest: Result<Manifest, ManifestError>| match manifest {
        Err(ManifestError::Delta { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    let manifest = with_delta("\"bytes\":3", "").expect("a manifest");
    assert_eq!(manifest.delta(&path("a")), Some(&Delta { from: None, bytes: 3 }));
    assert_eq!(manifest.unpacked(), 3);
    assert_eq!(Manifest::parse(&manifest.to_json()), Ok(manifest.clone()));
    let renamed = with_delta("\"from\":\"b\",\"bytes\":2", "").expect("a manifest");
    let made = path("a");
    assert_eq!(renamed.delta(&made).map(|delta| delta.base(&made)), Some(&path("b")));
    assert_eq!(Manifest::parse(&renamed.to_json()), Ok(renamed));
    let bytes_and_size = DeltaEntryError::Size { bytes: 4, size: 3 };
    assert_eq!(refused(with_delta("\"bytes\":4", "")), bytes_and_size);
    assert_eq!(refused(with_delta("\"bytes\":3", ",\"config\":true")), DeltaEntryError::Kind);
    assert_eq!(refused(with_delta("\"from\":\"a\",\"bytes\":3", "")), DeltaEntryError::OwnPath);
    assert!(matches!(with_delta("\"from\":\"../b\",\"bytes\":3", ""), Err(ManifestError::Json(_))));
    assert!(matches!(with_delta("\"bytes\":-1", ""), Err(ManifestError::Json(_))));
    assert!(matches!(with_delta("", ""), Err(ManifestError::Json(_))));
    let parts = ManifestParts { base: None, ..manifest.0.clone() };
    assert_eq!(refused(Manifest::new(parts)), DeltaEntryError::Full);
    // of directories and symlinks, and without the hash of the bases
    let link = r#"{"path":"a","target":"b","delta":{"bytes":0}}"#;
    let link = format!(",\"bases\":\"{EMPTY}\",\"files\":[{link}]");
    assert_eq!(refused(incremental(&link)), DeltaEntryError::Kind);
    let file = FILE.replace("\"E\"", &format!("\"{EMPTY}\",\"delta\":{{\"bytes\":0}}"));
    assert_eq!(incremental(&format!(",\"files\":[{file}]")), Err(ManifestError::Bases));
    assert_eq!(incremental(&format!(",\"bases\":\"{EMPTY}\"")), Err(ManifestError::Bases));
}

#[test]
fn bases_are_those_of_the_tree_before() {
    let entry = |at: &str, size: u64| {
        let file = FILE.replace("\"size\":0", &format!("\"size\":{size}")).replace('E', EMPTY);
        let file = file.replace("\"a\"", &format!("\"{at}\""));
        serde_json::from_str::<FileEntry>(&file).expect("a file")
    };
    let link = serde_json::from_str(r#"{"path":"l","target":"a"}"#).expect("a link");
    let before = Tree::from_entries([entry("a", 5), entry("b", 6), entry("c", 7), link]);
    let named = Hash32::of(format!("5 {EMPTY} a\n6 {EMPTY} b\n").as_bytes());
    let delta = |from: &str| Delta { from: Some(path(from)), bytes: 1 };
    let deltas = |bases: Hash32, third: &str| {
        let own = Delta { from: None, bytes: 1 };
        let files = [(path("a"), own), (path("x"), delta("b")), (path("y"), delta(third))];
        Deltas { bases, files: files.into() }
    };
    let bases = deltas(named, "a").bases(&before).expect("the same files");
    assert_eq!(bases.get(&path("b")).map(|file| file.size), Some(6));
    assert_eq!(bases.get(&path("c")), None);
    let made = Hash32::of(format!("5 {EMPTY} a\n6 {EMPTY} b\n7 {EMPTY} c\n").as_bytes());
    assert_eq!(deltas(named, "c").bases(&before), Err(BasesError::Others { named, made }));
    for missing in ["d", "l"] {
        let expected = Err(BasesError::NotThere(path(missing)));
        assert_eq!(deltas(named, missing).bases(&before), expected);
    }
}
