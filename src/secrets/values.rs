//! Owns what becomes of the secrets that were read: each use's value, the provenance, and every problem with them.
//!
//! It is pure, and no problem holds a value.

use base64::Engine as _;

use super::select::{self, SelectError};
use crate::diagnostic::{Diagnostic, Place};
use crate::image::provenance::{Origin, Provenance};
use crate::manifest::reference::Selector;
use crate::manifest::{Encoding, Inject, MAX_ENTRY_BYTES, Version};
use crate::org::Org;
use crate::plan::{ImagePlan, Plan, PlannedSource, Use};
use crate::secret::SecretBytes;
use crate::secrets::{ProviderError, ProviderErrorKind, SecretValue};

/// Above this an environment may be too large: Linux takes 2 MiB where the stack limit is the usual one, and the base and the
/// container's own variables need their part.
const LARGE_ENVIRONMENT: usize = 3 << 19;
/// Linux takes no larger one, whatever the stack limit.
const MOST_ENVIRONMENT: usize = 6 << 20;
const FEWER: &str = "put the large values under `files:`, or all of them in a file of your own with `inject: file`";

/// What every read of a plan came to, in the plan's order.
pub type Answers = [Result<SecretValue, ProviderError>];

/// One image's values.
pub struct Values<'a> {
    /// In the order of the manifest, without those that were optional and absent.
    pub variables: Vec<Value<'a>>,
    /// The planned files' indices with their contents, without those that were optional and absent.
    pub files: Vec<(usize, SecretBytes)>,
    pub provenance: Provenance,
    pub warnings: Vec<Diagnostic>,
}

/// A variable's value.
pub struct Value<'a> {
    pub name: &'a str,
    pub bytes: SecretBytes,
    pub secret: bool,
}

/// Gives each variable and file of an image its value. `base`: what identifies the base.
///
/// # Errors
/// Every failed read that this image uses, once, and every use that has no value.
pub fn values<'a>(
    plan: &'a Plan,
    image: &'a ImagePlan,
    org: &Org,
    answers: &Answers,
) -> Result<Values<'a>, Vec<Diagnostic>> {
    let mut give = Give { plan, org, answers, failed: Vec::new(), problems: Vec::new() };
    let mut provenance = Provenance {
        version: 1,
        base: None,
        inject: image.inject.name().to_owned(),
        variables: Default::default(),
        files: Default::default(),
    };
    let mut variables = Vec::new();
    for variable in &image.variables {
        let name = variable.name.as_str();
        match &variable.source {
            PlannedSource::Plain(text) => {
                variables.push(Value { name, bytes: SecretBytes::from(text.clone()), secret: false });
            }
            PlannedSource::Secret(usage) => {
                let Some((bytes, origin)) = give.value(usage) else { continue };
                provenance.variables.insert(name.to_owned(), origin);
                let bytes = bytes.and_then(|(bytes, binary)| give.variable(name, usage, bytes, binary));
                variables.extend(bytes.map(|bytes| Value { name, bytes, secret: true }));
            }
        }
    }
    let mut files = Vec::new();
    for (index, file) in image.files.iter().enumerate() {
        let Some((bytes, origin)) = give.value(&file.source) else { continue };
        provenance.files.insert(file.path.clone(), origin);
        files.extend(bytes.map(|(bytes, _)| (index, bytes)));
    }
    let size = environment_size(image, &variables);
    give.problems.extend((size > MOST_ENVIRONMENT).then(|| too_large(image, size)));
    let warnings = (size > LARGE_ENVIRONMENT).then(|| large(image, size)).into_iter().collect();
    if give.problems.is_empty() { Ok(Values { variables, files, provenance, warnings }) } else { Err(give.problems) }
}

/// Returns what the variables take of a program's environment: each its `KEY=value`, a NUL and a pointer.
fn environment_size(image: &ImagePlan, variables: &[Value<'_>]) -> usize {
    match image.inject {
        // the application reads them from a file
        Inject::File => 0,
        Inject::Launcher | Inject::Config => {
            variables.iter().map(|variable| variable.name.len() + variable.bytes.len() + 2 + size_of::<usize>()).sum()
        }
    }
}

fn too_large(image: &ImagePlan, size: usize) -> Diagnostic {
    Diagnostic::error(
        "environment-too-large",
        format!("the variables take {}, and no program starts with more than 6 MiB", mib(size)),
    )
    .at(env_of(image))
    .hint(FEWER)
}

fn large(image: &ImagePlan, size: usize) -> Diagnostic {
    Diagnostic::warning("environment-large", format!("the variables take {} of the image's environment", mib(size)))
        .at(env_of(image))
        .cause("Linux starts a program with arguments and variables of at most a quarter of the stack limit, by default 2 MiB")
        .hint(FEWER)
}

fn mib(size: usize) -> String {
    // the integer is small: what is lost is far behind the point
    format!("{:.1} MiB", size as f64 / (1 << 20) as f64)
}

fn env_of(image: &ImagePlan) -> Place {
    Place { file: image.file.clone(), line: 1, column: 1, path: "env".to_owned() }
}

struct Give<'a> {
    plan: &'a Plan,
    org: &'a Org,
    answers: &'a Answers,
    /// The reads whose failure has been said.
    failed: Vec<usize>,
    problems: Vec<Diagnostic>,
}

/// A value and whether the provider holds it as binary; `None` where it is absent and optional.
type Given = Option<(SecretBytes, bool)>;

impl Give<'_> {
    /// Returns the value and its origin; `None` if there is a problem, which then has been added.
    fn value(&mut self, usage: &Use) -> Option<(Given, Origin)> {
        let read = &self.plan.reads[usage.read];
        let mut origin = Origin {
            credential: self.org.credentials[read.credential].name.clone(),
            secret: read.id.to_string(),
            key: match &usage.selector {
                Selector::Whole => None,
                Selector::Key(key) | Selector::Pointer(key) => Some(key.clone()),
            },
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
                if !self.failed.contains(&usage.read) {
                    self.failed.push(usage.read);
                    self.problems.push((*failure.diagnostic).clone().at(usage.place.clone()));
                }
                return None;
            }
        };
        origin.secret = answer.arn.clone().unwrap_or(origin.secret);
        origin.version_id = answer.version_id.clone();
        match select::select(&answer.bytes, &usage.selector) {
            Ok(bytes) => Some((Some((bytes, answer.binary)), origin)),
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

    /// Returns the bytes as a variable takes them; `None` if it cannot, which then has been said.
    fn variable(&mut self, name: &str, usage: &Use, bytes: SecretBytes, binary: bool) -> Option<SecretBytes> {
        let whole_binary = binary && usage.selector == Selector::Whole;
        let bytes = match usage.encoding {
            Encoding::Base64 => SecretBytes::from(base64::engine::general_purpose::STANDARD.encode(bytes.expose())),
            Encoding::Text => bytes,
        };
        let problem = if usage.encoding == Encoding::Text && whole_binary {
            Diagnostic::error("binary-value", "the secret is binary, which no environment variable can hold")
                .hint("write `encoding: base64`, or put it under `files:`")
        } else if bytes.expose().contains(&0) {
            Diagnostic::error("nul", "the value has a NUL character, which no environment variable can hold")
                .hint("write `encoding: base64`, or put it under `files:`")
        } else if name.len() + 1 + bytes.len() > MAX_ENTRY_BYTES {
            let what = format!("KEY=value is {} bytes, over {MAX_ENTRY_BYTES}", name.len() + 1 + bytes.len());
            Diagnostic::error("too-long", what)
                .hint("the kernel passes no longer variable to a program; put the secret under `files:`")
        } else {
            return Some(bytes);
        };
        self.problems.push(problem.at(usage.place.clone()));
        None
    }
}

/// Returns what is wrong with a selector on a secret that was read.
pub fn select_problem(secret: &str, selector: &Selector, error: &SelectError) -> Diagnostic {
    let key = match selector {
        Selector::Whole => "",
        Selector::Key(key) | Selector::Pointer(key) => key,
    };
    match error {
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
                [] => diagnostic.hint("there are no keys at all"),
                keys => diagnostic.hint(format!("the keys there are {}", keys.join(", "))),
            }
        }
        SelectError::Null => Diagnostic::error("json-null", format!("the JSON key {key:?} in {secret} is null"))
            .hint("store a value under the key; for the empty string store \"\""),
    }
}
