//! Owns the plan as `--dry-run` prints it: the same bytes every time, made for reading and for snapshot tests.

use std::fmt::Write as _;

use super::json::{EntryJson, PlanJson};
use crate::diagnostic::json::Problem;
use crate::diagnostic::table::table;

/// Returns the plan as text.
pub fn text(plan: &PlanJson<'_>) -> String {
    let mut out = String::new();
    // writing to a string cannot fail
    let _ = write_text(plan, &mut out);
    out
}

fn write_text(plan: &PlanJson<'_>, out: &mut String) -> std::fmt::Result {
    for image in &plan.images {
        writeln!(out, "{}", image.manifest)?;
        writeln!(out, "  base    {}", image.base.as_deref().unwrap_or("(given by --base)"))?;
        let tags = if image.tags.is_empty() { "(given by --tag)".to_owned() } else { image.tags.join(", ") };
        writeln!(out, "  tags    {tags}")?;
        if let Some(platform) = &image.platform {
            let platform = if platform == "all" { "all platforms" } else { platform };
            writeln!(out, "  for     {platform}")?;
        }
        writeln!(out, "  inject  {}", image.inject)?;
        if let Some(file) = &image.env_file {
            writeln!(out, "  file    {} ({}, mode {}, owner {})", file.path, file.format, file.mode, file.owner)?;
        }
        for (title, entries) in [("env", &image.env), ("files", &image.files)] {
            if entries.is_empty() {
                continue;
            }
            writeln!(out, "  {title}")?;
            let rows: Vec<[String; 5]> = entries.iter().map(row).collect();
            table(out, "    ", &rows)?;
        }
        writeln!(out)?;
    }
    writeln!(out, "reads ({})", plan.reads.len())?;
    let rows: Vec<[String; 4]> = plan
        .reads
        .iter()
        .map(|read| {
            [
                read.secret.to_owned(),
                read.version.clone(),
                format!("with {} ({}{})", read.credential, read.provider, in_region(read.region)),
                if read.uses == 1 { "1 use".to_owned() } else { format!("{} uses", read.uses) },
            ]
        })
        .collect();
    table(out, "  ", &rows)?;
    if !plan.warnings.is_empty() {
        writeln!(out, "\nwarnings ({})", plan.warnings.len())?;
        // without lines and columns: what moves is not new
        table(out, "  ", &plan.warnings.iter().map(Problem::subject_and_what).collect::<Vec<_>>())?;
    }
    Ok(())
}

fn in_region(region: Option<&str>) -> String {
    region.map(|region| format!(" in {region}")).unwrap_or_default()
}

fn row(entry: &EntryJson<'_>) -> [String; 5] {
    let [source, version, credential] = match &entry.secret {
        None => ["plain".to_owned(), String::new(), String::new()],
        Some(secret) => {
            let mut text = format!("secret {}", secret.reference);
            if let Some(encoding) = secret.encoding {
                let _ = write!(text, ", {encoding}");
            }
            if secret.optional {
                text.push_str(", optional");
            }
            [text, secret.version.clone(), format!("with {}{}", secret.credential, in_region(secret.region))]
        }
    };
    let place = match (entry.place, &entry.mode, &entry.owner) {
        ("file", Some(mode), Some(owner)) => format!("mode {mode}, owner {owner}"),
        (place, _, _) => format!("in {place}"),
    };
    // what is long comes last, so that one ARN does not make every line wide
    [entry.name.to_owned(), place, source, version, credential]
}
