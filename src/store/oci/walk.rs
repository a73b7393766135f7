//! Owns the way from an index to the images that it lists, through the indexes within it.
//!
//! It reads nothing: a store gives it each document that it asks for.

use std::collections::BTreeSet;

use super::document::{Descriptor, Document, Flaw, IndexEntry};
use crate::image::digest::Digest;
use crate::image::media;

/// The most entries that are looked at.
const MOST_ENTRIES: usize = 4096;

/// A walk through indexes, depth first and each index once.
pub struct Walk {
    open: Vec<IndexEntry>,
    asked: Option<IndexEntry>,
    visited: BTreeSet<Digest>,
    looked_at: usize,
    /// The images so far, in the order in which the indexes list them.
    pub images: Vec<IndexEntry>,
    /// How many entries describe an image, such as attestations.
    pub others: usize,
}

impl Walk {
    /// Begins with the entries of an index.
    pub fn from(entries: impl IntoIterator<Item = IndexEntry>) -> Self {
        let mut open: Vec<IndexEntry> = entries.into_iter().collect();
        open.reverse();
        Walk { open, asked: None, visited: BTreeSet::new(), looked_at: 0, images: Vec::new(), others: 0 }
    }

    /// Returns the next document to read and [`Walk::take`]; `None` at the end.
    ///
    /// # Errors
    /// More entries than any image has.
    pub fn next(&mut self) -> Result<Option<Descriptor>, Flaw> {
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

    /// Takes the document that [`Walk::next`] asked for.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take(&mut self, document: &[u8]) -> Result<(), Flaw> {
        let Some(entry) = self.asked.take() else { return Ok(()) };
        match Document::read(document, &entry.descriptor.media_type)? {
            Document::Index(list) => self.open.extend(list.entries.into_iter().rev()),
            Document::Manifest(_) => self.images.push(entry),
        }
        Ok(())
    }
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
        let mut walk = Walk::from(root.entries);
        let mut read = 0;
        while let Some(asked) = walk.next().unwrap() {
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
        assert_eq!(Walk::from(index.entries).next(), Err(Flaw("lists too many images")));
    }
}
