//! Owns uploads that are started while the secrets are read, so that the write of an image need not wait for their start.
//!
//! Only an image with a new tag gets them: whether a tag that exists has to move is known only when the secrets are. Nobody can read an
//! empty upload, and registries remove abandoned ones. Unused uploads are not cancelled: Docker's registry would keep a part of them for
//! good.

use std::sync::{Mutex, PoisonError};

use reqwest::Url;

use crate::image::name::Repository;

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

    /// Keeps where an upload to a repository continues.
    pub(super) fn keep(&self, repository: &Repository, url: Url) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((repository.path().to_owned(), url));
    }
}
