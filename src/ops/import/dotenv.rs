//! Reads dotenv files: `NAME=value`, `export`, quotes, comments.

use super::{Draft, Entry, interpolation};
use crate::diagnostic::Diagnostic;
use crate::diagnostic::lookalike::is_plausible_name;
use crate::manifest::is_variable_name;
use crate::manifest::yaml::{Position, place};

/// Reads the file's variables.
///
/// # Errors
/// A file that is not UTF-8, and the place of each line that is not an assignment, without its text.
pub(super) fn read(file: &str, text: &[u8], draft: &mut Draft) -> Result<(), Vec<Diagnostic>> {
    let text = super::node::text(file, text)?;
    let mut problems = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let (taken, statement) = statement(rest);
        let at = Position { line, column: 1, offset: 0 };
        match statement {
            DotenvLine::Blank => {}
            DotenvLine::Set { name, value, interpolated } => {
                let entry = Entry::new(name, at);
                match (value, interpolated) {
                    (Some(value), false) => {
                        draft.plain(entry, &value);
                    }
                    // a shell and Compose read `$$` differently
                    (Some(value), true) if value.contains("$$") => {
                        draft.left_out(entry, interpolation::OTHER_VARIABLES);
                    }
                    (value, _) => interpolation::put(draft, entry, value.as_deref()),
                }
            }
            DotenvLine::Wrong(wrong) => problems.push(wrong.problem(line).at(place(file, at, String::new()))),
        }
        line += rest[..taken].matches('\n').count();
        rest = &rest[taken..];
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

enum DotenvLine<'t> {
    Blank,
    Set { name: &'t str, value: Option<String>, interpolated: bool },
    Wrong(LineError),
}

/// Why a line cannot be read.
enum LineError {
    NotAnAssignment,
    /// Its quotes contain another assignment, this many lines below.
    Swallows(usize),
    AfterTheQuotes,
}

impl LineError {
    fn problem(&self, line: usize) -> Diagnostic {
        match self {
            LineError::NotAnAssignment => {
                Diagnostic::error("not-an-assignment", "not NAME=value").hint("close the quotes, or remove the line")
            }
            LineError::Swallows(below) => {
                let what = format!("the quotes include line {}, which looks like another variable", line + below);
                Diagnostic::error("open-quotes", what)
                    .hint("close them on this line; write a value with an apostrophe in \"")
            }
            LineError::AfterTheQuotes => Diagnostic::error("after-the-quotes", "text after the closing quote")
                .hint("put the whole value in one pair of quotes"),
        }
    }
}

/// The blanks allowed around a name and a value; any other blank is part of them.
const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];

/// Reads one statement and returns its length in bytes, including the line ending.
fn statement(text: &str) -> (usize, DotenvLine<'_>) {
    let line = text.split_inclusive('\n').next().unwrap_or_default();
    let wrong = |why| (line.len(), DotenvLine::Wrong(why));
    let trimmed = line.trim_matches(BLANK);
    if trimmed.is_empty() || trimmed.starts_with('#') {
        return (line.len(), DotenvLine::Blank);
    }
    let Some((name, _)) = line.split_once('=') else {
        let name = exported(trimmed);
        return match super::is_bare_name(name) {
            true => (line.len(), DotenvLine::Set { name, value: None, interpolated: false }),
            false => wrong(LineError::NotAnAssignment),
        };
    };
    let equals = name.len();
    let name = exported(name);
    if !is_plausible_name(name) {
        return wrong(LineError::NotAnAssignment);
    }
    let value = &text[equals + 1..];
    let start = equals + 1 + (value.len() - value.trim_start_matches([' ', '\t']).len());
    let value = &text[start..];
    let Some(quote) = value.chars().next().filter(|c| ['"', '\''].contains(c)) else {
        let value = line.get(start..).unwrap_or_default();
        let end = value.find(" #").or_else(|| value.starts_with('#').then_some(0)).unwrap_or(value.len());
        let value = value[..end].trim_matches(BLANK);
        let set = DotenvLine::Set { name, value: Some(value.to_owned()), interpolated: value.contains('$') };
        return (line.len(), set);
    };
    let Some(((inside, interpolated), length)) = quoted(&value[1..], quote) else {
        return wrong(LineError::NotAnAssignment);
    };
    let (within, after) = value[1..].split_at(length);
    if let Some(below) = within.lines().skip(1).position(is_assignment) {
        return wrong(LineError::Swallows(below + 1));
    }
    let rest = after.split_inclusive('\n').next().unwrap_or_default();
    if !rest.trim_matches(BLANK).is_empty() && !rest.trim_start_matches(BLANK).starts_with('#') {
        return wrong(LineError::AfterTheQuotes);
    }
    (start + 1 + length + rest.len(), DotenvLine::Set { name, value: Some(inside), interpolated })
}

/// Returns a name without `export` before it.
fn exported(name: &str) -> &str {
    let name = name.trim_matches(BLANK);
    name.strip_prefix("export ").unwrap_or(name).trim_matches(BLANK)
}

/// Tells whether a line inside quotes looks like another variable; the last line of a base64 key does not.
fn is_assignment(line: &str) -> bool {
    line.split_once('=').is_some_and(|(name, value)| {
        is_variable_name(exported(name)) && !["", "="].contains(&value.trim_matches(BLANK))
    })
}

/// Reads up to the closing quote. Returns the text, whether it contains variables, and the length in bytes including the quote. If it
/// contains any, `\$` is returned as `$$`.
fn quoted(text: &str, quote: char) -> Option<((String, bool), usize)> {
    let mut out = String::new();
    let mut interpolated = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => {
                let out = if interpolated || quote == '\'' { out } else { out.replace("$$", "$") };
                return Some(((out, interpolated), at + 1));
            }
            '\\' if quote == '"' => match chars.next()?.1 {
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                '$' => out.push_str("$$"),
                other if ['"', '\\'].contains(&other) => out.push(other),
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
    use super::super::DraftSource;
    use super::*;

    #[test]
    fn every_way_to_write_a_value_is_read() {
        let text = "# comment\n\nA=1\nexport B='two words'\nC=\"a\\n\\\"b\\\" \\$x\"\nD = spaced # comment\nE=\nF='a\nb'\nG=x#y\r\n";
        let mut draft = Draft::new("f");
        read("f", text.as_bytes(), &mut draft).unwrap();
        let seen: Vec<(&str, &str)> = draft
            .env
            .iter()
            .map(|(name, source)| match source {
                DraftSource::Plain(value) => (name.as_str(), value.as_str()),
                DraftSource::Secret(_) => (name.as_str(), "secret"),
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
    fn only_blanks_and_tabs_are_trimmed() {
        let mut draft = Draft::new("f");
        read("f", "A= \t\u{a0}x\u{a0}\t \n".as_bytes(), &mut draft).unwrap();
        assert_eq!(draft.env[0].1, DraftSource::Plain("\u{a0}x\u{a0}".to_owned()));
    }

    #[test]
    fn a_key_of_several_lines_is_one_value() {
        let mut draft = Draft::new("f");
        read("f", b"CERT=\"-----BEGIN CERTIFICATE-----\nMIIB\nabcd==\n-----END CERTIFICATE-----\"\n", &mut draft)
            .unwrap();
        assert_eq!(draft.env.len(), 1);
    }

    #[test]
    fn quotes_that_take_in_or_leave_out_too_much_are_said_by_their_line() {
        let text = "MSG='tis the season\nDB_PASSWORD=hunter2canary\nNAME='x'\nA='it'\\''s'\nB=\"x\"y\nC=\"a\" \"b\"\nD=\"x\" # ok\n";
        let problems = read("f", text.as_bytes(), &mut Draft::new("f")).unwrap_err();
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let behind = "text after the closing quote\n  hint: put the whole value in one pair of quotes";
        let expected = [
            "f:1:1: the quotes include line 2, which looks like another variable\n  \
             hint: close them on this line; write a value with an apostrophe in \""
                .to_owned(),
            format!("f:4:1: {behind}"),
            format!("f:5:1: {behind}"),
            format!("f:6:1: {behind}"),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn a_line_that_is_not_an_assignment_is_reported_by_its_place() {
        let problems = read(
            "f",
            b"A=1\nB='a\nb'\nnot an assignment canary\ncanary\nMIIEcanary0123456789canary==\nC='canary\n",
            &mut Draft::new("f"),
        )
        .unwrap_err();
        let lines: Vec<usize> = problems.iter().map(|problem| problem.place.as_ref().unwrap().line).collect();
        assert_eq!(lines, [4, 5, 6, 7]);
        assert!(!format!("{problems:?}").contains("canary"));
    }
}
