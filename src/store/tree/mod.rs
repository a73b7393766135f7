//! Owns the lookup of paths in a base's layers: tars, compressed or not, laid over each other with whiteouts and links.
//!
//! A layer is read once from its beginning and never kept; what is held in memory does not grow with it.

mod decode;
mod members;
mod overlay;

use std::collections::BTreeSet;

use super::{Piece, StoreError, blocking};
use crate::error::Diagnostic;
use crate::image::name::ImageName;
use crate::image::tree::Tree;
use overlay::LookupError;

pub use decode::{Decoded, decode};
pub use members::Members;
pub use overlay::clean;

/// Looks paths up in the layers of a base, the lowest first in the list.
///
/// # Errors
/// The diagnosis.
pub async fn look_up(name: &ImageName, layers: Vec<Piece>, paths: &BTreeSet<String>) -> Result<Tree, StoreError> {
    let paths = paths.clone();
    let count = layers.len();
    let tree = blocking::run(move |cancel| overlay::look_up(&layers, &paths, cancel)).await;
    tree.map_err(|error| {
        match error {
            LookupError::Layer(number, error) => {
                let what = format!("layer {} of {count} of `{name}` cannot be read: {error}", number + 1);
                Diagnostic::error("layer-malformed", what).hint("pull or build the base again")
            }
            LookupError::TooLarge(path) => {
                Diagnostic::error("file-too-large", format!("`{path}` of `{name}` is larger than 1 MiB"))
                    .hint("write the owner in numbers: `owner: \"UID:GID\"`")
            }
        }
        .into()
    })
}
