//! Owns the load of an archive: one request, and what the engine says to it.

use std::time::Duration;

use hyper::Response;
use hyper::body::Incoming;

use super::error::{EngineError, is_disk_full, short};
use super::stream::{self, Line};
use super::wire::{Body, Wire};
use crate::secret::SecretBytes;

const PATH: &str = "/images/load";
const TAR: &str = "application/x-tar";

/// Loads the archive and reads the answer to its end. Returns what the engine remarked, to explain what a later check finds.
pub(super) async fn load(wire: &Wire, archive: SecretBytes) -> Result<Vec<String>, EngineError> {
    remarks(wire, wire.post(PATH, TAR, archive).await?).await
}

/// Does what [`load`] does, with an archive that is made on the way: `size` bytes, of which a MiB a second come at least.
///
/// # Errors
/// As those of [`load`].
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
        remarks.extend(remark(line)?);
        Ok(())
    })
    .await?;
    remarks.truncate(20);
    Ok(remarks)
}

/// Reads one line; a line that is not JSON is a remark.
fn remark(line: &[u8]) -> Result<Option<String>, EngineError> {
    let remark = match Line::read(line)? {
        Some(line) => line.stream.unwrap_or_default(),
        None => String::from_utf8_lossy(line).into_owned(),
    };
    if is_disk_full(&remark) {
        return Err(EngineError::Status { code: 200, message: short(&remark) });
    }
    let remark = short(&remark);
    Ok((!remark.is_empty() && !remark.starts_with("Loaded image")).then_some(remark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_hide_in_a_good_answer() {
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
