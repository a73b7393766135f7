//! Imports other tools' files: makes a manifest with references to fill in.
//!
//! It is pure and never copies a value that may be a credential: it lists each as a line to fill in.

mod arguments;
mod compose;
mod dotenv;
mod ecs;
mod guess;
pub mod images;
mod interpolation;
mod k8s;
mod node;
mod write;

use std::collections::HashMap;

use crate::diagnostic::lookalike::{is_plausible_name, looks_like};
use crate::diagnostic::{Diagnostic, Subject};
use crate::image::config::LAUNCH;
use crate::image::name::ImageName;
use crate::manifest::foreign_reference::Translated;
use crate::manifest::reference::{PLACEHOLDER, Reference};
use crate::manifest::yaml::{Position, place};
use crate::manifest::{MAX_ENTRY_BYTES, is_variable_name};

/// The largest input file, in bytes: none of these tools accepts a larger one.
pub const MAX_BYTES: usize = 1 << 20;

/// A manifest made from another tool's file.
pub struct Imported {
    /// The manifest's text.
    pub manifest: String,
    /// How many lines the user must fill in.
    pub to_fill_in: usize,
    /// A warning for everything in the file that was not imported.
    pub notes: Vec<Diagnostic>,
}

/// The supported file formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportFormat {
    Dotenv,
    Compose,
    Ecs,
    K8s,
}

/// Makes a manifest from another tool's file.
///
/// `file` is its name in diagnostics; `container` chooses among several containers or services.
pub fn import(
    form: ImportFormat,
    file: &str,
    text: &[u8],
    container: Option<&str>,
) -> Result<Imported, Vec<Diagnostic>> {
    let mut draft = Draft::new(file);
    match form {
        ImportFormat::Dotenv => dotenv::read(file, text, &mut draft)?,
        ImportFormat::Compose => compose::read(file, text, container, &mut draft)?,
        ImportFormat::Ecs => ecs::read(file, text, container, &mut draft)?,
        ImportFormat::K8s => k8s::read(file, text, container, &mut draft)?,
    }
    let (manifest, to_fill_in) = write::manifest(&draft);
    Ok(Imported { manifest, to_fill_in, notes: draft.notes })
}

/// What the file calls a variable or a field, and where it is.
#[derive(Clone, Copy)]
struct Entry<'a> {
    name: &'a str,
    at: Position,
}

impl<'a> Entry<'a> {
    fn new(name: &'a str, at: Position) -> Self {
        Entry { name, at }
    }
}

/// The manifest that is being made.
#[derive(Default)]
struct Draft {
    /// The file's name in diagnostics.
    file: String,
    base: Option<String>,
    env_from: Vec<ImportedSecret>,
    env: Vec<(String, DraftSource)>,
    /// Where each variable is in `env`.
    indices: HashMap<String, usize>,
    files: Vec<(String, DraftSource)>,
    notes: Vec<Diagnostic>,
}

/// A secret whose keys become variables.
struct ImportedSecret {
    secret: Secret,
    /// May be empty.
    prefix: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum DraftSource {
    Plain(String),
    Secret(Secret),
}

/// A reference, complete or to fill in.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Secret {
    reference: String,
    version_stage: Option<String>,
    version_id: Option<String>,
    /// Whether the manifest must say that it is in Parameter Store.
    is_parameter_name: bool,
    optional: bool,
    /// Whether the user must still say which secret it is.
    to_fill_in: bool,
}

impl Secret {
    /// Returns a reference that the user must complete. `name` is what the other tool calls the secret.
    fn to_fill_in(name: &str, optional: bool) -> Self {
        Secret {
            reference: format!("{PLACEHOLDER}{name}"),
            version_stage: None,
            version_id: None,
            is_parameter_name: false,
            optional,
            to_fill_in: true,
        }
    }
}

impl From<Translated> for Secret {
    fn from(Translated { reference, version_stage, version_id, is_parameter_name }: Translated) -> Self {
        Secret { reference, version_stage, version_id, is_parameter_name, optional: false, to_fill_in: false }
    }
}

impl Draft {
    fn new(file: &str) -> Self {
        Draft { file: file.to_owned(), ..Draft::default() }
    }

    /// Warns that the container's own command skips the launcher, and suggests the line to write.
    ///
    /// `key` is the field in the file's syntax.
    fn own_command(&mut self, field: Entry<'_>, words: &[String], key: &str) {
        if words.is_empty() || words[0] == LAUNCH {
            return;
        }
        let may_be_secret = guess::may_be_secret("", &words.join(" ")).is_some()
            || words.iter().any(|word| guess::may_be_secret("", word).is_some());
        let command = match may_be_secret {
            true => format!("[\"{LAUNCH}\", …the command…]"),
            false => {
                let words: Vec<String> =
                    [LAUNCH].into_iter().chain(words.iter().map(String::as_str)).map(write::quoted).collect();
                format!("[{}]", words.join(", "))
            }
        };
        let hint = format!("write `{key}: {command}` there, or `inject: config` under `image:` in the manifest");
        self.note(field, "replaces the image's ENTRYPOINT, so the launcher does not run and sets no variable", &hint);
    }

    /// Uses the image as the base, unless its name contains a variable.
    fn image(&mut self, name: &str, at: Position) {
        if !name.contains('$') && ImageName::parse(name).is_ok() {
            self.base = Some(name.to_owned());
        } else {
            let hint = "write it as `base:` under `image:`, or give --base";
            self.note(Entry::new("image", at), "the image's name is not copied", hint);
        }
    }

    /// Takes a plain value unless it may be secret; returns whether it did.
    fn plain(&mut self, entry: Entry<'_>, value: &str) -> bool {
        let refusal = match guess::may_be_secret(entry.name, value) {
            Some(why) => Some(why),
            None if value.contains('\0') || entry.name.len() + 1 + value.len() > MAX_ENTRY_BYTES => {
                Some("no environment variable can hold the value".to_owned())
            }
            None => None,
        };
        match refusal {
            None => self.put(entry, DraftSource::Plain(value.to_owned())),
            Some(why) => {
                self.left_out(entry, &why);
                false
            }
        }
    }

    /// Leaves a variable to fill in and reports why.
    fn left_out(&mut self, entry: Entry<'_>, why: &str) {
        if self.put(entry, DraftSource::Secret(Secret::to_fill_in(entry.name, false))) {
            let hint = "store the value as a secret and write its name here, or write a plain value";
            let note = self.diagnose(entry, &format!("left to fill in: {why}"), hint);
            self.notes.push(note.about(Subject::reason(why)));
        }
    }

    /// Takes a reference, if it is valid.
    fn secret(&mut self, entry: Entry<'_>, secret: Secret) {
        if let Some(kind) = looks_like(&secret.reference) {
            return self.left_out(entry, &format!("what it refers to looks like {kind}"));
        }
        match Reference::parse(&secret.reference) {
            Ok(_) => {
                self.put(entry, DraftSource::Secret(secret));
            }
            Err(error) => self.left_out(entry, &format!("what it refers to is {error}")),
        }
    }

    /// Takes a whole secret, which the user must complete; returns whether it did. `name` is what the other tool calls it.
    fn whole_secret(&mut self, name: &str, prefix: &str, optional: bool) -> bool {
        let secret = Secret::to_fill_in(name, optional);
        let is_prefix = prefix.is_empty() || is_variable_name(prefix) && is_plausible_name(prefix);
        let is_name = looks_like(name).is_none() && !name.contains('#') && Reference::parse(&secret.reference).is_ok();
        if is_prefix && is_name {
            self.env_from.push(ImportedSecret { secret, prefix: prefix.to_owned() });
        }
        is_prefix && is_name
    }

    /// Adds a variable; a later one with the same name replaces it.
    fn put(&mut self, entry: Entry<'_>, source: DraftSource) -> bool {
        let name = entry.name;
        if !is_variable_name(name) || !is_plausible_name(name) {
            let hint = "start with a letter or `_`, and use only letters, digits and `_`";
            self.note(entry, "left out: not a variable name", hint);
            return false;
        }
        match self.indices.get(name) {
            Some(index) => self.env[*index].1 = source,
            None => {
                self.indices.insert(name.to_owned(), self.env.len());
                self.env.push((name.to_owned(), source));
            }
        }
        true
    }

    /// Warns of an entry that is not imported as it is.
    fn note(&mut self, entry: Entry<'_>, what: &str, hint: &str) {
        self.notes.push(self.diagnose(entry, what, hint));
    }

    /// Returns the warning of an entry; a name that may be a value is not shown.
    fn diagnose(&self, entry: Entry<'_>, what: &str, hint: &str) -> Diagnostic {
        let path = if is_plausible_name(entry.name) { entry.name } else { "" };
        let place = place(&self.file, entry.at, path.to_owned());
        Diagnostic::warning("not-carried-over", what).at(place).hint(hint)
    }
}

/// Tells whether a word without a value is a variable's name: it may also be a key that lost its name.
fn is_bare_name(text: &str) -> bool {
    is_plausible_name(text) && (text.ends_with("_proxy") || !text.contains(|c: char| c.is_ascii_lowercase()))
}

/// Chooses one of a file's containers.
fn choose<T>(file: &str, containers: Vec<(String, T)>, wanted: Option<&str>) -> Result<T, Vec<Diagnostic>> {
    let names: Vec<String> = containers.iter().map(|(name, _)| format!("`{name}`")).collect();
    let list = names.join(", ");
    let count = containers.len();
    let mut matching = containers.into_iter().filter(|(name, _)| wanted.is_none_or(|wanted| wanted == name));
    let error = |what: String, hint: String| Err(vec![Diagnostic::error("which-container", what).hint(hint)]);
    match (matching.next(), matching.next()) {
        (Some((_, container)), None) => Ok(container),
        (Some(_), Some(_)) => {
            error(format!("{file} has {count} containers"), format!("choose one with --container NAME: {list}"))
        }
        (None, _) if count == 0 => {
            error(format!("{file} has no containers"), "give the file that defines the containers".to_owned())
        }
        (None, _) => error(format!("{file} has no container of that name"), format!("it has {list}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_variable_replaces_an_earlier_one() {
        let entry = |name| Entry::new(name, Position::default());
        let mut draft = Draft::default();
        draft.plain(entry("A"), "1");
        draft.plain(entry("B"), "2");
        draft.plain(entry("A"), "3");
        assert_eq!(draft.env[0], ("A".to_owned(), DraftSource::Plain("3".to_owned())));
        assert_eq!(draft.env.len(), 2);
    }
}
