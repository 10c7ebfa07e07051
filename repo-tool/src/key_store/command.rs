//! Keys behind a command: a program of the operator's that talks to whatever holds the key.
//!
//! The program is started once a signature, without a shell. It gets the exact bytes to be signed
//! on standard input and writes the 64 bytes of an Ed25519 signature to standard output, as they
//! are or in base64. Its environment holds `PATH`, `HOME`, and:
//!
//! - `COUNTERSIGN_PURPOSE`: what the bytes are, by their own first words: `checkpoint`,
//!   `cosignature/v1`, `countersign/v1`, or the type of a JSON text such as `patch/v1`; or
//!   `public-key`, where nothing is to be signed and the answer is the 32 bytes of the public key;
//! - `COUNTERSIGN_KEY`: the key's name, where it is known;
//! - `COUNTERSIGN_PUBLIC_KEY`: the public key in base64, where it is known.
//!
//! It is trusted for nothing: what it answers is verified before it is used.

use std::io::{self, Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use countersign_format::authority::PointText;
use countersign_format::json;
use countersign_format::key::{KeyError, KeyName, PublicKey};
use countersign_format::signature::{SignError, Signer};

use data_encoding::BASE64;

use super::location::CommandLine;

/// How long a program may take: somebody may have to find a token and touch it.
pub const COMMAND_PATIENCE: Duration = Duration::from_secs(300);
/// Most that it may answer: a signature in base64 takes 88 bytes.
pub const MAX_ANSWER: usize = 1024;

/// Why a program did not sign.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started or talked to.
    #[error("cannot {action} {program}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The program.
        program: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// It said itself that it failed.
    #[error("{program} failed ({status})")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It took longer than [`COMMAND_PATIENCE`].
    #[error("{program} did not answer within {} s", COMMAND_PATIENCE.as_secs())]
    Slow {
        /// The program.
        program: String,
    },
    /// It answered with something else than was asked for.
    #[error(
        "{program} answered with {found} bytes that are neither {expected} bytes nor their base64"
    )]
    Answer {
        /// The program.
        program: String,
        /// Bytes that it wrote, at most [`MAX_ANSWER`] and one.
        found: usize,
        /// Bytes that were asked for.
        expected: usize,
    },
    /// What it gave as its public key is none.
    #[error("{program} answered with what is no public key")]
    PublicKey {
        /// The program.
        program: String,
        /// What is wrong.
        source: KeyError,
    },
}

/// A key behind a command.
#[derive(Debug, Clone)]
pub(super) struct CommandSigner {
    line: CommandLine,
    name: Option<KeyName>,
    public: PublicKey,
    patience: Duration,
}

impl CommandSigner {
    /// The key with the public key `known`, or that the command itself says it has.
    pub(super) fn open(
        line: &CommandLine,
        known: Option<&PublicKey>,
    ) -> Result<Self, CommandError> {
        let ask_for_it = || {
            let patience = COMMAND_PATIENCE;
            let answer: [u8; 32] = ask(line, &[("PURPOSE", "public-key")], &[], patience)?;
            PublicKey::from_bytes(&answer)
                .map_err(|source| CommandError::PublicKey { program: line.program.clone(), source })
        };
        let public = known.cloned().map_or_else(ask_for_it, Ok)?;
        Ok(Self { line: line.clone(), name: None, public, patience: COMMAND_PATIENCE })
    }

    pub(super) fn named(self, name: &KeyName) -> Self {
        Self { name: Some(name.clone()), ..self }
    }
}

impl Signer for CommandSigner {
    fn name(&self) -> &KeyName {
        self.name.as_ref().expect("named before it signs")
    }

    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let public = PointText(*self.public.as_bytes()).to_string();
        let purpose = purpose(message);
        let variables = [
            ("PURPOSE", purpose.as_str()),
            ("KEY", self.name().as_str()),
            ("PUBLIC_KEY", public.as_str()),
        ];
        ask(&self.line, &variables, message, self.patience).map_err(|source| SignError::Holder {
            name: self.name().clone(),
            source: Box::new(source),
        })
    }
}

/// What a message is, by its own first words, which are what keeps messages apart (SPEC §3.1).
fn purpose(message: &[u8]) -> String {
    let first_line = message.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match json::first_type(message) {
        Ok(kind) => kind.to_owned(),
        Err(_) if [&b"cosignature/v1"[..], b"countersign/v1"].contains(&first_line) => {
            String::from_utf8_lossy(first_line).into_owned()
        }
        Err(_) => "checkpoint".to_owned(),
    }
}

/// Runs the program with `message` on its standard input, and reads an answer of N bytes.
fn ask<const N: usize>(
    line: &CommandLine,
    variables: &[(&str, &str)],
    message: &[u8],
    patience: Duration,
) -> Result<[u8; N], CommandError> {
    let failed = |action| {
        let program = line.program.clone();
        move |source| CommandError::Io { action, program, source }
    };
    let mut command = Command::new(&line.program);
    command.args(&line.arguments).env_clear();
    for name in ["PATH", "HOME"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command.envs(variables.iter().map(|(name, value)| (format!("COUNTERSIGN_{name}"), value)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(failed("start"))?;
    let answer = talk(&mut child, message, patience);
    if answer.is_err() {
        // it may hang; whatever it still does, nobody listens
        let _ = child.kill();
    }
    let status = child.wait().map_err(failed("wait for"))?;
    let program = || line.program.clone();
    let answer = match answer {
        Ok(answer) => answer,
        Err(None) => return Err(CommandError::Slow { program: program() }),
        Err(Some(source)) => return Err(failed("talk to")(source)),
    };
    if !status.success() {
        return Err(CommandError::Failed { program: program(), status });
    }
    let (found, expected) = (answer.len(), N);
    decode(&answer).ok_or_else(|| CommandError::Answer { program: program(), found, expected })
}

/// Writes and reads side by side, so that neither waits for the other for ever. `Err(None)` where it
/// took too long.
fn talk(
    child: &mut Child,
    message: &[u8],
    patience: Duration,
) -> Result<Vec<u8>, Option<io::Error>> {
    let mut input = child.stdin.take().expect("piped");
    let output = child.stdout.take().expect("piped");
    let message = message.to_vec();
    // a program may answer without reading all, so a closed pipe is no error
    thread::spawn(move || input.write_all(&message));
    let (answered, answer) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = output.take(MAX_ANSWER as u64 + 1).read_to_end(&mut bytes);
        let _ = answered.send(read.map(|_| bytes));
    });
    let deadline = Instant::now() + patience;
    let bytes = match answer.recv_timeout(patience) {
        Ok(read) => read.map_err(Some)?,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Err(None),
    };
    while bytes.len() <= MAX_ANSWER && child.try_wait().map_err(Some)?.is_none() {
        if Instant::now() > deadline {
            return Err(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(bytes)
}

fn decode<const N: usize>(answer: &[u8]) -> Option<[u8; N]> {
    if let Ok(bytes) = answer.try_into() {
        return Some(bytes);
    }
    let text = std::str::from_utf8(answer).ok()?;
    BASE64.decode(text.trim_end().as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use countersign_format::signature::{SeedSigner, sign_note};

    use super::*;

    fn name() -> KeyName {
        "example.org/a".parse().expect("a name")
    }

    /// A signer that runs this script.
    fn signer(script: &str) -> (tempfile::TempDir, CommandSigner) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("sign");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        let line = CommandLine { program: path.display().to_string(), arguments: vec![] };
        let public = SeedSigner::new(name(), &[7; 32]).public_key().clone();
        let signer = CommandSigner::open(&line, Some(&public)).expect("opened").named(&name());
        (directory, signer)
    }

    fn holder(error: SignError) -> String {
        let SignError::Holder { source, .. } = error else { panic!("{error}") };
        source.to_string()
    }

    #[test]
    fn what_it_answers_is_verified() {
        let (_directory, signer) = signer("head -c 64 /dev/zero");
        assert_eq!(signer.sign(b"x").expect("an answer"), [0; 64]);
        assert!(matches!(sign_note(&signer, "x\n"), Err(SignError::Wrong(_))));
    }

    #[test]
    fn it_gets_the_exact_bytes_and_a_clean_environment() {
        let (directory, signer) = signer("env >\"$0.env\"; cat >\"$0.in\"; head -c 64 /dev/zero");
        signer.sign(b"cosignature/v1\ntime 5\nx\n").expect("an answer");
        let read = |ending: &str| {
            std::fs::read_to_string(directory.path().join(format!("sign.{ending}"))).expect("read")
        };
        assert_eq!(read("in"), "cosignature/v1\ntime 5\nx\n");
        let environment = read("env");
        assert!(environment.contains("COUNTERSIGN_PURPOSE=cosignature/v1\n"), "{environment}");
        assert!(environment.contains("COUNTERSIGN_KEY=example.org/a\n"), "{environment}");
        assert!(environment.contains("COUNTERSIGN_PUBLIC_KEY="), "{environment}");
        assert!(!environment.contains("CARGO"), "{environment}");
    }

    #[test]
    fn failures_are_told_apart() {
        let of = |script: &str| holder(signer(script).1.sign(b"x").expect_err("failed"));
        assert!(of("exit 3").contains("failed (exit status: 3)"), "{}", of("exit 3"));
        assert!(of("echo hello").contains("answered with 6 bytes"));
        assert!(of("yes").contains("answered with 1025 bytes") || of("yes").contains("failed"));
        let (_directory, mut slow) = signer("sleep 60");
        slow.patience = Duration::from_millis(50);
        assert!(holder(slow.sign(b"x").expect_err("slow")).contains("did not answer"));
        let line = CommandLine { program: "/nonexistent/sign".into(), arguments: vec![] };
        assert!(matches!(CommandSigner::open(&line, None), Err(CommandError::Io { .. })));
    }

    #[test]
    fn purposes_are_what_the_bytes_say() {
        assert_eq!(purpose(b"{\"type\":\"patch/v1\",\"name\":\"a\"}\n"), "patch/v1");
        assert_eq!(purpose(b"countersign/v1\n{\"type\":\"patch/v1\"}\n"), "countersign/v1");
        assert_eq!(purpose(b"example.org/log\n1\nroot\n"), "checkpoint");
    }
}
