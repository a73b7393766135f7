//! Owns `--seal-to`: a recipient, or a file with one on each line. No message repeats what is no recipient: it may be a secret key.

use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Error, Place};
use crate::image::seal::{Recipient, RecipientError};
use crate::runtime::bounded;

/// The largest file of recipients that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Reads every value of the option.
///
/// # Errors
/// All problems with any of them.
pub(in crate::cli) fn read(values: &[PathBuf]) -> Result<Vec<Recipient>, Error> {
    let (mut recipients, mut problems) = (Vec::new(), Vec::new());
    for value in values {
        let found = match value.to_str().filter(|text| is_key(text)) {
            Some(text) => vec![Recipient::parse(text.trim()).map_err(|error| problem("--seal-to: ", error))],
            None => in_file(value).unwrap_or_else(|problem| vec![Err(problem)]),
        };
        for one in found {
            match one {
                Ok(recipient) => recipients.push(recipient),
                Err(problem) => problems.push(problem),
            }
        }
    }
    if problems.is_empty() { Ok(recipients) } else { Err(Error::invalid(problems)) }
}

/// Tells whether a value is a key of some kind, rather than a file's name.
fn is_key(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    ["age1", "age-secret-key-", "age-plugin-"].iter().any(|prefix| text.starts_with(prefix)) || text.starts_with("ssh-")
}

fn in_file(path: &Path) -> Result<Vec<Result<Recipient, Diagnostic>>, Diagnostic> {
    let name = path.display().to_string();
    let text = bounded::read_named(path, MAX_BYTES).map_err(|error| {
        Diagnostic::error("unreadable", format!("cannot read the recipients in {name}: {error}"))
            .hint("give a recipient, age1..., or a file with one on each line")
    })?;
    let text = String::from_utf8(text).map_err(|_| {
        Diagnostic::error("bad-recipient", format!("{name} is not a text of recipients"))
            .hint("give a recipient, age1..., or a file with one on each line")
    })?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let lines: Vec<_> = (1..).zip(lines).filter(|(_, line)| !line.is_empty()).collect();
    if lines.is_empty() {
        let problem = Diagnostic::error("no-recipient", format!("{name} has no recipient"));
        return Err(
            problem.hint("write a recipient, age1..., on each line; `age-keygen -y KEYFILE` prints that of a key")
        );
    }
    let recipient = |(line, text): (usize, &str)| {
        let place = Place { file: name.clone(), line, column: 1, path: String::new() };
        Recipient::parse(text).map_err(|error| match error {
            RecipientError::SecretKey => problem("", error)
                .at(place)
                .hint("a file of recipients has public keys only: `age-keygen -y KEYFILE` prints them"),
            error => problem("", error).at(place),
        })
    };
    Ok(lines.into_iter().map(recipient).collect())
}

fn problem(before: &str, error: RecipientError) -> Diagnostic {
    let problem = Diagnostic::error("bad-recipient", format!("{before}{error}"));
    match error {
        // the user's own file may hold the key: no new one is needed
        RecipientError::SecretKey if before.is_empty() => problem,
        error => problem.hint(error.hint()),
    }
}
