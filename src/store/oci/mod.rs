//! Owns an OCI layout's documents (index, manifest, descriptor), wherever their bytes are: in a directory or in a tar.
//!
//! It must not open a path: blobs come from a [`Blobs`].

pub mod document;
pub mod index;
pub mod parts;
pub mod read;
pub mod walk;

use std::io;

use super::layers::blob::Piece;
use crate::image::digest::Digest;

/// The annotation by which a layout's index names an image.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation by which containerd names an image.
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The content of the file `oci-layout`.
pub const OCI_LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// A manifest, an index or a config above this is not read.
pub const DOCUMENT_LIMIT: u64 = 16 * 1024 * 1024;

/// Blobs by their digest.
pub trait Blobs {
    /// Opens a blob; `None` if there is none of this digest.
    ///
    /// # Errors
    /// The operating system's.
    fn open(&self, digest: &Digest) -> io::Result<Option<Piece>>;
}
