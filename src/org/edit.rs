//! Owns changes to an org file's text: only the characters that must change do, so comments, order and line endings survive.
//!
//! It is pure. A change is made at the places of the YAML tree, then the result is read again and compared with what was wanted:
//! a form that cannot be edited so (flow style, aliases) is refused, never broken.

use std::ops::Range;

use zeroize::Zeroizing;

use super::model::{self, Shape};
use crate::error::Diagnostic;
use crate::yaml::fields::is_string;
use crate::yaml::{self, Key, Kind, Node, Position, place};

/// A credential's field as it is written.
pub enum Value {
    /// A string; it may be a secret.
    Text(Zeroizing<String>),
    Flag(bool),
    /// `{ env: NAME }`
    Env(String),
    /// `{ file: PATH }`
    File(String),
}

/// A field and its new value.
pub type NewField = (&'static str, Value);

/// A change to the list of credentials. `default: true` takes it from the provider's other credentials.
pub enum Change {
    /// A credential behind the last one; its fields in their order, `name` first.
    Add(Vec<NewField>),
    /// Other values for some fields of a credential, and some fields taken out.
    Set {
        name: String,
        fields: Vec<NewField>,
        unset: Vec<String>,
    },
    Remove {
        name: String,
    },
}

/// Returns the org file's text with a change. `file` is its name in diagnostics.
///
/// # Errors
/// What is wrong with the file as it is or as it would be, or that its form cannot be edited; never a value.
pub fn edit(file: &str, text: &str, change: &Change) -> Result<Zeroizing<String>, Vec<Diagnostic>> {
    super::read(file, text.as_bytes())?;
    let root = yaml::read(file, text.as_bytes())?;
    let mut wanted = Shape::of(&root);
    let moved = model::apply(&mut wanted, change);
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let page = Page::new(body);
    let splices = page.splices(&root, change, &moved).map_err(|at| vec![refused(file, at)])?;
    let edited = page.with(splices).ok_or_else(|| vec![refused(file, root.at)])?;
    let edited = Zeroizing::new(format!("{}{}", &text[..text.len() - body.len()], *edited));
    match yaml::read(file, edited.as_bytes()) {
        Ok(root) if Shape::of(&root) == wanted => {}
        _ => return Err(vec![refused(file, root.at)]),
    }
    super::read(file, edited.as_bytes())?;
    Ok(edited)
}

fn refused(file: &str, at: Position) -> Diagnostic {
    Diagnostic::error("not-editable", "the file is not in a form that can be changed without breaking it")
        .at(place(file, at, "credentials".to_owned()))
        .hint("change it in an editor, or write each credential as `- name: NAME` with one field on a line below it")
}

/// A part of the text and what takes its place.
struct Splice {
    range: Range<usize>,
    text: Zeroizing<String>,
}

/// The text with the places of its lines.
struct Page<'a> {
    text: &'a str,
    lines: Vec<usize>,
    newline: &'static str,
}

/// Where a form that cannot be edited stands.
type Refused = Position;

impl<'a> Page<'a> {
    fn new(text: &'a str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Page { text, lines, newline: if text.contains("\r\n") { "\r\n" } else { "\n" } }
    }

    fn splices(&self, root: &Node, change: &Change, moved: &[usize]) -> Result<Vec<Splice>, Refused> {
        let Kind::Mapping(entries) = &root.kind else { return Err(root.at) };
        let list = entries.iter().find(|(key, _)| key.text == "credentials");
        let items: &[_] = match list.map(|(_, node)| &node.kind) {
            Some(Kind::Sequence(items)) => items,
            _ => &[],
        };
        let mut splices = Vec::new();
        for index in moved {
            splices.push(self.value(self.fields(&items[*index])?, "default", &Value::Flag(false), items[*index].at)?);
        }
        let named = |name: &str| {
            let is_named = |item: &&std::rc::Rc<Node>| model::text_of(item, "name") == Some(name);
            items.iter().find(is_named).ok_or(root.at)
        };
        match change {
            Change::Add(fields) => splices.extend(self.added(root, list.map(|(key, node)| (key, &**node)), fields)?),
            Change::Remove { name } => {
                let item = named(name)?;
                let start = self.begin(self.fields(item)?, item)?;
                let end = self.line_end(self.last(item));
                splices.push(Splice { range: start..self.behind_newline(end), text: Zeroizing::default() });
                if let (1, Some((key, _))) = (items.len(), list) {
                    let colon = self.colon(key).ok_or(item.at)?;
                    splices.push(Splice { range: colon..colon, text: Zeroizing::new(" []".to_owned()) });
                }
            }
            Change::Set { name, fields, unset } => {
                let item = named(name)?;
                let old = self.fields(item)?;
                let mut new = Zeroizing::new(String::new());
                for (field, value) in fields {
                    match old.iter().any(|(key, _)| key.text == *field) {
                        true => splices.push(self.value(old, field, value, item.at)?),
                        false => {
                            let indent = " ".repeat(item.at.column - 1);
                            *new += &format!("{}{indent}{field}: {}", self.newline, *written(value));
                        }
                    }
                }
                for (place, (key, node)) in old.iter().enumerate().filter(|(_, (key, _))| unset.contains(&key.text)) {
                    // the first one shares its line with the dash
                    if place == 0 {
                        return Err(key.at);
                    }
                    let start = self.line_end(self.lines[key.at.line - 2]);
                    let end = self.line_end(self.last(node));
                    splices.push(Splice { range: start..end, text: Zeroizing::default() });
                }
                let end = self.line_end(self.last(item));
                splices.push(Splice { range: end..end, text: new });
            }
        }
        Ok(splices)
    }

    /// Returns the splices that put a credential behind the last one.
    fn added(&self, root: &Node, list: Option<(&Key, &Node)>, fields: &[NewField]) -> Result<Vec<Splice>, Refused> {
        let last = match list.map(|(_, node)| &node.kind) {
            Some(Kind::Sequence(items)) => items.last(),
            _ => None,
        };
        let (at, prefix, before) = match (last, list) {
            (Some(item), _) => {
                let start = self.begin(self.fields(item)?, item)?;
                (self.line_end(self.last(item)), &self.text[start..self.byte(item.at)], String::new())
            }
            (None, Some((key, node))) => {
                // `credentials: []`
                let colon = self.colon(key).ok_or(node.at)?;
                let range = colon..self.byte(node.end);
                if self.text.get(range.clone()).is_none_or(|text| text.trim() != "[]") {
                    return Err(node.at);
                }
                let item = self.item("  - ", fields);
                let end = self.line_end(range.end);
                return Ok(vec![
                    Splice { range, text: Zeroizing::default() },
                    Splice { range: end..end, text: Zeroizing::new(format!("{}{}", self.newline, *item)) },
                ]);
            }
            (None, None) => {
                if self.is_flow(root) {
                    return Err(root.at);
                }
                let begin = if self.text.ends_with('\n') { "" } else { self.newline };
                let item = self.item("  - ", fields);
                let text = format!("{begin}credentials:{}{}{}", self.newline, *item, self.newline);
                let end = self.text.len();
                return Ok(vec![Splice { range: end..end, text: Zeroizing::new(text) }]);
            }
        };
        let text = Zeroizing::new(format!("{before}{}{}", self.newline, *self.item(prefix, fields)));
        Ok(vec![Splice { range: at..at, text }])
    }

    /// Returns a credential's text: its first field behind the dash, the others below it.
    fn item(&self, prefix: &str, fields: &[NewField]) -> Zeroizing<String> {
        let indent = " ".repeat(prefix.chars().count());
        let mut text = Zeroizing::new(prefix.to_owned());
        for (index, (field, value)) in fields.iter().enumerate() {
            if index > 0 {
                *text += &format!("{}{indent}", self.newline);
            }
            *text += &format!("{field}: {}", *written(value));
        }
        text
    }

    /// Returns the splice that gives a field another value.
    fn value(
        &self,
        fields: &[(Key, std::rc::Rc<Node>)],
        name: &str,
        value: &Value,
        item: Position,
    ) -> Result<Splice, Refused> {
        let (key, node) = fields.iter().find(|(key, _)| key.text == name).ok_or(item)?;
        let (start, end) = (self.byte(node.at), self.last(node));
        let colon = self.colon(key).ok_or(key.at)?;
        // an alias stands elsewhere, a block scalar has its indicator in between
        if start < colon || end < start {
            return Err(key.at);
        }
        let text = written(value);
        let (between, is_block) =
            (&self.text[colon..start], !self.is_flow(node) && matches!(node.kind, Kind::Mapping(_)));
        if !between.trim().is_empty() && !is_block {
            return Err(key.at);
        }
        let start = if between.contains('\n') { colon } else { start };
        let text = if start == colon { Zeroizing::new(format!(" {}", *text)) } else { text };
        Ok(Splice { range: start..end, text })
    }

    /// Returns the fields of a credential in block style.
    fn fields<'n>(&self, item: &'n Node) -> Result<&'n [(Key, std::rc::Rc<Node>)], Refused> {
        match &item.kind {
            Kind::Mapping(fields) if !self.is_flow(item) && !fields.is_empty() => Ok(fields),
            _ => Err(item.at),
        }
    }

    /// Returns the start of the line that a credential begins on: only its dash is before its first field.
    fn begin(&self, fields: &[(Key, std::rc::Rc<Node>)], item: &Node) -> Result<usize, Refused> {
        let start = self.lines.get(item.at.line - 1).copied().ok_or(item.at)?;
        let before = self.text.get(start..self.byte(item.at)).ok_or(item.at)?;
        let is_dash = before.trim_matches(' ') == "-" && fields.first().is_some_and(|(key, _)| key.at == item.at);
        if is_dash { Ok(start) } else { Err(item.at) }
    }

    fn is_flow(&self, node: &Node) -> bool {
        self.text[self.byte(node.at)..].starts_with(['{', '['])
    }

    /// Returns the end of a node's last character.
    fn last(&self, node: &Node) -> usize {
        let end = match &node.kind {
            Kind::Mapping(fields) if !self.is_flow(node) => fields.iter().map(|(_, node)| self.last(node)).max(),
            Kind::Sequence(nodes) if !self.is_flow(node) => nodes.iter().map(|node| self.last(node)).max(),
            _ => None,
        };
        let start = self.byte(node.at);
        // the parser's end of what is quoted or in brackets includes the comment behind it
        let end = end.or_else(|| closing(&self.text[start..]).map(|length| start + length));
        let end = end.unwrap_or_else(|| self.byte(node.end));
        // a block scalar ends on the line below it
        self.text[..end].trim_end().len().max(start)
    }

    /// Returns where a key's colon ends.
    fn colon(&self, key: &Key) -> Option<usize> {
        let at = self.byte(key.at);
        let quoted = usize::from(self.text[at..].starts_with(['"', '\''])) * 2;
        let behind = at + key.text.len() + quoted;
        let rest = self.text.get(behind..)?;
        let colon = rest.len() - rest.trim_start_matches(' ').len();
        rest[colon..].starts_with(':').then_some(behind + colon + 1)
    }

    fn byte(&self, at: Position) -> usize {
        let start = self.lines.get(at.line - 1).copied().unwrap_or(self.text.len());
        let line = &self.text[start..];
        start + line.char_indices().nth(at.column - 1).map_or(line.len(), |(byte, _)| byte)
    }

    fn line_end(&self, at: usize) -> usize {
        let rest = &self.text[at..];
        let end = rest.find('\n').unwrap_or(rest.len());
        at + rest[..end].trim_end_matches('\r').len()
    }

    fn behind_newline(&self, end: usize) -> usize {
        let rest = &self.text[end..];
        end + ["\r\n", "\n"].iter().find(|newline| rest.starts_with(**newline)).map_or(0, |newline| newline.len())
    }

    /// Returns the text with the splices; `None` where they overlap.
    fn with(&self, mut splices: Vec<Splice>) -> Option<Zeroizing<String>> {
        splices.sort_by_key(|splice| (splice.range.start, splice.range.end));
        let longest = self.text.len() + splices.iter().map(|splice| splice.text.len()).sum::<usize>();
        // as long as it can become, so that no copy of a key stays behind in freed memory
        let mut out = Zeroizing::new(String::with_capacity(longest));
        let mut done = 0;
        for splice in &splices {
            out.push_str(self.text.get(done..splice.range.start)?);
            out.push_str(&splice.text);
            done = splice.range.end;
        }
        out.push_str(self.text.get(done..)?);
        Some(out)
    }
}

/// Returns the length of the quoted scalar or flow collection that a text begins with; `None` where it begins with neither.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut quote = None;
    let mut previous = ' ';
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match (quote, c) {
            (Some('"'), '\\') => {
                characters.next();
            }
            // in single quotes, two of them are one
            (Some('\''), '\'') if characters.next_if(|(_, next)| *next == '\'').is_some() => {}
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if depth == 0 || " {[,:\n".contains(previous) => quote = Some(c),
            (None, '{' | '[') => depth += 1,
            (None, '}' | ']') => depth -= 1,
            (None, '#') if depth > 0 && previous.is_whitespace() => {
                while characters.next_if(|(_, next)| *next != '\n').is_some() {}
            }
            (None, _) if depth == 0 => return None,
            (None, _) => {}
        }
        if quote.is_none() && depth == 0 {
            return Some(at + c.len_utf8());
        }
        previous = c;
    }
    None
}

/// Returns a value as YAML: plain where every reader takes it for that string, else in double quotes.
fn written(value: &Value) -> Zeroizing<String> {
    let text = |text: &str, safe: &str| {
        let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || safe.contains(c))
            && !text.ends_with(':')
            && is_string(text);
        match plain {
            true => text.to_owned(),
            // JSON's escapes are YAML's, too
            false => serde_json::Value::from(text).to_string(),
        }
    };
    Zeroizing::new(match value {
        Value::Text(value) => text(value, "_./:+=@-"),
        Value::Flag(value) => value.to_string(),
        Value::Env(name) => format!("{{ env: {} }}", text(name, "_")),
        Value::File(path) => format!("{{ file: {} }}", text(path, "_./-")),
    })
}
