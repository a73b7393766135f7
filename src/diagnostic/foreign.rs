//! Owns text that others wrote: from a registry, engine, AWS endpoint, helper, ssh, label or file name.
//!
//! [`ForeignText`] is the only form in which such text gets into a diagnostic, table, log or completion.

use std::fmt;

use super::escape::escaped;
use super::redact::redacted;
use super::scrub;

/// How many characters of a text are shown.
const MOST_CHARACTERS: usize = 300;
/// How many characters of a name are shown.
const MOST_OF_A_NAME: usize = 2048;
/// How many bytes of a text are examined. More than is shown, because secrets are removed before the text is cut.
const MOST_BYTES: usize = 64 * 1024;

/// Text that someone else chose, made safe to print: at most 300 characters, one line, no secret of this run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForeignText(String);

impl ForeignText {
    /// Takes text or raw bytes. Bytes that are not UTF-8 become U+FFFD.
    pub fn new(text: impl AsRef<[u8]>) -> Self {
        ForeignText::bounded(text, MOST_CHARACTERS)
    }

    /// Takes a name, which is useless when cut: up to 2,048 characters, AWS's longest limit.
    pub fn name(name: impl AsRef<[u8]>) -> Self {
        ForeignText::bounded(name, MOST_OF_A_NAME)
    }

    fn bounded(text: impl AsRef<[u8]>, most: usize) -> Self {
        let text = text.as_ref().trim_ascii();
        let mut scrubbed = scrub::without_secrets(text.get(..MOST_BYTES).unwrap_or(text));
        if text.len() > MOST_BYTES {
            // the cut may leave a piece of a secret that is too short to be found
            scrubbed.truncate(scrubbed.len().saturating_sub(scrub::SHORTEST_PART));
        }
        let text = escaped(&redacted(&String::from_utf8_lossy(&scrubbed)));
        ForeignText(match text.char_indices().nth(most) {
            Some(_) => text.chars().take(most - 1).chain(['…']).collect(),
            None => text,
        })
    }

    /// Returns the text that may be shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for ForeignText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<ForeignText> for String {
    fn from(text: ForeignText) -> Self {
        text.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_one_bounded_line_without_secrets() {
        scrub::remember(b"foreign-canary-0123456789");
        for (text, expected) in [
            (" manifest invalid\n\n", "manifest invalid"),
            ("a\nb\u{1b}[2J\u{202e}", r"a\nb\u{1b}[2J\u{202e}"),
            ("got foreign-canary-0123456789!", "got ***!"),
            ("dial http://user:pass@proxy:3128 AKIAIOSFODNN7EXAMPLE", "dial http://***@proxy:3128 AKIA…MPLE"),
        ] {
            assert_eq!(ForeignText::new(text).as_str(), expected);
        }
        assert_eq!(ForeignText::new(b"\xff\x00").as_str(), "\u{fffd}\\0");
        let long = ForeignText::new("é".repeat(400));
        assert_eq!(long.as_str(), "é".repeat(299) + "…");
    }

    #[test]
    fn a_text_that_is_cut_shows_no_part_of_the_secret_at_the_cut() {
        scrub::remember(b"cut-canary-abcdefghijklmnopqrstuvwxyz");
        let secret = "cut-canary-abcdefghijklmnopqrstuvwxyz";
        for length in MOST_BYTES + 1..MOST_BYTES + 40 {
            // secrets without a break between them shrink to three asterisks, so that the cut is within what is shown
            let text: String = secret.chars().cycle().skip(length % 40).take(length).collect();
            let shown = ForeignText::new(&text);
            assert!(!shown.as_str().contains("canary"), "{length}: {shown}");
        }
    }

    #[test]
    fn a_text_that_just_fits_is_not_cut() {
        scrub::remember(b"fits-canary-abcdefghijklmnopqrstuvwxyz");
        let secrets = "fits-canary-abcdefghijklmnopqrstuvwxyz".repeat(MOST_BYTES);
        let text = format!("{}.END", &secrets[secrets.len() - (MOST_BYTES - 4)..]);
        assert!(ForeignText::new(&text).as_str().ends_with(".END"));
    }
}
