//! Owns the command line: its structure, and which command runs. The commands below are the only code that prints or reads
//! the environment.

mod annotations;
mod ask;
mod bake;
mod check;
mod completion;
mod credential;
mod drift;
mod environment;
mod generate;
mod import;
mod input;
mod inspect;
mod log;
mod memory;
mod online;
mod org_init;
mod output;
mod plugin;
mod policy;
mod progress;
mod schema;
mod secrets;
mod short;
mod wiring;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::diagnostic::escape::escaped;
use crate::diagnostic::json::json;
use crate::diagnostic::redact::redacted;
use crate::diagnostic::{Error, Status, scrub};
use crate::image::name::{ImageName, Repository};
use crate::image::platform::Platform;
use crate::runtime::run::{self, LeftUndone};
use crate::runtime::unfinished::Unfinished;
use environment::Environment;
use output::Output;
use plugin::Invocation;

/// Bake secrets into a new layer of a deployment's image.
#[derive(Parser)]
#[command(version, max_term_width = 100, propagate_version = true)]
#[command(
    after_help = "Exit status: 0 success; 1 runtime failure: secret, engine, registry or disk; 2 invalid invocation, \
                        manifest or org file; 3 drift found; 130 interrupted\n
Without --org, the org file is the first of: $SECRETBAKE_ORG, ./secretbake.org.yaml,
  $XDG_CONFIG_HOME/secretbake/org.yaml (~/.config if unset), /etc/secretbake/org.yaml\n
Examples:
  secretbake check deploy.yaml
  secretbake bake deploy.yaml
  secretbake drift crew:1.4.2-prod"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

#[derive(Args)]
struct Global {
    /// Org file; `-` for stdin [env: SECRETBAKE_ORG]
    #[arg(long, global = true, value_name = "FILE")]
    org: Option<PathBuf>,
    /// Log filter: `debug` [env: SECRETBAKE_LOG]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Read each secret once and bake the values into images
    Bake(BakeArgs),
    /// Check manifests and the org file, offline
    Check(CheckArgs),
    /// Show which secrets and versions an image holds, but no values
    Inspect(inspect::Args),
    /// Report baked versions that are no longer current
    Drift(drift::Args),
    /// Print the JSON Schema of a file or of a command's JSON output
    Schema(schema::Args),
    /// Convert another tool's file to a manifest
    Import(import::Args),
    /// Print a shell's completion script
    Completions(generate::CompletionsArgs),
    /// Print the manual page, or write a page per command
    Man(generate::ManArgs),
    /// Create an org file
    Org(org_init::OrgArgs),
    /// Manage credentials: add, edit, list, show, test and remove
    Credential(credential::CredentialArgs),
    /// List the names of secrets
    Secrets(secrets::SecretsArgs),
    /// Print a least-privilege IAM policy for the manifests' secrets
    Policy(policy::PolicyArgs),
    /// Offer names to a shell
    #[command(name = "__complete", hide = true)]
    Complete(completion::CompleteArgs),
}

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake bake deploy.yaml --dry-run
  secretbake bake deploy.yaml --base crew:1.4.2 -t crew:1.4.2-prod
  sops -d org.yaml | secretbake bake deploy/*.yaml --org - --format json")]
struct BakeArgs {
    /// Deployment manifests
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// Base image; overrides the manifest
    #[arg(long, value_name = "IMAGE", value_parser = image_name)]
    base: Option<ImageName>,
    /// Tag; overrides the manifest; repeatable
    #[arg(short, long = "tag", value_name = "TAG", value_parser = tag_name)]
    tags: Vec<ImageName>,
    /// Print the plan; needs no network or engine
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: look up secrets and keys
    #[arg(long, requires = "dry_run")]
    online: bool,
    /// Platform of the base, such as linux/arm64
    #[arg(long, value_name = "OS/ARCH", value_parser = platform)]
    platform: Option<Platform>,
    /// Bake all platforms of the base into one index
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,
    /// Launcher for another architecture; repeatable
    #[arg(long = "launcher", value_name = "PATH")]
    launchers: Vec<PathBuf>,
    #[command(flatten)]
    registries: Registries,
    /// Push the engine's tags after baking
    #[arg(long)]
    push: bool,
    /// Images to write at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = jobs)]
    jobs: usize,
    /// Remove images that lost their tag; =base: all
    #[arg(long, value_name = "WHAT", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "tags", hide_possible_values = true)]
    prune_replaced: Option<Pruning>,
    /// Output format: text or json
    #[arg(long, value_enum, default_value_t = Format::Text, hide_possible_values = true)]
    format: Format,
}

/// How registries are spoken to.
#[derive(Args)]
struct Registries {
    /// Use plain HTTP for this registry; repeatable
    #[arg(long = "insecure-registry", value_name = "HOST", value_parser = registry_host)]
    insecure: Vec<String>,
}

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake check deploy/*.yaml
  secretbake check deploy.yaml --format github
  secretbake check deploy.yaml --format sarif > secretbake.sarif")]
struct CheckArgs {
    /// Deployment manifests
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// Output format; `text` goes to standard error, the others to standard output
    #[arg(long, value_enum, default_value_t = CheckFormat::Text)]
    format: CheckFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CheckFormat {
    Text,
    Json,
    /// GitHub workflow annotations
    Github,
    /// GitLab Code Quality report
    Gitlab,
    /// SARIF 2.1.0
    Sarif,
}

/// The images that `--prune-replaced` removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pruning {
    /// Those that this run's tags named before.
    Tags,
    /// Every baked image without a tag of the bases of this run, whichever deployment baked it.
    Base,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn image_name(text: &str) -> Result<ImageName, String> {
    ImageName::parse(text).map_err(|error| format!("{error}; {}", error.hint()))
}

fn tag_name(text: &str) -> Result<ImageName, String> {
    let name = image_name(text)?;
    crate::manifest::is_target(&name)?;
    Ok(name)
}

fn registry_host(text: &str) -> Result<String, String> {
    match Repository::parse(&format!("{text}/name")) {
        Ok(name) if name.host() == text => Ok(text.to_owned()),
        _ => Err("not a registry's host; write it as in image names, as in registry.example.com:5000".to_owned()),
    }
}

fn platform(text: &str) -> Result<Platform, String> {
    Platform::parse(text).ok_or_else(|| "not a platform; write OS/ARCH, as in linux/arm64".to_owned())
}

fn jobs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(jobs @ 1..=256) => Ok(jobs),
        _ => Err("write a number from 1 to 256".to_owned()),
    }
}

/// Runs the program: parses the arguments, runs the command, prints, and returns the exit status.
pub fn main() -> ExitCode {
    memory::keep();
    let output = Output::new();
    let invocation = Invocation::of(std::env::args_os());
    if let Some(metadata) = invocation.metadata() {
        return exit(output.result(&metadata).map(|()| ExitCode::SUCCESS), &output);
    }
    let cli = match Cli::try_parse_from(&invocation.arguments) {
        Ok(cli) => cli,
        Err(error) => return exit(usage(error, &invocation.arguments, &output), &output),
    };
    let mut environment = Environment::read();
    invocation.apply(&mut environment);
    let result = environment
        .without_body_logging()
        .and_then(|()| log::start(cli.global.log.as_deref().or(environment.log.as_deref())))
        .and_then(|()| command(cli, &environment, &output));
    let code = exit(result, &output);
    scrub::forget();
    code
}

/// Prints clap's own text: help and version, which were asked for, or what is wrong with the invocation.
fn usage(mut error: clap::Error, arguments: &[OsString], output: &Output) -> Result<ExitCode, Error> {
    if !error.use_stderr() {
        return output.styled(&error.render().ansi().to_string()).map(|()| ExitCode::SUCCESS);
    }
    // clap quotes arguments as they are: it is asked again, with escaped ones
    let shown = arguments.iter().map(|argument| escaped(&argument.to_string_lossy()));
    let text = match Cli::try_parse_from(shown) {
        Err(again) if again.kind() == error.kind() => {
            error = again;
            suggest_command(&mut error);
            error.render().ansi().to_string()
        }
        _ => error.to_string().lines().map(|line| escaped(line) + "\n").collect(),
    };
    // a name that clap quotes may hold a login
    output.styled_note(redacted(&text).trim_end());
    Ok(ExitCode::from(Status::Invalid.code()))
}

/// Suggests the command that another tool calls by this word; clap itself suggests only what is spelt alike.
fn suggest_command(error: &mut clap::Error) {
    const WORDS: [(&str, &str); 5] =
        [("validate", "check"), ("verify", "check"), ("lint", "check"), ("build", "bake"), ("diff", "drift")];
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return };
    if let Some((_, command)) = WORDS.iter().find(|(other, _)| other == word) {
        let command = ContextValue::Strings(vec![(*command).to_owned()]);
        error.insert(ContextKind::SuggestedSubcommand, command);
    }
}

fn exit(result: Result<ExitCode, Error>, output: &Output) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) => {
            output.problems(&error.diagnostics);
            ExitCode::from(error.status.code())
        }
    }
}

fn command(cli: Cli, environment: &Environment, output: &Output) -> Result<ExitCode, Error> {
    match cli.command {
        Command::Bake(args) if args.online => online::run(&args, &cli.global, environment, output),
        Command::Bake(args) if args.dry_run => bake::dry_run(&args, &cli.global, environment, output),
        Command::Bake(args) => bake::run(&args, &cli.global, environment, output),
        Command::Check(args) => check::run(&args, &cli.global, environment, output),
        Command::Inspect(args) => {
            // only for the names of the variables that hold keys: a program started for an engine does not get them
            let loaded = input::org(&cli.global, environment).ok();
            let org = loaded.as_ref().map(|loaded| &loaded.org);
            in_runtime(|cleanup| inspect::run(&args, org, environment, output, cleanup))
        }
        Command::Schema(args) => schema::run(&args, output),
        Command::Import(args) => import::run(&args, output),
        Command::Completions(args) => generate::completions(&args, output),
        Command::Man(args) => generate::man(&args, output),
        Command::Drift(args) => drift::run(&args, &cli.global, environment, output),
        Command::Org(args) => org_init::run(&args, &cli.global, output),
        Command::Credential(args) => credential::run(&args, &cli.global, environment, output),
        Command::Secrets(args) => secrets::run(&args, &cli.global, environment, output),
        Command::Policy(args) => policy::run(&args, &cli.global, environment, output),
        Command::Complete(args) => completion::run(&args, &cli.global, environment, output),
    }
}

/// Runs the part of a command that talks to others; see [`run::run`].
fn in_runtime<T, F>(command: impl FnOnce(Unfinished) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    run::run(command, || Output::new().problems(&run::interrupted("", LeftUndone::Abandoned).diagnostics))
}
