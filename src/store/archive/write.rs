//! Owns the writing of an archive to its file or pipe: what it replaces, under which names, and its warnings.

use std::fs;
use std::io;
use std::path::Path;

use super::docker::{self, DockerArchive};
use super::open::is_regular;
use super::output::ArchiveOutput;
use super::{ArchiveStore, parent, path_of, read_index};
use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::name::{ImageName, Repository};
use crate::store::error::{fault, internal};
use crate::store::oci::archive::{ArchiveError, ArchiveFormat, ArchiveName, NewArchive};
use crate::store::oci::parts::ImageParts;
use crate::store::{BaseSource, LayerSource, StoreError};

/// Writes an image, or those of an index, under every name, as one archive; returns warnings.
pub(super) async fn write<S: LayerSource>(
    store: &ArchiveStore,
    parts: &ImageParts<'_>,
    tags: &[&ImageName],
    base: BaseSource<'_, S>,
) -> Result<Vec<Diagnostic>, StoreError> {
    let [first, ..] = tags else { return Ok(Vec::new()) };
    let (path, shown) = (path_of(first)?, first.to_string());
    if tags.iter().any(|tag| tag.place() != first.place()) {
        return Err(internal("the tags are in several archives"));
    }
    let format = match first {
        ImageName::DockerArchive { .. } => ArchiveFormat::Docker,
        _ => ArchiveFormat::Oci,
    };
    let names = tags.iter().map(|tag| name_in_archive(tag)).collect::<Result<Vec<_>, _>>()?;
    let replaced = replaced(store, path, first, tags).await?;

    let failed = |error: io::Error| fault("write to", &shown, &error);
    let mut output = ArchiveOutput::begin(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if !parent(Path::new(path)).is_dir() => no_directory(path, &shown),
        _ => failed(error),
    })?;
    let archive = NewArchive { format, parts, names: &names };
    archive.write(base, &shown, async |bytes| output.write(bytes).await).await.map_err(|error| match error {
        ArchiveError::Write(error) => failed(error),
        ArchiveError::Image(error) => error,
    })?;
    output.finish().await.map_err(failed)?;
    store.archives.forget(path).await;
    let hard_to_read = match format {
        ArchiveFormat::Oci => parts.hidden(&shown),
        ArchiveFormat::Docker => zstd_layers(parts, &shown)?,
    };
    Ok(replaced.into_iter().chain(hard_to_read).collect())
}

fn no_directory(path: &str, shown: &str) -> StoreError {
    let directory = parent(Path::new(path)).display();
    Diagnostic::error("path-not-found", format!("cannot write to `{shown}`: there is no directory `{directory}`"))
        .hint(format!("mkdir -p {directory}"))
        .into()
}

fn zstd_layers(parts: &ImageParts<'_>, shown: &str) -> Result<Option<Diagnostic>, StoreError> {
    let has_zstd = parts.manifest()?.layers.iter().any(|layer| layer.media_type.ends_with("zstd"));
    Ok(has_zstd.then(|| {
        Diagnostic::warning("zstd-layer", format!("`{shown}` has layers compressed with zstd, as its base"))
            .cause("Docker before 23.0 cannot load them")
    }))
}

/// Tells whether there is an archive that a write would replace: not a pipe, and not an empty file.
pub(super) fn is_there(path: &str, shown: &str) -> Result<bool, StoreError> {
    if !is_regular(path) {
        return Ok(false);
    }
    let metadata = fs::metadata(path).map_err(|error| fault("read", shown, &error))?;
    Ok(metadata.len() > 0)
}

/// Refuses to replace a file that is not an image, and warns of images that will be lost.
async fn replaced(
    store: &ArchiveStore,
    path: &str,
    name: &ImageName,
    tags: &[&ImageName],
) -> Result<Option<Diagnostic>, StoreError> {
    let shown = name.to_string();
    if !is_there(path, &shown)? {
        return Ok(None);
    }
    let tar = store.archives.open(path, &shown).await.map_err(not_replaced)?;
    let mut lost = match name {
        ImageName::DockerArchive { .. } => {
            docker::names(&DockerArchive { shown: &shown, tar: &tar }.images().map_err(not_replaced)?)
        }
        _ => read_index(&tar, &shown).map_err(not_replaced)?.names(),
    };
    lost.retain(|name| !tags.iter().any(|tag| is_called(tag, name)));
    // an image without a name is the one that is replaced
    if lost.is_empty() || lost.iter().all(|name| Digest::parse(name).is_some()) {
        return Ok(None);
    }
    let what = format!("`{shown}` was replaced as a whole: it had other images, which are gone");
    let cause = format!("an archive holds one image; it had {}", lost.join(", "));
    Ok(Some(Diagnostic::warning("archive-replaced", what).cause(cause)))
}

/// Says what to do about a target that exists and is not an image.
pub(super) fn not_replaced(error: StoreError) -> StoreError {
    let hints = vec!["name another file, or remove this one first if nobody needs it".to_owned()];
    StoreError(Box::new(Diagnostic { hints, causes: Vec::new(), ..*error.0 }))
}

fn name_in_archive(target: &ImageName) -> Result<ArchiveName, StoreError> {
    match target {
        ImageName::OciArchive { tag, .. } => Ok(ArchiveName { tag: tag.clone(), full: None }),
        ImageName::DockerArchive { name: Some(name), .. } => match (name.tagged(), name.tag()) {
            (Some(full), Some(tag)) => Ok(ArchiveName { tag: Some(tag.to_owned()), full: Some(full) }),
            _ => Err(Diagnostic::error("no-tag", format!("`{target}` has no tag to write to"))
                .hint("name the image with a tag, as docker-archive:FILE:NAME:TAG")
                .into()),
        },
        _ => Ok(ArchiveName { tag: None, full: None }),
    }
}

/// Tells whether a target has this name in the archive.
fn is_called(target: &ImageName, written: &str) -> bool {
    match target {
        ImageName::OciArchive { tag, .. } => tag.as_deref() == Some(written),
        ImageName::DockerArchive { name: Some(name), .. } => {
            Repository::parse(written).is_ok_and(|written| written.tagged() == name.tagged())
        }
        _ => false,
    }
}
