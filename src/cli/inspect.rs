//! `secretbake inspect`: what was baked into an image, from its label, and what a container makes of it; never a value.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;

use super::arguments::{OutputFormat, Registries, image_name, platform};
use super::environment::Environment;
use super::output::Output;
use super::{Global, in_runtime, input, short, wiring};
use crate::diagnostic::ForeignText;
use crate::diagnostic::command::{own, shell_word};
use crate::diagnostic::json::Problem;
use crate::diagnostic::{Diagnostic, Error};
use crate::image::Base;
use crate::image::name::ImageName;
use crate::image::platform::{Platform, Platforms};
use crate::image::provenance::{NamedOrigin, Origin, Provenance, WholeSecret};
use crate::store::any::Stores;
use crate::store::{ImageStore as _, NOT_FOUND};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  secretbake inspect crew:1.4.2-prod
  secretbake inspect --container crew-web-1
  secretbake inspect oci:build/crew:1.4.2 --format json")]
pub(super) struct Args {
    /// Baked image
    #[arg(value_name = "IMAGE", value_parser = image_name, required_unless_present = "container")]
    image: Option<ImageName>,
    /// Container of the engine instead of an image, by name or ID
    #[arg(long, value_name = "CONTAINER", conflicts_with_all = ["image", "platform"])]
    container: Option<String>,
    /// Platform of a multi-platform image, for example linux/arm64
    #[arg(long, value_name = "OS/ARCH", value_parser = platform)]
    platform: Option<Platform>,
    #[command(flatten)]
    registries: Registries,
    /// Output format
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// What an image says of itself, version 1.
#[derive(Serialize)]
struct Inspected {
    version: u32,
    image: String,
    digest: Option<String>,
    created: Option<String>,
    provenance: Provenance,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Container>,
}

/// What a container makes of its image.
#[derive(Serialize)]
struct Container {
    id: String,
    name: String,
    /// Whether another ENTRYPOINT keeps the launcher from running; `None` for an image without a launcher.
    entrypoint_overridden: Option<bool>,
    /// The program that runs instead of the launcher.
    #[serde(skip)]
    program: Option<String>,
    /// The names of the baked variables that the container's own environment overrides.
    overridden_variables: Vec<String>,
}

/// Why nothing is known of an image, version 1.
#[derive(Serialize)]
struct NotInspected {
    version: u32,
    image: String,
    digest: Option<String>,
    created: Option<String>,
    provenance: Option<Provenance>,
    diagnostics: [Problem; 1],
}

impl NotInspected {
    fn new(name: &str, problem: &Diagnostic) -> Self {
        let diagnostics = [Problem::from(problem)];
        NotInspected { version: 1, image: name.to_owned(), digest: None, created: None, provenance: None, diagnostics }
    }
}

pub(super) fn run(args: &Args, global: &Global, environment: &Environment, output: &Output) -> Result<ExitCode, Error> {
    // only for the names of the variables that hold keys: a program started for an engine does not get them. If the org file cannot be
    // read, that program gets hardly any
    let loaded = input::org(global, environment).ok();
    let org = loaded.as_ref().map(|loaded| &loaded.org);
    let (shown, inspected) = in_runtime(|cleanup| async move {
        let stores = wiring::stores(org, environment, &args.registries, cleanup);
        Ok(match (&args.image, &args.container) {
            (Some(image), _) => (image.to_string(), inspect_or_point(&stores, image, args.platform.as_ref()).await),
            (None, container) => {
                let name = container.clone().unwrap_or_default();
                let inspected = inspect_container(&stores, &name).await;
                (name, inspected)
            }
        })
    })?;
    match (args.format, &inspected) {
        (OutputFormat::Text, Ok(inspected)) => output.result(&text(inspected))?,
        (OutputFormat::Json, Ok(inspected)) => output.result(&super::json(inspected))?,
        (OutputFormat::Json, Err(problem)) => output.result(&super::json(&NotInspected::new(&shown, problem)))?,
        (OutputFormat::Text, Err(_)) => {}
    }
    inspected.map(|_| ExitCode::SUCCESS).map_err(Error::failed)
}

async fn inspect(stores: &Stores, name: &ImageName, platform: Option<&Platform>) -> Result<Inspected, Diagnostic> {
    let base = read(stores, name, platform).await?;
    let provenance = provenance_of(&name.to_string(), &base)?;
    Ok(Inspected {
        version: 1,
        image: name.to_string(),
        digest: base.digest.as_ref().map(|digest| digest.to_string()),
        created: base.config.created(),
        provenance,
        container: None,
    })
}

async fn read(stores: &Stores, name: &ImageName, platform: Option<&Platform>) -> Result<Base, Diagnostic> {
    let store = stores.open(name).await.map_err(|error| *error.0)?;
    let (_, mut bases) = store.read(name, &Platforms::one(platform)).await.map_err(|error| *error.0)?.into_parts();
    let (Some(base), true) = (bases.pop(), bases.is_empty()) else { unreachable!("one platform was asked for") };
    Ok(base)
}

fn provenance_of(shown: &str, base: &Base) -> Result<Provenance, Diagnostic> {
    base.config.provenance().map_err(|error| {
        Diagnostic::error("not-baked", format!("cannot tell what was baked into {shown}: {error}")).hint(error.hint())
    })
}

/// Inspects an image. If the image does not exist, the error mentions a container of the same name.
async fn inspect_or_point(
    stores: &Stores,
    name: &ImageName,
    platform: Option<&Platform>,
) -> Result<Inspected, Diagnostic> {
    let mut inspected = inspect(stores, name, platform).await;
    if let (Err(problem), ImageName::Engine(tag)) = (&mut inspected, name)
        && problem.code == NOT_FOUND
        && let Ok(container) = stores.container(tag.as_written()).await
    {
        let command = own(&format!("inspect --container {}", shell_word(container.name.as_str())));
        let hint = format!("there is a container of this name: `{command}`");
        problem.hints.insert(0, hint);
    }
    inspected
}

/// Inspects the image of a container, and what the container overrides.
async fn inspect_container(stores: &Stores, name: &str) -> Result<Inspected, Diagnostic> {
    let malformed = |error: &dyn std::fmt::Display| {
        Diagnostic::error("not-baked", format!("cannot tell what was baked into the image of {name}: {error}"))
            .hint("`docker inspect` shows the container and its image")
    };
    let container = stores.container(name).await.map_err(|error| *error.0)?;
    let image = ImageName::parse(container.image_id.as_str()).map_err(|error| malformed(&error))?;
    let base = read(stores, &image, None).await?;
    let provenance =
        provenance_of(&format!("{}, the image of the container {name}", ForeignText::name(&container.image)), &base)?;
    let is_launched = provenance.inject == "launcher";
    // the launcher lets any value of the container win; an image with the values in its config has them in its own Env
    let entries = match provenance.inject.as_str() {
        "config" => base.config.env_entries().map_err(|error| malformed(&error))?,
        _ => Vec::new(),
    };
    let variables =
        provenance.variables.iter().filter(|(_, origin)| provenance.inject != "file" && !origin.is_absent());
    let overridden = variables.map(|(name, _)| name).filter(|name| container.overrides(name, &entries));
    let runs_launcher = container.runs_launcher();
    let state = Container {
        entrypoint_overridden: is_launched.then_some(!runs_launcher),
        program: container.command.first().cloned(),
        overridden_variables: overridden.cloned().collect(),
        id: container.id,
        name: container.name,
    };
    Ok(Inspected {
        version: 1,
        image: container.image,
        digest: base.digest.as_ref().map(ToString::to_string),
        created: base.config.created(),
        provenance,
        container: Some(state),
    })
}

fn text(inspected: &Inspected) -> String {
    let mut out = String::new();
    let Inspected { image, digest, created, provenance, container, .. } = inspected;
    let is_wide = container.is_some() || provenance.seal.is_some();
    let width = if is_wide { "sealed for".len() } else { "created".len() };
    let entrypoint = container.as_ref().and_then(entrypoint);
    let facts = [
        ("container", container.as_ref().map(|container| &container.name)),
        ("image", Some(image)),
        ("digest", digest.as_ref()),
        ("base", provenance.base.as_ref()),
        ("created", created.as_ref()),
        ("inject", Some(&provenance.inject)),
        ("entrypoint", entrypoint.as_ref()),
    ];
    let of_container = |what: &str| matches!(what, "container" | "entrypoint");
    let facts = facts.into_iter().filter(|(what, fact)| fact.is_some() || !of_container(what));
    let recipients = provenance.seal.iter().flat_map(|seal| &seal.recipients);
    let facts = facts.chain(recipients.map(|recipient| ("sealed for", Some(recipient))));
    // writing to a string cannot fail
    for (what, fact) in facts {
        let _ = writeln!(
            out,
            "{what:<width$}  {}",
            fact.map_or_else(|| "none".to_owned(), |fact| ForeignText::new(fact).into())
        );
    }
    if !provenance.env_from.is_empty() {
        let _ = writeln!(out, "env from");
        let rows: Vec<[String; 4]> = provenance.env_from.iter().map(whole).collect();
        let _ = short::rows(&mut out, &rows);
    }
    for (title, origins) in [("env", &provenance.variables), ("files", &provenance.files)] {
        if !origins.is_empty() {
            let _ = writeln!(out, "{title}");
            let rows: Vec<[String; 4]> = origins
                .iter()
                .flat_map(|(name, origin)| origin.named(name))
                .map(|NamedOrigin { name, part, origin }| row(&short::with_part(name, part), origin))
                .collect();
            let _ = short::rows(&mut out, &rows);
        }
    }
    let overridden = container.iter().flat_map(|container| &container.overridden_variables);
    for (number, name) in overridden.enumerate() {
        if number == 0 {
            out.push_str("overridden by the container's environment\n");
        }
        let _ = writeln!(out, "  {}", ForeignText::new(name));
    }
    out
}

/// Says what the container starts; `None` for an image without a launcher.
fn entrypoint(container: &Container) -> Option<String> {
    let is_overridden = container.entrypoint_overridden?;
    let program = container.program.as_deref().unwrap_or("nothing");
    Some(match is_overridden {
        false => "starts the launcher".to_owned(),
        true => format!("overridden: {program} starts without the launcher, so the app does not see the variables"),
    })
}

/// Describes a secret whose keys became variables, or a path whose secrets did.
fn whole(whole: &WholeSecret) -> [String; 4] {
    let keys = match (&whole.below, whole.keys.is_some()) {
        (None, false) => "every key",
        (None, true) => "its listed keys",
        (Some(_), false) => "everything below",
        (Some(_), true) => "those listed below",
    };
    let what = match whole.names.len() {
        1 => format!("{keys}, 1 variable"),
        count => format!("{keys}, {count} variables"),
    };
    let [what, secret, credential, version] = row(&what, &whole.origin);
    match whole.below {
        None => [what, secret, credential, version],
        Some(_) => {
            let path = format!("path {}", short::secret_name(&whole.origin.secret));
            // each variable has its version
            [what, path, credential, if whole.origin.absent { version } else { String::new() }]
        }
    }
}

fn row(name: &str, origin: &Origin) -> [String; 4] {
    let key = origin.key.as_ref().map(|key| format!("#{key}")).unwrap_or_default();
    let id = origin.version_id.as_deref().map_or_else(|| "without an ID".to_owned(), short::version_id);
    let version = match (&origin.version_stage, origin.pinned, origin.absent) {
        (_, _, true) => "absent, left out".to_owned(),
        (Some(stage), _, _) => format!("version {id} ({stage})"),
        (None, true, _) => format!("version {id} (pinned)"),
        (None, false, _) => format!("version {id}"),
    };
    [
        name.to_owned(),
        format!("secret {}{key}", short::secret_name(&origin.secret)),
        format!("with {}", origin.credential),
        version,
    ]
}
