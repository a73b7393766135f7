//! Owns the lists of what an engine has and runs: its baked images, and the images of its running containers.

use std::collections::HashMap;

use serde::Deserialize;

use super::EngineStore;
use super::containers::{self, Listed};
use super::error::EngineError;
use crate::image::digest::Digest;
use crate::image::labels::ImageLabels;
use crate::image::provenance::LABEL;
use crate::store::StoreError;

/// A baked image of the engine.
pub struct EngineImage {
    /// Its tags, or its ID if it has none.
    pub names: Vec<String>,
    pub labels: ImageLabels,
}

/// A running container.
pub struct RunningContainer {
    pub name: String,
    /// The name of its image when it was created, or the ID if that name is another image's now.
    pub image: String,
    pub image_id: Digest,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedImage {
    id: String,
    repo_tags: Option<Vec<String>>,
    labels: Option<HashMap<String, String>>,
}

impl EngineStore {
    /// Lists every baked image, by one request.
    pub(in crate::store) async fn baked_images(&self) -> Result<Vec<EngineImage>, StoreError> {
        const WRONG: EngineError = EngineError::Malformed("an invalid list of images");
        let list = async || {
            let path = format!("/images/json?filters=%7B%22label%22%3A%5B%22{LABEL}%22%5D%7D");
            let bytes = self.wire.get_json(&path).await?.ok_or(WRONG)?;
            serde_json::from_slice::<Vec<ListedImage>>(&bytes).map_err(|_| WRONG)
        };
        let listed = list().await.map_err(|error| self.diagnose(&error, "cannot list the baked images"))?;
        Ok(listed.into_iter().map(image).collect())
    }

    /// Lists the running containers, but not those that a run of secretbake created.
    pub(in crate::store) async fn running(&self) -> Result<Vec<RunningContainer>, StoreError> {
        let listed = containers::list(&self.wire, Listed::Running).await;
        let listed = listed.map_err(|error| self.diagnose(&error, "cannot list the running containers"))?;
        let running = listed.into_iter().filter(|container| !container.is_temporary()).filter_map(|container| {
            let id = container.image_id?;
            let image_id = Digest::parse(&id).or_else(|| Digest::parse(&format!("sha256:{id}")))?;
            let name = container.names.unwrap_or_default().into_iter().next().unwrap_or_default();
            let image = container.image.filter(|image| !image.is_empty()).unwrap_or_else(|| image_id.to_string());
            Some(RunningContainer { name: name.trim_start_matches('/').to_owned(), image, image_id })
        });
        Ok(running.collect())
    }
}

fn image(listed: ListedImage) -> EngineImage {
    let mut names: Vec<String> = listed.repo_tags.unwrap_or_default();
    // an image without a tag is listed as `<none>:<none>` by some engines
    names.retain(|name| !name.starts_with('<'));
    if names.is_empty() {
        names.push(if listed.id.starts_with("sha256:") { listed.id } else { format!("sha256:{}", listed.id) });
    }
    let labels = listed.labels.unwrap_or_default();
    EngineImage { names, labels: ImageLabels::from_labels(|key| labels.get(key).cloned()) }
}
