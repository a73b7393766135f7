//! Owns what a write took a tag from, and the result of removing it: `--prune-replaced` of every command that writes images.

use std::fmt;

use super::StoreError;
use crate::diagnostic::{Diagnostic, ListHint, Severity, Subject};
use crate::image::digest::Digest;
use crate::image::name::{ImageName, Repository};

/// An image that lost a tag to a write, so that its old secrets may be of no use any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Displaced {
    /// The image ID in an engine, or the digest of the manifest or index in a registry.
    pub id: Digest,
    pub held_by: TagHolder,
}

/// Where a displaced image is, and what is known of it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagHolder {
    /// The engine. It is a baked image without a tag; `base` is the digest of the base that it was baked from.
    Engine { base: Option<String>, holds_secrets: bool },
    /// A repository of a registry. Whether the image is baked, and whether it has other tags, is asked only to prune it.
    Registry(Repository),
}

impl Displaced {
    /// Returns the digest of the base that it was baked from, if that is known.
    pub fn base(&self) -> Option<&String> {
        match &self.held_by {
            TagHolder::Engine { base, .. } => base.as_ref(),
            TagHolder::Registry(_) => None,
        }
    }

    /// Returns the warning about an image with secrets that stays, if it is known to be without a tag.
    pub fn warning(&self) -> Option<Diagnostic> {
        let TagHolder::Engine { holds_secrets: true, .. } = self.held_by else { return None };
        let what = format!("previous baked image {} is now untagged and still holds the old secrets", self.id);
        let of_many = ["previous baked image ", " are now untagged and still hold the old secrets"].map(str::to_owned);
        let subject = Subject { name: self.id.to_string(), kind: "image", of_many: Some(of_many), hints: Vec::new() };
        Some(Diagnostic::warning("replaced-image", what).about(subject).list_hint(ListHint {
            before: "remove it with --prune-replaced, or with `docker rmi ".to_owned(),
            item: self.id.to_string(),
            after: "`".to_owned(),
            is_json: false,
        }))
    }
}

/// The image's ID in the engine, or its whole name in a registry.
impl fmt::Display for Displaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.held_by {
            TagHolder::Engine { .. } => self.id.fmt(f),
            TagHolder::Registry(repository) => ImageName::Registry(repository.with_digest(&self.id)).fmt(f),
        }
    }
}

/// The result of removing baked images without a tag. Images are named as [`Displaced`] is displayed.
#[derive(Default)]
pub struct Pruned {
    pub removed: Vec<String>,
    /// Why an image was not removed, or why listing images failed.
    pub kept: Vec<(Option<String>, Diagnostic)>,
}

impl Pruned {
    /// Adds what was done elsewhere.
    pub(super) fn extend(&mut self, other: Pruned) {
        self.removed.extend(other.removed);
        self.kept.extend(other.kept);
    }
}

/// Returns the warning that nothing is pruned for a pushed tag, because the registry does not say what the tag pointed to.
pub(super) fn unknown(tag: &Repository, error: StoreError) -> Diagnostic {
    remains(format!("the previous image of {} stays in the registry", tag.as_written()), error)
}

/// Returns the warning about old secrets that stay, with the failure that is the reason.
pub(super) fn remains(what: String, error: StoreError) -> Diagnostic {
    let why = *error.0;
    let warning = Diagnostic::warning("old-secrets-remain", what).cause(why.what);
    let warning = why.causes.into_iter().fold(warning, Diagnostic::cause);
    why.hints.into_iter().fold(warning, Diagnostic::hint)
}

/// Returns the warning about an image that could not be removed.
pub(super) fn as_warning(error: StoreError) -> Diagnostic {
    Diagnostic { severity: Severity::Warning, ..*error.0 }
}
