//! Owns the walk from an index to the images that it lists, also in nested indexes, and the choice of one by its platform.
//!
//! It reads nothing: a store passes each document that it asks for.

use std::collections::BTreeSet;

use super::document::{Descriptor, Document, Flaw, IndexEntry};
use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::media;
use crate::image::platform::{Platform, choose};
use crate::store::error::StoreError;

/// The most entries of a walk.
const MOST_ENTRIES: usize = 4096;

/// A walk through indexes, depth first and each index once.
pub struct IndexWalk {
    open: Vec<IndexEntry>,
    asked: Option<IndexEntry>,
    /// The indexes so far, without the first.
    pub visited: BTreeSet<Digest>,
    looked_at: usize,
    /// The images so far, in the order in which the indexes list them.
    pub images: Vec<IndexEntry>,
    /// How many entries describe an image instead, such as attestations.
    pub others: usize,
}

impl IndexWalk {
    /// Starts with the entries of an index.
    pub fn from(entries: impl IntoIterator<Item = IndexEntry>) -> Self {
        let mut open: Vec<IndexEntry> = entries.into_iter().collect();
        open.reverse();
        IndexWalk { open, asked: None, visited: BTreeSet::new(), looked_at: 0, images: Vec::new(), others: 0 }
    }

    /// Returns the next document to read and pass to [`IndexWalk::take`]; `None` at the end.
    pub fn next_document(&mut self) -> Result<Option<Descriptor>, Flaw> {
        while let Some(entry) = self.open.pop() {
            self.looked_at += 1;
            if self.looked_at > MOST_ENTRIES {
                return Err(Flaw("lists too many images"));
            }
            if !entry.descriptor.is_image() {
                self.others += 1;
            } else if !matches!(entry.descriptor.media_type.as_str(), media::OCI_INDEX | media::DOCKER_LIST | "") {
                self.images.push(entry);
            } else if self.visited.insert(entry.descriptor.digest.clone()) {
                let descriptor = entry.descriptor.clone();
                self.asked = Some(entry);
                return Ok(Some(descriptor));
            }
        }
        Ok(None)
    }

    /// Takes the document that [`IndexWalk::next_document`] asked for.
    pub fn take(&mut self, document: &[u8]) -> Result<(), Flaw> {
        let Some(entry) = self.asked.take() else { return Ok(()) };
        match Document::read(document, &entry.descriptor.media_type)? {
            Document::Index(list) => self.open.extend(list.entries.into_iter().rev()),
            Document::Manifest(_) => self.images.push(entry),
        }
        Ok(())
    }

    /// Returns the images whose platform must be read from their config before [`IndexWalk::choose`].
    pub fn without_platform(&mut self, wanted: Option<&Platform>) -> impl Iterator<Item = &mut Descriptor> {
        let is_needed = wanted.is_some() || self.images.len() != 1;
        let descriptors = self.images.iter_mut().map(|image| &mut image.descriptor);
        descriptors.filter(move |image| is_needed && image.platform.is_none())
    }

    /// Chooses the image for a platform. If none is wanted, it is the only image, or that of the machine's platform.
    pub fn choose(&self, shown: &str, wanted: Option<&Platform>) -> Result<&Descriptor, StoreError> {
        if let ([only], None) = (&self.images[..], wanted) {
            return Ok(&only.descriptor);
        }
        let images = || self.images.iter().map(|image| &image.descriptor);
        let chosen =
            choose(images().map(|image| (image.platform.as_ref(), image)), wanted.unwrap_or(&Platform::host()));
        chosen.ok_or_else(|| no_platform(shown, wanted, images().filter_map(|image| image.platform.as_ref())))
    }
}

/// Says that there is no image for a platform, the machine's if none is wanted, and lists those that there are.
pub fn no_platform<'p>(
    shown: &str,
    wanted: Option<&Platform>,
    found: impl IntoIterator<Item = &'p Platform>,
) -> StoreError {
    let host = Platform::host();
    let found = found.into_iter().map(Platform::to_string).collect::<Vec<_>>().join(", ");
    let what = format!("`{shown}` has no image for {}", wanted.unwrap_or(&host));
    let hint = match wanted {
        _ if found.is_empty() => "name a base that has an image of this platform".to_owned(),
        Some(_) => format!("it has: {found}"),
        None => format!("name one with --platform: {found}"),
    };
    Diagnostic::error("platform-not-found", what).hint(hint).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn entry(bytes: &str, media_type: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#, Digest::of(bytes.as_bytes()), bytes.len())
    }

    #[test]
    fn indexes_that_name_each_other_are_read_once() {
        let mut documents = BTreeMap::new();
        let mut entries = vec![entry("image", media::OCI_MANIFEST)];
        for _ in 0..100 {
            let index = format!(r#"{{"manifests":[{}]}}"#, entries.join(","));
            entries.insert(0, entry(&index, media::OCI_INDEX));
            documents.insert(Digest::of(index.as_bytes()), index);
            entries.truncate(8);
        }
        let root = format!(r#"{{"manifests":[{}]}}"#, entries.join(","));
        let Ok(Document::Index(root)) = Document::read(root.as_bytes(), "") else { panic!("an index") };
        let mut walk = IndexWalk::from(root.entries);
        let mut read = 0;
        while let Some(asked) = walk.next_document().unwrap() {
            read += 1;
            walk.take(documents[&asked.digest].as_bytes()).unwrap();
        }
        assert!(read <= 100, "{read}");
        assert!(walk.images.iter().all(|image| image.descriptor.digest == Digest::of(b"image")));
    }

    #[test]
    fn an_index_of_more_entries_than_any_image_has_is_refused() {
        let entries = vec![entry("image", media::OCI_MANIFEST); MOST_ENTRIES + 1].join(",");
        let index = format!(r#"{{"manifests":[{entries}]}}"#);
        let Ok(Document::Index(index)) = Document::read(index.as_bytes(), "") else { panic!("an index") };
        assert_eq!(IndexWalk::from(index.entries).next_document(), Err(Flaw("lists too many images")));
    }
}
