//! Owns the reading of an image's documents: index, manifest and config, verified by digest; never a layer.

use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, Response, StatusCode};

use super::client::{Client, Registry, Request};
use super::error::{NOT_FOUND, RegistryError, is_outage, mismatch, not_asked};
use super::http::{read_body, retry};
use super::token::Scope;
use super::{CONCURRENT_TRANSFERS, CONTENT_DIGEST, repository_of};
use crate::image::config::Config;
use crate::image::digest::Digest;
use crate::image::labels::ImageLabels;
use crate::image::name::{ImageName, Repository};
use crate::image::platform::{Platform, Platforms};
use crate::image::{Base, BaseImage, media};
use crate::store::cache::Cache;
use crate::store::oci::DOCUMENT_LIMIT;
use crate::store::oci::document::{Descriptor, Document, Flaw, ImageManifest, IndexEntry, config_platform, is_baked};
use crate::store::oci::read::{base_index, malformed};
use crate::store::oci::walk::{IndexWalk, no_platform};
use crate::store::{BaseNow, LabelReads, StoreError, make_base};

const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                      application/vnd.docker.distribution.manifest.v2+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json";

/// Reads the image that a name points to, or with [`Platforms::All`] every image of its index.
pub(super) async fn base(
    client: &Client,
    cache: &Cache,
    name: &ImageName,
    platforms: &Platforms,
) -> Result<BaseImage, StoreError> {
    let reader = Reader::for_base(client, cache, name)?;
    let document = reader.document(reader.reference()).await?;
    match document.read() {
        Ok(Document::Manifest(manifest)) => {
            reader.base(document.bytes, manifest, platforms.asked()).await.map(BaseImage::One)
        }
        Ok(Document::Index(list)) => {
            let mut walk = reader.walk(list.entries).await?;
            if *platforms != Platforms::All {
                let wanted = platforms.asked();
                for image in walk.without_platform(wanted) {
                    image.platform = reader.platform(image).await?;
                }
                return reader.listed(walk.choose(&reader.shown, wanted)?).await.map(BaseImage::One);
            }
            let bases = walk.images.iter().map(|image| reader.listed(&image.descriptor));
            let bases = futures_util::stream::iter(bases).buffered(CONCURRENT_TRANSFERS).try_collect().await?;
            Ok(BaseImage::Index(base_index(&reader.shown, document.bytes, list.media_type, walk)?, bases))
        }
        Err(flaw) => Err(malformed(&reader.shown, "the manifest", &flaw)),
    }
}

/// Reads the labels of an image that is one of many: a config that several images have is read once.
pub(super) async fn labels(
    client: &Client,
    name: &ImageName,
    platforms: &Platforms,
    reads: &LabelReads,
) -> Result<ImageLabels, StoreError> {
    let reader = Reader::for_pull(client, name)?;
    let read = async |reference: &str| {
        let _permit = reads.manifest().await;
        let host = reader.repository.host();
        if let Some(failed) = reads.failed_in_a_row(host) {
            return Err(not_asked(&reader.shown, host, failed));
        }
        let document = reader.document(reference).await;
        reads.note(host, !document.as_ref().is_err_and(is_outage));
        document
    };
    let flawed = |flaw| malformed(&reader.shown, "the manifest", &flaw);
    let manifest = match read(reader.reference()).await?.read().map_err(flawed)? {
        Document::Manifest(manifest) => manifest,
        Document::Index(list) => {
            let mut walk = reader.walk(list.entries).await?;
            let wanted = platforms.asked();
            for image in walk.without_platform(wanted) {
                image.platform = reader.platform(image).await?;
            }
            match read(walk.choose(&reader.shown, wanted)?.digest.as_str()).await?.read().map_err(flawed)? {
                Document::Manifest(manifest) => manifest,
                Document::Index(_) => return Err(flawed(Flaw("is an index"))),
            }
        }
    };
    let config = async || {
        let config = Config::parse(reader.config(&manifest).await?);
        config
            .map(|config| ImageLabels::from_config(&config))
            .map_err(|_| flawed(Flaw("has a config that is not JSON")))
    };
    reads.config(reader.repository.host(), &manifest.config.digest, config).await
}

/// Tells whether a tag still points to an image that was a base, by its digest, by that of one of its platforms, or by that of a config,
/// which is the ID that some engines have for it.
pub(super) async fn base_now(
    client: &Client,
    name: &ImageName,
    was: &Digest,
    reads: &LabelReads,
) -> Result<BaseNow, StoreError> {
    let reader = Reader::for_pull(client, name)?;
    let _permit = reads.manifest().await;
    let Some(head) = reader.head(reader.reference()).await? else { return Ok(BaseNow::Gone) };
    if head.digest == *was {
        return Ok(BaseNow::Same);
    }
    let document = reader.document(head.digest.as_str()).await?;
    let manifests = match document.read().map_err(|flaw| malformed(&reader.shown, "the manifest", &flaw))? {
        Document::Manifest(manifest) => vec![manifest],
        Document::Index(list) => {
            let walk = reader.walk(list.entries).await?;
            if walk.images.iter().any(|image| image.descriptor.digest == *was) {
                return Ok(BaseNow::Same);
            }
            let mut manifests = Vec::new();
            for image in &walk.images {
                match reader.document(image.descriptor.digest.as_str()).await?.read() {
                    Ok(Document::Manifest(manifest)) => manifests.push(manifest),
                    _ => continue,
                }
            }
            manifests
        }
    };
    let is_same = manifests.iter().any(|manifest| manifest.config.digest == *was);
    Ok(if is_same { BaseNow::Same } else { BaseNow::Moved(head.digest) })
}

/// Reads the manifest or index that a tag points to; `None` if there is no such tag.
pub(super) async fn tagged(
    client: &Client,
    name: &ImageName,
    scope: Scope,
) -> Result<Option<ReceivedDocument>, StoreError> {
    let reader = Reader { scope, ..Reader::for_pull(client, name)? };
    match reader.document(reader.repository.tag().unwrap_or("latest")).await {
        Ok(document) => Ok(Some(document)),
        Err(error) if error.0.code == NOT_FOUND => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the digest that a tag points to; `None` if there is no such tag.
pub(super) async fn tag_state(client: &Client, name: &ImageName) -> Result<Option<Digest>, StoreError> {
    let repository = repository_of(name)?;
    let reference = repository.tag().unwrap_or("latest");
    // the scope of the write that follows, so that one token serves both
    let scope = client.registry(repository).tokens.scope_of_write(repository);
    let reader = Reader { scope, ..Reader::for_pull(client, name)? };
    Ok(reader.head(reference).await?.map(|head| head.digest))
}

/// What a tag points to, without the document.
pub(super) struct Head {
    pub digest: Digest,
    /// Whether it may be an index: the registry says so, or does not say what it is.
    pub may_be_index: bool,
}

/// A manifest or an index of a registry, verified by its digest.
pub(super) struct ReceivedDocument {
    pub bytes: Vec<u8>,
    /// The response's media type.
    pub media_type: String,
}

impl ReceivedDocument {
    /// Parses the manifest or index; a media type that no image has is ignored.
    pub(super) fn read(&self) -> Result<Document, Flaw> {
        let known = [media::OCI_INDEX, media::OCI_MANIFEST, media::DOCKER_LIST, media::DOCKER_MANIFEST];
        Document::read(&self.bytes, known.into_iter().find(|known| self.media_type == *known).unwrap_or_default())
    }
}

/// Reads documents of one repository.
pub(super) struct Reader<'a> {
    client: &'a Client,
    /// For the configs of bases.
    cache: Option<&'a Cache>,
    repository: &'a Repository,
    scope: Scope,
    shown: String,
}

impl<'a> Reader<'a> {
    /// Returns a reader of a base, whose config is cached.
    fn for_base(client: &'a Client, cache: &'a Cache, name: &'a ImageName) -> Result<Self, StoreError> {
        let reader = Reader::for_pull(client, name)?;
        client.registry(reader.repository).tokens.note_base(reader.repository);
        Ok(Reader { cache: Some(cache), ..reader })
    }

    pub(super) fn for_pull(client: &'a Client, name: &'a ImageName) -> Result<Self, StoreError> {
        let repository = repository_of(name)?;
        Ok(Reader { client, cache: None, repository, scope: Scope::pull(repository), shown: name.to_string() })
    }

    fn reference(&self) -> &'a str {
        self.repository.digest().or(self.repository.tag()).unwrap_or("latest")
    }

    fn request(&self, registry: &Registry, method: Method, path: &str) -> Request {
        let request = Request::new(method, registry.host.url(self.repository, path), self.scope.clone());
        Request { accept: path.starts_with("manifests/").then_some(ACCEPT), ..request }
    }

    /// Asks what a tag points to; `None` if there is no such tag.
    pub(super) async fn head(&self, reference: &str) -> Result<Option<Head>, StoreError> {
        let response = self.ask(Method::HEAD, &format!("manifests/{reference}")).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => {
                let is_manifest = |kind: &str| [media::OCI_MANIFEST, media::DOCKER_MANIFEST].contains(&kind);
                let may_be_index = !header(response.headers(), CONTENT_TYPE.as_str()).is_some_and(is_manifest);
                let digest = match header(response.headers(), CONTENT_DIGEST).and_then(Digest::parse) {
                    Some(digest) => digest,
                    None => Digest::of(&self.document(reference).await?.bytes),
                };
                Ok(Some(Head { digest, may_be_index }))
            }
            _ => Err(RegistryError::from_response(response).await.diagnose(&self.shown)),
        }
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Response, StoreError> {
        let registry = self.client.registry(self.repository);
        let request = self.request(&registry, method, path);
        self.client.send(&registry, &request).await.map_err(|error| error.diagnose(&self.shown))
    }

    /// Reads a whole document, and retries if it is cut off.
    async fn get(&self, path: &str, what: &str, limit: u64) -> Result<(HeaderMap, Vec<u8>), StoreError> {
        let registry = self.client.registry(self.repository);
        let request = self.request(&registry, Method::GET, path);
        let got = retry(async || {
            let response = self.client.send_once(&registry, &request, None).await?;
            if response.status() != StatusCode::OK {
                return Err(RegistryError::from_response(response).await);
            }
            let headers = response.headers().clone();
            Ok((headers, read_body(response, limit).await?))
        });
        match got.await {
            Ok((headers, Some(bytes))) => Ok((headers, bytes)),
            Ok((_, None)) => Err(malformed(&self.shown, what, &Flaw("is larger than it may be"))),
            Err(error) => Err(error.diagnose(&self.shown)),
        }
    }

    /// Reads a manifest or an index, by tag or by digest.
    pub(super) async fn document(&self, reference: &str) -> Result<ReceivedDocument, StoreError> {
        let (headers, bytes) = self.get(&format!("manifests/{reference}"), "the manifest", DOCUMENT_LIMIT).await?;
        let told = header(&headers, CONTENT_DIGEST).and_then(Digest::parse);
        let media_type = header(&headers, CONTENT_TYPE.as_str()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
        let is = Digest::of(&bytes);
        if told.is_some_and(|told| told != is) || Digest::parse(reference).is_some_and(|asked| asked != is) {
            return Err(mismatch(&self.shown, "the manifest"));
        }
        Ok(ReceivedDocument { bytes, media_type })
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

    /// Reads the image of a manifest.
    async fn base(
        &self,
        bytes: Vec<u8>,
        manifest: ImageManifest,
        platform: Option<&Platform>,
    ) -> Result<Base, StoreError> {
        if !matches!(manifest.config.media_type.as_str(), media::OCI_CONFIG | media::DOCKER_CONFIG | "") {
            return Err(malformed(&self.shown, "the manifest", &Flaw("is not a container image's")));
        }
        let config = self.config(&manifest).await?;
        if let Some(wanted) = platform
            && let Some(is) = config_platform(&config)
            && !is.satisfies(wanted)
        {
            return Err(no_platform(&self.shown, platform, [&is]));
        }
        make_base(&self.shown, Some(Digest::of(&bytes)), bytes, config)
    }

    pub(super) async fn config(&self, manifest: &ImageManifest) -> Result<Vec<u8>, StoreError> {
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
    pub(super) async fn walk(&self, entries: Vec<IndexEntry>) -> Result<IndexWalk, StoreError> {
        let malformed = |flaw| malformed(&self.shown, "the index", &flaw);
        let mut walk = IndexWalk::from(entries);
        while let Some(index) = walk.next_document().map_err(malformed)? {
            walk.take(&self.document(index.digest.as_str()).await?.bytes).map_err(malformed)?;
        }
        Ok(walk)
    }

    async fn platform(&self, image: &Descriptor) -> Result<Option<Platform>, StoreError> {
        let document = self.document(image.digest.as_str()).await?;
        match document.read() {
            Ok(Document::Manifest(manifest)) => Ok(config_platform(&self.config(&manifest).await?)),
            _ => Ok(None),
        }
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
