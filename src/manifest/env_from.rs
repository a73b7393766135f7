//! Owns `env_from:`: whole secrets whose keys become variables, and how a key becomes the name of its variable.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::secret_use::{SECRET, secret_use};
use super::variable_name::is_variable_name;
use super::yaml::fields::{Field, Fields, Problems};
use super::yaml::{Position, Positioned, is_string, join, place};
use super::{Case, EnvFrom, Naming};
use crate::diagnostic::Diagnostic;
use crate::diagnostic::lookalike::looks_like;

impl Naming {
    /// Returns the name of the variable that a key becomes. It may be no valid name.
    pub fn name(&self, key: &str) -> String {
        match self.rename.get(key) {
            Some(name) => name.value.clone(),
            None => self.prefix.clone() + &self.in_case(key),
        }
    }

    /// Returns the variables that are known before the secret is read, each with its key and the key's place.
    pub fn known(&self) -> impl Iterator<Item = (String, &str, Position)> {
        let keys = self.keys.iter().flatten().map(|key| (key.value.as_str(), key.at));
        let renamed = self.rename.iter().filter(|_| self.keys.is_none()).map(|(key, name)| (key.as_str(), name.at));
        keys.chain(renamed).map(|(key, at)| (self.name(key), key, at))
    }

    fn in_case(&self, key: &str) -> String {
        match self.case {
            Case::Keep => key.to_owned(),
            Case::Upper => key.to_ascii_uppercase(),
        }
    }

    /// Returns a valid name to write for a key.
    fn suggestion(&self, key: &str) -> String {
        let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let name = self.prefix.clone() + &self.in_case(key).chars().map(word).collect::<String>();
        if is_variable_name(&name) { name } else { format!("_{name}") }
    }

    /// Reports every key that does not give a valid variable name, with the `rename:` to write. `secret` names the secret.
    pub fn check_names(&self, secret: &str, keys: &[&str]) -> Option<Diagnostic> {
        let bad: Vec<&str> = keys.iter().copied().filter(|key| !is_variable_name(&self.name(key))).collect();
        let (first, last) = (bad.first()?, bad.len() - 1);
        let mut taken: BTreeSet<String> = keys.iter().map(|key| self.name(key)).collect();
        let mut rename: Vec<String> = self.rename.iter().map(|(key, name)| entry(key, &name.value)).collect();
        for key in &bad {
            let mut name = self.suggestion(key);
            while !taken.insert(name.clone()) {
                name.push('_');
            }
            rename.push(entry(key, &name));
        }
        let what = match last {
            0 => format!("the key {} of {secret} does not give a variable name", shown(first)),
            _ => {
                let keys: Vec<String> = bad.iter().map(|key| shown(key)).collect();
                format!("{} keys of {secret} do not give variable names: {}", bad.len(), keys.join(", "))
            }
        };
        let or = if self.keys.is_none() { ", or list the keys to take under `keys:`" } else { "" };
        let hint = format!("write `rename: {{ {} }}`{or}", rename.join(", "));
        Some(Diagnostic::error("bad-variable-name", what).hint(hint))
    }
}

/// Reports a variable that two keys give. `first` says where the other one is from.
pub fn two_of_a_name(name: &str, key: &str, first: &str) -> Diagnostic {
    let what = format!("the key {} gives the variable {name}, and so does {first}", shown(key));
    let hint = format!("write `rename: {{ {} }}` at one of them, or set {name} under `env:`", entry(key, "OTHER_NAME"));
    Diagnostic::error("two-of-a-name", what).hint(hint)
}

/// Describes the key that a variable is from, for [`two_of_a_name`].
pub fn key_of(key: &str, path: &str) -> String {
    format!("the key {} of {path}", shown(key))
}

/// Returns a key for a message, unless it looks like a value in the wrong place.
fn shown(key: &str) -> String {
    match looks_like(key).is_some() || key.len() > 200 {
        true => "(not shown)".to_owned(),
        false => format!("{key:?}"),
    }
}

/// Returns an entry of a YAML flow mapping.
fn entry(key: &str, name: &str) -> String {
    let is_plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    let is_plain = is_plain && !key.starts_with('-') && is_string(key);
    let hidden = shown(key);
    if is_plain && hidden.starts_with('"') { format!("{key}: {name}") } else { format!("{hidden}: {name}") }
}

/// Reads `env_from:`. `own` are the names under `env:`, which win.
pub(super) fn env_from(problems: &mut Problems<'_>, field: &Field<'_>, own: &BTreeSet<&str>) -> Vec<EnvFrom> {
    let mut entries = Vec::new();
    let mut owners: HashMap<String, String> = HashMap::new();
    for field in problems.list(field) {
        let known: Vec<&str> = SECRET.into_iter().chain(["prefix", "case", "keys", "rename"]).collect();
        let Some(fields) = problems.fields(&field, &known) else { continue };
        let before = problems.list.len();
        let secret = secret_use(problems, &fields);
        let naming = naming(problems, &fields);
        if problems.list.len() == before
            && let Some(secret) = &secret
        {
            let reference = &secret.reference.value;
            check(problems, &fields, &reference.to_string(), &naming);
        }
        for (name, key, at) in naming.known().filter(|(name, ..)| !own.contains(name.as_str())) {
            let from = key_of(key, &fields.path);
            if let Some(first) = owners.get(&name) {
                let problem = two_of_a_name(&name, key, first);
                problems.list.add(problem.at(place(problems.file, at, fields.path.clone())));
            } else {
                owners.insert(name, from);
            }
        }
        entries.extend(secret.map(|secret| EnvFrom { at: fields.at, path: fields.path.clone(), secret, naming }));
    }
    entries
}

fn naming(problems: &mut Problems<'_>, fields: &Fields<'_>) -> Naming {
    let prefix = fields.get("prefix").and_then(|field| {
        let text = problems.text(&field)?;
        variable_name(problems, &field, text).map(|text| text.value.to_owned())
    });
    let case = fields.get("case").and_then(|field| problems.choice(&field, &Case::NAMES)).unwrap_or_default();
    let keys = fields.get("keys").map(|field| keys(problems, &field));
    let rename = fields.get("rename").map(|field| rename(problems, &field, keys.as_deref())).unwrap_or_default();
    Naming { prefix: prefix.unwrap_or_default(), case, keys, rename }
}

fn keys(problems: &mut Problems<'_>, field: &Field<'_>) -> Vec<Positioned<String>> {
    let items = problems.list(field);
    if items.is_empty() && field.node.describe() == "a list" {
        let hint = "list the keys to take, or leave `keys` out to take all of them";
        problems.error("empty", field.node.at, &field.path, "no key is listed").hints.push(hint.to_owned());
    }
    let mut seen = BTreeSet::new();
    let mut keys = Vec::new();
    for item in items {
        let Some(key) = problems.unrepeated(&item) else { continue };
        if let Some(kind) = looks_like(key.value) {
            problems
                .error("value-for-name", key.at, &item.path, format!("looks like {kind}, not like a key"))
                .hints
                .push("write the name of a key of the secret here; if the value is real, rotate it".to_owned());
            continue;
        }
        if !seen.insert(key.value) {
            problems
                .error("duplicate-key", key.at, &field.path, "this key is listed twice")
                .hints
                .push("list each key once".to_owned());
            continue;
        }
        keys.push(Positioned { value: key.value.to_owned(), at: key.at });
    }
    keys
}

fn rename(
    problems: &mut Problems<'_>,
    field: &Field<'_>,
    keys: Option<&[Positioned<String>]>,
) -> BTreeMap<String, Positioned<String>> {
    let Some(fields) = problems.mapping(field) else { return BTreeMap::new() };
    let mut rename = BTreeMap::new();
    for (key, field) in fields.iter() {
        if keys.is_some_and(|keys| keys.iter().all(|other| other.value != key.text)) {
            problems
                .warning("unused-name", key.at, &field.path, "no effect: this key is not listed under `keys:`")
                .hints
                .push("add it there, or remove it here".to_owned());
        }
        let Some(name) = problems.text(&field) else { continue };
        if let Some(name) = variable_name(problems, &field, name) {
            rename.insert(key.text.clone(), Positioned { value: name.value.to_owned(), at: key.at });
        }
    }
    rename
}

fn variable_name<'n>(
    problems: &mut Problems<'_>,
    field: &Field<'_>,
    text: Positioned<&'n str>,
) -> Option<Positioned<&'n str>> {
    if !is_variable_name(text.value) {
        let what =
            if field.path.ends_with("prefix") { "no variable name begins like this" } else { "not a variable name" };
        problems
            .error("bad-name", text.at, &field.path, what)
            .hints
            .push("start with a letter or `_`, and use only letters, digits and `_`".to_owned());
        return None;
    }
    Some(text)
}

/// Checks what can be told before the secret is read.
fn check(problems: &mut Problems<'_>, fields: &Fields<'_>, secret: &str, naming: &Naming) {
    let keys: Vec<&str> = naming.keys.iter().flatten().map(|key| key.value.as_str()).collect();
    if let (Some(problem), Some(field)) = (naming.check_names(secret, &keys), fields.get("keys")) {
        problems.list.add(problem.at(place(problems.file, field.node.at, join(&fields.path, "keys"))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(prefix: &str, case: Case, rename: &[(&str, &str)]) -> Naming {
        let name = |name: &str| Positioned { value: name.to_owned(), at: Position::default() };
        let rename = rename.iter().map(|(key, to)| ((*key).to_owned(), name(to))).collect();
        Naming { prefix: prefix.to_owned(), case, keys: None, rename }
    }

    #[test]
    fn a_key_becomes_a_name_by_prefix_and_case_or_by_rename() {
        let naming = naming("DB_", Case::Upper, &[("ssl-ca", "CA_FILE")]);
        assert_eq!(naming.name("userName"), "DB_USERNAME");
        assert_eq!(naming.name("ssl-ca"), "CA_FILE");
        assert_eq!(naming.name("ssl-key"), "DB_SSL-KEY");
    }

    #[test]
    fn every_key_that_is_no_name_has_its_line_to_write() {
        let said = |naming: &Naming, keys: &[&str]| naming.check_names("db", keys).map(|problem| problem.to_string());
        let plain = naming("", Case::Keep, &[]);
        assert_eq!(said(&plain, &["a", "_b", "C1"]), None);
        assert_eq!(
            said(&plain, &["1st", "a b", "a.b", "a_b", "größe", "1.5", ""]).unwrap(),
            "error: 6 keys of db do not give variable names: \"1st\", \"a b\", \"a.b\", \"größe\", \"1.5\", \"\"\n  \
             hint: write `rename: { 1st: _1st, \"a b\": a_b_, a.b: a_b__, \"größe\": gr__e, \"1.5\": _1_5, \"\": _ }`, \
             or list the keys to take under `keys:`"
        );
        assert_eq!(
            said(&naming("DB_", Case::Upper, &[("x-y", "XY")]), &["ssl-ca", "x-y"]).unwrap(),
            "error: the key \"ssl-ca\" of db does not give a variable name\n  \
             hint: write `rename: { x-y: XY, ssl-ca: DB_SSL_CA }`, or list the keys to take under `keys:`"
        );
    }

    #[test]
    fn a_key_that_may_be_a_value_is_not_shown() {
        assert_eq!(shown("user"), "\"user\"");
        assert_eq!(shown("AKIAIOSFODNN7EXAMPLE"), "(not shown)");
        assert_eq!(shown(&"x".repeat(200)), format!("{:?}", "x".repeat(200)));
        assert_eq!(shown(&"x".repeat(201)), "(not shown)");
    }
}
