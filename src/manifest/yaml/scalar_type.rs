//! Owns how YAML readers interpret a plain scalar: a string to one of them can be a number to another.

/// Tells whether every YAML reader reads the text, without quotes, as a string.
pub fn is_string(text: &str) -> bool {
    other_type(text).is_none()
}

/// Tells whether a plain scalar is YAML's null.
pub(super) fn is_null(text: &str) -> bool {
    text.is_empty() || text == "~" || text.eq_ignore_ascii_case("null")
}

/// Returns the type that a YAML 1.1 or 1.2 reader gives a plain scalar; `None` for a string.
pub(super) fn other_type(text: &str) -> Option<&'static str> {
    const BOOLEANS: [&str; 8] = ["true", "false", "yes", "no", "on", "off", "y", "n"];
    if is_null(text) {
        return Some("a null");
    }
    if BOOLEANS.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Some("a boolean");
    }
    if is_number(text) {
        return Some("a number");
    }
    if is_timestamp(text) {
        return Some("a date");
    }
    None
}

/// Tells whether some YAML reader reads the text as a number: `1.10`, `1_000`, `0x1f`, `0o17`, `1:30`, `1e3`, `.inf`.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    if [".inf", ".nan"].contains(&lower.as_str()) {
        return true;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            return !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix) || c == '_');
        }
    }
    let begins = lower.starts_with(|c: char| c.is_ascii_digit())
        || (lower.starts_with('.') && lower[1..].starts_with(|c: char| c.is_ascii_digit()));
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    begins
        && mantissa.chars().all(|c| c.is_ascii_digit() || "._:".contains(c))
        && mantissa.matches('.').count() <= 1
        && !mantissa.contains("::")
        && !exponent.is_empty()
        && exponent.chars().all(|c| c.is_ascii_digit())
}

/// Tells whether a YAML 1.1 reader reads the text as a timestamp.
fn is_timestamp(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let digits = |part: Option<&str>, least: usize, most: usize| {
        part.is_some_and(|part| (least..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
    };
    digits(parts.next(), 4, 4)
        && digits(parts.next(), 1, 2)
        && parts.next().is_some_and(|rest| {
            let day = rest.bytes().take_while(u8::is_ascii_digit).count();
            (1..=2).contains(&day) && rest[day..].chars().all(|c| c.is_ascii_digit() || "Tt :.+-Zz".contains(c))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_scalar_that_some_reader_converts_is_no_string() {
        for text in [
            "",
            "~",
            "null",
            "NULL",
            "yes",
            "No",
            "on",
            "y",
            "true",
            "1",
            "-1",
            "+1",
            "1.10",
            "1_000",
            "0x1F",
            "0o17",
            "0b1",
            "1:30",
            "190:20:30",
            "1e3",
            "1.5E-3",
            ".5",
            ".inf",
            "-.INF",
            ".NaN",
            "007",
            "2001-12-14",
            "2001-12-14t21:59:43.10-05:00",
            "2001-1-1",
        ] {
            assert!(other_type(text).is_some(), "{text}");
        }
    }

    #[test]
    fn a_plain_scalar_that_every_reader_takes_as_it_is_is_a_string() {
        for text in [
            "info",
            "1.2.3",
            "v1",
            "1a",
            "10.0.0.1",
            "yess",
            "nullable",
            "1e",
            "e3",
            "0x",
            "0xg",
            "::1",
            "a:b",
            "2001-12-14-rc1",
            "abcd-1-2",
            "01-02-2003",
            ".",
            "-",
            "postgres://db",
            "1 2",
            "100%",
            "5m",
            "é",
        ] {
            assert!(other_type(text).is_none(), "{text}");
        }
    }
}
