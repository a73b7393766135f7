//! Owns the lookup of paths in a base's layers: tars, compressed or not, laid over each other with whiteouts and links.
//!
//! A layer is read once from its beginning and never kept; what is held in memory does not grow with it.

pub mod blob;
mod decode;
mod members;
mod overlay;

use std::io;

use super::StoreError;
use crate::diagnostic::Diagnostic;
use crate::image::name::ImageName;
use crate::image::tree::{PathQuery, Tree};
use crate::runtime::blocking;
use blob::FileRange;
use overlay::{LookupError, TreeSearch};

pub use decode::{DecodeError, Decoded, decode};
pub use members::TarMembers;
pub use overlay::clean;

/// Looks paths up in the layers of a base from the top down; `open` gives a layer by its number, the lowest 0, and is not asked
/// for more of them once every needed path is found. Of the likely ones it says what the layers that it read know.
///
/// # Errors
/// The diagnosis.
pub async fn look_up(
    name: &ImageName,
    layers: usize,
    paths: &PathQuery,
    mut open: impl AsyncFnMut(usize) -> Result<FileRange, StoreError>,
) -> Result<Tree, StoreError> {
    let mut search = TreeSearch::new(paths);
    for number in (0..layers).rev() {
        if search.is_over() {
            break;
        }
        let layer = open(number).await?;
        let read = blocking::run(move |cancel| search.read(&layer, cancel).map(|()| search)).await;
        search = read.map_err(|error| unknown(name, number, layers, error))?;
    }
    Ok(search.end())
}

/// Says why a tar is not read, without the words of the error: those may quote what stands where a header should be.
fn describe(error: &io::Error) -> String {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    match (DecodeError::find(error), error.kind()) {
        (Some(error), _) => error.to_string(),
        (None, UnexpectedEof) => "it ends too early".to_owned(),
        (None, InvalidData | InvalidInput | Other) => "it is not a tar, or not a whole one".to_owned(),
        (None, kind) => kind.to_string(),
    }
}

fn unknown(name: &ImageName, number: usize, layers: usize, error: LookupError) -> StoreError {
    match error {
        LookupError::Layer(error) => {
            let what = format!("layer {} of {layers} of `{name}` cannot be read: {}", number + 1, describe(&error));
            let hint = match DecodeError::find(&error) {
                Some(DecodeError::Compression(_)) => "build the base with layers that are plain, gzip or zstd",
                _ => "pull or build the base again",
            };
            Diagnostic::error("layer-malformed", what).hint(hint)
        }
        LookupError::TooLarge(path) => {
            Diagnostic::error("file-too-large", format!("`{path}` of `{name}` is larger than 1 MiB"))
                .hint("write the owner in numbers: `owner: \"UID:GID\"`")
        }
    }
    .into()
}
