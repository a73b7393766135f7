//! Owns uploads that are started while the secrets are read, so that the write of an image need not wait for their start.
//!
//! Only an image with a new tag gets them: whether a tag that exists has to move is known only when the secrets are. An upload without
//! bytes is nothing that anybody can read, and a registry gives up what is not continued. It must not cancel one: Docker's registry keeps a
//! part of what was cancelled for good.

use std::sync::{Mutex, PoisonError};

use futures_util::future::join_all;
use reqwest::{Method, Url};

use super::RegistryStore;
use super::client::{Client, Registry, Request};
use super::upload::{Started, started};
use crate::image::name::{ImageName, Repository};
use crate::store::TagStates;

/// The uploads of one registry that are started and have no blob yet: the path of the repository, and where the upload continues.
#[derive(Default)]
pub(super) struct UploadsAhead(Mutex<Vec<(String, Url)>>);

impl UploadsAhead {
    /// Returns where an upload to a repository continues that was started ahead.
    pub(super) fn take(&self, repository: &Repository) -> Option<Url> {
        let mut uploads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = uploads.iter().position(|(path, _)| path == repository.path())?;
        Some(uploads.swap_remove(index).1)
    }

    fn keep(&self, repository: &Repository, url: Url) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((repository.path().to_owned(), url));
    }
}

impl RegistryStore {
    /// Starts the uploads of an image with so many new blobs, if one of its tags, all of one repository, is not there yet. If the
    /// registry refuses, the write asks again and says why.
    pub(in crate::store) async fn start_uploads(&self, tags: &[&ImageName], states: &TagStates, blobs: usize) {
        let [ImageName::Registry(repository), ..] = tags else { return };
        if states.iter().all(Option::is_some) {
            return;
        }
        let registry = self.client.registry(repository);
        join_all((0..blobs).map(|_| start(&self.client, &registry, repository))).await;
    }
}

async fn start(client: &Client, registry: &Registry, repository: &Repository) {
    let scope = registry.tokens.scope_of_write(repository);
    let request = Request::new(Method::POST, registry.host.url(repository, "blobs/uploads/"), scope);
    let Ok(response) = client.send_once(registry, &request, None).await else { return };
    if let Ok(Started::At(url)) = started(response).await {
        registry.ahead.keep(repository, url);
    }
}
