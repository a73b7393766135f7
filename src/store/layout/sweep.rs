//! Owns the removal of a replaced baked image, whose old secrets would otherwise stay in unused blobs.
//!
//! It removes only blobs of *baked* images or of killed runs that nothing in the index needs. If that is not certain, it removes nothing,
//! and the user is warned.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::directory::LayoutDirectory;
use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::json::RawObject;
use crate::store::oci::document::{Descriptor, Document, descriptors, is_baked};
use crate::store::oci::read::Layout;

/// The most levels of nested indexes.
const DEPTH: usize = 8;

/// The blobs that the index needs are unknown.
struct Unknown;

/// Returns the blobs of the replaced images that were baked.
pub(super) fn baked_blobs(layout: &Layout, replaced: &[Descriptor]) -> BTreeSet<Digest> {
    let mut blobs = BTreeSet::new();
    let mut known = BTreeMap::new();
    for descriptor in replaced {
        baked(layout, descriptor, 0, &mut blobs, &mut known);
    }
    blobs
}

/// Removes the blobs that nothing in the index needs; tells whether all of these are gone.
pub(super) fn remove_unneeded(layout: &Layout, directory: &LayoutDirectory, blobs: &BTreeSet<Digest>) -> bool {
    if blobs.is_empty() {
        return true;
    }
    let mut live = Live { layout, blobs: BTreeSet::new(), visited: BTreeSet::new() };
    if layout.index.descriptors().try_for_each(|descriptor| live.add(descriptor, 0)).is_err() {
        return false;
    }
    let is_left =
        |digest: &&Digest| fs::remove_file(directory.blob(digest)).is_err() && directory.blob(digest).exists();
    blobs.difference(&live.blobs).filter(is_left).count() == 0
}

/// Warns that blobs of a replaced image remain.
pub(super) fn old_secrets_remain(shown: &str) -> Diagnostic {
    let what = format!("the previous image of `{shown}` is still in the layout, with its old secrets");
    Diagnostic::warning("old-secrets-remain", what)
        .cause("its blobs could not be removed, or another image of the layout cannot be read and may need them")
        .hint("write a new layout to another directory, and remove this one")
}

/// Collects the blobs of baked images; tells whether everything below the descriptor is baked.
fn baked(
    layout: &Layout,
    descriptor: &Descriptor,
    depth: usize,
    old: &mut BTreeSet<Digest>,
    known: &mut BTreeMap<Digest, bool>,
) -> bool {
    if let Some(whole) = known.get(&descriptor.digest) {
        return *whole;
    }
    let read = |descriptor: &Descriptor| layout.document(descriptor, "a document").ok();
    let Some(bytes) = read(descriptor).filter(|_| depth <= DEPTH) else { return false };
    let whole = match Document::read(&bytes, &descriptor.media_type) {
        Ok(Document::Index(nested)) => {
            let each: Vec<bool> =
                nested.entries.iter().map(|nested| baked(layout, &nested.descriptor, depth + 1, old, known)).collect();
            !each.is_empty() && each.iter().all(|baked| *baked)
        }
        Ok(Document::Manifest(manifest)) if read(&manifest.config).is_some_and(|config| is_baked(&config)) => {
            old.extend(manifest.layers.into_iter().chain([manifest.config]).map(|blob| blob.digest));
            true
        }
        _ => false,
    };
    if whole {
        old.insert(descriptor.digest.clone());
    }
    known.insert(descriptor.digest.clone(), whole);
    whole
}

/// The blobs that the index needs.
struct Live<'a> {
    layout: &'a Layout<'a>,
    blobs: BTreeSet<Digest>,
    visited: BTreeSet<Digest>,
}

impl Live<'_> {
    fn add(&mut self, descriptor: &Descriptor, depth: usize) -> Result<(), Unknown> {
        self.blobs.insert(descriptor.digest.clone());
        if !self.visited.insert(descriptor.digest.clone()) {
            return Ok(());
        }
        if depth > DEPTH {
            return Err(Unknown);
        }
        let bytes = self.layout.document(descriptor, "a document").map_err(|_| Unknown)?;
        let object = RawObject::parse(&bytes).map_err(|_| Unknown)?;
        // the references of every kind of document that the specification has or had
        for key in ["config", "layers", "blobs"] {
            self.blobs.extend(references(&object, key)?.into_iter().map(|blob| blob.digest));
        }
        for key in ["manifests", "subject"] {
            references(&object, key)?.iter().try_for_each(|nested| self.add(nested, depth + 1))?;
        }
        Ok(())
    }
}

/// Reads one descriptor or a list of them.
fn references(object: &RawObject, key: &str) -> Result<Vec<Descriptor>, Unknown> {
    match object.get(key).map(|value| value.get()) {
        None | Some("null") => Ok(Vec::new()),
        Some(value) if value.starts_with('{') => {
            let inner = object.inner(key).map_err(|_| Unknown)?;
            Ok(vec![Descriptor::read(&inner).map_err(|_| Unknown)?])
        }
        Some(_) => descriptors(object, key).map_err(|_| Unknown),
    }
}
