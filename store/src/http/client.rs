//! Clients for plain HTTP and for HTTPS, each made when it is first needed: reading the system's
//! certificates takes longer than a whole request to a plain server.

use std::error::Error;
use std::io;
use std::sync::{Arc, OnceLock};

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, ClientBuilder, Identity, Url, redirect};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use crate::error::{Cause, SetupError};
use crate::http::options::{ClientCertificate, HttpOptions};
use crate::http::secret;

pub(super) const USER_AGENT: &str = concat!("countersign/", env!("CARGO_PKG_VERSION"));

/// Largest file of certificates to trust: that of the system has a quarter of a megabyte.
pub const MAX_CA_FILE: u64 = 16 * 1024 * 1024;
/// Largest file with this machine's certificate or its key: a chain has a few thousand bytes.
pub const MAX_CLIENT_FILE: u64 = 256 * 1024;

#[derive(Debug)]
pub(super) struct Clients {
    base: Url,
    options: HttpOptions,
    plain: OnceLock<Client>,
    secure: OnceLock<Client>,
    authorization: OnceLock<Option<HeaderValue>>,
}

impl Clients {
    /// Clients of the source at `base`.
    pub(super) fn new(base: &Url, options: &HttpOptions) -> Self {
        Self {
            base: base.clone(),
            options: options.clone(),
            plain: OnceLock::new(),
            secure: OnceLock::new(),
            authorization: OnceLock::new(),
        }
    }

    pub(super) fn of(&self, url: &Url) -> Result<&Client, Cause> {
        let is_secure = url.scheme() == "https" || self.options.proxies.need_tls();
        let slot = if is_secure { &self.secure } else { &self.plain };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let built = build(&self.options, is_secure).map_err(Cause::Setup)?;
        Ok(slot.get_or_init(|| built))
    }

    /// What the server of `url` is told so that it lets this machine in. Nothing, unless it is
    /// the very server that the source is configured with.
    pub(super) fn authorization(&self, url: &Url) -> Result<Option<&HeaderValue>, Cause> {
        let value = if let Some(value) = self.authorization.get() {
            value
        } else {
            let read = secret::authorization(&self.base, &self.options);
            let value = read.map_err(|error| Cause::Setup(error.into()))?;
            self.authorization.get_or_init(|| value)
        };
        Ok(value.as_ref().filter(|_| secret::is_of_server(&self.base, url)))
    }
}

fn build(options: &HttpOptions, is_secure: bool) -> Result<Client, SetupError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let mut builder = Client::builder()
        .user_agent(USER_AGENT)
        .default_headers(headers)
        .connect_timeout(options.connect_timeout)
        // redirects are followed by this crate's rules, and `Referer` is of no use to anybody
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy();
    for rule in options.proxies.rules()? {
        builder = builder.proxy(rule);
    }
    builder = if is_secure { secure(builder, options)? } else { plain(builder) };
    builder.build().map_err(SetupError::Settings)
}

/// A client that trusts nobody: it never speaks TLS.
fn plain(builder: ClientBuilder) -> ClientBuilder {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    builder.tls_backend_preconfigured(config)
}

fn secure(mut builder: ClientBuilder, options: &HttpOptions) -> Result<ClientBuilder, SetupError> {
    // an error says that the program has chosen a provider, which is then the one to use
    let _ = ring::default_provider().install_default();
    if let Some(files) = &options.client_certificate {
        builder = builder.identity(identity(files)?);
    }
    let Some(path) = &options.ca_file else { return Ok(builder) };
    let shown = || path.display().to_string();
    let pem = read_bounded(path, MAX_CA_FILE)
        .map_err(|source| SetupError::CaFile { path: shown(), source })?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(SetupError::Settings)?;
    if certificates.is_empty() {
        return Err(SetupError::NoCertificate { path: shown() });
    }
    Ok(builder.tls_certs_only(certificates))
}

/// The certificate and key that this machine shows.
fn identity(files: &ClientCertificate) -> Result<Identity, SetupError> {
    let path = || files.certificate.display().to_string();
    let mut pem = read_bounded(&files.certificate, MAX_CLIENT_FILE)
        .map_err(|source| SetupError::ClientCertificate { path: path(), source })?;
    pem.push(b'\n');
    pem.extend(secret::read_private(&files.key, MAX_CLIENT_FILE)?);
    // why is not said: it could hold a part of the key
    Identity::from_pem(&pem).map_err(|_| SetupError::NoIdentity {
        certificate: path(),
        key: files.key.display().to_string(),
    })
}

fn read_bounded(path: &std::path::Path, limit: u64) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// What an error before the head of an answer means.
pub(super) fn classify(error: reqwest::Error) -> Cause {
    // the caller names the URL
    let error = error.without_url();
    if is_tls(&error) {
        Cause::Tls(error)
    } else if error.is_connect() {
        Cause::Connect(error)
    } else {
        Cause::Broken { received: 0, source: Some(error) }
    }
}

/// Whether TLS failed, at whatever depth of causes: I/O errors carry it inside.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inside {
            Some(inside) => Some(inside as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    false
}
