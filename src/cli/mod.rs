//! Owns the command line: its structure, and which command runs. Only the commands below print or read the environment.

mod annotations;
mod arguments;
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
mod org_init;
mod output;
mod plugin;
mod policy;
mod progress;
mod rebake;
mod schema;
mod secrets;
mod short;
mod usage;
mod wiring;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::diagnostic::json::json;
use crate::diagnostic::{Error, command, scrub};
use crate::runtime::interrupt::Notices;
use crate::runtime::platform;
use crate::runtime::run::{self, LeftUndone};
use crate::runtime::unfinished::Unfinished;
use environment::Environment;
use output::Output;
use plugin::Invocation;

/// What `--version` prints: the version, the commit, and the target.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("SECRETBAKE_COMMIT"),
    "\ntarget: ",
    env!("SECRETBAKE_TARGET")
);

/// Bake secrets into a new layer of a deployment's image.
#[derive(Parser)]
#[command(version, long_version = LONG_VERSION, max_term_width = 100, propagate_version = true)]
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
    /// Log what is done; -vv logs more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Print only errors and the result
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

impl Global {
    /// Returns the log filter that the user asks for.
    fn log_filter<'a>(&'a self, environment: &'a Environment) -> Option<&'a str> {
        let verbose = match self.verbose {
            0 => None,
            1 => Some("info"),
            _ => Some("debug"),
        };
        self.log.as_deref().or(verbose).or(environment.log.as_deref())
    }
}

// only the arguments of the command that runs are built
#[derive(Subcommand)]
#[command(defer = true)]
enum Command {
    /// Read each secret once and bake the values into images
    Bake(bake::BakeArgs),
    /// Check manifests and the org file, offline
    Check(check::CheckArgs),
    /// Show which secrets and versions an image holds, but no values
    Inspect(inspect::Args),
    /// Bake images again with today's values; needs no manifest or base
    Rebake(rebake::Args),
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

/// Runs the program: parses the arguments, runs the command, prints, and returns the exit status.
pub fn main() -> ExitCode {
    platform::protect_memory();
    let output = Output::default();
    let invocation = Invocation::of(std::env::args_os());
    if let Some(metadata) = invocation.metadata() {
        return exit(output.result(&metadata).map(|()| ExitCode::SUCCESS), &output);
    }
    let cli = match Cli::try_parse_from(&invocation.arguments) {
        Ok(cli) => cli,
        Err(error) => return exit(usage::print(error, &invocation.arguments, &output), &output),
    };
    let mut environment = Environment::read();
    invocation.apply(&mut environment);
    command::called(invocation.program(), cli.global.org.as_deref().and_then(Path::to_str));
    let output = Output::new(cli.global.quiet);
    let result = match environment.without_body_logging() {
        Ok(None) => log::start(cli.global.log_filter(&environment)).and_then(|()| command(cli, &environment, &output)),
        Ok(Some(ended)) => Ok(ended),
        Err(error) => Err(error),
    };
    let code = exit(result, &output);
    scrub::forget();
    code
}

fn exit(result: Result<ExitCode, Error>, output: &Output) -> ExitCode {
    let code = result.unwrap_or_else(|error| {
        output.problems(&error.diagnostics);
        ExitCode::from(error.status.code())
    });
    output.count();
    code
}

fn command(cli: Cli, environment: &Environment, output: &Output) -> Result<ExitCode, Error> {
    match cli.command {
        Command::Bake(args) => bake::run(&args, &cli.global, environment, output),
        Command::Check(args) => check::run(&args, &cli.global, environment, output),
        Command::Inspect(args) => inspect::run(&args, &cli.global, environment, output),
        Command::Schema(args) => schema::run(&args, output),
        Command::Import(args) => import::run(&args, output),
        Command::Completions(args) => generate::completions(&args, output),
        Command::Man(args) => generate::man(&args, output),
        Command::Rebake(args) => rebake::run(&args, &cli.global, environment, output),
        Command::Drift(args) => drift::run(&args, &cli.global, environment, output),
        Command::Org(args) => org_init::run(&args, &cli.global, output),
        Command::Credential(args) => credential::run(&args, &cli.global, environment, output),
        Command::Secrets(args) => {
            output.or_findings(secrets::run(&args, &cli.global, environment, output), args.format())
        }
        Command::Policy(args) => output.or_findings(policy::run(&args, &cli.global, environment, output), args.format),
        Command::Complete(args) => completion::run(&args, &cli.global, environment, output),
    }
}

/// Runs the part of a command that talks to others; see [`run::run`].
fn in_runtime<T, F>(command: impl FnOnce(Unfinished) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let notices = Notices {
        finishing: || Output::default().interrupt(&run::finishing()),
        abandoned: || Output::default().problems(&run::interrupted("", LeftUndone::Abandoned).diagnostics),
    };
    run::run(command, notices)
}
