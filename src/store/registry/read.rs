//! Owns the reading of an image's documents: manifest and config, each proved by its digest, never a layer.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Response, StatusCode};

use super::client::{Client, Request, STALL};
use super::error::{Failure, mismatch};
use super::host::Scope;
use super::parts;
use crate::image::digest::Digest;
use crate::image::name::{ImageName, Repository};
use crate::image::platform::Platform;
use crate::image::{Base, media};
use crate::store::StoreError;
use crate::store::oci::DOCUMENT_LIMIT;
use crate::store::oci::document::{Descriptor, Document, Flaw, Manifest, config_platform};
use crate::store::oci::read::{choose, is_image, malformed};

const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                      application/vnd.docker.distribution.manifest.v2+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json";
const DIGEST: &str = "docker-content-digest";
/// How deep indexes may lie in each other.
const DEPTH: usize = 4;

/// Reads the image that a name stands for.
pub async fn base(client: &Client, name: &ImageName, platform: Option<&Platform>) -> Result<Base, StoreError> {
    let reader = Reader { client, repository: parts(name)?, shown: name.to_string() };
    let reference = reader.repository.digest().or(reader.repository.tag()).unwrap_or("latest");
    let (mut bytes, mut kind) = reader.manifest(reference).await?;
    for _ in 0..=DEPTH {
        let manifest = match Document::read(&bytes, &kind) {
            Ok(Document::Manifest(manifest)) => manifest,
            Ok(Document::Index(images)) => {
                let image = reader.choose(&images, platform).await?;
                (bytes, kind) = reader.manifest(image.digest.as_str()).await?;
                continue;
            }
            Err(flaw) => return Err(malformed(&reader.shown, "the manifest", &flaw)),
        };
        if !matches!(manifest.config.media_type.as_str(), media::OCI_CONFIG | media::DOCKER_CONFIG | "") {
            return Err(malformed(&reader.shown, "the manifest", &Flaw("is not a container image's")));
        }
        let config = reader.config(&manifest).await?;
        if let Some(wanted) = platform
            && let Some(is) = config_platform(&config)
            && !is.satisfies(wanted)
        {
            let only = Descriptor { platform: Some(is.clone()), ..manifest.config };
            choose(&reader.shown, &[(Some(is), &only)], platform)?;
        }
        return Ok(Base { digest: Some(Digest::of(&bytes)), manifest: bytes, config });
    }
    Err(malformed(&reader.shown, "the index", &Flaw("nests too many images")))
}

/// Returns the digest of what a tag stands for; `None` if there is no such tag.
pub async fn current(client: &Client, name: &ImageName) -> Result<Option<Digest>, StoreError> {
    let repository = parts(name)?;
    let reader = Reader { client, repository, shown: name.to_string() };
    let reference = repository.tag().unwrap_or("latest");
    // the scope of the write that follows, so that one token does for both
    let response = reader.ask(Method::HEAD, &format!("manifests/{reference}"), Scope::push(repository, None)).await?;
    match response.status() {
        StatusCode::NOT_FOUND => Ok(None),
        StatusCode::OK => match header(&response, DIGEST).and_then(Digest::parse) {
            Some(digest) => Ok(Some(digest)),
            None => Ok(Some(Digest::of(&reader.manifest(reference).await?.0))),
        },
        _ => Err(Failure::refused(response).await.of(&reader.shown)),
    }
}

struct Reader<'a> {
    client: &'a Client,
    repository: &'a Repository,
    shown: String,
}

impl Reader<'_> {
    async fn ask(&self, method: Method, path: &str, scope: Scope) -> Result<Response, StoreError> {
        let host = self.client.host(self.repository);
        let request = Request::new(method, host.url(self.repository, path), scope);
        let request = Request { accept: path.starts_with("manifests/").then_some(ACCEPT), ..request };
        self.client.send(&host, &request).await.map_err(|failure| failure.of(&self.shown))
    }

    async fn get(&self, path: &str) -> Result<Response, StoreError> {
        let response = self.ask(Method::GET, path, Scope::pull(self.repository)).await?;
        match response.status() {
            StatusCode::OK => Ok(response),
            _ => Err(Failure::refused(response).await.of(&self.shown)),
        }
    }

    /// Reads a manifest or an index and its media type, by tag or by digest.
    async fn manifest(&self, reference: &str) -> Result<(Vec<u8>, String), StoreError> {
        let response = self.get(&format!("manifests/{reference}")).await?;
        let told = header(&response, DIGEST).and_then(Digest::parse);
        let kind = header(&response, CONTENT_TYPE.as_str()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_owned();
        let bytes = self.body(response, "the manifest", DOCUMENT_LIMIT).await?;
        let is = Digest::of(&bytes);
        if told.is_some_and(|told| told != is) || Digest::parse(reference).is_some_and(|asked| asked != is) {
            return Err(mismatch(&self.shown, "the manifest"));
        }
        let known = [media::OCI_INDEX, media::OCI_MANIFEST, media::DOCKER_LIST, media::DOCKER_MANIFEST];
        let kind = if known.contains(&kind.as_str()) { kind } else { String::new() };
        Ok((bytes, kind))
    }

    async fn config(&self, manifest: &Manifest) -> Result<Vec<u8>, StoreError> {
        if manifest.config.size > DOCUMENT_LIMIT {
            return Err(malformed(&self.shown, "the config", &Flaw("is larger than 16 MiB")));
        }
        let response = self.get(&format!("blobs/{}", manifest.config.digest)).await?;
        let bytes = self.body(response, "the config", manifest.config.size).await?;
        if bytes.len() as u64 != manifest.config.size || Digest::of(&bytes) != manifest.config.digest {
            return Err(mismatch(&self.shown, "the config"));
        }
        Ok(bytes)
    }

    async fn body(&self, mut response: Response, what: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        loop {
            let chunk = tokio::time::timeout(STALL, response.chunk()).await;
            let chunk = chunk.map_err(|_| Failure::Timeout).and_then(|chunk| chunk.map_err(Failure::from));
            let Some(chunk) = chunk.map_err(|failure| failure.of(&self.shown))? else { return Ok(bytes) };
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > limit {
                return Err(malformed(&self.shown, what, &Flaw("is larger than it may be")));
            }
        }
    }

    async fn choose(&self, images: &[Descriptor], platform: Option<&Platform>) -> Result<Descriptor, StoreError> {
        let images: Vec<&Descriptor> = images.iter().filter(|image| is_image(image)).collect();
        if let ([only], None) = (&images[..], platform) {
            return Ok((*only).clone());
        }
        let mut there = Vec::new();
        for image in images {
            let is = match &image.platform {
                Some(platform) => Some(platform.clone()),
                None => {
                    let (bytes, kind) = self.manifest(image.digest.as_str()).await?;
                    match Document::read(&bytes, &kind) {
                        Ok(Document::Manifest(manifest)) => config_platform(&self.config(&manifest).await?),
                        _ => None,
                    }
                }
            };
            there.push((is, image));
        }
        choose(&self.shown, &there, platform).cloned()
    }
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().get(name)?.to_str().ok()
}
