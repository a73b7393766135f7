//! Owns the writing of an image as an archive: layers, config and manifest, and the documents that name them last, so that
//! a stream that was cut off is never taken for an image.
//!
//! Both kinds are an OCI layout; a `docker-archive` has `manifest.json` besides, which engines without a containerd image
//! store read.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;
use tar::EntryType;

use super::docker::{self, DockerArchive};
use super::open::is_regular;
use super::output::Output;
use super::{ArchiveStore, Format, INDEX, Reference, parent, read_index};
use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::name::{ImageName, Repository};
use crate::store::files::fault;
use crate::store::oci::OCI_LAYOUT;
use crate::store::oci::document::{Document, Manifest};
use crate::store::oci::index::{Index, NewImage};
use crate::store::oci::parts::{Part, Parts};
use crate::store::{BaseSource, LayerSource, StoreError};

/// An image as `manifest.json` lists it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// Writes an image, or those of an index, under every name, as one archive; returns warnings.
pub async fn write<S: LayerSource>(
    store: &ArchiveStore,
    parts: &Parts<'_>,
    tags: &[&ImageName],
    base: BaseSource<'_, S>,
) -> Result<Vec<Diagnostic>, StoreError> {
    let references: Vec<Reference> =
        tags.iter().map(|name| Reference::of(name, store.format)).collect::<Result<_, _>>()?;
    let [first, ..] = &references[..] else { return Ok(Vec::new()) };
    let path = first.path();
    if tags.iter().any(|tag| tag.place() != tags[0].place()) {
        return Err(Diagnostic::error("internal", "one write is of one archive").hint("please report this").into());
    }
    let shown = tags[0].to_string();
    let names = references.iter().map(|reference| reference.written(&shown)).collect::<Result<Vec<_>, _>>()?;
    let mut warnings = replaced(store, path, &shown, &references).await?;

    let failed = |error: io::Error| fault("write to", &shown, &error);
    let mut output = Output::begin(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if !parent(Path::new(path)).is_dir() => no_directory(path, &shown),
        _ => failed(error),
    })?;
    for directory in ["blobs/", "blobs/sha256/"] {
        output.member(directory, EntryType::Directory, 0).await.map_err(failed)?;
    }
    for blob in &parts.blobs {
        match blob.bytes {
            Some(bytes) => file(&mut output, &member(&blob.digest), bytes).await.map_err(failed)?,
            None => layer(&mut output, blob, base, &shown).await?,
        }
    }
    for document in parts.documents() {
        file(&mut output, &member(&document.descriptor.digest), &document.bytes).await.map_err(failed)?;
    }
    let mut index = Index::empty();
    for name in &names {
        let (tag, name) = (name.tag.as_deref(), name.full.as_deref());
        index.push(&NewImage { tag, name, descriptor: &parts.root.descriptor, platform: parts.platform });
    }
    file(&mut output, "oci-layout", OCI_LAYOUT.as_bytes()).await.map_err(failed)?;
    file(&mut output, INDEX, &index.to_bytes()).await.map_err(failed)?;
    if matches!(first, Reference::Docker { .. }) {
        let image = manifest(parts)?;
        let saved = Saved {
            config: member(&image.config.digest),
            repo_tags: names.into_iter().filter_map(|name| name.full).collect(),
            layers: image.layers.iter().map(|layer| member(&layer.digest)).collect(),
        };
        let bytes = serde_json::to_vec(&[saved]).map_err(|error| failed(error.into()))?;
        file(&mut output, docker::MANIFEST, &bytes).await.map_err(failed)?;
        if image.layers.iter().any(|layer| layer.media_type.ends_with("zstd")) {
            warnings.push(
                Diagnostic::warning("zstd-layer", format!("`{shown}` has layers compressed with zstd, as its base"))
                    .cause("Docker before 23.0 cannot load them"),
            );
        }
    }
    if store.format == Format::Oci {
        warnings.extend(parts.hidden(&shown));
    }
    output.finish().await.map_err(failed)?;
    store.archives.forget(path).await;
    Ok(warnings)
}

fn no_directory(path: &str, shown: &str) -> StoreError {
    let directory = parent(Path::new(path)).display();
    Diagnostic::error("path-not-found", format!("cannot write to `{shown}`: there is no directory `{directory}`"))
        .hint(format!("mkdir -p {directory}"))
        .into()
}

/// Reads the manifest of the one image that a `docker-archive` has.
fn manifest(parts: &Parts<'_>) -> Result<Manifest, StoreError> {
    match Document::read(&parts.root.bytes, &parts.root.descriptor.media_type) {
        Ok(Document::Manifest(manifest)) => Ok(manifest),
        _ => Err(Diagnostic::error("internal", "a docker-archive has no index").hint("please report this").into()),
    }
}

/// Tells whether there is an archive that a write would replace. A pipe is nothing, and neither is an empty file.
pub fn is_there(path: &str, shown: &str) -> Result<bool, StoreError> {
    if !is_regular(path) {
        return Ok(false);
    }
    let metadata = fs::metadata(path).map_err(|error| fault("read", shown, &error))?;
    Ok(metadata.len() > 0)
}

/// Refuses to replace what is no image, and warns of images that will be gone.
async fn replaced(
    store: &ArchiveStore,
    path: &str,
    shown: &str,
    references: &[Reference],
) -> Result<Vec<Diagnostic>, StoreError> {
    if !is_there(path, shown)? {
        return Ok(Vec::new());
    }
    let contents = store.archives.open(path, shown).await.map_err(not_replaced)?;
    let mut lost = match store.format {
        Format::Oci => read_index(&contents, shown).map_err(not_replaced)?.names(),
        Format::Docker => docker::names(&DockerArchive { shown, contents: &contents }.images().map_err(not_replaced)?),
    };
    let same = |name: &String| references.iter().any(|reference| reference.is(name));
    lost.retain(|name| !same(name));
    // the only image, without a name, is what is replaced
    if lost.is_empty() || lost.iter().all(|name| Digest::parse(name).is_some()) {
        return Ok(Vec::new());
    }
    let what = format!("`{shown}` was replaced as a whole: it had other images, which are gone");
    Ok(vec![
        Diagnostic::warning("archive-replaced", what)
            .cause(format!("an archive holds one image; it had {}", lost.join(", "))),
    ])
}

/// Says what to do about a target that is there and is no image.
pub fn not_replaced(error: StoreError) -> StoreError {
    let hints = vec!["name another file, or remove this one first if nobody needs it".to_owned()];
    StoreError(Box::new(Diagnostic { hints, causes: Vec::new(), ..*error.0 }))
}

/// What an image is called in an archive.
struct Name {
    tag: Option<String>,
    /// `HOST/PATH:TAG`.
    full: Option<String>,
}

impl Reference {
    fn written(&self, shown: &str) -> Result<Name, StoreError> {
        match self {
            Reference::Oci { tag, .. } => Ok(Name { tag: tag.clone(), full: None }),
            Reference::Docker { name: None, .. } => Ok(Name { tag: None, full: None }),
            Reference::Docker { name: Some(name), .. } => match (name.tagged(), name.tag()) {
                (Some(full), Some(tag)) => Ok(Name { tag: Some(tag.to_owned()), full: Some(full) }),
                _ => Err(Diagnostic::error("no-tag", format!("`{shown}` has no tag to write to"))
                    .hint("name the image with a tag, as docker-archive:FILE:NAME:TAG")
                    .into()),
            },
        }
    }

    /// Tells whether an image's name in an archive is this one.
    fn is(&self, written: &str) -> bool {
        match self {
            Reference::Oci { tag, .. } => tag.as_deref() == Some(written),
            Reference::Docker { name: Some(name), .. } => {
                Repository::parse(written).is_ok_and(|written| written.tagged() == name.tagged())
            }
            Reference::Docker { name: None, .. } => false,
        }
    }
}

fn member(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

async fn file(output: &mut Output, path: &str, bytes: &[u8]) -> io::Result<()> {
    output.member(path, EntryType::Regular, bytes.len() as u64).await?;
    output.write(bytes).await?;
    output.pad().await
}

/// Copies a layer of the base.
async fn layer<S: LayerSource>(
    output: &mut Output,
    blob: &Part<'_>,
    base: BaseSource<'_, S>,
    shown: &str,
) -> Result<(), StoreError> {
    let failed = |error: io::Error| fault("write to", shown, &error);
    let layer = base.store.layer(base.name, &blob.digest).await?;
    output.member(&member(&blob.digest), EntryType::Regular, blob.size).await.map_err(failed)?;
    let copied = layer.copy(&blob.digest, blob.size, async |bytes| output.write(bytes).await).await;
    copied.map_err(|error| error.of(&blob.digest, base.name, shown))?;
    output.pad().await.map_err(failed)
}
