//! Fetching a large object into a file, going on where a broken transfer ended.

use std::fs::File;
use std::io::Write as _;

use countersign_format::layout::RepoPath;
use reqwest::Response;
use reqwest::header::{HeaderMap, IF_RANGE, RANGE};

use crate::directory::{empty, present};
use crate::error::Cause;
use crate::http::pace::Pace;
use crate::http::{HttpSource, answer, piece, range_value, status, value};
use crate::source::{ByteRange, Download, Validator};
use crate::statistics::Counters;

impl HttpSource {
    pub(crate) async fn download(
        &self,
        path: &RepoPath,
        request: &Download,
        file: &mut File,
        progress: &mut impl FnMut(u64),
        counters: &Counters,
    ) -> Result<bool, Cause> {
        let mut validator = None;
        let mut farthest = present(file, request.size)?;
        let mut failed = 0;
        loop {
            let attempt =
                self.download_once(path, request, file, &mut validator, progress, counters);
            match attempt.await {
                Err(cause) if cause.is_passing() => {
                    // a server that breaks off now and then is worth more tries, as long as each
                    // comes farther than any before
                    let reached = present(file, request.size)?;
                    if reached
                        >= farthest
                            .saturating_add(self.options.least_in_window_of(request.size).max(1))
                    {
                        failed = 0;
                        farthest = reached;
                    }
                    failed += 1;
                    self.pause(failed, cause).await?;
                }
                answer => return answer,
            }
        }
    }

    async fn download_once(
        &self,
        path: &RepoPath,
        request: &Download,
        file: &mut File,
        validator: &mut Option<Validator>,
        progress: &mut impl FnMut(u64),
        counters: &Counters,
    ) -> Result<bool, Cause> {
        let start = present(file, request.size)?;
        if start == request.size && start > 0 {
            return Ok(true);
        }
        let range = ByteRange { start, length: None };
        let mut headers = HeaderMap::new();
        if start > 0 {
            headers.insert(RANGE, range_value(range));
            if let Some(seen) = validator.as_ref() {
                headers.insert(IF_RANGE, value(seen));
            }
        }
        let response = self.send(path, headers, counters).await?;
        if matches!(response.status().as_u16(), 404 | 410) {
            self.drain(response, counters).await;
            return Ok(false);
        }
        let total = total_size(&response, range, request.size)?;
        answer::check_encoding(&response)?;
        if let Some(found) = total.filter(|total| *total != request.size) {
            return Err(Cause::WrongSize { expected: request.size, found });
        }
        if response.status().as_u16() == 200 {
            empty(file)?;
        }
        *validator = answer::validator(response.headers()).filter(Validator::is_strong);
        self.stream(response, request.size, file, progress, counters).await?;
        Ok(true)
    }

    /// Writes a body behind what the file holds, up to exactly `size` bytes.
    async fn stream(
        &self,
        mut response: Response,
        size: u64,
        file: &mut File,
        progress: &mut impl FnMut(u64),
        counters: &Counters,
    ) -> Result<(), Cause> {
        let mut pace = Pace::new(&self.options, self.options.least_in_window_of(size), counters);
        let mut reached = present(file, size)?;
        let mut received = 0;
        while let Some(piece) = piece(&mut response, &mut pace, received).await? {
            let length = piece.len() as u64;
            received += length;
            if length > size - reached {
                return Err(Cause::TooLarge { limit: size });
            }
            file.write_all(&piece).map_err(Cause::Local)?;
            reached += length;
            progress(reached);
            self.keep_to_rate(piece.len()).await;
        }
        if reached < size {
            return Err(Cause::WrongSize { expected: size, found: reached });
        }
        Ok(())
    }
}

/// The size of the whole object as the head of an answer has it, if that is an answer at all.
fn total_size(response: &Response, asked: ByteRange, expected: u64) -> Result<Option<u64>, Cause> {
    match response.status().as_u16() {
        200 => Ok(response.content_length()),
        206 if asked.start > 0 => Ok(answer::content_range(response.headers(), asked)?.total),
        // the object ends before the bytes that are missing here
        416 if asked.start > 0 => {
            let found = answer::unsatisfied_total(response.headers()).unwrap_or(asked.start);
            Err(Cause::WrongSize { expected, found })
        }
        _ => Err(status(response)),
    }
}
