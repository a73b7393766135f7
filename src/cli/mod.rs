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
mod memory;
mod online;
mod org_init;
mod output;
mod plugin;
mod policy;
mod progress;
mod schema;
mod secrets;
mod wiring;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::TaskTracker;

use crate::diagnostic::json::json;
use crate::diagnostic::{Diagnostic, Error, Status};
use crate::image::name::{ImageName, Repository};
use crate::image::platform::Platform;
use crate::runtime::blocking;
use environment::Environment;
use output::Output;
use plugin::Invocation;

/// How long the end of a run waits for an engine to finish a write, and to remove what was put down for a time.
const CLEANUP: Duration = Duration::from_secs(15);

/// Bakes secrets into a new layer of a deployment's image.
#[derive(Parser)]
#[command(version, max_term_width = 100, propagate_version = true)]
#[command(after_help = "Exit status: 0 done; 1 the world said no; 2 the invocation, manifest or org file is wrong; \
                        3 drift found; 130 interrupted\n
Examples:
  secretbake check deploy.yaml
  secretbake bake deploy.yaml
  secretbake drift crew:1.4.2-prod")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

#[derive(Args)]
struct Global {
    /// The org file, or `-` for standard input
    #[arg(long, global = true, value_name = "FILE")]
    org: Option<PathBuf>,
    /// Log to standard error, as in `debug`
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Read the secrets once and bake them into each deployment's image
    Bake(BakeArgs),
    /// Report every problem in manifests and org file, offline
    Check(CheckArgs),
    /// Say what was baked into an image: variable, secret, version; never a value
    Inspect(inspect::Args),
    /// Say which baked versions are no longer current; reads no secret value
    Drift(drift::Args),
    /// Print the JSON Schema of a file or of a command's JSON
    Schema(schema::Args),
    /// Make a manifest from another tool's file, with the references left to fill in
    Import(import::Args),
    /// Print the completions of a shell
    Completions(generate::CompletionsArgs),
    /// Print the manual, or write its pages
    Man(generate::ManArgs),
    /// Make an org file
    Org(org_init::OrgArgs),
    /// Add, list, show, test and remove credentials
    Credential(credential::CredentialArgs),
    /// List the names of secrets
    Secrets(secrets::SecretsArgs),
    /// Print the least that IAM must allow for the manifests' secrets
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
    /// The deployment manifests
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// The base image, instead of the manifest's
    #[arg(long, value_name = "IMAGE", value_parser = image_name)]
    base: Option<ImageName>,
    /// A name, instead of the manifest's; repeatable
    #[arg(short, long = "tag", value_name = "TAG", value_parser = tag_name)]
    tags: Vec<ImageName>,
    /// Print the plan: no network, no engine, no key
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: look for each secret and key
    #[arg(long, requires = "dry_run")]
    online: bool,
    /// Of a multi-platform base, as linux/arm64
    #[arg(long, value_name = "OS/ARCH", value_parser = platform)]
    platform: Option<Platform>,
    /// Bake all platforms of the base into one index
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,
    /// A launcher of another architecture; repeatable
    #[arg(long = "launcher", value_name = "PATH")]
    launchers: Vec<PathBuf>,
    #[command(flatten)]
    registries: Registries,
    /// Have the engine push its tags
    #[arg(long)]
    push: bool,
    /// Images written at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = jobs)]
    jobs: usize,
    /// Remove replaced images of the base, if unused
    #[arg(long)]
    prune_replaced: bool,
    /// The result: text or json
    #[arg(long, value_enum, default_value_t = Format::Text, hide_possible_values = true)]
    format: Format,
}

/// How registries are spoken to.
#[derive(Args)]
struct Registries {
    /// A registry to speak plain HTTP to; repeatable
    #[arg(long = "insecure-registry", value_name = "HOST", value_parser = registry_host)]
    insecure: Vec<String>,
}

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake check deploy/*.yaml
  secretbake check deploy.yaml --format github
  secretbake check deploy.yaml --format sarif > secretbake.sarif")]
struct CheckArgs {
    /// The deployment manifests
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// `text` goes to standard error, for people; every other form to standard output
    #[arg(long, value_enum, default_value_t = CheckFormat::Text)]
    format: CheckFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CheckFormat {
    Text,
    Json,
    /// Annotations of a GitHub workflow
    Github,
    /// GitLab's Code Quality report
    Gitlab,
    /// SARIF 2.1.0
    Sarif,
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
        Err(error) => return exit(usage(error, &output), &output),
    };
    let mut environment = Environment::read();
    invocation.apply(&mut environment);
    let result = environment
        .without_body_logging()
        .and_then(|()| output::start_logging(cli.global.log.as_deref().or(environment.log.as_deref())))
        .and_then(|()| run(cli, &environment, &output));
    exit(result, &output)
}

/// Prints clap's own text: help and version, which were asked for, or what is wrong with the invocation.
fn usage(mut error: clap::Error, output: &Output) -> Result<ExitCode, Error> {
    suggest_command(&mut error);
    let text = error.render().ansi().to_string();
    if error.use_stderr() {
        output.note(text.trim_end());
        return Ok(ExitCode::from(Status::Invalid.code()));
    }
    output.result(&text).map(|()| ExitCode::SUCCESS)
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

fn run(cli: Cli, environment: &Environment, output: &Output) -> Result<ExitCode, Error> {
    match cli.command {
        Command::Bake(args) if args.online => online::run(&args, &cli.global, environment, output),
        Command::Bake(args) if args.dry_run => bake::dry_run(&args, &cli.global, environment, output),
        Command::Bake(args) => bake::run(&args, &cli.global, environment, output),
        Command::Check(args) => check::run(&args, &cli.global, environment, output),
        Command::Inspect(args) => in_runtime(|cleanup| inspect::run(&args, environment, output, cleanup)),
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

/// Runs the part of a command that talks to the world, until it is done or the user interrupts it; either way, what may not be left half done is
/// finished, and what was put down for a time is taken up again, before the process ends.
///
/// What the user names is read before: it may be a pipe that nobody writes to, and there an interrupt must end the process at once.
fn in_runtime<T, F>(command: impl FnOnce(TaskTracker) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let failed = |error| cannot_start(&error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let result = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let cleanup = TaskTracker::new();
        let mut running = Box::pin(command(cleanup.clone()));
        let finished = tokio::select! {
            result = &mut running => Some(result),
            _ = interrupt.recv() => None,
            _ = terminate.recv() => None,
        };
        cleanup.close();
        // an engine that does not answer is not waited for: the next run removes what is left
        let deadline = tokio::time::Instant::now() + CLEANUP;
        let mut left = Left::Nothing;
        let finished = match finished {
            Some(result) => Some(result),
            None => tokio::select! {
                biased;
                // whatever ended it then, the user did first
                result = &mut running => Some(result.map_err(|error| Error { status: Status::Interrupted, ..error })),
                () = cleanup.wait() => None,
                () = tokio::time::sleep_until(deadline) => {
                    left = Left::Begun;
                    None
                }
            },
        };
        drop(running);
        let ended = async {
            cleanup.wait().await;
            blocking::idle().await;
        };
        if tokio::time::timeout_at(deadline, ended).await.is_err() {
            left = Left::Begun;
        }
        finished.unwrap_or_else(|| Err(interrupted("", left)))
    });
    // a name that is looked up, or a program that is asked for a login, may never answer
    runtime.shutdown_background();
    result
}

/// Says that the operating system does not give a run what it needs.
fn cannot_start(error: &std::io::Error) -> Error {
    let hint = "raise the limits of open files and processes: `ulimit -n` and `ulimit -u` show them";
    Error::failed(Diagnostic::error("runtime", format!("cannot start: {error}")).hint(hint))
}

/// What a run that the user ended left half done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// Images that are not everywhere where they should be; the outcomes say which.
    Parts,
    /// What had begun, and was not finished in time.
    Begun,
}

impl Left {
    /// The code of what was left.
    fn code(self) -> &'static str {
        match self {
            Left::Nothing => "interrupted",
            Left::Parts => "interrupted-in-part",
            Left::Begun => "interrupted-unfinished",
        }
    }

    /// Returns what an interrupted run says that it left.
    fn of(error: &Error) -> Self {
        let says = |left: &Left| error.diagnostics.iter().any(|diagnostic| diagnostic.code == left.code());
        [Left::Parts, Left::Begun].into_iter().find(says).unwrap_or(Left::Nothing)
    }
}

/// Says that the user ended the run; `when` is how far it came, if it came anywhere.
fn interrupted(when: &str, left: Left) -> Error {
    let what = match left {
        Left::Nothing => format!("interrupted{when}; nothing was left half done"),
        Left::Parts => format!("interrupted{when}"),
        Left::Begun => format!("interrupted{when}; what had begun was not finished in {} seconds", CLEANUP.as_secs()),
    };
    let hint = "run the same command again: what is done already is left alone";
    Error { status: Status::Interrupted, diagnostics: vec![Diagnostic::error(left.code(), what).hint(hint)] }
}
