//! Owns the lenient walk over other tools' YAML: what is not of the expected kind is as good as absent.

use std::rc::Rc;

use crate::error::Diagnostic;
use crate::yaml::{self, Kind, Node, Position};

/// How many entries a list of merge keys may bring: the same one can stand there many times.
const MOST_MERGED: usize = 100_000;

/// Returns a file's text.
///
/// # Errors
/// A file that is not UTF-8.
pub(super) fn text<'t>(file: &str, bytes: &'t [u8]) -> Result<&'t str, Vec<Diagnostic>> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        let start = Position { line: 1, column: 1, offset: 0 };
        let problem = Diagnostic::error("not-utf8", "not UTF-8 text").at(yaml::place(file, start, String::new()));
        vec![problem.hint("save the file as UTF-8")]
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Returns a mapping's entries, those of its merge keys (`<<`) first, so that its own come last and win.
pub(super) fn entries(node: &Node) -> Vec<(&str, &Node)> {
    let Kind::Mapping(own) = &node.kind else { return Vec::new() };
    let mut entries: Vec<(&str, &Node)> = Vec::new();
    for (_, merged) in own.iter().filter(|(key, _)| key.text == "<<") {
        match &merged.kind {
            Kind::Sequence(nodes) => {
                let merged = nodes.iter().rev().flat_map(|node| plain_entries(node));
                entries.extend(merged.take(MOST_MERGED));
            }
            _ => entries.extend(plain_entries(merged)),
        }
    }
    entries.extend(plain_entries(node));
    entries
}

/// One level of merging is all: a merge key inside of what is merged in is left, so an alias bomb costs nothing.
fn plain_entries(node: &Node) -> Vec<(&str, &Node)> {
    let Kind::Mapping(own) = &node.kind else { return Vec::new() };
    own.iter().filter(|(key, _)| key.text != "<<").map(|(key, node)| (key.text.as_str(), &**node)).collect()
}

/// Returns the node at a path of keys.
pub(super) fn get<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter()
        .try_fold(node, |node, key| entries(node).into_iter().rfind(|(name, _)| name == key).map(|(_, node)| node))
}

/// Returns a list's items.
pub(super) fn items(node: Option<&Node>) -> &[Rc<Node>] {
    match node.map(|node| &node.kind) {
        Some(Kind::Sequence(nodes)) => nodes,
        _ => &[],
    }
}

/// Returns a scalar's text as it is written; `None` for a null.
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
