//! Computes the expected result of an edit of the org file: the content of the file, without its formatting, after a change.
//!
//! An edited text is compared with this result before it is written.

use zeroize::Zeroizing;

use crate::manifest::yaml::{Kind, Node};

/// The new value of a credential's field.
pub enum FieldValue {
    /// A string; it may be a secret.
    Text(Zeroizing<String>),
    Flag(bool),
    List(Vec<String>),
    /// `{ env: NAME }`
    Env(String),
    /// `{ file: PATH }`
    File(String),
}

/// A field and its new value.
pub type NewField = (&'static str, FieldValue);

/// A change to the list of credentials. `default: true` removes the default from the provider's other credentials.
pub enum Change {
    /// Adds a credential after the last one; fields in order, `name` first.
    Add(Vec<NewField>),
    /// Sets some fields of a credential and removes others.
    Set {
        name: String,
        fields: Vec<NewField>,
        unset: Vec<String>,
    },
    Remove {
        name: String,
    },
}

/// The content of a node, without its formatting. It may hold keys, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum YamlContent {
    Text(Zeroizing<String>),
    List(Vec<YamlContent>),
    Map(Vec<(String, YamlContent)>),
}

impl YamlContent {
    /// Returns the content of a node.
    pub(super) fn of(node: &Node) -> Self {
        match &node.kind {
            Kind::Scalar(scalar) => YamlContent::Text(scalar.text.clone()),
            Kind::Sequence(nodes) => YamlContent::List(nodes.iter().map(|node| YamlContent::of(node)).collect()),
            Kind::Mapping(entries) => {
                YamlContent::Map(entries.iter().map(|(key, node)| (key.text.clone(), YamlContent::of(node))).collect())
            }
        }
    }

    fn text(text: &str) -> Self {
        YamlContent::Text(Zeroizing::new(text.to_owned()))
    }

    fn get(&self, name: &str) -> Option<&YamlContent> {
        match self {
            YamlContent::Map(entries) => entries.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    fn set(&mut self, name: &str, value: YamlContent) {
        if let YamlContent::Map(entries) = self {
            match entries.iter_mut().find(|(key, _)| key == name) {
                Some((_, old)) => *old = value,
                None => entries.push((name.to_owned(), value)),
            }
        }
    }

    fn says(&self, name: &str, text: &str) -> bool {
        matches!(self.get(name), Some(YamlContent::Text(found)) if found.as_str() == text)
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

/// Makes a change and returns the indices of the credentials that are no longer a default.
pub(super) fn apply(root: &mut YamlContent, change: &Change) -> Vec<usize> {
    if root.get("credentials").is_none() {
        root.set("credentials", YamlContent::List(Vec::new()));
    }
    let YamlContent::Map(entries) = root else { return Vec::new() };
    let list = entries.iter_mut().find(|(key, _)| key == "credentials");
    let Some((_, YamlContent::List(items))) = list else { return Vec::new() };
    let mut moved = Vec::new();
    match change {
        Change::Add(fields) => {
            let mut item = YamlContent::Map(Vec::new());
            fields.iter().for_each(|(name, value)| item.set(name, shape(value)));
            if item.says("default", "true") {
                moved = take_default(items, &item, None);
            }
            items.push(item);
        }
        Change::Set { name, fields, unset } => {
            let Some(index) = items.iter().position(|item| item.says("name", name)) else { return moved };
            fields.iter().for_each(|(name, value)| items[index].set(name, shape(value)));
            if let YamlContent::Map(entries) = &mut items[index] {
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
    fields.iter().any(|(name, value)| *name == "default" && matches!(value, FieldValue::Flag(true)))
}

fn take_default(items: &mut [YamlContent], of: &YamlContent, except: Option<usize>) -> Vec<usize> {
    let mut moved = Vec::new();
    for (index, item) in items.iter_mut().enumerate() {
        if Some(index) != except && item.says("default", "true") && item.get("provider") == of.get("provider") {
            item.set("default", YamlContent::text("false"));
            moved.push(index);
        }
    }
    moved
}

fn shape(value: &FieldValue) -> YamlContent {
    let source = |name: &str, text: &str| YamlContent::Map(vec![(name.to_owned(), YamlContent::text(text))]);
    match value {
        FieldValue::Text(text) => YamlContent::Text(text.clone()),
        FieldValue::Flag(value) => YamlContent::text(&value.to_string()),
        FieldValue::List(items) => YamlContent::List(items.iter().map(|item| YamlContent::text(item)).collect()),
        FieldValue::Env(name) => source("env", name),
        FieldValue::File(path) => source("file", path),
    }
}
