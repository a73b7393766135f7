//! Writes the manifest's text. Every string is quoted, so YAML cannot read it as another type.

use std::fmt::Write as _;

use super::{Draft, DraftSource, ImportedSecret, Secret};
use crate::diagnostic::escape::needs_escape;
use crate::manifest::reference::PLACEHOLDER;

/// Returns the manifest and how many lines the user must fill in.
pub(super) fn manifest(draft: &Draft) -> (String, usize) {
    let mut out = String::new();
    // writing to a string cannot fail
    let _ = write(draft, &mut out);
    let to_fill_in = out.lines().filter(|line| line.contains(TODO)).count();
    (out, to_fill_in)
}

/// Marks a line to fill in. No value contains it, because values are quoted.
const TODO: &str = "\"  # TODO: ";

fn write(draft: &Draft, out: &mut String) -> std::fmt::Result {
    writeln!(out, "version: 1")?;
    match &draft.base {
        Some(base) => writeln!(out, "image:\n  base: {}", quoted(base))?,
        None => writeln!(out, "image:\n  base: \"{PLACEHOLDER}image{TODO}the image to bake onto")?,
    }
    writeln!(out, "  tags:\n    - \"{PLACEHOLDER}baked-image{TODO}the name and tag of the baked image")?;
    if !draft.env_from.is_empty() {
        writeln!(out, "env_from:")?;
    }
    for ImportedSecret { secret, prefix } in &draft.env_from {
        write!(out, "  - ")?;
        fields(out, secret)?;
        if !prefix.is_empty() {
            writeln!(out, "    prefix: {}", quoted(prefix))?;
        }
    }
    if draft.env.is_empty() && draft.env_from.is_empty() && draft.files.is_empty() {
        writeln!(out, "env: {{}}")?;
    }
    for (title, entries) in [("env", &draft.env), ("files", &draft.files)] {
        if !entries.is_empty() {
            writeln!(out, "{title}:")?;
        }
        for (name, source) in entries {
            let key = if title == "env" { name.clone() } else { quoted(name) };
            entry(out, &key, source)?;
        }
    }
    Ok(())
}

fn entry(out: &mut String, key: &str, source: &DraftSource) -> std::fmt::Result {
    let secret = match source {
        DraftSource::Plain(value) => return writeln!(out, "  {key}: {}", quoted(value)),
        DraftSource::Secret(secret) => secret,
    };
    write!(out, "  {key}:\n    ")?;
    fields(out, secret)
}

/// Writes a reference's fields, the first of them where the line has got to.
fn fields(out: &mut String, secret: &Secret) -> std::fmt::Result {
    write!(out, "secret: {}", quoted(&secret.reference))?;
    writeln!(out, "{}", if secret.to_fill_in { "  # TODO: the secret's name" } else { "" })?;
    for (field, value) in [("version_stage", &secret.version_stage), ("version_id", &secret.version_id)] {
        if let Some(value) = value {
            writeln!(out, "    {field}: {}", quoted(value))?;
        }
    }
    if secret.is_parameter_name {
        writeln!(out, "    provider: aws-parameter-store")?;
    }
    if secret.optional {
        writeln!(out, "    optional: true")?;
    }
    Ok(())
}

/// Returns a text as a double-quoted scalar; every JSON string is one.
pub(super) fn quoted(text: &str) -> String {
    // a string always serialises
    serde_json::to_string(text).unwrap_or_default().chars().flat_map(escaped).collect()
}

/// Escapes characters that YAML forbids but JSON does not, and those that a terminal acts on.
fn escaped(c: char) -> Vec<char> {
    match u32::from(c) {
        code @ (0xfffe | 0xffff) => format!("\\u{code:04x}").chars().collect(),
        code @ ..=0xffff if needs_escape(c) => format!("\\u{code:04x}").chars().collect(),
        code if needs_escape(c) => format!("\\U{code:08x}").chars().collect(),
        _ => vec![c],
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn what_yaml_has_no_place_for_or_a_terminal_acts_on_is_escaped() {
        assert_eq!(
            quoted("a\0\u{7f}\u{85}\u{2028}\u{feff}\u{fffe}\u{ffff}\u{1f600}\u{202e}\u{e0041}"),
            "\"a\\u0000\\u007f\\u0085\\u2028\\ufeff\\ufffe\\uffff\u{1f600}\\u202e\\U000e0041\""
        );
    }
}
