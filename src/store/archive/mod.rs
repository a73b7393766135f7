//! Owns images in tar archives: `oci-archive:FILE[:TAG]` and `docker-archive:FILE[:NAME]`; `-` is standard input or output.
//!
//! An archive is read where it lies and written as a whole: it then holds the one image, under the names it was given.

mod contents;
mod docker;
mod open;
mod output;
#[cfg(test)]
mod tests;
mod write;

use std::io;
use std::path::Path;

use super::oci::DOCUMENT_LIMIT;
use super::oci::index::Index;
use super::oci::parts::Parts;
use super::oci::read::{Layout, malformed};
use super::{BaseSource, Blob, ImageStore, LayerSource, Put, StoreError, files, is_current, layers as layer_files};
use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::name::{ImageName, Repository};
use crate::image::platform::Platforms;
use crate::image::tree::{Lookup, Tree};
use crate::image::{Base, BaseImage, NewImage};
use crate::runtime::blocking;
use contents::Contents;
use docker::{DockerArchive, Saved};
use open::Archives;

const INDEX: &str = "index.json";

/// Which of the two kinds of archives a store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An OCI layout in a tar.
    Oci,
    /// What `docker save` writes and `docker load` reads.
    Docker,
}

/// The store of archives of one kind. One is enough for a run, and no more: standard input can be read once.
#[derive(Debug)]
pub struct ArchiveStore {
    format: Format,
    archives: Archives,
}

impl ArchiveStore {
    /// Returns the store of a kind of archives.
    pub fn new(format: Format) -> Self {
        ArchiveStore { format, archives: Archives::default() }
    }

    /// Opens the archive of a name, and asks for something of the image that the name stands for.
    async fn ask<T: Send + 'static>(
        &self,
        name: &ImageName,
        oci: impl FnOnce(&Layout, Option<&str>) -> Result<T, StoreError> + Send + 'static,
        docker: impl FnOnce(&DockerArchive, &Saved) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reference = Reference::of(name, self.format)?;
        let shown = name.to_string();
        let contents = self.archives.open(reference.path(), &shown).await?;
        blocking::run(move |_| match &reference {
            Reference::Oci { tag, .. } => {
                let index = read_index(&contents, &shown)?;
                oci(&Layout { shown: &shown, index: &index, blobs: &*contents }, tag.as_deref())
            }
            Reference::Docker { name, .. } => {
                let archive = DockerArchive { shown: &shown, contents: &contents };
                let images = archive.images()?;
                docker(&archive, archive.find(&images, name.as_ref())?)
            }
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

    async fn look_up(&self, name: &ImageName, base: &Base, paths: &Lookup) -> Result<Tree, StoreError> {
        let base = base.clone();
        let layers =
            self.ask(name, move |layout, _| layout.layers(&base), |archive, image| archive.pieces(image)).await?;
        layer_files::look_up(name, layers.len(), paths, async |number| Ok(layers[number].clone())).await
    }

    async fn tag_state(&self, name: &ImageName) -> Result<Option<Digest>, StoreError> {
        let reference = Reference::of(name, self.format)?;
        if !write::is_there(reference.path(), &name.to_string())? {
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
        let parts = match (self.format, image) {
            (Format::Oci, _) => Parts::from_new(image)?.for_layout(),
            (Format::Docker, NewImage::Image(_)) => Parts::from_new(image)?,
            (Format::Docker, NewImage::Index(_)) => return Err(super::one_platform(tags)),
        };
        let identity = image.digest();
        if is_current(self, tags, &identity).await? {
            return Ok(Put::unchanged(identity));
        }
        let warnings = write::write(self, &parts, tags, base).await?;
        Ok(Put::written(identity, warnings))
    }
}

impl LayerSource for ArchiveStore {
    async fn layer(&self, name: &ImageName, digest: &Digest) -> Result<Blob, StoreError> {
        let (digest, again) = (digest.clone(), digest.clone());
        let piece =
            self.ask(name, move |layout, _| layout.open(&digest), move |archive, image| archive.layer(image, &again));
        Ok(Blob::Piece(piece.await?))
    }
}

/// A name in the terms of one kind of archives.
#[derive(Debug, Clone)]
enum Reference {
    Oci { path: String, tag: Option<String> },
    Docker { path: String, name: Option<Repository> },
}

impl Reference {
    fn of(name: &ImageName, format: Format) -> Result<Self, StoreError> {
        match (name, format) {
            (ImageName::OciArchive { path, tag }, Format::Oci) => {
                Ok(Reference::Oci { path: path.clone(), tag: tag.clone() })
            }
            (ImageName::DockerArchive { path, name }, Format::Docker) => {
                Ok(Reference::Docker { path: path.clone(), name: name.clone() })
            }
            (other, _) => Err(Diagnostic::error("internal", format!("`{other}` is no archive of this kind"))
                .hint("please report this")
                .into()),
        }
    }

    fn path(&self) -> &str {
        match self {
            Reference::Oci { path, .. } | Reference::Docker { path, .. } => path,
        }
    }
}

/// Reads the index of an OCI archive.
fn read_index(contents: &Contents, shown: &str) -> Result<Index, StoreError> {
    match contents.read_file(INDEX, DOCUMENT_LIMIT) {
        Ok(Some(bytes)) => Index::read(&bytes).map_err(|flaw| malformed(shown, "index.json", &flaw)),
        Ok(None) => Err(Diagnostic::error("not-an-archive", format!("`{shown}` has no index.json"))
            .cause("it is an archive of `docker save`, or no image at all")
            .hint("name it docker-archive:FILE, or save the image again, as with `skopeo copy … oci-archive:FILE:TAG`")
            .into()),
        Err(error) => match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Err(Diagnostic::error("archive-malformed", format!("`{shown}` has an index.json that cannot be read"))
                    .hint("save the image again, as with `skopeo copy … oci-archive:FILE:TAG`")
                    .into())
            }
            _ => Err(files::fault("read", shown, &error)),
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
