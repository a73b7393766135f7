//! Owns the composition of a value from a template and its parts, and what each filter does to a part.
//!
//! It is pure. Every buffer that a part passes through is wiped, and no error holds a part.

use base64::Engine as _;

use crate::manifest::{Filter, Piece};
use crate::secret::{SecretBuffer, SecretBytes};

/// Why a filter cannot take a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("the filter `json` takes text, and the value is not UTF-8")]
    NotText,
    #[error("the value has a NUL character, which no shell can hold")]
    Nul,
}

/// Composes a value. `parts` are by the index that the pieces have.
///
/// # Errors
/// The index of a part that a filter cannot take, and why.
pub fn compose(pieces: &[Piece], parts: &[SecretBytes]) -> Result<SecretBytes, (usize, FilterError)> {
    let mut composed = SecretBuffer::default();
    for piece in pieces {
        match piece {
            Piece::Text(text) => composed.push(text.as_bytes()),
            Piece::Part { part, filters } => {
                let mut value = parts[*part].clone();
                for filter in filters {
                    value = apply(*filter, &value).map_err(|error| (*part, error))?;
                }
                composed.push(value.expose());
            }
        }
    }
    Ok(composed.finish())
}

fn apply(filter: Filter, value: &SecretBytes) -> Result<SecretBytes, FilterError> {
    match filter {
        Filter::Url => Ok(percent_encoded(value)),
        Filter::Json => in_json_string(value),
        Filter::Base64 => Ok(SecretBytes::from(base64::engine::general_purpose::STANDARD.encode(value.expose()))),
        Filter::Shell => single_quoted(value),
    }
}

/// Percent-encodes every byte but RFC 3986's unreserved characters.
fn percent_encoded(value: &SecretBytes) -> SecretBytes {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = SecretBuffer::with_capacity(3 * value.len());
    for byte in value.expose() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(&[*byte]),
            _ => encoded.push(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
    }
    encoded.finish()
}

/// Escapes a text for the inside of a JSON string, without the quotes.
fn in_json_string(value: &SecretBytes) -> Result<SecretBytes, FilterError> {
    let text = std::str::from_utf8(value.expose()).map_err(|_| FilterError::NotText)?;
    let mut quoted = SecretBuffer::with_capacity(text.len() + 2);
    // writing to memory cannot fail, and neither can a string
    let _ = serde_json::to_writer(&mut quoted, text);
    let quoted = quoted.finish();
    let mut inner = SecretBuffer::with_capacity(quoted.len());
    inner.push(quoted.expose().strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or_default());
    Ok(inner.finish())
}

/// Quotes a value as one word of a POSIX shell.
fn single_quoted(value: &SecretBytes) -> Result<SecretBytes, FilterError> {
    if value.expose().contains(&0) {
        return Err(FilterError::Nul);
    }
    let mut quoted = SecretBuffer::with_capacity(value.len() + 2);
    quoted.push(b"'");
    for (index, part) in value.expose().split(|byte| *byte == b'\'').enumerate() {
        if index > 0 {
            quoted.push(b"'\\''");
        }
        quoted.push(part);
    }
    quoted.push(b"'");
    Ok(quoted.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(value: &[u8], filters: &[Filter]) -> Result<Vec<u8>, FilterError> {
        let pieces = [Piece::Text("<".to_owned()), Piece::Part { part: 0, filters: filters.to_vec() }];
        let value = compose(&pieces, &[SecretBytes::new(value.to_vec())]).map_err(|(_, error)| error)?;
        Ok(value.expose().strip_prefix(b"<").unwrap().to_vec())
    }

    #[test]
    fn each_filter_escapes_what_its_reader_would_take_for_syntax() {
        assert_eq!(filtered(b"a-._~ /@:%\xff", &[Filter::Url]), Ok(b"a-._~%20%2F%40%3A%25%FF".to_vec()));
        assert_eq!(filtered("\"\\\n\u{1}é".as_bytes(), &[Filter::Json]), Ok("\\\"\\\\\\n\\u0001é".as_bytes().to_vec()));
        assert_eq!(filtered(b"\xff\x00", &[Filter::Base64]), Ok(b"/wA=".to_vec()));
        assert_eq!(filtered(b"it's $1", &[Filter::Shell]), Ok(b"'it'\\''s $1'".to_vec()));
        assert_eq!(filtered(b"", &[Filter::Shell]), Ok(b"''".to_vec()));
        assert_eq!(filtered(b"/ ", &[Filter::Url, Filter::Base64]), Ok(b"JTJGJTIw".to_vec()));
        assert_eq!(filtered(b"\xff\x00", &[]), Ok(b"\xff\x00".to_vec()));
    }

    #[test]
    fn what_a_filter_cannot_take_is_refused() {
        assert_eq!(filtered(b"\xff", &[Filter::Json]), Err(FilterError::NotText));
        assert_eq!(filtered(b"a\0", &[Filter::Shell]), Err(FilterError::Nul));
    }
}
