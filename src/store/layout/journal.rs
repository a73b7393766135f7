//! Owns the note of which blobs a write adds to a layout and which it leaves without use, so that what a killed run could not
//! remove, the next one does.
//!
//! It is written before the first blob has its name, and removed when nothing is left to do. Only the blobs in it are ever removed.

use std::collections::BTreeSet;
use std::io;

use super::undo::Undo;
use super::{LayoutDirectory, replace};
use crate::image::digest::Digest;
use crate::runtime::files;
use crate::store::oci::DOCUMENT_LIMIT;

/// The note's name in the layout.
pub const JOURNAL: &str = ".secretbake-journal";

/// Returns the blobs that are noted; none where there is no note.
///
/// # Errors
/// The operating system's.
pub fn read(directory: &LayoutDirectory) -> io::Result<BTreeSet<Digest>> {
    let text = files::read(&directory.0.join(JOURNAL), DOCUMENT_LIMIT)?.unwrap_or_default();
    // a line that is no digest is nothing that this module wrote
    Ok(String::from_utf8_lossy(&text).lines().filter_map(Digest::parse).collect())
}

/// Notes the blobs, instead of what was noted before.
///
/// # Errors
/// The operating system's.
pub fn write(directory: &LayoutDirectory, blobs: &BTreeSet<Digest>, undo: &mut Undo) -> io::Result<()> {
    let path = directory.0.join(JOURNAL);
    let lines: String = blobs.iter().map(|digest| format!("{digest}\n")).collect();
    let old = files::read(&path, DOCUMENT_LIMIT)?;
    replace(&path, lines.as_bytes())?;
    match old {
        Some(old) => undo.replaced(&path, old),
        None => undo.created(&path),
    }
    Ok(())
}

/// Removes the note, if there is one.
pub fn remove(directory: &LayoutDirectory) {
    // one that stays names blobs that are in use, or gone: it does no harm
    let _ = std::fs::remove_file(directory.0.join(JOURNAL));
}
