//! Owns the walk over a mapping with known fields: it collects every problem with its place instead of stopping at the first.
//!
//! It never puts a value into a problem, except a short number, boolean or null that must be quoted to be a string.

use std::rc::Rc;

use super::build::{Builder, Parsed, parse};
use super::problem_list::ProblemList;
use super::scalar_type::{is_null, other_type};
use super::{Key, Kind, Node, Position, Positioned, Scalar, join, place};
use crate::diagnostic::Diagnostic;
use crate::diagnostic::lookalike::may_be_a_field;

/// The hint for a null where a string is expected.
const EMPTY: &str = r#"write "" for the empty string"#;

/// The problems found in one file so far.
pub struct Problems<'a> {
    pub file: &'a str,
    pub list: ProblemList,
}

/// A mapping's fields, each with its key path.
pub struct Fields<'n> {
    pub at: Position,
    pub path: String,
    entries: &'n [(Key, Rc<Node>)],
}

/// A node with its key path.
#[derive(Clone)]
pub struct Field<'n> {
    pub path: String,
    pub node: &'n Node,
}

/// Reads a document with `version: 1` and known fields, and returns the result of `read`.
///
/// The problems are in the order of the file; the value is `None` if the text cannot be read at all.
pub fn document<'a, T>(
    file: &'a str,
    text: &[u8],
    known: &[&str],
    read: impl FnOnce(&mut Problems<'a>, &Fields<'_>) -> T,
) -> (Option<T>, Vec<Diagnostic>) {
    let Parsed { root, problems } = parse(Builder::new(file), text);
    let mut problems = Problems { file, list: problems };
    let value = root.and_then(|root| {
        let fields = problems.fields(&Field { path: String::new(), node: &root }, known)?;
        problems.version(&fields);
        Some(read(&mut problems, &fields))
    });
    (value, problems.list.into_list())
}

impl Problems<'_> {
    /// Adds an error and returns it, for hints.
    pub fn error(&mut self, code: &'static str, at: Position, path: &str, what: impl Into<String>) -> &mut Diagnostic {
        self.add(Diagnostic::error(code, what), at, path)
    }

    /// Adds a warning and returns it, for hints.
    pub fn warning(
        &mut self,
        code: &'static str,
        at: Position,
        path: &str,
        what: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(Diagnostic::warning(code, what), at, path)
    }

    fn add(&mut self, diagnostic: Diagnostic, at: Position, path: &str) -> &mut Diagnostic {
        self.list.add(diagnostic.at(place(self.file, at, path.to_owned())))
    }

    /// Reads a mapping with keys that the user chooses.
    pub fn mapping<'n>(&mut self, field: &Field<'n>) -> Option<Fields<'n>> {
        match &field.node.kind {
            Kind::Mapping(entries) => {
                for (key, _) in entries.iter().filter(|(key, _)| key.is_merge()) {
                    self.error("merge-key", key.at, &field.path, "a merge key (`<<`) is not supported")
                        .hints
                        .push("write its fields out, or make the whole entry an alias".to_owned());
                }
                Some(Fields { at: field.node.at, path: field.path.clone(), entries })
            }
            _ => {
                self.expected(field, "a mapping");
                None
            }
        }
    }

    /// Reads a mapping with known fields; any other field is a problem.
    pub fn fields<'n>(&mut self, field: &Field<'n>, known: &[&str]) -> Option<Fields<'n>> {
        if !matches!(field.node.kind, Kind::Mapping(_)) {
            let hint = format!("write its fields below it, each as `FIELD: VALUE`: {}", known.join(", "));
            self.wrong_type(field, "a mapping", hint);
            return None;
        }
        let fields = self.mapping(field)?;
        for (key, node) in fields.entries.iter().filter(|(key, _)| !key.is_merge()) {
            if !known.contains(&key.text.as_str()) {
                let hint = match nearest(&key.text, known) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => format!("known fields are {}", known.join(", ")),
                };
                // `{ VALUE }` is a mapping with a key and nothing after it
                let is_named = may_be_a_field(&key.text) && node.describe() != "nothing";
                let path = if is_named { join(&fields.path, &key.text) } else { fields.path.clone() };
                self.error("unknown-field", key.at, &path, "unknown field").hints.push(hint);
            }
        }
        Some(fields)
    }

    /// Reads a list.
    pub fn list<'n>(&mut self, field: &Field<'n>) -> Vec<Field<'n>> {
        match &field.node.kind {
            Kind::Sequence(nodes) => nodes
                .iter()
                .enumerate()
                .map(|(index, node)| Field { path: format!("{}[{index}]", field.path), node })
                .collect(),
            _ => {
                self.expected(field, "a list");
                Vec::new()
            }
        }
    }

    /// Reads a string; a plain scalar that some YAML reader reads as another type must be quoted.
    pub fn string<'n>(&mut self, field: &Field<'n>) -> Option<Positioned<&'n str>> {
        self.quoted(field, |text| match text {
            text if is_null(text) => EMPTY.to_owned(),
            text if text.len() <= 20 => format!("write \"{text}\""),
            _ => "put it in quotes".to_owned(),
        })
    }

    /// Reads a string that is not empty.
    pub fn text<'n>(&mut self, field: &Field<'n>) -> Option<Positioned<&'n str>> {
        let text = self.string(field)?;
        self.not_empty(field, text)
    }

    /// Reads a string that is not empty and may be a secret: no hint repeats it.
    pub fn secret<'n>(&mut self, field: &Field<'n>) -> Option<Positioned<&'n str>> {
        let text = self.unrepeated(field)?;
        self.not_empty(field, text)
    }

    /// Reads a string that may be a secret: no hint repeats it.
    pub fn unrepeated<'n>(&mut self, field: &Field<'n>) -> Option<Positioned<&'n str>> {
        self.quoted(field, |text| match text {
            text if is_null(text) => EMPTY.to_owned(),
            _ => "put it in quotes".to_owned(),
        })
    }

    fn quoted<'n>(&mut self, field: &Field<'n>, hint: impl FnOnce(&str) -> String) -> Option<Positioned<&'n str>> {
        let scalar = self.scalar(field, "a string")?;
        if let Some(kind) = scalar.plain.then(|| other_type(&scalar.text)).flatten() {
            let what = format!("{kind} where a string is expected");
            self.error("not-a-string", field.node.at, &field.path, what).hints.push(hint(&scalar.text));
            return None;
        }
        Some(Positioned { value: &scalar.text, at: field.node.at })
    }

    fn not_empty<'n>(&mut self, field: &Field<'_>, text: Positioned<&'n str>) -> Option<Positioned<&'n str>> {
        if text.value.is_empty() {
            let hint = "write its value, or leave the field out if it is optional";
            self.error("empty", text.at, &field.path, "must not be empty").hints.push(hint.to_owned());
            return None;
        }
        Some(text)
    }

    /// Reads `true` or `false`.
    pub fn boolean(&mut self, field: &Field<'_>) -> Option<bool> {
        let scalar = self.scalar(field, "true or false")?;
        match (scalar.plain, scalar.text.as_str()) {
            (true, "true") => Some(true),
            (true, "false") => Some(false),
            _ => {
                self.expected(field, "true or false");
                None
            }
        }
    }

    /// Reads one of a few words.
    pub fn choice<T: Copy>(&mut self, field: &Field<'_>, choices: &[(&str, T)]) -> Option<T> {
        let text = self.string(field)?;
        let choice = choices.iter().find(|(name, _)| *name == text.value);
        if choice.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let one_of = if names.len() > 1 { "one of " } else { "" };
            self.error("unknown-choice", text.at, &field.path, "unknown value")
                .hints
                .push(format!("write {one_of}{}", names.join(", ")));
        }
        choice.map(|(_, value)| *value)
    }

    /// Reads `version: 1`, the only version.
    pub fn version(&mut self, fields: &Fields<'_>) {
        let Some(field) = fields.get("version") else {
            self.error("version", fields.at, &join(&fields.path, "version"), "missing")
                .hints
                .push("begin the file with `version: 1`".to_owned());
            return;
        };
        match &field.node.kind {
            Kind::Scalar(scalar) if scalar.plain && *scalar.text == "1" => {}
            _ => {
                self.error("version", field.node.at, &field.path, "this version of the format is not supported")
                    .hints
                    .push("write `version: 1`".to_owned());
            }
        }
    }

    /// Reports a node of the wrong type.
    pub fn expected(&mut self, field: &Field<'_>, expected: &str) {
        let name = field.path.rsplit('.').next().unwrap_or_default();
        // of an item of a list, the list's name
        let name = name.split_once('[').map_or(name, |(list, _)| list);
        let name = if name.is_empty() { "NAME" } else { name };
        let is_item = field.path.ends_with(']');
        let hint = match expected {
            "a mapping" => format!("write a mapping: `{name}: {{ key: value }}`"),
            "a string" if is_item => format!("write a string: `{name}: [\"text\"]`"),
            "a list" => format!("write a list: `{name}: [first, second]`"),
            "a string" => format!("write a string: `{name}: \"text\"`"),
            "true or false" => format!("write `{name}: true` or `{name}: false`"),
            _ => format!("write {expected} here"),
        };
        self.wrong_type(field, expected, hint);
    }

    /// Reports a node of the wrong type, with this hint.
    pub fn wrong_type(&mut self, field: &Field<'_>, expected: &str, hint: String) {
        let what = format!("expected {expected}, found {}", field.node.describe());
        self.error("wrong-type", field.node.at, &field.path, what).hints.push(hint);
    }

    fn scalar<'n>(&mut self, field: &Field<'n>, expected: &str) -> Option<&'n Scalar> {
        match &field.node.kind {
            Kind::Scalar(scalar) => Some(scalar),
            _ => {
                self.expected(field, expected);
                None
            }
        }
    }
}

impl<'n> Fields<'n> {
    /// Returns a field by its name.
    pub fn get(&self, name: &str) -> Option<Field<'n>> {
        let (key, node) = self.entries.iter().find(|(key, _)| key.text == name)?;
        Some(Field { path: join(&self.path, &key.text), node })
    }

    /// Returns every field but merge keys with its key, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&'n Key, Field<'n>)> {
        let path = self.path.clone();
        let own = self.entries.iter().filter(|(key, _)| !key.is_merge());
        own.map(move |(key, node)| (key, Field { path: join(&path, &key.text), node }))
    }
}

/// Returns the name that was probably meant.
pub fn nearest<'s>(word: &str, names: &[&'s str]) -> Option<&'s str> {
    // a name of a very different length is not similar, and comparing it would cost time
    let similar = names.iter().copied().filter(|name| word.len() < 64 && name.len().abs_diff(word.len()) <= 2);
    let distance = |name: &&str| strsim::damerau_levenshtein(word, name);
    similar.min_by_key(distance).filter(|name| distance(name) <= (word.len().max(name.len()) / 3).min(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_meant_is_at_most_two_letters_and_a_third_away() {
        let names = ["secret", "credential", "optional"];
        assert_eq!(nearest("secert", &names), Some("secret"));
        assert_eq!(nearest("credentials", &names), Some("credential"));
        assert_eq!(nearest("secr", &names), Some("secret"));
        assert_eq!(nearest("sec", &names), None);
        assert_eq!(nearest("sabrat", &names), None);
        for (word, name) in [("js", "nl"), ("zz", "a"), ("nope", "op"), ("b", "a")] {
            assert_eq!(nearest(word, &[name]), None, "{word}");
        }
        for (word, name) in [("evn", "env"), ("awz", "aws"), ("loca", "local")] {
            assert_eq!(nearest(word, &[name]), Some(name), "{word}");
        }
        // a long word is not compared
        let long = "x".repeat(64);
        assert_eq!(nearest(&long, &[&long]), None);
        assert_eq!(nearest(&long[1..], &[&long]), Some(long.as_str()));
    }
}
