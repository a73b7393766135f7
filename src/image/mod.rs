//! Owns the parts of images (name, digest, config, layer, index), and how a bake makes a new image.
//!
//! It is pure: bytes in, bytes out. Stores import it; it imports no store.

pub mod access;
pub mod append;
pub mod config;
pub mod digest;
pub mod env_file;
pub mod index;
pub mod json;
pub mod labels;
pub mod launcher;
pub mod layer;
pub mod manifest;
pub mod name;
pub mod platform;
pub mod provenance;
pub mod recipe;
pub mod reseal;
pub mod seal;
pub mod time;
pub mod tree;
pub mod undo;

use std::collections::BTreeSet;

use crate::secret::SecretBytes;
use config::Config;
use digest::Digest;
use index::BaseIndex;
use platform::Platform;
use tree::Tree;

/// The media types that a bake reads and writes.
pub mod media {
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
}

/// The image that a bake starts from.
#[derive(Clone)]
pub struct Base {
    /// The base's identity in its store: the digest of the manifest, or the image ID of an engine without manifests. `None` for scratch.
    pub digest: Option<Digest>,
    /// The image ID in an engine, if that is the digest of an index.
    pub index: Option<Digest>,
    /// The manifest's exact bytes. If the store has none, it is made, and lists each layer by its diff ID.
    pub manifest: Vec<u8>,
    pub config: Config,
}

/// A base, and what is known of it.
pub struct KnownBase {
    pub base: Base,
    /// The name by which others can pull it.
    pub name: Option<String>,
    /// What [`append::requirements`] asks for.
    pub tree: Tree,
    /// The variables whose own value is not known, since an earlier bake, which was taken off, had replaced it.
    pub replaced: BTreeSet<String>,
}

/// The base or bases of one name.
pub enum BaseImage {
    One(Base),
    /// A multi-platform index, and its images in its order.
    Index(BaseIndex, Vec<Base>),
}

impl BaseImage {
    /// Returns the index, if there is one, and the images.
    pub fn into_parts(self) -> (Option<BaseIndex>, Vec<Base>) {
        match self {
            BaseImage::One(base) => (None, vec![base]),
            BaseImage::Index(index, bases) => (Some(index), bases),
        }
    }
}

/// A baked image: it refers to the base's layers and contains the new ones.
#[derive(Clone)]
pub struct Image {
    /// The manifest's bytes. It lists the base's layers, then `layers`.
    pub manifest: Vec<u8>,
    /// The config's bytes, which hold secret values with `inject: config`.
    pub config: SecretBytes,
    /// The new layers, the lowest first.
    pub layers: Vec<layer::Layer>,
    /// The diff ID of every layer, the base's first.
    pub diff_ids: Vec<Digest>,
    pub platform: Platform,
    /// Whether the config holds secret values (`inject: config`), which an engine may quote in an error.
    pub config_has_values: bool,
}

impl Image {
    /// Returns the digest of the config: the image ID in Docker's overlay2 store and in Podman.
    pub fn config_digest(&self) -> Digest {
        Digest::of(self.config.expose())
    }

    /// Returns the digest of the manifest: the image ID in the containerd image store, and the image's digest elsewhere.
    pub fn manifest_digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }
}

/// A multi-platform index and its baked images.
#[derive(Clone)]
pub struct ImageIndex {
    /// The index's bytes.
    pub document: Vec<u8>,
    pub media_type: String,
    /// In the index's order.
    pub images: Vec<Image>,
}

impl ImageIndex {
    /// Returns the digest of the index.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.document)
    }
}

/// The result of a bake: an image, or an index with one for each platform of the base.
pub enum NewImage {
    Image(Image),
    Index(ImageIndex),
}

impl NewImage {
    /// Returns the digest of the manifest or the index.
    pub fn digest(&self) -> Digest {
        match self {
            NewImage::Image(image) => image.manifest_digest(),
            NewImage::Index(index) => index.digest(),
        }
    }
}

/// Why an image cannot be baked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("the image's {0} is not valid JSON of its kind")]
    Malformed(&'static str),
    #[error("the image is for {0}, and secretbake bakes Linux images only")]
    NotLinux(String),
    #[error("the image is for {image}, and there is a {kind} for {launchers} only")]
    OtherArchitecture { image: String, kind: &'static str, launchers: String },
    #[error("the base is itself a baked image, so its old secrets would stay in the new one")]
    AlreadyBaked,
    #[error("the base has no user `{0}` in /etc/passwd")]
    UnknownUser(String),
    #[error("the base has no group `{0}` in /etc/group")]
    UnknownGroup(String),
    #[error("`{0}` is not a directory in the base")]
    NotADirectory(String),
    #[error("`{0}` is a directory in the base, and a file would hide its content")]
    IsADirectory(String),
    #[error("two files of the manifest have the same path in the base: `{0}`")]
    SamePlace(String),
    #[error("the base's own value of {0} is needed, which the baked image does not hold")]
    NeedsBase(String),
    #[error("too many symbolic links in `{0}`")]
    LinkLoop(String),
}

impl ImageError {
    /// Returns the next step.
    pub fn hint(&self) -> &'static str {
        match self {
            ImageError::Malformed(_) => "pull or build the base again",
            ImageError::NotLinux(_) => "use a base for Linux",
            ImageError::OtherArchitecture { .. } => {
                "pass a launcher for this architecture with --launcher PATH, or use `inject: config` or `inject: file`"
            }
            ImageError::AlreadyBaked => "use the image that it was baked from as the base",
            ImageError::UnknownUser(_) | ImageError::UnknownGroup(_) => {
                "write the owner as numbers: `owner: \"UID:GID\"`, under `image:` for the env file or at the file itself"
            }
            ImageError::NeedsBase(_) => "bake the image from its manifest and its base",
            ImageError::IsADirectory(_) => "choose a path in the directory, such as /app/tls/server.pem",
            ImageError::NotADirectory(_) | ImageError::SamePlace(_) | ImageError::LinkLoop(_) => {
                "choose another path for the file"
            }
        }
    }
}
