//! Owns a layout's `index.json`: the lookup of a tag, and its replacement. Everything else keeps its order and its bytes.

use std::collections::BTreeMap;

use super::document::{Descriptor, Flaw, IndexEntry, entries};
use super::{CONTAINERD_NAME, REF_NAME};
use crate::image::json::RawObject;
use crate::image::manifest::descriptor;
use crate::image::media;
use crate::image::platform::Platform;

/// A layout's index.
#[derive(Debug, Clone)]
pub struct Index {
    object: RawObject,
    manifests: Vec<IndexEntry>,
}

/// Why no image was found for a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagError {
    /// There is no such image. Contains the existing tags.
    Unknown(Vec<String>),
    /// No tag was given, and there are several images. Contains their tags, or digests if they have none.
    Several(Vec<String>),
}

impl Index {
    /// Returns the index of a new layout.
    pub fn empty() -> Self {
        let mut object = RawObject::default();
        object.set("schemaVersion", &2);
        object.set("mediaType", media::OCI_INDEX);
        Index { object, manifests: Vec::new() }
    }

    /// Parses an index.
    pub fn read(bytes: &[u8]) -> Result<Self, Flaw> {
        let object = RawObject::parse(bytes).map_err(|_| Flaw("is not a JSON object"))?;
        let manifests = entries(&object, "manifests")?;
        Ok(Index { object, manifests })
    }

    /// Returns the index's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut object = self.object.clone();
        let manifests: Vec<&RawObject> = self.manifests.iter().map(|entry| &entry.written).collect();
        object.set("manifests", &manifests);
        object.to_bytes()
    }

    /// Returns an index of one image.
    pub fn for_image(descriptor: &Descriptor, platform: Option<&Platform>) -> Self {
        let mut index = Index::empty();
        index.push(&NewIndexEntry { tag: None, full_name: None, descriptor, platform });
        index
    }

    /// Returns every descriptor.
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifests.iter().map(|entry| &entry.descriptor)
    }

    /// Returns what a tag points to: several descriptors only if the index has the tag several times. Without a tag it is the image without
    /// one, or the only image.
    pub fn find(&self, tag: Option<&str>) -> Result<Vec<&Descriptor>, TagError> {
        let found: Vec<&Descriptor> = self.descriptors().filter(|descriptor| name(descriptor) == tag).collect();
        let all: Vec<&Descriptor> = self.descriptors().collect();
        match (tag, &found[..], &all[..]) {
            (Some(_), [], _) | (None, _, []) => Err(TagError::Unknown(self.names())),
            (Some(_), ..) | (None, [_], _) => Ok(found),
            // one image with several tags is still the only one
            (None, [], [first, rest @ ..]) if rest.iter().all(|other| other.digest == first.digest) => Ok(vec![*first]),
            (None, ..) => Err(TagError::Several(self.names())),
        }
    }

    /// Replaces everything that has the image's tag, or the one image without a tag; returns what was replaced. Fails if the image has no
    /// tag and several others have none either.
    pub fn put(&mut self, image: &NewIndexEntry<'_>) -> Result<Vec<Descriptor>, TagError> {
        let same = |entry: &IndexEntry| name(&entry.descriptor) == image.tag;
        if image.tag.is_none() && self.manifests.iter().filter(|manifest| same(manifest)).count() > 1 {
            return Err(TagError::Several(self.names()));
        }
        let at = self.manifests.iter().position(same).unwrap_or(self.manifests.len());
        let (replaced, kept) = std::mem::take(&mut self.manifests).into_iter().partition(same);
        self.manifests = kept;
        self.insert(at, image);
        let replaced: Vec<IndexEntry> = replaced;
        Ok(replaced.into_iter().map(|entry| entry.descriptor).collect())
    }

    /// Adds an image.
    pub fn push(&mut self, image: &NewIndexEntry<'_>) {
        let at = self.manifests.len();
        self.insert(at, image);
    }

    fn insert(&mut self, at: usize, image: &NewIndexEntry<'_>) {
        let mut descriptor = image.descriptor.clone();
        descriptor.annotations = image.tag.map(|tag| (REF_NAME.to_owned(), tag.to_owned())).into_iter().collect();
        self.manifests.insert(at, IndexEntry { written: image.object(), descriptor });
    }

    /// Returns the tags of all images, or digests if they have none.
    pub fn names(&self) -> Vec<String> {
        self.descriptors()
            .map(|descriptor| name(descriptor).map_or_else(|| descriptor.digest.to_string(), str::to_owned))
            .collect()
    }
}

fn name(descriptor: &Descriptor) -> Option<&str> {
    descriptor.annotations.get(REF_NAME).map(String::as_str).filter(|name| !name.is_empty())
}

/// A new entry of an index.
pub struct NewIndexEntry<'a> {
    pub tag: Option<&'a str>,
    /// `HOST/PATH:TAG`, by which an engine loads the image.
    pub full_name: Option<&'a str>,
    pub descriptor: &'a Descriptor,
    /// `None` for an index.
    pub platform: Option<&'a Platform>,
}

impl NewIndexEntry<'_> {
    fn object(&self) -> RawObject {
        let Descriptor { media_type, digest, size, .. } = self.descriptor;
        let mut object = descriptor(media_type, digest, *size);
        let annotations = [(CONTAINERD_NAME, self.full_name), (REF_NAME, self.tag)];
        let annotations: BTreeMap<&str, &str> =
            annotations.iter().filter_map(|&(key, value)| Some((key, value?))).collect();
        if !annotations.is_empty() {
            object.set("annotations", &annotations);
        }
        if let Some(platform) = self.platform {
            object.set("platform", platform);
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Digest;

    fn entry(content: &str, tag: &str) -> String {
        let digest = Digest::of(content.as_bytes());
        format!(r#"{{"digest":"{digest}","size":1,"x":1.0,"annotations":{{"{REF_NAME}":"{tag}"}}}}"#)
    }

    fn index(entries: &[String]) -> Index {
        Index::read(format!(r#"{{"y":1e1,"manifests":[{}],"z":{{}}}}"#, entries.join(",")).as_bytes()).unwrap()
    }

    fn put(index: &mut Index, tag: Option<&str>) -> Result<Vec<Descriptor>, TagError> {
        let descriptor = Descriptor {
            media_type: "m".into(),
            digest: Digest::of(b"new"),
            size: 3,
            platform: None,
            annotations: BTreeMap::new(),
        };
        let platform = Platform::parse("linux/arm64/v8").unwrap();
        index.put(&NewIndexEntry { tag, full_name: None, descriptor: &descriptor, platform: Some(&platform) })
    }

    #[test]
    fn a_tag_stands_for_its_image_and_no_tag_for_the_only_one() {
        let one = index(&[entry("a", "1")]);
        assert_eq!(one.find(None).unwrap()[0].digest, Digest::of(b"a"));
        assert_eq!(one.find(Some("2")), Err(TagError::Unknown(vec!["1".into()])));
        assert_eq!(index(&[]).find(None), Err(TagError::Unknown(vec![])));
        assert_eq!(index(&[entry("a", "1"), entry("a", "2")]).find(None).unwrap().len(), 1);
        let two = index(&[entry("a", "1"), entry("b", "2")]);
        assert_eq!(two.find(Some("2")).unwrap()[0].digest, Digest::of(b"b"));
        assert_eq!(two.find(None), Err(TagError::Several(vec!["1".into(), "2".into()])));
        let untagged = index(&[entry("a", "1"), entry("b", "")]);
        assert_eq!(untagged.find(None).unwrap()[0].digest, Digest::of(b"b"));
    }

    #[test]
    fn a_new_image_takes_the_place_of_its_tag_and_nothing_else_changes() {
        let mut index = index(&[entry("a", "1"), entry("b", "2"), entry("c", "1")]);
        let replaced = put(&mut index, Some("1")).unwrap();
        assert_eq!(replaced.iter().map(|old| &old.digest).collect::<Vec<_>>(), [&Digest::of(b"a"), &Digest::of(b"c")]);
        let new = format!(
            r#"{{"mediaType":"m","digest":"{}","size":3,"annotations":{{"{REF_NAME}":"1"}},"platform":{{"architecture":"arm64","os":"linux","variant":"v8"}}}}"#,
            Digest::of(b"new")
        );
        let expected = format!(r#"{{"y":1e1,"manifests":[{new},{}],"z":{{}}}}"#, entry("b", "2"));
        assert_eq!(String::from_utf8(index.to_bytes()).unwrap(), expected);
    }

    #[test]
    fn an_image_without_a_tag_replaces_the_only_one_without() {
        let mut one = index(&[entry("a", "1"), entry("b", "")]);
        assert_eq!(put(&mut one, None).unwrap()[0].digest, Digest::of(b"b"));
        assert_eq!(one.descriptors().count(), 2);
        let mut several = index(&[entry("a", ""), entry("b", "")]);
        assert!(matches!(put(&mut several, None), Err(TagError::Several(_))));
        assert_eq!(several.descriptors().count(), 2);
    }
}
