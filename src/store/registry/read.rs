//! Owns the reading of an image's documents: manifest and config, each proved by its digest, never a layer.

use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, Response, StatusCode};

use super::client::{Client, Request, insist, read};
use super::error::{Failure, NOT_FOUND, mismatch};
use super::host::{Host, Scope};
use super::{SIDE_BY_SIDE, parts};
use crate::image::digest::Digest;
use crate::image::index::BaseIndex;
use crate::image::name::{ImageName, Repository};
use crate::image::platform::Platform;
use crate::image::{Base, media};
use crate::store::StoreError;
use crate::store::cache::Cache;
use crate::store::oci::DOCUMENT_LIMIT;
use crate::store::oci::document::{Descriptor, Document, Flaw, IndexEntry, Manifest, config_platform, is_baked};
use crate::store::oci::read::{base_index, choose, malformed};
use crate::store::oci::walk::Walk;

const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                      application/vnd.docker.distribution.manifest.v2+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json";
const DIGEST: &str = "docker-content-digest";

/// Reads the image that a name stands for.
pub async fn base(
    client: &Client,
    cache: &Cache,
    name: &ImageName,
    platform: Option<&Platform>,
) -> Result<Base, StoreError> {
    let reader = Reader::of_base(client, cache, name)?;
    let document = reader.document(reader.reference()).await?;
    match document.read() {
        Ok(Document::Manifest(manifest)) => reader.base(document.bytes, manifest, platform).await,
        Ok(Document::Index(list)) => {
            let images = reader.walk(list.entries).await?.images;
            reader.listed(reader.choose(&images, platform).await?).await
        }
        Err(flaw) => Err(malformed(&reader.shown, "the manifest", &flaw)),
    }
}

/// Reads every image of the index that a name stands for; `None` if it stands for one image.
pub async fn bases(
    client: &Client,
    cache: &Cache,
    name: &ImageName,
) -> Result<Option<(BaseIndex, Vec<Base>)>, StoreError> {
    let reader = Reader::of_base(client, cache, name)?;
    let document = reader.document(reader.reference()).await?;
    let list = match document.read() {
        Ok(Document::Manifest(_)) => return Ok(None),
        Ok(Document::Index(list)) => list,
        Err(flaw) => return Err(malformed(&reader.shown, "the manifest", &flaw)),
    };
    let walk = reader.walk(list.entries).await?;
    let bases = walk.images.iter().map(|image| reader.listed(&image.descriptor));
    let bases = futures_util::stream::iter(bases).buffered(SIDE_BY_SIDE).try_collect().await?;
    Ok(Some((base_index(&reader.shown, document.bytes, list.media_type, walk)?, bases)))
}

/// Reads the manifest or index that a tag stands for; `None` if there is no such tag.
pub async fn tagged(client: &Client, name: &ImageName, scope: Scope) -> Result<Option<Tagged>, StoreError> {
    let reader = Reader { scope, ..Reader::pulling(client, name)? };
    match reader.document(reader.repository.tag().unwrap_or("latest")).await {
        Ok(document) => Ok(Some(document)),
        Err(error) if error.0.code == NOT_FOUND => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the digest of what a tag stands for; `None` if there is no such tag.
pub async fn current(client: &Client, name: &ImageName) -> Result<Option<Digest>, StoreError> {
    let repository = parts(name)?;
    let reference = repository.tag().unwrap_or("latest");
    // the scope of the write that follows, so that one token does for both
    let scope = client.host(repository).access.to_write(repository);
    let reader = Reader { scope, ..Reader::pulling(client, name)? };
    let response = reader.ask(Method::HEAD, &format!("manifests/{reference}")).await?;
    match response.status() {
        StatusCode::NOT_FOUND => Ok(None),
        StatusCode::OK => match header(response.headers(), DIGEST).and_then(Digest::parse) {
            Some(digest) => Ok(Some(digest)),
            None => Ok(Some(Digest::of(&reader.document(reference).await?.bytes))),
        },
        _ => Err(Failure::refused(response).await.of(&reader.shown)),
    }
}

/// A manifest or an index as a registry gave it, proved by its digest.
pub struct Tagged {
    pub bytes: Vec<u8>,
    /// As the registry says it.
    pub media_type: String,
}

impl Tagged {
    /// Reads the manifest or index; a media type that is none of an image is as good as none.
    fn read(&self) -> Result<Document, Flaw> {
        let known = [media::OCI_INDEX, media::OCI_MANIFEST, media::DOCKER_LIST, media::DOCKER_MANIFEST];
        Document::read(&self.bytes, known.into_iter().find(|known| self.media_type == *known).unwrap_or_default())
    }
}

struct Reader<'a> {
    client: &'a Client,
    /// Where configs are kept, for who reads them.
    cache: Option<&'a Cache>,
    repository: &'a Repository,
    scope: Scope,
    shown: String,
}

impl<'a> Reader<'a> {
    /// Reads a base, whose config is kept.
    fn of_base(client: &'a Client, cache: &'a Cache, name: &'a ImageName) -> Result<Self, StoreError> {
        let reader = Reader::pulling(client, name)?;
        client.host(reader.repository).access.reads(reader.repository);
        Ok(Reader { cache: Some(cache), ..reader })
    }

    fn pulling(client: &'a Client, name: &'a ImageName) -> Result<Self, StoreError> {
        let repository = parts(name)?;
        Ok(Reader { client, cache: None, repository, scope: Scope::pull(repository), shown: name.to_string() })
    }

    fn reference(&self) -> &'a str {
        self.repository.digest().or(self.repository.tag()).unwrap_or("latest")
    }

    fn request(&self, host: &Host, method: Method, path: &str) -> Request {
        let request = Request::new(method, host.url(self.repository, path), self.scope.clone());
        Request { accept: path.starts_with("manifests/").then_some(ACCEPT), ..request }
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Response, StoreError> {
        let host = self.client.host(self.repository);
        let request = self.request(&host, method, path);
        self.client.send(&host, &request).await.map_err(|failure| failure.of(&self.shown))
    }

    /// Reads a whole document, and again if it is cut off.
    async fn get(&self, path: &str, what: &str, limit: u64) -> Result<(HeaderMap, Vec<u8>), StoreError> {
        let host = self.client.host(self.repository);
        let request = self.request(&host, Method::GET, path);
        let got = insist(async || {
            let response = self.client.once(&host, &request, None).await?;
            if response.status() != StatusCode::OK {
                return Err(Failure::refused(response).await);
            }
            let headers = response.headers().clone();
            Ok((headers, read(response, limit).await?))
        });
        match got.await {
            Ok((headers, Some(bytes))) => Ok((headers, bytes)),
            Ok((_, None)) => Err(malformed(&self.shown, what, &Flaw("is larger than it may be"))),
            Err(failure) => Err(failure.of(&self.shown)),
        }
    }

    /// Reads a manifest or an index, by tag or by digest.
    async fn document(&self, reference: &str) -> Result<Tagged, StoreError> {
        let (headers, bytes) = self.get(&format!("manifests/{reference}"), "the manifest", DOCUMENT_LIMIT).await?;
        let told = header(&headers, DIGEST).and_then(Digest::parse);
        let media_type = header(&headers, CONTENT_TYPE.as_str()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
        let is = Digest::of(&bytes);
        if told.is_some_and(|told| told != is) || Digest::parse(reference).is_some_and(|asked| asked != is) {
            return Err(mismatch(&self.shown, "the manifest"));
        }
        Ok(Tagged { bytes, media_type })
    }

    /// Reads an image that an index lists.
    async fn listed(&self, image: &Descriptor) -> Result<Base, StoreError> {
        let document = self.document(image.digest.as_str()).await?;
        match document.read() {
            Ok(Document::Manifest(manifest)) => self.base(document.bytes, manifest, None).await,
            Ok(Document::Index(_)) => Err(malformed(&self.shown, "a manifest", &Flaw("is an index"))),
            Err(flaw) => Err(malformed(&self.shown, "a manifest", &flaw)),
        }
    }

    /// Reads what belongs to a manifest.
    async fn base(&self, bytes: Vec<u8>, manifest: Manifest, platform: Option<&Platform>) -> Result<Base, StoreError> {
        if !matches!(manifest.config.media_type.as_str(), media::OCI_CONFIG | media::DOCKER_CONFIG | "") {
            return Err(malformed(&self.shown, "the manifest", &Flaw("is not a container image's")));
        }
        let config = self.config(&manifest).await?;
        if let Some(wanted) = platform
            && let Some(is) = config_platform(&config)
            && !is.satisfies(wanted)
        {
            let only = Descriptor { platform: Some(is.clone()), ..manifest.config };
            choose(&self.shown, &[(Some(is), &only)], platform)?;
        }
        Ok(Base { digest: Some(Digest::of(&bytes)), manifest: bytes, config })
    }

    async fn config(&self, manifest: &Manifest) -> Result<Vec<u8>, StoreError> {
        if manifest.config.size > DOCUMENT_LIMIT {
            return Err(malformed(&self.shown, "the config", &Flaw("is larger than 16 MiB")));
        }
        if let Some(config) = self.cache.and_then(|cache| cache.blob(&manifest.config.digest)) {
            return Ok(config);
        }
        let path = format!("blobs/{}", manifest.config.digest);
        let (_, bytes) = self.get(&path, "the config", manifest.config.size).await?;
        if bytes.len() as u64 != manifest.config.size || Digest::of(&bytes) != manifest.config.digest {
            return Err(mismatch(&self.shown, "the config"));
        }
        // a baked image's config may hold secrets
        if let Some(cache) = self.cache.filter(|_| !is_baked(&bytes)) {
            cache.keep_blob(&manifest.config.digest, &bytes);
        }
        Ok(bytes)
    }

    /// Finds the images that an index lists.
    async fn walk(&self, entries: Vec<IndexEntry>) -> Result<Walk, StoreError> {
        let malformed = |flaw| malformed(&self.shown, "the index", &flaw);
        let mut walk = Walk::from(entries);
        while let Some(index) = walk.next().map_err(malformed)? {
            walk.take(&self.document(index.digest.as_str()).await?.bytes).map_err(malformed)?;
        }
        Ok(walk)
    }

    async fn choose<'i>(
        &self,
        images: &'i [IndexEntry],
        platform: Option<&Platform>,
    ) -> Result<&'i Descriptor, StoreError> {
        if let ([only], None) = (images, platform) {
            return Ok(&only.descriptor);
        }
        let mut there = Vec::new();
        for IndexEntry { descriptor: image, .. } in images {
            let is = match &image.platform {
                Some(platform) => Some(platform.clone()),
                None => {
                    let document = self.document(image.digest.as_str()).await?;
                    match document.read() {
                        Ok(Document::Manifest(manifest)) => config_platform(&self.config(&manifest).await?),
                        _ => None,
                    }
                }
            };
            there.push((is, image));
        }
        choose(&self.shown, &there, platform)
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
