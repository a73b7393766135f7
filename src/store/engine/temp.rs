//! Owns what a run makes in the engine only to remove it again: an image or a container that must not stay, whatever happens.
//!
//! Each is removed when its work is done, and by its guard when that was left early. A run that was killed leaves its own behind, and a note
//! of it in the cache's directory: the next run at the same engine removes both. Where there is no cache, or another one, the next run that
//! makes such a thing removes it.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptions};

use super::error::EngineError;
use super::run_id::{is_left, is_run_id};
use super::wire::within;
use super::{EngineStore, containers};
use crate::store::cache::Note;

/// The label of temporary containers.
pub(super) const LABEL: &str = "dev.secretbake.temporary";
/// How the names of temporary containers begin.
pub(super) const CONTAINER: &str = "secretbake-temporary-";
/// The repository of temporary images.
pub(super) const ALIAS: &str = "secretbake-alias";

/// The removals that guards have started.
pub(super) use crate::runtime::unfinished::Unfinished as Pending;

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

    /// Reads a note; `None` unless it is exactly a name that a run gives to something temporary.
    fn from_note(note: &str) -> Option<Self> {
        if let Some(run) = note.strip_prefix(CONTAINER) {
            return is_run_id(run).then(|| TempResource::Container(note.to_owned()));
        }
        let (blob, run) = note.strip_prefix(ALIAS)?.strip_prefix(':')?.split_once('-')?;
        let is_blob = blob.len() == 12 && blob.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_blob && is_run_id(run)).then(|| TempResource::Image(note.to_owned()))
    }
}

/// Removes its thing, at the latest when it is dropped.
pub(super) struct TempGuard {
    docker: Docker,
    limit: Duration,
    pending: Pending,
    thing: Option<TempResource>,
    /// Goes when the thing is gone.
    note: Option<Note>,
}

impl TempGuard {
    /// Guards a thing that is about to be made.
    pub fn new(store: &EngineStore, thing: TempResource) -> Self {
        TempGuard {
            docker: store.docker.clone(),
            limit: store.wire.limits.answer,
            pending: store.pending.clone(),
            note: store.cache.note(&store.endpoint.to_string(), &thing.note()),
            thing: Some(thing),
        }
    }

    /// Removes the thing; that there is none is fine.
    pub async fn remove(mut self) -> Result<(), EngineError> {
        let Some(thing) = self.thing.clone() else { return Ok(()) };
        let removed = remove(&self.docker, self.limit, &thing).await;
        // only now: if this is dropped while it waits, the guard starts over
        self.thing = None;
        if let (Ok(()), Some(note)) = (&removed, self.note.take()) {
            note.forget();
        }
        removed
    }
}

impl Drop for TempGuard {
    fn drop(&mut self) {
        if let (Some(thing), Ok(runtime)) = (self.thing.take(), tokio::runtime::Handle::try_current()) {
            let (docker, limit, note) = (self.docker.clone(), self.limit, self.note.take());
            let work = async move {
                if let (Ok(()), Some(note)) = (remove(&docker, limit, &thing).await, note) {
                    note.forget();
                }
            };
            self.pending.spawn(work, &runtime);
        }
    }
}

async fn remove(docker: &Docker, limit: Duration, thing: &TempResource) -> Result<(), EngineError> {
    let removed = match thing {
        TempResource::Image(name) => {
            within(limit, docker.remove_image(name, None::<RemoveImageOptions>, None)).await.map(drop)
        }
        TempResource::Container(name) => {
            // with the anonymous volumes of the image's VOLUMEs
            let options = RemoveContainerOptionsBuilder::new().v(true).force(true).build();
            within(limit, docker.remove_container(name, Some(options))).await
        }
    };
    match removed {
        Err(error) if !error.is_status(404) => Err(error),
        _ => Ok(()),
    }
}

/// Removes what killed runs with the same cache noted, as far as that works.
pub(super) async fn remove_noted(store: &EngineStore) {
    for note in store.cache.left(&store.endpoint.to_string()) {
        let removed = match TempResource::from_note(&note.text) {
            Some(thing) => remove_left(store, &thing).await,
            None => Ok(()),
        };
        if removed.is_ok() {
            note.forget();
        }
    }
}

/// Removes what a note names. The note is a file, which somebody else may have written: a container without our label stays.
async fn remove_left(store: &EngineStore, thing: &TempResource) -> Result<(), EngineError> {
    if let TempResource::Container(name) = thing
        && !containers::is_temporary(&store.wire, name).await?
    {
        return Ok(());
    }
    remove(&store.docker, store.wire.limits.answer, thing).await
}

/// Removes the temporary images that a killed run left behind, as far as that works.
pub(super) async fn sweep_images(docker: &Docker, limit: Duration) {
    let filters = HashMap::from([("reference", vec![ALIAS])]);
    let options = ListImagesOptionsBuilder::new().filters(&filters).build();
    let Ok(images) = within(limit, docker.list_images(Some(options))).await else { return };
    for tag in images.into_iter().flat_map(|image| image.repo_tags) {
        if tag.starts_with(ALIAS) && is_left(&tag) {
            drop(remove(docker, limit, &TempResource::Image(tag)).await);
        }
    }
}

/// Removes the temporary containers that a killed run left behind, as far as that works.
pub(super) async fn sweep_containers(store: &EngineStore) {
    let Ok(containers) = containers::list(&store.wire).await else { return };
    let temporary = containers.iter().filter(|container| container.is_temporary());
    for name in temporary.filter_map(|container| container.names.as_ref()).flatten() {
        let name = name.trim_start_matches('/');
        if name.starts_with(CONTAINER) && is_left(name) {
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
        let alias = format!("{ALIAS}:0123456789ab-{}", unique());
        let container = format!("{CONTAINER}{}", unique());
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
