use super::*;

fn json() -> GlobalArgs {
    GlobalArgs { json: true, ..GlobalArgs::default() }
}

fn failure() -> Failure {
    let cause = io::Error::other("disk gone");
    Failure::new(ExitStatus::Signature, Wrapped(cause)).hint("look at the disk")
}

#[derive(Debug)]
struct Wrapped(io::Error);

impl Display for Wrapped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("cannot read\nhint: a trap")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

struct Broken(io::ErrorKind);

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn errors_have_three_parts_and_none_can_be_faked() {
    let (output, captured) = Output::captured(&GlobalArgs::default(), None);
    assert_eq!(output.finish(&Err(failure())), ExitStatus::Signature);
    assert_eq!(
        captured.stderr(),
        "error: cannot read\n    hint: a trap\n  cause: disk gone\nhint: look at the disk\n"
    );
    assert_eq!(captured.stdout(), "");
}

#[test]
fn json_is_one_document_however_it_ends() {
    let (output, captured) = Output::captured(&json(), None);
    output.print_line("text");
    output.finish(&Err(failure()));
    let document: serde_json::Value = serde_json::from_str(&captured.stdout()).expect("JSON");
    assert_eq!(document["causes"], serde_json::json!(["disk gone"]));
    assert_eq!(document["exit"], 10);
    assert!(captured.stderr().starts_with("error: "));

    let (output, captured) = Output::captured(&json(), None);
    output.json(&[1]);
    output.finish(&Err(failure()));
    assert_eq!(serde_json::from_str::<Vec<u8>>(&captured.stdout()).expect("JSON"), [1]);

    let (output, captured) = Output::captured(&json(), None);
    output.finish(&Ok(ExitStatus::PatchesWaiting));
    let document: serde_json::Value = serde_json::from_str(&captured.stdout()).expect("JSON");
    assert_eq!(document, serde_json::json!({ "exit": 100 }));
}

#[test]
fn quiet_keeps_warnings_and_results() {
    let quiet = GlobalArgs { quiet: true, ..GlobalArgs::default() };
    let (output, captured) = Output::captured(&quiet, None);
    output.note("a note");
    output.detail("a detail");
    output.warning("a warning");
    output.print_line("a result");
    assert_eq!(captured.stderr(), "warning: a warning\n");
    assert_eq!(captured.stdout(), "a result\n");
}

#[test]
fn a_closed_pipe_ends_quietly_and_a_full_disk_does_not() {
    for (kind, expected) in [
        (io::ErrorKind::BrokenPipe, ExitStatus::Done),
        (io::ErrorKind::StorageFull, ExitStatus::Failed),
    ] {
        let (mut output, captured) = Output::captured(&GlobalArgs::default(), None);
        output.stdout = Stream::new(Box::new(Broken(kind)), false);
        output.print_line("lost");
        output.print_line("lost");
        assert_eq!(output.finish(&Ok(ExitStatus::Done)), expected);
        assert_eq!(captured.stderr().contains("standard output"), expected == ExitStatus::Failed);
    }
}

#[test]
fn only_yes_is_yes_and_nobody_is_not() {
    let answer = |typed: Option<&str>, assume_yes| {
        let (output, _) = Output::captured(&GlobalArgs::default(), typed);
        output.confirm("go on?", assume_yes)
    };
    assert!(answer(Some("y\n"), false).expect("asked"));
    assert!(answer(Some("YES\n"), false).expect("asked"));
    for typed in ["\n", "no\n", "yess\n", ""] {
        assert!(!answer(Some(typed), false).expect("asked"), "{typed:?}");
    }
    assert!(answer(None, true).expect("not asked"));
    assert_eq!(answer(None, false).expect_err("nobody to ask").exit(), ExitStatus::Usage);
}

#[test]
fn colours_only_where_wanted() {
    let always = GlobalArgs { color: ColorArgument::Always, ..GlobalArgs::default() };
    let (output, captured) = Output::captured(&always, None);
    output.warning("w");
    assert!(captured.stderr().contains("\u{1b}["));
    assert!(!colored(ColorArgument::Never, anstream::ColorChoice::Always));
    assert!(!colored(ColorArgument::Auto, anstream::ColorChoice::Never));
    assert!(colored(ColorArgument::Auto, anstream::ColorChoice::Auto));
}

#[test]
fn fields_line_up() {
    let (output, captured) = Output::captured(&GlobalArgs::default(), None);
    output.print_field("name", "acme\nsecond");
    assert_eq!(captured.stdout(), "name:           acme\n                second\n");
}

#[test]
fn what_stands_out_is_said_in_words_too() {
    let always = GlobalArgs { color: ColorArgument::Always, ..GlobalArgs::default() };
    let (output, colored) = Output::captured(&always, None);
    output.print_item("disk", Tone::Bad, "problem", "it is full\nmake room");
    let (output, plain) = Output::captured(&GlobalArgs::default(), None);
    output.print_item("disk", Tone::Bad, "problem", "it is full\nmake room");
    let text = format!("disk            problem  it is full\n{:25}make room\n", "");
    assert_eq!(plain.stdout(), text);
    let stripped = colored.stdout().replace("\u{1b}[1m\u{1b}[31m", "").replace("\u{1b}[0m", "");
    assert_eq!(stripped, text, "colours change nothing else");
}
