//! Owns the reading of YAML text into a tree. Every node knows its place and whether it was quoted.
//!
//! It must not know what the text means (that is `manifest` and `org`), and it must end in bounded time and memory
//! for any input: size and depth are limited, and an alias shares its node instead of copying it. A walk over the tree visits a
//! shared node once for each alias, so the number of nodes that all aliases repeat is limited too.

mod build;
pub mod fields;
mod problem_list;
mod scalar_type;

use std::rc::Rc;

use zeroize::Zeroizing;

use crate::diagnostic::lookalike::{is_plausible_name, looks_like, looks_like_a_key};
use crate::diagnostic::{Diagnostic, Place};
use build::{Builder, parse};
pub use scalar_type::is_string;

/// The largest document that is read, in bytes: 10,000 variables fit many times.
pub const MAX_BYTES: usize = 8 << 20;
/// A place in the text: line and column from 1 (column in characters), and the offset in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    pub line: usize,
    pub column: usize,
    pub offset: usize,
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positioned<T> {
    pub value: T,
    pub at: Position,
}

/// A node of the tree, from its first character to just after its last.
pub struct Node {
    pub at: Position,
    pub end: Position,
    pub kind: Kind,
    /// How many nodes a walk from here visits, itself included.
    weight: usize,
}

/// What a node is.
pub enum Kind {
    Scalar(Scalar),
    Sequence(Vec<Rc<Node>>),
    Mapping(Vec<(Key, Rc<Node>)>),
}

/// A scalar: its text, wiped on drop, and whether it was written plain, so that its type depends on the reader's schema.
pub struct Scalar {
    pub text: Zeroizing<String>,
    pub plain: bool,
}

/// A mapping's key.
pub struct Key {
    pub text: String,
    pub at: Position,
}

impl Key {
    /// Tells whether it is `<<`, which some YAML readers replace by another mapping's entries.
    pub fn is_merge(&self) -> bool {
        self.text == "<<"
    }
}

impl Node {
    fn new(at: Position, end: Position, kind: Kind) -> Self {
        let of = |nodes: &mut dyn Iterator<Item = &Rc<Node>>| {
            nodes.fold(1, |weight: usize, node| weight.saturating_add(node.weight))
        };
        let weight = match &kind {
            Kind::Scalar(_) => 1,
            Kind::Sequence(nodes) => of(&mut nodes.iter()),
            Kind::Mapping(entries) => of(&mut entries.iter().map(|(_, node)| node)),
        };
        Node { at, end, kind, weight }
    }

    /// Tells whether nothing is written there, or YAML's null.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.plain && scalar_type::is_null(&scalar.text))
    }

    /// Describes the kind of node in the user's words.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(scalar) if scalar.plain && scalar.text.is_empty() => "nothing",
            Kind::Scalar(_) => "a single value",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        }
    }
}

/// Reads one YAML document, without tags and duplicate keys. `file` is its name in the problems.
pub fn read(file: &str, bytes: &[u8]) -> Result<Rc<Node>, Vec<Diagnostic>> {
    parse(Builder::new(file), bytes).whole()
}

/// Reads another tool's document, which begins after `lines_before` lines of its file; ignores tags.
pub fn read_foreign(file: &str, bytes: &[u8], lines_before: usize) -> Result<Rc<Node>, Vec<Diagnostic>> {
    parse(Builder::for_foreign(file, lines_before), bytes).whole()
}

/// Returns the place of a key path in a file.
pub fn place(file: &str, at: Position, path: String) -> Place {
    Place { file: file.to_owned(), line: at.line, column: at.column, path }
}

/// Returns a key path with one more key: keys with a dot or a space are written as JSON strings. A key that is not a
/// plausible name may be a misplaced value; it is left out.
pub fn join(path: &str, key: &str) -> String {
    let is_path =
        key.starts_with('/') && key.len() <= 255 && key.chars().all(|c| c.is_alphanumeric() || "_-./@+ ".contains(c));
    let is_name = || looks_like(key).is_none() && key.split('/').all(is_plausible_name);
    if !key.is_empty() && (looks_like_a_key(key) || !is_path && !is_name()) {
        return path.to_owned();
    }
    let simple = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-/@+".contains(c));
    let key = if simple { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_path_shows_names_and_no_misplaced_value() {
        let long = format!("/{}", "x/".repeat(130));
        for (path, key, expected) in [
            ("", "env", "env"),
            ("env", "DB_PASSWORD", "env.DB_PASSWORD"),
            ("env", "", "env.\"\""),
            ("env", "a.b", "env.\"a.b\""),
            ("files", "/app/tls/server.pem", "files.\"/app/tls/server.pem\""),
            ("files", "/app/a key", "files.\"/app/a key\""),
            ("files", "/app/my_key", "files./app/my_key"),
            ("env", "hunter2 is my word", "env"),
            ("env", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYab", "env"),
            ("files", "/wJalrXUtnFEMIK7MDENG/bPxRfiCYEXAMPLEKEY00", "files"),
            ("files", &long, "files"),
        ] {
            assert_eq!(join(path, key), expected, "{key}");
        }
    }
}
