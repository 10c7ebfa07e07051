//! The same news for debmirror, from a repository that reprepro keeps.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use crate::Options;
use crate::items::items;
use crate::measure::{Measured, Workshop, is_installed, measure, run as run_command};
use crate::mirror::NEW;
use crate::peers::reprepro::Reprepro;
use crate::peers::{Keeper, apt, first_new, kept};
use crate::publish::AT_MOST;
use crate::server::Server;
use crate::table::Table;

/// Prints a table for each size at which the other is measured and each kind of news.
pub fn run(workshop: &Workshop, options: &Options, ours: &HashMap<(u64, usize), Measured>) {
    if !["debmirror", "reprepro", "gpg"].into_iter().all(is_installed) {
        return;
    }
    for &size in options.sizes.iter().filter(|size| **size <= AT_MOST) {
        let site = kept(workshop, &Reprepro, size);
        let server = Server::start(&workshop.fresh("nginx"), &site);
        let held = workshop.path(&format!("debmirror-{size}"));
        // whatever it holds from an earlier run is brought up to date first
        run_command(&mut debmirror(&server, &held));
        for new in NEW {
            publish(&site, size, new);
            let mut table = Table::new(format!("mirror sync, {new} new, {size} entries"));
            table.row("patchrepo mirror sync", ours[&(size, new)]);
            table.row("debmirror", follow(workshop, options, &server, &held));
            table.print();
            run_command(&mut debmirror(&server, &held));
        }
    }
}

fn publish(repository: &Path, size: u64, count: usize) {
    if count == 0 {
        return;
    }
    let first = first_new(&Reprepro, repository, size);
    let upto = first + count as u64;
    let new = items(upto, false).split_off(usize::try_from(first).expect("held in memory"));
    run_command(&mut Reprepro.add(repository, &new));
}

fn follow(workshop: &Workshop, options: &Options, server: &Server, held: &Path) -> Measured {
    let copy = workshop.path("mirror");
    let prepare = || {
        workshop.set_aside(&copy);
        run_command(Command::new("cp").arg("-a").arg(held).arg(&copy));
    };
    let measured = measure(options.runs, prepare, || debmirror(server, &copy), || ());
    prepare();
    server.forget();
    run_command(&mut debmirror(server, &copy));
    Measured { network: Some(server.counted()), ..measured }
}

fn debmirror(server: &Server, at: &Path) -> Command {
    let address = server.url().trim_start_matches("http://").trim_end_matches('/');
    let mut command = Command::new("debmirror");
    command.args(["--method=http", "--root=/", "--dist=x", "--section=main", "--arch=amd64"]);
    command.args(["--nosource", "--no-check-gpg", "--i18n"]);
    command.arg(format!("--host={address}")).arg(at);
    apt::sign_with_key(&mut command);
    command
}
