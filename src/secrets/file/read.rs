//! Reads a secrets file's text. It reports all problems in one pass, without any value.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{CURRENT, SecretVersion, VersionContent};
use crate::diagnostic::Diagnostic;
use crate::manifest::reference::SecretId;
use crate::manifest::yaml::Kind;
use crate::manifest::yaml::fields::{Field, Fields, Problems, document};
use crate::secret::SecretBytes;

/// The fields for a version's content; exactly one is set.
const CONTENTS: [&str; 3] = ["value", "value_file", "base64"];

/// Returns the secrets by name, then by version stage.
pub fn read(file: &str, text: &[u8]) -> Result<BTreeMap<String, BTreeMap<String, SecretVersion>>, Vec<Diagnostic>> {
    let (secrets, problems) = document(file, text, &["version", "secrets"], |problems, fields| {
        let secrets = fields.get("secrets");
        if secrets.is_none() {
            for problem in problems.list.since(0).iter_mut().filter(|problem| problem.code == "unknown-field") {
                problem.hints = vec!["write the secrets under `secrets:`".to_owned()];
            }
        }
        let named = secrets.and_then(|field| problems.mapping(&field));
        let named = named.iter().flat_map(Fields::iter);
        named
            .filter_map(|(key, field)| {
                if SecretId::new(&key.text).is_err() || key.text.starts_with("arn:") {
                    problems
                        .error("bad-name", key.at, &field.path, "not a secret name")
                        .hints
                        .push("a name holds only letters, digits and /_+=.@-!".to_owned());
                }
                Some((key.text.clone(), secret(problems, &field)?))
            })
            .collect()
    });
    secrets.filter(|_| problems.is_empty()).ok_or(problems)
}

fn secret(problems: &mut Problems<'_>, field: &Field<'_>) -> Option<BTreeMap<String, SecretVersion>> {
    if let Kind::Scalar(_) = field.node.kind {
        let content = VersionContent::Text(value(problems, field)?);
        return Some(BTreeMap::from([(CURRENT.to_owned(), SecretVersion { content, version_id: None })]));
    }
    let fields = problems.fields(field, &["value", "value_file", "base64", "version_id", "stages"])?;
    let current = entry(problems, &fields);
    let stages = fields.get("stages").and_then(|stages| problems.mapping(&stages));
    let mut versions = BTreeMap::new();
    for (stage, field) in stages.iter().flat_map(Fields::iter) {
        if stage.text == CURRENT {
            problems
                .error("two-currents", stage.at, &field.path, "this stage is the value of the secret itself")
                .hints
                .push("move its value there".to_owned());
            continue;
        }
        let fields = problems.fields(&field, &["value", "value_file", "base64", "version_id"]);
        if let Some(entry) = fields.and_then(|fields| entry(problems, &fields)) {
            versions.insert(stage.text.clone(), entry);
        }
    }
    versions.insert(CURRENT.to_owned(), current?);
    Some(versions)
}

fn entry(problems: &mut Problems<'_>, fields: &Fields<'_>) -> Option<SecretVersion> {
    let version_id = fields.get("version_id").and_then(|field| problems.text(&field)).map(|id| id.value.to_owned());
    let contents: Vec<(&str, Field<'_>)> =
        CONTENTS.into_iter().filter_map(|name| Some((name, fields.get(name)?))).collect();
    let [(name, field)] = &contents[..] else {
        let what = if contents.is_empty() { "no value" } else { "more than one value" };
        problems
            .error("no-value", fields.at, &fields.path, what)
            .hints
            .push("give one of value, value_file and base64".to_owned());
        return None;
    };
    let content = match *name {
        "value" => VersionContent::Text(value(problems, field)?),
        "value_file" => VersionContent::File(problems.text(field)?.value.to_owned()),
        _ => {
            let text = value(problems, field)?;
            // an editor may have wrapped it
            let text =
                SecretBytes::new(text.expose().iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect());
            let Ok(bytes) = STANDARD.decode(text.expose()) else {
                problems
                    .error("bad-base64", field.node.at, &field.path, "not base64")
                    .hints
                    .push("encode the value: `base64 FILE`".to_owned());
                return None;
            };
            VersionContent::Binary(SecretBytes::new(bytes))
        }
    };
    Some(SecretVersion { content, version_id })
}

/// Reads a value, which must be a string. The error does not show it.
fn value(problems: &mut Problems<'_>, field: &Field<'_>) -> Option<SecretBytes> {
    let before = problems.list.len();
    let text = problems.string(field);
    let is_empty = matches!(&field.node.kind, Kind::Scalar(scalar) if scalar.text.is_empty());
    for problem in problems.list.since(before).iter_mut().filter(|_| !is_empty) {
        problem.hints = vec!["put the value in quotes".to_owned()];
    }
    text.map(|text| SecretBytes::from(text.value.to_owned()))
}
