//! Owns the reading of Compose files: a service's image, environment and secrets.

use super::node::{entries, get, items, scalar, text_at};
use super::{Draft, Secret, Source, choose};
use crate::error::Diagnostic;
use crate::yaml::{self, Kind, Node};

/// Reads one service.
///
/// # Errors
/// What makes the file unreadable, or which services there are to choose from.
pub(super) fn read(file: &str, text: &[u8], container: Option<&str>, draft: &mut Draft) -> Result<(), Vec<Diagnostic>> {
    let root = yaml::read(file, text)?;
    let services = get(&root, &["services"]).map(entries).unwrap_or_default();
    let services = services.into_iter().map(|(name, node)| (name.to_owned(), node)).collect();
    let service = choose(file, services, container)?;
    if let Some(image) = text_at(service, &["image"]) {
        draft.image(image);
    }
    if get(service, &["env_file"]).is_some() {
        draft.note("env_file", "not followed", "import each with `secretbake import dotenv FILE`");
    }
    if get(service, &["extends"]).is_some() {
        draft.note("extends", "not followed", "import the output of `docker compose config --no-interpolate`");
    }
    if let Some(environment) = get(service, &["environment"]) {
        match &environment.kind {
            Kind::Sequence(nodes) => {
                for entry in nodes {
                    match scalar(entry).map(|entry| entry.split_once('=').ok_or(entry)) {
                        Some(Ok((name, value))) => variable(draft, name, Some(value)),
                        Some(Err(name)) => variable(draft, name, None),
                        None => {
                            let what = format!("the entry on line {} is left out: not NAME=VALUE", entry.at.line);
                            draft.note("environment", &what, "write `- NAME=VALUE`, or all of it as `NAME: VALUE`");
                        }
                    }
                }
            }
            _ => entries(environment).into_iter().for_each(|(name, node)| variable(draft, name, scalar(node))),
        }
    }
    for secret in items(get(service, &["secrets"])) {
        mounted(draft, secret);
    }
    Ok(())
}

fn variable(draft: &mut Draft, name: &str, value: Option<&str>) {
    match value {
        None => draft.left_out(name, "its value comes from the environment"),
        Some(value) if value.replace("$$", "").contains('$') => {
            draft.left_out(name, "its value is put together from other variables");
        }
        Some(value) => draft.plain(name, &value.replace("$$", "$")),
    }
}

/// Takes a secret that Compose mounts as a file.
fn mounted(draft: &mut Draft, node: &Node) {
    let Some(source) = scalar(node).or_else(|| text_at(node, &["source"])) else { return };
    let target = text_at(node, &["target"]).unwrap_or(source);
    let path = if target.starts_with('/') { target.to_owned() } else { format!("/run/secrets/{target}") };
    let secret = Secret::to_fill_in(source.to_owned(), false);
    let good = path[1..].split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if good && super::Reference::parse(source).is_ok() && draft.files.iter().all(|(other, _)| *other != path) {
        draft.files.push((path, Source::Secret(secret)));
    } else {
        draft.note("secrets", "one is not carried over", "write it under `files:`");
    }
}
