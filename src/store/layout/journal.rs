//! Owns the journal of a write to a layout: the blobs that it adds or that become unused. If the run is killed, the next run removes them.
//!
//! It is written before the first blob gets its name and removed at the end. No other blob is ever removed.

use std::collections::BTreeSet;
use std::io;

use super::directory::LayoutDirectory;
use super::replace;
use super::undo::Undo;
use crate::image::digest::Digest;
use crate::runtime::files;
use crate::store::oci::DOCUMENT_LIMIT;

/// The journal's file name in the layout.
pub(super) const JOURNAL: &str = ".secretbake-journal";

/// Returns the blobs in the journal; none if there is no journal.
pub(super) fn read(directory: &LayoutDirectory) -> io::Result<BTreeSet<Digest>> {
    let text = files::read_own(&directory.root.join(JOURNAL), DOCUMENT_LIMIT)?.unwrap_or_default();
    // this module writes only digests
    Ok(String::from_utf8_lossy(&text).lines().filter_map(Digest::parse).collect())
}

/// Replaces the journal.
pub(super) fn write(directory: &LayoutDirectory, blobs: &BTreeSet<Digest>, undo: &mut Undo) -> io::Result<()> {
    let path = directory.root.join(JOURNAL);
    let lines: String = blobs.iter().map(|digest| format!("{digest}\n")).collect();
    let old = files::read_own(&path, DOCUMENT_LIMIT)?;
    replace(&path, lines.as_bytes())?;
    match old {
        Some(old) => undo.replaced(&path, old),
        None => undo.created(&path),
    }
    Ok(())
}

/// Removes the journal, if there is one.
pub(super) fn remove(directory: &LayoutDirectory) {
    // if it stays, it does no harm: its blobs are in use or gone
    let _ = std::fs::remove_file(directory.root.join(JOURNAL));
}
