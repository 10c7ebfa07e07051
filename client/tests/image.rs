//! Machines that are made from one image, which carries the enrolment.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Machine, two_versions};

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status().expect("cp runs");
    assert!(status.success());
}

/// A machine with an image that carries the enrolment.
fn image() -> Machine {
    let repository = two_versions();
    let machine = Machine::new();
    machine.publish(&repository);
    let note = machine.path("authority.note");
    std::fs::write(&note, repository.enrolment()).expect("written");
    std::fs::create_dir(machine.path("image")).expect("made");
    let (image, public) = (machine.path("image"), machine.path("public"));
    let words = [image.as_path(), public.as_path(), note.as_path()]
        .map(|path| path.to_str().expect("UTF-8").to_owned());
    let [image, public, note] = words;
    let run = machine.run_anywhere(&["enroll", "--image", &image, &public, "--authority", &note]);
    run.success().says("enrol with: patchctl update");
    machine
}

/// A machine made from the image: its root.
fn boot(machine: &Machine, name: &str) -> String {
    let root = machine.path(name);
    copy(&machine.path("image"), &root);
    root.to_str().expect("UTF-8").to_owned()
}

fn id(root: &str) -> String {
    let database = Path::new(root).join("var/lib/patchctl/state.db");
    let connection = rusqlite::Connection::open(database).expect("a state");
    connection.query_row("SELECT id FROM machine", [], |row| row.get(0)).expect("an identity")
}

#[test]
fn machines_of_one_image_are_two_and_a_lost_state_is_still_refused() {
    let machine = image();
    assert!(!machine.path("image/var/lib/patchctl/state.db").exists());
    let (one, other) = (boot(&machine, "one"), boot(&machine, "other"));
    machine.run_anywhere(&["--root", &one, "status"]).code(1).says("patchctl update");
    for root in [&one, &other] {
        machine.run_anywhere(&["--root", root, "update"]).success();
        machine.run_anywhere(&["--root", root, "list"]).success().says("acme-agent");
        assert!(!Path::new(root).join("var/lib/patchctl/first-boot").exists());
    }
    assert_ne!(id(&one), id(&other));
    let before = id(&one);
    machine.run_anywhere(&["--root", &one, "update"]).success();
    assert_eq!(id(&one), before);

    let state = Path::new(&one).join("var/lib/patchctl/state.db");
    std::fs::remove_file(&state).expect("removed");
    machine.run_anywhere(&["--root", &one, "update"]).code(1).says("is gone");
    assert!(!state.exists());
    // what was booted is no image any more
    let (public, note) = (machine.path("public"), machine.path("authority.note"));
    let (public, note) = (public.to_str().expect("UTF-8"), note.to_str().expect("UTF-8"));
    let again = ["enroll", "--image", &other, public, "--authority", note, "--name", "second"];
    machine.run_anywhere(&again).code(1).says("was booted");
}

#[test]
fn an_altered_image_enrols_nobody() {
    let machine = image();
    let root = boot(&machine, "altered");
    let marks = Path::new(&root).join("var/lib/patchctl/first-boot");
    let mark = std::fs::read_dir(marks).expect("listed").next().expect("one").expect("an entry");
    let text = std::fs::read_to_string(mark.path()).expect("a note");
    std::fs::write(mark.path(), text.replacen("patches.", "evilish.", 1)).expect("written");
    machine.run_anywhere(&["--root", &root, "update"]).code(10).says("authority note");
    let again = machine.run_anywhere(&["--root", &root, "update"]);
    again.code(10).says("authority note");
}

#[test]
fn an_image_that_leads_out_of_itself_is_not_written_to() {
    let machine = Machine::new();
    let repository = two_versions();
    machine.publish(&repository);
    std::fs::write(machine.path("authority.note"), repository.enrolment()).expect("written");
    std::fs::create_dir_all(machine.path("hosts/patchctl")).expect("made");
    for link in ["etc", "var"] {
        let image = machine.path(&format!("image-{link}"));
        std::fs::create_dir(&image).expect("made");
        std::os::unix::fs::symlink(machine.path("hosts"), image.join(link)).expect("linked");
        let words = [image, machine.path("public"), machine.path("authority.note")]
            .map(|path| path.to_str().expect("UTF-8").to_owned());
        let [image, public, note] = words;
        let enroll = ["enroll", "--image", &image, &public, "--authority", &note];
        machine.run_anywhere(&enroll).code(1).says("outside of the image");
    }
    let written = std::fs::read_dir(machine.path("hosts/patchctl")).expect("listed").count();
    assert_eq!(written, 0);
}
