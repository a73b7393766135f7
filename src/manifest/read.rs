//! Owns the reading of a manifest's text into [`Manifest`], with every problem in one pass.

use std::collections::BTreeSet;

use super::advice::section_meant;
use super::env_from::env_from;
use super::foreign_reference::ForeignReference;
use super::reference::PLACEHOLDER;
use super::seal;
use super::secret_name::is_secret_name;
use super::secret_use::access;
use super::template::source;
use super::variable_name::is_variable_name;
use super::{ENV_PATH, EnvFrom, File, Format, Image, Inject, Manifest, SecretSource, Variable, VariableSource};
use crate::diagnostic::Diagnostic;
use crate::diagnostic::lookalike::looks_like;
use crate::image::name::ImageName;
use crate::manifest::yaml::fields::{Field, Problems, document};
use crate::manifest::yaml::{self, Kind, Positioned, join, place};

/// The longest `KEY=value` the kernel passes to a program, in bytes without its NUL.
pub const MAX_ENTRY_BYTES: usize = 131_071;

/// Reads a manifest. `file` is its name in diagnostics.
///
/// Returns the parts that could be read, with every problem and warning in the order of the file.
pub fn read(file: &str, text: &[u8]) -> (Option<Manifest>, Vec<Diagnostic>) {
    let (manifest, mut problems) =
        document(file, text, &["version", "image", "env_from", "env", "files"], |problems, fields| {
            let image = fields.get("image").map(|field| image(problems, &field)).unwrap_or_default();
            let env = fields.get("env").map(|field| env(problems, &field)).unwrap_or_default();
            let own: BTreeSet<&str> = env.iter().map(|variable| variable.name.as_str()).collect();
            let env_from = fields.get("env_from").map(|field| env_from(problems, &field, &own)).unwrap_or_default();
            let files = fields.get("files").map(|field| files(problems, &field, &image)).unwrap_or_default();
            engines_own(problems, &image, &env, &env_from);
            let sections = fields.iter().filter(|(key, _)| section_meant(&key.text).is_some());
            let what = match sections.map(|(_, field)| is_empty(&field)).reduce(|all, one| all && one) {
                None => Some("nothing to bake: no `env:`, `env_from:` or `files:`"),
                Some(true) => Some("nothing to bake: no variable and no file"),
                Some(false) => None,
            };
            if let Some(what) = what {
                let hint = "add the variables under `env:`".to_owned();
                problems.error("nothing-to-bake", fields.at, "", what).hints.push(hint);
            }
            Manifest { file: file.to_owned(), image, env_from, env, files }
        });
    problems.iter_mut().for_each(super::advice::advise);
    (manifest, problems)
}

fn is_empty(section: &Field<'_>) -> bool {
    match &section.node.kind {
        Kind::Mapping(entries) => entries.is_empty(),
        Kind::Sequence(entries) => entries.is_empty(),
        Kind::Scalar(_) => false,
    }
}

fn image(problems: &mut Problems<'_>, field: &Field<'_>) -> Image {
    const KNOWN: [&str; 8] = ["base", "tags", "inject", "format", "path", "mode", "owner", "seal"];
    let before = problems.list.len();
    let Some(fields) = problems.fields(field, &KNOWN) else { return Image { broken: true, ..Image::default() } };
    let base = fields.get("base").and_then(|field| name(problems, &field));
    let tags = fields.get("tags").map(|field| problems.list(&field)).unwrap_or_default();
    let tags = tags.iter().filter_map(|field| tag(problems, field)).collect();
    let inject = fields.get("inject").and_then(|field| problems.choice(&field, &Inject::NAMES)).unwrap_or_default();
    let format = fields.get("format").and_then(|field| problems.choice(&field, &Format::NAMES));
    let path = fields.get("path").and_then(|field| {
        let text = problems.string(&field)?;
        path(problems, text.value, text.at, &field.path)
            .then(|| Positioned { value: text.value.to_owned(), at: text.at })
    });
    let file = ("needs-inject-file", "only used with `inject: file`", "write `inject: file`, or remove this field");
    let any =
        ("needs-an-env-file", "with `inject: config` there is no env file", "remove this field, or `inject: config`");
    let useless = match inject {
        Inject::File => vec![],
        Inject::Launcher => vec![("format", file), ("path", file)],
        Inject::Config => vec![("format", file), ("path", file), ("mode", any), ("owner", any)],
    };
    for (name, (code, what, hint)) in useless {
        if let Some(field) = fields.get(name) {
            problems.error(code, field.node.at, &field.path, what).hints.push(hint.to_owned());
        }
    }
    let access = access(problems, &fields);
    let seal = fields.get("seal").and_then(|field| seal::choice(problems, &field));
    let broken = problems.list.len() > before;
    Image { base, tags, inject, format: format.unwrap_or_default(), path, access, seal, broken }
}

fn name(problems: &mut Problems<'_>, field: &Field<'_>) -> Option<Positioned<ImageName>> {
    let text = problems.string(field)?;
    if text.value.starts_with(PLACEHOLDER) {
        let line = if field.path == "image.base" { "base: NAME:TAG" } else { "tags: [NAME:TAG]" };
        problems
            .error("placeholder", text.at, &field.path, "still the placeholder of `secretbake import`")
            .hints
            .push(format!("write the image's name: `{line}`"));
        return None;
    }
    match ImageName::parse(text.value) {
        Ok(value) => Some(Positioned { value, at: text.at }),
        Err(error) => {
            problems.error("bad-image", text.at, &field.path, error.to_string()).hints.push(error.hint(text.value));
            None
        }
    }
}

fn tag(problems: &mut Problems<'_>, field: &Field<'_>) -> Option<Positioned<ImageName>> {
    let tag = name(problems, field)?;
    if let Err(what) = is_target(&tag.value) {
        problems
            .error("bad-tag", tag.at, &field.path, what)
            .hints
            .push("give the baked image its own name and tag, such as crew:1.4.2-prod".to_owned());
        return None;
    }
    Some(tag)
}

/// Checks whether an image can be written under the name; the error says why not.
pub fn is_target(name: &ImageName) -> Result<(), &'static str> {
    match name {
        ImageName::Scratch => Err("scratch cannot be a tag"),
        ImageName::Engine(name) | ImageName::Registry(name) if name.digest().is_some() => {
            Err("a digest or image ID cannot be a tag")
        }
        _ => Ok(()),
    }
}

fn env(problems: &mut Problems<'_>, field: &Field<'_>) -> Vec<Variable> {
    let Some(fields) = problems.mapping(field) else { return Vec::new() };
    let mut variables = Vec::new();
    for (key, field) in fields.iter() {
        if !is_variable_name(&key.text) {
            problems
                .error("bad-name", key.at, &field.path, "not a variable name")
                .hints
                .push("start with a letter or `_`, and use only letters, digits and `_`".to_owned());
        }
        let source = match &field.node.kind {
            Kind::Mapping(_) => {
                let source = source(problems, &field, &["encoding"], &[]).and_then(|(_, source)| source);
                source.filter(|source| has_no_nul(problems, source, &field.path)).map(VariableSource::Secret)
            }
            Kind::Scalar(_) => plain(problems, &key.text, &field).map(VariableSource::Plain),
            Kind::Sequence(_) => {
                problems.expected(&field, "a string or a mapping with `secret:`");
                None
            }
        };
        if let Some(source) = source {
            variables.push(Variable { name: key.text.clone(), at: key.at, source });
        }
    }
    variables
}

/// Tells whether a variable can hold a template's own text, and reports it if not.
fn has_no_nul(problems: &mut Problems<'_>, source: &SecretSource, path: &str) -> bool {
    let SecretSource::Template(template) = source else { return true };
    let has_nul = template.text.contains('\0');
    if has_nul {
        problems
            .error(
                "nul",
                template.at,
                &join(path, "template"),
                "an environment variable cannot contain a NUL character",
            )
            .hints
            .push("put the value into a file under `files:`, or encode it".to_owned());
    }
    !has_nul
}

/// Warns of secrets that the launcher cannot set: it does not replace a variable that is set, and engines set these first.
fn engines_own(problems: &mut Problems<'_>, image: &Image, env: &[Variable], env_from: &[EnvFrom]) {
    if image.inject != Inject::Launcher {
        return;
    }
    let is_secret = |variable: &&Variable| !matches!(variable.source, VariableSource::Plain(_));
    let own = env
        .iter()
        .filter(is_secret)
        .map(|variable| (variable.name.clone(), place(problems.file, variable.at, join("env", &variable.name))));
    let mut warnings: Vec<Diagnostic> =
        own.filter_map(|(name, place)| Some(set_by_engines(&name)?.at(place))).collect();
    for entry in env_from {
        for (name, _, at) in entry.naming.known() {
            let Some(warning) = set_by_engines(&name) else { continue };
            if env.iter().all(|variable| variable.name != name) {
                warnings.push(warning.at(place(problems.file, at, join(&entry.path, &name))));
            }
        }
    }
    for warning in warnings {
        problems.list.add(warning);
    }
}

/// Returns a warning for a variable that the launcher cannot set, since engines set it first.
pub fn set_by_engines(name: &str) -> Option<Diagnostic> {
    let what = "container engines set this variable, and the launcher does not replace a variable that is set";
    let warning = Diagnostic::warning("engine-variable", what);
    let hint = "write `inject: config` under `image:`, or give the variable another name";
    ["HOME", "HOSTNAME", "PATH", "TERM"].contains(&name).then(|| warning.hint(hint))
}

fn plain(problems: &mut Problems<'_>, name: &str, field: &Field<'_>) -> Option<String> {
    let text = if is_secret_name(name) { problems.unrepeated(field)? } else { problems.string(field)? };
    if text.value.contains('\0') {
        problems
            .error("nul", text.at, &field.path, "an environment variable cannot contain a NUL character")
            .hints
            .push("put the value into a file under `files:`, or encode it".to_owned());
        return None;
    }
    if name.len() + 1 + text.value.len() > MAX_ENTRY_BYTES {
        problems
            .error(
                "too-long",
                text.at,
                &field.path,
                format!("the name and value are longer than {MAX_ENTRY_BYTES} bytes"),
            )
            .hints
            .push("the kernel does not pass a longer variable to a program; put the value under `files:`".to_owned());
        return None;
    }
    if let Some(kind) = looks_like(text.value) {
        problems
            .warning("credential-in-clear", text.at, &field.path, format!("the plain value looks like {kind}"))
            .hints
            .push("store it in the secret provider and write `secret: secret-name` here".to_owned());
    }
    warn_of_literal(problems, name, &text, &field.path);
    Some(text.value.to_owned())
}

/// Warns of references and placeholders in a plain value that other tools replace and secretbake does not.
fn warn_of_literal(problems: &mut Problems<'_>, name: &str, text: &Positioned<&str>, path: &str) {
    // an application may want the ARN of a secret or a parameter itself
    let foreign = ForeignReference::recognise(text.value)
        .filter(|_| !(text.value.starts_with("arn:") && text.value.contains(":ssm:")));
    let (what, hints) = match (foreign, template_syntax(text.value)) {
        (Some(foreign), _) => (foreign.what.clone(), foreign.hints(Some(name))),
        (None, Some(syntax)) => {
            let hint = match syntax {
                "{{ … }}" => {
                    "write `template:` and `with:` to put secrets into a text; ignore this if the application replaces it"
                }
                _ => "write the value itself, or `secret: secret-name`; ignore this if the application replaces it",
            };
            (format!("`{syntax}`"), vec![hint.to_owned()])
        }
        (None, None) => return,
    };
    let what = format!("{what} is taken literally in a plain value");
    problems.warning("taken-literally", text.at, path, what).hints.extend(hints);
}

/// Returns the syntax that a template language would replace in the text.
fn template_syntax(text: &str) -> Option<&'static str> {
    let has = |open: &str, is_first: fn(char) -> bool, close: &str| {
        text.match_indices(open).any(|(at, _)| {
            let inner = text.get(at + open.len()..).unwrap_or_default();
            inner.trim_start().starts_with(is_first) && inner.contains(close)
        })
    };
    if has("${", |c| c.is_ascii_alphabetic() || c == '_', "}") {
        return Some("${…}");
    }
    has("{{", |_| true, "}}").then_some("{{ … }}")
}

fn files(problems: &mut Problems<'_>, field: &Field<'_>, image: &Image) -> Vec<File> {
    let Some(fields) = problems.mapping(field) else { return Vec::new() };
    let env_path = image.path.as_ref().map_or(ENV_PATH, |path| &path.value);
    let mut files: Vec<File> = Vec::new();
    let mut taken = BTreeSet::from([env_path.to_owned()]);
    for (key, field) in fields.iter() {
        let mut good = path(problems, &key.text, key.at, &field.path);
        if good && (key.text == env_path || clashes(&taken, &key.text)) {
            problems
                .error(
                    "path-taken",
                    key.at,
                    &field.path,
                    "another file of the image has this path, or one above or below it",
                )
                .hints
                .push("choose another path for one of them".to_owned());
            good = false;
        }
        let Some((fields, source)) = source(problems, &field, &[], &["mode", "owner"]) else { continue };
        let access = access(problems, &fields);
        if let (true, Some(source)) = (good, source) {
            taken.insert(key.text.clone());
            files.push(File { path: key.text.clone(), at: key.at, source, access });
        }
    }
    files
}

/// Tells whether one of the paths is a directory of the other.
fn clashes(taken: &BTreeSet<String>, path: &str) -> bool {
    let beneath = format!("{path}/");
    let is_above = taken.range(beneath.clone()..).next().is_some_and(|first| first.starts_with(&beneath));
    is_above || path.match_indices('/').any(|(end, _)| path.get(..end).is_some_and(|above| taken.contains(above)))
}

/// Paths that containers do not get from their image: the kernel's file systems, and files that engines write.
const SET_BY_THE_RUNTIME: [&str; 6] = ["/proc", "/sys", "/dev", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

/// The path of the launcher in every image.
const LAUNCH: &str = "/.secretbake/launch";

/// The directory of sealed files in a sealed image.
const SEALED: &str = "/.secretbake/sealed";

fn is_beneath(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

/// Tells whether a path can be a file of the image, and reports it if not.
fn path(problems: &mut Problems<'_>, path: &str, at: yaml::Position, key_path: &str) -> bool {
    const WHOLE: &str = "write the file's full path in the image, such as /app/tls/server.pem";
    const OTHER: &str = "choose another path, such as /app/tls/server.pem";
    let (what, hint) = if !path.starts_with('/') {
        ("not an absolute path", WHOLE)
    } else if path.contains('\0') {
        ("the path has a NUL character", OTHER)
    } else if path[1..].split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        ("the path has an empty part, `.` or `..`", WHOLE)
    } else if SET_BY_THE_RUNTIME.iter().any(|own| path == *own || is_beneath(path, own)) {
        ("container engines mount or write something else at this path", OTHER)
    } else if path == "/.secretbake" || [LAUNCH, SEALED].iter().any(|own| path == *own || is_beneath(path, own)) {
        ("the launcher uses this path", OTHER)
    } else if path.split('/').any(|part| part.starts_with(".wh.")) {
        ("image layers use names that begin with `.wh.` for deletions", OTHER)
    } else if path.len() > 4095 || path.split('/').any(|part| part.len() > 255) {
        ("the path is longer than the kernel allows", OTHER)
    } else {
        return true;
    };
    problems.error("bad-path", at, key_path, what).hints.push(hint.to_owned());
    false
}
