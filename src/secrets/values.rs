//! Owns the step from secrets that were read to values: each use's value, its origin, and every problem with them.
//!
//! It is pure, does not know where a value goes in the image, and no problem holds a value.

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine as _;

use super::env_from::{EnvFromFinder, FoundVariable};
use super::select::{self, SelectError, Selection};
use crate::diagnostic::{Diagnostic, Place};
use crate::image::provenance::{Origin, Origins, WholeSecret};
use crate::manifest::reference::{SecretId, Selector};
use crate::manifest::{Encoding, MAX_ENTRY_BYTES, Version};
use crate::org::Org;
use crate::plan::{Destination, ImagePlan, Plan, PlannedEnvFrom, PlannedFile, PlannedSource, PlannedVariable, Use};
use crate::secret::SecretBytes;
use crate::secrets::{ProviderError, ProviderErrorKind, SecretValue};

/// What every read of a plan came to, in the plan's order.
pub type Answers = [Result<SecretValue, ProviderError>];

/// One image's values, and where each came from.
pub struct ImageValues<'a> {
    /// Those of whole secrets, then in the order of the plan, without those that were optional and absent.
    pub variables: Vec<VariableValue<'a>>,
    /// In the order of the plan, without those that were optional and absent.
    pub files: Vec<(&'a PlannedFile, SecretBytes)>,
    /// Also of those that were absent.
    pub origins: Origins,
    pub warnings: Vec<Diagnostic>,
}

/// A variable and its value.
pub struct VariableValue<'a> {
    pub name: Cow<'a, str>,
    pub place: Cow<'a, Place>,
    pub destination: Destination,
    pub bytes: SecretBytes,
}

impl<'a> VariableValue<'a> {
    fn new(variable: &'a PlannedVariable, bytes: SecretBytes) -> Self {
        let (name, place) = (Cow::Borrowed(&*variable.name), Cow::Borrowed(&variable.place));
        VariableValue { name, place, destination: variable.destination, bytes }
    }
}

/// Finds the value of each variable and file of an image.
///
/// # Errors
/// Every failed read that this image uses, once, and every use that has no value.
pub fn image_values<'a>(
    plan: &'a Plan,
    image: &'a ImagePlan,
    org: &Org,
    answers: &Answers,
) -> Result<ImageValues<'a>, Vec<Diagnostic>> {
    let mut values = ValueFinder {
        plan,
        org,
        answers,
        failed: BTreeSet::new(),
        warned: BTreeSet::new(),
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    let mut origins = Origins { inject: image.inject.name().to_owned(), ..Origins::default() };
    let mut variables = Vec::new();
    let mut finder = EnvFromFinder::new(image);
    for entry in &image.env_from {
        values.env_from(entry, &mut finder, &mut origins, &mut variables);
    }
    values.warnings.append(&mut finder.warnings);
    for variable in &image.variables {
        let usage = match &variable.source {
            PlannedSource::Plain(text) => {
                variables.push(VariableValue::new(variable, SecretBytes::from(text.clone())));
                continue;
            }
            PlannedSource::Secret(usage) => usage,
        };
        let Some((found, origin)) = values.find(usage) else { continue };
        origins.variables.insert(variable.name.clone(), origin);
        let bytes = found.and_then(|found| values.for_variable(&variable.name, usage, found));
        variables.extend(bytes.map(|bytes| VariableValue::new(variable, bytes)));
    }
    let mut files = Vec::new();
    for file in &image.files {
        let Some((found, origin)) = values.find(&file.source) else { continue };
        origins.files.insert(file.path.clone(), origin);
        files.extend(found.map(|found| (file, found.bytes)));
    }
    let ValueFinder { problems, warnings, .. } = values;
    if problems.is_empty() { Ok(ImageValues { variables, files, origins, warnings }) } else { Err(problems) }
}

struct ValueFinder<'a> {
    plan: &'a Plan,
    org: &'a Org,
    answers: &'a Answers,
    /// The reads whose failure is among the problems.
    failed: BTreeSet<usize>,
    /// The reads and keys that have been warned about.
    warned: BTreeSet<(usize, String)>,
    problems: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

/// The part of a secret that a variable or file uses.
struct Selected {
    bytes: SecretBytes,
    /// Whether the provider holds the whole secret as binary.
    binary: bool,
}

impl<'a> ValueFinder<'a> {
    /// Finds the variables of a whole secret, and adds them, its origin and every problem.
    fn env_from(
        &mut self,
        entry: &PlannedEnvFrom,
        finder: &mut EnvFromFinder<'_>,
        origins: &mut Origins,
        variables: &mut Vec<VariableValue<'_>>,
    ) {
        let usage = &entry.source;
        let Some((answer, mut origin)) = self.read(usage) else { return };
        let found = answer.map(|answer| finder.find(entry, &self.plan.reads[usage.read], answer));
        let found = found.unwrap_or_else(|| Ok(Vec::new())).unwrap_or_else(|mut problems| {
            self.problems.append(&mut problems);
            Vec::new()
        });
        let names: Vec<String> = found.iter().map(|variable| variable.name.clone()).collect();
        for FoundVariable { name, selector, bytes, place } in found {
            let origin = Origin { key: key_of(&selector), ..origin.clone() };
            let usage = Use { selector, place: place.clone(), ..usage.clone() };
            if let Some(bytes) = self.for_variable(&name, &usage, Selected { bytes, binary: false }) {
                origins.variables.insert(name.clone(), origin);
                let (name, place, destination) = (Cow::Owned(name), Cow::Owned(place), entry.destination);
                variables.push(VariableValue { name, place, destination, bytes });
            } else if let Some(problem) = self.problems.last_mut() {
                problem.hints = vec!["list the other keys under `keys:`, and put this one under `files:`".to_owned()];
            }
        }
        origin.absent |= names.is_empty() && usage.optional;
        let naming = &entry.naming;
        origins.env_from.push(WholeSecret {
            origin,
            prefix: naming.prefix.clone(),
            case: naming.case.name().to_owned(),
            keys: naming.keys.as_ref().map(|keys| keys.iter().map(|key| key.value.clone()).collect()),
            rename: naming.rename.iter().map(|(key, name)| (key.clone(), name.value.clone())).collect(),
            names,
        });
    }

    /// Returns what the provider answered, `None` where the secret is optional and absent, and its origin; no pair if there is a
    /// problem, which is then added.
    fn read(&mut self, usage: &Use) -> Option<(Option<&'a SecretValue>, Origin)> {
        let read = &self.plan.reads[usage.read];
        let mut origin = Origin {
            credential: self.org.credentials[read.credential].name.clone(),
            secret: read.id.to_string(),
            key: key_of(&usage.selector),
            version_id: None,
            version_stage: match &read.version {
                Version::Stage(stage) => Some(stage.clone()),
                _ => None,
            },
            pinned: matches!(read.version, Version::Id(_)),
            absent: false,
        };
        let answer = match &self.answers[usage.read] {
            Ok(answer) => answer,
            Err(failure) if usage.optional && failure.kind == ProviderErrorKind::NotFound => {
                origin.absent = true;
                return Some((None, origin));
            }
            Err(failure) => {
                if self.failed.insert(usage.read) {
                    self.problems.push((*failure.diagnostic).clone().at(usage.place.clone()));
                }
                return None;
            }
        };
        origin.secret = answer.arn.clone().unwrap_or(origin.secret);
        origin.version_id = answer.version_id.clone();
        Some((Some(answer), origin))
    }

    /// Returns the value, `None` where it is optional and absent, and its origin; no pair if there is a problem, which is then added.
    fn find(&mut self, usage: &Use) -> Option<(Option<Selected>, Origin)> {
        let (answer, mut origin) = self.read(usage)?;
        let Some(answer) = answer else { return Some((None, origin)) };
        let read = &self.plan.reads[usage.read];
        match select::select(&answer.bytes, &usage.selector) {
            Ok(Selection { bytes, repeated_key }) => {
                if let Some(key) = repeated_key
                    && self.warned.insert((usage.read, key.clone()))
                {
                    self.warnings.push(repeated_key_warning(&read.id, &key).at(usage.place.clone()));
                }
                Some((Some(Selected { bytes, binary: answer.binary }), origin))
            }
            Err(SelectError::NoKey { .. }) if usage.optional => {
                origin.absent = true;
                Some((None, origin))
            }
            Err(error) => {
                let problem = select_problem(&read.id.to_string(), &usage.selector, &error);
                self.problems.push(problem.at(usage.place.clone()));
                None
            }
        }
    }

    /// Returns the bytes as a variable takes them; `None` if it cannot, which is then added to the problems.
    fn for_variable(&mut self, name: &str, usage: &Use, found: Selected) -> Option<SecretBytes> {
        let Selected { bytes, binary } = found;
        let whole_binary = binary && usage.selector == Selector::Whole;
        let bytes = match usage.encoding {
            Encoding::Base64 => SecretBytes::from(base64::engine::general_purpose::STANDARD.encode(bytes.expose())),
            Encoding::Text => bytes,
        };
        let problem = if usage.encoding == Encoding::Text && whole_binary {
            Diagnostic::error("binary-value", "the secret is binary, which an environment variable cannot hold")
                .hint("write `encoding: base64`, or put it under `files:`")
        } else if bytes.expose().contains(&0) {
            Diagnostic::error("nul", "the value has a NUL character, which an environment variable cannot hold")
                .hint("write `encoding: base64`, or put it under `files:`")
        } else if name.len() + 1 + bytes.len() > MAX_ENTRY_BYTES {
            let what = format!("KEY=value is {} bytes, over {MAX_ENTRY_BYTES}", name.len() + 1 + bytes.len());
            Diagnostic::error("too-long", what)
                .hint("the kernel refuses a longer variable; put the secret under `files:`")
        } else {
            return Some(bytes);
        };
        self.problems.push(problem.at(usage.place.clone()));
        None
    }
}

fn key_of(selector: &Selector) -> Option<String> {
    match selector {
        Selector::Whole => None,
        Selector::Key(key) | Selector::Pointer(key) => Some(key.clone()),
    }
}

/// Warns that an object has the key more than once.
pub fn repeated_key_warning(secret: &SecretId, key: &str) -> Diagnostic {
    let what = format!("the JSON of {secret} has the key {key:?} more than once; the last one counts");
    Diagnostic::warning("repeated-key", what).hint("store each key once: other readers may take the first")
}

/// Returns what is wrong with a selector on a secret that was read.
pub fn select_problem(secret: &str, selector: &Selector, error: &SelectError) -> Diagnostic {
    let key = match selector {
        Selector::Whole => "",
        Selector::Key(key) | Selector::Pointer(key) => key,
    };
    match error {
        SelectError::LoneSurrogate { escape, line, column } => {
            let what =
                format!("invalid JSON: the value of {secret} has {escape} without its other half at {line}:{column}");
            Diagnostic::error("lone-surrogate", what)
                .cause("JSON writes a character above U+FFFF as a pair of \\u escapes; half of one is not a character")
                .hint("store the secret again with the whole character, or with U+FFFD in its place")
        }
        SelectError::NotJson => {
            Diagnostic::error("not-json", format!("not a JSON object: the value of {secret} is not JSON"))
                .hint(format!("write `secret: {secret}` for the whole value, or store a JSON object"))
        }
        SelectError::NotAnObject { found } => {
            let what = format!("not a JSON object: the value of {secret} has {found} where {key:?} needs an object");
            Diagnostic::error("not-an-object", what).hint(format!("write `secret: {secret}` for the whole value"))
        }
        SelectError::NoKey { keys } => {
            let diagnostic = Diagnostic::error("key-not-found", format!("JSON key not found: {key:?} in {secret}"));
            match &keys[..] {
                [] => diagnostic.hint("it has no keys"),
                keys => diagnostic.hint(format!("its keys are {}", keys.join(", "))),
            }
        }
        SelectError::Null => Diagnostic::error("json-null", format!("the JSON key {key:?} in {secret} is null"))
            .hint("store a value under the key; for the empty string store \"\""),
    }
}
