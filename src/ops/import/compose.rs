//! Reads Compose files: a service's image, environment and secrets.

use std::collections::{HashMap, HashSet};

use super::node::{entries, get, items, scalar, text_at};
use super::{Draft, DraftSource, Secret, choose, is_bare_name};
use crate::diagnostic::Diagnostic;
use crate::diagnostic::lookalike::{is_plausible_name, looks_like};
use crate::manifest::is_variable_name;
use crate::manifest::reference::Reference;
use crate::manifest::yaml::{self, Kind, Node};

/// Reads one service.
pub(super) fn read(file: &str, text: &[u8], container: Option<&str>, draft: &mut Draft) -> Result<(), Vec<Diagnostic>> {
    let root = yaml::read_foreign(file, text, 0)?;
    let services = get(&root, &["services"]).map(entries).unwrap_or_default();
    let services = services.into_iter().map(|(name, node)| (name.to_owned(), node)).collect();
    let service = choose(file, services, container)?;
    if let Some(image) = text_at(service, &["image"]) {
        draft.image(image);
    }
    if let Some(entrypoint) = get(service, &["entrypoint"]) {
        let words = match scalar(entrypoint) {
            Some(line) => line.split_whitespace().map(str::to_owned).collect(),
            None => {
                items(Some(entrypoint)).iter().filter_map(|node| scalar(node)).map(str::to_owned).collect::<Vec<_>>()
            }
        };
        draft.own_command("entrypoint", &words, "entrypoint");
    }
    if let Some(files) = get(service, &["env_file"]) {
        match &files.kind {
            Kind::Sequence(files) => files.iter().for_each(|file| env_file(draft, file)),
            _ => env_file(draft, files),
        }
    }
    if get(service, &["extends"]).is_some() {
        draft.note("extends", "not imported", "import the output of `docker compose config --no-interpolate`");
    }
    if let Some(environment) = get(service, &["environment"]) {
        match &environment.kind {
            Kind::Sequence(nodes) => {
                for entry in nodes {
                    match scalar(entry).map(|entry| entry.split_once('=').ok_or(entry)) {
                        Some(Ok((name, value))) => variable(draft, name, Some(value)),
                        Some(Err(name)) if is_bare_name(name) => variable(draft, name, None),
                        _ => {
                            let what = format!("the entry on line {} is left out: not NAME=VALUE", entry.at.line);
                            draft.note("environment", &what, "write `- NAME=VALUE`, or all of it as `NAME: VALUE`");
                        }
                    }
                }
            }
            _ => entries(environment).into_iter().for_each(|(name, node)| variable(draft, name, scalar(node))),
        }
    }
    let defined = get(&root, &["secrets"]).map(entries).unwrap_or_default();
    let outside = defined.into_iter().filter_map(|(name, node)| Some((name, text_at(node, &["name"])?))).collect();
    let mut paths = HashSet::new();
    for secret in items(get(service, &["secrets"])) {
        mounted(draft, &outside, &mut paths, secret);
    }
    if get(service, &["configs"]).is_some() {
        draft.note("configs", "not imported", "copy them into the image, or write those with a secret under `files:`");
    }
    Ok(())
}

/// Takes a file of variables for a secret that has them as its keys.
fn env_file(draft: &mut Draft, file: &Node) {
    let path = scalar(file).or_else(|| text_at(file, &["path"])).unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let optional = text_at(file, &["required"]) == Some("false");
    let hint = "store its variables as one JSON object, or import them with `secretbake import dotenv FILE` instead";
    match is_plausible_name(name) && draft.whole_secret(name, "", optional) {
        true => draft.note("env_file", &format!("{name} becomes one secret to fill in under `env_from:`"), hint),
        false => draft.note("env_file", "a file is not imported", "import it with `secretbake import dotenv FILE`"),
    }
}

fn variable(draft: &mut Draft, name: &str, value: Option<&str>) {
    match value {
        None => draft.left_out(name, "its value comes from the environment"),
        Some(value) => match with_defaults(value) {
            None if is_one_variable(value) => draft.left_out(name, "its value comes from the environment"),
            None => draft.left_out(name, "its value contains other variables"),
            Some(default) if value.replace("$$", "").contains('$') && draft.plain(name, &default) => {
                draft.note(name, "the default in the file is taken as its value", "check that it is the one to bake");
            }
            Some(value) => {
                draft.plain(name, &value);
            }
        },
    }
}

/// Returns a value with `$$` as `$`, and each `${NAME:-default}` as its default; `None` if it contains a variable without one.
pub(super) fn with_defaults(value: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (inner, after) = after.strip_prefix('{')?.split_once('}')?;
        let (name, default) = inner.split_once('-')?;
        if !is_variable_name(name.strip_suffix(':').unwrap_or(name)) || default.contains(['$', '{']) {
            return None;
        }
        out.push_str(default);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// Tells whether a value is only `$NAME`, `${NAME}` or `${NAME:?message}`.
fn is_one_variable(value: &str) -> bool {
    let Some(rest) = value.strip_prefix('$') else { return false };
    let Some(inner) = rest.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) else {
        return is_variable_name(rest);
    };
    let name = inner.split_once('?').map_or(inner, |(name, _)| name.strip_suffix(':').unwrap_or(name));
    is_variable_name(name)
}

/// Takes a secret that Compose mounts as a file, under its external name.
fn mounted(draft: &mut Draft, outside: &HashMap<&str, &str>, paths: &mut HashSet<String>, node: &Node) {
    let source = scalar(node).or_else(|| text_at(node, &["source"]));
    let target = text_at(node, &["target"]).or(source).unwrap_or_default();
    let path = if target.starts_with('/') { target.to_owned() } else { format!("/run/secrets/{target}") };
    let name = source.map(|source| outside.get(source).copied().unwrap_or(source)).unwrap_or_default();
    let good = path.split('/').skip(1).all(|part| !part.is_empty() && part != "." && part != "..")
        && !name.contains('$')
        && looks_like(name).is_none()
        && Reference::parse(name).is_ok()
        && paths.insert(path.clone());
    if !good {
        let what = format!("the entry on line {} is not imported", node.at.line);
        return draft.note("secrets", &what, "write it under `files:`");
    }
    if ["uid", "gid", "mode"].iter().any(|field| get(node, &[field]).is_some()) {
        let what = format!("the uid, gid or mode on line {} is not imported", node.at.line);
        draft.note("secrets", &what, "write `owner:` and `mode:` at the file");
    }
    draft.files.push((path, DraftSource::Secret(Secret::to_fill_in(name, false))));
}
