//! Owns the answer of an engine at work: status 200 at once, then lines, one of which may be an error.

use hyper::body::Incoming;
use serde::Deserialize;

use super::error::{EngineError, short};
use super::wire::{Wire, next};
use crate::runtime::bounded::Budget;

/// The longest line that is kept whole: the progress of an unusual engine is cut.
const LINE: usize = 64 << 10;

/// The most that an engine may tell of its progress. The push of a large image over hours is some 100 MiB.
const MOST_PROGRESS: u64 = 1 << 30;

/// One line of the answer.
#[derive(Deserialize)]
pub(super) struct Line {
    error: Option<String>,
    #[serde(rename = "errorDetail")]
    detail: Option<Detail>,
    /// What a load remarks.
    pub stream: Option<String>,
    /// What a push does, or has done.
    pub status: Option<String>,
    /// The layer that it is about.
    pub id: Option<String>,
    #[serde(rename = "progressDetail")]
    pub progress: Option<Bytes>,
    /// What a push has done, from an engine that says it so.
    pub aux: Option<Aux>,
}

#[derive(Deserialize)]
struct Detail {
    message: Option<String>,
}

/// How far the work on a layer is, in bytes.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct Bytes {
    pub current: i64,
    /// 0 where it is not known.
    pub total: i64,
}

/// The result of a push.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Aux {
    pub digest: Option<String>,
}

impl Line {
    /// Reads a line; `None` if it is no JSON.
    pub fn read(line: &[u8]) -> Result<Option<Self>, EngineError> {
        let Ok(line) = serde_json::from_slice::<Line>(line) else { return Ok(None) };
        match line.detail.as_ref().and_then(|detail| detail.message.as_ref()).or(line.error.as_ref()) {
            Some(message) => Err(EngineError::Status { code: 200, message: short(message) }),
            None => Ok(Some(line)),
        }
    }
}

/// Reads an answer to its end, line by line.
pub(super) async fn read(
    wire: &Wire,
    mut body: Incoming,
    mut take: impl FnMut(&[u8]) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let mut line = Vec::new();
    let mut budget = Budget::new(MOST_PROGRESS);
    while let Some(part) = next(&mut body, wire.limits.load).await? {
        budget.spend(part.len()).map_err(|_| EngineError::Malformed("more than 1 GiB of progress"))?;
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
