//! Reads Kubernetes manifests: a container's image and environment, from any object with containers.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use super::node::{entries, get, items, scalar, text, text_at};
use super::{Draft, Entry, Secret, choose};
use crate::diagnostic::Diagnostic;
use crate::diagnostic::lookalike::is_plausible_name;
use crate::manifest::yaml::{self, Kind, Node, Position};

/// The most objects in a file.
const MOST_DOCUMENTS: usize = 1000;

/// The config maps in the file, by name: each key with its place and value.
type ConfigMaps<'n> = BTreeMap<&'n str, BTreeMap<&'n str, (Position, &'n str)>>;

/// Reads one container from a file of one or more objects.
pub(super) fn read(
    file: &str,
    bytes: &[u8],
    container: Option<&str>,
    draft: &mut Draft,
) -> Result<(), Vec<Diagnostic>> {
    let documents = documents(file, bytes)?;
    let mut whole = Vec::new();
    documents.iter().for_each(|document| with_items(document, 0, &mut HashSet::new(), &mut whole));
    let mut config_maps = ConfigMaps::new();
    let mut containers = Vec::new();
    for object in whole {
        let name = text_at(object, &["metadata", "name"]).unwrap_or_default();
        let values = |field| get(object, &[field]).map(entries).unwrap_or_default();
        match text_at(object, &["kind"]) {
            Some("ConfigMap") => {
                let data = values("data").into_iter();
                let data = data.filter_map(|(key, node)| Some((&*key.text, (key.at, scalar(node)?)))).collect();
                config_maps.insert(name, data);
            }
            // its values are for the user to store
            Some("Secret") => {}
            _ => containers_of(object, 0, &mut HashSet::new(), &mut containers),
        }
    }
    let container = choose(file, containers, container)?;
    if let Some(image) = get(container, &["image"]) {
        draft.image(scalar(image).unwrap_or_default(), image.at);
    }
    if let Some(command) = get(container, &["command"]) {
        let words: Vec<String> =
            items(Some(command)).iter().filter_map(|node| scalar(node)).map(str::to_owned).collect();
        draft.own_command(Entry::new("command", command.at), &words, "command");
    }
    for source in items(get(container, &["envFrom"])) {
        all_of(source, &config_maps, draft);
    }
    for variable in items(get(container, &["env"])) {
        let Some(name) = text_at(variable, &["name"]) else {
            let hint = "write `- name: NAME` and `value: VALUE`";
            draft.note(Entry::new("env", variable.at), "left out: it has no name", hint);
            continue;
        };
        let entry = Entry::new(name, variable.at);
        match get(variable, &["valueFrom"]) {
            Some(from) => value_from(entry, from, &config_maps, draft),
            None => match expanded(text_at(variable, &["value"]).unwrap_or_default()) {
                None => draft.left_out(entry, "its value contains other variables"),
                Some(value) => {
                    draft.plain(entry, &value);
                }
            },
        }
    }
    if let Some(mounts) = get(container, &["volumeMounts"]) {
        let hint = "write a secret that is mounted under `files:`";
        draft.note(Entry::new("volumeMounts", mounts.at), "not imported", hint);
    }
    Ok(())
}

/// Returns a value with `$$` as `$`, like the cluster sets it; `None` if it refers to a variable.
fn expanded(value: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        out.push('$');
        rest = match after.strip_prefix('$') {
            Some(rest) => rest,
            None if after.starts_with('(') && after.contains(')') => return None,
            None => after,
        };
    }
    out.push_str(rest);
    Some(out)
}

/// Reads each document separately, with places in the whole file.
pub(super) fn documents(file: &str, bytes: &[u8]) -> Result<Vec<Rc<Node>>, Vec<Diagnostic>> {
    let mut documents = Vec::new();
    let mut current = String::new();
    let mut finish = |lines_before: usize, current: &str| {
        if documents.len() == MOST_DOCUMENTS {
            let problem = Diagnostic::error("many-documents", format!("{file} has over {MOST_DOCUMENTS} objects"));
            return Err(vec![problem.hint("import the file of the one that has the containers")]);
        }
        let has_content = current.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        if has_content {
            documents.push(yaml::read_foreign(file, current.as_bytes(), lines_before)?);
        }
        Ok::<(), Vec<Diagnostic>>(())
    };
    let mut begins = 0;
    for (index, line) in text(file, bytes)?.split_inclusive('\n').enumerate() {
        // at the start of a line, this is always a document marker
        if line.trim_end() == "---" || line.starts_with("--- ") {
            finish(begins, &current)?;
            begins = index + 1;
            current.clear();
        } else {
            current.push_str(line);
        }
    }
    finish(begins, &current)?;
    Ok(documents)
}

/// Returns an object, or the objects of a list.
fn with_items<'n>(node: &'n Node, depth: usize, seen: &mut HashSet<*const Node>, found: &mut Vec<&'n Node>) {
    // an alias repeats an object that was already seen
    if depth > 8 || !seen.insert(std::ptr::from_ref(node)) {
        return;
    }
    match get(node, &["items"]).map(|items| &items.kind) {
        Some(Kind::Sequence(nodes)) => nodes.iter().for_each(|node| with_items(node, depth + 1, seen, found)),
        _ => found.push(node),
    }
}

/// Finds `containers`, wherever this kind of object has them.
fn containers_of<'n>(
    node: &'n Node,
    depth: usize,
    seen: &mut HashSet<*const Node>,
    found: &mut Vec<(String, &'n Node)>,
) {
    // CronJob, the deepest kind, needs five
    if depth > 8 || !seen.insert(std::ptr::from_ref(node)) {
        return;
    }
    for (key, value) in entries(node) {
        match (key.text.as_str(), &value.kind) {
            ("containers", Kind::Sequence(nodes)) => {
                let named = |node: &'n Rc<Node>| (text_at(node, &["name"]).unwrap_or_default().to_owned(), &**node);
                found.extend(nodes.iter().map(named));
            }
            ("spec" | "template" | "jobTemplate", _) => containers_of(value, depth + 1, seen, found),
            _ => {}
        }
    }
}

fn value_from(entry: Entry<'_>, from: &Node, config_maps: &ConfigMaps<'_>, draft: &mut Draft) {
    let of = |kind| {
        let node = get(from, &[kind])?;
        Some((text_at(node, &["name"])?, text_at(node, &["key"])?, text_at(node, &["optional"]) == Some("true")))
    };
    if let Some((secret, key, optional)) = of("secretKeyRef") {
        draft.secret(entry, Secret::to_fill_in(&format!("{secret}#{key}"), optional));
    } else if let Some((map, key, _)) = of("configMapKeyRef") {
        match config_maps.get(map).and_then(|map| map.get(key)) {
            Some((_, value)) => {
                draft.plain(entry, value);
            }
            None => draft.left_out(entry, "its value is in a ConfigMap that is not in the file"),
        }
    } else {
        let hint = "leave it to Kubernetes: a variable that is set there wins over a baked one";
        draft.note(entry, "left out: only the cluster knows its value", hint);
    }
}

/// Takes every variable of a config map in the file, and a secret as a whole.
fn all_of(source: &Node, config_maps: &ConfigMaps<'_>, draft: &mut Draft) {
    let prefix = text_at(source, &["prefix"]).unwrap_or_default();
    if let Some(name) = text_at(source, &["configMapRef", "name"]) {
        match config_maps.get(name) {
            Some(map) => map.iter().for_each(|(key, (at, value))| {
                draft.plain(Entry::new(&format!("{prefix}{key}"), *at), value);
            }),
            None => {
                let what = format!("the ConfigMap {} is not in the file", shown(name));
                draft.note(Entry::new("envFrom", source.at), &what, "add its variables under `env:`");
            }
        }
    } else if let Some(name) = text_at(source, &["secretRef", "name"]) {
        let optional = text_at(source, &["secretRef", "optional"]) == Some("true");
        if !draft.whole_secret(name, prefix, optional) {
            let entry = Entry::new("envFrom", source.at);
            draft.note(entry, "the name or prefix of a Secret is not copied", "add it under `env_from:`");
        }
    }
}

/// Returns the name of an object in quotes, if it can be one.
fn shown(name: &str) -> String {
    if is_plausible_name(name) { format!("`{name}`") } else { "that it names".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::expanded;

    #[test]
    fn a_value_is_what_the_cluster_makes_of_it() {
        for (written, value) in [
            ("pa$$word", Some("pa$word")),
            ("a$b", Some("a$b")),
            ("$$(HOME)", Some("$(HOME)")),
            ("$(HOME)", None),
            ("x$$$(HOME)", None),
            ("$(", Some("$(")),
            ("a$", Some("a$")),
        ] {
            assert_eq!(expanded(written).as_deref(), value, "{written}");
        }
    }
}
