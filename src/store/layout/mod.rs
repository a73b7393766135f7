//! Owns images in OCI layouts in directories, `oci:DIR[:TAG]`.
//!
//! A tag points to one image: a bake replaces the image with its tag, or without a tag the image that has none. When a baked image is
//! replaced, the blobs that only it used are removed, since they hold its secrets.

mod directory;
mod journal;
mod lock;
mod sweep;
#[cfg(test)]
mod tests;
mod undo;
mod write;

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use super::oci::index::Index;
use super::oci::parts::ImageParts;
use super::oci::read::{Layout, malformed};
use super::oci::{DOCUMENT_LIMIT, INDEX};
use super::{
    BaseSource, Blob, ImageStore, LayerSource, Put, StoreError, layers as layer_files, put_if_changed, tag_states,
};
use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::image::platform::Platforms;
use crate::image::tree::{PathQuery, Tree};
use crate::image::{Base, BaseImage, NewImage};
use crate::runtime::files;
use crate::store::error::{fault, internal};
use directory::LayoutDirectory;

/// The store of OCI layouts in directories.
#[derive(Debug, Clone, Copy, Default)]
pub struct LayoutStore;

impl ImageStore for LayoutStore {
    async fn read(&self, name: &ImageName, platforms: &Platforms) -> Result<BaseImage, StoreError> {
        let (path, tag) = parts(name)?;
        read(path, &name.to_string(), |layout| layout.read(tag, platforms))
    }

    async fn look_up(&self, name: &ImageName, base: &Base, paths: &PathQuery) -> Result<Tree, StoreError> {
        let (path, _) = parts(name)?;
        let layers = read(path, &name.to_string(), |layout| layout.layers(base))?;
        layer_files::look_up(name, layers.len(), paths, async |number| Ok(layers[number].clone())).await
    }

    async fn tag_state(&self, name: &ImageName) -> Result<Option<Digest>, StoreError> {
        let (path, tag) = parts(name)?;
        match Path::new(path).join(INDEX).try_exists() {
            Ok(false) => Ok(None),
            _ => read(path, &name.to_string(), |layout| layout.tag_state(tag)),
        }
    }

    async fn put<S: LayerSource>(
        &self,
        image: &NewImage,
        tags: &[&ImageName],
        base: BaseSource<'_, S>,
    ) -> Result<Put, StoreError> {
        let parts = ImageParts::from_new(image)?.for_layout();
        let before = tag_states(self, tags).await?;
        let (put, _) = put_if_changed(image, before, async || write::write(&parts, tags, base).await).await?;
        if !put.changed {
            write::finish_killed(tags).await?;
        }
        Ok(put)
    }
}

impl LayerSource for LayoutStore {
    async fn layer(&self, name: &ImageName, digest: &Digest) -> Result<Blob, StoreError> {
        let (path, _) = parts(name)?;
        Ok(Blob::File(read(path, &name.to_string(), |layout| layout.open(digest))?))
    }
}

/// Returns a layout's path and tag.
fn parts(name: &ImageName) -> Result<(&str, Option<&str>), StoreError> {
    match name {
        ImageName::Layout { path, tag } => Ok((path, tag.as_deref())),
        other => Err(internal(format!("`{other}` is not in an OCI layout"))),
    }
}

/// Opens a layout, and asks something of it.
fn read<T>(path: &str, shown: &str, ask: impl FnOnce(&Layout) -> Result<T, StoreError>) -> Result<T, StoreError> {
    let directory = LayoutDirectory::open(Path::new(path)).map_err(|error| match error.kind() {
        io::ErrorKind::NotADirectory if Path::new(path).is_dir() => {
            not_a_layout(shown, "has a `blobs` or `blobs/sha256` that is not a directory")
        }
        io::ErrorKind::NotADirectory => not_a_layout(shown, "is not a directory"),
        _ => fault("read", shown, &error),
    })?;
    let Some(directory) = directory else {
        let missing = Diagnostic::error("path-not-found", format!("there is no `{shown}`"));
        return Err(missing.hint("check the path: it is relative to the working directory").into());
    };
    let index = read_index(&directory, shown)?.ok_or_else(|| not_a_layout(shown, "has no index.json"))?;
    ask(&Layout { shown, index: &index, blobs: &directory })
}

/// Reads a layout's index; `None` if there is none.
fn read_index(directory: &LayoutDirectory, shown: &str) -> Result<Option<Index>, StoreError> {
    match files::read_own(&directory.root.join(INDEX), DOCUMENT_LIMIT) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => Index::read(&bytes).map(Some).map_err(|flaw| malformed(shown, "index.json", &flaw)),
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::FileTooLarge) => {
            Err(not_a_layout(shown, "has an index.json that is a link or not a file of at most 16 MiB"))
        }
        Err(error) => Err(fault("read", shown, &error)),
    }
}

fn not_a_layout(shown: &str, why: &str) -> StoreError {
    Diagnostic::error("not-a-layout", format!("`{shown}` is not an OCI layout: it {why}"))
        .hint("name a directory that `skopeo copy … oci:DIR:TAG` wrote, or a new one to write to")
        .into()
}

/// Replaces a whole file and keeps its permissions.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = files::temporary(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(content)?;
    if let Ok(old) = fs::metadata(path) {
        file.as_file().set_permissions(old.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
