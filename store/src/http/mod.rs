//! Reading a repository over HTTP and HTTPS.
//!
//! No claim of a server decides how much is read or how long it is waited for: sizes are bounded
//! by the caller, transfers by a least rate, requests by a number of tries, redirects by number
//! and place.

mod answer;
mod client;
mod date;
mod download;
pub(crate) mod options;
mod pace;
pub(crate) mod proxy;
pub(crate) mod rate;
mod redirect;
pub(crate) mod secret;

use countersign_format::layout::RepoPath;
use reqwest::header::{
    AUTHORIZATION, DATE, HOST, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE,
    USER_AGENT,
};
use reqwest::{Method, Request, Response, Url};
use tokio::time::{sleep, timeout};

use crate::error::Cause;
use crate::http::client::Clients;
use crate::http::options::{HttpOptions, MAX_REDIRECTS};
use crate::http::pace::Pace;
use crate::source::{ByteRange, Get, Got, Validator};
use crate::statistics::Counters;

/// Largest rest of an unwanted body (the page of a 404) that is read so that the connection can be
/// used again.
const MAX_DRAINED: u64 = 16 * 1024;

#[derive(Debug)]
pub(crate) struct HttpSource {
    base: Url,
    options: HttpOptions,
    clients: Clients,
}

impl HttpSource {
    pub(crate) fn new(base: &Url, options: &HttpOptions) -> Self {
        Self { base: base.clone(), options: options.clone(), clients: Clients::new(base, options) }
    }

    pub(crate) async fn get(
        &self,
        path: &RepoPath,
        request: &Get,
        counters: &Counters,
    ) -> Result<Got, Cause> {
        let longest = self.options.patience(request.limit);
        timeout(longest, self.get_with_tries(path, request, counters))
            .await
            .unwrap_or(Err(Cause::TookTooLong(longest)))
    }

    async fn get_with_tries(
        &self,
        path: &RepoPath,
        request: &Get,
        counters: &Counters,
    ) -> Result<Got, Cause> {
        let mut failed = 0;
        loop {
            match self.get_once(path, request, counters).await {
                Err(cause) if cause.is_passing() => {
                    failed += 1;
                    self.pause(failed, cause).await?;
                }
                answer => return answer,
            }
        }
    }

    /// Waits after a failed try, unless it was the last one.
    async fn pause(&self, failed: u32, cause: Cause) -> Result<(), Cause> {
        if failed >= self.options.tries {
            return Err(cause);
        }
        let asked = match cause {
            Cause::Status { retry_after, .. } => retry_after,
            _ => None,
        };
        sleep(self.options.pause_after(failed, asked)).await;
        Ok(())
    }

    async fn get_once(
        &self,
        path: &RepoPath,
        request: &Get,
        counters: &Counters,
    ) -> Result<Got, Cause> {
        let mut headers = HeaderMap::new();
        if let Some(range) = request.range {
            headers.insert(RANGE, range_value(range));
        }
        if let Some(known) = &request.known {
            let name = if known.is_entity_tag() { IF_NONE_MATCH } else { IF_MODIFIED_SINCE };
            headers.insert(name, value(known));
        }
        let response = self.send(path, headers, counters).await?;
        match (response.status().as_u16(), request.range) {
            (200, _) => {
                answer::check_encoding(&response)?;
                let validator = answer::validator(response.headers());
                let bytes = self.body(response, request.limit, counters).await?;
                Ok(Got::Whole { bytes, validator })
            }
            (206, Some(range)) => self.part(response, range, request.limit, counters).await,
            (304, _) if request.known.is_some() => Ok(Got::NotModified),
            (404 | 410, _) => {
                self.drain(response, counters).await;
                Ok(Got::NotFound)
            }
            (416, Some(_)) => {
                let total = answer::unsatisfied_total(response.headers());
                self.drain(response, counters).await;
                Ok(Got::Part { bytes: Vec::new(), total })
            }
            _ => Err(status(&response)),
        }
    }

    async fn part(
        &self,
        response: Response,
        asked: ByteRange,
        limit: u64,
        counters: &Counters,
    ) -> Result<Got, Cause> {
        answer::check_encoding(&response)?;
        let sent = answer::content_range(response.headers(), asked)?;
        let expected = sent.last - sent.first + 1;
        if expected > limit {
            return Err(Cause::TooLarge { limit });
        }
        let bytes = self.body(response, expected, counters).await?;
        let found = bytes.len() as u64;
        if found != expected {
            return Err(Cause::WrongSize { expected, found });
        }
        Ok(Got::Part { bytes, total: sent.total })
    }

    /// Sends a request for one object and follows redirects, up to the head of the answer.
    async fn send(
        &self,
        path: &RepoPath,
        headers: HeaderMap,
        counters: &Counters,
    ) -> Result<Response, Cause> {
        let mut url = self.base.join(path.as_str()).expect("a repository path needs no escapes");
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send_once(&url, headers.clone(), counters).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            url = redirect::target(&url, response.headers())?;
            self.drain(response, counters).await;
        }
        Err(redirect::too_many(&url))
    }

    async fn send_once(
        &self,
        url: &Url,
        headers: HeaderMap,
        counters: &Counters,
    ) -> Result<Response, Cause> {
        let client = self.clients.of(url)?;
        let mut headers = headers;
        if let Some(value) = self.clients.authorization(url)? {
            headers.insert(AUTHORIZATION, value.clone());
        }
        counters.request(request_size(url, &headers));
        let mut request = Request::new(Method::GET, url.clone());
        *request.headers_mut() = headers;
        let patience = self.options.answer_timeout;
        let response = match timeout(patience, client.execute(request)).await {
            Ok(answer) => answer.map_err(client::classify)?,
            Err(_) => return Err(Cause::NoAnswer(patience)),
        };
        counters.received(answer::head_size(response.headers()));
        let said = response.headers().get(DATE).and_then(|date| date.to_str().ok());
        said.and_then(date::parse).into_iter().for_each(|seconds| counters.server_said(seconds));
        Ok(response)
    }

    /// Reads a body of at most `limit` bytes.
    async fn body(
        &self,
        mut response: Response,
        limit: u64,
        counters: &Counters,
    ) -> Result<Vec<u8>, Cause> {
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(Cause::TooLarge { limit });
        }
        let mut pace = Pace::new(&self.options, self.options.least_in_window(), counters);
        let announced = response.content_length().unwrap_or(0);
        let mut bytes = Vec::with_capacity(to_length(announced));
        while let Some(piece) = piece(&mut response, &mut pace, bytes.len() as u64).await? {
            if piece.len() as u64 > limit - bytes.len() as u64 {
                return Err(Cause::TooLarge { limit });
            }
            reserve(&mut bytes, piece.len(), to_length(limit));
            bytes.extend_from_slice(&piece);
            self.keep_to_rate(piece.len()).await;
        }
        Ok(bytes)
    }

    /// Waits as long as the bytes that came take at the rate that is not to be exceeded.
    async fn keep_to_rate(&self, bytes: usize) {
        if let Some(limit) = &self.options.rate_limit {
            limit.take(bytes as u64).await;
        }
    }

    /// Reads the rest of an answer that nobody wants, where that is cheaper than a new connection.
    async fn drain(&self, response: Response, counters: &Counters) {
        // whatever goes wrong costs this connection and nothing else
        let _ = self.body(response, MAX_DRAINED, counters).await;
    }
}

/// The next piece of a body of which `received` bytes have come.
async fn piece(
    response: &mut Response,
    pace: &mut Pace<'_>,
    received: u64,
) -> Result<Option<impl AsRef<[u8]> + std::ops::Deref<Target = [u8]>>, Cause> {
    let size = |piece: &Result<Option<_>, _>| match piece {
        Ok(Some(bytes)) => AsRef::<[u8]>::as_ref(bytes).len() as u64,
        _ => 0,
    };
    let chunk = Box::pin(response.chunk());
    let piece = pace.next(chunk, size).await?;
    piece.map_err(|error| Cause::Broken { received, source: Some(error.without_url()) })
}

/// Makes room for `more` bytes, of `limit` in all, and never for more than those: what is read side by
/// side shares memory by the limits.
fn reserve(bytes: &mut Vec<u8>, more: usize, limit: usize) {
    let wanted = bytes.len() + more;
    if wanted > bytes.capacity() {
        let room = wanted.max(2 * bytes.capacity()).min(limit);
        bytes.reserve_exact(room.saturating_sub(bytes.len()));
    }
}

fn to_length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn status(response: &Response) -> Cause {
    let retry_after = answer::retry_after(response.headers());
    Cause::Status { status: response.status().as_u16(), retry_after }
}

fn range_value(range: ByteRange) -> HeaderValue {
    format!("bytes={range}").parse().expect("digits and a hyphen")
}

fn value(validator: &Validator) -> HeaderValue {
    validator.as_str().parse().expect("a validator is printable ASCII")
}

/// Size of a request in HTTP/1.1, with what the client adds to `headers`.
fn request_size(url: &Url, headers: &HeaderMap) -> u64 {
    let line = "GET  HTTP/1.1\r\n".len() + url.path().len();
    let host = HOST.as_str().len() + url.authority().len() + 4;
    let agent = USER_AGENT.as_str().len() + client::USER_AGENT.len() + 4;
    let constant = "accept: */*\r\naccept-encoding: identity\r\n\r\n".len();
    let own: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    (line + host + agent + constant + own) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_takes_no_more_room_than_its_limit() {
        for limit in [3000, 4096, 100_000] {
            let mut bytes = Vec::new();
            let mut moved = 0;
            while bytes.len() + 1000 <= limit {
                let before = bytes.capacity();
                reserve(&mut bytes, 1000, limit);
                bytes.extend_from_slice(&[7; 1000]);
                assert!(bytes.capacity() <= limit, "{} of {limit}", bytes.capacity());
                moved += u32::from(bytes.capacity() != before);
            }
            assert!(moved <= 8, "{moved} times");
        }
        // what was announced is there at once
        let mut bytes = Vec::with_capacity(3000);
        (0..3).for_each(|_| {
            reserve(&mut bytes, 1000, 100_000);
            bytes.extend_from_slice(&[7; 1000]);
        });
        assert_eq!(bytes.capacity(), 3000);
    }
}
