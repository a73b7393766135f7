//! Owns listing and inspecting containers.
//!
//! bollard cannot parse these responses: Podman has container states that Docker does not have, and one of them makes the whole list invalid.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use super::EngineStore;
use super::error::EngineError;
use super::wire::Wire;
use crate::diagnostic::{Diagnostic, ForeignText};
use crate::image::config::LAUNCH;
use crate::image::digest::Digest;
use crate::store::StoreError;

/// The label of temporary containers.
pub(super) const TEMP_LABEL: &str = "dev.secretbake.temporary";

/// A container in the engine's list, running or not.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedContainer {
    /// Its names, each after a `/`.
    pub names: Option<Vec<String>>,
    /// The ID of its image, with or without `sha256:`.
    #[serde(rename = "ImageID")]
    pub image_id: Option<String>,
    /// The name of its image.
    pub image: Option<String>,
    labels: Option<BTreeMap<String, IgnoredAny>>,
}

impl ListedContainer {
    /// Returns whether a run of secretbake created it to read an image.
    pub fn is_temporary(&self) -> bool {
        self.labels.as_ref().is_some_and(|labels| labels.contains_key(TEMP_LABEL))
    }
}

/// Which containers to list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    All,
    Running,
}

/// Lists containers.
pub(super) async fn list(wire: &Wire, listed: Listed) -> Result<Vec<ListedContainer>, EngineError> {
    const WRONG: EngineError = EngineError::Malformed("an invalid list of containers");
    let path = if listed == Listed::All { "/containers/json?all=1" } else { "/containers/json" };
    let bytes = wire.get_json(path).await?.ok_or(WRONG)?;
    serde_json::from_slice(&bytes).map_err(|_| WRONG)
}

/// Returns whether a container with this name exists and a run of secretbake created it to read an image.
pub(super) async fn is_temporary(wire: &Wire, name: &str) -> Result<bool, EngineError> {
    Ok(inspect(wire, name).await?.is_some_and(|container| container.is_temporary))
}

/// One container. It does not implement `Debug`: its environment may hold secrets.
pub struct InspectedContainer {
    pub id: String,
    pub name: String,
    /// The ID of its image.
    pub image_id: Digest,
    /// The name of its image when the container was created.
    pub image: String,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// The environment: `NAME=VALUE`.
    env: BTreeSet<String>,
    is_temporary: bool,
}

impl InspectedContainer {
    /// Returns whether the container starts the launcher, directly or through another program such as an init.
    pub fn runs_launcher(&self) -> bool {
        self.command.iter().any(|word| word == LAUNCH)
    }

    /// Returns whether the container overrides a variable of its image; `entries` is the image's Env.
    pub fn overrides(&self, name: &str, entries: &[Zeroizing<String>]) -> bool {
        let of_container = self.env.iter().filter(|entry| entry.split('=').next() == Some(name));
        of_container.into_iter().any(|entry| !entries.iter().any(|of_image| **of_image == *entry))
    }
}

impl EngineStore {
    /// Inspects a container by name or ID.
    pub(in crate::store) async fn container(&self, name: &str) -> Result<InspectedContainer, StoreError> {
        let shown = ForeignText::new(name);
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        let found = match is_name && !name.trim_matches('.').is_empty() {
            true => inspect(&self.wire, name).await,
            false => Ok(None),
        };
        let failed = |error: EngineError| self.diagnose(&error, &format!("cannot inspect the container {shown}"));
        found.map_err(failed)?.ok_or_else(|| {
            Diagnostic::error("container-not-found", format!("container not found: {shown}"))
                .hint("list containers with `docker ps -a`")
                .into()
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerJson {
    id: String,
    name: String,
    image: String,
    path: Option<String>,
    args: Option<Vec<String>>,
    config: ContainerConfigJson,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerConfigJson {
    image: Option<String>,
    env: Option<Vec<String>>,
    labels: Option<BTreeMap<String, IgnoredAny>>,
}

/// Inspects a container by name or ID; `None` if it does not exist.
pub(super) async fn inspect(wire: &Wire, name: &str) -> Result<Option<InspectedContainer>, EngineError> {
    let Some(bytes) = wire.get_json(&format!("/containers/{name}/json")).await? else { return Ok(None) };
    parse(&bytes).map(Some)
}

/// Parses the engine's response. An error never quotes it.
fn parse(bytes: &[u8]) -> Result<InspectedContainer, EngineError> {
    const WRONG: EngineError = EngineError::Malformed("an invalid container description");
    let raw: ContainerJson = serde_json::from_slice(bytes).map_err(|_| WRONG)?;
    let image_id =
        Digest::parse(&raw.image).or_else(|| Digest::parse(&format!("sha256:{}", raw.image))).ok_or(WRONG)?;
    Ok(InspectedContainer {
        id: raw.id,
        name: raw.name.trim_start_matches('/').to_owned(),
        image: raw.config.image.unwrap_or_else(|| image_id.to_string()),
        image_id,
        env: raw.config.env.unwrap_or_default().into_iter().collect(),
        command: raw.path.into_iter().chain(raw.args.unwrap_or_default()).collect(),
        is_temporary: raw.config.labels.is_some_and(|labels| labels.contains_key(TEMP_LABEL)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_read_from_docker_and_from_podman() {
        let id = "a".repeat(64);
        for image in [id.clone(), format!("sha256:{id}")] {
            let text = format!(
                r#"{{"Id":"c","Name":"/web","Image":"{image}","Path":"/.secretbake/launch","Args":["x"],
                "Config":{{"Image":"crew:1","Env":["A=1"],"Labels":null}},"State":{{"Status":"stopped"}}}}"#
            );
            let seen = parse(text.as_bytes()).ok().unwrap();
            assert_eq!((seen.name.as_str(), seen.image.as_str(), seen.image_id.hex()), ("web", "crew:1", id.as_str()));
            assert_eq!(seen.command, ["/.secretbake/launch", "x"]);
            assert!(seen.runs_launcher() && !seen.is_temporary);
            let same = [Zeroizing::new("A=1".to_owned())];
            assert!(seen.overrides("A", &[]) && !seen.overrides("A", &same) && !seen.overrides("B", &[]));
        }
        assert!(parse(b"{}").is_err());
    }
}
