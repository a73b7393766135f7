//! Puts an image's values where the plan wants them and checks that an environment can hold them. It is pure; no diagnostic has a value.

use crate::diagnostic::{Diagnostic, Place};
use crate::image::append::{Additions, EnvFile, FileContent, Launcher};
use crate::image::env_file;
use crate::image::recipe::RecipeText;
use crate::plan::{Destination, ImagePlan};
use crate::secret::SecretBytes;
use crate::secrets::values::{ImageValues, VariableValue};

/// A larger environment may be too large: Linux allows 2 MiB with the usual stack limit, and the base and the container add their
/// own variables.
const LARGE_ENVIRONMENT: usize = 3 << 19;
/// The largest environment that Linux allows with any stack limit.
const MOST_ENVIRONMENT: usize = 6 << 20;
const FEWER: &str = "put the large values under `files:`, or all of them in a file of your own with `inject: file`";

/// Returns the contents of the image, and warnings.
///
/// # Errors
/// Every variable whose value does not fit where it goes, or that the environment is too large for any program.
pub fn contents<'v>(
    plan: &'v ImagePlan,
    values: &'v ImageValues<'_>,
    launchers: &'v [Launcher],
    recipe: &'v RecipeText,
) -> Result<(Additions<'v>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (in_file, in_config): (Vec<_>, Vec<_>) =
        values.variables.iter().partition(|value| value.destination == Destination::EnvFile);
    let mut problems = Vec::new();
    let mut config_env = Vec::new();
    for value in &in_config {
        match std::str::from_utf8(value.bytes.expose()) {
            Ok(text) => config_env.push((&*value.name, text)),
            Err(_) => problems.push(cannot_hold(value, "it is not UTF-8 text")),
        }
    }
    let pairs: Vec<(&str, &SecretBytes)> = in_file.iter().map(|value| (&*value.name, &value.bytes)).collect();
    // if all secrets were optional and absent, the launcher has nothing to do
    let opens_files = plan.opens_files() && !values.files.is_empty();
    let file = plan.env_file.as_ref().filter(|file| !file.launched || !pairs.is_empty() || opens_files);
    let mut env_file = None;
    if let Some(file) = file {
        match env_file::write(file.format, &pairs) {
            Ok(content) => {
                let names = || pairs.iter().map(|(name, _)| *name).collect();
                let launch = file.launched.then(|| (launchers, names()));
                env_file = Some(EnvFile { path: &file.path, content, access: &file.access, launch });
            }
            Err(refused) => {
                let variable = |name| in_file.iter().find(|value| value.name == name);
                problems
                    .extend(refused.iter().filter_map(|(name, why)| Some(cannot_hold(variable(name.as_str())?, why))));
            }
        }
    }
    let in_environment = match file {
        Some(file) if !file.launched => &in_config[..],
        _ => &values.variables.iter().collect::<Vec<_>>(),
    };
    let size = environment_size(in_environment);
    if size > MOST_ENVIRONMENT {
        problems.push(too_large(plan, size));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let files = values.files.iter();
    let files = files.map(|(file, content)| FileContent { path: &file.path, content, access: &file.access }).collect();
    let warnings = (size > LARGE_ENVIRONMENT).then(|| large(plan, size)).into_iter().collect();
    let seal = plan.seal.as_deref();
    Ok((Additions { config_env, env_file, files, seal, origins: &values.origins, recipe }, warnings))
}

fn cannot_hold(variable: &VariableValue<'_>, why: env_file::Refusal) -> Diagnostic {
    env_file::refused(why).at(variable.place.clone().into_owned())
}

/// Returns the size of the variables in a program's environment: each takes its `KEY=value`, a NUL and a pointer.
fn environment_size(variables: &[&VariableValue<'_>]) -> usize {
    variables.iter().map(|value| value.name.len() + value.bytes.len() + 2 + size_of::<usize>()).sum()
}

fn too_large(image: &ImagePlan, size: usize) -> Diagnostic {
    Diagnostic::error(
        "environment-too-large",
        format!("the variables take {}, and a program starts with 6 MiB at most", mib(size)),
    )
    .at(env_of(image))
    .hint(FEWER)
}

fn large(image: &ImagePlan, size: usize) -> Diagnostic {
    Diagnostic::warning("environment-large", format!("the variables take {} of the image's environment", mib(size)))
        .at(env_of(image))
        .cause("Linux starts a program with arguments and variables of at most a quarter of the stack limit, by default 2 MiB")
        .hint(FEWER)
}

fn mib(size: usize) -> String {
    // the integer is small, so the cast loses nothing that is shown
    format!("{:.1} MiB", size as f64 / (1 << 20) as f64)
}

fn env_of(image: &ImagePlan) -> Place {
    Place { file: image.file.clone(), line: 1, column: 1, path: "env".to_owned() }
}
