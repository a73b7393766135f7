//! Owns the reading of Kubernetes manifests: a container's image and environment, from whatever object has containers.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::node::{entries, get, items, scalar, text, text_at};
use super::{Draft, Secret, choose};
use crate::error::Diagnostic;
use crate::yaml::{self, Kind, Node};

/// The most objects of a file.
const MOST_DOCUMENTS: usize = 1000;

/// What the file itself says of config maps and secrets, by their names.
#[derive(Default)]
struct Objects<'n> {
    config_maps: BTreeMap<&'n str, BTreeMap<&'n str, &'n str>>,
    /// The keys only.
    secrets: BTreeMap<&'n str, Vec<&'n str>>,
}

/// Reads one container of a file of one or more objects.
///
/// # Errors
/// What makes the file unreadable, or which containers there are to choose from.
pub(super) fn read(
    file: &str,
    bytes: &[u8],
    container: Option<&str>,
    draft: &mut Draft,
) -> Result<(), Vec<Diagnostic>> {
    let documents = documents(file, bytes)?;
    let mut objects = Objects::default();
    let mut containers = Vec::new();
    for document in &documents {
        let name = text_at(document, &["metadata", "name"]).unwrap_or_default();
        let values = |field| get(document, &[field]).map(entries).unwrap_or_default();
        match text_at(document, &["kind"]) {
            Some("ConfigMap") => {
                let data = values("data").into_iter().filter_map(|(key, node)| Some((key, scalar(node)?))).collect();
                objects.config_maps.insert(name, data);
            }
            Some("Secret") => {
                let keys = values("data").into_iter().chain(values("stringData")).map(|(key, _)| key).collect();
                objects.secrets.insert(name, keys);
            }
            _ => containers_of(document, 0, &mut containers),
        }
    }
    let container = choose(file, containers, container)?;
    if let Some(image) = text_at(container, &["image"]) {
        draft.image(image);
    }
    for source in items(get(container, &["envFrom"])) {
        all_of(source, &objects, draft);
    }
    for variable in items(get(container, &["env"])) {
        let Some(name) = text_at(variable, &["name"]) else { continue };
        match get(variable, &["valueFrom"]) {
            Some(from) => value_from(name, from, &objects, draft),
            None => match text_at(variable, &["value"]).unwrap_or_default() {
                value if value.contains("$(") => draft.left_out(name, "its value is put together from other variables"),
                value => draft.plain(name, value),
            },
        }
    }
    Ok(())
}

/// Reads each document by itself, its places those of the file.
fn documents(file: &str, bytes: &[u8]) -> Result<Vec<Rc<Node>>, Vec<Diagnostic>> {
    let mut documents = Vec::new();
    let mut current = String::new();
    let mut before = String::new();
    let mut finish = |before: &str, current: &str| {
        if documents.len() == MOST_DOCUMENTS {
            let problem = Diagnostic::error("many-documents", format!("{file} has over {MOST_DOCUMENTS} objects"));
            return Err(vec![problem.hint("import the file of the one that has the containers")]);
        }
        let has_content = current.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        if has_content {
            documents.push(yaml::read(file, format!("{before}{current}").as_bytes())?);
        }
        Ok::<(), Vec<Diagnostic>>(())
    };
    for line in text(file, bytes)?.split_inclusive('\n') {
        // a marker cannot stand in any other place at the beginning of a line
        if line.trim_end() == "---" || line.starts_with("--- ") {
            finish(&before, &current)?;
            before.extend(current.matches('\n'));
            before.push('\n');
            current.clear();
        } else {
            current.push_str(line);
        }
    }
    finish(&before, &current)?;
    Ok(documents)
}

/// Finds what has `containers`, wherever the kind of object keeps it.
fn containers_of<'n>(node: &'n Node, depth: usize, found: &mut Vec<(String, &'n Node)>) {
    // CronJob, the deepest of the kinds there are, needs five
    if depth > 8 {
        return;
    }
    if let Kind::Mapping(own) = &node.kind {
        for (key, value) in own {
            match (key.text.as_str(), &value.kind) {
                ("containers", Kind::Sequence(nodes)) => {
                    let named = |node: &'n Rc<Node>| (text_at(node, &["name"]).unwrap_or_default().to_owned(), &**node);
                    found.extend(nodes.iter().map(named));
                }
                ("spec" | "template" | "jobTemplate", _) => containers_of(value, depth + 1, found),
                ("items", Kind::Sequence(nodes)) => {
                    nodes.iter().for_each(|node| containers_of(node, depth + 1, found));
                }
                _ => {}
            }
        }
    }
}

fn value_from(name: &str, from: &Node, objects: &Objects<'_>, draft: &mut Draft) {
    let of = |kind| {
        let node = get(from, &[kind])?;
        Some((text_at(node, &["name"])?, text_at(node, &["key"])?, text_at(node, &["optional"]) == Some("true")))
    };
    if let Some((secret, key, optional)) = of("secretKeyRef") {
        draft.secret(name, Secret::to_fill_in(format!("{secret}#{key}"), optional));
    } else if let Some((map, key, _)) = of("configMapKeyRef") {
        match objects.config_maps.get(map).and_then(|map| map.get(key)) {
            Some(value) => draft.plain(name, value),
            None => draft.left_out(name, "its value is in a ConfigMap that is not in the file"),
        }
    } else {
        let hint = "leave it to Kubernetes: a variable that is set there wins over a baked one";
        draft.note(name, "left out: only the cluster knows its value", hint);
    }
}

/// Takes every variable of an `envFrom` entry, as far as the file knows them.
fn all_of(source: &Node, objects: &Objects<'_>, draft: &mut Draft) {
    let prefix = text_at(source, &["prefix"]).unwrap_or_default();
    if let Some(name) = text_at(source, &["configMapRef", "name"]) {
        match objects.config_maps.get(name) {
            Some(map) => map.iter().for_each(|(key, value)| draft.plain(&format!("{prefix}{key}"), value)),
            None => draft.note("envFrom", "a ConfigMap is not in the file", "add its variables under `env:`"),
        }
    } else if let Some(name) = text_at(source, &["secretRef", "name"]) {
        match objects.secrets.get(name) {
            Some(keys) => {
                for key in keys {
                    let secret = Secret::to_fill_in(format!("{name}#{key}"), false);
                    draft.secret(&format!("{prefix}{key}"), secret);
                }
            }
            None => draft.note("envFrom", "a Secret is not in the file", "add its variables under `env:`"),
        }
    }
}
