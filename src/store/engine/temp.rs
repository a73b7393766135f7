//! Owns the temporary images and containers that a run creates in an engine.
//!
//! Each one is removed after use, or by its guard after an error. A killed run leaves its own in the engine and a note in the cache
//! directory: the next run that uses the same engine and cache removes both. Without that note, the next run that creates a temporary
//! resource of the same type removes it.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptions};

use super::error::EngineError;
use super::run_id::{is_abandoned, is_run_id};
use super::wire::within;
use super::{EngineStore, containers};
use crate::runtime::unfinished::Unfinished;
use crate::store::cache::Note;

/// The start of the names of temporary containers.
pub(super) const CONTAINER_PREFIX: &str = "secretbake-temporary-";
/// The repository of temporary images.
pub(super) const ALIAS_REPOSITORY: &str = "secretbake-alias";

/// A temporary image or container, by name.
#[derive(Debug, Clone)]
pub(super) enum TempResource {
    Image(String),
    Container(String),
}

impl TempResource {
    fn note(&self) -> String {
        match self {
            TempResource::Image(name) | TempResource::Container(name) => name.clone(),
        }
    }

    /// Parses a note; `None` unless it is exactly the name of a temporary resource.
    fn from_note(note: &str) -> Option<Self> {
        if let Some(run) = note.strip_prefix(CONTAINER_PREFIX) {
            return is_run_id(run).then(|| TempResource::Container(note.to_owned()));
        }
        let (blob, run) = note.strip_prefix(ALIAS_REPOSITORY)?.strip_prefix(':')?.split_once('-')?;
        let is_blob = blob.len() == 12 && blob.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_blob && is_run_id(run)).then(|| TempResource::Image(note.to_owned()))
    }
}

/// Removes its resource when it is dropped, if not before.
pub(super) struct TempGuard {
    docker: Docker,
    limit: Duration,
    pending: Unfinished,
    resource: Option<TempResource>,
    /// Deleted once the resource is removed.
    note: Option<Note>,
}

impl TempGuard {
    /// Guards a resource that is about to be created.
    pub fn new(store: &EngineStore, resource: TempResource) -> Self {
        TempGuard {
            docker: store.docker.clone(),
            limit: store.wire.limits.answer,
            pending: store.pending.clone(),
            note: store.cache.note(&store.endpoint.to_string(), &resource.note()),
            resource: Some(resource),
        }
    }

    /// Removes the resource. Succeeds if it does not exist.
    pub async fn remove(mut self) -> Result<(), EngineError> {
        let Some(resource) = self.resource.clone() else { return Ok(()) };
        let removed = remove(&self.docker, self.limit, &resource).await;
        // only now: if this future is dropped while it waits, the guard removes the resource again
        self.resource = None;
        if let (Ok(()), Some(note)) = (&removed, self.note.take()) {
            note.forget();
        }
        removed
    }
}

impl Drop for TempGuard {
    fn drop(&mut self) {
        if let (Some(resource), Ok(runtime)) = (self.resource.take(), tokio::runtime::Handle::try_current()) {
            let (docker, limit, note) = (self.docker.clone(), self.limit, self.note.take());
            let work = async move {
                if let (Ok(()), Some(note)) = (remove(&docker, limit, &resource).await, note) {
                    note.forget();
                }
            };
            self.pending.spawn(work, &runtime);
        }
    }
}

async fn remove(docker: &Docker, limit: Duration, resource: &TempResource) -> Result<(), EngineError> {
    let removed = match resource {
        TempResource::Image(name) => {
            within(limit, docker.remove_image(name, None::<RemoveImageOptions>, None)).await.map(drop)
        }
        TempResource::Container(name) => {
            // including the anonymous volumes that the image declares
            let options = RemoveContainerOptionsBuilder::new().v(true).force(true).build();
            within(limit, docker.remove_container(name, Some(options))).await
        }
    };
    match removed {
        Err(error) if !error.is_status(404) => Err(error),
        _ => Ok(()),
    }
}

/// Removes the resources that killed runs with the same cache noted. Ignores errors.
pub(super) async fn remove_noted(store: &EngineStore) {
    for note in store.cache.left(&store.endpoint.to_string()) {
        let removed = match TempResource::from_note(&note.text) {
            Some(resource) => remove_from_note(store, &resource).await,
            None => Ok(()),
        };
        if removed.is_ok() {
            note.forget();
        }
    }
}

/// Removes the resource in a note. Someone else may have written the note, so a container without the label stays.
async fn remove_from_note(store: &EngineStore, resource: &TempResource) -> Result<(), EngineError> {
    if let TempResource::Container(name) = resource
        && !containers::is_temporary(&store.wire, name).await?
    {
        return Ok(());
    }
    remove(&store.docker, store.wire.limits.answer, resource).await
}

/// Removes the temporary images of killed runs. Ignores errors.
pub(super) async fn sweep_images(docker: &Docker, limit: Duration) {
    let filters = HashMap::from([("reference", vec![ALIAS_REPOSITORY])]);
    let options = ListImagesOptionsBuilder::new().filters(&filters).build();
    let Ok(images) = within(limit, docker.list_images(Some(options))).await else { return };
    for tag in images.into_iter().flat_map(|image| image.repo_tags) {
        if tag.starts_with(ALIAS_REPOSITORY) && is_abandoned(&tag) {
            drop(remove(docker, limit, &TempResource::Image(tag)).await);
        }
    }
}

/// Removes the temporary containers of killed runs. Ignores errors.
pub(super) async fn sweep_containers(store: &EngineStore) {
    let Ok(containers) = containers::list(&store.wire, containers::Listed::All).await else { return };
    let temporary = containers.iter().filter(|container| container.is_temporary());
    for name in temporary.filter_map(|container| container.names.as_ref()).flatten() {
        let name = name.trim_start_matches('/');
        if name.starts_with(CONTAINER_PREFIX) && is_abandoned(name) {
            drop(remove(&store.docker, store.wire.limits.answer, &TempResource::Container(name.to_owned())).await);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::run_id::unique;

    #[test]
    fn a_note_is_exactly_a_name_that_a_run_gives() {
        let alias = format!("{ALIAS_REPOSITORY}:0123456789ab-{}", unique());
        let container = format!("{CONTAINER_PREFIX}{}", unique());
        assert!(matches!(TempResource::from_note(&alias), Some(TempResource::Image(name)) if name == alias));
        assert!(
            matches!(TempResource::from_note(&container), Some(TempResource::Container(name)) if name == container)
        );
        let crafted = [
            "production-db".to_owned(),
            "secretbake-temporary-db".to_owned(),
            "secretbake-alias".to_owned(),
            "secretbake-alias:1".to_owned(),
            "secretbake-alias/../../containers/db?force=true".to_owned(),
            format!("secretbake-aliases:0123456789ab-{}", unique()),
            format!("{alias}/../../../crew:1"),
            format!("{container}?v=1"),
            format!("{container}\n"),
        ];
        for note in crafted {
            assert!(TempResource::from_note(&note).is_none(), "{note}");
        }
    }
}
