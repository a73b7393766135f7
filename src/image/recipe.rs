//! Owns the label from which an image can be baked again without its manifest and its base, and the reading of an image into these.
//!
//! The label holds names, rules and what the bake saw of the base's tree. It never holds a secret value or a hash of one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::digest::Digest;
use super::labels::BASE_NAME;
use super::layer::Ownership;
use super::provenance::{Provenance, ProvenanceError};
use super::tree::{Entry, Tree};
use super::undo::{RECIPE, Undo, UndoError, take_off_manifest};
use super::{Base, ImageError, KnownBase};
use crate::diagnostic::command::{shell_word, with_org};

/// The manifest that gives the image again.
#[derive(Debug, Clone, Default)]
pub struct RecipeText {
    /// JSON, without the names of images.
    pub manifest: String,
    /// The key paths whose text is not written down because it looks like a credential. If there are any, so is nothing else.
    pub withheld: Vec<String>,
}

/// The label's JSON, version 1.
#[derive(Serialize, Deserialize)]
struct Recipe {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manifest: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    withheld: Vec<String>,
    undo: Undo,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tree: BTreeMap<String, Seen>,
}

/// What the bake saw at a path of the base.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Seen {
    Absent,
    /// Owner, group, mode and time.
    Directory(u32, u32, u32, u64),
    Link(String),
    /// The lines of `/etc/passwd` or `/etc/group` that the bake read, with no more than name and ID.
    File(String),
    Other,
}

/// A baked image without its bake.
pub struct TakenOff {
    pub base: KnownBase,
    pub provenance: Provenance,
    /// The manifest's JSON.
    pub manifest: String,
}

/// Why an image cannot be baked again from itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    #[error(transparent)]
    Provenance(#[from] ProvenanceError),
    #[error("an older secretbake baked it, and did not write down what a rebake needs")]
    Older,
    #[error("its label {RECIPE} was written by a newer secretbake")]
    Newer,
    #[error("its label {RECIPE} is not valid, or does not fit the image")]
    Malformed,
    #[error("it does not hold the text of {0}, which looks like a credential or is sealed")]
    Withheld(String),
    #[error("something was built on top of it, which may hold a copy of an old value")]
    BuiltOnTop,
}

impl RecipeError {
    /// Returns the next step for an image; `name` is the image's.
    pub fn hint(&self, name: &str) -> String {
        match self {
            RecipeError::Provenance(error) => error.hint().to_owned(),
            RecipeError::Older | RecipeError::Malformed | RecipeError::Withheld(_) => {
                let command = with_org(&format!("bake MANIFEST --tag {}", shell_word(name)));
                format!("bake it from its manifest: {command}")
            }
            RecipeError::Newer => "update secretbake".to_owned(),
            RecipeError::BuiltOnTop => "rebake the image that it was built on, and build it again".to_owned(),
        }
    }
}

impl From<UndoError> for RecipeError {
    fn from(error: UndoError) -> Self {
        match error {
            UndoError::BuiltOnTop => RecipeError::BuiltOnTop,
            UndoError::Malformed => RecipeError::Malformed,
        }
    }
}

/// Makes the label's text. `tree` is [`TreeRequirements::seen`](super::tree::TreeRequirements::seen).
pub fn label(text: &RecipeText, undo: Undo, tree: &Tree) -> Result<String, ImageError> {
    let malformed = |_| ImageError::Malformed("label");
    let seen = |entry: &Entry| match entry {
        Entry::Absent => Seen::Absent,
        Entry::Directory { owned, modified } => Seen::Directory(owned.uid, owned.gid, owned.mode, *modified),
        Entry::Symlink { target } => Seen::Link(target.clone()),
        Entry::File { content } => Seen::File(std::str::from_utf8(content).unwrap_or_default().to_owned()),
        Entry::Other => Seen::Other,
    };
    let manifest = text.withheld.is_empty().then(|| RawValue::from_string(text.manifest.clone())).transpose();
    let recipe = Recipe {
        version: 1,
        manifest: manifest.map_err(malformed)?,
        withheld: text.withheld.clone(),
        undo,
        tree: tree.iter().map(|(path, entry)| (path.clone(), seen(entry))).collect(),
    };
    serde_json::to_string(&recipe).map_err(malformed)
}

/// Takes the bake off an image.
pub fn take_off(image: Base) -> Result<TakenOff, RecipeError> {
    let provenance = image.config.provenance()?;
    let malformed = |_| RecipeError::Malformed;
    let label = image.config.label(RECIPE).map_err(malformed)?.ok_or(RecipeError::Older)?;
    let recipe = parse(&label)?;
    let name = image.config.label(BASE_NAME).map_err(malformed)?;
    // first of all: a bake from the manifest, the next step of most other errors, would drop what was built on top
    let config = image.config.take_off(&recipe.undo)?;
    if !recipe.withheld.is_empty() {
        return Err(RecipeError::Withheld(recipe.withheld.join(", ")));
    }
    let manifest = recipe.manifest.ok_or(RecipeError::Malformed)?.get().to_owned();
    let digest =
        provenance.base.as_deref().map(|base| Digest::parse(base).ok_or(RecipeError::Malformed)).transpose()?;
    let document = take_off_manifest(&image.manifest, &recipe.undo)?;
    let base = Base { digest, index: None, manifest: document, config };
    let tree = recipe.tree.into_iter().map(|(path, seen)| (path, entry(seen))).collect();
    Ok(TakenOff { base: KnownBase { base, name, tree, replaced: recipe.undo.replaced }, provenance, manifest })
}

fn parse(label: &str) -> Result<Recipe, RecipeError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let malformed = |_| RecipeError::Malformed;
    match serde_json::from_str::<Versioned>(label).map_err(malformed)?.version {
        1 => serde_json::from_str(label).map_err(malformed),
        2.. => Err(RecipeError::Newer),
        0 => Err(RecipeError::Malformed),
    }
}

fn entry(seen: Seen) -> Entry {
    match seen {
        Seen::Absent => Entry::Absent,
        Seen::Directory(uid, gid, mode, modified) => Entry::Directory { owned: Ownership { uid, gid, mode }, modified },
        Seen::Link(target) => Entry::Symlink { target },
        Seen::File(content) => Entry::File { content: content.into_bytes() },
        Seen::Other => Entry::Other,
    }
}
