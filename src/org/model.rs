//! Owns what an edit of the org file must come to: the file's content without its form, and a change to that.
//!
//! It is the oracle that an edited text is compared with before it is written.

use zeroize::Zeroizing;

use super::edit::{Change, NewField, Value};
use crate::manifest::yaml::{Kind, Node};

/// What a node says, however it is written. It may hold keys: it has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Text(Zeroizing<String>),
    List(Vec<Shape>),
    Map(Vec<(String, Shape)>),
}

impl Shape {
    /// Returns what a node says.
    pub(super) fn of(node: &Node) -> Self {
        match &node.kind {
            Kind::Scalar(scalar) => Shape::Text(scalar.text.clone()),
            Kind::Sequence(nodes) => Shape::List(nodes.iter().map(|node| Shape::of(node)).collect()),
            Kind::Mapping(entries) => {
                Shape::Map(entries.iter().map(|(key, node)| (key.text.clone(), Shape::of(node))).collect())
            }
        }
    }

    fn text(text: &str) -> Self {
        Shape::Text(Zeroizing::new(text.to_owned()))
    }

    fn get(&self, name: &str) -> Option<&Shape> {
        match self {
            Shape::Map(entries) => entries.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    fn set(&mut self, name: &str, value: Shape) {
        if let Shape::Map(entries) = self {
            match entries.iter_mut().find(|(key, _)| key == name) {
                Some((_, old)) => *old = value,
                None => entries.push((name.to_owned(), value)),
            }
        }
    }

    fn says(&self, name: &str, text: &str) -> bool {
        matches!(self.get(name), Some(Shape::Text(found)) if found.as_str() == text)
    }
}

/// Returns the text of a mapping's field.
pub(super) fn text_of<'n>(node: &'n Node, name: &str) -> Option<&'n str> {
    let Kind::Mapping(entries) = &node.kind else { return None };
    let (_, node) = entries.iter().find(|(key, _)| key.text == name)?;
    match &node.kind {
        Kind::Scalar(scalar) => Some(&scalar.text),
        _ => None,
    }
}

/// Makes a change, and returns the places of the credentials that are a default no more.
pub(super) fn apply(root: &mut Shape, change: &Change) -> Vec<usize> {
    if root.get("credentials").is_none() {
        root.set("credentials", Shape::List(Vec::new()));
    }
    let Shape::Map(entries) = root else { return Vec::new() };
    let list = entries.iter_mut().find(|(key, _)| key == "credentials");
    let Some((_, Shape::List(items))) = list else { return Vec::new() };
    let mut moved = Vec::new();
    match change {
        Change::Add(fields) => {
            let mut item = Shape::Map(Vec::new());
            fields.iter().for_each(|(name, value)| item.set(name, shape(value)));
            if item.says("default", "true") {
                moved = take_default(items, &item, None);
            }
            items.push(item);
        }
        Change::Set { name, fields, unset } => {
            let Some(index) = items.iter().position(|item| item.says("name", name)) else { return moved };
            fields.iter().for_each(|(name, value)| items[index].set(name, shape(value)));
            if let Shape::Map(entries) = &mut items[index] {
                entries.retain(|(key, _)| !unset.contains(key));
            }
            if becomes_default(fields) {
                let item = items[index].clone();
                moved = take_default(items, &item, Some(index));
            }
        }
        Change::Remove { name } => items.retain(|item| !item.says("name", name)),
    }
    moved
}

fn becomes_default(fields: &[NewField]) -> bool {
    fields.iter().any(|(name, value)| *name == "default" && matches!(value, Value::Flag(true)))
}

fn take_default(items: &mut [Shape], of: &Shape, except: Option<usize>) -> Vec<usize> {
    let mut moved = Vec::new();
    for (index, item) in items.iter_mut().enumerate() {
        if Some(index) != except && item.says("default", "true") && item.get("provider") == of.get("provider") {
            item.set("default", Shape::text("false"));
            moved.push(index);
        }
    }
    moved
}

fn shape(value: &Value) -> Shape {
    let source = |name: &str, text: &str| Shape::Map(vec![(name.to_owned(), Shape::text(text))]);
    match value {
        Value::Text(text) => Shape::Text(text.clone()),
        Value::Flag(value) => Shape::text(&value.to_string()),
        Value::Env(name) => source("env", name),
        Value::File(path) => source("file", path),
    }
}
