//! Owns the lookup of paths in a base's layers: tars, compressed or not, with whiteouts and links.
//!
//! A layer is read once and not kept; the memory used does not depend on its size.

pub mod blob;
mod decode;
mod members;
pub mod overlay;

use std::io;

use super::StoreError;
use crate::diagnostic::Diagnostic;
use crate::image::name::ImageName;
use crate::image::tree::{PathQuery, Tree};
use crate::runtime::blocking;
use blob::FileRange;
use overlay::{LookupError, TreeSearch};

pub(super) use decode::{DecodeError, Decoded, decode};
pub(super) use members::{Forward, TarMember, TarMembers};
pub(super) use overlay::clean;

/// Looks up paths in the layers of a base from the top down. `open` opens a layer by its number, 0 for the lowest, until every needed path
/// is found. Likely paths are answered from the layers that were read.
pub(super) async fn look_up(
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

/// Says why a tar cannot be read. The error's own text is left out: it may quote the file.
fn describe(error: &io::Error) -> String {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    match (DecodeError::find(error), error.kind()) {
        (Some(error), _) => error.to_string(),
        (None, UnexpectedEof) => "it ends too early".to_owned(),
        (None, InvalidData | InvalidInput | Other) => "it is not a complete tar".to_owned(),
        (None, kind) => kind.to_string(),
    }
}

/// Says why layer `number` of `layers` cannot be read.
pub fn unknown(name: &ImageName, number: usize, layers: usize, error: LookupError) -> StoreError {
    match error {
        LookupError::Layer(error) => {
            let what = format!("layer {} of {layers} of `{name}` cannot be read: {}", number + 1, describe(&error));
            Diagnostic::error("layer-malformed", what).hint("pull or build the base again")
        }
        LookupError::TooLarge(path) => {
            Diagnostic::error("file-too-large", format!("`{path}` of `{name}` is larger than 1 MiB"))
                .hint("write the owner as numbers: `owner: \"UID:GID\"`")
        }
    }
    .into()
}
