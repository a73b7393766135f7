//! Owns the building of the tree from the parser's events, within the limits on size, depth and aliases.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use zeroize::Zeroizing;

use super::problem_list::ProblemList;
use super::{Key, Kind, MAX_BYTES, Node, Position, Scalar, join, place};
use crate::diagnostic::Diagnostic;

/// The deepest nesting that is read; a valid document needs five.
const MAX_DEPTH: usize = 32;
/// The most nodes that the aliases of a document may repeat: 10,000 entries with every field there is need a third of it.
const MAX_ALIASED: usize = 250_000;
/// The longest key, in bytes: as long as the longest path.
const MAX_KEY_BYTES: usize = 4096;

/// The result of reading a text.
pub(super) struct Parsed {
    /// `None` if nothing could be read.
    pub root: Option<Rc<Node>>,
    /// Each with its place, and without a value of the text.
    pub problems: ProblemList,
}

impl Parsed {
    pub(super) fn whole(self) -> Result<Rc<Node>, Vec<Diagnostic>> {
        match self {
            Parsed { root: Some(root), problems } if problems.is_empty() => Ok(root),
            Parsed { problems, .. } => Err(problems.into_list()),
        }
    }
}

/// Reads as much as possible of one YAML document: a tag or a duplicate key is a problem, and the rest is still read.
pub(super) fn parse(mut builder: Builder<'_>, bytes: &[u8]) -> Parsed {
    match text_of(builder.file, bytes) {
        Ok(text) => builder.build(text),
        Err(problem) => {
            builder.problems.add(problem);
            Parsed { root: None, problems: builder.problems }
        }
    }
}

/// Returns the bytes as text, without a byte order mark.
fn text_of<'t>(file: &str, bytes: &'t [u8]) -> Result<&'t str, Diagnostic> {
    let refuse = |code, at: Position, what: String| Diagnostic::error(code, what).at(place(file, at, String::new()));
    let start = Position { line: 1, column: 1, offset: 0 };
    if bytes.len() > MAX_BYTES {
        return Err(refuse("file-too-large", start, format!("larger than {} MiB", MAX_BYTES >> 20))
            .hint("is this the right file? 10,000 variables fit in 1 MiB"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = place_after(bytes.get(..error.valid_up_to()).unwrap_or_default());
        refuse("not-utf8", at, "not UTF-8 text".to_owned()).hint("save the file as UTF-8")
    })?;
    if let Some(nul) = text.find('\0') {
        let at = place_after(bytes.get(..nul).unwrap_or_default());
        return Err(refuse("nul", at, "a NUL character, which YAML does not allow".to_owned()).hint("remove it"));
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Returns the column after the first tab in a line's indentation, where the parser itself places it.
fn tab_in_indentation(line: &str) -> Option<usize> {
    let indentation = line.split(|c: char| !c.is_whitespace()).next()?;
    indentation.find('\t').map(|at| at + 2)
}

/// Returns the place of what comes next.
fn place_after(good: &[u8]) -> Position {
    let line_start = good.iter().rposition(|byte| *byte == b'\n').map_or(0, |index| index + 1);
    Position {
        line: good.iter().filter(|byte| **byte == b'\n').count() + 1,
        column: String::from_utf8_lossy(&good[line_start..]).chars().count() + 1,
        offset: 0,
    }
}

/// An open collection: what has been read of it so far.
struct Open {
    at: Position,
    path: String,
    anchor: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Rc<Node>>),
    Mapping { entries: Vec<(Key, Rc<Node>)>, seen: HashMap<String, usize>, key: Option<Key> },
}

pub(super) struct Builder<'a> {
    file: &'a str,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    documents: usize,
    /// How many nodes the aliases repeat so far.
    aliased: usize,
    /// Whether tags are allowed.
    tags: bool,
    /// How many lines of the file come before the text.
    lines_before: usize,
    problems: ProblemList,
}

impl<'a> Builder<'a> {
    pub(super) fn new(file: &'a str) -> Self {
        Builder {
            file,
            open: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            documents: 0,
            aliased: 0,
            tags: false,
            lines_before: 0,
            problems: ProblemList::default(),
        }
    }

    /// Returns the builder of another tool's document, which may have tags.
    pub(super) fn for_foreign(file: &'a str, lines_before: usize) -> Self {
        Builder { lines_before, tags: true, ..Builder::new(file) }
    }

    fn build(mut self, text: &str) -> Parsed {
        for event in Parser::new_from_str(text) {
            let step = match event {
                Ok((event, span)) => self.event(event, span),
                Err(error) => {
                    let at = self.position(*error.marker());
                    let mut lines = text.lines().skip(error.marker().line().saturating_sub(1));
                    let line = lines.next().unwrap_or_default();
                    // the parser may name the scalar that the tab ends
                    let tab = tab_in_indentation(line).map(|column| Position { column, ..at }).or_else(|| {
                        let column = tab_in_indentation(lines.next()?)?;
                        Some(Position { line: at.line + 1, column, ..at })
                    });
                    let ends_with_colon = line.trim_end().ends_with(':') && line.contains(": ");
                    let invalid = || format!("not valid YAML: {}", error.info());
                    let (what, hint) = match tab {
                        Some(_) => ("a tab in the indentation".to_owned(), "use spaces: YAML allows no tab there"),
                        None if ends_with_colon => (invalid(), "put a value that ends with a colon in quotes"),
                        None => (invalid(), "check the indentation and quotes on and above this line"),
                    };
                    Err(self.problem("yaml-syntax", tab.unwrap_or(at), what).hint(hint))
                }
            };
            if let Err(fatal) = step {
                self.problems.add(fatal);
                return Parsed { root: None, problems: self.problems };
            }
        }
        if self.root.is_none() {
            let start = Position { line: 1, column: 1, offset: 0 };
            let empty = Diagnostic::error("empty-file", "the file is empty");
            let empty = empty.at(place(self.file, start, String::new()));
            self.problems.add(match self.tags {
                true => empty.hint("is this the right file?"),
                false => empty.hint("begin the file with `version: 1`"),
            });
        }
        Parsed { root: self.root, problems: self.problems }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Diagnostic> {
        let (at, end) = (self.position(span.start), self.position(span.end));
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(self
                        .problem("many-documents", at, "a second YAML document begins here".to_owned())
                        .hint("keep one document per file"));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let plain = match tag.as_deref() {
                    None => plain,
                    Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => false,
                    Some(_) if self.tags => plain,
                    Some(_) => {
                        self.tagged(at);
                        false
                    }
                };
                let kind = Kind::Scalar(Scalar { text: Zeroizing::new(text.into_owned()), plain });
                self.put(Rc::new(Node::new(at, end, kind)), anchor)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(at, anchor, tag.is_some(), Content::Sequence(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                let content = Content::Mapping { entries: Vec::new(), seen: HashMap::new(), key: None };
                self.begin(at, anchor, tag.is_some(), content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let kind = match open.content {
                        Content::Sequence(nodes) => Kind::Sequence(nodes),
                        Content::Mapping { entries, .. } => Kind::Mapping(entries),
                    };
                    self.put(Rc::new(Node::new(open.at, end, kind)), open.anchor)?;
                }
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node = node.ok_or_else(|| {
                    self.problem("yaml-syntax", at, "an alias inside the node that it names".to_owned())
                        .hint("write the value out")
                })?;
                self.aliased = self.aliased.saturating_add(node.weight);
                if self.aliased > MAX_ALIASED {
                    return Err(self
                        .problem("too-many-aliases", at, format!("the aliases repeat over {MAX_ALIASED} values"))
                        .hint("use fewer aliases, or write the value out here"));
                }
                self.put(node, 0)?;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn begin(&mut self, at: Position, anchor: usize, tagged: bool, content: Content) -> Result<(), Diagnostic> {
        if tagged && !self.tags {
            self.tagged(at);
        }
        if let Some(Open { content: Content::Mapping { key: None, .. }, .. }) = self.open.last() {
            return Err(self.bad_key(at));
        }
        if self.open.len() == MAX_DEPTH {
            return Err(self
                .problem("too-deep", at, format!("nested more than {MAX_DEPTH} levels deep"))
                .hint("a manifest needs four levels; check for brackets that are opened too often"));
        }
        let path = self.path();
        self.open.push(Open { at, path, anchor, content });
        Ok(())
    }

    fn put(&mut self, node: Rc<Node>, anchor: usize) -> Result<(), Diagnostic> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let path = self.path();
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.content {
            Content::Sequence(nodes) => nodes.push(node),
            Content::Mapping { entries, seen, key } => match key.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let Kind::Scalar(scalar) = &node.kind else {
                        return Err(self.bad_key(node.at));
                    };
                    if scalar.text.len() > MAX_KEY_BYTES {
                        return Err(self
                            .problem("key-too-long", node.at, format!("a key of over {MAX_KEY_BYTES} bytes"))
                            .hint("check for a missing quote, or a missing colon and space after it"));
                    }
                    let text = scalar.text.to_string();
                    if let Some(first) = seen.insert(text.clone(), node.at.line) {
                        let what = format!("duplicate key, first on line {first}");
                        self.problems.add(
                            Diagnostic::error("duplicate-key", what)
                                .at(place(self.file, node.at, join(&path, &text)))
                                .hint("remove one of them"),
                        );
                    }
                    *key = Some(Key { text, at: node.at });
                }
            },
        }
        Ok(())
    }

    /// Returns the key path of the next node.
    fn path(&self) -> String {
        match self.open.last() {
            None => String::new(),
            Some(Open { path, content: Content::Sequence(nodes), .. }) => format!("{path}[{}]", nodes.len()),
            Some(Open { path, content: Content::Mapping { key: Some(key), .. }, .. }) => join(path, &key.text),
            Some(Open { path, .. }) => path.clone(),
        }
    }

    fn bad_key(&self, at: Position) -> Diagnostic {
        self.problem("bad-key", at, "a key must be a single value".to_owned()).hint("write KEY: value")
    }

    fn tagged(&mut self, at: Position) {
        let problem = self.problem("yaml-tag", at, "a YAML tag is not supported here".to_owned());
        self.problems.add(problem.hint("write the value without the `!` tag"));
    }

    fn problem(&self, code: &'static str, at: Position, what: String) -> Diagnostic {
        Diagnostic::error(code, what).at(place(self.file, at, self.path()))
    }

    fn position(&self, marker: saphyr_parser::Marker) -> Position {
        Position { line: self.lines_before + marker.line(), column: marker.col() + 1, offset: marker.index() }
    }
}
