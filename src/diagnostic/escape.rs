//! Escapes characters that would move the cursor, start a line or reverse text on a terminal.

/// Returns the text as one line; control, bidirectional and invisible characters are escaped in Rust's syntax (`\n`, `\u{1b}`).
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if needs_escape(c) { out.extend(c.escape_debug()) } else { out.push(c) }
    }
    out
}

/// Escapes each line of a text like [`escaped`]; line feeds and tabs are kept.
pub fn escaped_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if needs_escape(c) && !"\n\t".contains(c) { out.extend(c.escape_debug()) } else { out.push(c) }
    }
    out
}

/// Escapes the same characters as [`escaped`] in JSON text, with JSON's own escapes, so the document stays the same to any reader.
///
/// Only line feeds are kept: JSON has them between values, never inside a string.
pub fn escaped_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && needs_escape(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out += &format!("\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Tells whether a terminal acts on the character or shows nothing for it.
pub fn needs_escape(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor_begins_a_line_or_turns_text_around() {
        for (text, expected) in [
            ("a\n::error::x", r"a\n::error::x"),
            ("\u{1b}]0;x\u{7}", r"\u{1b}]0;x\u{7}"),
            ("\u{9b}2J\r\t\0", r"\u{9b}2J\r\t\0"),
            ("a\u{202e}b\u{2066}c\u{200f}\u{2028}", r"a\u{202e}b\u{2066}c\u{200f}\u{2028}"),
            ("größe 👩‍🔧 \"quoted\" \\", "größe 👩‍🔧 \"quoted\" \\"),
        ] {
            assert_eq!(escaped(text), expected);
        }
        assert_eq!(escaped_lines("a\tb\n\u{1b}[2J\r\n"), "a\tb\n\\u{1b}[2J\\r\n");
    }

    #[test]
    fn escaped_json_is_the_same_document() {
        let value = serde_json::json!({ "a\u{202e}": "\u{9b}2J\u{7f}\n\u{e0041}", "b": ["größe"] });
        let text = escaped_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!text.chars().any(|c| c != '\n' && needs_escape(c)), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
