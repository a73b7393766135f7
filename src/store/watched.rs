//! Owns the counting of what is copied out of a store.

use super::{Blob, LayerSource, StoreError};
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::runtime::progress::Progress;

/// A store whose layers are counted as they are copied.
pub struct Watched<'a, S> {
    pub store: &'a S,
    pub progress: &'a Progress,
}

impl<S: LayerSource> LayerSource for Watched<'_, S> {
    async fn layer(&self, name: &ImageName, digest: &Digest) -> Result<Blob, StoreError> {
        Ok(self.store.layer(name, digest).await?.watched(self.progress.clone()))
    }
}
