//! Owns the reading and writing of OCI images for every store: documents by descriptor, images by tag and platform, archives.
//!
//! It must not open a path: blobs come from a [`Blobs`].

pub mod archive;
pub mod document;
pub mod index;
pub mod parts;
pub mod read;
pub mod walk;

use std::io;

use super::layers::blob::FileRange;
use crate::image::digest::Digest;

/// A layout's index.
pub const INDEX: &str = "index.json";

/// The annotation by which a layout's index names an image.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation by which containerd names an image.
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The file by which a layout is known.
pub const LAYOUT_FILE: &str = "oci-layout";

/// The content of the file `oci-layout`.
pub const LAYOUT_FILE_CONTENT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// A manifest, an index or a config above this is not read.
pub const DOCUMENT_LIMIT: u64 = 16 * 1024 * 1024;

/// Blobs by their digest.
pub trait Blobs {
    /// Opens a blob; `None` if there is none of this digest.
    ///
    /// # Errors
    /// The operating system's.
    fn open(&self, digest: &Digest) -> io::Result<Option<FileRange>>;
}
