//! Owns the reading of `docker save` archives: `manifest.json`, and the configs and layers at the paths that it names.
//!
//! An archive of Docker 25 or later, or of secretbake, is an OCI layout too and has the image's manifest. For any other, a manifest
//! is made that lists each layer by its diff ID, like that of an engine's image.

use std::io;

use sha2::{Digest as _, Sha256};

use super::tar_index::TarIndex;
use crate::diagnostic::Diagnostic;
use crate::image::config::Config;
use crate::image::digest::Digest;
use crate::image::json::RawObject;
use crate::image::manifest::{descriptor, new_manifest};
use crate::image::name::Repository;
use crate::image::platform::Platform;
use crate::image::{Base, media};
use crate::runtime::blocking::Cancel;
use crate::runtime::bounded;
use crate::store::error::fault;
use crate::store::layers::blob::FileRange;
use crate::store::layers::decode;
use crate::store::oci::archive::{SAVED_IMAGES, SavedImage};
use crate::store::oci::index::Index;
use crate::store::oci::read::Layout;
use crate::store::oci::walk::no_platform;
use crate::store::oci::{DOCUMENT_LIMIT, INDEX};
use crate::store::{NOT_FOUND, StoreError};

/// A `docker save` archive to read.
pub struct DockerArchive<'a> {
    pub shown: &'a str,
    pub tar: &'a TarIndex,
}

/// A layer of the archive.
struct SavedLayer {
    media_type: &'static str,
    digest: Digest,
    diff_id: Digest,
    /// Whether its path is its digest, which a copy verifies.
    is_named: bool,
    piece: FileRange,
}

impl DockerArchive<'_> {
    /// Reads the list of images.
    pub fn images(&self) -> Result<Vec<SavedImage>, StoreError> {
        let bytes = self.tar.read_file(SAVED_IMAGES, DOCUMENT_LIMIT).map_err(|error| self.unreadable(&error))?;
        let Some(bytes) = bytes else {
            return Err(Diagnostic::error("not-an-archive", format!("`{}` has no manifest.json", self.shown))
                .cause("it is an OCI archive, or not an image")
                .hint("name it oci-archive:FILE, or save the image again with `docker save -o FILE NAME`")
                .into());
        };
        serde_json::from_slice(&bytes).map_err(|_| self.malformed("has a manifest.json that lists no images"))
    }

    /// Finds the image of a name; without a name, the only one.
    pub fn find<'i>(&self, images: &'i [SavedImage], name: Option<&Repository>) -> Result<&'i SavedImage, StoreError> {
        let found = match (name, images) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(name), _) => images.iter().find(|image| has_name(image, name)),
        };
        found.ok_or_else(|| {
            let names = names(images);
            let diagnostic = match name {
                Some(name) => {
                    let what = format!("`{}` has no image `{}`", self.shown, name.as_written());
                    Diagnostic::error(NOT_FOUND, what)
                }
                None if images.is_empty() => Diagnostic::error(NOT_FOUND, format!("`{}` has no image", self.shown)),
                None => {
                    let what = format!("`{}` has several images, and no name was given", self.shown);
                    Diagnostic::error("image-ambiguous", what)
                }
            };
            match names.is_empty() {
                true => diagnostic.hint("save the image again by its name, with `docker save -o FILE NAME`"),
                false => diagnostic.hint(format!("it has: {}", names.join(", "))),
            }
            .into()
        })
    }

    /// Reads an image and its manifest, which is made if the archive has none.
    pub fn base(&self, image: &SavedImage, platform: Option<&Platform>) -> Result<Base, StoreError> {
        let config = self.config(image)?;
        let is = config.platform().map_err(|_| self.malformed("has a config without a platform"))?;
        if platform.is_some_and(|wanted| !is.satisfies(wanted)) {
            return Err(no_platform(self.shown, platform, [&is]));
        }
        if let Some(base) = self.layout(config.bytes(), |_, base| base) {
            return Ok(base);
        }
        let layers = self.layers(image, &config)?;
        self.verify(&layers)?;
        let layers: Vec<RawObject> =
            layers.iter().map(|layer| descriptor(layer.media_type, &layer.digest, layer.piece.size())).collect();
        let manifest = new_manifest(config.bytes(), &layers);
        let digest = Digest::of(config.bytes());
        Ok(Base { digest: Some(digest), index: None, manifest, config })
    }

    /// Returns the digest of an image's manifest, or of its config if the archive has no manifest. Fails if the image is incomplete.
    pub fn identity(&self, image: &SavedImage) -> Result<Digest, StoreError> {
        let config = self.config(image)?;
        match self.layout(config.bytes(), |_, base| base.digest).flatten() {
            Some(digest) => Ok(digest),
            None => self.layers(image, &config).map(|_| Digest::of(config.bytes())),
        }
    }

    /// Opens an image's layers, the lowest first.
    pub fn pieces(&self, image: &SavedImage) -> Result<Vec<FileRange>, StoreError> {
        let config = self.config(image)?;
        match self.layout(config.bytes(), |layout, base| layout.layers(&base)) {
            Some(layers) => layers,
            None => Ok(self.layers(image, &config)?.into_iter().map(|layer| layer.piece).collect()),
        }
    }

    /// Opens a layer by its digest in the manifest.
    pub fn layer(&self, image: &SavedImage, digest: &Digest) -> Result<FileRange, StoreError> {
        let config = self.config(image)?;
        if let Some(layer) = self.layout(config.bytes(), |layout, _| layout.open(digest)) {
            return layer;
        }
        let found = self.layers(image, &config)?.into_iter().find(|layer| layer.digest == *digest);
        found.map(|layer| layer.piece).ok_or_else(|| self.missing(digest.as_str()))
    }

    /// Asks the archive as an OCI layout, if it is one and has the whole image of this config.
    fn layout<T>(&self, config: &[u8], ask: impl FnOnce(&Layout, Base) -> T) -> Option<T> {
        let index = Index::read(&self.tar.read_file(INDEX, DOCUMENT_LIMIT).ok()??).ok()?;
        let layout = Layout { shown: self.shown, index: &index, blobs: self.tar };
        let base = layout.find_by_config(&Digest::of(config))?;
        Some(ask(&layout, base))
    }

    /// Verifies layers whose path is not their digest against the config's diff IDs.
    fn verify(&self, layers: &[SavedLayer]) -> Result<(), StoreError> {
        for layer in layers.iter().filter(|layer| !layer.is_named) {
            let tar = decode(layer.piece.clone(), &Cancel::default()).and_then(hash);
            if tar.ok().as_ref() != Some(&layer.diff_id) {
                return Err(self.malformed("has a layer that is not what the config says"));
            }
        }
        Ok(())
    }

    /// Reads a config. If its path is a digest, it is verified.
    fn config(&self, image: &SavedImage) -> Result<Config, StoreError> {
        let bytes = self.tar.read_file(&image.config, DOCUMENT_LIMIT).map_err(|error| self.unreadable(&error))?;
        let bytes = bytes.ok_or_else(|| self.missing(&image.config))?;
        if named(&image.config).is_some_and(|digest| digest != Digest::of(&bytes)) {
            return Err(self.malformed("has a config that is not what its name says"));
        }
        Config::parse(bytes).map_err(|_| self.malformed("has a config that is not a JSON object"))
    }

    fn layers(&self, image: &SavedImage, config: &Config) -> Result<Vec<SavedLayer>, StoreError> {
        let diff_ids = config.diff_ids().map_err(|_| self.malformed("has a config with wrong diff IDs"))?;
        let paths = image.layers.as_deref().unwrap_or_default();
        if diff_ids.len() != paths.len() {
            return Err(self.malformed("has another number of layers than diff IDs"));
        }
        let layers = paths.iter().zip(diff_ids).map(|(path, diff_id)| {
            let mut piece =
                self.tar.open(path).map_err(|error| self.unreadable(&error))?.ok_or_else(|| self.missing(path))?;
            let magic = bounded::read_start(&mut piece, 4).map_err(|error| self.unreadable(&error))?;
            let piece = piece.rewound();
            let media_type = match magic[..] {
                [0x1f, 0x8b, ..] => media::OCI_LAYER_GZIP,
                [0x28, 0xb5, 0x2f, 0xfd] => media::OCI_LAYER_ZSTD,
                _ => {
                    let (media_type, digest) = (media::OCI_LAYER, diff_id.clone());
                    return Ok(SavedLayer { media_type, digest, diff_id, is_named: true, piece });
                }
            };
            // a compressed layer is another blob than its diff ID names
            let name = named(path);
            let is_named = name.is_some();
            let digest = match name {
                Some(digest) => digest,
                None => hash(piece.clone()).map_err(|error| self.unreadable(&error))?,
            };
            Ok(SavedLayer { media_type, digest, diff_id, is_named, piece })
        });
        layers.collect()
    }

    fn unreadable(&self, error: &io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::InvalidData => self.malformed("has a document larger than 16 MiB"),
            io::ErrorKind::UnexpectedEof => self.malformed("ends too early"),
            _ => fault("read", self.shown, error),
        }
    }

    fn malformed(&self, flaw: &str) -> StoreError {
        Diagnostic::error("archive-malformed", format!("`{}` {flaw}", self.shown))
            .hint("save the image again with `docker save -o FILE NAME`")
            .into()
    }

    fn missing(&self, what: &str) -> StoreError {
        Diagnostic::error("blob-missing", format!("`{}` lacks `{what}`", self.shown))
            .cause("the archive was made for an engine that has the rest")
            .hint("save the image again with `docker save -o FILE NAME`")
            .into()
    }
}

fn has_name(image: &SavedImage, name: &Repository) -> bool {
    let tags = image.repo_tags.iter().flatten();
    tags.filter_map(|tag| Repository::parse(tag).ok()?.tagged()).any(|tag| Some(tag) == name.tagged())
}

/// Returns the names of the images.
pub fn names(images: &[SavedImage]) -> Vec<String> {
    images.iter().flat_map(|image| image.repo_tags.iter().flatten().cloned()).collect()
}

/// Returns the digest in a file's path: `HEX.json`, `blobs/sha256/HEX`, or crane's `HEX.tar.gz` and `sha256:HEX`.
fn named(path: &str) -> Option<Digest> {
    let name = path.rsplit('/').next()?;
    let name = name.strip_suffix(".json").or_else(|| name.strip_suffix(".tar.gz")).unwrap_or(name);
    Digest::parse(&format!("sha256:{}", name.strip_prefix("sha256:").unwrap_or(name)))
}

fn hash(mut from: impl io::Read) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    Ok(Digest::from_hasher(hasher))
}
