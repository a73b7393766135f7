//! Owns the reading and writing of OCI images for every store: documents by descriptor, images by tag and platform, archives.
//!
//! It must not open a path: blobs come from a [`Blobs`].

pub mod archive;
pub mod document;
pub mod index;
pub(super) mod parts;
pub mod read;
pub mod walk;

use std::io;

use super::layers::blob::FileRange;
use crate::image::digest::Digest;

/// A layout's index.
pub(crate) const INDEX: &str = "index.json";

/// The annotation with an image's tag in a layout's index.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation with an image's full name for containerd.
pub(crate) const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The file that marks a layout.
pub(crate) const LAYOUT_FILE: &str = "oci-layout";

/// The content of the file `oci-layout`.
pub(crate) const LAYOUT_FILE_CONTENT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// The largest index, manifest or config that is read, in bytes.
pub(crate) const DOCUMENT_LIMIT: u64 = 16 * 1024 * 1024;

/// Blobs by their digest.
pub trait Blobs {
    /// Opens a blob; `None` if there is none.
    fn open(&self, digest: &Digest) -> io::Result<Option<FileRange>>;
}
