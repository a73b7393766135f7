//! Owns images in tar archives: `oci-archive:FILE[:TAG]` and `docker-archive:FILE[:NAME]`; `-` is standard input or output.
//!
//! An archive is read in place. It is always written as a whole, with one image under all its names.

pub mod docker;
mod open;
mod output;
pub mod tar_index;
#[cfg(test)]
mod tests;
mod write;

use std::io;
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
use crate::runtime::blocking;
use crate::store::error::{fault, internal};
use crate::store::oci::archive::SavedImage;
use docker::DockerArchive;
use open::Archives;
use tar_index::TarIndex;

/// The store of archives. A run must use only one, since standard input can be read only once.
#[derive(Debug, Default)]
pub struct ArchiveStore {
    archives: Archives,
}

impl ArchiveStore {
    /// Opens the archive of a name, and asks for something of its image.
    async fn ask<T: Send + 'static>(
        &self,
        name: &ImageName,
        oci: impl FnOnce(&Layout, Option<&str>) -> Result<T, StoreError> + Send + 'static,
        docker: impl FnOnce(&DockerArchive, &SavedImage) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shown = name.to_string();
        let tar = self.archives.open(path_of(name)?, &shown).await?;
        let name = name.clone();
        blocking::run(move |_| match &name {
            ImageName::DockerArchive { name, .. } => {
                let archive = DockerArchive { shown: &shown, tar: &tar };
                let images = archive.images()?;
                docker(&archive, archive.find(&images, name.as_ref())?)
            }
            ImageName::OciArchive { tag, .. } => {
                let index = read_index(&tar, &shown)?;
                oci(&Layout { shown: &shown, index: &index, blobs: &*tar }, tag.as_deref())
            }
            other => Err(not_an_archive(other)),
        })
        .await
    }
}

impl ImageStore for ArchiveStore {
    async fn read(&self, name: &ImageName, platforms: &Platforms) -> Result<BaseImage, StoreError> {
        let (platforms, platform) = (platforms.clone(), platforms.asked().cloned());
        self.ask(
            name,
            move |layout, tag| layout.read(tag, &platforms),
            move |archive, image| archive.base(image, platform.as_ref()).map(BaseImage::One),
        )
        .await
    }

    async fn look_up(&self, name: &ImageName, base: &Base, paths: &PathQuery) -> Result<Tree, StoreError> {
        let base = base.clone();
        let layers =
            self.ask(name, move |layout, _| layout.layers(&base), |archive, image| archive.pieces(image)).await?;
        layer_files::look_up(name, layers.len(), paths, async |number| Ok(layers[number].clone())).await
    }

    async fn tag_state(&self, name: &ImageName) -> Result<Option<Digest>, StoreError> {
        if !write::is_there(path_of(name)?, &name.to_string())? {
            return Ok(None);
        }
        let state =
            self.ask(name, |layout, tag| layout.tag_state(tag), |archive, image| archive.identity(image).map(Some));
        match state.await {
            Err(error) if matches!(error.0.code, "image-not-found" | "image-ambiguous" | "blob-missing") => Ok(None),
            state => state.map_err(write::not_replaced),
        }
    }

    async fn put<S: LayerSource>(
        &self,
        image: &NewImage,
        tags: &[&ImageName],
        base: BaseSource<'_, S>,
    ) -> Result<Put, StoreError> {
        let parts = match (tags, image) {
            ([ImageName::DockerArchive { .. }, ..], NewImage::Index(_)) => {
                return Err(super::error::one_platform(tags));
            }
            ([ImageName::DockerArchive { .. }, ..], _) => ImageParts::from_new(image)?,
            _ => ImageParts::from_new(image)?.for_layout(),
        };
        let write = async || write::write(self, &parts, tags, base).await;
        put_if_changed(image, tag_states(self, tags).await?, write).await.map(|(put, _)| put)
    }
}

impl LayerSource for ArchiveStore {
    async fn layer(&self, name: &ImageName, digest: &Digest) -> Result<Blob, StoreError> {
        let (digest, again) = (digest.clone(), digest.clone());
        let piece =
            self.ask(name, move |layout, _| layout.open(&digest), move |archive, image| archive.layer(image, &again));
        Ok(Blob::File(piece.await?))
    }
}

/// Returns the archive's path.
fn path_of(name: &ImageName) -> Result<&str, StoreError> {
    match name {
        ImageName::OciArchive { path, .. } | ImageName::DockerArchive { path, .. } => Ok(path),
        other => Err(not_an_archive(other)),
    }
}

fn not_an_archive(name: &ImageName) -> StoreError {
    internal(format!("`{name}` is not in an archive"))
}

/// Reads the index of an OCI archive.
pub fn read_index(tar: &TarIndex, shown: &str) -> Result<Index, StoreError> {
    match tar.read_file(INDEX, DOCUMENT_LIMIT) {
        Ok(Some(bytes)) => Index::read(&bytes).map_err(|flaw| malformed(shown, "index.json", &flaw)),
        Ok(None) => Err(Diagnostic::error("not-an-archive", format!("`{shown}` has no index.json"))
            .cause("it is an archive of `docker save`, or not an image")
            .hint("name it docker-archive:FILE, or save the image again with `skopeo copy … oci-archive:FILE:TAG`")
            .into()),
        Err(error) => match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Err(Diagnostic::error("archive-malformed", format!("`{shown}` has an index.json that cannot be read"))
                    .hint("save the image again with `skopeo copy … oci-archive:FILE:TAG`")
                    .into())
            }
            _ => Err(fault("read", shown, &error)),
        },
    }
}

/// Returns the directory of a path.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
