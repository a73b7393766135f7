//! Owns the labels and annotations by which an image names its base in OCI's own words.

use super::digest::Digest;

/// The name of the base, as others can pull it.
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// The digest of the base, as its store knows it.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// Returns what a baked image says of its base. `None` takes out what the base says of its own base.
pub fn base_labels(name: Option<&str>, digest: Option<&Digest>) -> [(&'static str, Option<String>); 2] {
    [(BASE_NAME, name.map(str::to_owned)), (BASE_DIGEST, digest.map(Digest::to_string))]
}
