//! Owns the manifest's text: every string quoted, so that none changes by being read.

use std::fmt::Write as _;

use super::{Draft, DraftSource};

/// Returns the manifest.
pub(super) fn manifest(draft: &Draft) -> String {
    let mut out = String::new();
    // writing to a string cannot fail
    let _ = write(draft, &mut out);
    out
}

fn write(draft: &Draft, out: &mut String) -> std::fmt::Result {
    let open = draft
        .env
        .iter()
        .chain(&draft.files)
        .any(|(_, source)| matches!(source, DraftSource::Secret(s) if s.to_fill_in));
    if open {
        writeln!(out, "# Write the name of a secret wherever it says TODO.")?;
    }
    writeln!(out, "version: 1")?;
    if let Some(base) = &draft.base {
        writeln!(out, "image:\n  base: {}", quoted(base))?;
    }
    if draft.env.is_empty() && draft.files.is_empty() {
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
    let todo = if secret.to_fill_in { "  # TODO: the secret's name" } else { "" };
    writeln!(out, "  {key}:\n    secret: {}{todo}", quoted(&secret.reference))?;
    for (field, value) in [("version_stage", &secret.version_stage), ("version_id", &secret.version_id)] {
        if let Some(value) = value {
            writeln!(out, "    {field}: {}", quoted(value))?;
        }
    }
    if secret.optional {
        writeln!(out, "    optional: true")?;
    }
    Ok(())
}

/// Returns a text as a double-quoted scalar, which every JSON string is too.
fn quoted(text: &str) -> String {
    // a string always serialises; YAML forbids some characters unescaped that JSON does not
    serde_json::to_string(text).unwrap_or_default().chars().flat_map(escaped).collect()
}

fn escaped(c: char) -> Vec<char> {
    let is_forbidden =
        matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    if is_forbidden { format!("\\u{:04x}", u32::from(c)).chars().collect() } else { vec![c] }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn what_yaml_has_no_place_for_is_escaped() {
        assert_eq!(
            quoted("a\0\u{7f}\u{85}\u{2028}\u{feff}\u{fffe}\u{ffff}\u{1f600}"),
            "\"a\\u0000\\u007f\\u0085\\u2028\\ufeff\\ufffe\\uffff\u{1f600}\""
        );
    }
}
