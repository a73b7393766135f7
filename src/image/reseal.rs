//! Tells whether a sealed image is already there. Sealing gives other bytes each time, so the earlier image's sealed layer is put in the place
//! of the new one: if everything else is the same, the digests are too.

use serde_json::value::RawValue;

use super::digest::Digest;
use super::index::BaseIndex;
use super::json::RawObject;
use super::manifest::descriptor;
use super::{Base, Image, ImageError, ImageIndex, NewImage};
use crate::secret::SecretBytes;

/// Tells whether `state`, the identity that a store gives an earlier image, is what the new one would have with the earlier seals.
///
/// `earlier` are the images that it names, in their order.
pub fn is_same_but_for_the_seal(new: &NewImage, earlier: &[Base], state: &Digest) -> bool {
    match (new, earlier) {
        (NewImage::Image(image), [earlier]) => with_layer_of(image, earlier)
            .is_ok_and(|same| same.config_digest() == *state || same.manifest_digest() == *state),
        (NewImage::Index(index), earlier) => {
            index_with_layers_of(index, earlier).is_ok_and(|same| same.digest() == *state)
        }
        (NewImage::Image(_), _) => false,
    }
}

/// Returns the image with the last layer of an earlier one. It lacks the layer's bytes, so it can be compared and not stored.
fn with_layer_of(image: &Image, earlier: &Base) -> Result<Image, ImageError> {
    let malformed = |what: &'static str| move |_: serde_json::Error| ImageError::Malformed(what);
    let mut diff_ids = image.diff_ids.clone();
    let last = earlier.config.diff_ids()?.pop();
    let (Some(own), Some(last)) = (diff_ids.last_mut(), last) else { return Err(ImageError::Malformed("config")) };
    *own = last;
    let mut config = RawObject::parse(image.config.expose()).map_err(malformed("config"))?;
    let mut rootfs = config.inner("rootfs").map_err(malformed("config"))?;
    rootfs.set("diff_ids", &diff_ids.iter().map(Digest::as_str).collect::<Vec<_>>());
    config.set("rootfs", &rootfs);
    let config = config.to_bytes();

    let layers = |manifest: &RawObject| manifest.read::<Vec<Box<RawValue>>>("layers").map(Option::unwrap_or_default);
    let mut manifest = RawObject::parse(&image.manifest).map_err(malformed("manifest"))?;
    let mut all = layers(&manifest).map_err(malformed("manifest"))?;
    let theirs = RawObject::parse(&earlier.manifest).and_then(|manifest| layers(&manifest));
    let theirs = theirs.map_err(malformed("manifest"))?.pop();
    let (Some(own), Some(theirs)) = (all.last_mut(), theirs) else { return Err(ImageError::Malformed("manifest")) };
    *own = theirs;
    manifest.set("layers", &all);
    let of_config = manifest.inner("config").map_err(malformed("manifest"))?;
    let media_type = of_config.read::<String>("mediaType").map_err(malformed("manifest"))?.unwrap_or_default();
    manifest.set("config", &descriptor(&media_type, &Digest::of(&config), config.len() as u64));
    Ok(Image {
        manifest: manifest.to_bytes(),
        config: SecretBytes::new(config),
        layers: Vec::new(),
        diff_ids,
        platform: image.platform.clone(),
        config_has_values: image.config_has_values,
    })
}

fn index_with_layers_of(index: &ImageIndex, earlier: &[Base]) -> Result<ImageIndex, ImageError> {
    let images = index.images.iter().zip(earlier).map(|(image, earlier)| with_layer_of(image, earlier));
    let images = images.collect::<Result<Vec<_>, _>>()?;
    let document = RawObject::parse(&index.document).map_err(|_| ImageError::Malformed("index"))?;
    let entries = document.read::<Vec<RawObject>>("manifests").map_err(|_| ImageError::Malformed("index"))?;
    let index = BaseIndex {
        document: index.document.clone(),
        media_type: index.media_type.clone(),
        images: entries.unwrap_or_default(),
        others: 0,
    };
    index.with(images)
}
