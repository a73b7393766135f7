//! Owns loading an archive into an engine: one request and its response.

use std::time::Duration;

use hyper::Response;
use hyper::body::Incoming;

use super::error::{EngineError, first_line, is_disk_full};
use super::stream::{self, ProgressLine};
use super::wire::{Body, Wire};
use crate::secret::SecretBytes;

const PATH: &str = "/images/load";
const TAR: &str = "application/x-tar";
/// How many messages of an engine are kept.
const MOST_REMARKS: usize = 20;

/// Loads the archive and reads the response to its end. Returns the engine's messages, which explain a later mismatch.
pub(super) async fn load(wire: &Wire, archive: SecretBytes) -> Result<Vec<String>, EngineError> {
    remarks(wire, wire.post(PATH, TAR, archive).await?).await
}

/// Like [`load`], with a streamed archive of `size` bytes. The timeout allows for 1 MiB per second.
pub(super) async fn load_stream(wire: &Wire, archive: Body, size: u64) -> Result<Vec<String>, EngineError> {
    let limit = wire.limits.load + Duration::from_secs(size >> 20);
    remarks(wire, wire.post_stream(PATH, TAR, archive, limit).await?).await
}

async fn remarks(wire: &Wire, response: Response<Incoming>) -> Result<Vec<String>, EngineError> {
    let status = response.status();
    if !status.is_success() {
        let body = wire.collect(response.into_body()).await?;
        return Err(EngineError::status(status.as_u16(), &body));
    }
    let mut remarks = Vec::new();
    stream::read(wire, response.into_body(), |line| {
        let remark = remark(line)?;
        if remarks.len() < MOST_REMARKS {
            remarks.extend(remark);
        }
        Ok(())
    })
    .await?;
    Ok(remarks)
}

/// Returns the message in a line; a line that is not JSON is a message.
pub fn remark(line: &[u8]) -> Result<Option<String>, EngineError> {
    let remark = match ProgressLine::read(line)? {
        Some(line) => line.stream.unwrap_or_default(),
        None => String::from_utf8_lossy(line).into_owned(),
    };
    if is_disk_full(&remark) {
        return Err(EngineError::Status { code: 200, message: first_line(&remark) });
    }
    let remark = first_line(&remark);
    Ok((!remark.is_empty() && !remark.starts_with("Loaded image")).then_some(remark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successful_response_may_contain_an_error() {
        assert_eq!(remark(br#"{"stream":"Loaded image: a:1\n"}"#).unwrap(), None);
        assert_eq!(remark(b"").unwrap(), None);
        assert_eq!(
            remark(br#"{"stream":"Error unpacking image x\n"}"#).unwrap().as_deref(),
            Some("Error unpacking image x")
        );
        assert_eq!(remark(b"Error unpacking image").unwrap().as_deref(), Some("Error unpacking image"));
        assert!(remark(br#"{"errorDetail":{"message":"bad"},"error":"bad"}"#).unwrap_err().is_status(200));
        assert!(remark(b"no space left on device").is_err());
    }
}
