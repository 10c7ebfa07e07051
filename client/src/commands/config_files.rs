//! The argument that says what becomes of configuration files.
//!
//! `--config` names the settings, for every command. Where files are installed it may also be
//! `keep` or `new`, as the words for it go; `--config-files` says the same and leaves `--config` to
//! the settings.

use std::path::Path;

use clap::Args;
use patchctl::transaction::ConfigPolicy;

use crate::cli::ClientArgs;

/// What `install`, `upgrade`, `reinstall` and `repair` take.
#[derive(Args, Debug, Clone, Copy, Default)]
pub struct ConfigFilesArgs {
    /// Keep configuration files with local changes and lay the new ones beside them, or take the
    /// new ones and keep the local ones aside; --config keep|new is the same
    #[arg(long, value_name = "keep|new", value_parser = parse)]
    config_files: Option<ConfigPolicy>,
}

impl ConfigFilesArgs {
    /// What was asked for.
    pub fn policy(self, client: &ClientArgs) -> ConfigPolicy {
        let short = client.config.as_deref().and_then(policy_word);
        self.config_files.or(short).unwrap_or_default()
    }
}

/// What a value of `--config` says of configuration files; none where it names the settings.
pub fn policy_word(value: &Path) -> Option<ConfigPolicy> {
    parse(value.to_str()?).ok()
}

fn parse(text: &str) -> Result<ConfigPolicy, &'static str> {
    match text {
        "keep" => Ok(ConfigPolicy::Keep),
        "new" => Ok(ConfigPolicy::New),
        _ => Err("not keep or new"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_over_the_short_word_and_a_path_is_no_word() {
        let client =
            |config: &str| ClientArgs { config: Some(config.into()), ..ClientArgs::default() };
        let flag = |policy| ConfigFilesArgs { config_files: policy };
        assert_eq!(flag(None).policy(&ClientArgs::default()), ConfigPolicy::Keep);
        assert_eq!(flag(None).policy(&client("new")), ConfigPolicy::New);
        assert_eq!(flag(Some(ConfigPolicy::Keep)).policy(&client("new")), ConfigPolicy::Keep);
        assert_eq!(flag(Some(ConfigPolicy::New)).policy(&client("a.toml")), ConfigPolicy::New);
        assert_eq!(flag(None).policy(&client("./new")), ConfigPolicy::Keep);
    }
}
