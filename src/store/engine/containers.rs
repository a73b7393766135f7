//! Owns the list of an engine's containers, of which little is asked.
//!
//! It is not read by bollard: Podman has states of a container that Docker does not know, and one of them would make the list unreadable.

use serde::Deserialize;

use super::error::EngineError;
use super::wire::Wire;

/// A container, started or not.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    /// Its names, each behind a `/`.
    pub names: Option<Vec<String>>,
    /// The ID of its image, with or without `sha256:`.
    #[serde(rename = "ImageID")]
    pub image_id: Option<String>,
}

/// Lists every container.
pub(super) async fn list(wire: &Wire) -> Result<Vec<Listed>, EngineError> {
    const WRONG: EngineError = EngineError::Malformed("a list of containers that is not the Engine API's");
    let bytes = wire.get_json("/containers/json?all=1").await?.ok_or(WRONG)?;
    serde_json::from_slice(&bytes).map_err(|_| WRONG)
}
