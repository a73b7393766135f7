//! Owns the writing of an image: one partial load, verified, with every tag as it was if anything is wrong.

use bollard::body_try_stream;
use bollard::models::ImageInspect;
use bollard::query_parameters::{ImportImageOptions, RemoveImageOptionsBuilder, TagImageOptionsBuilder};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::error::{engine_error, load_failed};
use super::{EngineStore, engine_name};
use crate::error::Diagnostic;
use crate::image::Image;
use crate::image::digest::Digest;
use crate::image::load_archive::{self, LoadName};
use crate::image::name::ImageName;
use crate::image::provenance::LABEL;
use crate::secret::SecretBytes;
use crate::store::{ImageStore as _, StoreError, Written};

/// What a tag stood for before.
struct Before<'a> {
    tag: &'a ImageName,
    id: Option<String>,
    /// Whether it was a baked image, which holds old secrets.
    baked: bool,
}

pub(super) async fn write(store: &EngineStore, image: &Image, tags: &[&ImageName]) -> Result<Written, StoreError> {
    let mut before = Vec::new();
    for tag in tags {
        let found = store.inspect(&engine_name(tag)).await?;
        before.push(Before { tag, baked: found.as_ref().is_some_and(is_baked), id: found.and_then(|image| image.id) });
    }
    store.kind().await?;
    let archive = load_archive::write(image, &names(tags)).map_err(|error| load_failed(&error.to_string()))?;
    let loaded = load(store, archive).await;
    let verified = match loaded {
        Ok(said) => verify(store, image, tags, &said).await,
        Err(error) => Err(error),
    };
    if let Err(error) = verified {
        restore(store, &before).await?;
        return Err(error);
    }
    let mut written = Written::default();
    let now = store.identity(image);
    for old in before.iter().filter(|old| old.baked && old.id.as_deref() != Some(now.as_str())) {
        written.warnings.extend(untagged(store, old).await?);
    }
    Ok(written)
}

fn names(tags: &[&ImageName]) -> Vec<LoadName> {
    let names = tags.iter().filter_map(|tag| match tag {
        ImageName::Engine(repository) => Some(LoadName {
            full: repository.tagged()?,
            familiar: repository.familiar()?,
            tag: repository.tag()?.to_owned(),
        }),
        _ => None,
    });
    names.collect()
}

/// Sends the archive and returns what the engine said; it answers 200 before it knows how the load ends.
async fn load(store: &EngineStore, archive: SecretBytes) -> Result<String, StoreError> {
    // a stream, since a body given as bytes is logged by the client at trace level
    let body = body_try_stream(futures_util::stream::iter([Ok(Bytes::from_owner(Body(archive)))]));
    let options = ImportImageOptions { quiet: true, platform: None };
    let mut answer = store.docker.import_image(options, body, None);
    let mut said = String::new();
    while let Some(line) = answer.next().await {
        let line = line.map_err(|error| engine_error(&store.address, &error))?;
        if let Some(detail) = line.error_detail {
            return Err(load_failed(&detail.message.unwrap_or_default()));
        }
        said.push_str(&line.stream.unwrap_or_default());
    }
    Ok(said)
}

/// The archive as a request's body: the bytes are wiped when it has been sent.
struct Body(SecretBytes);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

/// Looks whether every tag is the image that was sent, layer by layer.
async fn verify(store: &EngineStore, image: &Image, tags: &[&ImageName], said: &str) -> Result<(), StoreError> {
    let wanted = store.identity(image);
    for tag in tags {
        let found = store.inspect(&engine_name(tag)).await?;
        let id = found.as_ref().and_then(|found| found.id.as_deref()).and_then(Digest::parse);
        let layers = found.and_then(|found| found.root_fs).and_then(|rootfs| rootfs.layers).unwrap_or_default();
        let same_layers = layers.iter().map(String::as_str).eq(image.diff_ids.iter().map(Digest::as_str));
        if id.as_ref() != Some(&wanted) || !same_layers {
            return Err(load_failed(&format!(
                "{tag} is not the image that was sent; the engine said: {}",
                said.trim()
            )));
        }
    }
    Ok(())
}

/// Makes every tag stand for what it stood for before.
async fn restore(store: &EngineStore, before: &[Before<'_>]) -> Result<(), StoreError> {
    for old in before {
        let name = engine_name(old.tag);
        let now = store.inspect(&name).await?.and_then(|image| image.id);
        if now == old.id {
            continue;
        }
        match (&old.id, old.tag) {
            (Some(id), ImageName::Engine(repository)) => {
                let repo = format!("{}/{}", repository.host(), repository.path());
                let options =
                    TagImageOptionsBuilder::new().repo(&repo).tag(repository.tag().unwrap_or("latest")).build();
                let tagged = store.docker.tag_image(id, Some(options)).await;
                tagged.map_err(|error| engine_error(&store.address, &error))?;
            }
            _ => {
                let options = RemoveImageOptionsBuilder::new().noprune(true).build();
                let removed = store.docker.remove_image(&name, Some(options), None).await;
                removed.map_err(|error| engine_error(&store.address, &error))?;
            }
        }
    }
    Ok(())
}

fn is_baked(image: &ImageInspect) -> bool {
    let labels = image.config.as_ref().and_then(|config| config.labels.as_ref());
    labels.is_some_and(|labels| labels.contains_key(LABEL))
}

/// Returns a warning if the previous baked image has lost its last name.
async fn untagged(store: &EngineStore, old: &Before<'_>) -> Result<Option<Diagnostic>, StoreError> {
    let Some(id) = &old.id else { return Ok(None) };
    let found = store.inspect(id).await?;
    let nameless = found.is_some_and(|image| image.repo_tags.unwrap_or_default().is_empty());
    Ok(nameless.then(|| {
        Diagnostic::warning(
            "replaced",
            format!("the image that was {} is untagged now, and still holds the secrets of its bake", old.tag),
        )
        .hint(format!("when nothing uses it any more: docker rmi {id}"))
    }))
}
