//! Owns the plan as text: the same bytes every time, made for snapshots and diffs.
//!
//! Each line is complete by itself, so that a change of the manifest changes only the lines of what changed: there are no columns and no
//! counts, and defaults are left out.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use super::shown::{plain_value, shown_key, unusual};
use super::{
    Destination, EnvFilePlan, ImagePlan, Plan, PlannedEnvFrom, PlannedSecret, PlannedSource, PlannedVariable, Read, Use,
};
use crate::diagnostic::Diagnostic;
use crate::diagnostic::escape::escaped;
use crate::image::env_file::Format;
use crate::image::platform::Platforms;
use crate::manifest::{Case, ENV_PATH, Encoding, Inject, ProviderKind, Version};
use crate::org::Org;

/// What opens the sealed files of an image without a launcher.
pub const OPENED_BY: &str = "`age -d -i KEYFILE FILE`; no launcher opens them";

/// Returns the plan as text.
pub fn text(plan: &Plan, org: &Org, warnings: &[Diagnostic]) -> String {
    let mut lines = String::new();
    // writing to a string cannot fail
    let _ = write_text(&mut lines, plan, org, warnings);
    lines
}

fn write_text(out: &mut String, plan: &Plan, org: &Org, warnings: &[Diagnostic]) -> fmt::Result {
    for (index, image) in plan.images.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        image_text(out, plan, image, org)?;
    }
    // sorted, so that a new first use of a secret moves no other line
    let reads: BTreeSet<String> = plan.reads.iter().map(|read| describe_read(read, "", org)).collect();
    section(out, "\nsecrets read", reads)?;
    let used: BTreeSet<usize> = plan.reads.iter().map(|read| read.credential).collect();
    section(out, "\ncredentials", used.into_iter().map(|index| credential(index, org)))?;
    // without lines and columns: a warning that moves is not a new one
    section(out, "\nwarnings", warnings.iter().map(describe_warning))
}

/// Writes a title and its lines, unless there are none.
fn section(out: &mut String, title: &str, lines: impl IntoIterator<Item = String>) -> fmt::Result {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_some() {
        writeln!(out, "{title}:")?;
    }
    lines.try_for_each(|line| writeln!(out, "  {}", escaped(&line)))
}

fn image_text(out: &mut String, plan: &Plan, image: &ImagePlan, org: &Org) -> fmt::Result {
    writeln!(out, "{}", escaped(&image.file))?;
    let given = |option: &str| format!("(given by {option})");
    let base = image.base.as_ref().map_or_else(|| given("--base"), |base| base.name.to_string());
    writeln!(out, "  base: {base}")?;
    for tag in image.tag_names() {
        writeln!(out, "  tag: {tag}")?;
    }
    if image.tags.is_empty() {
        writeln!(out, "  tag: {}", given("--tag"))?;
    }
    match &plan.platforms {
        Platforms::Own => {}
        Platforms::One(platform) => writeln!(out, "  platform: {platform}")?,
        Platforms::All => writeln!(out, "  platform: all")?,
    }
    if image.inject != Inject::default() {
        writeln!(out, "  inject: {}", image.inject.name())?;
    }
    if let Some(recipients) = &image.seal {
        // a line each, so that one that comes or goes moves no other
        recipients.iter().try_for_each(|recipient| writeln!(out, "  sealed for: {recipient}"))?;
        if recipients.is_empty() {
            writeln!(out, "  sealed for: {}", given("--seal-to"))?;
        }
        if image.inject == Inject::File {
            writeln!(out, "  opened by: {OPENED_BY}")?;
        }
    }
    if let Some(parts) = image.env_file.as_ref().map(env_file).filter(|parts| !parts.is_empty()) {
        writeln!(out, "  env file: {}", escaped(&parts.join(", ")))?;
    }
    let env_from = image.env_from.iter().flat_map(|entry| describe_env_from(plan, image, entry, org));
    section(out, "  env from", env_from.map(|line| format!("  {line}")))?;
    let variables = image.variables.iter().flat_map(|variable| describe_variable(plan, variable, org));
    section(out, "  env", variables.map(|line| format!("  {line}")))?;
    let files = image.files.iter().flat_map(|file| {
        let opened = image.opens_files().then(|| "written at start".to_owned());
        let rights = unusual(&file.access).into_iter().chain(opened);
        let rights = rights.map(|part| format!(", {part}")).collect::<String>();
        describe_secret(plan, &file.path, &file.source, &rights, org)
    });
    section(out, "  files", files.map(|line| format!("  {line}")))
}

/// Returns the settings of the env file that are not the default.
fn env_file(file: &EnvFilePlan) -> Vec<String> {
    let path = (file.path != ENV_PATH || !file.launched).then(|| file.path.clone());
    let format = (file.format != Format::default()).then(|| format!("format {}", file.format.name()));
    path.into_iter().chain(format).chain(unusual(&file.access)).collect()
}

/// Returns the rule by which keys become variables, and a line for each variable that is known before the secret is read.
fn describe_env_from(plan: &Plan, image: &ImagePlan, entry: &PlannedEnvFrom, org: &Org) -> Vec<String> {
    let naming = &entry.naming;
    let keys = match (plan.reads[entry.source.read].is_path, naming.keys.is_some()) {
        (false, false) => "every key of",
        (false, true) => "these keys of",
        (true, false) => "everything below",
        (true, true) => "these below",
    };
    let prefix = Some(format!(", prefix {}", naming.prefix)).filter(|_| !naming.prefix.is_empty());
    let case = Some(format!(", case {}", naming.case.name())).filter(|_| naming.case != Case::default());
    let config = Some(", in the config".to_owned()).filter(|_| entry.destination == Destination::Config);
    let rule: String = prefix.into_iter().chain(case).chain(config).collect();
    let mut lines = vec![format!("{keys} {}{rule}", describe_use(plan, &entry.source, org))];
    let own = |name: &str| image.variables.iter().any(|variable| variable.name == name);
    lines.extend(naming.known().map(|(name, key, _)| {
        let replaced = if own(&name) { ", replaced under env" } else { "" };
        format!("  {name} = key {}{replaced}", shown_key(key))
    }));
    lines
}

fn describe_variable(plan: &Plan, variable: &PlannedVariable, org: &Org) -> Vec<String> {
    let usual = match &variable.source {
        PlannedSource::Plain(_) => Destination::Config,
        PlannedSource::Secret(_) => Destination::EnvFile,
    };
    let elsewhere = match variable.destination {
        destination if destination == usual => "",
        Destination::Config => ", in the config",
        Destination::EnvFile => ", in the env file",
    };
    match &variable.source {
        PlannedSource::Plain(text) => vec![format!("{} = {}{elsewhere}", variable.name, shown_text(text))],
        PlannedSource::Secret(secret) => describe_secret(plan, &variable.name, secret, elsewhere, org),
    }
}

/// Returns a plain text as the plan shows it.
fn shown_text(text: &str) -> String {
    plain_value(text).unwrap_or_else(|kind| format!("(not shown: it looks like {kind})"))
}

/// Returns a line for a secret value, and one for each part of a template.
fn describe_secret(plan: &Plan, name: &str, secret: &PlannedSecret, more: &str, org: &Org) -> Vec<String> {
    match secret {
        PlannedSecret::One(usage) => vec![format!("{name} = {}{more}", describe_use(plan, usage, org))],
        PlannedSecret::Template(template) => {
            let parts = template.parts.iter();
            let parts = parts.map(|(part, usage)| format!("  {part} = {}", describe_use(plan, usage, org)));
            let whole = format!("{name} = template {}{more}", shown_text(&template.text));
            std::iter::once(whole).chain(parts).collect()
        }
    }
}

fn describe_use(plan: &Plan, usage: &Use, org: &Org) -> String {
    let read = &plan.reads[usage.read];
    let kind = if read.is_path { "path" } else { "secret" };
    let read = describe_read(read, &usage.selector.to_string(), org);
    let encoding = if usage.encoding == Encoding::Base64 { ", base64" } else { "" };
    let optional = if usage.optional { ", optional" } else { "" };
    format!("{kind} {read}{encoding}{optional}")
}

/// Returns a secret, with its version and credential where they are not the default.
pub fn describe_read(read: &Read, selector: &str, org: &Org) -> String {
    let version = match &read.version {
        Version::Current => String::new(),
        Version::Stage(label) if org.credentials[read.credential].provider() == ProviderKind::AwsParameterStore => {
            format!(", label {label}")
        }
        Version::Stage(stage) => format!(", stage {stage}"),
        Version::Id(id) => format!(", version {id}"),
    };
    let credential = match is_default(read.credential, org) {
        true => String::new(),
        false => format!(", credential {}", org.credentials[read.credential].name),
    };
    format!("{}{selector}{version}{credential}", read.id)
}

fn is_default(credential: usize, org: &Org) -> bool {
    org.choose(None, None).is_ok_and(|default| default == credential)
}

fn credential(index: usize, org: &Org) -> String {
    let credential = &org.credentials[index];
    let region = credential.region().map(|region| format!(" in {region}")).unwrap_or_default();
    let default = if is_default(index, org) { ", the default" } else { "" };
    format!("{}: {}{region}{default}", credential.name, credential.provider().name())
}

fn describe_warning(warning: &Diagnostic) -> String {
    let place = warning.place.as_ref().map(|place| format!("{}: {}: ", place.file, place.path)).unwrap_or_default();
    place + &warning.what
}
