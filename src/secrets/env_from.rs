//! Owns the step from a whole secret, or everything below a path, to variables: which of its keys are taken, and what their variables are called.
//!
//! It is pure, and no problem holds a value. The bake and `--online` both take it.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::SecretValue;
use super::select::{Member, Members, SelectError, member_selector, members};
use super::select_problem::{KEY_NOT_FOUND, NOT_AN_OBJECT, NOT_JSON, listed, repeated_key_warning, select_problem};
use crate::diagnostic::{Diagnostic, Place};
use crate::manifest::env_from::{key_of, two_of_a_name};
use crate::manifest::reference::{SecretId, Selector};
use crate::manifest::set_by_engines;
use crate::manifest::yaml::join;
use crate::plan::{ImagePlan, PlannedEnvFrom, Read};
use crate::secret::SecretBytes;

/// What variables are found in.
pub enum Whole<'a> {
    Secret(&'a SecretValue),
    /// The keys of the secrets below a path, sorted.
    Path(Vec<&'a str>),
}

/// Where the value of a variable is.
pub enum FoundIn {
    /// In the secret.
    Secret {
        /// What selects the value.
        selector: Selector,
        bytes: SecretBytes,
    },
    /// In the secret below the path with this index.
    Path { index: usize },
}

/// A variable that was found in a whole secret.
pub struct FoundVariable {
    pub name: String,
    pub value: FoundIn,
    /// The entry's place, with the variable's name.
    pub place: Place,
}

/// Collects the variables of an image's whole secrets, so that no two give the same name.
pub struct EnvFromFinder<'a> {
    image: &'a ImagePlan,
    /// The names under `env:`, which win.
    own: HashSet<&'a str>,
    /// The entry and key that gave each name.
    owners: HashMap<String, String>,
    pub warnings: Vec<Diagnostic>,
}

impl<'a> EnvFromFinder<'a> {
    /// Starts with none.
    pub fn new(image: &'a ImagePlan) -> Self {
        let own = image.variables.iter().map(|variable| variable.name.as_str()).collect();
        EnvFromFinder { image, own, owners: HashMap::new(), warnings: Vec::new() }
    }

    /// Finds the variables of one secret, sorted by name, without those that `env:` replaces.
    ///
    /// # Errors
    /// Every key that cannot become a variable.
    pub fn find(
        &mut self,
        entry: &PlannedEnvFrom,
        read: &Read,
        whole: &Whole<'_>,
    ) -> Result<Vec<FoundVariable>, Vec<Diagnostic>> {
        let (usage, naming) = (&entry.source, &entry.naming);
        let secret = format!("{}{}", read.id, usage.selector);
        let at = |problem: Diagnostic| problem.at(usage.place.clone());
        let binary = matches!(whole, Whole::Secret(value) if value.binary);
        let members = match whole {
            Whole::Secret(value) => match members(&value.bytes, &usage.selector) {
                Ok(Members { members, repeated_key }) => {
                    self.warnings.extend(repeated_key.map(|key| at(repeated_key_warning(&read.id, &key))));
                    let found = |Member { key, value }| {
                        let selector = member_selector(&usage.selector, &key);
                        let id = read.id.to_string();
                        let value = value.map_err(|error| select_problem(&id, &selector, &error, binary));
                        (key, value.map(|bytes| FoundIn::Secret { selector, bytes }))
                    };
                    members.into_iter().map(found).collect::<Vec<_>>()
                }
                Err(SelectError::NoKey { .. }) if usage.optional => return Ok(Vec::new()),
                Err(error) => return Err(vec![at(not_an_object(&read.id, &usage.selector, &error, binary))]),
            },
            Whole::Path(keys) => {
                let found = |(index, key): (usize, &&str)| ((*key).to_owned(), Ok(FoundIn::Path { index }));
                keys.iter().enumerate().map(found).collect()
            }
        };
        let mut problems = Vec::new();
        let listed: Option<HashSet<&str>> =
            naming.keys.as_ref().map(|keys| keys.iter().map(|key| key.value.as_str()).collect());
        if !usage.optional {
            let present: BTreeSet<&str> = members.iter().map(|(key, _)| key.as_str()).collect();
            let wanted = naming.keys.iter().flatten().map(|key| key.value.as_str());
            let wanted = wanted.chain(naming.rename.keys().map(String::as_str).filter(|_| listed.is_none()));
            problems.extend(wanted.filter(|key| !present.contains(key)).map(|key| {
                let keys = present.iter().map(|key| (*key).to_owned()).collect();
                at(match whole {
                    Whole::Secret(_) => {
                        let selector = member_selector(&usage.selector, key);
                        select_problem(&read.id.to_string(), &selector, &SelectError::NoKey { keys }, binary)
                    }
                    Whole::Path(_) => not_below(&secret, key, &keys),
                })
            }));
        }
        let is_taken = |key: &str| listed.as_ref().is_none_or(|keys| keys.contains(key));
        let taken: Vec<_> = members.into_iter().filter(|(key, _)| is_taken(key)).collect();
        let keys: Vec<&str> = taken.iter().map(|(key, _)| key.as_str()).collect();
        problems.extend(naming.check_names(&secret, &keys).map(at));
        let mut found = Vec::new();
        for (key, value) in taken {
            let name = naming.name(&key);
            if self.own.contains(name.as_str()) {
                continue;
            }
            let from = key_of(&key, &secret);
            if let Some(first) = self.owners.insert(name.clone(), from) {
                problems.push(at(two_of_a_name(&name, &key, &first)));
                continue;
            }
            let place = Place { path: join(&usage.place.path, &name), ..usage.place.clone() };
            match value {
                Ok(value) => {
                    let is_new = || self.image.is_launched() && naming.known().all(|(known, ..)| known != name);
                    let warning = set_by_engines(&name).filter(|_| is_new());
                    self.warnings.extend(warning.map(|warning| warning.at(place.clone())));
                    found.push(FoundVariable { name, value, place });
                }
                Err(problem) => problems.push(problem.at(place).hint("or list the keys to take under `keys:`")),
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        if problems.is_empty() { Ok(found) } else { Err(problems) }
    }
}

/// Says that a path has no secret with this key.
fn not_below(path: &str, key: &str, keys: &[String]) -> Diagnostic {
    let what = format!("parameter not found: {key:?} below {path}");
    Diagnostic::error(KEY_NOT_FOUND, what).hint(format!("below it are {}", listed(keys)))
}

/// Returns what is wrong with a secret that has no keys to take.
fn not_an_object(id: &SecretId, selector: &Selector, error: &SelectError, binary: bool) -> Diagnostic {
    let secret = format!("{id}{selector}");
    let (code, what) = match error {
        SelectError::NotJson => (NOT_JSON, format!("not a JSON object: the value of {secret} is not JSON")),
        SelectError::NotAnObject { found } => {
            (NOT_AN_OBJECT, format!("not a JSON object: the value of {secret} is {found}"))
        }
        error => return select_problem(&id.to_string(), selector, error, binary),
    };
    let encoded = if binary { ", encoding: base64" } else { "" };
    let whole = format!("write `NAME: {{ secret: {secret:?}{encoded} }}` under `env:` for the whole value");
    let hint = format!("{whole}, or store a JSON object");
    Diagnostic::error(code, what).hint(hint)
}
