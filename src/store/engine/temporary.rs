//! Owns what a run makes in the engine only to remove it again: an image or a container that must not stay, whatever happens.
//!
//! Each is removed when its work is done, and by its guard when that was left early. A run that was killed leaves its own behind, and a note
//! of it in the cache's directory: the next run at the same engine removes both. Where there is no cache, or another one, the next run that
//! makes such a thing removes it.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptions};

use super::failure::Trouble;
use super::owner::is_left;
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
pub(super) enum Thing {
    Image(String),
    Container(String),
}

impl Thing {
    fn note(&self) -> String {
        match self {
            Thing::Image(name) | Thing::Container(name) => name.clone(),
        }
    }

    /// Reads a note; `None` if it names nothing that a run makes for a time.
    fn noted(note: &str) -> Option<Self> {
        if note.starts_with(ALIAS) {
            Some(Thing::Image(note.to_owned()))
        } else {
            note.starts_with(CONTAINER).then(|| Thing::Container(note.to_owned()))
        }
    }
}

/// Removes its thing, at the latest when it is dropped.
pub(super) struct Temporary {
    docker: Docker,
    limit: Duration,
    pending: Pending,
    thing: Option<Thing>,
    /// Goes when the thing is gone.
    note: Option<Note>,
}

impl Temporary {
    /// Guards a thing that is about to be made.
    pub fn new(store: &EngineStore, thing: Thing) -> Self {
        Temporary {
            docker: store.docker.clone(),
            limit: store.wire.limits.answer,
            pending: store.pending.clone(),
            note: store.cache.note(&store.endpoint.to_string(), &thing.note()),
            thing: Some(thing),
        }
    }

    /// Removes the thing; that there is none is fine.
    ///
    /// # Errors
    /// The trouble: the thing stays until a later run.
    pub async fn remove(mut self) -> Result<(), Trouble> {
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

impl Drop for Temporary {
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

async fn remove(docker: &Docker, limit: Duration, thing: &Thing) -> Result<(), Trouble> {
    let removed = match thing {
        Thing::Image(name) => {
            within(limit, docker.remove_image(name, None::<RemoveImageOptions>, None)).await.map(drop)
        }
        Thing::Container(name) => {
            // with the anonymous volumes of the image's VOLUMEs
            let options = RemoveContainerOptionsBuilder::new().v(true).force(true).build();
            within(limit, docker.remove_container(name, Some(options))).await
        }
    };
    match removed {
        Err(trouble) if !trouble.is_status(404) => Err(trouble),
        _ => Ok(()),
    }
}

/// Removes what killed runs with the same cache noted, as far as that works.
pub(super) async fn remove_noted(store: &EngineStore) {
    for note in store.cache.left(&store.endpoint.to_string()) {
        let removed = match Thing::noted(&note.text) {
            Some(thing) => remove(&store.docker, store.wire.limits.answer, &thing).await,
            None => Ok(()),
        };
        if removed.is_ok() {
            note.forget();
        }
    }
}

/// Removes the temporary images that a killed run left behind, as far as that works.
pub(super) async fn sweep_images(docker: &Docker, limit: Duration) {
    let filters = HashMap::from([("reference", vec![ALIAS])]);
    let options = ListImagesOptionsBuilder::new().filters(&filters).build();
    let Ok(images) = within(limit, docker.list_images(Some(options))).await else { return };
    for tag in images.into_iter().flat_map(|image| image.repo_tags) {
        if tag.starts_with(ALIAS) && is_left(&tag) {
            drop(remove(docker, limit, &Thing::Image(tag)).await);
        }
    }
}

/// Removes the temporary containers that a killed run left behind, as far as that works.
pub(super) async fn sweep_containers(store: &EngineStore) {
    let Ok(containers) = containers::list(&store.wire).await else { return };
    for name in containers.iter().filter_map(|container| container.names.as_ref()).flatten() {
        let name = name.trim_start_matches('/');
        if name.starts_with(CONTAINER) && is_left(name) {
            drop(remove(&store.docker, store.wire.limits.answer, &Thing::Container(name.to_owned())).await);
        }
    }
}
