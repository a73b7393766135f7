//! What a registry answers: manifests and indexes, headers, refusals, tokens and lists of tags.

use std::sync::LazyLock;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LINK, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use secretbake::image::digest::Digest;
use secretbake::image::layer::Layer;
use secretbake::image::manifest::with_layers;
use secretbake::image::name::{ImageName, Repository};
use secretbake::image::platform::Platform;
use secretbake::image::{Image, media};
use secretbake::secret::SecretBytes;
use secretbake::store::oci::document::{Descriptor, Document, ImageList, ImageManifest};
use secretbake::store::oci::read::base_index;
use secretbake::store::oci::walk::IndexWalk;
use secretbake::store::registry::challenge::{Challenge, TokenRefusal};
use secretbake::store::registry::error::{RegistryError, retry_after};
use secretbake::store::registry::tag_list::{next_page, read_page};
use secretbake::store::registry::token::read_token;
use serde_json::Value;

use super::texts::printable;

/// Takes any input.
type Target = fn(&[u8]);

/// The targets of this file, by name.
pub const TARGETS: &[(&str, Target)] =
    &[("registry-document", document), ("registry-header", header), ("registry-answer", answer)];

const SHOWN: &str = "docker://registry.example.com/crew:1";

/// A manifest, or an index and what it lists, each after a NUL. The first byte is the media type that the registry says.
pub fn document(input: &[u8]) {
    const TYPES: [&str; 6] =
        ["", media::OCI_INDEX, media::OCI_MANIFEST, media::DOCKER_LIST, media::DOCKER_MANIFEST, "text/html"];
    let Some((kind, rest)) = input.split_first() else { return };
    let media_type = TYPES[usize::from(*kind) % TYPES.len()];
    let mut documents = rest.split(|byte| *byte == 0);
    let root = documents.next().unwrap_or_default();
    match Document::read(root, media_type) {
        Ok(Document::Manifest(before)) => manifest(root, media_type, &before),
        Ok(Document::Index(list)) => index(root, list, documents),
        Err(flaw) => assert!(!flaw.0.is_empty()),
    }
}

/// A baked manifest refers to everything that the base's does, and to the new layer and config.
fn manifest(root: &[u8], media_type: &str, before: &ImageManifest) {
    static LAYER: LazyLock<Layer> = LazyLock::new(|| Layer::new(&SecretBytes::new(vec![0; 512]), "secretbake"));
    let config = SecretBytes::new(b"{}".to_vec());
    let annotations = [("org.opencontainers.image.base.name", Some("crew:1".to_owned()))];
    let Ok(baked) = with_layers(root, &config, std::slice::from_ref(&*LAYER), &annotations) else { return };
    let Ok(Document::Manifest(after)) = Document::read(&baked, media_type) else { panic!("it is no manifest") };
    let (new, old) = after.layers.split_last().expect("it has the new layer");
    assert_eq!((old, &after.media_type), (&before.layers[..], &before.media_type));
    assert_eq!((&new.digest, &after.config.digest), (&LAYER.digest, &Digest::of(b"{}")));
}

/// The walk ends, and an index of baked images lists them for the same platforms.
fn index<'d>(root: &[u8], list: ImageList, mut documents: impl Iterator<Item = &'d [u8]>) {
    let mut walk = IndexWalk::from(list.entries);
    for asked in 0.. {
        match walk.next_document() {
            Ok(None) => break,
            Ok(Some(_)) if walk.take(documents.next().unwrap_or(b"{}")).is_ok() => {}
            _ => return,
        }
        assert!(asked < 4096, "the walk does not end");
    }
    let arm = Platform::parse("linux/arm64");
    for wanted in [None, arm.as_ref()] {
        match walk.choose(SHOWN, wanted) {
            Ok(image) => {
                assert!(image.is_image());
                let satisfies = |wanted| image.platform.as_ref().is_some_and(|platform| platform.satisfies(wanted));
                assert!(wanted.is_none_or(satisfies));
            }
            Err(error) => printable(&[*error.0]),
        }
    }
    let Ok(base) = base_index(SHOWN, root.to_vec(), list.media_type, walk) else { return };
    let images = (0..base.images.len()).map(|number| Image {
        manifest: number.to_string().into_bytes(),
        config: SecretBytes::default(),
        layers: Vec::new(),
        diff_ids: Vec::new(),
        platform: Platform::host(),
        config_has_values: false,
    });
    let baked = base.with(images.collect()).expect("the base's index is one");
    let Ok(Document::Index(after)) = Document::read(&baked.document, &baked.media_type) else {
        panic!("it is no index")
    };
    assert_eq!(after.entries.len(), base.images.len());
    for ((entry, image), before) in after.entries.iter().zip(&baked.images).zip(&base.images) {
        let Descriptor { digest, size, media_type, platform, annotations } = &entry.descriptor;
        let before = Descriptor::read(before).expect("it was read before");
        assert_eq!((digest, *size), (&image.manifest_digest(), image.manifest.len() as u64));
        assert_eq!((media_type, platform, annotations), (&before.media_type, &before.platform, &before.annotations));
    }
}

/// Each line as a value of `WWW-Authenticate`, `Link` and `Retry-After`: what is read is the same when it is written again.
pub fn header(input: &[u8]) {
    static ASKED: LazyLock<Url> =
        LazyLock::new(|| Url::parse("https://registry.example.com/v2/crew/tags/list?n=1000").expect("a URL"));
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some(challenge @ Challenge::Bearer { .. }) = Challenge::read(text.lines()) {
        let Challenge::Bearer { realm, service } = &challenge else { return };
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#));
        let service = service.as_ref().map(|service| format!(",service={}", quoted(service))).unwrap_or_default();
        let written = format!("Bearer realm={}{service}", quoted(realm));
        assert_eq!(Challenge::read([written.as_str()].into_iter()), Some(challenge), "{written}");
    }
    let values = || text.lines().filter_map(|line| HeaderValue::from_str(line).ok());
    let headers = |name: &HeaderName| values().map(|value| (name.clone(), value)).collect::<HeaderMap>();
    if let Some(next) = next_page(&ASKED, &headers(&LINK)).filter(Url::has_host) {
        let link = HeaderValue::from_str(&format!("<{next}>; rel=\"next\"")).expect("a URL fits into a header");
        assert_eq!(next_page(&ASKED, &HeaderMap::from_iter([(LINK, link)])), Some(next));
    }
    let _ = TokenRefusal::read(text.lines());
    let _ = retry_after(&headers(&RETRY_AFTER));
}

/// The body of a refusal, of a token service's response and of a list of tags.
pub fn answer(input: &[u8]) {
    static REPOSITORY: LazyLock<Repository> =
        LazyLock::new(|| Repository::parse("registry.example.com/crew").expect("a name"));
    for status in [200, 400, 401, 403, 404, 429, 503] {
        let status = StatusCode::from_u16(status).expect("a status");
        let error = RegistryError::from_refusal(status, None, input).diagnose(SHOWN);
        assert!(!error.0.hints.is_empty());
        printable(&[*error.0]);
    }
    // what is ignored in a body need not be valid
    if let (Some(token), Ok(body)) = (read_token(input), serde_json::from_slice::<Value>(input)) {
        assert!(body["token"] == token || body["access_token"] == token);
    }
    for tag in read_page(input, &REPOSITORY).unwrap_or_default() {
        assert_eq!((tag.host(), tag.path()), (REPOSITORY.host(), REPOSITORY.path()));
        let name = ImageName::Registry(tag);
        assert_eq!(ImageName::parse(&name.to_string()), Ok(name));
    }
}
