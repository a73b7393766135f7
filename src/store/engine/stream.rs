//! Owns reading the progress of a load or a push: the engine answers 200 at once, then sends lines, and any of them may be an error.

use hyper::body::Incoming;
use serde::Deserialize;

use super::error::{EngineError, first_line};
use super::wire::{Wire, next};
use crate::runtime::bounded::Budget;

/// The longest line to keep, in bytes; the rest of a longer line is dropped.
const LINE: usize = 64 << 10;

/// The largest response to read, in bytes. Pushing a large image over hours takes about 100 MiB.
const MOST_PROGRESS: u64 = 1 << 30;

/// One line of the response.
#[derive(Deserialize)]
pub struct ProgressLine {
    error: Option<String>,
    #[serde(rename = "errorDetail")]
    detail: Option<ErrorDetail>,
    /// A message of a load.
    pub stream: Option<String>,
    /// A message of a push.
    pub status: Option<String>,
    /// The layer that the message is about.
    pub id: Option<String>,
    #[serde(rename = "progressDetail")]
    pub progress: Option<ProgressDetail>,
    /// The result of a push, from engines that send it.
    pub aux: Option<Aux>,
}

#[derive(Deserialize)]
struct ErrorDetail {
    message: Option<String>,
}

/// The progress of one layer, in bytes.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct ProgressDetail {
    pub current: i64,
    /// 0 if unknown.
    pub total: i64,
}

/// The result of a push.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Aux {
    pub digest: Option<String>,
}

impl ProgressLine {
    /// Parses a line; `None` if it is not JSON. Fails if the line is an error.
    pub fn read(line: &[u8]) -> Result<Option<Self>, EngineError> {
        let Ok(line) = serde_json::from_slice::<ProgressLine>(line) else { return Ok(None) };
        match line.detail.as_ref().and_then(|detail| detail.message.as_ref()).or(line.error.as_ref()) {
            Some(message) => Err(EngineError::Status { code: 200, message: first_line(message) }),
            None => Ok(Some(line)),
        }
    }
}

/// Reads a response to its end, line by line.
pub(super) async fn read(
    wire: &Wire,
    mut body: Incoming,
    mut take: impl FnMut(&[u8]) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let mut line = Vec::new();
    let mut budget = Budget::new(MOST_PROGRESS);
    while let Some(part) = next(&mut body, wire.limits.load).await? {
        budget.spend(part.len()).map_err(|_| EngineError::Malformed("more than 1 GiB of progress messages"))?;
        for byte in part {
            if byte == b'\n' {
                take(&line)?;
                line.clear();
            } else if line.len() < LINE {
                line.push(byte);
            }
        }
    }
    take(&line)
}
