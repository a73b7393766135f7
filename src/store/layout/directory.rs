//! Owns the opened directories of a layout. No link in the layout is followed to a directory, and the paths that it gives lead to the
//! opened directories whatever takes their place meanwhile: no link can make a write or a removal go elsewhere.
//!
//! On Linux such a path is below `/proc/self/fd`. Without it, a path is the directory's own, and only the checks before a write hold.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::undo::Undo;
use crate::image::digest::Digest;
use crate::runtime::platform::{lasting_path, open_directory, open_directory_below};
use crate::store::layers::blob::FileRange;
use crate::store::oci::Blobs;

/// The directory of a layout, and that of its blobs.
#[derive(Clone)]
pub(super) struct LayoutDirectory {
    /// As the user knows it, for messages.
    pub path: PathBuf,
    /// Leads to the opened directory.
    pub root: PathBuf,
    /// Leads to the opened directory of the blobs.
    pub blobs: PathBuf,
    /// Keeps the directories open.
    _open: Arc<Vec<File>>,
}

impl LayoutDirectory {
    /// Opens a layout to read it; `None` if nothing is there. `NotADirectory` means that its directory of blobs is a link or a file.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        match open_directory(path) {
            Ok(root) => LayoutDirectory::with_blobs(path, root, |_| Ok(())).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a layout to write to it, and creates its directories for blobs.
    pub(super) fn create(path: &Path, root: File, undo: &mut Undo) -> io::Result<Self> {
        LayoutDirectory::with_blobs(path, root, |directory| undo.create_directory(directory))
    }

    /// Opens the directories below the layout's own, each after `prepare`.
    fn with_blobs(path: &Path, root: File, mut prepare: impl FnMut(&Path) -> io::Result<()>) -> io::Result<Self> {
        let root_path = lasting_path(&root, path);
        let mut open = vec![root];
        let (mut blobs, mut own_path) = (root_path.clone(), path.to_owned());
        for name in ["blobs", "sha256"] {
            own_path.push(name);
            blobs.push(name);
            prepare(&blobs)?;
            match open.last().map(|parent| open_directory_below(parent, &blobs)) {
                Some(Ok(directory)) => {
                    blobs = lasting_path(&directory, &own_path);
                    open.push(directory);
                }
                // one that is missing has no blobs; the rest of the path is missing too
                Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Some(Err(error)) => return Err(error),
                None => {}
            }
        }
        Ok(LayoutDirectory { path: path.to_owned(), root: root_path, blobs, _open: Arc::new(open) })
    }

    /// Returns a path that leads to a blob.
    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }
}

impl Blobs for LayoutDirectory {
    /// Opens a blob. It may be a link to a file elsewhere, as build tools make them: it is only read, and its digest is checked.
    fn open(&self, digest: &Digest) -> io::Result<Option<FileRange>> {
        FileRange::open(&self.blob(digest))
    }
}
