//! Owns the write of an image into layouts: the journal, blobs, and the index last. Until then everything can be undone.
//!
//! Every blob is written to a temporary file and renamed; a correct one is never touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::directory::LayoutDirectory;
use super::journal::{self, JOURNAL};
use super::undo::Undo;
use super::{lock, not_a_layout, read_index, replace, sweep};
use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::runtime::blocking;
use crate::runtime::files;
use crate::runtime::platform::{self, DirectoryLock};
use crate::store::error::fault;
use crate::store::layers::blob::{Blob, FileRange};
use crate::store::oci::index::{Index, NewIndexEntry};
use crate::store::oci::parts::{self, BlobPart, ImageParts};
use crate::store::oci::read::{Layout, no_image};
use crate::store::oci::{DOCUMENT_LIMIT, INDEX, LAYOUT_FILE, LAYOUT_FILE_CONTENT};
use crate::store::{BaseSource, LayerSource, StoreError};

/// A write in progress. The fields are dropped in this order: temporary files, the undo of other changes, the opened directories that
/// both have paths to, the locks.
#[derive(Default)]
struct Transaction<'a> {
    targets: Vec<LayoutWrite<'a>>,
    undo: Undo,
    directories: Vec<LayoutDirectory>,
    locks: Vec<DirectoryLock>,
}

/// The write to one layout.
struct LayoutWrite<'a> {
    /// The first name, as the user wrote it.
    shown: String,
    directory: LayoutDirectory,
    tags: Vec<Option<&'a str>>,
    staged: Vec<(NamedTempFile, PathBuf)>,
    index: Index,
    /// The blobs for the journal: new ones, and those that may become unused.
    noted: BTreeSet<Digest>,
}

/// Writes an image, or those of an index, under every tag, in one layout or several; returns warnings.
pub(super) async fn write<S: LayerSource>(
    parts: &ImageParts<'_>,
    tags: &[&ImageName],
    base: BaseSource<'_, S>,
) -> Result<Vec<Diagnostic>, StoreError> {
    let mut transaction = Transaction::begin(tags).await?;
    for target in &mut transaction.targets {
        target.put(parts)?;
        target.note(parts, &mut transaction.undo).map_err(|error| fault("write to", &target.shown, &error))?;
    }
    transaction.stage(parts, base).await?;
    // no await from here on: no other task runs in between
    for target in &mut transaction.targets {
        target.commit(&mut transaction.undo).map_err(|error| fault("write to", &target.shown, &error))?;
    }
    for target in &mut transaction.targets {
        target.switch(&mut transaction.undo).map_err(|error| fault("write to", &target.shown, &error))?;
    }
    transaction.undo.forget();
    let warnings = transaction.targets.iter().flat_map(|target| {
        [target.settle(parts), parts.hidden(&target.shown), open_parent(&target.directory, &target.shown)]
    });
    Ok(warnings.flatten().collect())
}

/// Removes what a killed run left in the layouts, if there is its journal: blobs with secrets that no image has.
pub(super) async fn finish_killed(tags: &[&ImageName]) -> Result<(), StoreError> {
    let mut left = Vec::new();
    for &name in tags {
        let (path, _) = super::parts(name)?;
        left.extend(Path::new(path).join(JOURNAL).symlink_metadata().is_ok().then_some(name));
    }
    if !left.is_empty() {
        Transaction::begin(&left).await?.undo.forget();
    }
    Ok(())
}

impl<'a> Transaction<'a> {
    /// Creates and locks the layouts, and reads their indexes.
    async fn begin(tags: &[&'a ImageName]) -> Result<Self, StoreError> {
        let mut transaction = Transaction::default();
        // two paths may be one layout; sorted, so that two runs do not wait for each other
        let mut layouts: BTreeMap<PathBuf, (String, Vec<Option<&str>>)> = BTreeMap::new();
        for name in tags {
            let (path, tag) = super::parts(name)?;
            let shown = name.to_string();
            let created = transaction.undo.create_directory(Path::new(path)).and_then(|()| fs::canonicalize(path));
            let path = created.map_err(|error| fault("write to", &shown, &error))?;
            layouts.entry(path).or_insert_with(|| (shown, Vec::new())).1.push(tag);
        }
        for (path, (shown, tags)) in layouts {
            let failed = |error: io::Error| fault("write to", &shown, &error);
            let lock = loop {
                let lock = lock::acquire(&path).await.map_err(failed)?;
                // a failed run removes the directory that it created
                if lock.is_of(&path) {
                    break lock;
                }
                transaction.undo.create_directory(&path).map_err(failed)?;
            };
            refuse_foreign(&path, &shown)?;
            let root = lock.directory().map_err(failed)?;
            transaction.locks.push(lock);
            let directory = LayoutDirectory::create(&path, root, &mut transaction.undo).map_err(failed)?;
            transaction.directories.push(directory.clone());
            let index = prepare(&directory, &shown)?;
            let noted = recover(&Layout { shown: &shown, index: &index, blobs: &directory }, &directory);
            let noted = noted.map_err(failed)?;
            transaction.targets.push(LayoutWrite { shown, directory, tags, staged: Vec::new(), index, noted });
        }
        Ok(transaction)
    }

    async fn stage<S: LayerSource>(
        &mut self,
        parts: &ImageParts<'_>,
        base: BaseSource<'_, S>,
    ) -> Result<(), StoreError> {
        let documents: Vec<BlobPart<'_>> = parts.documents().map(parts::NewDocument::part).collect();
        for target in &mut self.targets {
            for blob in parts.blobs.iter().chain(&documents) {
                match blob.bytes {
                    Some(bytes) => target.add(blob, bytes).map_err(|error| fault("write to", &target.shown, &error))?,
                    None => target.add_layer(blob, base, &mut self.undo).await?,
                }
            }
        }
        Ok(())
    }
}

/// Refuses a layout that another user owns or may write to: a link there would make this run write or delete elsewhere.
fn refuse_foreign(directory: &Path, shown: &str) -> Result<(), StoreError> {
    for name in ["", "blobs", "blobs/sha256", INDEX, LAYOUT_FILE, JOURNAL] {
        let path = if name.is_empty() { directory.to_owned() } else { directory.join(name) };
        let danger = match platform::find_danger(&path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
            danger => danger.map_err(|error| fault("read", shown, &error))?,
        };
        if let Some(danger) = danger {
            let what = format!("cannot write to `{shown}`: {} {danger}", path.display());
            return Err(Diagnostic::error("layout-unsafe", what)
                .cause("anyone who can change the layout could make this run change or delete files elsewhere")
                .hint(
                    "write to a new directory, or restrict the layout to your user with `chown -R` and `chmod -R go-w`",
                )
                .into());
        }
    }
    Ok(())
}

/// Warns of a layout that others can rename away, and put another in its place, while it is written.
fn open_parent(directory: &LayoutDirectory, shown: &str) -> Option<Diagnostic> {
    let parent = platform::find_open_parent(&directory.path).ok().flatten()?;
    let what = format!("`{shown}` is in {}, which everyone may write to", parent.display());
    Some(
        Diagnostic::warning("layout-in-open-directory", what)
            .cause("another user can put a directory of theirs in the layout's place")
            .hint(format!("set the sticky bit, `chmod +t {}`, or write to another directory", parent.display())),
    )
}

/// Tells whether nobody else may change a blob.
fn is_safe(blob: &Path) -> io::Result<bool> {
    Ok(platform::find_danger(blob)?.is_none())
}

/// Removes the blobs that killed runs left. Returns those that must stay in the journal, since it is unknown whether they are needed.
fn recover(layout: &Layout, directory: &LayoutDirectory) -> io::Result<BTreeSet<Digest>> {
    let noted = journal::read(directory)?;
    if !sweep::remove_unneeded(layout, directory, &noted) {
        return Ok(noted);
    }
    journal::remove(directory);
    Ok(BTreeSet::new())
}

/// Removes the temporary files that killed runs left, and reads the index; for a new layout it is empty.
fn prepare(directory: &LayoutDirectory, shown: &str) -> Result<Index, StoreError> {
    files::remove_leftovers(&directory.root);
    files::remove_leftovers(&directory.blobs);
    if let Some(index) = read_index(directory, shown)? {
        return Ok(index);
    }
    let entries = fs::read_dir(&directory.root).map_err(|error| fault("read", shown, &error))?;
    for entry in entries {
        let name = entry.map_err(|error| fault("read", shown, &error))?.file_name();
        // the journal, and a lock file where the system has no lock on directories
        let is_own = name.as_encoded_bytes().starts_with(b".secretbake");
        if name != LAYOUT_FILE && name != "blobs" && !is_own {
            return Err(not_a_layout(shown, "has other files, and no index.json"));
        }
    }
    Ok(Index::empty())
}

impl LayoutWrite<'_> {
    /// Adds the image to the index, which is written later.
    fn put(&mut self, parts: &ImageParts<'_>) -> Result<(), StoreError> {
        let mut replaced = Vec::new();
        for &tag in &self.tags {
            let new =
                NewIndexEntry { tag, full_name: None, descriptor: &parts.root.descriptor, platform: parts.platform };
            replaced.extend(self.index.put(&new).map_err(|why| no_image(&self.shown, tag, why))?);
        }
        let layout = Layout { shown: &self.shown, index: &self.index, blobs: &self.directory };
        self.noted.extend(sweep::baked_blobs(&layout, &replaced));
        Ok(())
    }

    /// Writes the journal.
    fn note(&mut self, parts: &ImageParts<'_>, undo: &mut Undo) -> io::Result<()> {
        self.noted.extend(parts.digests().filter(|digest| !self.directory.blob(digest).exists()).cloned());
        if self.noted.is_empty() { Ok(()) } else { journal::write(&self.directory, &self.noted, undo) }
    }

    /// Removes the blobs of the replaced images; returns a warning if some remain.
    fn settle(&self, parts: &ImageParts<'_>) -> Option<Diagnostic> {
        let layout = Layout { shown: &self.shown, index: &self.index, blobs: &self.directory };
        let new: BTreeSet<Digest> = parts.digests().cloned().collect();
        let old = self.noted.difference(&new).cloned().collect();
        if sweep::remove_unneeded(&layout, &self.directory, &old) {
            journal::remove(&self.directory);
            return None;
        }
        Some(sweep::old_secrets_remain(&self.shown))
    }

    /// Tells whether a blob is there and correct; of a layer of the base only the size is checked.
    fn has(&self, blob: &BlobPart<'_>) -> io::Result<bool> {
        match FileRange::open(&self.directory.blob(&blob.digest)) {
            // what another user may change, or a link to it, is written again
            Ok(Some(piece)) if piece.size() == blob.size && is_safe(&self.directory.blob(&blob.digest))? => {
                Ok(blob.bytes.is_none() || Digest::of(&piece.read_all(blob.size)?) == blob.digest)
            }
            Ok(_) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn add(&mut self, blob: &BlobPart<'_>, bytes: &[u8]) -> io::Result<()> {
        if self.has(blob)? {
            return Ok(());
        }
        let mut file = files::temporary(&self.directory.blobs)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        self.staged.push((file, self.directory.blob(&blob.digest)));
        Ok(())
    }

    /// Adds a missing layer of the base: a hard link on the same file system, or else a copy.
    async fn add_layer<S: LayerSource>(
        &mut self,
        blob: &BlobPart<'_>,
        base: BaseSource<'_, S>,
        undo: &mut Undo,
    ) -> Result<(), StoreError> {
        let failed = |error: io::Error| fault("write to", &self.shown, &error);
        if self.has(blob).map_err(failed)? {
            return Ok(());
        }
        let layer = base.layer(&blob.digest).await?;
        let path = self.directory.blob(&blob.digest);
        if link(&layer, blob.size, &path) {
            undo.created(&path);
            return Ok(());
        }
        let mut file = files::temporary(&self.directory.blobs).map_err(failed)?;
        let copied = layer.copy(&blob.digest, blob.size, async |bytes| file.write_all(bytes)).await;
        copied.map_err(|error| error.diagnose(&blob.digest, base.name, &self.shown))?;
        let synced = file.as_file().try_clone().map_err(failed)?;
        blocking::run(move |_| synced.sync_all()).await.map_err(failed)?;
        self.staged.push((file, path));
        Ok(())
    }

    /// Gives the blobs their names.
    fn commit(&mut self, undo: &mut Undo) -> io::Result<()> {
        for (file, path) in self.staged.drain(..) {
            let new = !path.exists();
            file.persist(&path)?;
            if new {
                undo.created(&path);
            }
        }
        platform::sync_directory(&self.directory.blobs)?;
        let layout = self.directory.root.join(LAYOUT_FILE);
        if !layout.exists() {
            replace(&layout, LAYOUT_FILE_CONTENT.as_bytes())?;
            undo.created(&layout);
        }
        Ok(())
    }

    /// Replaces the index, so that the tags point to the new image.
    fn switch(&self, undo: &mut Undo) -> io::Result<()> {
        let index = self.directory.root.join(INDEX);
        let old = files::read_own(&index, DOCUMENT_LIMIT)?;
        replace(&index, &self.index.to_bytes())?;
        match old {
            Some(old) => undo.replaced(&index, old),
            None => undo.created(&index),
        }
        platform::sync_directory(&self.directory.root)
    }
}

/// Makes a hard link to a blob that is a whole file of this size; false if that is not possible.
fn link(blob: &Blob, size: u64, to: &Path) -> bool {
    let file = blob.file_range().filter(|range| range.size() == size).and_then(FileRange::named_file);
    // not a file that another user may write to
    let is_safe = |file: &File| platform::find_danger_of(file).is_ok_and(|danger| danger.is_none());
    file.is_some_and(|file| is_safe(file) && platform::link_file(file, to).is_ok())
}
