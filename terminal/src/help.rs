//! Completions and man pages, from the same definitions that read the command line.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::ExitStatus;

/// What the help text below the options starts with; man pages show it as a section.
const EXAMPLES: &str = "Examples:";

/// The completion script of `command` for `shell`.
pub fn completions(mut command: Command, shell: Shell) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    script
}

/// Writes the man page of the program and of each of its commands to `directory`, which is made
/// if need be: `patchrepo.1`, `patchrepo-authority.1`, `patchrepo-authority-init.1` and so on.
pub fn man_pages(command: Command, directory: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(directory)?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut written = Vec::new();
    write_pages(&command, directory, true, &mut written)?;
    Ok(written)
}

/// Every command that has no commands of its own, with its full name, such as
/// `patchrepo authority init`. Tests use it to look at each one's help.
pub fn leaf_commands(command: Command) -> Vec<(String, Command)> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let name = command.get_name().to_owned();
    let mut found = Vec::new();
    collect_leaves(&command, &name, &mut found);
    found
}

fn collect_leaves(command: &Command, name: &str, found: &mut Vec<(String, Command)>) {
    if !command.has_subcommands() {
        found.push((name.to_owned(), command.clone()));
    }
    for inner in command.get_subcommands() {
        collect_leaves(inner, &format!("{name} {}", inner.get_name()), found);
    }
}

fn write_pages(
    command: &Command,
    directory: &Path,
    is_program: bool,
    written: &mut Vec<PathBuf>,
) -> io::Result<()> {
    let page = Man::new(command.clone());
    let path = directory.join(page.get_filename());
    let mut text = Vec::new();
    render(&page, command, is_program, &mut text)?;
    fs::write(&path, text)?;
    written.push(path);
    command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
        .try_for_each(|inner| write_pages(inner, directory, false, written))
}

fn render(page: &Man, command: &Command, is_program: bool, text: &mut Vec<u8>) -> io::Result<()> {
    page.render_title(text)?;
    page.render_name_section(text)?;
    page.render_synopsis_section(text)?;
    page.render_description_section(text)?;
    page.render_options_section(text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(text)?;
    }
    if let Some(after) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        render_after(&after.to_string(), text)?;
    }
    if is_program {
        render_exit_status(text)?;
    }
    Ok(())
}

/// The text below the options, line by line as it stands; the part from `Examples:` on in a
/// section of its own.
fn render_after(after: &str, text: &mut Vec<u8>) -> io::Result<()> {
    let (notes, examples) = after.split_once(EXAMPLES).unwrap_or((after, ""));
    for (heading, body) in [("NOTES", notes), ("EXAMPLES", examples)] {
        let body = body.trim_matches('\n');
        if body.trim().is_empty() {
            continue;
        }
        let mut roff = Roff::new();
        roff.control("SH", [heading]).control("nf", []);
        for line in body.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
        roff.to_writer(text)?;
    }
    Ok(())
}

fn render_exit_status(text: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for status in ExitStatus::ALL {
        roff.control("TP", ["5"]);
        roff.text([roman(status.code().to_string())]);
        roff.text([roman(status.meaning())]);
    }
    roff.to_writer(text)
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn program() -> Command {
        let init = Command::new("init")
            .about("Makes it")
            .arg(Arg::new("DIR"))
            .after_help("Some note.\n\nExamples:\n  program role init .hidden\n");
        Command::new("program").subcommand(Command::new("role").subcommand(init))
    }

    #[test]
    fn every_command_has_a_page() {
        let directory = tempfile::tempdir().expect("a directory");
        let pages = man_pages(program(), &directory.path().join("man1")).expect("pages");
        let names: Vec<_> = pages.iter().filter_map(|page| page.file_name()).collect();
        assert_eq!(names, ["program.1", "program-role.1", "program-role-init.1"]);
        let page = fs::read_to_string(&pages[2]).expect("the page");
        assert!(page.contains(".SH NOTES\n.nf\nSome note.\n"), "{page}");
        assert!(page.contains(".SH EXAMPLES\n.nf\n  program role init .hidden\n"), "{page}");
        let page = fs::read_to_string(&pages[0]).expect("the page");
        assert!(page.contains(".SH \"EXIT STATUS\""), "{page}");
    }

    #[test]
    fn completions_know_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(completions(program(), shell)).expect("text");
            assert!(script.contains("init"), "{shell}");
        }
    }

    #[test]
    fn leaves_are_the_commands_that_do_something() {
        let names: Vec<_> = leaf_commands(program()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["program role init"]);
    }
}
