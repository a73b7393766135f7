//! Owns the seam to where images are kept: what is asked of a store, what it is given, and how a failure looks.
//!
//! The adapters below it are leaves: only `engine` imports bollard, only `registry` an HTTP registry client.

pub mod any;
pub mod archive;
mod cache;
pub mod engine;
mod files;
mod layers;
pub mod layout;
mod login;
mod oci;
mod registry;
pub mod scratch;
#[cfg(test)]
mod testing;
pub mod watched;

use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::index::{self, BaseIndex};
use crate::image::name::ImageName;
use crate::image::platform::Platform;
use crate::image::tree::{Lookup, Tree};
use crate::image::{Base, Image, ImageIndex};

pub use layers::blob::{Blob, Piece};

/// A place where images are read from and written to.
pub trait ImageStore {
    /// Reads what a bake must know of a base: manifest and config, never a layer.
    ///
    /// `platform` chooses from a multi-platform image; `None` is the store's own.
    ///
    /// # Errors
    /// The diagnosis, without a place.
    fn base(&self, name: &ImageName, platform: Option<&Platform>) -> impl Future<Output = Result<Base, StoreError>>;

    /// Reads every image of a base of several platforms, and the index that lists them; `None` for a base that is one image.
    ///
    /// # Errors
    /// The diagnosis, without a place.
    fn bases(&self, _name: &ImageName) -> impl Future<Output = Result<Option<(BaseIndex, Vec<Base>)>, StoreError>> {
        std::future::ready(Ok(None))
    }

    /// Looks paths of the base's file tree up, links not followed: one entry for each needed path, `Absent` included, and for the
    /// likely ones as far as that costs nothing that grows with the base. The content is needed of `/etc/passwd` and
    /// `/etc/group` (or what they link to) only.
    ///
    /// # Errors
    /// The diagnosis, without a place.
    fn entries(&self, name: &ImageName, base: &Base, paths: &Lookup) -> impl Future<Output = Result<Tree, StoreError>>;

    /// Returns what the name stands for now, in the terms of [`ImageStore::identity`]; `None` if there is no such image.
    ///
    /// # Errors
    /// The diagnosis, without a place.
    fn current(&self, name: &ImageName) -> impl Future<Output = Result<Option<Digest>, StoreError>>;

    /// Returns what an image is identified by here: its manifest's digest, or its config's where the store keeps no manifest.
    fn identity(&self, image: &Image) -> Digest;

    /// Opens a layer of an image by the digest in its [`Base::manifest`], for a store that lacks it.
    ///
    /// # Errors
    /// The diagnosis, without a place; also from a store that does not give layers, as an engine.
    fn layer(&self, name: &ImageName, digest: &Digest) -> impl Future<Output = Result<Blob, StoreError>> {
        let diagnostic =
            Diagnostic::error("layers-not-given", format!("the layer {digest} of `{name}` cannot be read"))
                .cause("a container engine does not give the layers of its images one by one")
                .hint(format!(
                    "save the base first, as with `docker save -o base.tar {name}`, and name docker-archive:base.tar"
                ));
        std::future::ready(Err(diagnostic.into()))
    }

    /// Writes the image under every tag, all or nothing, verified: what the store then has is what was given.
    ///
    /// The base's layers are in the store already; [`ImageStore::write_from`] is for every other case.
    ///
    /// # Errors
    /// The diagnosis, without a place; nothing is left behind and every tag stands for what it stood for before.
    fn write(&self, image: &Image, tags: &[&ImageName]) -> impl Future<Output = Result<Written, StoreError>>;

    /// Does what [`ImageStore::write`] does, and takes those layers of the base that the store lacks from the base's own.
    ///
    /// A store that can only build on what it has leaves this as it is.
    ///
    /// # Errors
    /// The diagnosis, without a place; nothing is left behind and every tag stands for what it stood for before.
    fn write_from<S: ImageStore>(
        &self,
        image: &Image,
        tags: &[&ImageName],
        _base: Source<'_, S>,
    ) -> impl Future<Output = Result<Written, StoreError>> {
        self.write(image, tags)
    }

    /// Does for the images of an index what [`ImageStore::write_from`] does for one; the tags then stand for the index.
    ///
    /// # Errors
    /// The diagnosis, without a place; also from a store whose names stand for one platform's image.
    fn write_index<S: ImageStore>(
        &self,
        _index: &ImageIndex,
        tags: &[&ImageName],
        _base: Source<'_, S>,
    ) -> impl Future<Output = Result<Written, StoreError>> {
        std::future::ready(Err(one_platform(tags)))
    }
}

/// Tells whether a host, without a port, is this machine.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']);
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Says that a store has no indexes.
fn one_platform(tags: &[&ImageName]) -> StoreError {
    let target = tags.first().map(ToString::to_string).unwrap_or_default();
    Diagnostic::error("one-platform", format!("`{target}` holds the image of one platform")).hint(index::WHERE).into()
}

/// Where the base of an image is: its store, and its name there.
pub struct Source<'a, S> {
    pub store: &'a S,
    pub name: &'a ImageName,
}

impl<S> Clone for Source<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Source<'_, S> {}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// What identifies the image, where the store made another one of it than was given: an announced fallback.
    pub identity: Option<Digest>,
    /// What the user should know: an announced fallback, an old image that lost its tag.
    pub warnings: Vec<Diagnostic>,
}

/// Why a store did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(pub Box<Diagnostic>);

impl From<Diagnostic> for StoreError {
    fn from(diagnostic: Diagnostic) -> Self {
        StoreError(Box::new(diagnostic))
    }
}
