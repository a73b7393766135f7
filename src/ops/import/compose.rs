//! Reads Compose files: a service's image, environment and secrets.

use std::collections::{HashMap, HashSet};

use super::node::{entries, get, items, scalar, text_at};
use super::{Draft, DraftSource, Entry, Secret, choose, interpolation, is_bare_name};
use crate::diagnostic::Diagnostic;
use crate::diagnostic::command::own;
use crate::diagnostic::lookalike::{is_plausible_name, looks_like};
use crate::manifest::reference::Reference;
use crate::manifest::yaml::{self, Kind, Node};

/// Reads one service.
pub(super) fn read(file: &str, text: &[u8], container: Option<&str>, draft: &mut Draft) -> Result<(), Vec<Diagnostic>> {
    let root = yaml::read_foreign(file, text, 0)?;
    let services = get(&root, &["services"]).map(entries).unwrap_or_default();
    let services = services.into_iter().map(|(name, node)| (name.text.clone(), node)).collect();
    let service = choose(file, services, container)?;
    if let Some(image) = get(service, &["image"]) {
        draft.image(scalar(image).unwrap_or_default(), image.at);
    }
    if let Some(entrypoint) = get(service, &["entrypoint"]) {
        let words = match scalar(entrypoint) {
            Some(line) => line.split_whitespace().map(str::to_owned).collect(),
            None => {
                items(Some(entrypoint)).iter().filter_map(|node| scalar(node)).map(str::to_owned).collect::<Vec<_>>()
            }
        };
        draft.own_command(Entry::new("entrypoint", entrypoint.at), &words, "entrypoint");
    }
    if let Some(files) = get(service, &["env_file"]) {
        match &files.kind {
            Kind::Sequence(files) => files.iter().for_each(|file| env_file(draft, file)),
            _ => env_file(draft, files),
        }
    }
    if let Some(extends) = get(service, &["extends"]) {
        let hint = "import the output of `docker compose config --no-interpolate`";
        draft.note(Entry::new("extends", extends.at), "not imported", hint);
    }
    if let Some(environment) = get(service, &["environment"]) {
        match &environment.kind {
            Kind::Sequence(nodes) => {
                for node in nodes {
                    match scalar(node).map(|entry| entry.split_once('=').ok_or(entry)) {
                        Some(Ok((name, value))) => interpolation::put(draft, Entry::new(name, node.at), Some(value)),
                        Some(Err(name)) if is_bare_name(name) => {
                            interpolation::put(draft, Entry::new(name, node.at), None);
                        }
                        _ => {
                            let hint = "write `- NAME=VALUE`, or all of it as `NAME: VALUE`";
                            draft.note(Entry::new("environment", node.at), "left out: not NAME=VALUE", hint);
                        }
                    }
                }
            }
            _ => entries(environment).into_iter().for_each(|(name, node)| {
                interpolation::put(draft, Entry::new(&name.text, name.at), scalar(node));
            }),
        }
    }
    let defined = get(&root, &["secrets"]).map(entries).unwrap_or_default();
    let outside =
        defined.into_iter().filter_map(|(name, node)| Some((&*name.text, text_at(node, &["name"])?))).collect();
    let mut paths = HashSet::new();
    for secret in items(get(service, &["secrets"])) {
        mounted(draft, &outside, &mut paths, secret);
    }
    if let Some(configs) = get(service, &["configs"]) {
        let hint = "copy them into the image, or write those with a secret under `files:`";
        draft.note(Entry::new("configs", configs.at), "not imported", hint);
    }
    Ok(())
}

/// Takes a file of variables for a secret that has them as its keys.
fn env_file(draft: &mut Draft, file: &Node) {
    let path = scalar(file).or_else(|| text_at(file, &["path"])).unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let optional = text_at(file, &["required"]) == Some("false");
    let import = own("import dotenv FILE");
    let hint = format!("store its variables as one JSON object, or import them with `{import}` instead");
    let entry = Entry::new("env_file", file.at);
    match is_plausible_name(name) && draft.whole_secret(name, "", optional) {
        true => draft.note(entry, &format!("{name} becomes one secret to fill in under `env_from:`"), &hint),
        false => draft.note(entry, "a file is not imported", &format!("import it with `{import}`")),
    }
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
    let entry = Entry::new("secrets", node.at);
    if !good {
        return draft.note(entry, "not imported", "write it under `files:`");
    }
    if ["uid", "gid", "mode"].iter().any(|field| get(node, &[field]).is_some()) {
        draft.note(entry, "its uid, gid or mode is not imported", "write `owner:` and `mode:` at the file");
    }
    draft.files.push((path, DraftSource::Secret(Secret::to_fill_in(name, false))));
}
