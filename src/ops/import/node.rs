//! Walks over other tools' YAML leniently: a node of an unexpected kind counts as absent.

use std::rc::Rc;

use crate::diagnostic::Diagnostic;
use crate::manifest::yaml::{self, Key, Kind, Node, Position};

/// Returns a file's text if it is UTF-8.
pub(super) fn text<'t>(file: &str, bytes: &'t [u8]) -> Result<&'t str, Vec<Diagnostic>> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        let start = Position { line: 1, column: 1, offset: 0 };
        let problem = Diagnostic::error("not-utf8", "not UTF-8 text").at(yaml::place(file, start, String::new()));
        vec![problem.hint("save the file as UTF-8")]
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Returns a mapping's entries, those of its merge keys (`<<`) first, so its own entries come last and win. Merged mappings may merge
/// others: the YAML reader limits what all aliases expand to.
pub(super) fn entries(node: &Node) -> Vec<(&Key, &Node)> {
    let mut found = Vec::new();
    collect(node, &mut found);
    found
}

fn collect<'n>(node: &'n Node, found: &mut Vec<(&'n Key, &'n Node)>) {
    let Kind::Mapping(own) = &node.kind else { return };
    for (_, merged) in own.iter().filter(|(key, _)| key.is_merge()) {
        match &merged.kind {
            // in a list, the first mapping wins
            Kind::Sequence(nodes) => nodes.iter().rev().for_each(|node| collect(node, found)),
            _ => collect(merged, found),
        }
    }
    found.extend(own.iter().filter(|(key, _)| !key.is_merge()).map(|(key, node)| (key, &**node)));
}

/// Returns the node at a path of keys.
pub(super) fn get<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter().try_fold(node, |node, key| {
        entries(node).into_iter().rfind(|(name, _)| name.text == *key).map(|(_, node)| node)
    })
}

/// Returns a list's items.
pub(super) fn items(node: Option<&Node>) -> &[Rc<Node>] {
    match node.map(|node| &node.kind) {
        Some(Kind::Sequence(nodes)) => nodes,
        _ => &[],
    }
}

/// Returns a scalar's text as written; `None` for a null.
pub(super) fn scalar(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Scalar(scalar) if scalar.plain && ["", "~", "null"].contains(&scalar.text.as_str()) => None,
        Kind::Scalar(scalar) => Some(&scalar.text),
        _ => None,
    }
}

/// Returns the text at a path of keys.
pub(super) fn text_at<'n>(node: &'n Node, path: &[&str]) -> Option<&'n str> {
    get(node, path).and_then(scalar)
}
