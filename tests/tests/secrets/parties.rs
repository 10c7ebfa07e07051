//! All parties of a repository, each with secrets of its own, and what they said on their way.

use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use countersign_tests::softhsm::PIN;
use countersign_tests::{Background, Lab, Outcome, Run, Secrets, SoftHsm};

use crate::derive;

/// What the client shows its server.
pub const TOKEN: &str = "5eesaw-Margery-Daw-shall-have-a-new-master";
const ROLES: [&str; 5] = ["authority", "collection", "distribution", "directory", "witness"];

/// Writes down what it and its caller are started with, and signs.
const SIGNER: &str = "#!/bin/sh\nset -e\n{ env; for process in self $PPID; do\n\
    tr '\\0' '\\n' </proc/$process/cmdline; tr '\\0' '\\n' </proc/$process/environ || true\n\
    done; } >>\"$2\" 2>/dev/null\n\
    if [ \"$COUNTERSIGN_PURPOSE\" = public-key ]; then\n\
    openssl pkey -in \"$1\" -passin file:\"$3\" -pubout -outform DER | tail -c 32\nelse\n\
    cat >\"$1.in\"; openssl pkeyutl -sign -rawin -in \"$1.in\" -inkey \"$1\" -passin file:\"$3\" |\n\
    base64 -w 0\nrm \"$1.in\"\nfi\n";

pub struct Parties {
    pub lab: Lab,
    hsm: SoftHsm,
    said: RefCell<String>,
    server: RefCell<Option<Background>>,
}

/// A role's passphrase.
fn passphrase(role: &str) -> String {
    format!("open sesame for the {role} 4711")
}

fn name(below: &str) -> String {
    format!("{}/{below}", Lab::NAME)
}

impl Parties {
    pub fn new() -> Self {
        let lab = Lab::new();
        fs::create_dir(lab.path("secret")).expect("made");
        fs::set_permissions(lab.path("secret"), fs::Permissions::from_mode(0o700)).expect("set");
        for role in ROLES.iter().chain(&["alice"]) {
            fs::write(lab.path("secret").join(role), passphrase(role) + "\n").expect("written");
        }
        let token = lab.path("secret/token");
        fs::write(&token, format!("bearer {TOKEN}\n")).expect("written");
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).expect("set");
        let hsm = SoftHsm::new(&lab);
        Self { lab, hsm, said: RefCell::default(), server: RefCell::default() }
    }

    /// The same command, which finds the passphrase of `role`.
    pub fn with_passphrase(&self, run: Run, role: &str) -> Run {
        run.env("PATCHREPO_PASSPHRASE_FILE", self.lab.path("secret").join(role))
    }

    /// All that was said, and the commands.
    pub fn said(&self) -> String {
        self.said.borrow().clone()
    }

    fn keep(&self, outcome: Outcome) -> Outcome {
        self.said.borrow_mut().push_str(&outcome.to_string());
        outcome
    }

    fn run(&self, role: &str, line: &str) -> Outcome {
        self.exits(role, line, 0)
    }

    fn exits(&self, role: &str, line: &str, code: i32) -> Outcome {
        let run = self.lab.patchrepo(&format!("-v {line}"));
        self.keep(self.with_passphrase(run, role).exits(code))
    }

    /// Where the key lies with which alice signs for the collection, behind a command.
    fn alice(&self) -> String {
        let path = |path: &str| self.lab.path(path).display().to_string();
        let (key, seen) = (path("alice/key.pem"), path("seen"));
        format!("exec:{} {key} {seen} {}", path("sign"), path("secret/alice"))
    }

    /// Where the key lies with which bob signs for the distribution, in a token.
    fn bob(&self) -> String {
        self.hsm.uri("bob", "key")
    }

    fn with_pin(&self, line: &str, signer: &str) -> Outcome {
        let run = self.hsm.with(self.lab.patchrepo(&format!("-v {line} --signer"))).arg(signer);
        self.keep(run.done())
    }

    /// Keys, servers, directory and witness, and the authority's first two versions.
    pub fn set_up(&self) {
        let authority = name("authority");
        let init = "authority init authority --keys 2 --threshold 2 --name";
        self.run("authority", &format!("{init} {authority}"));
        let settings = fs::read_to_string(self.lab.path("authority/config.toml")).expect("text");
        let kgc = settings.lines().find_map(|line| line.strip_prefix("kgc = ")).expect("a point");
        let kgc = kgc.trim_matches('"');
        for role in ["collection", "distribution"] {
            let own = name(role);
            self.run(
                role,
                &format!(
                    "{role} init {role} --name {own} --authority authority/public --kgc {kgc}"
                ),
            );
            self.run(
                "authority",
                &format!("authority issue authority {role}/request.json -o grant --yes"),
            );
            self.run(role, &format!("{role} accept {role} grant -o acceptance"));
            self.run("authority", "authority admit authority acceptance");
        }
        self.run("authority", "authority sign authority");
        self.run("authority", "authority publish authority --json");
        fs::copy(self.lab.path("authority/public/authority/1"), self.lab.path("authority.note"))
            .expect("copied");
        self.holders();
        self.run("directory", &format!("directory init directory --name {}", name("directory")));
        self.run("witness", "witness init witness --name witness.example.net");
        self.run(
            "authority",
            "authority change authority --collection-threshold 2 --distribution-threshold 2 \
             --directory-key directory/directory.pub --witness witness/witness.pub",
        );
        self.run("authority", "authority sign authority");
        self.run("authority", "authority publish authority");
        fs::copy(self.lab.path("authority/public/authority/2"), self.lab.path("newest.note"))
            .expect("copied");
        self.run("authority", "authority status authority");
        self.run("authority", "authority show authority --json");
    }

    /// Two people who sign beside the servers: one behind a command, one with a token.
    fn holders(&self) {
        fs::write(self.lab.path("sign"), SIGNER).expect("written");
        fs::set_permissions(self.lab.path("sign"), fs::Permissions::from_mode(0o755)).expect("set");
        let file = "key generate --name example.org/x --signer file:alice/key.pem";
        self.run("alice", file);
        self.hsm.token("bob");
        self.with_pin("key generate --name example.org/x", &self.bob());
        for (role, holder, signer) in
            [("collection", "alice", self.alice()), ("distribution", "bob", self.bob())]
        {
            let own = name(&format!("{role}/{holder}"));
            let init =
                format!("{role} init {holder}-server --authority authority/public --name {own}");
            self.with_pin(&init, &signer);
            let admit = format!("authority admit authority {holder}-server/request.json");
            self.run("authority", &format!("{admit} --ordinary-key"));
        }
    }

    /// A patch with both signatures on both layers, two of each, a witness's lines and a directory.
    pub fn publish(&self) {
        self.lab.tree("tree").program("opt/acme/agent", "one");
        self.run("collection", "collection add collection tree --name acme-agent --version 1.0.0");
        self.run("collection", "collection test collection acme-agent@1.0.0 -- true");
        self.exits("collection", "collection publish collection", 10);
        self.gather("collection", "", &self.alice());
        self.run("collection", "collection publish collection");
        let sync = "distribution sync distribution --from collection/public";
        self.run("distribution", sync);
        let release = "distribution release distribution acme-agent@1.0.0 --ring stable";
        self.run("distribution", release);
        self.exits("distribution", "distribution publish distribution --json", 10);
        self.gather("distribution", "--authority newest.note", &self.bob());
        self.run("distribution", "distribution publish distribution");
        let witness = "witness run witness distribution/public --authority authority.note -o lines";
        self.run("witness", witness);
        self.run("distribution", "distribution import distribution lines");
        let url = "https://patches.example.org/";
        self.run("directory", &format!("directory add directory {url}"));
        self.run("directory", "directory publish directory");
        let mut settings = OpenOptions::new()
            .append(true)
            .open(self.lab.path("distribution/config.toml"))
            .expect("opened");
        writeln!(settings, "directory = \"../directory/public\"").expect("written");
        self.run("distribution", "distribution refresh distribution --force");
        for line in [
            "verify distribution/public --authority authority.note --json",
            "inspect distribution/public/collection/checkpoint --json",
            "collection show collection --json",
            "distribution list distribution",
            "prove distribution acme-agent@1.0.0 -o proof.tlog-proof",
            "mirror sync distribution/public mirror --authority authority.note",
            "authority check authority.note --repository distribution/public --json",
        ] {
            self.run("authority", line);
        }
    }

    /// What is missing of a server's round, signed by `signer`.
    fn gather(&self, role: &str, words: &str, signer: &str) {
        fs::create_dir_all(self.lab.path("record")).expect("made");
        self.run(role, &format!("{role} export {role} -o to-sign.json"));
        self.with_pin(
            &format!("sign to-sign.json --yes -o signed.json --record record {words}"),
            signer,
        );
        self.run(role, &format!("{role} import {role} signed.json"));
    }

    /// A client that shows its server a token.
    pub fn install(&self) {
        let server = self.lab.serve("distribution/public");
        fs::create_dir(self.lab.path("endpoint")).expect("made");
        let enroll = "-v enroll --authority authority.note --credentials-file secret/token";
        self.keep(self.lab.endpoint(enroll).arg(server.url()).done());
        for line in [
            "-v update",
            "-v install acme-agent",
            "status --json",
            "sources --json",
            "history --json",
            "config explain credentials_file",
            "config explain --json url",
            "doctor --json",
            "-v verify",
            "clean",
        ] {
            self.keep(self.lab.endpoint(line).outcome());
        }
        self.said.borrow_mut().push_str(server.said());
        *self.server.borrow_mut() = Some(server);
    }

    /// All secrets that these parties have.
    pub fn secrets(&self) -> Secrets {
        let mut secrets = Secrets::default();
        secrets.add("PIN", PIN.as_bytes());
        secrets.add("token", TOKEN.as_bytes());
        let keys = [
            ("authority", vec!["authority/keys"]),
            ("collection", vec!["collection/keys"]),
            ("distribution", vec!["distribution/keys"]),
            ("directory", vec!["directory/keys"]),
            ("witness", vec!["witness/keys"]),
            ("alice", vec!["alice"]),
        ];
        for (role, directories) in keys {
            secrets.add(&format!("passphrase of the {role}"), passphrase(role).as_bytes());
            for file in directories.iter().flat_map(|directory| self.key_files(directory)) {
                let grant = file.with_extension("grant");
                let grant = grant.exists().then_some(grant);
                let found = derive::of_file(&file, Some(&passphrase(role)), grant.as_deref());
                for (what, secret) in found {
                    secrets.add(&format!("{role}: {what}"), &secret);
                }
            }
        }
        secrets
    }

    fn key_files(&self, directory: &str) -> Vec<PathBuf> {
        let directory = self.lab.path(directory);
        let files = fs::read_dir(directory).expect("listed").map(|file| file.expect("one").path());
        let files: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|ending| ending == "pem")).collect();
        assert!(!files.is_empty());
        files
    }
}
