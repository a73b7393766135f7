//! Owns the form of what is printed for reading: columns, and text that came from elsewhere made safe for a terminal.

use std::fmt::Write as _;

/// Writes rows in columns as wide as their widest cell.
pub(super) fn table<const N: usize>(out: &mut String, indent: &str, rows: &[[String; N]]) -> std::fmt::Result {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default());
    for row in rows {
        let mut line = indent.to_owned();
        for (cell, width) in row.iter().zip(widths) {
            write!(line, "{cell:width$}  ")?;
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Returns a text that an image, a file or a server chose, with its control characters escaped.
pub(super) fn shown(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_unicode().collect() } else { vec![c] }).collect()
}
