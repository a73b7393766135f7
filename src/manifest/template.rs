//! Reads the source of a value: one secret, or `template:` and `with:`, whose mistakes are each reported at their place.
//!
//! It knows no value and has no logic: what a filter does to a value is in `secrets/template`.

use std::collections::HashMap;

use super::secret_use::{SECRET, secret_use};
use super::yaml::fields::{Field, Fields, Problems, nearest};
use super::yaml::{Node, Position, Positioned, join};
use super::{Filter, Piece, SecretSource, Template, TemplatePart};
use crate::diagnostic::lookalike::{is_plausible_name, looks_like};

/// The fields of a composed value.
const TEMPLATE: [&str; 2] = ["template", "with"];

const OPEN: &str = "{{";
const CLOSE: &str = "}}";

impl Filter {
    /// Every filter with its name.
    pub const NAMES: [(&'static str, Filter); 4] =
        [("url", Filter::Url), ("json", Filter::Json), ("base64", Filter::Base64), ("shell", Filter::Shell)];

    fn parse(name: &str) -> Option<Filter> {
        Filter::NAMES.iter().find(|(other, _)| *other == name).map(|(_, filter)| *filter)
    }
}

/// Reads the source of a secret value: one secret, or a template. `more` are the entry's other fields, `of_one` those that a template does
/// not have.
pub(super) fn source<'n>(
    problems: &mut Problems<'_>,
    field: &Field<'n>,
    of_one: &[&'static str],
    more: &[&'static str],
) -> Option<(Fields<'n>, Option<SecretSource>)> {
    let is_template = problems.mapping(field)?.iter().any(|(key, _)| TEMPLATE.contains(&&*key.text));
    let known: Vec<&str> = match is_template {
        true => TEMPLATE.iter().chain(&["secret"]).chain(more).copied().collect(),
        false => SECRET.iter().chain(of_one).chain(more).copied().collect(),
    };
    let fields = problems.fields(field, &known)?;
    let source = match is_template {
        true => template(problems, &fields).map(SecretSource::Template),
        false => secret_use(problems, &fields).map(SecretSource::One),
    };
    Some((fields, source))
}

/// What is wrong in a template's text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mistake {
    /// Where it is, in characters from the start of the text.
    at: usize,
    code: &'static str,
    what: String,
    hint: String,
}

/// Reads the fields of a composed value, as far as they can be read; `None` without a text.
fn template(problems: &mut Problems<'_>, fields: &Fields<'_>) -> Option<Template> {
    if let Some(field) = fields.get("secret") {
        problems
            .error("two-sources", field.node.at, &field.path, "both secret and template are given")
            .hints
            .push("remove `secret:`, and name the secret under `with:`".to_owned());
    }
    let Some(field) = fields.get("template") else {
        problems
            .error("no-template", fields.at, &join(&fields.path, "template"), "missing")
            .hints
            .push("write `template: \"text with {{name}}\"`, and the name's secret under `with:`".to_owned());
        return None;
    };
    let text = problems.unrepeated(&field);
    let with = fields.get("with");
    let parts = with.as_ref().map(|with| parts(problems, with)).unwrap_or_default();
    let text = text?;
    if let Some(kind) = looks_like(text.value) {
        problems
            .warning("credential-in-clear", text.at, &field.path, format!("the template looks like {kind}"))
            .hints
            .push("store it in the secret provider, and write `{{name}}` in its place".to_owned());
    }
    let names: Vec<&str> = parts.iter().map(|(name, ..)| name.value.as_str()).collect();
    let (pieces, mistakes) = parse(text.value, &names);
    let is_right = mistakes.is_empty();
    for Mistake { at, code, what, hint } in mistakes {
        problems.error(code, position(field.node, text.value, at), &field.path, what).hints.push(hint);
    }
    if names.is_empty() && is_right {
        problems
            .error("no-part", text.at, &field.path, "the template uses no secret")
            .hints
            .push("write `{{name}}` in it and `with: { name: { secret: secret-name } }`".to_owned());
    }
    let used = |index: usize| pieces.iter().any(|piece| matches!(piece, Piece::Part { part, .. } if *part == index));
    for (index, name) in names.iter().enumerate() {
        // a name in a place with another mistake is not called unused too
        if used(index) || !is_name(name) || !is_right && text.value.contains(name) {
            continue;
        }
        let path = join(&join(&fields.path, "with"), name);
        problems
            .error("unused-name", parts[index].0.at, &path, "the template does not use this name")
            .hints
            .push(format!("write `{{{{{name}}}}}` in the template, or remove it here"));
    }
    let parts = parts.into_iter().filter_map(|(name, secret)| Some(TemplatePart { name: name.value, secret: secret? }));
    Some(Template { text: text.value.to_owned(), at: text.at, pieces, parts: parts.collect() })
}

/// Reads `with:`: each name with its secret.
fn parts(problems: &mut Problems<'_>, field: &Field<'_>) -> Vec<(Positioned<String>, Option<super::SecretUse>)> {
    let Some(fields) = problems.mapping(field) else { return Vec::new() };
    let mut parts = Vec::new();
    for (key, field) in fields.iter() {
        if !is_name(&key.text) {
            problems
                .error("bad-name", key.at, &field.path, "not a name for a template")
                .hints
                .push("start with a letter or `_`, and use only letters, digits, `_` and `-`".to_owned());
        }
        let secret = problems.fields(&field, &SECRET).and_then(|fields| secret_use(problems, &fields));
        parts.push((Positioned { value: key.text.clone(), at: key.at }, secret));
    }
    parts
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

/// Takes a template apart. `names` are those under `with:`, in their order.
fn parse(text: &str, names: &[&str]) -> (Vec<Piece>, Vec<Mistake>) {
    let indices: HashMap<&str, usize> = names.iter().enumerate().map(|(index, name)| (*name, index)).collect();
    let (mut pieces, mut mistakes) = (Vec::new(), Vec::new());
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        literal.push_str(before);
        if let Some(after) = after.strip_prefix(OPEN) {
            literal.push_str(OPEN);
            rest = after;
            continue;
        }
        let opened = text.len() - after.len() - OPEN.len();
        let at = |offset: usize| text.get(..offset).unwrap_or_default().chars().count();
        let Some((inner, after_close)) = after.split_once(CLOSE) else {
            let hint = "write `}}` after the name, or `{{{{` for a literal `{{`";
            mistakes.push(Mistake {
                at: at(opened),
                code: "open-braces",
                what: "`{{` without `}}` after it".to_owned(),
                hint: hint.to_owned(),
            });
            literal.clear();
            rest = "";
            break;
        };
        rest = after_close;
        match part(inner, names, &indices) {
            Ok(piece) => {
                if !literal.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                }
                pieces.push(piece);
            }
            Err((offset, code, what, hint)) => {
                mistakes.push(Mistake { at: at(opened + OPEN.len() + offset), code, what, hint });
            }
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    (pieces, mistakes)
}

/// Reads what is between the braces: `name` or `name | filter`.
///
/// # Errors
/// Where the mistake is in it, in bytes, then its code, what it is and the next step.
fn part(
    inner: &str,
    names: &[&str],
    indices: &HashMap<&str, usize>,
) -> Result<Piece, (usize, &'static str, String, String)> {
    let mut words = inner.split('|').scan(0, |offset, word| {
        let start = *offset + (word.len() - word.trim_start().len());
        *offset += word.len() + 1;
        Some((start, word.trim()))
    });
    let (at, name) = words.next().unwrap_or_default();
    if !is_name(name) {
        let hint = "write `{{name}}` or `{{name | filter}}`, or `{{{{` for a literal `{{`";
        return Err((at.min(inner.len()), "bad-name", "not a name".to_owned(), hint.to_owned()));
    }
    let Some(part) = indices.get(name).copied() else {
        let what = if is_plausible_name(name) { format!("unknown name `{name}`") } else { "unknown name".to_owned() };
        let hint = match (nearest(name, names), names) {
            (Some(name), _) => format!("did you mean `{name}`?"),
            (None, []) => "add it under `with:`, as in `with: { name: { secret: secret-name } }`".to_owned(),
            (None, names) => format!("`with:` has {}; for a literal `{{{{` write `{{{{{{{{`", names.join(", ")),
        };
        return Err((at, "unknown-name", what, hint));
    };
    let mut filters = Vec::new();
    for (at, word) in words {
        let Some(filter) = Filter::parse(word) else {
            let known: Vec<&str> = Filter::NAMES.iter().map(|(name, _)| *name).collect();
            let hint = match nearest(word, &known) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("the filters are {}", known.join(", ")),
            };
            return Err((at.min(inner.len()), "unknown-filter", "unknown filter".to_owned(), hint));
        };
        filters.push(filter);
    }
    Ok(Piece::Part { part, filters })
}

/// Returns the place of a character of a scalar: exactly where it is written as it reads, else where the scalar begins.
fn position(node: &Node, text: &str, at: usize) -> Position {
    let written = node.end.offset.saturating_sub(node.at.offset);
    let length = text.chars().count();
    let quote = match written.checked_sub(length) {
        Some(0) => 0,
        Some(2) => 1,
        _ => return node.at,
    };
    if node.at.line != node.end.line {
        return node.at;
    }
    Position { column: node.at.column + at + quote, ..node.at }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn part(part: usize, filters: &[Filter]) -> Piece {
        Piece::Part { part, filters: filters.to_vec() }
    }

    #[test]
    fn a_template_is_text_and_names_with_filters() {
        let names = ["user", "pass-word"];
        let pieces = |source: &str| {
            let (pieces, mistakes) = parse(source, &names);
            assert_eq!(mistakes, Vec::new(), "{source}");
            pieces
        };
        assert_eq!(pieces("{{user}}"), [part(0, &[])]);
        assert_eq!(
            pieces("a {{ user|url }}:{{pass-word | json | base64}} b"),
            [text("a "), part(0, &[Filter::Url]), text(":"), part(1, &[Filter::Json, Filter::Base64]), text(" b")]
        );
        assert_eq!(pieces("{{{{user}}{{user}}{{{{"), [text("{{user}}"), part(0, &[]), text("{{")]);
        assert_eq!(pieces("{\"a\":{\"b\":\"{{user}}\"}}"), [text("{\"a\":{\"b\":\""), part(0, &[]), text("\"}}")]);
        assert_eq!(pieces("}} { }"), [text("}} { }")]);
        assert_eq!(pieces(""), []);
    }

    #[test]
    fn each_mistake_has_its_place_in_the_text() {
        let found = |source: &str| {
            let (_, mistakes) = parse(source, &["user"]);
            mistakes.iter().map(|mistake| (mistake.at, mistake.code)).collect::<Vec<_>>()
        };
        assert_eq!(found("é {{ usr }} {{user | uri}}"), [(5, "unknown-name"), (21, "unknown-filter")]);
        assert_eq!(found("{{}}"), [(2, "bad-name")]);
        assert_eq!(found("{{a b}}{{user"), [(2, "bad-name"), (7, "open-braces")]);
        assert_eq!(found("{{user |}}"), [(8, "unknown-filter")]);
        assert_eq!(found("{{{user}}}"), [(2, "bad-name")]);
    }

    #[test]
    fn a_name_begins_with_a_letter_or_an_underscore() {
        for (name, expected) in
            [("_a-1", true), ("user", true), ("1a", false), ("-a", false), ("a.b", false), ("", false)]
        {
            assert_eq!(is_name(name), expected, "{name}");
        }
    }
}
