//! Owns the partial load: one request whose archive holds only the new layers.

use hyper::body::Incoming;
use serde::Deserialize;

use super::failure::{Trouble, is_disk_full, short};
use super::wire::{Wire, next};
use crate::secret::SecretBytes;

/// One line of the engine's answer.
#[derive(Deserialize)]
struct Line {
    error: Option<String>,
    #[serde(rename = "errorDetail")]
    detail: Option<Detail>,
    stream: Option<String>,
}

#[derive(Deserialize)]
struct Detail {
    message: Option<String>,
}

/// Loads the archive and reads the answer to its end. Returns what the engine remarked, to explain what a later check finds.
///
/// # Errors
/// The trouble; an error within the answer is one with status 200.
pub(super) async fn load(wire: &Wire, archive: SecretBytes) -> Result<Vec<String>, Trouble> {
    let response = wire.post("/images/load", "application/x-tar", archive).await?;
    let status = response.status();
    if !status.is_success() {
        let body = wire.collect(response.into_body()).await?;
        return Err(Trouble::status(status.as_u16(), &body));
    }
    drain(wire, response.into_body()).await
}

async fn drain(wire: &Wire, mut body: Incoming) -> Result<Vec<String>, Trouble> {
    let mut remarks = Vec::new();
    let mut line = Vec::new();
    while let Some(part) = next(&mut body, wire.limits.load).await? {
        for byte in part {
            // progress of an unusual engine is cut, not kept
            if byte != b'\n' && line.len() < 64 << 10 {
                line.push(byte);
            } else if byte == b'\n' {
                remarks.extend(read(&line)?);
                line.clear();
            }
        }
    }
    remarks.extend(read(&line)?);
    remarks.truncate(20);
    Ok(remarks)
}

/// Reads one line; a line that is not JSON is a remark.
fn read(line: &[u8]) -> Result<Option<String>, Trouble> {
    let remark = match serde_json::from_slice::<Line>(line) {
        Ok(Line { error, detail, stream }) => {
            if let Some(message) = detail.and_then(|detail| detail.message).or(error) {
                return Err(Trouble::Status { code: 200, message: short(&message) });
            }
            stream.unwrap_or_default()
        }
        Err(_) => String::from_utf8_lossy(line).into_owned(),
    };
    if is_disk_full(&remark) {
        return Err(Trouble::Status { code: 200, message: short(&remark) });
    }
    let remark = short(&remark);
    Ok((!remark.is_empty() && !remark.starts_with("Loaded image")).then_some(remark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_hide_in_a_good_answer() {
        assert_eq!(read(br#"{"stream":"Loaded image: a:1\n"}"#).unwrap(), None);
        assert_eq!(read(b"").unwrap(), None);
        assert_eq!(
            read(br#"{"stream":"Error unpacking image x\n"}"#).unwrap().as_deref(),
            Some("Error unpacking image x")
        );
        assert_eq!(read(b"Error unpacking image").unwrap().as_deref(), Some("Error unpacking image"));
        assert!(read(br#"{"errorDetail":{"message":"bad"},"error":"bad"}"#).unwrap_err().is_status(200));
        assert!(read(b"no space left on device").is_err());
    }
}
