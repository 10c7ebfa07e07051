//! What people's fingers know: words of other package managers, and completion.

mod common;

use common::{Machine, two_versions};

/// What the shell is offered for the last of these words.
fn complete(machine: &Machine, words: &[&str]) -> Vec<String> {
    let mut command = machine.command(&[]);
    let program = command.get_program().to_owned();
    command = std::process::Command::new(program);
    let root = machine.path("root");
    let whole = [&["patchctl", "--root", root.to_str().expect("UTF-8")], words].concat();
    let output = command
        .env("_PATCHCTL_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", (whole.len() - 1).to_string())
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_COMPLETE_SPACE", "true")
        .env("_CLAP_IFS", "\n")
        .arg("--")
        .args(&whole)
        .output()
        .expect("the program starts");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn names_are_completed_from_what_is_installed_and_offered() {
    let machine = Machine::new();
    assert_eq!(complete(&machine, &["install", "ac"]), [""; 0], "there is no state yet");
    let machine = Machine::enrolled(&two_versions());
    assert_eq!(complete(&machine, &["install", "ac"]), ["acme-agent"]);
    assert_eq!(
        complete(&machine, &["show", "acme-agent@"]),
        ["acme-agent@1.0.0", "acme-agent@1.1.0"]
    );
    assert_eq!(complete(&machine, &["remove", "ac"]), [""; 0], "nothing is installed");
    machine.run(&["install", "acme-agent@1.0.0", "--yes"]).success();
    assert_eq!(complete(&machine, &["remove", "ac"]), ["acme-agent"]);
    assert_eq!(complete(&machine, &["hold", ""])[0], "acme-agent");
    assert_eq!(complete(&machine, &["rollback", "--to", ""]), ["1"]);
    assert_eq!(complete(&machine, &["history", "1"]), ["1"]);
    assert_eq!(complete(&machine, &["sources", "remove", "pat"]), ["patches.example.org"]);
    // a damaged state is no reason to say anything
    std::fs::write(machine.root("var/lib/patchctl/state.db"), "torn").expect("written");
    assert_eq!(complete(&machine, &["install", "ac"]), [""; 0]);
}

#[test]
fn nobody_is_waited_for_at_the_prompt() {
    let machine = Machine::enrolled(&two_versions());
    let state = rusqlite::Connection::open(machine.root("var/lib/patchctl/state.db"));
    let state = state.expect("a state");
    state.execute_batch("BEGIN EXCLUSIVE").expect("locked");
    let begun = std::time::Instant::now();
    assert_eq!(complete(&machine, &["install", "ac"]), [""; 0]);
    // what SQLite would wait for otherwise is ten seconds
    assert!(begun.elapsed() < std::time::Duration::from_secs(9));
}

#[test]
fn words_of_apt_dnf_and_zypper_are_understood() {
    let machine = Machine::enrolled(&two_versions());
    machine.run(&["refresh"]).success().says("hint: refresh is here: patchctl update");
    machine.run(&["in", "acme-agent@1.0.0", "-y"]).success().says("installed");
    machine.run(&["info", "acme-agent"]).success().says("acme-agent");
    machine.run(&["check-update"]).code(101);
    machine.run(&["lu"]).success().says("1.1.0").says("patchctl list --upgradable");
    machine.run(&["dist-upgrade", "--assume-yes"]).says("1.0.0 → 1.1.0");
    machine.run(&["repos"]).success().says("patches.example.org");
    machine.run(&["purge", "acme-agent", "-y"]).success();
    machine.run(&["autoremove"]).code(2).says("there is no command").says("remove NAME");
    machine.run(&["instal", "x"]).code(2).says("install");
    let quiet = machine.run(&["-q", "se", "acme"]).success();
    assert_eq!(quiet.stderr, "");
    let refused = machine.run(&["autoremove", "--json"]).code(2);
    assert!(refused.stdout.contains("\"exit\": 2"), "{}", refused.stdout);
}

#[test]
fn help_has_colours_when_asked_and_not_otherwise() {
    let machine = Machine::new();
    let escape = "\u{1b}[";
    assert!(machine.run(&["--color=always", "update", "--help"]).stdout.contains(escape));
    assert!(!machine.run(&["--color=never", "update", "--help"]).stdout.contains(escape));
    let mut command = machine.command(&["--color=always", "update", "--nonsense"]);
    let said = command.env("NO_COLOR", "1").output().expect("it runs").stderr;
    assert!(String::from_utf8_lossy(&said).contains(escape), "the option is nearer");
}
