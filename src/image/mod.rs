//! Owns the nouns of images (name, digest, config, layer, manifest) and what a bake makes of them.
//!
//! It is pure: bytes in, bytes out. Media (`store`) import it; it imports none of them.

pub mod access;
pub mod append;
pub mod config;
pub mod digest;
pub mod env_file;
pub mod index;
pub mod json;
pub mod launcher;
pub mod layer;
pub mod name;
pub mod platform;
pub mod provenance;
pub mod time;
pub mod tree;

use crate::secret::SecretBytes;
use config::Config;
use digest::Digest;
use index::BaseIndex;
use platform::Platform;

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

/// What a bake must know of the image it starts from.
#[derive(Clone)]
pub struct Base {
    /// The digest that identifies the base in its store: the manifest's, or the image ID of an engine that keeps no manifest.
    /// `None` for scratch.
    pub digest: Option<Digest>,
    /// The image ID under which an engine knows the base, where that is not `digest`: an index of several platforms.
    pub index: Option<Digest>,
    /// The manifest's exact bytes; where a store keeps none, one that lists each layer by its diff ID.
    pub manifest: Vec<u8>,
    pub config: Config,
}

/// What a store has under the name of a base.
pub enum BaseImage {
    One(Base),
    /// The index, and its images in its order.
    Index(BaseIndex, Vec<Base>),
}

impl BaseImage {
    /// Returns the index, if there is one, and the image or images.
    pub fn into_parts(self) -> (Option<BaseIndex>, Vec<Base>) {
        match self {
            BaseImage::One(base) => (None, vec![base]),
            BaseImage::Index(index, bases) => (Some(index), bases),
        }
    }
}

/// An image as it is to be stored: the base's layers by reference, the new ones by value.
#[derive(Clone)]
pub struct Image {
    /// The manifest's bytes; its layers are the base's, then `layers`.
    pub manifest: Vec<u8>,
    /// The config's bytes: a secret, since `inject: config` writes values into it.
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
    /// Returns the digest of the config: the image ID of a graphdriver engine and of Podman.
    pub fn config_digest(&self) -> Digest {
        Digest::of(self.config.expose())
    }

    /// Returns the digest of the manifest: the image ID of the containerd image store, and the digest everywhere else.
    pub fn manifest_digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }
}

/// An image for each of several platforms, and the index that lists them.
#[derive(Clone)]
pub struct ImageIndex {
    /// The index's bytes.
    pub document: Vec<u8>,
    pub media_type: String,
    /// In the index's order.
    pub images: Vec<Image>,
}

impl ImageIndex {
    /// Returns the digest of the index, which stands for all images.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.document)
    }
}

/// What a bake makes: an image, or one for each platform of its base.
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

/// A document of an image that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("the image's {0} is not valid JSON of its kind")]
    Malformed(&'static str),
    #[error("the image is for {0}, and secretbake bakes Linux images")]
    NotLinux(String),
    #[error("the image is for {image}, and there is a launcher for {launchers} only")]
    OtherArchitecture { image: String, launchers: String },
    #[error("the base is itself a baked image, so its old secrets would stay in the new one")]
    AlreadyBaked,
    #[error("the base has no user `{0}` in /etc/passwd")]
    UnknownUser(String),
    #[error("the base has no group `{0}` in /etc/group")]
    UnknownGroup(String),
    #[error("`{0}` is not a directory in the base")]
    NotADirectory(String),
    #[error("`{0}` is a directory in the base, and a file there would hide all that is in it")]
    IsADirectory(String),
    #[error("two files of the manifest are one in the base: `{0}`")]
    SamePlace(String),
    #[error("too many symbolic links on the way to `{0}`")]
    LinkLoop(String),
}

impl ImageError {
    /// Returns the next step.
    pub fn hint(&self) -> &'static str {
        match self {
            ImageError::Malformed(_) => "pull or build the base again",
            ImageError::NotLinux(_) => "name a base for Linux",
            ImageError::OtherArchitecture { .. } => {
                "name a launcher for the image's architecture with --launcher PATH, or choose `inject: config` or `inject: file`"
            }
            ImageError::AlreadyBaked => "bake from the image that it was baked from",
            ImageError::UnknownUser(_) | ImageError::UnknownGroup(_) => {
                "write the owner in numbers: `owner: \"UID:GID\"`, in `image:` for the env file or at the file itself"
            }
            ImageError::IsADirectory(_) => "choose a path in the directory, as in /app/tls/server.pem",
            ImageError::NotADirectory(_) | ImageError::SamePlace(_) | ImageError::LinkLoop(_) => {
                "choose another path for the file"
            }
        }
    }
}
