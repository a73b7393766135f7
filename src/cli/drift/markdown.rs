//! Owns the Markdown of what `drift` found, for the summary of a job.

use std::fmt::Write as _;

use super::super::output::count;
use super::super::short;
use super::report::{Drift, Group, ImageDrift, Status};
use super::text::{Step, Style, base_row, more_steps, next_step, users, what};
use crate::diagnostic::block::blocks;
use crate::diagnostic::{Diagnostic, ForeignText};
use crate::ops::drift::State;

/// Returns a summary: what is to be done, then a table for each group of images that needs something, then the problems, which whoever reads
/// the summary of a job sees nowhere else.
pub(super) fn markdown(drift: &Drift, problems: &[Diagnostic], style: Style<'_>) -> String {
    let mut out = String::new();
    // writing to a string cannot fail
    let _ = write(&mut out, drift, problems, style);
    out
}

fn write(out: &mut String, drift: &Drift, problems: &[Diagnostic], style: Style<'_>) -> std::fmt::Result {
    let all = count(drift.images.len() + drift.not_baked, "image");
    match drift.count(Status::Drifted) {
        0 => writeln!(out, "### No drift in {all}\n")?,
        drifted => writeln!(out, "### {drifted} of {all} drifted\n\n{}\n", shown(&next_step(drift, style)))?,
    }
    for group in Group::ALL {
        let images = drift.of(group);
        if images.is_empty() || group == Group::Current && style.secret.is_none() {
            continue;
        }
        let (first, rest) = group.heading().split_at(1);
        writeln!(
            out,
            "#### {}{rest}\n\n| image | used by | variable | secret | version |\n|---|---|---|---|---|",
            first.to_uppercase()
        )?;
        images.into_iter().try_for_each(|image| table(out, image, style))?;
        writeln!(out)?;
    }
    for step in more_steps(drift, style) {
        writeln!(out, "{}\n", shown(&step))?;
    }
    if !problems.is_empty() {
        writeln!(out, "#### Errors\n")?;
        for block in blocks(problems) {
            // indented, it is code whatever characters it has
            let text = block.text(&|_, text| text.to_owned()).replace('\n', "\n    ");
            writeln!(out, "    {text}")?;
        }
        writeln!(out)?;
    }
    let current = count(drift.count(Status::Current), "image");
    writeln!(out, "{current} current, {} not baked by secretbake", drift.not_baked)
}

fn table(out: &mut String, image: &ImageDrift, style: Style<'_>) -> std::fmt::Result {
    let (name, users) = (code(&image.image), code(&users(&image.used_by)));
    let findings = image.findings.iter().filter(|finding| style.secret.is_some() || finding.state != State::Current);
    let findings: Vec<_> = findings.collect();
    let base = base_row(image);
    if let Some([base, from, what]) = &base {
        writeln!(out, "| {name} | {users} | {base} | {} | {} |", code(from), code(what))?;
    }
    if findings.is_empty() && base.is_some() {
        return Ok(());
    }
    if findings.is_empty() {
        return writeln!(out, "| {name} | {users} | | | could not be read |");
    }
    for finding in findings {
        let variable = code(&short::with_part(&finding.name, finding.part.as_deref()));
        let secret = format!("{} with {}", code(&short::secret_name(&finding.secret)), code(&finding.credential));
        writeln!(out, "| {name} | {users} | {variable} | {secret} | {} |", code(&what(finding, style.now)))?;
    }
    Ok(())
}

/// Returns a step with its command as code.
fn shown(step: &Step) -> String {
    format!("{}{}{}", step.before, code(&step.command), step.after)
}

/// Returns text that others chose as code, which no reader takes for anything else.
fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let text = String::from(ForeignText::name(text)).replace('`', "'").replace('|', "\\|");
    format!("`{text}`")
}
