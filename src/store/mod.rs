//! Owns the seam to where images are kept: what a store is asked and given, and how it fails.
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

use crate::diagnostic::{Diagnostic, ListHint, Subject};
use crate::image::config::Config;
use crate::image::digest::Digest;
use crate::image::index;
use crate::image::name::ImageName;
use crate::image::platform::Platforms;
use crate::image::tree::{Lookup, Tree};
use crate::image::{Base, BaseImage, NewImage};

pub use layers::blob::{Blob, Piece};

/// A place where images are read from and written to.
pub trait ImageStore {
    /// Reads what a bake must know of a base: manifest and config, never a layer.
    ///
    /// A store whose names point to one platform's image gives that one for [`Platforms::All`] too.
    fn read(&self, name: &ImageName, platforms: &Platforms) -> impl Future<Output = Result<BaseImage, StoreError>>;

    /// Looks up paths in the base's file tree without following links: one entry for each needed path, `Absent` included, and for
    /// the likely ones as far as that costs nothing that grows with the base. The content is needed of `/etc/passwd` and
    /// `/etc/group` (or what they link to) only.
    fn look_up(&self, name: &ImageName, base: &Base, paths: &Lookup) -> impl Future<Output = Result<Tree, StoreError>>;

    /// Returns the identity of the image that the name points to now, in the terms of [`Put::identity`]; `None` if there is none, or
    /// only parts of it.
    fn tag_state(&self, name: &ImageName) -> impl Future<Output = Result<Option<Digest>, StoreError>>;

    /// Writes the image under every tag, all or nothing, and verifies that the store has what was given; writes nothing if every
    /// tag points to this image already. Layers of the base that the store lacks come from `base`.
    ///
    /// # Errors
    /// The diagnosis; nothing is left behind, and every tag points to what it pointed to before.
    fn put<S: LayerSource>(
        &self,
        image: &NewImage,
        tags: &[&ImageName],
        base: BaseSource<'_, S>,
    ) -> impl Future<Output = Result<Put, StoreError>>;
}

/// A store that gives the layers of its images one by one.
pub trait LayerSource {
    /// Opens a layer of an image by the digest in its [`Base::manifest`].
    fn layer(&self, name: &ImageName, digest: &Digest) -> impl Future<Output = Result<Blob, StoreError>>;
}

/// Where the base of an image is: its store, and its name there.
pub struct BaseSource<'a, S> {
    pub store: &'a S,
    pub name: &'a ImageName,
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
    pub displaced: Vec<Displaced>,
    pub warnings: Vec<Diagnostic>,
}

impl Put {
    fn unchanged(identity: Digest) -> Self {
        Put { identity, changed: false, displaced: Vec::new(), warnings: Vec::new() }
    }

    fn written(identity: Digest, warnings: Vec<Diagnostic>) -> Self {
        Put { identity, changed: true, displaced: Vec::new(), warnings }
    }
}

/// A baked image in an engine that lost its last tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Displaced {
    /// The image ID.
    pub id: Digest,
    /// The digest of the base that it was baked from.
    pub base: Option<String>,
}

impl Displaced {
    /// Returns the warning about an image that stays.
    pub fn warning(&self) -> Diagnostic {
        let what = format!("previous baked image {} is now untagged and still holds the old secrets", self.id);
        let of_many = ["previous baked image ", " are now untagged and still hold the old secrets"].map(str::to_owned);
        let subject = Subject { name: self.id.to_string(), kind: "image", of_many, hints: Vec::new() };
        Diagnostic::warning("replaced-image", what).about(subject).list_hint(ListHint {
            before: "remove it with --prune-replaced, or with `docker rmi ".to_owned(),
            item: self.id.to_string(),
            after: "`".to_owned(),
            is_json: false,
        })
    }
}

/// Tells whether every tag points to the image.
async fn is_current(store: &impl ImageStore, tags: &[&ImageName], identity: &Digest) -> Result<bool, StoreError> {
    let mut current = true;
    for tag in tags {
        current &= store.tag_state(tag).await?.as_ref() == Some(identity);
    }
    Ok(current)
}

/// Makes the base of the documents that a store read; `shown` is its name.
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

/// Refuses an index in a store whose names point to one platform's image.
fn one_platform(tags: &[&ImageName]) -> StoreError {
    let target = tags.first().map(ToString::to_string).unwrap_or_default();
    Diagnostic::error("one-platform", format!("`{target}` holds the image of one platform")).hint(index::WHERE).into()
}

/// Refuses to open a layer of an image in a container engine.
fn layers_not_given(name: &ImageName, digest: &Digest) -> StoreError {
    Diagnostic::error("layers-not-given", format!("the layer {digest} of `{name}` cannot be read"))
        .cause("a container engine does not give the layers of its images one by one")
        .hint(format!(
            "save the base first, as with `docker save -o base.tar {name}`, and name docker-archive:base.tar"
        ))
        .into()
}

/// Why a store did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(pub Box<Diagnostic>);

impl From<Diagnostic> for StoreError {
    fn from(diagnostic: Diagnostic) -> Self {
        StoreError(Box::new(diagnostic))
    }
}
