//! Reads the parts of an `env:` or `files:` entry: the use of a secret, and the permissions of a file.

use std::ops::RangeInclusive;

use super::foreign_reference::ForeignReference;
use super::reference::{PLACEHOLDER, Reference};
use super::{Encoding, PlacedAccess, ProviderKind, SecretUse, Version};
use crate::diagnostic::lookalike::looks_like;
use crate::image::access::{Access, Owner};
use crate::manifest::yaml::fields::{Field, Fields, Problems};
use crate::manifest::yaml::{Kind, Positioned, join};

/// The fields of a secret's use.
pub(super) const SECRET: [&str; 8] =
    ["secret", "credential", "provider", "optional", "version_stage", "version_id", "version", "label"];

/// How long the ID of a secret's version is, in bytes.
pub const VERSION_ID_BYTES: RangeInclusive<usize> = 32..=64;

/// How long a parameter's label is, in bytes.
const LABEL_BYTES: RangeInclusive<usize> = 1..=100;

/// Reads a secret's use; `None` after a problem that makes it unusable.
pub(super) fn secret_use(problems: &mut Problems<'_>, fields: &Fields<'_>) -> Option<SecretUse> {
    let reference = match fields.get("secret").filter(|field| !field.node.is_null()) {
        Some(field) => reference(problems, &field),
        None => {
            problems
                .error("no-secret", fields.at, &join(&fields.path, "secret"), "missing")
                .hints
                .push("write `secret: secret-name` or `secret: secret-name#json_key`".to_owned());
            None
        }
    };
    let credential = fields
        .get("credential")
        .and_then(|field| problems.text(&field))
        .map(|text| Positioned { value: text.value.to_owned(), at: text.at });
    let provider = fields.get("provider").and_then(|field| {
        let value = problems.choice(&field, &ProviderKind::NAMES)?;
        Some(Positioned { value, at: field.node.at })
    });
    let optional = fields.get("optional").and_then(|field| problems.boolean(&field)).unwrap_or(false);
    let encoding = fields
        .get("encoding")
        .and_then(|field| problems.choice(&field, &[("base64", Encoding::Base64)]))
        .unwrap_or_default();
    let version = version(problems, fields);
    let has_label = fields.get("label").is_some();
    Some(SecretUse { reference: reference?, credential, provider, optional, version, has_label, encoding })
}

fn reference(problems: &mut Problems<'_>, field: &Field<'_>) -> Option<Positioned<Reference>> {
    let text = problems.unrepeated(field)?;
    if let Some(kind) = looks_like(text.value) {
        problems
            .error("value-for-name", text.at, &field.path, format!("looks like {kind}, not like a secret's name"))
            .hints
            .push(
                "store the value in the secret provider and write its name here; if the value is real, rotate it"
                    .to_owned(),
            );
        return None;
    }
    if text.value.starts_with(PLACEHOLDER) {
        problems.error("placeholder", text.at, &field.path, "still the placeholder of `secretbake import`").hints.push(
            "write the name of the secret that holds the value, or a plain value instead of `secret:`".to_owned(),
        );
        return None;
    }
    let foreign = || ForeignReference::recognise(text.value).or_else(|| ForeignReference::in_a_reference(text.value));
    match Reference::parse(text.value) {
        Ok(value) => Some(Positioned { value, at: text.at }),
        Err(error) => {
            if let Some(foreign) = foreign() {
                problems.error("bad-reference", text.at, &field.path, &*foreign.what).hints.extend(foreign.hints(None));
                return None;
            }
            problems
                .error("bad-reference", text.at, &field.path, error.to_string())
                .hints
                .push(error.hint().to_owned());
            None
        }
    }
}

fn version(problems: &mut Problems<'_>, fields: &Fields<'_>) -> Version {
    let stage = fields.get("version_stage");
    let id = fields.get("version_id");
    let label = fields.get("label");
    let number = fields.get("version");
    let given = [&stage, &id, &label, &number].into_iter().flatten();
    let given: Vec<&Field<'_>> = given.collect();
    if let [first, second, ..] = given[..] {
        let name = |field: &Field<'_>| field.path.rsplit('.').next().unwrap_or_default().to_owned();
        let what = format!("both {} and {} are given", name(first), name(second));
        problems.error("two-versions", first.node.at, &first.path, what).hints.push("remove one of them".to_owned());
    }
    let mut read = |field: Option<Field<'_>>, length: RangeInclusive<usize>| {
        let field = field?;
        let text = problems.text(&field)?;
        if !length.contains(&text.value.len()) {
            let what = format!("must have {} to {} characters", length.start(), length.end());
            problems
                .error("bad-version", text.at, &field.path, what)
                .hints
                .push("copy it from `aws secretsmanager list-secret-version-ids --secret-id NAME`".to_owned());
            return None;
        }
        Some(text.value.to_owned())
    };
    let stage = read(stage, 1..=256);
    let id = read(id, VERSION_ID_BYTES);
    let stage = stage.or(read(label, LABEL_BYTES));
    let id = id.or(number.and_then(|field| parameter_version(problems, &field)));
    match (id, stage) {
        (Some(id), _) => Version::Id(id),
        (None, Some(stage)) if stage != "AWSCURRENT" => Version::Stage(stage),
        (None, _) => Version::Current,
    }
}

/// Reads the number of a parameter's version, with quotes or without.
fn parameter_version(problems: &mut Problems<'_>, field: &Field<'_>) -> Option<String> {
    let text = match &field.node.kind {
        Kind::Scalar(scalar) => scalar.text.as_str(),
        _ => "",
    };
    let is_number =
        text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0') && (1..=19).contains(&text.len());
    if !is_number {
        problems
            .error("bad-version", field.node.at, &field.path, "not the number of a version")
            .hints
            .push("write a parameter's version, such as `version: 3`; of a secret write version_id".to_owned());
        return None;
    }
    Some(text.to_owned())
}

/// Tells whether a file with secrets may have the mode; warns if everyone can read it.
fn is_safe(problems: &mut Problems<'_>, mode: u32, text: &Positioned<&str>, path: &str) -> bool {
    let what = match mode {
        _ if mode & 0o7000 != 0 => "sets the setuid, setgid or sticky bit on a file with secrets",
        _ if mode & 0o002 != 0 => "lets every user in the container change the file",
        _ if mode & 0o004 != 0 => "lets every user in the container read the secret",
        _ => return true,
    };
    let is_safe = mode & 0o7002 == 0;
    let problem = match is_safe {
        true => problems.warning("open-mode", text.at, path, what),
        false => problems.error("bad-mode", text.at, path, what),
    };
    problem.hints.push("write mode: \"0440\", and an `owner:` that may read it".to_owned());
    is_safe
}

/// Reads `mode:` and `owner:`.
pub(super) fn access(problems: &mut Problems<'_>, fields: &Fields<'_>) -> PlacedAccess {
    let mode = fields.get("mode").and_then(|field| {
        let text = problems.string(&field)?;
        let digits = (3..=4).contains(&text.value.len()) && text.value.bytes().all(|b| (b'0'..=b'7').contains(&b));
        if !digits {
            problems
                .error("bad-mode", text.at, &field.path, "not an octal mode")
                .hints
                .push("write three or four octal digits in quotes, such as mode: \"0400\"".to_owned());
            return None;
        }
        let mode = u32::from_str_radix(text.value, 8).ok()?;
        is_safe(problems, mode, &text, &field.path).then_some(mode)
    });
    let owner = fields.get("owner").and_then(|field| {
        let text = problems.string(&field)?;
        match Owner::parse(text.value) {
            Some(owner) => Some((owner, text.at)),
            None => {
                problems
                    .error("bad-owner", text.at, &field.path, "not an owner")
                    .hints
                    .push("write USER or USER:GROUP, numbers or names, such as owner: \"1000:1000\"".to_owned());
                None
            }
        }
    });
    let (owner, owner_at) = owner.unzip();
    PlacedAccess { access: Access { mode, owner }, owner_at }
}
