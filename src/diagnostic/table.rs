//! Writes tables with aligned columns.

use std::fmt::Write as _;

use super::line;

/// Writes rows in columns as wide as their widest cell, with control characters escaped.
pub fn table<const N: usize>(out: &mut String, indent: &str, rows: &[[String; N]]) -> std::fmt::Result {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| line(cell))).collect();
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default());
    for row in &rows {
        let mut out_line = indent.to_owned();
        for (cell, width) in row.iter().zip(widths) {
            write!(out_line, "{cell:width$}  ")?;
        }
        writeln!(out, "{}", out_line.trim_end())?;
    }
    Ok(())
}
