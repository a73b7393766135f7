//! Owns text that fits 100 columns: short names and IDs, and rows that are split if they are too long. The JSON is not shortened.

use std::fmt::Write as _;

use crate::diagnostic::ForeignText;
use crate::diagnostic::table::table;

const COLUMNS: usize = 100;

/// Returns a secret's name. Of an ARN that is what follows its type, without the six characters that AWS adds.
pub(super) fn secret_name(secret: &str) -> String {
    let mut parts = secret.splitn(7, ':').skip(5);
    let name = match (parts.next(), parts.next()) {
        _ if !secret.starts_with("arn:") => secret,
        (Some("secret"), Some(name)) => match name.rsplit_once('-') {
            Some((name, added)) if added.len() == 6 => name,
            _ => name,
        },
        (Some(resource), None) => resource.strip_prefix("parameter").unwrap_or(secret),
        _ => secret,
    };
    ForeignText::new(name).into()
}

/// Returns enough of a version's ID to tell it from the others of its secret.
pub(super) fn version_id(id: &str) -> String {
    let short = if id.len() > 12 { id.chars().take(8).collect() } else { id.to_owned() };
    ForeignText::new(short).into()
}

/// Returns an image's name. If it has a tag, only the beginning of its digest is shown.
pub(super) fn image(name: &str) -> String {
    match name.split_once("@sha256:") {
        Some((tagged, digest)) if tagged.rsplit('/').next().is_some_and(|last| last.contains(':')) => {
            format!("{tagged}@sha256:{}", digest.chars().take(12).collect::<String>())
        }
        _ => name.to_owned(),
    }
}

/// Writes a name that is shown whole, and what is said of it, in a line of its own if both are too long for one.
pub(super) fn heading(out: &mut String, name: &str, note: &str) -> std::fmt::Result {
    let name = ForeignText::name(name);
    match name.as_str().chars().count() + note.chars().count() + 4 <= COLUMNS {
        true => writeln!(out, "{}", format!("  {name}  {note}").trim_end()),
        false => {
            writeln!(out, "  {name}")?;
            let note: String = note.chars().take(COLUMNS - 6).collect();
            table(out, "      ", &[[note]])
        }
    }
}

/// Returns the name of a variable or file, with the part of its template.
pub(super) fn with_part(name: &str, part: Option<&str>) -> String {
    part.map_or_else(|| name.to_owned(), |part| format!("{name} {{{{{part}}}}}"))
}

/// Writes rows in columns, or each cell in a line of its own where a row would be longer than 100 columns.
pub(super) fn rows<const N: usize>(out: &mut String, rows: &[[String; N]]) -> std::fmt::Result {
    indented_rows(out, "  ", rows)
}

/// Writes rows like [`rows`], with this indent.
pub(super) fn indented_rows<const N: usize>(out: &mut String, first: &str, rows: &[[String; N]]) -> std::fmt::Result {
    let mut text = String::new();
    table(&mut text, first, rows)?;
    if text.lines().all(|line| line.chars().count() <= COLUMNS) {
        out.push_str(&text);
        return Ok(());
    }
    for row in rows {
        for (index, cell) in row.iter().enumerate() {
            let indent = if index == 0 { first.to_owned() } else { format!("{first}    ") };
            let cell: String = cell.chars().take(COLUMNS - indent.len()).collect();
            table(out, &indent, &[[cell]])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_shown_by_the_name_in_it() {
        for (secret, name) in [
            ("arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf", "db"),
            ("arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db-main-AbCdEf", "prod/db-main"),
            ("arn:aws:ssm:us-east-1:123456789012:parameter/prod/db", "/prod/db"),
            ("db", "db"),
            ("odd\nname", "odd\\nname"),
            ("arn:aws:other", "arn:aws:other"),
        ] {
            assert_eq!(secret_name(secret), name);
        }
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(image(&format!("r:5000/crew:1@{digest}")), "r:5000/crew:1@sha256:e3b0c44298fc");
        assert_eq!(image(&format!("r:5000/crew@{digest}")), format!("r:5000/crew@{digest}"));
        assert_eq!(version_id("5f8b1c9e-0000-4000-8000-000000000000"), "5f8b1c9e");
        assert_eq!(version_id("v1"), "v1");
    }

    #[test]
    fn a_row_that_is_too_long_is_broken() {
        let written = |rows: &[[String; 2]]| {
            let mut out = String::new();
            super::rows(&mut out, rows).unwrap();
            out
        };
        assert_eq!(written(&[["A".into(), "x".into()], ["LONG".into(), "y".into()]]), "  A     x\n  LONG  y\n");
        let name = "N".repeat(90);
        assert_eq!(written(&[[name.clone(), "x".repeat(200)]]), format!("  {name}\n      {}\n", "x".repeat(94)));
    }
}
