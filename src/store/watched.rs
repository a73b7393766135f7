//! Owns the counting of what is copied out of a store: a store that is like another, and whose layers are watched.

use super::{Blob, ImageStore, Source, StoreError, Written};
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::image::platform::Platform;
use crate::image::tree::{Lookup, Tree};
use crate::image::{Base, Image};
use crate::runtime::progress::Progress;

/// A store whose layers are counted as they are copied.
pub struct Watched<'a, S> {
    pub store: &'a S,
    pub progress: &'a Progress,
}

impl<S: ImageStore> ImageStore for Watched<'_, S> {
    async fn base(&self, name: &ImageName, platform: Option<&Platform>) -> Result<Base, StoreError> {
        self.store.base(name, platform).await
    }

    async fn entries(&self, name: &ImageName, base: &Base, paths: &Lookup) -> Result<Tree, StoreError> {
        self.store.entries(name, base, paths).await
    }

    async fn current(&self, name: &ImageName) -> Result<Option<Digest>, StoreError> {
        self.store.current(name).await
    }

    fn identity(&self, image: &Image) -> Digest {
        self.store.identity(image)
    }

    async fn layer(&self, name: &ImageName, digest: &Digest) -> Result<Blob, StoreError> {
        Ok(self.store.layer(name, digest).await?.watched(self.progress.clone()))
    }

    async fn write(&self, image: &Image, tags: &[&ImageName]) -> Result<Written, StoreError> {
        self.store.write(image, tags).await
    }

    async fn write_from<T: ImageStore>(
        &self,
        image: &Image,
        tags: &[&ImageName],
        base: Source<'_, T>,
    ) -> Result<Written, StoreError> {
        self.store.write_from(image, tags, base).await
    }
}
