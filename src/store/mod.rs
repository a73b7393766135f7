//! Owns the seam between bakes and stores of images.
//!
//! The stores are leaves and import no other store: only `engine` imports bollard, only `registry` an HTTP client.

pub mod any;
pub mod archive;
mod cache;
pub mod engine;
mod error;
mod labels;
pub mod layers;
pub mod layout;
mod login;
pub mod oci;
mod prune;
pub mod registry;
pub mod scratch;
#[cfg(test)]
mod testing;

use std::collections::BTreeSet;

use futures_util::future::try_join_all;

use crate::diagnostic::Diagnostic;
use crate::image::config::Config;
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::image::platform::Platforms;
use crate::image::tree::{PathQuery, Tree};
use crate::image::{Base, BaseImage, NewImage};
use crate::runtime::progress::Progress;

pub use error::{NOT_FOUND, StoreError};
pub use labels::{BaseNow, LabelReads};
pub use layers::blob::{Blob, FileRange};
pub use prune::{Displaced, Pruned, TagHolder};

/// A store of images: an engine, a registry, layouts, archives, or scratch.
pub trait ImageStore {
    /// Reads the manifest and the config of a base, never a layer.
    ///
    /// If the store's names point to one platform's image, [`Platforms::All`] reads that one.
    fn read(&self, name: &ImageName, platforms: &Platforms) -> impl Future<Output = Result<BaseImage, StoreError>>;

    /// Looks up paths in the base's file tree without following links: an entry for each needed path, `Absent` included, and for a
    /// likely one if that costs nothing that grows with the base. Only `/etc/passwd` and `/etc/group` (or what they link to) need content.
    fn look_up(
        &self,
        name: &ImageName,
        base: &Base,
        paths: &PathQuery,
    ) -> impl Future<Output = Result<Tree, StoreError>>;

    /// Returns the [`Put::identity`] of the image that the name points to; `None` if there is none, or it is incomplete.
    fn tag_state(&self, name: &ImageName) -> impl Future<Output = Result<Option<Digest>, StoreError>>;

    /// Writes the image under every tag and verifies it; writes nothing if every tag points to it already. Layers of the base that the
    /// store lacks come from `base`. After an error every tag points to what it pointed to before, and nothing else is left.
    fn put<S: LayerSource>(
        &self,
        image: &NewImage,
        tags: &[&ImageName],
        base: BaseSource<'_, S>,
    ) -> impl Future<Output = Result<Put, StoreError>>;
}

/// What each of some tags pointed to, in their order.
pub type TagStates = Vec<Option<Digest>>;

/// Asks a store what each of some tags points to.
async fn tag_states(store: &impl ImageStore, tags: &[&ImageName]) -> Result<TagStates, StoreError> {
    try_join_all(tags.iter().map(|tag| store.tag_state(tag))).await
}

/// A store whose layers can be read one by one.
pub trait LayerSource {
    /// Opens a layer of an image by the digest in its [`Base::manifest`].
    fn layer(&self, name: &ImageName, digest: &Digest) -> impl Future<Output = Result<Blob, StoreError>>;
}

/// Where the layers of a base come from.
pub struct BaseSource<'a, S> {
    pub store: &'a S,
    /// The base's name in the store.
    pub name: &'a ImageName,
    /// Counts the bytes that are copied.
    pub progress: Option<&'a Progress>,
}

impl<S: LayerSource> BaseSource<'_, S> {
    /// Opens a layer by the digest in the base's manifest.
    async fn layer(&self, digest: &Digest) -> Result<Blob, StoreError> {
        let layer = self.store.layer(self.name, digest).await?;
        Ok(match self.progress {
            Some(progress) => layer.watched(progress.clone()),
            None => layer,
        })
    }
}

impl<S> Clone for BaseSource<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for BaseSource<'_, S> {}

/// The result of a [`ImageStore::put`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The digest of the manifest, or of the config where the store keeps no manifest.
    pub identity: Digest,
    /// Whether anything was written.
    pub changed: bool,
    /// What lost a tag, where it may be pruned. A layout removes what nothing names any more by itself.
    pub displaced: Vec<Displaced>,
    pub warnings: Vec<Diagnostic>,
}

impl Put {
    fn unchanged(identity: Digest) -> Self {
        Put { identity, changed: false, displaced: Vec::new(), warnings: Vec::new() }
    }
}

/// Writes the image with `write`, which returns warnings, unless every tag pointed to it before. Also returns what else the tags pointed to.
async fn put_if_changed(
    image: &NewImage,
    before: TagStates,
    write: impl AsyncFnOnce() -> Result<Vec<Diagnostic>, StoreError>,
) -> Result<(Put, BTreeSet<Digest>), StoreError> {
    let unchanged = Put::unchanged(image.digest());
    if before.iter().all(|state| state.as_ref() == Some(&unchanged.identity)) {
        return Ok((unchanged, BTreeSet::new()));
    }
    let warnings = write().await?;
    let replaced = before.into_iter().flatten().filter(|digest| *digest != unchanged.identity).collect();
    Ok((Put { changed: true, warnings, ..unchanged }, replaced))
}

/// Makes a base from the documents that a store read; `shown` is its name.
fn make_base(shown: &str, digest: Option<Digest>, manifest: Vec<u8>, config: Vec<u8>) -> Result<Base, StoreError> {
    let config = Config::parse(config).map_err(|error| {
        StoreError::from(Diagnostic::error("base", format!("cannot use {shown}: {error}")).hint(error.hint()))
    })?;
    Ok(Base { digest, index: None, manifest, config })
}

/// Tells whether a host, without a port, is this machine.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']);
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
