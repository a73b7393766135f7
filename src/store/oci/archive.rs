//! Owns the writing of an image as one tar: an OCI layout, with the `manifest.json` of `docker save` for engines that do not read layouts.
//!
//! The documents that name the blobs come last, so that a truncated stream is never taken for an image. Times, owners and order are
//! fixed, so that the same image gives the same bytes.

use std::convert::Infallible;
use std::io;

use serde::{Deserialize, Serialize};
use tar::EntryType;

use super::index::{Index, NewIndexEntry};
use super::parts::{BlobPart, ImageParts};
use super::{INDEX, LAYOUT_FILE, LAYOUT_FILE_CONTENT};
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::secret::{SecretBuffer, SecretBytes};
use crate::store::layers::blob::{Blob, CopyError};
use crate::store::{BaseSource, LayerSource, StoreError};

/// The list of the images of a `docker save` archive.
pub(crate) const SAVED_IMAGES: &str = "manifest.json";

const BLOCK: usize = 512;

/// The two formats of archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArchiveFormat {
    /// An OCI layout in a tar.
    Oci,
    /// What `docker save` writes and `docker load` reads; it is an OCI layout too.
    Docker,
}

/// What an image is called in an archive.
pub(crate) struct ArchiveName {
    pub tag: Option<String>,
    /// `HOST/PATH:TAG`, by which an engine loads it.
    pub full: Option<String>,
}

/// An image of a `docker save` archive, as its `manifest.json` lists it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SavedImage {
    pub config: String,
    #[serde(default)]
    pub repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub layers: Option<Vec<String>>,
}

/// Why an archive was not written.
pub(crate) enum ArchiveError {
    Write(io::Error),
    /// The image, or a layer of its base, cannot be read.
    Image(StoreError),
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        ArchiveError::Write(error)
    }
}

/// An image to be written as an archive.
pub(crate) struct NewArchive<'a> {
    pub format: ArchiveFormat,
    pub parts: &'a ImageParts<'a>,
    pub names: &'a [ArchiveName],
}

impl NewArchive<'_> {
    /// Writes the archive in pieces; `to` is what the user calls it.
    pub(crate) async fn write<S: LayerSource>(
        &self,
        base: BaseSource<'_, S>,
        to: &str,
        write: impl AsyncFnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), ArchiveError> {
        self.write_with(Some(base), to, write).await
    }

    /// Returns the archive without the base's layers, for an engine that has them. It is a secret.
    pub(crate) async fn without_base(&self) -> Result<SecretBytes, StoreError> {
        let blobs = self.parts.blobs.iter().filter_map(|blob| blob.bytes);
        let documents = self.parts.documents().map(|document| &*document.bytes);
        let size: usize = blobs.chain(documents).map(|bytes| bytes.len() + 2 * BLOCK).sum();
        let mut buffer = SecretBuffer::with_capacity(size + 2048 * self.names.len() + 16 * BLOCK);
        let write = async |bytes: &[u8]| {
            buffer.push(bytes);
            Ok(())
        };
        match self.write_with::<Infallible>(None, "", write).await {
            Ok(()) => Ok(buffer.finish()),
            Err(ArchiveError::Image(error)) => Err(error),
            Err(ArchiveError::Write(_)) => unreachable!("a buffer takes every byte, and the member's paths are short"),
        }
    }

    async fn write_with<S: LayerSource>(
        &self,
        base: Option<BaseSource<'_, S>>,
        to: &str,
        write: impl AsyncFnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), ArchiveError> {
        let mut tar = TarWriter(write);
        for directory in ["blobs/", "blobs/sha256/"] {
            tar.header(directory, EntryType::Directory, 0).await?;
        }
        for blob in &self.parts.blobs {
            match (blob.bytes, base) {
                (Some(bytes), _) => tar.file(&member(&blob.digest), bytes).await?,
                (None, Some(base)) => tar.base_layer(blob, base, to).await?,
                (None, None) => {}
            }
        }
        for document in self.parts.documents() {
            tar.file(&member(&document.descriptor.digest), &document.bytes).await?;
        }
        let mut index = Index::empty();
        for ArchiveName { tag, full } in self.names {
            let descriptor = &self.parts.root.descriptor;
            index.push(&NewIndexEntry {
                tag: tag.as_deref(),
                full_name: full.as_deref(),
                descriptor,
                platform: self.parts.platform,
            });
        }
        tar.file(LAYOUT_FILE, LAYOUT_FILE_CONTENT.as_bytes()).await?;
        tar.file(INDEX, &index.to_bytes()).await?;
        if self.format == ArchiveFormat::Docker {
            tar.file(SAVED_IMAGES, &self.saved_images()?).await?;
        }
        (tar.0)(&[0; 2 * BLOCK]).await?;
        Ok(())
    }

    fn saved_images(&self) -> Result<Vec<u8>, ArchiveError> {
        let manifest = self.parts.manifest().map_err(ArchiveError::Image)?;
        let saved = SavedImage {
            config: member(&manifest.config.digest),
            repo_tags: Some(self.names.iter().filter_map(|name| name.full.clone()).collect()),
            layers: Some(manifest.layers.iter().map(|layer| member(&layer.digest)).collect()),
        };
        serde_json::to_vec(&[saved]).map_err(|error| ArchiveError::Write(error.into()))
    }
}

/// Returns the path of a blob in an archive.
pub(crate) fn member(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

struct TarWriter<W>(W);

impl<W: AsyncFnMut(&[u8]) -> io::Result<()>> TarWriter<W> {
    async fn header(&mut self, path: &str, kind: EntryType, size: u64) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_path(path)?;
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        header.set_cksum();
        (self.0)(header.as_bytes()).await
    }

    async fn file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.header(path, EntryType::Regular, bytes.len() as u64).await?;
        (self.0)(bytes).await?;
        self.pad(bytes.len() as u64).await
    }

    /// Copies a layer of the base.
    async fn base_layer<S: LayerSource>(
        &mut self,
        layer: &BlobPart<'_>,
        base: BaseSource<'_, S>,
        to: &str,
    ) -> Result<(), ArchiveError> {
        let blob = base.layer(&layer.digest).await.map_err(ArchiveError::Image)?;
        self.header(&member(&layer.digest), EntryType::Regular, layer.size).await?;
        match blob.copy(&layer.digest, layer.size, &mut self.0).await {
            Ok(()) => Ok(self.pad(layer.size).await?),
            Err(CopyError::Write(error)) => Err(ArchiveError::Write(error)),
            Err(error) => Err(ArchiveError::Image(error.diagnose(&layer.digest, base.name, to))),
        }
    }

    /// Fills the last block of a file of this size.
    async fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = size.next_multiple_of(BLOCK as u64) - size;
        (self.0)(&[0; BLOCK][..usize::try_from(rest).unwrap_or_default()]).await
    }
}

/// The source of no layer.
impl LayerSource for Infallible {
    async fn layer(&self, _name: &ImageName, _digest: &Digest) -> Result<Blob, StoreError> {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;
    use crate::store::testing::TestBase;

    #[tokio::test]
    async fn an_engine_is_sent_the_new_layers_and_every_name() {
        let base = TestBase::new("amd64", &[("a", "b")]);
        let image = base.bake("secret");
        let parts = ImageParts::from_image(&image).unwrap();
        let names = ["a", "b"]
            .map(|name| ArchiveName { tag: Some("1".to_owned()), full: Some(format!("docker.io/library/{name}:1")) });
        let archive = NewArchive { format: ArchiveFormat::Docker, parts: &parts, names: &names };
        let archive = archive.without_base().await.unwrap();
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(archive.expose()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut text = Vec::new();
            entry.read_to_end(&mut text).unwrap();
            files.insert(path, text);
        }
        let (old, new) = (member(&Digest::of(&base.layer)), member(&image.layers[0].digest));
        assert!(files.contains_key(&new) && !files.contains_key(&old));
        let saved: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(saved[0]["Layers"], serde_json::json!([old, new]));
        assert_eq!(saved[0]["RepoTags"], serde_json::json!(["docker.io/library/a:1", "docker.io/library/b:1"]));
        let index: serde_json::Value = serde_json::from_slice(&files["index.json"]).unwrap();
        assert_eq!(index["manifests"][1]["annotations"]["io.containerd.image.name"], "docker.io/library/b:1");
        // the size was known before, so no copy of a secret was made
        assert!(archive.expose().ends_with(&[0; 2 * BLOCK]));
    }
}
