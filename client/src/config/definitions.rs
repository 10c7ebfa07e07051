//! Every setting there is: its name, its type and bounds, what it is unless said, what it is for.
//! Parsing, `config explain`, the environment's names, suggestions and the table in
//! `docs/configuration.md` follow from this.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_format::text::RegionName;
use countersign_store::{MIN_RATE, ProxyAddress, RateLimit};

use super::value::Raw;
use super::{Config, MAX_DOWNLOADS};

/// What the name of an environment variable begins with that says a setting.
pub const VARIABLE_PREFIX: &str = "PATCHCTL_";
/// Longest text of a setting.
pub const MAX_TEXT: usize = 4096;
/// Most tries of one request: more only trouble a server that is down.
pub const MAX_TRIES: u64 = 20;

const SECOND: u64 = 1;
const DAY: u64 = 86_400;

/// A setting.
pub struct Definition {
    /// Its name in files, such as `lock_timeout`.
    pub name: &'static str,
    /// What it is unless said, as people read it.
    pub usual: &'static str,
    /// What it is for.
    pub help: &'static str,
    kind: Kind,
}

/// What a setting takes, and where the value goes.
enum Kind {
    /// A span of time within bounds in seconds.
    Span(RangeInclusive<u64>, fn(&mut Config, Duration)),
    /// A whole number within bounds.
    Count(RangeInclusive<u64>, fn(&mut Config, u64)),
    /// A path; a relative one counts from the directory of the file that says it.
    Path(fn(&mut Config, PathBuf)),
    /// Bytes a second, at least [`MIN_RATE`]; 0 and `none` are no limit.
    Rate(fn(&mut Config, Option<RateLimit>)),
    /// A proxy's URL; `none` is none.
    Proxy(fn(&mut Config, Option<ProxyAddress>)),
    /// A region of the directory's.
    Region(fn(&mut Config, RegionName)),
    /// `true` or `false`.
    Flag(fn(&mut Config, bool)),
    /// At most so much of something; `none` is no limit.
    Limit(Unit, fn(&mut Config, Option<u64>)),
    /// A list as [`countersign_store::Proxies::bypass`] has it.
    Servers(fn(&mut Config, String)),
}

/// What a limit counts.
#[derive(Clone, Copy)]
enum Unit {
    Things,
    Seconds,
    Bytes,
}

/// All settings, in the order in which they are shown.
pub const DEFINITIONS: &[Definition] = &[
    Definition {
        name: "root",
        usual: "/",
        help: "where payload goes; a root on the command line wins, and brings its own state and cache",
        kind: Kind::Path(|config, path| config.places.root = Some(path)),
    },
    Definition {
        name: "state",
        usual: "var/lib/patchctl below the root",
        help: "what this machine trusts and has installed",
        kind: Kind::Path(|config, path| config.places.state = Some(path)),
    },
    Definition {
        name: "cache",
        usual: "var/cache/patchctl below the root",
        help: "fetched archives and notes",
        kind: Kind::Path(|config, path| config.places.cache = Some(path)),
    },
    Definition {
        name: "lock_timeout",
        usual: "5min",
        help: "how long to wait for another patchctl",
        kind: Kind::Span(0..=DAY, |config, span| config.lock_timeout = span),
    },
    Definition {
        name: "hook_timeout",
        usual: "10min",
        help: "how long a hook may run",
        kind: Kind::Span(SECOND..=DAY, |config, span| config.hook_timeout = Some(span)),
    },
    Definition {
        name: "keep_transactions",
        usual: "10",
        help: "how many transactions can be rolled back; 0 is none, \"none\" is no limit",
        kind: Kind::Limit(Unit::Things, |config, most| config.retention.transactions = most),
    },
    Definition {
        name: "keep_age",
        usual: "none",
        help: "how long a transaction can be rolled back, such as \"90d\"; the last one always can",
        kind: Kind::Limit(Unit::Seconds, |config, most| config.retention.age = most),
    },
    Definition {
        name: "keep_size",
        usual: "none",
        help: "how much all backups may take, such as \"2GiB\"; the last transaction's stay",
        kind: Kind::Limit(Unit::Bytes, |config, most| config.retention.size = most),
    },
    Definition {
        name: "offline",
        usual: "false",
        help: "whether the network is left alone, as with --offline",
        kind: Kind::Flag(|config, flag| config.offline = flag),
    },
    Definition {
        name: "downloads",
        usual: "4",
        help: "archives fetched side by side, 1 to 16",
        kind: Kind::Count(1..=MAX_DOWNLOADS as u64, |config, count| {
            config.downloads = usize::try_from(count).unwrap_or(MAX_DOWNLOADS);
        }),
    },
    Definition {
        name: "region",
        usual: "none",
        help: "where this machine is: servers that the directory lists there are asked first",
        kind: Kind::Region(|config, region| config.region = Some(region)),
    },
    Definition {
        name: "proxy",
        usual: "http_proxy and https_proxy of the environment",
        help: "proxy for all requests, such as http://proxy.example.net:3128; \"none\" for none",
        kind: Kind::Proxy(|config, proxy| {
            config.http.proxies.http.clone_from(&proxy);
            config.http.proxies.https = proxy;
        }),
    },
    Definition {
        name: "no_proxy",
        usual: "no_proxy of the environment",
        help: "servers asked without a proxy: names, addresses, networks, separated by commas",
        kind: Kind::Servers(|config, list| config.http.proxies.bypass = Some(list)),
    },
    Definition {
        name: "ca_file",
        usual: "the system's",
        help: "PEM file of the certificate authorities to trust for HTTPS",
        kind: Kind::Path(|config, path| config.http.ca_file = Some(path)),
    },
    Definition {
        name: "client_certificate",
        usual: "none",
        help: "PEM file of the certificate to show to servers that ask; wants client_key",
        kind: Kind::Path(|config, path| config.client_certificate = Some(path)),
    },
    Definition {
        name: "client_key",
        usual: "none",
        help: "PEM file of its key, readable by its owner alone",
        kind: Kind::Path(|config, path| config.client_key = Some(path)),
    },
    Definition {
        name: "rate_limit",
        usual: "none",
        help: "bytes a second of all transfers together, such as \"500KiB\"; at least 4KiB",
        kind: Kind::Rate(|config, limit| config.http.rate_limit = limit),
    },
    Definition {
        name: "tries",
        usual: "3",
        help: "how often a request is sent before the next server is asked, 1 to 20",
        kind: Kind::Count(1..=MAX_TRIES, |config, count| {
            config.http.tries = u32::try_from(count).unwrap_or(1);
        }),
    },
    Definition {
        name: "connect_timeout",
        usual: "10s",
        help: "how long to wait for a connection",
        kind: Kind::Span(SECOND..=600, |config, span| config.http.connect_timeout = span),
    },
    Definition {
        name: "answer_timeout",
        usual: "30s",
        help: "how long to wait for an answer to begin",
        kind: Kind::Span(SECOND..=3_600, |config, span| config.http.answer_timeout = span),
    },
];

/// The setting of this name.
pub fn definition(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|definition| definition.name == name)
}

impl Definition {
    /// The environment variable that says it. The root has none: hooks are told theirs by a
    /// variable of that name, and must not hand it on to a `patchctl` that they start.
    pub fn variable(&self) -> Option<String> {
        let name = format!("{VARIABLE_PREFIX}{}", self.name.to_ascii_uppercase());
        (self.name != "root").then_some(name)
    }

    /// Puts a value into the settings, and returns it as it may be shown. Relative paths count
    /// from `base`.
    pub(super) fn apply(
        &self,
        config: &mut Config,
        raw: &Raw,
        base: &Path,
    ) -> Result<String, String> {
        match &self.kind {
            Kind::Span(bounds, set) => {
                let span = raw.span()?;
                within(span.as_secs(), bounds, "s")?;
                set(config, span);
                raw.text().map(ToOwned::to_owned)
            }
            Kind::Count(bounds, set) => {
                let count = raw.number()?;
                within(count, bounds, "")?;
                set(config, count);
                Ok(count.to_string())
            }
            Kind::Flag(set) => {
                let flag = raw.flag()?;
                set(config, flag);
                Ok(flag.to_string())
            }
            Kind::Region(set) => {
                let region: RegionName = raw.text()?.parse().map_err(|error| format!("{error}"))?;
                let shown = region.to_string();
                set(config, region);
                Ok(shown)
            }
            Kind::Path(set) => {
                let path = base.join(bounded(raw)?);
                let shown = path.display().to_string();
                set(config, path);
                Ok(shown)
            }
            Kind::Rate(set) => {
                let limit = rate(raw)?;
                let shown =
                    limit.as_ref().map_or("none".into(), |limit| format!("{} B/s", limit.rate()));
                set(config, limit);
                Ok(shown)
            }
            Kind::Limit(unit, set) => {
                let (most, shown) = limit(*unit, raw)?;
                set(config, most);
                Ok(shown)
            }
            Kind::Proxy(set) => {
                let proxy = proxy(bounded(raw)?)?;
                let shown = proxy.as_ref().map_or("none".into(), ToString::to_string);
                set(config, proxy);
                Ok(shown)
            }
            Kind::Servers(set) => {
                let list = bounded(raw)?;
                set(config, list.to_owned());
                Ok(list.to_owned())
            }
        }
    }
}

/// A proxy's address, or `none`.
pub(super) fn proxy(text: &str) -> Result<Option<ProxyAddress>, String> {
    match text {
        "none" => Ok(None),
        text => text.parse().map(Some).map_err(|error| format!("{error}")),
    }
}

/// A limit, and how it is shown.
fn limit(unit: Unit, raw: &Raw) -> Result<(Option<u64>, String), String> {
    if *raw == Raw::Text("none".into()) {
        return Ok((None, "none".into()));
    }
    Ok(match unit {
        Unit::Things => raw.number().map(|most| (Some(most), most.to_string()))?,
        Unit::Bytes => raw.size().map(|most| (Some(most), format!("{most} B")))?,
        Unit::Seconds => (Some(raw.span()?.as_secs()), raw.text()?.to_owned()),
    })
}

fn rate(raw: &Raw) -> Result<Option<RateLimit>, String> {
    if *raw == Raw::Text("none".into()) {
        return Ok(None);
    }
    match raw.size()? {
        0 => Ok(None),
        small if small < MIN_RATE => Err(format!("{small} is below the least rate, {MIN_RATE}")),
        rate => Ok(Some(RateLimit::new(rate))),
    }
}

fn bounded(raw: &Raw) -> Result<&str, String> {
    match raw.text()? {
        "" => Err("it is empty".into()),
        text if text.len() > MAX_TEXT => Err(format!("it is longer than {MAX_TEXT} bytes")),
        text => Ok(text),
    }
}

fn within(value: u64, bounds: &RangeInclusive<u64>, unit: &str) -> Result<(), String> {
    if bounds.contains(&value) {
        return Ok(());
    }
    let (least, most) = (bounds.start(), bounds.end());
    Err(format!("{value}{unit} is not within {least}{unit} to {most}{unit}"))
}

impl std::fmt::Debug for Definition {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Definition").field(&self.name).finish()
    }
}
