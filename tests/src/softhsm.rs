//! SoftHSM tokens (PKCS #11): hardware keys without hardware.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::{Lab, Run};

/// Where distributions put the library; a variable names another place.
const LIBRARIES: &[&str] = &[
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];
/// Names the library where it is in none of the usual places.
pub const LIBRARY_VARIABLE: &str = "SOFTHSM2_LIBRARY";
/// The PIN of every token.
pub const PIN: &str = "correct-horse-1234";

/// Tokens below a laboratory.
#[derive(Debug)]
pub struct SoftHsm {
    module: PathBuf,
    config: PathBuf,
    pin: PathBuf,
}

impl SoftHsm {
    /// A place for tokens in the laboratory.
    pub fn new(lab: &Lab) -> Self {
        let tokens = lab.path("tokens");
        fs::create_dir(&tokens).expect("made");
        let config = lab.path("softhsm2.conf");
        let text =
            format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display());
        fs::write(&config, text).expect("written");
        let pin = lab.path("pin");
        fs::write(&pin, format!("{PIN}\n")).expect("written");
        Self { module: module(), config, pin }
    }

    /// Makes a token with this label.
    pub fn token(&self, label: &str) {
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--so-pin", "so-pin-5678", "--pin", PIN, "--label"])
            .arg(label)
            .env("SOFTHSM2_CONF", &self.config)
            .output()
            .unwrap_or_else(|error| panic!("softhsm2-util: {error}: {INSTALL}"));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// The URI of the key `object` in the token `label`.
    pub fn uri(&self, label: &str, object: &str) -> String {
        format!("pkcs11:token={label};object={object}?module-path={}", self.module.display())
    }

    /// The same command, which finds the tokens and their PIN.
    pub fn with(&self, run: Run) -> Run {
        run.env("SOFTHSM2_CONF", &self.config).env("PATCHREPO_PASSPHRASE_FILE", &self.pin)
    }
}

const INSTALL: &str = "these tests need SoftHSM: apt-get install softhsm2, \
                       or name its library with SOFTHSM2_LIBRARY";

fn module() -> PathBuf {
    if let Some(path) = env::var_os(LIBRARY_VARIABLE) {
        return path.into();
    }
    let found = LIBRARIES.iter().map(PathBuf::from).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{INSTALL}"))
}
