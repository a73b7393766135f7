//! Owns the reading of dotenv files: `NAME=value`, `export`, quotes, comments.

use super::Draft;
use crate::error::Diagnostic;
use crate::yaml::{Position, place};

/// Reads the file's variables.
///
/// # Errors
/// A file that is not text, and each line that is no assignment, by its place alone.
pub(super) fn read(file: &str, text: &[u8], draft: &mut Draft) -> Result<(), Vec<Diagnostic>> {
    let text = super::node::text(file, text)?;
    let mut problems = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let (taken, variable) = statement(rest);
        let at = Position { line, column: 1, offset: 0 };
        match variable {
            Some(Statement::Blank) => {}
            Some(Statement::Set { name, value, interpolated }) => match (value, interpolated) {
                (None, _) => draft.left_out(name, "its value comes from the environment"),
                (Some(_), true) => draft.left_out(name, "its value is put together from other variables"),
                (Some(value), false) => draft.plain(name, &value),
            },
            None => problems.push(
                Diagnostic::error("not-an-assignment", "not NAME=value")
                    .at(place(file, at, String::new()))
                    .hint("close the quotes, or remove the line"),
            ),
        }
        line += rest[..taken].matches('\n').count();
        rest = &rest[taken..];
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

enum Statement<'t> {
    Blank,
    Set { name: &'t str, value: Option<String>, interpolated: bool },
}

/// Reads one statement and returns how many bytes it takes, its line's end included.
fn statement(text: &str) -> (usize, Option<Statement<'_>>) {
    let line = text.split_inclusive('\n').next().unwrap_or_default();
    let trimmed = line.trim();
    if trimmed.is_empty() || trimmed.starts_with('#') {
        return (line.len(), Some(Statement::Blank));
    }
    let Some(equals) = line.find('=') else {
        let name = trimmed.strip_prefix("export ").unwrap_or(trimmed).trim();
        // a bare word may also be a line of something that lost its quotes
        let is_name = super::is_plausible_name(name) && !name.contains(|c: char| c.is_ascii_lowercase());
        return (line.len(), is_name.then_some(Statement::Set { name, value: None, interpolated: false }));
    };
    let name = line[..equals].trim();
    let name = name.strip_prefix("export ").unwrap_or(name).trim();
    if !super::is_plausible_name(name) {
        return (line.len(), None);
    }
    let value = &text[equals + 1..];
    let start = equals + 1 + (value.len() - value.trim_start_matches([' ', '\t']).len());
    let value = &text[start..];
    let Some(quote) = value.chars().next().filter(|c| ['"', '\''].contains(c)) else {
        let value = line.get(start..).unwrap_or_default();
        let end = value.find(" #").or_else(|| value.starts_with('#').then_some(0)).unwrap_or(value.len());
        let value = value[..end].trim();
        let set = Statement::Set { name, value: Some(value.to_owned()), interpolated: value.contains('$') };
        return (line.len(), Some(set));
    };
    let Some((inside, length)) = quoted(&value[1..], quote) else { return (line.len(), None) };
    let after = &text[start + 1 + length..];
    let taken = start + 1 + length + after.find('\n').map_or(after.len(), |end| end + 1);
    let interpolated = inside.1;
    (taken, Some(Statement::Set { name, value: Some(inside.0), interpolated }))
}

/// Reads up to the closing quote: the text with whether it names variables, and how many bytes it and the quote take.
fn quoted(text: &str, quote: char) -> Option<((String, bool), usize)> {
    let mut out = String::new();
    let mut interpolated = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Some(((out, interpolated), at + 1)),
            '\\' if quote == '"' => match chars.next()?.1 {
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                other if ['"', '\\', '$'].contains(&other) => out.push(other),
                other => out.extend(['\\', other]),
            },
            c => {
                interpolated |= quote == '"' && c == '$';
                out.push(c);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::Source;
    use super::*;

    #[test]
    fn every_way_to_write_a_value_is_read() {
        let text = "# comment\n\nA=1\nexport B='two words'\nC=\"a\\n\\\"b\\\" \\$x\"\nD = spaced # comment\nE=\nF='a\nb'\nG=x#y\r\n";
        let mut draft = Draft::default();
        read("f", text.as_bytes(), &mut draft).unwrap();
        let seen: Vec<(&str, &str)> = draft
            .env
            .iter()
            .map(|(name, source)| match source {
                Source::Plain(value) => (name.as_str(), value.as_str()),
                Source::Secret(_) => (name.as_str(), "secret"),
            })
            .collect();
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a\n\"b\" $x"),
            ("D", "spaced"),
            ("E", ""),
            ("F", "a\nb"),
            ("G", "x#y"),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_is_no_assignment_is_said_by_its_line() {
        let problems = read(
            "f",
            b"A=1\nB='a\nb'\nnot an assignment canary\ncanary\nMIIEcanary0123456789canary==\nC='canary\n",
            &mut Draft::default(),
        )
        .unwrap_err();
        let lines: Vec<usize> = problems.iter().map(|problem| problem.place.as_ref().unwrap().line).collect();
        assert_eq!(lines, [4, 5, 6, 7]);
        assert!(!format!("{problems:?}").contains("canary"));
    }
}
