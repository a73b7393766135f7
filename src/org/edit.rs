//! Edits an org file's text. Only the characters that must change are replaced, so comments, order and line endings stay.
//!
//! It is pure. Edits use the positions of the YAML tree. The result is read again and compared with the expected content and
//! comments; a form that cannot be edited this way (flow lists, aliases) is refused, never broken. Text that may hold a key is
//! built in buffers that do not grow, so no copy stays in freed memory.

use std::rc::Rc;

use zeroize::Zeroizing;

use super::change::{self, Change, FieldValue, NewField, YamlContent};
use super::org_text::{OrgText, Splice, joined};
use crate::diagnostic::Diagnostic;
use crate::manifest::yaml::is_string;
use crate::manifest::yaml::{self, Key, Kind, Node, Position, place};
use crate::secret::SecretBuffer;

/// Returns the org file's text after a change. `file` is its name in diagnostics.
///
/// # Errors
/// The problems of the file before or after the change, or that it cannot be edited in place. They never contain a value.
pub fn edit(file: &str, text: &str, change: &Change) -> Result<Zeroizing<String>, Vec<Diagnostic>> {
    super::read(file, text.as_bytes())?;
    let root = yaml::read(file, text.as_bytes())?;
    let mut wanted = YamlContent::of(&root);
    let moved = change::apply(&mut wanted, change);
    let page = OrgText::new(text, &root);
    let splices = Edit { page: &page, root: &root }.splices(change, &moved).map_err(|at| vec![refused(file, at)])?;
    let comments = page.comments_without(&splices);
    let edited = page.with(splices).ok_or_else(|| vec![refused(file, root.at)])?;
    match yaml::read(file, edited.as_bytes()) {
        Ok(root)
            if YamlContent::of(&root) == wanted && OrgText::new(&edited, &root).comments_without(&[]) == comments => {}
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

/// Where the file has a form that cannot be edited.
type NotEditable = Position;

type KeyAndNode = (Key, Rc<Node>);

/// An org file to edit.
struct Edit<'a> {
    page: &'a OrgText<'a>,
    root: &'a Node,
}

impl Edit<'_> {
    fn splices(&self, change: &Change, moved: &[usize]) -> Result<Vec<Splice>, NotEditable> {
        let Kind::Mapping(entries) = &self.root.kind else { return Err(self.root.at) };
        let list = entries.iter().find(|(key, _)| key.text == "credentials");
        let items: &[_] = match list.map(|(_, node)| &node.kind) {
            Some(Kind::Sequence(items)) => items,
            _ => &[],
        };
        let mut splices = Vec::new();
        for index in moved {
            let item = items.get(*index).ok_or(self.root.at)?;
            splices.push(self.value(item, "default", &FieldValue::Flag(false))?);
        }
        let named = |name: &str| {
            let is_named = |item: &&Rc<Node>| change::text_of(item, "name") == Some(name);
            items.iter().find(is_named).ok_or(self.root.at)
        };
        match change {
            Change::Add(fields) => splices.extend(self.added(list, items, fields)?),
            Change::Remove { name } => {
                let item = named(name)?;
                let end = self.page.line_end(self.page.last(item));
                splices.push(Splice::removal(self.begin(item)?..self.page.behind_newline(end)));
                if let (1, Some((key, _))) = (items.len(), list) {
                    let colon = self.page.colon(key).ok_or(item.at)?;
                    splices.push(Splice::insertion(colon, joined(&[" []"])));
                }
            }
            Change::Set { name, fields, unset } => {
                let item = named(name)?;
                let (new, old): (Vec<_>, Vec<_>) = fields.iter().partition(|(field, _)| !has(item, field));
                for (field, value) in old {
                    splices.push(self.value(item, field, value)?);
                }
                for field in unset.iter().filter(|field| has(item, field)) {
                    splices.push(self.without(item, field)?);
                }
                splices.push(self.appended(item, &new)?);
            }
        }
        Ok(splices)
    }

    /// Returns the splices that add a credential after the last one.
    fn added(
        &self,
        list: Option<&KeyAndNode>,
        items: &[Rc<Node>],
        fields: &[NewField],
    ) -> Result<Vec<Splice>, NotEditable> {
        let page = self.page;
        let below = |end: usize, item: &str| Splice::insertion(end, joined(&[page.newline, item]));
        match (items.last(), list) {
            (Some(last), _) => {
                let prefix = page.text.get(self.begin(last)?..page.byte(last.at)).ok_or(last.at)?;
                // a comment that is indented like the fields belongs to them
                let end = page.below_comments(page.line_end(page.last(last)), prefix.len());
                Ok(vec![below(end, &self.item(prefix, fields))])
            }
            (None, Some((key, node))) => {
                let range = page.colon(key).ok_or(node.at)?..page.last(node);
                let brackets = page.text.get(range.clone()).ok_or(node.at)?.trim();
                let inside = brackets.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
                if inside.is_none_or(|inside| !inside.trim().is_empty()) {
                    return Err(node.at);
                }
                let end = page.line_end(range.end);
                Ok(vec![Splice::removal(range), below(end, &self.item("  - ", fields))])
            }
            (None, None) => {
                if page.is_flow(self.root) {
                    return Err(self.root.at);
                }
                let begin = if page.text.ends_with(['\n', '\r']) { "" } else { page.newline };
                let item = self.item("  - ", fields);
                let text = joined(&[begin, "credentials:", page.newline, &item, page.newline]);
                Ok(vec![Splice::insertion(page.text.len(), text)])
            }
        }
    }

    /// Returns a credential's text: the first field after the dash, the others below it.
    fn item(&self, prefix: &str, fields: &[NewField]) -> Zeroizing<String> {
        let indent = " ".repeat(prefix.chars().count());
        let below = [self.page.newline, &indent].concat();
        listed(prefix, &below, fields.iter())
    }

    /// Returns the splice that adds fields to a credential.
    fn appended(&self, item: &Node, fields: &[&NewField]) -> Result<Splice, NotEditable> {
        let page = self.page;
        let (_, last) = self.fields(item)?.last().ok_or(item.at)?;
        let (end, between) = match page.is_flow(item) {
            true => (page.last(last), ", ".to_owned()),
            false => (page.line_end(page.last(item)), [page.newline, &" ".repeat(item.at.column - 1)].concat()),
        };
        Ok(Splice::insertion(end, listed(&between, &between, fields.iter().copied())))
    }

    /// Returns the splice that replaces the value of a field.
    fn value(&self, item: &Node, name: &str, value: &FieldValue) -> Result<Splice, NotEditable> {
        let page = self.page;
        let (key, node) = self.fields(item)?.iter().find(|(key, _)| key.text == name).ok_or(item.at)?;
        let (colon, start, end) = (page.colon(key).ok_or(key.at)?, page.byte(node.at), page.last(node));
        // an alias's node is elsewhere
        if start < colon {
            return Err(key.at);
        }
        let is_between = |line: &str| line.is_empty() || line.starts_with('#');
        // a tag, an anchor, or the indicator of a block scalar
        let is_more = !page.text[colon..start].split(['\n', '\r']).all(|line| is_between(line.trim()));
        if is_more || page.has_comment(&(start..end)) {
            return Err(key.at);
        }
        let is_block = matches!(node.kind, Kind::Mapping(_)) && !page.is_flow(node);
        Ok(Splice { range: start..end, text: written(value, is_block) })
    }

    /// Returns the splice that removes a field and its line.
    fn without(&self, item: &Node, name: &str) -> Result<Splice, NotEditable> {
        let page = self.page;
        let fields = self.fields(item)?;
        let place = fields.iter().position(|(key, _)| key.text == name).ok_or(item.at)?;
        let (key, node) = &fields[place];
        // the first one shares its line with the dash
        if place == 0 || page.is_flow(item) {
            return Err(key.at);
        }
        let start = page.end_of_line_above(key.at).ok_or(key.at)?;
        let end = page.line_end(page.last(node));
        // an alias's node is on a line above
        if end <= start { Err(key.at) } else { Ok(Splice::removal(start..end)) }
    }

    fn fields<'n>(&self, item: &'n Node) -> Result<&'n [KeyAndNode], NotEditable> {
        match &item.kind {
            Kind::Mapping(fields) => Ok(fields),
            _ => Err(item.at),
        }
    }

    /// Returns the start of the line that a credential begins on, if only its dash comes before it.
    fn begin(&self, item: &Node) -> Result<usize, NotEditable> {
        let page = self.page;
        let start = page.line(item.at).ok_or(item.at)?;
        let before = page.text.get(start..page.byte(item.at)).ok_or(item.at)?;
        let first = self.fields(item)?.first().is_some_and(|(key, _)| key.at == item.at);
        let is_dash = before.trim_matches(' ') == "-" && (first || page.is_flow(item));
        if is_dash { Ok(start) } else { Err(item.at) }
    }
}

fn has(item: &Node, name: &str) -> bool {
    matches!(&item.kind, Kind::Mapping(fields) if fields.iter().any(|(key, _)| key.text == name))
}

/// Returns fields as YAML, with `first` before the first field and `between` before each other one.
fn listed<'f>(first: &str, between: &str, fields: impl Iterator<Item = &'f NewField>) -> Zeroizing<String> {
    let values: Vec<_> = fields.map(|(name, value)| (*name, written(value, false))).collect();
    let parts = values
        .iter()
        .enumerate()
        .flat_map(|(index, (name, value))| [if index == 0 { first } else { between }, name, ": ", value.as_str()]);
    joined(&parts.collect::<Vec<_>>())
}

/// Returns a value as YAML: plain if every reader reads it as that string, otherwise in double quotes. The source of a key becomes a
/// mapping, in block style or in braces.
fn written(value: &FieldValue, is_block: bool) -> Zeroizing<String> {
    let source = |name: &str, text: &str| match is_block {
        true => joined(&[name, ": ", text]),
        false => joined(&["{ ", name, ": ", text, " }"]),
    };
    match value {
        FieldValue::Text(value) => string(value, "_./:+=@-"),
        FieldValue::Flag(value) => joined(&[if *value { "true" } else { "false" }]),
        FieldValue::List(items) => list(items),
        FieldValue::Env(name) => source("env", &string(name, "_")),
        FieldValue::File(path) => source("file", &string(path, "_./-")),
    }
}

fn list(items: &[String]) -> Zeroizing<String> {
    let items: Vec<_> = items.iter().map(|item| string(item, "_./:@-")).collect();
    let between = items.iter().enumerate().flat_map(|(index, item)| [if index == 0 { "" } else { ", " }, item]);
    joined(&["[", &joined(&between.collect::<Vec<_>>()), "]"])
}

fn string(text: &str, safe: &str) -> Zeroizing<String> {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || safe.contains(c))
        && !text.ends_with(':')
        && is_string(text);
    if plain {
        return joined(&[text]);
    }
    // YAML has all of JSON's escapes
    let mut quoted = SecretBuffer::with_capacity(text.len() + 2);
    // writing a string to memory cannot fail
    let _ = serde_json::to_writer(&mut quoted, text);
    joined(&[&String::from_utf8_lossy(quoted.finish().expose())])
}
