//! Owns the step from the secrets read to the values of an image: each with its origin, and every problem with them.
//!
//! It is pure except that it remembers composed values for redaction. It does not decide where a value goes in the image, and no problem
//! holds a value.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;

use super::env_from::{EnvFromFinder, FoundIn, FoundVariable, Whole};
use super::select::{self, SelectError, Selection};
use super::select_problem::{repeated_key_warning, select_problem};
use super::template;
use crate::diagnostic::lookalike::looks_like;
use crate::diagnostic::{Diagnostic, Place};
use crate::image::provenance::{Origin, Origins, SealOrigin, TemplateOrigin, ValueOrigin, WholeSecret};
use crate::manifest::reference::Selector;
use crate::manifest::{Encoding, Filter, MAX_ENTRY_BYTES, Piece, Version};
use crate::org::Org;
use crate::plan::{
    Destination, ImagePlan, Plan, PlannedEnvFrom, PlannedFile, PlannedSecret, PlannedSource, PlannedTemplate,
    PlannedVariable, Use,
};
use crate::secret::SecretBytes;
use crate::secrets::{ProviderError, ProviderErrorKind, Resolved, SecretBelow};

/// The result of every read of a plan, in the plan's order.
pub type Answers = [Result<Resolved, ProviderError>];

/// One image's values, and where each came from.
pub struct ImageValues<'a> {
    /// Those of whole secrets, then in the order of the plan, without those that were optional and absent.
    pub variables: Vec<VariableValue<'a>>,
    /// In the order of the plan, without those that were optional and absent.
    pub files: Vec<(&'a PlannedFile, SecretBytes)>,
    /// Includes values that were absent.
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

/// Finds the value of each variable and file of an image. The problems contain each failed read only once.
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
    let seal = image.seal.as_deref().map(SealOrigin::new);
    let mut origins = Origins { inject: image.inject.name().to_owned(), seal, ..Origins::default() };
    let mut variables = Vec::new();
    let mut finder = EnvFromFinder::new(image);
    for entry in &image.env_from {
        values.env_from(entry, &mut finder, &mut origins, &mut variables);
    }
    values.warnings.append(&mut finder.warnings);
    for variable in &image.variables {
        let secret = match &variable.source {
            PlannedSource::Plain(text) => {
                variables.push(VariableValue::new(variable, SecretBytes::from(text.clone())));
                continue;
            }
            PlannedSource::Secret(secret) => secret,
        };
        let Some((found, origin)) = values.value(secret, Some(&variable.name)) else { continue };
        origins.variables.insert(variable.name.clone(), origin);
        variables.extend(found.map(|bytes| VariableValue::new(variable, bytes)));
    }
    let mut files = Vec::new();
    for file in &image.files {
        let Some((found, origin)) = values.value(&file.source, None) else { continue };
        origins.files.insert(file.path.clone(), origin);
        files.extend(found.map(|bytes| (file, bytes)));
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
    /// Finds a secret value for a variable, or for a file if there is no `variable`.
    ///
    /// Returns the value, `None` if it is optional and absent, and its origin; adds the problem and returns nothing if there is one.
    fn value(&mut self, secret: &PlannedSecret, variable: Option<&str>) -> Option<(Option<SecretBytes>, ValueOrigin)> {
        let usage = match secret {
            PlannedSecret::One(usage) => usage,
            PlannedSecret::Template(template) => return self.composed(template, variable),
        };
        let (found, origin) = self.find(usage)?;
        let bytes = match (found, variable) {
            (None, _) => None,
            (Some(found), None) => Some(found.bytes),
            (Some(found), Some(name)) => Some(self.for_variable(name, usage, found)?),
        };
        Some((bytes, ValueOrigin::One(origin)))
    }

    /// Composes the value of a template. Each missing part is a problem of its own; if an optional part is absent, there is no value.
    fn composed(
        &mut self,
        template: &PlannedTemplate,
        variable: Option<&str>,
    ) -> Option<(Option<SecretBytes>, ValueOrigin)> {
        // every part is looked for, so that one run reports all that are missing
        let found: Vec<_> = template.parts.iter().map(|(name, usage)| (name, usage, self.find(usage))).collect();
        let mut parts = Vec::new();
        let mut origin = TemplateOrigin {
            template: looks_like(&template.text).is_none().then(|| template.text.clone()),
            parts: BTreeMap::new(),
        };
        for (name, usage, found) in found {
            let (selected, of_part) = found?;
            origin.parts.insert(name.clone(), of_part);
            parts.push((name, usage, selected));
        }
        let origin = ValueOrigin::Template(origin);
        let mut values = Vec::new();
        for (index, (name, usage, selected)) in parts.into_iter().enumerate() {
            let Some(Selected { bytes, binary }) = selected else { return Some((None, origin)) };
            let as_it_is = |piece: &Piece| {
                let Piece::Part { part, filters } = piece else { return false };
                *part == index && !filters.iter().any(|filter| matches!(filter, Filter::Base64 | Filter::Url))
            };
            if binary && usage.selector == Selector::Whole && variable.is_some() && template.pieces.iter().any(as_it_is)
            {
                let what = "the secret is binary, which an environment variable cannot hold";
                let problem = Diagnostic::error("binary-value", what).at(usage.place.clone());
                self.problems.push(problem.hint(format!("write `{{{{{name} | base64}}}}`, or put it under `files:`")));
                return None;
            }
            values.push(bytes);
        }
        let composed = match template::compose(&template.pieces, &values) {
            Ok(composed) => composed,
            Err((index, error)) => {
                let (name, usage) = &template.parts[index];
                let problem = Diagnostic::error("filter", error.to_string()).at(usage.place.clone());
                self.problems.push(problem.hint(format!("store another value, or write `{{{{{name} | base64}}}}`")));
                return None;
            }
        };
        composed.remember();
        let bytes = match variable {
            None => composed,
            Some(name) => self.within_limits(name, composed, &template.place, "encode its parts with `| base64`")?,
        };
        Some((Some(bytes), origin))
    }

    /// Finds the variables of a whole secret or path; adds them, its origin and every problem.
    fn env_from(
        &mut self,
        entry: &PlannedEnvFrom,
        finder: &mut EnvFromFinder<'_>,
        origins: &mut Origins,
        variables: &mut Vec<VariableValue<'_>>,
    ) {
        let usage = &entry.source;
        let Some((answer, mut origin)) = self.read(usage) else { return };
        let below = match answer {
            Some(Resolved::Path(below)) => below.as_slice(),
            _ => &[],
        };
        let found = answer.map(|answer| {
            let whole = match answer {
                Resolved::Secret(value) => Whole::Secret(value),
                Resolved::Path(below) => Whole::Path(below.iter().map(|secret| secret.key.as_str()).collect()),
            };
            finder.find(entry, &self.plan.reads[usage.read], &whole)
        });
        let found = found.unwrap_or_else(|| Ok(Vec::new())).unwrap_or_else(|mut problems| {
            self.problems.append(&mut problems);
            Vec::new()
        });
        let names: Vec<String> = found.iter().map(|variable| variable.name.clone()).collect();
        for FoundVariable { name, value, place } in found {
            let (bytes, origin) = match value {
                FoundIn::Secret { selector, bytes } => (bytes, Origin { key: key_of(&selector), ..origin.clone() }),
                FoundIn::Path { index } => {
                    let SecretBelow { key, value } = &below[index];
                    let secret = value.arn.clone().unwrap_or_else(|| format!("{}{key}", origin.secret));
                    let origin = Origin { secret, version_id: value.version_id.clone(), ..origin.clone() };
                    (value.bytes.clone(), origin)
                }
            };
            let usage = Use { place: place.clone(), ..usage.clone() };
            if let Some(bytes) = self.for_variable(&name, &usage, Selected { bytes, binary: false }) {
                origins.variables.insert(name.clone(), ValueOrigin::One(origin));
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
            below: self.plan.reads[usage.read].is_path.then(|| below.iter().map(|secret| secret.key.clone()).collect()),
        });
    }

    /// Returns the provider's answer, `None` if the secret is optional and absent, and its origin; adds the problem and returns nothing if
    /// there is one.
    fn read(&mut self, usage: &Use) -> Option<(Option<&'a Resolved>, Origin)> {
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
        if let Resolved::Secret(answer) = answer {
            origin.secret = answer.arn.clone().unwrap_or(origin.secret);
            origin.version_id = answer.version_id.clone();
        }
        Some((Some(answer), origin))
    }

    /// Finds the part of a secret that a use selects. Returns it, `None` if it is optional and absent, and its origin; adds the problem and
    /// returns nothing if there is one.
    fn find(&mut self, usage: &Use) -> Option<(Option<Selected>, Origin)> {
        let (answer, mut origin) = self.read(usage)?;
        let Some(Resolved::Secret(answer)) = answer else { return Some((None, origin)) };
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
                let problem = select_problem(&read.id.to_string(), &usage.selector, &error, answer.binary);
                self.problems.push(problem.at(usage.place.clone()));
                None
            }
        }
    }

    /// Returns the bytes for a variable; adds the problem and returns nothing if no variable can hold them.
    fn for_variable(&mut self, name: &str, usage: &Use, found: Selected) -> Option<SecretBytes> {
        let Selected { bytes, binary } = found;
        let whole_binary = binary && usage.selector == Selector::Whole;
        let bytes = match usage.encoding {
            Encoding::Base64 => SecretBytes::from(base64::engine::general_purpose::STANDARD.encode(bytes.expose())),
            Encoding::Text => bytes,
        };
        if usage.encoding == Encoding::Text && whole_binary {
            let what = "the secret is binary, which an environment variable cannot hold";
            let problem = Diagnostic::error("binary-value", what).at(usage.place.clone());
            self.problems.push(problem.hint("write `encoding: base64`, or put it under `files:`"));
            return None;
        }
        self.within_limits(name, bytes, &usage.place, "write `encoding: base64`")
    }

    /// Returns the bytes if the kernel takes them as a variable; adds the problem otherwise. `encode` says how to encode them.
    fn within_limits(&mut self, name: &str, bytes: SecretBytes, place: &Place, encode: &str) -> Option<SecretBytes> {
        let problem = if bytes.expose().contains(&0) {
            Diagnostic::error("nul", "the value has a NUL character, which an environment variable cannot hold")
                .hint(format!("{encode}, or put it under `files:`"))
        } else if name.len() + 1 + bytes.len() > MAX_ENTRY_BYTES {
            let what = format!("KEY=value is {} bytes, over {MAX_ENTRY_BYTES}", name.len() + 1 + bytes.len());
            Diagnostic::error("too-long", what)
                .hint("the kernel refuses a longer variable; put the secret under `files:`")
        } else {
            return Some(bytes);
        };
        self.problems.push(problem.at(place.clone()));
        None
    }
}

fn key_of(selector: &Selector) -> Option<String> {
    match selector {
        Selector::Whole => None,
        Selector::Key(key) | Selector::Pointer(key) => Some(key.clone()),
    }
}
