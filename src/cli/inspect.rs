//! `secretbake inspect`: what was baked into an image, from its label; never a value.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;

use super::environment::Environment;
use super::output::Output;
use super::{Format, Registries, image_name, platform, short, wiring};
use crate::diagnostic::ForeignText;
use crate::diagnostic::json::Problem;
use crate::diagnostic::{Diagnostic, Error};
use crate::image::name::ImageName;
use crate::image::platform::{Platform, Platforms};
use crate::image::provenance::{NamedOrigin, Origin, Provenance, WholeSecret};
use crate::org::Org;
use crate::runtime::unfinished::Unfinished;
use crate::store::ImageStore as _;
use crate::store::any::Stores;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  secretbake inspect crew:1.4.2-prod
  secretbake inspect oci:build/crew:1.4.2 --format json")]
pub(super) struct Args {
    /// Baked image
    #[arg(value_name = "IMAGE", value_parser = image_name)]
    image: ImageName,
    /// Platform of a multi-platform image, for example linux/arm64
    #[arg(long, value_name = "OS/ARCH", value_parser = platform)]
    platform: Option<Platform>,
    #[command(flatten)]
    registries: Registries,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What an image says of itself, version 1.
#[derive(Serialize)]
struct Inspected {
    version: u32,
    image: String,
    digest: Option<String>,
    created: Option<String>,
    provenance: Provenance,
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
    fn new(name: &ImageName, problem: &Diagnostic) -> Self {
        let diagnostics = [Problem::from(problem)];
        NotInspected { version: 1, image: name.to_string(), digest: None, created: None, provenance: None, diagnostics }
    }
}

pub(super) async fn run(
    args: &Args,
    org: Option<&Org>,
    environment: &Environment,
    output: &Output,
    cleanup: Unfinished,
) -> Result<ExitCode, Error> {
    let stores = wiring::stores(org, environment, &args.registries, cleanup);
    let inspected = inspect(&stores, &args.image, args.platform.as_ref()).await;
    match (args.format, &inspected) {
        (Format::Text, Ok(inspected)) => output.result(&text(inspected))?,
        (Format::Json, Ok(inspected)) => output.result(&super::json(inspected))?,
        (Format::Json, Err(problem)) => output.result(&super::json(&NotInspected::new(&args.image, problem)))?,
        (Format::Text, Err(_)) => {}
    }
    inspected.map(|_| ExitCode::SUCCESS).map_err(Error::failed)
}

async fn inspect(stores: &Stores, name: &ImageName, platform: Option<&Platform>) -> Result<Inspected, Diagnostic> {
    let store = stores.open(name).await.map_err(|error| *error.0)?;
    let (_, bases) = store.read(name, &Platforms::one(platform)).await.map_err(|error| *error.0)?.into_parts();
    let [base] = &bases[..] else { unreachable!("one platform was asked for") };
    let provenance = base.config.provenance().map_err(|error| {
        Diagnostic::error("not-baked", format!("cannot tell what was baked into {name}: {error}")).hint(error.hint())
    })?;
    Ok(Inspected {
        version: 1,
        image: name.to_string(),
        digest: base.digest.as_ref().map(|digest| digest.to_string()),
        created: base.config.created(),
        provenance,
    })
}

/// Reads the provenance of an image.
pub(super) async fn provenance(
    stores: &Stores,
    name: &ImageName,
    platform: Option<&Platform>,
) -> Result<Provenance, Diagnostic> {
    inspect(stores, name, platform).await.map(|inspected| inspected.provenance)
}

fn text(inspected: &Inspected) -> String {
    let mut out = String::new();
    let Inspected { image, digest, created, provenance, .. } = inspected;
    let facts = [
        ("image", Some(image)),
        ("digest", digest.as_ref()),
        ("base", provenance.base.as_ref()),
        ("created", created.as_ref()),
        ("inject", Some(&provenance.inject)),
    ];
    // writing to a string cannot fail
    for (what, fact) in facts {
        let _ = writeln!(
            out,
            "{what:<7}  {}",
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
    out
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
